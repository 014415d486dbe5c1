"""Rows that move while a read is under way: what a link names may stand elsewhere by the time it is followed (P12).

BC's next link goes on behind the row it names, wherever that stands by then. Each read that could follow one is shown
with the row between two pages changed so that the link leads over others.
"""

from datetime import timedelta

import pytest
from business_central_emulator.data.record import Record

from shared.changes import plan_runs
from shared.resource_names import QUEUE_PAGES
from tests.simulation.world import World
from tests.support.page_world import CRONUS, created, items, pulled, run, world_of
from tests.support.worlds import announced, events, requests_made


def one_page_then(world: World, pages: int = 1) -> None:
    """Work on some page jobs."""
    for _ in range(pages):
        assert world.step(QUEUE_PAGES)


@pytest.mark.parametrize("rows", [1, 7, 100])
@pytest.mark.parametrize("number", ["ZZZ-1", "0"])
def test_a_full_pull_reads_on_though_its_last_row_gets_another_number(rows: int, number: str) -> None:
    """The item that a link would name is renamed between two pages: all others are pulled, the link or not."""
    world = World(demo_data=False, env={"BC_COMPANIES": CRONUS, "BC_PAGE_ROWS": str(rows)})
    count = 3 * rows
    made = items(world, count)
    world.run_timer("pull_items")
    one_page_then(world, plan_runs.PARTITIONS if world.queues.waiting(QUEUE_PAGES) > 1 else 1)
    last = sorted(made, key=lambda item: str(item["number"]))[rows - 1]
    world.bc.user.update(last, {"number": number})
    world.drain()
    assert set(announced(world)) == set(pulled(made))


@pytest.mark.parametrize("number", ["A*1", "B..2", "C|3", "Ä&4"])
def test_a_number_that_a_filter_would_take_for_a_pattern_is_passed_by_link(number: str) -> None:
    """Asked for anew it could mean something else; the link is followed, and its row looked at."""
    world = World(demo_data=False, env={"BC_COMPANIES": CRONUS, "BC_PAGE_ROWS": "3"})
    made = [world.bc.user.create_item(number=f"{number}{n}", displayName="x") for n in range(9)]
    run(world, "pull_items")
    assert announced(world) == pulled(made)


@pytest.mark.parametrize("rows", [100, 60])
def test_variants_changed_at_one_time_are_all_pulled(rows: int) -> None:
    """Three hundred of one time, and the one that the link names changes before the second page."""
    world = world_of(rows=rows)
    made = items(world, 300)
    world.clock.advance(timedelta(hours=1))
    run(world, "pull_items")
    world.left.clear()
    world.clock.advance(timedelta(hours=1))
    variants = [world.bc.user.create_variant(item, "RED") for item in made]
    world.clock.advance(60)
    world.run_timer("pull_items")
    one_page_then(world, 2)  # the items, of which none has changed, and the first page of variants
    leading = {event["data"]["id"] for event in events(world)}
    assert len(leading) == rows
    named = [variant for variant in variants if variant["itemId"] in leading][-1]
    for variant in (named, *(v for v in variants if v["itemId"] in leading)):
        world.bc.user.update(variant, {"description": "changed since"})
    world.drain()
    assert {event["data"]["id"] for event in events(world)} == {item.id for item in made}


def _rename(world: World, item: Record) -> None:
    world.bc.user.update(item, {"number": "ZZZ-1"})


def test_a_first_snapshot_of_21000_ids_misses_none_though_a_row_moves() -> None:
    """The twenty-thousandth is renamed between the two pages: no old item is announced as created."""
    world = World(demo_data=False, env={"BC_COMPANIES": CRONUS, "BC_TRIGGERS": "items"})
    old = world.bc.bulk_items(21_000)
    world.clock.advance(timedelta(hours=1))
    world.run_timer("reconcile")
    one_page_then(world)
    last = sorted(old, key=lambda item: str(item["number"]))[19_999]
    _rename(world, last)
    world.drain()
    for hours in (1, 25):
        world.clock.advance(timedelta(hours=hours))
        run(world, "reconcile")
    assert announced(world) == {}
    fresh = items(world, 1)
    world.clock.advance(timedelta(minutes=15))
    run(world, "reconcile")
    assert announced(world) == created(fresh)


def test_a_snapshot_of_many_pages_takes_a_request_a_page() -> None:
    """Going by number costs nothing: two pages for 21,000 ids, as by link, and one of what moved meanwhile."""
    world = World(demo_data=False, env={"BC_COMPANIES": CRONUS, "BC_TRIGGERS": "items"})
    world.bc.bulk_items(21_000)
    world.clock.advance(timedelta(hours=1))
    world.run_timer("reconcile")
    before = requests_made(world)
    world.drain()
    assert requests_made(world) - before == 3
