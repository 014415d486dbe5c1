"""Replay: what was announced leaves once more under its old ids, marked, and nothing else does."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.business_central.entities import ENTITIES
from shared.changes import replay
from shared.changes.streams import Stream
from shared.clock import NO_TIME
from shared.errors import InvalidMessage
from shared.resource_names import QUEUE_EVENTS, QUEUE_PAGES, TABLE_WATERMARKS
from tests.simulation.world import Crash, World
from tests.support.published import event_faults
from tests.support.worlds import events, kill_at, restart, small_world

BUILT_IN = tuple(ENTITIES.values())
NOW = datetime(2026, 2, 11, 12, 0, tzinfo=UTC)


def started(world: World, *, entity: str = "*", hours: float = 72, company: str = "") -> list[replay.ReplayRun]:
    """Ask for a replay, as the route does, and put its jobs on the queue."""
    since = (world.clock.now() - timedelta(hours=hours)).isoformat()
    ask = replay.parse_ask(world.ctx.catalogue.resolved().entities, entity, company, since, world.clock.now())
    runs, outgoing = replay.start(world.ctx, world.stores.changes, ask)
    for text in outgoing.pages:
        world.queues.put(QUEUE_PAGES, text, world.clock.now())
    return runs


def ids(found: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
    """How often each event left: type and id."""
    return Counter((event["type"], event["id"]) for event in found)


def work(world: World) -> None:
    """Let a quarter of an hour pass with its timers."""
    for timer in ("pull_items", "reconcile"):
        world.run_timer(timer)
        world.drain()
    world.clock.advance(900)


def busy_world(changes: str = "created,updated,deleted") -> World:
    """An item, a shipment and an invoice of two days ago, one item changed since and one deleted: all announced."""
    world = small_world()
    restart(world, BC_CHANGES=changes)
    item, gone = world.bc.user.create_item(unitPrice=5), world.bc.user.create_item()
    world.bc.user.create_shipment()
    world.bc.user.post_invoice(world.bc.user.create_invoice())
    work(world)
    world.bc.user.update(item, {"displayName": "Other"})
    world.bc.user.delete(gone)
    work(world)
    world.clock.advance(46 * 3600)
    work(world)
    work(world)
    return world


def test_everything_announced_leaves_once_more_under_its_old_id() -> None:
    """Each event that still stands, marked; `pulled` and `updated` of the version that is there now."""
    world = busy_world()
    before = events(world)
    world.left.clear()
    started(world)
    world.drain()
    again = events(world)
    assert again
    assert all(event["bcreplay"] is True for event in again)
    assert not any("bcreplay" in event for event in before)
    assert [fault for event in again for fault in event_faults(event)] == []
    assert set(ids(again)) <= set(ids(before))
    kinds = Counter(event["type"] for event in again)
    assert {kind.split(".")[2] for kind in kinds} == {"pulled", "created", "posted", "updated", "deleted"}
    by_id = {event["id"]: event for event in before}
    for event in again:
        first = by_id[event["id"]]
        same = ("source", "subject", "type")
        assert [event[name] for name in same] == [first[name] for name in same]


def test_what_was_not_announced_is_left_to_the_timers() -> None:
    """Records that were there before the watch have no created event, and a replay makes none."""
    world = World(demo_data=True)
    world.start()
    world.left.clear()
    started(world, entity="salesInvoices", hours=24 * 365)
    world.drain()
    assert events(world) == []
    item = world.bc.user.create_item()
    started(world, entity="items")
    world.drain()
    assert not [event for event in events(world) if item.id in event["subject"]]


def test_records_that_did_not_change_since_stay_at_home() -> None:
    """The time is that of the change in Business Central."""
    world = busy_world(changes="created")
    world.left.clear()
    started(world, hours=1)
    world.drain()
    assert events(world) == []


def test_a_changed_variant_brings_its_item() -> None:
    """A variant does not touch its item's time."""
    world = busy_world(changes="created")
    item = world.bc.user.create_item()
    work(world)
    world.clock.advance(24 * 3600)
    world.bc.user.create("itemVariants", {"itemNumber": item["number"], "code": "BLUE"})
    work(world)
    work(world)
    world.left.clear()
    started(world, entity="items", hours=2)
    world.drain()
    assert {event["type"] for event in events(world)} == {"bc.item.created.v1", "bc.item.pulled.v1"}


def test_one_run_a_stream_however_often_it_is_asked_for() -> None:
    """Who asks twice hears that it is at work; afterwards another one may begin."""
    world = busy_world()
    first = started(world, entity="items")
    second = started(world, entity="items", hours=24 * 7)
    assert [run.is_new for run in first] == [True] * 2
    assert [run.is_new for run in second] == [False] * 2
    assert [run.run for run in second] == [run.run for run in first]
    assert {run.since for run in (*first, *second)} == {world.clock.now() - timedelta(hours=72)}  # what is really sent
    world.drain()
    assert [(run.is_new, run.since) for run in started(world, entity="items", hours=1)] == [
        (True, world.clock.now() - timedelta(hours=1))
    ] * 2


def test_a_watermark_set_back_by_hand_finds_what_was_missed_and_repeats_nothing() -> None:
    """The row's documented keys; the ledger knows what was announced."""
    world = busy_world()
    before = [event["id"] for event in events(world) if ".pulled." not in event["type"]]
    table = world.tables.table(TABLE_WATERMARKS)
    row = table.get("lmints.io.production", f"stream|watch|{world.bc.company().id}|items")
    assert row is not None
    table.replace(row.with_values(mark=world.clock.now() - timedelta(days=3)))
    work(world)
    assert [event["id"] for event in events(world) if ".pulled." not in event["type"]] == before


def test_since_the_first_day_of_the_calendar_is_everything() -> None:
    """No table keeps such a time, and a page reads from a little before it."""
    world = busy_world(changes="created")
    world.left.clear()
    started(world, hours=(world.clock.now() - NO_TIME).total_seconds() / 3600)
    world.drain()
    assert {event["type"].split(".")[2] for event in events(world)} == {"pulled", "created", "posted"}


@pytest.mark.parametrize("nth", range(1, 12))
def test_killed_anywhere_it_goes_on_and_repeats_only_old_ids(nth: int) -> None:
    """It runs as page jobs, so a crash costs a repeat."""
    world = busy_world()
    before = set(ids(events(world)))
    wanted = {event["id"] for event in replayed(busy_world())}
    world.left.clear()
    count = 0

    def crash(point: str) -> None:
        nonlocal count
        count += point.startswith("after")
        if count == nth and point.startswith("after"):
            count += 1
            raise Crash

    started(world)
    world.point = crash
    for _ in range(40):
        world.drain()
        world.clock.advance(60)
    assert set(ids(events(world))) <= before
    assert {event["id"] for event in events(world) if "bcreplay" in event} >= wanted


def replayed(world: World) -> list[dict[str, Any]]:
    """What a replay of everything sends."""
    world.left.clear()
    started(world)
    world.drain()
    return events(world)


def test_a_page_whose_worker_died_is_left_to_the_queue() -> None:
    """A copy of it could not be told from it when it comes back, and would announce everything a third time."""
    world = busy_world()
    world.left.clear()
    started(world)

    kill_at(world, "before slot")
    world.drain()
    for _ in range(15):
        world.clock.advance(60)
        world.run_timer("retry_sales_orders")
        world.drain()
    found = ids(events(world))
    assert found
    assert set(found.values()) == {1}


def test_no_watermark_of_another_stream_moves() -> None:
    """Pull and reconcile go on as if nothing had been sent."""
    world = busy_world()
    streams = [Stream(purpose, world.bc.company().id, "items") for purpose in ("pull", "reconcile", "snapshot")]
    before = [world.stores.changes.streams.load(stream) for stream in streams]
    started(world)
    world.drain()
    assert [world.stores.changes.streams.load(stream) for stream in streams] == before


def test_one_company_by_name() -> None:
    """A name or an id; one that is not served is refused."""
    world = busy_world()
    (run,) = started(world, entity="items", company=world.bc.company().name)
    assert run.company == world.bc.company().id
    with pytest.raises(InvalidMessage, match="company: 'Nobody'"):
        started(world, company="Nobody")


@pytest.mark.parametrize(
    ("entity", "since", "faults"),
    [
        ("item", "2026-02-01", ["did you mean items?"]),
        ("orders", "yesterday", ["entity: must be one of", "since: must be a time"]),
        ("items", "2026-02-12", ["since: must not lie in the future"]),
        ("", "", ["entity: must be one of", "since: must be a time"]),
        ("items", "0001-01-01T00:00:00+23:59", ["since: must be a time"]),
        ("items", "9999-12-31T23:59:59-23:59", ["since: must be a time"]),
    ],
)
def test_a_wrong_ask_names_every_fault(entity: str, since: str, faults: list[str]) -> None:
    with pytest.raises(InvalidMessage) as refused:
        replay.parse_ask(BUILT_IN, entity, "", since, NOW)
    for fault in faults:
        assert fault in str(refused.value)


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("2026-02-01", datetime(2026, 2, 1, tzinfo=UTC)),
        ("2026-02-01T09:30:00Z", datetime(2026, 2, 1, 9, 30, tzinfo=UTC)),
        ("2026-02-01T09:30:00+02:00", datetime(2026, 2, 1, 7, 30, tzinfo=UTC)),
    ],
)
def test_a_time_without_a_zone_is_utc(text: str, since: datetime) -> None:
    assert replay.parse_ask(BUILT_IN, "items", "", text, NOW).since == since


def test_more_than_a_message_holds_becomes_a_claim_check_of_marked_events() -> None:
    """Bounded as a pull is: a page a job."""
    world = small_world()
    world.bc.bulk_items(300)
    work(world)
    work(world)
    world.left.clear()
    started(world, entity="items", hours=2)
    world.drain()
    assert any("bc.batch.v1" in left.body for left in world.left if left.queue == QUEUE_EVENTS)
    found = events(world)
    assert len({event["subject"] for event in found}) == 300
    assert all(event["bcreplay"] is True for event in found)
