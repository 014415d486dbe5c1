"""How a run ends: the watermark moves once its last slice is complete, or the run is given up.

What is particular to a purpose its own module does (`PageKind`).
"""

import logging
from dataclasses import replace
from datetime import datetime
from typing import Final

from shared.changes import plan_runs, pull_page, reconcile_page, replay_page, snapshot_page
from shared.changes.change_stores import ChangeStores
from shared.changes.jobs import PageJob, Purpose, texts
from shared.changes.page_kind import PageKind
from shared.changes.run_progress import Progress
from shared.changes.streams import StreamState, stream_of
from shared.clock import earlier, parse_time
from shared.connections.context import Context
from shared.errors import BCError
from shared.log import log_event
from shared.outputs import Outputs

log: Final = logging.getLogger(__name__)

KINDS: Final[dict[Purpose, PageKind]] = {
    "pull": pull_page.KIND, "reconcile": reconcile_page.KIND, "snapshot": snapshot_page.KIND,
    "replay": replay_page.KIND,
}  # fmt: skip


def commit(ctx: Context, stores: ChangeStores, job: PageJob) -> Outputs:
    """End a slice; with the last one the run. What must follow at once is enqueued."""
    kind = KINDS[job.purpose]
    progress = stores.runs.end_slice(job, ctx.now())
    if progress is None:
        return Outputs()
    if kind.before_end is not None and job.phase == "commit":
        return kind.before_end(ctx, stores, job)
    return finish(ctx, stores, job, progress)


def finish(ctx: Context, stores: ChangeStores, job: PageJob, progress: list[Progress]) -> Outputs:
    """Move the watermark of a run whose slices are complete."""
    kind = KINDS[job.purpose]
    stream = stream_of(job)
    state = stores.streams.load(stream)
    if state.done_run != job.run:
        began = min((part.began for part in progress if part.began), default=None)
        kind.at_end(ctx, stores, job, began)
        rows = sum(part.rows for part in progress)
        state = stores.streams.change(
            stream,
            lambda held: held
            if held.is_past(job.run)  # another copy of this job was faster
            else replace(
                held, watermark=_later(held.watermark, began), snapshot=held.snapshot + kind.snapshots,
                done_run=job.run, done_at=ctx.now(), ended_at=ctx.now(), rows=rows, error="",
                unreadable=held.broken if kind.snapshots else held.unreadable,
                read_since=parse_time(job.slice.since),
                remembered_from=held.remembered_from or _remembers_from(job, progress),
            ),
        )  # fmt: skip
        log_event(
            log, "watermark.committed", run=job.run, kind=job.purpose, mode=job.mode, company=job.company,
            entity=job.entity, rows=rows, watermark=state.watermark,
        )  # fmt: skip
        kind.tidy(ctx, stores, job, state)
        stores.runs.forget_run(stream, job.run)
    return follow(ctx, stores, job, state)


def _remembers_from(job: PageJob, progress: list[Progress]) -> datetime | None:
    """Return since when a pull remembers every version that it announced, as it does from this run on."""
    began = [part.began for part in progress if part.began]
    if job.purpose != "pull" or job.slice.since or not began:
        return parse_time(job.slice.since) if job.purpose == "pull" else None
    return earlier(max(began), plan_runs.WIDE_OVERLAP)


def follow(ctx: Context, stores: ChangeStores, job: PageJob, state: StreamState) -> Outputs:
    """Start the delta that was asked for while this run was under way, once the run is complete."""
    wanted = state.again and state.run == state.done_run == job.run and KINDS[job.purpose].follows_at_once
    return Outputs(pages=texts(plan_runs.start_run(ctx, stores, state, "delta") if wanted else []))


def _later(watermark: datetime | None, began: datetime | None) -> datetime | None:
    """Return the new watermark: BC's own time when the run's first page was served.

    All that was committed before has been read. BC's clock, never ours; and never backwards.
    """
    moments = [moment for moment in (watermark, began) if moment is not None]
    return max(moments, default=None)


def give_up(ctx: Context, stores: ChangeStores, job: PageJob, error: BCError) -> None:
    """End a run: nothing but a person, or the next run, can help. Other companies and entities go on."""
    log_event(
        log, "stream.failed", level=logging.ERROR, company=job.company, entity=job.entity, kind=job.purpose,
        status=error.status, bc_code=error.code, bc_correlation_id=error.correlation_id, reason=error.message,
    )  # fmt: skip
    stores.streams.change(
        stream_of(job),
        lambda held: (
            held
            if held.is_past(job.run)  # a late copy of a page ends no run but its own
            else replace(held, ended_at=ctx.now(), error=str(error)[:1000])
        ),
    )
