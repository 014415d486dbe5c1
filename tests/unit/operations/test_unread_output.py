"""Queues that nobody reads: from two days on it is worth a word."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.operations.findings import Severity
from shared.operations.poison_contents import Peeked
from shared.operations.unread_output import UnreadView, is_old, unread, unread_findings

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
DAYS = timedelta(days=1)


def view(oldest: datetime | None, queue: str = "bc-events") -> UnreadView:
    """A queue that holds something."""
    return UnreadView(queue=queue, messages=3, oldest=oldest)


@pytest.mark.parametrize(
    ("oldest", "old"),
    [(None, False), (NOW - 2 * DAYS + timedelta(seconds=1), False), (NOW - 2 * DAYS, True), (NOW - 9 * DAYS, True)],
)
def test_two_days_are_old(oldest: datetime | None, old: bool) -> None:
    """A queue forgets after seven."""
    assert is_old(view(oldest), NOW) is old
    assert bool(unread_findings([view(oldest)], NOW)) is old


def test_the_oldest_of_the_first_messages_counts() -> None:
    """None where a reader holds all of them."""
    peeked = [Peeked(body=b"", message_id="m", taken=1, put_at=NOW - days * DAYS) for days in (1, 3, 2)]
    assert unread("bc-events", 3, peeked) == view(NOW - 3 * DAYS)
    assert unread("bc-events", 3, []) == view(None)


def test_all_queues_that_are_old_are_one_finding() -> None:
    """With the time since when, and the two ways to what is lost by then."""
    (found,) = unread_findings(
        [view(NOW - 3 * DAYS), view(NOW, "other"), view(NOW - 2 * DAYS, "sales-order-results")], NOW
    )
    assert found.seen == (
        "Unread for days: bc-events since 2026-03-01 12:00 UTC, sales-order-results since 2026-03-02 12:00 UTC."
    )
    assert (found.check, found.code, found.severity) == ("queues", "output_old", Severity.WARNING)
    assert "replay" in found.do
