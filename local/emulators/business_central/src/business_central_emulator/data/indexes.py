"""Indexes over the rows of one table: built on first use, then kept in step row by row.

An `OrderIndex` answers "in this order, from here on, up to there"; a `HashIndex` answers "which rows have this value".
A page of 20,000 out of 300,000 rows is then a slice, and a write costs one bisection.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from typing import Any

from business_central_emulator.data.casing import to_upper
from business_central_emulator.data.record import Record


class OrderIndex:
    """Rows sorted by some columns, ties broken by id, ascending."""

    def __init__(self, positions: tuple[int, ...], records: Iterable[Record]) -> None:
        self._positions = positions
        self._keys = sorted(((self.key(record), record) for record in records), key=_first)

    def key(self, record: Record) -> tuple[Any, ...]:
        """Return what the row sorts by; the id makes it unique."""
        row = record.row
        return (*[row[at] for at in self._positions], record.id)

    def add(self, record: Record) -> None:
        """Put a row in its place."""
        insort(self._keys, (self.key(record), record), key=_first)

    def remove(self, record: Record, key: tuple[Any, ...]) -> None:
        """Take the row out that sits under `key`."""
        at = bisect_left(self._keys, key, key=_first)
        if at < len(self._keys) and self._keys[at][1] is record:
            del self._keys[at]

    def span(self, low: Any = None, high: Any = None, *, low_open: bool = False, high_open: bool = False) -> range:
        """Return the places whose first column lies between the bounds (None = unbounded)."""
        start, stop = 0, len(self._keys)
        if low is not None:
            start = (bisect_right if low_open else bisect_left)(self._keys, low, key=_leading)
        if high is not None:
            stop = (bisect_left if high_open else bisect_right)(self._keys, high, key=_leading)
        return range(start, max(start, stop))

    def after(self, key: tuple[Any, ...]) -> int:
        """Return the place behind `key`, whether or not it is still there."""
        return bisect_right(self._keys, key, key=_first)

    def at(self, place: int) -> Record:
        """Return the row at a place."""
        return self._keys[place][1]

    def __len__(self) -> int:
        return len(self._keys)


class HashIndex:
    """Ids of the rows by the value of one column, in insertion order."""

    def __init__(self, position: int, records: Iterable[Record]) -> None:
        self.position = position
        self._ids: dict[Any, dict[str, None]] = {}
        for record in records:
            self.add(record.row[position], record.id)

    def add(self, value: Any, record_id: str) -> None:
        """Note that the row has the value."""
        self._ids.setdefault(_fold(value), {})[record_id] = None

    def remove(self, value: Any, record_id: str) -> None:
        """Forget that the row had the value."""
        ids = self._ids.get(_fold(value))
        if ids is not None:
            ids.pop(record_id, None)
            if not ids:
                del self._ids[_fold(value)]

    def ids(self, value: Any) -> list[str]:
        """Return the ids of the rows with the value (texts without regard to case)."""
        return list(self._ids.get(_fold(value), ()))


def _first(entry: tuple[tuple[Any, ...], Record]) -> tuple[Any, ...]:
    return entry[0]


def _leading(entry: tuple[tuple[Any, ...], Record]) -> Any:
    return entry[0][0]


def _fold(value: Any) -> Any:
    return to_upper(value) if isinstance(value, str) else value
