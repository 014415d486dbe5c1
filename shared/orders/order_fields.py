"""The properties of salesOrder and salesOrderLine (API v2.0) that a sender may set: types, lengths, order, rules.

Names, types and lengths are those of `$metadata`. A property not listed here is passed on: newer versions of BC add
some, and BC itself names those it does not know.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final

from shared.guid import is_guid

EXTERNAL: Final = "externalDocumentNumber"
EXTERNAL_LENGTH: Final = 35
LINES: Final = "salesOrderLines"
#: AL's Decimal in a field: "-999,999,999,999,999.99 to 999,999,999,999,999.99" (docs: Decimal data type).
TOO_MUCH: Final = 10**15
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")

_ADDRESS: Final = {"AddressLine1": 100, "AddressLine2": 50, "City": 30, "Country": 10, "State": 30, "PostCode": 20}

#: name -> longest text, or the kind of value. Order counts: BC validates in the order of the properties.
HEADER: Final[dict[str, int | str]] = {
    EXTERNAL: EXTERNAL_LENGTH, "customerId": "guid", "customerNumber": 20, "billToCustomerId": "guid",
    "billToCustomerNumber": 20, "orderDate": "date", "postingDate": "date",
    **{f"sellTo{part}": size for part, size in _ADDRESS.items()},
    "shipToName": 100, "shipToContact": 100, **{f"shipTo{part}": size for part, size in _ADDRESS.items()},
    "shortcutDimension1Code": 20, "shortcutDimension2Code": 20, "currencyId": "guid", "currencyCode": 10,
    "pricesIncludeTax": "bool", "paymentTermsId": "guid", "shipmentMethodId": "guid", "salesperson": 20,
    "partialShipping": "bool", "requestedDeliveryDate": "date", "phoneNumber": 30, "email": 80,
    "discountAmount": "decimal",
}  # fmt: skip
HEADER_READ_ONLY: Final = frozenset({
    "id", "number", "customerName", "billToName", "discountAppliedBeforeTax", "totalAmountExcludingTax",
    "totalTaxAmount", "totalAmountIncludingTax", "fullyShipped", "status", "lastModifiedDateTime",
    *(f"billTo{part}" for part in _ADDRESS),
})  # fmt: skip

#: BC must see what a line is before its variant, location, unit, quantity, price and discount, in this order.
LINE: Final[dict[str, int | str]] = {
    "lineType": "lineType", "itemId": "guid", "accountId": "guid", "lineObjectNumber": 20, "itemVariantId": "guid",
    "locationId": "guid", "unitOfMeasureId": "guid", "unitOfMeasureCode": 10, "quantity": "decimal",
    "unitPrice": "decimal", "discountAmount": "decimal", "discountPercent": "decimal", "description": 100,
    "description2": 50, "taxCode": 50, "shipmentDate": "date", "shipQuantity": "decimal",
    "invoiceQuantity": "decimal",
}  # fmt: skip
#: `sequence` may be written by the metadata; in a deep insert BC answers 500 to it (ALAppExtensions issue 23028).
LINE_READ_ONLY: Final = frozenset({
    "id", "documentId", "sequence", "discountAppliedBeforeTax", "amountExcludingTax", "amountIncludingTax",
    "totalTaxAmount", "taxPercent", "invoiceDiscountAllocation", "netAmount", "netTaxAmount", "netAmountIncludingTax",
    "shippedQuantity", "invoicedQuantity",
})  # fmt: skip
LINE_TYPES: Final = (
    "Comment",
    "Account",
    "Item",
    "Resource",
    "Fixed_x0020_Asset",
    "Charge",
    "Allocation_x0020_Account",
)

#: Type -> every name that `$metadata` has of it and a sender may use.
KNOWN_NAMES: Final = {"salesOrder": frozenset({*HEADER, LINES}), "salesOrderLine": frozenset(LINE)}


def faults_of(order: Mapping[str, Any], *, left_to_bc: frozenset[str] = frozenset()) -> list[str]:
    """Return every fault of an order, each naming its field and the rule; empty when it can be sent.

    `left_to_bc`: properties of the header that BC itself shall judge.
    """
    faults = _field_faults(order, HEADER, HEADER_READ_ONLY - left_to_bc, "")
    if not text_of(order, "customerNumber") and not text_of(order, "customerId"):
        faults.append("customerNumber: this or customerId is required")
    lines = order.get(LINES, [])
    if not isinstance(lines, list):
        return [*faults, f"{LINES}: must be a list"]
    for number, line in enumerate(lines):
        place = f"{LINES}[{number}]"
        faults += _line_faults(line, place) if isinstance(line, dict) else [f"{place}: must be a JSON object"]
    return faults


def has_lines(order: Mapping[str, Any]) -> bool:
    """Return whether the lines of an order are JSON objects, or absent: what reads an order needs no more."""
    lines = order.get(LINES) or []
    return isinstance(lines, list) and all(isinstance(line, dict) for line in lines)


def arranged(order: Mapping[str, Any]) -> dict[str, Any]:
    """Return an order with its properties in the sequence in which BC validates them, unknown ones last."""
    body = _in_order(order, HEADER)
    if isinstance(order.get(LINES), list):
        body[LINES] = [_in_order(line, LINE) for line in order[LINES]]
    return body


def text_of(found: Mapping[str, Any], name: str) -> str:
    """Return a text property without blanks around it, "" when it is absent or no text."""
    value = found.get(name)
    return value.strip() if isinstance(value, str) else ""


def _line_faults(line: Mapping[str, Any], place: str) -> list[str]:
    faults = _field_faults(line, LINE, LINE_READ_ONLY, place + ".")
    item, account, number = (text_of(line, name) for name in ("itemId", "accountId", "lineObjectNumber"))
    if item and account:
        faults.append(f"{place}: itemId and accountId exclude each other")
    rule = _type_rule(line, line.get("lineType") or _implied_type(item, account), item or number)
    return [*faults, f"{place}.{rule}"] if rule else faults


def _implied_type(item: str, account: str) -> str:
    return "Item" if item else "Account" if account else "Comment"


def _type_rule(line: Mapping[str, Any], kind: object, named: str) -> str:
    """Return the rule of its type that a line breaks; `named` is the item it names. At most one can be broken."""
    match kind:
        case "Comment" if line.get("quantity") or text_of(line, "lineObjectNumber"):
            return "lineType: is required with lineObjectNumber or quantity (Item, Account, ...)"
        case "Item":
            return "" if named else "lineObjectNumber: this or itemId is required on a line of type Item"
        case _ if kind in LINE_TYPES and (line.get("unitOfMeasureId") or line.get("unitOfMeasureCode")):
            return "unitOfMeasureCode: can be set only on a line of type Item"
    return ""


def _field_faults(
    found: Mapping[str, Any], known: Mapping[str, int | str], read_only: frozenset[str], place: str
) -> list[str]:
    faults = []
    for name, value in found.items():
        rule = ""
        if name in read_only:
            rule = "is set by Business Central and can't be sent"
        elif name in known and value is not None:
            kind = known[name]
            rule = _length_rule(value, kind) if isinstance(kind, int) else _RULES[kind](value)
        if rule:
            faults.append(f"{place}{name}: {rule}")
    return faults


def _length_rule(value: object, longest: int) -> str:
    if not isinstance(value, str):
        return "must be text"
    length = len(value.strip())
    return f"has {len(value)} characters, at most {longest} are allowed" if length > longest else ""


def _is_date(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(_DATE.fullmatch(value)) and bool(date.fromisoformat(value))
    except ValueError:
        return False


def _number_rule(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return "must be a number"
    return "" if -TOO_MUCH < value < TOO_MUCH else "is out of range: at most 15 digits before the decimal point"


def _rule(holds: Callable[[object], bool], fault: str) -> Callable[[object], str]:
    return lambda value: "" if holds(value) else fault


#: Kind of value -> the rule that a value breaks, "" when it breaks none.
_RULES: Final[dict[str, Callable[[object], str]]] = {
    "date": _rule(_is_date, "must be a date such as 2026-02-11"),
    "guid": _rule(is_guid, "must be a GUID"),
    "decimal": _number_rule,
    "bool": _rule(lambda value: isinstance(value, bool), "must be true or false"),
    "lineType": _rule(lambda value: value in LINE_TYPES, f"must be one of {', '.join(LINE_TYPES)}"),
}


def _in_order(found: Mapping[str, Any], known: Mapping[str, int | str]) -> dict[str, Any]:
    first = {name: found[name] for name in known if name in found}
    return first | {name: value for name, value in found.items() if name not in first and name != LINES}
