"""Runs what timers run, one plan at a time, and sends for what is overdue when the host's timers have stopped (P28).

Every webhook delivery, queue job and health call asks `SecondClock.look`; once in ten minutes a process that reads one
table. What is overdue leaves as a message on bc-notifications, so that nobody who looked has to do the work.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from shared.clock import Clock, NewId
from shared.errors import IntegrationError
from shared.log import about, log_event
from shared.operations.timer_store import TimerRun, TimerStore
from shared.operations.timers import Timer, TimerJob
from shared.outputs import Outputs

log: Final = logging.getLogger(__name__)

#: How often one process looks.
LOOK_EVERY: Final = timedelta(minutes=10)
#: What was never started by this release is not sent for sooner: while a deployment goes on, the release before runs
#: the timers and notes nothing, and it would not understand the message.
FIRST_HOUR: Final = timedelta(hours=1)


def run_once(
    store: TimerStore, timer: Timer, work: Callable[[], Outputs], *, now: Clock, by_timer: bool = True
) -> Outputs:
    """Do a timer's work unless a run of it is at work: a late run, an admin's start and the second clock may coincide.

    Raises:
        StoreUnavailable: the start can't be noted; nothing was done.
    """
    began = now()
    known = store.load(timer.function)
    noted = None
    if not known.is_busy(began):
        until = timer.may_run_until(began)
        noted = store.save(
            replace(
                known, since=known.since or began, started_at=began, busy_until=until,
                by_timer_at=began if by_timer else known.by_timer_at,
            )
        )  # fmt: skip
    if noted is None:
        log_event(log, "timer.skipped", kind=timer.function, reason="a run of it is at work")
        return Outputs()
    try:
        return work()
    finally:
        _end(store, noted)


def _end(store: TimerStore, noted: TimerRun) -> None:
    """Note that the run is over; if that can't be noted, it counts as over when its time has passed."""
    try:
        store.save(replace(noted, busy_until=None))
    except IntegrationError as error:
        log_event(log, "bc.failed", level=logging.WARNING, error=type(error).__name__, reason=str(error))


class SecondClock:
    """The look at the timers, throttled; one per process. Safe to share between threads."""

    def __init__(
        self, stores: Callable[[], Mapping[str, TimerStore]], timers: Sequence[Timer], *, now: Clock, new_id: NewId
    ) -> None:
        """Look at nothing yet; `stores` gives those of the connections that can work, by id."""
        self._stores = stores
        self._timers = timers
        self._now = now
        self._new_id = new_id
        self._lock = threading.Lock()
        self._looked_at: datetime | None = None

    def look(self) -> tuple[str, ...]:
        """Return messages for bc-notifications that run what is overdue; mostly none, and never an error."""
        now = self._now()
        with self._lock:
            if self._looked_at is not None and timedelta(0) <= now - self._looked_at < LOOK_EVERY:
                return ()
            self._looked_at = now
        sent: list[str] = []
        try:
            for connection, store in self._stores().items():
                known = store.all()
                with about(connection):
                    for timer in self._timers:
                        if self._send_for(store, timer, known.get(timer.function), now):
                            job = TimerJob(function=timer.function, job=self._new_id(), connection=connection)
                            sent.append(job.to_text())
        except IntegrationError as error:
            log_event(log, "bc.failed", level=logging.WARNING, error=type(error).__name__, reason=str(error))
        return tuple(sent)

    @staticmethod
    def _send_for(store: TimerStore, timer: Timer, known: TimerRun | None, now: datetime) -> bool:
        """Return whether a timer's work must be sent for, which is noted."""
        if known is None or known.last is None:
            store.save(TimerRun(function=timer.function, since=now))
            return False
        is_new = known.started_at is None and now - known.last < FIRST_HOUR
        if is_new or known.is_busy(now) or not timer.is_overdue(known.last, now):
            return False
        if store.save(replace(known, planned_at=now)) is None:
            return False  # another process sends for it, or it has just begun
        log_event(
            log, "timer.overdue", level=logging.ERROR, kind=timer.function, last_at=known.last,
            due=timer.second_due(known.last), reason=timer.fault or "its timer has not started it",
        )  # fmt: skip
        return True
