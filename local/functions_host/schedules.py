"""When a timer fires: NCRONTAB expressions and TimeSpan strings, and what a stored status means at start. Pure.

NCRONTAB differs from cron in that day of month and day of week must both match, and it has six fields (seconds first)
or five.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final, Protocol

from croniter import croniter

from local.functions_host.timespans import parse_timespan

_NAMES: Final = "JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC|SUN|MON|TUE|WED|THU|FRI|SAT"
# croniter also knows L, #, ?, @daily and random fields, which NCRONTAB refuses.
_FIELD: Final = re.compile(rf"(?:\d+|\*|/|,|-|{_NAMES})+", re.IGNORECASE)
_OFTEN: Final = timedelta(minutes=1)
_FIRST: Final = "0001-01-01T00:00:00+00:00"  # .NET's first moment


class Schedule(Protocol):
    """Something with a next time."""

    def after(self, moment: datetime) -> datetime:
        """Return the first occurrence strictly after a moment, in UTC."""
        ...


@dataclass(frozen=True)
class Interval:
    """A constant interval, from a TimeSpan string."""

    every: timedelta

    def after(self, moment: datetime) -> datetime:
        """Return the moment plus the interval."""
        return moment + self.every


@dataclass(frozen=True)
class Cron:
    """An NCRONTAB expression in a time zone."""

    expression: str
    zone: tzinfo

    def after(self, moment: datetime) -> datetime:
        """Return the first occurrence strictly after a moment, in UTC."""
        times = croniter(self.expression, moment.astimezone(self.zone), second_at_beginning=True, day_or=False)
        found: datetime = times.get_next(datetime)
        return found.astimezone(UTC)


def parse_schedule(text: str, zone: tzinfo) -> Schedule:
    """Read a timer's schedule.

    Raises:
        ValueError: neither NCRONTAB with five or six fields nor a positive TimeSpan.
    """
    if ":" in text:
        every = parse_timespan(text)
        if not every:
            raise ValueError("the interval is zero")
        return Interval(every)
    fields = text.split()
    if len(fields) not in {5, 6} or not all(_FIELD.fullmatch(field) for field in fields):
        raise ValueError(f"{text!r} is not NCRONTAB (six fields: second minute hour day month weekday)")
    expression = " ".join(fields)
    if not croniter.is_valid(expression, second_at_beginning=True):
        raise ValueError(f"{text!r} is not a valid NCRONTAB expression")
    return Cron(expression, zone)


def fires_often(schedule: Schedule, now: datetime) -> bool:
    """Tell whether two of the next occurrences are less than a minute apart; such a timer is not monitored."""
    moment = schedule.after(now)
    for _ in range(10):
        following = schedule.after(moment)
        if following - moment < _OFTEN:
            return True
        moment = following
    return False


@dataclass(frozen=True)
class Status:
    """A timer's stored status; all times are aware UTC."""

    last: datetime | None  # the last run
    following: datetime  # the occurrence to come ("Next" in the stored form)
    updated: datetime | None  # None in memory before the first write

    def to_json(self) -> dict[str, str]:
        """Return the form that is stored and handed to the function; no last run is .NET's first moment."""
        last, updated = (moment.isoformat() if moment else _FIRST for moment in (self.last, self.updated))
        return {"Last": last, "Next": self.following.isoformat(), "LastUpdated": updated}

    @classmethod
    def from_json(cls, content: Any) -> "Status":
        """Read the stored form.

        Raises:
            ValueError, KeyError, TypeError: it is damaged.
        """
        last, following, updated = (_moment(content[name]) for name in ("Last", "Next", "LastUpdated"))
        return cls(None if last.year == 1 else last, following, None if updated.year == 1 else updated)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


@dataclass(frozen=True)
class StartPlan:
    """What to do with a timer when the host starts."""

    past_due: bool  # run at once, with IsPastDue
    status: Status  # what is true now
    is_new: bool  # the status differs from what is stored


def plan_start(stored: Status | None, schedule: Schedule, now: datetime) -> StartPlan:
    """Compare the stored status with the schedule: a missed occurrence is made up for once, a new schedule is not."""
    fresh = Status(None, schedule.after(now), now)
    if stored is None:
        return StartPlan(past_due=False, status=fresh, is_new=True)
    base = stored.last or stored.updated
    if base is not None and stored.following != schedule.after(base):
        changed = Status(stored.last, schedule.after(now), now)
        return StartPlan(past_due=False, status=changed, is_new=True)
    return StartPlan(past_due=now > stored.following, status=stored, is_new=False)
