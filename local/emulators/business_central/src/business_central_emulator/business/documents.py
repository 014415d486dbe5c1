"""Headers of sales orders and draft invoices: who the customer is, what comes from the customer's card, totals.

Messages are the labels of the AL pages APIV2SalesOrders and APIV2SalesInvoices. Foreign currencies keep the item's
price as it is (no exchange rates are modelled); sales at home carry the company's VAT, others none.
"""

import re
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from business_central_emulator.business import masters
from business_central_emulator.data import errors
from business_central_emulator.data.environment import Work
from business_central_emulator.data.record import Record
from business_central_emulator.data.schema import EMPTY_DATE, ZERO_GUID

CENT: Final = Decimal("0.01")
_FORMULA = re.compile(r"(\d+)([DWM])")
_ADDRESS_PARTS: Final = (
    ("AddressLine1", "addressLine1"), ("AddressLine2", "addressLine2"), ("City", "city"), ("Country", "country"),
    ("State", "state"), ("PostCode", "postalCode"),
)  # fmt: skip
LINES: Final = {
    "salesOrders": "salesOrderLines",
    "salesInvoices": "salesInvoiceLines",
    "salesShipments": "salesShipmentLines",
}


def to_cents(amount: Decimal) -> Decimal:
    """Round to the local currency's precision, halves away from zero."""
    return amount.quantize(CENT, rounding=ROUND_HALF_UP).normalize() + 0


def due_date(start: str, formula: str) -> str:
    """Return the date that a payment terms formula (`14D`, `1M`, `CM`) gives from an ISO date."""
    day = date.fromisoformat(start)
    if formula.startswith("CM"):
        first_of_next = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
        return (first_of_next - timedelta(days=1)).isoformat()
    found = _FORMULA.fullmatch(formula)
    if found is None:
        return start
    count, unit = int(found[1]), found[2]
    if unit == "M":
        month = day.month - 1 + count
        year, month = day.year + month // 12, month % 12 + 1
        last = ((date(year, month, 1) + timedelta(days=32)).replace(day=1) - timedelta(days=1)).day
        return date(year, month, min(day.day, last)).isoformat()
    return (day + timedelta(days=count * (7 if unit == "W" else 1))).isoformat()


def create_header(work: Work, name: str, given: dict[str, Any]) -> Record:
    """Create an order or a draft invoice without lines from checked values, in the order they were sent."""
    if name == "salesInvoices":
        _refuse_posted_only(given, "")
    customer = _sell_to(work, given)
    if customer is None:
        raise errors.dialog('A "customerNumber" or a "customerId" must be provided.')
    _refuse_blocked(customer)
    header = _defaults(work, name, customer)
    bill_to = _bill_to(work, given) or customer
    header |= _bill_to_values(bill_to)
    changes = {key: value for key, value in given.items() if key not in _PARTY}
    apply_header(work, name, header, changes)
    if not header.get("number"):
        header["number"] = work.company.next_number(name)
    elif work.table(name).find("number", header["number"]) is not None:
        raise errors.duplicate(
            "Sales Header",
            f"Document Type='{'Order' if name == 'salesOrders' else 'Invoice'}',No.='{header['number']}'",
        )
    if name == "salesInvoices" and "dueDate" not in given:
        header["dueDate"] = _due_date_of(work, header)
    header["discountAppliedBeforeTax"] = not header["pricesIncludeTax"]
    return work.insert(name, header)


def update_header(work: Work, record: Record, changes: dict[str, Any]) -> None:
    """Change a header; the customer can only be changed while there are no lines."""
    name = record.entity.name
    if name == "salesInvoices":
        _refuse_posted_only(changes, record["number"])
    if record["status"] == "Open":
        raise errors.field_validation(
            f"Status must be equal to 'Open' in Sales Header: No.={record['number']}. Current value is 'Released'."
        )
    if "number" in changes:
        raise errors.dialog("The number of the document can not be changed.")
    header = record.values()
    party = {key: value for key, value in changes.items() if key in _PARTY}
    if party:
        _change_party(work, record, header, party)
    apply_header(work, name, header, {key: value for key, value in changes.items() if key not in _PARTY})
    if name == "salesInvoices" and {"invoiceDate", "paymentTermsId"} & set(changes) and "dueDate" not in changes:
        header["dueDate"] = _due_date_of(work, header)
    moved = {key: value for key, value in header.items() if value != record[key]}
    work.update(record, moved)
    if {"pricesIncludeTax", "discountAmount"} & set(changes):
        recalculate(work, record)


def delete_header(work: Work, record: Record) -> None:
    """Delete an order or a draft invoice with its lines."""
    lines = lines_of(work, record)
    if record.entity.name == "salesOrders" and any(
        line["shippedQuantity"] != line["invoicedQuantity"] for line in lines
    ):
        raise errors.dialog("The quantity shipped but not invoiced must be 0 on the lines of the order.")
    if record.entity.name == "salesInvoices" and record["posted"]:
        raise errors.dialog("The invoice has been posted and can no longer be modified.")
    for line in lines:
        work.delete(line)
    work.delete(record)


def lines_of(work: Work, record: Record) -> list[Record]:
    """Return the lines of a document by sequence."""
    lines = work.table(LINES[record.entity.name]).where("documentId", record.id)
    return sorted(lines, key=lambda line: line["sequence"])


def apply_header(work: Work, name: str, header: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Write checked properties into a header, one after the other as AL validates them."""
    if "currencyId" in changes or "currencyCode" in changes:
        pair = {key: changes[key] for key in ("currencyId", "currencyCode") if key in changes}
        masters.match_pairs(work, "customers", pair)
        header |= pair
    masters.match_pairs(
        work, name, {key: changes[key] for key in ("paymentTermsId", "shipmentMethodId") if key in changes}
    )
    if changes.get("pricesIncludeTax") and work.company.prices_with_sales_tax:
        raise errors.dialog('The "pricesIncludeTax" cannot be set to true if VAT Calculation Type is Sales Tax.')
    for key, value in changes.items():
        if key in ("currencyId", "currencyCode"):
            continue
        header[key] = value
        if key.startswith("sellTo") and header["billToCustomerNumber"] == header["customerNumber"]:
            header["billTo" + key.removeprefix("sellTo")] = value


def recalculate(work: Work, record: Record) -> None:
    """Bring amounts and totals of a document in line with its lines; stamps the header when anything moved."""
    lines = lines_of(work, record)
    gross = [_line_amount(line) for line in lines]
    total = sum(gross, Decimal(0))
    discount = min(record["discountAmount"], total) if total > 0 else Decimal(0)
    left = discount
    sums = [Decimal(0), Decimal(0)]
    for at, line in enumerate(lines):
        share = left if at == len(lines) - 1 else to_cents(discount * gross[at] / total) if total else Decimal(0)
        left -= share
        amounts = _amounts(line, gross[at], share, includes_tax=record["pricesIncludeTax"])
        moved_amounts = {name: amount for name, amount in amounts.items() if amount != line[name]}
        if moved_amounts:
            work.update(line, moved_amounts)
        sums[0] += amounts["netAmount"]
        sums[1] += amounts["netTaxAmount"]
    changes: dict[str, Any] = {
        "totalAmountExcludingTax": sums[0],
        "totalTaxAmount": sums[1],
        "totalAmountIncludingTax": sums[0] + sums[1],
    }
    if record.entity.name == "salesOrders":
        changes["fullyShipped"] = all(
            line["shippedQuantity"] >= line["quantity"] for line in lines if line["lineType"] == "Item"
        )
    elif not record["posted"]:
        work.update(record, {"remainingAmount": sums[0] + sums[1]})
    moved = {key: value for key, value in changes.items() if value != record[key]}
    if moved:
        work.update(record, moved)
    else:
        work.touch(record)


_PARTY: Final = frozenset({"customerId", "customerNumber", "billToCustomerId", "billToCustomerNumber"})


def _sell_to(work: Work, given: Mapping[str, Any]) -> Record | None:
    return _party(
        work, given, "customerId", "customerNumber", "The sell-to customer cannot be found.",
        "The sell-to customer values do not match to a specific Customer.",
    )  # fmt: skip


def _bill_to(work: Work, given: Mapping[str, Any]) -> Record | None:
    return _party(
        work, given, "billToCustomerId", "billToCustomerNumber", "The bill-to customer cannot be found.",
        "The bill-to customer values do not match to a specific Customer.",
    )  # fmt: skip


def _party(
    work: Work, given: Mapping[str, Any], id_name: str, number_name: str, missing: str, mismatch: str
) -> Record | None:
    customers = work.table("customers")
    by_id = None
    if given.get(id_name, ZERO_GUID) != ZERO_GUID:
        by_id = customers.get(given[id_name])
        if by_id is None:
            raise errors.dialog(missing)
    number = given.get(number_name, "")
    if not number:
        return by_id
    if by_id is not None and by_id["number"] != number:
        raise errors.dialog(mismatch)
    found = by_id or customers.find("number", number)
    if found is None:
        raise errors.dialog(missing)
    return found


def _refuse_blocked(customer: Record) -> None:
    number = customer["number"]
    if customer["privacyBlocked"]:
        raise errors.dialog(f"You cannot create this type of document when Customer {number} is blocked for privacy.")
    if customer["blocked"] != "_x0020_":
        raise errors.dialog(
            f"You cannot create this type of document when Customer {number} is blocked with type {customer['blocked']}"
        )
    if not customer["customerPostingGroup"]:
        raise errors.field_validation(
            f"Customer Posting Group must have a value in Customer: No.={number}. It cannot be zero or empty."
        )


def _refuse_posted_only(given: Mapping[str, Any], number: str) -> None:
    for name, blank in (("promisedPayDate", EMPTY_DATE), ("disputeStatusId", ZERO_GUID), ("disputeStatus", "")):
        if given.get(name, blank) != blank:
            raise errors.field_validation(
                f"Posted must be equal to 'Yes' in Sales Invoice Entity Aggregate: No.={number}, Posted=No. "
                "Current value is 'No'."
            )


def _defaults(work: Work, name: str, customer: Record) -> dict[str, Any]:
    today = work.now.date().isoformat()
    header: dict[str, Any] = {
        "orderDate" if name == "salesOrders" else "invoiceDate": today,
        "postingDate": today,
        "customerId": customer.id,
        "customerNumber": customer["number"],
        "customerName": customer["displayName"],
        "shipToName": customer["displayName"],
        "currencyId": customer["currencyId"],
        "currencyCode": customer["currencyCode"],
        "pricesIncludeTax": False,
        "discountAmount": Decimal(0),
        "paymentTermsId": customer["paymentTermsId"],
        "shipmentMethodId": customer["shipmentMethodId"],
        "salesperson": customer["salespersonCode"],
        "phoneNumber": customer["phoneNumber"],
        "email": customer["email"],
        "status": "Draft",
    }
    if name == "salesOrders":
        header |= {"fullyShipped": True, "partialShipping": True}
    for part, source in _ADDRESS_PARTS:
        header[f"sellTo{part}"] = header[f"shipTo{part}"] = customer[source]
    return header


def _bill_to_values(customer: Record) -> dict[str, Any]:
    party = {f"billTo{part}": customer[source] for part, source in _ADDRESS_PARTS}
    return party | {
        "billToCustomerId": customer.id,
        "billToCustomerNumber": customer["number"],
        "billToName": customer["displayName"],
    }


def _change_party(work: Work, record: Record, header: dict[str, Any], party: Mapping[str, Any]) -> None:
    customer = _sell_to(work, party)
    if customer is not None and customer.id != record["customerId"]:
        if lines_of(work, record):
            raise errors.ApiError(
                400, "Application_CallbackNotAllowed", "Do you want to change Sell-to Customer No.? The lines exist."
            )
        _refuse_blocked(customer)
        header |= _defaults(work, record.entity.name, customer) | _bill_to_values(customer)
    bill_to = _bill_to(work, party)
    if bill_to is not None:
        header |= _bill_to_values(bill_to)


def _due_date_of(work: Work, header: Mapping[str, Any]) -> str:
    terms = work.table("paymentTerms").get(header["paymentTermsId"])
    return due_date(header["invoiceDate"], terms["dueDateCalculation"] if terms else "")


def _line_amount(line: Record) -> Decimal:
    amount: Decimal = to_cents(line["quantity"] * line["unitPrice"]) - line["discountAmount"]
    return amount


def _amounts(line: Record, gross: Decimal, share: Decimal, *, includes_tax: bool) -> dict[str, Any]:
    rate = line["taxPercent"] / 100

    def split(amount: Decimal) -> tuple[Decimal, Decimal]:
        if includes_tax:
            net = to_cents(amount / (1 + rate))
            return net, amount - net
        return amount, to_cents(amount * rate)

    before, before_tax = split(gross)
    after, after_tax = split(gross - share)
    return {
        "amountExcludingTax": before,
        "totalTaxAmount": before_tax,
        "amountIncludingTax": before + before_tax,
        "invoiceDiscountAllocation": share,
        "netAmount": after,
        "netTaxAmount": after_tax,
        "netAmountIncludingTax": after + after_tax,
    }
