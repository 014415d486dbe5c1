"""What a sender is answered in the queue `sales-order-results`: one JSON object for each message (design.md 4.2)."""

import json

from shared.orders.order_entry import OrderEntry
from shared.outputs import Outputs


def outcome(entry: OrderEntry) -> Outputs:
    """Return the result of an order that was created, rejected or parked."""
    fault = (entry.error_code, entry.error) if entry.error_code or entry.error else None
    return _result(entry, entry.status, fault)


def refusal(key: str, company: str, fault: str) -> Outputs:
    """Return the result of a message that is refused and leaves the order under its key as it is."""
    entry = OrderEntry(key=key, company=company, status="rejected", message=b"")
    return _result(entry, "rejected", ("InvalidMessage", fault))


def _result(entry: OrderEntry, status: str, fault: tuple[str, str] | None) -> Outputs:
    message = {
        "orderKey": entry.key, "status": status, "company": entry.company, "id": entry.order_id,
        "number": entry.number, "error": {"code": fault[0], "message": fault[1]} if fault else None,
        "correlationId": entry.correlation_id, "attempts": entry.attempts,
    }  # fmt: skip
    return Outputs(results=(json.dumps(message),))
