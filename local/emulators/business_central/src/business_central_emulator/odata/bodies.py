"""Request bodies: parsed with exact decimals, checked property by property against the entity's table.

The order of the properties is kept, because AL validates them in the order they were sent.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from business_central_emulator.data import errors, values
from business_central_emulator.data.record import Record
from business_central_emulator.data.schema import Entity


def parse_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body; decimals keep their digits.

    Raises:
        ApiError: 400 for malformed JSON, an empty body or anything but an object.
    """
    if not body.strip():
        raise errors.bad_request("The request body must not be empty.")
    try:
        parsed = json.loads(body, parse_float=decimal_of)
    except ValueError as fault:
        raise errors.bad_request(f"The request body is not valid JSON: {fault}") from None
    if not isinstance(parsed, dict):
        raise errors.bad_request("The request body must be a JSON object.")
    return parsed


def decimal_of(text: str) -> Decimal:
    """Return a decimal literal with its digits; Business Central takes none with an exponent.

    Raises:
        ApiError: 400.
    """
    if "e" in text.lower():
        raise errors.bad_request(f"Cannot convert the literal '{text}' to the expected type 'Edm.Decimal'.")
    return Decimal(text)


def split_navigation(entity: Entity, body: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (own properties, navigation properties) of a body; annotations are dropped.

    Raises:
        ApiError: 400 for a property the type does not have.
    """
    own: dict[str, Any] = {}
    nested: dict[str, Any] = {}
    for name, value in body.items():
        if name.endswith("@odata.bind"):
            raise errors.NotEmulatedError("@odata.bind (what Business Central does with it is not known)")
        if "@" in name:
            continue
        if entity.nav(name):
            nested[name] = value
        elif entity.column(name):
            own[name] = value
        else:
            raise errors.unknown_property_in_body(name, entity.type_name)
    return own, nested


def for_create(entity: Entity, own: Mapping[str, Any]) -> dict[str, Any]:
    """Return stored values for a new row, in the order sent.

    Raises:
        ApiError: read-only property, wrong type, text too long.
    """
    result = {}
    for name, value in own.items():
        column = entity.column(name)
        if column is None or column.read_only:
            raise errors.read_only(name)
        result[name] = values.parse_json(column, value)
    return result


def for_update(record: Record, own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the stored values that a PATCH changes, in the order sent.

    A read-only property may be repeated with the value it has; another value is refused.
    """
    result = {}
    for name, value in own.items():
        column = record.entity.column(name)
        if column is None:
            raise errors.unknown_property_in_body(name, record.entity.type_name)
        parsed = values.parse_json(column, value)
        if parsed == record[name]:
            continue
        if name == "id":
            raise errors.dialog('The "id" cannot be changed.')
        if column.read_only:
            raise errors.read_only(name)
        result[name] = parsed
    return result
