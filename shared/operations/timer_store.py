"""When each timer began last, in one row a timer of table BcWatermarks; and that one plan is made at a time."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from shared.errors import StateConflict
from shared.storage.keys import row_key
from shared.storage.table import Row, Table, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerRun:
    """What is known of one timer. Times are aware UTC."""

    function: str
    since: datetime | None = None  # it has been looked after since then
    by_timer_at: datetime | None = None  # the host's timer (or a person) started it last
    started_at: datetime | None = None  # it started last, whoever started it
    planned_at: datetime | None = None  # the second clock sent for it last
    busy_until: datetime | None = None  # a run is at work, and counts as that until then
    etag: str = field(default="", compare=False)

    @property
    def last(self) -> datetime | None:
        """When it last started or was sent for; before the first time, since when it is looked after."""
        return max((at for at in (self.started_at, self.planned_at) if at is not None), default=self.since)

    def is_busy(self, now: datetime) -> bool:
        """Whether a run is at work; an end further away than any run lasts comes from a clock that was wrong."""
        return self.busy_until is not None and now < self.busy_until <= now + timedelta(hours=1)


_TIMES = ("since", "by_timer_at", "started_at", "planned_at", "busy_until")


class TimerStore:
    """The timers of one connection. Every method raises StoreUnavailable when the table does not answer."""

    def __init__(self, table: Table, connection: str) -> None:
        """Take the table and the connection whose timers it keeps."""
        self._table = table
        self._partition = row_key(connection, "timers")

    def all(self) -> dict[str, TimerRun]:
        """Return what is known, by function."""
        return {row.text("function"): _run(row) for row in self._table.query(self._partition)}

    def load(self, function: str) -> TimerRun:
        """Return what is known of one timer; nothing of one never seen."""
        row = self._table.get(self._partition, row_key(function))
        return TimerRun(function=function) if row is None else _run(row)

    def save(self, run: TimerRun) -> TimerRun | None:
        """Store what was loaded and changed; None when somebody else was faster."""
        times: dict[str, Value] = {name: at for name in _TIMES if (at := getattr(run, name)) is not None}
        row = Row(
            partition=self._partition, key=row_key(run.function), values={"function": run.function, **times},
            etag=run.etag,
        )  # fmt: skip
        try:
            stored = self._table.replace(row) if run.etag else self._table.insert(row)
        except StateConflict:
            return None
        return replace(run, etag=stored.etag)


def _run(row: Row) -> TimerRun:
    return TimerRun(function=row.text("function"), **{name: row.time(name) for name in _TIMES}, etag=row.etag)
