"""Times at the edge of the calendar, which Business Central writes for none."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from shared.clock import NO_TIME, earlier

DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("moment", "before"),
    [
        (datetime(2026, 2, 11, tzinfo=UTC), datetime(2026, 2, 10, tzinfo=UTC)),
        (NO_TIME + 2 * DAY, NO_TIME + DAY),
        (NO_TIME + DAY, NO_TIME),
        (NO_TIME + DAY / 2, NO_TIME),
        (NO_TIME, NO_TIME),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))), NO_TIME),
    ],
)
def test_nothing_is_earlier_than_the_calendar(moment: datetime, before: datetime) -> None:
    assert earlier(moment, DAY) == before
