"""Between the Functions worker's objects and the use cases: what comes in becomes values, what is returned leaves.

The only module besides `function_app.py` that knows `azure.functions`.
"""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

import azure.functions as func

from shared import services as root
from shared.core import names
from shared.core.jobs import NotificationJob, PageJob
from shared.core.outgoing import Outgoing
from shared.errors import ConfigError, IntegrationError
from shared.handlers import connect, doctor, notifications, orders, pages, parking, runs, status, subscriptions, webhook
from shared.handlers.connect import ConnectPages, Redriven
from shared.handlers.context import Context
from shared.log import log_event

log: Final = logging.getLogger(__name__)

type Texts = func.Out[list[str]]
_TEXT: Final = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


def run_timer(work: Callable[[Context], Outgoing], outputs: dict[str, Texts]) -> None:
    """Do what a timer starts; a login that needs a person or wrong settings are logged and not raised.

    A timer's failure is not retried by the host anyway, and the next run is minutes away.
    """
    try:
        outgoing = work(root.context())
    except ConfigError as error:
        log_event(log, "settings.refused", level=logging.ERROR, faults=len(error.faults), reason=str(error))
        return
    except IntegrationError as error:
        log_event(log, "bc.failed", level=logging.WARNING, error=type(error).__name__, reason=str(error))
        return
    _leave(outgoing, outputs)


def run_queue(
    msg: func.QueueMessage,
    queue: str,
    work: Callable[[Context, str, str], Outgoing],
    outputs: dict[str, Texts],
    blob: func.Out[bytes] | None = None,
) -> None:
    """Do the work of one queue message; raising leaves the message to the queue."""
    ctx = root.context()
    message_id = str(msg.id or "")
    body = msg.get_body()
    outgoing = parking.guarded(
        ctx, queue, body, message_id, msg.dequeue_count or 1, lambda text: work(ctx, text, message_id)
    )
    if blob is not None and outgoing.blob is not None:
        blob.set(outgoing.blob)
    _leave(outgoing, outputs)


def run_poison(msg: func.QueueMessage, queue: str) -> None:
    """Set a poison message aside."""
    parking.park_poison(root.context(), queue, msg.get_body(), str(msg.id or ""))


def _leave(outgoing: Outgoing, outputs: dict[str, Texts]) -> None:
    texts: dict[str, Sequence[str]] = {
        names.QUEUE_EVENTS: outgoing.events,
        names.QUEUE_PAGES: [job.to_text() for job in outgoing.pages],
        names.QUEUE_NOTIFICATIONS: [job.to_text() for job in outgoing.notifications],
        names.QUEUE_ORDERS: outgoing.orders,
        names.QUEUE_RESULTS: outgoing.results,
    }
    for queue, messages in texts.items():
        if messages:
            outputs[queue].set(list(messages))


def page_job(ctx: Context, text: str, message_id: str) -> Outgoing:
    """Do one page job."""
    return pages.read(ctx, PageJob.from_text(text), message_id)


def notification_job(ctx: Context, text: str, message_id: str) -> Outgoing:  # noqa: ARG001 - one shape for all queues
    """Do one notification job."""
    return notifications.process(ctx, NotificationJob.from_text(text))


def put_back(ctx: Context) -> Outgoing:
    """Put waiting orders and set-aside messages whose time has come back to their queues."""
    waiting, aside = orders.retry_due(ctx), parking.redrive_due(ctx)
    return Outgoing(orders=waiting.orders + aside.orders, pages=aside.pages, notifications=aside.notifications)


def receive_notification(req: func.HttpRequest, jobs: Texts) -> func.HttpResponse:
    """Answer the webhook route."""
    path = str(req.route_params.get("subscription", ""))
    reply = webhook.receive(req.params, path, req.get_body(), root.context)
    if reply.jobs:
        jobs.set([job.to_text() for job in reply.jobs])
    return func.HttpResponse(reply.body, status_code=reply.status, mimetype="text/plain", headers=_TEXT)


def show_status(req: func.HttpRequest) -> func.HttpResponse:
    """Answer `status` with everything as JSON; `status?doctor=1` with what the doctor finds."""
    if req.params.get("doctor", "").lower() not in {"1", "true"}:
        return _json_or_error(lambda: asdict(root.services().view()))
    try:
        report = root.services().examine()
    except ConfigError as error:
        report = doctor.refused(error, root.utc_now())
    return _json(asdict(report) | {"is_healthy": report.is_healthy}, 200)


def show_order(req: func.HttpRequest) -> func.HttpResponse:
    """Answer `orders/{key}` with the story of an order."""

    def story() -> object:
        return status.order_story(root.context(), str(req.route_params.get("key", "")))

    return _json_or_error(story)


def redrive_order(req: func.HttpRequest, outputs: dict[str, Texts]) -> func.HttpResponse:
    """Answer `orders/{key}/redrive`."""

    def act() -> object:
        key = str(req.route_params.get("key", ""))
        found, outgoing = orders.redrive(root.context(), key)
        _leave(outgoing, outputs)
        return {"orderKey": key, "found": found, "redriven": len(outgoing.orders)} if found else []

    return _json_or_error(act)


def _json_or_error(answer: Callable[[], object]) -> func.HttpResponse:
    try:
        found = answer()
    except ConfigError as error:
        return _json({"error": str(error), "settings": error.faults}, 503)
    except IntegrationError as error:
        return _json({"error": str(error)}, 503)
    return _json(found, 404 if found == [] else 200)


def _json(value: object, code: int) -> func.HttpResponse:
    text = json.dumps(value, default=_encode, indent=1)
    return func.HttpResponse(text, status_code=code, mimetype="application/json", headers=_TEXT)


def _encode(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    raise TypeError(f"{type(value).__name__} has no JSON form here")


# -- The connect page


def open_connect() -> func.HttpResponse:
    """Answer `connect`, which a function key protects."""
    return _page(connect.open_page, {})


def connect_page(req: func.HttpRequest, outputs: dict[str, Texts]) -> func.HttpResponse:
    """Answer `connect/start`: the page and its buttons."""
    form = {name: str(value) for name, value in (req.form.items() if req.method == "POST" else ())}
    request = connect.Request(
        method=req.method, query=dict(req.params), form=form, cookie=req.headers.get("cookie", "")
    )
    return _page(lambda made: connect.page(made, request), outputs)


def connect_callback(req: func.HttpRequest) -> func.HttpResponse:
    """Answer `connect/callback`, to which Entra sends the browser back."""
    return _page(lambda made: connect.callback(made, dict(req.params), req.headers.get("cookie", "")), {})


def _page(answer: Callable[[ConnectPages], connect.Reply], outputs: dict[str, Texts]) -> func.HttpResponse:
    leaving: list[Outgoing] = []
    try:
        reply = answer(_pages(root.services(), leaving))
    except IntegrationError as error:
        reply = connect.error_page(error)
    for outgoing in leaving:
        _leave(outgoing, outputs)
    headers: dict[str, Any] = dict(reply.headers)
    response = func.HttpResponse(
        reply.body, status_code=reply.status, mimetype=reply.content_type.partition(";")[0], charset="utf-8",
        headers=headers,
    )  # fmt: skip
    for cookie in reply.cookies:
        response.headers.add("Set-Cookie", cookie)
    return response


def _pages(made: root.Services, leaving: list[Outgoing]) -> ConnectPages:
    ctx = made.context

    def again_order(company: str, key: str) -> Redriven:  # noqa: ARG001 - a key names its orders in every company
        found, outgoing = orders.redrive(ctx, key)
        leaving.append(outgoing)
        return Redriven.DONE if outgoing.orders else Redriven.UNCHANGED if found else Redriven.NOT_FOUND

    def again_message(name: str) -> Redriven:
        queue, _, job = name.partition("/")
        outgoing = parking.redrive(ctx, queue, job)
        if outgoing is None:
            return Redriven.NOT_FOUND
        leaving.append(outgoing)
        return Redriven.DONE

    return ConnectPages(
        sign_in=made.tokens,
        connections=made.connections,
        connection=ctx.settings.connection,
        public_url=ctx.settings.public_url,
        key=made.session_key(),
        view=made.view,
        redrive_order=again_order,
        redrive_message=again_message,
        now=ctx.now,
        new_id=ctx.new_id,
    )


#: The use cases behind the timers.
PULL_ITEMS: Final = runs.pull_items
RECONCILE: Final = runs.reconcile
KEEP_SUBSCRIPTIONS: Final = subscriptions.keep_subscriptions
#: The use case behind the queue `sales-orders`.
ORDER: Final = orders.submit
