"""Runs under way: how far each slice is, and which delivery of a page job may go on.

One row per slice of a run in table BcWatermarks; every move is a compare and swap.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from shared.changes.jobs import PageJob
from shared.changes.streams import Stream, StreamState, stream_of
from shared.storage.compare_and_swap import until_stored
from shared.storage.keys import after, row_key
from shared.storage.table import Insert, Replace, Row, Table, Upsert, Value

#: A run whose newest page is older than this has lost its queue message; the next timer begins anew.
STALL: Final = timedelta(minutes=12)


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
    at: datetime | None


class RunStore:
    """The slices of the runs of one connection."""

    def __init__(self, table: Table, connection: str) -> None:
        """Take the table and the connection whose rows it keeps."""
        self._table = table
        self._partition = row_key(connection)

    def is_alive(self, state: StreamState, now: datetime) -> bool:
        """Say whether the stream's run is under way and has moved lately."""
        if not state.is_under_way:
            return False
        moments = [moment for moment in (state.planned_at, *(p.at for p in self._progress(state))) if moment]
        return bool(moments) and max(moments) > now - STALL

    def take_page(self, job: PageJob, message_id: str, now: datetime) -> Role:
        """Decide the role of this delivery of a page job, and note that its page has started.

        Two messages can hold the same job when its predecessor was delivered twice; the first to start owns it.
        """

        def attempt() -> Role:
            row = self._table.get(self._partition, _key(job))
            role = _role(job, message_id, row)
            if role is Role.GO:
                started = _started(row or Row(partition=self._partition, key=_key(job)), job, message_id, now)
                self._table.write([Insert(started) if row is None else Replace(started)])
            return role

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
        progress = self._progress(state)
        complete = len(progress) >= state.partitions and all(part.done for part in progress)
        return progress if complete else None

    def forget_run(self, stream: Stream, run: str) -> None:
        """Delete the rows of a run."""
        prefix = stream.key_of("run", run) + "|"
        for row in list(self._table.query(self._partition, prefix, after(prefix))):
            self._table.delete(row.partition, row.key)

    def _progress(self, state: StreamState) -> list[Progress]:
        prefix = state.stream.key_of("run", state.run) + "|"
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


def _role(job: PageJob, message_id: str, row: Row | None) -> Role:
    if row is None:
        return Role.GO
    page = row.number("page")
    if job.page < page or bool(row.number("done")):
        return Role.REPEAT
    is_other = row.text("owner") != message_id and job.redrive <= row.number("redrive")
    return Role.COPY if job.page == page and is_other else Role.GO


def _key(job: PageJob) -> str:
    return stream_of(job).key_of("run", job.run, f"{job.slice.number:02d}")


def _started(row: Row, job: PageJob, message_id: str, now: datetime) -> Row:
    values: dict[str, Value] = {"page": job.page, "owner": message_id, "redrive": job.redrive, "at": now}
    return row.with_values(kind="run", began=job.began, **values)


def _parse(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
