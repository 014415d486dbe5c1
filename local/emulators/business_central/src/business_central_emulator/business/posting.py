"""Posting: what an order or a draft invoice becomes, and what happens to an invoice afterwards.

Life cycles as AL codeunits Sales-Post and the API aggregates have them: an order posted with ship and invoice makes a
shipment and an invoice and disappears; a draft invoice keeps its id and gets a number of the posted series and new
lines; partial payments and stock changes are silent. The API shows no "posted" flag; the hidden column `posted` is the
emulator's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from business_central_emulator.business.documents import due_date, lines_of, recalculate
from business_central_emulator.data import errors
from business_central_emulator.data.environment import Work
from business_central_emulator.data.record import Record
from business_central_emulator.data.schema import ENTITIES, ZERO_GUID

_HEADER_COPY: Final = (
    "externalDocumentNumber", "customerId", "customerNumber", "customerName", "billToName", "billToCustomerId",
    "billToCustomerNumber", "shipToName", "shipToContact", "currencyCode", "salesperson", "pricesIncludeTax",
    "phoneNumber", "email",
    *(f"{who}{part}" for who in ("sellTo", "billTo", "shipTo")
      for part in ("AddressLine1", "AddressLine2", "City", "Country", "State", "PostCode")),
)  # fmt: skip
_INVOICE_COPY: Final = (
    "currencyId", "shortcutDimension1Code", "shortcutDimension2Code", "paymentTermsId", "shipmentMethodId",
    "discountAmount", "discountAppliedBeforeTax",
)  # fmt: skip
_LINE_TYPES: Final = {"Comment": "_x0020_", "Account": "G_x002F_L_x0020_Account"}


@dataclass(frozen=True, slots=True)
class Posted:
    """What a posting made."""

    shipment: Record | None
    invoice: Record | None
    order_deleted: bool


def post_order(work: Work, order: Record, *, ship: bool = True, invoice: bool = True) -> Posted:
    """Post an order with the quantities to ship and to invoice of its lines.

    Raises:
        ApiError: 400 when there is nothing to post.
    """
    lines = lines_of(work, order)
    to_ship = {line.id: line["shipQuantity"] if ship else Decimal(0) for line in lines}
    to_invoice = {
        line.id: min(line["invoiceQuantity"], line["shippedQuantity"] + to_ship[line.id] - line["invoicedQuantity"])
        if invoice
        else Decimal(0)
        for line in lines
    }
    if not any(to_ship.values()) and not any(to_invoice.values()):
        raise errors.dialog("There is nothing to post because the document does not contain a quantity or amount.")
    work.update(order, {"status": "Open"})  # posting releases the order first
    shipment = _ship(work, order, lines, to_ship) if any(to_ship.values()) else None
    posted = _invoice(work, order, lines, to_invoice) if any(to_invoice.values()) else None
    for line in lines:
        shipped = line["shippedQuantity"] + to_ship[line.id]
        invoiced = line["invoicedQuantity"] + to_invoice[line.id]
        work.update(
            line,
            {
                "shippedQuantity": shipped,
                "invoicedQuantity": invoiced,
                "shipQuantity": line["quantity"] - shipped,
                "invoiceQuantity": line["quantity"] - invoiced,
            },
        )
    recalculate(work, order)
    work.note("posted", order)
    is_done = all(line["quantity"] == line["shippedQuantity"] == line["invoicedQuantity"] for line in lines)
    if is_done:
        for line in lines:
            work.delete(line)
        work.delete(order)
    return Posted(shipment, posted, is_done)


def post_invoice(work: Work, invoice: Record) -> Posted:
    """Post a draft: same id, number of the posted series, new line ids, and a shipment where the company makes one."""
    if invoice["posted"]:
        raise errors.dialog("The action can be applied to a draft invoice only.")
    lines = lines_of(work, invoice)
    if not any(line["quantity"] for line in lines):
        raise errors.dialog("There is nothing to post because the document does not contain a quantity or amount.")
    shipment = None
    if work.company.shipment_on_invoice:
        shipment = _ship(work, invoice, lines, {line.id: line["quantity"] for line in lines})
    work.update(
        invoice,
        {
            "preAssignedNumber": invoice["number"],
            "number": work.company.next_number("postedInvoices"),
            "posted": True,
            "status": "Open",
        },
    )
    for line in lines:
        values = {**line.values(), "id": ""}
        work.delete(line)
        work.insert("salesInvoiceLines", values)
    _owe(work, invoice, invoice["remainingAmount"])
    work.note("posted", invoice)
    return Posted(shipment, invoice, order_deleted=False)


def pay_invoice(work: Work, invoice: Record, amount: Decimal) -> None:
    """Apply a payment: partial ones are silent, the last one turns the status to Paid."""
    _refuse_draft(invoice)
    paid = min(amount, invoice["remainingAmount"])
    work.update(invoice, {"remainingAmount": invoice["remainingAmount"] - paid})
    _owe(work, invoice, -paid)
    if invoice["remainingAmount"] == 0:
        work.update(invoice, {"status": "Paid"})
        work.note("paid", invoice)


def cancel_invoice(work: Work, invoice: Record) -> None:
    """Cancel a posted invoice; its credit memo is not emulated."""
    _refuse_draft(invoice)
    if invoice["status"] == "Canceled":
        raise errors.dialog("The invoice cannot be canceled because it has already been canceled.")
    _owe(work, invoice, -invoice["remainingAmount"])
    work.update(invoice, {"remainingAmount": Decimal(0)})
    work.update(invoice, {"status": "Canceled"})
    work.note("canceled", invoice)


def send_invoice(invoice: Record) -> None:
    """Mail an invoice: needs an address."""
    if not invoice["email"]:
        raise errors.dialog(
            "The send-to email is empty. Specify email either for the customer or for the invoice in email preview."
        )


def release(work: Work, document: Record) -> None:
    """Release an order or a draft invoice: status Open while it is not posted."""
    work.update(document, {"status": "Open"})
    work.note("released", document)


def reopen(work: Work, document: Record) -> None:
    """Take a release back."""
    if document.entity.name == "salesInvoices" and document["posted"]:
        raise errors.dialog("The invoice has been posted and can no longer be modified.")
    work.update(document, {"status": "Draft"})


def _refuse_draft(invoice: Record) -> None:
    if not invoice["posted"]:
        raise errors.dialog("The action can be applied to a posted invoice only.")


def _ship(work: Work, document: Record, lines: Sequence[Record], quantities: dict[str, Decimal]) -> Record:
    is_order = document.entity.name == "salesOrders"
    terms = work.table("paymentTerms").get(document["paymentTermsId"])
    method = work.table("shipmentMethods").get(document["shipmentMethodId"])
    document_date = document["orderDate" if is_order else "invoiceDate"]
    header = {name: document[name] for name in _HEADER_COPY} | {
        "number": work.company.next_number("salesShipments"),
        "invoiceDate": document_date,
        "postingDate": document["postingDate"],
        "dueDate": due_date(document_date, terms["dueDateCalculation"] if terms else ""),
        "customerPurchaseOrderReference": "" if is_order else document["customerPurchaseOrderReference"],
        "orderNumber": document["number"] if is_order else "",
        "paymentTermsCode": terms["code"] if terms else "",
        "shipmentMethodCode": method["code"] if method else "",
    }
    shipment = work.insert("salesShipments", header)
    for line in lines:
        work.insert("salesShipmentLines", _shipment_line(shipment, line, quantities[line.id]))
        _issue(work, line, quantities[line.id])
    return shipment


def _shipment_line(shipment: Record, line: Record, quantity: Decimal) -> dict[str, Any]:
    same = ("sequence", "lineObjectNumber", "description", "description2", "unitOfMeasureCode", "unitPrice",
            "discountPercent", "taxPercent", "shipmentDate")  # fmt: skip
    return {name: line[name] for name in same} | {
        "documentId": shipment.id,
        "documentNo": shipment["number"],
        "lineType": _LINE_TYPES.get(line["lineType"], line["lineType"]),
        "quantity": quantity if line["lineType"] != "Comment" else Decimal(0),
    }


def _issue(work: Work, line: Record, quantity: Decimal) -> None:
    """Take goods from stock: a FlowField, so silent."""
    item = work.table("items").get(line["itemId"])
    if item is not None and quantity:
        stock = item["inventory"] - quantity if item["type"] == "Inventory" else item["inventory"]
        work.update(item, {"inventory": stock, "hasEntries": True})


def _invoice(work: Work, order: Record, lines: Sequence[Record], quantities: dict[str, Decimal]) -> Record:
    terms = work.table("paymentTerms").get(order["paymentTermsId"])
    copied = {name: order[name] for name in (*_HEADER_COPY, *_INVOICE_COPY)}
    header = copied | {
        "number": work.company.next_number("postedInvoices"),
        "invoiceDate": order["orderDate"],
        "postingDate": order["postingDate"],
        "dueDate": due_date(order["orderDate"], terms["dueDateCalculation"] if terms else ""),
        "orderId": order.id,
        "orderNumber": order["number"],
        "status": "Open",
        "posted": True,
    }
    # AL inserts the posted header first and its totals follow: `created`, then `updated`
    invoice = work.insert("salesInvoices", header)
    columns = ENTITIES["salesInvoiceLines"].position
    for line in lines:
        if quantities[line.id] or line["lineType"] == "Comment":
            values = {name: value for name, value in line.values().items() if name in columns}
            quantity = quantities[line.id]
            discount = line["discountAmount"] * quantity / line["quantity"] if line["quantity"] else Decimal(0)
            work.insert(
                "salesInvoiceLines",
                values | {"id": "", "documentId": invoice.id, "quantity": quantity, "discountAmount": discount},
            )
    recalculate(work, invoice)
    work.update(invoice, {"remainingAmount": invoice["totalAmountIncludingTax"]})
    _owe(work, invoice, invoice["totalAmountIncludingTax"])
    work.note("posted", invoice)
    return invoice


def _owe(work: Work, invoice: Record, amount: Decimal) -> None:
    """Move the customer's balance: computed, so silent."""
    customer = work.table("customers").get(invoice["billToCustomerId"] or ZERO_GUID)
    if customer is not None:
        work.update(customer, {"balanceDue": customer["balanceDue"] + amount})
