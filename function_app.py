"""Every trigger of the app, grouped by capability: wiring and no logic.

Importing reads no setting and opens no connection; it only tunes the process. Outputs leave through bindings, which
the host writes after a function has returned, all at once and in no order; the use cases are made for that.
"""

import typing

import azure.functions as func

from shared import webhook_trigger
from shared.concurrency import tune
from shared.first_use import FirstUse
from shared.log import quiet_libraries
from shared.resource_names import (
    QUEUE_EVENTS,
    QUEUE_FORWARD,
    QUEUE_NOTIFICATIONS,
    QUEUE_ORDER_RESUMES,
    QUEUE_ORDERS,
    QUEUE_PAGES,
    QUEUE_RESULTS,
)
from shared.webhooks.delivery import ROUTE

if typing.TYPE_CHECKING:
    from shared import triggers
else:
    triggers = FirstUse("shared.triggers")

tune()  # before threads have heaps of their own
quiet_libraries()

STORAGE = "AzureWebJobsStorage"
#: With messageEncoding none in host.json a message reaches its function whatever its bytes are, its members untouched.
BYTES = func.DataType.BINARY
Texts = func.Out[typing.List[str]]  # noqa: UP006 - the worker fails to index func.Out[list[str]]

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)

# -- Items, shipments, invoices: pull, reconcile, snapshot


@app.timer_trigger(schedule="%BC_ITEM_PULL_SCHEDULE%", arg_name="timer")
@app.queue_output(arg_name="pages", queue_name=QUEUE_PAGES, connection=STORAGE)
@app.queue_output(arg_name="notifications", queue_name=QUEUE_NOTIFICATIONS, connection=STORAGE)
def pull_items(timer: func.TimerRequest, notifications: Texts, pages: Texts) -> None:
    """Plan the scheduled pull of items; of several connections in a run each."""
    triggers.run_timer("pull_items", {QUEUE_NOTIFICATIONS: notifications, QUEUE_PAGES: pages})


@app.timer_trigger(schedule="%BC_RECONCILE_SCHEDULE%", arg_name="timer")
@app.queue_output(arg_name="pages", queue_name=QUEUE_PAGES, connection=STORAGE)
@app.queue_output(arg_name="notifications", queue_name=QUEUE_NOTIFICATIONS, connection=STORAGE)
def reconcile(timer: func.TimerRequest, notifications: Texts, pages: Texts) -> None:
    """Plan the read of what no notification announced; of several connections in a run each."""
    triggers.run_timer("reconcile", {QUEUE_NOTIFICATIONS: notifications, QUEUE_PAGES: pages})


@app.queue_trigger(arg_name="msg", queue_name=QUEUE_PAGES, connection=STORAGE, data_type=BYTES)
@app.queue_output(arg_name="events", queue_name=QUEUE_EVENTS, connection=STORAGE)
@app.queue_output(arg_name="forwards", queue_name=QUEUE_FORWARD, connection=STORAGE)
@app.queue_output(arg_name="notifications", queue_name=QUEUE_NOTIFICATIONS, connection=STORAGE)
@app.queue_output(arg_name="pages", queue_name=QUEUE_PAGES, connection=STORAGE)
def read_page(msg: func.QueueMessage, events: Texts, forwards: Texts, notifications: Texts, pages: Texts) -> None:
    """Read one page of a run."""
    outputs = {
        QUEUE_EVENTS: events, QUEUE_FORWARD: forwards, QUEUE_NOTIFICATIONS: notifications, QUEUE_PAGES: pages,
    }  # fmt: skip
    triggers.run_queue(msg, QUEUE_PAGES, outputs)


# -- Webhooks


#: All of them, as a method that is not listed gets a 404 from the host, after which BC deletes the subscriptions.
ANY_METHOD = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]


@app.route(ROUTE + "/{*subscription}", methods=ANY_METHOD, auth_level=func.AuthLevel.ANONYMOUS)
@app.queue_output(arg_name="notifications", queue_name=QUEUE_NOTIFICATIONS, connection=STORAGE)
def bc_notifications(req: func.HttpRequest, notifications: Texts) -> func.HttpResponse:
    """Answer the handshake; take notifications into the queue."""
    return webhook_trigger.receive_notification(req, notifications)


@app.queue_trigger(arg_name="msg", queue_name=QUEUE_NOTIFICATIONS, connection=STORAGE, data_type=BYTES)
@app.queue_output(arg_name="events", queue_name=QUEUE_EVENTS, connection=STORAGE)
@app.queue_output(arg_name="forwards", queue_name=QUEUE_FORWARD, connection=STORAGE)
@app.queue_output(arg_name="pages", queue_name=QUEUE_PAGES, connection=STORAGE)
@app.queue_output(arg_name="notifications", queue_name=QUEUE_NOTIFICATIONS, connection=STORAGE)
@app.queue_output(arg_name="resumes", queue_name=QUEUE_ORDER_RESUMES, connection=STORAGE)
def process_notifications(
    msg: func.QueueMessage, events: Texts, forwards: Texts, pages: Texts, notifications: Texts, resumes: Texts
) -> None:
    """Read the records behind notifications and announce them; do the work of timers that have stopped."""
    outputs = {
        QUEUE_EVENTS: events, QUEUE_FORWARD: forwards, QUEUE_PAGES: pages, QUEUE_NOTIFICATIONS: notifications,
        QUEUE_ORDER_RESUMES: resumes,
    }  # fmt: skip
    triggers.run_queue(msg, QUEUE_NOTIFICATIONS, outputs)


@app.timer_trigger(schedule="%BC_SUBSCRIPTION_SCHEDULE%", arg_name="timer")
@app.queue_output(arg_name="pages", queue_name=QUEUE_PAGES, connection=STORAGE)
@app.queue_output(arg_name="notifications", queue_name=QUEUE_NOTIFICATIONS, connection=STORAGE)
def keep_subscriptions(timer: func.TimerRequest, notifications: Texts, pages: Texts) -> None:
    """Register, renew, rebuild and remove webhooks; of several connections in a run each."""
    triggers.run_timer("keep_subscriptions", {QUEUE_NOTIFICATIONS: notifications, QUEUE_PAGES: pages})


# -- Sales orders


@app.queue_trigger(arg_name="msg", queue_name=QUEUE_ORDERS, connection=STORAGE, data_type=BYTES)
@app.queue_output(arg_name="results", queue_name=QUEUE_RESULTS, connection=STORAGE)
@app.queue_output(arg_name="notifications", queue_name=QUEUE_NOTIFICATIONS, connection=STORAGE)
def submit_sales_order(msg: func.QueueMessage, results: Texts, notifications: Texts) -> None:
    """Post a sales order, once."""
    outputs = {QUEUE_RESULTS: results, QUEUE_NOTIFICATIONS: notifications}
    triggers.run_queue(msg, QUEUE_ORDERS, outputs)


@app.queue_trigger(arg_name="msg", queue_name=QUEUE_ORDER_RESUMES, connection=STORAGE, data_type=BYTES)
@app.queue_output(arg_name="results", queue_name=QUEUE_RESULTS, connection=STORAGE)
@app.queue_output(arg_name="notifications", queue_name=QUEUE_NOTIFICATIONS, connection=STORAGE)
def resume_sales_order(msg: func.QueueMessage, results: Texts, notifications: Texts) -> None:
    """Go on with a stored sales order."""
    outputs = {QUEUE_RESULTS: results, QUEUE_NOTIFICATIONS: notifications}
    triggers.run_queue(msg, QUEUE_ORDER_RESUMES, outputs)


@app.timer_trigger(schedule="0 * * * * *", arg_name="timer")
@app.queue_output(arg_name="notifications", queue_name=QUEUE_NOTIFICATIONS, connection=STORAGE)
@app.queue_output(arg_name="pages", queue_name=QUEUE_PAGES, connection=STORAGE)
@app.queue_output(arg_name="resumes", queue_name=QUEUE_ORDER_RESUMES, connection=STORAGE)
@app.queue_output(arg_name="forwards", queue_name=QUEUE_FORWARD, connection=STORAGE)
def retry_sales_orders(
    timer: func.TimerRequest, notifications: Texts, pages: Texts, resumes: Texts, forwards: Texts
) -> None:
    """Retry waiting orders, events and messages whose time has come."""
    outputs = {
        QUEUE_NOTIFICATIONS: notifications, QUEUE_PAGES: pages, QUEUE_ORDER_RESUMES: resumes, QUEUE_FORWARD: forwards,
    }  # fmt: skip
    triggers.run_timer("retry_sales_orders", outputs)


@app.queue_trigger(arg_name="msg", queue_name=QUEUE_ORDERS + "-poison", connection=STORAGE, data_type=BYTES)
def dead_letter_order(msg: func.QueueMessage) -> None:
    """Keep an order whose message failed too often as a dead letter."""
    triggers.run_poison(msg, QUEUE_ORDERS)


@app.queue_trigger(arg_name="msg", queue_name=QUEUE_ORDER_RESUMES + "-poison", connection=STORAGE, data_type=BYTES)
def dead_letter_resume(msg: func.QueueMessage) -> None:
    """Keep a message that resumes a stored order and failed too often as a dead letter."""
    triggers.run_poison(msg, QUEUE_ORDER_RESUMES)


@app.queue_trigger(arg_name="msg", queue_name=QUEUE_NOTIFICATIONS + "-poison", connection=STORAGE, data_type=BYTES)
def dead_letter_notification(msg: func.QueueMessage) -> None:
    """Keep a notification job that failed too often as a dead letter."""
    triggers.run_poison(msg, QUEUE_NOTIFICATIONS)


@app.queue_trigger(arg_name="msg", queue_name=QUEUE_PAGES + "-poison", connection=STORAGE, data_type=BYTES)
def dead_letter_page(msg: func.QueueMessage) -> None:
    """Keep a page job that failed too often as a dead letter."""
    triggers.run_poison(msg, QUEUE_PAGES)


# -- Events that go to another receiver than the queue


@app.queue_trigger(arg_name="msg", queue_name=QUEUE_FORWARD, connection=STORAGE, data_type=BYTES)
@app.queue_output(arg_name="events", queue_name=QUEUE_EVENTS, connection=STORAGE)
@app.queue_output(arg_name="forwards", queue_name=QUEUE_FORWARD, connection=STORAGE)
@app.queue_output(arg_name="notifications", queue_name=QUEUE_NOTIFICATIONS, connection=STORAGE)
def forward_events(msg: func.QueueMessage, events: Texts, forwards: Texts, notifications: Texts) -> None:
    """Send events on to Event Grid, Service Bus or an endpoint."""
    outputs = {QUEUE_EVENTS: events, QUEUE_FORWARD: forwards, QUEUE_NOTIFICATIONS: notifications}
    triggers.run_queue(msg, QUEUE_FORWARD, outputs)


@app.queue_trigger(arg_name="msg", queue_name=QUEUE_FORWARD + "-poison", connection=STORAGE, data_type=BYTES)
def dead_letter_forward(msg: func.QueueMessage) -> None:
    """Keep events that could not be sent on too often as a dead letter."""
    triggers.run_poison(msg, QUEUE_FORWARD)


# -- People: sign in, look, redrive


@app.route("connect", methods=["GET"])
def connect(req: func.HttpRequest) -> str:
    """Open the connect page for whoever has a function key."""
    return triggers.open_connect(req)


@app.route("connect/start", methods=["GET", "POST"], auth_level=func.AuthLevel.ANONYMOUS)
@app.queue_output(arg_name="notifications", queue_name=QUEUE_NOTIFICATIONS, connection=STORAGE)
@app.queue_output(arg_name="pages", queue_name=QUEUE_PAGES, connection=STORAGE)
@app.queue_output(arg_name="resumes", queue_name=QUEUE_ORDER_RESUMES, connection=STORAGE)
@app.queue_output(arg_name="forwards", queue_name=QUEUE_FORWARD, connection=STORAGE)
def connect_start(req: func.HttpRequest, notifications: Texts, pages: Texts, resumes: Texts, forwards: Texts) -> str:
    """Show the connect page and do what its buttons ask; answers to a session only."""
    outputs = {
        QUEUE_NOTIFICATIONS: notifications, QUEUE_PAGES: pages, QUEUE_ORDER_RESUMES: resumes, QUEUE_FORWARD: forwards,
    }  # fmt: skip
    return triggers.show_connect_page(req, outputs)


@app.route("connect/callback", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def connect_callback(req: func.HttpRequest) -> str:
    """Finish a sign-in."""
    return triggers.connect_callback(req)


@app.route("status", methods=["GET"])
def status(req: func.HttpRequest) -> func.HttpResponse:
    """Show an operator the whole state, or with `?doctor=1` why nothing arrives."""
    return triggers.show_status(req)


@app.route("find", methods=["GET"])
def find(req: func.HttpRequest) -> func.HttpResponse:
    """Show what is known of an order key, record id or record number: `?key=...`."""
    return triggers.find_key(req)


@app.route("replay", methods=["POST"])
@app.queue_output(arg_name="pages", queue_name=QUEUE_PAGES, connection=STORAGE)
def replay(req: func.HttpRequest, pages: Texts) -> func.HttpResponse:
    """Send once more what was announced since a time: `?entity=...&company=...&since=...`."""
    return triggers.replay_events(req, {QUEUE_PAGES: pages})


@app.route("orders/{key?}", methods=["GET"])
def show_order(req: func.HttpRequest) -> func.HttpResponse:
    """Show how far one order is."""
    return triggers.show_order(req)


@app.route("orders/{key}/redrive", methods=["POST"])
@app.queue_output(arg_name="resumes", queue_name=QUEUE_ORDER_RESUMES, connection=STORAGE)
def redrive_order(req: func.HttpRequest, resumes: Texts) -> func.HttpResponse:
    """Redrive a rejected or parked order."""
    return triggers.redrive_order(req, {QUEUE_ORDER_RESUMES: resumes})


@app.route("orders/redrive", methods=["POST"])
@app.queue_output(arg_name="resumes", queue_name=QUEUE_ORDER_RESUMES, connection=STORAGE)
def redrive_order_by_key(req: func.HttpRequest, resumes: Texts) -> func.HttpResponse:
    """Redrive a rejected or parked order, whatever characters its key has: `?key=...`."""
    return triggers.redrive_order(req, {QUEUE_ORDER_RESUMES: resumes})


@app.route("orders/erase", methods=["POST"])
def erase_order(req: func.HttpRequest) -> func.HttpResponse:
    """Forget what orders and dead letters of a key held: `?key=...`."""
    return triggers.erase_order(req)


@app.route("orders/import", methods=["POST"])
def import_orders(req: func.HttpRequest) -> func.HttpResponse:
    """Add orders that are missing from the order book of a day: `?day=...`."""
    return triggers.import_orders(req)


@app.route("schema", methods=["GET"])
def show_schema(req: func.HttpRequest) -> func.HttpResponse:
    """Show the published contract, or with `?type=` or `?data=` one schema of it."""
    return triggers.show_schema(req)


@app.route("health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@app.queue_output(arg_name="notifications", queue_name=QUEUE_NOTIFICATIONS, connection=STORAGE)
def health(req: func.HttpRequest, notifications: Texts) -> func.HttpResponse:
    """Answer that the app is up, and nothing else; run what is overdue if the timers have stopped."""
    return triggers.show_health({QUEUE_NOTIFICATIONS: notifications})
