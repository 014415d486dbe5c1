"""Batches of events that wait, in memory and on Azurite: found when due, taken by one, lost between no two workers."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.errors import StateConflict
from shared.forwarding.waiting_batches import LOST_AFTER, WaitingBatch, WaitingBatches, WaitingCount
from shared.storage.table import Table

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def opened(open_tables: Callable[[], Callable[[str], Table]], table_name: str) -> Callable[[], WaitingBatches]:
    """Open the store as one more instance of the app."""
    return lambda: WaitingBatches(open_tables()(table_name), "lmints.io.production")


def batch(name: str, *, due: datetime = NOW, cause: str = "network", since: datetime = NOW) -> WaitingBatch:
    """A batch with the most that a queue message holds."""
    message = "[" + "ä" * 24_000 + "]"
    return WaitingBatch(name=name, message=message, start=3, end=9, since=since, tries=2, cause=cause, next_try_at=due)


def test_what_is_stored_is_read_as_it_was(opened: Callable[[], WaitingBatches]) -> None:
    """By another instance, with every member; a batch to the end of its message as well."""
    for number, one in enumerate((batch("m-1"), replace(batch("m-2.5"), end=None, start=0, cause=""))):
        opened().save(one, None)
        found = opened().get(one.name)
        assert found == one, number
    assert opened().get("m-3") is None


def test_what_is_due_is_taken_once_and_comes_again_if_its_message_is_lost(
    opened: Callable[[], WaitingBatches],
) -> None:
    """Two instances look at the same moment; nothing that is not due is touched."""
    store = opened()
    for name, due in (("m-1", NOW), ("m-2", NOW - MINUTE), ("m-3", NOW + MINUTE)):
        store.save(batch(name, due=due), None)
    assert [one.name for one in store.take_due(NOW, 10)] == ["m-2", "m-1"]
    assert opened().take_due(NOW, 10) == []
    assert {one.name for one in opened().take_due(NOW + LOST_AFTER, 10)} == {"m-1", "m-2", "m-3"}
    assert len(opened().take_due(NOW + 2 * LOST_AFTER, 2)) == 2


def test_of_two_workers_one_is_told_that_the_other_was_faster(opened: Callable[[], WaitingBatches]) -> None:
    """No progress is overwritten by an older one."""
    store = opened()
    stored = store.save(batch("m-1"), None)
    store.save(replace(stored, start=5), stored)
    for before in (stored, None):
        with pytest.raises(StateConflict):
            opened().save(replace(stored, start=4), before)
    found = opened().get("m-1")
    assert found is not None
    assert found.start == 5


def test_done_leaves_nothing_and_spares_what_somebody_else_goes_on_with(opened: Callable[[], WaitingBatches]) -> None:
    """The row and what it is found by; a second time as well."""
    store = opened()
    stored = store.save(batch("m-1"), None)
    moved = store.save(replace(stored, start=5, next_try_at=NOW + MINUTE), stored)
    store.done(stored)
    assert store.get("m-1") == moved
    store.done(moved)
    store.done(moved)
    assert store.get("m-1") is None
    assert store.counts() == []
    assert store.take_due(NOW + timedelta(days=1), 10) == []


def test_what_waits_is_counted_by_cause(opened: Callable[[], WaitingBatches]) -> None:
    """With the time of the oldest."""
    store = opened()
    for number in range(5):
        store.save(batch(f"m-{number}", cause="denied", since=NOW - number * MINUTE), None)
    store.save(batch("m-9", cause=""), None)
    assert sorted(store.counts(), key=lambda one: one.cause) == [
        WaitingCount(cause="", count=1, since=NOW),
        WaitingCount(cause="denied", count=5, since=NOW - 4 * MINUTE),
    ]
