"""Time for the emulator: clocks that can be turned by hand, and the one rounding all stored times share.

Every time in the engine is an aware UTC `datetime` from an injected `Callable[[], datetime]`; nothing here or
elsewhere in the package reads the real clock except `ScaledClock`, which the server uses.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

Clock = Callable[[], datetime]

#: What AL stores for "no date and time"; `0001-01-01T00:00:00Z` on the wire.
EMPTY_DATETIME: Final = datetime(1, 1, 1, tzinfo=UTC)
DEFAULT_START: Final = datetime(2026, 2, 11, 9, 0, 0, tzinfo=UTC)


def to_ms(moment: datetime) -> datetime:
    """Cut a time to whole milliseconds, the precision of SystemModifiedAt in API answers."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


class VirtualClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, start: datetime = DEFAULT_START) -> None:
        if start.tzinfo is None:
            raise ValueError("a clock needs an aware start time")
        self._now = start

    def __call__(self) -> datetime:
        """Return the present moment (aware UTC)."""
        return self._now

    def now(self) -> datetime:
        """Return the present moment (aware UTC)."""
        return self._now

    def advance(self, step: float | timedelta) -> datetime:
        """Move forward by seconds or a timedelta and return the new moment; time never runs backwards."""
        delta = step if isinstance(step, timedelta) else timedelta(seconds=step)
        if delta < timedelta(0):
            raise ValueError("time does not run backwards; use set() to start over")
        self._now += delta
        return self._now

    def set(self, moment: datetime) -> None:
        """Jump to a moment, forwards or backwards."""
        if moment.tzinfo is None:
            raise ValueError("a clock needs an aware time")
        self._now = moment


class ScaledClock:
    """The real clock, started where it is told and run `speed` times as fast; can be pushed forward."""

    def __init__(self, *, speed: float = 1.0, start: datetime | None = None) -> None:
        self._speed = speed
        self._base = start or datetime.now(UTC)
        self._origin_s = time.monotonic()

    def __call__(self) -> datetime:
        """Return the present moment (aware UTC)."""
        return self._base + timedelta(seconds=(time.monotonic() - self._origin_s) * self._speed)

    def advance(self, step: float | timedelta) -> datetime:
        """Push the clock forward by seconds or a timedelta and return the new moment."""
        self._base += step if isinstance(step, timedelta) else timedelta(seconds=step)
        return self()
