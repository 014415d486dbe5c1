"""Calls side by side: in order, at once, with the caller's context, and no error unseen."""

from contextvars import ContextVar
from threading import Barrier, get_ident

import pytest

from shared.concurrency import POOL_THREADS, at_once

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


def test_calls_inside_of_calls_share_the_pool_and_end() -> None:
    """Whoever waits works, too: more levels than the pool has threads do not stand still."""

    def work(depth: int) -> int:
        return 1 if depth == 0 else sum(at_once(work, [depth - 1] * 3, 3))

    assert at_once(work, [5, 5], 2) == [3**5, 3**5]


def test_threads_are_kept_for_the_next_call() -> None:
    """A thread holds a session with open TLS connections: 100 calls meet few threads, and the same again."""
    barrier = Barrier(3, timeout=10)

    def work(_: int) -> int:
        barrier.wait()
        return get_ident()

    threads = {name for _ in range(100) for name in at_once(work, range(3), 3)}
    assert len(threads) <= POOL_THREADS + 1
