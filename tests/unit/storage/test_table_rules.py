"""What Table Storage takes and refuses, at each limit; a row leaves in its normal form."""

from datetime import UTC, datetime, timedelta, timezone
from enum import IntEnum, StrEnum
from typing import Any

import pytest

from shared.errors import RowTooLarge
from shared.storage.table import Change, Delete, Insert, Replace, Row, Upsert
from shared.storage.table_rules import check_changes, check_key, check_row, check_versioned

KIB = 1024
MIB = 1024 * 1024


def row(key: str = "k", partition: str = "p", etag: str = "", /, **values: Any) -> Row:
    """A row."""
    return Row(partition=partition, key=key, values=values, etag=etag)


@pytest.mark.parametrize("key", ["k", " ", "x" * 512, "ü" * 512, "\U0001f600" * 256, "\xa0", "~"])
def test_a_key_of_up_to_512_utf_16_units_is_taken(key: str) -> None:
    """Any text but the signs below."""
    check_key(key)


@pytest.mark.parametrize(
    "key", ["", "x" * 513, "ü" * 513, "\U0001f600" * 256 + "x", *"/\\#?", "\x00", "\x1f", "\x7f", "\x9f", "a\nb", "k\n"]
)
def test_a_key_that_table_storage_refuses_is_refused(key: str) -> None:
    """Empty, too long, or with a sign that means something in its URL."""
    for wrong in (row(key), row("k", key)):
        with pytest.raises(ValueError, match="a key is 1 to 512 characters"):
            check_row(wrong)
        with pytest.raises(ValueError, match="a key is 1 to 512 characters"):
            check_changes([Delete(wrong)])


class Word(StrEnum):
    """A text that is no plain one."""

    ONE = "one"


class Number(IntEnum):
    """A number that is no plain one."""

    ONE = 1


class Raw(bytes):
    """Bytes that are no plain ones."""


class Real(float):
    """A float that is no plain one."""


BERLIN = timezone(timedelta(hours=1))
TAKEN = [
    ("x" * 32 * KIB, "x" * 32 * KIB), ("ü" * 32 * KIB, "ü" * 32 * KIB),
    ("\U0001f600" * 16 * KIB, "\U0001f600" * 16 * KIB),
    (Word.ONE, "one"), (True, True), (Number.ONE, 1), (2**63 - 1, 2**63 - 1), (-(2**63), -(2**63)),
    (b"x" * 64 * KIB, b"x" * 64 * KIB), (Raw(b"x"), b"x"), (Real(1.5), 1.5),
    (datetime(2026, 3, 4, 13, tzinfo=BERLIN), datetime(2026, 3, 4, 12, tzinfo=UTC)),
    (datetime(1601, 1, 1, tzinfo=UTC), datetime(1601, 1, 1, tzinfo=UTC)),
]  # fmt: skip


@pytest.mark.parametrize(("value", "stored"), TAKEN, ids=range(len(TAKEN)))
def test_a_value_up_to_its_limit_is_taken_as_a_plain_type(value: object, stored: object) -> None:
    """Times in UTC."""
    found = check_row(row(name=value)).values["name"]
    assert found == stored
    assert type(found) is type(stored)
    assert getattr(found, "tzinfo", UTC) is UTC


REFUSED = [
    ("x" * (32 * KIB + 1), "a text is at most 32 Ki characters"),
    ("ü" * (32 * KIB + 1), "a text is at most 32 Ki characters"),
    ("\U0001f600" * (16 * KIB + 1), "a text is at most 32 Ki characters"),
    ("\ud800", "surrogates not allowed"), (2**63, "a whole number has at most 64 bits"),
    (-(2**63) - 1, "a whole number has at most 64 bits"), (b"x" * (64 * KIB + 1), "binary is at most 64 KiB"),
    (float("nan"), "a number must be finite"), (float("inf"), "a number must be finite"),
    (datetime(2026, 3, 4), "a time needs its zone"),  # noqa: DTZ001 - the zone it lacks is the case
    (datetime(1600, 12, 31, 23, 59, 59, tzinfo=UTC), "a time before 1601 cannot be stored"),
    (None, "NoneType cannot be stored"), ([1], "list cannot be stored"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "rule"), REFUSED, ids=range(len(REFUSED)))
def test_a_value_beyond_its_limit_is_refused_with_the_rule(value: object, rule: str) -> None:
    """The rule names the property."""
    with pytest.raises(ValueError, match=rule):
        check_row(row(name=value))


@pytest.mark.parametrize("name", ["a", "_1", "A" * 255])
def test_a_name_that_can_name_a_property_is_taken(name: str) -> None:
    """A letter or an underscore, then digits, too."""
    assert check_row(row(**{name: 1})).values == {name: 1}


@pytest.mark.parametrize("name", ["", "1a", "a-b", "ä", "A" * 256, "PartitionKey", "RowKey", "Timestamp"])
def test_a_name_that_cannot_is_refused(name: str) -> None:
    """Those of the system included."""
    with pytest.raises(ValueError, match="cannot name a property"):
        check_row(row(**{name: 1}))


def test_a_row_has_at_most_252_properties() -> None:
    """Beside its three keys."""
    assert len(check_row(row(**{f"n{at}": 1 for at in range(252)})).values) == 252
    with pytest.raises(ValueError, match="at most 252 properties"):
        check_row(row(**{f"n{at}": 1 for at in range(253)}))


#: Bytes of an entity by Microsoft's formula: 4, keys by 2, then for each property 8, its name by 2, its value.
SIZES = [
    ("", "x" * 100, 4 + 2 * 100), ("", "ü" * 100, 4 + 2 * 100), ("", b"x" * 101, 4 + 101), ("", True, 1), ("", 7, 8),
    ("", 1.5, 8), ("", datetime(2026, 3, 4, tzinfo=UTC), 8), ("ong", 7, 8 + 2 * 3),
]  # fmt: skip


@pytest.mark.parametrize(("more", "value", "size"), SIZES, ids=range(len(SIZES)))
def test_a_row_is_at_most_1_mib(more: str, value: object, size: int) -> None:
    """Counted as the service counts it."""
    fixed = 4 + 2 * (2 + 3) + (8 + 2 * 1 + size)  # frame, keys, the property in question
    filling = MIB - fixed
    parts = {f"b{at:02}": b"x" * (60 * KIB) for at in range(filling // (60 * KIB + 18))}
    rest = filling - len(parts) * (60 * KIB + 18) - 18
    values = {**parts, "rst": b"x" * rest, f"l{more}": value}
    assert check_row(row("kk", "ppp", **values)).values["rst"] == b"x" * rest
    with pytest.raises(RowTooLarge, match=f"row ppp kk: {MIB + 1} bytes, and a table row holds at most {MIB}"):
        check_row(row("kk", "ppp", **{**values, "rst": b"x" * (rest + 1)}))


def test_a_row_that_replaces_another_knows_its_version() -> None:
    """Else it would replace what nobody has read."""
    read = row("k", "p", 'W/"1"', at=datetime(2026, 3, 4, 13, tzinfo=BERLIN))
    assert check_versioned(read) == row("k", "p", 'W/"1"', at=datetime(2026, 3, 4, 12, tzinfo=UTC))
    for call in (lambda: check_versioned(row()), lambda: check_changes([Replace(row())])):
        with pytest.raises(ValueError, match="replace needs the etag"):
            call()
    assert check_changes([Insert(row("a")), Upsert(row("b")), Delete(row("c"))])


def test_a_transaction_changes_each_of_at_most_100_rows_once() -> None:
    """All in one partition."""
    changes: list[Change] = [Insert(row(f"k{at}")) for at in range(100)]
    assert check_changes(changes) == changes
    assert check_changes([]) == []
    refused: list[tuple[list[Change], str]] = [
        ([*changes, Delete(row("more"))], "at most 100 changes"),
        ([Insert(row("a")), Delete(row("b", "q"))], "rows of one partition"),
        ([Insert(row("a")), Delete(row("a"))], "each row once"),
    ]
    for wrong, rule in refused:
        with pytest.raises(ValueError, match=rule):
            check_changes(wrong)


def test_the_rows_of_a_transaction_leave_in_normal_form() -> None:
    """As one that is written alone."""
    (change,) = check_changes([Upsert(row(at=datetime(2026, 3, 4, 13, tzinfo=BERLIN)))])
    assert change == Upsert(row(at=datetime(2026, 3, 4, 12, tzinfo=UTC)))
    assert getattr(change.row.values["at"], "tzinfo", None) is UTC


#: Bytes in the body: a frame of 1024 and the keys by 8 for each change, then names by 2, 48 for each value, its JSON.
WIRE = [
    ("x" * 100, 102), ('"' * 100, 202), ("ü" * 100, 602), (b"x" * 99, 132), (b"x" * 100, 136), (b"x" * 101, 136),
    (7, 32), (True, 32),
]  # fmt: skip


@pytest.mark.parametrize(("value", "size"), WIRE, ids=range(len(WIRE)))
def test_a_transaction_is_below_4_mib(value: object, size: int) -> None:
    """Counted from above: what leaves is never more."""
    one = 1024 + 8 * (1 + 3)
    changes: list[Change] = [Upsert(row("kcc", name=value)), Delete(row("kdd"))]
    left = 4 * MIB - (one + 2 * 4 + 48 + size) - one
    for wire, is_taken in ((left, False), (left - 1, True)):
        filled = [*changes, *map(Insert, filling(wire, one))]
        if is_taken:
            assert len(check_changes(filled)) == 14
        else:
            with pytest.raises(ValueError, match="a transaction is below 4 MiB"):
                check_changes(filled)


def filling(wire: int, one: int) -> list[Row]:
    """Twelve rows that take so many bytes in a transaction: `one` each, and texts of up to 32 KiB."""
    head = 2 * 3 + 48 + 2
    count = -(-(wire - 12 * one) // (head + 32 * KIB))
    left = wire - 12 * one - count * head
    sizes = [min(32 * KIB, left - at * 32 * KIB) for at in range(count)]
    return [row(f"k{at:02}", **{f"n{n:02}": "x" * size for n, size in enumerate(sizes[at::12])}) for at in range(12)]
