"""The service document, `$metadata` and `entityDefinitions`, generated from the schema: they agree with the data."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Final
from urllib.parse import unquote_plus
from xml.sax.saxutils import quoteattr

from business_central_emulator.data import errors, facts
from business_central_emulator.data.schema import EDM, ENTITIES, STANDARD_ROUTE, Column, Entity, Kind, Nav
from business_central_emulator.odata.calls import Call, Outcome
from business_central_emulator.odata.routing import Segment

_NAMESPACE: Final = "Microsoft.NAV."
#: What `entityDefinitions` is made of; its rows are described here and nowhere stored.
_DEFINITIONS: Final = """<EntityType Name="entityMetadata"><Key><PropertyRef Name="entityName"/></Key>
<Property Name="entityName" Type="Edm.String" Nullable="false"/><Property Name="entitySetName" Type="Edm.String"/>
<Property Name="entityCaptions" Type="Collection(Microsoft.NAV.entityMetadataLabel)"/>
<Property Name="entitySetCaptions" Type="Collection(Microsoft.NAV.entityMetadataLabel)"/>
<Property Name="properties" Type="Collection(Microsoft.NAV.entityMetadataField)"/>
<Property Name="actions" Type="Collection(Microsoft.NAV.entityMetadataAction)"/>
<Property Name="enumMembers" Type="Collection(Microsoft.NAV.entityMetadataEnumMember)"/></EntityType>
<ComplexType Name="entityMetadataLabel"><Property Name="languageCode" Type="Edm.Int32" Nullable="false"/>
<Property Name="caption" Type="Edm.String" Nullable="false"/></ComplexType>
<ComplexType Name="entityMetadataField"><Property Name="name" Type="Edm.String" Nullable="false"/>
<Property Name="captions" Type="Collection(Microsoft.NAV.entityMetadataLabel)"/></ComplexType>
<ComplexType Name="entityMetadataAction"><Property Name="name" Type="Edm.String" Nullable="false"/>
<Property Name="captions" Type="Collection(Microsoft.NAV.entityMetadataLabel)"/></ComplexType>
<ComplexType Name="entityMetadataEnumMember"><Property Name="name" Type="Edm.String" Nullable="false"/>
<Property Name="value" Type="Edm.Int32" Nullable="false"/>
<Property Name="captions" Type="Collection(Microsoft.NAV.entityMetadataLabel)"/></ComplexType>"""
_ASKED: Final = re.compile(r"\$filter=(entityName|entitySetName) eq '(\w+)'")


def service_document(root: str, catalog: Mapping[str, Entity]) -> bytes:
    """Return the list of entity sets."""
    names = [*(["entityDefinitions"] if catalog is ENTITIES else []), *catalog]
    sets = [{"name": name, "kind": "EntitySet", "url": name} for name in names]
    return json.dumps({"@odata.context": f"{root}/$metadata", "value": sets}).encode()


def edmx(catalog: Mapping[str, Entity]) -> bytes:
    """Return the EDMX document of one API."""
    return _standard() if catalog is ENTITIES else _document(catalog)


def entity_definitions(call: Call, segments: list[Segment]) -> Outcome:
    """Answer a GET of `entityDefinitions`: names of sets, properties, actions and enum members, without captions."""
    if call.request.method != "GET" or len(segments) > 1:
        raise errors.NotEmulatedError("this request on entityDefinitions")
    asked = unquote_plus(call.address.query)
    found = _ASKED.fullmatch(asked)
    if asked and found is None:
        raise errors.NotEmulatedError("this query of entityDefinitions")
    rows = [_definition(entity) for entity in call.catalog.values()]
    if found is not None:
        rows = [row for row in rows if row[found[1]] == found[2]]
    body = {"@odata.context": f"{call.address.root}/$metadata#entityDefinitions", "value": rows}
    return Outcome(200, json.dumps(body).encode(), rows=len(rows))


def _definition(entity: Entity) -> dict[str, object]:
    enums = dict.fromkeys(column.enum for column in entity.columns if column.kind is Kind.ENUM)
    return {
        "entityName": entity.type_name,
        "entitySetName": entity.name,
        "entityCaptions": [],
        "entitySetCaptions": [],
        "properties": [{"name": column.name, "captions": []} for column in _shown(entity)],
        "actions": [{"name": name, "captions": []} for kind, name in facts.ACTIONS if kind == entity.type_name],
        "enumMembers": [
            {"name": name, "value": value, "captions": []}
            for enum in enums
            for name, value in facts.ENUM_VALUES[enum].items()
        ],
    }


@cache
def _standard() -> bytes:
    return _document(ENTITIES)


def _document(catalog: Mapping[str, Entity]) -> bytes:
    is_standard = catalog is ENTITIES
    parts = [
        '<?xml version="1.0" encoding="utf-8"?>',
        '<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>',
        '<Schema Namespace="Microsoft.NAV" xmlns="http://docs.oasis-open.org/odata/ns/edm">',
        *([_DEFINITIONS] if is_standard else []),
    ]
    for entity in catalog.values():
        parts.extend(_entity_type(entity, catalog))
    enums = dict.fromkeys(column.enum for entity in catalog.values() for column in entity.columns if column.enum)
    for name in enums:
        rows = "".join(
            f'<Member Name={quoteattr(one)} Value="{value}"/>' for one, value in facts.ENUM_VALUES[name].items()
        )
        parts.append(f"<EnumType Name={quoteattr(name)}>{rows}</EnumType>")
    types = {entity.type_name for entity in catalog.values()}
    for kind, action in facts.ACTIONS if is_standard else ():
        if kind in types:
            bound = f'<Parameter Name="bindingParameter" Type="{_NAMESPACE}{kind}"/>'
            parts.append(f'<Action Name="{action}" IsBound="true">{bound}</Action>')
    parts.append('<EntityContainer Name="NAV">')
    if is_standard:
        parts.append('<EntitySet Name="entityDefinitions" EntityType="Microsoft.NAV.entityMetadata"/>')
    parts.extend(_entity_set(entity) for entity in catalog.values())
    parts.append("</EntityContainer></Schema></edmx:DataServices></edmx:Edmx>")
    return "\n".join(parts).encode()


def _shown(entity: Entity) -> list[Column]:
    return [column for column in entity.columns if "h" not in column.flags]


def _entity_type(entity: Entity, catalog: Mapping[str, Entity]) -> Iterator[str]:
    fact = facts.SETS.get(entity.name) if entity.route == STANDARD_ROUTE else None
    keys = fact.keys if fact else (entity.key,)
    never_null = {*keys, *(text.split()[0] for text in fact.columns if text.endswith(" n"))} if fact else set(keys)
    refs = "".join(f'<PropertyRef Name="{key}"/>' for key in keys)
    yield f'<EntityType Name="{entity.type_name}"><Key>{refs}</Key>'
    for column in _shown(entity):
        kind = f"{_NAMESPACE}{column.enum}" if column.kind is Kind.ENUM else EDM[column.kind]
        nullable = ' Nullable="false"' if column.name in never_null else ""
        length = f' MaxLength="{column.length}"' if column.length else ""
        scale = ' Scale="Variable"' if column.kind is Kind.DECIMAL else ""
        yield f'<Property Name="{column.name}" Type="{kind}"{nullable}{length}{scale}/>'
    told = {nav.name: nav for nav in fact.navs} if fact else {}
    navs = entity.navs
    if entity.name == "companies" and catalog is not ENTITIES:  # a company contains the sets of each API
        navs = tuple(Nav(one.name, one.name, "", "", many=True) for one in catalog.values() if one.scoped)
    for nav in navs:
        if nav.target not in catalog:
            continue
        target = f"{_NAMESPACE}{catalog[nav.target].type_name}"
        kind = f"Collection({target})" if nav.many else target
        pairs = told[nav.name].pairs if nav.name in told else ((nav.local, nav.remote),) if nav.local else ()
        constraints = "".join(
            f'<ReferentialConstraint Property="{ours}" ReferencedProperty="{theirs}"/>' for ours, theirs in pairs
        )
        yield (
            f'<NavigationProperty Name="{nav.name}" Type="{kind}" ContainsTarget="true">{constraints}'
            "</NavigationProperty>"
        )
    yield "</EntityType>"


def _entity_set(entity: Entity) -> str:
    rights = {"Insert": "I" in entity.can, "Update": "U" in entity.can, "Delete": "D" in entity.can}
    refused = "".join(
        f'<Annotation Term="Org.OData.Capabilities.V1.{name}Restrictions"><Record>'
        f'<PropertyValue Property="{name.removesuffix("e")}able" Bool="false"/></Record></Annotation>'
        for name, is_given in rights.items()
        if not is_given
    )
    return f'<EntitySet Name="{entity.name}" EntityType="{_NAMESPACE}{entity.type_name}">{refused}</EntitySet>'
