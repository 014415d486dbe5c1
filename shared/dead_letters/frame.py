"""The frame around every queue message: its work is done, or the queue delivers it again, or it becomes a dead letter.

Nothing ends unseen in a poison queue: the host's own poison messages (a worker that died too often) come here, too.
Nothing here fails for what is in a message: on a poison queue a failure would come back every ten minutes until the
message expires.
"""

import json
import logging
import re
from collections.abc import Callable
from typing import Final

from shared import message_text
from shared.connections.context import Context
from shared.dead_letters.dead_letter_store import DeadLetter, DeadLetterStore
from shared.dead_letters.reference import read_reference
from shared.errors import IntegrationError, InvalidMessage
from shared.forwarding import forward
from shared.forwarding.event_targets import QUEUE
from shared.log import log_event
from shared.orders import resume
from shared.orders.order_store import OrderStore
from shared.outputs import Outputs
from shared.resource_names import QUEUE_NOTIFICATIONS, QUEUE_ORDER_RESUMES, QUEUE_ORDERS, QUEUE_PAGES

log: Final = logging.getLogger(__name__)

#: Why a message of a poison queue is kept.
_DIED: Final = "the worker died on it, or it could not be handed over, too often"

#: Deliveries before a failing message becomes a dead letter; maxDequeueCount of host.json, so the host is never first.
DELIVERIES: Final = 5
#: Names that our jobs bear.
_JOB: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")
#: Queues that only this app writes to: members of their messages are ours. On all others none is.
OURS: Final = frozenset({QUEUE_PAGES, QUEUE_NOTIFICATIONS})


def guarded(
    ctx: Context,
    letters: DeadLetterStore,
    queue: str,
    body: bytes,
    message_id: str,
    delivery: int,
    work: Callable[[str, bytes, str], Outputs],
) -> Outputs:
    """Do the work of one queue message; keep it as a dead letter when it can't be done and will not be tried again.

    `work` takes queue, body and message id: of the message, or of the dead letter that it names.

    Raises:
        IntegrationError: the queue shall deliver the message again.
    """
    body = plain(body)
    copy = _copy(queue, body)
    if reference := read_reference(queue, body):
        letter = letters.get_or_done(reference.queue, reference.name)
        if letter is None:
            return Outputs()  # its work was done long ago
        queue, body, message_id, copy = letter.queue, letter.body, letter.name, reference.copy
    name = _name(queue, body, message_id)
    if copy and letters.tries(queue, name) > copy:
        log_event(log, "page.skipped", queue=queue, message_id=message_id, reason="it was enqueued once more since")
        return Outputs()
    try:
        outgoing = work(queue, body, message_id)
    except IntegrationError as error:
        if not isinstance(error, InvalidMessage) and delivery < DELIVERIES:
            raise
        retryable = not isinstance(error, InvalidMessage)
        dead_letter(ctx, letters, queue, body, message_id, str(error), retryable=retryable, is_pause=error.is_pause)
        return Outputs()
    if copy:
        letters.done(queue, name, now=ctx.now())
    return forward.routed(outgoing, is_forwarded=ctx.settings.events_to != QUEUE)


def dead_letter_poison(
    ctx: Context, letters: DeadLetterStore, orders: OrderStore, queue: str, body: bytes, message_id: str
) -> Outputs:
    """Take a message from `<queue>-poison`: its worker died, or the message could not even be handed over."""
    body = plain(body)
    if reference := read_reference(queue, body):
        if letter := letters.get(reference.queue, reference.name):  # waits longer each time, in the end for a person
            before = letter.reason.removeprefix(_DIED + "; before that: ")
            reason = f"{_DIED}; before that: {before}" if before != _DIED else _DIED
            dead_letter(ctx, letters, letter.queue, letter.body, letter.name, reason, retryable=True)
        return Outputs()
    twin = resume.twin(ctx, orders, body, message_id) if queue == QUEUE_ORDERS else None
    if twin is not None and not resume.died_at(twin):
        reason = (
            f"the worker died on it too often; its text is that of order {twin.shown_key}, whose message it may be, or "
            "the same order once more: put it back only if that is wanted once more"
        )
        dead_letter(ctx, letters, queue, body, message_id, reason, retryable=False)
        if twin.status != "created":
            return Outputs()  # its own message, or a resume, goes on with it
    message_id = twin.shown_key if twin is not None else message_id
    if queue in {QUEUE_ORDERS, QUEUE_ORDER_RESUMES} and resume.note_poison(ctx, orders, queue, body, message_id):
        return Outputs()
    for name in resume.taken_as(orders, queue, body, message_id):
        dead_letter(ctx, letters, queue, body, name, _DIED, retryable=bool(_members(body)))
    return Outputs()


def plain(body: bytes) -> bytes:
    """Return a message's JSON without its base64; a message that can't be decoded as it is."""
    try:
        return message_text.decode(body).encode()
    except InvalidMessage:
        return body


def dead_letter(
    ctx: Context,
    letters: DeadLetterStore,
    queue: str,
    body: bytes,
    message_id: str,
    reason: str,
    *,
    retryable: bool,
    is_pause: bool = False,
) -> None:
    """Keep a message and its reason, to be seen and redriven; no alarm while it waits for a pause to end."""
    name = _name(queue, body, message_id)
    body = _newest(letters.get(queue, name), body) if queue in OURS else body
    letter = DeadLetter(queue=queue, name=name, body=body, reason=reason, since=ctx.now())
    kept = letters.add(letter, retryable=retryable, now=ctx.now())
    waits = is_pause and kept.next_try_at is not None
    log_event(
        log, "message.waiting" if waits else "message.dead_lettered", level=logging.INFO if waits else logging.ERROR,
        queue=queue, message_id=name, reason=reason,
        attempts=kept.tries, next_try_at=kept.next_try_at,
    )  # fmt: skip


def _name(queue: str, body: bytes, message_id: str) -> str:
    """Return the name of a letter: on queues of ours that of the job, which all copies share; else the message's id."""
    job = _members(body).get("job") if queue in OURS else None
    return job if isinstance(job, str) and _JOB.fullmatch(job) else message_id


def _newest(kept: DeadLetter | None, body: bytes) -> bytes:
    """Return of the messages of one job the one that was put again last: it answers for what the others claimed."""
    return body if kept is None or _again(kept.body) <= _again(body) else kept.body


def _again(body: bytes) -> int:
    again = _members(body).get("again")
    return again if isinstance(again, int) else 0


def _copy(queue: str, body: bytes) -> int:
    """Return how often a message had been enqueued again when this copy was made; cheap for those that never were."""
    if queue not in OURS or b'"redrive":0' in body or b'"redrive":' not in body:
        return 0
    redrive = _members(body).get("redrive")
    return redrive if isinstance(redrive, int) and redrive > 0 else 0


def _members(body: bytes) -> dict[str, object]:
    try:
        members = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return members if isinstance(members, dict) else {}
