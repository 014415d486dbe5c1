"""Query options of a request: `$filter $orderby $top $skip $select $expand $count`, nested in `$expand` too.

The raw text of each option is kept, because Business Central repeats the options, already encoded, in its next links.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final
from urllib.parse import quote, unquote, unquote_plus

from business_central_emulator.data import errors
from business_central_emulator.data.schema import UNEMULATED_NAVS, Entity
from business_central_emulator.odata import filter as odata_filter

MAX_PAGE_ROWS: Final = 20_000
_KNOWN: Final = frozenset(
    {"$filter", "$orderby", "$top", "$skip", "$select", "$expand", "$count", "$skiptoken", "$schemaversion"}
)
#: Options a next link does not repeat: they are replaced (`$skiptoken`, `aid`, `$top`) or used up (`$skip`).
_NOT_REPEATED: Final = frozenset({"$skiptoken", "aid", "$top", "$skip"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of one level."""

    node: odata_filter.Node | None = None
    order: tuple[tuple[str, bool], ...] = ()  # (property, descending)
    top: int | None = None
    skip: int = 0
    select: tuple[str, ...] | None = None
    expand: Mapping[str, "Options"] = field(default_factory=lambda: MappingProxyType({}))
    count: bool = False
    skip_token: str | None = None
    repeated: str = ""  # raw text of the options that a next link repeats


def parse_query(raw: str, entity: Entity, *, al_signs: bool = False) -> Options:
    """Read a raw query string for a request on `entity`.

    Raises:
        ApiError: 400 or 501, as for the option that is wrong.
    """
    pairs = [_raw_pair(part) for part in raw.split("&") if part]
    names = [name for name, _ in pairs if name.startswith("$")]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise errors.bad_request(f"Query option '{twice}' was specified more than once, but it must be specified once.")
    found = {name: unquote_plus(value) for name, value in pairs}
    repeated = "&".join(f"{_shown(name)}={value}" for name, value in pairs if name not in _NOT_REPEATED)
    version = found.get("$schemaversion", "2.0")
    if version not in ("1.0", "2.0", "2.1"):
        raise errors.bad_request(f"The schema version '{version}' is not valid.")
    options = _options(found, entity, odata_filter.Dialect(is_21=version == "2.1", al_signs=al_signs))
    token = found.get("$skiptoken")
    values = {name: getattr(options, name) for name in Options.__dataclass_fields__}
    return Options(**{**values, "skip_token": token, "repeated": repeated})


def custom_options(raw: str) -> dict[str, str]:
    """Return the options without a dollar sign (`company`, `tenant`, `validationToken`)."""
    pairs = [_raw_pair(part) for part in raw.split("&") if part]
    return {name: unquote_plus(value) for name, value in pairs if not name.startswith("$")}


def _raw_pair(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return unquote(name), value


def _shown(name: str) -> str:
    return quote(name, safe="$")


def _options(found: Mapping[str, str], entity: Entity, dialect: odata_filter.Dialect) -> Options:
    for name in found:
        if name.startswith("$") and name not in _KNOWN:
            raise errors.NotEmulatedError(f"the query option {name}")
    filter_text = found.get("$filter", "")
    return Options(
        node=odata_filter.parse(filter_text, entity, dialect) if filter_text.strip() else None,
        order=tuple(_order(found.get("$orderby", ""), entity)),
        top=_natural(found, "$top"),
        skip=_natural(found, "$skip") or 0,
        select=_select(found.get("$select"), entity),
        expand=MappingProxyType(dict(_expand(found.get("$expand", ""), entity, dialect))),
        count=_flag(found.get("$count", "false")),
    )


def _natural(found: Mapping[str, str], name: str) -> int | None:
    text = found.get(name)
    if text is None:
        return None
    if not text.isdecimal():
        raise errors.bad_request(
            f"Invalid value '{text}' for {name} query option found. A non-negative integer is due."
        )
    return int(text)


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise errors.bad_request(f"Invalid value '{text}' for $count query option found.")
    return text == "true"


def _order(text: str, entity: Entity) -> Iterator[tuple[str, bool]]:
    if not text.strip():
        return
    for part in text.split(","):
        words = part.split()
        if not words:
            raise errors.bad_request(f"Syntax error in $orderby: '{text}'.")
        if "/" in words[0] or "(" in part:
            raise errors.NotEmulatedError("a path or function in $orderby")
        name = entity.spelled(words[0])
        if entity.column(name) is None:
            raise errors.unknown_property_in_filter(words[0], entity.type_name)
        direction = words[1] if len(words) == 2 else "asc"
        if len(words) > 2 or direction not in ("asc", "desc"):
            raise errors.bad_request(f"Syntax error in $orderby: '{part.strip()}'.")
        yield name, direction == "desc"


def _select(text: str | None, entity: Entity) -> tuple[str, ...] | None:
    if text is None or text.strip() in ("", "*"):
        return None
    names = tuple(entity.spelled(name.strip()) for name in text.split(",") if name.strip())
    for name in names:
        if name == "*" or "/" in name or "(" in name:
            raise errors.NotEmulatedError(f"'{name}' in $select")
        if entity.column(name) is None and entity.nav(name) is None:
            raise errors.unknown_property_in_filter(name, entity.type_name)
    return tuple(name for name in names if entity.column(name))


def _expand(text: str, entity: Entity, dialect: odata_filter.Dialect) -> Iterator[tuple[str, Options]]:
    for part in _split(text, ","):
        name, _, rest = part.strip().partition("(")
        name = entity.spelled(name.strip())
        nav = entity.nav(name)
        if nav is None and name in UNEMULATED_NAVS:
            raise errors.NotEmulatedError(f"the navigation {name}")
        if nav is None:
            raise errors.unknown_property_in_filter(name, entity.type_name)
        if rest and not rest.rstrip().endswith(")"):
            raise errors.bad_request(f"Syntax error in $expand: '{part}'.")
        inner = rest.rstrip()[:-1] if rest else ""
        if rest and not inner.strip():
            raise errors.bad_request(f"Syntax error in $expand: '{part}'.")
        found = {}
        for option in _split(inner, ";"):
            key, _, value = option.strip().partition("=")
            found[key] = value
        yield nav.name, _options(found, entity.catalog[nav.target], dialect)


def _split(text: str, mark: str) -> Iterator[str]:
    """Split at `mark` outside of parentheses and quotes."""
    depth, quoted, start = 0, False, 0
    for at, sign in enumerate(text):
        if sign == "'":
            quoted = not quoted
        elif not quoted and sign in "()":
            depth += 1 if sign == "(" else -1
        elif sign == mark and depth == 0 and not quoted:
            yield text[start:at]
            start = at + 1
    if text[start:].strip():
        yield text[start:]
