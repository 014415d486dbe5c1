"""Owns when a queue listener asks again: growing delays while a queue is empty, and wake-ups on a local enqueue."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable


class PollDelay:
    """The storage extension's randomised exponential back-off; all delays in seconds."""

    first_s = 0.1

    def __init__(self, cap_s: float, rng: Callable[[float, float], float] = random.uniform) -> None:
        self._cap_s = cap_s
        self._rng = rng
        self._empty_polls = 0

    def reset(self) -> None:
        """Start over: a message was found."""
        self._empty_polls = 0

    def next_s(self) -> float:
        """Return how long to wait after a poll that found nothing."""
        self._empty_polls += 1
        if self._empty_polls == 1:
            return min(self.first_s, self._cap_s)
        growth = 2.0 ** min(self._empty_polls - 2, 30) * self._rng(0.8, 1.2)
        return min(self._cap_s, self.first_s + self.first_s * growth)


class WakeUps:
    """Tells the listeners of a queue that this process just put a message into it."""

    def __init__(self) -> None:
        self._events: dict[str, list[asyncio.Event]] = defaultdict(list)

    def event(self, queue_key: str) -> asyncio.Event:
        """Return an event that is set at every enqueue to that queue; its owner clears it."""
        event = asyncio.Event()
        self._events[queue_key].append(event)
        return event

    def wake(self, queue_key: str) -> None:
        """Set the events of a queue."""
        for event in self._events.get(queue_key, ()):
            event.set()
