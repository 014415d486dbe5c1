"""A page of a snapshot: stores its ids. At its end the snapshot is compared with all that is known.

A snapshot is settled by a job of its own. Outputs are written in no order, so it may be settled before the jobs that
its comparison brought are in the queue; the commit is then delivered again and compares with the snapshot before, which
is therefore kept until the next one is settled.

What a snapshot lacks is not gone by that: it may have moved while the pages were read, or the replica lags. It stays
known, page by page of ids with `missed_at`, until a read by id of what is current says that it is gone; where such a
read may modify what it finds, until two looks at least an hour apart have both missed it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from shared.business_central.records import Record
from shared.changes import plan_runs
from shared.changes.change_stores import ChangeStores
from shared.changes.jobs import Cursor, NotificationJob, PageJob, RecordChange, Slice, group_changes, texts
from shared.changes.ledger import Ledger
from shared.changes.ledger_rules import Announcement, SnapshotEntry, snapshot_entry
from shared.changes.page_kind import PageKind
from shared.changes.page_reader import Reading, next_cursor, read_page
from shared.changes.snapshot_rows import all_buckets
from shared.changes.streams import JOB_LIFE, Stream, StreamState, stream_of
from shared.clock import NO_TIME, earlier, format_time, parse_time
from shared.connections.context import Context
from shared.outputs import Outputs


def _news(ctx: Context, stores: ChangeStores, job: PageJob, reading: Reading) -> list[Announcement]:
    entity = job.entity_row()
    number = stores.streams.load(stream_of(job)).snapshot + 1
    records = list(reading.records)
    if number == 1 and job.began and not reading.more and entity.has_times:
        records += _moved(ctx, job, reading.served_at)
    entries = [(record.key, snapshot_entry(entity, record.text("status"), record.text("number"))) for record in records]
    stores.ledger(job.company, entity).snapshots.add_page(number, job.page, entries)
    return []


def _moved(ctx: Context, job: PageJob, until: datetime | None) -> Iterator[Record]:
    """Yield what was modified while the pages of the first snapshot were read.

    A record whose number was changed meanwhile may have moved from the pages to come to those done. It can't be told
    from a new one: all count as old, unless Business Central itself says that it was created.
    """
    began = parse_time(job.began) or NO_TIME
    since = Slice(since=format_time(plan_runs.since_of(began)))
    page = replace(job, slice=since, cursor=Cursor())
    more = True
    while more:
        reading = read_page(ctx, page)
        yield from (record for record in reading.records if until is None or record.modified <= until)
        page = replace(page, cursor=next_cursor(page, reading))
        more = reading.more and not reading.stalled


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
    changes: list[RecordChange] = []
    at = format_time(ctx.now())
    ledger = stores.ledger(job.company, entity)
    if entity.posts:
        changes += [RecordChange(key=key, kind="updated", at=at) for key in ledger.keep_drafts(number)]
    for bucket, (came, went) in zip(all_buckets(), ledger.differences(number), strict=True):
        changes += [RecordChange(key=key, kind="created", at=at) for key in came]
        gone = _missed_twice(job, ledger, number, bucket, went) if entity.modified_by_reads else went
        changes += [RecordChange(key=key, kind="deleted", at=at) for key in gone]
    return tuple(
        NotificationJob(
            job=f"{job.run}-c{n:05d}",
            company=job.company,
            entity=job.entity,
            changes=group,
            from_snapshot=True,
            connection=job.connection,
        )
        for n, group in enumerate(group_changes(changes))
    )


def _missed_twice(job: PageJob, ledger: Ledger, number: int, bucket: str, went: list[str]) -> list[str]:
    """Return the ids that an earlier read has missed, too, so long before that no replica should lag by it."""
    missed = ledger.snapshots.missed(number - 1, bucket) if went else {}
    return [key for key in went if key in missed and _moment(missed[key]) <= _second_look(job)]


def _second_look(job: PageJob) -> datetime:
    """Return when a first look must have been for this read to be a second one."""
    return earlier(_moment(job.began), plan_runs.SECOND_LOOK)


def _moment(text: str) -> datetime:
    return parse_time(text) or NO_TIME


def _at_end(ctx: Context, stores: ChangeStores, job: PageJob, began: datetime | None) -> None:
    _keep_missed(stores, job)
    _begin_watch(ctx, stores, job, began)


def _keep_missed(stores: ChangeStores, job: PageJob) -> None:
    """Keep ids that this snapshot lacks: nothing has said yet that they are gone."""
    stream = stream_of(job)
    number = stores.streams.load(stream).snapshot + 1
    if number == 1:
        return
    entity = job.entity_row()
    ledger = stores.ledger(job.company, entity)
    page, youngest = job.page, NO_TIME
    for bucket, (_, went) in zip(all_buckets(), ledger.differences(number), strict=True):
        entries = ledger.snapshots.find(number - 1, went) if went else {}
        for missed_at, keys in _by_time(went, ledger.snapshots.missed(number - 1, bucket) if went else {}, job).items():
            kept = [(key, entries.get(key, SnapshotEntry())) for key in keys]
            ledger.snapshots.add_page(number, page, kept, missed_at=missed_at)
            page, youngest = page + 1, max(youngest, _moment(missed_at))
    looks_again = entity.modified_by_reads and youngest > _second_look(job)
    stores.streams.change(stream, lambda held: replace(held, looks_again=looks_again))


def _by_time(keys: list[str], missed: Mapping[str, str], job: PageJob) -> dict[str, list[str]]:
    """Return since when a snapshot lacks them -> ids; those that none lacked before are lacking since this one."""
    found: dict[str, list[str]] = {}
    for key in keys:
        found.setdefault(missed.get(key) or job.began, []).append(key)
    return found


def _begin_watch(ctx: Context, stores: ChangeStores, job: PageJob, began: datetime | None) -> None:
    """After the first snapshot: records in it are old, the watch begins where the snapshot began."""
    if not job.entity_row().has_times:
        return  # no delta follows
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
