"""Records that BC can't serve hide nothing: they are kept on a list and read again until they heal (P13)."""

from datetime import timedelta

import pytest
from business_central_emulator import FaultKind
from business_central_emulator.data.record import Record
from business_central_emulator.server.exchange import Request, Response

from shared.changes.broken_records import FIRST_DAY, BrokenList
from shared.changes.jobs import Purpose
from shared.operations import status
from shared.operations.status_view import LoginView
from shared.resource_names import QUEUE_EVENTS
from tests.simulation.world import World
from tests.support.page_world import (
    CRONUS,
    LEASE_S,
    created,
    fail,
    items,
    pulled,
    run,
    stream,
    watermark,
    world_of,
)
from tests.support.worlds import announced, kill_at, notify, requests_made, subject

QUARTER = timedelta(minutes=15)


def both(world: World) -> None:
    """Run both timers of a quarter of an hour later."""
    world.clock.advance(QUARTER)
    run(world, "reconcile")
    run(world, "pull_items")


@pytest.mark.parametrize(("code", "times"), [(400, 8), (400, 9), (400, 10), (500, 24), (500, 28), (500, 32)])
@pytest.mark.parametrize("timer", ["pull_items", "reconcile"])
def test_a_burst_that_heals_loses_nothing(code: int, times: int, timer: str, caplog: pytest.LogCaptureFixture) -> None:
    """So many answers fail that single records seem broken: they are read again, and none is called so."""
    world = world_of(rows=10)
    world.clock.advance(60)
    made = items(world, 12)
    fail(world, FaultKind.SERVER_ERROR, "items\\?", times=times, status=code)
    run(world, timer)
    world.clock.advance(60)
    world.drain()
    world.bc.faults.clear()
    world.clock.advance(QUARTER)
    run(world, timer)
    assert announced(world, "item.") == (pulled(made) if timer == "pull_items" else created(made))
    assert "record.broken" not in caplog.text


@pytest.mark.parametrize("how", ["500", "dialog"])
@pytest.mark.parametrize("place", [0, 5, 11])
def test_a_record_that_heals_unchanged_is_announced_then_and_once(how: str, place: int) -> None:
    """Its time is long past by then, and what lies beside it at that time is not announced again (P5)."""
    world = world_of(rows=5)
    world.clock.advance(60)
    made = items(world, 12)
    broken = made[place]
    world.bc.faults.broken[broken.id] = how
    for _ in range(8):
        both(world)
    rest = [item for item in made if item is not broken]
    assert announced(world) == pulled(rest) | created(rest)
    for purpose in ("pull", "reconcile"):
        (one,) = BrokenList(world.stores.changes, stream(world, purpose)).all()
        assert one.tries > 2
        assert world.stores.changes.streams.load(stream(world, purpose)).unreadable == 1
    view = status.view(world.ctx, world.stores, LoginView(state="ok", mode="client_secret"))
    assert sum("can't be read" in shown.error for shown in view.streams) == 2
    world.bc.faults.broken.clear()
    for _ in range(3):
        both(world)
    assert announced(world) == pulled(made) | created(made)
    assert not BrokenList(world.stores.changes, stream(world, "reconcile")).all()
    assert world.stores.changes.streams.load(stream(world, "reconcile")).unreadable == 0


def test_what_stays_broken_is_called_so_once_and_read_more_seldom(caplog: pytest.LogCaptureFixture) -> None:
    """At the second failure one line at ERROR; after a day it costs a look every six hours."""
    world = world_of(rows=10, BC_TRIGGERS="items")
    world.clock.advance(60)
    world.bc.faults.broken[items(world, 3)[1].id] = "500"
    run(world, "reconcile")
    assert [line.split()[0] for line in caplog.messages if line.startswith("record.")] == ["record.unread"]
    tries = []
    for _ in range(3):
        for _ in range(4 * 24):
            world.clock.advance(QUARTER)
            run(world, "reconcile")
        tries.append(BrokenList(world.stores.changes, stream(world, "reconcile")).all()[0].tries)
    assert tries[0] > 80
    assert tries[2] - tries[1] <= 5
    assert sum(line.startswith("record.broken") for line in caplog.messages) == 1
    assert timedelta(hours=24) == FIRST_DAY


@pytest.mark.parametrize("how", ["500", "dialog"])
@pytest.mark.parametrize("place", [0, 7, 19])
def test_the_first_snapshot_completes_in_spite_of_an_item_that_cannot_be_read(how: str, place: int) -> None:
    """The watch begins, what is created later is announced; the item itself is old, whenever it heals."""
    world = World(demo_data=False, env={"BC_COMPANIES": CRONUS, "BC_TRIGGERS": "items"}, page_rows=6)
    old = items(world, 20)
    broken = sorted(old, key=lambda item: str(item["number"]))[place]
    world.bc.faults.broken[broken.id] = how
    world.clock.advance(timedelta(hours=1))
    run(world, "reconcile")
    made = []
    for _ in range(4):
        made += items(world, 1)
        world.clock.advance(QUARTER)
        run(world, "reconcile")
    assert announced(world) == created(made)
    world.bc.faults.broken.clear()
    for _ in range(2):
        world.clock.advance(timedelta(hours=25))
        run(world, "reconcile")
    assert announced(world) == created(made)


@pytest.mark.parametrize("changes", ["created", "created,deleted"])
def test_what_a_later_snapshot_cannot_read_is_neither_gone_nor_new(changes: str) -> None:
    """A known item that is unreadable for a day: not announced as deleted then, nor as created afterwards."""
    world = world_of(BC_TRIGGERS="items", BC_CHANGES=changes)
    known = items(world, 6)
    world.clock.advance(60)
    run(world, "reconcile")
    gone = known.pop()
    world.left.clear()
    world.bc.faults.broken[known[2].id] = "500"
    world.bc.user.delete(gone)
    for hours in (25, 25):
        world.clock.advance(timedelta(hours=hours))
        run(world, "reconcile")
    world.bc.faults.broken.clear()
    for hours in (1, 25, 25):
        world.clock.advance(timedelta(hours=hours))
        run(world, "reconcile")
    assert announced(world) == ({("item.deleted", subject(gone)): 1} if "deleted" in changes else {})


@pytest.mark.parametrize("code", [400, 500])
def test_news_that_could_not_be_read_is_announced_though_a_snapshot_knows_it_by_then(code: int) -> None:
    """A new item fails with its variants only: its id is in the next snapshot, and once it heals it is created."""
    world = world_of(BC_TRIGGERS="items")
    world.clock.advance(60)
    fail(world, FaultKind.SERVER_ERROR, "items\\?.*expand", times=None, status=code)
    made = items(world, 1)
    world.clock.advance(40)
    world.deliver_webhooks()
    world.drain()
    for hours in (25, 25):
        world.clock.advance(timedelta(hours=hours))
        run(world, "reconcile")
    assert announced(world) == {}
    world.bc.faults.clear()
    for _ in range(2):
        world.clock.advance(timedelta(hours=6))
        run(world, "reconcile")
    assert announced(world) == created(made)


@pytest.mark.parametrize("rows", [2, 3])
def test_a_broken_record_among_many_of_one_time_does_not_stop_the_watch(rows: int) -> None:
    """BC serves fewer rows a page than are done already at that time."""
    world = World(
        demo_data=False, env={"BC_COMPANIES": CRONUS, "BC_TRIGGERS": "items", "BC_PAGE_ROWS": "3"}, page_rows=rows
    )
    world.start()
    world.clock.advance(60)
    made = items(world, 20)
    broken = made[13]
    world.bc.faults.broken[broken.id] = "dialog"
    run(world, "reconcile")
    rest = [item for item in made if item is not broken]
    assert announced(world, "item.created") == created(rest)
    assert world.stores.changes.streams.load(stream(world, "reconcile")).error == ""


def test_variants_that_cannot_be_read_bring_their_items_once_they_heal() -> None:
    """One of twenty changed variants spoils its page: the other items come at once, its own when it heals."""
    world = world_of(rows=50)
    made = items(world, 20)
    run(world, "pull_items")
    world.left.clear()
    world.clock.advance(timedelta(hours=1))
    variants = [world.bc.user.create_variant(item, "RED") for item in made]
    world.bc.faults.broken[variants[7].id] = "500"
    world.clock.advance(60)
    run(world, "pull_items")
    rest = [item for item in made if item is not made[7]]
    assert announced(world) == pulled(rest)
    world.bc.faults.broken.clear()
    world.clock.advance(QUARTER)
    run(world, "pull_items")
    assert announced(world) == pulled(made)


def test_what_breaks_after_it_was_announced_is_not_announced_again_when_it_is_mended() -> None:
    """The delta that met it broken could not tell its version; the one before had announced it."""
    world = world_of(rows=50)
    world.clock.advance(60)
    made = items(world, 3)
    run(world, "pull_items")
    world.clock.advance(timedelta(minutes=3))
    late = items(world, 3)
    run(world, "pull_items")
    world.bc.faults.broken[late[1].id] = "dialog"
    for minutes in (3, 20):
        world.clock.advance(timedelta(minutes=minutes))
        run(world, "pull_items")
    world.bc.faults.broken.clear()
    for _ in range(3):
        world.clock.advance(timedelta(hours=1))
        run(world, "pull_items")
    assert announced(world) == pulled(made + late)


@pytest.mark.parametrize("by", ["notification", "reconcile", "pull_items"])
def test_what_breaks_between_a_claim_and_its_output_is_announced_once_it_heals(by: str) -> None:
    """Its worker died with the output, and the next delivery can't read what it must announce: it ends in no list."""
    world = world_of(rows=50)
    world.clock.advance(60)
    made = items(world, 3)
    crashed = kill_at(world, f"before put {QUEUE_EVENTS}")
    if by == "notification":
        notify(world)
    else:
        run(world, by)
    assert crashed
    world.bc.faults.broken[made[1].id] = "dialog"
    for _ in range(3):
        world.clock.advance(LEASE_S)
        world.run_timer("retry_sales_orders")
        world.drain()
    world.bc.faults.broken.clear()
    world.run_for(timedelta(hours=8))
    kind = "item.pulled" if by == "pull_items" else "item.created"
    assert set(announced(world, kind)) == {(kind, subject(item)) for item in made}


@pytest.mark.parametrize("how", ["500", "dialog"])
@pytest.mark.parametrize(("place", "rows"), [(0, 2000), (60, 10)])
def test_the_first_full_pull_is_planned_whatever_record_is_broken(how: str, place: int, rows: int) -> None:
    """The plan counts by the first row and cuts at every sixth: that one can't be read, the others are pulled."""
    world = World(demo_data=False, env={"BC_COMPANIES": CRONUS, "BC_PAGE_ROWS": str(rows)})
    made = [world.bc.user.create_item(number=f"A-{n:04d}", displayName="x") for n in range(120)]
    world.bc.faults.broken[made[place].id] = how
    world.clock.advance(3600)
    world.start()
    run(world, "pull_items")
    rest = [item for item in made if item is not made[place]]
    assert announced(world, "item.pulled") == pulled(rest)
    assert world.stores.changes.streams.load(stream(world)).watermark is not None


@pytest.mark.parametrize(("how", "count"), [("500", 3), ("dialog", 3), ("500", 5), ("dialog", 100), ("500", 130)])
@pytest.mark.parametrize("at_one_time", [False, True])
def test_many_broken_records_in_a_row_hide_nothing_behind_them(how: str, count: int, at_one_time: bool) -> None:
    """Fewer or more than one group of them: what is around them is announced, they are when they heal, and all once."""
    world = world_of(rows=50, BC_TRIGGERS="items")
    world.clock.advance(3600)
    before: list[Record] = []
    if count > 5:
        before += items(world, 3)
        world.clock.advance(0 if at_one_time else 1)
    broken = items(world, count)
    world.clock.advance(0 if at_one_time else 1)
    others = before + items(world, 4)
    for record in broken:
        world.bc.faults.broken[record.id] = how
    both(world)
    both(world)
    others += items(world, 3)
    both(world)
    assert announced(world) == pulled(others) | created(others)
    world.bc.faults.broken.clear()
    for _ in range(3):
        both(world)
    made = broken + others
    assert announced(world) == pulled(made) | created(made)
    for purpose in ("pull", "reconcile"):
        assert not BrokenList(world.stores.changes, stream(world, purpose)).all()


@pytest.mark.parametrize("how", ["500", "dialog"])
def test_a_first_full_pull_goes_past_a_group_that_is_broken(how: str) -> None:
    """They stand first by number; those that heal are pulled, though no time of theirs is new."""
    world = World(demo_data=False, env={"BC_COMPANIES": CRONUS, "BC_TRIGGERS": "items"})
    made = [world.bc.user.create_item(number=f"A-{n:04d}", displayName="x") for n in range(140)]
    for record in made[:120]:
        world.bc.faults.broken[record.id] = how
    world.clock.advance(3600)
    world.start()
    both(world)
    assert announced(world) == pulled(made[120:])
    for record in made[:110]:
        del world.bc.faults.broken[record.id]
    both(world)
    both(world)
    assert announced(world) == pulled(made[:110] + made[120:])


def test_more_broken_records_than_a_mend_reads_at_once_are_all_announced_when_they_heal() -> None:
    """A mass import left them so, and another mended it: the place is read in parts, and none is dropped."""
    world = world_of(rows=100, BC_TRIGGERS="items", BC_PULL_ITEM_VARIANTS="false")
    world.clock.advance(3600)
    made = []
    for _ in range(70):
        world.clock.advance(timedelta(milliseconds=10))
        made += items(world, 10)
    for record in made:
        world.bc.faults.broken[record.id] = "dialog"
    both(world)
    assert announced(world) == {}
    world.bc.faults.broken.clear()
    for _ in range(4):
        both(world)
    assert announced(world) == pulled(made) | created(made)
    assert not BrokenList(world.stores.changes, stream(world)).all()


@pytest.mark.parametrize("code", [400, 500])
@pytest.mark.parametrize("timer", ["pull_items", "reconcile"])
def test_when_nothing_can_be_read_nothing_is_called_broken(code: int, timer: str) -> None:
    """BC refuses all: no place is noted, no watermark moves, and few requests are spent on it."""
    world = world_of(rows=50)
    world.clock.advance(60)
    made = items(world, 130)
    purpose: Purpose = "pull" if timer == "pull_items" else "reconcile"
    mark = watermark(world, purpose)
    fail(world, FaultKind.SERVER_ERROR, "items\\?", times=None, status=code)
    spent = requests_made(world)
    run(world, timer)
    assert requests_made(world) - spent < 100
    assert announced(world) == {}
    assert watermark(world, purpose) == mark
    assert not BrokenList(world.stores.changes, stream(world, purpose)).all()
    world.bc.faults.clear()
    world.clock.advance(QUARTER)
    run(world, timer)
    assert announced(world, "item.") == (pulled(made) if purpose == "pull" else created(made))


@pytest.mark.parametrize("code", [400, 500])
@pytest.mark.parametrize("count", [5, 100, 130])
def test_a_group_whose_records_cannot_be_read_is_gone_past_by_their_ids(code: int, count: int) -> None:
    """Only their ids can be listed, as the code of a field fails; those behind them are announced at once."""
    world = world_of(rows=50, BC_TRIGGERS="items")
    world.clock.advance(60)
    broken = items(world, count)
    world.clock.advance(1)
    others = items(world, 20)
    ids = "|".join(record.id for record in broken)
    fail(world, FaultKind.SERVER_ERROR, f"items\\?.*id%20eq%20({ids})", times=None, status=code)
    fail(world, FaultKind.SERVER_ERROR, "items\\?(?!.*select).*filter=lastModified", times=None, status=code)
    run(world, "reconcile")
    assert announced(world) == created(others)
    world.bc.faults.clear()
    for _ in range(3):
        world.clock.advance(QUARTER)
        run(world, "reconcile")
    assert announced(world) == created(broken + others)


def test_what_changes_between_the_list_and_the_read_of_a_group_hides_nothing() -> None:
    """The last record of a group gets a new time meanwhile: the next group begins at the time it was listed with."""
    world = world_of(rows=200, BC_TRIGGERS="items")
    world.clock.advance(60)
    made: list[Record] = []
    for _ in range(160):
        world.clock.advance(timedelta(milliseconds=10))
        made += items(world, 1)
    world.bc.faults.broken[made[20].id] = "dialog"
    handle = world.bc.handle
    changed: list[Record] = []

    def changing(request: Request) -> Response:
        if not changed and made[99].id in request.url:
            changed.append(made[99])
            world.bc.user.update(made[99], {"displayName": "new"})
        return handle(request)

    world.clock.advance(60)
    world.bc.handle = changing  # type: ignore[method-assign]  # in this world only
    run(world, "reconcile")
    assert changed
    rest = [item for item in made if item is not made[20]]
    assert announced(world, "item.created") == created(rest)
