"""What senders are answered in the queue `sales-order-results`: one JSON object for each message (design.md 4.2)."""

import json
from collections.abc import Iterable
from typing import Final

from shared.orders.order_entry import OrderEntry, Sender
from shared.outputs import Outputs

#: Characters of an error's message; as escapes of six or twelve bytes, in base64, they fit a queue message.
_LONGEST: Final = 1000


def outcome(connection: str, entry: OrderEntry) -> Outputs:
    """Return the results of an order that was created, rejected or parked: one for each message that awaits it."""
    return answer(connection, entry, entry.senders or (Sender("", entry.key),))


def answer(connection: str, entry: OrderEntry, senders: Iterable[Sender]) -> Outputs:
    """Return the results of these messages, whose order has an outcome already; `connection` is an id."""
    return Outputs(results=tuple(_result(connection, entry, sender.sent_key) for sender in senders))


def refusal(connection: str, senders: Iterable[Sender], company: str, fault: str) -> Outputs:
    """Return the results of messages that are refused and leave the order under their key as it is."""
    entry = OrderEntry(
        key="", company=company, status="rejected", message=b"", error_code="InvalidMessage", error=fault
    )  # fmt: skip
    return answer(connection, entry, senders)


def _result(connection: str, entry: OrderEntry, sent_key: str) -> str:
    error = {"code": entry.error_code, "message": entry.error[:_LONGEST]} if entry.error_code or entry.error else None
    return json.dumps({
        "connection": connection, "orderKey": sent_key, "status": entry.status, "company": entry.company,
        "id": entry.order_id, "number": entry.number, "error": error, "correlationId": entry.correlation_id,
        "attempts": entry.attempts,
    })  # fmt: skip
