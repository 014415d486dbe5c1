"""The order book between real tables and real blobs, and between their twins in memory: what is written comes back."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from uuid import uuid4

import pytest

from shared.orders.order_book import Blobs, Edition, OrderBook, kind_of
from shared.orders.order_entry import OrderEntry, OrderStatus, Sender
from shared.orders.order_rows import entry_of
from shared.orders.order_store import OrderStore
from shared.settings import StorageSettings
from shared.storage.claim_checks import BlobClaimChecks
from shared.storage.table import Table
from tests.support.memory_claim_checks import MemoryClaimChecks

AT = datetime(2026, 3, 4, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def blobs(request: pytest.FixtureRequest, open_tables: Callable[[], Callable[[str], Table]]) -> Iterator[Blobs]:
    """Blobs of the same kind of account as the tables."""
    if request.node.callspec.params["open_tables"] == "memory":
        yield MemoryClaimChecks()
        return
    storage = StorageSettings(connection_string=request.getfixturevalue("azurite"), table_endpoint="", client_id="")
    checks = BlobClaimChecks(storage)
    yield checks
    checks.close()


def order(key: str, status: OrderStatus, **more: object) -> OrderEntry:
    """An order with a value of every kind."""
    entry = OrderEntry(
        key=key, company="c", status=status, message='{"order": "ß"}'.encode(), content="d" * 64, first_at=AT,
        posted_at=AT, attempts=2, unknown=False, senders=(Sender("m-1", "As Sent/?"),), before="1\n2",
    )  # fmt: skip
    return OrderEntry(**{**{name: getattr(entry, name) for name in entry.__slots__}, **more})


def test_a_book_brings_back_what_was_written(
    open_tables: Callable[[], Callable[[str], Table]], table_name: str, blobs: Blobs
) -> None:
    """Page by page, with keys of any letters; an order in BC without its message, which the table takes as well."""
    state = f"state-{uuid4()}"
    store = OrderStore(open_tables()(table_name), state)
    store.save(order("ÄÖ/1 ?", "created", order_id="id-1", number="1001"))
    store.save(order("WAITS", "waiting", next_try_at=AT, unknown=True))
    store.save(order("BAD", "rejected", error="no"))
    erased = store.find("BAD")[0]
    assert store.erase(erased)
    assert not store.erase(erased)  # it has moved since

    book, behind, part, seen = OrderBook(blobs, state), "", "", []
    while rows := store.page(behind, 2):
        part = book.write_part([store.for_the_book(row) for row in rows], part)
        behind = rows[-1].key
        seen += [kind_of(row) for row in rows]
    assert seen == ["claim", "due", "order", "order", "order", "stop"]
    book.publish(Edition(day=date(2026, 3, 4), began_at=AT, last=part, orders=3))
    book.publish(Edition(day=date(2026, 3, 4), began_at=AT, last="", orders=0))  # the first of a day stays
    assert book.of_day(date(2026, 3, 5)) is None
    (edition,) = book.editions(date(2026, 3, 6))
    assert (edition.began_at, edition.last, edition.orders) == (AT, part, 3)

    lost = OrderStore(open_tables()(f"{table_name}b"), state)
    name = edition.last
    while name:
        held = book.part(name)
        for row in held.rows:
            assert lost.restore(entry_of(row)) if kind_of(row) == "order" else lost.add(row) in {True, False}
        name = held.before
    (created,), (waits,), (bad,) = lost.find("ÄÖ/1 ?"), lost.find("WAITS"), lost.find("BAD")
    assert (created.number, created.message, created.is_erased, created.first_at) == ("1001", b"", True, AT)
    before = store.find("WAITS")[0]
    assert (waits.message, waits.senders, waits.next_try_at) == (before.message, before.senders, AT)
    assert (bad.status, bad.message, bad.content) == ("rejected", b"", "d" * 64)
    assert lost.counts(10) == store.counts(10)
    assert [one.key for one in lost.due(AT, 10)] == ["WAITS"]
    assert not lost.restore(waits)
