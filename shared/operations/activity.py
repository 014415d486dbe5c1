"""What a connection has done in each hour of the last seven days: gathered by every process, kept in one row an hour.

Rows `<hour>` of table BcWatermarks, partition `<connection>|activity`; each holds the counts as packed JSON. A process
adds to the row by one read and one write: once a minute while one job follows another, and after a job that nothing
follows while nothing else is at work here. So a process that is busy all day makes 2,880 transactions for it, 10,000
orders that come one by one 20,000, and nothing to do none. What a process has counted since is lost with it.
"""

import json
import threading
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from shared.clock import Clock
from shared.errors import IntegrationError
from shared.operations.time_limit import TookTooLong, within
from shared.outputs import Outputs
from shared.storage.compare_and_swap import change_row
from shared.storage.keys import row_key
from shared.storage.table import Row, Table, Value
from shared.work_counts import DELIVERED, Counted, Taken, WorkCounts, counting

KEPT: Final = timedelta(days=7)
#: How often a process adds to its hour while one job follows another.
WHILE_AT_WORK: Final = timedelta(minutes=1)
_HOUR: Final = "%Y-%m-%dT%H"


@dataclass(frozen=True, slots=True)
class Week:
    """The counts of the last seven days, and when each kind was counted last."""

    counts: Counter[Counted]
    last: dict[str, datetime]


class Activity:
    """The activity of one connection: this process's counts, and the rows of all. Safe to share between threads."""

    def __init__(self, table: Table, connection: str, now: Clock) -> None:
        """Take the table and the connection whose activity it is."""
        self.counts = WorkCounts(now)
        self._table = table
        self._partition = row_key(connection, "activity")
        self._now = now
        self._lock = threading.Lock()
        self._flushed_at: datetime | None = None
        self._at_work = 0  # jobs

    def counted(self, work: Callable[[], Outputs]) -> Outputs:
        """Do a job's work and count it; keep the counts when that is due, or nothing else is at work here."""
        follows = False
        with self._lock:
            self._at_work += 1
        try:
            with counting(self.counts):
                outgoing = work()
            follows = bool(outgoing.pages)
            return outgoing
        finally:
            with self._lock:
                self._at_work -= 1
                is_over = not follows and not self._at_work
            self.flush(is_over=is_over)

    def delivered(self, company: str, entity: str) -> None:
        """Count a webhook delivery; Business Central waits for its answer, so storage is given a second to keep it."""
        self.counts.add(DELIVERED, 1, company, entity)
        with suppress(TookTooLong):
            within(1.0, self.flush)

    def flush(self, *, is_over: bool = False) -> None:
        """Keep what was counted when that is due; never an error: what can't be kept is tried again."""
        now = self._now()
        with self._lock:
            is_early = self._flushed_at is not None and timedelta(0) <= now - self._flushed_at < WHILE_AT_WORK
            if is_early and not is_over:
                return
            self._flushed_at = now
        taken = self.counts.take()
        try:
            while taken.counts:
                hour = min(key.hour for key in taken.counts)
                self._keep(hour, taken, now)
                for key in [key for key in taken.counts if key.hour == hour]:
                    del taken.counts[key]
        except IntegrationError:
            self.counts.put_back(taken)

    def _keep(self, hour: datetime, taken: Taken, now: datetime) -> None:
        key = hour.astimezone(UTC).strftime(_HOUR)
        mine = Counter({each: number for each, number in taken.counts.items() if each.hour == hour})
        is_new = False

        def add(row: Row | None) -> Row:
            nonlocal is_new
            is_new = row is None
            whole = mine if row is None else mine + _counts(row, hour)
            last = {f"last_{kind}": at for kind, at in taken.last.items()}
            values: dict[str, Value] = {**(row.values if row else {}), **last, "counts": _packed(whole)}
            return Row(partition=self._partition, key=key, values=values, etag=row.etag if row else "")

        change_row(self._table, self._partition, key, add, "the activity of an hour")
        if is_new:
            self._forget(now)

    def _forget(self, now: datetime) -> None:
        old = (now - KEPT).astimezone(UTC).strftime(_HOUR)
        for row in list(self._table.query(self._partition, "0", old)):
            self._table.delete(self._partition, row.key)

    def week(self) -> Week:
        """Return what all processes have kept.

        Raises:
            StoreUnavailable: the table did not answer.
        """
        counts: Counter[Counted] = Counter()
        last: dict[str, datetime] = {}
        since = (self._now() - KEPT).astimezone(UTC).strftime(_HOUR)
        for row in self._table.query(self._partition, since, "9"):
            counts += _counts(row, datetime.strptime(row.key, _HOUR).replace(tzinfo=UTC))
            for name in row.values:
                if name.startswith("last_") and (at := row.time(name)) is not None:
                    last[name.removeprefix("last_")] = at  # rows come in the order of their hours
        return Week(counts, last)


def _packed(counts: Counter[Counted]) -> bytes:
    return zlib.compress(json.dumps([[*key[1:], number] for key, number in counts.items()]).encode())


def _counts(row: Row, hour: datetime) -> Counter[Counted]:
    """Return the counts of a row; none of one that can't be read, as it is for show."""
    try:
        listed = json.loads(zlib.decompress(row.data("counts")))
        return Counter({Counted(hour, kind, company, entity): number for kind, company, entity, number in listed})
    except (zlib.error, ValueError, TypeError):
        return Counter()
