"""What Business Central takes of an order: the length of each text, the rule of each type of line, the sequence."""

from decimal import Decimal
from typing import Any

import pytest

from shared.orders.order_fields import arranged, faults_of, has_lines, text_of

GUID = "7b1c4a52-91d3-f011-8d4c-6045bd1a2c10"
#: Longest text of each property, from `$metadata` of API v2.0 and the fields behind it.
ADDRESS = {"AddressLine1": 100, "AddressLine2": 50, "City": 30, "Country": 10, "State": 30, "PostCode": 20}
HEADER = {
    "externalDocumentNumber": 35, "customerNumber": 20, "billToCustomerNumber": 20, "shipToName": 100,
    "shipToContact": 100, "shortcutDimension1Code": 20, "shortcutDimension2Code": 20, "currencyCode": 10,
    "salesperson": 20, "phoneNumber": 30, "email": 80,
    **{f"{role}{part}": size for role in ("sellTo", "shipTo") for part, size in ADDRESS.items()},
}  # fmt: skip
LINE = {"lineObjectNumber": 20, "unitOfMeasureCode": 10, "description": 100, "description2": 50, "taxCode": 50}


def order(**fields: object) -> dict[str, Any]:
    """An order that is fine but for what is given."""
    return {"customerNumber": "C1", **fields}


def lines(*given: object) -> dict[str, Any]:
    """An order with these lines."""
    return order(salesOrderLines=list(given))


def line(**fields: object) -> dict[str, object]:
    """A line that is fine but for what is given."""
    return {"lineType": "Item", "lineObjectNumber": "1000", **fields}


@pytest.mark.parametrize(("name", "longest"), HEADER.items())
def test_a_text_of_the_header_is_as_long_as_its_field(name: str, longest: int) -> None:
    """Blanks around it are not counted: Business Central cuts them off."""
    assert faults_of(order(**{name: " " + "x" * longest + " "})) == []
    assert faults_of(order(**{name: "x" * (longest + 1)})) == [
        f"{name}: has {longest + 1} characters, at most {longest} are allowed"
    ]


@pytest.mark.parametrize(("name", "longest"), LINE.items())
def test_a_text_of_a_line_is_as_long_as_its_field(name: str, longest: int) -> None:
    """As above."""
    assert faults_of(lines(line(**{name: "x" * longest}))) == []
    assert faults_of(lines(line(**{name: "x" * (longest + 1)}))) == [
        f"salesOrderLines[0].{name}: has {longest + 1} characters, at most {longest} are allowed"
    ]


@pytest.mark.parametrize(
    ("value", "is_taken"),
    [
        (10**15 - 1, True), (10**15, False), (1 - 10**15, True), (-(10**15), False),
        (Decimal("999999999999999.99"), True), (Decimal("-1E+15"), False),
        (0, True), (True, False), ("1", False), (None, True),
    ],
)  # fmt: skip
def test_a_decimal_has_at_most_15_digits_before_the_point(value: object, is_taken: bool) -> None:
    """AL's Decimal in a field; a true is no number."""
    assert (faults_of(order(discountAmount=value)) == []) is is_taken


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("pricesIncludeTax", False, 0), ("orderDate", "2024-02-29", "2023-02-29"), ("orderDate", None, "2023-2-28"),
        ("customerId", GUID.upper(), GUID[:-1]), ("currencyId", None, 5), ("newInBc", 5, ...),
    ],
)  # fmt: skip
def test_each_kind_of_value_has_its_rule_and_null_breaks_none(name: str, right: object, wrong: object) -> None:
    """A property that is not known here is for Business Central to judge."""
    assert faults_of(order(**{name: right})) == []
    assert wrong is ... or len(faults_of(order(**{name: wrong}))) == 1


@pytest.mark.parametrize("name", ["id", "documentId", "sequence", "netAmount", "invoicedQuantity"])
def test_what_business_central_sets_itself_is_refused(name: str) -> None:
    """Even as null; of the header's what a bare order leaves to Business Central is not judged here."""
    assert faults_of(lines(line(**{name: None}))) == [
        f"salesOrderLines[0].{name}: is set by Business Central and can't be sent"
    ]
    assert faults_of(order(id=GUID)) == ["id: is set by Business Central and can't be sent"]
    assert faults_of(order(id=GUID), left_to_bc=frozenset({"id"})) == []


@pytest.mark.parametrize(
    ("customer", "is_named"),
    [({"customerNumber": "C1"}, True), ({"customerId": GUID}, True), ({"customerNumber": " "}, False), ({}, False)],
)
def test_a_customer_is_named_by_number_or_id(customer: dict[str, Any], is_named: bool) -> None:
    """One of them is enough."""
    assert ("customerNumber: this or customerId is required" not in faults_of(customer)) is is_named


ITEM, COMMENT, UNIT = (
    "lineObjectNumber: this or itemId is required on a line of type Item",
    "lineType: is required with lineObjectNumber or quantity (Item, Account, ...)",
    "unitOfMeasureCode: can be set only on a line of type Item",
)


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({}, ""),
        ({"description": "as discussed"}, ""),
        ({"quantity": 0}, ""),
        ({"quantity": 1}, COMMENT),
        ({"lineObjectNumber": "1000"}, COMMENT),
        ({"lineType": "Comment", "lineObjectNumber": " "}, ""),
        ({"lineType": "Comment", "unitOfMeasureCode": "PCS"}, UNIT),
        ({"itemId": GUID, "quantity": 1, "unitOfMeasureCode": "PCS"}, ""),
        ({"lineType": "Item", "itemId": GUID}, ""),
        ({"lineType": "Item"}, ITEM),
        ({"lineType": "Item", "accountId": GUID}, ITEM),
        ({"accountId": GUID, "quantity": 1}, ""),
        ({"accountId": GUID, "unitOfMeasureId": GUID}, UNIT),
        ({"accountId": GUID, "unitOfMeasureCode": "PCS"}, UNIT),
        ({"lineType": "Resource", "lineObjectNumber": "R1", "unitOfMeasureCode": ""}, ""),
        ({"lineType": "Resource", "lineObjectNumber": "R1", "unitOfMeasureCode": "H"}, UNIT),
    ],
)
def test_a_line_obeys_the_rule_of_its_type(given: dict[str, object], rule: str) -> None:
    """Named, or implied by the id of an item or of an account; a line that names neither is a comment."""
    assert faults_of(lines({}, given)) == ([f"salesOrderLines[1].{rule}"] if rule else [])


def test_an_item_and_an_account_exclude_each_other() -> None:
    """A line is one of them."""
    assert faults_of(lines({"itemId": GUID, "accountId": GUID})) == [
        "salesOrderLines[0]: itemId and accountId exclude each other"
    ]


def test_an_unknown_type_is_answered_with_the_known_ones_and_by_no_other_rule() -> None:
    """A unit on it says nothing yet."""
    (fault,) = faults_of(lines({"lineType": "item", "unitOfMeasureCode": "PCS"}))
    assert fault == (
        "salesOrderLines[0].lineType: must be one of Comment, Account, Item, Resource, Fixed_x0020_Asset, Charge, "
        "Allocation_x0020_Account"
    )


@pytest.mark.parametrize(
    ("given", "has"),
    [({}, True), ({"salesOrderLines": None}, True), ({"salesOrderLines": []}, True), ({"salesOrderLines": [{}]}, True),
     ({"salesOrderLines": [{}, 5]}, False), ({"salesOrderLines": "x"}, False), ({"salesOrderLines": {"a": 1}}, False)],
)  # fmt: skip
def test_lines_are_objects_or_absent(given: dict[str, Any], has: bool) -> None:
    """What reads an order needs no more."""
    assert has_lines(given) is has


def test_properties_leave_in_the_sequence_in_which_business_central_validates_them() -> None:
    """What a line is before its quantity, the quantity before its price; unknown ones last, lines at the end."""
    body = arranged(
        order(
            newInBc=1,
            email="a@b.c",
            salesOrderLines=[{"unitPrice": 1, "other": 2, "quantity": 3, "lineType": "Item", "itemId": GUID}],
            orderDate="2026-03-04",
        )
    )
    assert list(body) == ["customerNumber", "orderDate", "email", "newInBc", "salesOrderLines"]
    assert list(body["salesOrderLines"][0]) == ["lineType", "itemId", "quantity", "unitPrice", "other"]
    assert arranged(order(salesOrderLines=None)) == order()


@pytest.mark.parametrize(("value", "text"), [(" a ", "a"), (5, ""), (None, ""), ("", "")])
def test_a_text_is_read_without_blanks(value: object, text: str) -> None:
    """And what is none is empty."""
    assert text_of({"name": value}, "name") == text
    assert text_of({}, "name") == ""
