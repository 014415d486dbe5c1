"""Plans runs: what a timer, a lost webhook or a collection notification sets in motion."""

import itertools
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from shared.business_central.entities import Entity
from shared.business_central.port import Company
from shared.changes import replica_lag
from shared.changes.change_stores import ChangeStores
from shared.changes.jobs import ENDS, Mode, PageJob, Slice, texts
from shared.changes.lost_pages import SHARED_STANDSTILL, SILENT
from shared.changes.streams import JOB_LIFE, Stream, StreamState, stream_of
from shared.clock import earlier, format_time
from shared.concurrency import at_once
from shared.connections.context import Context
from shared.errors import IntegrationError, StateConflict
from shared.log import log_event
from shared.outputs import Outputs

log: Final = logging.getLogger(__name__)

#: A delta reads this far behind its watermark: rows get their time stamp before they are committed, and a long
#: posting commits late. API operations end after 8 minutes at the latest.
OVERLAP: Final = timedelta(minutes=10)
#: The first delta of a day (UTC) reads this far back: what an import or a batch job of up to twelve hours has changed
#: bears times from before its commit. All that deltas have announced for so long is known, and not announced again.
WIDE_OVERLAP: Final = timedelta(hours=36)
#: How often all ids are read, to find what no delta can see: deletes, late commits, rows without a time stamp.
SNAPSHOT_EVERY: Final = timedelta(hours=24)
#: No two snapshots follow each other sooner. One whose host died while it handed on what it had found is delivered
#: again after ten minutes, and finds it by the snapshot before, which the next one would take away.
SNAPSHOT_REST: Final = timedelta(minutes=15)
#: What only reads of a replica have missed is missed for good when a second look, so long after, misses it as well.
SECOND_LOOK: Final = timedelta(hours=1)
#: Slices of a full pull. Five requests are under way at most; while five pages are on their way those of the other
#: slices are taken apart and stored.
PARTITIONS: Final = 10


def pull_items(ctx: Context, stores: ChangeStores) -> Outputs:
    """Plan the scheduled pull of items, and of whatever else is pulled.

    Per company and entity a delta since the watermark, at first a full pull in slices.
    """
    ctx.catalogue.refresh()
    return _for_each_company(ctx, stores, ctx.catalogue.resolved().pulled, _plan_pull)


def reconcile(ctx: Context, stores: ChangeStores) -> Outputs:
    """Plan what finds all that no notification announced: a delta per company and entity, and a daily snapshot."""
    ctx.catalogue.refresh()
    return _for_each_company(ctx, stores, ctx.catalogue.resolved().watched, _plan_reconcile)


def _for_each_company(
    ctx: Context,
    stores: ChangeStores,
    entities: Sequence[Entity],
    plan: Callable[[Context, ChangeStores, Company, Entity], list[PageJob]],
) -> Outputs:
    def planned(stream: tuple[Company, Entity]) -> list[PageJob]:
        company, entity = stream
        try:
            return plan(ctx, stores, company, entity)
        except StateConflict:
            return []  # another instance is planning this very stream
        except IntegrationError as error:  # the others go on: what is planned already must leave
            log_event(
                log, "stream.failed", level=logging.WARNING if error.retryable else logging.ERROR,
                company=company.name, entity=entity.name, reason=str(error),
            )  # fmt: skip
            return []

    streams = [(company, entity) for company in ctx.companies.served() for entity in entities]
    jobs = itertools.chain.from_iterable(at_once(planned, streams, ctx.threads))
    missing = ctx.companies.unknown()
    for name in missing:
        log_event(
            log, "stream.failed", level=logging.ERROR, company=name,
            reason="BC_COMPANIES names a company that is not there: renamed, removed or misspelt",
        )  # fmt: skip
    return Outputs(pages=texts(jobs))


def _plan_pull(ctx: Context, stores: ChangeStores, company: Company, entity: Entity) -> list[PageJob]:
    state = stores.streams.load(Stream("pull", company.key, entity.name))
    again = under_way(ctx, stores, state)
    if again is not None:
        return again
    if state.watermark is not None or not entity.sort:  # without a text to cut by, a delta from the beginning
        return start_run(ctx, stores, state, "delta")
    parts = 2 * PARTITIONS if ctx.settings.reader_client_id else PARTITIONS  # a reader doubles the requests under way
    points = ctx.bc.split_points(company.key, entity, parts, least=PARTITIONS * ctx.settings.page_rows)
    return start_run(ctx, stores, state, "full", points)


def _plan_reconcile(ctx: Context, stores: ChangeStores, company: Company, entity: Entity) -> list[PageJob]:
    snapshot = stores.streams.load(Stream("snapshot", company.key, entity.name))
    jobs: list[PageJob] = []
    wait = SNAPSHOT_REST if snapshot.again else SECOND_LOOK if snapshot.looks_again else SNAPSHOT_EVERY
    if snapshot.done_at is None or ctx.now() - snapshot.done_at >= wait or snapshot.is_under_way:
        again = under_way(ctx, stores, snapshot)
        jobs += start_run(ctx, stores, snapshot, "list") if again is None else again
    if snapshot.snapshot and entity.has_times:
        jobs += plan_delta(ctx, stores, company.key, entity)
    return jobs


def plan_delta(ctx: Context, stores: ChangeStores, company: str, entity: Entity) -> list[PageJob]:
    """Start a reconcile now; if one is under way, see to it that another follows."""
    stream = Stream("reconcile", company, entity.name)
    state = stores.streams.load(stream)
    again = under_way(ctx, stores, state)
    if again is not None:
        state = stores.streams.change(stream, lambda held: replace(held, again=True) if held.is_under_way else held)
        if state.is_under_way:
            return again
    return start_run(ctx, stores, state, "delta")  # the run under way may have ended just now


def plan_snapshot(ctx: Context, stores: ChangeStores, company: str, entity: Entity) -> list[PageJob]:
    """Start a snapshot now; if one is under way or was so a moment ago, have the timer start another."""
    stream = Stream("snapshot", company, entity.name)
    state = stores.streams.load(stream)
    last = state.done_at if state.snapshot > 1 else None  # the first one has none to be compared with
    rested = last is None or ctx.now() - last >= SNAPSHOT_REST
    again = under_way(ctx, stores, state) if rested else []
    if again is None:
        return start_run(ctx, stores, state, "list")
    stores.streams.change(stream, lambda held: replace(held, again=True))
    return again


def under_way(ctx: Context, stores: ChangeStores, state: StreamState) -> list[PageJob] | None:
    """Return None when the stream is free for another run, else the jobs of its run that must be put again."""
    if not state.is_under_way:
        return None
    standing = stores.runs.standing(state, ctx.now())
    alive = standing.is_alive
    log_event(
        log, "run.skipped" if alive else "run.superseded", level=logging.INFO if alive else logging.WARNING,
        run=state.run, kind=state.stream.purpose, company=state.stream.company, entity=state.stream.entity,
    )  # fmt: skip
    _log_put_again(standing.again)
    return list(standing.again) if alive else None


def put_lost_again(ctx: Context, stores: ChangeStores) -> Outputs:
    """Put pages again whose worker is gone, or whose message has missed its turn, of whatever run is under way.

    Not those whose copy, come late, can't be told from them and would announce once more: a replay's, and the end of a
    snapshot. They are left to the queue, and to their run's limit.
    """

    def is_wanted(job: PageJob) -> bool:
        if job.purpose == "replay" or (job.purpose == "snapshot" and job.phase in ENDS):
            return False
        state = stores.streams.load(stream_of(job))
        return state.run == job.run and state.is_under_way

    standstill = SILENT if len(ctx.settings.ids) <= 1 else SHARED_STANDSTILL
    jobs = stores.runs.put_lost_again(ctx.now(), is_wanted, standstill)
    _log_put_again(jobs)
    return Outputs(pages=texts(jobs))


def _log_put_again(jobs: Iterable[PageJob]) -> None:
    for job in jobs:
        log_event(log, "page.put_again", level=logging.WARNING, job=job.job, company=job.company, entity=job.entity)


def start_run(
    ctx: Context, stores: ChangeStores, state: StreamState, mode: Mode, points: list[str] | None = None
) -> list[PageJob]:
    """Note a new run in the stream's row and return the first job of each of its slices.

    Raises:
        StateConflict: another instance started one at the same time.
    """
    run = ctx.new_id()
    bounds = ["", *(points or []), ""]
    since = format_time(_since(ctx, stores, state, state.watermark)) if mode == "delta" and state.watermark else ""
    jobs = [
        PageJob(
            run=run,
            purpose=state.stream.purpose,
            mode=mode,
            company=state.stream.company,
            entity=state.stream.entity,
            slice=Slice(number=number, since=since, low=low, high=high),
            connection=ctx.settings.id,
        )
        for number, (low, high) in enumerate(itertools.pairwise(bounds))
    ]
    old, is_superseding = state.run, state.run != state.done_run
    stores.streams.save(
        replace(
            state.succeeded_by(run), mode=mode, partitions=len(jobs), planned_at=ctx.now(), ended_at=None, again=False,
            broken=0,
        ),
        *stores.runs.planned(jobs, ctx.now()),
    )  # fmt: skip
    if old:
        stores.runs.forget_run(state.stream, old)
    if is_superseding:
        stores.streams.forget_superseded(state.stream, ctx.now() - JOB_LIFE)
    log_event(
        log, "run.planned", run=run, kind=state.stream.purpose, mode=mode, company=state.stream.company,
        entity=state.stream.entity, partitions=len(jobs), watermark=since,
    )  # fmt: skip
    return jobs


def _since(ctx: Context, stores: ChangeStores, state: StreamState, watermark: datetime) -> datetime:
    """Return from when a delta reads; further back while the replica lags, and once a day.

    A pull never goes further back than what it remembers: to the delta before it, once a day to `remembered_from`.
    """
    stream, usual = state.stream, since_of(watermark)
    reconcile = stores.streams.load(replace(stream, purpose="reconcile"))
    if stream.purpose == "reconcile":
        since = since_of(replica_lag.shown_until(watermark, state, ctx.now()))
        entity = ctx.catalogue.named(stream.entity)
        floor = state.watch_from if entity is not None and "updated" in entity.changes else None
    else:
        wanted = since_of(replica_lag.shown_until(watermark, reconcile, ctx.now()))
        since = min(usual, max(wanted, state.read_since or usual))
        floor = state.remembered_from
    if floor is None or watermark.date() == ctx.now().date() or state.is_set_back:
        return since
    return min(since, max(floor, earlier(watermark, WIDE_OVERLAP)))


def since_of(watermark: datetime) -> datetime:
    """Return from when a delta reads that makes up for late commits alone."""
    return earlier(watermark, OVERLAP)
