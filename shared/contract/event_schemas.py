"""JSON Schema 2020-12 of every event type: a pure function of entity rows and of the properties in `$metadata`.

Attributes and properties that are not named may come in addition: BC adds properties with each version, and
CloudEvents lets extensions through.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from shared.business_central.entities import Entity
from shared.contract.edm import Property, Schema, object_schema
from shared.contract.schema_urls import data_url, event_url

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
BATCH_TYPE: Final = "bc.batch.v1"
_BATCH: Final = "What does not fit a queue message: `dataref` names a blob of NDJSON, one event a line."


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """An entity row with what `$metadata` says of it."""

    entity: Entity
    properties: tuple[Property, ...]
    expanded: tuple[tuple[str, tuple[Property, ...]], ...] = ()  # navigation property -> what its records have

    @property
    def changes(self) -> tuple[str, ...]:
        """Every change that an event of it may announce, whatever the settings of today ask for."""
        pulled, posted = ("pulled",) * self.entity.pull, ("posted",) * self.entity.posts
        return (*pulled, "created", *posted, "updated", "deleted")


def record_schema(described: Described) -> Schema:
    """Return the schema of a record as Business Central sends it, expanded records inside when they are read along."""
    schema = object_schema(described.entity.event, described.properties, described.entity.key)
    for name, properties in described.expanded:
        has_id = any(one.name == "id" and not one.nullable for one in properties)
        inside = object_schema(name.removesuffix("s"), properties, "id" if has_id else "")
        schema["properties"][name] = {"type": "array", "items": inside}
    return schema


def deleted_schema(entity: Entity) -> Schema:
    """Return the schema of what is left of a deleted record."""
    return {
        "title": f"{entity.event}Deleted", "type": "object",
        "properties": {entity.key: {"type": "string", "format": "uuid"}}, "required": [entity.key],
    }  # fmt: skip


def data_schemas(described: Iterable[Described]) -> dict[str, Schema]:
    """Return event type -> schema of its `data`; of a batch, that of each line of its blob."""
    found = {
        each.entity.event_type(change): deleted_schema(each.entity) if change == "deleted" else record_schema(each)
        for each in described
        for change in each.changes
    }
    kinds = sorted(found)
    line = {
        "title": "line", "type": "object", "properties": {"type": {"enum": kinds}},
        "required": ["specversion", "id", "source", "type", "subject", "data"],
    }  # fmt: skip
    return {**found, BATCH_TYPE: line}


def event_schemas(described: Iterable[Described], data: dict[str, Schema]) -> dict[str, Schema]:
    """Return event type -> schema of the whole event; `data` is what stands for the schema of each type's data."""
    found = {}
    for each in described:
        for change in each.changes:
            kind = each.entity.event_type(change)
            found[kind] = _event_schema(
                kind, f"{each.entity.entity_set}({{id}}): {change}", rf"^{each.entity.entity_set}\([0-9a-f-]{{36}}\)$"
            )
            found[kind]["properties"] |= {"datacontenttype": {"const": "application/json"}, "data": data[kind]}
            found[kind]["required"] += ["datacontenttype", "data"]
    return {**found, BATCH_TYPE: _batch_schema()}


def published(schema: Schema, address: str) -> Schema:
    """Return a schema as it is served at its address."""
    return {"$schema": DIALECT, "$id": address, **schema}


def published_events(described: Iterable[Described], public_url: str) -> dict[str, Schema]:
    """Return event type -> its schema as `?type=` serves it."""
    rows = tuple(described)
    found = event_schemas(rows, data_schemas(rows))
    return {kind: published(schema, event_url(public_url, kind)) for kind, schema in found.items()}


def published_data(described: Iterable[Described], public_url: str) -> dict[str, Schema]:
    """Return event type -> the schema of its data as `?data=`, and so each event's `dataschema`, serves it."""
    return {kind: published(schema, data_url(public_url, kind)) for kind, schema in data_schemas(described).items()}


def _event_schema(kind: str, description: str, subject: str) -> Schema:
    return {
        "title": kind,
        "description": description,
        "type": "object",
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {"type": "string", "pattern": "^[0-9a-f]{32}$", "description": "the same change has the same id"},
            "source": {"type": "string", "format": "uri", "description": "the company in Business Central"},
            "type": {"const": kind},
            "subject": {"type": "string", "pattern": subject},
            "time": {"type": "string", "format": "date-time", "description": "left out where the record has none"},
            "dataschema": {"type": "string", "format": "uri", "description": "left out by release 0.1.0"},
            "bcreplay": {"const": True, "description": "sent once more at an operator's request, under the id it had"},
            "bcconnection": {"type": "string", "pattern": "^[a-z][a-z0-9]{0,15}$"},
        },
        "required": ["specversion", "id", "source", "type", "subject"],
    }


def _batch_schema() -> Schema:
    schema = _event_schema(BATCH_TYPE, _BATCH, ".")
    schema["properties"] |= {
        "datacontenttype": {"const": "application/x-ndjson"},
        "dataref": {"type": "string", "format": "uri-reference", "description": "absolute since release 0.2.0"},
        "count": {"type": "integer", "minimum": 1, "description": "lines of the blob"},
        "checksum": {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$", "description": "of the blob's bytes"},
        "data": False,
    }
    schema["required"] += ["dataref", "count", "checksum"]
    return schema
