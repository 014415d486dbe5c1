"""Messages of events that wait to be sent on, each with the time when it is due and how far it was sent.

A row of table BcWatermarks, partition `<connection>|forward`: `batch|<name>`, beside it in the same transaction
`due|<time>|<name>`, which is small and all that is read to find or to count them. The name is that of the queue
message, or of the dead letter, that brought the events.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from shared.errors import StateConflict
from shared.storage.keys import after, row_key
from shared.storage.table import Change, Delete, Insert, Replace, Row, Table, Upsert

#: A batch whose message got lost on its way is due again after this; longer than one delivery is at work.
LOST_AFTER: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingBatch:
    """Events that were not all sent."""

    name: str
    message: str  # the JSON array as it came
    start: int = 0  # number of the first event that was not sent
    end: int | None = None  # number behind the last that is to be sent, None: to the end
    since: datetime  # first failure
    tries: int = 0  # failures in a row without one event sent
    cause: str = ""  # of the last failure; "": it is at work
    next_try_at: datetime
    etag: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingCount:
    """How many batches wait for one cause."""

    cause: str
    count: int
    since: datetime


class WaitingBatches:
    """The waiting batches of one connection. Every method raises StoreUnavailable."""

    def __init__(self, table: Table, connection: str) -> None:
        """Take the table and the connection whose batches it keeps."""
        self._table = table
        self._partition = row_key(connection, "forward")

    def get(self, name: str) -> WaitingBatch | None:
        """Return one batch."""
        row = self._table.get(self._partition, row_key("batch", name))
        return None if row is None else _batch(row)

    def save(self, batch: WaitingBatch, before: WaitingBatch | None) -> WaitingBatch:
        """Store a batch in place of what was read; StateConflict when somebody else was faster."""
        row = self._row(replace(batch, etag=before.etag if before else ""))
        index = Row(
            partition=self._partition, key=_index_key(batch),
            values={"name": batch.name, "cause": batch.cause, "since": batch.since},
        )  # fmt: skip
        changes: list[Change] = [Insert(row) if before is None else Replace(row), Upsert(index)]
        if before is not None and _index_key(before) != index.key:
            changes.append(Delete(Row(partition=self._partition, key=_index_key(before))))
        return replace(batch, etag=self._table.write(changes)[0])

    def done(self, batch: WaitingBatch) -> None:
        """Forget a batch; one that somebody else goes on with stays."""
        row = Row(partition=self._partition, key=row_key("batch", batch.name), etag=batch.etag)
        try:
            self._table.write([Delete(row), Delete(Row(partition=self._partition, key=_index_key(batch)))])
        except StateConflict:
            return

    def take_due(self, now: datetime, limit: int) -> list[WaitingBatch]:
        """Return batches whose time has come, each due again later in case its message gets lost."""
        taken = []
        low, high = "due|", row_key("due", _stamp(now)) + "~"
        for row in list(self._table.query(self._partition, low, high, limit=limit)):
            batch = self.get(row.text("name"))
            if batch is None or _index_key(batch) != row.key:
                continue  # done, or taken, at this very moment
            try:
                taken.append(self.save(replace(batch, next_try_at=now + LOST_AFTER), batch))
            except StateConflict:
                continue
        return taken

    def counts(self) -> list[WaitingCount]:
        """Return how many wait for what, and since when; all of them."""
        found: dict[str, WaitingCount] = {}
        for row in self._table.query(self._partition, "due|", after("due|")):
            cause = row.text("cause")
            since = row.time("since") or datetime.max.replace(tzinfo=UTC)
            known = found.get(cause, WaitingCount(cause=cause, count=0, since=since))
            found[cause] = replace(known, count=known.count + 1, since=min(known.since, since))
        return list(found.values())

    def _row(self, batch: WaitingBatch) -> Row:
        return Row(
            partition=self._partition, key=row_key("batch", batch.name), etag=batch.etag,
            values={
                "name": batch.name, "message": batch.message.encode(), "start": batch.start,
                "end": -1 if batch.end is None else batch.end, "since": batch.since, "tries": batch.tries,
                "cause": batch.cause, "next_try_at": batch.next_try_at,
            },
        )  # fmt: skip


def _index_key(batch: WaitingBatch) -> str:
    return row_key("due", _stamp(batch.next_try_at), batch.name)


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _batch(row: Row) -> WaitingBatch:
    end, never = row.number("end"), datetime(1601, 1, 1, tzinfo=UTC)
    return WaitingBatch(
        name=row.text("name"), message=row.data("message").decode(), start=row.number("start"),
        end=None if end < 0 else end, since=row.time("since") or never, tries=row.number("tries"),
        cause=row.text("cause"), next_try_at=row.time("next_try_at") or never, etag=row.etag,
    )  # fmt: skip
