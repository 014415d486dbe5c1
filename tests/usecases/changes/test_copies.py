"""Copies of a page that was put again: whichever message is left, what one of them has claimed is told (P4, P12)."""

import json
from datetime import timedelta

from business_central_emulator import FaultKind

from shared.resource_names import QUEUE_EVENTS, QUEUE_PAGES
from tests.simulation.world import Crash, World
from tests.support.page_world import created, fail, items, run, world_of
from tests.support.worlds import announced, kill_at


def watched() -> World:
    """A world that watches items since an hour."""
    world = world_of(BC_TRIGGERS="items", BC_PULL_ITEM_VARIANTS="false")
    world.clock.advance(3600)
    run(world, "reconcile")
    world.left.clear()
    world.clock.advance(3600)
    return world


def minutes(world: World, count: int, *, reconciles: bool = True) -> None:
    """Let minutes pass with the timers that they bring."""
    for minute in range(count):
        world.clock.advance(60)
        if reconciles and minute % 15 == 14:
            world.run_timer("reconcile")
        world.run_timer("retry_sales_orders")
        world.drain()


def test_a_copy_that_took_a_page_tells_what_the_first_message_has_claimed() -> None:
    """Its own work fails, the first message comes back as a copy, and the run is superseded while the host is away."""
    world = watched()
    made = items(world, 2)
    world.run_timer("reconcile")
    died = kill_at(world, "after BcRecords.write")
    world.step(QUEUE_PAGES)
    assert died
    world.point = lambda _: None
    fail(world, FaultKind.UNAVAILABLE, "items\\?", times=None)
    minutes(world, 12, reconciles=False)
    assert [json.loads(message.body)["again"] for message in world.queues.names[QUEUE_PAGES]] == [1]
    world.bc.faults.clear()
    world.clock.advance(timedelta(minutes=30))
    world.run_timer("reconcile")
    world.clock.advance(timedelta(minutes=30))
    world.run_timer("reconcile")
    minutes(world, 60)
    assert announced(world, "item.created") == created(made)


def test_the_dead_letter_of_a_page_is_that_of_its_newest_message() -> None:
    """The first message becomes poison behind the copy, which has claimed and died with its output."""
    world = watched()
    made = items(world, 2)
    world.run_timer("reconcile")
    kill_at(world, "before token")
    world.step(QUEUE_PAGES)
    world.point = lambda _: None
    world.clock.advance(61)
    world.run_timer("retry_sales_orders")
    kill_at(world, f"before put {QUEUE_EVENTS}")
    while world.step(QUEUE_PAGES):
        pass
    late: list[str] = []

    def point(name: str) -> None:
        job = json.loads(world.at_work[-1][1].body) if world.at_work else {}
        is_late = name == f"before {QUEUE_PAGES}-poison" and job.get("again") == 0 and not late
        if is_late:
            late.append(name)
        if is_late or (name == f"before {QUEUE_PAGES}" and job.get("page") == 1):
            raise Crash(name)

    world.point = point
    minutes(world, 80, reconciles=False)
    (letter,) = world.stores.dead_letters.all(9)
    assert late
    assert json.loads(letter.body)["again"] == 1
    world.point = lambda _: None
    minutes(world, 300)
    assert announced(world, "item.created") == created(made)
    assert world.stores.dead_letters.all(9) == []


def test_a_page_that_fails_for_days_stops_no_timer() -> None:
    """It is put again every quarter of an hour; after so many times no power of two is a time any more (P9)."""
    world = watched()
    made = items(world, 1)
    fail(world, FaultKind.UNAVAILABLE, "items\\?", times=None)
    minutes(world, 60 * 40)
    world.bc.faults.clear()
    minutes(world, 60)
    assert announced(world, "item.created") == created(made)
