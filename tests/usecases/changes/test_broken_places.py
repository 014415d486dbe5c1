"""Places of many broken records: what is left of one, and what of it stays broken, hides nothing of the others."""

from datetime import timedelta

import pytest
from business_central_emulator.data.record import Record

from shared.changes.broken_records import Broken, BrokenList
from shared.errors import StoreUnavailable
from tests.simulation.world import World
from tests.support.page_world import CRONUS, items, pulled, run, world_of
from tests.support.worlds import announced


def later(world: World, quarters: int = 1) -> None:
    """Let the next pulls come."""
    for _ in range(quarters):
        world.clock.advance(timedelta(minutes=15))
        run(world, "pull_items")


def old_items(count: int, rows: int) -> tuple[World, list[Record]]:
    """A world that is not started, with items that are older than what a full pull remembers."""
    env = {"BC_COMPANIES": CRONUS, "BC_TRIGGERS": "items", "BC_PAGE_ROWS": str(rows)}
    world = World(demo_data=False, env=env)
    made = [world.bc.user.create_item(number=f"A-{number:04d}", displayName="x") for number in range(count)]
    world.clock.advance(timedelta(days=4))
    return world, made


def broken_changes(count: int) -> tuple[World, list[Record]]:
    """A world whose delta has met many new items, all broken."""
    world = world_of(rows=100, BC_TRIGGERS="items", BC_PULL_ITEM_VARIANTS="false")
    world.clock.advance(3600)
    made: list[Record] = []
    for _ in range(count // 10):
        world.clock.advance(timedelta(milliseconds=10))
        made += items(world, 10)
    for record in made:
        world.bc.faults.broken[record.id] = "dialog"
    later(world, 3)
    return world, made


def test_what_is_behind_a_slice_is_not_read_with_its_broken_last_row() -> None:
    """Other slices have announced it, and a full pull does not remember what is old."""
    world, made = old_items(800, 10)
    world.bc.faults.broken[made[79].id] = "dialog"
    world.start()
    run(world, "pull_items")
    later(world)
    world.bc.faults.broken.clear()
    later(world, 4)
    assert announced(world, "item.pulled") == pulled(made)


def test_a_place_that_begins_with_a_row_that_was_read_is_not_done_with_it() -> None:
    """A hundred rows behind it are broken, so that nothing else comes in the first page of the mend."""
    world, made = old_items(240, 2000)
    for record in made[1:111]:
        world.bc.faults.broken[record.id] = "dialog"
    world.start()
    run(world, "pull_items")
    later(world)
    world.bc.faults.broken.clear()
    later(world, 3)
    assert announced(world, "item.pulled") == pulled(made)


def test_what_is_left_of_a_place_is_stored_before_the_place_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Storage fails between the two; nobody would read the rest."""
    world, made = broken_changes(700)
    world.bc.faults.broken.clear()
    real, failures = BrokenList._put, [StoreUnavailable("no answer")]

    def put(listed: BrokenList, one: Broken) -> None:
        if failures:
            raise failures.pop()
        real(listed, one)

    monkeypatch.setattr(BrokenList, "_put", put)
    later(world, 6)
    assert not failures
    assert announced(world, "item.pulled") == pulled(made)


def test_one_that_stays_broken_hides_nothing_of_its_place() -> None:
    """Six hundred and ninety-nine heal."""
    world, made = broken_changes(700)
    world.bc.faults.broken = {made[5].id: "dialog"}
    later(world, 8)
    assert announced(world, "item.pulled") == pulled(made[:5] + made[6:])
