"""The timers of the app: their schedules, when one is overdue, and the message by which another function runs it.

Pure. In 2026 all timers of a Flex app were reported to stop for good after a deployment while HTTP and queues went on
(azure-functions-host issue 11828), and the host leaves a timer out without a word whose setting is missing or can't be
read. So what must happen by itself is looked after by everything else that runs (P28); see `second_clock`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shared.connections.settings_reader import DEFAULTS
from shared.ncrontab import Schedule, ncrontab_fault, read_schedule
from shared.resource_names import DEFAULT_CONNECTION

#: Function -> app setting of its schedule; "": its schedule is in `function_app`.
SETTINGS: Final[dict[str, str]] = {
    "keep_subscriptions": "BC_SUBSCRIPTION_SCHEDULE",
    "pull_items": "BC_ITEM_PULL_SCHEDULE",
    "reconcile": "BC_RECONCILE_SCHEDULE",
    "retry_sales_orders": "",
}
EVERY_MINUTE: Final = "0 * * * * *"
#: A timer is not called overdue sooner: a restart takes a minute or two, and nothing of ours is that urgent.
LEAST: Final = timedelta(minutes=10)
#: How long a run may be at work before another may begin beside it: it died. Less where the next one is due sooner.
LONGEST_RUN: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """One timer function, as the app settings have it."""

    function: str
    setting: str  # name of the app setting with its schedule, "" when it is fixed
    text: str  # the schedule as it is set; "" when the setting is missing
    schedule: Schedule  # in force: the setting's, or the default where that can't be read
    fault: str = ""  # why the host does not run it
    is_disabled: bool = False  # somebody switched it off, and means it

    def second_due(self, start: datetime) -> datetime:
        """Return when it is due for the second time after a start; far away for a date that never comes."""
        first = self.schedule.after(start)
        second = self.schedule.after(first) if first is not None else None
        return second or datetime.max.replace(tzinfo=start.tzinfo)

    def is_overdue(self, start: datetime, now: datetime) -> bool:
        """Return whether it should have started again: the second due time after its last start has passed."""
        return not self.is_disabled and now >= max(self.second_due(start), start + LEAST)

    def may_run_until(self, start: datetime) -> datetime:
        """Return until when a run that began at `start` counts as being at work."""
        first = self.schedule.after(start) or start + LONGEST_RUN
        second = self.schedule.after(first) or first + LONGEST_RUN
        return start + min(LONGEST_RUN, (second - first) * 3 / 4)


def timers_of(env: Mapping[str, str]) -> tuple[Timer, ...]:
    """Return all timers; a schedule that can't be read is a fault of that timer and counts as its default."""
    return tuple(_timer(function, setting, env) for function, setting in SETTINGS.items())


def _timer(function: str, setting: str, env: Mapping[str, str]) -> Timer:
    text = env.get(setting, "").strip() if setting else EVERY_MINUTE
    schedule = read_schedule(text)
    default = read_schedule(DEFAULTS[setting] or "" if setting else EVERY_MINUTE)
    assert default is not None, setting
    fault = "is missing" if not text else "" if schedule else f"can't be read: {ncrontab_fault(text)}"
    off = env.get(f"AzureWebJobs.{function}.Disabled", env.get(f"AzureWebJobs__{function}__Disabled", ""))
    return Timer(
        function=function, setting=setting, text=text, schedule=schedule or default, fault=fault,
        is_disabled=off.strip().lower() in {"1", "true"},
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerJob:
    """The message on bc-notifications by which the work of a timer is done for one connection."""

    function: str
    job: str  # a fresh name
    connection: str = DEFAULT_CONNECTION  # id
    by_timer: bool = False  # the host's timer has sent it, which then runs

    def to_text(self) -> str:
        """Return the queue message.

        Release 0.1.0 takes it by `redrive` for an old copy of some job and drops it; it is sent for again (P20).
        """
        members = {"kind": "timer", "timer": self.function, "job": self.job, "connection": self.connection}
        return json.dumps({**members, "by_timer": self.by_timer, "redrive": -1}, separators=(",", ":"))


def read_timer_job(text: str) -> TimerJob | None:
    """Return what a message asks for, None for a message of another kind."""
    if '"timer"' not in text:  # nearly all: not worth a look inside
        return None
    try:
        members = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(members, dict) or members.get("kind") != "timer":
        return None
    function, connection = members.get("timer"), members.get("connection", DEFAULT_CONNECTION)
    if not isinstance(function, str) or function not in SETTINGS or not isinstance(connection, str):
        return None
    job, by_timer = str(members.get("job", "")), members.get("by_timer") is True
    return TimerJob(function=function, job=job, connection=connection, by_timer=by_timer)
