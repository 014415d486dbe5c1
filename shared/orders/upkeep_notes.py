"""How far the daily round over the orders is, and whether the table was lost: two rows beside the orders.

Partition `<connection>|upkeep` of table BcOrders.
"""

import threading
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final

from shared.errors import StateConflict
from shared.storage.keys import row_key
from shared.storage.table import Row, Table, Value

#: How long after an import a new key is treated as one that may have been posted: longer than a message lives.
LOST_FOR: Final = timedelta(days=14)
#: How long a process goes by what it read last.
_READ_EVERY: Final = timedelta(minutes=1)
_ROUND: Final = "round"
_RESTORED: Final = "restored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One walk over all rows of the orders."""

    day: date  # UTC, on which it began
    began_at: datetime
    behind: str = ""  # key of the last row it has seen
    part: str = ""  # name of the last part of the book
    orders: int = 0
    erased: int = 0
    is_done: bool = False
    etag: str = field(default="", compare=False)


class UpkeepNotes:
    """The notes of one connection. Every method raises StoreUnavailable. Safe to share between threads."""

    def __init__(self, table: Table, connection: str) -> None:
        """Take the table and the connection whose orders it is about."""
        self._table = table
        self._partition = row_key(connection, "upkeep")
        self._lock = threading.Lock()
        self._done: date | None = None  # as far as this process knows
        self._restored: tuple[datetime, Row | None] | None = None  # when it was read, and what

    def begin(self, now: datetime) -> Round | None:
        """Return the round that goes on, or begins; None when that of today is done."""
        today = now.astimezone(UTC).date()
        if self._done == today:
            return None
        row = self._table.get(self._partition, _ROUND)
        held = None if row is None else _round(row)
        if held is None or (held.is_done and held.day != today):
            return Round(day=today, began_at=now, etag=held.etag if held else "")
        self._done = held.day if held.is_done else None
        return None if held.is_done else held

    def save(self, held: Round) -> bool:
        """Note how far a round is; False when another process went on with it."""
        values: dict[str, Value] = {
            "day": held.day.isoformat(), "began_at": held.began_at, "behind": held.behind, "part": held.part,
            "orders": held.orders, "erased": held.erased, "is_done": held.is_done,
        }  # fmt: skip
        row = Row(partition=self._partition, key=_ROUND, values=values, etag=held.etag)
        try:
            if held.etag:
                self._table.replace(row)
            else:
                self._table.insert(row)
        except StateConflict:
            return False
        return True

    def note_restored(self, since: datetime, now: datetime) -> None:
        """Note that orders were read back from a book, in which those stored since then may be missing.

        A book that was written after a loss knows nothing of it: of several imports the earliest time counts.
        """
        self._restored = None
        since = min(since, self.lost_since(now) or since)
        values: dict[str, Value] = {"since": since, "at": now}
        self._table.upsert(Row(partition=self._partition, key=_RESTORED, values=values))
        self._restored = None

    def lost_since(self, now: datetime) -> datetime | None:
        """Return since when an order may have been posted that is not in the store; None as long as none can."""
        with self._lock:
            read = self._restored
            if read is None or not timedelta(0) <= now - read[0] < _READ_EVERY:
                read = self._restored = (now, self._table.get(self._partition, _RESTORED))
        row = read[1]
        at = None if row is None else row.time("at")
        return row.time("since") if row is not None and at is not None and now < at + LOST_FOR else None


def _round(row: Row) -> Round:
    return Round(
        day=date.fromisoformat(row.text("day")), began_at=row.time("began_at") or datetime.min.replace(tzinfo=UTC),
        behind=row.text("behind"), part=row.text("part"), orders=row.number("orders"), erased=row.number("erased"),
        is_done=bool(row.number("is_done")), etag=row.etag,
    )  # fmt: skip
