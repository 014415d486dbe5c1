"""Replay as docs/operations.md describes it: a watermark set back by hand reads again, and says nothing twice."""

from collections import Counter
from datetime import timedelta

from shared.changes.streams import Stream
from shared.resource_names import TABLE_WATERMARKS
from tests.simulation.world import World
from tests.support.worlds import events, small_world


def pulled(world: World) -> Counter[str]:
    """How often each event of the pull has left, by event id."""
    return Counter(event["id"] for event in events(world) if event["type"] == "bc.item.pulled.v1")


def set_back(world: World, purpose: str, days: int) -> None:
    """Edit the row as an operator does with the Azure CLI: by its documented keys."""
    table = world.tables.table(TABLE_WATERMARKS)
    row = table.get("lmints.io.production", f"stream|{purpose}|{world.bc.company().id}|items")
    assert row is not None
    table.replace(row.with_values(mark=world.clock.now() - timedelta(days=days)))


def with_an_old_item() -> World:
    """An item that was made two days ago, pulled and announced then."""
    world = small_world()
    world.bc.user.create_item()
    for hours in (1, 1, 46):  # twice at work, then a quiet time
        for timer in ("pull_items", "reconcile"):
            world.run_timer(timer)
            world.drain()
        world.clock.advance(hours * 3600)
    return world


def test_a_pull_set_back_sends_the_items_again_under_their_old_ids() -> None:
    """Consumers tell a replay from news by the event id."""
    world = with_an_old_item()
    (before,) = pulled(world)
    set_back(world, "pull", days=3)
    world.run_timer("pull_items")
    world.drain()
    assert pulled(world) == {before: 2}


def test_a_pull_whose_row_is_deleted_begins_with_a_full_pull() -> None:
    """The whole company comes again, in partitions."""
    world = with_an_old_item()
    key = Stream("pull", world.bc.company().id, "items").key
    world.tables.table(TABLE_WATERMARKS).delete("lmints.io.production", key)
    world.run_timer("pull_items")
    world.drain()
    assert set(pulled(world).values()) == {2}


def test_a_watch_set_back_finds_what_was_missed_and_repeats_nothing() -> None:
    """The ledger knows what was announced."""
    world = with_an_old_item()
    before = [event["id"] for event in events(world)]
    set_back(world, "watch", days=3)
    world.run_timer("reconcile")
    world.drain()
    assert [event["id"] for event in events(world)] == before
