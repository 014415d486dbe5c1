"""Create, change and delete items, variants, customers and the small code tables, with the checks of their pages."""

from collections.abc import Mapping
from typing import Any, Final

from business_central_emulator.data import errors
from business_central_emulator.data.environment import Work
from business_central_emulator.data.record import Record
from business_central_emulator.data.schema import ENTITIES, ZERO_GUID

#: Pairs of id and code that must agree: (id, code, entity set, messages for wrong id, wrong code, mismatch).
_PAIRS: Final[Mapping[str, tuple[tuple[str, str, str, str, str, str], ...]]] = {
    "items": (
        (
            "itemCategoryId", "itemCategoryCode", "itemCategories",
            'The "itemCategoryId" does not match to a specific Item Category group.',
            'The "itemCategoryCode" does not match to a Item Category.',
            "The item categories values do not match to a specific item category.",
        ),
        (
            "baseUnitOfMeasureId", "baseUnitOfMeasureCode", "unitsOfMeasure",
            'The "baseUnitOfMeasureId" does not match to a Unit of Measure.', "",
            "The unit of measure values do not match to a specific Unit of Measure.",
        ),
    ),
    "customers": (
        (
            "currencyId", "currencyCode", "currencies", 'The "currencyId" does not match to a Currency.',
            'The "currencyCode" does not match to a Currency.',
            "The currency values do not match to a specific Currency.",
        ),
    ),
}  # fmt: skip
#: Sets with rules of their own here; every other set that may be created is `generic`.
RULED: Final = frozenset(
    {
        "items", "itemVariants", "customers", "unitsOfMeasure", "itemCategories", "currencies", "paymentTerms",
        "shipmentMethods",
    }
)  # fmt: skip
_SINGLE_IDS: Final = {
    "paymentTermsId": ("paymentTerms", 'The "paymentTermsId" does not match to a Payment Terms.'),
    "shipmentMethodId": ("shipmentMethods", 'The "shipmentMethodId" does not match to a Shipment Method.'),
}


def create(work: Work, name: str, given: dict[str, Any]) -> Record:
    """Create a row of a master table from checked values."""
    match name:
        case "items":
            return _create_item(work, given)
        case "itemVariants":
            return _create_variant(work, given)
        case "customers":
            return _create_customer(work, given)
    if not given.get("code"):
        raise errors.field_validation(f"Code must have a value in {ENTITIES[name].table}. It cannot be zero or empty.")
    _refuse_duplicate(work, name, "code", given["code"])
    return work.insert(name, given)


def update(work: Work, record: Record, changes: dict[str, Any]) -> None:
    """Change a row of a master table."""
    name = record.entity.name
    if name == "itemVariants":
        for key in ("itemId", "itemNumber"):
            if key in changes:
                raise errors.dialog("The item of a variant cannot be changed once the variant exists.")
    key_name = "code" if "code" in record.entity.position else "number"
    if key_name in changes:
        _refuse_duplicate(work, name, key_name, changes[key_name], record)
    match_pairs(work, name, changes)
    if name == "items":
        _check_item_change(record, changes)
    if name == "customers" and "displayName" in changes and not changes["displayName"]:
        raise errors.dialog('The blank "displayName" is not allowed.')
    work.update(record, changes)
    if name == "items" and "number" in changes:
        for variant in work.table("itemVariants").where("itemId", record.id):
            work.update(variant, {"itemNumber": changes["number"]})


def delete(work: Work, record: Record) -> None:
    """Delete a row of a master table; documents and entries on it stand in the way."""
    name = record.entity.name
    if name == "items":
        for document in ("salesOrders", "salesInvoices"):
            lines = work.table(f"{document.removesuffix('s')}Lines").where("itemId", record.id)
            if lines or record["hasEntries"]:
                raise errors.dialog(
                    f"You cannot delete Item {record['number']} because there is at least one outstanding document or "
                    "ledger entry that includes this item."
                )
        for variant in work.table("itemVariants").where("itemId", record.id):
            work.delete(variant)
    if name == "customers":
        for document in ("salesOrders", "salesInvoices"):
            if work.table(document).where("customerNumber", record["number"]):
                raise errors.dialog(
                    f"You cannot delete Customer {record['number']} because there is at least one outstanding "
                    "document or ledger entry for this customer."
                )
    work.delete(record)


def match_pairs(work: Work, name: str, given: dict[str, Any]) -> None:
    """Fill the other half of each id and code pair, and check single ids; zero and blank mean none."""
    for id_name, code_name, target, bad_id, bad_code, mismatch in _PAIRS.get(name, ()):
        _match_pair(work, given, id_name, code_name, target, bad_id, bad_code, mismatch)
    for id_name, (target, message) in _SINGLE_IDS.items():
        value = given.get(id_name, ZERO_GUID)
        if value != ZERO_GUID and work.table(target).get(value) is None:
            raise errors.dialog(message)


def _match_pair(
    work: Work,
    given: dict[str, Any],
    id_name: str,
    code_name: str,
    target: str,
    bad_id: str,
    bad_code: str,
    mismatch: str,
) -> None:
    if id_name not in given and code_name not in given:
        return
    table, lcy = work.table(target), work.company.currency_code
    by_id = None
    if given.get(id_name, ZERO_GUID) != ZERO_GUID:
        by_id = table.get(given[id_name])
        if by_id is None:
            raise errors.dialog(bad_id)
    code = given.get(code_name, "")
    if target == "currencies" and code == lcy:
        code = ""
    if code:
        by_code = table.find("code", code)
        if by_code is None:
            if bad_code:
                raise errors.dialog(bad_code)
            raise errors.relation("Base Unit of Measure", "Item", code, ENTITIES[target].table)
        if by_id is not None and by_id is not by_code:
            raise errors.dialog(mismatch)
        by_id = by_code
    given[id_name] = by_id.id if by_id else ZERO_GUID
    given[code_name] = by_id["code"] if by_id else (lcy if target == "currencies" else "")


def _create_item(work: Work, given: dict[str, Any]) -> Record:
    if given.pop("inventory", 0):
        raise errors.dialog("Inventory cannot be changed during on insert.")
    given.setdefault("number", "")
    if not given["number"]:
        given["number"] = work.company.next_number("items")
    _refuse_duplicate(work, "items", "number", given["number"])
    if not given.get("baseUnitOfMeasureCode") and given.get("baseUnitOfMeasureId", ZERO_GUID) == ZERO_GUID:
        unit = work.table("unitsOfMeasure").find("code", "PCS")
        given["baseUnitOfMeasureId"] = unit.id if unit else ZERO_GUID
    match_pairs(work, "items", given)
    given.setdefault("generalProductPostingGroupCode", "RETAIL")
    given.setdefault("inventoryPostingGroupCode", "RESALE" if given.get("type", "Inventory") == "Inventory" else "")
    return work.insert("items", given)


def _check_item_change(record: Record, changes: Mapping[str, Any]) -> None:
    for name, caption in (("type", "Type"), ("unitCost", "Unit Cost")):
        if name in changes and record["hasEntries"]:
            raise errors.dialog(f"You cannot change the {caption} field on Item {record['number']}: it has entries.")


def _create_variant(work: Work, given: dict[str, Any]) -> Record:
    items = work.table("items")
    by_id = None
    if given.get("itemId", ZERO_GUID) != ZERO_GUID:
        by_id = items.get(given["itemId"])
        if by_id is None:
            raise errors.dialog('The "itemId" does not match to an Item.')
    number = given.get("itemNumber", "")
    if number:
        by_number = items.find("number", number)
        if by_number is None:
            raise errors.dialog('The "itemNumber" does not match to an Item.')
        if by_id is not None and by_id is not by_number:
            raise errors.dialog("The item values do not match to a specific Item.")
        by_id = by_number
    if by_id is None:
        raise errors.dialog("The item values do not match to a specific Item.")
    if not given.get("code"):
        raise errors.field_validation("Code must have a value in Item Variant. It cannot be zero or empty.")
    for variant in work.table("itemVariants").where("itemId", by_id.id):
        if variant["code"] == given["code"]:
            raise errors.duplicate("Item Variant", f"Item No.='{by_id['number']}',Code='{given['code']}'")
    return work.insert("itemVariants", {**given, "itemId": by_id.id, "itemNumber": by_id["number"]})


def _create_customer(work: Work, given: dict[str, Any]) -> Record:
    if "displayName" not in given:
        raise errors.dialog('A "displayName" must be provided.')
    if not given["displayName"]:
        raise errors.dialog('The blank "displayName" is not allowed.')
    if not given.get("number"):
        given["number"] = work.company.next_number("customers")
    _refuse_duplicate(work, "customers", "number", given["number"])
    given.setdefault("currencyCode", "")
    match_pairs(work, "customers", given)
    # the API page does not show posting groups; they come from the default template
    given.setdefault("customerPostingGroup", "DOMESTIC")
    return work.insert("customers", given)


def _refuse_duplicate(work: Work, name: str, key: str, value: str, but: Record | None = None) -> None:
    if not value:
        raise errors.field_validation(f"{ENTITIES[name].key_caption} must have a value in {ENTITIES[name].table}.")
    other = work.table(name).find(key, value)
    if other is not None and other is not but:
        raise errors.duplicate(ENTITIES[name].table, f"{ENTITIES[name].key_caption}='{value}'")
