"""The AsyncAPI 3 document over the queues that others read and write."""

from collections.abc import Iterable
from typing import Any, Final

from shared.contract.edm import Schema
from shared.contract.event_schemas import Described, data_schemas, event_schemas
from shared.contract.order_schemas import order_schemas
from shared.resource_names import QUEUE_EVENTS, QUEUE_ORDERS, QUEUE_RESULTS
from shared.version import VERSION

_ABOUT: Final = (
    "Business Central's changes as CloudEvents, and sales orders into it. A queue message is base64 of UTF-8 JSON; "
    "sales-orders takes plain text, too. Numbers are to be read as decimals."
)
_EVENTS: Final = "An array of CloudEvents 1.0 (JSON batch format); what fits no message comes as one bc.batch.v1."


def document(described: Iterable[Described]) -> dict[str, Any]:
    """Return the document; its schemas are those that `?type=` serves, in terms that draft 7 knows as well."""
    rows = tuple(described)
    data = data_schemas(rows)
    named = {kind: _ref("schemas", str(schema["title"])) for kind, schema in data.items()}
    events = event_schemas(rows, named)
    records = {str(schema["title"]): schema for schema in data.values()}  # the same for every change of an entity
    batch = {"type": "array", "minItems": 1, "items": {"anyOf": [_ref("schemas", kind) for kind in events]}}
    messages = {QUEUE_EVENTS: _message(_EVENTS, batch)}
    messages |= {name: _message("", schema) for name, schema in order_schemas().items()}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Business Central Connect", "version": VERSION, "description": _ABOUT},
        "defaultContentType": "application/json",
        "servers": {"storage": {
            "host": "{account}.queue.core.windows.net", "protocol": "https",
            "description": "Azure Queue Storage, with Entra or an account key",
            "variables": {"account": {"description": "storage account of the app"}},
        }},
        "channels": {name: {"address": name, "messages": {name: _ref("messages", name)}} for name in messages},
        "operations": {
            "announceChanges": _operation("send", QUEUE_EVENTS),
            "takeOrders": _operation("receive", QUEUE_ORDERS),
            "answerOrders": _operation("send", QUEUE_RESULTS),
        },
        "components": {"messages": messages, "schemas": {**records, **events}},
    }  # fmt: skip


def _ref(part: str, name: str) -> Schema:
    return {"$ref": f"#/components/{part}/{name}"}


def _message(summary: str, payload: Schema) -> dict[str, Any]:
    return {"contentType": "application/json", "payload": payload} | ({"summary": summary} if summary else {})


def _operation(action: str, queue: str) -> dict[str, Any]:
    return {
        "action": action, "channel": {"$ref": f"#/channels/{queue}"},
        "messages": [{"$ref": f"#/channels/{queue}/messages/{queue}"}],
    }  # fmt: skip
