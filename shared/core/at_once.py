"""Several independent calls side by side."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context


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
