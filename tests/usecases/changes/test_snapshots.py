"""Snapshots of all ids: the baseline of the watch, and the daily comparison that finds what no delta sees."""

from datetime import timedelta

import pytest
from business_central_emulator import Fault, FaultKind, Tamper, TamperKind
from business_central_emulator.data.clock import EMPTY_DATETIME
from business_central_emulator.data.record import Record

from shared.business_central.entities import ENTITIES, ITEMS
from shared.changes import plan_runs
from shared.resource_names import QUEUE_NOTIFICATIONS, QUEUE_PAGES
from tests.simulation.world import Crash, World
from tests.support.page_world import CRONUS, LEASE_S, created, items, run, world_of
from tests.support.worlds import announced, events, subject


def test_what_was_there_before_the_watch_is_never_announced() -> None:
    """The first snapshot is the baseline; only what comes after is news."""
    world = World(demo_data=True, env={"BC_COMPANIES": CRONUS})
    world.start()
    world.left.clear()
    world.clock.advance(timedelta(hours=1))
    run(world, "reconcile")
    world.clock.advance(timedelta(hours=25))
    run(world, "reconcile")
    assert announced(world) == {}


def test_a_record_made_while_the_baseline_is_taken_is_announced_or_old_but_never_doubled() -> None:
    """Between the snapshot's first page and its end: the first delta reads from where the snapshot began."""
    world = World(demo_data=False, env={"BC_COMPANIES": CRONUS, "BC_TRIGGERS": "items"})
    world.bc.bulk_items(20)
    world.run_timer("reconcile")
    world.step(QUEUE_PAGES)
    world.clock.advance(1)
    made = items(world, 2)
    world.drain()
    for _ in range(3):
        world.clock.advance(timedelta(minutes=15))
        run(world, "reconcile")
    assert announced(world) == created(made)


@pytest.mark.parametrize("changes", ["created", "created,deleted"])
def test_deletes_that_nobody_announced_are_found_by_the_compare(changes: str) -> None:
    """Deletes are invisible to any delta; the daily snapshot shows what is missing."""
    world = world_of(BC_CHANGES=changes)
    world.clock.advance(60)
    made = items(world, 3)
    run(world, "reconcile")
    world.bc.user.delete(made[0])
    world.clock.advance(timedelta(hours=25))
    run(world, "reconcile")
    gone = {("item.deleted", subject(made[0])): 1} if "deleted" in changes else {}
    assert announced(world) == created(made) | gone
    world.clock.advance(timedelta(hours=25))
    run(world, "reconcile")
    assert announced(world) == created(made) | gone


def test_old_snapshots_are_dropped() -> None:
    """One snapshot is in force; the tables do not grow with the days."""
    world = world_of(BC_TRIGGERS="items")
    world.bc.bulk_items(50)
    sizes = []
    for _ in range(6):
        world.clock.advance(timedelta(hours=25))
        run(world, "reconcile")
        rows = world.stores.changes.records.query(
            f"{world.settings.connection}|{world.bc.company().id}|items", "b|", "b}"
        )
        sizes.append(len(list(rows)))
    assert len(set(sizes[2:])) == 1


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("place", ["before put bc-notifications", "after put bc-pages", "before delete bc-pages"])
def test_a_comparison_cut_off_between_its_outputs_loses_and_invents_nothing(seed: int, place: str) -> None:
    """Its outputs are written in any order: settled before its findings were in the queue, it is compared again."""
    env = {"BC_COMPANIES": CRONUS, "BC_TRIGGERS": "items", "BC_CHANGES": "created,deleted"}
    world = World(seed=seed, env=env, demo_data=False)
    old = items(world, 5)
    world.start()
    world.left.clear()
    late = world.bc.bulk_items(3, changed_at=EMPTY_DATETIME, step_ms=0)
    world.bc.user.delete(old[0])
    world.clock.advance(timedelta(hours=25))
    crashed: list[str] = []

    def point(name: str) -> None:
        at_commit = any('"phase":"commit"' in m.body and '"list"' in m.body for _, m in world.at_work)
        if name == place and at_commit and not crashed:
            crashed.append(name)
            raise Crash(name)

    world.point = point
    run(world, "reconcile")
    world.clock.advance(LEASE_S)
    world.drain()
    assert crashed
    assert set(announced(world)) == set(created(late)) | {("item.deleted", subject(old[0]))}
    assert len({event["id"] for event in events(world)}) == len(late) + 1


def test_a_record_made_while_a_snapshot_is_read_is_not_taken_for_deleted() -> None:
    """It has a row and is not in the snapshot: only reading it back tells that it is there."""
    world = world_of(BC_TRIGGERS="items", BC_CHANGES="created,deleted")
    items(world, 5)
    run(world, "reconcile")
    world.left.clear()
    world.clock.advance(timedelta(hours=25))
    world.run_timer("reconcile")
    while '"phase":"records"' in world.queues.names[QUEUE_PAGES][0].body:
        world.step(QUEUE_PAGES)
    made = items(world, 2)
    world.clock.advance(40)
    assert world.deliver_webhooks()
    while world.step(QUEUE_NOTIFICATIONS):
        pass
    assert announced(world) == created(made)
    world.drain()
    assert announced(world) == created(made)


def _rename_while_listed(world: World, record: Record) -> None:
    """Run the reconcile, and give a record a number in front of all others once a page of the snapshot is read."""
    world.run_timer("reconcile")
    while not ('"page":2' in (message := world.queues.names[QUEUE_PAGES][0].body) and '"list"' in message):
        world.step(QUEUE_PAGES)
    world.clock.advance(1)
    world.bc.user.update(record, {"number": "A-0"})
    world.drain()


def _world_of_pages() -> World:
    return World(demo_data=False, page_rows=3, env={"BC_TRIGGERS": "items", "BC_COMPANIES": CRONUS})


@pytest.mark.parametrize("is_first", [True, False])
def test_a_record_that_moves_while_a_snapshot_is_read_stays_an_old_one(is_first: bool) -> None:
    """It moves to a page that is done: the snapshot lacks it, and its next change is no creation."""
    world = _world_of_pages()
    old = [world.bc.user.create_item(number=f"I-{n}", displayName="x") for n in range(9)]
    if not is_first:
        world.start()
        world.clock.advance(timedelta(hours=25))
    _rename_while_listed(world, old[8])
    for _ in range(3):
        world.clock.advance(timedelta(hours=25))
        world.bc.user.update(old[8], {"displayName": "y"})
        run(world, "reconcile")
    assert not announced(world, "item.created")


@pytest.mark.parametrize("entity", ["items", "salesInvoices"])
def test_what_a_replica_that_lags_does_not_list_is_not_deleted(entity: str) -> None:
    """Missing counts when current; where nothing current may be read, after two looks an hour apart."""
    world = world_of(BC_TRIGGERS=entity, BC_CHANGES="created,deleted")
    world.run_for(timedelta(hours=23, minutes=30), every=timedelta(minutes=5))
    user, lines = world.bc.user, [{"lineType": "Comment", "description": "x"}]
    made = items(world, 1)[0] if entity == "items" else user.create_invoice(lines)
    world.run_for(timedelta(minutes=16))
    lag = Fault(kind=FaultKind.REPLICA_LAG, match="^GET", times=None, least_s=3600.0, window_s=3600.0)
    world.bc.faults.add(lag)
    world.run_for(timedelta(minutes=50))
    world.bc.faults.clear()
    world.run_for(timedelta(hours=30), every=timedelta(minutes=5))
    noun = entity.removesuffix("s")
    assert sum(announced(world, f"{noun}.created").values()) == 1
    assert not announced(world, f"{noun}.deleted")
    world.bc.webhooks.tampering.rules.append(Tamper(kind=TamperKind.DROP, times=None))
    user.delete(made)
    world.run_for(timedelta(hours=30), every=timedelta(minutes=5))
    assert announced(world, f"{noun}.deleted") == {(f"{noun}.deleted", subject(made)): 1}


def test_a_snapshot_between_the_two_looks_does_not_put_the_second_off_by_a_day() -> None:
    """One that a collection asked for, twenty minutes after the first look: an hour after it the second is due still."""
    world = world_of(BC_TRIGGERS="salesInvoices", BC_CHANGES="created,deleted")
    made = world.bc.user.create_invoice([{"lineType": "Comment", "description": "x"}])
    world.run_for(timedelta(minutes=30))
    world.bc.webhooks.tampering.rules.append(Tamper(kind=TamperKind.DROP, times=None))
    world.bc.user.delete(made)
    world.clock.advance(timedelta(hours=25))
    world.run_for(timedelta(minutes=20))
    plan_runs.plan_snapshot(world.ctx, world.stores.changes, world.bc.company().id, ENTITIES["salesInvoices"])
    world.run_for(timedelta(hours=3))
    assert announced(world, "salesInvoice.deleted") == {("salesInvoice.deleted", subject(made)): 1}


@pytest.mark.parametrize("changes", ["created", "created,deleted"])
def test_a_deleted_record_does_not_stay_known_for_good(changes: str) -> None:
    """What a read by id calls gone leaves the snapshots, whether or not anybody asked for deletes."""
    world = world_of(BC_TRIGGERS="items", BC_CHANGES=changes)
    made = items(world, 3)
    for _ in range(2):
        world.clock.advance(timedelta(hours=25))
        run(world, "reconcile")
    world.bc.user.delete(made[0])
    for _ in range(3):
        world.clock.advance(timedelta(hours=25))
        run(world, "reconcile")
    stores, company = world.stores.changes, world.bc.company().id
    number = stores.snapshot_in_force(company, ITEMS)
    assert set(stores.ledger(company, ITEMS).snapshots.find(number, [one.id for one in made])) == {
        one.id for one in made[1:]
    }
