"""Streams and their runs: watermark, run under way, and which delivery of a page job may go on.

One row per stream (purpose, company, entity) and one row per partition of its run. All moves are checked by ETag.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from shared.changes.jobs import PageJob, Purpose
from shared.errors import StateConflict
from shared.storage.keys import after, row_key
from shared.storage.table import Insert, Replace, Row, Table, Upsert, Value

#: A run whose newest page is older than this has died with its queue message; the next timer begins anew.
STALL: Final = timedelta(minutes=12)
_TRIES: Final = 8
_MOST_DEAD: Final = 400  # names kept: an outage of 72 hours leaves one run a quarter of an hour


@dataclass(frozen=True, slots=True)
class Stream:
    """One thing to read: for example the items of one company, to watch them."""

    purpose: Purpose
    company: str
    entity: str

    @property
    def key(self) -> str:
        """Key of the stream's row."""
        return row_key("stream", self.purpose, self.company, self.entity)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamState:
    """The stream's row."""

    stream: Stream
    mark: datetime | None = None  # everything modified before it has been read
    watch_from: datetime | None = None  # watch: changes before it are no news
    generation: int = 0  # compare: which listing of known ids is in force; 0: none yet
    run: str = ""  # newest run
    mode: str = ""
    partitions: int = 0
    planned_at: datetime | None = None
    ended_at: datetime | None = None  # of the newest run, None while it is under way
    done_run: str = ""  # newest run that was completed
    done_at: datetime | None = None
    rows: int = 0  # read by the newest completed run
    dead: str = ""  # runs that others took over before they were complete, the newest last, joined by newlines
    again: bool = False  # somebody asked for another run while this one was under way
    broken: int = 0  # records left out in the newest run
    error: str = ""  # why the newest run could not go on
    error_at: datetime | None = None
    etag: str = field(default="", compare=False)

    def is_dead(self, run: str) -> bool:
        """Say whether a run was taken over by another one, which reads everything that it would have read."""
        return run in self.dead.split("\n")

    def succeeded_by(self, run: str) -> "StreamState":
        """Return the state with another run as the newest; one that was not complete is dead from now on."""
        if not self.run or self.run == self.done_run:
            return replace(self, run=run)
        return replace(self, run=run, dead="\n".join([*self.dead.split("\n"), self.run][-_MOST_DEAD:]).strip())

    def to_row(self, partition: str) -> Row:
        """Return the table row."""
        values: dict[str, Value] = {
            "kind": "stream",
            "purpose": self.stream.purpose,
            "company": self.stream.company,
            "entity": self.stream.entity,
        }
        for name in _FIELDS:
            value = getattr(self, name)
            if value is not None:
                values[name] = value
        return Row(partition=partition, key=self.stream.key, values=values, etag=self.etag)

    @classmethod
    def from_row(cls, stream: Stream, row: Row) -> "StreamState":
        """Read a row; a property that is missing or of the wrong type counts as never set: the stream heals itself."""
        return cls(
            stream=stream,
            mark=row.time("mark"), watch_from=row.time("watch_from"), planned_at=row.time("planned_at"),
            ended_at=row.time("ended_at"), done_at=row.time("done_at"), error_at=row.time("error_at"),
            generation=row.number("generation"), partitions=row.number("partitions"), rows=row.number("rows"),
            broken=row.number("broken"), again=bool(row.number("again")),
            run=row.text("run"), mode=row.text("mode"), done_run=row.text("done_run"), error=row.text("error"),
            dead=row.text("dead"), etag=row.etag,
        )  # fmt: skip


_FIELDS: Final = (
    "mark", "watch_from", "generation", "run", "mode", "partitions", "planned_at", "ended_at", "done_run", "done_at",
    "rows", "dead", "again", "broken", "error", "error_at",
)  # fmt: skip


class Role(Enum):
    """What one delivery of a page job may do."""

    GO = "reads the page and starts its successor"
    REPEAT = "its successor has started: announces again what it announced, and starts nothing"
    COPY = "another message with the same job is at work: does nothing"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one partition is."""

    page: int  # newest page that was started
    done: bool
    began: datetime | None
    rows: int
    at: datetime | None


class StreamStore:
    """The streams of one connection, in table BcWatermarks."""

    def __init__(self, table: Table, connection: str) -> None:
        """Take the table and the connection whose rows it keeps."""
        self._table = table
        self._partition = row_key(connection)

    def load(self, stream: Stream) -> StreamState:
        """Return the stream's state; a stream never seen is empty."""
        row = self._table.get(self._partition, stream.key)
        return StreamState(stream=stream) if row is None else StreamState.from_row(stream, row)

    def all(self) -> list[StreamState]:
        """Return the state of every stream."""
        prefix = "stream|"
        return [
            StreamState.from_row(_stream(row), row) for row in self._table.query(self._partition, prefix, after(prefix))
        ]

    def save(self, state: StreamState) -> StreamState:
        """Store a state that was loaded; StateConflict when it moved meanwhile."""
        row = state.to_row(self._partition)
        stored = self._table.replace(row) if state.etag else self._table.insert(row)
        return replace(state, etag=stored.etag)

    def change(self, stream: Stream, edit: Callable[[StreamState], StreamState]) -> StreamState:
        """Load, edit and store until nobody was faster."""
        for _ in range(_TRIES):
            state = self.load(stream)
            edited = edit(state)
            if edited == state:
                return state
            try:
                return self.save(edited)
            except StateConflict:
                continue
        raise StateConflict(f"stream {stream.key} is contended")

    def is_alive(self, state: StreamState, now: datetime) -> bool:
        """Say whether the stream's run is under way and has moved lately."""
        if not state.run or state.ended_at is not None:
            return False
        moments = [moment for moment in (state.planned_at, *(p.at for p in self._progress(state))) if moment]
        return bool(moments) and max(moments) > now - STALL

    def take_page(self, job: PageJob, message_id: str, now: datetime) -> Role:
        """Decide the role of this delivery of a page job, and note that its page has started.

        Two messages can hold the same job when its predecessor was delivered twice; the first to start owns it.
        """
        key = self._progress_key(job)
        for _ in range(_TRIES):
            row = self._table.get(self._partition, key)
            if row is None:
                fresh = Row(partition=self._partition, key=key)
                change: Insert | Replace = Insert(_started(fresh, job, message_id, now))
            else:
                page = row.number("page")
                if job.page < page or bool(row.number("done")):
                    return Role.REPEAT
                same = job.page == page
                if same and row.text("owner") != message_id and job.redrive <= row.number("redrive"):
                    return Role.COPY
                change = Replace(_started(row, job, message_id, now))
            try:
                self._table.write([change])
            except StateConflict:
                continue
            return Role.GO
        raise StateConflict(f"run {job.run} is contended")

    def end_partition(self, job: PageJob, now: datetime) -> list[Progress] | None:
        """Note that a partition is complete; return the progress of all once the last of them is, else None."""
        key = self._progress_key(job)
        row = self._table.get(self._partition, key) or Row(partition=self._partition, key=key)
        values: dict[str, Value] = {"page": job.page, "done": True, "rows": job.total, "at": now, "began": job.began}
        self._table.write([Upsert(row.with_values(**values))])
        state = self.load(stream_of(job))
        if state.run != job.run:
            return None
        progress = self._progress(state)
        complete = len(progress) >= state.partitions and all(part.done for part in progress)
        return progress if complete else None

    def forget_run(self, stream: Stream, run: str) -> None:
        """Delete the partition rows of a run."""
        prefix = row_key("run", stream.purpose, stream.company, stream.entity, run) + "|"
        for row in list(self._table.query(self._partition, prefix, after(prefix))):
            self._table.delete(row.partition, row.key)

    def _progress(self, state: StreamState) -> list[Progress]:
        stream = state.stream
        prefix = row_key("run", stream.purpose, stream.company, stream.entity, state.run) + "|"
        return [
            Progress(
                page=row.number("page"),
                done=bool(row.number("done")),
                began=_parse(row.text("began")),
                rows=row.number("rows"),
                at=row.time("at"),
            )
            for row in self._table.query(self._partition, prefix, after(prefix))
        ]

    def _progress_key(self, job: PageJob) -> str:
        return row_key("run", job.purpose, job.company, job.entity, job.run, f"{job.partition:02d}")


def stream_of(job: PageJob) -> Stream:
    """Return the stream a job belongs to."""
    return Stream(job.purpose, job.company, job.entity)


def _stream(row: Row) -> Stream:
    purpose = row.text("purpose")
    known: Purpose = "pull" if purpose == "pull" else "compare" if purpose == "compare" else "watch"
    return Stream(known, row.text("company"), row.text("entity"))


def _started(row: Row, job: PageJob, message_id: str, now: datetime) -> Row:
    values: dict[str, Value] = {"page": job.page, "owner": message_id, "redrive": job.redrive, "at": now}
    return row.with_values(kind="run", began=job.began, **values)


def _parse(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
