"""Posts sales orders, each once, and answers every message with a result.

An order key has one row, moved by ETag. A post is noted before it is sent; if its outcome is not known afterwards
(time-out, reset, 5xx, a crash), the order is looked up by its external document number before anything is repeated,
and repeated only once BC can no longer be working on it. `next_step` decides, this module carries out.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from shared.business_central.code_text import code_of
from shared.business_central.port import PostedOrder
from shared.connections.context import Context
from shared.errors import (
    BCError,
    BCRejected,
    BudgetExhausted,
    IntegrationError,
    InvalidMessage,
    StateConflict,
    TokenError,
)
from shared.log import log_event
from shared.message_text import decode
from shared.orders import likeness, next_step
from shared.orders.next_step import Adopt, Park, Post, Reject, Step, Wait
from shared.orders.order_contents import is_same_order
from shared.orders.order_entry import OrderEntry, Sender, company_of
from shared.orders.order_look_up import look_up
from shared.orders.order_message import OrderRequest, connection_fault, parse_message, sent_key_of
from shared.orders.order_result import answer, outcome, refusal
from shared.orders.order_rows import is_too_long
from shared.orders.order_store import LEASE_S, Held, OrderStore
from shared.outputs import Outputs

log: Final = logging.getLogger(__name__)

#: Pauses for another worker that moved the same order, before the queue is left to wait (30 s a time).
_PAUSES_S: Final = (0.5, 1.0, 2.0, 4.0)
#: Bytes of a refused message that are kept: what a table property holds, and the longest message there is.
_KEPT: Final = 65_536
_OTHER_ORDER: Final = "orderKey: was used for another order before; a new order needs a key of its own"
_TOO_MANY: Final = "orderKey: more messages of this key await its outcome than can be kept"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery of a message, and the stored order that it resumes, if it does."""

    body: bytes
    message_id: str
    held: OrderEntry | None = None

    def senders(self, request: OrderRequest) -> tuple[Sender, ...]:
        """Return the messages that await a result: this one, or those of the stored order."""
        if self.held is None:
            return (Sender(self.message_id, request.sent_key),)
        return self.held.senders or (Sender("", self.held.key),)


def submit(ctx: Context, orders: OrderStore, body: bytes, message_id: str) -> Outputs:
    """Do one new message of the queue `sales-orders`.

    Raises:
        StateConflict: other workers kept moving this very order; the queue delivers the message again.
        StoreUnavailable: the state store did not answer.
    """
    return patiently(ctx, lambda: take(ctx, orders, Delivery(body, message_id)))


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
    held, stored = delivery.held, list[OrderEntry]()
    try:
        request = _read(ctx, delivery)
        stored = [held] if held is not None else orders.find(request.key)
        company = company_of(stored, delivery.message_id, held) or _company(ctx, request)
    except InvalidMessage as error:
        return _reject_unread(ctx, orders, delivery, error)
    except (BCError, TokenError, BudgetExhausted) as error:
        return _wait_unplaced(ctx, orders, request, delivery, error)
    if held is not None and not held.company:
        return _place(ctx, orders, request, company, delivery, held)
    entry = next((one for one in stored if one.company == company), None)
    done = None if entry is None else _known(ctx, orders, entry, request, delivery)
    if done is not None:
        return done
    return _go_on(ctx, orders, request, _taken(ctx, entry or _first(ctx, orders, request, company), request, delivery))


def _place(
    ctx: Context, orders: OrderStore, request: OrderRequest, company: str, delivery: Delivery, held: OrderEntry
) -> Outputs:
    """Go on with an order that waited without a company and has one now.

    The write by which its company's row takes its messages over removes the row they had; results are written after
    this function has returned, so that until then one of the two says what to answer.
    """
    entry = orders.load(request.key, company) or _first(ctx, orders, request, company, held)
    more = replace(entry, left=held).joined_by(*delivery.senders(request))
    if fault := _misfit(entry, request, more):
        ended = replace(held, status="rejected", unknown=False, worker=delivery.message_id)
        return _end(orders, ended, InvalidMessage([fault]))
    if entry.status == "created":
        orders.join(replace(more, worker=delivery.message_id))
        # The resume that brought messages before may not have answered them yet, and is not known any more.
        return answer(orders.connection, more, more.senders if entry.worker else delivery.senders(request))
    if entry.status == "waiting" or _is_busy(entry, delivery.message_id, ctx.now()):
        orders.save(more)
        return Outputs()
    return _go_on(ctx, orders, request, _taken(ctx, replace(entry, left=held), request, delivery))


def _misfit(entry: OrderEntry, request: OrderRequest, more: OrderEntry) -> str:
    """Return why an order's row can't take a message over, "" when it can; `more`: the row with it."""
    if entry.status != "rejected" and not is_same_order(entry, request):
        return _OTHER_ORDER
    return _TOO_MANY if is_too_long(more) else ""


def _read(ctx: Context, delivery: Delivery) -> OrderRequest:
    held = delivery.held
    was_taken = held is not None and bool(held.content or held.digest)
    name = held.shown_key if held is not None else delivery.message_id
    request = parse_message(decode(delivery.body), message_id=name, is_checked=was_taken)
    fault = "" if was_taken else connection_fault(request.connection, ctx.settings.id, ctx.settings.ids)
    if fault:
        raise InvalidMessage([f"connection: {fault}"])
    return request


def _company(ctx: Context, request: OrderRequest) -> str:
    """Return the id of the company that a message means.

    Raises:
        InvalidMessage: it means none, or more than one.
        BCError, TokenError, BudgetExhausted: the companies can't be listed for now.
    """
    found = ctx.companies.named(request.company)
    if len(found) == 1:
        return found[0].key
    if not request.company:
        rule = "is required: several are connected"
    elif found:
        rule = f"is the display name of several companies; send the id: {' or '.join(one.key for one in found)}"
    else:
        rule = f"must be the id or name of one of: {', '.join(one.name for one in ctx.companies.served())}"
    raise InvalidMessage([f"company: {rule}"])


def _known(
    ctx: Context, orders: OrderStore, entry: OrderEntry, request: OrderRequest, delivery: Delivery
) -> Outputs | None:
    """Return the answer to a message whose order needs no work now; None when it does."""
    if entry.is_over and entry.reported_to == delivery.message_id:
        return outcome(orders.connection, entry)  # delivered again after the results were written
    if entry.is_over and delivery.held is None and delivery.message_id in {one.message_id for one in entry.senders}:
        return answer(orders.connection, entry, delivery.senders(request))  # a resume has answered it meanwhile
    is_busy = _is_busy(entry, delivery.message_id, ctx.now())
    if entry is delivery.held:
        # whoever holds it goes on, or its message comes back
        return Outputs() if is_busy or entry.status == "created" else None
    return _answered(orders, entry, request, delivery.senders(request), is_busy=is_busy)


def _answered(
    orders: OrderStore, entry: OrderEntry, request: OrderRequest, senders: tuple[Sender, ...], *, is_busy: bool
) -> Outputs | None:
    """Return the answer to messages that found an order under their key; None when they try it anew."""
    if entry.status != "rejected" and not is_same_order(entry, request):
        return refusal(orders.connection, senders, entry.company, _OTHER_ORDER)
    if entry.status == "created":
        return answer(orders.connection, entry, senders)
    return _join(orders, entry, senders) if is_busy or entry.status == "waiting" else None


def _is_busy(entry: OrderEntry, message_id: str, now: datetime) -> bool:
    """Return whether the delivery of another message is at work on an order."""
    return entry.lease_until is not None and entry.lease_until > now and entry.worker != message_id


def _join(orders: OrderStore, entry: OrderEntry, senders: tuple[Sender, ...]) -> Outputs:
    """Have messages answered together with those that await the order already."""
    joined = entry.joined_by(*senders)
    if is_too_long(joined):
        return refusal(orders.connection, senders, entry.company, _TOO_MANY)
    if joined != entry:
        orders.save(joined)
    return Outputs()


def _first(
    ctx: Context, orders: OrderStore, request: OrderRequest, company: str, unplaced: OrderEntry | None = None
) -> OrderEntry:
    """Return the entry of a key that is not in the store: a new one, or one that was lost with its table (P31).

    A lost one may have been posted since the order book was written. Where the sender gave its number, the look-up
    before a first post finds that.
    """
    lost = unplaced.posted_at if unplaced is not None and unplaced.unknown else orders.upkeep.lost_since(ctx.now())
    entry = OrderEntry(key=request.key, company=company, status="posting", message=b"")
    return entry if lost is None or request.numbering == "given" else replace(entry, unknown=True, posted_at=lost)


def _taken(ctx: Context, entry: OrderEntry, request: OrderRequest, delivery: Delivery) -> OrderEntry:
    """Return the entry as held by this worker."""
    now, company = ctx.now(), entry.company
    if entry.is_over:  # a person, or the sender, tries it anew
        entry = replace(entry, first_at=now, waits=0, senders=(), refused_at=None)
    entry = entry.joined_by(*delivery.senders(request))
    if not (entry.in_doubt and entry.external_number):
        entry = replace(entry, external_number=request.external_number)
    return replace(
        entry, first_at=entry.first_at or now, message=_kept(delivery.body), is_erased=False, content=request.content,
        numbering=request.numbering, worker=delivery.message_id, lease_until=now + timedelta(seconds=LEASE_S),
        likeness=likeness.mark(company, request.external_number, request.order),
    )  # fmt: skip


def _kept(body: bytes) -> bytes:
    """Return a message as it is kept: its JSON text, or the bytes when they hold none."""
    try:
        return decode(body).encode()
    except InvalidMessage:
        return body[:_KEPT]


def _go_on(ctx: Context, orders: OrderStore, request: OrderRequest, entry: OrderEntry) -> Outputs:
    """Look up, post, note; in this order, so that a crash anywhere leaves a row that says what to do."""
    found = look_up(ctx, orders, request, entry) if next_step.needs_look_up(entry) else ()
    step = next_step.after_look_up(entry, found, ctx.now())
    if not isinstance(step, Post):
        return carry_out(ctx, orders, entry, step)
    posting = replace(
        entry, status="posting", posted_at=ctx.now(), attempts=entry.attempts + 1, unknown=False, next_try_at=None,
        before="\n".join(step.before), external_number=request.external_number,
    )  # fmt: skip
    if is_too_long(posting):
        many = BCRejected(f"{len(step.before)} documents bear its external number", code=next_step.TOO_MANY)
        return carry_out(ctx, orders, entry, Reject(many))
    begun = orders.begin(posting)
    if isinstance(begun, Held):
        return carry_out(ctx, orders, begun.undone(entry), next_step.after_hold(entry, begun.holder, ctx.now()))
    return carry_out(ctx, orders, begun, next_step.after_post(begun, _post(ctx, request, begun), ctx.now()))


def _post(ctx: Context, request: OrderRequest, entry: OrderEntry) -> PostedOrder | IntegrationError:
    try:
        return ctx.bc.create_order(entry.company, request.body, lambda: next_step.may_leave(entry, ctx.now()))
    except (BCError, TokenError, BudgetExhausted) as error:
        return error


def carry_out(ctx: Context, orders: OrderStore, entry: OrderEntry, step: Step) -> Outputs:
    """Note a step in the order's row and return what it sends out."""
    match step:
        case Adopt(document):
            return _adopt(ctx, orders, entry, document)
        case Reject(error):
            return _end(orders, replace(entry, status="rejected", unknown=False), error)
        case Park(error, unknown):
            return _end(orders, replace(entry, status="parked", unknown=unknown), error)
        case Wait(error, unknown, until):
            entry = _save(
                orders,
                replace(
                    _with_fault(entry, error), status="waiting", unknown=unknown, waits=entry.waits + 1,
                    next_try_at=until, worker="", lease_until=None,
                    refused_at=next_step.refused_since(entry, error, ctx.now()),
                ),
                entry,
            )  # fmt: skip
            log_event(
                log, "order.waiting", order_key=entry.key, company=entry.company, bc_code=entry.error_code,
                attempts=entry.attempts, next_try_at=entry.next_try_at, reason=entry.error,
            )  # fmt: skip
            return Outputs()
        case Post():
            raise AssertionError("a post is carried out by _go_on")


def _adopt(ctx: Context, orders: OrderStore, entry: OrderEntry, document: PostedOrder) -> Outputs:
    made = replace(entry, status="created", unknown=False, order_id=document.order_id, number=document.number)
    try:
        created = _end(orders, made, None)
    except StateConflict:
        if orders.claimant(entry.company, document) in {"", entry.key}:
            raise
        lost = replace(entry, before="\n".join(filter(None, (entry.before, document.number))))
        return carry_out(ctx, orders, lost, next_step.after_lost_claim(entry, document, ctx.now()))
    orders.forget_unread(made)
    return created


_LEVELS: Final = {"created": logging.INFO, "rejected": logging.WARNING, "parked": logging.ERROR}


def _end(orders: OrderStore, entry: OrderEntry, error: IntegrationError | None) -> Outputs:
    """Store an order's outcome and answer its senders."""
    ended = replace(_with_fault(entry, error), reported_to=entry.worker, worker="", lease_until=None, next_try_at=None)
    ended = _save(orders, ended, entry)
    log_event(
        log, f"order.{ended.status}", level=_LEVELS[ended.status], order_key=ended.key, company=ended.company,
        order_number=ended.number, bc_code=ended.error_code, bc_correlation_id=ended.correlation_id,
        attempts=ended.attempts, reason=ended.error,
    )  # fmt: skip
    return outcome(orders.connection, ended)


def _save(orders: OrderStore, entry: OrderEntry, held: OrderEntry) -> OrderEntry:
    """Store what became of an order that this worker holds; messages that joined meanwhile are answered, too.

    Raises:
        StateConflict: another worker holds the order by now.
    """
    for _ in _PAUSES_S:
        try:
            return orders.save(entry)
        except StateConflict:
            stored = orders.at(entry.key, entry.company)
            is_mine = stored is not None and (stored.worker, stored.lease_until) == (held.worker, held.lease_until)
            if stored is None or not is_mine or stored.etag == entry.etag:
                raise
            entry = replace(entry, etag=stored.etag, senders=stored.senders)
    return orders.save(entry)


def _with_fault(entry: OrderEntry, error: IntegrationError | None) -> OrderEntry:
    if error is None:
        return replace(entry, error="", error_code="", correlation_id="")
    if isinstance(error, BCError):
        # A refusal is reported in BC's own words; what waits or is parked has the status as well.
        reason = error.message if entry.status == "rejected" else str(error)
        return replace(entry, error=reason[:1000], error_code=error.code, correlation_id=error.correlation_id)
    code = error.code if isinstance(error, TokenError) else type(error).__name__
    return replace(entry, error=str(error)[:1000], error_code=code, correlation_id="")


def _wait_unplaced(
    ctx: Context, orders: OrderStore, request: OrderRequest, delivery: Delivery, error: IntegrationError
) -> Outputs:
    """Keep an order whose company can't be found for now, under no company."""
    entry = delivery.held or orders.load(request.key, "")
    if entry is not None and entry.status == "waiting" and not _means_same(entry, request):
        raise error  # two orders under one key before either is placed: the queue keeps the second for now
    entry = entry or OrderEntry(key=request.key, company="", status="waiting", message=b"", first_at=ctx.now())
    if entry.is_over:  # a person, or the sender, tries it anew
        entry = replace(entry, status="waiting", first_at=ctx.now(), waits=0, senders=())
    entry = entry.joined_by(*delivery.senders(request))
    entry = replace(
        entry, message=_kept(delivery.body), is_erased=False, content=request.content, numbering=request.numbering,
        worker=delivery.message_id,
    )  # fmt: skip
    return carry_out(ctx, orders, entry, next_step.wait_or_park(entry, error, ctx.now(), unknown=entry.unknown))


def _means_same(entry: OrderEntry, request: OrderRequest) -> bool:
    """Return whether an unplaced entry is the order of a message: the same content for the same company."""
    try:
        stored = parse_message(decode(entry.message), message_id=entry.key, is_checked=True)
    except InvalidMessage:
        return True  # a message that was refused; the sender tries it anew
    return (stored.content, stored.company.casefold()) == (request.content, request.company.casefold())


def _reject_unread(ctx: Context, orders: OrderStore, delivery: Delivery, error: InvalidMessage) -> Outputs:
    """Refuse a message without asking BC; the original is kept for a redrive under its key and no company."""
    sender = Sender(delivery.message_id, _sent_key(delivery))
    key = code_of(sender.sent_key)
    entry = delivery.held or orders.load(key, "") or OrderEntry(key=key, company="", status="rejected", message=b"")
    if not delivery.held and not entry.is_over:
        return refusal(orders.connection, (sender,), "", str(error))  # another message's order waits under this key
    entry = replace(
        entry, status="rejected", worker=delivery.message_id, message=_kept(delivery.body), is_erased=False,
        first_at=entry.first_at or ctx.now(), senders=entry.senders if delivery.held else (sender,),
    )  # fmt: skip
    return _end(orders, entry, error)


def _sent_key(delivery: Delivery) -> str:
    try:
        return sent_key_of(decode(delivery.body), delivery.message_id)
    except InvalidMessage:
        return delivery.message_id
