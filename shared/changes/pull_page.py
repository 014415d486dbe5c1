"""A page of a pull: announces every record version that no page of the pull has announced."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from shared.business_central.records import Record
from shared.changes import plan_runs, pulled_versions
from shared.changes.broken_records import BrokenList, broken_in
from shared.changes.change_stores import ChangeStores
from shared.changes.claims import Claims
from shared.changes.jobs import PageJob, Phase
from shared.changes.ledger_rules import Announcement
from shared.changes.page_kind import PageKind
from shared.changes.page_reader import Reading
from shared.changes.pulled_versions import PulledVersionStore
from shared.changes.single_reader import read_records, with_claimed
from shared.changes.streams import StreamState, stream_of
from shared.clock import NO_TIME, earlier, parse_time
from shared.connections.context import Context
from shared.errors import RowTooLarge

#: How long what a page has announced is kept for its redelivery: five deliveries of a worker that dies each time.
CLAIMS_LIFE: Final = timedelta(hours=2)


def _news(ctx: Context, stores: ChangeStores, job: PageJob, reading: Reading) -> list[Announcement]:
    versions = stores.pulled_versions(job.company, job.entity_row())
    held = versions.row_of(job.job)
    claims = (held.claims if held is not None else Claims()).with_work_of(job)
    known = _known(stores, versions, job, reading.runs) if job.mode == "delta" else _Known()
    page = _PAGE_RECORDS[job.phase](ctx, stores, job, reading.records, known)
    records = with_claimed(ctx, job, page, claims.ids)
    if claims.ids and stores.streams.load(stream_of(job)).is_past(job.run):  # all else is for the runs since
        records = [record for record in records if record.key in claims.ids]
    kept, records = _kept_and_news(ctx, job, records, known, reading)
    _check_page(job, page, kept, records)
    seen = [pulled_versions.digests(record) for record in kept]
    if job.phase == "expanded":
        seen += _known_before(job, reading, known)
    announced = dict.fromkeys([*claims.ids, *(record.key for record in records)])
    versions.add(job.job, seen, replace(claims, ids=tuple(announced)), held, now=ctx.now())
    return [Announcement("pulled", record) for record in records]


def _check_page(job: PageJob, page: list[Record], kept: list[Record], news: list[Record]) -> None:
    """Check that what a page itself brings can be stored; what was claimed before and has moved is stored already."""
    here = {record.key for record in page}
    own = [record for record in kept if record.key in here]
    pulled_versions.check_page(job.job, own, [record for record in news if record.key in here])


def _kept_and_news(
    ctx: Context, job: PageJob, records: list[Record], known: "_Known", reading: Reading
) -> tuple[list[Record], list[Record]]:
    """Return the records whose versions this page remembers, and those that it announces.

    Only what a later delta reads again must be remembered, whoever announced it: what is known already is read again,
    too. Records of the expanded phase may be old themselves.
    """
    if job.mode == "delta":
        kept = [record for record in records if pulled_versions.digest(record) not in known.in_this_run]
        return kept, [record for record in kept if pulled_versions.digest(record) not in known.before]
    began = parse_time(job.began) or reading.served_at or ctx.now()
    since = earlier(plan_runs.since_of(began), plan_runs.WIDE_OVERLAP)
    return [record for record in records if record.newest >= since], records


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """The versions that are no news.

    What another page of this run has announced stays that page's: were it noted here, too, a redelivery of that page
    would take it for announced.
    """

    in_this_run: Mapping[bytes, bytes] = field(default_factory=dict)  # by its other pages; as `load` returns them
    before: Mapping[bytes, bytes] = field(default_factory=dict)

    @property
    def announced(self) -> set[bytes]:
        """All of them."""
        return {*self.before, *self.in_this_run}


def _known(stores: ChangeStores, versions: PulledVersionStore, job: PageJob, also: Sequence[str]) -> _Known:
    """Return what other pages have announced; `also`: runs that read around what they could not read.

    A page that is out of date asks no later run, as a redelivery of it would take for announced what that run noted. A
    delta that reads behind the one before it, and a page that mends what may have broken after it was announced, ask
    every run that is remembered, but those that were superseded, whose output may be lost. So does a delta while a
    replica lags: the one before it may not have been shown what an earlier one announced.
    """
    state = stores.streams.load(stream_of(job))
    runs = [*also]
    if not state.is_past(job.run):
        runs.append(state.done_run)
        since = parse_time(job.slice.since) or NO_TIME
        is_behind = since < (state.read_since or NO_TIME) and not state.is_set_back
        if is_behind or _reads_further_back(state, since) or job.phase == "mend":
            runs += [run for run in versions.runs() - {job.run} if not stores.streams.is_superseded(state, run)]
    in_this_run = versions.load([job.run], but=job.job)
    return _Known(in_this_run=in_this_run, before=versions.load(runs, but=job.job))


def _reads_further_back(state: StreamState, since: datetime) -> bool:
    """Return whether a delta reads from before where late commits alone would have it read."""
    usual = plan_runs.since_of(state.watermark) if state.watermark is not None else since
    return since + timedelta(seconds=1) < usual  # a job's time has lost less on its way


def _knows(ctx: Context, stores: ChangeStores, job: PageJob, reading: Reading) -> bool:
    """Return whether all expanded records of a page to come are known; if so, they are remembered further."""
    versions = stores.pulled_versions(job.company, job.entity_row())
    known = _known(stores, versions, job, reading.runs)
    if not known.announced.issuperset(map(_expanded_digest_of(job), reading.records)):
        return False
    try:
        versions.add(job.job, _known_before(job, reading, known), Claims().with_work_of(job), None, now=ctx.now())
    except RowTooLarge:
        return False  # its own page reads fewer rows
    return True


def _known_before(job: PageJob, reading: Reading, known: "_Known") -> list[list[bytes]]:
    """Return the versions of the expanded records that are known, each with its record's, to be remembered further."""
    again = [digest for digest in map(_expanded_digest_of(job), reading.records) if digest in known.before]
    return [[digest, known.before[digest]] for digest in again]


def _expanded_digest_of(job: PageJob) -> Callable[[Record], bytes]:
    parent = job.entity_row().expanded_parent
    return lambda record: pulled_versions.expanded_digest(record.text(parent).lower(), record.tags)


def _as_read(
    _ctx: Context, _stores: ChangeStores, _job: PageJob, records: list[Record], _known: _Known
) -> list[Record]:
    return records


def _parents(ctx: Context, stores: ChangeStores, job: PageJob, records: list[Record], known: _Known) -> list[Record]:
    """Return the records that the expanded ones belong to, but for those that were announced with them.

    An expanded record counts as announced only by the ETag that its parent was read with: a parent that came from a
    replica behind is read again.
    """
    entity, digest = job.entity_row(), _expanded_digest_of(job)
    announced = known.announced
    news = [record for record in records if digest(record) not in announced]
    keys = dict.fromkeys(record.text(entity.expanded_parent).lower() for record in news)
    parents, broken = read_records(ctx, job.company, entity, [key for key in keys if key])
    found = [replace(broken_in(job), phase="records", key=key, reason=str(error)) for key, error in broken]
    BrokenList(stores, stream_of(job)).note(found, ctx.now())
    return parents


_PAGE_RECORDS: Final = {"records": _as_read, "expanded": _parents, "mend": _as_read}


def _phase_after(ctx: Context, job: PageJob, state: StreamState) -> Phase:
    """A changed variant does not touch its item's time, so a delta looks at the expanded records, too."""
    if job.mode != "delta" or job.phase == "mend":
        return "commit"
    if job.phase == "records" and job.entity_row().expanded_set:
        return "expanded"
    return "mend" if state.is_to_mend(ctx.now()) else "commit"


def _has_claims(stores: ChangeStores, job: PageJob) -> bool:
    claims = stores.pulled_versions(job.company, job.entity_row()).claims(job.job)
    return claims is not None and bool(claims.ids)


def _may_have_announced(ctx: Context, stores: ChangeStores, job: PageJob, state: StreamState) -> bool:
    if stores.streams.is_superseded(state, job.run):
        return False  # the run that took over announces it
    claims = stores.pulled_versions(job.company, job.entity_row()).claims(job.job)
    if claims is not None:
        return claims.may_be_of(job)
    began = parse_time(job.began)
    # In these cases its row would still be there.
    return state.done_run != job.run and not (began and ctx.now() - began < CLAIMS_LIFE)


def _tidy(ctx: Context, stores: ChangeStores, job: PageJob, state: StreamState) -> None:
    runs = [one.run for one in BrokenList(stores, state.stream).all()] if state.unreadable else []
    wide = earlier(state.watermark or ctx.now(), plan_runs.WIDE_OVERLAP)
    since = min(ctx.now() - CLAIMS_LIFE, wide)
    stores.pulled_versions(job.company, job.entity_row()).keep_only([job.run, *runs], since=since)


KIND: Final = PageKind(
    news=_news,
    knows=_knows,
    has_claims=_has_claims,
    may_have_announced=_may_have_announced,
    phase_after=_phase_after,
    tidy=_tidy,
)
