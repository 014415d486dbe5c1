"""What this process has done, counted in memory by hour, kind, company and entity, until somebody takes it away.

What is counted are the events of the log, which say it anyway, and requests to Business Central. Owns counts and
times; knows no store. Which connection's counts grow is a context variable, which the threads of a job share.
"""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from shared.clock import Clock

ANNOUNCED: Final = "announced"
CREATED: Final = "created"
DELIVERED: Final = "delivered"
REQUESTS: Final = "requests"
#: Event of the log -> what it counts, and the field with the number; "": one.
_EVENTS: Final[dict[str, tuple[str, str]]] = {
    "page.read": (ANNOUNCED, "events"), "notifications.processed": (ANNOUNCED, "events"),
    "order.created": (CREATED, ""), "order.rejected": ("rejected", ""), "order.parked": ("parked", ""),
    "bc.throttled": ("throttled", ""),
}  # fmt: skip
KINDS: Final = (ANNOUNCED, CREATED, "rejected", "parked", DELIVERED, REQUESTS, "throttled")


class Counted(NamedTuple):
    """What is counted: in which hour (UTC, aware), what, and of which company id and entity ("": of none)."""

    hour: datetime
    kind: str
    company: str
    entity: str


@dataclass(frozen=True, slots=True)
class Taken:
    """Counts, and when each kind was counted last."""

    counts: Counter[Counted] = field(default_factory=Counter)
    last: dict[str, datetime] = field(default_factory=dict)


class WorkCounts:
    """The counts of one connection in one process. Safe to share between threads."""

    def __init__(self, now: Clock) -> None:
        """Begin with nothing counted."""
        self._now = now
        self._lock = threading.Lock()
        self._held = Taken()

    def add(self, kind: str, number: int = 1, company: str = "", entity: str = "") -> None:
        """Count something."""
        if number <= 0:
            return
        at = self._now()
        key = Counted(at.replace(minute=0, second=0, microsecond=0), kind, company, entity)
        with self._lock:
            self._held.counts[key] += number
            self._held.last[kind] = at

    def take(self) -> Taken:
        """Return all that was counted, and begin with nothing."""
        with self._lock:
            taken, self._held = self._held, Taken()
        return taken

    def put_back(self, taken: Taken) -> None:
        """Count again what could not be kept."""
        with self._lock:
            self._held = Taken(taken.counts + self._held.counts, {**taken.last, **self._held.last})


_current: ContextVar[WorkCounts | None] = ContextVar("work_counts", default=None)


@contextmanager
def counting(counts: WorkCounts) -> Iterator[None]:
    """Let what is done inside, also in threads that share the context, grow these counts."""
    token = _current.set(counts)
    try:
        yield
    finally:
        _current.reset(token)


def count(kind: str, number: int = 1, company: str = "", entity: str = "") -> None:
    """Count something for the connection at work; nothing where none is."""
    counts = _current.get()
    if counts is not None:
        counts.add(kind, number, company, entity)


def count_event(event: str, fields: Mapping[str, object]) -> None:
    """Count what an event of the log says."""
    counts = _current.get()
    if counts is None or event not in _EVENTS:
        return
    kind, number_field = _EVENTS[event]
    number = fields.get(number_field, 0) if number_field else 1
    company, entity = (str(fields.get(name, "")) for name in ("company", "entity"))
    counts.add(kind, number if isinstance(number, int) else 0, company, entity)
