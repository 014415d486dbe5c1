"""Threads of this process: one pool for independent calls, and how the interpreter and the C library share them out."""

import ctypes
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from itertools import count
from typing import Final

#: How long a thread keeps the interpreter while others want it. A thread that reads a page lets go of it at every
#: 16 KiB and waits this long to get it back from one that takes a page apart; Python's 5 ms made a pull a third slower.
SWITCH_S: Final = 0.0005
#: glibc gives threads heaps of their own, up to eight a core, and what one has let go of stays in its heap; so does a
#: large block once one of its size was let go of. A full pull of 100,000 items peaked at 307 MB, with these at 210 MB.
ARENAS: Final = 2
OWN_BLOCK: Final = 1_000_000  # bytes from which a block goes back to the system at once
_M_MMAP_THRESHOLD: Final = -3  # both as in malloc.h
_M_ARENA_MAX: Final = -8

#: Threads beside those of the callers, for the whole process: sessions are thread-local, so few threads that stay keep
#: few TLS connections open and use them again. More than the five requests that Business Central serves at once.
POOL_THREADS: Final = 8
_pool: Final = ThreadPoolExecutor(POOL_THREADS, thread_name_prefix="side")


def at_once[T, R](work: Callable[[T], R], inputs: Sequence[T], threads: int) -> list[R]:
    """Call `work` with each input, on up to `threads` threads, the caller's included; results in order of the inputs.

    The error of the first input that failed is raised, after all calls have ended. A call sees the caller's context
    variables: by one of them the Functions worker knows the invocation of a log line, and a line of none never reaches
    Application Insights. The caller works, too, and waits only for calls that have begun: calls inside of calls share
    the pool without waiting for each other.
    """
    if threads == 1 or len(inputs) < 2:
        return [work(each) for each in inputs]
    outcomes: list[Future[R]] = [Future() for _ in inputs]
    contexts = [copy_context() for _ in inputs]
    numbers = count()  # hands each number out once, to one thread: `next` on it is atomic

    def take_calls() -> None:
        while (number := next(numbers)) < len(inputs):
            try:
                outcomes[number].set_result(contexts[number].run(work, inputs[number]))
            except BaseException as error:  # noqa: BLE001 - raised below, in the caller's thread
                outcomes[number].set_exception(error)

    helpers = [_pool.submit(take_calls) for _ in range(min(threads, len(inputs)) - 1)]
    take_calls()
    for helper in helpers:
        helper.cancel()  # one that has not begun finds nothing to do
    wait(outcomes)
    return [outcome.result() for outcome in outcomes]


def tune() -> None:
    """Set all of it for the whole process; a C library without `mallopt` (macOS, Windows) is left as it is."""
    sys.setswitchinterval(SWITCH_S)
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_M_ARENA_MAX, ARENAS)
    mallopt(_M_MMAP_THRESHOLD, OWN_BLOCK)
