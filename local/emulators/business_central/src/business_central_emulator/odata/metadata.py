"""The service document and `$metadata`, generated from the schema tables so that they cannot disagree with the data."""

import json
from collections.abc import Iterator
from functools import cache
from xml.sax.saxutils import quoteattr

from business_central_emulator.data.schema import EDM, ENTITIES, ENUMS, Entity, Kind


def service_document(root: str) -> bytes:
    """Return the list of entity sets."""
    sets = [{"name": name, "kind": "EntitySet", "url": name} for name in ENTITIES]
    return json.dumps({"@odata.context": f"{root}/$metadata", "value": sets}).encode()


@cache
def edmx() -> bytes:
    """Return the EDMX document of what this emulator serves."""
    parts = [
        '<?xml version="1.0" encoding="utf-8"?>',
        '<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>',
        '<Schema Namespace="Microsoft.NAV" xmlns="http://docs.oasis-open.org/odata/ns/edm">',
    ]
    for entity in ENTITIES.values():
        parts.extend(_entity_type(entity))
    for name, members in ENUMS.items():
        rows = "".join(f'<Member Name={quoteattr(one)} Value="{at}"/>' for at, one in enumerate(members))
        parts.append(f"<EnumType Name={quoteattr(name)}>{rows}</EnumType>")
    parts.append('<EntityContainer Name="NAV">')
    parts.extend(
        f'<EntitySet Name="{entity.name}" EntityType="Microsoft.NAV.{entity.type_name}"/>'
        for entity in ENTITIES.values()
    )
    parts.append("</EntityContainer></Schema></edmx:DataServices></edmx:Edmx>")
    return "\n".join(parts).encode()


def _entity_type(entity: Entity) -> Iterator[str]:
    yield f'<EntityType Name="{entity.type_name}"><Key><PropertyRef Name="{entity.key}"/></Key>'
    for column in entity.columns:
        if column.hidden:
            continue
        kind = f"Microsoft.NAV.{column.enum}" if column.kind is Kind.ENUM else EDM[column.kind]
        length = f' MaxLength="{column.length}"' if column.length else ""
        yield f'<Property Name="{column.name}" Type="{kind}"{length}/>'
    if entity.name == "companies":
        for other in ENTITIES.values():
            if other.scoped:
                kind = f"Collection(Microsoft.NAV.{other.type_name})"
                yield f'<NavigationProperty Name="{other.name}" Type="{kind}" ContainsTarget="true"/>'
    for nav in entity.navs:
        target = f"Microsoft.NAV.{ENTITIES[nav.target].type_name}"
        kind = f"Collection({target})" if nav.many else target
        yield f'<NavigationProperty Name="{nav.name}" Type="{kind}" ContainsTarget="true"/>'
    yield "</EntityType>"
