"""Which pages nobody moves, as a table of cases; and what a page's own worker says of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.changes.lost_pages import DISORDER, SILENT, TRIES, SlicePage, lost

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
BUSY: dict[str, Any] = {"key": "other", "at": NOW, "is_at_work": True}


def page(silent: timedelta = SILENT, **more: Any) -> SlicePage:
    """The page that is asked about, of which nothing was heard for so long."""
    return SlicePage(**{"key": "this", "at": NOW - silent, **more})


@pytest.mark.parametrize(
    ("silent", "more", "expected"),
    [
        (SILENT - SECOND, {"is_at_work": True}, False),
        (SILENT, {"is_at_work": True}, True),
        (SILENT, {}, False),  # its work failed, and the queue delivers it again
        (SILENT, {"is_at_work": True, "again": 1}, False),
        (2 * SILENT, {"is_at_work": True, "again": 1}, True),
        (4 * SILENT, {"is_at_work": True, "again": 2}, True),
        (100 * SILENT, {"is_at_work": True, "again": TRIES}, False),
        (100 * SILENT, {"is_at_work": True, "again": 10_000}, False),  # its run's limit puts it again without end
        (100 * SILENT, {"is_at_work": True, "put_again_at": NOW - SILENT + SECOND}, False),
        (100 * SILENT, {"is_at_work": True, "put_again_at": NOW - SILENT}, True),
    ],
)
def test_a_page_at_work_is_lost_in_silence(silent: timedelta, more: dict[str, Any], expected: bool) -> None:
    """Whatever the others do; each time it was put again, after twice as long."""
    assert lost([page(silent, **more), SlicePage(**BUSY)], NOW) == ["this"] * expected


@pytest.mark.parametrize(
    ("silent", "other", "expected"),
    [
        (SILENT, {}, False),  # others are at work, and its turn comes
        (SILENT, {"at": NOW - SILENT}, True),  # nothing moves at all
        (SILENT - SECOND, {"at": NOW - SILENT}, False),
        (10 * SILENT, {"queued_at": NOW - 10 * SILENT + DISORDER}, False),
        (10 * SILENT, {"queued_at": NOW - 10 * SILENT + DISORDER + SECOND}, True),  # it was overtaken in the queue
        (SILENT - SECOND, {"queued_at": NOW}, False),
    ],
)
def test_a_queued_page_is_lost_once_its_turn_has_passed(
    silent: timedelta, other: dict[str, Any], expected: bool
) -> None:
    """Not because the queue is long (P25)."""
    others = SlicePage(**{**BUSY, "is_at_work": False, **other})
    assert lost([page(silent, is_queued=True), others], NOW) == ["this"] * expected


def test_a_page_that_is_alone_in_the_queue_is_lost_by_its_own_silence() -> None:
    """No other page shows whether the queue moves."""
    assert lost([page(is_queued=True)], NOW) == ["this"]
    assert lost([], NOW) == []
