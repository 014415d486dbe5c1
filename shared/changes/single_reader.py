"""Reads records one by one where BC can't serve them together, so that one bad record costs only itself.

Owns the search for the bad ones. Knows nothing of what is announced.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from shared.business_central.entities import Entity
from shared.business_central.port import Intent, PageAnswer, PageAsk
from shared.business_central.records import Record
from shared.changes.jobs import GROUP, PageJob
from shared.connections.context import Context
from shared.errors import BCError, BCNotFound, BCRejected, BCUnavailable, may_be_of_one_record
from shared.log import log_event

log: Final = logging.getLogger(__name__)

#: So many single records must fail in a row, with none that succeeds, and then a look elsewhere, too, to call it an
#: outage and not broken records.
_OUTAGE: Final = 3
#: How far behind a row that can't be read others are looked at.
_FURTHER: Final = (1, 4, 16, 64, 256, 1024, 4096, 16384)
#: How many groups behind one of which nothing can be read are tried.
_GROUPS_BEHIND: Final = 8
#: A listing that has brought anything ends after so many requests; the rest is for the next page.
_MOST_ASKS: Final = 300


@dataclass(frozen=True, slots=True)
class Lost:
    """A record that could not be read, by its id or by the sort values of the rows around it."""

    reason: str
    key: str = ""
    low: str = ""  # "": where the slice begins
    high: str = ""  # "": to the end


@dataclass(frozen=True, slots=True)
class Singles:
    """What reading a page one by one brought."""

    records: list[Record]
    lost: tuple[Lost, ...]
    more: bool
    served_at: datetime | None
    passed: tuple[Record, ...] = ()  # of whole records the rows by whose ids they were read, whatever became of them


def read_singly(ctx: Context, job: PageJob, ask: PageAsk, cause: BCError) -> Singles:
    """Read a page that BC refuses as a whole, down to single rows.

    Where whole records are asked for, first only their ids are read, then the records in groups. A group of which
    nothing can be read is gone past if something behind it can.

    Raises:
        BCError: `cause`, if that can't be done either.
    """
    done, is_whole = job.cursor.done, ask.what == "records"
    if is_whole:  # beyond those at the very place that are done already
        ask = replace(ask, what="ids", rows=GROUP + len(done))
    listed = _Listed(ask.order, job.cursor.last or job.slice.low or job.slice.since, frozenset(done))
    try:
        _list_rows(ctx, ask, listed)
    except BCError:
        raise cause from None
    rows = [row for row in listed.rows if row.key not in done]
    if listed.more and not rows:
        raise cause  # nothing to go on from
    if not is_whole:
        return Singles(rows, listed.closed(), listed.more, listed.served_at)
    records, lost = _read_whole(ctx, job, ask, listed, [row.key for row in rows], cause)
    return Singles(records, (*listed.closed(), *lost), listed.more, listed.served_at, tuple(rows))


def _read_whole(
    ctx: Context, job: PageJob, ask: PageAsk, listed: "_Listed", keys: list[str], cause: BCError
) -> tuple[list[Record], tuple[Lost, ...]]:
    """Read records by id, in the order of the ids.

    Raises:
        BCError: none of them can be read, nor what is looked at behind them.
    """
    try:
        records, broken = read_records(ctx, job.company, job.entity_row(), keys)
    except BCUnavailable as error:
        _raise_outage(error)
        if not _reads_behind(ctx, job, ask, listed):
            raise
        records, broken = read_records(ctx, job.company, job.entity_row(), keys, may_all_fail=True)
    else:
        if keys and not records and listed.more and not _reads_behind(ctx, job, ask, listed):
            raise cause
    order = {key: place for place, key in enumerate(keys)}
    records.sort(key=lambda record: order.get(record.key, len(order)))
    return records, tuple(Lost(str(error), key=key) for key, error in broken)


def _reads_behind(ctx: Context, job: PageJob, ask: PageAsk, listed: "_Listed") -> bool:
    """Return whether a whole record behind those listed can be read; the last one of each of a few groups is tried."""
    skip, is_more = listed.reach, listed.more
    for _ in range(_GROUPS_BEHIND):
        if not is_more:
            return False
        try:
            page = ctx.bc.page(replace(ask, rows=GROUP, skip=skip)).page
            keys = [row.key for row in page.records[-1:]]
            if read_records(ctx, job.company, job.entity_row(), keys)[0]:
                return True
            is_more = bool(page.next_link)
        except (BCRejected, BCUnavailable) as error:
            _raise_outage(error)
        skip += GROUP
    return False


@dataclass(slots=True)
class _Listed:
    """Rows that could be read, and the gaps between them."""

    order: str  # the property they are sorted by
    last: str  # sort value of the newest row
    done: frozenset[str] = frozenset()  # ids that an earlier page was for
    rows: list[Record] = field(default_factory=list)
    gaps: list[Lost] = field(default_factory=list)  # closed by a row behind them
    open: list[BCError] = field(default_factory=list)  # why the rows behind the newest one can't be read
    reach: int = 0  # how many rows lie before what is behind the newest one
    is_fresh: bool = False  # a row was read that is not done
    more: bool = False
    served_at: datetime | None = None

    def add(self, answer: PageAnswer, skip: int) -> None:
        """Take some rows, which are behind `skip` others."""
        rows = answer.page.records
        if rows:
            self.gaps += self._gap(rows[0].text(self.order))
            self.open.clear()
            self.last = rows[-1].text(self.order)
        self.rows += rows
        self.reach = skip + len(rows) + len(answer.page.broken)
        self.is_fresh = self.is_fresh or any(row.key not in self.done for row in rows)
        self.more = bool(answer.page.next_link)
        self.served_at = self.served_at or answer.served_at

    def leave(self) -> None:
        """Leave what is behind the newest row to the next page, which begins there."""
        self.open.clear()
        self.more = True

    def closed(self) -> tuple[Lost, ...]:
        """Return all gaps; the last one reaches to the end."""
        return (*self.gaps, *self._gap(""))

    def _gap(self, high: str) -> list[Lost]:
        return [Lost(str(self.open[0]), low=self.last, high=high)] if self.open else []


def _list_rows(ctx: Context, ask: PageAsk, listed: _Listed) -> None:
    """Read rows of which little is asked; a span that BC refuses is halved until it is one row, which is left out.

    AL runs a page's code for every row, whatever is selected, so a broken record can spoil the ids as well. What BC
    serves less of than was asked for is asked for once more behind that.

    A place to go on from needs a row that can be read: where a whole span, or `GROUP` rows in a row, bring none, one is
    searched for behind them. It takes `_MOST_ASKS` requests at most once there is one, and before that two for each of
    `GROUP` rows and for each halving of the span, and two searches.

    Raises:
        BCError: no row can be read, or BC does not answer.
    """
    spans, asks = [(0, ask.rows)], 0
    while spans:
        if asks >= _MOST_ASKS and listed.is_fresh:
            listed.leave()
            return
        (skip, rows), asks = spans.pop(0), asks + 1
        try:
            answer = ctx.bc.page(replace(ask, rows=rows, skip=skip))
        except (BCRejected, BCUnavailable) as error:
            _raise_outage(error)
            if rows > 1:
                spans[:0] = [(skip, rows // 2), (skip + rows // 2, rows - rows // 2)]
            else:
                spans = _spans_behind(ctx, ask, listed, error, skip, spans)
            continue
        listed.add(answer, skip)
        served = len(answer.page.records) + len(answer.page.broken)
        if not listed.more:
            return
        if 0 < served < rows:
            spans.insert(0, (skip + served, rows - served))


def _spans_behind(
    ctx: Context, ask: PageAsk, listed: _Listed, error: BCError, skip: int, spans: list[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Return what to read behind a row that can't be read.

    Raises:
        BCError: `error`, as nothing can be read elsewhere, either.
    """
    listed.open.append(error)
    lost = len(listed.open)
    if spans and lost < GROUP:
        if lost == _OUTAGE and not listed.rows and _search(ctx, ask, skip) is None:
            raise error
        return spans
    if listed.is_fresh:
        listed.leave()
        return []
    found = None if lost > GROUP else _search(ctx, ask, skip)
    if found is None:
        raise error
    return [(_first_between(ctx, ask, *found), ask.rows)]


def _search(ctx: Context, ask: PageAsk, skip: int) -> tuple[int, int] | None:
    """Return the nearest place that was found to be readable behind one that isn't, after the last that isn't, either.

    The end of all rows is such a place: BC answers, if only that nothing is there.
    """
    broken = skip
    for further in _FURTHER:
        if _answers(ctx, ask, skip + further):
            return broken, skip + further
        broken = skip + further
    return None


def _first_between(ctx: Context, ask: PageAsk, broken: int, readable: int) -> int:
    """Return a readable place that is right behind one that isn't, by halving; of broken rows in a row the end."""
    while readable - broken > 1:
        middle = (broken + readable) // 2
        if _answers(ctx, ask, middle):
            readable = middle
        else:
            broken = middle
    return readable


def _answers(ctx: Context, ask: PageAsk, skip: int) -> bool:
    """Return whether BC serves the row at one place, or says that none is there."""
    try:
        ctx.bc.page(replace(ask, rows=1, skip=skip))
    except (BCRejected, BCUnavailable) as error:
        _raise_outage(error)
        return False
    return True


def read_records(
    ctx: Context,
    company: str,
    entity: Entity,
    keys: Sequence[str],
    *,
    reserved: bool = False,
    may_all_fail: bool = False,
    intent: Intent = Intent.COMMITTED,
) -> tuple[list[Record], list[tuple[str, BCError]]]:
    """Read records by id in groups; return them and those that BC can't serve, each with its error.

    Where the first few fail with a 500 the last one is looked at: if that fails as well, BC does. `may_all_fail`: they
    are known to fail, so that an outage looks the same.

    Raises:
        BCError: BC serves nothing at all for now.
    """
    records: list[Record] = []
    broken: list[tuple[str, BCError]] = []
    waiting = [list(keys[start : start + GROUP]) for start in range(0, len(keys), GROUP)]

    def read(group: list[str]) -> list[Record]:
        expanded = bool(entity.expand) and intent is Intent.COMMITTED  # else only who is there is asked
        return ctx.bc.records(company, entity, group, expanded=expanded, reserved=reserved, intent=intent)

    while waiting:
        group = waiting.pop(0)
        try:
            records += read(group)
        except BCNotFound:
            if len(group) > 1:
                raise  # the company or the entity is gone, not a record
        except (BCRejected, BCUnavailable) as error:
            _raise_outage(error)
            if len(group) > 1:
                half = len(group) // 2
                waiting[:0] = [group[:half], group[half:]]
                continue
            broken.append((group[0], error))
            if len(broken) == _OUTAGE and not (records or may_all_fail):
                _look_elsewhere(read, error, keys[-1:] if waiting else ())
    return records, broken


def _look_elsewhere(read: Callable[[list[str]], list[Record]], error: BCError, others: Sequence[str]) -> None:
    """Raise a 500 if another record fails with one as well, or there is none to look at."""
    if isinstance(error, BCRejected):
        return
    if not others:
        raise error
    try:
        read(list(others))
    except (BCNotFound, BCRejected):
        return  # an answer about this one


def with_claimed(ctx: Context, job: PageJob, records: list[Record], claimed: Sequence[str]) -> list[Record]:
    """Add what an earlier delivery of a job has claimed and is on another page now; its output may be lost.

    Raises:
        BCError: BC can't serve one of them for now. The job comes again, as nobody else would announce it.
    """
    here = {record.key for record in records} if claimed else set()
    moved, broken = read_records(ctx, job.company, job.entity_row(), [key for key in claimed if key not in here])
    for _, error in broken:
        raise error
    return records + moved


def _raise_outage(error: BCError) -> None:
    """Raise an error that no single record can be the cause of."""
    if not may_be_of_one_record(error):
        raise error


def report_broken(job: PageJob, key: str, reason: str) -> None:
    """Log a record, or a place, that can't be read."""
    log_event(
        log, "record.broken", level=logging.ERROR, company=job.company, entity=job.entity, record_id=key,
        reason=reason, job=job.job,
    )  # fmt: skip
