"""A request rate that holds in every sliding window: the generic cell rate algorithm (GCRA), exact in microseconds.

One value is kept: `due`, when the next request would be due at the steady pace. A request may come up to `slack` early,
which is the burst. Requests in any closed span S are then at most floor((S + slack) / interval) + 1.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self


@dataclass(frozen=True, slots=True)
class Rate:
    """A pace of one request per `interval`, from which a burst may run ahead by `slack`."""

    interval: timedelta
    slack: timedelta

    @classmethod
    def within(cls, *, requests: int, window: timedelta, burst: int) -> Self:
        """Return the fastest rate that lets at most `requests` pass in any closed span of `window`.

        After a pause of `burst` intervals, `burst` of them may pass at once (1 <= burst < requests).
        """
        if not 1 <= burst < requests:
            raise ValueError("burst is at least 1 and below requests")
        # floor(window / interval) + burst <= requests holds as soon as interval > window / (requests - burst + 1)
        interval = window // (requests - burst + 1) + timedelta(microseconds=1)
        return cls(interval, interval * (burst - 1))

    def ready_at(self, due: datetime) -> datetime:
        """Return from when the next request may pass."""
        return due - self.slack

    def spend(self, due: datetime, at: datetime) -> datetime:
        """Return the new `due` after a request that passes at `at`, which is not before `ready_at(due)`."""
        return max(due, at) + self.interval
