"""What senders are answered in the queue `sales-order-results`: one JSON object for each message (design.md 4.2)."""

import json
from collections.abc import Iterable
from typing import Final

from shared.orders.order_entry import OrderEntry, Sender
from shared.outputs import Outputs

#: Characters of an error's message; as escapes of six or twelve bytes, in base64, they fit a queue message.
_LONGEST: Final = 1000


def outcome(entry: OrderEntry) -> Outputs:
    """Return the results of an order that was created, rejected or parked: one for each message that awaits it."""
    return answer(entry, entry.senders or (Sender("", entry.key),))


def answer(entry: OrderEntry, senders: Iterable[Sender]) -> Outputs:
    """Return the results of these messages, whose order has an outcome already."""
    return Outputs(results=tuple(_result(entry, sender.sent_key) for sender in senders))


def refusal(senders: Iterable[Sender], company: str, fault: str) -> Outputs:
    """Return the results of messages that are refused and leave the order under their key as it is."""
    entry = OrderEntry(
        key="", company=company, status="rejected", message=b"", error_code="InvalidMessage", error=fault
    )  # fmt: skip
    return answer(entry, senders)


def _result(entry: OrderEntry, sent_key: str) -> str:
    error = {"code": entry.error_code, "message": entry.error[:_LONGEST]} if entry.error_code or entry.error else None
    return json.dumps({
        "orderKey": sent_key, "status": entry.status, "company": entry.company, "id": entry.order_id,
        "number": entry.number, "error": error, "correlationId": entry.correlation_id, "attempts": entry.attempts,
    })  # fmt: skip
