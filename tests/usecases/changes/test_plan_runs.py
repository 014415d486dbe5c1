"""Planning of runs: what a timer starts, what it leaves alone, and that one failing stream stops no other."""

import logging
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
from business_central_emulator import Fault, FaultKind

from shared.business_central.entities import ENTITIES
from shared.changes import plan_runs
from shared.changes.jobs import PageJob
from shared.changes.run_progress import STALL
from shared.changes.streams import Stream, StreamState, StreamStore
from shared.errors import StateConflict
from shared.resource_names import QUEUE_PAGES, TABLE_WATERMARKS
from tests.simulation.world import World
from tests.support.worlds import announced, restart, small_world

CRONUS = "CRONUS International Ltd."


def kinds(world: World, timer: str) -> Counter[tuple[str, str, str]]:
    """What a timer starts, by purpose, mode and entity."""
    outgoing = (
        plan_runs.pull_items(world.ctx, world.stores.changes)
        if timer == "pull_items"
        else plan_runs.reconcile(world.ctx, world.stores.changes)
    )
    return Counter((job.purpose, job.mode, job.entity) for job in map(PageJob.from_text, outgoing.pages))


def test_the_first_timers_read_everything_once() -> None:
    """A full pull of items and a snapshot of ids per entity and company; nothing to compare with yet."""
    world = World(demo_data=False)
    assert kinds(world, "pull_items") == {("pull", "full", "items"): 2}
    assert kinds(world, "reconcile") == {
        ("snapshot", "list", "items"): 2, ("snapshot", "list", "salesShipments"): 2,
        ("snapshot", "list", "salesInvoices"): 2,
    }  # fmt: skip


def test_later_timers_read_what_changed() -> None:
    """Deltas from the watermark, with an overlap; the snapshot again after a day."""
    world = small_world()
    world.clock.advance(timedelta(minutes=15))
    watermark = world.stores.changes.streams.load(Stream("pull", world.bc.company().id, "items")).watermark
    assert watermark is not None
    job = PageJob.from_text(plan_runs.pull_items(world.ctx, world.stores.changes).pages[0])
    assert (job.mode, job.slice.since) == ("delta", (watermark - plan_runs.OVERLAP).strftime("%Y-%m-%dT%H:%M:%S.000Z"))
    entities = ("items", "salesShipments", "salesInvoices")
    assert kinds(world, "reconcile") == dict.fromkeys([("reconcile", "delta", entity) for entity in entities], 2)
    world.clock.advance(plan_runs.SNAPSHOT_EVERY)
    found = kinds(world, "reconcile")
    assert {kind: n for kind, n in found.items() if kind[0] == "snapshot"} == dict.fromkeys(
        [("snapshot", "list", entity) for entity in entities], 2
    )


def test_a_large_entity_is_pulled_in_partitions_that_cover_it() -> None:
    """Neighbours share their bound: nothing falls between them, nothing lies in two; a small entity is not cut."""
    world = World(demo_data=False, env={"BC_COMPANIES": CRONUS, "BC_PAGE_ROWS": "250"})
    world.bc.bulk_items(250 * plan_runs.PARTITIONS - 1)
    assert len(plan_runs.pull_items(world.ctx, world.stores.changes).pages) == 1
    world.bc.bulk_items(1)
    world.drain()
    world.tables.table(TABLE_WATERMARKS).delete(
        world.settings.connection, Stream("pull", world.bc.company().id, "items").key
    )
    jobs = [PageJob.from_text(text) for text in plan_runs.pull_items(world.ctx, world.stores.changes).pages]
    assert len(jobs) == plan_runs.PARTITIONS
    assert (jobs[0].slice.low, jobs[-1].slice.high) == ("", "")
    assert [job.slice.high for job in jobs[:-1]] == [job.slice.low for job in jobs[1:]]
    assert len({job.job for job in jobs}) == len(jobs)


def test_a_reader_doubles_the_partitions() -> None:
    """Twice the requests may be under way, so twice the slices are cut, of what is cut without one."""
    reader = "8c4a1f27-3e60-4d9b-b7a5-90d2e6f1c358"
    world = World(demo_data=False, env={"BC_COMPANIES": CRONUS, "BC_PAGE_ROWS": "10", "BC_READER_CLIENT_ID": reader})
    world.bc.bulk_items(10 * plan_runs.PARTITIONS)
    assert len(plan_runs.pull_items(world.ctx, world.stores.changes).pages) == 2 * plan_runs.PARTITIONS


def test_a_run_at_work_is_left_alone_and_a_dead_one_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    """Timers overlap with long runs; only one that has not moved for a while counts as dead."""
    caplog.set_level(logging.INFO)
    world = small_world()
    world.run_timer("pull_items")
    waiting = world.queues.waiting(QUEUE_PAGES)
    world.clock.advance(STALL - timedelta(seconds=1))
    assert plan_runs.pull_items(world.ctx, world.stores.changes).pages == ()
    assert "run.skipped" in caplog.text
    world.clock.advance(1)
    again = [PageJob.from_text(text) for text in plan_runs.pull_items(world.ctx, world.stores.changes).pages]
    assert [job.again for job in again] == [1] * waiting
    assert "run.superseded" not in caplog.text
    world.clock.advance(STALL)
    another = [PageJob.from_text(text) for text in plan_runs.pull_items(world.ctx, world.stores.changes).pages]
    assert not {job.run for job in another} & {job.run for job in again}
    assert "run.superseded" in caplog.text


def test_two_instances_do_not_start_the_same_run() -> None:
    """Both see an idle stream; the second loses the row and starts nothing."""
    world = small_world(env={"BC_COMPANIES": CRONUS})
    stream = Stream("pull", world.bc.company().id, "items")
    held = world.stores.changes.streams.load(stream)
    assert plan_runs.start_run(world.ctx, world.stores.changes, held, "delta")
    with pytest.raises(StateConflict):
        plan_runs.start_run(world.ctx, world.stores.changes, held, "delta")


def test_a_stream_that_cannot_be_planned_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """The count of one company's items is refused: the other company is pulled, and the log says so (P13)."""
    world = World(demo_data=False)
    mine = world.bc.company("My Company").id
    world.bc.faults.add(Fault(kind=FaultKind.SERVER_ERROR, match=f"{mine}.*/items", times=None, status=403))
    assert kinds(world, "pull_items") == {("pull", "full", "items"): 1}
    assert "stream.failed" in caplog.text


def test_a_company_that_is_not_there_is_reported_and_the_others_are_served(caplog: pytest.LogCaptureFixture) -> None:
    """Renamed, removed or misspelt in BC_COMPANIES: an error line at every run, and the rest goes on."""
    world = World(demo_data=False, env={"BC_COMPANIES": f"Contoso,{CRONUS}"})
    assert kinds(world, "pull_items") == {("pull", "full", "items"): 1}
    (line,) = [line for line in caplog.messages if line.startswith("stream.failed")]
    assert "Contoso" in line


@pytest.mark.parametrize("triggers", ["items", "salesInvoices", "salesShipments,items"])
def test_only_watched_entities_are_reconciled(triggers: str) -> None:
    """BC_TRIGGERS decides what is watched; the pull of items is on its own."""
    world = World(demo_data=False, env={"BC_TRIGGERS": triggers, "BC_COMPANIES": CRONUS})
    assert {entity for _, _, entity in kinds(world, "reconcile")} == set(triggers.split(","))
    assert kinds(world, "pull_items") == {("pull", "full", "items"): 1}


def test_a_new_company_is_served_within_the_hour() -> None:
    """With BC_COMPANIES=* nothing has to be restarted."""
    world = small_world()
    contoso = world.bc.add_company("Contoso")
    world.run_for(timedelta(minutes=40))
    world.left.clear()
    item = world.bc.user.create_item(company=contoso.id, displayName="x")
    world.run_for(timedelta(minutes=20))
    assert ("item.created", f"items({item.id})") in announced(world)


def test_a_day_of_silence_tells_nothing() -> None:
    """Nobody changes anything: timers run, snapshots are compared, and no event leaves."""
    world = small_world()
    world.run_for(timedelta(hours=27), every=timedelta(minutes=5))
    assert announced(world) == {}
    assert world.stores.dead_letters.all(10) == []


def test_after_an_outage_of_three_days_everything_is_announced_once() -> None:
    """72 hours without a running app; within 15 minutes of its return all is announced (P4)."""
    world = small_world(env={"BC_COMPANIES": CRONUS})
    world.clock.advance(60)
    items = []
    for hour in range(72):
        world.clock.advance(timedelta(hours=1))
        if hour % 8 == 0:
            items.append(world.bc.user.create_item(displayName="x"))
    restart(world)
    world.run_for(timedelta(minutes=15))
    assert announced(world, "item.created") == {("item.created", f"items({item.id})"): 1 for item in items}
    assert announced(world, "item.pulled") == {("item.pulled", f"items({item.id})"): 1 for item in items}


def test_planning_waits_for_another_day_when_nothing_answers() -> None:
    """BC is down: the timer fails as a whole and its next run makes up for it."""
    world = small_world()
    world.clock.advance(timedelta(minutes=20))
    world.bc.faults.add(Fault(kind=FaultKind.UNAVAILABLE, times=None))
    world.run_timer("pull_items")
    world.drain()
    world.bc.faults.clear()
    item = world.bc.user.create_item(displayName="x")
    world.run_for(timedelta(minutes=31))
    assert announced(world, "item.pulled") == {("item.pulled", f"items({item.id})"): 1}


@pytest.mark.parametrize("entity", ["items", "salesInvoices"])
def test_a_wake_up_is_not_lost_when_the_run_ends_meanwhile(entity: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run under way ends between the look at it and the note that another is wanted: another is started."""
    world = small_world(env={"BC_COMPANIES": CRONUS})
    world.clock.advance(60)
    world.run_timer("reconcile")
    streams = world.stores.changes.streams
    stream = Stream("reconcile", world.bc.company().id, entity)
    under_way = streams.load(stream).run
    change = StreamStore.change
    raced: list[Stream] = []

    def racing(store: StreamStore, changed: Stream, edit: Callable[[StreamState], StreamState]) -> StreamState:
        if not raced and changed == stream:
            raced.append(changed)
            world.drain()
        return change(store, changed, edit)

    monkeypatch.setattr(StreamStore, "change", racing)
    jobs = plan_runs.plan_delta(world.ctx, world.stores.changes, stream.company, ENTITIES[entity])
    assert raced
    assert [job.run for job in jobs] == [streams.load(stream).run]
    assert streams.load(stream).run != under_way
