"""How far a read replica lags: what is known to be changed, and a committed read does not show yet.

Owns how long that holds a delta back: while a lag was seen within a day, it reads from where the lag began, at most an
hour back, so that the watermark does not pass what the replica has not shown. Kept in the row of the reconcile of the
same records; says nothing of where the knowledge comes from.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from shared.changes.streams import Stream, StreamState, StreamStore

#: The longest lag that a delta makes up for; what lags longer the daily snapshot finds.
MOST_LAG: Final = timedelta(hours=1)
#: How long a lag counts after it was seen.
_LIFE: Final = timedelta(hours=24)
#: What is shown of a record lacks a change that is so much younger; clocks and rounding differ by less.
TOLERANCE: Final = timedelta(minutes=1)


def note(streams: StreamStore, company: str, entity: str, hidden: datetime, now: datetime) -> None:
    """Note that a change made at `hidden` is not shown yet, or was not by the run before; older ones are left alone."""
    if hidden < now - MOST_LAG:
        return

    def edit(state: StreamState) -> StreamState:
        since = hidden if state.lag_from is None or not is_seen(state, now) else min(hidden, state.lag_from)
        return replace(state, lag_from=since, lag_at=now)

    streams.change(Stream("reconcile", company, entity), edit)


def is_seen(state: StreamState, now: datetime) -> bool:
    """Say whether a lag counts now."""
    return state.lag_at is not None and state.lag_at >= now - _LIFE


def shown_until(watermark: datetime, state: StreamState, now: datetime) -> datetime:
    """Return up to when everything has been shown; `state`: of the reconcile of the same records."""
    if state.lag_from is None or not is_seen(state, now):
        return watermark
    return min(watermark, max(state.lag_from, now - MOST_LAG))
