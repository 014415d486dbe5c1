"""Timers: which the host does not run, when one is overdue, and the message that runs one."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from shared.connections.settings_reader import DEFAULTS
from shared.operations.timers import EVERY_MINUTE, LEAST, SETTINGS, Timer, TimerJob, read_timer_job, timers_of

GOOD = {name: value for name, value in DEFAULTS.items() if value}
NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def timer(text: str, *, disabled: str = "") -> Timer:
    """The pull's timer with a schedule."""
    env = {**GOOD, "BC_ITEM_PULL_SCHEDULE": text, "AzureWebJobs.pull_items.Disabled": disabled}
    (found,) = [one for one in timers_of(env) if one.function == "pull_items"]
    return found


def test_the_defaults_are_in_order() -> None:
    """Every timer of the app, none with a fault."""
    assert {one.function for one in timers_of(GOOD)} == set(SETTINGS)
    assert not [one for one in timers_of(GOOD) if one.fault or one.is_disabled]


@pytest.mark.parametrize(
    ("text", "fault"),
    [("", "is missing"), ("hourly", "can't be read"), ("0 0 0 0 0 0 0", "can't be read"), ("*/15 * * * *", "")],
)
def test_what_the_host_leaves_out_is_a_fault_and_counts_as_its_default(text: str, fault: str) -> None:
    """So that its work still has a time at which it is overdue."""
    found = timer(text)
    assert found.fault.startswith(fault)
    assert bool(found.fault) == bool(fault)
    assert found.second_due(NOON) == NOON + timedelta(minutes=30)


def test_every_schedule_missing_is_found_in_an_empty_environment() -> None:
    """The retry's schedule is fixed and cannot be missing."""
    assert {one.function for one in timers_of({}) if one.fault} == {
        name for name, setting in SETTINGS.items() if setting
    }


@pytest.mark.parametrize(
    ("text", "after", "is_overdue"),
    [
        ("0 */15 * * * *", timedelta(minutes=29, seconds=59), False),
        ("0 */15 * * * *", timedelta(minutes=30), True),
        ("0 0 2 * * *", timedelta(hours=37), False),
        ("0 0 2 * * *", timedelta(hours=38), True),
        (EVERY_MINUTE, timedelta(minutes=9, seconds=59), False),
        (EVERY_MINUTE, LEAST, True),
        ("0 0 0 30 2 *", timedelta(days=3000), False),
    ],
)
def test_a_timer_is_overdue_once_its_second_due_time_has_passed(text: str, after: timedelta, is_overdue: bool) -> None:
    """One missed start may be a restart; nothing is called overdue within ten minutes (P28)."""
    assert timer(text).is_overdue(NOON, NOON + after) is is_overdue


@pytest.mark.parametrize("value", ["1", "true", "True"])
def test_a_disabled_timer_is_left_alone(value: str) -> None:
    """Whoever switches one off means it."""
    assert not timer("0 */15 * * * *", disabled=value).is_overdue(NOON, NOON + timedelta(days=9))


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("0 */15 * * * *", 10), (EVERY_MINUTE, 0.75), ("0 0 2 * * *", 10), ("0 0 0 30 2 *", 7.5)],
)
def test_a_run_counts_as_at_work_for_less_than_its_interval(text: str, minutes: float) -> None:
    """A run that died keeps the next one away for ten minutes at most."""
    assert timer(text).may_run_until(NOON) == NOON + timedelta(minutes=minutes)


def test_the_message_names_the_timer_and_nothing_else_is_one() -> None:
    """Messages of other kinds, odd ones and timers that are none are left to whom they belong."""
    for job in (
        TimerJob(function="reconcile", job="abc"),
        TimerJob(function="pull_items", job="abc", connection="eu", by_timer=True),
    ):
        assert read_timer_job(job.to_text()) == job
    assert read_timer_job('{"kind": "timer", "timer": "reconcile"}') == TimerJob(function="reconcile", job="")
    for text in (
        "",
        "{",
        '{"timer": ',
        '{"timer": ' + "[" * 100_000,
        '{"timer": "reconcile"}',
        '["timer"]',
        TimerJob(function="rm -rf", job="x").to_text(),
        '{"kind": "timer", "timer": 1}',
    ):
        assert read_timer_job(text) is None


def test_the_release_before_takes_the_message_for_an_old_copy() -> None:
    """It drops a copy that came back from the dead letters less often than it has seen; this one it drops always."""
    assert json.loads(TimerJob(function="reconcile", job="abc").to_text())["redrive"] == -1


def test_a_timer_runs_unless_somebody_switched_it_off() -> None:
    """Nothing has to be said for it."""
    schedule = timer(EVERY_MINUTE).schedule
    found = Timer(function="pull_items", setting="", text=EVERY_MINUTE, schedule=schedule)
    assert found.is_overdue(NOON, NOON + LEAST)
