"""Request accounting per principal, and the limits of the online service as a switch.

Docs "Operational limits for Business Central online": 6,000 requests in a sliding window of 5 minutes, 5 requests
processed at once, up to 95 more waiting. Counting goes on while the switch is off, so that a test can prove that a
client stayed within the limits.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

WINDOW: Final = timedelta(minutes=5)
MAX_IN_WINDOW: Final = 6_000
MAX_AT_ONCE: Final = 5
MAX_CONNECTIONS: Final = 100


@dataclass(slots=True)
class Usage:
    """What one principal used."""

    requests: int = 0
    refused: int = 0  # answered 429 by a limit
    over_window: int = 0  # would have been refused for 6,000 in 5 minutes
    over_at_once: int = 0  # began while 5 were being processed
    max_in_window: int = 0
    max_at_once: int = 0
    at_once: int = 0
    waiting: int = 0
    recent: deque[datetime] = field(default_factory=deque)
    at_once_s: dict[int, float] = field(default_factory=dict)  # real seconds with so many being processed
    since: float = 0.0  # of `at_once`, by a monotonic clock

    def to_json(self) -> dict[str, Any]:
        """Return the counters for the control API."""
        names = ("requests", "refused", "over_window", "over_at_once", "max_in_window", "max_at_once", "at_once_s")
        return {name: getattr(self, name) for name in names}

    def change(self, by: int) -> None:
        """Begin or end requests, and keep how long it was as it was."""
        now = time.monotonic()
        if self.at_once:
            self.at_once_s[self.at_once] = self.at_once_s.get(self.at_once, 0.0) + now - self.since
        self.at_once, self.since = self.at_once + by, now


class Limits:
    """The counters and, when enforced, the limits."""

    def __init__(self, *, enforced: bool = False) -> None:
        self.enforced = enforced
        self.max_in_window = MAX_IN_WINDOW
        self.max_at_once = MAX_AT_ONCE
        self.usage: dict[str, Usage] = {}
        self.methods: dict[str, int] = {}
        self._turn = threading.Condition()

    def count(self, principal: str, now: datetime, method: str) -> bool:
        """Count a request; False when the sliding window is full and limits are enforced."""
        usage = self.usage.setdefault(principal, Usage())
        while usage.recent and usage.recent[0] <= now - WINDOW:
            usage.recent.popleft()
        usage.requests += 1
        self.methods[method] = self.methods.get(method, 0) + 1
        if len(usage.recent) >= self.max_in_window:
            usage.over_window += 1
            if self.enforced:
                usage.refused += 1
                return False
        usage.recent.append(now)
        usage.max_in_window = max(usage.max_in_window, len(usage.recent))
        return True

    def enter(self, principal: str, *, wait: bool = True) -> bool:
        """Take a place among the requests being processed; False when 100 connections are open.

        With limits enforced and no place free, a waiting caller blocks until one is (threads only).
        """
        with self._turn:
            usage = self.usage.setdefault(principal, Usage())
            if usage.at_once >= self.max_at_once:
                usage.over_at_once += 1
                if self.enforced and (not wait or usage.at_once + usage.waiting >= MAX_CONNECTIONS):
                    usage.refused += 1
                    return False
                if self.enforced:
                    usage.waiting += 1
                    self._turn.wait_for(lambda: usage.at_once < self.max_at_once)
                    usage.waiting -= 1
            usage.change(1)
            usage.max_at_once = max(usage.max_at_once, usage.at_once)
            return True

    def leave(self, principal: str) -> None:
        """Give the place back."""
        with self._turn:
            self.usage[principal].change(-1)
            self._turn.notify_all()

    def statistics(self) -> dict[str, Any]:
        """Return all counters for the control API."""
        return {
            "requests": sum(usage.requests for usage in self.usage.values()),
            "methods": dict(self.methods),
            "principals": {name: usage.to_json() for name, usage in self.usage.items()},
        }

    def reset(self) -> None:
        """Set all counters to zero."""
        with self._turn:
            self.methods.clear()
            for usage in self.usage.values():
                keep = usage.at_once
                for name in ("requests", "refused", "over_window", "over_at_once", "max_in_window", "max_at_once"):
                    setattr(usage, name, 0)
                usage.recent.clear()
                usage.at_once_s.clear()
                usage.max_at_once = keep


TokenCheck = Callable[[str], str | None]


def accept_good_tokens(bearer: str) -> str | None:
    """Accept any token that starts with `good-`; the rest of it names the principal."""
    return bearer.removeprefix("good-") if bearer.startswith("good-") and bearer != "good-" else None
