"""What people and timers find in the order book: lists and causes, dismissals, erasure, and what a lost table gets."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.business_central.port import PostedOrder
from shared.errors import StateConflict
from shared.orders.order_cause import cause_of
from shared.orders.order_contents import without_contents
from shared.orders.order_entry import OrderEntry
from shared.orders.order_rows import claim_row, index_row
from shared.orders.order_store import Held, OrderStore
from shared.storage.table import Row
from tests.support.memory_storage import MemoryTables

AT = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
EARLIER = AT - timedelta(seconds=1)


@pytest.fixture
def tables() -> MemoryTables:
    """The account of the book."""
    return MemoryTables()


@pytest.fixture
def book(tables: MemoryTables) -> OrderStore:
    """An empty book."""
    return OrderStore(tables.table("BcOrders"), "conn")


def entry(key: str = "WEB-1", **more: Any) -> OrderEntry:
    """An order that Business Central refused."""
    given = {"key": key, "company": "c", "status": "rejected", "message": b"{}", "error": "no", **more}
    return OrderEntry(**given)


def lose_races(tables: MemoryTables) -> None:
    """From now on somebody else is faster with every write."""

    def refuse(_: str) -> None:
        raise StateConflict("somebody else was faster")

    tables.before = refuse


def test_stopped_orders_are_found_by_their_outcome(book: OrderStore) -> None:
    """At most so many, of the first so many by key; one kind of them alone where it is asked for."""
    for key, status in (("A", "parked"), ("B", "rejected"), ("C", "rejected"), ("D", "parked"), ("E", "created")):
        book.save(entry(key, status=status))
    assert [one.key for one in book.stopped(9)] == ["A", "B", "C", "D"]
    assert [one.key for one in book.stopped(2)] == ["A", "B"]
    assert [one.key for one in book.stopped(9, only="parked")] == ["A", "D"]
    assert [one.key for one in book.stopped(1, only="rejected", of=9)] == ["B"]
    assert book.stopped(1, only="rejected", of=1) == []
    assert book.counts(9) == {"parked": 2, "rejected": 2, "waiting": 0}
    assert book.counts(3) == {"parked": 1, "rejected": 2, "waiting": 0}


def test_as_many_orders_wait_as_are_asked_for(book: OrderStore) -> None:
    """The longest waiting first."""
    for minutes, key in enumerate(("C", "B", "A")):
        book.save(entry(key, status="waiting", next_try_at=AT + timedelta(minutes=minutes)))
    assert [one.key for one in book.waiting(2)] == ["C", "B"]
    assert [one.key for one in book.due(AT + timedelta(minutes=1), 9)] == ["C", "B"]
    assert [one.key for one in book.due(AT + timedelta(minutes=9), 1)] == ["C"]
    assert book.counts(2)["waiting"] == 2


def test_orders_of_one_cause_are_counted_and_found_together(book: OrderStore) -> None:
    """Two customers that are blocked are one case; what was dismissed asks for nobody."""
    for key, error in (("A", "customer 'X' is blocked"), ("B", "no price"), ("C", "customer 'Y' is blocked")):
        book.save(entry(key, error=error))
    blocked, unpriced = cause_of(book.stopped(9)[0]), cause_of(book.stopped(9)[1])
    assert book.causes(9) == Counter({blocked: 2, unpriced: 1})
    assert book.causes(2) == Counter({blocked: 1, unpriced: 1})
    assert [one.key for one in book.of_cause(blocked, 9, 9)] == ["A", "C"]
    assert [one.key for one in book.of_cause(blocked, 1, 9)] == ["A"]
    assert [one.key for one in book.of_cause(blocked, 9, 2)] == ["A"]
    assert book.dismiss("C", "c", AT)
    assert book.causes(9) == Counter({blocked: 1, unpriced: 1})
    assert [one.key for one in book.of_cause(blocked, 9, 9)] == ["A"]


def test_the_cause_of_what_0_1_0_stopped_is_seen_in_the_order(book: OrderStore, tables: MemoryTables) -> None:
    """It noted none beside the order; of an order that is gone there is none."""
    table = tables.table("BcOrders")
    stopped = book.save(entry())
    gone = index_row("conn", replace(stopped, index="stop|Z|c", key="Z"))
    for row in (index_row("conn", stopped), gone):
        table.upsert(replace(row, values={name: value for name, value in row.values.items() if name != "cause"}))
    assert book.causes(9) == Counter({cause_of(stopped): 1, "": 1})
    assert book.of_cause(cause_of(stopped), 9, 9) == [stopped]
    assert book.stopped(9) == [stopped]


def test_a_dismissed_order_asks_for_nobody_and_is_kept(book: OrderStore) -> None:
    """Until it ends anew; its key may be written as its sender wrote it."""
    book.save(entry("A"))
    stopped = book.save(entry("B", status="parked"))
    assert book.dismiss("b", "c", AT)
    assert [one.key for one in book.stopped(9)] == ["A"]
    assert book.counts(9) == {"parked": 0, "rejected": 1, "waiting": 0}
    assert book.dismissed(9, 9) == (1, [stopped])
    assert book.dismissed(0, 9) == (1, [])
    assert book.dismissed(9, 1) == (0, [])
    book.save(replace(stopped, error="again"))
    assert book.dismissed(9, 9) == (0, [])


def test_what_has_not_stopped_is_not_dismissed(book: OrderStore, tables: MemoryTables) -> None:
    """An order that waits, one that nobody knows, one that goes on at this very moment."""
    book.save(entry("A", status="waiting", next_try_at=AT))
    book.save(entry("B"))
    tables.table("BcOrders").delete("conn", book.save(entry("C")).index)
    assert not book.dismiss("A", "c", AT)
    assert not book.dismiss("B", "c2", AT)
    assert not book.dismiss("C", "c", AT)
    lose_races(tables)
    assert not book.dismiss("B", "c", AT)


def test_an_erased_order_stays_where_it_was(book: OrderStore) -> None:
    """In its list, under the cause it has now, dismissed if it was; a created one is in none."""
    made, stopped = book.save(entry("A", status="created", number="1")), book.save(entry("B", error="customer 'X'"))
    assert book.dismiss("B", "c", AT)
    assert book.erase(made)
    assert book.erase(stopped)
    (erased,) = book.dismissed(9, 9)[1]
    assert erased == replace(without_contents(stopped), etag=erased.etag)
    assert book.load("A", "c") == replace(without_contents(made), etag=(book.find("A")[0].etag))
    book.save(entry("C", error="customer 'X'"))
    assert not book.erase(stopped)  # it has moved since


def test_the_cause_of_an_erased_order_is_that_of_its_kind(book: OrderStore) -> None:
    """What Business Central said of it is gone with its contents."""
    stopped = book.save(entry(error="customer 'X' is blocked"))
    assert book.erase(stopped)
    assert book.causes(9) == Counter({cause_of(without_contents(stopped)): 1})


def test_an_order_whose_place_in_a_list_is_gone_is_erased(book: OrderStore, tables: MemoryTables) -> None:
    """As 0.1.0 may have left it; nothing is put into a list."""
    stopped = book.save(entry())
    tables.table("BcOrders").delete("conn", stopped.index)
    assert book.erase(stopped)
    assert book.find("WEB-1")[0].is_erased
    assert book.stopped(9) == []


@pytest.mark.parametrize(
    ("change", "is_found"),
    [
        ({"status": "waiting", "posted_at": EARLIER}, True),
        ({"status": "posting", "posted_at": EARLIER}, True),
        ({"status": "created", "posted_at": AT, "first_at": EARLIER}, True),
        ({"status": "created", "posted_at": EARLIER, "first_at": AT}, False),
        ({"status": "created", "posted_at": EARLIER}, False),
        ({"status": "parked", "first_at": AT}, True),
        ({"status": "parked", "first_at": EARLIER}, False),
        ({"status": "parked"}, True),
        ({"status": "rejected", "posted_at": AT}, False),
        ({"status": "created", "posted_at": AT, "message": b"", "content": "digest under WEB-1"}, True),
        ({"status": "created", "posted_at": AT, "message": b"", "content": "another"}, False),
        ({"status": "waiting", "message": b"", "content": "digest under WEB-1"}, False),
        ({"status": "created", "posted_at": AT, "message": b"another"}, False),
    ],
)
def test_a_message_is_known_while_its_order_goes_on_and_for_a_while_after(
    book: OrderStore, change: dict[str, Any], *, is_found: bool
) -> None:
    """By its very bytes, or by its digest once they are erased; counted from the last post, or from when it came."""
    book.save(entry("A", status="waiting", message=b"of another"))
    known = book.save(entry(**{"next_try_at": AT, "content": "d", **change}))
    book.save(entry("Z", status="created", posted_at=AT, message=b"of a third"))
    assert book.by_message(b"{}", AT, "digest under {}".format) == (known if is_found else None)


def test_an_order_that_goes_on_is_found_before_one_that_ended(book: OrderStore) -> None:
    """Of several that one message made."""
    book.save(entry("A", status="created", posted_at=AT))
    goes_on = book.save(entry("B", status="waiting", next_try_at=AT))
    book.save(entry("C", status="created", message=b"", content="none", posted_at=AT))
    assert book.by_message(b"{}", AT, str) == goes_on


def test_rows_are_paged_from_behind_the_last(book: OrderStore) -> None:
    """Each once, in the order of their keys."""
    book.save(entry("A"))
    book.save(entry("A", company="c1"))
    first = book.page("", 3)
    assert [row.key for row in first] == ["order|A|c", "order|A|c1", "stop|A|c"]
    assert [row.key for row in book.page(first[0].key, 1)] == ["order|A|c1"]
    assert [row.key for row in book.page(first[-1].key, 3)] == ["stop|A|c1"]


def test_the_order_book_keeps_of_a_created_order_what_stops_a_second_post(book: OrderStore) -> None:
    """What waits or has stopped is kept whole, and so are the rows beside orders."""
    book.save(entry("A", status="created", number="1", order_id="i"))
    book.save(entry("B"))
    claim, made, stopped, place = book.page("", 9)
    assert book.for_the_book(made).data("message") == b""
    assert book.for_the_book(made).text("order_id") == "i"
    beside = Row(partition="conn", key="note|x", values={"status": "created"})
    assert [book.for_the_book(row) for row in (claim, stopped, place, beside)] == [claim, stopped, place, beside]


def kept(**more: Any) -> OrderEntry:
    """An order as an order book has it: with the etag of a table that is lost."""
    given = entry(**more)
    return replace(given, place=f"order|{given.key}|c", etag="old")


def test_a_lost_order_is_restored_with_what_follows_from_it(book: OrderStore) -> None:
    """Its place in a list, its claim on its document; only what is missing."""
    assert book.restore(kept(key="A", status="waiting", next_try_at=AT, number="7"))
    assert [one.key for one in book.due(AT, 9)] == ["A"]
    assert book.claimant("c", PostedOrder("", "7")) == ""
    assert not book.restore(kept(key="A", status="rejected"))
    assert book.stopped(9) == []
    assert book.restore(kept(key="B", status="created", number="1", order_id="i"))
    assert book.claimant("c", PostedOrder("i", "1")) == "B"
    assert book.restore(kept(key="C", status="created"))
    assert [row.key for row in book.page("", 9)] == [
        "claim|c|1", "due|2026-03-04T12:00:00Z|A|c", "order|A|c", "order|B|c", "order|C|c",
    ]  # fmt: skip


def test_what_is_restored_before_its_order_stays_as_it_was(book: OrderStore, tables: MemoryTables) -> None:
    """A dismissal is no less true because its order comes after it."""
    place = index_row("conn", replace(entry(), index="stop|WEB-1|c")).with_values(dismissed_at=AT)
    assert book.add(place)
    assert not book.add(place)
    assert book.restore(kept())
    assert book.dismissed(9, 9)[0] == 1
    lose_races(tables)
    assert not book.restore(kept(key="B"))


def test_a_row_beside_orders_is_added_where_it_is_missing(book: OrderStore, tables: MemoryTables) -> None:
    """A place among the stopped only for an order that is not there: one that is has its place, or goes on."""
    book.save(entry("A", status="waiting", next_try_at=AT))
    assert not book.add(index_row("conn", replace(entry("A"), index="stop|A|c")))
    claim = claim_row("conn", entry("A", number="1"))
    assert book.add(claim)
    assert not book.add(claim)
    lose_races(tables)
    assert not book.add(claim_row("conn", entry("A", number="2")))


@pytest.mark.parametrize(
    ("unread", "stays"),
    [
        (entry(company="", content="d"), False),
        (entry(company="", content=""), False),
        (entry(company="", content="another"), True),
        (entry(company="", content="d", status="parked"), True),
    ],
)
def test_what_was_refused_under_the_key_of_a_created_order_goes(
    book: OrderStore, unread: OrderEntry, *, stays: bool
) -> None:
    """Unless it is another order, or waits for a person."""
    created = book.save(entry(status="created", content="d", number="1"))
    book.forget_unread(created)
    book.save(unread)
    book.forget_unread(created)
    assert [one.company for one in book.find("WEB-1")] == (["", "c"] if stays else ["c"])


def test_an_order_is_forgotten_by_its_key_and_company(book: OrderStore) -> None:
    """Whoever forgets it need not have read it."""
    book.save(entry())
    book.forget(entry())
    assert book.page("", 9) == []


@pytest.mark.parametrize(("status", "next_try_at"), [("waiting", AT), ("posting", None)])
def test_an_order_that_finds_its_company_is_in_no_list_for_the_other(
    book: OrderStore, status: str, next_try_at: datetime | None
) -> None:
    """Whether it had a place in one or not."""
    unplaced = book.save(entry(company="", status=status, next_try_at=next_try_at))
    book.save(entry(status="created", left=unplaced))
    assert [row.key for row in book.page("", 9)] == ["order|WEB-1|c"]


def test_an_order_is_held_back_by_the_one_that_is_like_it_among_several(book: OrderStore) -> None:
    """Others that bear its number and look otherwise come first."""

    def begun(key: str, likeness: str) -> OrderEntry | Held:
        return book.begin(entry(key, status="posting", likeness=likeness, posted_at=AT, worker=key))

    assert isinstance(begun("A", "number|another|n1"), OrderEntry)
    assert isinstance(begun("B", "number|same|n1"), OrderEntry)
    held = begun("C", "number|same|i1")
    assert isinstance(held, Held)
    assert held.holder == "B"
