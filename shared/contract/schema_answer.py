"""What `GET /api/schema` answers: the AsyncAPI document, or one schema by name."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from shared.contract.async_api import document
from shared.contract.edm import Schema
from shared.contract.event_schemas import Described, published, published_data, published_events
from shared.contract.order_schemas import order_schemas
from shared.contract.schema_urls import event_url
from shared.errors import InvalidMessage


def answer(described: Iterable[Described], public_url: str, asked: Mapping[str, str]) -> dict[str, Any]:
    """Return the schema of a message (asked by `type`), of the data of an event (by `data`), or the whole document.

    Raises:
        InvalidMessage: nothing is published under that name.
    """
    rows = tuple(described)
    if asked.get("data"):
        return _named("data", asked["data"], published_data(rows, public_url))
    if asked.get("type"):
        queues = {name: published(schema, event_url(public_url, name)) for name, schema in order_schemas().items()}
        return _named("type", asked["type"], published_events(rows, public_url) | queues)
    return document(rows)


def _named(parameter: str, name: str, schemas: Mapping[str, Schema]) -> Schema:
    if name in schemas:
        return schemas[name]
    near = get_close_matches(name, schemas, n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(schemas)}"
    raise InvalidMessage([f"{parameter}: no schema is published as `{name[:60]}`; {hint}"])
