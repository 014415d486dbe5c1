"""Streams and runs in terms of rows: one owner per page, one completion per run, no lost move."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.changes.jobs import PageJob, Slice
from shared.changes.lost_pages import DOUBT, SILENT
from shared.changes.run_progress import MOST_PATIENCE, STALL, Role, RunStore, Standing
from shared.changes.streams import Stream, StreamState, StreamStore, stream_of
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
    runs.let_go(JOB, "m1", AT)
    redriven = replace(JOB, redrive=1)
    assert runs.take_page(redriven, "m9", AT) is Role.GO
    assert runs.take_page(JOB, "m1", AT) is Role.COPY
    assert runs.take_page(redriven, "m9", AT) is Role.GO


def test_a_page_is_not_taken_from_a_worker_that_lives(book: StreamStore, runs: RunStore) -> None:
    """Put back, or put again, while another of its messages is at work: that one comes back should it die."""
    started(book)
    runs.take_page(JOB, "m1", AT)
    redriven, again = replace(JOB, redrive=1), replace(JOB, again=1)
    for one in (redriven, again):
        assert runs.take_page(one, "m9", AT + DOUBT - timedelta(seconds=1)) is Role.COPY
    runs.beat(JOB, "m1", AT + DOUBT)
    assert runs.take_page(redriven, "m9", AT + DOUBT) is Role.COPY
    assert runs.take_page(redriven, "m9", AT + 2 * DOUBT) is Role.GO


def test_a_page_whose_rows_are_gone_with_its_run_is_a_repeat(book: StreamStore, runs: RunStore) -> None:
    """A copy that began before the run was complete finds no row, and must not begin the page anew."""
    state = started(book)
    assert runs.take_page(JOB, "m1", AT) is Role.GO
    book.change(STREAM, lambda held: replace(held, done_run=state.run))
    runs.forget_run(STREAM, state.run)
    assert runs.take_page(JOB, "m2", AT) is Role.REPEAT


def test_a_page_that_another_message_has_done_is_not_read_again_for_a_redriven_one(
    book: StreamStore, runs: RunStore
) -> None:
    """It would put a second successor beside the first; should that get lost, it is put again by itself."""
    started(book)
    again = replace(JOB, again=1)
    runs.take_page(again, "m2", AT)
    runs.let_go(JOB, "m2", AT)
    assert runs.take_page(replace(JOB, redrive=1), "m9", AT) is Role.GO
    runs.let_go(JOB, "m9", AT)
    assert runs.take_page(replace(JOB, again=2), "m3", AT) is Role.GO
    runs.note_next(JOB, "m3", JOB.next(), AT)
    assert runs.take_page(replace(JOB, redrive=2), "m10", AT) is Role.REPEAT
    assert runs.take_page(replace(JOB, redrive=1), "m9", AT) is Role.REPEAT
    assert runs.take_page(JOB, "m1", AT) is Role.COPY
    assert runs.take_page(replace(JOB, again=2), "m3", AT) is Role.GO


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
    assert runs.take_page(again, "m2", AT + 2 * SILENT) is Role.COPY
    assert runs.take_page(again, "m2", AT + 3 * SILENT) is Role.GO
    assert not runs.beat(JOB, "m1", AT + 3 * SILENT)
    assert runs.take_page(JOB, "m1", AT + 3 * SILENT) is Role.COPY
    runs.let_go(again, "m2", AT + 3 * SILENT)
    assert runs.put_lost_again(AT + timedelta(hours=1), lambda _: True) == []
    assert runs.take_page(again, "m2", AT + 4 * SILENT) is Role.GO  # delivered again
    runs.note_next(again, "m2", again.next(), AT + 4 * SILENT)
    assert runs.put_lost_again(AT + 5 * SILENT - timedelta(seconds=1), lambda _: True) == []
    (after,) = runs.put_lost_again(AT + 5 * SILENT, lambda _: True)
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


def test_every_field_of_a_state_is_stored_under_its_name(book: StreamStore, table: Table) -> None:
    """As 0.1.0 named them; each goes and comes back alone."""
    stored = {
        "watermark": "mark", "watch_from": "watch_from", "planned_at": "planned_at", "ended_at": "ended_at",
        "done_at": "done_at", "read_since": "read_since", "remembered_from": "remembered_from", "lag_from": "lag_from",
        "lag_at": "lag_at", "mend_at": "mend_at", "snapshot": "generation", "partitions": "partitions", "rows": "rows",
        "broken": "broken", "unreadable": "unreadable", "again": "again", "looks_again": "looks_again", "run": "run",
        "mode": "mode", "done_run": "done_run", "error": "error",
    }  # fmt: skip
    blank = StreamState(stream=STREAM)
    for number, name in enumerate(stored):
        kinds: dict[type, object] = {type(None): AT + timedelta(hours=number), bool: True, str: f"x{number}", int: 7}
        new: Any = kinds[type(getattr(blank, name))]
        state = replace(blank, **{name: new})
        row = state.to_row("p")
        assert row.values[stored[name]] == new
        assert StreamState.from_row(STREAM, row) == state
    assert not {name for name, value in blank.to_row("p").values.items() if value is None}


def test_what_0_1_0_wrote_is_to_mend_since_it_was_planned() -> None:
    """It kept neither how much it could not read nor when to look again."""
    row = Row(partition="p", key=STREAM.key, values={"planned_at": AT})
    assert StreamState.from_row(STREAM, row).mend_at == AT
    assert StreamState.from_row(STREAM, row.with_values(unreadable=0)).mend_at is None
    assert StreamState.from_row(STREAM, row.with_values(dead="q\n\np")).superseded == ("q", "p")


HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("state", "under_way", "set_back", "to_mend"),
    [
        ({}, False, False, False),
        ({"run": "r"}, True, False, False),
        ({"run": "r", "ended_at": AT}, False, False, False),
        ({"ended_at": None, "run": ""}, False, False, False),
        ({"watermark": AT}, False, False, False),
        ({"read_since": AT}, False, False, False),
        ({"watermark": AT, "read_since": AT}, False, False, False),
        ({"watermark": AT, "read_since": AT + HOUR}, False, True, False),
        ({"mend_at": AT}, False, False, True),
        ({"mend_at": AT + timedelta(seconds=1)}, False, False, False),
    ],
)  # fmt: skip
def test_a_state_says_what_is_to_do(state: dict[str, Any], under_way: bool, set_back: bool, to_mend: bool) -> None:
    """A run is under way from its plan to its end; a watermark before what was read was set back by a person."""
    found = StreamState(stream=STREAM, **state)
    assert (found.is_under_way, found.is_set_back, found.is_to_mend(AT)) == (under_way, set_back, to_mend)


def test_a_run_that_was_not_complete_is_superseded_by_the_next(book: StreamStore, table: Table) -> None:
    """With a row of its own, by which a late job of it learns so; one that was complete needs none."""
    first = StreamState(stream=STREAM, planned_at=AT).succeeded_by("a")
    assert (first.run, first.superseded) == ("a", ())
    assert replace(first, done_run="a").succeeded_by("b").superseded == ()
    second = first.succeeded_by("b")
    assert second.superseded == ("a",)
    assert second.succeeded_by("c").superseded == ("a", "b")
    assert book.is_superseded(second, "a")
    stored = book.save(second)
    assert stored.superseded == ()
    assert [book.is_superseded(stored, run) for run in ("a", "b")] == [True, False]
    row = table.get("lmints.io.production", STREAM.key_of("superseded", "a"))
    assert row is not None
    assert dict(row.values) == {"kind": "superseded", "at": AT}


def test_runs_that_were_superseded_are_forgotten_once_none_of_their_jobs_can_come(
    book: StreamStore, table: Table
) -> None:
    """Those without a time first."""
    book.save(StreamState(stream=STREAM, run="c", planned_at=AT, superseded=("a",)))
    book.change(STREAM, lambda state: replace(state, planned_at=None, superseded=("b",)))
    state = book.load(STREAM)
    other = Stream("pull", "c", "customers")
    book.save(StreamState(stream=other, superseded=("a",)))
    book.forget_superseded(STREAM, AT)
    assert [book.is_superseded(state, run) for run in ("a", "b")] == [True, False]
    book.forget_superseded(STREAM, AT + timedelta(seconds=1))
    assert not book.is_superseded(state, "a")
    assert book.is_superseded(StreamState(stream=other), "a")


@pytest.mark.parametrize(("count", "writes"), [(90, 1), (91, 2), (180, 2), (181, 3)])
def test_more_superseded_runs_than_a_transaction_takes_are_written_before(count: int, writes: int) -> None:
    """0.1.0 kept four hundred names in one property."""
    tables = MemoryTables()
    book = StreamStore(tables.table("BcWatermarks"), "conn")
    asked: list[str] = []
    tables.before = asked.append
    runs = tuple(f"r{n}" for n in range(count))
    state = book.save(StreamState(stream=STREAM, run="r", superseded=runs))
    assert asked == ["BcWatermarks.write"] * writes
    assert all(book.is_superseded(state, run) for run in runs)


def test_a_change_of_nothing_is_not_written() -> None:
    """And a stream never seen stays so."""
    tables = MemoryTables()
    book = StreamStore(tables.table("BcWatermarks"), "conn")
    tables.before = pytest.fail
    assert book.change(STREAM, lambda state: state) == StreamState(stream=STREAM)


def test_streams_are_listed_with_their_purpose(book: StreamStore, table: Table) -> None:
    """A word that this release does not know counts as a pull."""
    states = [StreamState(stream=Stream(purpose, "c", "items"), rows=1) for purpose in ("reconcile", "snapshot")]
    for state in states:
        book.save(state)
    table.upsert(Row(partition="lmints.io.production", key="stream|new|c|x", values={"purpose": "new", "entity": "x"}))
    table.upsert(Row(partition="lmints.io.production", key="streams"))
    found = {(one.stream.purpose, one.stream.company, one.stream.entity) for one in book.all()}
    assert found == {("reconcile", "c", "items"), ("snapshot", "c", "items"), ("pull", "", "x")}


def test_a_job_belongs_to_the_stream_of_its_purpose() -> None:
    """In its company and of its entity."""
    assert stream_of(JOB) == STREAM
    assert stream_of(replace(JOB, purpose="reconcile", company="d", entity="x")) == Stream("reconcile", "d", "x")
