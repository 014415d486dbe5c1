"""One line per event: `noun.past_verb {json}`; the only module that decides what may be written to a log.

Fields travel in the message because the Functions worker forwards only the message text to Application Insights.
A field that is not in `LOGGED_FIELDS` prints as REDACTED, so that no body, token, header or query string slips out.
The alert rules in `infra/` look for the names in `EVENTS`; a test compares the two.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from shared.work_counts import count_event

#: Every event name, with its meaning for an operator.
EVENTS: Final[dict[str, str]] = {
    "login.needed": "a person must log in again on the connect page; until then nothing can be read or posted",
    "login.completed": "a person has logged in; tokens are stored",
    "login.removed": "a person has disconnected the app on the connect page",
    "token.refreshed": "a new access token was fetched and the cache saved",
    "token.failed": "no access token for now; the next run tries again",
    "reader.refused": "the reader is not let in or served; pages are read by the identity alone until that is mended",
    "settings.refused": "the app has wrong settings; the line names each",
    "webhook.received": "notifications taken into the queue",
    "webhook.dropped": "notifications that are not ours, or unreadable, were dropped",
    "webhook.refused": "the webhook answered 503 because it could not do its work; BC sends again",
    "subscription.created": "a webhook was registered",
    "subscription.renewed": "a webhook was renewed",
    "subscription.lost": "BC had lost a webhook; it is rebuilt and the gap is read",
    "subscription.failed": "a webhook could not be registered, renewed or removed",
    "subscription.removed": "an orphaned webhook of ours was deleted",
    "subscription.unsupported": "this environment offers no webhook for the entity; the reconcile alone serves it",
    "timer.overdue": "a timer has not run in time, perhaps all have stopped; its work is sent for by what still runs",
    "timer.skipped": "a timer's work was left to a run that is at work",
    "run.planned": "a pull, reconcile or snapshot has begun",
    "run.skipped": "the previous run is still at work",
    "run.superseded": "a run made no progress for too long and another one took over",
    "page.read": "one page was read and its events are on their way",
    "page.halved": "what a page announces fits no table row; it is read again with half the rows",
    "page.put_again": "a page job did not come in its time and was put again under its name",
    "page.skipped": "a page job was a copy or out of date",
    "watermark.committed": "a run is complete and its watermark has moved",
    "entities.unread": "what Business Central offers could not be read anew; what was read before counts",
    "entity.refused": "an entry of BC_ENTITIES is wrong; the line says why, the other entities go on",
    "stream.failed": "a company's entity could not be read; the others go on",
    "record.unread": "a record, or a row at some place, could not be read; it is kept and read again",
    "record.broken": "a record failed again later, or is no record; it is read again until it heals",
    "notifications.processed": "the records behind a batch of notifications were read and announced",
    "order.created": "a sales order is in BC",
    "order.rejected": "a sales order was refused; the result says why",
    "order.waiting": "a sales order waits for a transient fault to pass",
    "order.parked": "a sales order waits for a person: a transient fault outlasted 72 hours, or its outcome is open",
    "order.skipped": "a message named a stored order that is not there any more, or goes on elsewhere",
    "order.redriven": "a person redrove a rejected or parked order",
    "order.erased": "a person had what an order key held forgotten; what stops a second post is left",
    "orders.kept": "the daily round is over: the order book is written, contents whose time was over are gone",
    "orders.lost": "the table holds fewer orders than the order book of the day before; bring them back from it",
    "queue.unread": "messages lie in a queue for too long: nobody reads events or results, or empties a poison queue",
    "events.forwarded": "a message of events was sent on to the receiver",
    "events.waiting": "the receiver takes no events for now; they are sent again by themselves",
    "events.held": "the receiver, its address or access must be mended by a person; the events wait for that",
    "message.waiting": "a queue message waits for the end of a pause that BC asked for, and comes back by itself",
    "message.dead_lettered": "a queue message failed too often or can never be worked on; it is kept for a person",
    "message.redriven": "a dead letter is in its queue again, by itself or by a person",
    "bc.throttled": "BC answered 429",
    "bc.retried": "a read was repeated after a transient fault",
    "bc.intent_refused": "BC refused a read of what is committed and served it without that; once for each collection",
    "bc.failed": "a call to BC failed for good",
}

LOGGED_FIELDS: Final = frozenset({
    "attempt", "attempts", "bc_code", "bc_correlation_id", "company", "connection", "count", "due", "entity", "error",
    "error_code", "events", "expires_at", "faults", "foreign", "job", "kind", "last_at", "message_id", "method",
    "mode", "next_try_at", "order_key", "order_number", "partitions", "path", "queue", "reason", "record_id",
    "records", "retry_after_s", "rows", "run", "skipped", "status", "subscription_id", "unread", "user", "waited_s",
    "watermark",
})  # fmt: skip


#: The connection that this thread works for, "" for none; threads made for a piece of work take it over.
_connection: Final[ContextVar[str]] = ContextVar("connection", default="")


@contextmanager
def about(connection: str) -> Iterator[None]:
    """Have every line that is written inside bear the id of a connection."""
    before = _connection.set(connection)
    try:
        yield
    finally:
        _connection.reset(before)


def log_event(log: logging.Logger, event: str, *, level: int = logging.INFO, **fields: object) -> None:
    """Write one line `event {json}`; ERROR means that someone must act, a retry is INFO, a give-up WARNING."""
    if event not in EVENTS:
        raise ValueError(f"unknown log event {event}")
    count_event(event, fields)
    safe = {key: value if key in LOGGED_FIELDS else "REDACTED" for key, value in fields.items()}
    if connection := _connection.get():
        safe.setdefault("connection", connection)
    log.log(level, "%s %s", event, json.dumps(safe, default=str, sort_keys=True), extra={"event": event})


def quiet_libraries() -> None:
    """Let libraries speak from WARNING on, before their first call: the Azure SDK logs each request at INFO."""
    for name in ("azure", "msal", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
