"""What is known of one order, and what follows from it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from shared.orders.order_entry import OrderEntry, OrderStatus, Sender, company_of

AT = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def entry(status: OrderStatus = "posting", **more: Any) -> OrderEntry:
    """An order."""
    return OrderEntry(**{"key": "WEB-1", "company": "c", "status": status, "message": b"{}", **more})


@pytest.mark.parametrize(
    ("known", "in_doubt"),
    [
        (entry("posting", posted_at=AT), True),
        (entry("posting"), False),
        (entry("waiting", posted_at=AT), False),
        (entry("waiting", unknown=True), True),
        (entry("created", posted_at=AT), False),
    ],
)
def test_an_order_is_in_doubt_from_its_post_to_its_answer(known: OrderEntry, in_doubt: bool) -> None:
    """And for as long as the answer is missing."""
    assert known.in_doubt is in_doubt


def test_a_new_order_has_been_neither_posted_nor_made_to_wait() -> None:
    """Whatever is not told counts as not there; its number is the sender's."""
    new = entry()
    assert (new.attempts, new.waits, new.unknown, new.is_erased, new.numbering) == (0, 0, False, False, "given")


@pytest.mark.parametrize(
    ("status", "is_over"),
    [("posting", False), ("waiting", False), ("created", True), ("rejected", True), ("parked", True)],
)
def test_an_order_is_over_when_it_has_an_outcome(status: OrderStatus, is_over: bool) -> None:
    """Created, rejected or parked."""
    assert entry(status).is_over is is_over


def test_a_key_is_shown_as_its_first_sender_wrote_it() -> None:
    """Else as it is compared."""
    assert entry().shown_key == "WEB-1"
    assert entry(senders=(Sender("m-1", " web-1"), Sender("m-2", "Web-1"))).shown_key == " web-1"


def test_each_message_that_awaits_the_result_is_noted_once() -> None:
    """One that is delivered again changes nothing."""
    one, two = Sender("m-1", "web-1"), Sender("m-2", "WEB-1")
    first = entry().joined_by(one)
    assert first.senders == (one,)
    assert first.joined_by(Sender("m-1", "other")) is first
    assert first.joined_by(one, two).senders == (one, two)


@pytest.mark.parametrize(
    ("message", "resumed", "company"),
    [
        ("m-1", None, "a"), ("m-2", None, "b"), ("m-3", None, "b"), ("m-4", None, ""), ("m-9", None, ""),
        ("m-1", entry(company="r"), "r"), ("m-1", entry(company=""), ""),
    ],
)  # fmt: skip
def test_a_message_stays_in_the_company_to_which_it_was_brought(
    message: str, resumed: OrderEntry | None, company: str
) -> None:
    """By the order that reported to it, or that has it among its senders; one without a company says nothing."""
    entries = [
        entry(company="", senders=(Sender("m-1", "k"), Sender("m-4", "k"))),
        entry(company="a", reported_to="m-1"),
        entry(company="b", reported_to="m-2", senders=(Sender("m-3", "k"),)),
    ]
    assert company_of(entries, message, resumed) == company
