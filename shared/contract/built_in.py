"""Describes the entities of a connection: the built-in ones by the table that comes along, others by `$metadata`."""

from collections.abc import Iterable, Mapping
from typing import Final

from shared.business_central.entities import ENTITIES, STANDARD_ROUTE, Entity
from shared.business_central.metadata import RouteFacts
from shared.contract.api_v2_types import TYPES
from shared.contract.edm import Property
from shared.contract.event_schemas import Described


def described(entities: Iterable[Entity], routes: Mapping[str, RouteFacts]) -> tuple[Described, ...]:
    """Return the built-in entities and these; a built-in one that is not among them may have events in the queue.

    `routes`: API route -> what its `$metadata` says, as far as it is known.
    """
    rows = {**ENTITIES, **{entity.name: entity for entity in entities}}
    return tuple(_described(entity, routes.get(entity.route, {})) for entity in rows.values())


def _described(entity: Entity, facts: RouteFacts) -> Described:
    names = [name for name in entity.expand.split(",") if name]
    found = facts.get(entity.entity_set)
    targets = {} if found is None else {navigation.name: navigation.target for navigation in found.navigations}
    read = frozenset(entity.select)
    own = [one for one in _properties(entity, facts, entity.entity_set) if not read or one.name in read]
    expanded = tuple((name, _properties(entity, facts, targets.get(name, ""), name)) for name in names)
    return Described(entity=entity, properties=tuple(own), expanded=expanded)


def _properties(entity: Entity, facts: RouteFacts, entity_set: str, navigation: str = "") -> tuple[Property, ...]:
    """Return the properties of a set: what comes along says more of each, `$metadata` knows more of them."""
    brought = TYPES.get(navigation or entity_set, ()) if entity.route == STANDARD_ROUTE else ()
    found = facts.get(entity_set)
    known = {} if found is None else {name: Property(name, edm) for name, edm in found.properties.items()}
    return tuple({**known, **{one.name: one for one in brought}}.values())


BUILT_IN: Final = described((), {})
