"""NCRONTAB as the Functions host reads it: `second minute hour day month weekday`, or five fields without the second.

Owns whether a schedule is well formed and when it is due next, in UTC. Unlike cron's, day of month and weekday must
both match. Source: NCrontab (github.com/atifaziz/NCrontab) and "Timer trigger for Azure Functions" (Microsoft Learn).
"""

from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

_MONTHS: Final = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS: Final = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
#: Field, lowest and highest number, names for the numbers from the lowest on.
_FIELDS: Final[tuple[tuple[str, int, int, list[str]], ...]] = (
    ("second", 0, 59, []),
    ("minute", 0, 59, []),
    ("hour", 0, 23, []),
    ("day", 1, 31, []),
    ("month", 1, 12, _MONTHS),
    ("weekday", 0, 6, _DAYS),
)
#: A 29th of February that is a certain weekday comes again after at most 40 years (28, but for a year like 2100).
_DAYS_AHEAD: Final = 40 * 366


@dataclass(frozen=True, slots=True)
class Schedule:
    """When something is due: for each field the numbers that match, ascending."""

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]  # 0 is Sunday

    def after(self, moment: datetime) -> datetime | None:
        """Return the first due time strictly after an aware moment, in UTC; None for a date that never comes."""
        start = moment.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=1)
        for ahead in range(_DAYS_AHEAD):
            day = start.date() + timedelta(days=ahead)
            if day.month not in self.months or day.day not in self.days or day.isoweekday() % 7 not in self.weekdays:
                continue
            time = self._from((start.hour, start.minute, start.second) if ahead == 0 else (0, 0, 0))
            if time is not None:
                return datetime(day.year, day.month, day.day, *time, tzinfo=UTC)
        return None

    def _from(self, least: tuple[int, int, int]) -> tuple[int, int, int] | None:
        """Return the first (hour, minute, second) of a day that is not before `least`."""
        hour, minute, second = least
        first = (self.minutes[0], self.seconds[0])
        if hour in self.hours:
            if minute in self.minutes:
                at = bisect_left(self.seconds, second)
                if at < len(self.seconds):
                    return hour, minute, self.seconds[at]
            at = bisect_left(self.minutes, minute + 1)
            if at < len(self.minutes):
                return hour, self.minutes[at], self.seconds[0]
        at = bisect_left(self.hours, hour + 1)
        return (self.hours[at], *first) if at < len(self.hours) else None


def read_schedule(text: str) -> Schedule | None:
    """Return a schedule of six fields, or of five (at second 0); None for one that the host can't read either."""
    fields = text.split()
    fields = ["0", *fields] if len(fields) == 5 else fields
    if ncrontab_fault(" ".join(fields)):
        return None
    return Schedule(*(_numbers(field, *row[1:]) for field, row in zip(fields, _FIELDS, strict=True)))


def ncrontab_fault(text: str) -> str | None:
    """Return what is wrong with a schedule of six fields, or None.

    The host leaves a function out, without a word, whose schedule it can't read; refused before a deployment.
    """
    fields = text.split()
    if len(fields) != len(_FIELDS):
        return f"has {len(fields)} fields instead of six: second minute hour day month weekday"
    for field, (name, low, high, words) in zip(fields, _FIELDS, strict=True):
        for part in field.split(","):
            if not _is_range(part, low, high, words):
                return f"{name} cannot be '{part}' (numbers from {low} to {high}, *, ranges a-b, steps /n)"
    return None


def _numbers(field: str, low: int, high: int, words: list[str]) -> tuple[int, ...]:
    """Return the numbers that a well-formed field matches; `a/n` is every n-th from a on."""
    found: set[int] = set()
    for part in field.split(","):
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        start = low if span == "*" else _number(first, low, words)
        end = _number(last, low, words) if dash else high if slash or span == "*" else start
        found.update(range(start, end + 1, int(step) if slash else 1))
    return tuple(sorted(found))


def _is_range(part: str, low: int, high: int, words: list[str]) -> bool:
    """Return whether one part of a field is `*`, a number or a range, with or without a step."""
    span, slash, step = part.partition("/")
    if slash and not (step.isascii() and step.isdigit() and 1 <= int(step) <= high):
        return False
    if span == "*":
        return True
    first, dash, last = span.partition("-")
    numbers = [_number(value, low, words) for value in ([first, last] if dash else [first])]
    return all(low <= number <= high for number in numbers) and numbers == sorted(numbers)


def _number(value: str, low: int, words: list[str]) -> int:
    """Return the number of a field value or its name, -1 when it is neither."""
    if value.isascii() and value.isdigit():
        return int(value)
    return words.index(value.lower()) + low if value.lower() in words else -1
