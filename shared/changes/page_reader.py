"""Reads the page of a job so that a slow page or a stale link does not stop a run, and says where the next one begins.

Owns what is asked for, page sizes and cursors. What BC can't serve as a page `single_reader.py` reads one by one.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

from shared import guid
from shared.business_central import odata
from shared.business_central.metadata import MODIFIED
from shared.business_central.page_parser import Page
from shared.business_central.port import PageAnswer, PageAsk
from shared.business_central.records import Record
from shared.changes.jobs import Cursor, Mode, PageJob, Phase
from shared.changes.single_reader import Lost, Singles, read_singly, report_broken
from shared.clock import parse_time
from shared.connections.context import Context
from shared.errors import BCRejected, BCUnavailable, may_be_of_one_record
from shared.settings import MAX_PAGE_ROWS

#: Fewest rows asked for after time-outs.
MIN_ROWS: Final = 50
#: How long to wait for a page that is larger than BC_PAGE_ROWS: pages grow only while they take less than QUICK_S. The
#: slot of a worker that dies stays shut for it; any other request may take its whole time, as Business Central goes on
#: with what it is no longer waited for.
PAGE_S: Final = 45.0
#: How many times BC_PAGE_ROWS a page may grow to while BC answers quickly, and where growing ends for memory's sake:
#: some six pages are at hand at once, of which the host holds copies while it writes them.
MOST_GROWTH: Final = 4
QUICK_S: Final = 5.0
SLOW_S: Final = 30.0
PAGE_BYTES: Final = 8_000_000
#: Rows per page when only ids are read: the most BC serves.
LIST_ROWS: Final = 20_000
#: More rows than this at one sort value are not named in the successor's message (it would not fit the queue).
_MOST_TIES: Final = 200
#: BC's link names the last row that was sent, and continues after the place where that row stands by then.
_SKIP_TOKEN: Final = re.compile(rf"skiptoken=(?:'|%27)?({guid.PATTERN})")
#: So often a link at one value is doubted; a replica that lags shows a row now here and now there, and would go on so.
_DOUBTS: Final = 3
_BAD_LINK: Final = frozenset({"SkipTokenIsNoLongerValid", "nextLink"})


#: Stands for the entity's own sort property.
_SORT: Final = "*"


@dataclass(frozen=True, slots=True)
class _Read:
    """What one kind of page asks for."""

    what: Literal["records", "expanded", "ids"]
    order: str  # the property that rows are sorted by


_READS: Final[dict[tuple[Mode, Phase], _Read]] = {
    ("full", "records"): _Read("records", _SORT),
    ("delta", "records"): _Read("records", MODIFIED),
    ("delta", "expanded"): _Read("expanded", MODIFIED),
    ("list", "records"): _Read("ids", _SORT),
}
_LIST_SINCE: Final = _Read("ids", MODIFIED)  # a list of what was modified since a time


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading one page brought."""

    records: list[Record]
    next_link: str
    more: bool  # there is a next page; without a link it is asked for anew, behind the last record
    served_at: datetime | None  # BC's time, or ours where that is earlier
    lost: tuple[Lost, ...] = ()  # what could not be read
    passed: tuple[Record, ...] = ()  # rows that the next page is behind, if not the records; see `Singles.passed`
    unusable: int = 0  # rows that are no records; each was logged
    rows: int = 0  # page size for the next page; 0: the configured one
    most_rows: int = 0  # see `Cursor.most_rows`
    doubts: int = 0  # see `Cursor.doubts`
    stalled: bool = False  # nothing but what was read before, and still a link to more
    new: frozenset[str] = frozenset()  # ids of records that nobody has announced, whatever a snapshot says
    runs: tuple[str, ...] = ()  # runs that could not read what is read now
    mended: Callable[[], None] | None = None  # to be called once what was read now is remembered as announced


def read_page(ctx: Context, job: PageJob) -> Reading:
    """Read the page of a job.

    A time-out or 504 means "ask for less": it is asked again with a quarter of the rows. A link that BC no longer
    honours is replaced by asking anew behind the last record. A page that BC itself can't serve because of one record
    is read record by record.

    Raises:
        BCError: none of that helped.
    """
    cursor = job.cursor
    try:
        answer, most_rows = _answer(ctx, page_ask(ctx, job), cursor)
    except (BCRejected, BCUnavailable) as error:
        return _read_otherwise(ctx, job, error)
    page = answer.page
    if _has_led_over(ctx, job, page):
        anew = replace(cursor, link="", last=cursor.linked, done=(), linked="", doubts=cursor.doubts + 1)
        return read_page(ctx, _moved_to(job, anew))
    for reason in page.broken:
        report_broken(job, "", reason)
    fresh = [record for record in page.records if record.key not in cursor.done]
    # A replica that lags leads in circles among rows of one time; the next run begins anew at the watermark.
    stalled = bool(page.records and not fresh and page.next_link)
    return Reading(
        fresh, page.next_link, bool(page.next_link), _no_later(answer.served_at, ctx.now()), unusable=len(page.broken),
        rows=_next_rows(ctx, job, answer, most_rows), most_rows=most_rows, doubts=cursor.doubts, stalled=stalled,
    )  # fmt: skip


def _answer(ctx: Context, ask: PageAsk, cursor: Cursor) -> tuple[PageAnswer, int]:
    """Return the answer, and the page size not to go beyond: after a time-out that of the smaller page that worked."""
    was_quick = cursor.rows > ctx.settings.page_rows
    try:
        return ctx.bc.page(replace(ask, limit_s=PAGE_S) if was_quick else ask), cursor.most_rows
    except BCUnavailable as error:
        if ask.rows <= MIN_ROWS or error.status not in {0, 408, 504}:
            raise
    rows = max(MIN_ROWS, ask.rows // 4, min(ask.rows, 2 * _served_again(cursor)))
    return ctx.bc.page(replace(ask, rows=rows)), rows


def _read_otherwise(ctx: Context, job: PageJob, cause: BCRejected | BCUnavailable) -> Reading:
    """Read a page that BC refused: without the link if that is why, else one by one."""
    if cause.code in _BAD_LINK and job.cursor.link:
        return read_page(ctx, _moved_to(job, replace(job.cursor, link="")))
    if cause.code in _BAD_LINK or not may_be_of_one_record(cause):
        raise cause
    if job.cursor.link:  # a link repeats the properties it was made for, so ids must be asked for anew
        job = _moved_to(job, replace(job.cursor, link=""))
        if not job.cursor.last:
            raise cause
    ask = page_ask(ctx, job)
    if not ask.order:
        raise cause  # a place without a sort value can't be come back to
    found = _first_of(read_singly(ctx, job, ask, cause), job.cursor.most_rows)
    return Reading(
        found.records, "", found.more, _no_later(found.served_at, ctx.now()), found.lost, found.passed,
        rows=min(job.cursor.rows, ctx.settings.page_rows), most_rows=job.cursor.most_rows,
    )  # fmt: skip


def _first_of(found: Singles, most: int) -> Singles:
    """Return the first of what was read singly where fewer than `MIN_ROWS` are asked for: only as no more fit."""
    if not 0 < most < min(MIN_ROWS, len(found.records)):
        return found
    records = found.records[:most]
    place = next((place for place, row in enumerate(found.passed, 1) if row.key == records[-1].key), 0)
    return replace(found, records=records, passed=found.passed[:place], more=True)


def _no_later(served_at: datetime | None, now: datetime) -> datetime | None:
    """Return the earlier one: a `Date` of next year, from a proxy, would end every later delta at once."""
    return served_at if served_at is None else min(served_at, now)


def _moved_to(job: PageJob, cursor: Cursor) -> PageJob:
    return replace(job, cursor=cursor)


def _has_led_over(ctx: Context, job: PageJob, page: Page) -> bool:
    """Return whether a link has led over rows: the row it names was changed since and stands elsewhere now."""
    cursor, order = job.cursor, sort_property(job)
    named = _SKIP_TOKEN.search(cursor.link)
    if named is None or not cursor.linked or cursor.doubts >= _DOUBTS:
        return False
    if page.records and page.records[0].text(order) == cursor.linked:
        return False
    entity = job.entity_row()
    if job.phase == "expanded":
        entity = replace(entity, name=entity.expanded_set, key="id", select=())
    rows = ctx.bc.records(job.company, entity, [named[1].lower()], expanded=False)
    return not rows or rows[0].text(order) != cursor.linked


def sort_property(job: PageJob) -> str:
    """Return the property that the rows of a job's pages are sorted by."""
    return _read_of(job).order


def _read_of(job: PageJob) -> _Read:
    """Return what a job's pages ask for.

    A list of an entity without a text to sort by goes by time, where what changes meanwhile moves to the pages to come;
    without times it follows BC's links in BC's own order.
    """
    entity = job.entity_row()
    if job.mode == "list" and (job.slice.since or (not entity.sort and entity.has_times)):
        return _LIST_SINCE
    read = _READS.get((job.mode, job.phase), _READS[job.mode, "records"])
    return replace(read, order=entity.sort) if read.order == _SORT else read


def page_ask(ctx: Context, job: PageJob) -> PageAsk:
    """Return what to ask BC for."""
    entity, part, cursor = job.entity_row(), job.slice, job.cursor
    read = _read_of(job)
    since, low = part.since, part.low
    if cursor.last and not cursor.link:
        since, low = (cursor.last, low) if read.order == MODIFIED else (since, cursor.last)
    rows = LIST_ROWS if read.what == "ids" else cursor.rows or ctx.settings.page_rows
    again = _served_again(cursor)
    most = max(cursor.most_rows, 2 * again) if cursor.most_rows else LIST_ROWS
    return PageAsk(
        company=job.company, entity=entity, what=read.what, expanded=bool(entity.expand), since=parse_time(since),
        low="" if read.what == "expanded" else low, high="" if read.what == "expanded" else part.high, order=read.order,
        rows=min(rows + again, most, LIST_ROWS), link=cursor.link,
    )  # fmt: skip


def _served_again(cursor: Cursor) -> int:
    """Return how many rows are served once more, those at the last value; a page of these alone leads nowhere."""
    return 0 if cursor.link else len(cursor.done)


def _next_rows(ctx: Context, job: PageJob, answer: PageAnswer, most_rows: int) -> int:
    """Return the size of the next page: smaller when BC labours, larger while it is quick."""
    rows = job.cursor.rows or ctx.settings.page_rows
    if not answer.page.next_link or _read_of(job).what != "records":
        return 0
    rows = min(rows, most_rows or rows)
    if answer.took_s > SLOW_S:
        return min(rows, max(MIN_ROWS, rows // 2))
    most = ctx.settings.page_rows * (MOST_GROWTH if answer.took_s < QUICK_S else 1)
    if answer.size:
        most = min(most, max(ctx.settings.page_rows, rows * PAGE_BYTES // answer.size))
    return min(MAX_PAGE_ROWS, most, rows * MOST_GROWTH, most_rows or MAX_PAGE_ROWS)


def with_fewer_rows(job: PageJob, reading: Reading) -> PageJob | None:
    """Return the job with half the rows, as what its page held was too much at once; None where it held one row."""
    rows = min(len(reading.records), job.cursor.rows or MAX_PAGE_ROWS) // 2
    return _moved_to(job, replace(job.cursor, rows=rows, most_rows=rows)) if rows else None


def next_cursor(job: PageJob, reading: Reading) -> Cursor:
    """Return where the page behind this one begins.

    BC's link continues after the row it names, wherever that stands by then: a changed row moves to the end of a
    delta, one that gets another number leads a full pull elsewhere, and all between would be left out. So every read
    asks anew by the sort value of its last row, unless a page is full of one value, or a filter would not take it as it
    is; then the link is followed, and its row looked at (`_has_led_over`).
    """
    cursor, order = job.cursor, sort_property(job)
    rows = reading.passed or reading.records
    last, done = _place(job, rows)
    by_value = 0 < 2 * len(done) <= len(rows) and odata.is_plain(last) and not _is_of_0_1_0(cursor)
    linked = rows[-1].text(order) if rows else cursor.last
    return Cursor(
        link="" if by_value else reading.next_link, last=last, done=done, rows=reading.rows,
        most_rows=reading.most_rows, linked="" if by_value else linked,
        doubts=reading.doubts if linked in {cursor.linked, cursor.last} else 0,
    )  # fmt: skip


def _is_of_0_1_0(cursor: Cursor) -> bool:
    """Return whether a link was made by 0.1.0 for ids in BC's own order: it must be followed to its end."""
    return bool(cursor.link) and not cursor.last and not cursor.linked


def _place(job: PageJob, records: Sequence[Record]) -> tuple[str, tuple[str, ...]]:
    """Return where to go on without a link: the last sort value, and which rows at that value are done."""
    order, cursor = sort_property(job), job.cursor
    if not records:
        return cursor.last, cursor.done
    last = records[-1].text(order)
    ties = [record.key for record in records if record.text(order) == last]
    if last == cursor.last:
        ties = [*cursor.done, *ties]
    return (last, tuple(ties)) if last and len(ties) <= _MOST_TIES else ("", ())
