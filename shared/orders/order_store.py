"""The order store: one row per order key and company, which says how far its posting is.

Beside it, in the same partition and the same transaction, an index row for what a timer or an operator looks for:
`due|<time>|...` for an order that waits, `stop|...` for one that was rejected or parked.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from shared.orders.order_entry import OrderEntry, OrderStatus
from shared.storage.keys import after, row_key
from shared.storage.table import Change, Delete, Insert, Replace, Row, Table, Upsert, Value

#: How long one worker may hold an order; longer than the slowest look-up and post (two minutes each).
LEASE_S: Final = 600


_TEXTS: Final = (
    "key", "company", "status", "digest", "external_number", "before", "worker", "order_id", "number",
    "error_code", "error", "correlation_id", "reported_to", "index",
)  # fmt: skip
_TIMES: Final = ("first_at", "posted_at", "next_try_at", "lease_until")
_STATUSES: Final[dict[str, OrderStatus]] = {
    "posting": "posting", "waiting": "waiting", "created": "created", "rejected": "rejected", "parked": "parked",
}  # fmt: skip


class OrderStore:
    """The orders of one connection, in table BcOrders."""

    def __init__(self, table: Table, connection: str) -> None:
        """Take the table and the connection whose orders it keeps."""
        self._table = table
        self._partition = row_key(connection)

    def load(self, key: str, company: str) -> OrderEntry | None:
        """Return the entry of a key in one company."""
        row = self._table.get(self._partition, row_key("order", key, company))
        return None if row is None else _entry(row)

    def find(self, key: str) -> list[OrderEntry]:
        """Return the entries of a key in whatever company."""
        prefix = row_key("order", key) + "|"
        return [_entry(row) for row in self._table.query(self._partition, prefix, after(prefix))]

    def by_message(self, message: bytes, since: datetime) -> OrderEntry | None:
        """Return the entry that holds this very message and is not done, or was created lately; reads all entries."""
        prefix, found = "order|", None
        for row in self._table.query(self._partition, prefix, after(prefix)):
            if row.data("message") == message:
                entry = _entry(row)
                if entry.status in {"posting", "waiting"}:
                    return entry
                if entry.status == "created" and entry.posted_at is not None and entry.posted_at >= since:
                    found = entry
        return found

    def save(self, entry: OrderEntry) -> OrderEntry:
        """Store a new or changed entry with its index row; StateConflict when somebody else was faster."""
        new = _index_key(entry)
        row = self._row(replace(entry, index=new))
        writes: list[Change] = [Replace(row) if entry.etag else Insert(row)]
        if entry.index and entry.index != new:
            writes.append(Delete(Row(partition=self._partition, key=entry.index)))
        if new:
            values: dict[str, Value] = {"order": entry.key, "company": entry.company, "status": entry.status}
            writes.append(Upsert(Row(partition=self._partition, key=new, values=values)))
        return replace(entry, etag=self._table.write(writes)[0], index=new)

    def forget(self, entry: OrderEntry) -> None:
        """Delete an entry that has moved to another key, with its index row."""
        row = self._table.get(self._partition, row_key("order", entry.key, entry.company))
        if row is not None:
            if row.text("index"):
                self._table.delete(self._partition, row.text("index"))
            self._table.delete(self._partition, row.key)

    def due(self, now: datetime, limit: int) -> list[tuple[str, str]]:
        """Return (key, company) of orders whose time has come, the longest waiting first."""
        high = row_key("due", _stamp(now)) + "~"
        return [(row.text("order"), row.text("company")) for row in self._index("due", high, limit)]

    def waiting(self, limit: int) -> list[OrderEntry]:
        """Return orders that wait for a transient fault to pass."""
        return self._entries(self._index("due", "", limit))

    def stopped(self, limit: int) -> list[OrderEntry]:
        """Return orders that were rejected or parked."""
        return self._entries(self._index("stop", "", limit))

    def counts(self, most: int) -> dict[str, int]:
        """Return how many orders wait, are parked or are rejected, each counted up to `most`."""
        stopped = [row.text("status") for row in self._index("stop", "", most)]
        found = {status: stopped.count(status) for status in ("parked", "rejected")}
        return {**found, "waiting": len(self._index("due", "", most))}

    def _index(self, kind: str, high: str, limit: int) -> list[Row]:
        return list(self._table.query(self._partition, kind + "|", high or after(kind + "|"), limit=limit))

    def _entries(self, rows: list[Row]) -> list[OrderEntry]:
        loaded = (self.load(row.text("order"), row.text("company")) for row in rows)
        return [entry for entry in loaded if entry is not None]

    def _row(self, entry: OrderEntry) -> Row:
        values: dict[str, Value] = {name: getattr(entry, name) for name in _TEXTS}
        values |= {name: moment for name in _TIMES if (moment := getattr(entry, name)) is not None}
        values |= {"message": entry.message, "attempts": entry.attempts, "waits": entry.waits, "unknown": entry.unknown}
        place = row_key("order", entry.key, entry.company)
        return Row(partition=self._partition, key=place, values=values, etag=entry.etag)


def _index_key(entry: OrderEntry) -> str:
    if entry.status == "waiting" and entry.next_try_at is not None:
        return row_key("due", _stamp(entry.next_try_at), entry.key, entry.company)
    if entry.status in {"rejected", "parked"}:
        return row_key("stop", entry.key, entry.company)
    return ""


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _entry(row: Row) -> OrderEntry:
    texts: dict[str, Any] = {name: row.text(name) for name in _TEXTS if name != "status"}
    times: dict[str, Any] = {name: row.time(name) for name in _TIMES}
    return OrderEntry(
        status=_STATUSES.get(row.text("status"), "parked"),
        message=row.data("message"),
        attempts=row.number("attempts"),
        waits=row.number("waits"),
        unknown=bool(row.number("unknown")),
        etag=row.etag,
        **texts,
        **times,
    )
