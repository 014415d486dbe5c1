"""Matches a request path with the routes of the app. Pure.

Templates are ASP.NET's: ``orders/{id:int}``, ``{name?}``, ``{name=default}``, ``{*rest}``, ``{file}.{kind}``. Literals
match whatever their case. The method is part of the match, so a wrong method is a 404 and never a 405.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Final
from uuid import UUID

Check = Callable[[str], bool]

_PARAMETER = re.compile(
    r"\{(?P<rest>\*{0,2})(?P<name>\w+)(?P<checks>(?::(?:[^(){}?=]+(?:\(.*?\))?))*)(?P<end>\?|=[^}]*)?\}"
)
_CHECK = re.compile(r":([a-zA-Z]+)(?:\((.*?)\))?(?=:|$)")


def _whole(low: int, high: int) -> Check:
    def check(text: str) -> bool:
        return re.fullmatch(r"[+-]?\d+", text) is not None and low <= int(text) <= high

    return check


def _parses(parse: Callable[[str], object]) -> Check:
    def check(text: str) -> bool:
        try:
            parse(text)
        except (ValueError, InvalidOperation):
            return False
        return True

    return check


_PLAIN_CHECKS: Final[Mapping[str, Check]] = {
    "int": _whole(-(2**31), 2**31 - 1),
    "long": _whole(-(2**63), 2**63 - 1),
    "bool": lambda text: text.casefold() in {"true", "false"},
    "alpha": lambda text: re.fullmatch(r"[a-zA-Z]*", text) is not None,
    "guid": _parses(UUID),
    "decimal": _parses(Decimal),
    "double": _parses(float),
    "float": _parses(float),
    "datetime": _parses(datetime.fromisoformat),
    "required": bool,
}


def _check(name: str, argument: str | None) -> Check:
    if argument is None:
        if name in _PLAIN_CHECKS:
            return _PLAIN_CHECKS[name]
        raise ValueError(f"unknown constraint {name!r}")
    if name == "regex":
        pattern = re.compile(argument, re.IGNORECASE)
        return lambda text: pattern.search(text) is not None
    numbers = [int(part) for part in argument.split(",")]
    low, high = numbers[0], numbers[-1]
    match name, len(numbers):
        case ("length", 1 | 2):
            return lambda text: low <= len(text) <= high
        case ("minlength", 1):
            return lambda text: len(text) >= low
        case ("maxlength", 1):
            return lambda text: len(text) <= low
        case ("min", 1):
            return _whole(low, 2**63 - 1)
        case ("max", 1):
            return _whole(-(2**63), low)
        case ("range", 2):
            return _whole(low, high)
    raise ValueError(f"unknown constraint {name}({argument})")


@dataclass(frozen=True)
class _Segment:
    """One part of a template between slashes."""

    pattern: re.Pattern[str]
    checks: tuple[tuple[str, Check], ...] = ()
    optional: str | None = None  # name of a parameter that may be missing with its segment
    default: str | None = None
    catch_all: str | None = None  # name of the parameter that takes the rest


@dataclass(frozen=True)
class Route:
    """One route: a template and the methods it is for."""

    template: str
    methods: frozenset[str] | None  # upper case; None = any
    _segments: tuple[_Segment, ...] = field(repr=False)

    @classmethod
    def parse(cls, template: str, methods: Iterable[str] | None) -> "Route":
        """Read a template.

        Raises:
            ValueError: a template that ASP.NET refuses or a constraint this host does not know.
        """
        segments = tuple(_segment(part) for part in template.strip("/").split("/") if part)
        for segment in segments[:-1]:
            if segment.catch_all or segment.optional:
                raise ValueError(f"{template!r}: only the last segment can be optional or take the rest")
        return cls(template, frozenset(name.upper() for name in methods) if methods else None, segments)

    def is_same(self, other: "Route") -> bool:
        """Tell whether another route has this template and one of its methods."""
        if self.template.casefold() != other.template.casefold():
            return False
        return self.methods is None or other.methods is None or bool(self.methods & other.methods)

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """Return the route values of a decoded path, None if this route is not meant."""
        if self.methods is not None and method.upper() not in self.methods:
            return None
        inner = path.removeprefix("/").removesuffix("/")
        parts = inner.split("/") if inner else []
        values: dict[str, str] = {}
        for index, segment in enumerate(self._segments):
            if segment.catch_all:
                rest = "/".join(parts[index:])
                if rest:
                    values[segment.catch_all] = rest
                return values if _passes(segment, values) else None
            if index >= len(parts):
                if segment.optional is None:
                    return None
                if segment.default is not None:
                    values[segment.optional] = segment.default
                continue
            found = segment.pattern.fullmatch(parts[index])
            if found is None:
                return None
            values.update(found.groupdict())
            if not _passes(segment, values):
                return None
        return values if len(parts) <= len(self._segments) else None


def _passes(segment: _Segment, values: Mapping[str, str]) -> bool:
    return all(check(values[name]) for name, check in segment.checks if name in values)


def _segment(text: str) -> _Segment:
    pattern = ""
    checks: list[tuple[str, Check]] = []
    position = 0
    optional = default = catch_all = None
    for match in _PARAMETER.finditer(text):
        pattern += re.escape(text[position : match.start()])
        position = match.end()
        name, end = match["name"], match["end"]
        constraints = list(_CHECK.finditer(match["checks"]))
        if "".join(found.group(0) for found in constraints) != match["checks"]:
            raise ValueError(f"{text!r} has a constraint that cannot be read")
        checks += [(name, _check(found.group(1).lower(), found.group(2))) for found in constraints]
        pattern += f"(?P<{name}>[\\s\\S]+?)"
        if match["rest"]:
            catch_all = name
        if end:
            optional, default = name, end[1:] if end.startswith("=") else None
    pattern += re.escape(text[position:])
    if "{" in _PARAMETER.sub("", text) or "}" in _PARAMETER.sub("", text):
        raise ValueError(f"{text!r} is not a valid route segment")
    if (catch_all or optional) and pattern != f"(?P<{catch_all or optional}>[\\s\\S]+?)":
        raise ValueError(f"{text!r}: an optional or catch-all parameter must be a whole segment")
    return _Segment(re.compile(pattern, re.IGNORECASE), tuple(checks), optional, default, catch_all)
