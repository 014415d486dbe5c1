"""Threads of this process: independent calls side by side, and how the interpreter and the C library share them out."""

import ctypes
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
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


def at_once[T, R](work: Callable[[T], R], ones: Sequence[T], threads: int) -> list[R]:
    """Do the same for each, on up to `threads` threads; the results are in order, the first error is raised.

    The calls see the caller's context variables: by one of them the worker tells which invocation a log line is of, and
    a line of none would never reach Application Insights.
    """
    if threads == 1 or len(ones) < 2:
        return [work(one) for one in ones]
    contexts = [copy_context() for _ in ones]
    with ThreadPoolExecutor(min(threads, len(ones))) as pool:
        return list(pool.map(lambda context, one: context.run(work, one), contexts, ones))


def tune() -> None:
    """Set all of it for the whole process; a C library without `mallopt` (macOS, Windows) keeps its ways."""
    sys.setswitchinterval(SWITCH_S)
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_M_ARENA_MAX, ARENAS)
    mallopt(_M_MMAP_THRESHOLD, OWN_BLOCK)
