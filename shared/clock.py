"""Clocks, ids and times: the types of what hands them out, and a time as OData writes it (URL Conventions, 5.1.1.1)."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

#: Time now, aware and in UTC.
type Clock = Callable[[], datetime]
#: A fresh unguessable id: 32 lower-case hex digits.
type NewId = Callable[[], str]

#: An unset date-time of Business Central; also what rows have that were written before it kept modification times.
NO_TIME: Final = datetime(1, 1, 1, tzinfo=UTC)


def utc_now() -> datetime:
    """Return the time now, aware and in UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """Return 32 unguessable hex digits."""
    return uuid.uuid4().hex


def parse_time(text: str) -> datetime | None:
    """Return an aware UTC time for an ISO 8601 text with an offset or Z, None for anything else."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    if parsed.tzinfo is UTC:  # as nearly all are
        return parsed
    if parsed.tzinfo is None:
        return None
    try:
        return parsed.astimezone(UTC)
    except OverflowError:
        return None


def earlier(moment: datetime, by: timedelta) -> datetime:
    """Return the time that lies `by` before an aware one, `NO_TIME` where the calendar has none so early."""
    return moment - by if moment - NO_TIME > by else NO_TIME


def format_time(moment: datetime) -> str:
    """Return the OData literal of an aware time: UTC, milliseconds, Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
