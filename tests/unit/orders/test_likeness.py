"""Whether a document can be what an order made of it, as a table."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.business_central.port import DocumentLine, PostedOrder
from shared.orders.likeness import are_alike, likeness, mark

GUID = "7b1c4a52-91d3-f011-8d4c-6045bd1a2c10"
OTHER_GUID = GUID.replace("7", "8")
ORDER = PostedOrder("id-1", "101001", order_date="2026-03-01")
INVOICE = PostedOrder("", "101001")


def sent(*lines: tuple[str, object], **fields: Any) -> dict[str, Any]:
    """An order with lines of (item number or id, quantity)."""
    made = [
        {"itemId" if len(name) == 36 else "lineObjectNumber": name, "quantity": quantity} for name, quantity in lines
    ]
    lines_sent = [*made, {"lineType": "Comment", "description": "x"}]
    return {"customerNumber": "C1", "externalDocumentNumber": "PO-1", "salesOrderLines": lines_sent, **fields}


def line(number: str, quantity: str, *ids: str) -> DocumentLine:
    """A line of a document."""
    return DocumentLine(frozenset(ids), number, Decimal(quantity))


COMMENT = line("", "0")
ROWS = [
    ("the same lines", sent(("P1", 2), ("P2", 1)), ORDER, [line("P2", "1.00"), COMMENT, line("P1", "2")], "same"),
    ("a number in another case", sent(("p1", 2)), ORDER, [line("P1", "2")], "same"),
    ("an item by its id", sent((GUID, 2)), ORDER, [line("P1", "2", GUID)], "same"),
    ("an item of another id", sent((GUID, 2)), ORDER, [line("P1", "2", OTHER_GUID)], "unclear"),
    ("another quantity", sent(("P1", 2)), ORDER, [line("P1", "7")], "unclear"),
    ("another item", sent(("P1", 2)), ORDER, [line("P2", "2")], "unclear"),
    ("a line less", sent(("P1", 2), ("P2", 1)), ORDER, [line("P1", "2")], "unclear"),
    ("no lines", sent(("P1", 2)), ORDER, [], "unclear"),
    ("a line more of another item", sent(("P1", 2)), ORDER, [line("P1", "2"), line("FREIGHT", "1")], "unclear"),
    ("a line more of the same item", sent(("P1", 2)), ORDER, [line("P1", "2"), line("P1", "2")], "unclear"),
    ("both lines of the same item", sent(("P1", 2), ("P1", 2)), ORDER, [line("P1", "2"), line("P1", "2")], "same"),
    ("no lines sent, none there", sent(), ORDER, [COMMENT], "same"),
    ("no lines sent, some there", sent(), ORDER, [line("P1", "2")], "unclear"),
    ("the same date", sent(("P1", 2), orderDate="2026-03-01"), ORDER, [line("P1", "2")], "same"),
    ("another date", sent(("P1", 2), orderDate="2026-03-02"), ORDER, [line("P1", "2")], "unclear"),
    ("more decimals than BC keeps", sent(("P1", Decimal("0.123456"))), ORDER, [line("P1", "0.12346")], "same"),
    ("half of the last decimal, as BC rounds it", sent(("P1", Decimal("1.000005"))), ORDER, [line("P1", "1.00001")],
        "same"),
    ("a negative one", sent(("P1", Decimal("-1.000005"))), ORDER, [line("P1", "-1.00001")], "same"),
    ("a unit of whole pieces", sent(("P1", Decimal("2.4"))), ORDER, [line("P1", "2")], "rounded"),
    ("half a piece", sent(("P1", Decimal("2.5"))), ORDER, [line("P1", "3")], "rounded"),
    ("a unit of quarters", sent(("P1", Decimal("2.4")), ("P2", 1)), ORDER, [line("P1", "2.5"), line("P2", "1")],
        "rounded"),
    ("what no precision makes of it", sent(("P1", Decimal("2.4"))), ORDER, [line("P1", "3")], "unclear"),
    ("a part of it was invoiced", sent(("P1", 2), ("P2", 1)), INVOICE, [line("P1", "1")], "unclear"),
    ("all of it was invoiced", sent(("P1", 2), ("P2", 1)), INVOICE, [line("P2", "1"), line("P1", "2")], "same"),
    ("more of it was invoiced", sent(("P1", 2)), INVOICE, [line("P1", "3")], "unclear"),
    ("no lines sent, some invoiced", sent(), INVOICE, [line("P1", "3")], "unclear"),
    ("an invoice with freight", sent(("P1", 2)), INVOICE, [line("P1", "2"), line("FREIGHT", "1")], "unclear"),
    ("an invoice over other things", sent(("P1", 2)), INVOICE, [line("P2", "2")], "unclear"),
    ("a shipment knows no ids", sent((GUID, 2)), INVOICE, [line("P1", "2")], "same"),
    ("whatever it holds: nobody else knows the number", sent(("P1", 2), externalDocumentNumber=" "), ORDER,
        [line("P2", "7")], "same"),
    ("a line of nothing, and one of no number", sent(("P1", 2), ("P2", 0), ("P3", "two")), ORDER, [line("P1", "2")],
        "same"),
    ("an invoice has no order date", sent(("P1", 2), orderDate="2026-03-02"), INVOICE, [line("P1", "2")], "same"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "order", "document", "lines", "expected"), ROWS, ids=[row[0] for row in ROWS])
def test_a_document_compares_with_an_order(
    said: str, order: dict[str, Any], document: PostedOrder, lines: list[DocumentLine], expected: str
) -> None:
    """The order date, the lines and their quantities, as far as the document knows them."""
    assert likeness(order, document, lines) == expected


orders = st.lists(st.tuples(st.sampled_from(["P1", "P2", GUID]), st.integers(1, 3)), max_size=4).map(
    lambda lines: sent(*lines)
)


def test_what_no_replica_shows_is_not_committed() -> None:
    """Found counts when committed."""
    assert likeness(sent(("P1", 2)), ORDER, None) == "uncommitted"


@given(orders, orders, st.sampled_from([ORDER, INVOICE]))
def test_orders_that_look_alike_are_held_back(
    one: dict[str, Any], other: dict[str, Any], document: PostedOrder
) -> None:
    """Whatever could be taken for the other is held back by the other."""
    lines = [
        line(each.get("lineObjectNumber", ""), str(each.get("quantity", 0)), *filter(None, [each.get("itemId")]))
        for each in one["salesOrderLines"]
    ]
    if likeness(other, document, lines) == "same":
        assert are_alike(mark("c", "PO-1", one), mark("c", "PO-1", other))


ID = {"customerNumber": None, "customerId": GUID}
PAIRS = [
    ("the same", {}, sent(("P1", 2)), True),
    ("a number written otherwise", {}, sent(("P1", Decimal("2.0")), customerNumber="c1"), True),
    ("its customer by id", {}, sent(("P1", 2), **ID), True),
    ("two customers by id", ID, sent(("P1", 2), **{**ID, "customerId": OTHER_GUID}), False),
    ("another customer", {}, sent(("P1", 2), customerNumber="C2"), False),
    ("other quantities", {}, sent(("P1", 7)), False),
    ("one that is recognised whatever it holds", {}, sent(("P1", 7), externalDocumentNumber=None), True),
]  # fmt: skip


@pytest.mark.parametrize(("said", "fields", "other", "expected"), PAIRS, ids=[pair[0] for pair in PAIRS])
def test_only_orders_that_could_be_mistaken_are_alike(
    said: str, fields: dict[str, Any], other: dict[str, Any], expected: bool
) -> None:
    """Of one company and number; whoever asks."""
    one = mark("c", "PO-1", sent(("P1", 2), **fields))
    for company, number in (("c", "PO-1"), ("c2", "PO-1"), ("c", "PO-2")):
        found = mark(company, number, other)
        is_here = (company, number) == ("c", "PO-1")
        assert are_alike(one, found) is are_alike(found, one) is (expected and is_here)


def test_a_mark_is_the_one_that_rows_hold() -> None:
    """Orders in doubt before a deployment are held against orders that come after it (P20)."""
    assert mark("c", "PO-1", sent(("P1", Decimal("2.50")), ("P2", 20))).split("|") == [
        "5f3d8e7b4bc71efb781f536a70ee8284", "d7510ac60f28021f55c3e7aca6d9631c", "n30ccac9355877679d636a671c64ed27e",
    ]  # fmt: skip


def test_what_rounds_to_nothing_has_no_sign() -> None:
    """A quantity that is below what BC keeps is nothing, from either side."""
    tiny = Decimal("0.000001")
    assert mark("c", "PO-1", sent(("P1", tiny))) == mark("c", "PO-1", sent(("P1", -tiny)))
