"""Posts sales orders, each once, and says what became of every one.

An order key has one row, moved by ETag. A post is noted before it is sent; if its outcome is not known afterwards
(time-out, reset, 5xx, a crash), the order is looked up by its external document number before anything is repeated,
and repeated only once Business Central can no longer be working on it.
"""

import json
import logging
from dataclasses import replace
from datetime import timedelta
from typing import Final

from shared.business_central.port import PostedOrder
from shared.connections.context import Context
from shared.errors import (
    BCConflict,
    BCDenied,
    BCError,
    BCRejected,
    BCThrottled,
    BCUnavailable,
    BudgetExhausted,
    IntegrationError,
    InvalidMessage,
    StateConflict,
    TokenError,
)
from shared.log import log_event
from shared.orders import order_message as rules
from shared.orders.order_message import OrderRequest
from shared.orders.order_store import LEASE_S, OrderEntry, OrderStore
from shared.outputs import Outputs
from shared.resource_names import QUEUE_ORDERS

log: Final = logging.getLogger(__name__)

#: Waits for another worker that holds the same order, before the queue is left to wait (30 s a time).
_PAUSES_S: Final = (0.5, 1.0, 2.0, 4.0)
#: How long after its time an order whose last post may have succeeded is still looked up.
_LAST_LOOK: Final = timedelta(hours=2)
#: Orders put back to work by one run of the timer.
_BATCH: Final = 200
#: Codes of errors that AL code raised: in a look-up it stumbled over some document, which says nothing of the order.
_AL_ERROR: Final = "Application_"
#: A queue message for an order that was put back may be lost on the way; then it is put back again after this.
_REQUEUE: Final = timedelta(minutes=15)
#: Five deliveries to workers that die, each for as long as a message is hidden, with room to spare.
_POISONED_WITHIN: Final = timedelta(hours=2)


def submit(ctx: Context, orders: OrderStore, text: str, message_id: str) -> Outputs:
    """Do one message of the queue `sales-orders`.

    Raises:
        StateConflict: another worker holds this very order for long; the queue delivers the message again.
        StoreUnavailable: the state store did not answer.
    """
    again = _reference(text)
    for pause_s in (*_PAUSES_S, None):
        try:
            return (
                _submit_again(ctx, orders, again, message_id) if again else _submit(ctx, orders, text, message_id, None)
            )
        except StateConflict:
            if pause_s is None:
                raise
            ctx.sleep(pause_s)  # two messages with one key: the other is done in a second or so
    raise AssertionError  # the loop returns or raises


def reference(entry: OrderEntry) -> str:
    """Return the queue message that puts a stored order back to work."""
    return json.dumps({"again": {"orderKey": entry.key, "company": entry.company}})


def _reference(text: str) -> tuple[str, str] | None:
    try:
        again = json.loads(text)["again"]
        return str(again["orderKey"]), str(again["company"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _submit_again(ctx: Context, orders: OrderStore, again: tuple[str, str], message_id: str) -> Outputs:
    entry = orders.load(*again) or _moved(orders, again[0], message_id)
    if entry is None and not again[1] and orders.find(again[0]):
        return Outputs()  # it waited without a company, has one now and goes on there
    if entry is None:
        fault = "again: no such order is on file"
        return _result(again[0], again[1], "rejected", code="InvalidMessage", error=fault)
    if entry.status == "created":
        return _outcome(entry) if entry.reported_to in {"", message_id} else Outputs()
    return _submit(ctx, orders, entry.message.decode(errors="replace"), message_id, entry)


def _moved(orders: OrderStore, key: str, message_id: str) -> OrderEntry | None:
    """Return the entry that an earlier delivery of this message moved from "no company" to its company."""
    return next((entry for entry in orders.find(key) if message_id in {entry.worker, entry.reported_to}), None)


def _submit(ctx: Context, orders: OrderStore, text: str, message_id: str, held: OrderEntry | None) -> Outputs:
    try:
        request = rules.parse_message(text, message_id=held.key if held else message_id)
    except InvalidMessage as error:
        key = held.key if held else rules.message_key(text, message_id)
        return _reject_unreadable(ctx, orders, key, text, message_id, error.faults, held)
    try:
        company = ctx.companies.find(request.company)
    except (BCError, TokenError, BudgetExhausted) as error:
        return _wait_unplaced(ctx, orders, request, text, message_id, error, held)
    if company is None:
        known = ", ".join(company.name for company in ctx.companies.served())
        rule = f"must be the id or name of one of: {known}" if request.company else "is required: several are connected"
        return _reject_unreadable(ctx, orders, request.key, text, message_id, [f"company: {rule}"], held)
    outgoing = _place(ctx, orders, request, company.key, text, message_id)
    if held is not None and held.company != company.key:
        orders.forget(held)  # it waited without a company and has one now
    return outgoing


def _place(
    ctx: Context, orders: OrderStore, request: OrderRequest, company: str, text: str, message_id: str
) -> Outputs:
    entry = orders.load(request.key, company)
    if entry is not None:
        if entry.status != "rejected" and entry.digest and entry.digest != request.digest:
            fault = "orderKey: was used for another order before; a new order needs a key of its own"
            return _result(request.key, company, "rejected", code="InvalidMessage", error=fault)
        if entry.status == "created":
            return _outcome(entry)
        if entry.status in {"rejected", "parked"} and entry.reported_to == message_id:
            return _outcome(entry)  # delivered again after the result was written
        if entry.lease_until and entry.lease_until > ctx.now() and entry.worker != message_id:
            raise StateConflict("another worker holds this order")
    now = ctx.now()
    entry = replace(
        entry or OrderEntry(key=request.key, company=company, status="posting", message=b"", first_at=now),
        message=text.encode(), digest=request.digest, external_number=request.external_number,
        worker=message_id, lease_until=now + timedelta(seconds=LEASE_S),
    )  # fmt: skip
    if entry.status in {"rejected", "parked"}:  # a person, or the sender, tries it anew
        entry = replace(entry, first_at=now, waits=0)
    if entry.first_at is None:
        entry = replace(entry, first_at=now)
    return _post(ctx, orders, request, entry)


def _post(ctx: Context, orders: OrderStore, request: OrderRequest, entry: OrderEntry) -> Outputs:
    """Look up, post, note; in this order, so that a crash anywhere leaves a row that tells what to do."""
    in_doubt = (entry.status == "posting" and entry.posted_at is not None) or entry.unknown
    try:
        found = ctx.bc.find_orders(
            entry.company, entry.external_number, customer_number=request.customer_number,
            customer_id=request.customer_id, since=(entry.first_at or ctx.now()) - timedelta(days=1),
            also_posted=in_doubt or not request.key_is_external,
        )  # fmt: skip
    except (BCError, TokenError, BudgetExhausted) as error:
        if isinstance(error, BCRejected) and not in_doubt and not error.code.startswith(_AL_ERROR):
            return _reject(orders, entry, error)  # the order names something that BC can't even look for
        return _wait(ctx, orders, replace(entry, unknown=in_doubt), error)
    before = set(entry.before.split("\n")) if in_doubt else set()
    if not in_doubt and not request.key_is_external:
        entry = replace(entry, before="\n".join(order.number for order in found))
        found = []
    ours = [order for order in found if order.number not in before]
    if ours:
        return _created(orders, entry, ours[0])
    if in_doubt and entry.posted_at is not None and ctx.now() < entry.posted_at + rules.SETTLE:
        doubt = BCUnavailable("the outcome of the last post is not known yet", code="outcome_unknown")
        return _wait(ctx, orders, replace(entry, unknown=True), doubt)
    if in_doubt and _is_patience_over(ctx, entry):  # looked up for the last time; another post would leave a new doubt
        none = BCUnavailable("the last post made no order", code=entry.error_code or "outcome_unknown")
        return _wait(ctx, orders, replace(entry, unknown=False), none)
    entry = orders.save(
        replace(
            entry, status="posting", posted_at=ctx.now(), attempts=entry.attempts + 1, unknown=False, next_try_at=None
        )
    )
    try:
        made = ctx.bc.create_order(entry.company, request.body)
    except BCError as error:
        if isinstance(error, BCUnavailable):
            return _wait(ctx, orders, replace(entry, unknown=True), error)
        if isinstance(error, BCThrottled | BCDenied | BCConflict):
            return _wait(ctx, orders, entry, error)
        return _reject(orders, entry, error)
    except (TokenError, BudgetExhausted) as error:  # nothing was sent
        return _wait(ctx, orders, entry, error)
    return _created(orders, entry, made)


def _created(orders: OrderStore, entry: OrderEntry, made: PostedOrder) -> Outputs:
    entry = orders.save(
        replace(
            _done(entry), status="created", order_id=made.order_id, number=made.number, unknown=False, error="",
            error_code="", correlation_id="",
        )
    )  # fmt: skip
    log_event(
        log, "order.created", order_key=entry.key, company=entry.company, order_number=entry.number,
        attempts=entry.attempts,
    )  # fmt: skip
    return _outcome(entry)


def _reject(orders: OrderStore, entry: OrderEntry, error: BCError) -> Outputs:
    entry = orders.save(
        replace(
            _done(entry), status="rejected", unknown=False, error=error.message[:1000], error_code=error.code,
            correlation_id=error.correlation_id,
        )
    )  # fmt: skip
    log_event(
        log, "order.rejected", level=logging.WARNING, order_key=entry.key, company=entry.company,
        bc_code=error.code, bc_correlation_id=error.correlation_id, reason=error.message,
    )  # fmt: skip
    return _outcome(entry)


def _wait(ctx: Context, orders: OrderStore, entry: OrderEntry, error: IntegrationError) -> Outputs:
    """Wait for a transient fault to pass, at most 72 hours; then park the order for a person."""
    code = error.code if isinstance(error, BCError | TokenError) else type(error).__name__
    correlation_id = error.correlation_id if isinstance(error, BCError) else ""
    entry = replace(entry, error=str(error)[:1000], error_code=code, correlation_id=correlation_id)
    now = ctx.now()
    # What may be in BC is looked up once more before, unless BC does not even answer that.
    if _is_patience_over(ctx, entry) and (not entry.unknown or _is_patience_over(ctx, entry, _LAST_LOOK)):
        entry = orders.save(replace(_done(entry), status="parked"))
        log_event(
            log, "order.parked", level=logging.ERROR, order_key=entry.key, company=entry.company, bc_code=code,
            attempts=entry.attempts, reason=str(error),
        )  # fmt: skip
        return _outcome(entry)
    entry = replace(entry, waits=entry.waits + 1)
    pause = rules.delay(entry.waits)
    if isinstance(error, BCError) and error.retry_after_s is not None:
        pause = max(pause, timedelta(seconds=error.retry_after_s))
    entry = orders.save(replace(entry, status="waiting", next_try_at=now + pause, worker="", lease_until=None))
    log_event(
        log, "order.waiting", order_key=entry.key, company=entry.company, bc_code=code, attempts=entry.attempts,
        next_try_at=entry.next_try_at, reason=str(error),
    )  # fmt: skip
    return Outputs()


def _is_patience_over(ctx: Context, entry: OrderEntry, more: timedelta = timedelta()) -> bool:
    return ctx.now() >= (entry.first_at or ctx.now()) + rules.PATIENCE + more


def _wait_unplaced(
    ctx: Context,
    orders: OrderStore,
    request: OrderRequest,
    text: str,
    message_id: str,
    error: IntegrationError,
    held: OrderEntry | None,
) -> Outputs:
    """Keep an order whose company can't be told for now, under no company."""
    entry = held or orders.load(request.key, "")
    if entry is not None and entry.digest and entry.digest != request.digest:
        raise error  # two orders under one key before either is placed: the queue keeps the second for now
    entry = entry or OrderEntry(key=request.key, company="", status="waiting", message=b"", first_at=ctx.now())
    entry = replace(entry, message=text.encode(), digest=request.digest, worker=message_id)
    return _wait(ctx, orders, entry, error)


def _reject_unreadable(
    ctx: Context, orders: OrderStore, key: str, text: str, message_id: str, faults: list[str], held: OrderEntry | None
) -> Outputs:
    """Refuse a message without asking BC; the original is kept for a redrive under its key and no company."""
    entry = held or orders.load(key, "") or OrderEntry(key=key, company="", status="rejected", message=b"")
    entry = orders.save(
        replace(
            _done(replace(entry, worker=message_id)), status="rejected", message=text.encode()[:60_000],
            first_at=entry.first_at or ctx.now(), error="; ".join(faults)[:1000], error_code="InvalidMessage",
        )
    )  # fmt: skip
    log_event(log, "order.rejected", level=logging.WARNING, order_key=key, reason=entry.error)
    return _outcome(entry)


def _done(entry: OrderEntry) -> OrderEntry:
    return replace(entry, reported_to=entry.worker, worker="", lease_until=None, next_try_at=None)


def _outcome(entry: OrderEntry) -> Outputs:
    return _result(
        entry.key, entry.company, entry.status, order_id=entry.order_id, number=entry.number, code=entry.error_code,
        error=entry.error, correlation_id=entry.correlation_id, attempts=entry.attempts,
    )  # fmt: skip


def _result(
    key: str, company: str, status: str, *, order_id: str = "", number: str = "", code: str = "", error: str = "",
    correlation_id: str = "", attempts: int = 0,
) -> Outputs:  # fmt: skip
    message = {
        "orderKey": key, "status": status, "company": company, "id": order_id, "number": number,
        "error": {"code": code, "message": error} if code or error else None,
        "correlationId": correlation_id, "attempts": attempts,
    }  # fmt: skip
    return Outputs(results=(json.dumps(message),))


def retry_due(ctx: Context, orders: OrderStore) -> Outputs:
    """Put orders back to work whose time has come; each is noted first, and comes again if its message is lost."""
    now = ctx.now()
    messages: list[str] = []
    for key, company in orders.due(now, _BATCH):
        entry = orders.load(key, company)
        if entry is None or entry.status != "waiting":
            continue
        try:
            entry = orders.save(replace(entry, next_try_at=now + _REQUEUE))
        except StateConflict:
            continue  # somebody is at it
        messages.append(reference(entry))
    return Outputs(orders=tuple(messages))


def redrive(orders: OrderStore, key: str) -> tuple[bool, Outputs]:
    """Put a rejected or parked order back to work by hand; (False, nothing) when there is no such order.

    An order that was created, or waits anyway, stays as it is.
    """
    entries = orders.find(key.strip().upper())
    messages = []
    for entry in entries:
        if entry.status in {"rejected", "parked"}:
            messages.append(reference(entry))
            log_event(log, "order.redriven", order_key=entry.key, company=entry.company)
    return bool(entries), Outputs(orders=tuple(messages))


def first_id(ctx: Context, orders: OrderStore, text: str, message_id: str) -> str:
    """Return the id under which a poison message was worked on: the host moves it under a new one.

    It matters only to an order that has no key but its message's id, and is then found by its very text.
    """
    if _reference(text) or rules.message_key(text, message_id) != message_id.upper():
        return message_id
    entry = orders.by_message(text.encode(), ctx.now() - _POISONED_WITHIN)
    return entry.key if entry else message_id


def note_poison(ctx: Context, orders: OrderStore, text: str, message_id: str) -> bool:
    """Take over an order message that killed its worker too often: it waits and is looked up before the next post.

    False when the message holds no order: then it is set aside as it is.
    """
    try:
        again = _reference(text)
        key = again[0] if again else rules.parse_message(text, message_id=message_id).key
    except InvalidMessage:
        return False
    entries = [entry for entry in orders.find(key) if entry.status in {"posting", "waiting"}]
    for entry in entries:
        error = BCUnavailable(f"the message failed too often on queue {QUEUE_ORDERS}", code="poison")
        _wait(ctx, orders, replace(entry, unknown=entry.unknown or entry.posted_at is not None), error)
    return bool(entries)
