"""Activity: counts survive processes that race, storage that fails and hours that end, and cost next to nothing."""

import logging
from collections import Counter
from datetime import UTC, datetime, timedelta

from shared.errors import StoreUnavailable
from shared.log import log_event
from shared.operations.activity import KEPT, Activity
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


def test_events_of_the_log_and_requests_are_counted_by_company_and_entity() -> None:
    """What the log says is counted where it is said; what stands for nothing here is not."""
    world = World()
    activity, log = world.process(), logging.getLogger("tests.activity")
    with activity.counted():
        log_event(log, "page.read", company="a", entity="items", events=3)
        log_event(log, "notifications.processed", company="a", entity="items", events=2)
        log_event(log, "page.read", company="b", entity="items", events=0)
        log_event(log, "order.rejected", company="a", order_key="k")
        log_event(log, "bc.throttled", path="x")
        log_event(log, "run.planned", company="a", entity="items")
        count("requests", 4)
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
        with activity.counted():
            count("created")
    assert kept(world.process()) == {"created": 4}
    assert sorted({each.hour.hour for each in one.week().counts}) == [13, 14]
    assert one.week().last == {"created": world.now}


def test_a_busy_process_writes_once_a_minute_and_an_idle_one_never() -> None:
    """One write a minute (and one read, which the memory does not count): what the module's first lines promise."""
    world = World()
    activity = world.process()
    for _ in range(600):  # ten minutes, a job a second
        world.now += timedelta(seconds=1)
        with activity.counted():
            count("requests")
    writes = sum(world.operations.values())
    assert writes <= 11
    for _ in range(10):
        world.now += HOUR
        with activity.counted():
            pass
    assert sum(world.operations.values()) <= writes + 1  # what was left over
    assert kept(activity) == {"requests": 600}


def test_what_cannot_be_kept_is_tried_again() -> None:
    """An hour without storage loses nothing, and each count stays in its hour."""
    world = World()
    activity = world.process()
    world.is_down = True
    for _ in range(3):
        with activity.counted():
            count("announced", 2, "a", "items")
        world.now += HOUR
    world.is_down = False
    with activity.counted():
        count("announced", 2, "a", "items")
    assert [number for _, number in sorted(activity.week().counts.items())] == [2, 2, 2, 2]


def test_after_a_week_it_is_forgotten() -> None:
    """Rows do not pile up."""
    world = World()
    activity = world.process()
    for _ in range(10 * 24):
        world.now += HOUR
        with activity.counted():
            count("requests")
    assert kept(activity) == {"requests": KEPT // HOUR + 1}
    assert len(list(world.tables.table("BcWatermarks").query("c|activity"))) <= KEPT // HOUR + 1


def test_a_row_that_cannot_be_read_hides_no_other() -> None:
    """It is for show."""
    world = World()
    activity = world.process()
    with activity.counted():
        count("created")
    table = world.tables.table("BcWatermarks")
    (row,) = table.query("c|activity")
    table.upsert(row.with_values(counts=b"nonsense"))
    assert kept(activity) == {}
