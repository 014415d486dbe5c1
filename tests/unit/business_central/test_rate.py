"""The request rate: never over its bound in any span, and not slower than it must be."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.business_central.rate import Rate

START = datetime(2026, 3, 4, 12, tzinfo=UTC)
WINDOW = timedelta(seconds=300)


def passes(rate: Rate, gaps: list[timedelta]) -> list[datetime]:
    """When requests pass whose maker waits each gap after the one before, or until the rate lets it."""
    at, due, passed = START, datetime(2000, 1, 1, tzinfo=UTC), []
    for gap in gaps:
        at = max(at + gap, rate.ready_at(due))
        due = rate.spend(due, at)
        passed.append(at)
    return passed


def most_within(times: list[datetime], window: timedelta) -> int:
    """The most times in any closed span."""
    most = first = 0
    for last, at in enumerate(times):
        while times[first] < at - window:
            first += 1
        most = max(most, last - first + 1)
    return most


pauses = st.one_of(
    st.just(timedelta()),
    st.just(WINDOW),
    st.timedeltas(timedelta(), timedelta(seconds=5)),
    st.timedeltas(timedelta(), timedelta(seconds=700)),
)


@given(st.integers(2, 60), st.data())
def test_no_window_holds_more_than_the_bound(requests: int, data: st.DataObject) -> None:
    """However requests bunch and pause, any closed 300 s hold at most the bound."""
    burst = data.draw(st.integers(1, requests - 1))
    rate = Rate.within(requests=requests, window=WINDOW, burst=burst)
    gaps = data.draw(st.lists(pauses, max_size=150))
    bunched = [gap for gap in gaps for _ in range(data.draw(st.integers(1, 4)))]
    assert most_within(passes(rate, bunched), WINDOW) <= requests


@given(st.integers(2, 60), st.data())
def test_the_bound_is_reached(requests: int, data: st.DataObject) -> None:
    """One who asks without pause gets the burst at once, and the full bound in the worst window."""
    burst = data.draw(st.integers(1, requests - 1))
    rate = Rate.within(requests=requests, window=WINDOW, burst=burst)
    times = passes(rate, [timedelta()] * (3 * requests))
    assert times[burst - 1] == START < times[burst]
    assert requests - 1 <= most_within(times, WINDOW) <= requests


@pytest.mark.parametrize("burst", [0, 10, 11])
def test_a_burst_must_fit_the_bound(burst: int) -> None:
    """A burst of nothing, or of all, leaves no pace."""
    with pytest.raises(ValueError, match="burst"):
        Rate.within(requests=10, window=WINDOW, burst=burst)


@pytest.mark.parametrize(
    ("requests", "burst", "interval_us", "slack_us"),
    [(6, 1, 50_000_001, 0), (6, 2, 60_000_001, 60_000_001), (6, 5, 150_000_001, 600_000_004), (7, 1, 42_857_143, 0)],
)
def test_the_fastest_rate_is_exact(requests: int, burst: int, interval_us: int, slack_us: int) -> None:
    """A microsecond above window / (requests - burst + 1), so that the window's end is in the window."""
    rate = Rate.within(requests=requests, window=WINDOW, burst=burst)
    assert (rate.interval, rate.slack) == (timedelta(microseconds=interval_us), timedelta(microseconds=slack_us))
