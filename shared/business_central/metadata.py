"""What `$metadata` of one API route says of its entity sets: keys, properties with their types, navigations.

Pure: bytes in, values out. Knows no entity of ours; what a set is good for is decided in `shared.connections`.
Source: OData CSDL XML 4.01, as Business Central 26 writes it (one schema, one container).
"""

import json
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

_EDM: Final = "{http://docs.oasis-open.org/odata/ns/edm}"
GUID: Final = "Edm.Guid"
TEXT: Final = "Edm.String"
TIME: Final = "Edm.DateTimeOffset"
MODIFIED: Final = "lastModifiedDateTime"


@dataclass(frozen=True, slots=True)
class Navigation:
    """A navigation property."""

    name: str
    target: str  # entity set it leads to; "" when the document names none
    is_many: bool
    parent: str  # property of the target that holds this record's key; "" when the document does not say


@dataclass(frozen=True, slots=True)
class SetFacts:
    """One entity set."""

    name: str
    type_name: str  # its records in the singular: `customer`
    keys: tuple[str, ...]
    properties: Mapping[str, str]  # name -> EDM type
    navigations: tuple[Navigation, ...]
    in_company: bool  # lies in a company, so that its records can be watched

    @property
    def has_times(self) -> bool:
        """Whether a delta can be read."""
        return self.properties.get(MODIFIED) == TIME

    @property
    def expandable(self) -> tuple[str, ...]:
        """Names of what `$expand` brings as lists."""
        return tuple(navigation.name for navigation in self.navigations if navigation.is_many)


type RouteFacts = Mapping[str, SetFacts]


def read_metadata(document: bytes) -> dict[str, SetFacts]:
    """Return the entity sets of a `$metadata` document by name.

    Raises:
        ValueError: not a CSDL document with a schema and a container, in UTF-8.
    """
    text = document.decode("utf-8-sig")  # in another encoding a document type would look otherwise
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("$metadata holds a document type")
    try:
        root = ET.fromstring(text)  # noqa: S314 - without a document type there are no entities to expand
    except ET.ParseError as error:
        raise ValueError("$metadata is not XML") from error
    types = {str(one.get("Name")): one for one in root.iter(f"{_EDM}EntityType")}
    sets = {str(one.get("Name")): _last(one.get("EntityType")) for one in root.iter(f"{_EDM}EntitySet")}
    if not sets:
        raise ValueError("$metadata names no entity set")
    set_of: dict[str, str] = {}
    for name, type_name in sets.items():
        set_of.setdefault(type_name, name)
    company = types.get(sets.get("companies", ""))
    contained = {str(one.get("Name")) for one in ([] if company is None else company.iter(f"{_EDM}NavigationProperty"))}
    return {
        name: _facts(name, type_name, types[type_name], set_of, in_company=name in contained)
        for name, type_name in sets.items()
        if type_name in types
    }


def _facts(name: str, type_name: str, found: ET.Element, set_of: Mapping[str, str], *, in_company: bool) -> SetFacts:
    return SetFacts(
        name=name,
        type_name=type_name,
        keys=tuple(str(one.get("Name")) for one in found.iterfind(f"{_EDM}Key/{_EDM}PropertyRef")),
        properties={str(one.get("Name")): str(one.get("Type")) for one in found.iterfind(f"{_EDM}Property")},
        navigations=tuple(_navigation(one, set_of) for one in found.iterfind(f"{_EDM}NavigationProperty")),
        in_company=in_company,
    )


def _navigation(found: ET.Element, set_of: Mapping[str, str]) -> Navigation:
    kind = str(found.get("Type"))
    pairs = [
        (one.get("Property"), str(one.get("ReferencedProperty")))
        for one in found.iterfind(f"{_EDM}ReferentialConstraint")
    ]
    return Navigation(
        name=str(found.get("Name")),
        target=set_of.get(_last(kind.removesuffix(")")), ""),
        is_many=kind.startswith("Collection("),
        parent=pairs[0][1] if len(pairs) == 1 else "",
    )


def _last(name: str | None) -> str:
    return str(name).rpartition(".")[2]


def to_json(facts: RouteFacts) -> bytes:
    """Return the facts as they are stored."""
    return json.dumps([asdict(one) for one in facts.values()], separators=(",", ":")).encode()


def from_json(text: bytes) -> dict[str, SetFacts]:
    """Read what `to_json` made.

    Raises:
        ValueError: it did not.
    """
    try:
        return {
            one["name"]: SetFacts(
                name=one["name"], type_name=one["type_name"], keys=tuple(one["keys"]), properties=one["properties"],
                navigations=tuple(Navigation(**navigation) for navigation in one["navigations"]),
                in_company=one["in_company"],
            )
            for one in json.loads(text)
        }  # fmt: skip
    except (KeyError, TypeError) as error:
        raise ValueError("not stored facts of a route") from error
