"""When a call may be tried again, and after how long: one value, no clock, no randomness of its own."""

from dataclasses import dataclass
from typing import Final

from shared.errors import BCError, BCThrottled

#: Codes of our own for an answer that took too long or was too large: the same question would end the same way.
TIMEOUT: Final = "timeout"
TOO_LARGE: Final = "size"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """For repeatable calls (reads) only; longer faults are waited out by the queue, not by a sleeping thread."""

    attempts: int = 3  # tries in all, the first included
    base_s: float = 0.5
    cap_s: float = 8.0  # a longer Retry-After ends the call at once

    def wait_s(self, error: BCError, *, tried: int, roll: float) -> float | None:
        """Return seconds to wait before try `tried + 1`, None to give up; `roll` is uniform in [0, 1).

        504, like an answer that we cut off, means "ask for less" and never "ask again".
        """
        if tried >= self.attempts or not error.retryable or asks_for_less(error):
            return None
        if error.retry_after_s is not None:
            return error.retry_after_s if error.retry_after_s <= self.cap_s else None
        floor_s = 1.0 if isinstance(error, BCThrottled) else 0.0
        return floor_s + roll * min(self.cap_s - floor_s, self.base_s * 2.0 ** (tried - 1))


def asks_for_less(error: BCError) -> bool:
    """Return whether a smaller page may succeed where this answer did not."""
    return error.status == 504 or error.code in {TIMEOUT, TOO_LARGE}


READ = RetryPolicy()
ONCE = RetryPolicy(attempts=1)
