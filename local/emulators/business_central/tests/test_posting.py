"""Shipments and invoices: what posting makes of orders and drafts, and what follows."""

from typing import Any

import pytest
from business_central_emulator import BusinessCentral, VirtualClock
from emulator_world import Api, Recorded, Subscribe, Subscriber

DIALOG = "Application_DialogException"
ZERO = "00000000-0000-0000-0000-000000000000"
LINES: list[dict[str, Any]] = [
    {"lineType": "Item", "lineObjectNumber": "1896-S", "quantity": 2},
    {"description": "Thank you for ordering"},
    {"lineType": "Item", "lineObjectNumber": "1900-S", "quantity": 4},
]


def message_of(answer: Any) -> str:
    return str(answer.json()["error"]["message"]).split("  CorrelationId")[0]


def order_of(api: Api, **more: Any) -> Any:
    return api.create("salesOrders", {"customerNumber": "10000", "salesOrderLines": LINES} | more)


def test_ship_and_invoice_turns_an_order_into_a_shipment_and_an_invoice(api: Api, bc: BusinessCentral) -> None:
    """204 without body, Location of the invoice; the order is gone, its number stays on both."""
    order = order_of(api, externalDocumentNumber="web-7")
    answer = api.post(f"salesOrders({order['id']})/Microsoft.NAV.shipAndInvoice", {})
    assert (answer.status, answer.body) == (204, b"")
    assert api.get(f"salesOrders({order['id']})").status == 404
    shipment = api.rows(f"salesShipments?$filter=orderNumber eq '{order['number']}'&$expand=salesShipmentLines")[0]
    invoice = api.rows(f"salesInvoices?$filter=orderNumber eq '{order['number']}'&$expand=salesInvoiceLines")[0]
    assert answer.headers["Location"] == api.url(f"salesInvoices({invoice['id']})")
    assert shipment["externalDocumentNumber"] == invoice["externalDocumentNumber"] == "WEB-7"
    assert (invoice["orderId"], invoice["status"], invoice["number"]) == (order["id"], "Open", "103212")
    assert invoice["remainingAmount"] == invoice["totalAmountIncludingTax"] == order["totalAmountIncludingTax"]
    assert [line["sequence"] for line in shipment["salesShipmentLines"]] == [10000, 20000, 30000]
    assert [line["lineType"] for line in shipment["salesShipmentLines"]] == ["Item", "_x0020_", "Item"]
    assert [line["lineType"] for line in invoice["salesInvoiceLines"]] == ["Item", "Comment", "Item"]
    assert [line["quantity"] for line in shipment["salesShipmentLines"]] == [2, 0, 4]


def test_the_actions_name_matches_without_regard_to_case(api: Api) -> None:
    """`microsoft.nav.SHIPANDINVOICE` posts too."""
    order = order_of(api)
    assert api.post(f"salesOrders({order['id']})/microsoft.nav.SHIPANDINVOICE", b"").status == 204


def test_an_order_without_quantities_cannot_be_posted(api: Api) -> None:
    """There is nothing to post."""
    order = api.create("salesOrders", {"customerNumber": "10000"})
    assert "nothing to post" in message_of(api.post(f"salesOrders({order['id']})/Microsoft.NAV.shipAndInvoice", {}))


def test_a_part_leaves_the_rest_open(api: Api, bc: BusinessCentral) -> None:
    """Only the quantities to ship are posted; the order stays with what is left."""
    order = order_of(api)
    line = api.rows(f"salesOrders({order['id']})/salesOrderLines")[0]
    api.patch(f"salesOrderLines({line['id']})", {"shipQuantity": 1, "invoiceQuantity": 1})
    assert api.post(f"salesOrders({order['id']})/Microsoft.NAV.shipAndInvoice", {}).status == 204
    left = api.get(f"salesOrders({order['id']})?$expand=salesOrderLines").json()
    assert left["fullyShipped"] is False
    assert left["salesOrderLines"][0]["shippedQuantity"] == left["salesOrderLines"][0]["invoicedQuantity"] == 1
    assert left["salesOrderLines"][0]["shipQuantity"] == 1
    assert api.post(f"salesOrders({order['id']})/Microsoft.NAV.shipAndInvoice", {}).status == 204
    assert len(api.rows(f"salesShipments?$filter=orderNumber eq '{order['number']}'")) == 2


def test_ship_first_and_invoice_later(api: Api, bc: BusinessCentral) -> None:
    """Shipping alone makes a shipment and keeps the order; invoicing later makes it go."""
    order = bc.user.create_order(LINES)
    first = bc.user.post_order(order, invoice=False)
    assert (first.invoice, first.order_deleted) == (None, False)
    assert api.get(f"salesOrders({order.id})").json()["fullyShipped"] is True
    assert api.delete(f"salesOrders({order.id})").status == 400
    second = bc.user.post_order(order, ship=False)
    assert (second.shipment, second.order_deleted) == (None, True)


def test_shipping_takes_goods_from_stock_silently(api: Api, bc: BusinessCentral) -> None:
    """The item's inventory falls, its time and ETag stay."""
    before = api.rows("items?$filter=number eq '1896-S'")[0]
    bc.user.create_shipment(LINES)
    after = api.rows("items?$filter=number eq '1896-S'")[0]
    assert after["inventory"] == before["inventory"] - 2
    assert after["@odata.etag"] == before["@odata.etag"]


def draft_of(api: Api, **more: Any) -> Any:
    return api.create("salesInvoices", {"customerNumber": "10000", "salesInvoiceLines": LINES} | more)


def test_a_draft_has_the_recorded_values(api: Api, recorded: Recorded) -> None:
    """Draft, no order, remaining amount equal to the total, due date from the terms."""
    theirs, ours = recorded("salesinvoice-201-draft.json"), draft_of(api)
    same = ("orderId", "orderNumber", "status", "promisedPayDate", "disputeStatus", "disputeStatusId")
    assert [ours[name] for name in same] == [theirs[name] for name in same]
    assert ours["remainingAmount"] == ours["totalAmountIncludingTax"] == 2159.04
    assert (ours["invoiceDate"], ours["dueDate"]) == ("2026-02-11", "2026-03-11")


def test_a_posted_draft_keeps_its_id_and_gets_a_new_number(api: Api, bc: BusinessCentral) -> None:
    """Number of the posted series, new line ids, status Open; the shipment it makes names no order."""
    draft = draft_of(api)
    lines = {line["id"] for line in api.rows(f"salesInvoices({draft['id']})/salesInvoiceLines")}
    assert api.post(f"salesInvoices({draft['id']})/Microsoft.NAV.post", {}).status == 204
    posted = api.get(f"salesInvoices({draft['id']})?$expand=salesInvoiceLines").json()
    assert (draft["number"], posted["number"], posted["status"]) == ("102219", "103212", "Open")
    assert not lines & {line["id"] for line in posted["salesInvoiceLines"]}
    shipment = api.rows("salesShipments?$orderby=number desc&$top=1")[0]
    assert (shipment["orderNumber"], shipment["number"]) == ("", "102212")


def test_a_posted_invoice_hardly_changes(api: Api, bc: BusinessCentral) -> None:
    """Only due date, promised pay date and dispute status pass; no delete, no line writes, no second post."""
    draft = draft_of(api)
    path = f"salesInvoices({draft['id']})"
    api.post(f"{path}/Microsoft.NAV.post", {})
    posted = "The invoice has been posted and can no longer be modified."
    assert message_of(api.patch(path, {"externalDocumentNumber": "x"})) == posted
    assert message_of(api.delete(path)) == posted
    assert message_of(api.post(f"{path}/salesInvoiceLines", {"description": "x"})) == posted
    assert (
        message_of(api.post(f"{path}/Microsoft.NAV.post", {})) == "The action can be applied to a draft invoice only."
    )
    changed = api.patch(path, {"promisedPayDate": "2026-03-01", "dueDate": "2026-03-02"}).json()
    assert (changed["promisedPayDate"], changed["dueDate"]) == ("2026-03-01", "2026-03-02")


def test_a_partial_payment_is_silent_and_the_last_one_is_not(
    api: Api, bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """The amount falls without a stamp; Paid moves stamp, ETag and is notified."""
    invoice = bc.user.create_invoice(LINES)
    bc.user.post_invoice(invoice)
    subscribe("salesInvoices")
    before = api.get(f"salesInvoices({invoice.id})").json()
    clock.advance(60)
    bc.user.pay_invoice(invoice, 100)
    partly = api.get(f"salesInvoices({invoice.id})").json()
    assert partly["remainingAmount"] == before["remainingAmount"] - 100
    assert {**partly, "remainingAmount": 0} == {**before, "remainingAmount": 0}
    clock.advance(60)
    assert bc.run_webhooks(subscriber.receive) == 0
    bc.user.pay_invoice(invoice)
    paid = api.get(f"salesInvoices({invoice.id})").json()
    assert (paid["status"], paid["remainingAmount"]) == ("Paid", 0)
    assert paid["lastModifiedDateTime"] > before["lastModifiedDateTime"]
    clock.advance(30)
    bc.run_webhooks(subscriber.receive)
    assert subscriber.kinds == ["updated"]


def test_canceling_needs_a_posted_invoice_and_works_once(api: Api, bc: BusinessCentral) -> None:
    """Messages of the actions; a canceled invoice has nothing left to pay."""
    draft = draft_of(api)
    path = f"salesInvoices({draft['id']})"
    assert (
        message_of(api.post(f"{path}/Microsoft.NAV.cancel", {}))
        == "The action can be applied to a posted invoice only."
    )
    api.post(f"{path}/Microsoft.NAV.post", {})
    assert api.post(f"{path}/Microsoft.NAV.cancel", {}).status == 204
    canceled = api.get(path).json()
    assert (canceled["status"], canceled["remainingAmount"]) == ("Canceled", 0)
    assert "already been canceled" in message_of(api.post(f"{path}/Microsoft.NAV.cancel", {}))
    assert api.post(f"{path}/Microsoft.NAV.makeCorrectiveCreditMemo", {}).status == 501


def test_sending_needs_an_address(api: Api, bc: BusinessCentral) -> None:
    """`The send-to email is empty. ...`"""
    customer = bc.user.create_customer()
    draft = draft_of(api, customerNumber=customer["number"])
    assert message_of(api.post(f"salesInvoices({draft['id']})/Microsoft.NAV.send", {})).startswith(
        "The send-to email is empty."
    )
    assert message_of(api.post(f"salesInvoices({draft['id']})/Microsoft.NAV.postAndSend", {})).startswith("The send-to")
    assert api.get(f"salesInvoices({draft['id']})").json()["status"] == "Draft"


@pytest.mark.parametrize("given", [{"promisedPayDate": "2026-03-01"}, {"disputeStatus": "LATE"}])
def test_what_only_posted_invoices_have(api: Api, given: Any) -> None:
    """TestField(Posted): a draft takes neither promised pay date nor dispute status."""
    answer = api.post("salesInvoices", {"customerNumber": "10000"} | given)
    assert answer.json()["error"]["code"] == "Application_FieldValidationException"
    draft = draft_of(api)
    assert api.patch(f"salesInvoices({draft['id']})", given).status == 400


def test_a_released_draft_looks_like_a_posted_unpaid_invoice(api: Api, bc: BusinessCentral) -> None:
    """Both are Open with the whole amount left: no property of the set tells them apart, only the number's series.

    What proves a posting when it is there: an order number, a promised pay date or dispute status, a remaining amount
    that differs from the total, or any status but Draft, In Review and Open.
    """
    released = bc.user.create_invoice(LINES)
    bc.user.release(released)
    posted = bc.user.create_invoice(LINES)
    bc.user.post_invoice(posted)
    pair = [api.get(f"salesInvoices({one.id})").json() for one in (released, posted)]
    told_apart = {name for name in pair[0] if pair[0][name] != pair[1][name]}
    assert told_apart == {"@odata.etag", "id", "number"}
    assert [row["status"] for row in pair] == ["Open", "Open"]
    assert [row["number"][:3] for row in pair] == ["102", "103"]


def test_posting_a_released_draft_is_allowed(api: Api, bc: BusinessCentral) -> None:
    """Released is not posted."""
    draft = bc.user.create_invoice(LINES)
    bc.user.release(draft)
    assert api.post(f"salesInvoices({draft.id})/Microsoft.NAV.post", {}).status == 204
    assert bc.table("salesInvoices").the("id", draft.id)["posted"] is True


def test_the_balance_of_a_customer_follows_its_invoices(api: Api, bc: BusinessCentral) -> None:
    """The balance rises with a posting and falls with a payment, silently."""
    customer = bc.table("customers").the("number", "10000")
    before, tag = customer["balanceDue"], customer.etag()
    invoice = bc.user.create_invoice(LINES)
    bc.user.post_invoice(invoice)
    assert customer["balanceDue"] == before + invoice["totalAmountIncludingTax"]
    bc.user.pay_invoice(invoice)
    assert (customer["balanceDue"], customer.etag()) == (before, tag)
