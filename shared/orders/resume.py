"""Puts stored orders back to work: those whose time has come, those a person redrives, those that became poison.

Owns the message that wakes a stored order. What happens to the order then is in `submit`.
"""

import json
import logging
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from shared.connections.context import Context
from shared.errors import BCUnavailable, InvalidMessage, StateConflict
from shared.log import log_event
from shared.orders import next_step
from shared.orders.order_entry import OrderEntry
from shared.orders.order_message import message_key, parse_message
from shared.orders.order_result import outcome, refusal
from shared.orders.order_store import OrderStore
from shared.orders.submit import Delivery, carry_out, patiently, take
from shared.outputs import Outputs
from shared.resource_names import QUEUE_ORDERS

log: Final = logging.getLogger(__name__)

#: Orders put back to work by one run of the timer.
_BATCH: Final = 200
#: A queue message for an order that was put back may be lost on the way; then it is put back again after this.
_REQUEUE: Final = timedelta(minutes=15)
#: Five deliveries to workers that die, each for as long as a message is hidden, with room to spare.
_POISONED_WITHIN: Final = timedelta(hours=2)


def due(orders: OrderStore, now: datetime) -> Outputs:
    """Put orders back to work whose time has come; each is noted first, and comes again if its message is lost."""
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


def reference(entry: OrderEntry) -> str:
    """Return the queue message that puts a stored order back to work."""
    return json.dumps({"again": {"orderKey": entry.key, "company": entry.company}})


def parse_reference(text: str) -> tuple[str, str] | None:
    """Return the key and company of the stored order that a message puts back to work; None for any other message."""
    try:
        again = json.loads(text)["again"]
        return str(again["orderKey"]), str(again["company"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def resume(ctx: Context, orders: OrderStore, place: tuple[str, str], message_id: str) -> Outputs:
    """Go on with a stored order. Raises what `submit` raises."""
    return patiently(ctx, lambda: _resume(ctx, orders, place, message_id))


def _resume(ctx: Context, orders: OrderStore, place: tuple[str, str], message_id: str) -> Outputs:
    key, company = place
    entry = orders.load(key, company) or _moved(orders, key, message_id)
    if entry is None and not company and orders.find(key):
        return Outputs()  # it waited without a company, has one now and goes on there
    if entry is None:
        return refusal(key, company, "again: no such order is on file")
    if entry.status == "created":
        return outcome(entry) if entry.reported_to in {"", message_id} else Outputs()
    return take(ctx, orders, Delivery(entry.message.decode(errors="replace"), message_id, entry))


def _moved(orders: OrderStore, key: str, message_id: str) -> OrderEntry | None:
    """Return the entry that an earlier delivery of this message moved from "no company" to its company."""
    return next((entry for entry in orders.find(key) if message_id in {entry.worker, entry.reported_to}), None)


def first_id(ctx: Context, orders: OrderStore, text: str, message_id: str) -> str:
    """Return the id under which a poison message was worked on: the host moves it under a new one.

    It matters only to an order that has no key but its message's id, and is then found by its very text.
    """
    if parse_reference(text) or message_key(text, message_id) != message_id.upper():
        return message_id
    entry = orders.by_message(text.encode(), ctx.now() - _POISONED_WITHIN)
    return entry.key if entry else message_id


def note_poison(ctx: Context, orders: OrderStore, text: str, message_id: str) -> bool:
    """Take over an order message that killed its worker too often: it waits and is looked up before the next post.

    False when the message holds no order: then it becomes a dead letter as it is.
    """
    try:
        again = parse_reference(text)
        key = again[0] if again else parse_message(text, message_id=message_id).key
    except InvalidMessage:
        return False
    entries = [entry for entry in orders.find(key) if entry.status in {"posting", "waiting"}]
    error = BCUnavailable(f"the message failed too often on queue {QUEUE_ORDERS}", code="poison")
    for entry in entries:
        unknown = entry.unknown or entry.posted_at is not None
        carry_out(orders, entry, next_step.wait_or_park(entry, error, ctx.now(), unknown=unknown))
    return bool(entries)
