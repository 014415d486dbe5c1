"""Replays what was announced: which streams a person asks for, and the runs that send their events once more.

A replay is a run like a pull: pages on the queue, one run a stream, resumed after a crash. It sends the event of every
record that has changed in Business Central since a time, under the ids they had, marked `bcreplay`. What it sends does
not depend on what a consumer has taken.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from shared.business_central.entities import Entity
from shared.business_central.port import Company
from shared.changes import plan_runs
from shared.changes.change_stores import ChangeStores
from shared.changes.jobs import PageJob, texts
from shared.changes.streams import Stream
from shared.clock import parse_time
from shared.connections.context import Context
from shared.errors import InvalidMessage, StateConflict
from shared.outputs import Outputs

ALL: Final = "*"
#: The first time that a DateTime of Business Central can be (AL, "DateTime data type"); no storage keeps year 1.
_FIRST: Final = datetime(1753, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayAsk:
    """What a person wants to have sent again."""

    entities: tuple[str, ...]
    company: str  # id or name; "" for all
    since: datetime  # aware UTC: of records changed in Business Central since then


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayRun:
    """What became of one stream."""

    company: str  # id
    company_name: str
    entity: str
    run: str
    is_new: bool  # False: a replay of this stream is at work already, and goes on
    since: datetime  # from when this run sends: of one at work already what was asked for then


def parse_ask(known: Sequence[Entity], entity: str, company: str, since: str, now: datetime) -> ReplayAsk:
    """Read what a route or a form gives; `entity` may be `*`, `since` is ISO 8601, without a zone UTC.

    `known` are the entities of the connection; one without times of change has nothing that is since.

    Raises:
        InvalidMessage: names every member that is wrong, with its rule.
    """
    faults: list[str] = []
    name = entity.strip()
    names = tuple(one.name for one in known if one.has_times)
    entities = names if name == ALL else (name,)
    if name != ALL and name not in names:
        near = difflib.get_close_matches(name, names, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        faults.append(f"entity: must be one of {', '.join(names)}, or {ALL} for all{hint}")
    moment = _moment(since.strip())
    if moment is None:
        faults.append("since: must be a time in ISO 8601 such as 2026-02-01 or 2026-02-01T09:30:00Z")
    elif moment > now:
        faults.append("since: must not lie in the future")
    if faults or moment is None:
        raise InvalidMessage(faults)
    return ReplayAsk(entities=entities, company=company.strip(), since=max(moment, _FIRST))


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return parse_time(text) if found.tzinfo else found.replace(tzinfo=UTC)


def start(ctx: Context, stores: ChangeStores, ask: ReplayAsk) -> tuple[list[ReplayRun], Outputs]:
    """Start a replay of each stream that is asked for; return what became of each, and the first page jobs.

    Raises:
        InvalidMessage: no company is called so.
        BCError, TokenError, StoreUnavailable: nothing was started, or not all; to ask once more does no harm.
    """
    companies = ctx.companies.named(ask.company)
    if not companies:
        raise InvalidMessage([f"company: {ask.company!r} is not a company that this app serves"])
    runs: list[ReplayRun] = []
    jobs: list[PageJob] = []
    for company in companies:
        for entity in ask.entities:
            run, more = _start_one(ctx, stores, company, entity, ask.since)
            runs.append(run)
            jobs += more
    return runs, Outputs(pages=texts(jobs))


def _start_one(
    ctx: Context, stores: ChangeStores, company: Company, entity: str, since: datetime
) -> tuple[ReplayRun, list[PageJob]]:
    stream = Stream("replay", company.key, entity)
    state = stores.streams.load(stream)
    again = plan_runs.under_way(ctx, stores, state)
    is_new = again is None
    if again is None:
        try:
            again = plan_runs.start_run(
                ctx, stores, replace(state, watermark=since, read_since=None, error=""), "delta"
            )
        except StateConflict:  # somebody else has started one just now
            is_new, again, state = False, [], stores.streams.load(stream)
    return ReplayRun(
        company=company.key, company_name=company.display_name, entity=entity, run=again[0].run if again else state.run,
        is_new=is_new, since=since if is_new else state.watermark or since,
    ), again  # fmt: skip
