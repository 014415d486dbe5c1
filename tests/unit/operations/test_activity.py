"""Activity: counts survive processes that race, storage that fails and hours that end, and cost next to nothing."""

import logging
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from shared.errors import StoreUnavailable
from shared.log import log_event
from shared.operations.activity import KEPT, Activity
from shared.outputs import Outputs
from shared.work_counts import Counted, count
from tests.support.memory_storage import MemoryTables

AT = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


class World:
    """A table, a clock, and processes over both."""

    def __init__(self) -> None:
        self.now = AT
        self.operations: Counter[str] = Counter()
        self.tables = MemoryTables(before=self._note)
        self.is_down = False

    def _note(self, operation: str) -> None:
        if self.is_down:
            raise StoreUnavailable("Table Storage: 503")
        self.operations[operation.partition(".")[2]] += 1

    def process(self) -> Activity:
        return Activity(self.tables.table("BcWatermarks"), "c", lambda: self.now)


def kept(activity: Activity) -> dict[str, int]:
    """How often each kind was counted."""
    found: Counter[str] = Counter()
    for each, number in activity.week().counts.items():
        found[each.kind] += number
    return dict(found)


def did(activity: Activity, kind: str, number: int = 1, *, pages: tuple[str, ...] = ()) -> None:
    """A job that counts something."""

    def work() -> Outputs:
        count(kind, number, "a", "items")
        return Outputs(pages=pages)

    activity.counted(work)


def test_events_of_the_log_and_requests_are_counted_by_company_and_entity() -> None:
    """What the log says is counted where it is said; what stands for nothing here is not."""
    world = World()
    activity, log = world.process(), logging.getLogger("tests.activity")

    def work() -> Outputs:
        log_event(log, "page.read", company="a", entity="items", events=3)
        log_event(log, "notifications.processed", company="a", entity="items", events=2)
        log_event(log, "page.read", company="b", entity="items", events=0)
        log_event(log, "order.rejected", company="a", order_key="k")
        log_event(log, "bc.throttled", path="x")
        log_event(log, "run.planned", company="a", entity="items")
        count("requests", 4)
        return Outputs()

    activity.counted(work)
    count("requests")  # nobody's
    hour = AT.replace(minute=0)
    assert activity.week().counts == {
        Counted(hour, "announced", "a", "items"): 5, Counted(hour, "rejected", "a", ""): 1,
        Counted(hour, "throttled", "", ""): 1, Counted(hour, "requests", "", ""): 4,
    }  # fmt: skip
    assert activity.week().last["announced"] == AT


def test_processes_add_to_one_row_an_hour() -> None:
    """Two at once, and again an hour later."""
    world = World()
    one, other = world.process(), world.process()
    for activity in (one, other, one, other):
        world.now += timedelta(minutes=31)
        did(activity, "created")
    assert kept(world.process()) == {"created": 4}
    assert sorted({each.hour.hour for each in one.week().counts}) == [13, 14]
    assert one.week().last == {"created": world.now}


def test_a_busy_process_writes_once_a_minute_and_an_idle_one_never() -> None:
    """Ten minutes with a job a second, each followed by another."""
    world = World()
    activity = world.process()
    for _ in range(600):
        world.now += timedelta(seconds=1)
        did(activity, "requests", pages=("next",))
    writes = sum(world.operations.values())
    assert writes <= 11
    for _ in range(10):
        world.now += HOUR
        activity.counted(Outputs)
    assert sum(world.operations.values()) <= writes + 1  # what was left over
    assert kept(activity) == {"requests": 600}


def test_jobs_side_by_side_are_kept_by_the_last_of_them() -> None:
    """A hundred at once write twice, and nothing of them waits for the next job."""
    world = World()
    activity = world.process()

    def work() -> Outputs:
        for _ in range(100):
            did(activity, "created")
        return Outputs()

    activity.counted(work)
    assert sum(world.operations.values()) == 2
    assert kept(activity) == {"created": 100}


def test_the_end_of_a_run_is_not_left_to_the_next_one() -> None:
    """A burst of seconds after hours of nothing: its last job keeps all of it."""
    world = World()
    activity = world.process()
    for pages in (("next",), ("next",), ()):
        world.now += timedelta(seconds=1)
        did(activity, "announced", pages=pages)
    assert kept(activity) == {"announced": 3}


def test_work_that_fails_is_counted_too() -> None:
    """Its requests were made."""
    world = World()
    activity = world.process()

    def work() -> Outputs:
        count("requests")
        raise StoreUnavailable("gone")

    with pytest.raises(StoreUnavailable):
        activity.counted(work)
    assert kept(activity) == {"requests": 1}


def test_what_cannot_be_kept_is_tried_again() -> None:
    """An hour without storage loses nothing, and each count stays in its hour."""
    world = World()
    activity = world.process()
    world.is_down = True
    for _ in range(3):
        did(activity, "announced", 2)
        world.now += HOUR
    world.is_down = False
    did(activity, "announced", 2)
    assert [number for _, number in sorted(activity.week().counts.items())] == [2, 2, 2, 2]


def test_after_a_week_it_is_forgotten() -> None:
    """Rows do not pile up."""
    world = World()
    activity = world.process()
    for _ in range(10 * 24):
        world.now += HOUR
        did(activity, "requests")
    assert kept(activity) == {"requests": KEPT // HOUR + 1}
    assert len(list(world.tables.table("BcWatermarks").query("c|activity"))) <= KEPT // HOUR + 1


def test_a_row_that_cannot_be_read_hides_no_other() -> None:
    """It is for show."""
    world = World()
    activity = world.process()
    did(activity, "created")
    table = world.tables.table("BcWatermarks")
    (row,) = table.query("c|activity")
    table.upsert(row.with_values(counts=b"nonsense"))
    assert kept(activity) == {}
