"""One order as rows: names and forms of what is stored, which other releases read."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from shared.orders.order_cause import cause_of
from shared.orders.order_entry import OrderEntry, Sender
from shared.orders.order_rows import (
    LONGEST,
    claim_row,
    entry_of,
    index_key,
    index_row,
    is_of,
    is_too_long,
    order_row,
    spellings,
)
from shared.storage.table import Row

AT = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
FULL = OrderEntry(
    key="WEB-1", company="c", status="waiting", message=b"{}", is_erased=True, digest="0", content="d", own_key="W",
    external_number="E", numbering="shared", likeness="l", before="1\n2", attempts=3, waits=2, first_at=AT,
    posted_at=AT + timedelta(1), unknown=True, refused_at=AT + timedelta(2), next_try_at=AT + timedelta(3), worker="w",
    lease_until=AT + timedelta(4), order_id="i", number="n", error_code="c", error="e", correlation_id="x",
    senders=(Sender("m-1", "web-1"), Sender("m-2", " WEB-1")), reported_to="r", place="p", index="x1", hold="h",
    etag="t",
)  # fmt: skip


def entry(**more: Any) -> OrderEntry:
    """An order that is being posted."""
    return OrderEntry(**{"key": "WEB-1", "company": "c", "status": "posting", "message": b"{}", **more})


def test_every_field_is_stored_under_its_name() -> None:
    """Rows outlive a deploy in both directions."""
    row = order_row("conn", FULL)
    assert (row.partition, row.key, row.etag) == ("conn", "p", "t")
    assert dict(row.values) == {
        "key": "WEB-1", "company": "c", "status": "waiting", "message": b"{}", "is_erased": True, "digest": "0",
        "content": "d", "own_key": "W", "external_number": "E", "numbering": "shared", "likeness": "l",
        "before": "1\n2", "attempts": 3, "waits": 2, "first_at": AT, "posted_at": AT + timedelta(1), "unknown": True,
        "refused_at": AT + timedelta(2), "next_try_at": AT + timedelta(3), "worker": "w",
        "lease_until": AT + timedelta(4), "order_id": "i", "number": "n", "error_code": "c", "error": "e",
        "correlation_id": "x", "senders": '[["m-1", "web-1"], ["m-2", " WEB-1"]]', "reported_to": "r", "index": "x1",
        "hold": "h",
    }  # fmt: skip
    assert entry_of(row) == FULL


def test_what_is_not_known_takes_no_place() -> None:
    """No time, no message, no mark of an erasure; no sender is an empty text."""
    row = order_row("conn", entry(message=b"", place="p"))
    assert not row.values.keys() & {"message", "is_erased", "first_at", "posted_at", "next_try_at", "refused_at"}
    assert (row.values["senders"], row.values["before"], row.values["unknown"]) == ("", "", False)
    assert entry_of(row) == entry(message=b"", place="p")


def test_a_word_that_another_release_wrote_stops_an_order_and_not_the_app() -> None:
    """Its status is then for a person to see."""
    found = entry_of(Row(partition="conn", key="p", values={"key": "K", "status": "paused", "numbering": "ours"}))
    assert (found.status, found.numbering, found.senders, found.attempts, found.unknown) == (
        "parked",
        "given",
        (),
        0,
        False,
    )


@pytest.mark.parametrize(
    ("length", "parts"),
    [
        (0, {"before": 0}), (30_000, {"before": 30_000}), (30_001, {"before": 30_000, "before_1": 1}),
        (90_001, {"before": 30_000, "before_1": 30_000, "before_2": 30_000, "before_3": 1}),
    ],
)  # fmt: skip
def test_a_long_text_goes_on_in_further_properties(length: int, parts: dict[str, int]) -> None:
    """A property holds 32 Ki characters at most."""
    before = "".join(chr(ord("a") + at % 26) for at in range(length))
    row = order_row("conn", entry(before=before, place="p"))
    assert {name: len(str(text)) for name, text in row.values.items() if name.startswith("before")} == parts
    assert entry_of(row).before == before


def test_what_no_row_can_hold_is_known_before() -> None:
    """240,000 characters of numbers, or of senders as they are written."""
    sender = Sender("m-1", "")
    frame = len(json.dumps([["m-1", ""]]))
    assert LONGEST == 240_000
    for fits, is_long in ((LONGEST, False), (LONGEST + 1, True)):
        assert is_too_long(entry(before="1" * fits)) is is_long
        assert is_too_long(entry(senders=(replace(sender, sent_key="k" * (fits - frame)),))) is is_long


BERLIN = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    ("order", "key"),
    [
        (entry(status="waiting", next_try_at=AT), "due|2026-03-04T12:00:00Z|WEB-1|c"),
        (entry(status="waiting", next_try_at=AT.astimezone(BERLIN)), "due|2026-03-04T12:00:00Z|WEB-1|c"),
        (entry(status="waiting"), ""),
        (entry(status="posting", next_try_at=AT), ""),
        (entry(status="rejected"), "stop|WEB-1|c"),
        (entry(status="parked", next_try_at=AT), "stop|WEB-1|c"),
        (entry(status="created", next_try_at=AT), ""),
    ],
)
def test_an_order_stands_in_the_list_of_what_waits_or_of_what_has_stopped(order: OrderEntry, key: str) -> None:
    """By its time, which sorts; or by its key."""
    assert index_key(order) == key


def test_an_index_row_names_the_order_and_once_it_is_over_its_cause() -> None:
    """By which a person tries all of one cause again."""
    waits = index_row("conn", entry(status="waiting", index="x"))
    assert waits == Row(partition="conn", key="x", values={"order": "WEB-1", "company": "c", "status": "waiting"})
    parked = entry(status="parked", index="x", error_code="E")
    assert index_row("conn", parked) == Row(
        partition="conn", key="x",
        values={"order": "WEB-1", "company": "c", "status": "parked", "cause": cause_of(parked)},
    )  # fmt: skip


def test_a_claim_stands_under_the_number_of_the_document() -> None:
    """In its company."""
    assert claim_row("conn", entry(number="101001", order_id="i")) == Row(
        partition="conn", key="claim|c|101001", values={"order": "WEB-1", "company": "c", "order_id": "i"}
    )


def test_a_key_is_looked_for_as_it_compares_and_as_0_1_0_wrote_it() -> None:
    """Once where they are the same."""
    assert spellings("STRAßE") == ["STRAßE", "STRASSE"]
    assert spellings("WEB-1") == ["WEB-1"]


def row(**values: Any) -> Row:
    """A stored row."""
    return Row(partition="conn", key="p", values={"key": "STRASSE", **values})


@pytest.mark.parametrize(
    ("stored", "key", "is_its"),
    [
        (row(own_key="STRAßE"), "STRAßE", True),
        (row(own_key="STRAßE"), "STRASSE", False),
        (row(content="d", message='{"orderKey": "straße", "order": {}}'.encode()), "STRASSE", True),
        (row(content="d", message='{"orderKey": "straße", "order": {}}'.encode()), "STRAßE", False),
        (row(), "STRASSE", True),
        (row(), "STRAßE", False),
        (row(message='{"orderKey": "straße", "order": {}}'.encode()), "STRAßE", True),
        (row(message='{"orderKey": "straße", "order": {}}'.encode()), "STRASSE", False),
        (row(message=b'{"order": {}}'), "STRASSE", True),
        (row(message=b"\xff"), "STRASSE", True),
        (row(message=b"\xff"), "STRAßE", False),
    ],
)
def test_whose_row_it_is_says_its_own_key_its_content_or_its_message(stored: Row, key: str, is_its: bool) -> None:
    """What this release wrote stands under its key; what 0.1.0 wrote may stand where another key has its place."""
    assert is_of(stored, key) is is_its
