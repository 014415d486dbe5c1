"""Which connection a message, a timer or a request is for; and what all of them do, side by side.

Owns the choice and nothing of the work. What names a connection that there is not (any more) is kept for its return, is
dropped and logged where the work comes back by itself, and refused where somebody waits for an answer.
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

from shared import message_text
from shared.business_central.code_text import code_of
from shared.clock import new_id
from shared.concurrency import at_once
from shared.connections.settings_reader import is_id
from shared.dead_letters import erase, frame
from shared.dead_letters.reference import read_reference
from shared.errors import ConfigError, IntegrationError, InvalidMessage
from shared.forwarding.forward import text_of
from shared.log import about, log_event
from shared.operations.stores import Stores
from shared.operations.timers import TimerJob, read_timer_job
from shared.orders.order_message import connection_of, sent_key_of
from shared.orders.order_store import OrderStore
from shared.outputs import Outputs, together
from shared.resource_names import DEFAULT_CONNECTION, QUEUE_FORWARD, QUEUE_ORDERS
from shared.services import Connection, Services

log: Final = logging.getLogger(__name__)

#: Queue -> what is done with one of its messages: body and id.
type Work = Mapping[str, Callable[[Connection, bytes, str], Outputs]]

#: Timers whose work asks Business Central: with several connections each plans in a function run of its own, so that
#: one whose environment hangs holds up nobody else's plans.
ASKING: Final = frozenset({"pull_items", "reconcile", "keep_subscriptions"})


def of_message(made: Services, queue: str, named: str) -> Connection | None:
    """Return the connection that does a queue message which names one; None where BC_CONNECTIONS does not name it.

    An order that names none, or none that there is, goes to the first, which refuses it with a result; but not while an
    entry of BC_CONNECTIONS is refused, which may be the very one that it means.

    Raises:
        ConfigError, TokenError, StoreUnavailable: that connection can't work for now; the queue delivers again.
    """
    if named in made.ids:
        return made.connection(named)
    if queue == QUEUE_FORWARD:
        return first(made)  # events of a connection that is gone are somebody's all the same
    if queue != QUEUE_ORDERS:
        return None
    if is_id(named) and made.settings.refused:
        listed = ", ".join(made.settings.refused)
        raise ConfigError({"BC_CONNECTIONS": f"names no {named}, for which an order waits, and can't use {listed}"})
    return first(made)


def do_message(made: Services, queue: str, body: bytes, message_id: str, delivery: int, work: Work) -> Outputs:
    """Do one delivery of a queue message, for the connection that it names. Raises as `taker_of` and `guarded`."""
    conn = taker_of(made, queue, body, message_id)
    if conn is None:
        return Outputs()
    return conn.counted(
        lambda: frame.guarded(
            conn.context, conn.stores.dead_letters, queue, body, message_id, delivery,
            lambda of, text, name: work[of](conn, text, name),
        )
    )  # fmt: skip


def taker_of(made: Services, queue: str, body: bytes, message_id: str) -> Connection | None:
    """Return the connection that does a message; None where it is dropped or kept. Raises as `of_message`."""
    named = named_in(queue, body)
    conn = of_message(made, queue, named)
    return None if _is_kept(made, queue, body, message_id, named) else conn


def _is_kept(made: Services, queue: str, body: bytes, message_id: str, named: str) -> bool:
    """Keep work of a connection that BC_CONNECTIONS does not name, among its own dead letters; False where none is.

    It may be out for a while only: once it is back its letters come again by themselves. What never had state, and
    what comes back anyway, is left out.

    Raises:
        ConfigError, TokenError, StoreUnavailable: the queue delivers again.
    """
    if not named or named in made.ids or queue == QUEUE_FORWARD:
        return False
    body, stores = frame.plain(body), made.absent().get(named)
    with about(named):
        if stores is None or not _is_lost_else(stores, queue, body, message_id):
            log_event(log, "page.skipped", queue=queue, reason="BC_CONNECTIONS names no such connection")
            return False
        reason = f"connection: BC_CONNECTIONS does not name {named}; this is done once it does"
        frame.dead_letter(first(made).context, stores.dead_letters, queue, body, message_id, reason, retryable=True)
    return True


def _is_lost_else(stores: Stores, queue: str, body: bytes, message_id: str) -> bool:
    """Return whether nothing but this message tells of its work: an order counts where one is stored under its key."""
    text = body.decode(errors="replace")
    if queue == QUEUE_ORDERS:  # its result may be lost, and it may be in Business Central: it must not be refused
        return bool(stores.orders.find(code_of(sent_key_of(text, message_id))))
    return read_reference(queue, body) is None and read_timer_job(text) is None


def named_in(queue: str, body: bytes) -> str:
    """Return the connection that a queue message names."""
    try:
        text = text_of(body) if queue == QUEUE_FORWARD else message_text.decode(body)
    except InvalidMessage:
        text = ""
    return connection_of(text) if queue == QUEUE_ORDERS else _member(text)


def _member(text: str) -> str:
    """Return the member `connection` of a message of ours; one without it is `default`'s."""
    try:
        members = json.loads(text)
    except (ValueError, RecursionError):
        return DEFAULT_CONNECTION
    if isinstance(members, list) and members:  # events
        members = {"connection": members[0].get("bcconnection")} if isinstance(members[0], dict) else {}
    named = members.get("connection", DEFAULT_CONNECTION) if isinstance(members, dict) else DEFAULT_CONNECTION
    return named if isinstance(named, str) else DEFAULT_CONNECTION


def only(made: Services, named: str) -> Connection:
    """Return the connection that a request names; without a name the only one.

    Raises:
        InvalidMessage: it names none that there is, or none of several.
        ConfigError, TokenError, StoreUnavailable: that one can't work for now.
    """
    if not named and len(made.ids) > 1:
        raise InvalidMessage([f"connection: is required: several are connected ({', '.join(made.ids)})"])
    return chosen(made, named or made.ids[0])[0]


def first(made: Services) -> Connection:
    """Return the first connection that can work. Raises ConfigError with why none can."""
    for connection in made.working().values():
        return connection
    return made.connection(made.ids[0])


def check(made: Services, named: str) -> None:
    """Return if the connection that a request names is there; "" names none.

    Raises:
        InvalidMessage: it is not.
    """
    if named and named not in made.ids:
        raise InvalidMessage([f"connection: must be one of: {', '.join(made.ids)}"])


def chosen(made: Services, named: str) -> list[Connection]:
    """Return the connection that a request names; all that can work when it names none.

    Raises:
        InvalidMessage: it names none that there is.
        ConfigError: the one that it names can't work, or none can.
    """
    if named:
        check(made, named)
        return [made.connection(named)]
    return list(made.working().values()) or [first(made)]


def holder_of(made: Services, named: str, key: str) -> OrderStore:
    """Return the orders among which one has a sender's key; of those asked the first when none has.

    Raises:
        InvalidMessage: several have one, or there is no such connection.
    """
    asked = [conn.stores.orders for conn in chosen(made, named)]
    holders = [orders for orders in asked if orders.find(code_of(key))]
    if len(holders) > 1:
        listed = ", ".join(orders.connection for orders in holders)
        raise InvalidMessage([f"connection: is required: several have an order of this key ({listed})"])
    return (holders or asked)[0]


def erased(made: Services, named: str, key: str) -> list[dict[str, Any]]:
    """Erase what bears an order key; return what that was in each connection that has any. Raises as `chosen`."""
    asked = [(conn.context, conn.stores.orders, conn.stores.dead_letters) for conn in chosen(made, named)]
    return [asdict(one) for stores in asked if (one := erase.erase(*stores, key)).found]


def run_timer(made: Services, function: str, work: Callable[[Connection], Outputs]) -> Outputs:
    """Do a timer's work for every connection; what one raises is logged and stops no other, were it a fault of ours.

    A timer's failure is not retried by the host anyway, and the next run is minutes away.
    """
    _log_refused(made)
    ids = list(made.settings.able)
    if len(ids) > 1 and function in ASKING:
        jobs = [TimerJob(function=function, job=new_id(), connection=one, by_timer=True) for one in ids]
        return Outputs(notifications=tuple(job.to_text() for job in jobs))

    def one(connection: str) -> Outputs:
        with about(connection):
            return _undisturbed(lambda: _counted(made.connection(connection), work), is_alone=len(ids) == 1)

    return together(at_once(one, ids, len(ids)))


def _counted(conn: Connection, work: Callable[[Connection], Outputs]) -> Outputs:
    return conn.counted(lambda: work(conn))


def _log_refused(made: Services) -> None:
    for connection, error in made.settings.refused.items():
        with about(connection):
            _log_settings(error)


def _log_settings(error: ConfigError) -> None:
    log_event(log, "settings.refused", level=logging.ERROR, faults=len(error.faults), reason=str(error))


def _undisturbed(work: Callable[[], Outputs], *, is_alone: bool) -> Outputs:
    """Return what the work sends out; nothing where it fails, which is logged.

    What nobody foresaw ends the invocation, and is seen there, but where that would cost what others send out.
    """
    try:
        return work()
    except ConfigError as error:
        _log_settings(error)
    except IntegrationError as error:
        log_event(log, "bc.failed", level=logging.WARNING, error=type(error).__name__, reason=str(error))
    except Exception as error:
        if is_alone:
            raise
        log_event(log, "bc.failed", level=logging.ERROR, error=type(error).__name__, reason=str(error))
    return Outputs()
