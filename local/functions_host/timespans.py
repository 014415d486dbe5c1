"""Reads .NET TimeSpan strings, the notation of durations in host.json and in timer schedules."""

import re
from datetime import timedelta

_TIMESPAN = re.compile(r"(?:(\d+)\.)?(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,7}))?)?")


def parse_timespan(text: str) -> timedelta:
    """Return the duration written as ``[days.]hh:mm[:ss[.fraction]]``.

    Raises:
        ValueError: not in that form, or hours, minutes or seconds out of range.
    """
    match = _TIMESPAN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a time span like 00:05:00")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups()[:4])
    if hours > 23 or minutes > 59 or seconds > 59:
        raise ValueError(f"{text!r} has an hour, minute or second out of range")
    micros = int((match.group(5) or "").ljust(7, "0")[:6])
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds, microseconds=micros)
