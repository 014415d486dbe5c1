"""Messages that fail: tried again by the queue, then set aside with their reason, then put back when their time comes.

Nothing ends unseen in a poison queue: the host's own poison messages (a worker that died too often) come here, too.
"""

import json
import logging
from collections.abc import Callable
from typing import Final

from shared.changes.jobs import NotificationJob, PageJob, texts
from shared.connections.context import Context
from shared.dead_letters.dead_letter_store import DeadLetter, DeadLetterStore
from shared.errors import IntegrationError, InvalidMessage
from shared.log import log_event
from shared.orders import resume
from shared.orders.order_message import keyed
from shared.orders.order_store import OrderStore
from shared.outputs import Outputs
from shared.resource_names import QUEUE_NOTIFICATIONS, QUEUE_ORDERS, QUEUE_PAGES

log: Final = logging.getLogger(__name__)

#: Deliveries before a failing message is set aside; equals maxDequeueCount of host.json, so the host is never first.
DELIVERIES: Final = 5
_BATCH: Final = 100


def guarded(
    ctx: Context,
    dead_letters: DeadLetterStore,
    queue: str,
    body: bytes,
    message_id: str,
    delivery: int,
    work: Callable[[str], Outputs],
) -> Outputs:
    """Do the work of one queue message; set the message aside when it can't be done and will not be tried again.

    Raises:
        IntegrationError: the queue shall deliver the message again.
    """
    redrive = _redrive(body)
    if redrive and dead_letters.tries(queue, _name(body, message_id)) > redrive:
        log_event(log, "page.skipped", queue=queue, message_id=message_id, reason="it was put back once more since")
        return Outputs()
    try:
        # An order that is no UTF-8 is refused with a result, like any other that can't be read.
        outgoing = work(body.decode(errors="replace") if queue == QUEUE_ORDERS else _text(body))
    except IntegrationError as error:
        if not isinstance(error, InvalidMessage) and delivery < DELIVERIES:
            raise
        dead_letter(
            ctx, dead_letters, queue, body, message_id, str(error), retryable=not isinstance(error, InvalidMessage)
        )
        return Outputs()
    if redrive:
        dead_letters.remove(queue, _name(body, message_id), now=ctx.now())
    return outgoing


def dead_letter_poison(
    ctx: Context, dead_letters: DeadLetterStore, orders: OrderStore, queue: str, body: bytes, message_id: str
) -> Outputs:
    """Take a message from `<queue>-poison`: its worker died, or the message could not even be handed over."""
    if queue == QUEUE_ORDERS:
        text = body.decode(errors="replace")
        message_id = resume.first_id(ctx, orders, text, message_id)
        if resume.note_poison(ctx, orders, text, message_id):
            return Outputs()
    reason = "the worker died on it, or it could not be handed over, too often"
    dead_letter(ctx, dead_letters, queue, body, message_id, reason, retryable=_is_readable(body))
    return Outputs()


def dead_letter(
    ctx: Context,
    dead_letters: DeadLetterStore,
    queue: str,
    body: bytes,
    message_id: str,
    reason: str,
    *,
    retryable: bool,
) -> None:
    """Note a message and its reason, so that it can be seen and put back."""
    name = _name(body, message_id)
    message = DeadLetter(queue=queue, name=name, body=body, reason=reason, parked_at=ctx.now())
    kept = dead_letters.add(message, retryable=retryable, now=ctx.now())
    log_event(
        log, "message.parked", level=logging.ERROR, queue=queue, message_id=name, reason=reason,
        attempts=kept.tries, next_try_at=kept.next_try_at,
    )  # fmt: skip


def redrive_due(ctx: Context, dead_letters: DeadLetterStore) -> Outputs:
    """Put back what waits for a transient fault to pass."""
    return _put_back(ctx, dead_letters, dead_letters.take_due(ctx.now(), _BATCH))


def redrive(ctx: Context, dead_letters: DeadLetterStore, queue: str, name: str) -> Outputs | None:
    """Put one message back by hand; None when it is not there."""
    found = [message for message in dead_letters.all(1000) if (message.queue, message.name) == (queue, name)]
    return (
        _put_back(ctx, dead_letters, [dead_letters.put_back(message, ctx.now()) for message in found])
        if found
        else None
    )


def _put_back(ctx: Context, dead_letters: DeadLetterStore, messages: list[DeadLetter]) -> Outputs:
    pages: list[PageJob] = []
    notifications: list[NotificationJob] = []
    sales_orders: list[str] = []
    for message in messages:
        text = message.body.decode(errors="replace")
        try:
            if message.queue == QUEUE_PAGES:
                pages.append(PageJob.from_text(_marked(text, message.tries)))
            elif message.queue == QUEUE_NOTIFICATIONS:
                notifications.append(NotificationJob.from_text(_marked(text, message.tries)))
            else:
                sales_orders.append(keyed(text, message.name))
                dead_letters.remove(message.queue, message.name, now=ctx.now())  # from here on the order book knows it
        except InvalidMessage as error:
            log_event(log, "message.parked", level=logging.WARNING, queue=message.queue, reason=str(error))
            continue
        log_event(log, "message.redriven", queue=message.queue, message_id=message.name, attempts=message.tries)
    return Outputs(pages=texts(pages), notifications=texts(notifications), orders=tuple(sales_orders))


def _marked(text: str, tries: int) -> str:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidMessage(["message: must be JSON"]) from error
    return json.dumps({**document, "redrive": tries}) if isinstance(document, dict) else text


def _redrive(body: bytes) -> int:
    """Return how often a message had been put back when this copy of it was made; cheap for those that never were."""
    if b'"redrive":0' in body or b'"redrive":' not in body:
        return 0
    try:
        redrive = json.loads(body)["redrive"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0
    return redrive if isinstance(redrive, int) else 0


def _name(body: bytes, message_id: str) -> str:
    try:
        job = json.loads(body)["job"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return message_id
    return job if isinstance(job, str) and job else message_id


def _is_readable(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        return False


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidMessage(["message: must be UTF-8"]) from error
