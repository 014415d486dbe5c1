"""Schedules, and the timer runner under a virtual clock."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from local.functions_host.functions import Function, RetryPolicy
from local.functions_host.invocation import Outcome
from local.functions_host.schedules import Status, fires_often, parse_schedule, plan_start
from local.functions_host.timers import Clock, TimerRunner, retry_delay_s

START = datetime(2026, 3, 4, 12, 0, 30, tzinfo=UTC)  # a Wednesday
MINUTE = timedelta(minutes=1)


def after(expression: str, moment: datetime = START, zone: str = "UTC") -> datetime:
    return parse_schedule(expression, ZoneInfo(zone)).after(moment)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 */15 * * * *", "2026-03-04T12:15:00"),
        ("0 7-59/15 * * * *", "2026-03-04T12:07:00"),
        ("*/15 * * * *", "2026-03-04T12:15:00"),  # five fields: no seconds
        ("30 0 12 * * *", "2026-03-05T12:00:30"),  # strictly after
        ("* * * * * *", "2026-03-04T12:00:31"),
        ("0 0 0 13 * FRI", "2026-03-13T00:00:00"),  # day and weekday must both match
        ("0 0 0 13 * 1", "2026-04-13T00:00:00"),
        ("0 0 9 * JAN-MAR Mon-Fri", "2026-03-05T09:00:00"),
        ("00:05:00", "2026-03-04T12:05:30"),
        ("1.00:00:00", "2026-03-05T12:00:30"),
    ],
)
def test_next_occurrence(expression: str, expected: str) -> None:
    """An occurrence is the first one strictly after the moment."""
    assert after(expression) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


def test_schedule_follows_its_time_zone() -> None:
    """A daily time stays at its local hour when the clocks change."""
    friday = datetime(2026, 3, 27, 12, tzinfo=UTC)
    assert after("0 30 8 * * *", friday, "Europe/Berlin") == datetime(2026, 3, 28, 7, 30, tzinfo=UTC)
    sunday = datetime(2026, 3, 29, 12, tzinfo=UTC)
    assert after("0 30 8 * * *", sunday, "Europe/Berlin") == datetime(2026, 3, 30, 6, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["", "* * * *", "0 0 0 L * *", "@daily", "0 0 0 ? * *", "61 * * * * *", "0 0 0 * * MON#2", "00:00:00", "25:00:00"],
)  # fmt: skip
def test_what_ncrontab_refuses(text: str) -> None:
    """Forms of other crons are an error and not silently something else."""
    with pytest.raises(ValueError):
        parse_schedule(text, UTC)


def test_frequent_schedules_are_known() -> None:
    """More than once a minute is too often to be monitored."""
    assert fires_often(parse_schedule("*/30 * * * * *", UTC), START)
    assert fires_often(parse_schedule("0,10 0 * * * *", UTC), START)
    assert not fires_often(parse_schedule("0 * * * * *", UTC), START)


def test_plan_at_start() -> None:
    """No status or another schedule starts afresh; a missed occurrence of the same schedule is past due."""
    hourly = parse_schedule("0 0 * * * *", UTC)
    assert plan_start(None, hourly, START).past_due is False
    last = START - timedelta(hours=3)
    missed = Status(last, hourly.after(last), last)
    assert plan_start(missed, hourly, START).past_due is True
    other = plan_start(missed, parse_schedule("0 10 * * * *", UTC), START)
    assert (other.past_due, other.is_new, other.status.following) == (False, True, START.replace(minute=10, second=0))
    never_run = Status(None, hourly.after(last), last)
    assert plan_start(never_run, hourly, START).past_due is True
    in_time = Status(START, hourly.after(START), START)
    assert plan_start(in_time, hourly, START + MINUTE) == plan_start(in_time, hourly, START)


def test_status_keeps_its_form() -> None:
    """The stored form reads back, also when the timer never ran."""
    for last in (START, None):
        status = Status(last, START + MINUTE, START)
        assert Status.from_json(json.loads(json.dumps(status.to_json()))) == status


class Ended(Exception):
    """The virtual time is up."""


class World:
    """A clock, a status store and an invoker in one place; runs take as long as the test says."""

    def __init__(self, stored: Status | None = None, run_takes: timedelta = timedelta(), fail_first: int = 0) -> None:
        self.time = START
        self.stored = stored
        self.run_takes = run_takes
        self.fail_first = fail_first
        self.end = START + timedelta(hours=1)
        self.runs: list[tuple[datetime, dict[str, Any], tuple[int, int]]] = []
        self.clock = Clock(lambda: self.time, self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)
        if self.time > self.end:
            raise Ended
        await asyncio.sleep(0)

    async def read(self, function: str) -> Status | None:
        return self.stored

    async def write(self, function: str, status: Status) -> None:
        self.stored = status

    def start(self, work: Any) -> Any:
        return asyncio.ensure_future(work)

    async def invoke(self, function: Function, value: Any, metadata: Any, data: Any, retry: tuple[int, int]) -> Outcome:
        if self.time > self.end:
            raise Ended
        self.runs.append((self.time, json.loads(value.data), retry))
        self.time += self.run_takes
        self.fail_first -= 1
        return Outcome(self.fail_first < 0, None)

    def run(self, trigger: Mapping[str, Any], retry: RetryPolicy | None = None) -> list[str]:
        """Run a timer for an hour and return the times of its runs."""
        binding = {"type": "timerTrigger", "name": "timer", **trigger}
        function = Function("f", "id", binding, (), retry, disabled=False, bindings=(binding,))
        schedule = parse_schedule(str(trigger["schedule"]), UTC)

        async def main() -> None:
            with pytest.raises(Ended):
                await TimerRunner(function, schedule, self, self, self.clock).run()  # type: ignore[arg-type]  # a fake

        asyncio.run(main())
        return [moment.strftime("%H:%M:%S") for moment, _, _ in self.runs]


def test_runs_at_every_occurrence() -> None:
    """A timer runs at its times, and its status says when it ran and will run."""
    world = World()
    assert world.run({"schedule": "0 */20 * * * *"}) == ["12:20:00", "12:40:00", "13:00:00"]
    assert world.stored is not None
    assert world.stored.following == START.replace(hour=13, minute=20, second=0)
    told = world.runs[1][1]
    assert told["IsPastDue"] is False
    assert told["ScheduleStatus"]["Last"] == "2026-03-04T12:20:00+00:00"
    assert told["ScheduleStatus"]["Next"] == "2026-03-04T12:40:00+00:00"


def test_run_longer_than_its_interval_is_followed_at_once() -> None:
    """Occurrences that pass during a run are made up for by one run that follows at once, never beside it."""
    world = World(run_takes=timedelta(minutes=25))
    assert world.run({"schedule": "0 */10 * * * *"}) == ["12:10:00", "12:35:00", "13:00:00"]
    assert [told["IsPastDue"] for _, told, _ in world.runs] == [False, False, False]


def test_first_run_is_told_that_nothing_was_updated() -> None:
    """Before its first run a monitored timer's status holds .NET's first moment twice, as recorded."""
    world = World()
    world.run({"schedule": "0 */20 * * * *"})
    status = world.runs[0][1]["ScheduleStatus"]
    assert (status["Last"], status["LastUpdated"]) == ("0001-01-01T00:00:00+00:00",) * 2


def test_past_due_runs_once_and_wins_over_run_on_startup() -> None:
    """Many missed occurrences are one catch-up run, even with runOnStartup."""
    schedule = parse_schedule("0 0 * * * *", UTC)
    last = START - timedelta(hours=5)
    world = World(Status(last, schedule.after(last), last))
    assert world.run({"schedule": "0 0 * * * *", "runOnStartup": True}) == ["12:00:30", "13:00:00"]
    assert [told["IsPastDue"] for _, told, _ in world.runs] == [True, False]


def test_run_on_startup() -> None:
    """A timer with runOnStartup runs at once, not past due."""
    world = World()
    assert world.run({"schedule": "0 0 * * * *", "runOnStartup": True}) == ["12:00:30", "13:00:00"]
    assert world.runs[0][1]["IsPastDue"] is False


def test_frequent_timer_keeps_no_status() -> None:
    """A timer that fires more than once a minute is not monitored: no status, no catch-up."""
    world = World()
    world.end = START + timedelta(seconds=25)
    assert world.run({"schedule": "*/10 * * * * *"}) == ["12:00:40", "12:00:50"]
    assert world.stored is None
    assert world.runs[0][1]["ScheduleStatus"] is None


def test_failure_does_not_stop_the_schedule() -> None:
    """A failed run is followed by the next occurrence."""
    assert len(World(fail_first=2).run({"schedule": "0 */20 * * * *"})) == 3


def test_retry_policy() -> None:
    """A failed run is tried again after its delay, with the attempt's number, within one occurrence."""
    policy = RetryPolicy(2, "fixed_delay", 5.0, 0.0, 0.0)
    world = World(fail_first=9)
    assert world.run({"schedule": "0 0 * * * *"}, policy) == ["13:00:00", "13:00:05", "13:00:10"]
    assert [retry for _, _, retry in world.runs] == [(0, 2), (1, 2), (2, 2)]


def test_exponential_delays_stay_within_their_bounds() -> None:
    """Delays grow from the minimum and never pass the maximum."""
    policy = RetryPolicy(-1, "exponential_backoff", 0.0, 2.0, 30.0)
    delays = [retry_delay_s(policy, attempt, lambda low, high: high) for attempt in range(40)]
    assert delays[0] == 2.0
    assert delays == sorted(delays)
    assert delays[-1] == 30.0
