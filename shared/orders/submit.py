"""Posts sales orders, each once, and answers every message with a result.

An order key has one row, moved by ETag. A post is noted before it is sent; if its outcome is not known afterwards
(time-out, reset, 5xx, a crash), the order is looked up by its external document number before anything is repeated,
and repeated only once BC can no longer be working on it. `next_step` decides, this module carries out.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from shared.business_central.port import Company, PostedOrder
from shared.connections.context import Context
from shared.errors import (
    BCError,
    BudgetExhausted,
    IntegrationError,
    InvalidMessage,
    StateConflict,
    TokenError,
)
from shared.log import log_event
from shared.orders import next_step
from shared.orders.next_step import Adopt, Found, Park, Post, Reject, Step, Wait
from shared.orders.order_entry import OrderEntry
from shared.orders.order_message import OrderRequest, message_key, parse_message
from shared.orders.order_result import outcome, refusal
from shared.orders.order_store import LEASE_S, OrderStore
from shared.outputs import Outputs

log: Final = logging.getLogger(__name__)

#: Pauses for another worker that holds the same order, before the queue is left to wait (30 s a time).
_PAUSES_S: Final = (0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery of a message, and the stored order that it puts back to work, if it does."""

    text: str
    message_id: str
    held: OrderEntry | None = None


def submit(ctx: Context, orders: OrderStore, text: str, message_id: str) -> Outputs:
    """Do one new message of the queue `sales-orders`.

    Raises:
        StateConflict: another worker holds this very order for long; the queue delivers the message again.
        StoreUnavailable: the state store did not answer.
    """
    return patiently(ctx, lambda: take(ctx, orders, Delivery(text, message_id)))


def patiently(ctx: Context, work: Callable[[], Outputs]) -> Outputs:
    """Do something, and once more when another worker moved the same order: that one is done in a second or so."""
    for pause_s in _PAUSES_S:
        try:
            return work()
        except StateConflict:
            ctx.sleep(pause_s)
    return work()


def take(ctx: Context, orders: OrderStore, delivery: Delivery) -> Outputs:
    """Read a message, find its company, and do what is next for its order."""
    held, text = delivery.held, delivery.text
    try:
        request = parse_message(text, message_id=held.key if held else delivery.message_id)
    except InvalidMessage as error:
        key = held.key if held else message_key(text, delivery.message_id)
        return _reject_unread(ctx, orders, key, delivery, error.faults)
    try:
        company = ctx.companies.find(request.company)
        if company is None:
            return _reject_unread(ctx, orders, request.key, delivery, [_company_rule(ctx, request.company)])
    except (BCError, TokenError, BudgetExhausted) as error:
        return _wait_unplaced(ctx, orders, request, delivery, error)
    return _take_placed(ctx, orders, request, company, delivery)


def _company_rule(ctx: Context, name: str) -> str:
    known = ", ".join(company.name for company in ctx.companies.served())
    return "company: " + (
        f"must be the id or name of one of: {known}" if name else "is required: several are connected"
    )


def _take_placed(
    ctx: Context, orders: OrderStore, request: OrderRequest, company: Company, delivery: Delivery
) -> Outputs:
    held = delivery.held
    entry = orders.load(request.key, company.key)
    answer = None if entry is None else _known(ctx, entry, request, delivery.message_id)
    outgoing = answer or _go_on(ctx, orders, request, _held(ctx, entry, request, company.key, delivery))
    if held is not None and held.company != company.key:
        orders.forget(held)  # it waited without a company and has one now
    return outgoing


def _known(ctx: Context, entry: OrderEntry, request: OrderRequest, message_id: str) -> Outputs | None:
    """Return the answer to a message whose order needs no work; None when it does.

    Raises:
        StateConflict: another worker holds the order.
    """
    if entry.status != "rejected" and entry.digest and entry.digest != request.digest:
        fault = "orderKey: was used for another order before; a new order needs a key of its own"
        return refusal(request.key, entry.company, fault)
    if entry.status == "created":
        return outcome(entry)
    if entry.status in {"rejected", "parked"} and entry.reported_to == message_id:
        return outcome(entry)  # delivered again after the result was written
    if entry.lease_until and entry.lease_until > ctx.now() and entry.worker != message_id:
        raise StateConflict("another worker holds this order")
    return None


def _held(
    ctx: Context, entry: OrderEntry | None, request: OrderRequest, company: str, delivery: Delivery
) -> OrderEntry:
    """Return the entry as held by this worker."""
    now = ctx.now()
    entry = entry or OrderEntry(key=request.key, company=company, status="posting", message=b"")
    if entry.status in {"rejected", "parked"}:  # a person, or the sender, tries it anew
        entry = replace(entry, first_at=now, waits=0)
    return replace(
        entry, first_at=entry.first_at or now, message=delivery.text.encode(), digest=request.digest,
        external_number=request.external_number, worker=delivery.message_id,
        lease_until=now + timedelta(seconds=LEASE_S),
    )  # fmt: skip


def _go_on(ctx: Context, orders: OrderStore, request: OrderRequest, entry: OrderEntry) -> Outputs:
    """Look up, post, note; in this order, so that a crash anywhere leaves a row that says what to do."""
    found = _look_up(ctx, request, entry)
    step = next_step.after_look_up(entry, found, ctx.now(), shared=not request.key_is_external)
    if not isinstance(step, Post):
        return carry_out(orders, entry, step)
    entry = orders.save(
        replace(
            entry, status="posting", posted_at=ctx.now(), attempts=entry.attempts + 1, unknown=False,
            next_try_at=None, before="\n".join(step.before),
        )
    )  # fmt: skip
    answer = _post(ctx, request, entry.company)
    return carry_out(orders, entry, next_step.after_post(entry, answer, ctx.now()))


def _look_up(ctx: Context, request: OrderRequest, entry: OrderEntry) -> Found:
    try:
        return ctx.bc.find_orders(
            entry.company, entry.external_number, customer_number=request.customer_number,
            customer_id=request.customer_id, since=(entry.first_at or ctx.now()) - timedelta(days=1),
            also_posted=entry.in_doubt or not request.key_is_external,
        )  # fmt: skip
    except (BCError, TokenError, BudgetExhausted) as error:
        return error


def _post(ctx: Context, request: OrderRequest, company: str) -> PostedOrder | IntegrationError:
    try:
        return ctx.bc.create_order(company, request.body)
    except (BCError, TokenError, BudgetExhausted) as error:
        return error


def carry_out(orders: OrderStore, entry: OrderEntry, step: Step) -> Outputs:
    """Note a step in the order's row and return what it sends out."""
    match step:
        case Adopt(document):
            entry = replace(entry, order_id=document.order_id, number=document.number)
            return _end(orders, replace(entry, status="created", unknown=False), None)
        case Reject(error):
            return _end(orders, replace(entry, status="rejected", unknown=False), error)
        case Park(error, unknown):
            return _end(orders, replace(entry, status="parked", unknown=unknown), error)
        case Wait(error, unknown, until):
            entry = replace(
                _with_fault(entry, error), status="waiting", unknown=unknown, waits=entry.waits + 1, next_try_at=until,
                worker="", lease_until=None,
            )  # fmt: skip
            entry = orders.save(entry)
            log_event(
                log, "order.waiting", order_key=entry.key, company=entry.company, bc_code=entry.error_code,
                attempts=entry.attempts, next_try_at=entry.next_try_at, reason=entry.error,
            )  # fmt: skip
            return Outputs()
        case Post():
            raise AssertionError("a post is carried out by _go_on")


_LEVELS: Final = {"created": logging.INFO, "rejected": logging.WARNING, "parked": logging.ERROR}


def _end(orders: OrderStore, entry: OrderEntry, error: IntegrationError | None) -> Outputs:
    """Store an order's last state and answer its sender."""
    entry = orders.save(
        replace(
            _with_fault(entry, error), reported_to=entry.worker, worker="", lease_until=None, next_try_at=None,
        )
    )  # fmt: skip
    log_event(
        log, f"order.{entry.status}", level=_LEVELS[entry.status], order_key=entry.key, company=entry.company,
        order_number=entry.number, bc_code=entry.error_code, bc_correlation_id=entry.correlation_id,
        attempts=entry.attempts, reason=entry.error,
    )  # fmt: skip
    return outcome(entry)


def _with_fault(entry: OrderEntry, error: IntegrationError | None) -> OrderEntry:
    if isinstance(error, BCError):
        # A refusal is reported in BC's own words; what waits or is parked says the status as well.
        said = error.message if entry.status == "rejected" else str(error)
        return replace(
            entry, error=said[:1000], error_code=error.code, correlation_id=error.correlation_id,
        )  # fmt: skip
    if error is None:
        return replace(entry, error="", error_code="", correlation_id="")
    code = error.code if isinstance(error, TokenError) else type(error).__name__
    return replace(entry, error=str(error)[:1000], error_code=code, correlation_id="")


def _wait_unplaced(
    ctx: Context, orders: OrderStore, request: OrderRequest, delivery: Delivery, error: IntegrationError
) -> Outputs:
    """Keep an order whose company can't be found for now, under no company."""
    entry = delivery.held or orders.load(request.key, "")
    if entry is not None and entry.digest and entry.digest != request.digest:
        raise error  # two orders under one key before either is placed: the queue keeps the second for now
    entry = entry or OrderEntry(key=request.key, company="", status="waiting", message=b"", first_at=ctx.now())
    entry = replace(entry, message=delivery.text.encode(), digest=request.digest, worker=delivery.message_id)
    return carry_out(orders, entry, next_step.wait_or_park(entry, error, ctx.now(), unknown=entry.unknown))


def _reject_unread(ctx: Context, orders: OrderStore, key: str, delivery: Delivery, faults: list[str]) -> Outputs:
    """Refuse a message without asking BC; the original is kept for a redrive under its key and no company."""
    entry = delivery.held or orders.load(key, "") or OrderEntry(key=key, company="", status="rejected", message=b"")
    entry = replace(
        entry, status="rejected", worker=delivery.message_id, message=delivery.text.encode()[:60_000],
        first_at=entry.first_at or ctx.now(),
    )  # fmt: skip
    return _end(orders, entry, InvalidMessage(faults))
