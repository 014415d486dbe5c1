"""The records behind a batch of notifications: read them back, tell what the ledger does not know yet."""

import logging
from typing import Final

from shared.changes import cloud_events, plan_runs
from shared.changes.change_stores import ChangeStores
from shared.changes.jobs import NotificationJob, texts
from shared.changes.page_reader import read_records
from shared.changes.streams import Stream
from shared.connections.context import Context
from shared.log import log_event
from shared.outputs import Outputs

log: Final = logging.getLogger(__name__)


def process(ctx: Context, stores: ChangeStores, job: NotificationJob) -> Outputs:
    """Do one notification job.

    A record that is not there (deleted since, or not yet visible) is left to the reconcile.

    Raises:
        BCError, TokenError, StoreUnavailable: the queue delivers the job again.
    """
    entity = job.entity_row()
    if entity.name not in ctx.settings.triggers or not _is_watched(ctx, job.company):
        log_event(log, "webhook.dropped", company=job.company, entity=entity.name, reason="no longer watched")
        return Outputs()
    if job.collection:
        return _collection(ctx, stores, job)
    told_created = frozenset(change.key for change in job.changes if change.kind == "created")
    # What the compare takes for deleted may have been made after its listing was read: only reading it tells.
    keys = list(dict.fromkeys(change.key for change in job.changes if change.kind != "deleted" or job.compared))
    records, broken = read_records(ctx, job.company, entity, keys, reserved=True)
    for key, error in broken:
        log_event(
            log, "record.broken", level=logging.ERROR, company=job.company, entity=entity.name, record_id=key,
            reason=str(error), job=job.job,
        )  # fmt: skip
    book = stores.ledger(job.company, entity)
    unique = {record.key: record for record in records}
    told = book.announce(
        list(unique.values()),
        job=job.job,
        changes=ctx.settings.changes,
        told_created=told_created,
        looked_for=frozenset(keys),  # a listing made since an earlier delivery knows what only that one has told
        watch_from=stores.streams.load(Stream("watch", job.company, entity.name)).watch_from,
        remember_job=False,
        now=ctx.now(),
    )
    source = ctx.bc.company_url(job.company)
    lines = [cloud_events.change_event(source, entity, note.change, note.record) for note in told]
    if "deleted" in ctx.settings.changes:
        lines += [
            cloud_events.deleted_event(source, entity, change.key, change.at)
            for change in job.changes
            if change.kind == "deleted"
            and change.key not in unique
            and book.announce_deleted(change.key, job=job.job, was_known=job.compared)
        ]
    batch = cloud_events.pack(source, job.job, lines, now=ctx.now())
    log_event(
        log, "notifications.processed", job=job.job, company=job.company, entity=entity.name,
        count=len(job.changes), records=len(records), events=len(lines), unread=len(keys) - len(unique),
    )  # fmt: skip
    return Outputs(events=(batch.message,) if batch else (), blob=batch.blob if batch else None)


def _is_watched(ctx: Context, company: str) -> bool:
    return ctx.companies.is_served(company)


def _collection(ctx: Context, stores: ChangeStores, job: NotificationJob) -> Outputs:
    """BC lost count of the changes: read everything since the watermark, which lies before whatever it could not list.

    A `plain` collection has deletes among its changes, which only a full compare can find.
    """
    entity = job.entity_row()
    pages = plan_runs.plan_delta(ctx, stores, job.company, entity)
    if job.collection == "plain" and "deleted" in ctx.settings.changes:
        pages += plan_runs.plan_compare(ctx, stores, job.company, entity)
    return Outputs(pages=texts(pages))
