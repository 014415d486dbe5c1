"""Dead letters of one connection: queue messages that failed too often, with their reason, until their work is done.

A letter is a row of table BcWatermarks, partition `<connection>|parked`, key queue and name. Beside it, in partition
`<connection>|parked-index`, stands a small row by which it is found and counted: `due|<time>|...` while it comes back
by itself, `hand|...` once it waits for a person. The index is written first, so that no letter lacks it; what it holds
is checked against the letter. Letters of a release without an index get theirs by a sweep, once an hour.

A letter whose work is done moves to partition `<connection>|parked-done` for as long as copies of its message may come.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from shared.errors import StateConflict
from shared.resource_names import DEFAULT_CONNECTION
from shared.storage.keys import after, row_key
from shared.storage.table import Row, Table, Value

#: Retried for this long; then it stays until a person decides.
PATIENCE: Final = timedelta(hours=72)
_LONGEST: Final = timedelta(minutes=30)
#: How long it is remembered which copy of a message was the last: longer than a queue message lives.
_REMEMBERED: Final = timedelta(days=8)
_SWEPT: Final = 100  # memories looked at whenever one is added
_SWEEP_EVERY: Final = timedelta(hours=1)
_KINDS: Final = ("due", "hand")
_SWEEP: Final = "swept"
_LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One message that could not be worked on."""

    queue: str
    name: str  # of its job on queues of ours; the message's own id on those that others write to
    body: bytes
    reason: str
    since: datetime  # first time
    tries: int = 0  # how often it was enqueued again
    next_try_at: datetime | None = None  # None: only a person puts it back
    etag: str = field(default="", compare=False)


class DeadLetterStore:
    """The dead letters of one connection. Every method raises StoreUnavailable."""

    def __init__(self, table: Table, state: str, connection: str = DEFAULT_CONNECTION) -> None:
        """Take the table, the name of the state, and the id of the connection whose letters it keeps."""
        self._table = table
        self._partition = row_key(state, "parked")
        self._index = row_key(state, "parked-index")
        self._done = row_key(state, "parked-done")
        self.connection = connection

    def add(self, letter: DeadLetter, *, retryable: bool, now: datetime) -> DeadLetter:
        """Keep a letter; one that was kept before waits longer each time."""
        before = self.get(letter.queue, letter.name)
        kept = replace(
            letter, since=before.since if before else letter.since, tries=self.tries(letter.queue, letter.name)
        )
        again = now + min(_LONGEST, timedelta(minutes=2.0 ** min(kept.tries, 10)))
        kept = replace(kept, next_try_at=again if retryable and again <= kept.since + PATIENCE else None)
        return self._save(kept, before, whatever_is_there=True)

    def get(self, queue: str, name: str) -> DeadLetter | None:
        """Return one letter."""
        row = self._table.get(self._partition, row_key(queue, name))
        return None if row is None else _letter(row)

    def get_or_done(self, queue: str, name: str) -> DeadLetter | None:
        """Return one letter, also for some days after its work was done: the outcome may have been lost on its way."""
        row = self._table.get(self._done, row_key(queue, name))
        return self.get(queue, name) or (None if row is None else _letter(row))

    def all(self, limit: int) -> list[DeadLetter]:
        """Return letters, at most `limit`."""
        return [_letter(row) for row in self._table.query(self._partition, limit=limit)]

    def of_queue(self, queue: str, limit: int | None = None) -> Iterator[DeadLetter]:
        """Yield letters of one queue, all or at most `limit`, read page by page as they are taken."""
        prefix = f"{row_key(queue)}|"
        return map(_letter, self._table.query(self._partition, prefix, after(prefix), limit=limit))

    def to_redrive(self, queue: str, limit: int) -> list[DeadLetter]:
        """Return letters of one queue: first those that wait for a person, then the others, the next ones due first."""
        prefix = row_key("hand", queue) + "|"
        rows = list(self._table.query(self._index, prefix, after(prefix), limit=limit))
        rows += [row for row in self._indexed("due") if row.text("queue") == queue]
        found = (self.get(queue, row.text("name")) for row in rows[:limit])
        return [letter for letter in found if letter is not None]

    def counts(self, now: datetime) -> Counter[str]:
        """Return how many letters there are by queue, all of them."""
        self._sweep_if_due(now)
        return Counter(row.text("queue") for kind in _KINDS for row in self._indexed(kind))

    def take_due(self, now: datetime, limit: int) -> list[DeadLetter]:
        """Return letters whose time has come, each noted as tried; one lost on the way comes again in half an hour."""
        self._sweep_if_due(now)
        taken: list[DeadLetter] = []
        for row in list(self._table.query(self._index, "due|", row_key("due", _stamp(now)) + "~", limit=limit)):
            letter = self.get(row.text("queue"), row.text("name"))
            if letter is None or _index_key(letter) != row.key:
                self._table.delete(self._index, row.key)  # left behind by a process that was killed
                continue
            try:
                taken.append(self.enqueued_again(letter, now))
            except StateConflict:
                continue  # done at this very moment
        return taken

    def enqueued_again(self, letter: DeadLetter, now: datetime) -> DeadLetter:
        """Note that a letter is in its queue again; StateConflict when it was done meanwhile."""
        return self._save(replace(letter, tries=letter.tries + 1, next_try_at=now + _LONGEST), letter)

    def leave_to_a_person(self, letter: DeadLetter, reason: str) -> None:
        """Note that nothing but a person helps a letter, and why; one that was done meanwhile stays gone."""
        try:
            self._save(replace(letter, reason=reason, next_try_at=None), letter)
        except StateConflict:
            return

    def tries(self, queue: str, name: str) -> int:
        """Return how often a message was enqueued again, also for some days after it was done; 0 for an unknown one."""
        key = row_key(queue, name)
        row = self._table.get(self._partition, key) or self._table.get(self._done, key)
        return 0 if row is None else row.number("tries")

    def done(self, queue: str, name: str, *, now: datetime) -> None:
        """Note that a letter's work is done: it is no longer shown, retried or redriven."""
        letter = self.get(queue, name)
        if letter is None:
            return
        row = self._row(replace(letter, next_try_at=None))
        self._table.upsert(replace(row.with_values(at=now), partition=self._done, etag=""))
        self._table.delete(self._partition, row.key)
        self._table.delete(self._index, _index_key(letter))
        for old in list(self._table.query(self._done, limit=_SWEPT)):
            at = old.time("at")
            if at is None or at < now - _REMEMBERED:
                self._table.delete(self._done, old.key)

    def erase(self, letter: DeadLetter) -> None:
        """Forget a letter: its work is given up."""
        self._table.delete(self._partition, row_key(letter.queue, letter.name))
        self._table.delete(self._index, _index_key(letter))

    def erase_done(self, is_meant: Callable[[DeadLetter], bool], queues: Iterable[str]) -> None:
        """Forget letters whose work is done, sooner than copies of their messages have ended."""
        for queue in queues:
            prefix = f"{row_key(queue)}|"
            for row in list(self._table.query(self._done, prefix, after(prefix))):
                if is_meant(_letter(row)):
                    self._table.delete(self._done, row.key)

    def _save(self, letter: DeadLetter, before: DeadLetter | None, *, whatever_is_there: bool = False) -> DeadLetter:
        self._write_index(letter)
        row = self._row(letter)
        stored = self._table.upsert(replace(row, etag="")) if whatever_is_there else self._table.replace(row)
        if before is not None and _index_key(before) != _index_key(letter):
            self._table.delete(self._index, _index_key(before))
        return replace(letter, etag=stored.etag)

    def _write_index(self, letter: DeadLetter) -> None:
        values: dict[str, Value] = {"queue": letter.queue, "name": letter.name}
        self._table.upsert(Row(partition=self._index, key=_index_key(letter), values=values))

    def _sweep_if_due(self, now: datetime) -> None:
        row = self._table.get(self._index, _SWEEP)
        if row is not None and (row.time("at") or _LONG_AGO) > now - _SWEEP_EVERY:
            return
        right = set()
        for letter in map(_letter, self._table.query(self._partition)):
            self._write_index(letter)
            right.add(_index_key(letter))
        for held in [row for kind in _KINDS for row in self._indexed(kind)]:
            if held.key not in right and self._is_stale(held):
                self._table.delete(self._index, held.key)
        self._table.upsert(Row(partition=self._index, key=_SWEEP, values={"at": now}))

    def _indexed(self, kind: str) -> Iterator[Row]:
        return self._table.query(self._index, f"{kind}|", after(f"{kind}|"))

    def _is_stale(self, held: Row) -> bool:
        letter = self.get(held.text("queue"), held.text("name"))  # it may have changed since the sweep began
        return letter is None or _index_key(letter) != held.key

    def _row(self, letter: DeadLetter) -> Row:
        values: dict[str, Value] = {
            "queue": letter.queue, "name": letter.name, "body": letter.body, "reason": letter.reason[:2000],
            "parked_at": letter.since, "tries": letter.tries,
        }  # fmt: skip
        if letter.next_try_at is not None:
            values["next_try_at"] = letter.next_try_at
        key = row_key(letter.queue, letter.name)
        return Row(partition=self._partition, key=key, values=values, etag=letter.etag)


def _index_key(letter: DeadLetter) -> str:
    if letter.next_try_at is None:
        return row_key("hand", letter.queue, letter.name)
    return row_key("due", _stamp(letter.next_try_at), letter.queue, letter.name)


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _letter(row: Row) -> DeadLetter:
    return DeadLetter(
        queue=row.text("queue"), name=row.text("name"), body=row.data("body"), reason=row.text("reason"),
        since=row.time("parked_at") or _LONG_AGO, tries=row.number("tries"), next_try_at=row.time("next_try_at"),
        etag=row.etag,
    )  # fmt: skip
