"""The rows behind the request budget: one per slot, each a lease with a rate and a closing time, changed by ETag.

Owns the meaning of a row and each single write; `request_budget.py` owns who waits for which. Properties: `owner` (an
instance; "" when free), `expires_at` of its lease, `due` (see `rate.py`), `closed_until` (BC asked for a pause),
`wanted_by` and `wanted_until` (the mark of an instance that waits: the slot's next taker until then).
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from shared.business_central.rate import Rate
from shared.clock import Clock
from shared.errors import StateConflict, StoreUnavailable
from shared.storage.compare_and_swap import until_stored
from shared.storage.keys import after
from shared.storage.table import Row, Table

SLOTS: Final = 5
REQUESTS_PER_WINDOW: Final = 6000
#: The window is kept 10 s longer than BC's 5 minutes, for clocks that differ and for the way from the table to BC.
WINDOW: Final = timedelta(seconds=310)
BURST: Final = 120  # requests of one slot that may follow each other as fast as BC answers
RATE: Final = Rate.within(requests=REQUESTS_PER_WINDOW // SLOTS, window=WINDOW, burst=BURST)
#: What a lent slot keeps of its burst for those it is reserved for.
KEPT: Final = RATE.interval * (BURST // 2)
#: A taking that took longer is given back, as its lease might end before the request does.
MAX_TAKING: Final = timedelta(seconds=5)
MARK: Final = timedelta(seconds=1.5)  # life of a waiter's mark
_LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)
_PREFIX: Final = "slot-"


class SlotRows:
    """The five rows of one identity, as one instance sees and changes them. Holds no state, so it is thread-safe."""

    def __init__(self, table: Table, partition: str, *, instance: str, now: Clock) -> None:
        """Take the unguessable name of this `instance`: no two processes may share it."""
        self._table = table
        self._partition = partition
        self._instance = instance
        self._now = now

    def read(self) -> dict[int, Row]:
        """Return all slots; one that was never used is a row without etag."""
        found = {row.key: row for row in self._table.query(self._partition, _PREFIX, after(_PREFIX))}
        return {index: found.get(self._key(index)) or self._unused(index) for index in range(SLOTS)}

    def is_free(self, row: Row, *, lent: bool = False) -> bool:
        """Whether this instance may take the slot now, if none of its own threads uses it; `lent` as in `opens_at`.

        A lease in our own name that no thread of ours uses is left from a write whose answer was lost: ours to take.
        """
        now = self._now()
        if row.text("owner") not in {"", self._instance} and now < _time(row, "expires_at"):
            return False
        if row.text("wanted_by") not in {"", self._instance} and now < _time(row, "wanted_until"):
            return False
        return opens_at(row, lent=lent) <= now

    def take(self, row: Row, lease: timedelta) -> Row | None:
        """Lease a free slot for one request; None when another was faster or the table too slow.

        Raises:
            StoreUnavailable: nobody knows whether it was taken.
        """
        now = self._now()
        wanted = row.with_values(
            owner=self._instance,
            expires_at=now + lease,
            due=RATE.spend(_time(row, "due"), now),
            wanted_by="",
            wanted_until=_LONG_AGO,
        )
        try:
            taken = self._table.replace(wanted) if row.etag else self._table.insert(wanted)
        except StateConflict:
            return None
        if self._now() - now > MAX_TAKING:
            self.free(taken)
            return None
        return taken

    def free(self, row: Row, *, closed_until: datetime | None = None) -> Row | None:
        """Give a slot back, shut until `closed_until` if given; return its row, None when unknown or not ours any more.

        Never fails: a lease that cannot be given back runs out by itself.
        """
        known = [row]

        def change() -> Row | None:
            current = known.pop() if known else self._table.get(row.partition, row.key)
            if current is None or current.text("owner") != self._instance:
                return None  # the lease ran out and another instance took over
            until = max(_time(current, "closed_until"), closed_until or _LONG_AGO)
            return self._table.replace(current.with_values(owner="", expires_at=_LONG_AGO, closed_until=until))

        return _insist(change)

    def mark(self, row: Row) -> Row | None:
        """Ask to be, or stay, the next taker of a slot that another instance holds; None when that can't be now."""
        now = self._now()
        is_held = row.text("owner") not in {"", self._instance} and now < _time(row, "expires_at")
        is_renewal = row.text("wanted_by") == self._instance
        if not is_held or now < _time(row, "wanted_until") - (MARK / 2 if is_renewal else timedelta(0)):
            return None
        try:
            return self._table.replace(row.with_values(wanted_by=self._instance, wanted_until=now + MARK))
        except (StateConflict, StoreUnavailable):
            return None

    def close(self, index: int, until: datetime) -> None:
        """Keep a slot shut until then, whoever holds it. As good as can be: never fails, and gives up in the end."""

        def change() -> None:
            row = self._table.get(self._partition, self._key(index)) or self._unused(index)
            if _time(row, "closed_until") < until:
                closed = row.with_values(closed_until=until)
                self._table.replace(closed) if row.etag else self._table.insert(closed)

        _insist(change)

    def _key(self, index: int) -> str:
        return f"{_PREFIX}{index}"

    def _unused(self, index: int) -> Row:
        return Row(partition=self._partition, key=self._key(index))


def opens_at(row: Row, *, lent: bool = False) -> datetime:
    """Return when rate and closing let the next request pass, held or not; as a row ages this only moves later.

    `lent`: a request that the slot is not reserved for, which waits until half of the burst is there again.
    """
    ready_at = RATE.ready_at(_time(row, "due"))
    return max(_time(row, "closed_until"), ready_at + KEPT if lent else ready_at)


def _insist[T](change: Callable[[], T]) -> T | None:
    """Make a change that reads anew each time, past others who mark, close or take; None when it cannot be made."""
    for _ in range(2):  # an outage may have lasted for the whole timeout
        try:
            return until_stored(change, "a slot")
        except StateConflict:
            return None
        except StoreUnavailable:
            continue
    return None


def _time(row: Row, name: str) -> datetime:
    return row.time(name) or _LONG_AGO
