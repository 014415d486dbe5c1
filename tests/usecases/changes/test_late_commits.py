"""What bears a time from long before it was committed, or was hidden from the first list of all."""

from collections import Counter
from datetime import timedelta

import pytest
from business_central_emulator import Fault, FaultKind

from tests.simulation.world import World
from tests.support.page_world import CRONUS
from tests.support.worlds import events, small_world


def told(world: World) -> Counter[tuple[str, str]]:
    """How often each change of each record was announced."""
    return Counter((event["type"].split(".")[2], event["data"]["number"]) for event in events(world))


@pytest.mark.parametrize("minutes", [30, 400])
def test_a_long_transaction_is_pulled_and_announced_within_a_day_and_once(minutes: int) -> None:
    """An import or a batch job: the watermark has passed the times of what it made and changed (P12)."""
    world = small_world(env={"BC_CHANGES": "created,updated", "BC_COMPANIES": CRONUS, "BC_TRIGGERS": "items"})
    old = world.bc.user.create_item(number="OLD", displayName="x", unitPrice=1)
    world.run_for(timedelta(hours=1))
    world.left.clear()
    with world.bc.user.transaction(minutes * 60, commits=True):
        world.bc.user.create_item(number="NEW", displayName="x", unitPrice=1)
        world.bc.user.update(old, {"unitPrice": 3})
    world.run_for(timedelta(hours=28), every=timedelta(minutes=10))
    assert {("pulled", "NEW"), ("pulled", "OLD"), ("created", "NEW"), ("updated", "OLD")} <= set(told(world))
    assert set(told(world).values()) == {1}


def test_what_was_pulled_is_not_pulled_again_by_the_delta_that_reads_far_back() -> None:
    """Three nights with changes by day: each version leaves once (P5)."""
    world = small_world(env={"BC_COMPANIES": CRONUS})
    made = [world.bc.user.create_item(displayName="x", unitPrice=price) for price in range(5)]
    for night in range(3):
        for item in made:
            world.bc.user.update(item, {"unitPrice": 10 + night})
            world.run_for(timedelta(hours=4), every=timedelta(minutes=20))
    pulls = [event["id"] for event in events(world) if event["type"] == "bc.item.pulled.v1"]
    assert len(pulls) == len(set(pulls)) == 15 + 4  # the first item was changed before its first pull


def test_what_was_there_before_the_watch_is_not_announced_however_far_the_first_list_lagged() -> None:
    """The first list did not show it; its time does (P17)."""
    world = World(demo_data=False, env={"BC_TRIGGERS": "items,salesInvoices", "BC_COMPANIES": CRONUS})
    world.bc.user.create_customer(number="C1", displayName="x")
    world.clock.advance(timedelta(hours=2))
    old = world.bc.user.create_item(number="OLD", displayName="x", unitPrice=1)
    world.bc.user.create_invoice([{"lineType": "Item", "lineObjectNumber": "OLD", "quantity": 1}], customerNumber="C1")
    world.clock.advance(timedelta(minutes=20))
    lag = Fault(kind=FaultKind.REPLICA_LAG, match="^GET", times=None, least_s=1800.0, window_s=1800.0)
    world.bc.faults.add(lag)
    world.start()
    world.bc.faults.clear()
    world.left.clear()
    world.bc.user.create_item(number="NEW", displayName="x", unitPrice=1)
    world.run_for(timedelta(hours=26), every=timedelta(minutes=5))
    world.bc.user.update(old, {"unitPrice": 2})
    world.run_for(timedelta(minutes=20))
    watched = [one for one in told(world).elements() if one[0] != "pulled"]
    assert watched == [("created", "NEW")]
