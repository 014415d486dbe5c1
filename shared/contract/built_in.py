"""The built-in entities with their properties: what is published where no other entity is configured."""

from typing import Final

from shared.business_central.entities import ENTITIES, ITEMS
from shared.contract.api_v2_types import TYPES
from shared.contract.event_schemas import Described

BUILT_IN: Final = tuple(
    Described(entity=entity, properties=TYPES[entity.name], expanded=TYPES[entity.expand], is_pulled=entity is ITEMS)
    for entity in ENTITIES.values()
)
