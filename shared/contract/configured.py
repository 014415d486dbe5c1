"""The entities of a connection with their properties: the built-in ones, and those of BC_ENTITIES by `$metadata`."""

from collections.abc import Iterable, Mapping

from shared.business_central.entities import ENTITIES, Entity
from shared.business_central.metadata import RouteFacts, SetFacts
from shared.contract.built_in import BUILT_IN
from shared.contract.edm import Property
from shared.contract.event_schemas import Described


def configured(entities: Iterable[Entity], routes: Mapping[str, RouteFacts]) -> tuple[Described, ...]:
    """Return what is published where these entities are configured; `routes` is what is known of their API routes."""
    further = [_described(entity, routes.get(entity.route, {})) for entity in entities if entity.name not in ENTITIES]
    return (*BUILT_IN, *further)


def _described(entity: Entity, facts: RouteFacts) -> Described:
    found = facts.get(entity.entity_set)
    target = ""
    if found is not None:
        target = next((one.target for one in found.navigations if one.is_many and one.name == entity.expand), "")
    return Described(
        entity=entity, properties=_properties(found), expanded=_properties(facts.get(target)), is_pulled=entity.pull
    )


def _properties(found: SetFacts | None) -> tuple[Property, ...]:
    return () if found is None else tuple(Property(name, edm) for name, edm in found.properties.items())
