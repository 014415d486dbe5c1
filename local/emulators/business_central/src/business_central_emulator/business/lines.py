"""Lines of sales orders and draft invoices, validated property by property in the order they were sent.

Rules of AL pages APIV2SalesOrderLines / APIV2SalesInvoiceLines and table Sales Line: an item
fills description, unit and price; a quantity or unit after the price recalculates it; discounts recompute each other.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from business_central_emulator.business import documents
from business_central_emulator.business.documents import to_cents
from business_central_emulator.data import errors
from business_central_emulator.data.environment import Work
from business_central_emulator.data.record import Record
from business_central_emulator.data.schema import ZERO_GUID

STEP: Final = 10_000


def create_line(work: Work, header: Record, given: dict[str, Any]) -> Record:
    """Add a line to a document; amounts and totals follow with `documents.recalculate`."""
    _refuse_closed(header)
    if given.get("documentId", header.id) not in (header.id, ZERO_GUID):
        raise errors.dialog('The value for "documentId" cannot be modified.')
    siblings = documents.lines_of(work, header)
    sequence = given.get("sequence", 0) or (siblings[-1]["sequence"] if siblings else 0) + STEP
    if any(line["sequence"] == sequence for line in siblings):
        raise errors.dialog("You cannot insert a line because a line already exists.")
    line: dict[str, Any] = {
        "documentId": header.id,
        "sequence": sequence,
        "quantity": Decimal(0),
        "unitPrice": Decimal(0),
        "discountPercent": Decimal(0),
        "discountAmount": Decimal(0),
        "taxPercent": Decimal(0),
        "shipmentDate": work.now.date().isoformat(),
        "lineType": "Comment",
    }
    _set_object(work, header, line, given)
    _apply(work, line, given)
    name = documents.LINES[header.entity.name]
    if name == "salesOrderLines":
        _set_quantities(line, given, Decimal(0), Decimal(0))
    return work.insert(name, line)


def update_line(work: Work, header: Record, record: Record, changes: dict[str, Any]) -> None:
    """Change a line."""
    _refuse_closed(header)
    if "documentId" in changes:
        raise errors.dialog('The value for "documentId" cannot be modified.')
    if "sequence" in changes:
        raise errors.dialog("The value for sequence cannot be modified. Delete and insert the line again.")
    if "lineObjectNumber" in changes:
        raise errors.dialog('The value for "lineObjectNumber" cannot be modified.')
    line = record.values()
    if {"itemId", "accountId", "lineType"} & set(changes):
        _set_object(work, header, line, changes)
    _apply(work, line, changes)
    if record.entity.name == "salesOrderLines":
        _set_quantities(line, changes, record["shippedQuantity"], record["invoicedQuantity"])
    work.update(record, {key: value for key, value in line.items() if value != record[key]})


def delete_line(work: Work, header: Record, record: Record) -> None:
    """Delete a line."""
    _refuse_closed(header)
    if record.entity.name == "salesOrderLines" and record["shippedQuantity"] != record["invoicedQuantity"]:
        raise errors.dialog("The quantity shipped but not invoiced must be 0 on the line.")
    work.delete(record)


def _refuse_closed(header: Record) -> None:
    if header.entity.name == "salesInvoices" and header["posted"]:
        raise errors.dialog("The invoice has been posted and can no longer be modified.")
    if header["status"] == "Open":
        raise errors.field_validation(
            f"Status must be equal to 'Open' in Sales Header: No.={header['number']}. Current value is 'Released'."
        )


def _set_object(work: Work, header: Record, line: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Resolve type and number: an item, an account, or a comment."""
    item_id, account_id = given.get("itemId", ZERO_GUID), given.get("accountId", ZERO_GUID)
    if given.get("accountId") == ZERO_GUID:
        raise errors.dialog("Account does not exist.")
    if ZERO_GUID not in (item_id, account_id):
        raise errors.dialog('Both "itemId" and "accountId" are specified. Specify only one of them.')
    number = given.get("lineObjectNumber", "")
    kind = (
        "Item" if item_id != ZERO_GUID else "Account" if account_id != ZERO_GUID else given.get("lineType", "Comment")
    )
    line["lineType"] = kind
    if kind == "Comment":
        return
    if kind == "Item":
        _set_item(work, header, line, item_id, number)
    elif kind == "Account":
        _set_account(work, line, account_id, number)
    else:
        raise errors.NotEmulatedError(f"lines of type {kind}")


def _set_item(work: Work, header: Record, line: dict[str, Any], item_id: str, number: str) -> None:
    items = work.table("items")
    if item_id != ZERO_GUID:
        item = items.get(item_id)
        if item is None or (number and item["number"] != number):
            raise errors.dialog("Item does not exist.")
    elif number:
        item = items.find("number", number)
        if item is None:
            raise errors.relation("No.", "Sales Line", number, "Item")
    else:
        return
    if item["blocked"]:
        raise errors.field_validation(
            f"Blocked must be equal to 'No' in Item: No.={item['number']}. Current value is 'Yes'."
        )
    if item["salesBlocked"]:
        raise errors.dialog(
            f"You cannot sell Item {item['number']} because the Sales Blocked check box is selected on the Item card."
        )
    at_home = header["sellToCountry"] in ("", work.company.country)
    rate = work.company.vat_percent if at_home else Decimal(0)
    line |= {
        "itemId": item.id,
        "accountId": ZERO_GUID,
        "lineObjectNumber": item["number"],
        "description": item["displayName"],
        "description2": item["displayName2"],
        "unitOfMeasureId": item["baseUnitOfMeasureId"],
        "unitOfMeasureCode": item["baseUnitOfMeasureCode"],
        "unitPrice": item["unitPrice"],
        "itemVariantId": ZERO_GUID,
        "taxPercent": rate,
        "taxCode": f"VAT{rate}" if rate else "0%",
    }


def _set_account(work: Work, line: dict[str, Any], account_id: str, number: str) -> None:
    accounts = work.table("accounts")
    if account_id != ZERO_GUID:
        found = accounts.get(account_id)
        if found is None:
            raise errors.dialog("Account does not exist.")
    else:
        found = accounts.find("number", number)
    if found is None:
        raise errors.relation("No.", "Sales Line", number, "G/L Account")
    line |= {
        "accountId": found.id,
        "itemId": ZERO_GUID,
        "lineObjectNumber": found["number"],
        "description": found["displayName"],
    }


def _apply(work: Work, line: dict[str, Any], given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        match name:
            case "itemVariantId":
                _set_variant(work, line, value)
            case "unitOfMeasureId" | "unitOfMeasureCode":
                _set_unit(work, line, name, value)
            case "quantity":
                line["quantity"] = value
                _price(work, line)
            case "unitPrice" | "discountPercent" | "discountAmount":
                line[name] = value
                _discount(line, by_amount=name == "discountAmount")
            case "description" | "description2" | "shipmentDate" | "taxCode" | "locationId":
                line[name] = value
    _discount(line, by_amount="discountAmount" in given and "discountPercent" not in given)


def _set_variant(work: Work, line: dict[str, Any], variant_id: str) -> None:
    if variant_id == ZERO_GUID:
        line["itemVariantId"] = ZERO_GUID
        return
    variant = work.table("itemVariants").get(variant_id)
    if variant is None or variant["itemId"] != line.get("itemId"):
        code = variant["code"] if variant else variant_id
        raise errors.relation("Variant Code", "Sales Line", code, "Item Variant")
    line["itemVariantId"] = variant.id
    line["description"] = variant["description"] or line["description"]


def _set_unit(work: Work, line: dict[str, Any], name: str, value: str) -> None:
    if line["lineType"] != "Item":
        raise errors.dialog("Unit of Measure can be set only for lines with type Item.")
    units = work.table("unitsOfMeasure")
    unit = units.get(value) if name == "unitOfMeasureId" else units.find("code", value)
    item = work.table("items").get(line["itemId"])
    # only the base unit is modelled as an Item Unit of Measure
    if unit is None or item is None or unit["code"] != item["baseUnitOfMeasureCode"]:
        code = unit["code"] if unit else value
        raise errors.relation("Unit of Measure Code", "Sales Line", code, "Item Unit of Measure")
    line |= {"unitOfMeasureId": unit.id, "unitOfMeasureCode": unit["code"]}
    _price(work, line)


def _price(work: Work, line: dict[str, Any]) -> None:
    """Take the price from the item again, as a validated quantity or unit does."""
    item = work.table("items").get(line.get("itemId", ZERO_GUID))
    if item is not None:
        line["unitPrice"] = item["unitPrice"]


def _discount(line: dict[str, Any], *, by_amount: bool) -> None:
    gross = to_cents(line["quantity"] * line["unitPrice"])
    if by_amount:
        line["discountPercent"] = (
            (line["discountAmount"] * 100 / gross).quantize(Decimal("0.00001")).normalize() + 0 if gross else Decimal(0)
        )
    else:
        line["discountAmount"] = to_cents(gross * line["discountPercent"] / 100)


def _set_quantities(line: dict[str, Any], given: Mapping[str, Any], shipped: Decimal, invoiced: Decimal) -> None:
    line["shippedQuantity"], line["invoicedQuantity"] = shipped, invoiced
    open_to_ship, open_to_invoice = line["quantity"] - shipped, line["quantity"] - invoiced
    if open_to_ship < 0:
        raise errors.dialog(f"Quantity must not be less than the shipped quantity of {shipped}.")
    if "quantity" in given or "shipQuantity" not in line:
        line["shipQuantity"], line["invoiceQuantity"] = open_to_ship, open_to_invoice
    if "shipQuantity" in given:
        line["shipQuantity"] = given["shipQuantity"]
    if "invoiceQuantity" in given:
        line["invoiceQuantity"] = given["invoiceQuantity"]
    if line["shipQuantity"] > open_to_ship:
        raise errors.dialog(f"You cannot ship more than {open_to_ship} units.")
    if line["invoiceQuantity"] > open_to_invoice:
        raise errors.dialog(f"You cannot invoice more than {open_to_invoice} units.")
