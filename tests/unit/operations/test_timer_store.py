"""When each timer began last, as rows: what was loaded and changed is stored unless somebody was faster."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.operations.timer_store import TimerRun, TimerStore
from tests.support.memory_storage import MemoryTables

AT = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_a_run_survives_its_row() -> None:
    """Each time of it; other connections see their own timers only."""
    table = MemoryTables().table("BcWatermarks")
    store = TimerStore(table, "eu")
    assert store.load("reconcile") == TimerRun(function="reconcile")
    full = TimerRun(
        function="reconcile", since=AT, by_timer_at=AT + HOUR, started_at=AT + 2 * HOUR, planned_at=AT + 3 * HOUR,
        busy_until=AT + 4 * HOUR,
    )  # fmt: skip
    assert store.save(full) == full
    assert store.save(TimerRun(function="pull_items", since=AT)) is not None
    assert store.load("reconcile") == full
    assert store.all() == {"reconcile": full, "pull_items": TimerRun(function="pull_items", since=AT)}
    assert TimerStore(table, "us").all() == {}


def test_the_second_of_two_who_change_a_run_learns_that_it_lost() -> None:
    """Also where both were the first to see the timer."""
    store = TimerStore(MemoryTables().table("BcWatermarks"), "eu")
    first = store.save(TimerRun(function="reconcile", since=AT))
    assert first is not None
    assert store.save(TimerRun(function="reconcile", since=AT)) is None
    assert store.save(replace(first, started_at=AT)) is not None
    assert store.save(replace(first, started_at=AT + HOUR)) is None
    assert store.load("reconcile").started_at == AT
    again = store.load("reconcile")
    assert store.save(replace(again, started_at=None)) is not None
    assert store.load("reconcile").started_at is None


@pytest.mark.parametrize(
    ("run", "last"),
    [
        (TimerRun(function="f"), None),
        (TimerRun(function="f", since=AT), AT),
        (TimerRun(function="f", since=AT + HOUR, started_at=AT), AT),
        (TimerRun(function="f", planned_at=AT + HOUR, started_at=AT), AT + HOUR),
        (TimerRun(function="f", planned_at=AT, started_at=AT + HOUR), AT + HOUR),
        (TimerRun(function="f", by_timer_at=AT, since=AT - HOUR), AT - HOUR),
    ],
)
def test_a_timer_ran_last_when_it_started_or_was_sent_for(run: TimerRun, last: datetime | None) -> None:
    """Before that, it is looked after since a time."""
    assert run.last == last


@pytest.mark.parametrize(
    ("busy_until", "is_busy"),
    [
        (None, False), (AT - HOUR, False), (AT, False), (AT + timedelta(seconds=1), True), (AT + HOUR, True),
        (AT + HOUR + timedelta(seconds=1), False),
    ],
)  # fmt: skip
def test_a_run_is_at_work_until_its_end_which_is_near(busy_until: datetime | None, is_busy: bool) -> None:
    """An end beyond an hour comes from a clock that was wrong."""
    assert TimerRun(function="f", busy_until=busy_until).is_busy(AT) is is_busy
