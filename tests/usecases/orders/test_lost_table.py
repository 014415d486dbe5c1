"""The table of orders is lost: what the order book brings back, and that no order is posted a second time (P8, P31)."""

import json
import logging
from datetime import timedelta
from typing import Any

import pytest
from business_central_emulator import FaultKind

from shared.errors import InvalidMessage
from shared.operations.stores import stores_of
from shared.orders import daily_round, order_import
from shared.orders.order_book import FOLDER
from shared.resource_names import TABLE_ORDERS
from tests.support.shop import Shop
from tests.support.worlds import restart, results

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
GUID = "0f8fad5b-d9cb-469f-a165-70867728950e"


@pytest.fixture
def shop() -> Shop:
    """A fresh shop."""
    return Shop()


def write_book(shop: Shop) -> str:
    """Let the daily round run to its end; returns its day."""
    for _ in range(20):
        shop.world.run_timer("retry_sales_orders")
    return shop.world.clock.now().date().isoformat()


def lose_the_table(shop: Shop) -> None:
    """The table is gone, and every process begins anew."""
    world = shop.world
    world.tables.table(TABLE_ORDERS)._partitions.clear()  # type: ignore[attr-defined] # the twin in memory
    world.stores = stores_of(world.tables, world.claim_checks, world.settings.connection)
    world.clock.advance(15 * 60)  # only then is it sure that a post of before the loss is no longer under way


def test_books_are_named_the_newest_first(shop: Shop) -> None:
    """Each by its day and how many orders it holds; without one, none."""
    book = shop.world.stores.book
    assert order_import.books(shop.world.ctx, book) == {"books": []}
    shop.submit(shop.message())
    first = write_book(shop)
    shop.submit(shop.message("web-2"))
    shop.world.clock.advance(timedelta(days=1))
    second = write_book(shop)
    named = [{"day": second, "orders": 2}, {"day": first, "orders": 1}]
    assert order_import.books(shop.world.ctx, book) == {"books": named}


def bring_back(shop: Shop, day: str) -> tuple[int, int]:
    """Import the whole book of a day; returns how many orders were missing, and how many were not."""
    added, there, part = 0, 0, ""
    while True:
        done = order_import.bring_back(shop.world.ctx, shop.world.stores.orders, shop.world.stores.book, day, part)
        added, there, part = added + done.added, there + done.there, done.next
        if not part:
            return added, there


def outcome(result: dict[str, Any]) -> dict[str, Any]:
    """What a sender goes by; posts that were sent are no part of it."""
    return {name: value for name, value in result.items() if name not in {"attempts", "correlationId"}}


def numbered(key: str, **more: str) -> dict[str, Any]:
    return {"externalDocumentNumber": key, **more}


@pytest.mark.parametrize("batch", [2, 500])
def test_a_lost_table_makes_no_second_order(shop: Shop, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Created, rejected and parked in doubt: the same messages once more find everything as it was."""
    monkeypatch.setattr(daily_round, "BATCH", batch)
    texts = [shop.message(key) for key in ("web-1", GUID, "Straße 1")]
    texts.append(shop.message("shared-a", shop.order(**numbered("PO-7"))))
    texts.append(shop.message("bad", shop.order(customerNumber="NOBODY")))
    before = [shop.submit(text)[0] for text in texts]
    day = write_book(shop)
    lose_the_table(shop)
    assert bring_back(shop, day) == (5, 0)
    assert bring_back(shop, day) == (0, 5)
    made = len(shop.orders())
    assert made == 4
    after = [shop.submit(text)[0] for text in texts]
    assert [outcome(one) for one in after] == [outcome(one) for one in before]
    assert len(shop.orders()) == made


@pytest.mark.parametrize(
    ("key", "fields", "status"),
    [(GUID, {}, "created"), ("a-key-longer-than-thirty-five-characters", {}, "created"),
     ("web-9", numbered("PO-9"), "created"), ("web-1", {}, "rejected")],
)  # fmt: skip
def test_what_was_created_after_the_book_is_found_by_its_number(
    shop: Shop, key: str, fields: dict[str, str], status: str
) -> None:
    """A number that this app made, or that keys share, is looked up; one that stands for a key is refused as there."""
    shop.submit(shop.message("before"))
    day = write_book(shop)
    shop.world.clock.advance(3 * 3600)
    text = shop.message(key, shop.order(**fields))
    (before,) = shop.submit(text)
    lose_the_table(shop)
    bring_back(shop, day)
    shop.world.clock.advance(120)
    (after,) = shop.submit(text)
    assert after["status"] == status
    assert len(shop.orders()) == 2
    if status == "created":
        assert outcome(after) == outcome(before)
    else:
        assert after["error"]["code"] == "OrderExists"


@pytest.mark.parametrize("later", [1, 20])
def test_a_later_book_hides_no_loss_of_before(shop: Shop, later: int) -> None:
    """Of several imports within two weeks the earliest time counts; one of a loss that is long past does not."""
    shop.submit(shop.message("before"))
    first = write_book(shop)
    shop.world.clock.advance(3 * 3600)
    text = shop.message(GUID)
    (before,) = shop.submit(text)
    lose_the_table(shop)
    bring_back(shop, first)
    since = shop.world.stores.orders.upkeep.lost_since(shop.world.clock.now())
    shop.world.clock.advance(later * DAY)
    bring_back(shop, write_book(shop))
    now = shop.world.stores.orders.upkeep.lost_since(shop.world.clock.now())
    assert (now == since) is (later == 1)
    if later == 1:
        (after,) = shop.submit(text)
        assert outcome(after) == outcome(before)
        assert len(shop.orders()) == 2


def test_a_new_order_is_posted_after_an_import(shop: Shop) -> None:
    """The look-up that a loss makes necessary finds nothing, and ends after two weeks."""
    day = write_book(shop)
    lose_the_table(shop)
    assert bring_back(shop, day) == (0, 0)
    (result,) = shop.submit(shop.message(GUID))
    assert result["status"] == "created"
    shop.world.clock.advance(15 * 86400)
    assert shop.world.stores.orders.upkeep.lost_since(shop.world.clock.now()) is None


@pytest.mark.parametrize("fault", [FaultKind.UNAVAILABLE, FaultKind.THROTTLED])
def test_an_order_under_way_goes_on_by_itself_and_once(shop: Shop, fault: FaultKind) -> None:
    """It waited when the book was written, in doubt or not, and was created since: the resume finds it in BC."""
    shop.fail(fault)
    text = shop.message(GUID)
    assert shop.submit(text) == []
    day = write_book(shop)
    shop.wait(timedelta(hours=1))
    (created,) = results(shop.world)
    lose_the_table(shop)
    assert bring_back(shop, day) == (1, 0)
    shop.wait(timedelta(hours=1))
    again = results(shop.world)[-1]
    assert (len(results(shop.world)), outcome(again)) == (2, outcome(created))
    assert len(shop.orders()) == 1


def test_an_order_that_was_refused_in_the_book_and_created_since_is_not_posted_twice(shop: Shop) -> None:
    """Its sender tried it anew after the book was written, and does so after the loss."""
    text = shop.message(GUID, shop.order(customerNumber="LATER"))
    shop.submit(text)
    day = write_book(shop)
    shop.world.bc.user.create_customer(number="LATER", displayName="x")
    (created,) = shop.submit(text)
    lose_the_table(shop)
    assert bring_back(shop, day) == (1, 0)
    (again,) = shop.submit(text)
    assert outcome(again) == outcome(created)
    assert len(shop.orders()) == 1


def test_an_order_that_waited_without_a_company_is_not_posted_twice(shop: Shop) -> None:
    """It had no company in the book, was placed and created since."""
    restart(shop.world)
    shop.fail(FaultKind.UNAVAILABLE, match="^GET .*/companies", times=None)
    shop.submit(shop.message(GUID))
    assert shop.status(GUID.upper()) == "waiting"
    day = write_book(shop)
    shop.world.bc.faults.clear()
    shop.wait(timedelta(hours=1))
    assert len(shop.orders()) == 1
    lose_the_table(shop)
    bring_back(shop, day)
    shop.wait(timedelta(hours=1))
    assert len(shop.orders()) == 1
    assert shop.status(GUID.upper()) == "created"


def test_nothing_that_is_there_is_overwritten_and_a_dismissal_comes_back(shop: Shop) -> None:
    """A row that is newer than the book stays; of what is missing even what a person decided."""
    orders = shop.world.stores.orders
    shop.submit(shop.message("bad", shop.order(customerNumber="NOBODY")))
    shop.submit(shop.message("later", shop.order(customerNumber="LATER")))
    (bad,) = orders.find("BAD")
    assert orders.dismiss(bad.key, bad.company, shop.world.clock.now())
    day = write_book(shop)
    shop.world.bc.user.create_customer(number="LATER", displayName="x")
    shop.submit(shop.message("later", shop.order(customerNumber="LATER")))
    orders.forget(bad)
    assert bring_back(shop, day) == (1, 1)
    assert shop.status("LATER") == "created"
    assert [entry.key for entry in orders.dismissed(10, 10)[1]] == ["BAD"]
    assert orders.counts(10) == {"parked": 0, "rejected": 0, "waiting": 0}


def test_the_book_holds_nothing_of_orders_that_are_in_business_central(shop: Shop) -> None:
    """Their claims are in it, and of those that wait for a person the message."""
    shop.submit(shop.message("web-1", shop.order(salesperson=None, shipToName="Mrs Private")))
    shop.submit(shop.message("bad", shop.order(customerNumber="NOBODY", shipToName="Mr Secret")))
    write_book(shop)
    lines = [
        json.loads(line)
        for name, blob in shop.world.claim_checks.blobs.items()
        if name.startswith(f"{FOLDER}/") and name.endswith(".jsonl")
        for line in blob.decode().splitlines()
    ]
    assert {line["kind"] for line in lines} == {"part", "claim", "order", "stop"}
    held = {line["values"]["key"]: line["values"] for line in lines if line["kind"] == "order"}
    assert "message" not in held["WEB-1"]
    assert "message" in held["BAD"]
    assert "Private" not in json.dumps(lines)


def test_a_book_is_written_once_a_day_and_says_so(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """One line a day, and one blob that names the whole of it."""
    caplog.set_level(logging.INFO)
    shop.submit(shop.message())
    for _ in range(3):
        write_book(shop)
        write_book(shop)
        shop.world.clock.advance(86400)
    days = [name for name in shop.world.claim_checks.blobs if name.endswith(".json")]
    assert len(days) == 3
    assert len([line for line in caplog.messages if line.startswith("orders.kept")]) == 3


def test_a_table_that_has_lost_orders_is_noticed(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """Orders stay, so a smaller book tells of a loss, even when nobody has noticed."""
    for number in range(3):
        shop.submit(shop.message(f"web-{number}"))
    write_book(shop)
    shop.world.clock.advance(86400)
    write_book(shop)
    assert not [line for line in caplog.messages if line.startswith("orders.lost")]
    lose_the_table(shop)
    write_book(shop)
    (line,) = [line for line in caplog.messages if line.startswith("orders.lost")]
    assert "3 orders, the table 0" in line


@pytest.mark.parametrize("day", ["", "yesterday", "2020-01-01"])
def test_a_day_without_a_book_is_refused_with_those_there_are(shop: Shop, day: str) -> None:
    """So is a part of another connection's book, or one that is damaged."""
    shop.submit(shop.message())
    there = write_book(shop)
    with pytest.raises(InvalidMessage, match=f"day: must be that of an order book: {there} with 1 orders"):
        bring_back(shop, day)
    world = shop.world
    (name,) = [name for name in world.claim_checks.blobs if name.endswith(".jsonl")]
    own, _, file = name.rpartition("/")
    outside = [
        f"{FOLDER}/other/{file}",
        f"{own}/../other/{file}",
        f"{own}/{file}/../../other/{file}",
        f"{own}/{there}.json",
    ]
    world.claim_checks.blobs |= dict.fromkeys(outside[:-1], world.claim_checks.blobs[name])
    for part in ("other/part.jsonl", *outside):
        with pytest.raises(InvalidMessage, match="is no part of an order book"):
            order_import.bring_back(world.ctx, world.stores.orders, world.stores.book, there, part)
    world.claim_checks.blobs[name] = b"{}"
    with pytest.raises(InvalidMessage, match="is damaged"):
        bring_back(shop, there)
