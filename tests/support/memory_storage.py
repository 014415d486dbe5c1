"""Tables in memory: the twin of `azure_tables`, held to the same contract tests and used by simulations.

Owns real etags, key order, all-or-nothing transactions and two hooks through which a fault test crashes a writer just
before or just after a write took effect. Thread-safe; a write costs a few microseconds.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Lock
from types import MappingProxyType

from shared.errors import StateConflict
from shared.storage.table import Change, Delete, Insert, Replace, Row, Table
from shared.storage.table_rules import check_changes, check_key, check_row, check_versioned

#: Called with "<table>.<operation>", for example "BcOrders.insert"; what it raises reaches the caller of the write.
type Hook = Callable[[str], None]
_PAGE_ROWS = 1000  # as the service: a query sees later rows as they are when it gets there


@dataclass
class MemoryTables:
    """All tables of one storage account. `before` and `after` a write, and `reading`, may be set at any time."""

    before: Hook | None = None
    after: Hook | None = None
    reading: Hook | None = None
    _tables: dict[str, "MemoryTable"] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def table(self, name: str) -> Table:
        """Return the table of that name; it exists from its first use."""
        with self._lock:
            return self._tables.setdefault(name, MemoryTable(name, self))


@dataclass
class _Partition:
    keys: list[str] = field(default_factory=list)  # sorted
    rows: dict[str, Row] = field(default_factory=dict)

    def put(self, row: Row) -> None:
        if row.key not in self.rows:
            insort(self.keys, row.key)
        self.rows[row.key] = row

    def drop(self, key: str) -> None:
        if self.rows.pop(key, None) is not None:
            del self.keys[bisect_left(self.keys, key)]


class MemoryTable:
    """One table; see `shared.storage.table.Table` for the contract."""

    def __init__(self, name: str = "table", tables: MemoryTables | None = None) -> None:
        """Take the hooks of `tables`; a table of its own has none until it is given some."""
        self._name = name
        self._hooks = tables or MemoryTables()
        self._partitions: dict[str, _Partition] = {}
        self._version = 0
        self._lock = Lock()

    def get(self, partition: str, key: str) -> Row | None:
        """Return the row, or None."""
        check_key(partition)
        check_key(key)
        self._read("get")
        with self._lock:
            rows = self._partitions.get(partition)
            return rows.rows.get(key) if rows else None

    def query(self, partition: str, low: str = "", high: str = "", *, limit: int | None = None) -> Iterator[Row]:
        """Yield rows of a partition with low <= key < high in key order."""
        check_key(partition)
        if limit is not None and limit < 0:
            raise ValueError("limit is 0 or more")
        self._read("query")
        return self._pages(partition, low, high, limit)

    def _read(self, operation: str) -> None:
        if self._hooks.reading is not None:
            self._hooks.reading(f"{self._name}.{operation}")

    def insert(self, row: Row) -> Row:
        """Create a row; StateConflict when it exists."""
        checked = check_row(row)
        return self._write("insert", partial(self._put, checked, self._absent))

    def replace(self, row: Row) -> Row:
        """Replace a row that still has `row.etag`; StateConflict if not."""
        checked = check_versioned(row)
        return self._write("replace", partial(self._put, checked, self._current))

    def upsert(self, row: Row) -> Row:
        """Create or replace a row."""
        checked = check_row(row)
        return self._write("upsert", partial(self._put, checked))

    def delete(self, partition: str, key: str) -> None:
        """Delete a row, or find it gone."""
        check_key(partition)
        check_key(key)
        self._write("delete", partial(self._drop, partition, key))

    def write(self, changes: Sequence[Change]) -> list[str]:
        """Apply all changes or none and return the new etags; StateConflict if any fails."""
        checked = check_changes(changes)
        return self._write("write", partial(self._apply, checked)) if checked else []

    def _write[T](self, operation: str, effect: Callable[[], T]) -> T:
        if self._hooks.before is not None:
            self._hooks.before(f"{self._name}.{operation}")
        with self._lock:
            result = effect()
        if self._hooks.after is not None:
            self._hooks.after(f"{self._name}.{operation}")
        return result

    def _apply(self, changes: Sequence[Change]) -> list[str]:
        for change in changes:
            row = change.row
            if isinstance(change, Insert):
                self._absent(row)
            elif isinstance(change, Replace) or (isinstance(change, Delete) and row.etag):
                self._current(row)
            elif isinstance(change, Delete) and self._stored(row.partition, row.key) is None:
                raise StateConflict("a row to delete is gone")
        etags: list[str] = []
        for change in changes:
            if isinstance(change, Delete):
                self._drop(change.row.partition, change.row.key)
                etags.append("")
            else:
                etags.append(self._put(change.row).etag)
        return etags

    def _stored(self, partition: str, key: str) -> Row | None:
        rows = self._partitions.get(partition)
        return rows.rows.get(key) if rows else None

    def _absent(self, row: Row) -> None:
        if self._stored(row.partition, row.key) is not None:
            raise StateConflict("a row to insert exists")

    def _current(self, row: Row) -> None:
        stored = self._stored(row.partition, row.key)
        if stored is None or stored.etag != row.etag:
            raise StateConflict("a row is gone or was changed")

    def _put(self, row: Row, demand: Callable[[Row], None] | None = None) -> Row:
        if demand is not None:
            demand(row)
        self._version += 1
        stored = replace(row, values=MappingProxyType(dict(row.values)), etag=f'W/"{self._version}"')
        self._partitions.setdefault(row.partition, _Partition()).put(stored)
        return stored

    def _drop(self, partition: str, key: str) -> None:
        if (rows := self._partitions.get(partition)) is not None:
            rows.drop(key)

    def _pages(self, partition: str, low: str, high: str, limit: int | None) -> Iterator[Row]:
        left = limit
        while left is None or left > 0:
            wanted = _PAGE_ROWS if left is None else min(left, _PAGE_ROWS)
            page = self._page(partition, low, high, wanted)
            yield from page
            if len(page) < wanted:
                return
            low = page[-1].key + "\0"  # the next possible key
            left = None if left is None else left - len(page)

    def _page(self, partition: str, low: str, high: str, wanted: int) -> list[Row]:
        with self._lock:
            found = self._partitions.get(partition)
            if found is None:
                return []
            start = bisect_left(found.keys, low)
            end = bisect_left(found.keys, high) if high else len(found.keys)
            return [found.rows[key] for key in found.keys[start : min(end, start + wanted)]]
