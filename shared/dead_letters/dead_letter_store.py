"""Queue messages that failed too often: set aside with their reason, and put back to work when their time comes."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from shared.errors import StateConflict
from shared.storage.keys import row_key
from shared.storage.table import Row, Table, Value

#: Put back by itself for this long; then it stays until a person decides.
PATIENCE: Final = timedelta(hours=72)
_LONGEST: Final = timedelta(minutes=30)
#: How long it is remembered which copy of a message was the last: longer than a queue message lives.
_REMEMBERED: Final = timedelta(days=8)
_SWEPT: Final = 100  # memories looked at whenever one is added


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One message that was set aside."""

    queue: str
    name: str  # of its job; the message's own id when it has none
    body: bytes
    reason: str
    parked_at: datetime  # first time
    tries: int = 0  # how often it was put back
    next_try_at: datetime | None = None  # None: only a person puts it back
    etag: str = field(default="", compare=False)


class DeadLetterStore:
    """The set-aside messages of one connection, in table BcWatermarks."""

    def __init__(self, table: Table, connection: str) -> None:
        """Take the table and the connection whose messages it keeps."""
        self._table = table
        self._partition = row_key(connection, "parked")
        self._done = row_key(connection, "parked-done")

    def add(self, message: DeadLetter, *, retryable: bool, now: datetime) -> DeadLetter:
        """Set a message aside; one that was set aside before waits longer each time."""
        row = self._table.get(self._partition, row_key(message.queue, message.name))
        before = None if row is None else _message(row)
        kept = replace(
            message, parked_at=before.parked_at if before else message.parked_at,
            tries=self.tries(message.queue, message.name),
        )  # fmt: skip
        again = now + min(_LONGEST, timedelta(minutes=2.0 ** min(kept.tries, 10)))
        kept = replace(kept, next_try_at=again if retryable and again <= kept.parked_at + PATIENCE else None)
        return replace(kept, etag=self._table.upsert(self._row(replace(kept, etag=""))).etag)

    def all(self, limit: int) -> list[DeadLetter]:
        """Return what is set aside."""
        return [_message(row) for row in self._table.query(self._partition, limit=limit)]

    def take_due(self, now: datetime, limit: int) -> list[DeadLetter]:
        """Return messages whose time has come, each noted as tried; one lost on the way comes again in half an hour."""
        due = [message for message in self.all(1000) if message.next_try_at and message.next_try_at <= now][:limit]
        taken = []
        for message in due:
            try:
                taken.append(self.put_back(message, now))
            except StateConflict:
                continue  # worked off at this very moment
        return taken

    def put_back(self, message: DeadLetter, now: datetime) -> DeadLetter:
        """Note that a message goes back to its queue; StateConflict when it was worked off meanwhile."""
        tried = replace(message, tries=message.tries + 1, next_try_at=now + _LONGEST)
        return replace(tried, etag=self._table.replace(self._row(tried)).etag)

    def tries(self, queue: str, name: str) -> int:
        """Return how often a message was put back, also for some days after it was worked off; 0 for one unheard of."""
        key = row_key(queue, name)
        row = self._table.get(self._partition, key) or self._table.get(self._done, key)
        return 0 if row is None else row.number("tries")

    def remove(self, queue: str, name: str, *, now: datetime) -> None:
        """Forget a message that has been worked off, but not how many copies of it there may be."""
        row = self._table.get(self._partition, row_key(queue, name))
        if row is None:
            return
        memory: dict[str, Value] = {"tries": row.number("tries"), "at": now}
        self._table.upsert(Row(partition=self._done, key=row.key, values=memory))
        self._table.delete(self._partition, row.key)
        for old in list(self._table.query(self._done, limit=_SWEPT)):
            at = old.time("at")
            if at is None or at < now - _REMEMBERED:
                self._table.delete(self._done, old.key)

    def _row(self, message: DeadLetter) -> Row:
        values: dict[str, Value] = {
            "queue": message.queue, "name": message.name, "body": message.body, "reason": message.reason[:2000],
            "parked_at": message.parked_at, "tries": message.tries,
        }  # fmt: skip
        if message.next_try_at is not None:
            values["next_try_at"] = message.next_try_at
        key = row_key(message.queue, message.name)
        return Row(partition=self._partition, key=key, values=values, etag=message.etag)


def _message(row: Row) -> DeadLetter:
    return DeadLetter(
        queue=row.text("queue"), name=row.text("name"), body=row.data("body"), reason=row.text("reason"),
        parked_at=row.time("parked_at") or datetime.fromisoformat("2000-01-01T00:00:00+00:00"),
        tries=row.number("tries"), next_try_at=row.time("next_try_at"), etag=row.etag,
    )  # fmt: skip
