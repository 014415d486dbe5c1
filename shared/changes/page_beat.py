"""Says of a page that is at work for long that its worker lives, so that nobody puts it again.

Owns the thread that does so while the page's own thread waits for Business Central. Most pages are done before the
first beat, which then costs nothing but the thread.
"""

import threading
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Final, Self

from shared.changes.jobs import PageJob
from shared.changes.lost_pages import DOUBT
from shared.changes.run_progress import RunStore
from shared.clock import Clock
from shared.errors import IntegrationError


class PageBeat:
    """The beat of one delivery that has taken a page. Use as a context manager."""

    def __init__(
        self, runs: RunStore, job: PageJob, message_id: str, *, taken_at: datetime, now: Clock, every_s: float | None
    ) -> None:
        """Take whose beat it is, and when it took its page; `every_s` None: it says nothing by itself."""
        self._say: Final[Callable[[], bool]] = lambda: runs.beat(job, message_id, now())
        self._let_go: Final[Callable[[], None]] = lambda: runs.let_go(job, message_id, now())
        self._note_next: Final[Callable[[PageJob], None]] = lambda one: runs.note_next(job, message_id, one, now())
        self._now = now
        self._every_s = every_s
        self._said_at = taken_at
        self._is_over = threading.Event()

    def __enter__(self) -> Self:
        if self._every_s is not None:
            threading.Thread(target=self._go_on, args=(self._every_s,), name="page-beat", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        if isinstance(error, Exception):  # the queue delivers the page again
            self.let_go()

    def is_ours(self) -> bool:
        """Return whether the page is still this delivery's; asked of the row only where another may have taken it.

        Raises:
            StoreUnavailable: nobody knows.
        """
        return self._now() - self._said_at < DOUBT or self._say()

    def end(self, successor: PageJob | None) -> None:
        """Note the job that follows the page, whose message leaves now; None: its run is given up.

        Raises:
            StoreUnavailable: it could not be noted; the page comes again.
        """
        if successor is None:
            self.let_go()
        else:
            self._note_next(successor)

    def let_go(self) -> None:
        """Note that the worker has ended without a successor; as good as can be."""
        try:
            self._let_go()
        except IntegrationError:
            return  # it counts as silent then, and is put again

    def _go_on(self, every_s: float) -> None:
        while not self._is_over.wait(every_s):
            at = self._now()
            try:
                if not self._say():
                    return
            except IntegrationError:
                continue
            self._said_at = at
