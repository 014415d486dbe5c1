"""Pages of which more is to be kept than a table row holds: they end earlier; nothing stalls, is lost or doubled."""

from datetime import timedelta

import pytest
from business_central_emulator.data.record import Record

from shared.changes import pulled_versions
from shared.changes.broken_records import BrokenList
from shared.errors import RowTooLarge
from shared.resource_names import QUEUE_PAGES
from tests.simulation.world import World
from tests.support.page_world import CRONUS, LEASE_S, items, note_page_sizes, pulled, run, stream, watermark
from tests.support.worlds import announced, events, kill_at_effect, subject

ONE = 16 + 8 * (1 + 2 * 3)  # bytes of an item with three variants
BOTH = pytest.mark.parametrize("is_first", [True, False], ids=["full", "delta"])


@pytest.fixture(autouse=True)
def small_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page may store three items with three variants each."""
    monkeypatch.setattr(pulled_versions, "PAGE_BYTES", 3 * ONE)


def of_items(count: int, rows: int, *, is_first: bool) -> tuple[World, list[Record]]:
    """A world with items of three variants each, for its first pull or for the delta that follows."""
    world = World(demo_data=False, env={"BC_COMPANIES": CRONUS, "BC_PAGE_ROWS": str(rows)})
    if not is_first:
        run(world, "pull_items")
    world.clock.advance(3600)
    return world, with_variants(world, count)


def with_variants(world: World, count: int) -> list[Record]:
    """New items, each with three variants."""
    made = items(world, count)
    for item in made:
        for code in ("RED", "BLUE", "GREEN"):
            world.bc.user.create_variant(item, code)
    return made


def later(world: World, **more: float) -> None:
    """Run a pull after a while."""
    world.clock.advance(timedelta(**more or {"minutes": 1}))
    run(world, "pull_items")


def test_items_with_many_variants_are_pulled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of these two thousand items as one page 1.1 million bytes are to be kept: more than a table row holds."""
    monkeypatch.undo()
    world = World(demo_data=False, env={"BC_COMPANIES": CRONUS, "BC_PAGE_ROWS": "2000"})
    world.bc.bulk_items(2000, variants_per_item=34)
    run(world, "pull_items")
    assert watermark(world) == world.clock.now()
    assert sum(announced(world).values()) == len(announced(world)) == 2000


@BOTH
def test_a_page_that_is_too_much_is_read_again_with_half_the_rows(is_first: bool) -> None:
    """The pages behind it are as small from the start; the next run knows all of it."""
    world, made = of_items(20, 12, is_first=is_first)
    asked: list[int] = []
    note_page_sizes(world, asked)
    run(world, "pull_items")
    assert announced(world) == pulled(made)
    sizes = [rows for rows in asked if rows < 12]
    assert sizes[0] == 6
    assert sizes[1] == 3
    assert max(sizes[2:]) <= 3 + 1  # with a row at the last value, which is served once more
    assert watermark(world) == world.clock.now()
    later(world)
    assert announced(world) == pulled(made)


def test_changed_variants_of_many_items_are_pulled() -> None:
    """A page of variants keeps the versions of their items with all their variants: it ends earlier, too."""
    world, made = of_items(12, 12, is_first=True)
    run(world, "pull_items")
    world.clock.advance(3600)
    for item in made:
        world.bc.user.create_variant(item, "PINK")
    run(world, "pull_items")
    assert announced(world) == pulled(made, times=2)
    assert watermark(world) == world.clock.now()
    later(world)
    assert announced(world) == pulled(made, times=2)


@pytest.mark.parametrize("is_changed", [False, True], ids=["same", "changed"])
@pytest.mark.parametrize("place", range(1, 60, 4))
@BOTH
def test_a_crash_amid_such_pages_loses_nothing_and_repeats_only_under_the_same_id(
    is_first: bool, place: int, is_changed: bool
) -> None:
    """Delivered again, the page may read other records; it announces what it has claimed beside them (P4, P5)."""
    world, made = of_items(10, 7, is_first=is_first)
    kill_at_effect(world, place)
    run(world, "pull_items")
    world.point = lambda _: None
    for item in made[:4] if is_changed else []:
        world.bc.user.update(item, {"displayName": "changed since"})
    world.clock.advance(LEASE_S)
    world.drain()
    later(world, minutes=13)
    assert set(announced(world)) == set(pulled(made))
    last = {event["subject"]: event["data"]["displayName"] for event in events(world)}
    assert {last[subject(item)] for item in made[:4]} == ({"changed since"} if is_changed else {*map(_name, made[:4])})
    assert len({event["id"] for event in events(world)}) <= len(made) + (4 if is_changed else 0)


def _name(item: Record) -> str:
    return str(item["displayName"])


@BOTH
@pytest.mark.parametrize("place", [0, 5, 11])
def test_a_page_that_is_read_one_by_one_ends_earlier_as_well(is_first: bool, place: int) -> None:
    """What is read by id, as one record is broken, is no more than fits."""
    world, made = of_items(12, 12, is_first=is_first)
    world.run_timer("pull_items")
    world.bc.faults.broken[made[place].id] = "500"
    world.drain()
    assert announced(world) == pulled([*made[:place], *made[place + 1 :]])
    world.bc.faults.broken.clear()
    for _ in range(2):
        later(world, minutes=10)
    assert announced(world) == pulled(made)


def test_broken_records_that_heal_together_are_announced_some_at_a_time() -> None:
    """What of them is not read in one run stays on the list for the next."""
    world, made = of_items(10, 2, is_first=True)
    world.clock.advance(2 * 3600)  # so that no delta reads them
    world.run_timer("pull_items")
    for item in made[::2]:
        world.bc.faults.broken[item.id] = "dialog"
    world.drain()
    assert announced(world) == pulled(made[1::2])
    broken = BrokenList(world.stores.changes, stream(world))
    assert len(broken.all()) == 5
    world.bc.faults.broken.clear()
    world.clock.advance(3600)
    run(world, "pull_items")
    assert len(broken.all()) == 3
    for _ in range(2):
        later(world)
    assert announced(world) == pulled(made)
    assert broken.all() == []


def test_one_item_that_is_too_much_is_named_with_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of one row is none: its page becomes a dead letter that says why."""
    monkeypatch.setattr(pulled_versions, "PAGE_BYTES", ONE - 1)
    world, _ = of_items(2, 4, is_first=True)
    world.run_timer("pull_items")
    for _ in range(6):
        world.drain()
        world.clock.advance(LEASE_S)
    (letter,) = world.stores.dead_letters.all(5)
    assert letter.queue == QUEUE_PAGES
    assert f"{ONE} bytes, and a page stores at most {ONE - 1}" in letter.reason
    assert watermark(world) is None
    monkeypatch.undo()
    for _ in range(8):  # by hand it would heal at once
        later(world, hours=1)
    assert watermark(world) is not None


def test_a_page_of_known_variants_that_fits_nowhere_is_left_to_its_own_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read ahead and can't be remembered is read again by the page that it belongs to."""
    world, made = of_items(3, 12, is_first=True)
    run(world, "pull_items")
    add = pulled_versions.PulledVersionStore.add
    failed: list[str] = []

    def full(*args: object, **more: object) -> None:
        if not failed:
            failed.append("once")
            raise RowTooLarge("full")
        add(*args, **more)  # type: ignore[arg-type]  # as it was called

    world.clock.advance(60)
    run(world, "pull_items")
    monkeypatch.setattr(pulled_versions.PulledVersionStore, "add", full)
    later(world)
    assert failed
    assert announced(world) == pulled(made)
    assert watermark(world) == world.clock.now()
