"""Several independent calls side by side."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor


def at_once[T, R](work: Callable[[T], R], ones: Sequence[T], threads: int) -> list[R]:
    """Do the same for each, on up to `threads` threads; the results are in order, the first error is raised."""
    if threads == 1 or len(ones) < 2:
        return [work(one) for one in ones]
    with ThreadPoolExecutor(min(threads, len(ones))) as pool:
        return list(pool.map(work, ones))
