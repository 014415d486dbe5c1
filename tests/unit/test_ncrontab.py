"""When a schedule is due next: compared with croniter, which the deployed app does not have."""

from datetime import UTC, datetime, timedelta

import pytest
from croniter import croniter
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.ncrontab import ncrontab_fault, read_schedule

RANGES = ((0, 59), (0, 59), (0, 23), (1, 28), (1, 12), (0, 6))
MOMENTS = st.integers(1_704_067_200, 1_893_456_000).map(lambda second: datetime.fromtimestamp(second, UTC))


@st.composite
def parts(draw: st.DrawFn, low: int, high: int) -> str:
    """One part of a field: a number, a range, everything, each with or without a step.

    Left out is what croniter alone reads otherwise: a range of one number is its wildcard, a weekday may be 7.
    """
    first = draw(st.integers(low, high - 1))
    last = draw(st.integers(first + 1, high))
    step = draw(st.integers(1, high))
    forms = ["*", "*", f"{first}", f"{last}", f"{first}-{last}", f"*/{step}", f"{first}-{last}/{step}"]
    return draw(st.sampled_from(forms if high == 6 else [*forms, f"{first}/{step}"]))


@st.composite
def schedules(draw: st.DrawFn) -> str:
    """Six fields, each a list of parts."""
    return " ".join(",".join(draw(st.lists(parts(low, high), min_size=1, max_size=3))) for low, high in RANGES)


@given(schedules(), MOMENTS)
def test_it_is_due_when_croniter_says_so(text: str, moment: datetime) -> None:
    """For every schedule that both can read, whatever the moment."""
    assume(croniter.is_valid(text, second_at_beginning=True))  # it refuses steps larger than a range
    schedule = read_schedule(text)
    assert schedule is not None
    times = croniter(text, moment, second_at_beginning=True, day_or=False, max_years_between_matches=50)
    assert schedule.after(moment) == times.get_next(datetime)


@pytest.mark.parametrize(
    ("text", "moment", "expected"),
    [
        ("0 */15 * * * *", "2026-03-04T12:00:00", "2026-03-04T12:15:00"),
        ("0 7-59/15 * * * *", "2026-03-04T12:52:00", "2026-03-04T13:07:00"),
        ("0 0 2 * * *", "2026-03-04T02:00:00", "2026-03-05T02:00:00"),
        ("0 0 2 * * *", "2026-03-04T01:59:59.900000", "2026-03-04T02:00:00"),
        ("0 0 0 * jan MON", "2026-03-04T12:00:00", "2027-01-04T00:00:00"),
        ("0 0 0 29 2 *", "2026-03-04T12:00:00", "2028-02-29T00:00:00"),
        ("*/5 * * * *", "2026-03-04T12:01:00", "2026-03-04T12:05:00"),
        ("59 59 23 31 12 *", "2026-12-31T23:59:59", "2027-12-31T23:59:59"),
        ("0 * * * * *", "2026-03-04T12:00:00", "2026-03-04T12:01:00"),
        ("0 0 0 29 2 WED", "2288-02-29T00:00:00", "2328-02-29T00:00:00"),
    ],
)
def test_examples(text: str, moment: str, expected: str) -> None:
    """Steps, names, leap years, the longest wait of all, both conditions on the day, five fields, a year's turn."""
    schedule = read_schedule(text)
    assert schedule is not None
    found = schedule.after(datetime.fromisoformat(f"{moment}+00:00"))
    assert found == datetime.fromisoformat(f"{expected}+00:00")


def test_a_moment_of_another_zone_is_read_as_what_it_is() -> None:
    """Schedules are in UTC, as on a Flex app."""
    schedule = read_schedule("0 0 12 * * *")
    assert schedule is not None
    noon = datetime.fromisoformat("2026-03-04T13:30:00+02:00")
    assert schedule.after(noon) == datetime(2026, 3, 4, 12, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "hourly", "0 0 0 0 0 0 0", "0 60 * * * *", "%BC_SCHEDULE%", "00:15:00"])
def test_what_the_host_cannot_read_is_no_schedule(text: str) -> None:
    """It then leaves the function out."""
    assert read_schedule(text) is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("60 0 0 * * *", "second cannot be '60' (numbers from 0 to 59"),
        ("0 0-60 0 * * *", "minute cannot be '0-60' (numbers from 0 to 59"),
        ("0 0 24 * * *", "hour cannot be '24' (numbers from 0 to 23"),
        ("0 0 0 0 * *", "day cannot be '0' (numbers from 1 to 31"),
        ("0 0 0 32 * *", "day cannot be '32' (numbers from 1 to 31"),
        ("0 0 0 * 13 *", "month cannot be '13' (numbers from 1 to 12"),
        ("0 0 0 * foo *", "month cannot be 'foo' (numbers from 1 to 12"),
        ("0 0 0 * * 7", "weekday cannot be '7' (numbers from 0 to 6"),
        ("0 0 0 * * foo", "weekday cannot be 'foo' (numbers from 0 to 6"),
        ("0 9-5 * * * *", "minute cannot be '9-5'"),
        ("0 */0 * * * *", "minute cannot be '*/0'"),
        ("0 */60 * * * *", "minute cannot be '*/60'"),
        ("0 */x * * * *", "minute cannot be '*/x'"),
        ("0 */² * * * *", "minute cannot be '*/²'"),
        ("0 */ * * * *", "minute cannot be '*/'"),
    ],
)
def test_what_the_host_cannot_read_is_said_by_field_and_part(text: str, fault: str) -> None:
    """With the numbers that would do."""
    assert (ncrontab_fault(text) or "").startswith(fault)
    assert read_schedule(text) is None


def test_a_date_that_never_comes_is_none() -> None:
    """And is found out in reasonable time."""
    schedule = read_schedule("0 0 0 30 2 *")
    assert schedule is not None
    assert schedule.after(datetime(2026, 3, 4, tzinfo=UTC) + timedelta(0)) is None
