"""Reads records one by one where BC can't serve them together, so that one bad record costs only itself.

Owns the search for the bad ones. Knows nothing of what is announced.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from shared.business_central.entities import Entity
from shared.business_central.port import Intent, PageAnswer, PageAsk
from shared.business_central.records import Record
from shared.changes.jobs import GROUP, PageJob
from shared.connections.context import Context
from shared.errors import BCError, BCNotFound, BCRejected, BCUnavailable
from shared.log import log_event

log: Final = logging.getLogger(__name__)

#: So many single records must fail in a row, with none that succeeds, to call it an outage and not broken records.
_OUTAGE: Final = 3


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


def read_singly(ctx: Context, job: PageJob, ask: PageAsk, cause: BCError) -> Singles:
    """Read a page that BC refuses as a whole, down to single rows.

    Where whole records are asked for, first only their ids are read, then the records in groups.

    Raises:
        BCError: `cause`, if that can't be done either.
    """
    done, is_whole = job.cursor.done, ask.what == "records"
    if is_whole:  # beyond those at the very place that are done already
        ask = replace(ask, what="ids", rows=GROUP + len(done))
    listed = _Listed(ask.order, job.cursor.last or job.slice.low or job.slice.since)
    try:
        _list_rows(ctx, ask, listed)
    except BCError:
        raise cause from None
    rows = [row for row in listed.rows if row.key not in done]
    lost = listed.closed()
    if is_whole:
        rows, more_lost = _read_whole(ctx, job, [row.key for row in rows])
        lost += more_lost
        if listed.more and not rows:
            raise cause  # nothing to go on from
    return Singles(rows, lost, listed.more, listed.served_at)


def _read_whole(ctx: Context, job: PageJob, keys: list[str]) -> tuple[list[Record], tuple[Lost, ...]]:
    """Read records by id, in the order of the ids."""
    records, broken = read_records(ctx, job.company, job.entity_row(), keys)
    order = {key: place for place, key in enumerate(keys)}
    records.sort(key=lambda record: order.get(record.key, len(order)))
    return records, tuple(Lost(str(error), key=key) for key, error in broken)


@dataclass(slots=True)
class _Listed:
    """Rows that could be read, and the gaps between them."""

    order: str  # the property they are sorted by
    last: str  # sort value of the newest row
    rows: list[Record] = field(default_factory=list)
    gaps: list[Lost] = field(default_factory=list)  # closed by a row behind them
    open: list[BCError] = field(default_factory=list)  # why the rows behind the newest one can't be read
    lost: int = 0
    more: bool = False
    served_at: datetime | None = None

    def add(self, answer: PageAnswer) -> None:
        """Take some rows."""
        rows = answer.page.records
        if rows:
            self.gaps += self._gap(rows[0].text(self.order))
            self.open.clear()
            self.last = rows[-1].text(self.order)
        self.rows += rows
        self.more = bool(answer.page.next_link)
        self.served_at = self.served_at or answer.served_at

    def closed(self) -> tuple[Lost, ...]:
        """Return all gaps; the last one reaches to the end."""
        return (*self.gaps, *self._gap(""))

    def _gap(self, high: str) -> list[Lost]:
        return [Lost(str(self.open[0]), low=self.last, high=high)] if self.open else []


def _list_rows(ctx: Context, ask: PageAsk, listed: _Listed) -> None:
    """Read rows of which little is asked; a span that BC refuses is halved until it is one row, which is left out.

    AL runs a page's code for every row, whatever is selected, so a broken record can spoil the ids as well. What BC
    serves less of than was asked for is asked for once more behind that.

    Raises:
        BCError: no row can be read, or BC does not answer.
    """
    spans = [(0, ask.rows)]
    while spans:
        skip, rows = spans.pop(0)
        try:
            answer = ctx.bc.page(replace(ask, rows=rows, skip=skip))
        except (BCRejected, BCUnavailable) as error:
            _raise_outage(error)
            if rows > 1:
                spans[:0] = [(skip, rows // 2), (skip + rows // 2, rows - rows // 2)]
                continue
            listed.lost += 1
            listed.open.append(error)
            if listed.lost >= _OUTAGE and not listed.rows:
                raise
            continue
        listed.add(answer)
        served = len(answer.page.records) + len(answer.page.broken)
        if not listed.more:
            break
        if 0 < served < rows:
            spans.insert(0, (skip + served, rows - served))


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

    `may_all_fail`: they are known to fail, so that an outage looks the same.

    Raises:
        BCError: BC serves nothing at all for now.
    """
    records: list[Record] = []
    broken: list[tuple[str, BCError]] = []
    waiting = [list(keys[start : start + GROUP]) for start in range(0, len(keys), GROUP)]
    while waiting:
        group = waiting.pop(0)
        try:
            expanded = bool(entity.expand) and intent is Intent.COMMITTED  # else only who is there is asked
            records += ctx.bc.records(company, entity, group, expanded=expanded, reserved=reserved, intent=intent)
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
            is_outage = isinstance(error, BCUnavailable) and not may_all_fail
            if is_outage and not records and len(broken) >= _OUTAGE:
                raise
    return records, broken


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
    if isinstance(error, BCUnavailable) and error.status != 500:
        raise error


def report_broken(job: PageJob, key: str, reason: str) -> None:
    """Log a record, or a place, that can't be read."""
    log_event(
        log, "record.broken", level=logging.ERROR, company=job.company, entity=job.entity, record_id=key,
        reason=reason, job=job.job,
    )  # fmt: skip
