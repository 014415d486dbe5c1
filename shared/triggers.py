"""Between the Functions worker's objects and the use cases: what comes in becomes values, what is returned leaves.

Besides `function_app.py` only this and `webhook_trigger.py` know `azure.functions`.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import datetime
from typing import Final

import azure.functions as func

from shared import message_text, overview, resource_names, routing
from shared import services as root
from shared.changes import notification_job, page_job, plan_runs, replay
from shared.changes.jobs import NotificationJob, PageJob
from shared.contract import schema_answer
from shared.contract.built_in import described
from shared.dead_letters import frame, redrive
from shared.errors import ConfigError, IntegrationError, InvalidMessage
from shared.forwarding import forward
from shared.log import about, log_event
from shared.operations import connect_page, entity_offers, environment_facts, find, second_clock, status
from shared.operations.connect_page import ConnectPages
from shared.operations.connect_values import Reply, Request
from shared.operations.ended_sessions import EndedSessions
from shared.operations.page_actions import actions
from shared.operations.pending_sign_ins import PendingSignIns
from shared.operations.timers import read_timer_job
from shared.orders import daily_round, order_import, resume, submit
from shared.orders.asked_key import asked_key
from shared.outputs import Outputs, together
from shared.services import Connection, Services
from shared.version import VERSION
from shared.webhook_trigger import PLAIN, Texts
from shared.webhooks import keep

log: Final = logging.getLogger(__name__)


def run_timer(function: str, outputs: dict[str, Texts]) -> None:
    """Do what a timer starts, for every connection; what fails is logged and not raised."""
    try:
        made = root.services()
    except ConfigError as error:
        log_event(log, "settings.refused", level=logging.ERROR, faults=len(error.faults), reason=str(error))
        return
    _leave(routing.run_timer(made, function, lambda conn: do_timer(conn, function)), outputs)
    made.watch_queues(function)


def run_queue(msg: func.QueueMessage, queue: str, outputs: dict[str, Texts]) -> None:
    """Do the work of one queue message; raising leaves the message to the queue."""
    made = root.services()
    outgoing = routing.do_message(made, queue, msg.get_body(), str(msg.id or ""), msg.dequeue_count or 1, WORK)
    outgoing = replace(outgoing, notifications=outgoing.notifications + made.second_clock.look())
    _leave(outgoing, outputs)


def run_poison(msg: func.QueueMessage, queue: str) -> None:
    """Keep a poison message as a dead letter."""
    conn = routing.taker_of(root.services(), queue, msg.get_body(), str(msg.id or ""))
    if conn is not None:
        with about(conn.id):
            do_poison(conn, queue, msg.get_body(), str(msg.id or ""))


def _leave(outgoing: Outputs, outputs: dict[str, Texts]) -> None:
    for queue, messages in outgoing.by_queue().items():
        if messages:
            outputs[queue].set([message_text.encode(text) for text in messages])


def pull_items(conn: Connection) -> Outputs:
    """Plan the scheduled pull of items."""
    return plan_runs.pull_items(conn.context, conn.stores.changes)


def reconcile(conn: Connection) -> Outputs:
    """Plan the reconcile."""
    return plan_runs.reconcile(conn.context, conn.stores.changes)


def keep_subscriptions(conn: Connection) -> Outputs:
    """Keep the webhooks."""
    return keep.keep_subscriptions(conn.context, conn.stores.notes, conn.stores.changes)


def do_page_job(conn: Connection, body: bytes, message_id: str) -> Outputs:
    """Do one page job."""
    return page_job.read(conn.context, conn.stores.changes, PageJob.from_text(message_text.decode(body)), message_id)


def do_notification_job(conn: Connection, body: bytes, message_id: str) -> Outputs:  # noqa: ARG001 - one shape for all queues
    """Do one notification job, or the work of a timer that is overdue."""
    text = message_text.decode(body)
    timer = read_timer_job(text)
    if timer is not None:
        return do_overdue(conn, timer.function, by_timer=timer.by_timer)
    return notification_job.process(conn.context, conn.stores.changes, NotificationJob.from_text(text))


def do_order(conn: Connection, body: bytes, message_id: str) -> Outputs:
    """Post one sales order."""
    woken = resume.wake(conn.context, conn.stores.orders, body, message_id)
    return submit.submit(conn.context, conn.stores.orders, body, message_id) if woken is None else woken


def do_resume(conn: Connection, body: bytes, message_id: str) -> Outputs:
    """Go on with one stored order."""
    return resume.resume(conn.context, conn.stores.orders, body, message_id)


def do_forward(conn: Connection, body: bytes, message_id: str) -> Outputs:
    """Send a message of events on."""
    return forward.forward(conn.forwarding, body, message_id, _dead_letters_of(conn))


def _dead_letters_of(conn: Connection) -> forward.DeadLetters:
    ctx, letters, queue = conn.context, conn.stores.dead_letters, resource_names.QUEUE_FORWARD
    return lambda name, body, reason: frame.dead_letter(ctx, letters, queue, body, name, reason, retryable=False)


#: Queue -> what is done with one of its messages.
WORK: Final[dict[str, Callable[[Connection, bytes, str], Outputs]]] = {
    resource_names.QUEUE_PAGES: do_page_job,
    resource_names.QUEUE_NOTIFICATIONS: do_notification_job,
    resource_names.QUEUE_ORDERS: do_order,
    resource_names.QUEUE_ORDER_RESUMES: do_resume,
    resource_names.QUEUE_FORWARD: do_forward,
}


def retry(conn: Connection) -> Outputs:
    """Retry waiting orders, events and dead letters whose time has come, and put pages again that nobody moves.

    Goes on with the daily round over the orders.
    """
    daily_round.go_on(conn.context, conn.stores.orders, conn.stores.book)
    pages = plan_runs.put_lost_again(conn.context, conn.stores.changes)  # before anything is taken that it could cost
    orders, events = resume.due(conn.stores.orders, conn.context.now()), forward.due(conn.forwarding)
    letters = redrive.retry_due(conn.context, conn.stores.dead_letters)
    return together([orders, events, letters, pages])


#: What each timer does.
TIMERS: Final[dict[str, Callable[[Connection], Outputs]]] = {
    "pull_items": pull_items,
    "reconcile": reconcile,
    "keep_subscriptions": keep_subscriptions,
    "retry_sales_orders": retry,
}


def do_timer(conn: Connection, function: str, *, by_timer: bool = True) -> Outputs:
    """Do the work of a timer, unless a run of it is at work."""
    timer = next(timer for timer in conn.timers if timer.function == function)
    work = TIMERS[function]
    return second_clock.run_once(conn.stores.timers, timer, lambda: work(conn), now=conn.context.now, by_timer=by_timer)


def do_overdue(conn: Connection, function: str, *, by_timer: bool = False) -> Outputs:
    """Do the work of a timer that was sent for; what fails is sent for again, and no dead letter."""
    try:
        return do_timer(conn, function, by_timer=by_timer)
    except IntegrationError as error:
        log_event(log, "bc.failed", level=logging.WARNING, error=type(error).__name__, reason=str(error))
        return Outputs()


def do_poison(conn: Connection, queue: str, body: bytes, message_id: str) -> Outputs:
    """Keep a poison message as a dead letter, unless it runs a timer's work: what is overdue is sent for again."""
    timer = read_timer_job(frame.plain(body).decode(errors="replace"))
    if queue == resource_names.QUEUE_NOTIFICATIONS and timer is not None:
        log_event(
            log, "timer.skipped", kind=timer.function, reason="workers died on it too often; it is sent for again"
        )
        return Outputs()
    if queue == resource_names.QUEUE_FORWARD and forward.give_up(conn.forwarding, body, _dead_letters_of(conn)):
        return Outputs()
    return frame.dead_letter_poison(conn.context, conn.stores.dead_letters, conn.stores.orders, queue, body, message_id)


def show_health(outputs: dict[str, Texts]) -> func.HttpResponse:
    """Answer `health`: the app is up, and its version; whoever asks is a clock that runs what is overdue."""
    try:
        _leave(Outputs(notifications=root.services().second_clock.look()), outputs)
    except IntegrationError as error:
        log_event(log, "bc.failed", level=logging.WARNING, error=type(error).__name__, reason=str(error))
    return func.HttpResponse(f"up {VERSION}", mimetype="text/plain", headers=PLAIN)


def show_status(req: func.HttpRequest) -> func.HttpResponse:
    """Answer `status`, `?doctor=1`, `?entities=1` or `?facts=1`, of one connection, or several in short."""
    named, key = _named(req), str(req.params.get("key", ""))
    if req.params.get("facts", "").lower() in {"1", "true"}:
        return _json_or_error(lambda: environment_facts.collected(routing.only(root.services(), named).context))
    if req.params.get("entities", "").lower() in {"1", "true"}:
        return _json_or_error(lambda: entity_offers.offered(routing.only(root.services(), named).context))
    if req.params.get("doctor", "").lower() not in {"1", "true"}:
        return _json_or_error(lambda: asdict(overview.status_of(root.services(), named, key)))
    try:
        report = overview.examine(root.services(), named)
    except ConfigError as error:
        report = root.refused(error)
    except IntegrationError as error:
        return _json({"error": str(error)}, 400 if isinstance(error, InvalidMessage) else 503)
    return _json(asdict(report) | {"is_healthy": report.is_healthy}, 200)


def find_key(req: func.HttpRequest) -> func.HttpResponse:
    """Answer `find?key=...` with what is known of an order key, record id or record number."""

    def look() -> object:
        conn = routing.only(root.services(), _named(req))
        return asdict(find.find(conn.context, conn.stores, *(str(req.params.get(n, "")) for n in ("key", "company"))))

    return _json_or_error(look)


def replay_events(req: func.HttpRequest, outputs: dict[str, Texts]) -> func.HttpResponse:
    """Answer `replay?entity=...&company=...&since=...`: send what was announced once more."""

    def act() -> object:
        conn = routing.only(root.services(), _named(req))
        entity, company, since = (str(req.params.get(name, "")) for name in ("entity", "company", "since"))
        ask = replay.parse_ask(conn.context.catalogue.resolved().entities, entity, company, since, conn.context.now())
        runs, outgoing = replay.start(conn.context, conn.stores.changes, ask)
        _leave(outgoing, outputs)
        return {"since": ask.since, "runs": [asdict(run) for run in runs]}

    return _json_or_error(act)


def show_schema(req: func.HttpRequest) -> func.HttpResponse:
    """Answer `schema`: the AsyncAPI document, or with `?type=` or `?data=` one schema."""

    def found() -> object:
        ctx = routing.chosen(root.services(), _named(req))[0].context
        rows = described(ctx.catalogue.resolved().entities, ctx.catalogue.facts())
        return schema_answer.answer(rows, ctx.settings.public_url, req.params)

    return _json_or_error(found)


def show_order(req: func.HttpRequest) -> func.HttpResponse:
    """Answer `orders?key=...` and, for simple keys, `orders/{key}` with the story of an order."""

    def story() -> object:
        key = asked_key(req.params, req.route_params, "GET /api/orders?key=<key>")
        asked = routing.chosen(root.services(), _named(req))
        return [one for conn in asked for one in status.order_story(conn.stores.orders, key)]

    return _json_or_error(story)


def redrive_order(req: func.HttpRequest, outputs: dict[str, Texts]) -> func.HttpResponse:
    """Answer `orders/redrive?key=...` and, for simple keys, `orders/{key}/redrive`."""

    def act() -> object:
        key = asked_key(req.params, req.route_params, "POST /api/orders/redrive?key=<key>")
        orders = routing.holder_of(root.services(), _named(req), key)
        found, outgoing = resume.redrive(orders, key)
        _leave(outgoing, outputs)
        told = {"orderKey": key, "connection": orders.connection, "found": found, "redriven": len(outgoing.resumes)}
        return told if found else []

    return _json_or_error(act)


def erase_order(req: func.HttpRequest) -> func.HttpResponse:
    """Answer `orders/erase?key=...`: what orders and dead letters of a key held is forgotten."""
    way = "POST /api/orders/erase?key=<key>"
    return _json_or_error(lambda: routing.erased(root.services(), _named(req), asked_key(req.params, {}, way)))


def import_orders(req: func.HttpRequest) -> func.HttpResponse:
    """Answer `orders/import?day=...`: add orders of the order book that are missing; go on while it names a `next`.

    Without a day: which books there are.
    """

    def act() -> object:
        conn = routing.only(root.services(), _named(req))
        asked = [str(req.params.get(name, "")) for name in ("day", "next")]
        if not any(asked):
            return order_import.books(conn.context, conn.stores.book)
        return asdict(order_import.bring_back(conn.context, conn.stores.orders, conn.stores.book, *asked))

    return _json_or_error(act)


def _named(req: func.HttpRequest) -> str:
    """Return the connection that a request names, "" for none."""
    return str(req.params.get("connection", ""))


def _json_or_error(answer: Callable[[], object]) -> func.HttpResponse:
    try:
        found = answer()
    except ConfigError as error:
        return _json({"error": str(error), "settings": error.faults}, 503)
    except InvalidMessage as error:
        return _json({"error": str(error)}, 400)
    except IntegrationError as error:
        return _json({"error": str(error)}, 503)
    return _json(found, 404 if found == [] else 200)


def _json(value: object, code: int) -> func.HttpResponse:
    text = json.dumps(value, default=_encode, indent=1)
    return func.HttpResponse(text, status_code=code, mimetype="application/json", headers=PLAIN)


def _encode(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    raise TypeError(f"{type(value).__name__} has no JSON form here")


# -- The connect page


def open_connect(req: func.HttpRequest) -> str:
    """Answer `connect`, which a function key protects."""
    return _page(req, lambda open_pages, _: connect_page.open_page(open_pages), {}, has_key=True)


def show_connect_page(req: func.HttpRequest, outputs: dict[str, Texts]) -> str:
    """Answer `connect/start`: the page and its buttons."""
    return _page(req, connect_page.page, outputs)


def connect_callback(req: func.HttpRequest) -> str:
    """Answer `connect/callback`, to which Entra sends the browser back."""
    return _page(req, connect_page.callback, {})


def _page(
    req: func.HttpRequest,
    answer: Callable[[Callable[[], ConnectPages], Request], Reply],
    outputs: dict[str, Texts],
    *,
    has_key: bool = False,
) -> str:
    """Answer with a text that the host makes a response of, so that its headers leave as they were written."""
    leaving: list[Outputs] = []
    request = Request(
        method=req.method, query=dict(req.params), body=req.get_body(), cookie=req.headers.get("cookie", "")
    )
    named = _named(req)
    reply = answer(lambda: _pages(root.services(), named, leaving, has_key=has_key), request)
    _leave(together(leaving), outputs)
    return reply.to_text(req.url)


def _pages(made: Services, named: str, leaving: list[Outputs], *, has_key: bool) -> ConnectPages:
    conn = routing.chosen(made, named)[0]
    ctx, stores = conn.context, conn.stores
    return ConnectPages(
        connection=conn.id,
        connections=(lambda: overview.in_short(made)) if len(made.ids) > 1 else None,
        sign_in=made.tokens,
        pending=PendingSignIns(made.connections, made.states()),
        public_url=ctx.settings.public_url,
        ended=EndedSessions(made.connections),
        key=made.session_key(make=has_key),
        view=lambda key: overview.in_full(made, conn.id, key),
        find=lambda key: find.find_in_time(ctx, stores, key),
        do=actions(ctx, stores, leaving.append, lambda name: _sync(conn, name)),
        now=ctx.now,
        new_id=ctx.new_id,
    )


def _sync(conn: Connection, function: str) -> Outputs:
    return conn.counted(lambda: do_timer(conn, function, by_timer=False))
