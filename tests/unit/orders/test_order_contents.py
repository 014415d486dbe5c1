"""What is left of an order once its contents go, and when they go."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.orders.order_contents import ERASED, is_past, without_contents
from shared.orders.order_entry import OrderEntry, Sender
from shared.orders.order_message import parse_message

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
KEEP = timedelta(days=90)
OLD, NEW = NOW - KEEP - timedelta(seconds=1), NOW - KEEP
TEXT = json.dumps({"orderKey": "straße-1", "order": {"customerNumber": "C1"}})


def entry(**more: Any) -> OrderEntry:
    """An order that was created."""
    given = {"key": "WEB-1", "company": "c", "status": "created", "message": TEXT.encode(), **more}
    return OrderEntry(**given)


@pytest.mark.parametrize(
    ("order", "goes"),
    [
        (entry(first_at=OLD, posted_at=OLD), True),
        (entry(first_at=OLD), True),
        (entry(posted_at=OLD), True),
        (entry(), True),
        (entry(first_at=OLD, posted_at=NEW), False),
        (entry(first_at=NEW, posted_at=OLD), False),
        (entry(first_at=OLD, status="parked"), True),
        (entry(first_at=OLD, status="waiting"), False),
        (entry(first_at=OLD, status="posting"), False),
    ],
)
def test_contents_go_when_an_order_ended_and_its_time_is_over(order: OrderEntry, goes: bool) -> None:
    """Counted from when it was seen first and posted last."""
    assert is_past(order, NOW, KEEP) is goes


def test_what_stops_a_second_post_stays_and_the_rest_goes() -> None:
    """Message, senders and the words of Business Central are gone."""
    full = entry(
        content="d", external_number="E", number="101001", order_id="i", before="1\n2", likeness="l",
        error="Customer X", senders=(Sender("m-1", "web-1"),), correlation_id="x", error_code="E", attempts=2,
    )  # fmt: skip
    left = without_contents(full)
    assert left == replace(
        full, message=b"", is_erased=True, senders=(), correlation_id="", error=ERASED, before="", likeness=""
    )
    assert without_contents(entry(content="d")).error == ""


def test_of_an_order_in_doubt_stays_what_a_look_up_compares() -> None:
    """And what holds back others."""
    left = without_contents(entry(status="parked", content="d", unknown=True, before="1", likeness="l"))
    assert (left.before, left.likeness, left.message) == ("1", "l", b"")


CONTENT = parse_message(TEXT, message_id="STRASSE-1").content


@pytest.mark.parametrize(
    ("order", "content", "own_key"),
    [
        (entry(key="STRASSE-1", digest="d"), CONTENT, "STRAßE-1"),
        (entry(key="STRASSE-1"), "", "STRAßE-1"),
        (entry(key="STRAßE-1", digest="d"), CONTENT, ""),
        (entry(key="STRASSE-1", digest="d", content="new"), "new", ""),
        (entry(key="STRASSE-1", content="new", own_key="K"), "new", "K"),
        (entry(key="STRASSE-1", digest="d", message=b""), "", ""),
        (entry(key="STRASSE-1", digest="d", message=b"\xff"), "", ""),
        (entry(key="STRASSE-1", digest="d", message=b'{"orderKey": "k", "order": 5}'), "", ""),
    ],
)
def test_a_row_of_0_1_0_gets_what_its_message_was_still_needed_for(
    order: OrderEntry, content: str, own_key: str
) -> None:
    """The digest of this release, and its key where 0.1.0 filed it under another; nothing of a message that is none."""
    left = without_contents(order)
    assert (left.content, left.own_key, left.message) == (content, own_key, b"")


def test_a_message_that_earlier_rules_took_for_an_order_keeps_its_digest() -> None:
    """Its envelope had a member more."""
    text = json.dumps({"orderKey": "k", "source": "shop", "order": {"customerNumber": "C1"}})
    left = without_contents(entry(key="K", digest="d", message=text.encode()))
    assert left.content == parse_message(text, message_id="K", is_checked=True).content
