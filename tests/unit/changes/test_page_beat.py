"""The beat of a page that is at work for long."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from shared.changes.jobs import PageJob
from shared.changes.lost_pages import DOUBT, SILENT
from shared.changes.page_beat import PageBeat
from shared.changes.run_progress import Role, RunStore
from shared.errors import BCUnavailable, StoreUnavailable
from tests.support.memory_storage import MemoryTables

AT = datetime(2026, 3, 4, 12, tzinfo=UTC)
JOB = PageJob(run="r", purpose="pull", mode="delta", company="c", entity="items")


class Beaten:
    """A page that one delivery has taken, on a clock that stands still unless it is moved."""

    def __init__(self) -> None:
        """Take the page."""
        self.now = AT
        self.fault: Exception | None = None
        self.beats = threading.Semaphore(0)
        self.tables = MemoryTables(after=self._after, before=self._before)
        self.runs = RunStore(self.tables.table("BcWatermarks"), "c")
        rows = self.runs.planned([JOB], AT)
        for row in rows:
            self.tables.table("BcWatermarks").insert(row)
        assert self.runs.take_page(JOB, "m1", AT) is Role.GO

    def _before(self, _: str) -> None:
        if self.fault is not None:
            self.beats.release()
            raise self.fault

    def _after(self, _: str) -> None:
        self.beats.release()

    def beat(self, every_s: float | None = None) -> PageBeat:
        """The beat of the delivery that has it."""
        return PageBeat(self.runs, JOB, "m1", taken_at=self.now, now=lambda: self.now, every_s=every_s)

    def is_lost(self) -> bool:
        """Whether the timer would put it again now."""
        return bool(self.runs.put_lost_again(self.now, lambda _: True))


@pytest.fixture
def beaten() -> Beaten:
    """A page at work."""
    return Beaten()


def test_a_slow_page_says_so_and_is_not_put_again(beaten: Beaten) -> None:
    """Two minutes for one answer: while its worker lives the row is never silent; a bad moment of storage passes."""
    with beaten.beat(0.001) as beat:
        for _ in range(6):
            beaten.now += timedelta(seconds=20)
            _next_beats(beaten)
            assert not beaten.is_lost()
        beaten.fault = StoreUnavailable("busy")
        _next_beats(beaten)
        beaten.fault = None
        _next_beats(beaten)
        assert beat.is_ours()
    _let_threads_end()
    beaten.now += SILENT
    assert beaten.is_lost()  # the worker ended without a word, as a crash does: BaseException, or nothing at all


def _next_beats(beaten: Beaten) -> None:
    """Wait for two beats, of which the second has surely begun now."""
    while beaten.beats.acquire(blocking=False):
        pass
    for _ in range(2):
        assert beaten.beats.acquire(timeout=10)


def _let_threads_end() -> None:
    for thread in threading.enumerate():
        if thread.name == "page-beat":
            thread.join(10)


def test_a_page_that_another_delivery_has_taken_is_not_ours(beaten: Beaten) -> None:
    """The row is asked only after a silence in which it can have been put again."""
    with beaten.beat() as beat:
        beaten.now += DOUBT - timedelta(seconds=1)
        beaten.fault = StoreUnavailable("is not asked")
        assert beat.is_ours()
        beaten.fault = None
        beaten.now = AT + SILENT
        (again,) = beaten.runs.put_lost_again(beaten.now, lambda _: True)
        assert beat.is_ours()  # the other message has not come yet, and finds it at work
        assert beaten.runs.take_page(again, "m2", beaten.now) is Role.COPY
        beaten.now += DOUBT
        assert beaten.runs.take_page(again, "m2", beaten.now) is Role.GO
        beaten.now += DOUBT
        assert not beat.is_ours()


def test_a_page_that_failed_is_left_to_the_queue(beaten: Beaten) -> None:
    """It comes again by itself; and if that can't be noted, it is put again, which does no harm."""
    with pytest.raises(BCUnavailable), beaten.beat():
        raise BCUnavailable("later")
    beaten.now += timedelta(hours=1)
    assert not beaten.is_lost()
    beaten.runs.take_page(JOB, "m1", beaten.now)
    with pytest.raises(BCUnavailable), beaten.beat():
        beaten.fault = StoreUnavailable("gone")
        raise BCUnavailable("later")
    beaten.fault = None
    beaten.now += SILENT
    assert beaten.is_lost()
