"""What an operator asks: the state of everything in one look, and the story of one order."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from shared.business_central.code_text import code_of
from shared.business_central.entities import ENTITIES
from shared.changes.streams import StreamState
from shared.connections.context import Context
from shared.errors import IntegrationError
from shared.operations.status_view import (
    CompanyView,
    DeadLetterView,
    LoginView,
    OrderView,
    StatusView,
    StreamView,
    SubscriptionView,
    describe_trigger,
)
from shared.operations.stores import Stores
from shared.operations.view_findings import findings
from shared.orders.order_entry import OrderEntry
from shared.orders.order_store import OrderStore
from shared.webhooks.notes import WebhookNote

_LIST = 100  # orders and messages shown by name
_COUNT = 10_000  # orders counted at most


def view(ctx: Context, stores: Stores, login: LoginView) -> StatusView:
    """Gather the state; what BC can't tell right now is shown as such and hides nothing else."""
    settings = ctx.settings
    names, companies = _companies(ctx)
    counts = stores.orders.counts(_COUNT)
    listed = [*stores.orders.stopped(_LIST), *stores.orders.waiting(_LIST)]
    gathered = StatusView(
        at=ctx.now(),
        environment=settings.environment,
        login=login,
        companies=companies,
        triggers=tuple(
            describe_trigger(ENTITIES[name], expanded=ctx.expands(ENTITIES[name]), changes=settings.changes)
            for name in settings.triggers
        ),
        streams=tuple(_stream(state, names) for state in stores.changes.streams.all()),
        subscriptions=tuple(_subscription(ctx.now(), note, names) for note in stores.notes.all()),
        orders_waiting=counts["waiting"],
        orders_parked=counts["parked"],
        orders_rejected=counts["rejected"],
        orders=tuple(_order(order, names) for order in listed[:_LIST]),
        dead_letters=tuple(
            DeadLetterView(id=f"{m.queue}/{m.name}", queue=m.queue, since=m.since, reason=m.reason)
            for m in stores.dead_letters.all(_LIST)
        ),
    )
    return replace(gathered, findings=findings(gathered))


def _companies(ctx: Context) -> tuple[dict[str, str], tuple[CompanyView, ...]]:
    try:
        found = ctx.companies.served()
        missing = ctx.companies.unknown()
    except IntegrationError as error:
        return {}, tuple(CompanyView(name=name, id="", error=str(error)) for name in ctx.settings.companies)
    names = {company.key: company.name for company in found}
    views = [CompanyView(name=company.display_name, id=company.key) for company in found]
    views += [CompanyView(name=name, id="", error="not found: renamed, removed or misspelt") for name in missing]
    return names, tuple(views)


def _stream(state: StreamState, names: dict[str, str]) -> StreamView:
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
        watermark=state.watermark,
        last_run=state.done_at,
        error=error,
    )


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


def _order(order: OrderEntry, names: dict[str, str]) -> OrderView:
    return OrderView(
        key=order.key,
        company=names.get(order.company, order.company),
        state=order.status,
        attempts=order.attempts,
        since=order.first_at,
        code=order.error_code,
    )


def order_story(orders: OrderStore, key: str) -> list[dict[str, Any]]:
    """Return what is known of an order key, in whatever company; empty when it was never seen."""
    return [
        {
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
            "error": {"code": entry.error_code, "message": entry.error} if entry.error else None,
            "correlationId": entry.correlation_id,
        }
        for entry in orders.find(code_of(key))
    ]
