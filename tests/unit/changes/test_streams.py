"""Streams and runs in terms of rows: one owner per page, one completion per run, no lost move."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.changes.jobs import PageJob, Slice
from shared.changes.lost_pages import SILENT
from shared.changes.run_progress import MOST_PATIENCE, STALL, Role, RunStore, Standing
from shared.changes.streams import Stream, StreamState, StreamStore
from shared.errors import StateConflict
from shared.storage.table import Row, Table
from tests.support.memory_storage import MemoryTables

AT = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
STREAM = Stream("pull", "c", "items")
JOB = PageJob(run="r", purpose="pull", mode="delta", company="c", entity="items")


@pytest.fixture
def table() -> Table:
    """An empty table."""
    return MemoryTables().table("BcWatermarks")


@pytest.fixture
def book(table: Table) -> StreamStore:
    """A book over it."""
    return StreamStore(table, "lmints.io.production")


@pytest.fixture
def runs(table: Table) -> RunStore:
    """The runs in it."""
    return RunStore(table, "lmints.io.production")


def started(book: StreamStore, partitions: int = 1) -> StreamState:
    """A stream with a run under way."""
    return book.save(StreamState(stream=STREAM, run="r", mode="delta", partitions=partitions, planned_at=AT))


def test_a_state_survives_its_row(book: StreamStore) -> None:
    """Every field, and those that are not set stay so."""
    full = StreamState(
        stream=STREAM, watermark=AT, watch_from=AT, snapshot=3, run="r", mode="full", partitions=4, planned_at=AT,
        ended_at=AT, done_run="q", done_at=AT, rows=5, again=True, broken=2, error="e",
    )  # fmt: skip
    assert book.load(STREAM) == StreamState(stream=STREAM)
    stored = book.save(full)
    assert book.load(STREAM) == full == stored
    book.save(replace(stored, watermark=None))
    assert book.load(STREAM).watermark is None
    assert book.all() == [replace(full, watermark=None)]


def test_a_row_with_foreign_values_heals_itself(book: StreamStore, table: Table) -> None:
    """Somebody edited the table by hand: what can't be used counts as never set."""
    table.insert(Row(partition="lmints.io.production", key=STREAM.key, values={"mark": "yesterday", "rows": "x"}))
    assert book.load(STREAM) == StreamState(stream=STREAM)


def test_the_second_of_two_movers_learns_that_it_lost(book: StreamStore) -> None:
    """And `change` loads again until nobody was faster."""
    first = second = started(book)
    book.save(replace(first, rows=1))
    with pytest.raises(StateConflict):
        book.save(replace(second, rows=2))
    calls: list[int] = []

    def edit(state: StreamState) -> StreamState:
        if not calls:
            book.save(replace(book.load(STREAM), broken=7))
        calls.append(1)
        return replace(state, rows=state.rows + 1)

    assert (book.change(STREAM, edit).rows, book.load(STREAM).broken, len(calls)) == (2, 7, 2)


def test_the_first_to_start_a_page_owns_it(book: StreamStore, runs: RunStore) -> None:
    """Its own redelivery goes on, a copy does not, and an earlier page only repeats itself."""
    started(book)
    assert runs.take_page(JOB, "m1", AT) is Role.GO
    assert runs.take_page(JOB, "m1", AT) is Role.GO
    assert runs.take_page(JOB, "m2", AT) is Role.COPY
    assert runs.take_page(JOB.next(), "m3", AT) is Role.GO
    assert runs.take_page(JOB, "m1", AT) is Role.REPEAT


def test_a_redriven_page_takes_over(book: StreamStore, runs: RunStore) -> None:
    """Its message died; put back it is another message, and the one that counts from then on."""
    started(book)
    runs.take_page(JOB, "m1", AT)
    redriven = replace(JOB, redrive=1)
    assert runs.take_page(redriven, "m9", AT) is Role.GO
    assert runs.take_page(JOB, "m1", AT) is Role.COPY
    assert runs.take_page(redriven, "m9", AT) is Role.GO


def test_a_run_is_complete_once_its_last_partition_is(book: StreamStore, runs: RunStore) -> None:
    """In whatever order; a repeat of the end changes nothing."""
    started(book, partitions=3)
    ends = [
        replace(JOB, slice=Slice(number=n), phase="commit", began="2026-03-04T12:00:00.000Z", total=n) for n in range(3)
    ]
    assert runs.end_slice(ends[2], AT) is None
    assert runs.end_slice(ends[2], AT) is None
    assert runs.end_slice(ends[0], AT) is None
    progress = runs.end_slice(ends[1], AT)
    assert progress is not None
    assert sorted(part.rows for part in progress) == [0, 1, 2]
    assert {part.began for part in progress} == {AT}


def test_the_end_of_an_old_run_completes_nothing(book: StreamStore, runs: RunStore) -> None:
    """Another run has begun since."""
    state = started(book)
    book.save(replace(state, run="s"))
    assert runs.end_slice(replace(JOB, phase="commit"), AT) is None


def planned(book: StreamStore, runs: RunStore, slices: int = 1) -> StreamState:
    """A stream whose run has been planned."""
    state = StreamState(stream=STREAM, run="r", mode="delta", partitions=slices, planned_at=AT)
    jobs = [replace(JOB, slice=Slice(number=n)) for n in range(slices)]
    return book.save(state, *runs.planned(jobs, AT))


def test_a_job_that_does_not_come_is_put_again_and_only_then_its_run_is_dead(book: StreamStore, runs: RunStore) -> None:
    """Under its own name; a move in between begins the waiting anew (P25)."""
    state = planned(book, runs)
    assert runs.standing(state, AT + STALL - timedelta(seconds=1)) == Standing(is_alive=True)
    (again,) = runs.standing(state, AT + STALL).again
    assert (again.job, again.again) == (JOB.job, 1)
    assert runs.standing(state, AT + 2 * STALL - timedelta(seconds=1)) == Standing(is_alive=True)
    assert runs.standing(state, AT + 2 * STALL) == Standing(is_alive=False)
    assert runs.take_page(again, "m2", AT + 2 * STALL) is Role.GO
    assert runs.take_page(JOB, "m1", AT + 2 * STALL) is Role.COPY  # the job itself, late after all
    runs.note_next(again, "m2", again.next(), AT + 2 * STALL)
    assert runs.standing(state, AT + 3 * STALL - timedelta(seconds=1)) == Standing(is_alive=True)
    (after,) = runs.standing(state, AT + 3 * STALL).again
    assert (after.job, after.again) == (JOB.next().job, 1)


def test_a_slice_that_is_stuck_is_put_again_while_the_others_go_on(book: StreamStore, runs: RunStore) -> None:
    """A run is never dead while one of its slices moves."""
    state = planned(book, runs, slices=2)
    at, put_again = AT, 0
    for page in range(1, 9):
        at += STALL / 2
        runs.take_page(replace(JOB, page=page), f"m{page}", at)
        standing = runs.standing(state, at)
        assert standing.is_alive
        assert {job.slice.number for job in standing.again} <= {1}
        put_again += len(standing.again)
    assert put_again == 2  # every third time, as its neighbour waits half the least limit for each page


def test_a_page_that_nobody_moves_is_put_again_at_once(book: StreamStore, runs: RunStore) -> None:
    """Without being held against its run; where a beat, a failure or a successor shows life, it is not."""
    planned(book, runs)
    runs.take_page(JOB, "m1", AT)
    assert runs.beat(JOB, "m1", AT + SILENT)
    assert runs.put_lost_again(AT + 2 * SILENT - timedelta(seconds=1), lambda _: True) == []
    assert runs.put_lost_again(AT + 2 * SILENT, lambda _: False) == []
    (again,) = runs.put_lost_again(AT + 2 * SILENT, lambda _: True)
    assert (again.job, again.again) == (JOB.job, 1)
    assert runs.put_lost_again(AT + 2 * SILENT, lambda _: True) == []
    assert runs.standing(book.load(STREAM), AT + SILENT + STALL - timedelta(seconds=1)) == Standing(is_alive=True)
    assert runs.beat(JOB, "m1", AT + 2 * SILENT)  # it was only slow, and the other message has not begun
    assert runs.take_page(again, "m2", AT + 2 * SILENT) is Role.GO
    assert not runs.beat(JOB, "m1", AT + 2 * SILENT)
    assert runs.take_page(JOB, "m1", AT + 2 * SILENT) is Role.COPY
    runs.let_go(again, "m2", AT + 2 * SILENT)
    assert runs.put_lost_again(AT + timedelta(hours=1), lambda _: True) == []
    assert runs.take_page(again, "m2", AT + 3 * SILENT) is Role.GO  # delivered again
    runs.note_next(again, "m2", again.next(), AT + 3 * SILENT)
    assert runs.put_lost_again(AT + 4 * SILENT - timedelta(seconds=1), lambda _: True) == []
    (after,) = runs.put_lost_again(AT + 4 * SILENT, lambda _: True)
    assert (after.job, after.again) == (JOB.next().job, 1)


def test_patience_follows_from_how_long_pages_wait(book: StreamStore, runs: RunStore) -> None:
    """Three times the longest wait of any page of the connection, within bounds (P25)."""
    state = planned(book, runs)
    other = Stream("reconcile", "d", "items")
    slow = replace(JOB, purpose="reconcile", company="d", run="s")
    book.save(StreamState(stream=other, run="s", planned_at=AT), *runs.planned([slow], AT))
    assert runs.limit() == STALL
    runs.take_page(slow, "m1", AT + timedelta(minutes=20))
    assert runs.limit() == timedelta(minutes=60)
    assert runs.standing(state, AT + timedelta(minutes=59)) == Standing(is_alive=True)
    assert runs.standing(state, AT + timedelta(minutes=60)).again
    runs.take_page(slow.next(), "m2", AT + timedelta(hours=60))
    assert runs.limit() == MOST_PATIENCE


def test_a_page_notes_what_follows_unless_another_delivery_took_over(book: StreamStore, runs: RunStore) -> None:
    """Only the owner of the slice knows its newest job."""
    state = planned(book, runs)
    runs.take_page(JOB, "m1", AT)
    runs.note_next(JOB, "another", replace(JOB, page=7), AT)
    assert [job.page for job in runs.standing(state, AT + STALL).again] == [1]
    runs.forget_run(STREAM, "r")
    runs.note_next(JOB, "m1", JOB.next(), AT)
    assert not runs.standing(state, AT + STALL).is_alive
