"""A page of a reconcile: announces what the ledger does not know yet."""

from datetime import datetime, timedelta
from typing import Final

from shared.changes import replica_lag
from shared.changes.change_stores import ChangeStores
from shared.changes.jobs import PageJob, Phase
from shared.changes.ledger import Look
from shared.changes.ledger_rules import Announcement
from shared.changes.page_kind import PageKind
from shared.changes.page_reader import Reading
from shared.changes.single_reader import with_claimed
from shared.changes.streams import StreamState, stream_of
from shared.connections.context import Context

#: What a run finds that was changed so long before the run before it began: a replica that lags, no late commit.
_LATE: Final = timedelta(minutes=5)


def _news(ctx: Context, stores: ChangeStores, job: PageJob, reading: Reading) -> list[Announcement]:
    entity = job.entity_row()
    ledger = stores.ledger(job.company, entity)
    found = with_claimed(ctx, job, reading.records, ledger.claims(job.job).ids)
    records = {record.key: record for record in found}
    state = stores.streams.load(stream_of(job))
    look = Look(
        job=job.job,
        changes=entity.changes,
        watch_from=state.watch_from,
        notified_created=reading.new,
        page=job,
        now=ctx.now(),
    )
    news = ledger.announce(list(records.values()), look)
    late = _late(job, state, news)
    if late is not None:
        replica_lag.note(stores.streams, job.company, job.entity, late, ctx.now())
    return news


def _late(job: PageJob, state: StreamState, news: list[Announcement]) -> datetime | None:
    """Return when the oldest of what the run before should have shown, and did not, was changed."""
    if job.phase != "records" or state.is_past(job.run) or state.watermark is None:
        return None
    edge = state.watermark - _LATE
    return min((one.record.newest for one in news if one.record.newest < edge), default=None)


def _has_claims(stores: ChangeStores, job: PageJob) -> bool:
    return bool(stores.ledger(job.company, job.entity_row()).claims(job.job).ids)


def _may_have_announced(_ctx: Context, stores: ChangeStores, job: PageJob, _state: StreamState) -> bool:
    return stores.ledger(job.company, job.entity_row()).claims(job.job).may_be_of(job)


def _phase_after(ctx: Context, job: PageJob, state: StreamState) -> Phase:
    return "mend" if job.phase == "records" and state.is_to_mend(ctx.now()) else "commit"


def _is_new(stores: ChangeStores, job: PageJob, key: str) -> bool:
    return stores.ledger(job.company, job.entity_row()).is_new(key)


def _take_over(stores: ChangeStores, job: PageJob) -> None:
    """Claims keep all others silent, also once the run is superseded; those of a pull the next run announces."""
    stores.ledger(job.company, job.entity_row()).hand_claims(job)


KIND: Final = PageKind(
    news=_news,
    has_claims=_has_claims,
    may_have_announced=_may_have_announced,
    take_over=_take_over,
    phase_after=_phase_after,
    is_new=_is_new,
)
