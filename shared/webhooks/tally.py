"""Counts refused and dropped calls of the webhook route, so that a flood of them is a line a minute, not a line a call.

Two hundred thousand lines would fill the day's cap of the log and blind every alert. Owns counts and times only.
"""

import threading
from collections import Counter
from datetime import datetime, timedelta
from typing import Final

#: The first of a kind is logged at once, those that follow once in this time.
EVERY: Final = timedelta(minutes=1)


class Tally:
    """Counts by kind; one per process. Safe to share between threads."""

    def __init__(self) -> None:
        """Begin with nothing counted."""
        self._lock = threading.Lock()
        self._counts: dict[str, Counter[str]] = {}
        self._logged_at: dict[str, datetime] = {}

    def add(self, kind: str, now: datetime, **numbers: int) -> dict[str, int] | None:
        """Count one call; return all numbers since the last line, with `count` calls, when a line is due, else None."""
        with self._lock:
            counts = self._counts.setdefault(kind, Counter())
            counts.update({"count": 1, **numbers})
            logged_at = self._logged_at.get(kind)
            if logged_at is not None and timedelta(0) <= now - logged_at < EVERY:
                return None
            self._logged_at[kind] = now
            del self._counts[kind]
            return dict(counts)
