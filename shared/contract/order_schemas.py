"""JSON Schema of what senders write to `sales-orders` and read from `sales-order-results`.

Made of the very tables that the parser of orders checks by. What a schema can't say (which member a type of line needs,
or that a text may have blanks around it) the parser says: a message that fits the schema may still be rejected by name.
"""

from collections.abc import Mapping
from typing import Any, Final

from shared.contract.edm import Schema
from shared.orders import order_fields
from shared.orders.order_message import COMPANY_LENGTH, KEY_LENGTH

_TOO_MUCH: Final = order_fields.TOO_MUCH
_KINDS: Final[dict[str, Schema]] = {
    "guid": {"type": ["string", "null"], "format": "uuid"},
    "date": {"type": ["string", "null"], "format": "date"},
    "decimal": {"type": ["number", "null"], "exclusiveMinimum": -_TOO_MUCH, "exclusiveMaximum": _TOO_MUCH},
    "bool": {"type": ["boolean", "null"]},
    "lineType": {"enum": [*order_fields.LINE_TYPES, None]},
}
_NAMED: Final = {"type": "string", "pattern": r"\S"}


def order_schemas() -> dict[str, Schema]:
    """Return queue -> the schema of its messages."""
    return {"sales-orders": _message(), "sales-order-results": _result()}


def _fields(known: Mapping[str, int | str], read_only: frozenset[str]) -> dict[str, Any]:
    written = {name: _text(kind) if isinstance(kind, int) else _KINDS[kind] for name, kind in known.items()}
    return written | dict.fromkeys(sorted(read_only), False)


def _text(longest: int) -> Schema:
    return {"type": ["string", "null"], "maxLength": longest}


def _order() -> Schema:
    line = {
        "title": "salesOrderLine", "type": "object",
        "properties": _fields(order_fields.LINE, order_fields.LINE_READ_ONLY),
    }  # fmt: skip
    return {
        "title": "salesOrder",
        "description": "What POST salesOrders of API v2.0 takes. A property that is not named here is passed on.",
        "type": "object",
        "properties": {
            **_fields(order_fields.HEADER, order_fields.HEADER_READ_ONLY),
            order_fields.LINES: {"type": "array", "items": line},
        },
        "anyOf": [
            {"required": [name], "properties": {name: _NAMED}} for name in ("customerNumber", "customerId")
        ],
    }  # fmt: skip


def _message() -> Schema:
    envelope = {
        "title": "salesOrderMessage",
        "type": "object",
        "properties": {
            "connection": _text(KEY_LENGTH) | {"description": "needed where several are connected"},
            "company": _text(COMPANY_LENGTH) | {"description": "id or name; needed where several are served"},
            "orderKey": _text(KEY_LENGTH) | {"description": "else externalDocumentNumber, else the message's id"},
            "order": _order(),
        },
        "required": ["order"],
        "additionalProperties": False,
    }
    bare = _order()
    bare["properties"] |= {"id": {}, "order": False}  # BC has its own answer to the id
    bare["title"] = "bareSalesOrder"
    return {"title": "sales-orders", "oneOf": [envelope, bare]}


def _result() -> Schema:
    text = {"type": "string"}
    error = {
        "title": "orderError", "type": ["object", "null"], "properties": {"code": text, "message": text},
        "required": ["code", "message"], "description": "Business Central's own, or one of ours; null when created",
    }  # fmt: skip
    members: Schema = {
        "orderKey": text | {"description": "as it was sent"},
        "status": {"enum": ["created", "rejected", "parked"]},
        "company": text | {"description": "id; empty when none was found"},
        "id": text | {"description": "of the order in Business Central; empty when there is none"},
        "number": text,
        "error": error,
        "correlationId": text | {"description": "of the request in Business Central's telemetry"},
        "attempts": {"type": "integer", "minimum": 0},
    }
    return {
        "title": "salesOrderResult", "type": "object", "required": list(members),
        "properties": {"connection": text, **members},
    }  # fmt: skip
