"""Dead letters as rows: kept until their work is done, found by time or by queue, and by releases without an index."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from shared.dead_letters.dead_letter_store import DeadLetter, DeadLetterStore
from shared.errors import StateConflict
from shared.storage.table import Row
from tests.support.memory_storage import MemoryTables

AT = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
INDEX, DONE = "conn|parked-index", "conn|parked-done"


class Kept:
    """A store with the rows behind it."""

    def __init__(self) -> None:
        self.tables = MemoryTables()
        self.table = self.tables.table("BcWatermarks")
        self.store = DeadLetterStore(self.table, "conn", "eu")
        self.store.counts(AT)  # the first look sweeps, and notes when

    def add(self, name: str = "n", queue: str = "q", *, now: datetime = AT, retryable: bool = True) -> DeadLetter:
        """A letter that is kept."""
        letter = DeadLetter(queue=queue, name=name, body=b"{}", reason="x", since=now)
        return self.store.add(letter, retryable=retryable, now=now)

    def index(self) -> list[str]:
        """Keys of the index."""
        return [row.key for row in self.table.query(INDEX) if row.key != "swept"]


@pytest.fixture
def kept() -> Kept:
    """An empty store."""
    return Kept()


def test_a_letter_survives_its_row(kept: Kept) -> None:
    """Its reason is cut; it comes back in a minute; nothing is known of another."""
    letter = DeadLetter(queue="q", name="n", body=b"\x00", reason="r" * 2001, since=AT)
    stored = kept.store.add(letter, retryable=True, now=AT)
    found = kept.store.get("q", "n")
    assert found == replace(letter, reason="r" * 2000, next_try_at=AT + MINUTE)
    assert found is not None
    assert (found.etag, stored.next_try_at, kept.store.connection) == (stored.etag, AT + MINUTE, "eu")
    assert kept.store.all(9) == [found]
    assert kept.index() == ["due|2026-03-04T12:01:00Z|q|n"]
    assert (kept.store.get("q", "m"), kept.store.tries("q", "m"), kept.store.get_or_done("q", "m")) == (None, 0, None)


@pytest.mark.parametrize(
    ("tries", "minutes"), [(0, 1), (1, 2), (2, 4), (3, 8), (4, 16), (5, 30), (6, 30), (200, 30), (5000, 30)]
)
def test_one_that_failed_more_often_waits_longer(kept: Kept, tries: int, minutes: int) -> None:
    """Twice as long each time, half an hour at most; its first time stays."""
    letter = kept.add()
    kept.table.upsert(Row(partition="conn|parked", key="q|n", values={
        "queue": "q", "name": "n", "body": b"", "reason": "", "parked_at": AT, "tries": tries, "next_try_at": AT,
    }))  # fmt: skip
    again = kept.add(now=AT + HOUR)
    assert again.next_try_at == AT + HOUR + minutes * MINUTE
    assert (again.since, again.tries, letter.tries) == (AT, tries, 0)


@pytest.mark.parametrize(
    ("now", "comes_back"), [(AT + 3 * DAY - MINUTE, True), (AT + 3 * DAY - MINUTE + timedelta(seconds=1), False)]
)
def test_after_72_hours_only_a_person_puts_it_back(kept: Kept, now: datetime, comes_back: bool) -> None:
    """Counted to its next time; so is one whose reason no time mends."""
    kept.add()
    assert (kept.add(now=now).next_try_at is not None) is comes_back
    assert kept.index() == ([f"due|{now + MINUTE:%Y-%m-%dT%H:%M:%SZ}|q|n"] if comes_back else ["hand|q|n"])
    assert kept.add("other", retryable=False).next_try_at is None


def test_letters_that_are_due_are_taken_once_and_come_again_in_half_an_hour(kept: Kept) -> None:
    """In the order of their times, at most so many; to the second."""
    for minute, name in ((2, "c"), (0, "a"), (1, "b")):
        kept.add(name, now=AT + minute * MINUTE)
    assert kept.store.take_due(AT + MINUTE - timedelta(seconds=1), 9) == []
    (first,) = kept.store.take_due(AT + 3 * MINUTE, 1)
    assert (first.name, first.tries, first.next_try_at) == ("a", 1, AT + 33 * MINUTE)
    assert [one.name for one in kept.store.take_due(AT + 3 * MINUTE, 9)] == ["b", "c"]
    assert kept.store.take_due(AT + 32 * MINUTE, 9) == []
    assert [one.tries for one in kept.store.take_due(AT + 33 * MINUTE, 9)] == [2, 2, 2]
    assert kept.store.tries("q", "a") == 2


def test_times_are_filed_in_utc(kept: Kept) -> None:
    """Whatever zone a caller's clock shows."""
    kept.add(now=AT.astimezone(timezone(timedelta(hours=2))))
    assert kept.index() == ["due|2026-03-04T12:01:00Z|q|n"]


def test_an_index_row_that_a_killed_process_left_behind_goes(kept: Kept) -> None:
    """Without its letter, or under another time; the letters beside it are taken."""
    kept.add("a")
    for key, name in (("due|2026-03-04T12:00:00Z|q|gone", "gone"), ("due|2026-03-04T12:00:30Z|q|a", "a")):
        kept.table.upsert(Row(partition=INDEX, key=key, values={"queue": "q", "name": name}))
    assert [one.name for one in kept.store.take_due(AT + MINUTE, 9)] == ["a"]
    assert kept.index() == ["due|2026-03-04T12:31:00Z|q|a"]


def test_a_letter_that_is_done_at_this_very_moment_is_not_taken(kept: Kept) -> None:
    """The others are."""
    kept.add("a")
    kept.add("b")

    def point(name: str) -> None:
        if name == "BcWatermarks.replace":
            kept.tables.before = None
            kept.store.done("q", "a", now=AT)

    kept.tables.before = point
    assert [one.name for one in kept.store.take_due(AT + MINUTE, 9)] == ["b"]
    with pytest.raises(StateConflict):
        kept.store.enqueued_again(DeadLetter(queue="q", name="c", body=b"", reason="", since=AT, etag="e"), AT)


def test_a_letter_is_left_to_a_person_with_the_reason(kept: Kept) -> None:
    """One that was done meanwhile stays gone."""
    letter = kept.add()
    kept.store.leave_to_a_person(letter, "no message")
    found = kept.store.get("q", "n")
    assert found is not None
    assert (found.reason, found.next_try_at, kept.index()) == ("no message", None, ["hand|q|n"])
    kept.store.done("q", "n", now=AT)
    kept.store.leave_to_a_person(found, "again")
    assert kept.store.all(9) == []


def test_what_is_done_is_remembered_for_eight_days(kept: Kept) -> None:
    """Copies of its message may still come; then it was never there."""
    kept.store.enqueued_again(kept.add("a"), AT)
    kept.store.done("q", "a", now=AT)
    kept.store.done("q", "never", now=AT)
    assert (kept.store.all(9), kept.index(), kept.store.get("q", "a")) == ([], [], None)
    done = kept.store.get_or_done("q", "a")
    assert done is not None
    assert (done.tries, done.next_try_at, kept.store.tries("q", "a")) == (1, None, 1)
    kept.add("b")
    kept.store.done("q", "b", now=AT + 8 * DAY)
    assert kept.store.tries("q", "a") == 1
    kept.add("c")
    kept.store.done("q", "c", now=AT + 8 * DAY + timedelta(seconds=1))
    assert kept.store.get_or_done("q", "a") is None
    assert kept.store.get_or_done("q", "b") is not None
    again = kept.add("b")
    assert kept.store.get_or_done("q", "b") == again


def test_a_memory_without_a_time_goes_with_the_next_and_a_hundred_are_looked_at(kept: Kept) -> None:
    """As another release may have left it."""
    for at in range(101):
        kept.table.upsert(Row(partition=DONE, key=f"a|{at:03}"))
    kept.add()
    kept.store.done("q", "n", now=AT)
    assert [row.key for row in kept.table.query(DONE)] == ["a|100", "q|n"]


def test_letters_are_counted_by_queue_whoever_they_wait_for(kept: Kept) -> None:
    """All of them."""
    for name, queue, retryable in (("a", "q", True), ("b", "q", False), ("c", "r", False)):
        kept.add(name, queue, retryable=retryable)
    assert kept.store.counts(AT) == {"q": 2, "r": 1}
    assert [one.name for one in kept.store.all(2)] == ["a", "b"]
    assert [one.name for one in kept.store.of_queue("q")] == ["a", "b"]
    assert [one.name for one in kept.store.of_queue("q", 1)] == ["a"]


def test_letters_to_redrive_are_first_those_that_wait_for_a_person(kept: Kept) -> None:
    """Then the others, the next due first; of one queue, at most so many."""
    for minute, name, retryable in ((9, "late", True), (0, "soon", True), (0, "hand", False)):
        kept.add(name, now=AT + minute * MINUTE, retryable=retryable)
    kept.add("other", "r", retryable=False)
    kept.add("other", "r2")
    kept.table.upsert(Row(partition=INDEX, key="hand|q|gone", values={"queue": "q", "name": "gone"}))
    for limit, names in ((9, ["hand", "soon", "late"]), (3, ["hand", "soon"]), (1, [])):
        assert [one.name for one in kept.store.to_redrive("q", limit)] == names


def test_work_that_is_given_up_leaves_nothing(kept: Kept) -> None:
    """Neither the letter nor its index."""
    kept.store.erase(kept.add())
    assert (kept.store.all(9), kept.index(), kept.store.get_or_done("q", "n")) == ([], [], None)


def test_memories_of_work_that_is_done_are_erased_where_they_are_meant(kept: Kept) -> None:
    """In these queues, and only those."""
    for name, queue in (("a", "q"), ("b", "q"), ("a", "r"), ("a", "s")):
        kept.add(name, queue)
        kept.store.done(queue, name, now=AT)
    kept.store.erase_done(lambda letter: letter.name == "a", ["q", "r"])
    assert [row.key for row in kept.table.query(DONE)] == ["q|b", "s|a"]


@pytest.mark.parametrize(("later", "is_swept"), [(HOUR - timedelta(seconds=1), False), (HOUR, True)])
@pytest.mark.parametrize("look", ["counts", "take_due"])
def test_letters_and_index_are_made_to_fit_once_an_hour(
    kept: Kept, later: timedelta, is_swept: bool, look: str
) -> None:
    """The release before writes letters without an index, and removes letters and leaves it."""
    kept.add("a", retryable=False)
    kept.add("b", now=AT + DAY)
    kept.table.delete(INDEX, "hand|q|a")
    kept.table.upsert(Row(partition=INDEX, key="hand|q|gone", values={"queue": "q", "name": "gone"}))
    args: tuple[Any, ...] = (AT + later,) if look == "counts" else (AT + later, 9)
    getattr(kept.store, look)(*args)
    right = ["due|2026-03-05T12:01:00Z|q|b", "hand|q|a"]
    wrong = ["due|2026-03-05T12:01:00Z|q|b", "hand|q|gone"]
    assert kept.index() == (right if is_swept else wrong)


def test_a_letter_that_changes_while_it_is_swept_keeps_its_index(kept: Kept) -> None:
    """What the sweep did not see is looked at once more before it goes."""
    letter = kept.add("a")

    def point(name: str) -> None:
        if name == "BcWatermarks.upsert":
            kept.tables.after = None
            kept.store.leave_to_a_person(letter, "meanwhile")

    kept.tables.after = point
    kept.store.counts(AT + HOUR)
    assert kept.index() == ["hand|q|a"]


def test_a_row_without_times_counts_as_very_old() -> None:
    """It is then swept, and shown."""
    tables = MemoryTables()
    table = tables.table("BcWatermarks")
    table.upsert(Row(partition="conn|parked", key="q|n", values={"queue": "q", "name": "n"}))
    table.upsert(Row(partition=INDEX, key="swept"))
    store = DeadLetterStore(table, "conn")
    assert store.counts(AT) == {"q": 1}
    (letter,) = store.all(9)
    assert letter.since == datetime(2000, 1, 1, tzinfo=UTC)
