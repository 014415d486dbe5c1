"""The order book in terms of rows: an order and its place in the lists move together or not at all."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import StateConflict
from shared.orders.order_entry import OrderEntry
from shared.orders.order_store import OrderStore
from tests.support.memory_storage import MemoryTables

AT = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def book_of() -> OrderStore:
    """An empty book."""
    return OrderStore(MemoryTables().table("BcOrders"), "conn")


def entry(key: str = "WEB-1", **more: object) -> OrderEntry:
    """An order that is being posted."""
    return OrderEntry(key=key, company="c", status="posting", message=b"{}", first_at=AT, **more)  # type: ignore[arg-type]


def test_an_entry_survives_its_row() -> None:
    """Every field; times in UTC."""
    book = book_of()
    full = entry(
        digest="d", external_number="E", before="1\n2", attempts=3, waits=2, posted_at=AT, unknown=True,
        next_try_at=AT, worker="w", lease_until=AT, order_id="i", number="n", error_code="c", error="e",
        correlation_id="x", reported_to="r",
    )  # fmt: skip
    stored = book.save(full)
    loaded = book.load("WEB-1", "c")
    assert loaded == stored
    assert replace(stored, etag="", index="") == full
    assert book.load("WEB-1", "other") is None


def test_the_second_of_two_workers_learns_that_it_lost() -> None:
    """Both on a new key and on a row they both read."""
    book = book_of()
    first = book.save(entry())
    with pytest.raises(StateConflict):
        book.save(entry())
    book.save(replace(first, attempts=1))
    with pytest.raises(StateConflict):
        book.save(replace(first, attempts=2))


def test_a_key_is_found_in_every_company_and_no_other_key_is() -> None:
    """Odd keys included; WEB-1 does not find WEB-10."""
    book = book_of()
    for key in ("WEB-1", "WEB-10", "WEB-1|x", "A/B#C?", "Ä"):
        for company in ("", "c"):
            book.save(replace(entry(key), company=company))
    for key in ("WEB-1", "WEB-1|x", "A/B#C?", "Ä"):
        assert {(found.key, found.company) for found in book.find(key)} == {(key, ""), (key, "c")}


moves = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]), st.sampled_from(["posting", "waiting", "created", "rejected", "parked"]),
        st.integers(0, 50),
    ),
    max_size=25,
)  # fmt: skip


@given(moves)
def test_the_lists_hold_exactly_the_orders_that_belong_there(steps: list[tuple[str, str, int]]) -> None:
    """After any moves: waiting ones by time, stopped ones by key, none twice, none left behind."""
    book = book_of()
    held: dict[str, OrderEntry] = {}
    for key, status, minutes in steps:
        due = AT + timedelta(minutes=minutes) if status == "waiting" else None
        held[key] = book.save(replace(held.get(key, entry(key)), status=status, next_try_at=due))  # type: ignore[arg-type]
    waiting = sorted((e.next_try_at, key) for key, e in held.items() if e.status == "waiting" and e.next_try_at)
    assert [e.key for e in book.waiting(99)] == [key for _, key in waiting]
    assert sorted(e.key for e in book.stopped(99)) == sorted(
        k for k, e in held.items() if e.status in {"rejected", "parked"}
    )
    for minutes in (0, 20, 50):
        now = AT + timedelta(minutes=minutes)
        assert [key for key, _ in book.due(now, 99)] == [key for at, key in waiting if at <= now]
    counts = book.counts(99)
    assert counts == {name: sum(e.status == name for e in held.values()) for name in ("waiting", "parked", "rejected")}


def test_a_forgotten_order_leaves_no_place_in_a_list() -> None:
    """It moved from "no company" to its company."""
    book = book_of()
    waiting = book.save(replace(entry(), status="waiting", next_try_at=AT))
    book.forget(waiting)
    assert book.load("WEB-1", "c") is None
    assert book.waiting(9) == []
    book.forget(waiting)
