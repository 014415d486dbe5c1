"""Reads records one by one where BC can't serve them together, so that one bad record costs only itself.

Owns the search for the bad ones. Knows nothing of what is announced.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from shared.business_central.entities import Entity
from shared.business_central.port import PageAsk
from shared.business_central.records import Record
from shared.changes.jobs import GROUP, PageJob
from shared.connections.context import Context
from shared.errors import BCError, BCNotFound, BCRejected, BCUnavailable
from shared.log import log_event

log: Final = logging.getLogger(__name__)

#: So many single records must fail in a row, with none that succeeds, to call it an outage and not broken records.
_OUTAGE: Final = 3


@dataclass(frozen=True, slots=True)
class Singles:
    """What reading a page one by one brought."""

    records: list[Record]
    broken: int
    more: bool
    served_at: datetime | None


def read_singly(ctx: Context, job: PageJob, ask: PageAsk, cause: BCError) -> Singles:
    """Read a page that BC refuses as a whole: first only its ids, then the records in groups, down to single ones.

    Raises:
        BCError: `cause`, if that can't be done either.
    """
    rows = GROUP + len(job.cursor.done)  # beyond those at the very place that are done already
    try:
        listed = _list_ids(ctx, job, replace(ask, what="ids", rows=rows))
    except BCError:
        raise cause from None
    keys = [key for key in listed.keys if key not in job.cursor.done]
    records, broken = read_records(ctx, job.company, job.entity_row(), keys)
    for key, error in broken:
        report_broken(job, key, str(error))
    order = {key: place for place, key in enumerate(keys)}
    records.sort(key=lambda record: order.get(record.key, len(order)))
    if listed.more and not records and len(keys) == len(broken):
        raise cause  # nothing to go on from
    return Singles(records, len(broken) + listed.lost, listed.more, listed.served_at)


@dataclass(slots=True)
class _Listed:
    keys: list[str] = field(default_factory=list)
    lost: int = 0  # rows of which not even the id can be read
    more: bool = False
    served_at: datetime | None = None


def _list_ids(ctx: Context, job: PageJob, ask: PageAsk) -> _Listed:
    """List ids; a span that BC refuses is halved until it is one row, which is left out by `$skip`.

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
            _raise_outage(error)
            if rows > 1:
                spans[:0] = [(skip, rows // 2), (skip + rows // 2, rows - rows // 2)]
                continue
            _note_lost(job, listed, skip, error)
            continue
        listed.keys += [record.key for record in answer.page.records]
        listed.more = bool(answer.page.next_link)
        listed.served_at = listed.served_at or answer.served_at
        if not listed.more:
            break
    return listed


def _note_lost(job: PageJob, listed: _Listed, skip: int, error: BCError) -> None:
    listed.lost += 1
    if listed.lost >= _OUTAGE and not listed.keys:
        raise error
    place = job.cursor.last or job.slice.low or job.slice.since or "the first"
    report_broken(job, "", f"row {skip + 1} from {place} on: {error}")


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
            _raise_outage(error)
            if len(group) > 1:
                half = len(group) // 2
                waiting[:0] = [group[:half], group[half:]]
                continue
            broken.append((group[0], error))
            if isinstance(error, BCUnavailable) and not records and len(broken) >= min(_OUTAGE, len(keys)):
                raise
    return records, broken


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
