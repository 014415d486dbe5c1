"""Calls side by side: in order, at once, with the caller's context, and no error unseen."""

from contextvars import ContextVar
from threading import Barrier

import pytest

from shared.concurrency import at_once

_invocation: ContextVar[str] = ContextVar("invocation", default="none")


def test_results_are_in_order_and_calls_at_once() -> None:
    """All four meet at the barrier, which one after the other never would."""
    barrier = Barrier(4, timeout=10)

    def work(one: int) -> tuple[int, str]:
        barrier.wait()
        return one, _invocation.get()

    token = _invocation.set("of the caller")
    try:
        assert at_once(work, range(4), 4) == [(one, "of the caller") for one in range(4)]
    finally:
        _invocation.reset(token)


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_is_raised(threads: int) -> None:
    """With threads or without."""
    with pytest.raises(ZeroDivisionError):
        at_once(lambda one: 1 // one, [1, 0, 2], threads)
