"""The page of a delta that reads again what could not be read before, and is due (`broken_records.py`)."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from shared.business_central.records import Record
from shared.changes import plan_runs
from shared.changes.broken_records import MOST, Broken, BrokenList
from shared.changes.change_stores import ChangeStores
from shared.changes.jobs import GROUP, Cursor, PageJob, Slice
from shared.changes.page_reader import Reading, next_cursor, read_page
from shared.changes.single_reader import Lost, read_records
from shared.changes.streams import stream_of
from shared.clock import NO_TIME, parse_time
from shared.connections.context import Context
from shared.errors import BCError, BCNotFound, BCRejected, BCUnavailable

#: Pages of one place that are read; it mostly holds a few rows. What is left of it is for the next run, which must have
#: another value to begin at: many rows may have changed at one time.
_PAGES: Final = 5
_MOST_PAGES: Final = 50


@dataclass(slots=True)
class _Found:
    records: dict[str, Record] = field(default_factory=dict)
    healed: list[Broken] = field(default_factory=list)
    failed: list[Broken] = field(default_factory=list)


def read_due(ctx: Context, stores: ChangeStores, job: PageJob) -> Reading:
    """Read what is due; call `settle` of the reading's `mended` once the records are announced.

    Raises:
        BCError: BC serves nothing at all for now.
    """
    listed = BrokenList(stores, stream_of(job))
    due = [one for one in listed.all() if one.next_at <= ctx.now()][: job.cursor.rows or MOST]
    found = _Found()
    for place in due:
        if not place.key:
            _read_place(ctx, job, place, found)
    _read_keys(ctx, job, {one.key: one for one in due if one.key}, found)
    return Reading(
        list(found.records.values()), "", more=False, served_at=None,
        new=frozenset(one.key for one in found.healed if one.is_new), runs=tuple({one.run for one in due}),
        mended=lambda: listed.settle(found.healed, found.failed),
    )  # fmt: skip


def _read_keys(ctx: Context, job: PageJob, due: dict[str, Broken], found: _Found) -> None:
    records, broken = read_records(ctx, job.company, job.entity_row(), list(due), may_all_fail=True)
    failed = {key: str(error) for key, error in broken}
    found.records |= {record.key: record for record in records}
    for key, one in due.items():
        if key in failed:
            found.failed.append(one.failed_again(ctx.now(), failed[key]))
        else:
            found.healed.append(one)  # read, or gone


def _read_place(ctx: Context, job: PageJob, place: Broken, found: _Found) -> None:
    sort = job.entity_row().sort
    rows: list[Record] = []
    lost: list[Lost] = []
    failure: BCError | None = None
    rest = ""  # where the next run goes on
    try:
        for reading, behind in _pages(ctx, job, place, sort):
            rest = behind
            rows += [row for row in reading.records if _is_inside(row, place, sort)]
            lost += [one for one in reading.lost if not _is_beyond(one.low, place)]
    except (BCNotFound, BCRejected, BCUnavailable) as error:
        failure = error
    if place.phase == "expanded":
        rows = _parents(ctx, job, rows)
    found.records |= {row.key: row for row in rows}
    if failure is not None:
        found.failed.append(place.failed_again(ctx.now(), str(failure)))
    else:
        found.healed.append(place)
        found.failed += [place.narrowed(one).failed_again(ctx.now(), one.reason) for one in lost]
        if rest:
            found.failed.append(replace(place, low=rest, tries=1, next_at=ctx.now()))


def _pages(ctx: Context, job: PageJob, place: Broken, sort: str) -> Iterator[tuple[Reading, str]]:
    """Yield the pages that reach over a place, each with the sort value to go on from; "" when it is done."""
    part = Slice(low=place.low, high=place.high) if place.mode == "full" else Slice(since=place.low)
    cursor = Cursor(rows=GROUP, most_rows=ctx.settings.page_rows)  # what all pages hold is remembered in one row
    page = replace(job, mode=place.mode, phase=place.phase, slice=part, cursor=cursor)
    for number in range(1, _MOST_PAGES + 1):
        reading = read_page(ctx, page)
        if not reading.more or _ends(reading, place, sort):
            yield reading, ""
            return
        page = replace(page, cursor=next_cursor(page, reading))
        rest = page.cursor.last if number >= _PAGES and page.cursor.last != place.low else ""
        yield reading, rest
        if rest:
            return
    raise BCUnavailable("more rows than can be read have one sort value", code="stalled")


def _parents(ctx: Context, job: PageJob, rows: list[Record]) -> list[Record]:
    """Return the records that expanded ones belong to."""
    entity = job.entity_row()
    keys = dict.fromkeys(row.text(entity.expanded_parent).lower() for row in rows)
    return read_records(ctx, job.company, entity, [key for key in keys if key], may_all_fail=True)[0]


def _ends(reading: Reading, place: Broken, sort: str) -> bool:
    """Return whether a page has reached what is behind a place."""
    if place.mode == "full":
        return False  # nothing behind it is asked for
    rows = reading.passed or reading.records
    return bool(rows) and not _is_inside(rows[-1], place, sort)


def _is_inside(row: Record, place: Broken, sort: str) -> bool:
    """Return whether a row may be one that could not be read; those at the very edges of a full pull could.

    Where nothing was behind them, what came later is no such row, and other runs have read it.
    """
    if place.mode == "full":
        return row.text(sort) not in {place.low, place.high}
    return row.modified <= (_time(place.high) if place.high else place.since + plan_runs.OVERLAP)


def _is_beyond(low: str, place: Broken) -> bool:
    """Return whether a gap that begins at `low` is behind the place; it is on the list by itself."""
    if place.mode == "full" or not place.high:
        return False
    return _time(low) > _time(place.high) or _time(place.low) < _time(low) == _time(place.high)


def _time(value: str) -> datetime:
    return parse_time(value) or NO_TIME
