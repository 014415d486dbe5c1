"""A page of a snapshot: stores its ids. At its end the snapshot is compared with all that is known.

A snapshot is settled by a job of its own. Outputs are written in no order, so it may be settled before the jobs that
its comparison brought are in the queue; the commit is then delivered again and compares with the snapshot before, which
is therefore kept until the next one is settled.
"""

from dataclasses import replace
from datetime import datetime
from typing import Final

from shared.changes.change_stores import ChangeStores
from shared.changes.jobs import NotificationJob, PageJob, RecordChange, group_changes, texts
from shared.changes.ledger_rules import Announcement, snapshot_entry
from shared.changes.page_kind import PageKind
from shared.changes.page_reader import Reading
from shared.changes.streams import JOB_LIFE, Stream, StreamState, stream_of
from shared.clock import format_time
from shared.connections.context import Context
from shared.outputs import Outputs


def _news(_ctx: Context, stores: ChangeStores, job: PageJob, reading: Reading) -> list[Announcement]:
    entity = job.entity_row()
    number = stores.streams.load(stream_of(job)).snapshot + 1
    entries = [
        (record.key, snapshot_entry(entity, record.text("status"), record.text("number"))) for record in reading.records
    ]
    stores.ledger(job.company, entity).snapshots.add_page(number, job.page, entries)
    return []


def _compare(ctx: Context, stores: ChangeStores, job: PageJob) -> Outputs:
    jobs = _differences(ctx, stores, job) if job.phase == "commit" else ()
    return Outputs(notifications=texts(jobs), pages=texts([job.next(phase="settle")]))


def _differences(ctx: Context, stores: ChangeStores, job: PageJob) -> tuple[NotificationJob, ...]:
    """Return jobs for records that came or went unnoticed; the first snapshot has none to be compared with."""
    entity = job.entity_row()
    state = stores.streams.load(stream_of(job))
    number = state.snapshot + (state.done_run != job.run)  # in force already, if this is a late redelivery
    if number == 1:
        return ()
    # What the snapshot before could not read has not come since it, unless it is newer than the watch.
    watch_from = stores.streams.load(Stream("reconcile", job.company, job.entity)).watch_from
    old_before = format_time(watch_from) if state.unreadable and watch_from else ""
    changes: list[RecordChange] = []
    at = format_time(ctx.now())
    ledger = stores.ledger(job.company, entity)
    if entity.posts:
        changes += [RecordChange(key=key, kind="updated", at=at) for key in ledger.keep_drafts(number)]
    for came, went in ledger.differences(number):
        changes += [RecordChange(key=key, kind="created", at=at) for key in came]
        if "deleted" in ctx.settings.changes:
            changes += [RecordChange(key=key, kind="deleted", at=at) for key in went]
    return tuple(
        NotificationJob(
            job=f"{job.run}-c{n:05d}",
            company=job.company,
            entity=job.entity,
            changes=group,
            from_snapshot=True,
            old_before=old_before,
        )
        for n, group in enumerate(group_changes(changes))
    )


def _at_end(ctx: Context, stores: ChangeStores, job: PageJob, began: datetime | None) -> None:
    _keep_unread(stores, job)
    _begin_watch(ctx, stores, job, began)


def _keep_unread(stores: ChangeStores, job: PageJob) -> None:
    """Keep ids in a snapshot that has left rows out: what the one before holds may be among them, or gone."""
    state = stores.streams.load(stream_of(job))
    if not state.broken or not state.snapshot:
        return
    ledger = stores.ledger(job.company, job.entity_row())
    for number, (_, went) in enumerate(ledger.differences(state.snapshot + 1)):
        entries = ledger.snapshots.find(state.snapshot, went)
        ledger.snapshots.add_page(state.snapshot + 1, job.page + number, entries.items())


def _begin_watch(ctx: Context, stores: ChangeStores, job: PageJob, began: datetime | None) -> None:
    """After the first snapshot: records in it are old, the watch begins where the snapshot began."""
    start = began or ctx.now()
    stores.streams.change(
        Stream("reconcile", job.company, job.entity),
        lambda held: held if held.watermark else replace(held, watermark=start, watch_from=start),
    )


def _tidy(ctx: Context, stores: ChangeStores, job: PageJob, state: StreamState) -> None:
    if state.snapshot > 1:
        ledger = stores.ledger(job.company, job.entity_row())
        ledger.snapshots.drop(state.snapshot - 2)
        ledger.forget_jobs(ctx.now() - JOB_LIFE)


def _never(*_: object) -> bool:
    """What a page of ids did is done, and would later spoil the snapshot of another run."""
    return False


KIND: Final = PageKind(
    news=_news, has_claims=_never, may_have_announced=_never, before_end=_compare, at_end=_at_end, snapshots=1,
    keeps_broken=False, tidy=_tidy, follows_at_once=False,
)  # fmt: skip
