"""The published schemas as compiled validators: what an event or a result is judged by, wherever it was seen (P23)."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import jsonschema_rs
from business_central_emulator import BusinessCentral, VirtualClock
from business_central_emulator.odata.metadata import edmx

from local.stack.demo import STOCK_LEVELS
from shared.business_central.metadata import read_metadata
from shared.connections.entity_entries import read_entries
from shared.connections.entity_rules import declared, resolved
from shared.contract.built_in import BUILT_IN, described
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
def _judges(rows: tuple[Described, ...]) -> tuple[Validators, Validators]:
    return Validators(published_events(rows, PUBLIC_URL)), Validators(published_data(rows, PUBLIC_URL))


@cache
def demo_rows() -> tuple[Described, ...]:
    """The built-in entities, and the one that the demo adds."""
    apis = BusinessCentral(VirtualClock(), demo_data=False, has_shop=True).environment.apis
    routes = {route: read_metadata(edmx(sets)) for route, sets in apis.items()}
    entries, _ = read_entries(json.dumps([STOCK_LEVELS]))
    entities = resolved(declared(entries, triggers=(), expanded=(), changes=frozenset()), routes).entities
    return described(entities, routes)


@cache
def queues() -> Validators:
    """The schemas of `sales-orders` and `sales-order-results`."""
    return Validators(order_schemas())


def event_faults(event: dict[str, Any], rows: tuple[Described, ...] = BUILT_IN) -> list[str]:
    """What is wrong with an event of this release: its schema, that of its data, and the schema that it names."""
    kind, (events, data) = str(event.get("type")), _judges(rows)
    found = list(events.faults(kind, event))
    if "data" in event:
        found += data.faults(kind, event["data"])
    if not str(event.get("dataschema")).endswith(data_url("", kind)):
        found.append(f"{kind} /dataschema: {event.get('dataschema')!r} is not where its schema is published")
    return found


def result_faults(result: Any) -> list[str]:
    """What is wrong with a message of `sales-order-results`."""
    return list(queues().faults("sales-order-results", result))
