"""Sales order messages: what is accepted, every fault of one at once, and the body that Business Central gets.

Field names, types and lengths are those of salesOrder and salesOrderLine in API v2.0. A property not listed here is
passed on: newer versions of BC add some, and BC itself names those it does not know.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final

from shared import exact_json
from shared.errors import InvalidMessage
from shared.guid import is_guid

EXTERNAL_LENGTH: Final = 35
KEY_LENGTH: Final = 200
#: How long a transient fault is waited out before an order is parked.
PATIENCE: Final = timedelta(hours=72)
#: BC cancels an operation after 8 minutes, its gateway gives up after 10: only then is a lost answer surely no order.
SETTLE: Final = timedelta(minutes=11)
_DELAYS_MIN: Final = (1, 2, 4, 8, 15, 30)

_HEX: Final = re.compile(r"[0-9a-fA-F]{32}")
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")

_ADDRESS: Final = {"AddressLine1": 100, "AddressLine2": 50, "City": 30, "Country": 10, "State": 30, "PostCode": 20}

#: name -> longest text, or the kind of value. Order counts: BC validates in the order of the properties.
_HEADER: Final[dict[str, int | str]] = {
    "externalDocumentNumber": EXTERNAL_LENGTH, "customerId": "guid", "customerNumber": 20, "billToCustomerId": "guid",
    "billToCustomerNumber": 20, "orderDate": "date", "postingDate": "date",
    **{f"sellTo{part}": size for part, size in _ADDRESS.items()},
    "shipToName": 100, "shipToContact": 100, **{f"shipTo{part}": size for part, size in _ADDRESS.items()},
    "shortcutDimension1Code": 20, "shortcutDimension2Code": 20, "currencyId": "guid", "currencyCode": 10,
    "pricesIncludeTax": "bool", "paymentTermsId": "guid", "shipmentMethodId": "guid", "salesperson": 20,
    "partialShipping": "bool", "requestedDeliveryDate": "date", "phoneNumber": 30, "email": 80,
    "discountAmount": "decimal",
}  # fmt: skip
_HEADER_READ_ONLY: Final = frozenset({
    "id", "number", "customerName", "billToName", "discountAppliedBeforeTax", "totalAmountExcludingTax",
    "totalTaxAmount", "totalAmountIncludingTax", "fullyShipped", "status", "lastModifiedDateTime",
    *(f"billTo{part}" for part in _ADDRESS),
})  # fmt: skip

#: BC must see what a line is before its variant, location, unit, quantity, price and discount, in this order.
_LINE: Final[dict[str, int | str]] = {
    "lineType": "lineType", "itemId": "guid", "accountId": "guid", "lineObjectNumber": 20, "itemVariantId": "guid",
    "locationId": "guid", "unitOfMeasureId": "guid", "unitOfMeasureCode": 10, "quantity": "decimal",
    "unitPrice": "decimal", "discountAmount": "decimal", "discountPercent": "decimal", "description": 100,
    "description2": 50, "taxCode": 50, "shipmentDate": "date", "shipQuantity": "decimal",
    "invoiceQuantity": "decimal",
}  # fmt: skip
_LINE_READ_ONLY: Final = frozenset({
    "id", "documentId", "discountAppliedBeforeTax", "amountExcludingTax", "amountIncludingTax", "totalTaxAmount",
    "taxPercent", "invoiceDiscountAllocation", "netAmount", "netTaxAmount", "netAmountIncludingTax",
    "shippedQuantity", "invoicedQuantity",
})  # fmt: skip
_LINE_TYPES: Final = (
    "Comment",
    "Account",
    "Item",
    "Resource",
    "Fixed_x0020_Asset",
    "Charge",
    "Allocation_x0020_Account",
)
_LINES: Final = "salesOrderLines"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """A valid order message."""

    key: str  # idempotency key, upper case
    company: str  # id or name as sent; "" when the message names none
    external_number: str  # what BC gets as externalDocumentNumber, upper case as BC keeps it
    key_is_external: bool  # the external number stands for this key and for no other order
    customer_number: str
    customer_id: str
    body: str  # JSON for POST salesOrders
    digest: str  # of the content, to tell a repeat from another order under the same key


def message_key(text: str, message_id: str) -> str:
    """Return the key an unreadable or refused message is filed under: its own if it has one, else the message's id."""
    try:
        document = exact_json.loads(text)
    except (ValueError, RecursionError):
        return message_id.upper()
    if not isinstance(document, dict):
        return message_id.upper()
    order = document.get("order")
    inner = order if isinstance(order, dict) else document
    for value in (document.get("orderKey") if "order" in document else None, inner.get("externalDocumentNumber")):
        if isinstance(value, str) and value.strip():
            return value.strip().upper()[:KEY_LENGTH]
    return message_id.upper()


def keyed(text: str, message_id: str) -> str:
    """Return the message with its key written out, so that a copy under another message id is the same order."""
    try:
        document = exact_json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(document, dict) or message_key(text, message_id) != message_id.upper():
        return text
    wrapped = document if "order" in document else {"order": document}
    return exact_json.dumps({**wrapped, "orderKey": message_id})


def parse_message(text: str, *, message_id: str) -> OrderRequest:
    """Check a message of the queue `sales-orders`; the whole of it, so that one answer names every fault.

    Raises:
        InvalidMessage: each fault names its field and the rule.
    """
    try:
        document = exact_json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidMessage(["message: must be JSON"]) from error
    if not isinstance(document, dict):
        raise InvalidMessage(["message: must be a JSON object"])
    faults: list[str] = []
    wrapped = "order" in document
    order = document["order"] if wrapped else document
    if not isinstance(order, dict):
        raise InvalidMessage(["order: must be a JSON object"])
    company = _optional_text(document, "company", faults, 250) if wrapped else ""
    order_key = _optional_text(document, "orderKey", faults, KEY_LENGTH) if wrapped else ""
    _check_fields(order, _HEADER, _HEADER_READ_ONLY, "", faults)
    customer_number, customer_id = _text(order, "customerNumber"), _text(order, "customerId")
    if not customer_number and not customer_id:
        faults.append("customerNumber: this or customerId is required")
    _check_lines(order, faults)
    external = _text(order, "externalDocumentNumber")
    if not order_key and not external and any(name.lower() == "id" for name in document):
        # The Functions worker takes such a member for the message's own id, so it is no key.
        faults.append("orderKey: is required when the message itself has a member `id`")
    if faults:
        raise InvalidMessage(faults)
    key = (order_key or external or message_id).strip().upper()
    external_number = (external or external_of(key)).upper()
    body = {"externalDocumentNumber": external_number, **_arranged(order, _HEADER)}
    body["externalDocumentNumber"] = external_number
    if isinstance(order.get(_LINES), list):
        body[_LINES] = [_arranged(line, _LINE) for line in order[_LINES]]
    encoded = exact_json.dumps(body)
    return OrderRequest(
        key=key,
        company=company,
        external_number=external_number,
        key_is_external=not external or external.upper() == key,
        customer_number=customer_number.upper(),
        customer_id=customer_id.lower(),
        body=encoded,
        digest=sha256(encoded.encode()).hexdigest(),
    )


def external_of(key: str) -> str:
    """Return the external document number that stands for a key: itself, a GUID's hex digits, or a digest of it."""
    if is_guid(key):
        return key.replace("-", "").upper()
    if len(key) <= EXTERNAL_LENGTH:
        return key.upper()
    return sha256(key.upper().encode()).hexdigest()[:32].upper()


def delay(waits: int) -> timedelta:
    """Return how long an order waits the n-th time."""
    return timedelta(minutes=_DELAYS_MIN[min(max(waits, 1), len(_DELAYS_MIN)) - 1])


def _check_lines(order: Mapping[str, Any], faults: list[str]) -> None:
    lines = order.get(_LINES, [])
    if not isinstance(lines, list):
        faults.append(f"{_LINES}: must be a list")
        return
    for number, line in enumerate(lines):
        place = f"{_LINES}[{number}]"
        if not isinstance(line, dict):
            faults.append(f"{place}: must be a JSON object")
            continue
        _check_fields(line, _LINE, _LINE_READ_ONLY, place + ".", faults)
        item, account = _text(line, "itemId"), _text(line, "accountId")
        if item and account:
            faults.append(f"{place}: itemId and accountId exclude each other")
        kind = line.get("lineType") or ("Item" if item else "Account" if account else "Comment")
        if kind == "Comment" and (line.get("quantity") or _text(line, "lineObjectNumber")):
            faults.append(f"{place}.lineType: is required with lineObjectNumber or quantity (Item, Account, ...)")
        if kind == "Item" and not item and not _text(line, "lineObjectNumber"):
            faults.append(f"{place}.lineObjectNumber: this or itemId is required on a line of type Item")
        if kind in _LINE_TYPES and kind != "Item" and (line.get("unitOfMeasureId") or line.get("unitOfMeasureCode")):
            faults.append(f"{place}.unitOfMeasureCode: can be set only on a line of type Item")


def _check_fields(
    found: Mapping[str, Any], known: Mapping[str, int | str], read_only: frozenset[str], place: str, faults: list[str]
) -> None:
    for name, value in found.items():
        if name in read_only:
            faults.append(f"{place}{name}: is set by Business Central and can't be sent")
        elif name in known and value is not None:
            rule = _fault(value, known[name])
            if rule:
                faults.append(f"{place}{name}: {rule}")


def _fault(value: object, kind: int | str) -> str:
    match kind:
        case int():
            if not isinstance(value, str):
                return "must be text"
            return f"has {len(value)} characters, at most {kind} are allowed" if len(value.strip()) > kind else ""
        case "date":
            return "" if isinstance(value, str) and _is_date(value) else "must be a date such as 2026-02-11"
        case "guid":
            return "" if is_guid(value) else "must be a GUID"
        case "decimal":
            number = isinstance(value, int | Decimal) and not isinstance(value, bool)
            return "" if number else "must be a number"
        case "bool":
            return "" if isinstance(value, bool) else "must be true or false"
        case _:
            return "" if value in _LINE_TYPES else f"must be one of {', '.join(_LINE_TYPES)}"


def _is_date(value: str) -> bool:
    try:
        return bool(_DATE.fullmatch(value)) and bool(date.fromisoformat(value))
    except ValueError:
        return False


def _optional_text(document: Mapping[str, Any], name: str, faults: list[str], longest: int) -> str:
    value = document.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or not value.strip():
        faults.append(f"{name}: must be text")
        return ""
    if len(value.strip()) > longest:
        faults.append(f"{name}: has {len(value.strip())} characters, at most {longest} are allowed")
    return value.strip()


def _text(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    return value.strip() if isinstance(value, str) else ""


def _arranged(found: Mapping[str, Any], known: Mapping[str, int | str]) -> dict[str, Any]:
    first = {name: found[name] for name in known if name in found}
    return first | {name: value for name, value in found.items() if name not in first and name != _LINES}
