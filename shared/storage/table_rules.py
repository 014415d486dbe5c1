"""What Table Storage accepts, checked before a call leaves, so that the real table and its in-memory twin refuse alike.

Owns the limits and the normal form of a row. A breach is a mistake of the caller and raises ValueError; that a row has
grown too large its caller may not know before, and can mend.
Source: "Understanding the Table service data model" and "Performing entity group transactions" (Microsoft Learn).
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from shared.errors import RowTooLarge
from shared.storage.table import Change, Delete, Replace, Row, Value

MAX_CHANGES: Final = 100
MAX_TRANSACTION_BYTES: Final = 4 * 1024 * 1024
MAX_ROW_BYTES: Final = 1024 * 1024
MAX_PROPERTIES: Final = 252
MAX_TEXT_UNITS: Final = 32 * 1024  # UTF-16 code units
MAX_BYTES: Final = 64 * 1024
EARLIEST: Final = datetime(1601, 1, 1, tzinfo=UTC)  # an Edm.DateTime begins here; BC's year-0001 stamps do not fit

_KEY: Final = re.compile(r"[^/\\#?\x00-\x1f\x7f-\x9f]{1,512}")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_RESERVED: Final = frozenset({"PartitionKey", "RowKey", "Timestamp"})
_PART_OVERHEAD: Final = 1024  # bytes of boundary, headers and URL around one change, keys apart


def check_key(key: str) -> None:
    """Raise ValueError unless `key` may be a partition or row key."""
    if _KEY.fullmatch(key) is None or (not key.isascii() and _units(key) > 512):
        raise ValueError("a key is 1 to 512 characters without / \\ # ? and control characters")


def check_row(row: Row) -> Row:
    """Return the row with its values in normal form (plain types, times in UTC).

    Raises:
        ValueError: a key, name or value that Table Storage does not take.
        RowTooLarge: it holds more than 1 MiB.
    """
    check_key(row.partition)
    check_key(row.key)
    if len(row.values) > MAX_PROPERTIES:
        raise ValueError(f"a row holds at most {MAX_PROPERTIES} properties")
    values: dict[str, Value] = {}
    size = 4 + 2 * (len(row.partition) + len(row.key))
    for name, value in row.values.items():
        _check_name(name)
        values[name], value_size = _normal(name, value)
        size += 8 + 2 * len(name) + value_size
    if size > MAX_ROW_BYTES:
        raise RowTooLarge(f"row {row.partition} {row.key}: {size} bytes, and a table row holds at most {MAX_ROW_BYTES}")
    return replace(row, values=values)


def check_versioned(row: Row) -> Row:
    """As `check_row`, for a row that is to replace the version it was read at."""
    if not row.etag:
        raise ValueError("replace needs the etag the row was read with")
    return check_row(row)


def check_changes(changes: Sequence[Change]) -> list[Change]:
    """Return the changes of one transaction with their rows in normal form.

    Raises:
        ValueError: over 100 changes or 4 MiB, two partitions, one row twice, or a bad row.
        RowTooLarge: as `check_row`.
    """
    if len(changes) > MAX_CHANGES:
        raise ValueError(f"a transaction takes at most {MAX_CHANGES} changes")
    if len({change.row.partition for change in changes}) > 1:
        raise ValueError("a transaction changes rows of one partition")
    if len({change.row.key for change in changes}) != len(changes):
        raise ValueError("a transaction changes each row once")
    checked = [_check_change(change) for change in changes]
    if sum(_wire_bytes(change) for change in checked) >= MAX_TRANSACTION_BYTES:
        raise ValueError("a transaction is below 4 MiB")
    return checked


def _check_change(change: Change) -> Change:
    if isinstance(change, Delete):
        check_key(change.row.partition)
        check_key(change.row.key)
        return change
    return replace(change, row=check_versioned(change.row) if isinstance(change, Replace) else check_row(change.row))


@lru_cache(maxsize=1024)
def _check_name(name: str) -> None:
    if _NAME.fullmatch(name) is None or name in _RESERVED:
        raise ValueError(f"{name!r} cannot name a property")


def _normal(name: str, value: object) -> tuple[Value, int]:
    """Return the value as a plain type and its stored size in bytes."""
    if isinstance(value, str):
        units = len(value) if value.isascii() else _units(value)
        _demand(units <= MAX_TEXT_UNITS, name, "a text is at most 32 Ki characters")
        return str(value), 4 + 2 * units
    if isinstance(value, bool):
        return value, 1
    if isinstance(value, int):
        _demand(-(2**63) <= value < 2**63, name, "a whole number has at most 64 bits")
        return int(value), 8
    if isinstance(value, datetime):
        _demand(value.tzinfo is not None, name, "a time needs its zone")
        _demand(value >= EARLIEST, name, "a time before 1601 cannot be stored")
        return value.astimezone(UTC), 8
    if isinstance(value, bytes):
        _demand(len(value) <= MAX_BYTES, name, "binary is at most 64 KiB")
        return bytes(value), 4 + len(value)
    if isinstance(value, float):
        _demand(math.isfinite(value), name, "a number must be finite")
        return float(value), 8
    raise ValueError(f"{name}: {type(value).__name__} cannot be stored")


def _demand(holds: bool, name: str, rule: str) -> None:
    if not holds:
        raise ValueError(f"{name}: {rule}")


def _units(text: str) -> int:
    """Return the number of UTF-16 code units; UnicodeEncodeError, a ValueError, for a lone surrogate."""
    return len(text.encode("utf-16-le")) // 2


def _wire_bytes(change: Change) -> int:
    """Return an upper bound of what a change takes in a transaction's body: JSON, its type notes, and the frame."""
    total = _PART_OVERHEAD + 8 * (len(change.row.partition) + len(change.row.key))  # keys: body, and quoted in the URL
    if isinstance(change, Delete):
        return total
    for name, value in change.row.values.items():
        total += 2 * len(name) + 48
        if isinstance(value, str):
            total += len(json.dumps(value))
        elif isinstance(value, bytes):
            total += (len(value) + 2) // 3 * 4
        else:
            total += 32
    return total
