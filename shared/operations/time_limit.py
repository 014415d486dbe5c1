"""A limit on how long a look at something may take, whatever hangs inside it: `within`.

Owns one daemon thread a call, and nothing of what it does. A thread that hangs is left behind: its own time-outs end
it, and the process need not wait for it.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextvars import copy_context


class TookTooLong(Exception):
    """The work has not ended within its limit; whether it ever will is not known."""


def within[T](limit_s: float, work: Callable[[], T]) -> T:
    """Return what `work` returns, or raise what it raises, if it ends within `limit_s` seconds.

    Raises:
        TookTooLong: it did not; it goes on in its thread, and nobody waits for it.
    """
    ended = _begin(work)
    try:
        return ended.result(limit_s)
    except TimeoutError:
        if ended.done():
            raise
        raise TookTooLong from None


def side_by_side[T](works: Sequence[Callable[[], T]]) -> list[T]:
    """Return what each of them returns, in order; each has a thread of its own, so that none waits for a pool."""
    return [ended.result() for ended in [_begin(work) for work in works]]


def _begin[T](work: Callable[[], T]) -> Future[T]:
    ended: Future[T] = Future()
    context = copy_context()  # log lines stay those of this invocation

    def run() -> None:
        try:
            ended.set_result(context.run(work))
        except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
            ended.set_exception(error)

    threading.Thread(target=run, name="look", daemon=True).start()
    return ended
