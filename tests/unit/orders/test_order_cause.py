"""Which stopped orders are one case, and which of them trying again can help."""

from typing import Any

import pytest

from shared.orders.order_cause import cause_of, why_no_redrive
from shared.orders.order_entry import OrderEntry


def stopped(error: str = "", **more: Any) -> OrderEntry:
    """An order that was parked."""
    return OrderEntry(**{"key": "K", "company": "c", "status": "parked", "message": b"{}", "error": error, **more})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Customer 'C1' is blocked", "Customer 'C2, or so' is blocked"),
        ('Item "A" is unknown', 'Item "" is unknown'),
        ("The field (No. x) is empty", "The field (Name) is empty"),
        ("Line [a b] is wrong", "Line [c] is wrong"),
        ("Order SO-17.a is locked", "Order 18 is locked"),
    ],
)
def test_a_reason_that_differs_in_values_of_the_order_is_one_case(one: str, other: str) -> None:
    """Quoted or bracketed values, ids, numbers."""
    assert cause_of(stopped(one)) == cause_of(stopped(other))


def test_another_reason_code_or_outcome_is_another_case() -> None:
    """Sixteen hex digits, the same in every release: stored rows hold them."""
    cases = {cause_of(one) for one in (
        stopped("Blocked"), stopped("Locked"), stopped("Blocked", error_code="E"), stopped("Blocked", status="rejected")
    )}  # fmt: skip
    assert len(cases) == 4
    assert cause_of(stopped("Blocked", error_code="E")) == "73fe4369a2f4284a"
    assert len(cause_of(stopped("\ud800"))) == 16


@pytest.mark.parametrize(
    ("order", "why"),
    [
        (stopped("Customer is blocked", error_code="Application_DialogException"), ""),
        (stopped("company: is unknown", error_code="InvalidMessage"), ""),
        (stopped("orderDate: must be a date", error_code="InvalidMessage"), "the message itself is wrong"),
        (stopped("", is_erased=True), "what it held is erased"),
    ],
)
def test_a_person_is_told_why_trying_again_cannot_help(order: OrderEntry, why: str) -> None:
    """A company may be named so by now; a message that is wrong or gone stays so."""
    said = why_no_redrive(order)
    assert (why in said) if why else said == ""
