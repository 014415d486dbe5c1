"""Reads pages and records so that one bad record, one slow page or one stale link does not stop a run."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Literal

from shared.business_central.entities import Entity
from shared.business_central.page_parser import Page
from shared.business_central.port import PageAnswer, PageAsk
from shared.business_central.records import Record
from shared.changes.jobs import GROUP, PageJob
from shared.clock import parse_time
from shared.connections.context import Context
from shared.errors import BCError, BCNotFound, BCRejected, BCUnavailable
from shared.log import log_event
from shared.settings import MAX_PAGE_ROWS

log: Final = logging.getLogger(__name__)

#: Fewest rows asked for after time-outs.
MIN_ROWS: Final = 50
#: How many times BC_PAGE_ROWS a page may grow to while BC answers quickly, and where growing ends for memory's sake:
#: some six pages are at hand at once, of which the host holds copies while it writes them.
MOST_GROWTH: Final = 4
QUICK_S: Final = 5.0
SLOW_S: Final = 30.0
PAGE_BYTES: Final = 8_000_000
#: Rows per page when only ids are read: the most BC serves.
LIST_ROWS: Final = 20_000
#: So many single records must fail in a row, with none that succeeds, to call it an outage and not broken records.
_OUTAGE: Final = 3
#: BC's link names the last row that was sent, and goes on behind wherever that row stands by then.
_SKIP_TOKEN: Final = re.compile(r"skiptoken=(?:'|%27)?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})", re.IGNORECASE)
#: So often a link at one edge is doubted; a replica that lags shows a row now here and now there, and would go on so.
_JUMPS: Final = 3
_BAD_LINK: Final = frozenset({"SkipTokenIsNoLongerValid", "nextLink"})


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading one page brought."""

    records: list[Record]
    broken: int  # records left out; each was logged
    next_link: str
    more: bool  # there is a next page; without a link it is asked for anew, behind the last record
    served_at: datetime | None
    rows: int  # page size that worked
    jumps: int = 0  # see `PageJob.jumps`
    stalled: bool = False  # nothing but what was read before, and still a link to more


def read_page(ctx: Context, job: PageJob) -> Reading:
    """Read the page of a job.

    A time-out or 504 means "ask for less": it is asked again with a quarter of the rows. A link that BC no longer
    honours is replaced by asking anew behind the last record. A page that BC itself can't serve because of one record
    is read record by record.

    Raises:
        BCError: none of that helped.
    """
    ask = page_ask(ctx, job)
    try:
        answer = ctx.bc.page(ask)
    except BCRejected as error:
        if error.code in _BAD_LINK and job.link:
            return read_page(ctx, replace(job, link=""))
        if ask.what != "records" or error.code in _BAD_LINK:
            raise
        return _read_singly(ctx, job, ask, error)
    except BCUnavailable as error:
        if error.status == 500 and ask.what == "records":
            return _read_singly(ctx, job, ask, error)
        if ask.rows <= MIN_ROWS or error.status not in {0, 408, 504}:
            raise
        ask = replace(ask, rows=max(MIN_ROWS, ask.rows // 4))
        answer = ctx.bc.page(ask)
    page = answer.page
    if job.link and job.edge and job.jumps < _JUMPS and _has_jumped(ctx, job, page):
        return read_page(ctx, replace(job, link="", after=job.edge, after_ids=(), edge="", jumps=job.jumps + 1))
    for reason in page.broken:
        _report(job, "", reason)
    fresh = [record for record in page.records if record.key not in job.after_ids]
    # A replica that lags leads in circles among rows of one time; the next run begins anew at the watermark.
    stalled = bool(page.records and not fresh and page.next_link)
    return Reading(
        fresh, len(page.broken), page.next_link, bool(page.next_link), answer.served_at, _next_rows(ctx, ask, answer),
        jumps=job.jumps, stalled=stalled,
    )  # fmt: skip


def _has_jumped(ctx: Context, job: PageJob, page: Page) -> bool:
    """Say whether a link has led over rows: its row was changed since the link was made and stands elsewhere now."""
    named = _SKIP_TOKEN.search(job.link)
    if named is None or (page.records and page.records[0].text("lastModifiedDateTime") == job.edge):
        return False
    rows = ctx.bc.records(job.company, job.entity_row(), [named[1].lower()], expanded=False)
    return not rows or rows[0].text("lastModifiedDateTime") != job.edge


def page_ask(ctx: Context, job: PageJob) -> PageAsk:
    """Return what to ask BC for."""
    entity = job.entity_row()
    nested = job.phase == "nested"
    what: Literal["records", "expanded", "ids"] = "ids" if job.mode == "list" else "expanded" if nested else "records"
    since, low = parse_time(job.since) if job.since else None, job.low
    again = 0 if job.link else len(job.after_ids)  # rows at the edge that are served once more
    if job.after and not job.link:
        since, low = (since, job.after) if job.mode == "full" else (parse_time(job.after), low)
    return PageAsk(
        company=job.company,
        entity=entity,
        what=what,
        expanded=ctx.expands(entity),
        since=since,
        low="" if nested else low,
        high="" if nested else job.high,
        order="" if what == "ids" else "number" if job.mode == "full" and not nested else "lastModifiedDateTime",
        rows=LIST_ROWS if what == "ids" else min((job.rows or ctx.settings.page_rows) + again, LIST_ROWS),
        link=job.link,
    )


def _next_rows(ctx: Context, ask: PageAsk, answer: PageAnswer) -> int:
    """Return the size of the next page: smaller when BC labours; in a full pull larger while it is quick."""
    if not answer.page.next_link or ask.what != "records":
        return 0
    if answer.took_s > SLOW_S:
        return min(ask.rows, max(MIN_ROWS, ask.rows // 2))
    is_full = ask.order == "number"
    most = ctx.settings.page_rows * (MOST_GROWTH if is_full and answer.took_s < QUICK_S else 1)
    if answer.size:
        most = min(most, max(ctx.settings.page_rows, ask.rows * PAGE_BYTES // answer.size))
    return min(MAX_PAGE_ROWS, most, ask.rows * MOST_GROWTH)


def _read_singly(ctx: Context, job: PageJob, ask: PageAsk, cause: BCError) -> Reading:
    """Read a page that BC refuses as a whole: first only its ids, then the records in groups, down to single ones."""
    if ask.link:  # a link repeats the properties it was made for, so ids must be asked for anew
        job = replace(job, link="")
        ask = page_ask(ctx, job)
        if not job.after:
            raise cause
    rows = GROUP + len(job.after_ids)  # beyond those at the very place that are done already
    try:
        listed = _list_ids(ctx, job, replace(ask, what="ids", rows=rows))
    except BCError:
        raise cause from None
    keys = [key for key in listed.keys if key not in job.after_ids]
    records, broken = read_records(ctx, job.company, job.entity_row(), keys)
    for key, error in broken:
        _report(job, key, str(error))
    order = {key: place for place, key in enumerate(keys)}
    records.sort(key=lambda record: order.get(record.key, len(order)))
    if listed.more and not records and len(keys) == len(broken):
        raise cause  # nothing to go on from
    return Reading(records, len(broken) + listed.lost, "", listed.more, listed.served_at, ask.rows)


@dataclass(slots=True)
class _Listed:
    keys: list[str] = field(default_factory=list)
    lost: int = 0  # rows of which not even the id can be read
    more: bool = False
    served_at: datetime | None = None


def _list_ids(ctx: Context, job: PageJob, ask: PageAsk) -> _Listed:
    """List ids; a span that BC refuses is halved until it is one row, which is passed over by `$skip`.

    AL runs a page's code for every row, whatever is selected, so a broken record can spoil the ids as well.

    Raises:
        BCError: no row can be read, or BC does not answer.
    """
    listed = _Listed()
    spans = [(0, ask.rows)]
    while spans:
        skip, rows = spans.pop(0)
        try:
            answer = ctx.bc.page(replace(ask, rows=rows, skip=skip))
        except (BCRejected, BCUnavailable) as error:
            if isinstance(error, BCUnavailable) and error.status != 500:
                raise
            if rows > 1:
                spans[:0] = [(skip, rows // 2), (skip + rows // 2, rows - rows // 2)]
                continue
            listed.lost += 1
            if listed.lost >= _OUTAGE and not listed.keys:
                raise
            _report(job, "", f"row {skip + 1} from {job.after or job.low or job.since or 'the first'} on: {error}")
            continue
        listed.keys += [record.key for record in answer.page.records]
        listed.more = bool(answer.page.next_link)
        listed.served_at = listed.served_at or answer.served_at
        if not listed.more:
            break
    return listed


def read_records(
    ctx: Context, company: str, entity: Entity, keys: Sequence[str], *, reserved: bool = False
) -> tuple[list[Record], list[tuple[str, BCError]]]:
    """Read records by id in groups; return them and those that BC can't serve, each with its error.

    Raises:
        BCError: BC serves nothing at all for now.
    """
    records: list[Record] = []
    broken: list[tuple[str, BCError]] = []
    waiting = [list(keys[start : start + GROUP]) for start in range(0, len(keys), GROUP)]
    while waiting:
        group = waiting.pop(0)
        try:
            records += ctx.bc.records(company, entity, group, expanded=ctx.expands(entity), reserved=reserved)
        except BCNotFound:
            if len(group) > 1:
                raise  # the company or the entity is gone, not a record
        except (BCRejected, BCUnavailable) as error:
            if isinstance(error, BCUnavailable) and error.status != 500:
                raise
            if len(group) == 1:
                broken.append((group[0], error))
                if not records and len(broken) >= min(_OUTAGE, len(keys)) and isinstance(error, BCUnavailable):
                    raise
            else:
                half = len(group) // 2
                waiting[:0] = [group[:half], group[half:]]
    return records, broken


def _report(job: PageJob, key: str, reason: str) -> None:
    log_event(
        log, "record.broken", level=logging.ERROR, company=job.company, entity=job.entity, record_id=key,
        reason=reason, job=job.job,
    )  # fmt: skip
