"""A read replica that lags by more than the overlap of a delta: nothing is left for the daily snapshot to find."""

from datetime import timedelta

from business_central_emulator import Fault, FaultKind

from shared.operations import status
from shared.operations.status_view import LoginView, StreamView
from tests.simulation.world import World
from tests.support.page_world import CRONUS, stream
from tests.support.worlds import events, small_world

LAG = timedelta(minutes=30)


def _lagging_world() -> World:
    world = small_world(env={"BC_CHANGES": "created,updated", "BC_COMPANIES": CRONUS})
    lag_s = LAG.total_seconds()
    world.bc.faults.add(Fault(kind=FaultKind.REPLICA_LAG, match="^GET", times=None, least_s=lag_s, window_s=lag_s))
    return world


def _items(world: World) -> StreamView:
    view = status.view(world.ctx, world.stores, LoginView(state="ok", mode="client_secret"))
    return next(one for one in view.streams if (one.entity, one.purpose) == ("items", "reconcile"))


def test_what_a_lagging_replica_shows_late_is_announced_all_the_same() -> None:
    """Business Central tells of a change, and the read does not show it: the deltas go back to it until it shows."""
    world = _lagging_world()
    old = world.bc.user.create_item(number="OLD-1", displayName="Old", unitPrice=1)
    world.run_for(timedelta(hours=2))
    world.left.clear()
    world.bc.user.create_item(number="NEW-1", displayName="New", unitPrice=1)
    world.bc.user.update(old, {"unitPrice": 2})
    world.run_for(timedelta(hours=3))
    found = sorted((one["type"], one["data"]["number"], str(one["data"]["unitPrice"])) for one in events(world))
    assert [one for one in found if "pulled" not in one[0]] == [
        ("bc.item.created.v1", "NEW-1", "1"), ("bc.item.updated.v1", "OLD-1", "2"),
    ]  # fmt: skip
    assert len({one["id"] for one in events(world)}) == len(events(world))
    assert [one[1:] for one in found if "pulled" in one[0]] == [("NEW-1", "1"), ("OLD-1", "2")]


def test_an_invoice_posted_while_the_replica_lags_is_announced_once_it_shows() -> None:
    """Its notification finds the draft as it was; nothing current may be read, and the ledger knows the record."""
    world = small_world(env={"BC_TRIGGERS": "salesInvoices", "BC_CHANGES": "created", "BC_COMPANIES": CRONUS})
    world.run_for(timedelta(hours=1))
    item = world.bc.user.create_item(displayName="Parka", unitPrice=5)
    draft = world.bc.user.create_invoice([{"lineType": "Item", "lineObjectNumber": item["number"], "quantity": 1}])
    world.run_for(timedelta(hours=1))
    lag_s = LAG.total_seconds()
    world.bc.faults.add(Fault(kind=FaultKind.REPLICA_LAG, match="^GET", times=None, least_s=lag_s, window_s=lag_s))
    world.bc.user.post_invoice(draft)
    world.run_for(timedelta(hours=2))
    told = [one["type"] for one in events(world) if one["type"].startswith("bc.salesInvoice")]
    assert told == ["bc.salesInvoice.created.v1", "bc.salesInvoice.posted.v1"]


def test_status_says_that_a_replica_lags_and_until_when_all_is_shown() -> None:
    """A watermark that went on would claim more than the replica has shown; a day without lag ends it."""
    world = _lagging_world()
    world.run_for(timedelta(hours=1))
    made_at = world.clock.now()
    world.bc.user.create_item(displayName="New")
    world.run_for(timedelta(minutes=20))
    seen = _items(world)
    assert seen.lag_seen_at is not None
    assert seen.watermark is not None
    assert abs(seen.watermark - made_at) < timedelta(seconds=1)
    world.bc.faults.clear()
    world.run_for(timedelta(hours=26), every=timedelta(minutes=5))
    seen = _items(world)
    assert seen.lag_seen_at is None
    assert seen.watermark == world.stores.changes.streams.load(stream(world, "reconcile")).watermark


def test_a_record_that_is_gone_by_the_time_it_is_read_is_no_lag() -> None:
    """What is current lacks it as well, so nothing has to be read again."""
    world = small_world(env={"BC_COMPANIES": CRONUS})
    world.bc.user.delete(world.bc.user.create_item(displayName="x"))
    world.run_for(timedelta(minutes=20))
    assert world.stores.changes.streams.load(stream(world, "reconcile")).lag_at is None
