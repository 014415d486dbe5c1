"""Activity of an app at work: what is announced, posted and asked is counted, and the status tells it."""

from collections import Counter
from datetime import timedelta

from business_central_emulator import FaultKind

from shared import resource_names
from shared.operations import status
from shared.operations.activity import Activity
from shared.operations.status_view import LoginView, StatusView
from shared.outputs import Outputs
from tests.simulation.world import World
from tests.support.shop import Shop
from tests.support.worlds import announced, requests_made

CRONUS = "CRONUS International Ltd."
LOGIN = LoginView(state="ok", mode="client_secret")


def look(world: World, activity: Activity) -> StatusView:
    """The status now."""
    return status.view(world.ctx, world.stores, LOGIN, activity=activity)


def activity_of(world: World) -> Activity:
    """The activity of a world's connection."""
    table = world.tables.table(resource_names.TABLE_WATERMARKS)
    return Activity(table, world.settings.connection, world.clock.now)


def test_what_an_app_does_in_an_hour_is_told() -> None:
    """Announced records by company and entity, orders by outcome, requests as Business Central counts them."""
    shop = Shop()
    world = shop.world
    activity = activity_of(world)
    world.left.clear()
    before = requests_made(world)

    def work() -> Outputs:
        shop.submit(shop.message("fine"))
        shop.submit(shop.message("bad", shop.order(customerNumber="NOBODY")))
        world.bc.user.create_item(displayName="new")
        world.run_for(timedelta(minutes=20))
        return Outputs()

    activity.counted(work)
    view = look(world, activity)
    made = requests_made(world) - before
    found: Counter[tuple[str, str]] = Counter()
    for one in view.activity:
        for kind, number in one.counts.items():
            found[kind, one.entity] += number
    assert found["announced", "items"] == sum(announced(world, "item").values()) > 0
    assert (found["created", ""], found["rejected", ""]) == (1, 1)
    assert made - 4 <= found["requests", ""] <= made  # the look itself asks, too
    assert {one.company for one in view.activity if one.entity == "items"} == {CRONUS}
    assert view.last_event is not None
    assert view.last_order is not None


def test_429s_are_counted() -> None:
    """As they come, each."""
    shop = Shop()
    activity = activity_of(shop.world)

    def work() -> Outputs:
        shop.fail(FaultKind.THROTTLED)
        shop.submit(shop.message("later"))
        return Outputs()

    activity.counted(work)
    assert sum(one.counts.get("throttled", 0) for one in look(shop.world, activity).activity) >= 1
