"""A page of a replay: sends what was announced of its records once more, under the event ids it had.

Claims nothing and changes no ledger. What the ledger and the pull do not know as announced is left to them. Deleted
records are on no page; the ledger names them at the end.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from shared.business_central.entities import Entity
from shared.business_central.records import Record
from shared.changes import cloud_events, event_batch, ledger_rules
from shared.changes.change_stores import ChangeStores
from shared.changes.jobs import PageJob, Phase, texts
from shared.changes.ledger_rules import Announcement
from shared.changes.page_kind import PageKind
from shared.changes.page_reader import Reading
from shared.changes.single_reader import read_records
from shared.changes.streams import Stream, StreamState
from shared.clock import parse_time
from shared.connections.context import Context
from shared.outputs import Outputs


def _news(ctx: Context, stores: ChangeStores, job: PageJob, reading: Reading) -> list[Announcement]:
    entity = job.entity_row()
    records = reading.records if job.phase == "records" else _parents(ctx, job, reading.records)
    known = stores.ledger(job.company, entity).known([record.key for record in records])
    pulled = stores.streams.load(Stream("pull", job.company, job.entity)).watermark
    return [
        one
        for record in records
        for one in (*_pulled(record, pulled), *ledger_rules.announced(entity, record, known.get(record.key)))
    ]


def _pulled(record: Record, until: datetime | None) -> tuple[Announcement, ...]:
    """Return whether a pull has announced this version: whatever is older than its watermark."""
    return (Announcement("pulled", record),) if until is not None and record.newest < until else ()


def _parents(ctx: Context, job: PageJob, expanded: Sequence[Record]) -> list[Record]:
    """Return the records that changed expanded ones belong to; their own time need not have changed."""
    entity = job.entity_row()
    keys = dict.fromkeys(record.text(entity.expanded_parent).lower() for record in expanded)
    return read_records(ctx, job.company, entity, [key for key in keys if key])[0]


def _event(origin: cloud_events.Origin, entity: Entity, one: Announcement) -> str:
    return cloud_events.replayed(cloud_events.change_event(origin, entity, one.change, one.record, one.version))


def _phase_after(_ctx: Context, job: PageJob, _state: StreamState) -> Phase:
    entity = job.entity_row()
    return "expanded" if job.phase == "records" and entity.expanded_set else "commit"


def _may_have_announced(_ctx: Context, stores: ChangeStores, job: PageJob, state: StreamState) -> bool:
    return not stores.streams.is_superseded(state, job.run)


def _send_deleted(ctx: Context, stores: ChangeStores, job: PageJob) -> Outputs:
    """Send what was announced as deleted, before the run ends."""
    entity = job.entity_row()
    origin = event_batch.origin_of(ctx, job.company, entity.route)
    since = parse_time(job.slice.since)

    def events() -> Iterator[str]:
        if "deleted" in entity.changes:
            for key in stores.ledger(job.company, entity).deleted_since(since):
                yield cloud_events.replayed(cloud_events.deleted_event(origin, entity, key, ""))

    return Outputs(
        events=event_batch.messages(ctx, stores, origin, job.job, events()), pages=texts([job.next(phase="settle")])
    )


KIND: Final = PageKind(
    news=_news, has_claims=lambda _stores, _job: False, may_have_announced=_may_have_announced,
    phase_after=_phase_after, keeps_broken=False, before_end=_send_deleted, event=_event,
)  # fmt: skip
