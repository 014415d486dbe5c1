"""Value conventions of the API: how a stored value is written to JSON, and how a sent value becomes a stored one.

Nothing is ever null: empty text, zero GUID, `0001-01-01` and `0001-01-01T00:00:00Z` stand for "no value". Stored are
str, bool, int, Decimal and aware datetimes (dates as ISO text, which sorts as dates do).
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from business_central_emulator.data import errors
from business_central_emulator.data.casing import to_upper
from business_central_emulator.data.clock import EMPTY_DATETIME, to_ms
from business_central_emulator.data.schema import EDM, EMPTY_DATE, ENUMS, ZERO_GUID, Column, Kind

GUID_PATTERN: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
MAX_DECIMAL: Final = Decimal(2**96 - 1)  # of .NET's Decimal
_DATETIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d)?)(\.\d+)?(Z|[+-]\d\d:\d\d)")
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")


def default_of(column: Column) -> Any:
    """Return the AL default of a property."""
    match column.kind:
        case Kind.TEXT | Kind.CODE:
            return ""
        case Kind.GUID:
            return ZERO_GUID
        case Kind.DECIMAL:
            return Decimal(0)
        case Kind.BOOLEAN:
            return False
        case Kind.INT32 | Kind.INT64:
            return 0
        case Kind.DATE:
            return EMPTY_DATE
        case Kind.DATETIME:
            return EMPTY_DATETIME
        case Kind.ENUM:
            return ENUMS[column.enum][0]


def format_datetime(moment: datetime) -> str:
    """Write a time as BC does: UTC, up to three fraction digits, trailing zeros trimmed."""
    millis = moment.microsecond // 1000
    # %Y does not pad years below 1000 on every platform
    text = (
        f"{moment.year:04d}-{moment.month:02d}-{moment.day:02d}"
        f"T{moment.hour:02d}:{moment.minute:02d}:{moment.second:02d}"
    )
    return text + (f".{millis:03d}".rstrip("0") if millis else "") + "Z"


def parse_datetime(text: str) -> datetime:
    """Read a DateTimeOffset literal; digits beyond milliseconds are cut.

    Raises:
        ValueError: not a time with an offset.
    """
    found = _DATETIME.fullmatch(text)
    if found is None:
        raise ValueError(f"not a DateTimeOffset: {text}")
    moment = datetime.fromisoformat(found[1] + (found[2] or "")[:7] + found[3].replace("Z", "+00:00"))
    if moment.year == 1:
        return moment.replace(tzinfo=UTC)
    return to_ms(moment.astimezone(UTC))


def format_decimal(number: Decimal) -> str:
    """Write a decimal without an exponent, with the digits it carries."""
    return format(number, "f")


def _write_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _write_quoted(value: Any) -> str:
    return f'"{value}"'


WRITERS: Final[dict[Kind, Callable[[Any], str]]] = {
    Kind.TEXT: _write_text,
    Kind.CODE: _write_text,
    Kind.GUID: _write_quoted,
    Kind.DECIMAL: format_decimal,
    Kind.BOOLEAN: lambda value: "true" if value else "false",
    Kind.INT32: str,
    Kind.INT64: str,
    Kind.DATE: _write_quoted,
    Kind.DATETIME: lambda value: f'"{format_datetime(value)}"',
    Kind.ENUM: _write_quoted,
}


def dump_exact(value: Any) -> str:
    """Write parsed JSON back with every digit of its decimals (`json.dumps` has no way to)."""
    if isinstance(value, Decimal):
        return format_decimal(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_write_text(str(key))}:{dump_exact(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(dump_exact(one) for one in value) + "]"
    return _write_text(value)


def plain(value: Any) -> Any:
    """Return a stored value as something `json.dumps` takes, for the control API."""
    if isinstance(value, datetime):
        return format_datetime(value)
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def decode_enum(member: str) -> str:
    """Return the caption of an encoded member: `In_x0020_Review` is `In Review`, `_x0020_` is a space."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), member)


def parse_enum(column: Column, text: str) -> str:
    """Return the encoded member for an encoded name or a caption.

    Raises:
        ApiError: 400 `Unknown`, the members named as in the documented batch sample.
    """
    members = ENUMS[column.enum]
    for member in members:
        if text in (member, decode_enum(member)):
            return member
    options = ",".join(decode_enum(member) for member in members)
    raise errors.ApiError(400, "Unknown", f"'{text}' is not an option. The existing options are: {options}")


def parse_json(column: Column, value: Any) -> Any:
    """Turn a JSON value of a request body into the stored value; codes are trimmed and upper-cased.

    Raises:
        ApiError: wrong type, unknown enum member, text too long.
    """
    if value is None:
        return default_of(column)
    try:
        return _parse_json(column, value)
    except (ValueError, TypeError, InvalidOperation):
        shown = value if isinstance(value, str) else json.dumps(value, default=str)
        raise errors.bad_request(
            f"Cannot convert the literal '{shown}' to the expected type '{EDM.get(column.kind, column.enum)}'."
        ) from None


def _parse_json(column: Column, value: Any) -> Any:
    accepted = _ACCEPTED[column.kind]
    if not isinstance(value, accepted) or (isinstance(value, bool) and accepted is not bool):
        raise TypeError
    return _PARSERS[column.kind](column, value)


def _parse_guid(_column: Column, value: str) -> str:
    if not GUID_PATTERN.fullmatch(value):
        raise ValueError
    return value.lower()


def _parse_decimal(value: int | Decimal) -> Decimal:
    """Return a decimal as .NET's Decimal holds it: 28 digits, below 2**96."""
    number = Decimal(value)
    if not number.is_finite() or number.copy_abs() > MAX_DECIMAL:
        raise ValueError
    return number if len(number.as_tuple().digits) <= 29 else +number


def _within(value: int, bits: int) -> int:
    if not -(2**bits) <= value < 2**bits:
        raise ValueError
    return value


def _fit(column: Column, value: str) -> str:
    if column.kind is Kind.CODE:
        value = to_upper(value.strip())
    if column.length and len(value) > column.length:
        raise errors.too_long(value, column.length)
    return value


_ACCEPTED: Final[dict[Kind, Any]] = {
    Kind.DECIMAL: (int, Decimal),
    Kind.BOOLEAN: bool,
    Kind.INT32: int,
    Kind.INT64: int,
} | dict.fromkeys((Kind.TEXT, Kind.CODE, Kind.GUID, Kind.DATE, Kind.DATETIME, Kind.ENUM), str)
_PARSERS: Final[dict[Kind, Callable[[Column, Any], Any]]] = {
    Kind.TEXT: _fit,
    Kind.CODE: _fit,
    Kind.GUID: _parse_guid,
    Kind.DECIMAL: lambda _column, value: _parse_decimal(value),
    Kind.BOOLEAN: lambda _column, value: value,
    Kind.INT32: lambda _column, value: _within(value, 31),
    Kind.INT64: lambda _column, value: _within(value, 63),
    Kind.DATE: lambda _column, value: date.fromisoformat(value).isoformat(),
    Kind.DATETIME: lambda _column, value: parse_datetime(value),
    Kind.ENUM: parse_enum,
}
