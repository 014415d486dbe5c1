"""Business Central's limits for one identity, kept by all instances: 5 requests at once, 6,000 in any 5 minutes.

Source of the limits: "Operational limits for Business Central online" (Microsoft Learn, operational-limits-online).
Five slots, each a row (`lease_rows.py`) with a fifth of the rate; the last is the reserved slot, for orders and
notifications. It is lent to a pull, a request at a time, while none of those waits and half of its burst is there; who
finds it lent is its next taker. A request costs two writes of a small row, as a process remembers the rows it wrote; it
reads only when another instance was there. Threads of one process settle among themselves who uses a slot, first come
first served so that all partitions of a pull end together, and touch the table only for slots that none of them holds.
An instance that finds all slots held marks one and is its next taker, so that a busy instance cannot starve another.
There are no background threads: the slot of a process that died frees itself when its lease runs out.

A reader's pages are read within two budgets, by whichever slot comes free first.

Where several connections share a host, `patience_s` keeps the jobs of one that is not answered, or told to pause, from
waiting in the places of the others: they end, and the queue delivers them again.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import Enum
from threading import Condition
from typing import Final

from shared.business_central.lease_rows import MARK, SLOTS, SlotRows, opens_at
from shared.business_central.port import WHOLE_S, Slot
from shared.clock import Clock, NewId
from shared.errors import BudgetExhausted
from shared.storage.table import Row, Table

RESERVED_SLOT: Final = SLOTS - 1
MARGIN_S: Final = 10.0  # by which a lease is longer than the request may take
MAX_CLOSE_S: Final = 3600.0  # a longer Retry-After would be a mistake that stops the app for no reason
FIRST_POLL_S: Final = 0.05
LAST_POLL_S: Final = 0.5  # well below the life of a mark, so that a waiter comes back while its mark stands
#: A mark may leave a slot idle for its life, so only who starves sets one, and who finds the reserved slot in use.
MARK_AFTER: Final = timedelta(seconds=2)
_ANY_TIME: Final = datetime.min.replace(tzinfo=UTC)  # when a slot opens of which nothing is known


class _Work(Enum):
    """What a request is for."""

    RESERVED = "orders and notifications"
    COMMON = "all else that the identity alone does"
    PAGE = "a page, which the reader may read as well"


class RequestBudget:
    """The slots of one identity. Thread-safe; one object per process and identity.

    `sleep` (seconds) must let `now` advance; without one, a waiter also wakes as soon as this process frees a slot.
    `jitter` gives numbers in [0, 1).
    """

    def __init__(
        self,
        table: Table,
        partition: str,
        *,
        now: Clock,
        new_id: NewId,
        sleep: Callable[[float], None] | None = None,
        jitter: Callable[[], float] = random.random,
        wait_s: float = 30.0,
        reserved_wait_s: float = 60.0,
        patience_s: float = MAX_CLOSE_S,
        reader: str = "",
    ) -> None:
        """Take the `partition` of the identity's rows, that of its `reader` if it has one, and how long work waits.

        `patience_s`: how long at most where it is known that none opens, or where this process uses some and none has
        moved.
        """
        instance = new_id()
        self._rows = [SlotRows(table, rows, instance=instance, now=now) for rows in (partition, reader) if rows]
        self._now = now
        self._sleep = sleep
        self._jitter = jitter
        self._wait = timedelta(seconds=wait_s)
        self._reserved_wait = timedelta(seconds=reserved_wait_s)
        self._patience = timedelta(seconds=patience_s)
        self._moved_at = now()  # when a slot was last taken or given back here
        first = int(jitter() * RESERVED_SLOT)  # instances that begin at different slots seldom meet
        common = [(first + step) % RESERVED_SLOT for step in range(RESERVED_SLOT)]
        readers = [SLOTS + index for index in (*common, RESERVED_SLOT)] if reader else []
        self._allowed: dict[_Work, list[int]] = {  # slots by number, best first; the reader's follow the identity's
            _Work.RESERVED: [RESERVED_SLOT, *common],
            _Work.COMMON: [*common, RESERVED_SLOT],
            _Work.PAGE: [*readers, *common, RESERVED_SLOT],
        }
        self._changed = Condition()  # guards the five below
        self._lines: dict[_Work, list[object]] = {work: [] for work in _Work}  # who waits, first come first served
        self._known: dict[int, Row] = {}  # rows of slots not in use here, as last seen or written
        self._in_use: set[int] = set()  # slots that a thread of this process holds or is taking
        self._seen: set[int] = set()  # of the two, whose rows were read at least once
        self._releases = 0

    @contextmanager
    def slot(self, *, reserved: bool, or_reader: bool = False, limit_s: float = WHOLE_S) -> Iterator[Slot]:
        """Hold one slot while the body makes one request; `reserved`: the reserved slot, too, before it is lent.

        `or_reader`: of the identity or of its reader, as `Slot.is_readers` says. `limit_s`: of the request.
        `Slot.close_for` shuts all its slots, as BC's Retry-After is meant for the identity, not for one connection.

        Raises:
            BudgetExhausted: no slot came free in the waiting time, or it is known that none will.
            StoreUnavailable: the table did not answer.
        """
        work = _Work.RESERVED if reserved else _Work.PAGE if or_reader else _Work.COMMON
        index, row = self._acquire(work, timedelta(seconds=limit_s + MARGIN_S))
        closings: list[datetime] = []

        def close_for(seconds: float) -> None:
            until = self._now() + timedelta(seconds=min(max(seconds, 0.0), MAX_CLOSE_S))
            closings.append(until)
            self._close_others(index, until)

        try:
            yield Slot(close_for=close_for, is_readers=index >= SLOTS)
        finally:
            freed: Row | None = None
            try:
                freed = self._of(index).free(row, closed_until=max(closings, default=None))
            finally:
                self._put_back(index, freed, wake=True)

    def _of(self, index: int) -> SlotRows:
        return self._rows[index // SLOTS]

    def _acquire(self, work: _Work, lease: timedelta) -> tuple[int, Row]:
        line = self._lines[work]
        place = object()
        with self._changed:
            line.append(place)
        try:
            return self._wait_for_slot(place, work, lease)
        finally:
            with self._changed:
                line.remove(place)

    def _wait_for_slot(self, place: object, work: _Work, lease: timedelta) -> tuple[int, Row]:
        started = self._now()
        deadline = started + (self._reserved_wait if work is _Work.RESERVED else self._wait)
        mark_at = started
        poll_s = FIRST_POLL_S
        while True:
            with self._changed:
                releases = self._releases
                free = sum(index not in self._in_use for index in self._allowed[work])
                is_next = place in self._lines[work][:free]
            taken = self._take_any(work, lease) if is_next else None
            if taken is not None:
                return taken
            now = self._now()
            opens = self._opens_at(work)
            self._check_hope(now, opens, started, deadline)
            if now >= mark_at and self._mark(self._to_mark(now - started, work)):
                mark_at = now + MARK / 2  # it is renewed before it ends
            if opens > now:  # held back by rate or closing, and it is known until when
                self._pause((opens - now).total_seconds(), releases)
                continue
            delay = min(timedelta(seconds=poll_s * (0.5 + self._jitter() / 2)), deadline - now)
            self._pause(delay.total_seconds(), releases)
            poll_s = min(poll_s * 2, LAST_POLL_S)

    def _to_mark(self, waited: timedelta, work: _Work) -> list[int]:
        """Return the slots to be the next taker of: the one reserved for this work at once, others if it starves."""
        own = [index for index in self._allowed[work] if not _is_lent(index, work)]
        return own if waited >= MARK_AFTER else [index for index in own if index == RESERVED_SLOT]

    def _check_hope(self, now: datetime, opens: datetime, started: datetime, deadline: datetime) -> None:
        """Raise BudgetExhausted when waiting longer is too long, or in vain while others need this place."""
        if now >= deadline or opens >= deadline:
            raise BudgetExhausted(f"no request slot within {(deadline - started).total_seconds():.0f} s")
        with self._changed:
            is_stuck = bool(self._in_use) and now >= self._moved_at + self._patience
        if is_stuck or opens >= started + self._patience:
            raise BudgetExhausted("no request slot comes free for now, and other connections need this place")

    def _take_any(self, work: _Work, lease: timedelta) -> tuple[int, Row] | None:
        """Take a slot by what this process knows, else by what the table says now."""
        is_known = self._allowed[work][0] // SLOTS in self._seen  # else the reader's slots would wait for a rush
        taken = self._take_known(work, lease) if is_known else None
        return self._take_known(work, lease) if taken is None and self._look(work) else taken

    def _take_known(self, work: _Work, lease: timedelta) -> tuple[int, Row] | None:
        """Take the first slot that looks free by what this process knows, and forget what proves out of date."""
        for index in self._allowed[work]:
            lent = _is_lent(index, work)
            with self._changed:
                row = self._known.get(index)
                if row is None or index in self._in_use or not self._of(index).is_free(row, lent=lent):
                    continue
                if lent and self._lines[_Work.RESERVED]:
                    continue  # those it is reserved for wait here
                self._in_use.add(index)
            taken: Row | None = None
            try:
                taken = self._of(index).take(row, lease)
            finally:
                if taken is None:
                    self._put_back(index, None, wake=False)
            if taken is not None:
                self._moved_at = self._now()
                return index, taken
        return None

    def _look(self, work: _Work) -> bool:
        """Read the rows anew if that may show a free slot; return whether it was done."""
        with self._changed:
            now = self._now()
            others = [index for index in self._allowed[work] if index not in self._in_use]
            hopeful = {index // SLOTS for index in others if self._opening(index, work) <= now}
        for number in hopeful:
            rows = self._rows[number].read()
            with self._changed:
                self._seen.add(number)
                found = {number * SLOTS + index: row for index, row in rows.items()}
                self._known.update({index: row for index, row in found.items() if index not in self._in_use})
        return bool(hopeful)

    def _opens_at(self, work: _Work) -> datetime:
        """Return before when rate and closing surely let nobody pass."""
        with self._changed:
            return min(self._opening(index, work) for index in self._allowed[work])

    def _opening(self, index: int, work: _Work) -> datetime:
        row = self._known.get(index)
        return _ANY_TIME if row is None else opens_at(row, lent=_is_lent(index, work))

    def _mark(self, wanted: list[int]) -> bool:
        """Be the next taker of the first of these slots that can be marked; return whether there is one."""
        with self._changed:
            rows = [(index, self._known[index]) for index in wanted if index in self._known]
        for index, row in rows:
            marked = self._of(index).mark(row)
            if marked is not None:
                with self._changed:
                    if index not in self._in_use:
                        self._known[index] = marked
                return True
        return False

    def _close_others(self, own: int, until: datetime) -> None:
        for index in range(SLOTS):
            if index != own % SLOTS:
                self._of(own).close(index, until)
        with self._changed:
            self._known.clear()

    def _put_back(self, index: int, row: Row | None, *, wake: bool) -> None:
        with self._changed:
            self._in_use.discard(index)
            self._known.pop(index, None)
            if row is not None:
                self._known[index] = row
            if wake:
                self._moved_at = self._now()
                self._releases += 1
                self._changed.notify_all()

    def _pause(self, seconds: float, releases: int) -> None:
        if self._sleep is not None:
            self._sleep(seconds)
            return
        with self._changed:
            self._changed.wait_for(lambda: self._releases != releases, timeout=seconds)


def _is_lent(index: int, work: _Work) -> bool:
    """Return whether a slot is reserved for others than the work that would take it."""
    return index % SLOTS == RESERVED_SLOT and work is not _Work.RESERVED
