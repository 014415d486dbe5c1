"""What orders held goes, by its age or by a person's word; what stops a second post stays (P31)."""

import json
from datetime import timedelta
from typing import Any

import azure.functions as func
import pytest
from business_central_emulator import FaultKind

from shared import services, triggers
from shared.dead_letters import frame, redrive
from shared.orders import resume
from shared.outputs import Outputs
from shared.resource_names import QUEUE_ORDERS, QUEUE_PAGES
from tests.support.routes import Only
from tests.support.shop import Shop
from tests.support.worlds import results, small_world

DAY = timedelta(days=1)


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A shop that keeps what orders held for thirty days; the triggers serve it."""
    shop = Shop(small_world(env={"BC_COMPANIES": "CRONUS International Ltd.", "BC_KEEP_ORDERS_DAYS": "30"}))
    monkeypatch.setattr(services, "services", lambda: Only(shop.world.connection))
    return shop


def erase(key: str) -> tuple[int, Any]:
    """Status and answer of the route."""
    reply = triggers.erase_order(func.HttpRequest(method="POST", url="x", params={"key": key}, body=b""))
    told = json.loads(reply.get_body())
    if isinstance(told, list) and told:
        (told,) = told
        assert told.pop("connection") == "default"
    return reply.status_code, told


def stored(shop: Shop, key: str) -> str:
    """All that the store holds of a key's order, as text."""
    (entry,) = shop.world.stores.orders.find(key)
    return repr(entry)


@pytest.mark.parametrize("by", ["age", "key"])
def test_an_order_that_ended_keeps_only_what_stops_a_second_post(shop: Shop, by: str) -> None:
    """A repeat is recognised and answered as before; another order under the key is refused as before."""
    order = shop.order(shipToName="Mrs Private")
    (before,) = shop.submit(shop.message("Web-1", order))
    assert "Private" in stored(shop, "WEB-1")
    if by == "key":
        assert erase("web-1") == (200, {"key": "web-1", "orders": 1, "under_way": 0, "dead_letters": 0})
    else:
        shop.wait(31 * DAY, DAY)
    assert "Private" not in stored(shop, "WEB-1")
    assert shop.submit(shop.message("Web-1", order)) == [before]
    (other,) = shop.submit(shop.message("web-1", shop.order(currencyCode="EUR")))
    assert (other["status"], other["error"]["code"]) == ("rejected", "InvalidMessage")
    assert len(shop.orders()) == 1
    assert erase("web-1")[1]["orders"] == 1  # once more is no error


def test_contents_stay_for_as_long_as_they_are_set_to(shop: Shop) -> None:
    """And those of an order that waits, for as long as it does."""
    shop.submit(shop.message("young"))
    shop.wait(29 * DAY, DAY)
    assert "PRK-1001" in stored(shop, "YOUNG")
    shop.fail(FaultKind.UNAVAILABLE, times=None)
    shop.submit(shop.message("waits"))
    assert erase("waits") == (200, {"key": "waits", "orders": 0, "under_way": 1, "dead_letters": 0})
    assert "PRK-1001" in stored(shop, "WAITS")


def test_a_refused_order_that_is_erased_is_not_redriven_but_sent_anew(shop: Shop) -> None:
    """Its refusal may repeat what it held, so that goes, too; a dismissal stays."""
    orders = shop.world.stores.orders
    shop.submit(shop.message("bad", shop.order(customerNumber="PRIVATE-7")))
    (entry,) = orders.find("BAD")
    assert orders.dismiss(entry.key, entry.company, shop.world.clock.now())
    stale = resume.resume_message(orders, entry)
    erase("bad")
    assert "PRIVATE-7" not in stored(shop, "BAD")
    assert resume.redrive(orders, "bad") == (True, Outputs())
    assert orders.dismissed(10, 10)[0] == 1
    before = len(results(shop.world))
    shop.world.leave(Outputs(resumes=(stale,)))
    shop.world.drain()
    assert len(results(shop.world)) == before
    (result,) = shop.submit(shop.message("bad"))
    assert result["status"] == "created"


def test_an_order_in_doubt_keeps_what_its_look_up_compares(shop: Shop) -> None:
    """Parked, perhaps in BC: erased, and sent once more, it is found and not posted."""
    shop.fail(FaultKind.TIMEOUT_AFTER)
    shop.fail(FaultKind.UNAVAILABLE, match="^GET .*/sales", times=None)
    text = shop.message("doubt-1")
    shop.submit(text)
    shop.wait(timedelta(hours=80), timedelta(minutes=30))
    assert shop.status("DOUBT-1") == "parked"
    erase("doubt-1")
    shop.world.bc.faults.clear()
    (result,) = shop.submit(text)
    assert result["status"] == "created"
    assert len(shop.orders()) == 1


def test_a_dead_letter_behind_a_thousand_others_is_found_and_erased(shop: Shop) -> None:
    """The key is in its message, and its name is behind theirs."""
    world = shop.world
    letters, ctx = world.stores.dead_letters, world.ctx
    for n in range(1001):
        text = shop.message(f"other-{n}" if n < 1000 else "web-1").encode()
        frame.dead_letter(ctx, letters, QUEUE_ORDERS, text, f"m-{n:04}", "died", retryable=False)
    assert [one.name for one in redrive.find(letters, "web-1", ctx.now())] == ["m-1000"]
    assert erase("web-1") == (200, {"key": "web-1", "orders": 0, "under_way": 0, "dead_letters": 1})
    assert letters.counts(ctx.now()) == {QUEUE_ORDERS: 1000}


def test_dead_letters_of_the_key_go_and_no_others(shop: Shop) -> None:
    """Those that wait, and those whose work is done but whose copies may still come."""
    world = shop.world
    letters, ctx = world.stores.dead_letters, world.ctx
    frame.dead_letter(ctx, letters, QUEUE_ORDERS, shop.message("web-1").encode(), "m-1", "died", retryable=False)
    frame.dead_letter(ctx, letters, QUEUE_ORDERS, shop.message("web-1").encode(), "m-2", "died", retryable=True)
    frame.dead_letter(ctx, letters, QUEUE_ORDERS, shop.message("web-2").encode(), "m-3", "died", retryable=False)
    frame.dead_letter(ctx, letters, QUEUE_PAGES, b"{}", "web-1", "died", retryable=False)
    letters.done(QUEUE_ORDERS, "m-2", now=ctx.now())
    assert erase("WEB-1") == (200, {"key": "WEB-1", "orders": 0, "under_way": 0, "dead_letters": 1})
    assert [letter.name for letter in letters.all(10)] == ["web-1", "m-3"]
    assert letters.get_or_done(QUEUE_ORDERS, "m-2") is None
    assert letters.counts(ctx.now()) == {QUEUE_ORDERS: 1, QUEUE_PAGES: 1}
    assert erase("nobody") == (404, [])
    assert erase("")[0] == 400
