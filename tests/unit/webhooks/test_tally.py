"""What is thrown at the webhook route is counted, and logged once a minute and kind."""

from datetime import UTC, datetime, timedelta

from shared.webhooks.tally import Tally

AT = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def test_the_first_is_logged_at_once_and_the_rest_once_a_minute() -> None:
    """Nothing is lost: the next line holds the numbers of all calls since the one before."""
    tally = Tally()
    assert tally.add("dropped", AT, foreign=1, unread=0) == {"count": 1, "foreign": 1, "unread": 0}
    assert all(tally.add("dropped", AT + timedelta(seconds=n), foreign=2, unread=1) is None for n in range(60))
    logged = tally.add("dropped", AT + timedelta(seconds=60), foreign=0, unread=1)
    assert logged == {"count": 61, "foreign": 120, "unread": 61}


def test_kinds_do_not_hide_each_other() -> None:
    """A flood of one leaves the other's first line."""
    tally = Tally()
    tally.add("dropped", AT)
    assert tally.add("refused", AT) == {"count": 1}


def test_a_clock_set_back_does_not_silence_it() -> None:
    """A time before the last line counts as a new minute."""
    tally = Tally()
    tally.add("dropped", AT)
    assert tally.add("dropped", AT - timedelta(hours=1)) == {"count": 1}
