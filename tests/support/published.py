"""The published schemas as compiled validators: what an event or a result is judged by, wherever it was seen (P23)."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import jsonschema_rs

from shared.contract.built_in import BUILT_IN
from shared.contract.edm import Schema
from shared.contract.event_schemas import Described, published_data, published_events
from shared.contract.order_schemas import order_schemas
from shared.contract.schema_urls import data_url

#: Any address will do: no rule of a schema depends on it.
PUBLIC_URL = "https://connect.example"


class Validators:
    """Compiled schemas by name; formats are rules, too."""

    def __init__(self, schemas: Mapping[str, Schema]) -> None:
        """Compile them."""
        self._made = {
            name: jsonschema_rs.Draft202012Validator(dict(schema), validate_formats=True)
            for name, schema in schemas.items()
        }

    def faults(self, name: str, value: Any) -> Iterator[str]:
        """Yield what is wrong with a value, each with its place; a name that nothing is published under is a fault."""
        if name not in self._made:
            yield f"nothing is published as {name}"
        elif not self._made[name].is_valid(value):
            yield from (f"{name} {each.instance_path}: {each.message}" for each in self._made[name].iter_errors(value))


@cache
def _judges(described: tuple[Described, ...]) -> tuple[Validators, Validators]:
    return Validators(published_events(described, PUBLIC_URL)), Validators(published_data(described, PUBLIC_URL))


@cache
def queues() -> Validators:
    """The schemas of `sales-orders` and `sales-order-results`."""
    return Validators(order_schemas())


def event_faults(event: dict[str, Any], described: tuple[Described, ...] = BUILT_IN) -> list[str]:
    """What is wrong with an event of this release: its schema, that of its data, and the schema that it names."""
    kind, (events, data) = str(event.get("type")), _judges(described)
    found = list(events.faults(kind, event))
    if "data" in event:
        found += data.faults(kind, event["data"])
    if not str(event.get("dataschema")).endswith(data_url("", kind)):
        found.append(f"{kind} /dataschema: {event.get('dataschema')!r} is not where its schema is published")
    return found


def result_faults(result: Any) -> list[str]:
    """What is wrong with a message of `sales-order-results`."""
    return list(queues().faults("sales-order-results", result))
