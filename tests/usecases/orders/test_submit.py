"""Sales orders: one in Business Central per key, whatever happens, and an answer to every message (P8, P9)."""

import json
from datetime import timedelta
from typing import Any

import pytest
from business_central_emulator import FaultKind

from shared.orders import resume
from shared.outputs import Outputs
from shared.resource_names import QUEUE_ORDERS
from tests.support.shop import CRONUS, Shop
from tests.support.worlds import requests_made, restart, results, small_world

GUID = "7b1c4a52-91d3-f011-8d4c-6045bd1a2c10"


@pytest.fixture
def shop() -> Shop:
    """A fresh shop."""
    return Shop()


def test_an_order_is_posted_and_its_result_told(shop: Shop) -> None:
    """The result has all members of design.md section 4."""
    (result,) = shop.submit(shop.message())
    (order,) = shop.orders()
    assert result == {
        "connection": "default", "orderKey": "web-1", "status": "created",
        "company": shop.world.bc.company().id, "id": order.id,
        "number": order["number"], "error": None, "correlationId": "", "attempts": 1,
    }  # fmt: skip
    assert order["externalDocumentNumber"] == "WEB-1"
    (line,) = shop.world.bc.table("salesOrderLines")
    assert (line["lineObjectNumber"], line["quantity"], line["unitPrice"]) == ("PRK-1001", 2, shop.item["unitPrice"])


def test_the_customers_sample_is_accepted_as_it_is(shop: Shop) -> None:
    """A bare order, one company configured: its key is the message's own id."""
    terms = next(iter(shop.world.bc.table("paymentTerms"))).id
    shop.world.bc.user.create_customer(number="GL00000008", displayName="Sample")
    sample = {
        "orderDate": "2023-09-01", "customerNumber": "GL00000008", "currencyCode": "GBP", "paymentTermsId": terms,
    }  # fmt: skip
    message_id = shop.send(json.dumps(sample))
    shop.world.drain()
    (result,) = results(shop.world)
    assert result["status"] == "created"
    (order,) = shop.orders()
    assert result["orderKey"] == message_id
    assert order["externalDocumentNumber"] == message_id.upper()
    assert (order["orderDate"], order["paymentTermsId"]) == ("2023-09-01", terms)


#: What is wrong -> (order, members beside it, what the answer must say).
BAD: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "bad date": ({"orderDate": "01.09.2023"}, {}, ["orderDate: must be a date"]),
    "impossible date": ({"orderDate": "2023-02-30"}, {}, ["orderDate: must be a date"]),
    "wrong type": ({"pricesIncludeTax": "yes"}, {}, ["pricesIncludeTax: must be true or false"]),
    "36 characters": ({"externalDocumentNumber": "x" * 36}, {}, ["externalDocumentNumber: has 36 characters", "35"]),
    "no customer": ({"customerNumber": None}, {}, ["customerNumber: this or customerId is required"]),
    "unknown company": ({}, {"company": "Contoso"}, ["company: must be the id or name of one of", CRONUS]),
    "company is a number": ({}, {"company": 5}, ["company: must be text"]),
    "order is a list": ({}, {"order": []}, ["order: must be a JSON object"]),
    "lines are an object": ({"salesOrderLines": {}}, {}, ["salesOrderLines: must be a list"]),
    "quantity is text": (
        {"salesOrderLines": [{"lineType": "Item", "lineObjectNumber": "PRK-1001", "quantity": "2"}]}, {},
        ["salesOrderLines[0].quantity: must be a number"],
    ),
    "several at once": (
        {"orderDate": "x", "customerNumber": None, "discountAmount": "1"}, {"company": 5},
        ["orderDate: ", "customerNumber: ", "discountAmount: ", "company: "],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_message_is_rejected_with_every_fault_and_without_asking_bc(shop: Shop, name: str) -> None:
    """One result that names field and rule; no order, no request, and the original kept for a redrive."""
    fields, members, said = BAD[name]
    shop.submit(shop.message("good"))
    before = requests_made(shop.world)
    text = shop.message("bad", **{"order": shop.order(**fields), **members})
    (result,) = shop.submit(text)
    assert (result["status"], result["orderKey"], result["error"]["code"]) == ("rejected", "bad", "InvalidMessage")
    assert all(part in result["error"]["message"] for part in said)
    assert len(shop.orders()) == 1
    assert requests_made(shop.world) - before <= (1 if "unknown" in name else 0)  # a new company may be there by now
    (entry,) = shop.world.stores.orders.find("BAD")
    assert entry.message.decode() == text


@pytest.mark.parametrize(
    "text", ["", "not json", "{", "[]", "5", "null", '"x"', "[" * 3000 + "]" * 3000, '{"a":' * 3000, "\x00"]
)
def test_what_is_no_order_at_all_is_rejected_under_the_messages_id(shop: Shop, text: str) -> None:
    """Even garbage gets an answer that can be matched to its message."""
    message_id = shop.send(text)
    shop.world.drain()
    (result,) = results(shop.world)
    assert (result["status"], result["orderKey"]) == ("rejected", message_id)
    assert result["error"]["message"].startswith("message: must be JSON") or "JSON object" in result["error"]["message"]
    assert shop.world.queues.waiting(QUEUE_ORDERS) == 0


def test_without_a_company_the_only_one_is_meant(shop: Shop) -> None:
    """And where several are connected the answer says that one must be named."""
    (result,) = shop.submit(shop.message(company=None))
    assert result["status"] == "created"
    several = Shop(small_world())
    (result,) = several.submit(several.message(company=None))
    assert (result["status"], result["error"]["message"]) == ("rejected", "company: is required: several are connected")


@pytest.mark.parametrize("name", [CRONUS, CRONUS.upper(), f" {CRONUS} ", "id", "ID"])
def test_a_company_is_named_by_id_or_name(shop: Shop, name: str) -> None:
    """In any case of letters."""
    company = shop.world.bc.company().id
    (result,) = shop.submit(shop.message(company={"id": company, "ID": company.upper()}.get(name, name)))
    assert (result["status"], result["company"]) == ("created", company)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown customer": ({"customerNumber": "NOBODY"}, "The sell-to customer cannot be found."),
    "unknown currency": ({"currencyCode": "XXX"}, 'The "currencyCode" does not match to a Currency.'),
    "unknown terms": ({"paymentTermsId": GUID}, 'The "paymentTermsId" does not match to a Payment Terms.'),
    "unknown item": (
        {"salesOrderLines": [{"lineType": "Item", "lineObjectNumber": "NONE", "quantity": 1}]}, "NONE",
    ),
    "bad second line": (
        {"salesOrderLines": [
            {"lineType": "Item", "lineObjectNumber": "PRK-1001", "quantity": 1},
            {"lineType": "Item", "lineObjectNumber": "NONE", "quantity": 1},
        ]}, "NONE",
    ),
    "unknown property": ({"shoeSize": 43}, "shoeSize"),
    "blocked customer": ({"customerNumber": "BLOCKED"}, "blocked"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_bc_refuses_is_a_result_with_its_own_words_after_one_try(shop: Shop, name: str) -> None:
    """Code, message and correlation id; no loop, no order, nothing left of a half-made one (P9)."""
    fields, said = REFUSED[name]
    blocked = shop.world.bc.user.create_customer(number="BLOCKED", displayName="x")
    shop.world.bc.user.update(blocked, {"blocked": "All"})
    (result,) = shop.submit(shop.message(order=shop.order(**fields)))
    assert (result["status"], result["attempts"]) == ("rejected", 1)
    assert said in result["error"]["message"]
    assert result["error"]["code"] not in {"", "InvalidMessage"}
    assert len(result["correlationId"]) == 36
    assert shop.orders() == []
    shop.wait(timedelta(hours=1))
    assert len(results(shop.world)) == 1


def test_a_rejected_order_is_put_back_once_the_cause_is_gone(shop: Shop) -> None:
    """The original was kept: the customer is created, an operator redrives, the order is there."""
    shop.submit(shop.message(order=shop.order(customerNumber="LATER")))
    assert shop.status() == "rejected"
    shop.world.bc.user.create_customer(number="LATER", displayName="x")
    found, outgoing = resume.redrive(shop.world.stores.orders, " web-1 ")
    assert found
    shop.world.leave(outgoing)
    shop.world.drain()
    assert [result["status"] for result in results(shop.world)] == ["rejected", "created"]
    assert len(shop.orders("WEB-1")) == 1


def test_an_unreadable_message_can_be_redriven_as_well(shop: Shop) -> None:
    """Its company did not exist when it came; now it does."""
    restart(shop.world, BC_COMPANIES="*")
    (result,) = shop.submit(shop.message(company="Contoso"))
    assert result["status"] == "rejected"
    contoso = shop.world.bc.add_company("Contoso")
    shop.world.bc.user.create_customer(company=contoso.id, number="C00120", displayName="x")
    shop.world.bc.user.create_item(company=contoso.id, number="PRK-1001", displayName="x")
    shop.world.leave(resume.redrive(shop.world.stores.orders, "WEB-1")[1])
    shop.world.drain()
    assert results(shop.world)[-1]["status"] == "created"
    assert results(shop.world)[-1]["company"] == contoso.id
    assert shop.status() == "created"


def test_an_unreadable_message_needs_no_attention_once_its_order_was_sent_well(shop: Shop) -> None:
    """The order that was created under its key answers what was refused; what BC refuses leaves it listed."""
    orders = shop.world.stores.orders
    shop.submit(shop.message(company="Nowhere"))
    shop.submit(shop.message(order=shop.order(customerNumber="NOBODY")))
    assert len(orders.stopped(10)) == 2
    (result,) = shop.submit(shop.message())
    assert result["status"] == "created"
    assert orders.stopped(10) == []
    assert orders.counts(10) == {"parked": 0, "rejected": 0, "waiting": 0}


def test_a_corrected_message_under_the_same_key_is_taken(shop: Shop) -> None:
    """A sender need not invent another key after a rejection."""
    (first,) = shop.submit(shop.message(order=shop.order(customerNumber="NOBODY")))
    (second,) = shop.submit(shop.message())
    assert [first["status"], second["status"]] == ["rejected", "created"]


def test_redriving_leaves_other_orders_as_they_are(shop: Shop) -> None:
    """One that was created is not made again; one that nobody knows is not found."""
    shop.submit(shop.message())
    assert resume.redrive(shop.world.stores.orders, "WEB-1") == (True, Outputs())
    assert resume.redrive(shop.world.stores.orders, "WEB-2")[0] is False


def test_a_repeated_message_makes_no_second_order(shop: Shop) -> None:
    """The sender repeats itself: the same answer, the same order."""
    (first,) = shop.submit(shop.message())
    (second,) = shop.submit(shop.message("WEB-1 "))
    assert second == {**first, "orderKey": "WEB-1 "}
    assert len(shop.orders()) == 1


def test_another_order_under_a_used_key_is_refused(shop: Shop) -> None:
    """A key stands for one order: silence or a second order would both be wrong."""
    (first,) = shop.submit(shop.message())
    (other,) = shop.submit(shop.message(order=shop.order(orderDate="2026-02-11")))
    assert (other["status"], other["error"]["code"]) == ("rejected", "InvalidMessage")
    assert "orderKey: was used for another order" in other["error"]["message"]
    assert len(shop.orders()) == 1
    assert shop.status() == "created"
    assert shop.submit(shop.message()) == [first]


def test_the_same_external_number_under_two_keys_is_two_orders(shop: Shop) -> None:
    """Partial deliveries of one purchase order: the key decides, not the number."""
    order = shop.order(externalDocumentNumber="PO-1")
    first, second = shop.submit(shop.message("a", order)), shop.submit(shop.message("b", order))
    assert [result["status"] for result in first + second] == ["created", "created"]
    assert len(shop.orders("PO-1")) == 2
    assert first[0]["number"] != second[0]["number"]


@pytest.mark.parametrize("key", ["web-1", None])
def test_an_order_that_bears_our_number_already_is_not_taken_for_ours(shop: Shop, key: str | None) -> None:
    """An order that was never posted can't have made a document: refused, and nothing is posted (P17)."""
    made = shop.world.bc.user.create_order(customerNumber="C00120", externalDocumentNumber="WEB-1")
    order = shop.order(externalDocumentNumber=None if key else "web-1")
    (result,) = shop.submit(shop.message(key, order))
    assert (result["orderKey"], result["status"], result["attempts"]) == ("web-1", "rejected", 0)
    assert result["error"]["code"] == "OrderExists"
    assert made["number"] in result["error"]["message"]
    assert len(shop.orders()) == 1


def test_an_order_is_posted_once_the_one_in_its_way_is_gone(shop: Shop) -> None:
    """The clerk deletes his order, the operator redrives."""
    made = shop.world.bc.user.create_order(customerNumber="C00120", externalDocumentNumber="WEB-1")
    shop.submit(shop.message())
    shop.world.bc.user.delete(made)
    shop.world.leave(resume.redrive(shop.world.stores.orders, "web-1")[1])
    shop.world.drain()
    assert [result["status"] for result in results(shop.world)] == ["rejected", "created"]


def test_another_customers_order_is_in_nobodys_way(shop: Shop) -> None:
    """External numbers are the customers' own."""
    shop.world.bc.user.create_customer(number="C2", displayName="x")
    shop.world.bc.user.create_order(customerNumber="C2", externalDocumentNumber="WEB-1")
    (result,) = shop.submit(shop.message())
    assert result["status"] == "created"


@pytest.mark.parametrize("is_in_doubt", [False, True])
def test_a_look_up_that_stumbles_over_another_document_rejects_nothing(shop: Shop, is_in_doubt: bool) -> None:
    """No part of the key can be filtered by: all are looked at, of which one is broken, and the order waits for it."""
    other = shop.world.bc.user.create_order(customerNumber="C00120")
    broken = shop.world.bc.faults.broken
    if is_in_doubt:
        shop.fail(FaultKind.TIMEOUT_AFTER)
        shop.submit(shop.message("(*)"))
    broken[other.id] = "dialog"
    assert shop.submit(shop.message("(*)")) == []
    shop.wait(timedelta(hours=1))
    assert shop.status("(*)") == "waiting"
    broken.clear()
    shop.wait(timedelta(hours=1))
    assert [result["status"] for result in results(shop.world)] == ["created"] * (1 + is_in_doubt)
    assert len(shop.orders("(*)")) == 1
