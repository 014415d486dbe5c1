"""Dead letters in their queues again: retried by time while they are young, redriven whenever a person decides."""

import json
import logging
from datetime import datetime
from typing import Final

from shared.business_central.code_text import code_of
from shared.changes.jobs import NotificationJob, PageJob
from shared.connections.context import Context
from shared.dead_letters.dead_letter_store import DeadLetter, DeadLetterStore
from shared.dead_letters.reference import Reference
from shared.errors import InvalidMessage, StateConflict
from shared.log import log_event
from shared.message_text import decode
from shared.orders.order_message import sent_key_of
from shared.outputs import Outputs
from shared.resource_names import (
    QUEUE_FORWARD,
    QUEUE_NOTIFICATIONS,
    QUEUE_ORDER_RESUMES,
    QUEUE_ORDERS,
    QUEUE_PAGES,
)

log: Final = logging.getLogger(__name__)

#: Letters retried by one run of the timer: their messages leave with one function.
_BATCH: Final = 100
#: Queues whose messages are looked into for the key of an order.
ORDER_QUEUES: Final = frozenset({QUEUE_ORDERS, QUEUE_ORDER_RESUMES})


def retry_due(ctx: Context, letters: DeadLetterStore) -> Outputs:
    """Retry what waits for a transient fault to pass."""
    return _messages(ctx, letters, letters.take_due(ctx.now(), _BATCH))


def redrive(ctx: Context, letters: DeadLetterStore, queue: str, name: str) -> Outputs | None:
    """Redrive one letter; None when it is not there. Empty: its message can never be worked on."""
    letter = letters.get(queue, name)
    if letter is None:
        return None
    try:
        return _messages(ctx, letters, [letters.enqueued_again(letter, ctx.now())])
    except StateConflict:  # done, or enqueued again, at this very moment
        return Outputs()


def redrive_queue(ctx: Context, letters: DeadLetterStore, queue: str) -> Outputs:
    """Redrive the letters of one queue, at most 100 at a time; those that wait for a person go first."""
    taken: list[DeadLetter] = []
    for letter in letters.to_redrive(queue, _BATCH):
        try:
            taken.append(letters.enqueued_again(letter, ctx.now()))
        except StateConflict:
            continue  # done, or enqueued again, at this very moment
    return _messages(ctx, letters, taken)


def find(letters: DeadLetterStore, key: str, now: datetime, *, of_orders: bool = False) -> list[DeadLetter]:
    """Return the letters that bear a key: the id of a message, the name of a job, or the key of an order."""
    found: list[DeadLetter] = []
    for queue in sorted(letters.counts(now)):
        if of_orders and queue not in ORDER_QUEUES:
            continue
        named = letters.get(queue, key)
        found += [named] if named is not None else []
        if queue in ORDER_QUEUES:
            found += [one for one in letters.of_queue(queue) if one.name != key and _is_of_order(one, key)]
    return found


def is_of_key(letter: DeadLetter, key: str) -> bool:
    """Return whether a letter bears a key: the id of its message, or the key of its order."""
    return letter.name == key or _is_of_order(letter, key)


def _is_of_order(letter: DeadLetter, key: str) -> bool:
    try:
        return code_of(sent_key_of(decode(letter.body), letter.name)) == code_of(key)
    except InvalidMessage:
        return False


def _messages(ctx: Context, letters: DeadLetterStore, taken: list[DeadLetter]) -> Outputs:
    """Return the messages of some letters; one that nothing could be done with stays a letter."""
    pages: list[str] = []
    notifications: list[str] = []
    resumes: list[str] = []
    forwards: list[str] = []
    for letter in taken:
        try:
            if letter.queue == QUEUE_PAGES:
                page = PageJob.from_text(_numbered(decode(letter.body), letter.tries))
                pages.append(_served(ctx, page).to_text())
            elif letter.queue == QUEUE_NOTIFICATIONS:
                notification = NotificationJob.from_text(_numbered(decode(letter.body), letter.tries))
                notifications.append(_served(ctx, notification).to_text())
            else:
                of = forwards if letter.queue == QUEUE_FORWARD else resumes
                of.append(_reference(letters, letter).to_text())
        except InvalidMessage as error:
            letters.leave_to_a_person(letter, f"no message of this version of the app: {error}")
            log_event(log, "message.dead_lettered", level=logging.WARNING, queue=letter.queue, reason=str(error))
            continue
        log_event(log, "message.redriven", queue=letter.queue, message_id=letter.name, attempts=letter.tries)
    return Outputs(
        pages=tuple(pages), notifications=tuple(notifications), resumes=tuple(resumes), forwards=tuple(forwards)
    )


def _served[T: (PageJob, NotificationJob)](ctx: Context, job: T) -> T:
    """Return a job whose entity is configured; InvalidMessage for one that would be dropped."""
    if ctx.catalogue.named(job.entity) is None:
        raise InvalidMessage([f"entity: '{job.entity}' is not configured"])
    return job


def _reference(letters: DeadLetterStore, letter: DeadLetter) -> Reference:
    return Reference(queue=letter.queue, name=letter.name, copy=letter.tries, connection=letters.connection)


def _numbered(text: str, tries: int) -> str:
    """Return the message with the number of this copy, by which a late one is known."""
    try:
        members = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidMessage(["message: must be JSON"]) from error
    return json.dumps({**members, "redrive": tries}) if isinstance(members, dict) else text
