"""What the buttons of the connect page do to an app at work: redrive one or all of a cause, dismiss, sync now."""

import json
from collections.abc import Callable, Mapping

import pytest

from shared import triggers
from shared.operations import find, status
from shared.operations.connect_values import Action
from shared.operations.page_actions import Done, actions
from shared.operations.status_view import LoginView, StatusView
from shared.orders.order_cause import cause_of
from shared.resource_names import TABLE_ORDERS
from tests.simulation.world import World
from tests.support.shop import Shop
from tests.support.worlds import results

LOGIN = LoginView(state="ok", mode="client_secret")


def look(world: World) -> StatusView:
    """The status now."""
    return status.view(world.ctx, world.stores, LOGIN)


def buttons(world: World) -> dict[str, Callable[[Mapping[str, str]], Done]]:
    """The page's actions over a world."""
    return actions(
        world.ctx, world.stores, world.leave, lambda name: triggers.do_timer(world.connection, name, by_timer=False)
    )


@pytest.fixture
def shop() -> Shop:
    """Three orders of unknown customers, one that is no order at all."""
    shop = Shop()
    for number in range(3):
        shop.submit(shop.message(f"web-{number}", shop.order(customerNumber=f"NOBODY-{number}")))
    shop.submit(shop.message("wrong", shop.order(orderDate="tomorrow")))
    return shop


def test_orders_of_one_cause_are_told_together_and_redriven_by_one_button(shop: Shop) -> None:
    """The value that Business Central stumbled over does not part them; the others stay as they are."""
    view = look(shop.world)
    causes = {order.key: order.cause for order in view.orders}
    assert len({causes[f"web-{number}"] for number in range(3)}) == 1
    assert view.order_causes == {causes["web-0"]: 3, causes["wrong"]: 1}
    for number in range(3):
        shop.world.bc.user.create_customer(number=f"NOBODY-{number}", displayName="Somebody")
    assert buttons(shop.world)[Action.REDRIVE_CAUSE]({"cause": causes["web-0"]}) == Done.REDRIVEN
    shop.world.drain()
    assert [order.key for order in look(shop.world).orders] == ["wrong"]
    assert [one["status"] for one in results(shop.world)[-3:]] == ["created"] * 3
    assert buttons(shop.world)[Action.REDRIVE_CAUSE]({"cause": causes["web-0"]}) == Done.NOT_FOUND


def test_what_trying_again_cannot_help_says_so(shop: Shop) -> None:
    """A message that is no order is none the second time; a customer may be entered meanwhile."""
    by_key = {order.key: order for order in look(shop.world).orders}
    assert "Its sender corrects it" in by_key["wrong"].no_redrive
    assert by_key["web-0"].no_redrive == ""
    assert by_key["web-0"].reason == "The sell-to customer cannot be found."


def test_a_dismissed_order_is_kept_and_asks_for_nobody(shop: Shop) -> None:
    """It is not red, its story stays, and it can be tried again."""
    act = buttons(shop.world)
    (order,) = [one for one in look(shop.world).orders if one.key == "web-1"]
    form = {"key": order.key, "company": order.company_id}
    assert act[Action.DISMISS_ORDER](form) == Done.DISMISSED
    view = look(shop.world)
    assert (view.orders_rejected, view.orders_dismissed) == (3, 1)
    assert [one.key for one in view.orders if one.is_dismissed] == ["web-1"]
    assert view.order_causes[order.cause] == 2
    assert status.order_story(shop.world.stores.orders, "web-1")[0]["status"] == "rejected"
    assert act[Action.DISMISS_ORDER]({**form, "key": "NOBODY"}) == Done.NOT_FOUND
    assert act[Action.REDRIVE_ORDER](form) == Done.REDRIVEN


def test_what_a_key_holds_is_erased(shop: Shop) -> None:
    """The order is kept as far as it stops a second one, and says that trying again can't help."""
    act = buttons(shop.world)
    (found,) = find.find(shop.world.ctx, shop.world.stores, "web-1").orders
    assert not found["isErased"]
    assert act[Action.ERASE_KEY]({"key": "web-1"}) == Done.ERASED
    (found,) = find.find(shop.world.ctx, shop.world.stores, "web-1").orders
    assert found["isErased"]
    (order,) = [one for one in look(shop.world).orders if one.key == "WEB-1"]
    assert "Its sender sends it anew" in order.no_redrive
    assert look(shop.world).order_causes[order.cause] == 1
    assert act[Action.REDRIVE_ORDER]({"key": "web-1"}) == Done.UNCHANGED
    assert act[Action.REDRIVE_CAUSE]({"cause": order.cause}) == Done.NOT_FOUND
    assert act[Action.ERASE_KEY]({"key": "NOBODY"}) == Done.NOT_FOUND


def test_an_order_that_ends_anew_asks_again(shop: Shop) -> None:
    """Dismissed was how it ended then."""
    act = buttons(shop.world)
    (order,) = [one for one in look(shop.world).orders if one.key == "web-1"]
    form = {"key": order.key, "company": order.company_id}
    act[Action.DISMISS_ORDER](form)
    act[Action.REDRIVE_ORDER](form)
    shop.world.drain()
    view = look(shop.world)
    assert (view.orders_rejected, view.orders_dismissed) == (4, 0)


def test_an_index_row_without_a_cause_is_read_all_the_same(shop: Shop) -> None:
    """As 0.1.0 wrote it: the order itself tells its cause."""
    table = shop.world.tables.table(TABLE_ORDERS)
    partition = next(iter(table.query(shop.world.settings.connection, limit=1))).partition
    for row in list(table.query(partition, "stop|", "stop|~")):
        values = {name: value for name, value in row.values.items() if name != "cause"}
        table.upsert(type(row)(partition=row.partition, key=row.key, values=values))
    entries = shop.world.stores.orders.stopped(10)
    assert dict(look(shop.world).order_causes) == {
        cause_of(one): sum(cause_of(other) == cause_of(one) for other in entries) for one in entries
    }


def test_sync_now_reads_everything_through_the_timers_own_path(shop: Shop) -> None:
    """What is new is announced, and a second press while it is at work does nothing."""
    world = shop.world
    world.drain()
    world.clock.advance(60)
    world.bc.user.create_item(displayName="new")
    act = buttons(world)
    assert act[Action.SYNC]({}) == Done.SYNCED
    assert {stream.state for stream in look(world).streams if stream.purpose == "pull"} == {"running"}
    assert act[Action.SYNC]({}) == Done.UNCHANGED
    world.left.clear()
    world.drain()
    told = [event["type"] for left in world.left if left.queue == "bc-events" for event in json.loads(left.body)]
    assert "bc.item.created.v1" in told
