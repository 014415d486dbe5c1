"""Streams: one thing to read each, with its watermark, its newest run, and which runs were superseded.

One row per stream (purpose, company, entity), moved by compare and swap; a row per superseded run, which only a late
job of it asks for. The rows of a run's slices are in `run_progress.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from shared.changes.jobs import STORED_PURPOSES, PageJob, Purpose
from shared.storage.compare_and_swap import until_stored
from shared.storage.keys import after, row_key
from shared.storage.table import Change, Insert, Replace, Row, Table, Upsert, Value

#: A queue message lives seven days, and a dead letter is retried for three; nobody redrives later than this.
JOB_LIFE: Final = timedelta(days=30)
#: Rows that go into one transaction beside the stream's own; it takes a hundred.
_MOST_WRITES: Final = 90


@dataclass(frozen=True, slots=True)
class Stream:
    """One thing to read: for example the items of one company, to reconcile them."""

    purpose: Purpose
    company: str
    entity: str

    @property
    def key(self) -> str:
        """Key of the stream's row."""
        return self.key_of("stream")

    def key_of(self, kind: str, *parts: str) -> str:
        """Return the key of a row of some kind that belongs to the stream."""
        return row_key(kind, STORED_PURPOSES[self.purpose], self.company, self.entity, *parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamState:
    """The stream's row."""

    stream: Stream
    watermark: datetime | None = None  # everything modified before it has been read
    watch_from: datetime | None = None  # reconcile: changes before it are no news
    snapshot: int = 0  # snapshot: number of the one in force; 0: none yet
    run: str = ""  # newest run
    mode: str = ""
    partitions: int = 0
    planned_at: datetime | None = None
    ended_at: datetime | None = None  # of the newest run, None while it is under way
    done_run: str = ""  # newest run that was completed
    done_at: datetime | None = None
    rows: int = 0  # read by the newest completed run
    again: bool = False  # somebody asked for another run while this one was under way
    broken: int = 0  # records left out in the newest run
    unreadable: int = 0  # what is on the list of broken records; snapshot: how many the one in force has left out
    looks_again: bool = False  # snapshot: has missed what only a second look may call gone
    read_since: datetime | None = None  # from when the newest completed delta read
    remembered_from: datetime | None = None  # pull: every version announced since then is remembered
    lag_from: datetime | None = None  # reconcile: when the replica began to lag (`replica_lag.py`)
    lag_at: datetime | None = None  # and when that was last seen
    mend_at: datetime | None = None  # when the next of them is due
    error: str = ""  # why the newest run that ended could not go on
    superseded: tuple[str, ...] = ()  # runs whose own rows are still to be written: as 0.1.0 kept them
    etag: str = field(default="", compare=False)

    @property
    def is_under_way(self) -> bool:
        """Return whether the newest run has begun and not ended."""
        return bool(self.run) and self.ended_at is None

    @property
    def is_set_back(self) -> bool:
        """Return whether a person has set the watermark back, so that all since then is announced again."""
        return self.watermark is not None and self.read_since is not None and self.watermark < self.read_since

    def is_past(self, run: str) -> bool:
        """Return whether a run is complete, or another has begun since: a late page of it starts nothing."""
        return self.run != run or self.done_run == run

    def is_to_mend(self, now: datetime) -> bool:
        """Return whether something broken is due to be read again."""
        return self.mend_at is not None and self.mend_at <= now

    def succeeded_by(self, run: str) -> "StreamState":
        """Return the state with another run as the newest; one that was not complete is superseded from now on."""
        if not self.run or self.run == self.done_run:
            return replace(self, run=run)
        return replace(self, run=run, superseded=(*self.superseded, self.run))

    def to_row(self, partition: str) -> Row:
        """Return the table row."""
        values: dict[str, Value] = {
            "kind": "stream",
            "purpose": STORED_PURPOSES[self.stream.purpose],
            "company": self.stream.company,
            "entity": self.stream.entity,
        }
        for name, stored in _FIELDS.items():
            value = getattr(self, name)
            if value is not None:
                values[stored] = value
        return Row(partition=partition, key=self.stream.key, values=values, etag=self.etag)

    @classmethod
    def from_row(cls, stream: Stream, row: Row) -> "StreamState":
        """Read a row; a property that is missing or of the wrong type counts as never set: the stream heals itself."""
        return cls(
            stream=stream,
            watermark=row.time("mark"), watch_from=row.time("watch_from"), planned_at=row.time("planned_at"),
            ended_at=row.time("ended_at"), done_at=row.time("done_at"), snapshot=row.number("generation"),
            partitions=row.number("partitions"), rows=row.number("rows"), broken=row.number("broken"),
            unreadable=row.number("unreadable"),
            mend_at=row.time("mend_at" if "unreadable" in row.values else "planned_at"),  # 0.1.0 has dropped both
            read_since=row.time("read_since"),
            remembered_from=row.time("remembered_from"), lag_from=row.time("lag_from"), lag_at=row.time("lag_at"),
            again=bool(row.number("again")), looks_again=bool(row.number("looks_again")),
            run=row.text("run"), mode=row.text("mode"),
            done_run=row.text("done_run"), error=row.text("error"),
            superseded=tuple(run for run in row.text("dead").split("\n") if run), etag=row.etag,
        )  # fmt: skip


#: Fields and the properties that hold them since 0.1.0.
_FIELDS: Final = {
    "watermark": "mark", "watch_from": "watch_from", "snapshot": "generation", "run": "run", "mode": "mode",
    "partitions": "partitions", "planned_at": "planned_at", "ended_at": "ended_at", "done_run": "done_run",
    "done_at": "done_at", "rows": "rows", "again": "again", "broken": "broken", "error": "error",
    "unreadable": "unreadable", "looks_again": "looks_again", "mend_at": "mend_at", "read_since": "read_since",
    "remembered_from": "remembered_from", "lag_from": "lag_from", "lag_at": "lag_at",
}  # fmt: skip


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

    def save(self, state: StreamState, *beside: Row) -> StreamState:
        """Store a state that was loaded, and rows `beside` it, all or nothing; StateConflict when it moved meanwhile.

        Runs that are newly superseded get rows of their own.
        """
        row = state.to_row(self._partition)
        others: list[Change] = [Upsert(one) for one in beside]
        if state.superseded:
            values: dict[str, Value] = {"kind": "superseded", **({"at": state.planned_at} if state.planned_at else {})}
            others += [
                Upsert(Row(partition=self._partition, key=state.stream.key_of("superseded", run), values=values))
                for run in state.superseded
            ]
        while len(others) > _MOST_WRITES:  # four hundred names that 0.1.0 kept in one property
            self._table.write(others[:_MOST_WRITES])
            del others[:_MOST_WRITES]
        own = Replace(row) if state.etag else Insert(row)
        return replace(state, superseded=(), etag=self._table.write([own, *others])[0])

    def change(self, stream: Stream, edit: Callable[[StreamState], StreamState]) -> StreamState:
        """Load, edit and store until nobody was faster."""

        def attempt() -> StreamState:
            state = self.load(stream)
            edited = edit(state)
            return state if edited == state else self.save(edited)

        return until_stored(attempt, f"stream {stream.key}")

    def is_superseded(self, state: StreamState, run: str) -> bool:
        """Return whether a run was taken over by another one, which reads everything that it would have read."""
        key = state.stream.key_of("superseded", run)
        return run in state.superseded or self._table.get(self._partition, key) is not None

    def forget_superseded(self, stream: Stream, before: datetime) -> None:
        """Delete the rows of runs that were superseded before a time by which none of their jobs can come again."""
        prefix = stream.key_of("superseded") + "|"
        for row in list(self._table.query(self._partition, prefix, after(prefix))):
            at = row.time("at")
            if at is None or at < before:
                self._table.delete(row.partition, row.key)


def stream_of(job: PageJob) -> Stream:
    """Return the stream a job belongs to."""
    return Stream(job.purpose, job.company, job.entity)


def _stream(row: Row) -> Stream:
    purpose: Purpose = next((word for word, stored in STORED_PURPOSES.items() if stored == row.text("purpose")), "pull")
    return Stream(purpose, row.text("company"), row.text("entity"))
