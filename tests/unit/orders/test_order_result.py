"""What senders are answered: one JSON object for each message."""

import base64
import json
from typing import Any

import pytest

from shared.orders.order_entry import OrderEntry, Sender
from shared.orders.order_result import answer, outcome, refusal


def ended(**more: Any) -> OrderEntry:
    """An order that was created."""
    return OrderEntry(**{
        "key": "WEB-1", "company": "c", "status": "created", "message": b"{}", "order_id": "i", "number": "101001",
        "correlation_id": "x", "attempts": 2, **more,
    })  # fmt: skip


def test_each_message_that_awaits_the_order_is_answered_under_the_key_it_wrote() -> None:
    """Exactly these members, by which a reader's program goes."""
    out = outcome("eu", ended(senders=(Sender("m-1", "web-1"), Sender("m-2", " WEB-1"))))
    assert [json.loads(one) for one in out.results] == [
        {
            "connection": "eu", "orderKey": key, "status": "created", "company": "c", "id": "i", "number": "101001",
            "error": None, "correlationId": "x", "attempts": 2,
        }
        for key in ("web-1", " WEB-1")
    ]  # fmt: skip
    assert [json.loads(one)["orderKey"] for one in outcome("eu", ended()).results] == ["WEB-1"]
    assert answer("eu", ended(), []).results == ()


@pytest.mark.parametrize(
    ("code", "said", "error"),
    [
        ("", "", None),
        ("E", "", {"code": "E", "message": ""}),
        ("", "refused", {"code": "", "message": "refused"}),
        ("E", "x" * 1001, {"code": "E", "message": "x" * 1000}),
    ],
)
def test_what_business_central_said_is_told_shortened(code: str, said: str, error: object) -> None:
    """A result has to fit a queue message."""
    (one,) = outcome("eu", ended(status="rejected", error_code=code, error=said)).results
    assert json.loads(one)["error"] == error


def test_the_longest_result_fits_a_queue_message() -> None:
    """64 KiB of base64, though JSON writes each character beyond ASCII as an escape."""
    entry = ended(error="\U0001f600" * 5000, error_code="E" * 100, key="\U0001f600" * 200)
    (one,) = outcome("eu", entry).results
    assert len(base64.b64encode(one.encode())) <= 64 * 1024


def test_a_refusal_tells_the_fault_and_no_document() -> None:
    """The order under the key stays as it is."""
    (one,) = refusal("eu", [Sender("m-1", "web-1")], "c", "order: is required").results
    assert json.loads(one) == {
        "connection": "eu", "orderKey": "web-1", "status": "rejected", "company": "c", "id": "", "number": "",
        "error": {"code": "InvalidMessage", "message": "order: is required"}, "correlationId": "", "attempts": 0,
    }  # fmt: skip
