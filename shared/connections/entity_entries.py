"""The setting BC_ENTITIES as values: its form, its members and their rules. What Business Central offers is not asked.

Pure. A wrong entry is left out with one message that names setting, entry, rule and the nearest right name; the other
entries count (design 3.3).
"""

import difflib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, cast

from shared.business_central.entities import STANDARD_ROUTE, Watch

SETTING: Final = "BC_ENTITIES"
CHANGES: Final = ("created", "updated", "deleted")
WATCHES: Final[tuple[Watch, ...]] = ("auto", "webhook", "reconcile", "off")
_SET: Final = re.compile(r"[A-Za-z]\w{0,79}", re.ASCII)
_ROUTE: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,39}(/[A-Za-z0-9][\w.-]{0,39}){2}", re.ASCII)
_EVENT: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{0,39}", re.ASCII)
_MOST: Final = 100  # entries


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry; None: not given."""

    place: int  # in the list, from 1
    entity_set: str
    route: str
    event: str | None = None
    expand: tuple[str, ...] | None = None
    select: tuple[str, ...] | None = None
    changes: frozenset[str] | None = None
    pull: bool | None = None
    watch: Watch = "auto"
    only_when_changed: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of its entity, as state and jobs have it."""
        return name_of(self.route, self.entity_set)

    def fault(self, rule: str) -> str:
        """Return the message that refuses the entry."""
        return f"{SETTING} entry {self.place} ({self.entity_set}): {rule}"


def name_of(route: str, entity_set: str) -> str:
    """Return the name of an entity: its set, behind its route unless that is Microsoft's own."""
    return entity_set if route == STANDARD_ROUTE else f"{route}/{entity_set}"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the nearest right name, "" where none is near."""
    by_lower = {one.lower(): one for one in known}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f"; did you mean '{by_lower[found[0]]}'?" if found else ""


def read_entries(text: str) -> tuple[list[Entry], list[str]]:
    """Return the entries of the setting, and a message for each that is refused."""
    if not text.strip():
        return [], []
    listed = _listed(text)
    if listed is None:
        return [], [f'{SETTING}: must be a JSON list of at most {_MOST} entries such as [{{"entitySet": "customers"}}]']
    entries: list[Entry] = []
    faults: list[str] = []
    for place, given in enumerate(listed, 1):
        try:
            entry = _entry(place, given)
        except ValueError as error:
            name = given.get("entitySet") if isinstance(given, dict) else None
            shown = f" ({name})" if isinstance(name, str) and _SET.fullmatch(name) else ""
            faults.append(f"{SETTING} entry {place}{shown}: {error}")
            continue
        twin = next((one for one in entries if one.name.lower() == entry.name.lower()), None)
        if twin is None:
            entries.append(entry)
        else:
            faults.append(entry.fault(f"entry {twin.place} is about the same entity set; write one entry for it"))
    return entries, faults


def _listed(text: str) -> list[Any] | None:
    try:
        listed = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return listed if isinstance(listed, list) and len(listed) <= _MOST else None


def _entry(place: int, given: object) -> Entry:
    """Return one entry; ValueError says all that is wrong with it."""
    if not isinstance(given, dict):
        raise ValueError('must be an object such as {"entitySet": "customers"}')  # noqa: TRY004 - one kind of refusal
    read = _Members(given)
    for name in given:
        if name not in _MEMBERS:
            read.faults.append(f"{name}: is no member of an entry{nearest(name, _MEMBERS)}")
    if "entitySet" not in given:
        read.faults.append("entitySet: is required")
    values = {field: convert(read, name) for name, (field, convert) in _MEMBERS.items() if name in given}
    if read.faults:
        raise ValueError("; ".join(read.faults))
    return Entry(place=place, **{"route": STANDARD_ROUTE, **values})


class _Members:
    """The members of one entry, each asked for with the type that it must have; faults are gathered."""

    def __init__(self, given: dict[str, Any]) -> None:
        self._given = given
        self.faults: list[str] = []

    def match(self, name: str, pattern: re.Pattern[str], rule: str) -> str:
        """Return a text that matches a pattern."""
        value = self._given[name]
        if isinstance(value, str) and pattern.fullmatch(value):
            return value
        self.faults.append(f"{name}: must be {rule}")
        return ""

    def names(self, name: str) -> tuple[str, ...]:
        """Return a list of names."""
        value = self._given[name]
        if isinstance(value, list) and all(isinstance(one, str) and _SET.fullmatch(one) for one in value):
            return tuple(dict.fromkeys(value))
        self.faults.append(f'{name}: must be a list of names such as ["number"]')
        return ()

    def words(self, name: str, known: tuple[str, ...]) -> tuple[str, ...]:
        """Return a list of some of a few words."""
        found = self.names(name)
        if self._given[name] == []:
            self.faults.append(f"{name}: must name at least one of {', '.join(known)}")
        for word in found:
            if word not in known:
                self.faults.append(f"{name}: '{word}' is not one of {', '.join(known)}{nearest(word, known)}")
        return found

    def word(self, name: str, known: tuple[str, ...]) -> str:
        """Return one of a few words."""
        value = self._given[name]
        if isinstance(value, str) and value in known:
            return value
        near = nearest(value, known) if isinstance(value, str) else ""
        self.faults.append(f"{name}: must be one of {', '.join(known)}{near}")
        return known[0]

    def flag(self, name: str) -> bool:
        """Return true or false."""
        value = self._given[name]
        if not isinstance(value, bool):
            self.faults.append(f"{name}: must be true or false")
        return value is True


def _route(read: _Members, name: str) -> str:
    if read._given[name] == STANDARD_ROUTE:  # noqa: SLF001 - one module
        return STANDARD_ROUTE
    return read.match(name, _ROUTE, f"{STANDARD_ROUTE}, or publisher/group/version such as contoso/shop/v1.0").lower()


#: Member -> field of `Entry` and how it is read.
_MEMBERS: Final[dict[str, tuple[str, Callable[[_Members, str], Any]]]] = {
    "entitySet": ("entity_set", lambda read, name: read.match(name, _SET, "the name of an entity set, as in its URL")),
    "route": ("route", _route),
    "event": ("event", lambda read, name: read.match(name, _EVENT, "a noun in letters, as in bc.item.created.v1")),
    "expand": ("expand", _Members.names),
    "select": ("select", _Members.names),
    "changes": ("changes", lambda read, name: frozenset(read.words(name, CHANGES))),
    "pull": ("pull", _Members.flag),
    "watch": ("watch", lambda read, name: cast("Watch", read.word(name, WATCHES))),
    "onlyWhenChanged": ("only_when_changed", _Members.names),
}  # fmt: skip
