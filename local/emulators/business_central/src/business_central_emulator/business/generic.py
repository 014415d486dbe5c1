"""Rows of sets without rules of their own: vendors, contacts, dimensions, custom API pages.

What holds for every page is kept: types and lengths, Code fields in upper case, a key that is not there twice, a number
from a series where none is sent. What one page alone checks is not.
"""

from collections.abc import Mapping
from typing import Any, Final

from business_central_emulator.data import errors
from business_central_emulator.data.environment import Work
from business_central_emulator.data.record import Record
from business_central_emulator.data.schema import ENTITIES, Entity, Kind, Nav

_NUMBERS: Final = ("number", "code")
_PARENTS: Final = {"salesOrders": "Sales_x0020_Order", "salesInvoices": "Sales_x0020_Invoice"}


def create(
    work: Work, entity: Entity, given: dict[str, Any], parent: Record | None = None, link: Nav | None = None
) -> Record:
    """Create a row from checked values, below a parent where the URL names one.

    Raises:
        ApiError: the number or code is taken.
    """
    if parent is not None and link is not None:
        given.setdefault(link.remote, parent[link.local])
    for name in _NUMBERS:
        column = entity.column(name)
        if column is None or column.kind is not Kind.CODE or entity.order[0] != name:
            continue
        if not given.get(name):
            if name == "code":
                raise errors.field_validation(f"Code must have a value in {entity.table}. It cannot be zero or empty.")
            given[name] = work.company.next_number(entity.table_key)
        _refuse_duplicate(work, entity, name, given)
    return work.insert(entity.table_key, given)


def update(work: Work, record: Record, changes: Mapping[str, Any]) -> None:
    """Change a row.

    Raises:
        ApiError: the new number or code is taken.
    """
    for name in _NUMBERS:
        if name in changes and record.entity.order[0] == name:
            _refuse_duplicate(work, record.entity, name, {**record.values(), **changes}, record)
    work.update(record, changes)


def create_dimension(work: Work, header: Record, given: dict[str, Any]) -> Record:
    """Give a document a dimension value: both must exist.

    Raises:
        ApiError: 400 for a dimension or value that is not there.
    """
    code, value_code = given.get("code", ""), given.get("valueCode", "").upper()
    dimension = work.table("dimensions").find("code", code) or work.table("dimensions").get(given.get("id", ""))
    if dimension is None:
        raise errors.relation("Dimension Code", "Dimension Set Entry", code, "Dimension")
    values = work.table("dimensionValues").where("dimensionId", dimension.id)
    value = next((one for one in values if one["code"] == value_code or one.id == given.get("valueId")), None)
    if value is None:
        raise errors.relation("Dimension Value Code", "Dimension Set Entry", value_code, "Dimension Value")
    return work.insert(
        "dimensionSetLines",
        {
            "code": dimension["code"],
            "parentId": header.id,
            "parentType": _PARENTS[header.entity.name],
            "displayName": dimension["displayName"],
            "valueId": value.id,
            "valueCode": value["code"],
            "valueDisplayName": value["displayName"],
        },
    )


def _refuse_duplicate(
    work: Work, entity: Entity, name: str, given: Mapping[str, Any], but: Record | None = None
) -> None:
    same = [one for one in work.table(entity.table_key).where(name, given[name]) if one is not but]
    if entity is ENTITIES["dimensionValues"]:  # codes are unique within their dimension
        same = [one for one in same if one["dimensionId"] == given.get("dimensionId")]
    if same:
        raise errors.duplicate(entity.table, f"{'No.' if name == 'number' else 'Code'}='{given[name]}'")
