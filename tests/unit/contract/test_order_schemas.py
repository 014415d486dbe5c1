"""The schemas of orders and results say what the parser of orders and the writer of results do."""

import json
from typing import Any

import jsonschema_rs
import pytest

from shared.contract.order_schemas import order_schemas
from shared.errors import InvalidMessage
from shared.orders import order_result
from shared.orders.order_entry import OrderEntry, Sender
from shared.orders.order_message import parse_message
from tests.support.published import queues, result_faults

LINE = {"lineType": "Item", "lineObjectNumber": "1896-S", "quantity": 3}
ORDER = {"customerNumber": "10000", "orderDate": "2026-02-11", "salesOrderLines": [LINE]}
GUID = "3bb5b4b6-ea4c-43ca-ba1c-3b69e29a6668"


def is_taken(message: Any) -> bool:
    """Whether the parser takes it for an order."""
    try:
        parse_message(json.dumps(message), message_id="m-1")
    except InvalidMessage:
        return False
    return True


def fits(message: Any) -> bool:
    """Whether it is valid by the published schema."""
    return not list(queues().faults("sales-orders", message))


@pytest.mark.parametrize(
    "message",
    [
        ORDER,
        {"order": ORDER},
        {"connection": "eu", "company": "CRONUS", "orderKey": "shop-1", "order": ORDER},
        {"company": None, "order": {"customerId": GUID}},
        {"orderDate": "2023-09-01", "customerNumber": "GL00000008", "currencyCode": "GBP", "paymentTermsId": GUID},
        {"order": {**ORDER, "myExtension": {"a": 1}, "discountAmount": None}},
        {"order": {**ORDER, "salesOrderLines": [{"description": "a comment"}, {**LINE, "unitPrice": 12.345678}]}},
        {**ORDER, "id": GUID},
    ],
    ids=str,
)
def test_a_message_that_is_taken_is_valid(message: Any) -> None:
    """The samples of the README among them."""
    assert is_taken(message)
    assert fits(message)


@pytest.mark.parametrize(
    "message",
    [
        [], "order", {}, {"order": {}}, {"order": "x"}, {"order": ORDER, "tenant": "x"},
        {"order": ORDER, "orderKey": 7},
        {"order": ORDER, "orderKey": "x" * 201}, {"order": {**ORDER, "id": GUID}}, {"order": {**ORDER, "number": "1"}},
        {"order": {**ORDER, "orderDate": "11.02.2026"}}, {"order": {**ORDER, "currencyCode": "x" * 11}},
        {"order": {**ORDER, "paymentTermsId": "30 days"}}, {"order": {**ORDER, "pricesIncludeTax": "yes"}},
        {"order": {**ORDER, "discountAmount": "12.50"}}, {"order": {**ORDER, "discountAmount": 10**15}},
        {"order": {**ORDER, "salesOrderLines": {}}}, {"order": {**ORDER, "salesOrderLines": [1]}},
        {"order": {**ORDER, "salesOrderLines": [{**LINE, "lineType": "Things"}]}},
        {"order": {**ORDER, "salesOrderLines": [{**LINE, "netAmount": 1}]}}, {"order": {"customerNumber": " "}},
    ],
    ids=str,
)  # fmt: skip
def test_a_message_that_is_invalid_is_refused(message: Any) -> None:
    """A sender who validates first finds what the app would refuse."""
    assert not fits(message)
    assert not is_taken(message)


@pytest.mark.parametrize(
    "entry",
    [
        OrderEntry(key="K", company=GUID, status="created", message=b"", order_id=GUID, number="101011", attempts=1),
        OrderEntry(key="K", company="", status="rejected", message=b"", error_code="InvalidMessage", error="order: x"),
        OrderEntry(key="K", company=GUID, status="parked", message=b"", error_code="outcome_unknown", attempts=9),
    ],
    ids=lambda entry: entry.status,
)
def test_results_are_valid(entry: OrderEntry) -> None:
    """As the app writes them, and no more members than the schema names."""
    (text,) = order_result.answer("default", entry, [Sender("m-1", "shop-1")]).results
    result = json.loads(text)
    assert result_faults(result) == []
    assert set(result) <= set(order_schemas()["sales-order-results"]["properties"])
    assert result_faults({**result, "status": "done"}) != []
    assert result_faults({name: value for name, value in result.items() if name != "orderKey"}) != []


def test_the_schemas_are_json_schema() -> None:
    """Both queues', by the meta-schema of 2020-12."""
    for schema in order_schemas().values():
        assert jsonschema_rs.meta.is_valid({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
