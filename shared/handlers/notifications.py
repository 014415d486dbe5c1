"""The records behind a batch of notifications: read them back, tell what the ledger does not know yet."""

import logging
from typing import Final

from shared.core import events
from shared.core.jobs import NotificationJob
from shared.core.outgoing import Outgoing
from shared.handlers import runs
from shared.handlers.context import Context
from shared.handlers.reading import read_records
from shared.log import log_event
from shared.state.streams import Stream

log: Final = logging.getLogger(__name__)


def process(ctx: Context, job: NotificationJob) -> Outgoing:
    """Do one notification job.

    A record that is not there (deleted since, or not yet visible) is left to the reconcile.

    Raises:
        BCError, TokenError, StoreUnavailable: the queue delivers the job again.
    """
    entity = job.entity_row()
    if entity.name not in ctx.settings.triggers or not _is_watched(ctx, job.company):
        log_event(log, "webhook.dropped", company=job.company, entity=entity.name, reason="no longer watched")
        return Outgoing()
    if job.collection:
        return _collection(ctx, job)
    told_created = frozenset(change.key for change in job.changes if change.kind == "created")
    # What the compare takes for deleted may have been made after its listing was read: only reading it tells.
    keys = list(dict.fromkeys(change.key for change in job.changes if change.kind != "deleted" or job.compared))
    records, broken = read_records(ctx, job.company, entity, keys)
    for key, error in broken:
        log_event(
            log, "record.broken", level=logging.ERROR, company=job.company, entity=entity.name, record_id=key,
            reason=str(error), job=job.job,
        )  # fmt: skip
    book = ctx.ledger(job.company, entity)
    unique = {record.key: record for record in records}
    told = book.announce(
        list(unique.values()),
        job=job.job,
        changes=ctx.settings.changes,
        told_created=told_created,
        looked_for=frozenset(keys),  # a listing made since an earlier delivery knows what only that one has told
        watch_from=ctx.streams.load(Stream("watch", job.company, entity.name)).watch_from,
        remember_job=False,
        now=ctx.now(),
    )
    source = ctx.bc.company_url(job.company)
    lines = [events.change_event(source, entity, note.change, note.record) for note in told]
    if "deleted" in ctx.settings.changes:
        lines += [
            events.deleted_event(source, entity, change.key, change.at)
            for change in job.changes
            if change.kind == "deleted"
            and change.key not in unique
            and book.announce_deleted(change.key, job=job.job, was_known=job.compared)
        ]
    batch = events.pack(source, job.job, lines, now=ctx.now())
    log_event(
        log, "notifications.processed", job=job.job, company=job.company, entity=entity.name,
        count=len(job.changes), records=len(records), events=len(lines), unread=len(keys) - len(unique),
    )  # fmt: skip
    return Outgoing(events=(batch.message,) if batch else (), blob=batch.blob if batch else None)


def _is_watched(ctx: Context, company: str) -> bool:
    return "*" in ctx.settings.companies or any(found.key == company for found in ctx.companies())


def _collection(ctx: Context, job: NotificationJob) -> Outgoing:
    """BC lost count of the changes: read everything since the watermark, which lies before whatever it could not list.

    A `plain` collection has deletes among its changes, which only a full compare can find.
    """
    entity = job.entity_row()
    pages = runs.plan_delta(ctx, job.company, entity)
    if job.collection == "plain" and "deleted" in ctx.settings.changes:
        pages += runs.plan_compare(ctx, job.company, entity)
    return Outgoing(pages=tuple(pages))
