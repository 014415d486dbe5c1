"""Where schemas are published, and so what they are called: `GET /api/schema` of the app whose events they describe.

An address names one event type for good: what is incompatible gets another type (`.v2`), and so another address.
"""

from typing import Final

ROUTE: Final = "schema"


def event_url(public_url: str, name: str) -> str:
    """Return the address of the schema of a whole message: an event type, `sales-orders` or `sales-order-results`."""
    return f"{public_url}/api/{ROUTE}?type={name}"


def data_url(public_url: str, event_type: str = "") -> str:
    """Return what an event's `dataschema` says: the schema of its `data` alone, as CloudEvents defines it."""
    return f"{public_url}/api/{ROUTE}?data={event_type}"
