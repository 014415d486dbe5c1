"""A request budget without limits, for tests of what is done with a slot."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock

from shared.business_central.port import WHOLE_S, Slot


@dataclass
class UnlimitedBudget:
    """Gives a slot at once; keeps what was asked of it."""

    taken: list[bool] = field(default_factory=list)  # `reserved` of each slot, in order
    closed_for: list[float] = field(default_factory=list)  # seconds, as asked by `close_for`
    open_now: int = 0
    most_open: int = 0
    _lock: Lock = field(default_factory=Lock)

    @contextmanager
    def slot(self, *, reserved: bool, or_reader: bool = False, limit_s: float = WHOLE_S) -> Iterator[Slot]:
        """Hold a slot while the body runs; the reader's where it may be."""
        with self._lock:
            self.taken.append(reserved)
            self.open_now += 1
            self.most_open = max(self.most_open, self.open_now)
        try:
            yield Slot(close_for=self.closed_for.append, is_readers=or_reader)
        finally:
            with self._lock:
                self.open_now -= 1
