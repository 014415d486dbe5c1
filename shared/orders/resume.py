"""Stored orders go on: those whose time has come, those that a person redrives, those that became poison.

Owns the messages of the queue `sales-orders-resume`, each of which wakes one stored order. What happens to the order
then is in `submit`.
"""

import json
import logging
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from shared.business_central.code_text import code_of
from shared.connections.context import Context
from shared.errors import BCUnavailable, InvalidMessage, StateConflict
from shared.log import log_event
from shared.message_text import decode
from shared.orders import next_step
from shared.orders.next_step import Park, Wait
from shared.orders.order_contents import is_same_order
from shared.orders.order_entry import OrderEntry, Sender
from shared.orders.order_message import parse_message, sent_key_of
from shared.orders.order_result import outcome
from shared.orders.order_store import OrderStore
from shared.orders.submit import Delivery, carry_out, patiently, take
from shared.outputs import Outputs
from shared.resource_names import DEFAULT_CONNECTION, QUEUE_ORDER_RESUMES

log: Final = logging.getLogger(__name__)

#: Orders retried by one run of the timer.
_BATCH: Final = 200
#: A queue message that retries an order may get lost; then the order is retried again after this.
_REQUEUE: Final = timedelta(minutes=15)
#: A message lives seven days in its queue and, moved by the host, seven more in the poison queue.
_POISONED_WITHIN: Final = timedelta(days=14)

#: Code of an order whose message failed too often.
_POISON: Final = "poison"

#: What a message that resumes an order holds at most.
_PLACE: Final = frozenset({"orderKey", "company", "connection", "redrive"})

#: Key and company of a stored order, as stored.
type Place = tuple[str, str]


def due(orders: OrderStore, now: datetime) -> Outputs:
    """Retry orders whose time has come; each is noted first, and comes again if its message is lost."""
    messages: list[str] = []
    for entry in orders.due(now, _BATCH):
        try:
            orders.save(replace(entry, next_try_at=now + _REQUEUE))
        except StateConflict:
            continue  # somebody is at it
        messages.append(resume_message(orders, entry))
    return Outputs(resumes=tuple(messages))


def redrive(orders: OrderStore, key: str) -> tuple[bool, Outputs]:
    """Redrive a rejected or parked order; (False, nothing) when there is no such order.

    An order that was created, waits anyway, or is erased, stays as it is.
    """
    entries = orders.find(code_of(key))
    messages = []
    for entry in entries:
        if entry.status in {"rejected", "parked"} and not entry.is_erased:
            messages.append(resume_message(orders, entry, is_redrive=True))
            log_event(log, "order.redriven", order_key=entry.key, company=entry.company)
    return bool(entries), Outputs(resumes=tuple(messages))


def redrive_cause(orders: OrderStore, cause: str, of: int) -> Outputs:
    """Redrive the orders that were refused or parked for one cause, at most 200 at a time, of the first `of`."""
    entries = [entry for entry in orders.of_cause(cause, _BATCH, of) if not entry.is_erased]
    for entry in entries:
        log_event(log, "order.redriven", order_key=entry.key, company=entry.company)
    return Outputs(resumes=tuple(resume_message(orders, entry, is_redrive=True) for entry in entries))


def resume_message(orders: OrderStore, entry: OrderEntry, *, is_redrive: bool = False) -> str:
    """Return the message of `sales-orders-resume` that resumes a stored order; one of `default` names no connection.

    `is_redrive`: a person wants it tried anew. Any other does nothing for an order that has its outcome, as several may
    lie in the queue when Business Central answers again.
    """
    of = {} if orders.connection == DEFAULT_CONNECTION else {"connection": orders.connection}
    anew = {"redrive": True} if is_redrive else {}
    return json.dumps({"orderKey": entry.key, "company": entry.company, **of, **anew})


def resume(ctx: Context, orders: OrderStore, body: bytes, message_id: str) -> Outputs:
    """Do one message of the queue `sales-orders-resume`.

    Raises:
        InvalidMessage: it names no order.
        IntegrationError: what `submit` raises.
    """
    members = _members(body)
    place, is_redrive = _place(members), members.get("redrive") is True
    if place is None:
        raise InvalidMessage(["message: must name a stored order by orderKey and company"])
    return patiently(ctx, lambda: _resume(ctx, orders, place, message_id, is_redrive=is_redrive))


def wake(ctx: Context, orders: OrderStore, body: bytes, message_id: str) -> Outputs | None:
    """Go on with the waiting order of a message `{"again": ...}`, as 0.1.0 put them into `sales-orders`.

    None for any other message, and for one that names no order that waits, or that this very message woke before: it
    is a message like all others, as anybody may write it. For one release: the next one knows no such message.
    """
    place = _old_place(_members(body))
    entry = place and (orders.at(*place) or _moved(orders, place[0], message_id))
    if not place or not entry or not (entry.status == "waiting" or message_id in {entry.worker, entry.reported_to}):
        return None
    return patiently(ctx, lambda: _resume(ctx, orders, place, message_id))


def _members(body: bytes) -> dict[str, object]:
    try:
        members = json.loads(decode(body))
    except (ValueError, RecursionError, InvalidMessage):
        return {}
    return members if isinstance(members, dict) else {}


def _place(members: dict[str, object]) -> Place | None:
    key, company = members.get("orderKey"), members.get("company")
    is_place = members.keys() <= _PLACE and isinstance(key, str) and isinstance(company, str)
    return (str(key), str(company)) if is_place else None


def _old_place(members: dict[str, object]) -> Place | None:
    again = members.get("again")
    return _place(again) if list(members) == ["again"] and isinstance(again, dict) else None


def _place_in(queue: str, body: bytes) -> Place | None:
    """Return the order that a message of either queue resumes; None for one that brings an order."""
    members = _members(body)
    return _place(members) if queue == QUEUE_ORDER_RESUMES else _old_place(members)


def _resume(ctx: Context, orders: OrderStore, place: Place, message_id: str, *, is_redrive: bool = False) -> Outputs:
    key, company = place
    entry = orders.at(key, company) or _moved(orders, key, message_id)
    if entry is None:  # it waited without a company, has one now and goes on there
        log_event(log, "order.skipped", order_key=key, company=company, reason="no such order is stored")
        return Outputs()
    if entry.status == "created" or (entry.is_over and not is_redrive):
        is_mine = not entry.reported_to or message_id in {entry.worker, entry.reported_to}
        return outcome(orders.connection, entry) if is_mine else Outputs()
    if entry.is_erased:
        log_event(log, "order.skipped", order_key=key, company=company, reason="what it held is erased")
        return Outputs()
    if entry.status == "waiting" and entry.error_code == _POISON:
        step = next_step.wait_or_park(entry, _poisoned(), ctx.now(), unknown=entry.unknown)
        if isinstance(step, Park):  # a poison function answers nobody, and another try may kill its worker again
            return carry_out(ctx, orders, replace(entry, worker=message_id), step)
    return take(ctx, orders, Delivery(entry.message, message_id, entry))


def _moved(orders: OrderStore, key: str, message_id: str) -> OrderEntry | None:
    """Return the entry that an earlier delivery of this message moved from "no company" to its company."""
    entries = orders.find(code_of(key))
    return next((entry for entry in entries if message_id in {entry.worker, entry.reported_to}), None)


def note_poison(ctx: Context, orders: OrderStore, queue: str, body: bytes, message_id: str) -> bool:
    """Take over an order message that killed its worker too often: its order waits, and a resume answers its senders.

    In doubt it is looked up before the next post; when its patience is over, the resume parks it. False when no order
    of it is under way: then it becomes a dead letter as it is.
    """
    entries = [entry for entry in _orders_of(orders, queue, body, message_id) if entry.status in {"posting", "waiting"}]
    for entry in entries:
        unknown = entry.unknown or entry.posted_at is not None
        wait = Wait(_poisoned(), unknown, ctx.now() + next_step.delay(entry.waits + 1))
        carry_out(ctx, orders, entry, wait)
    return bool(entries)


def taken_as(orders: OrderStore, queue: str, body: bytes, message_id: str) -> list[str]:
    """Return under which ids the orders that a poison message resumes know it; its own where it resumes none.

    The host moves it under a new id. Redriven under the one it had, it answers what it has not answered yet. A person's
    redrive of an order that has been refused is none of its answers: it tries it anew, under an id of its own.
    """
    place = _place_in(queue, body)
    found = [] if place is None else _resumed(orders, place)
    if _members(body).get("redrive") is True:
        found = [entry for entry in found if entry.status == "created" or not entry.is_over]
    return list(dict.fromkeys(name for entry in found if (name := entry.worker or entry.reported_to))) or [message_id]


def _resumed(orders: OrderStore, place: Place) -> list[OrderEntry]:
    """Return the orders that a resume is about: the one at its place, or all that it may have moved on from there."""
    entry = orders.at(*place)
    if entry is not None:
        return [entry]
    return [] if place[1] else [one for one in orders.find(code_of(place[0])) if one.status != "waiting"]


def _poisoned() -> BCUnavailable:
    return BCUnavailable("its message failed too often", code=_POISON)


def twin(ctx: Context, orders: OrderStore, body: bytes, message_id: str) -> OrderEntry | None:
    """Return the order that a poison message may be, which has no key but its id: the host moves it under a new one.

    It is found by its very text, which another message may share: the same order once more. An erased order holds no
    text; its digest is that of the text under its key.
    """
    try:
        text = decode(body)
    except InvalidMessage:
        return None
    if sent_key_of(text, message_id) != message_id:
        return None
    return orders.by_message(text.encode(), ctx.now() - _POISONED_WITHIN, lambda key: _content_under(key, text))


def _content_under(key: str, text: str) -> str:
    try:
        return parse_message(text, message_id=key, is_checked=True).content
    except InvalidMessage:
        return "none"  # no digest


def died_at(entry: OrderEntry) -> bool:
    """Return whether the worker of an order's own first message is at it, or died at it."""
    return entry.status == "posting" and entry.worker in {sender.message_id for sender in entry.senders}


def _orders_of(orders: OrderStore, queue: str, body: bytes, message_id: str) -> list[OrderEntry]:
    """Return the stored orders that a message is about; a new order awaits their outcome from now on."""
    place = _place_in(queue, body)
    if place is not None:
        return _resumed(orders, place)
    try:
        request = parse_message(decode(body), message_id=message_id)
    except InvalidMessage:
        return []
    sender = Sender(message_id, request.sent_key)  # the host moved it under a new id: it may be answered twice
    return [entry.joined_by(sender) for entry in orders.find(request.key) if is_same_order(entry, request)]
