"""Runs under way: how far each slice is, and which delivery of a page job may go on.

One row per slice of a run in table BcWatermarks; every move is a compare and swap.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from shared.changes.jobs import PageJob
from shared.changes.lost_pages import DOUBT, SILENT, SlicePage, lost
from shared.changes.streams import Stream, StreamState, stream_of
from shared.clock import NO_TIME, parse_time
from shared.errors import InvalidMessage, StateConflict
from shared.storage.compare_and_swap import until_stored
from shared.storage.keys import after, row_key
from shared.storage.table import Insert, Replace, Row, Table, Upsert, Value

#: How long a slice may wait for its next page where pages come quickly: a worker that dies holds its message for ten
#: minutes.
STALL: Final = timedelta(minutes=12)
#: How many times the longest wait that was seen a page may take, and the most of all: with many companies the queue is
#: long, and a page waits for those of all others (P25).
PATIENCE: Final = 3
MOST_PATIENCE: Final = timedelta(hours=6)


class Role(Enum):
    """What one delivery of a page job may do."""

    GO = "reads the page and starts its successor"
    REPEAT = "its successor has started: announces again what it announced, and starts nothing"
    COPY = "another message with the same job is at work: does nothing"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one slice is."""

    page: int  # newest page that was started
    done: bool
    began: datetime | None
    rows: int
    at: datetime | None  # when that page was started, its worker last said so, or the next one was put


@dataclass(frozen=True, slots=True)
class Standing:
    """How a run that is under way stands."""

    is_alive: bool  # False: nothing moved within the limit, nor after its jobs were put again
    again: tuple[PageJob, ...] = ()  # jobs that got lost, to be put again


class RunStore:
    """The slices of the runs of one connection."""

    def __init__(self, table: Table, connection: str) -> None:
        """Take the table and the connection whose rows it keeps."""
        self._table = table
        self._partition = row_key(connection)

    def planned(self, jobs: Iterable[PageJob], at: datetime) -> list[Row]:
        """Return the rows of a run's slices before their first page, to be stored with the stream's own."""
        return [
            Row(
                partition=self._partition,
                key=_key(job),
                values={"kind": "run", "page": 0, "at": at, "next": job.to_text()},
            )
            for job in jobs
        ]

    def limit(self) -> timedelta:
        """Return how long a page may be waited for: it follows from how long pages wait for their turn now."""
        rows = self._table.query(self._partition, "run|", after("run|"))
        slowest = timedelta(seconds=max((row.number("wait_s") for row in rows), default=0))
        return min(max(STALL, PATIENCE * slowest), MOST_PATIENCE)

    def standing(self, state: StreamState, now: datetime) -> Standing:
        """Return how the run under way of a stream stands.

        A slice that did not move within the limit has lost its job, perhaps: it is put again under its name, so that
        nothing leaves under another id if it was only slow. A run is not alive once none of its slices moved within
        the limit, and putting jobs again did not help.
        """
        rows = _unfinished(self._rows(state))
        if not rows:  # planned by 0.1.0, and no page has started
            return Standing(is_alive=state.planned_at is not None and state.planned_at > now - STALL)
        since = self._since(rows, now)
        quiet = [row for row in rows if _moved_at(row) <= since]
        if len(quiet) == len(rows) and _is_past_help(rows, since):
            return Standing(is_alive=False)
        again = (self._put_again(row, now) for row in quiet if _put_again_at(row) <= since)
        return Standing(is_alive=True, again=tuple(job for job in again if job is not None))

    def _since(self, rows: list[Row], now: datetime) -> datetime:
        """Return since when a slice must have moved; the limit, a query, is asked for only where it matters."""
        since = now - STALL
        return now - self.limit() if any(_moved_at(row) <= since for row in rows) else since

    def put_lost_again(
        self, now: datetime, is_wanted: Callable[[PageJob], bool], standstill: timedelta = SILENT
    ) -> list[PageJob]:
        """Return the pages of any run that nobody moves, to be put again now (see `lost_pages.py`).

        `is_wanted` is asked of each, `standstill` as in `lost`. Nothing of this is held against a run: that its limit
        has passed `standing` says.
        """
        rows = {row.key: row for row in self._table.query(self._partition, "run|", after("run|"))}
        found = [rows[key] for key in lost([_page(row) for row in rows.values()], now, standstill)]
        wanted = [row for row in found if (job := _next(row)) is not None and is_wanted(job)]
        again = (self._put_again(row, now, "early_at") for row in wanted)
        return [job for job in again if job is not None]

    def _put_again(self, row: Row, now: datetime, noted: str = "again_at") -> PageJob | None:
        """Return the newest job of a slice, to be put again; None where it is not known, or moves after all."""
        job = _next(row)
        if job is None:
            return None
        job = replace(job, again=job.again + 1)
        try:
            self._table.replace(row.with_values(next=job.to_text(), **{noted: now}))
        except StateConflict:
            return None
        return job

    def take_page(self, job: PageJob, message_id: str, now: datetime) -> Role:
        """Decide the role of this delivery of a page job, and note that its page has started.

        Two messages can hold the same job when its predecessor was delivered twice; the first to start owns it.
        """

        def attempt() -> Role:
            row = self._table.get(self._partition, _key(job))
            role = Role.REPEAT if row is None and self._is_complete(job) else _role(job, message_id, row, now)
            if role is Role.GO:
                started = _started(row or Row(partition=self._partition, key=_key(job)), job, message_id, now)
                self._table.write([Insert(started) if row is None else Replace(started)])
            return role

        return until_stored(attempt, f"run {job.run}")

    def _is_complete(self, job: PageJob) -> bool:
        """Return whether a run has ended, whose rows are deleted after that."""
        held = self._table.get(self._partition, stream_of(job).key)
        return held is not None and held.text("done_run") == job.run

    def note_next(self, job: PageJob, message_id: str, successor: PageJob, now: datetime) -> None:
        """Note the job that follows a page, as its message is put, so that it can be put again if that gets lost."""
        self._change_own(job, message_id, {"next": successor.to_text(), "at_work": False, "at": now})

    def beat(self, job: PageJob, message_id: str, now: datetime) -> bool:
        """Note that a delivery is still at work on its page; False when it is not its page any more."""
        return self._change_own(job, message_id, {"at": now})

    def let_go(self, job: PageJob, message_id: str, now: datetime) -> None:
        """Note that a delivery has ended, and that its page is to come again or not at all."""
        self._change_own(job, message_id, {"at_work": False, "at": now})

    def _change_own(self, job: PageJob, message_id: str, values: dict[str, Value]) -> bool:
        """Change a slice's row for the delivery that is at work on it; False where another has taken over."""

        def attempt() -> bool:
            row = self._table.get(self._partition, _key(job))
            if row is None or row.number("page") != job.page or row.text("owner") != message_id:
                return False
            if row.number("at_work"):
                self._table.replace(row.with_values(**values))
            return bool(row.number("at_work"))

        return until_stored(attempt, f"run {job.run}")

    def end_slice(self, job: PageJob, now: datetime) -> list[Progress] | None:
        """Note that a slice is complete; return the progress of all once the last of them is, else None.

        None as well for a run that is not the newest any more.
        """
        row = self._table.get(self._partition, _key(job)) or Row(partition=self._partition, key=_key(job))
        values: dict[str, Value] = {"page": job.page, "done": True, "rows": job.total, "at": now, "began": job.began}
        self._table.write([Upsert(row.with_values(**values))])
        stream = stream_of(job)
        held = self._table.get(self._partition, stream.key)
        if held is None or held.text("run") != job.run:
            return None
        state = StreamState.from_row(stream, held)
        progress = [_progress(row) for row in self._rows(state)]
        complete = len(progress) >= state.partitions and all(part.done for part in progress)
        return progress if complete else None

    def forget_run(self, stream: Stream, run: str) -> None:
        """Delete the rows of a run."""
        prefix = stream.key_of("run", run) + "|"
        for row in list(self._table.query(self._partition, prefix, after(prefix))):
            self._table.delete(row.partition, row.key)

    def _rows(self, state: StreamState) -> list[Row]:
        prefix = state.stream.key_of("run", state.run) + "|"
        return list(self._table.query(self._partition, prefix, after(prefix)))


def _progress(row: Row) -> Progress:
    return Progress(
        page=row.number("page"),
        done=bool(row.number("done")),
        began=parse_time(row.text("began")),
        rows=row.number("rows"),
        at=row.time("at"),
    )


def _next(row: Row) -> PageJob | None:
    """Return the newest job of a slice; None where 0.1.0 has taken it, which notes no successor."""
    try:
        job = PageJob.from_text(row.text("next"))
    except InvalidMessage:
        return None
    return job if job.page >= row.number("page") == row.number("taken") or job.page > row.number("page") else None


def _page(row: Row) -> SlicePage:
    """Return what a row says of its newest page; of one whose job is not known neither at work nor queued."""
    job = None if row.number("done") else _next(row)
    is_queued = job is not None and job.page > row.number("page")
    return SlicePage(
        key=row.key,
        at=_moved_at(row),
        is_at_work=job is not None and not is_queued and bool(row.number("at_work")),
        is_queued=is_queued,
        queued_at=row.time("queued_at") or NO_TIME,
        put_again_at=max(row.time("early_at") or NO_TIME, row.time("again_at") or NO_TIME),
        again=job.again if job is not None else 0,
    )


def _moved_at(row: Row) -> datetime:
    return row.time("at") or NO_TIME


def _put_again_at(row: Row) -> datetime:
    """Return when a slice's job was put again since it moved; year 1 if it was not."""
    at = row.time("again_at") or NO_TIME
    return at if at > _moved_at(row) else NO_TIME


def _unfinished(rows: list[Row]) -> list[Row]:
    """Return the slices that have pages to come; all, when only the end of the run is."""
    return [row for row in rows if not row.number("done")] or rows


def _is_past_help(rows: list[Row], since: datetime) -> bool:
    """Return whether putting jobs again was in vain, or can't be done."""
    return any(NO_TIME < _put_again_at(row) <= since for row in rows) or not any(map(_next, rows))


def _role(job: PageJob, message_id: str, row: Row | None, now: datetime) -> Role:
    if row is None:
        return Role.GO
    page = row.number("page")
    if job.page < page or bool(row.number("done")):
        return Role.REPEAT
    if job.page > page or row.text("owner") == message_id:
        return Role.GO
    if job.redrive <= row.number("redrive") and job.again <= row.number("again"):
        return Role.COPY
    if row.number("at_work") and now - _moved_at(row) < DOUBT:
        return Role.COPY  # another one's worker lives; should it die, its message comes back, or is put again
    put = _next(row)  # behind a page that another has done; should it get lost, it is put again by itself
    return Role.REPEAT if put is not None and put.page > page else Role.GO


def _key(job: PageJob) -> str:
    return stream_of(job).key_of("run", job.run, f"{job.slice.number:02d}")


def _started(row: Row, job: PageJob, message_id: str, now: datetime) -> Row:
    values: dict[str, Value] = {
        "page": job.page, "taken": job.page, "owner": message_id, "redrive": job.redrive, "at": now, "at_work": True,
    }  # fmt: skip
    put = _next(row)  # what was put again meanwhile is a copy from now on
    values["again"] = max(job.again, put.again if put is not None and put.page == job.page else 0)
    moved_at = row.time("at")
    if moved_at is not None and not row.number("at_work"):
        values["queued_at"] = moved_at
    if moved_at is not None and job.page > row.number("page") and not job.redrive and not job.again:
        values["wait_s"] = int((now - moved_at).total_seconds())
    return row.with_values(kind="run", began=job.began, **values)
