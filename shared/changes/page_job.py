"""The frame of a page job: take the page, read it, announce what is new in it, enqueue its successor.

Killed at any line and delivered again, a job announces the same under the same ids and the run goes on. What is new the
purpose's own module says (`PageKind`); how a run ends is in `run_end.py`.
"""

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Final

from shared.business_central.entities import Entity
from shared.changes import event_batch, mend_page, run_end
from shared.changes.broken_records import BrokenList, broken_in
from shared.changes.change_stores import ChangeStores
from shared.changes.cloud_events import Origin
from shared.changes.jobs import ENDS, Cursor, PageJob, texts
from shared.changes.ledger_rules import Announcement
from shared.changes.page_beat import PageBeat
from shared.changes.page_reader import Reading, next_cursor, read_page, with_fewer_rows
from shared.changes.run_end import KINDS
from shared.changes.run_progress import Progress, Role
from shared.changes.streams import StreamState, stream_of
from shared.clock import format_time, parse_time
from shared.concurrency import at_once
from shared.connections.context import Context
from shared.errors import BCDenied, BCError, BCNotFound, BCRejected, BCUnavailable, InvalidMessage, RowTooLarge
from shared.log import log_event
from shared.outputs import Outputs

log: Final = logging.getLogger(__name__)


def read(ctx: Context, stores: ChangeStores, job: PageJob, message_id: str) -> Outputs:
    """Do one page job; that of an entity which is no longer configured ends here.

    Raises:
        BCError, TokenError, StoreUnavailable: the queue delivers the job again.
        InvalidMessage: its entity is gone, and it has announced something whose output may be lost: for a person.
    """
    entity = ctx.catalogue.named(job.entity)
    if entity is None:
        return _without_entity(stores, job)
    job = replace(job, row=entity)
    state = stores.streams.load(stream_of(job))
    if state.run == job.run and job.phase in ENDS:
        return run_end.commit(ctx, stores, job)
    now = ctx.now()
    role = _role(stores, job, state, message_id, now)
    if not _has_work(ctx, stores, job, state, role):
        log_event(log, "page.skipped", job=job.job, reason=role.value)
        return run_end.follow(ctx, stores, job, state)
    if role is Role.REPEAT:
        return _read(ctx, stores, job, None, None)
    with PageBeat(stores.runs, job, message_id, taken_at=now, now=ctx.now, every_s=stores.beat_s) as beat:
        if job.again or job.redrive:
            KINDS[job.purpose].take_over(stores, job)
        return _read(ctx, stores, job, beat, state)


def _read(
    ctx: Context, stores: ChangeStores, job: PageJob, beat: PageBeat | None, state: StreamState | None
) -> Outputs:
    """Read and announce the page; `beat` and `state` None: another delivery has started its successor."""
    try:
        reading, ahead = _with_ahead(ctx, stores, job, state)
    except (BCDenied, BCNotFound, BCRejected) as error:
        if KINDS[job.purpose].has_claims(stores, job):
            raise  # what it announced once must be announced: the message becomes a dead letter and is not dropped
        run_end.give_up(ctx, stores, job, error)
        if beat is not None:
            beat.let_go()
        return Outputs()
    if beat is not None and not beat.is_ours():
        log_event(log, "page.skipped", job=job.job, reason="it was put again, and another delivery has taken it")
        return Outputs()  # and announces what this one has claimed before, too
    return _announce(ctx, stores, job, beat, reading, ahead, state)


def _with_ahead(
    ctx: Context, stores: ChangeStores, job: PageJob, state: StreamState | None
) -> tuple[Reading, Reading | None]:
    """Return the page of a job and, where it may be the only one of its delta, that of the expanded records.

    Both are asked for at once. What the latter shows then may be older than what the page shows; the time of the
    earlier one is where the next delta goes on.
    """
    if job.phase == "mend":
        return mend_page.read_due(ctx, stores, job), None
    if state is None or not _is_whole(job, state) or KINDS[job.purpose].phase_after(ctx, job, state) != "expanded":
        return read_page(ctx, job), None

    def read(one: PageJob) -> list[Reading]:
        return [read_page(ctx, one)] if one is job else _read_ahead(ctx, one)

    (own,), ahead = at_once(read, [job, job.next(phase="expanded", cursor=Cursor())], ctx.threads)
    served = min((one.served_at for one in (own, *ahead) if one.served_at is not None), default=None)
    return replace(own, served_at=served), next(iter(ahead), None)


def _is_whole(job: PageJob, state: StreamState) -> bool:
    """Return whether a page is the first, and perhaps the only one, of its delta."""
    return job.mode == "delta" and job.phase == "records" and job.page == 1 and state.partitions <= 1


def _read_ahead(ctx: Context, job: PageJob) -> list[Reading]:
    """Return the page of a job to come; none if it is not the only one, or its own execution must say what it lacks."""
    try:
        reading = read_page(ctx, job)
    except BCError:
        return []
    return [] if reading.more or reading.lost or reading.unusable else [reading]


def _without_entity(stores: ChangeStores, job: PageJob) -> Outputs:
    """Drop the job of an entity that was taken out, or is refused; if that comes back, its next run reads as far."""
    gone = replace(job, row=Entity(name=job.entity, event=""))
    if KINDS[job.purpose].has_claims(stores, gone):
        raise InvalidMessage([f"entity: {job.entity} is not configured any more, and this job has announced of it"])
    log_event(log, "page.skipped", job=job.job, entity=job.entity, reason="its entity is not configured any more")
    return Outputs()


def _announce(
    ctx: Context,
    stores: ChangeStores,
    job: PageJob,
    beat: PageBeat | None,
    reading: Reading,
    ahead: Reading | None,
    state: StreamState | None,
) -> Outputs:
    """Store and announce what is new in a page; start its successor, unless another delivery has (`state` is None).

    Of a page whose news fit no row nothing is stored yet: it is read again, and ends earlier.
    """
    news = _news(ctx, stores, job, reading)
    if isinstance(news, PageJob):
        reading.records.clear()
        return _read(ctx, stores, news, beat, state)
    _note_reading(ctx, stores, job, reading, len(news))
    successor = None if state is None else _go_on(ctx, stores, job, reading, state)
    if state is not None and successor is not None:
        successor = _behind_expanded(ctx, stores, state, successor, ahead, is_quiet=not news)
        ended = None if news else _end_quietly(ctx, stores, state, successor)
        if ended is not None:
            return ended
    reading.records.clear()  # they leave memory as their events are packed
    origin = event_batch.origin_of(ctx, job.company, job.entity_row().route)
    events = event_batch.messages(ctx, stores, origin, job.job, _events(origin, job, news))
    if beat is not None:  # last, as a worker that dies before it has its page put again, and after it the successor
        beat.end(successor)
    return Outputs(events=events, pages=texts([successor] if successor else []))


def _news(ctx: Context, stores: ChangeStores, job: PageJob, reading: Reading) -> list[Announcement] | PageJob:
    """Return the news of a page; where they fit no row the job with fewer rows."""
    try:
        return KINDS[job.purpose].news(ctx, stores, job, reading)
    except RowTooLarge as error:
        fewer = with_fewer_rows(job, reading)
        if fewer is None:
            raise
        log_event(log, "page.halved", job=job.job, company=job.company, entity=job.entity, reason=str(error))
        return fewer


def _role(stores: ChangeStores, job: PageJob, state: StreamState, message_id: str, now: datetime) -> Role:
    if state.is_past(job.run):
        return Role.REPEAT
    return stores.runs.take_page(job, message_id, now)


def _has_work(ctx: Context, stores: ChangeStores, job: PageJob, state: StreamState, role: Role) -> bool:
    if role is not Role.REPEAT:
        return role is Role.GO
    return job.phase not in ENDS and KINDS[job.purpose].may_have_announced(ctx, stores, job, state)


def _note_reading(ctx: Context, stores: ChangeStores, job: PageJob, reading: Reading, events: int) -> None:
    """Note what could not be read, so that it is read again; it is on the list before the cursor moves."""
    kind, stream, count = KINDS[job.purpose], stream_of(job), len(reading.lost) + reading.unusable
    if reading.lost and kind.keeps_broken:
        found = [
            replace(broken_in(job).narrowed(one), is_new=bool(one.key) and kind.is_new(stores, job, one.key))
            for one in reading.lost
        ]
        BrokenList(stores, stream).note(found, ctx.now())
    if count:
        stores.streams.change(stream, lambda held: replace(held, broken=held.broken + count))
    if reading.mended is not None:
        reading.mended()
    log_event(
        log, "page.read", job=job.job, kind=job.purpose, mode=job.mode, company=job.company, entity=job.entity,
        rows=len(reading.records), events=events, skipped=count,
    )  # fmt: skip


def _go_on(ctx: Context, stores: ChangeStores, job: PageJob, reading: Reading, state: StreamState) -> PageJob | None:
    if not reading.stalled:
        return _successor(ctx, job, reading, state)
    run_end.give_up(ctx, stores, job, BCUnavailable("a page held nothing but what was read before", code="stalled"))
    return None


def _successor(ctx: Context, job: PageJob, reading: Reading, state: StreamState) -> PageJob:
    began = job.began or format_time(reading.served_at or ctx.now())
    total = job.total + len(reading.records)
    if reading.more:
        return job.next(cursor=next_cursor(job, reading), began=began, total=total)
    phase = KINDS[job.purpose].phase_after(ctx, job, state)
    return job.next(phase=phase, cursor=Cursor(), began=began, total=total)


def _behind_expanded(
    ctx: Context, stores: ChangeStores, state: StreamState, job: PageJob, ahead: Reading | None, *, is_quiet: bool
) -> PageJob:
    """Return the job that follows a page: where all expanded records are known, the one behind theirs.

    If they were not read with it they are read now, where the page itself has nothing that must leave first. News are
    left to their own page, and nothing is noted of them: it may never come.
    """
    if job.phase != "expanded" or job.mode != "delta" or state.partitions > 1:
        return job
    if ahead is None and is_quiet:
        ahead = next(iter(_read_ahead(ctx, job)), None)
    if ahead is None or (ahead.records and not KINDS[job.purpose].knows(ctx, stores, job, ahead)):
        return job
    return _successor(ctx, job, ahead, state)


def _end_quietly(ctx: Context, stores: ChangeStores, state: StreamState, job: PageJob) -> Outputs | None:
    """Do the commit that follows a page without news, as most deltas end; None where it needs its own execution.

    Nothing has left that could get lost on its way.
    """
    if job.mode != "delta" or state.partitions > 1 or KINDS[job.purpose].before_end is not None:
        return None
    if job.phase != "commit":
        return None
    progress = Progress(job.page, done=True, began=parse_time(job.began), rows=job.total, at=ctx.now())
    return run_end.finish(ctx, stores, job, [progress])


def _events(origin: Origin, job: PageJob, news: list[Announcement]) -> Iterator[str]:
    """Yield the text of each event and let go of its record."""
    entity, event = job.entity_row(), KINDS[job.purpose].event
    news.reverse()
    while news:
        yield event(origin, entity, news.pop())
