"""The order book in terms of rows: an order and its place in the lists move together or not at all."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.business_central.code_text import code_of
from shared.business_central.port import PostedOrder
from shared.errors import StateConflict
from shared.orders.order_entry import OrderEntry, OrderStatus, Sender
from shared.orders.order_rows import LONGEST, is_too_long
from shared.orders.order_store import Held, OrderStore
from tests.support.memory_storage import MemoryTables

AT = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def book_of() -> OrderStore:
    """An empty book."""
    return OrderStore(MemoryTables().table("BcOrders"), "conn")


def entry(key: str = "WEB-1", **more: Any) -> OrderEntry:
    """An order that is being posted."""
    return OrderEntry(key=key, company="c", status="posting", message=b"{}", first_at=AT, **more)


def test_an_entry_survives_its_row() -> None:
    """Every field; times in UTC."""
    book = book_of()
    full = entry(
        content="d", external_number="E", numbering="shared", before="1\n2", likeness="l|m|n",
        senders=(Sender("m-1", "web-1"), Sender("m-2", " WEB-1")), attempts=3, waits=2, posted_at=AT, unknown=True,
        next_try_at=AT, worker="w", lease_until=AT, order_id="i", number="n", error_code="c", error="e",
        correlation_id="x", reported_to="r",
    )  # fmt: skip
    stored = book.save(full)
    loaded = book.load("WEB-1", "c")
    assert loaded == stored
    assert replace(stored, etag="", index="", place="") == full
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
    for key in ("WEB-1", "WEB-10", "WEB-1|X", "A/B#C?", "Ä"):
        for company in ("", "c"):
            book.save(replace(entry(key), company=company))
    for key in ("WEB-1", "WEB-1|X", "A/B#C?", "Ä"):
        assert {(found.key, found.company) for found in book.find(key)} == {(key, ""), (key, "c")}


moves = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]), st.sampled_from(["posting", "waiting", "created", "rejected", "parked"]),
        st.integers(0, 50),
    ),
    max_size=25,
)  # fmt: skip


@given(moves)
def test_the_lists_hold_exactly_the_orders_that_belong_there(steps: list[tuple[str, OrderStatus, int]]) -> None:
    """After any moves: waiting ones by time, stopped ones by key, none twice, none left behind."""
    book = book_of()
    held: dict[str, OrderEntry] = {}
    for key, status, minutes in steps:
        due = AT + timedelta(minutes=minutes) if status == "waiting" else None
        held[key] = book.save(replace(held.get(key, entry(key)), status=status, next_try_at=due))
    waiting = sorted((e.next_try_at, key) for key, e in held.items() if e.status == "waiting" and e.next_try_at)
    assert [e.key for e in book.waiting(99)] == [key for _, key in waiting]
    assert sorted(e.key for e in book.stopped(99)) == sorted(
        k for k, e in held.items() if e.status in {"rejected", "parked"}
    )
    for minutes in (0, 20, 50):
        now = AT + timedelta(minutes=minutes)
        assert [e.key for e in book.due(now, 99)] == [key for at, key in waiting if at <= now]
    counts = book.counts(99)
    assert counts == {name: sum(e.status == name for e in held.values()) for name in ("waiting", "parked", "rejected")}


def test_a_forgotten_order_leaves_no_place_in_a_list() -> None:
    """The message that was refused under its key was sent well."""
    book = book_of()
    waiting = book.save(replace(entry(), status="waiting", next_try_at=AT))
    book.forget(waiting)
    assert book.load("WEB-1", "c") is None
    assert book.waiting(9) == []
    book.forget(waiting)


def test_forgetting_an_order_is_cut_off_nowhere() -> None:
    """Its row and its place in a list go together: one without the other could never be written again."""
    tables = MemoryTables()
    book = OrderStore(tables.table("BcOrders"), "conn")
    waiting = book.save(replace(entry(), status="waiting", next_try_at=AT))
    asked: list[str] = []
    tables.before = asked.append
    book.forget(waiting)
    assert [one for one in asked if "get" not in one and "query" not in one] == ["BcOrders.write"]


@pytest.mark.parametrize("status", ["posting", "waiting", "created"])
def test_an_order_that_finds_its_company_leaves_its_row_in_the_same_write(status: OrderStatus) -> None:
    """Begun, waiting or created at once; it is in one place at any time, and in no list for the other."""
    tables = MemoryTables()
    book = OrderStore(tables.table("BcOrders"), "conn")
    unplaced = book.save(replace(entry(), company="", status="waiting", next_try_at=AT))
    due = AT + timedelta(hours=1) if status == "waiting" else None
    moved = entry(likeness="l|m|n", posted_at=AT, number="n")
    asked: list[str] = []
    tables.before = asked.append
    moved = replace(moved, status=status, next_try_at=due, left=unplaced)
    stored = book.begin(moved) if status == "posting" else book.save(moved)
    assert [one for one in asked if "get" not in one and "query" not in one] == ["BcOrders.write"]
    assert isinstance(stored, OrderEntry)
    assert book.find("WEB-1") == [stored]
    assert book.waiting(9) == ([stored] if status == "waiting" else [])


@pytest.mark.parametrize("is_gone", [True, False])
def test_an_order_leaves_no_row_that_another_worker_moved(is_gone: bool) -> None:
    """A message joined it since, or it has left already: nothing is written, and it is read once more."""
    book = book_of()
    unplaced = book.save(replace(entry(), company="", status="waiting", next_try_at=AT))
    if is_gone:
        book.forget(unplaced)
    else:
        book.save(unplaced.joined_by(Sender("m-2", "web-1")))
    with pytest.raises(StateConflict):
        book.save(replace(entry(), left=unplaced))
    assert [(one.company, len(one.senders)) for one in book.find("WEB-1")] == ([] if is_gone else [("", 1)])


def test_a_created_order_takes_more_messages_and_keeps_its_document() -> None:
    """It was claimed when it was created."""
    book = book_of()
    made = book.save(replace(entry(number="n", order_id="i"), status="created"))
    more = book.join(made.joined_by(Sender("m-2", "web-1")))
    assert book.load("WEB-1", "c") == more


def test_an_order_whose_place_in_a_list_is_gone_goes_on() -> None:
    """0.1.0 deleted the two one after the other, and may have been killed in between."""
    table = MemoryTables().table("BcOrders")
    book = OrderStore(table, "conn")
    waiting = book.save(replace(entry(), status="waiting", next_try_at=AT))
    table.delete("conn", waiting.index)
    book.save(replace(waiting, status="rejected", next_try_at=None))
    assert [one.status for one in book.stopped(9)] == ["rejected"]


KEYS = ["鍵" * 80, "П" * 94, "Ü/ñ #?%" * 28, "K" * 200, "\x01\x7f=h", "a b|c", "É" * 200]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_of_any_characters_is_found(key: str) -> None:
    """Also one whose row key is cut and ends in a digest, and beside one that begins alike."""
    book, key = book_of(), code_of(key)
    for company in ("", "c" * 36):
        book.save(replace(entry(key, content="d"), company=company))
        book.save(replace(entry(key[:-1] + "*", content="d"), company=company))
    assert {(e.key, e.company) for e in book.find(key)} == {(key, ""), (key, "c" * 36)}
    assert book.load(key, "c" * 36) in book.find(key)


def test_what_0_1_0_filed_under_pythons_upper_case_is_found_by_the_key_in_its_message() -> None:
    """`straße` and `strasse` were one key there and are two here; the message says whose row it is."""
    book = book_of()
    row = replace(entry("STRASSE-1"), message=b'{"orderKey": "stra\xc3\x9fe-1", "order": {}}', digest="d")
    book.save(row)
    found = book.load(code_of("straße-1"), "c")
    assert found is not None
    assert book.find(code_of("Straße-1")) == [found]
    assert book.load("STRASSE-1", "c") is None
    assert book.find("STRASSE-1") == []
    assert book.save(replace(found, attempts=2)).place == found.place


@pytest.mark.parametrize("count", [0, 1, 3_500, 20_000])
def test_the_numbers_of_others_fit_their_row(count: int) -> None:
    """One reference on every order of a shop: what a property can't hold goes on in the next."""
    book = book_of()
    before = "\n".join(f"SO-{number:07d}" for number in range(count))
    stored = book.save(entry(before=before))
    assert book.load("WEB-1", "c") == stored
    assert stored.before == before
    cleared = book.save(replace(stored, before=""))
    assert book.load("WEB-1", "c") == cleared
    assert is_too_long(entry(before="x" * (LONGEST + 1)))


def test_a_document_belongs_to_one_key() -> None:
    """The second key that wants it learns that it lost, and its row stays as it was (P17)."""
    book, document = book_of(), PostedOrder("id-1", "101001")
    made: dict[str, Any] = {"status": "created", "number": "101001", "order_id": "id-1"}
    book.save(replace(entry("A"), **made))
    other = book.save(entry("B"))
    with pytest.raises(StateConflict):
        book.save(replace(other, **made))
    assert book.load("B", "c") == other
    assert book.claimant("c", document) == "A"
    assert book.claimant("c", PostedOrder("", "101001")) == "A"
    assert book.claimant("c2", document) == ""


def test_a_number_that_bc_gives_again_is_another_document() -> None:
    """The claim of the one that is gone does not stand in its way."""
    book = book_of()
    book.save(replace(entry("A"), status="created", number="101001", order_id="id-1"))
    assert book.claimant("c", PostedOrder("id-2", "101001")) == ""
    book.save(replace(entry("B"), status="created", number="101001", order_id="id-2"))
    assert book.claimant("c", PostedOrder("id-2", "101001")) == "B"


def begun(book: OrderStore, key: str, likeness: str = "same") -> OrderEntry | Held:
    """An order that is about to be posted."""
    return book.begin(entry(key, likeness=f"number|{likeness}|n1", posted_at=AT, worker=key))


def test_an_order_that_could_be_mistaken_for_one_under_way_is_held_back() -> None:
    """Until the outcome of the first is known; one that looks otherwise goes on."""
    book = book_of()
    first = begun(book, "A")
    assert isinstance(first, OrderEntry)
    assert begun(book, "B") == Held("A")
    assert book.load("B", "c") is None
    assert isinstance(begun(book, "C", "other"), OrderEntry)
    doubtful = book.save(replace(first, status="waiting", unknown=True, next_try_at=AT))
    assert begun(book, "B") == Held("A")
    again = book.begin(replace(doubtful, status="posting", unknown=False))
    assert isinstance(again, OrderEntry)
    book.save(replace(again, status="rejected"))
    assert isinstance(begun(book, "B"), OrderEntry)


@pytest.mark.parametrize("status", ["created", "rejected", "parked", "waiting"])
def test_what_is_known_holds_nobody_back(status: OrderStatus) -> None:
    """In one transaction with the outcome; a hold that was left behind by another release does not count."""
    book = book_of()
    first = begun(book, "A")
    assert isinstance(first, OrderEntry)
    ended = book.save(replace(first, status=status, number="1", next_try_at=AT))
    assert ended.hold == ""
    second = begun(book, "B")
    assert isinstance(second, OrderEntry)
    book.save(replace(second, status="rejected", hold=""))  # as a release that knows no holds writes it
    assert isinstance(begun(book, "C"), OrderEntry)


def test_of_two_marks_that_are_alike_the_second_is_held_back_and_stored_as_it_was() -> None:
    """Its customer is named by id, so the row it inserts is another; it gives it up."""
    book = book_of()
    assert isinstance(begun(book, "A"), OrderEntry)
    first = book.save(replace(entry("B", likeness="number|same|i1"), status="waiting", next_try_at=AT))
    second = replace(first, status="posting", next_try_at=None)
    held = book.begin(replace(second, posted_at=AT, attempts=1))
    assert isinstance(held, Held)
    assert held.holder == "A"
    waits = book.save(replace(held.undone(first), next_try_at=AT + timedelta(minutes=1)))
    assert waits == replace(first, next_try_at=waits.next_try_at, index=waits.index, etag=waits.etag)
    assert [one.key for one in book.waiting(9)] == ["B"]
    assert isinstance(begun(book, "C", "more"), OrderEntry)
