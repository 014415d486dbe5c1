"""Creating and changing sales orders: deep insert, defaults, every refusal."""

from decimal import Decimal
from typing import Any

import pytest
from business_central_emulator import BusinessCentral
from emulator_world import Api, Subscribe

DIALOG = "Application_DialogException"
NO_ID = "00000000-0000-4000-8000-000000000000"
ZERO = "00000000-0000-0000-0000-000000000000"


RELATION = "Internal_InvalidTableRelation"
BY_NUMBER = {"lineType": "Item", "lineObjectNumber": "1896-S"}


def relation(field: str, value: str, table: str) -> str:
    return (
        f"The field {field} of table Sales Line contains a value ({value}) that cannot be found in the related table "
        f"({table})."
    )


def failed(answer: Any) -> tuple[int, str, str]:
    error = answer.json()["error"]
    return answer.status, error["code"], error["message"].split("  CorrelationId")[0]


def order_body(**more: Any) -> Any:
    lines = [{"lineType": "Item", "lineObjectNumber": "1896-S", "quantity": 2}]
    return {"customerNumber": "10000", "salesOrderLines": lines} | more


def test_a_deep_insert_creates_header_and_lines(api: Api, bc: BusinessCentral) -> None:
    """201 without lines in the body; with `$expand` on the POST they are there."""
    plain = api.create("salesOrders", order_body())
    assert "salesOrderLines" not in plain
    order = api.create("salesOrders?$expand=salesOrderLines", order_body(externalDocumentNumber="web-1 "))
    line = order["salesOrderLines"][0]
    assert (order["externalDocumentNumber"], order["status"], order["number"]) == ("WEB-1", "Draft", "101011")
    assert (line["sequence"], line["lineObjectNumber"], line["description"]) == (10000, "1896-S", "ATHENS Desk")
    assert (line["quantity"], line["unitPrice"], line["unitOfMeasureCode"]) == (2, 649.4, "PCS")
    assert (line["shipQuantity"], line["invoiceQuantity"], line["shippedQuantity"]) == (2, 2, 0)


def test_totals_follow_from_the_lines(api: Api) -> None:
    """Net, VAT at home, gross; the header is their sum."""
    order = api.create("salesOrders", order_body())
    assert (order["totalAmountExcludingTax"], order["totalTaxAmount"], order["totalAmountIncludingTax"]) == (
        1298.8,
        259.76,
        1558.56,
    )
    abroad = api.create("salesOrders", order_body(customerNumber="30000"))
    assert (abroad["totalTaxAmount"], abroad["totalAmountIncludingTax"]) == (0, 1298.8)


def test_defaults_come_from_the_customer(api: Api, bc: BusinessCentral) -> None:
    """Addresses, bill-to, terms, currency, salesperson, mail; dates are the work date."""
    customer = api.rows("customers?$filter=number eq '10000'")[0]
    order = api.create("salesOrders", {"customerNumber": "10000"})
    assert order["customerId"] == order["billToCustomerId"] == customer["id"]
    assert order["sellToCity"] == order["billToCity"] == order["shipToCity"] == customer["city"]
    assert order["paymentTermsId"] == customer["paymentTermsId"]
    assert (order["salesperson"], order["email"]) == (customer["salespersonCode"], customer["email"])
    assert order["orderDate"] == order["postingDate"] == "2026-02-11"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"customerNumber": ""}, 'A "customerNumber" or a "customerId" must be provided.'),
        ({"customerNumber": "NOPE"}, "The sell-to customer cannot be found."),
        ({"customerId": NO_ID}, "The sell-to customer cannot be found."),
        ({"billToCustomerNumber": "NOPE"}, "The bill-to customer cannot be found."),
        ({"currencyCode": "QQQ"}, 'The "currencyCode" does not match to a Currency.'),
        ({"currencyId": NO_ID}, 'The "currencyId" does not match to a Currency.'),
        ({"paymentTermsId": NO_ID}, 'The "paymentTermsId" does not match to a Payment Terms.'),
        ({"shipmentMethodId": NO_ID}, 'The "shipmentMethodId" does not match to a Shipment Method.'),
    ],
)
def test_header_refusals(api: Api, bc: BusinessCentral, change: Any, message: str) -> None:
    """The page's words for every header value that leads nowhere; no order is created."""
    before = len(bc.table("salesOrders"))
    assert failed(api.post("salesOrders", order_body(**change))) == (400, DIALOG, message)
    assert len(bc.table("salesOrders")) == before


def test_customer_number_and_id_must_agree(api: Api, bc: BusinessCentral) -> None:
    """Two different customers: the values do not match; the same for bill-to and for the currency."""
    other = bc.table("customers").the("number", "20000")
    assert failed(api.post("salesOrders", order_body(customerId=other.id)))[2] == (
        "The sell-to customer values do not match to a specific Customer."
    )
    bill_to = {"billToCustomerId": other.id, "billToCustomerNumber": "10000"}
    assert failed(api.post("salesOrders", order_body(**bill_to)))[2] == (
        "The bill-to customer values do not match to a specific Customer."
    )
    euro = bc.table("currencies").the("code", "EUR")
    pair = {"currencyId": euro.id, "currencyCode": "USD"}
    assert failed(api.post("salesOrders", order_body(**pair)))[2] == (
        "The currency values do not match to a specific Currency."
    )


@pytest.mark.parametrize("blocked", ["Ship", "Invoice", "All"])
def test_a_blocked_customer_gets_no_order(api: Api, bc: BusinessCentral, blocked: str) -> None:
    """Any kind of block stops an order; so does a privacy block."""
    customer = bc.user.create_customer(blocked=blocked)
    status, code, message = failed(api.post("salesOrders", order_body(customerNumber=customer["number"])))
    assert (status, code) == (400, DIALOG)
    assert message.endswith(f"is blocked with type {blocked}")
    private = bc.user.create_customer(privacyBlocked=True)
    assert "privacy" in failed(api.post("salesOrders", order_body(customerNumber=private["number"])))[2]


def test_a_customer_without_posting_group_gets_no_order(api: Api, bc: BusinessCentral) -> None:
    """Application_FieldValidationException, as TestField says it."""
    customer = bc.user.create_customer(customerPostingGroup="")
    status, code, message = failed(api.post("salesOrders", order_body(customerNumber=customer["number"])))
    assert (status, code) == (400, "Application_FieldValidationException")
    assert "must have a value" in message


def test_the_external_document_number_has_35_characters_and_may_repeat(api: Api) -> None:
    """36 are refused; two orders may carry the same one: it is no key."""
    assert failed(api.post("salesOrders", order_body(externalDocumentNumber="x" * 36)))[1] == (
        "Application_StringExceededLength"
    )
    first, second = (api.create("salesOrders", order_body(externalDocumentNumber="same")) for _ in range(2))
    found = api.rows("salesOrders?$filter=externalDocumentNumber eq 'SAME' and customerNumber eq '10000'")
    assert [row["id"] for row in found] == [first["id"], second["id"]]


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ({"itemId": NO_ID}, DIALOG, "Item does not exist."),
        ({"accountId": NO_ID}, DIALOG, "Account does not exist."),
        ({"itemId": NO_ID, "accountId": NO_ID}, DIALOG,
         'Both "itemId" and "accountId" are specified. Specify only one of them.'),
        (BY_NUMBER | {"lineObjectNumber": "NOPE"}, RELATION, relation("No.", "NOPE", "Item")),
        ({"description": "text", "unitOfMeasureCode": "PCS"}, DIALOG,
         "Unit of Measure can be set only for lines with type Item."),
        (BY_NUMBER | {"unitOfMeasureCode": "BOX"}, RELATION,
         relation("Unit of Measure Code", "BOX", "Item Unit of Measure")),
        (BY_NUMBER | {"itemVariantId": NO_ID}, RELATION, relation("Variant Code", NO_ID, "Item Variant")),
    ],
)  # fmt: skip
def test_one_bad_line_takes_the_header_with_it(
    api: Api, bc: BusinessCentral, subscribe: Subscribe, line: Any, code: str, message: str
) -> None:
    """A deep insert is one transaction: after a bad second line nothing exists and nothing is notified."""
    subscribe("salesOrders")
    before = {name: len(table) for name, table in bc.company().tables.items()}
    history = len(bc.environment.history)
    body = order_body()
    body["salesOrderLines"].append(line)
    assert failed(api.post("salesOrders", body)) == (400, code, message)
    assert {name: len(table) for name, table in bc.company().tables.items()} == before
    assert (len(bc.environment.history), bc.webhooks.waiting()) == (history, 0)


def test_blocked_items_are_not_sold(api: Api, bc: BusinessCentral) -> None:
    """Blocked: TestField; sales blocked: the item card's words."""
    bc.user.create_item(number="B1", blocked=True)
    bc.user.create_item(number="B2", salesBlocked=True)
    lines = [[{"lineType": "Item", "lineObjectNumber": number, "quantity": 1}] for number in ("B1", "B2")]
    assert failed(api.post("salesOrders", order_body(salesOrderLines=lines[0])))[1] == (
        "Application_FieldValidationException"
    )
    assert "Sales Blocked" in failed(api.post("salesOrders", order_body(salesOrderLines=lines[1])))[2]


def test_a_variant_is_given_by_id_and_must_be_the_items_own(api: Api, bc: BusinessCentral) -> None:
    """The variant's description lands on the line; another item's variant is refused."""
    chair = bc.table("items").the("number", "1900-S")
    red = bc.user.create_variant(chair, "RED", description="Chair, red")
    good = {"itemId": chair.id, "itemVariantId": red.id, "quantity": 1}
    order = api.create("salesOrders?$expand=salesOrderLines($expand=itemVariant)", order_body(salesOrderLines=[good]))
    line = order["salesOrderLines"][0]
    assert (line["itemVariantId"], line["description"], line["itemVariant"]["code"]) == (red.id, "Chair, red", "RED")
    wrong = {"lineType": "Item", "lineObjectNumber": "1896-S", "itemVariantId": red.id, "quantity": 1}
    assert failed(api.post("salesOrders", order_body(salesOrderLines=[wrong])))[1] == "Internal_InvalidTableRelation"


def test_the_order_of_properties_is_the_order_of_validation(api: Api) -> None:
    """A price after the quantity stays; a quantity after the price takes the item's price again."""
    item = {"lineType": "Item", "lineObjectNumber": "1896-S"}
    late_price = item | {"quantity": 1, "unitPrice": 5}
    early_price = item | {"unitPrice": 5, "quantity": 1}
    prices = [
        api.create("salesOrders?$expand=salesOrderLines", order_body(salesOrderLines=[line]))["salesOrderLines"][0]
        for line in (late_price, early_price)
    ]
    assert [line["unitPrice"] for line in prices] == [5, 649.4]


def test_discounts_recompute_each_other(api: Api) -> None:
    """Percent gives amount and amount gives percent; the document discount is spread over the lines."""
    item = {"lineType": "Item", "lineObjectNumber": "1896-S", "quantity": 1, "unitPrice": 200}
    by_percent, by_amount = (
        api.create("salesOrders?$expand=salesOrderLines", order_body(salesOrderLines=[item | one]))["salesOrderLines"][
            0
        ]
        for one in ({"discountPercent": 10}, {"discountAmount": 20})
    )
    assert by_percent["discountAmount"] == by_amount["discountAmount"] == 20
    assert by_percent["discountPercent"] == by_amount["discountPercent"] == 10
    assert by_amount["amountExcludingTax"] == 180
    body = order_body(salesOrderLines=[item, item], discountAmount=100)
    order = api.create("salesOrders?$expand=salesOrderLines", body)
    assert [line["invoiceDiscountAllocation"] for line in order["salesOrderLines"]] == [50, 50]
    assert order["totalAmountExcludingTax"] == 300


def test_lines_can_be_added_changed_and_removed(api: Api, bc: BusinessCentral) -> None:
    """POST below the order or with documentId, PATCH, DELETE; each moves totals and stamp of the header."""
    order = api.create("salesOrders", order_body())
    path = f"salesOrders({order['id']})"
    added = api.create(f"{path}/salesOrderLines", {"lineType": "Item", "lineObjectNumber": "1900-S", "quantity": 1})
    assert added["sequence"] == 20000
    flat = {"documentId": order["id"], "description": "Thank you"}
    assert api.create("salesOrderLines", flat)["lineType"] == "Comment"
    assert api.get(path).json()["totalAmountExcludingTax"] == 1423.9
    assert api.patch(f"{path}/salesOrderLines({added['id']})", {"quantity": 2}).json()["quantity"] == 2
    assert api.get(path).json()["totalAmountExcludingTax"] == 1549
    assert api.delete(f"salesOrderLines({added['id']})").status == 204
    after = api.get(path).json()
    assert after["totalAmountExcludingTax"] == 1298.8
    assert after["@odata.etag"] != order["@odata.etag"]


def test_line_refusals(api: Api, bc: BusinessCentral) -> None:
    """Unknown documents, duplicate sequences, and what cannot be changed later."""
    order = api.create("salesOrders?$expand=salesOrderLines", order_body())
    line = order["salesOrderLines"][0]
    path = f"salesOrderLines({line['id']})"
    assert failed(api.post("salesOrderLines", {"documentId": NO_ID}))[2] == "No document with the specified ID exists."
    twice = {"documentId": order["id"], "sequence": 10000}
    assert failed(api.post("salesOrderLines", twice))[2] == "You cannot insert a line because a line already exists."
    assert "sequence cannot be modified" in failed(api.patch(path, {"sequence": 5}))[2]
    assert failed(api.patch(path, {"lineObjectNumber": "1900-S"}))[2] == (
        'The value for "lineObjectNumber" cannot be modified.'
    )
    assert failed(api.patch(path, {"documentId": NO_ID}))[2] == 'The value for "documentId" cannot be modified.'
    assert failed(api.patch(path, {"shipQuantity": 10}))[2] == "You cannot ship more than 2 units."


def test_deep_patch_is_refused(api: Api) -> None:
    """Lines cannot be changed through the header."""
    order = api.create("salesOrders", order_body())
    assert failed(api.patch(f"salesOrders({order['id']})", {"salesOrderLines": []}))[:2] == (400, "BadRequest")


def test_a_header_can_be_changed_and_deleted(api: Api, bc: BusinessCentral) -> None:
    """PATCH of a sell-to address moves bill-to too; DELETE takes the lines along."""
    order = api.create("salesOrders", order_body())
    path = f"salesOrders({order['id']})"
    changed = api.patch(path, {"sellToCity": "Kiel", "externalDocumentNumber": "web-9"}).json()
    assert (changed["sellToCity"], changed["billToCity"], changed["shipToCity"]) == ("Kiel", "Kiel", "Cambridge")
    assert changed["externalDocumentNumber"] == "WEB-9"
    assert api.delete(path).status == 204
    assert bc.table("salesOrderLines").where("documentId", order["id"]) == []


def test_the_customer_of_an_order_with_lines_stays(api: Api) -> None:
    """Changing it needs a confirmation that the API cannot give."""
    order = api.create("salesOrders", order_body())
    assert failed(api.patch(f"salesOrders({order['id']})", {"customerNumber": "20000"}))[1] == (
        "Application_CallbackNotAllowed"
    )
    empty = api.create("salesOrders", {"customerNumber": "10000"})
    moved = api.patch(f"salesOrders({empty['id']})", {"customerNumber": "20000"}).json()
    assert (moved["customerName"], moved["billToCustomerNumber"]) == ("Trey Research", "20000")


def test_a_released_order_is_closed(api: Api, bc: BusinessCentral) -> None:
    """Status must be Open in BC's words (Draft in the API's) for changes of header and lines."""
    order = bc.user.create_order()
    bc.user.release(order)
    assert api.get(f"salesOrders({order.id})").json()["status"] == "Open"
    assert failed(api.patch(f"salesOrders({order.id})", {"sellToCity": "Kiel"}))[1] == (
        "Application_FieldValidationException"
    )
    assert failed(api.post(f"salesOrders({order.id})/salesOrderLines", {"description": "x"}))[1] == (
        "Application_FieldValidationException"
    )


def test_amounts_are_exact(api: Api, bc: BusinessCentral) -> None:
    """0.1 three times is 0.3 to the digit."""
    lines = [{"lineType": "Item", "lineObjectNumber": "1896-S", "quantity": 3, "unitPrice": 0.1}]
    order = api.create("salesOrders", order_body(salesOrderLines=lines, customerNumber="30000"))
    assert bc.table("salesOrders").the("id", order["id"])["totalAmountIncludingTax"] == Decimal("0.3")
    assert b'"totalAmountIncludingTax":0.3,' in api.get(f"salesOrders({order['id']})").body
