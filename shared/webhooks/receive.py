"""The webhook route: handshake and notifications.

Answers 2xx or 5xx and nothing else, as Business Central deletes all subscriptions of a URL after any other answer.
What is refused or dropped is counted and logged a line a minute: anybody can call this route, as often as he likes.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from shared.changes.jobs import NotificationJob
from shared.clock import utc_now
from shared.errors import IntegrationError
from shared.log import log_event
from shared.webhooks.delivery import Delivery, connection_of, parse_delivery, plan_jobs
from shared.webhooks.tally import Tally

if TYPE_CHECKING:
    from shared.connections.context import Context

log: Final = logging.getLogger(__name__)
_tally: Final = Tally()  # of this process


@dataclass(frozen=True, slots=True)
class Reply:
    """What the route answers, and the jobs that must be in the queue before it does."""

    status: int
    body: str = ""
    jobs: tuple[NotificationJob, ...] = ()


def receive(
    query: Mapping[str, str],
    path: str,
    body: bytes,
    context: Callable[[str], "Context | None"],
    *,
    sent_a_body: bool = False,
    tally: Tally = _tally,
) -> Reply:
    """Answer one call. A handshake touches neither settings nor vault nor storage: `context` is not called for it.

    `context` gives the connection of an id, None for one that there is not (any more).

    A call that is not from BC is dropped with 202, so that its sender learns nothing and BC never sees a 4xx. While
    settings or vault are unusable the answer is 503 and BC sends again (for about 18 hours). `sent_a_body`: the headers
    speak of a body; if there is none, the host has lost it (it hands chunked bodies over empty), so it must come again.
    """
    token = query.get("validationToken")
    if token is not None:
        return Reply(200, token)
    if not body:
        if sent_a_body:
            _refused(tally, "the host lost a body sent in chunks")
        return Reply(503 if sent_a_body else 200)
    try:
        connection = connection_of(path := path.lower())
        ctx = context(connection)
        if ctx is None:
            _log(Delivery(None, (), "", 1, 0), False, tally)
            return Reply(202)
        secret = ctx.webhook_secret.read()
    except IntegrationError as error:
        _refused(tally, str(error))
        return Reply(503)
    if secret is None:
        _refused(tally, "the vault holds no bc-webhook-secret yet")
        return Reply(503)
    settings = ctx.settings
    delivery = parse_delivery(
        body, path=path, secret=secret, connection=connection, state=settings.connection, api_url=settings.api_url,
        entities=ctx.catalogue.declared,
    )  # fmt: skip
    jobs = tuple(plan_jobs(delivery, ctx.new_id, connection))
    _log(delivery, bool(jobs), tally)
    return Reply(202, "", jobs)


def _log(delivery: Delivery, has_jobs: bool, tally: Tally) -> None:
    if delivery.foreign or delivery.unread:
        due = tally.add("dropped", utc_now(), foreign=delivery.foreign, unread=delivery.unread)
        if due is not None:
            log_event(log, "webhook.dropped", level=logging.WARNING, **due)
    if delivery.target is not None and has_jobs:
        log_event(
            log, "webhook.received", company=delivery.target.company, entity=delivery.target.entity.name,
            count=len(delivery.changes), kind=delivery.collection or "records",
        )  # fmt: skip


def _refused(tally: Tally, reason: str) -> None:
    due = tally.add("refused", utc_now())
    if due is not None:
        log_event(log, "webhook.refused", level=logging.ERROR, reason=reason, **due)
