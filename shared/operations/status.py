"""What an operator asks: the state of everything in one look, and the story of one order."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from shared.business_central.code_text import code_of
from shared.business_central.entities import Entity
from shared.business_central.port import Company
from shared.changes import replica_lag
from shared.changes.streams import StreamState
from shared.connections import entity_rules
from shared.connections.context import Context
from shared.connections.entity_rules import Resolved
from shared.connections.settings_reader import DEFAULTS
from shared.dead_letters import redrive
from shared.dead_letters.dead_letter_store import DeadLetter
from shared.errors import BCNotFound, BudgetExhausted, IntegrationError, StoreUnavailable, TokenError
from shared.forwarding.event_targets import read_target
from shared.forwarding.forward_step import cause_and_do
from shared.forwarding.waiting_batches import WaitingBatches
from shared.operations import bc_checks, view_findings
from shared.operations.activity import Activity, Week
from shared.operations.connection_health import health_of
from shared.operations.failures import explain
from shared.operations.findings import Finding, fine, in_plain_words, warning
from shared.operations.poison_contents import Peeked, poison_findings
from shared.operations.status_view import (
    CompanyView,
    CountView,
    DeadLetterView,
    ForwardingView,
    LoginView,
    OrderView,
    StatusView,
    StreamView,
    SubscriptionView,
    TimerView,
    TriggerView,
    WaitingEventsView,
    describe_trigger,
)
from shared.operations.stores import Stores
from shared.operations.time_limit import TookTooLong, within
from shared.operations.timer_store import TimerRun
from shared.operations.timers import Timer, timers_of
from shared.operations.unread_output import OUTPUTS, UnreadView, unread
from shared.orders.order_cause import cause_of, why_no_redrive
from shared.orders.order_entry import OrderEntry
from shared.orders.order_store import OrderStore
from shared.resource_names import WORK_QUEUES
from shared.webhooks.notes import WebhookNote
from shared.work_counts import ANNOUNCED, CREATED

type Peek = Callable[[str], Sequence[Peeked]]  # the first messages of a queue, left where they are

DEFAULT_TIMERS: Final = timers_of({name: value for name, value in DEFAULTS.items() if value})
POISON_QUEUES: Final = tuple(f"{queue}-poison" for queue in WORK_QUEUES)
#: A list of companies this old still says that Business Central answers.
_RECENT: Final = timedelta(minutes=1)
_BC_LIMIT_S: Final = 4.0
_QUEUES_LIMIT_S: Final = 4.0
_SNAPSHOT_EVERY: Final = timedelta(hours=24)
#: What a run may take beyond its second due time before its silence is a fault.
RUN_TIME: Final = timedelta(minutes=30)
_LIST = 100  # orders of each status, and dead letters, shown by name; each queue has its share of these
_COUNT = 10_000  # orders counted at most


def view(
    ctx: Context,
    stores: Stores,
    login: LoginView,
    timers: Sequence[Timer] = DEFAULT_TIMERS,
    depth: Callable[[str], int | None] | None = None,
    key: str = "",
    peek: Peek | None = None,
    activity: Activity | None = None,
    reader: LoginView | None = None,
) -> StatusView:
    """Gather the state; what BC or the queues don't answer right now is shown as such and hides nothing else.

    With a `key` (of an order, a message or a job) only what bears it is listed of orders and dead letters.

    Raises:
        StoreUnavailable: the tables did not answer.
    """
    settings, entities = ctx.settings, ctx.catalogue.resolved()
    companies, business_central = _companies(ctx, login)
    names = {company.id: company.name for company in companies if company.id}
    counts = stores.orders.counts(_COUNT)
    dismissed, orders = _order_views(stores.orders, key, names)
    letters = stores.dead_letters.counts(ctx.now())
    runs = stores.timers.all()
    queues = _Queues() if depth is None else _queues(depth, peek, ctx.now())
    week = activity.week() if activity else Week(Counter(), {})
    gathered = StatusView(
        at=ctx.now(),
        connection=settings.id,
        environment=settings.environment,
        login=login,
        reader=reader,
        companies=companies,
        triggers=_triggers(ctx, entities),
        pulls=tuple(entity.name for entity in entities.pulled),
        entity_faults=(*entities.faults, *entity_rules.without_webhook(entities, ctx.catalogue.known_webhooks())),
        streams=tuple(_stream(state, names, timers, ctx.now()) for state in _streams(stores, entities)),
        subscriptions=tuple(_subscription(ctx.now(), note, names) for note in stores.notes.all()),
        orders_waiting=counts["waiting"],
        orders_parked=counts["parked"],
        orders_rejected=counts["rejected"],
        orders_dismissed=dismissed,
        order_causes=dict(stores.orders.causes(_COUNT)),
        orders=orders,
        dead_letters=tuple(map(_letter, _letters(stores, key, letters, ctx.now()))),
        dead_letter_counts=dict(letters),
        forwarding=_forwarding(settings.events_to, stores.batches),
        key=key,
        timers=tuple(_timer(timer, runs.get(timer.function), ctx.now()) for timer in timers),
        poison=queues.poison,
        in_poison=queues.in_poison,
        unread=queues.unread,
        activity=_counts(week, names),
        last_event=week.last.get(ANNOUNCED),
        last_order=week.last.get(CREATED),
        business_central=business_central,
    )
    found = view_findings.findings(gathered)
    return replace(gathered, findings=found, health=health_of(found).word)


def _triggers(ctx: Context, entities: Resolved) -> tuple[TriggerView, ...]:
    webhooks = ctx.catalogue.known_webhooks()
    return tuple(
        describe_trigger(entity, has_webhook=None if webhooks is None else entity.webhook_resource in webhooks)
        for entity in entities.watched
    )


def _streams(stores: Stores, entities: Resolved) -> list[StreamState]:
    """Return the streams of entities that are still read so; that what was taken out is not read is no fault."""
    read: dict[str, Sequence[Entity]] = {"pull": entities.pulled, "replay": entities.entities}
    return [
        state
        for state in stores.changes.streams.all()
        if any(state.stream.entity == one.name for one in read.get(state.stream.purpose, entities.watched))
    ]


def _forwarding(events_to: str, batches: WaitingBatches) -> ForwardingView | None:
    target = read_target(events_to)
    if target is None:
        return None
    waiting = []
    for one in batches.counts():
        why, do = cause_and_do(target.kind, one.cause) if one.cause else ("", "")
        waiting.append(WaitingEventsView(cause=one.cause, messages=one.count, since=one.since, why=why, do=do))
    return ForwardingView(receiver=f"{target.kind.value} at {target.shown}", waiting=tuple(waiting))


def _counts(week: Week, names: dict[str, str]) -> tuple[CountView, ...]:
    """Return what was counted, an entry an hour, company and entity."""
    found: dict[tuple[datetime, str, str], dict[str, int]] = {}
    for each, number in sorted(week.counts.items()):
        found.setdefault((each.hour, each.company, each.entity), {})[each.kind] = number
    return tuple(
        CountView(hour=hour, company=names.get(company, company), entity=entity, counts=counts)
        for (hour, company, entity), counts in found.items()
    )


def _orders(orders: OrderStore, key: str) -> list[OrderEntry]:
    """Return orders that are not in Business Central: those with the key, or some of each status."""
    if key:
        return [order for order in orders.find(code_of(key)) if order.status != "created"]
    return [
        *orders.stopped(_LIST, only="parked", of=_COUNT),
        *orders.waiting(_LIST),
        *orders.stopped(_LIST, only="rejected", of=_COUNT),
    ]


def _order_views(orders: OrderStore, key: str, names: dict[str, str]) -> tuple[int, tuple[OrderView, ...]]:
    """Return how many orders are dismissed, and orders to be shown; with a key those that bear it."""
    dismissed, done = orders.dismissed(_LIST, _COUNT)
    gone = {(one.key, one.company) for one in done}
    shown = [_order(one, names, is_dismissed=(one.key, one.company) in gone) for one in _orders(orders, key)]
    return dismissed, (*shown, *(_order(one, names, is_dismissed=True) for one in ([] if key else done)))


def _letters(stores: Stores, key: str, counts: Mapping[str, int], now: datetime) -> Iterable[DeadLetter]:
    return redrive.find(stores.dead_letters, key, now) if key else _share(stores, counts)


def _letter(letter: DeadLetter) -> DeadLetterView:
    id_ = f"{letter.queue}/{letter.name}"
    return DeadLetterView(id=id_, queue=letter.queue, since=letter.since, reason=letter.reason)


def _share(stores: Stores, counts: Mapping[str, int]) -> Iterator[DeadLetter]:
    """Yield some dead letters of every queue."""
    for queue in sorted(counts):
        yield from stores.dead_letters.of_queue(queue, _LIST // len(counts))


def _companies(ctx: Context, login: LoginView) -> tuple[tuple[CompanyView, ...], Finding | None]:
    """Return the companies and whether Business Central answers; while it doesn't, the companies as they were last."""
    try:
        recently = ctx.now() - _RECENT
        found = within(_BC_LIMIT_S, lambda: ctx.companies.served(not_before=recently))
        missing = ctx.companies.unknown()
    except BCNotFound as error:
        unknown = tuple(_company(company) for company in ctx.companies.last_known())
        return unknown, bc_checks.environment_finding(ctx, error)
    except (IntegrationError, TookTooLong) as error:
        companies = tuple(_company(company) for company in ctx.companies.last_known())
        return companies, _no_answer(error, login)
    views = [_company(company) for company in found]
    views += [CompanyView(name=name, id="", error="not found: renamed, removed or misspelt") for name in missing]
    return tuple(views), fine("business_central", "Business Central answers.")


def _company(company: Company) -> CompanyView:
    return CompanyView(name=company.display_name, id=company.key)


def _no_answer(error: Exception, login: LoginView) -> Finding | None:
    if isinstance(error, BudgetExhausted) or (isinstance(error, TokenError) and not error.retryable and login.code):
        return None  # nobody asked it; a dead login has a finding of its own
    if isinstance(error, IntegrationError):
        return explain("business_central", error, "list the companies")
    seen = f"Business Central gave no answer within {_BC_LIMIT_S:g} s."
    cause = "It is slow or hangs, or all request slots are in use."
    return warning("business_central", "business_central_hangs", seen, cause, "Look again in a minute.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Queues:
    """What lies where nothing should lie for long."""

    poison: dict[str, int] | None = None  # None: the queues did not answer
    in_poison: tuple[Finding, ...] = ()
    unread: tuple[UnreadView, ...] = ()


def _queues(depth: Callable[[str], int | None], peek: Peek | None, now: datetime) -> _Queues:
    """Return the length of every poison and output queue that holds something, with its first messages."""

    def look() -> dict[str, tuple[int, Sequence[Peeked]]]:
        lengths = {queue: length for queue in (*POISON_QUEUES, *OUTPUTS) if (length := depth(queue))}
        return {queue: (length, peek(queue) if peek else ()) for queue, length in lengths.items()}

    try:
        held = within(_QUEUES_LIMIT_S, look)
    except (StoreUnavailable, TookTooLong):
        return _Queues()
    poison = {queue: length for queue, (length, _) in held.items() if queue in POISON_QUEUES}
    messages = {queue: held[queue][1] for queue in poison} if peek else {}
    return _Queues(
        poison=poison,
        in_poison=tuple(poison_findings(poison, messages, now=now)),
        unread=tuple(unread(queue, *held[queue]) for queue in OUTPUTS if queue in held),
    )


def _timer(timer: Timer, run: TimerRun | None, now: datetime) -> TimerView:
    known = run or TimerRun(function=timer.function)
    by_timer = known.by_timer_at or known.since
    return TimerView(
        function=timer.function, setting=timer.setting, schedule=timer.text, fault=timer.fault,
        is_disabled=timer.is_disabled, started_at=known.started_at, by_timer_at=known.by_timer_at,
        next_due=None if timer.is_disabled or timer.fault else timer.schedule.after(now),
        is_overdue=by_timer is not None and timer.is_overdue(by_timer, now),
    )  # fmt: skip


def _stream(state: StreamState, names: dict[str, str], timers: Sequence[Timer], now: datetime) -> StreamView:
    running = bool(state.run) and state.ended_at is None
    word = "failed" if state.error else "running" if running else "ok" if state.done_at else "waiting"
    error = state.error
    if state.unreadable and not error:
        error = f"{state.unreadable} records can't be read for now; the log names them (record.broken)"
    return StreamView(
        company=names.get(state.stream.company, state.stream.company),
        entity=state.stream.entity,
        purpose=state.stream.purpose,
        state=word,
        watermark=state.watermark and replica_lag.shown_until(state.watermark, state, now),
        lag_seen_at=state.lag_at if replica_lag.is_seen(state, now) else None,
        last_run=state.done_at,
        late_after=None if state.done_at is None else _late_after(state.stream.purpose, state.done_at, timers),
        error=error,
    )


def _late_after(purpose: str, done_at: datetime, timers: Sequence[Timer]) -> datetime | None:
    """Return when a stream counts as late: its timer was due twice since, and a run has had the time to end."""
    if purpose == "replay":
        return None  # a person starts it
    function = "pull_items" if purpose == "pull" else "reconcile"
    timer = next((timer for timer in timers if timer.function == function), None)
    if timer is None or timer.is_disabled:
        return None
    planned = done_at if purpose != "snapshot" else done_at + _SNAPSHOT_EVERY
    return timer.second_due(planned) + RUN_TIME if planned.year < 9000 else None


def _subscription(now: datetime, note: WebhookNote, names: dict[str, str]) -> SubscriptionView:
    lost = note.status == "active" and note.expires_at is not None and note.expires_at < now
    word = "lost" if lost else "ok" if note.status == "active" else note.status
    return SubscriptionView(
        company=names.get(note.company, note.company),
        entity=note.entity,
        state=word,
        expires_at=note.expires_at,
        error=note.error,
    )


def _order(order: OrderEntry, names: dict[str, str], *, is_dismissed: bool = False) -> OrderView:
    is_over = order.status in {"parked", "rejected"}
    return OrderView(
        key=order.shown_key, company=names.get(order.company, order.company), company_id=order.company,
        state=order.status, attempts=order.attempts, since=order.first_at, code=order.error_code,
        reason=in_plain_words(order.error),
        cause=cause_of(order) if is_over else "", no_redrive=why_no_redrive(order) if is_over else "",
        is_dismissed=is_dismissed,
    )  # fmt: skip


def order_story(orders: OrderStore, key: str) -> list[dict[str, Any]]:
    """Return what is known of an order key, in whatever company; empty when it was never seen."""
    return [
        {
            "connection": orders.connection,
            "orderKey": entry.shown_key,
            "company": entry.company,
            "status": entry.status,
            "id": entry.order_id,
            "number": entry.number,
            "externalDocumentNumber": entry.external_number,
            "attempts": entry.attempts,
            "firstSeen": entry.first_at,
            "lastPost": entry.posted_at,
            "outcomeUnknown": entry.unknown,
            "nextTry": entry.next_try_at,
            "isErased": entry.is_erased,
            "error": {"code": entry.error_code, "message": entry.error} if entry.error else None,
            "correlationId": entry.correlation_id,
        }
        for entry in orders.find(code_of(key))
    ]
