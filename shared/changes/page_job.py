"""One page of a run: read it, tell what is new in it, enqueue its successor; the commit moves the watermark.

Killed at any line and delivered again, a job tells the same things under the same ids and the run goes on.
"""

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from shared.business_central.entities import Entity
from shared.business_central.records import Record
from shared.changes import cloud_events, plan_runs, pulled_versions
from shared.changes.change_stores import ChangeStores
from shared.changes.jobs import NotificationJob, PageJob, RecordChange, group_changes, texts
from shared.changes.ledger_rules import Base, base_of
from shared.changes.page_reader import Reading, read_page, read_records
from shared.changes.streams import Progress, Role, Stream, StreamState, stream_of
from shared.clock import format_time, parse_time
from shared.connections.context import Context
from shared.errors import BCDenied, BCError, BCNotFound, BCRejected, BCUnavailable
from shared.log import log_event
from shared.outputs import Outputs

log: Final = logging.getLogger(__name__)

type Told = list[tuple[str, Record]]  # what a page has to announce: a change of a record

#: A queue message lives seven days, and one that was set aside is put back for three; nobody redrives later than this.
JOB_LIFE: Final = timedelta(days=30)
#: How long what a page of a pull has told is kept for its redelivery: five deliveries of a worker that dies each time.
SEEN_LIFE: Final = timedelta(hours=2)
#: More rows than this at one sort value are not named in the successor's message (it would not fit the queue).
_MOST_TIES: Final = 200


def read(ctx: Context, stores: ChangeStores, job: PageJob, message_id: str) -> Outputs:
    """Do one page job.

    Raises:
        BCError, TokenError, StoreUnavailable: the queue delivers the job again.
    """
    state = stores.streams.load(stream_of(job))
    if state.run != job.run or (state.done_run == job.run and job.phase in {"records", "nested"}):
        role = Role.REPEAT  # another run has begun since, or this one is complete
    elif job.phase in {"commit", "settle"}:
        return _commit(ctx, stores, job)
    else:
        role = stores.streams.take_page(job, message_id, ctx.now())
    if role is Role.COPY or (role is Role.REPEAT and not _may_have_told(ctx, stores, job, state)):
        log_event(log, "page.skipped", job=job.job, reason=role.value)
        return _follow(ctx, stores, job, state)
    try:
        reading = read_page(ctx, job)
    except (BCDenied, BCNotFound, BCRejected) as error:
        if _has_claims(stores, job):
            raise  # what it announced once must be announced: the message is set aside, not dropped
        return _give_up(ctx, stores, job, error)
    if job.mode == "list":
        told: Told = []
        _list(stores, job, reading)
    elif job.purpose == "pull":
        told = _pull(ctx, stores, job, reading)
    else:
        told = _watch(ctx, stores, job, reading)
    if broken := reading.broken:
        stores.streams.change(stream_of(job), lambda held: replace(held, broken=held.broken + broken))
    log_event(
        log, "page.read", job=job.job, kind=job.purpose, mode=job.mode, company=job.company, entity=job.entity,
        rows=len(reading.records), events=len(told), skipped=reading.broken,
    )  # fmt: skip
    if reading.stalled and role is Role.GO:
        _give_up(ctx, stores, job, BCUnavailable("a page held nothing but what was read before", code="stalled"))
    goes_on = role is Role.GO and not reading.stalled
    successor = _successor(ctx, job, reading) if goes_on else None
    ended = _end_quietly(ctx, stores, state, successor) if successor and job.mode == "delta" and not told else None
    if ended is not None:
        return ended
    del reading  # its records leave memory as their events are packed
    source = ctx.bc.company_url(job.company)
    batch = cloud_events.pack(source, job.job, _events(source, job.entity_row(), told), now=ctx.now())
    return Outputs(
        events=(batch.message,) if batch else (),
        blob=batch.blob if batch else None,
        pages=texts([successor] if successor else []),
    )


def _end_quietly(ctx: Context, stores: ChangeStores, state: StreamState, job: PageJob) -> Outputs | None:
    """Do the commit that follows a page without news, as most deltas end; None where it needs its own execution.

    Nothing has left that could get lost on its way. Nested records are looked for first.
    """
    if state.partitions > 1:
        return None
    if job.phase == "nested":
        try:
            reading = read_page(ctx, job)
        except BCError:
            return None  # its own execution will say so
        if reading.records or reading.more or reading.broken:
            return None
        job = _successor(ctx, job, reading)
    if job.phase != "commit":
        return None
    progress = Progress(job.page, done=True, began=parse_time(job.began), rows=job.total, at=ctx.now())
    return _finish(ctx, stores, job, [progress])


def _events(source: str, entity: Entity, told: Told) -> Iterator[str]:
    """Yield the text of each event and let go of its record."""
    told.reverse()
    while told:
        change, record = told.pop()
        yield cloud_events.change_event(source, entity, change, record)


def _may_have_told(ctx: Context, stores: ChangeStores, job: PageJob, state: StreamState) -> bool:
    """Say whether an earlier delivery of a job that is out of date can have told something that got lost on its way."""
    if job.mode == "list" or job.phase in {"commit", "settle"}:
        return False  # what it did is done, and would now spoil the listing of another run
    if job.purpose == "watch":
        return _has_claims(stores, job)
    if state.is_dead(job.run):
        return False  # the run that took over tells it
    claims = stores.seen(job.company, job.entity_row()).claims(job.job)
    if claims is not None:
        return bool(claims)
    began = parse_time(job.began)
    # In these cases its row would still be there.
    return state.done_run != job.run and not (began and ctx.now() - began < SEEN_LIFE)


def _has_claims(stores: ChangeStores, job: PageJob) -> bool:
    """Say whether an earlier delivery has announced something, which this one must announce again."""
    if job.purpose == "watch":
        return bool(stores.ledger(job.company, job.entity_row()).claims(job.job))
    return job.purpose == "pull" and bool(stores.seen(job.company, job.entity_row()).told(job.job))


def _successor(ctx: Context, job: PageJob, reading: Reading) -> PageJob:
    began = job.began or format_time(reading.served_at or ctx.now())
    total = job.total + len(reading.records)
    if reading.more:
        after, after_ids = _place(job, reading.records)
        # A link goes on behind the row it names, wherever that stands by then; a row that is changed moves to the end
        # of a delta, and all between would be passed over. So a delta goes by time, unless a page is full of one time.
        by_time = job.mode == "delta" and bool(after) and 0 < 2 * len(after_ids) <= len(reading.records)
        edge = reading.records[-1].text("lastModifiedDateTime") if reading.records else job.after
        return job.next(
            link="" if by_time else reading.next_link, began=began, total=total, after=after, after_ids=after_ids,
            rows=reading.rows, edge="" if by_time or job.mode != "delta" or job.phase == "nested" else edge,
            jumps=reading.jumps if edge in {job.edge, job.after} else 0,
        )  # fmt: skip
    entity = job.entity_row()
    rest = {"link": "", "began": began, "total": total, "after": "", "after_ids": (), "rows": 0, "edge": "", "jumps": 0}
    if job.purpose == "pull" and job.phase == "records" and job.mode == "delta" and _nested_counts(ctx, entity):
        return job.next(phase="nested", **rest)  # a changed variant does not touch its item's time
    return job.next(phase="commit", **rest)


def _nested_counts(ctx: Context, entity: Entity) -> bool:
    return bool(entity.expanded_set) and ctx.expands(entity)


def _place(job: PageJob, records: list[Record]) -> tuple[str, tuple[str, ...]]:
    """Return where to go on if the link breaks: the last sort value, and which rows at that value are done."""
    name = "number" if job.mode == "full" and job.phase == "records" else "lastModifiedDateTime"
    if job.mode == "list" or not records:
        return job.after, job.after_ids
    last = records[-1].text(name)
    ties = [record.key for record in records if record.text(name) == last]
    if last == job.after:
        ties = [*job.after_ids, *ties]
    return (last, tuple(ties)) if len(ties) <= _MOST_TIES else ("", ())


def _pull(ctx: Context, stores: ChangeStores, job: PageJob, reading: Reading) -> Told:
    """Tell every record version that the pull has not told yet."""
    entity = job.entity_row()
    records = reading.records
    if job.phase == "nested":
        parents = dict.fromkeys(record.text(entity.expanded_parent).lower() for record in records)
        records, broken = read_records(ctx, job.company, entity, [key for key in parents if key])
        for key, error in broken:
            log_event(log, "record.broken", level=logging.ERROR, entity=entity.name, record_id=key, reason=str(error))
    book = stores.seen(job.company, entity)
    claimed = book.told(job.job)
    here = {record.key for record in records}
    moved = [key for key in claimed if key not in here]
    if moved:  # told by an earlier delivery of this job whose output may be lost, and on another page now
        records = records + read_records(ctx, job.company, entity, moved)[0]
    # Only what the next delta reads again must be remembered, whoever told it: what is known already is read again,
    # too. Records of the nested phase may be old themselves.
    began = parse_time(job.began) or reading.served_at or ctx.now()
    keep = plan_runs.since_of(plan_runs.since_of(began))
    if job.mode == "delta":
        # What another page of this run has told stays that page's: were it noted here, too, a redelivery of that page
        # would take it for told. For the same reason a page that is out of date asks no later run.
        now = book.load([job.run], but=job.job)
        records = [record for record in records if pulled_versions.digest(record) not in now]
    digests = [pulled_versions.digest(r) for r in records if job.mode == "delta" or r.newest >= keep]
    if job.mode == "delta":
        state = stores.streams.load(stream_of(job))
        before = book.load([state.done_run] if state.run == job.run != state.done_run else [], but=job.job)
        records = [record for record in records if pulled_versions.digest(record) not in before]
    told = dict.fromkeys([*claimed, *(record.key for record in records)])
    book.add(job.job, digests, list(told), now=ctx.now())
    return [("pulled", record) for record in records]


def _watch(ctx: Context, stores: ChangeStores, job: PageJob, reading: Reading) -> Told:
    """Tell what the ledger does not know yet."""
    entity = job.entity_row()
    book = stores.ledger(job.company, entity)
    records = {record.key: record for record in reading.records}
    moved = [key for key in book.claims(job.job) if key not in records]
    if moved:  # claimed by an earlier delivery of this job, changed since and therefore on a later page now
        again, _ = read_records(ctx, job.company, entity, moved)
        records |= {record.key: record for record in again}
    told = book.announce(
        list(records.values()),
        job=job.job,
        changes=ctx.settings.changes,
        told_created=frozenset(),
        watch_from=stores.streams.load(stream_of(job)).watch_from,
        remember_job=True,
        now=ctx.now(),
    )
    return [(note.change, note.record) for note in told]


def _list(stores: ChangeStores, job: PageJob, reading: Reading) -> None:
    """Store the page's ids in the listing that this run builds."""
    entity = job.entity_row()
    listing = stores.streams.load(stream_of(job)).generation + 1
    entries: list[tuple[str, Base]] = [
        (record.key, base_of(entity, record.text("status"), record.text("number"))) for record in reading.records
    ]
    stores.ledger(job.company, entity).add_listing(listing, job.page, entries)


def _commit(ctx: Context, stores: ChangeStores, job: PageJob) -> Outputs:
    """Move the watermark once the last partition is complete; what must follow at once is enqueued.

    A listing is settled by a job of its own. Outputs are written in no order, so it may be settled before the jobs that
    its comparison brought are in the queue; the commit is then delivered again and compares with the listing before,
    which is therefore kept until the next one is settled.
    """
    progress = stores.streams.end_partition(job, ctx.now())
    if progress is None:
        return Outputs()
    if job.mode == "list" and job.phase == "commit":
        return Outputs(notifications=texts(_compare(ctx, stores, job)), pages=texts([job.next(phase="settle")]))
    return _finish(ctx, stores, job, progress)


def _finish(ctx: Context, stores: ChangeStores, job: PageJob, progress: list[Progress]) -> Outputs:
    stream = stream_of(job)
    state = stores.streams.load(stream)
    if state.done_run != job.run:
        began = min((part.began for part in progress if part.began), default=None)
        if job.mode == "list":
            _begin_watch(ctx, stores, job, began)
        rows = sum(part.rows for part in progress)
        state = stores.streams.change(
            stream,
            lambda held: held
            if held.run != job.run or held.done_run == job.run  # another copy of this job was faster
            else replace(
                held, mark=_later(held.mark, began), generation=held.generation + (job.mode == "list"),
                done_run=job.run, done_at=ctx.now(), ended_at=ctx.now(), rows=rows, error="", error_at=None,
            ),
        )  # fmt: skip
        log_event(
            log, "watermark.committed", run=job.run, kind=job.purpose, mode=job.mode, company=job.company,
            entity=job.entity, rows=rows, mark=state.mark,
        )  # fmt: skip
        _tidy(ctx, stores, job, state.generation)
    return _follow(ctx, stores, job, state)


def _follow(ctx: Context, stores: ChangeStores, job: PageJob, state: StreamState) -> Outputs:
    """Start the delta that was asked for while this run was under way, once the run is complete."""
    wanted = state.again and state.run == state.done_run == job.run and job.mode != "list"
    return Outputs(pages=texts(plan_runs.start_run(ctx, stores, state, "delta") if wanted else []))


def _later(mark: datetime | None, began: datetime | None) -> datetime | None:
    """Return the new watermark: BC's own time when the run's first page was served.

    All that was committed before has been read. BC's clock, never ours; and never backwards.
    """
    moments = [moment for moment in (mark, began) if moment is not None]
    return max(moments, default=None)


def _begin_watch(ctx: Context, stores: ChangeStores, job: PageJob, began: datetime | None) -> None:
    """After the first listing: records in it are old, the watch begins where the listing began."""
    start = began or ctx.now()
    stores.streams.change(
        Stream("watch", job.company, job.entity),
        lambda held: held if held.mark else replace(held, mark=start, watch_from=start),
    )


def _compare(ctx: Context, stores: ChangeStores, job: PageJob) -> tuple[NotificationJob, ...]:
    """Compare the new listing with all that is known; return jobs for records that came or went unnoticed."""
    entity = job.entity_row()
    state = stores.streams.load(stream_of(job))
    listing = state.generation + (state.done_run != job.run)  # in force already, if this is a late redelivery
    if listing == 1:
        return ()
    changes: list[RecordChange] = []
    at = format_time(ctx.now())
    book = stores.ledger(job.company, entity)
    if entity.posts:
        changes += [RecordChange(key=key, kind="updated", at=at) for key in book.keep_drafts(listing)]
    for came, went in book.compare(listing):
        changes += [RecordChange(key=key, kind="created", at=at) for key in came]
        if "deleted" in ctx.settings.changes:
            changes += [RecordChange(key=key, kind="deleted", at=at) for key in went]
    return tuple(
        NotificationJob(
            job=f"{job.run}-c{number:05d}", company=job.company, entity=job.entity, changes=group, compared=True
        )
        for number, group in enumerate(group_changes(changes))
    )


def _tidy(ctx: Context, stores: ChangeStores, job: PageJob, generation: int) -> None:
    entity = job.entity_row()
    if job.mode == "list" and generation > 1:
        book = stores.ledger(job.company, entity)
        book.drop_listing(generation - 2)
        book.forget_jobs(ctx.now() - JOB_LIFE)
    if job.purpose == "pull":
        stores.seen(job.company, entity).keep_only([job.run], since=ctx.now() - SEEN_LIFE)
    stores.streams.forget_run(stream_of(job), job.run)


def _give_up(ctx: Context, stores: ChangeStores, job: PageJob, error: BCError) -> Outputs:
    """End the run: nothing but a person, or the next run, can help. Other companies and entities go on."""
    log_event(
        log, "stream.failed", level=logging.ERROR, company=job.company, entity=job.entity, kind=job.purpose,
        status=error.status, bc_code=error.code, bc_correlation_id=error.correlation_id, reason=error.message,
    )  # fmt: skip
    stores.streams.change(
        stream_of(job),
        lambda held: (
            held
            if held.run != job.run or held.done_run == job.run  # a late copy of a page ends no run but its own
            else replace(held, ended_at=ctx.now(), error=str(error)[:1000], error_at=ctx.now())
        ),
    )
    return Outputs()
