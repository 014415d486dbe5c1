"""Tables in memory, and transactions that can be rolled back or committed late.

A change goes through `Transaction`; it keeps what each row was and becomes, so that a failing request leaves nothing
behind and a "late commit" fault can take a finished write back and apply it minutes later.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from business_central_emulator.data.indexes import HashIndex, OrderIndex
from business_central_emulator.data.record import Record
from business_central_emulator.data.schema import Entity
from business_central_emulator.data.values import default_of

MAX_ORDER_INDEXES: Final = 8
MAX_LAG: Final = timedelta(hours=1)  # how far a replica can be behind in this emulator


@dataclass(frozen=True, slots=True)
class Past:
    """What a committed change replaced (None = the row was not there)."""

    at: datetime
    record: Record
    before: list[Any] | None
    version: int


class Table:
    """All rows of one entity set in one company."""

    def __init__(self, entity: Entity) -> None:
        self.entity = entity
        self.records: dict[str, Record] = {}
        self.origin: Table | None = None  # of a replica's view: the table it was taken from
        self.past: deque[Past] = deque()  # what committed changes replaced, the newest last; for lagging replicas
        self._orders: dict[tuple[str, ...], OrderIndex] = {}
        self._hashes: dict[str, HashIndex] = {}

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records.values())

    def get(self, record_id: str) -> Record | None:
        """Return the row with this id, or None."""
        return self.records.get(record_id)

    def order(self, names: Sequence[str]) -> OrderIndex:
        """Return the index for this ascending order, built at first use."""
        key = tuple(names)
        found = self._orders.get(key)
        if found is None:
            if len(self._orders) >= MAX_ORDER_INDEXES:
                del self._orders[next(iter(self._orders))]
            positions = tuple(self.entity.position[name] for name in key)
            found = self._orders[key] = OrderIndex(positions, self.records.values())
        return found

    def where(self, name: str, value: Any) -> list[Record]:
        """Return the rows whose property has the value, by a hash index built at first use."""
        index = self._hashes.get(name)
        if index is None:
            index = self._hashes[name] = HashIndex(self.entity.position[name], self.records.values())
        return [self.records[record_id] for record_id in index.ids(value)]

    def find(self, name: str, value: Any) -> Record | None:
        """Return the first row whose property has the value, or None."""
        return next(iter(self.where(name, value)), None)

    def the(self, name: str, value: Any) -> Record:
        """Return the first row whose property has the value.

        Raises:
            LookupError: there is none.
        """
        found = self.find(name, value)
        if found is None:
            raise LookupError(f"no {self.entity.name} whose {name} is {value}")
        return found

    def remember(self, past: Past) -> None:
        """Keep what a committed change replaced, as long as a replica may lag."""
        self.past.append(past)
        while self.past[0].at < past.at - MAX_LAG:
            self.past.popleft()

    def put(self, record: Record) -> None:
        """Add a row to the table and its indexes."""
        self.records[record.id] = record
        for order in self._orders.values():
            order.add(record)
        for index in self._hashes.values():
            index.add(record.row[index.position], record.id)

    def drop(self, record: Record) -> None:
        """Take a row out of the table and its indexes."""
        del self.records[record.id]
        for order in self._orders.values():
            order.remove(record, order.key(record))
        for index in self._hashes.values():
            index.remove(record.row[index.position], record.id)

    def replace_row(self, record: Record, row: list[Any]) -> None:
        """Give a row new values and keep the indexes in step."""
        orders = [(order, order.key(record)) for order in self._orders.values()]
        old, record.row, record.rendered = record.row, row, None
        for order, key in orders:
            if order.key(record) != key:
                order.remove(record, key)
                order.add(record)
        for index in self._hashes.values():
            if old[index.position] != row[index.position]:
                index.remove(old[index.position], record.id)
                index.add(row[index.position], record.id)

    def load(self, records: Sequence[Record]) -> None:
        """Add many rows at once; indexes are rebuilt at their next use."""
        self.records.update((record.id, record) for record in records)
        self._orders.clear()
        self._hashes.clear()


def new_row(entity: Entity, values: dict[str, Any]) -> list[Any]:
    """Return a row with AL defaults for whatever `values` does not name."""
    return [values[column.name] if column.name in values else default_of(column) for column in entity.columns]


@dataclass(slots=True)
class Step:
    """One change of one row: what it was and what it became (None = not there)."""

    table: Table
    record: Record
    before: list[Any] | None
    after: list[Any] | None
    version: int
    silent: bool = False  # moves no ETag


@dataclass(slots=True)
class Change:
    """A change as a webhook trigger sees it."""

    company_id: str
    entity_set: str
    record_id: str
    kind: str  # created, updated, deleted
    at: datetime


@dataclass(slots=True)
class Transaction:
    """The changes of one unit of work, applied as they come and taken back on failure."""

    now: datetime
    steps: list[Step] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    on_commit: list[Callable[[], None]] = field(default_factory=list)

    def insert(self, table: Table, record: Record) -> None:
        """Add a row."""
        table.put(record)
        self.steps.append(Step(table, record, None, record.row, record.version))

    def modify(self, table: Table, record: Record, row: list[Any], *, silent: bool = False) -> None:
        """Give a row new values; `silent` leaves the ETag as it is (computed values)."""
        before = record.row
        self.steps.append(Step(table, record, before, row, record.version, silent))
        table.replace_row(record, row)
        if not silent:
            record.version += 1

    def delete(self, table: Table, record: Record) -> None:
        """Take a row out."""
        table.drop(record)
        self.steps.append(Step(table, record, record.row, None, record.version))

    def remember(self, now: datetime) -> None:
        """Tell the tables what was committed, and when."""
        for step in self.steps:
            step.table.remember(Past(now, step.record, step.before, step.version))

    def rollback(self) -> None:
        """Undo every step, newest first."""
        for step in reversed(self.steps):
            if step.before is None:
                step.table.drop(step.record)
            elif step.after is None:
                step.table.put(step.record)
            else:
                step.table.replace_row(step.record, step.before)
                step.record.version = step.version

    def reapply(self) -> bool:
        """Apply the steps again after a rollback; False (and nothing applied) when a row changed in between."""
        for done, step in enumerate(self.steps):
            current = step.table.get(step.record.id)
            if (current.row if current else None) != step.before:
                Transaction(self.now, steps=self.steps[:done]).rollback()
                return False
            if step.after is None:
                step.table.drop(step.record)
            elif step.before is None:
                step.record.row = step.after
                step.table.put(step.record)
            else:
                step.table.replace_row(step.record, step.after)
                step.record.version = step.version + (not step.silent)
        return True
