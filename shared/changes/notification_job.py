"""The records behind a batch of notifications: read them back, announce what the ledger does not know yet."""

import logging
from dataclasses import replace
from datetime import datetime
from typing import Final

from shared.business_central.entities import Entity
from shared.business_central.port import Intent
from shared.business_central.records import Record
from shared.changes import cloud_events, event_batch, plan_runs, replica_lag
from shared.changes.broken_records import Broken, BrokenList
from shared.changes.change_stores import ChangeStores
from shared.changes.jobs import ChangeKind, NotificationJob, RecordChange, texts
from shared.changes.ledger import Look
from shared.changes.ledger_rules import announced_by
from shared.changes.single_reader import read_records
from shared.changes.streams import Stream
from shared.clock import NO_TIME, earlier, parse_time
from shared.connections.context import Context
from shared.errors import InvalidMessage
from shared.log import log_event
from shared.outputs import Outputs

log: Final = logging.getLogger(__name__)


def process(ctx: Context, stores: ChangeStores, job: NotificationJob) -> Outputs:
    """Do one notification job.

    A record that is not there (deleted since, or not yet visible) is left to the reconcile.

    Raises:
        BCError, TokenError, StoreUnavailable: the queue delivers the job again.
        InvalidMessage: it is not watched any more, and nothing else would tell of what the job is about: for a person.
    """
    entity = ctx.catalogue.named(job.entity)
    if entity is None or entity.watch == "off" or not ctx.companies.is_served(job.company):
        return _unwatched(stores, job, entity or Entity(name=job.entity, event=""))
    job = replace(job, row=entity)
    return _collection(ctx, stores, job) if job.collection else _records(ctx, stores, job, entity)


def _unwatched(stores: ChangeStores, job: NotificationJob, entity: Entity) -> Outputs:
    """Drop the job of an entity or company that was taken out; if that comes back, the next run finds the same.

    But not what counts as known by now: what a snapshot in force has found, or an earlier delivery has claimed.
    """
    if job.from_snapshot or _has_claims(stores, job, entity):
        what = f"{job.entity} of company {job.company}"
        fault = f"entity: {what} is not watched any more, and this job alone tells of what it has found"
        raise InvalidMessage([f"{fault}: put it back once both are served again"])
    log_event(log, "webhook.dropped", company=job.company, entity=job.entity, reason="no longer watched")
    return Outputs()


def _has_claims(stores: ChangeStores, job: NotificationJob, entity: Entity) -> bool:
    return bool(_claimed(stores, job, entity, [change.key for change in job.changes]))


def _claimed(stores: ChangeStores, job: NotificationJob, entity: Entity, keys: list[str]) -> set[str]:
    """Return those of some records that an earlier delivery of this job has claimed."""
    known = stores.ledger(job.company, entity).known(keys)
    return {key for key, one in known.items() if any(by == job.job for _, by in announced_by(one))}


def _records(ctx: Context, stores: ChangeStores, job: NotificationJob, entity: Entity) -> Outputs:
    origin = event_batch.origin_of(ctx, job.company, entity.route)
    # What a snapshot lacks may have been made after it was read: only reading it back shows that.
    keys = list(dict.fromkeys(change.key for change in job.changes if change.kind != "deleted" or job.from_snapshot))
    records, unread = _read(ctx, stores, job, keys)
    ledger = stores.ledger(job.company, entity)
    watch_from = stores.streams.load(Stream("reconcile", job.company, entity.name)).watch_from
    records = [record for record in records if not _is_overlooked(job, record, watch_from)]
    look = Look(
        job=job.job,
        changes=entity.changes,
        watch_from=watch_from,
        notified_created=_ids(job, "created"),
        now=ctx.now(),
        looked_for=frozenset(keys),  # a snapshot made since an earlier delivery knows what only that one has announced
    )
    news = ledger.announce(records, look)
    lines = [cloud_events.change_event(origin, entity, one.change, one.record) for one in news]
    gone = [
        cloud_events.deleted_event(origin, entity, change.key, change.at)
        for change in _deleted(ctx, job, {record.key for record in records} | unread)
        if ledger.announce_deleted(change.key, job=job.job, was_known=job.from_snapshot, now=ctx.now())
    ]
    lines += gone if "deleted" in entity.changes else []
    events = event_batch.messages(ctx, stores, origin, job.job, lines)
    log_event(
        log, "notifications.processed", job=job.job, company=job.company, entity=entity.name,
        count=len(job.changes), records=len(records), events=len(lines), unread=len(keys) - len(records),
    )  # fmt: skip
    return Outputs(events=events)


def _read(ctx: Context, stores: ChangeStores, job: NotificationJob, keys: list[str]) -> tuple[list[Record], set[str]]:
    """Return the records that can be read, and the ids of those that can't; these are kept to be read again."""
    entity, stream = job.entity_row(), Stream("reconcile", job.company, job.entity)
    found, broken = read_records(ctx, job.company, entity, keys, reserved=not job.from_snapshot)
    if broken:
        claimed = _claimed(stores, job, entity, [key for key, _ in broken])
        for key, error in broken:
            if key in claimed:
                raise error  # nobody else would announce it
        ledger, created = stores.ledger(job.company, entity), _ids(job, "created")
        unread = [
            Broken(key=key, reason=str(error), run=job.job, is_new=key in created or ledger.is_new(key))
            for key, error in broken
        ]
        BrokenList(stores, stream).note(unread, ctx.now())
    if not job.from_snapshot:
        _note_lag(ctx, stores, job, {record.key: record for record in found}, {key for key, _ in broken})
    return found, {key for key, _ in broken}


def _is_overlooked(job: NotificationJob, record: Record, watch_from: datetime | None) -> bool:
    """Return whether a record that a snapshot found was there before the watch began: the ones before did not show it.

    It could not be read then, or the replica lagged. One without a time counts as new.
    """
    is_old = watch_from is not None and NO_TIME < record.modified < watch_from
    return is_old and job.from_snapshot and record.key in _ids(job, "created")


def _note_lag(
    ctx: Context, stores: ChangeStores, job: NotificationJob, found: dict[str, Record], unread: set[str]
) -> None:
    """Note what Business Central tells of and the read does not show: the replica lags, or it is gone or undone since.

    What is current tells these apart; where it may not be read, each counts: deltas read an hour back for a day.
    """
    hidden = _unshown(job, found, unread)
    if not hidden:
        return
    if not job.entity_row().modified_by_reads:
        hidden = _current_of(ctx, job, hidden, found)
    if hidden:
        replica_lag.note(stores.streams, job.company, job.entity, min(hidden.values()), ctx.now())


def _unshown(job: NotificationJob, found: dict[str, Record], unread: set[str]) -> dict[str, datetime]:
    """Return the time of each change, by id, that the read does not show."""
    hidden: dict[str, datetime] = {}
    for change in job.changes:
        at = parse_time(change.at)
        if change.kind == "deleted" or change.key in unread or at is None:
            continue
        if change.key not in found or found[change.key].newest < earlier(at, replica_lag.TOLERANCE):
            hidden[change.key] = at
    return hidden


def _current_of(
    ctx: Context, job: NotificationJob, hidden: dict[str, datetime], found: dict[str, Record]
) -> dict[str, datetime]:
    """Return those that are there by a current read, in a newer version than was found if any was."""
    current, _ = read_records(
        ctx, job.company, job.entity_row(), list(hidden), reserved=True, may_all_fail=True, intent=Intent.CURRENT
    )  # fmt: skip
    there = {record.key: record.modified for record in current}
    return {key: hidden[key] for key, modified in there.items() if key not in found or found[key].modified < modified}


def _ids(job: NotificationJob, kind: ChangeKind) -> frozenset[str]:
    return frozenset(change.key for change in job.changes if change.kind == kind)


def _deleted(ctx: Context, job: NotificationJob, there: set[str]) -> list[RecordChange]:
    """Return what is gone; what can't be read is there.

    Business Central's own word counts. What a snapshot has missed must be missing from what is current, which a replica
    that lags does not show; where such a read may modify what it finds, the snapshot has looked twice.
    """
    entity = job.entity_row()
    if not job.from_snapshot and "deleted" not in entity.changes:
        return []
    changes = {change.key: change for change in job.changes if change.kind == "deleted" and change.key not in there}
    if changes and job.from_snapshot and not entity.modified_by_reads:
        found, broken = read_records(ctx, job.company, entity, list(changes), may_all_fail=True, intent=Intent.CURRENT)
        for key in [*(record.key for record in found), *(key for key, _ in broken)]:
            changes.pop(key, None)
    return list(changes.values())


def _collection(ctx: Context, stores: ChangeStores, job: NotificationJob) -> Outputs:
    """BC lost count of the changes: read everything since the watermark, which lies before whatever it could not list.

    A `plain` collection has deletes among its changes, which only a snapshot can find.
    """
    entity = job.entity_row()
    pages = plan_runs.plan_delta(ctx, stores, job.company, entity)
    if job.collection == "plain" and "deleted" in entity.changes:
        pages += plan_runs.plan_snapshot(ctx, stores, job.company, entity)
    return Outputs(pages=texts(pages))
