"""A property of an entity type as `$metadata` (EDM) declares it, and the JSON Schema of the values that BC sends of it.

What BC may change without a word is no rule: an enumeration may get members of other apps, a text may grow longer in
the next version, so both are said (`examples`, `x-maxLength`) and nothing is refused for them.
"""

from dataclasses import dataclass
from typing import Any, Final

type Schema = dict[str, Any]

#: Edm type -> JSON Schema 2020-12. A type that is not here (complex, geographic) may have any form.
_FORMS: Final[dict[str, Schema]] = {
    "Edm.String": {"type": "string"},
    "Edm.Guid": {"type": "string", "format": "uuid"},
    "Edm.Boolean": {"type": "boolean"},
    "Edm.Date": {"type": "string", "format": "date"},
    "Edm.DateTimeOffset": {"type": "string", "format": "date-time"},
    "Edm.Duration": {"type": "string"},
    "Edm.TimeOfDay": {"type": "string"},
    "Edm.Binary": {"type": "string", "contentEncoding": "base64url"},
    **{f"Edm.{name}": {"type": "number"} for name in ("Decimal", "Double", "Single")},
    **{f"Edm.{name}": {"type": "integer"} for name in ("Byte", "SByte", "Int16", "Int32", "Int64")},
}
#: A stream is read at an address of its own; in a record stands only its `...@odata.mediaReadLink`.
_ELSEWHERE: Final = "Edm.Stream"


@dataclass(frozen=True, slots=True)
class Property:
    """One structural property."""

    name: str
    edm: str  # "Edm.String", an enumeration's name, "Collection(Edm.String)", ...
    longest: int = 0  # MaxLength in characters; 0: none is given
    nullable: bool = True
    members: tuple[str, ...] = ()  # of an enumeration, as they stand in JSON


def value_schema(made: Property) -> Schema:
    """Return the schema of a property's value."""
    inner = made.edm.removeprefix("Collection(").removesuffix(")")
    if made.members:
        form: Schema = {"type": "string", "examples": list(made.members)}
    else:
        form = dict(_FORMS.get(inner, {}))
    if made.longest:
        form["x-maxLength"] = made.longest
    if inner != made.edm:
        return {"type": "array", "items": form}
    return form | {"type": [form["type"], "null"]} if made.nullable and "type" in form else form


def object_schema(title: str, properties: tuple[Property, ...], key: str = "id") -> Schema:
    """Return the schema of a record, of which only its id must be there: versions of BC differ in the others."""
    members = {each.name: value_schema(each) for each in properties if each.edm != _ELSEWHERE}
    members[key] = {"type": "string", "format": "uuid"}
    return {
        "title": title, "type": "object", "properties": {"@odata.etag": {"type": "string"}, **members},
        "required": [key],
    }  # fmt: skip
