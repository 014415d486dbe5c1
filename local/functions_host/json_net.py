"""JSON as Newtonsoft's Json.NET reads and writes it, which is what the host takes messages apart with. Pure.

It reads more than JSON: comments, single quotes, bare names, NaN, a comma before the end. It takes text that looks like
an ISO time for a time, and refuses more than 64 levels. Numbers and times come out in .NET's forms.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

MAX_DEPTH: Final = 64

_BLANK = re.compile(r"(?:\s|/\*.*?\*/|//[^\n]*)*", re.DOTALL)
_NUMBER = re.compile(r"-?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)")
_WORD = re.compile(r"-?[A-Za-z_$][\w$]*")
_TEXT = {quote: re.compile(rf"{quote}((?:[^{quote}\\]|\\.)*){quote}", re.DOTALL) for quote in "\"'"}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "\\": "\\", "/": "/", '"': '"', "'": "'"}
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,7})?(?:Z|[+-]\d{2}:\d{2})?")
_WORDS: Final[dict[str, object]] = {
    "true": True, "false": False, "null": None, "undefined": None,
    "NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Time:
    """A text that Json.NET took for a time."""

    moment: datetime
    kind: str  # "Z", "local" (an offset was given: converted to the process's zone, UTC in Azure) or ""

    def as_text(self) -> str:
        """Return it as .NET's ToString with the invariant culture does."""
        return self.moment.strftime("%m/%d/%Y %H:%M:%S")

    def as_json(self) -> str:
        """Return it as Json.NET writes it."""
        fraction = f"{self.moment.microsecond:06d}".rstrip("0")
        ends = {"Z": "Z", "local": "+00:00", "": ""}[self.kind]
        return f"{self.moment:%Y-%m-%dT%H:%M:%S}{'.' + fraction if fraction else ''}{ends}"


def read(text: str) -> Any:
    """Return the value of a JSON text: dict, list, str, int, float, bool, None or `Time`.

    Raises:
        ValueError: not JSON even by Json.NET's rules, or deeper than 64 levels.
    """
    value, end = _value(text, _blank(text, 0), 0)
    if _blank(text, end) != len(text):
        raise ValueError(f"something follows the JSON at {end}")
    return value


def write(value: Any, *, indent: bool) -> str:
    """Return a value as Json.NET writes it, indented by two or compact."""
    return _written(value, "\n" if indent else "")


def as_text(value: Any) -> str:
    """Return a value as .NET's ToString gives it: True, 1E-08, a time in US form; containers are indented JSON."""
    match value:
        case None:
            return ""
        case bool() | int() | str():
            return str(value)
        case float():
            return _double(value)
        case Time():
            return value.as_text()
    return write(value, indent=True)


def _blank(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _value(text: str, at: int, depth: int) -> tuple[Any, int]:
    start = text[at : at + 1]
    if start in {"{", "["}:
        if depth >= MAX_DEPTH:
            raise ValueError(f"deeper than {MAX_DEPTH} levels")
        return _object(text, at + 1, depth + 1) if start == "{" else _array(text, at + 1, depth + 1)
    if start in _TEXT:
        content, end = _quoted(text, at)
        return _maybe_time(content), end
    if found := _NUMBER.match(text, at):
        return _number(found.group()), found.end()
    if (found := _WORD.match(text, at)) and found.group() in _WORDS:
        return _WORDS[found.group()], found.end()
    raise ValueError(f"no JSON value at {at}")


def _object(text: str, at: int, depth: int) -> tuple[dict[str, Any], int]:
    members: dict[str, Any] = {}
    at = _blank(text, at)
    while text[at : at + 1] != "}":
        if text[at : at + 1] in _TEXT:
            name, at = _quoted(text, at)
        elif found := _WORD.match(text, at):
            name, at = found.group(), found.end()
        else:
            raise ValueError(f"no member name at {at}")
        at = _blank(text, at)
        if text[at : at + 1] != ":":
            raise ValueError(f"no colon at {at}")
        members[name], at = _value(text, _blank(text, at + 1), depth)
        at = _next(text, at, "}")
    return members, at + 1


def _array(text: str, at: int, depth: int) -> tuple[list[Any], int]:
    elements: list[Any] = []
    at = _blank(text, at)
    while text[at : at + 1] != "]":
        element, at = _value(text, at, depth)
        elements.append(element)
        at = _next(text, at, "]")
    return elements, at + 1


def _next(text: str, at: int, end: str) -> int:
    at = _blank(text, at)
    if text[at : at + 1] == ",":
        return _blank(text, at + 1)
    if text[at : at + 1] != end:
        raise ValueError(f"neither comma nor {end} at {at}")
    return at


def _quoted(text: str, at: int) -> tuple[str, int]:
    found = _TEXT[text[at]].match(text, at)
    if found is None:
        raise ValueError(f"text that does not end at {at}")
    content = _ESCAPE.sub(_unescaped, found.group(1))
    # Two escapes can make one character beyond the first 65,536.
    return content.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass"), found.end()


def _unescaped(match: re.Match[str]) -> str:
    escape = match.group(1)
    if escape[0] == "u" and len(escape) == 5:
        return chr(int(escape[1:], 16))
    if escape not in _ESCAPES:
        raise ValueError(f"bad escape \\{escape}")
    return _ESCAPES[escape]


def _maybe_time(text: str) -> "str | Time":
    if not _TIME.fullmatch(text):
        return text
    try:
        moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d", r"\1", text))
    except ValueError:
        return text
    if moment.tzinfo is None:
        return Time(moment, "")
    return Time(moment.astimezone(UTC), "Z" if text.endswith("Z") else "local")


def _number(text: str) -> int | float:
    if text[:3].lower().lstrip("-").startswith("0x"):
        return int(text, 16)
    return float(text) if set(text) & set(".eE") else int(text)


def _double(value: float) -> str:
    """Return a double in .NET's shortest form: 1, 100000, 1E-08, 1.5E+20."""
    if value != value or value in {float("inf"), float("-inf")}:  # noqa: PLR0124 - only NaN differs from itself
        return {float("inf"): "Infinity", float("-inf"): "-Infinity"}.get(value, "NaN")
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    text = "".join(map(str, digits))
    point = len(text) + int(exponent)  # where the decimal point stands among the digits
    minus = "-" if sign else ""
    if value == 0:
        return minus + "0"
    if -4 < point <= 15:
        if point <= 0:
            return f"{minus}0.{'0' * -point}{text}"
        text = text.ljust(point, "0")
        return minus + (f"{text[:point]}.{text[point:]}" if len(text) > point else text)
    head = text[0] + ("." + text[1:] if len(text) > 1 else "")
    return f"{minus}{head}E{'+' if point > 0 else '-'}{abs(point - 1):02d}"


def _written(value: Any, line: str) -> str:
    match value:
        case dict():
            members = [f"{json.dumps(name, ensure_ascii=False)}:{line and ' '}" for name in value]
            return _container(
                "{",
                [m + _written(v, line and line + "  ") for m, v in zip(members, value.values(), strict=True)],
                "}",
                line,
            )
        case list():
            return _container("[", [_written(element, line and line + "  ") for element in value], "]", line)
        case Time():
            return f'"{value.as_json()}"'
        case float():
            text = _double(value)
            return text if {".", "E", "N", "y"} & set(text) else text + ".0"
    return json.dumps(value, ensure_ascii=False)


def _container(start: str, parts: list[str], end: str, line: str) -> str:
    if not parts:
        return start + end
    inner = line and line + "  "
    return start + inner + ("," + inner).join(parts) + line + end
