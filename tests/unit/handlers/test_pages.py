"""Pages of pulls, reconciles and listings: nothing missed, nothing told twice, nothing stops for one bad record."""

import json
import logging
import re
from datetime import datetime, timedelta

import pytest

from local.business_central import Fault, FaultKind
from local.business_central.clock import EMPTY_DATETIME
from local.business_central.store import Record
from local.simulation.world import Crash, World
from shared.core.jobs import PageJob
from shared.core.names import QUEUE_EVENTS, QUEUE_NOTIFICATIONS, QUEUE_PAGES
from shared.handlers import pages
from shared.state.streams import Stream
from tests.worlds import events, messages, restart, small_world, subject, told

CRONUS = "CRONUS International Ltd."
LEASE_S = 600.0


def world_of(rows: int = 3, **env: str) -> World:
    """A started world of one company with small pages; no webhook is delivered unless a test does it."""
    return small_world(env={"BC_COMPANIES": CRONUS, "BC_PAGE_ROWS": str(rows), **env})


def run(world: World, timer: str) -> None:
    """Run a timer and all that follows from it."""
    world.run_timer(timer)
    world.drain()


def items(world: World, count: int, **more: object) -> list[Record]:
    """New items, all made in this very millisecond."""
    return [world.bc.user.create_item(displayName=f"item {n}", **more) for n in range(count)]


def pulled(records: list[Record], times: int = 1) -> dict[tuple[str, str], int]:
    """What a pull must have told of these records."""
    return {("item.pulled", subject(record)): times for record in records}


def created(records: list[Record], noun: str = "item") -> dict[tuple[str, str], int]:
    """What the watch must have told of these records."""
    return {(f"{noun}.created", subject(record)): 1 for record in records}


def stream(world: World, purpose: str = "pull", entity: str = "items") -> Stream:
    """A stream of the first company."""
    return Stream(purpose, world.bc.company().id, entity)  # type: ignore[arg-type]


def mark(world: World, purpose: str = "pull", entity: str = "items") -> datetime | None:
    """The watermark of a stream."""
    return world.ctx.streams.load(stream(world, purpose, entity)).mark


def fail(world: World, kind: FaultKind, match: str, times: int | None = 1, **more: object) -> None:
    """Script a fault of BC."""
    world.bc.faults.add(Fault(kind=kind, match=match, times=times, **more))  # type: ignore[arg-type]


# -- the pull


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 2000])
def test_the_first_pull_tells_every_item_once_with_its_variants(rows: int) -> None:
    """In partitions, whatever the page size; then the watermark stands at BC's time of the first page."""
    world = World(demo_data=False, env={"BC_COMPANIES": CRONUS, "BC_PAGE_ROWS": str(rows)})
    made = items(world, 20)
    for item in made[::3]:
        world.bc.user.create_variant(item, "RED")
    world.clock.advance(timedelta(hours=1))
    run(world, "pull_items")
    assert told(world) == pulled(made)
    assert sum(len(event["data"]["itemVariants"]) for event in events(world)) == len(made[::3])
    assert mark(world) == world.clock.now()


def test_the_first_pull_runs_in_four_chains_of_pages() -> None:
    """At most four requests at once; the fifth slot is for orders and notifications (P11)."""
    world = World(demo_data=False, env={"BC_COMPANIES": CRONUS, "BC_PAGE_ROWS": "10"})
    world.bc.bulk_items(400)
    world.run_timer("pull_items")
    assert world.queues.waiting(QUEUE_PAGES) == 4
    while world.step(QUEUE_PAGES):
        assert world.queues.waiting(QUEUE_PAGES) <= 4
    assert len(told(world)) == 400
    assert set(told(world).values()) == {1}


def test_a_delta_tells_what_changed_and_nothing_of_the_overlap_again() -> None:
    """Each run reads ten minutes of the past; what was told then is not told again, however often it is read."""
    world = world_of()
    made = items(world, 8)
    run(world, "pull_items")
    assert told(world) == pulled(made)
    for minutes in (1, 4, 5, 6):
        world.clock.advance(timedelta(minutes=minutes))
        run(world, "pull_items")
    assert told(world) == pulled(made)
    world.bc.user.update(made[3], {"displayName": "another name"})
    world.clock.advance(60)
    run(world, "pull_items")
    assert told(world) == pulled(made) | {("item.pulled", subject(made[3])): 2}
    assert len({event["id"] for event in events(world)}) == len(made) + 1


def test_a_variant_alone_brings_its_item() -> None:
    """A changed variant does not touch its item's time, so the delta looks at the variants, too."""
    world = world_of()
    made = items(world, 5)
    world.clock.advance(timedelta(hours=1))
    run(world, "pull_items")
    world.left.clear()
    world.clock.advance(timedelta(hours=1))
    variant = world.bc.user.create_variant(made[2], "RED")
    run(world, "pull_items")
    assert told(world) == pulled([made[2]])
    assert [one["code"] for one in events(world)[0]["data"]["itemVariants"]] == ["RED"]
    world.clock.advance(timedelta(minutes=5))
    run(world, "pull_items")
    assert told(world) == pulled([made[2]])
    world.bc.user.update(variant, {"description": "as red as can be"})
    run(world, "pull_items")
    assert told(world) == pulled([made[2]], 2)


def test_without_the_option_variants_are_neither_read_nor_told() -> None:
    """BC_PULL_ITEM_VARIANTS=false: no expand, no look at the variants."""
    world = world_of(BC_PULL_ITEM_VARIANTS="false")
    item = items(world, 1)[0]
    run(world, "pull_items")
    world.bc.user.create_variant(item, "RED")
    world.clock.advance(60)
    run(world, "pull_items")
    assert told(world) == pulled([item])
    assert "itemVariants" not in events(world)[0]["data"]


def test_equal_times_over_page_edges_are_all_told_once() -> None:
    """Twenty records of one millisecond in pages of three: BC's links go by position, not by time."""
    world = world_of()
    made = items(world, 20)
    run(world, "pull_items")
    assert told(world) == pulled(made)


@pytest.mark.parametrize("broken_links", [1, 2, 5])
@pytest.mark.parametrize("same_time", [True, False])
def test_a_link_that_bc_no_longer_honours_costs_nothing(broken_links: int, same_time: bool) -> None:
    """Asked for anew behind the last record; ties at the edge are neither lost nor told twice."""
    world = world_of()
    made = []
    for _ in range(14):
        made += items(world, 1)
        world.clock.advance(0 if same_time else 1)
    world.run_timer("pull_items")
    world.step(QUEUE_PAGES)
    fail(world, FaultKind.SKIP_TOKEN, "skiptoken", times=broken_links)
    world.drain()
    assert told(world) == pulled(made)
    assert mark(world) is not None


def test_a_link_broken_in_a_full_pull_goes_on_by_number() -> None:
    """The full pull goes in order of number, and so does its new beginning."""
    world = World(demo_data=False, env={"BC_COMPANIES": CRONUS, "BC_PAGE_ROWS": "3"})
    made = items(world, 30)
    fail(world, FaultKind.SKIP_TOKEN, "skiptoken", times=3)
    run(world, "pull_items")
    assert told(world) == pulled(made)


@pytest.mark.parametrize("kind", [FaultKind.GATEWAY_TIMEOUT_AFTER, FaultKind.TIMEOUT_AFTER])
def test_a_page_too_slow_is_asked_for_in_a_smaller_size(kind: FaultKind) -> None:
    """504 and time-outs mean "ask for less"; nothing is lost and the size grows again."""
    world = world_of(rows=400)
    world.bc.bulk_items(1000)
    made = len(world.bc.table("items"))
    asked: list[int] = []
    _note_page_sizes(world, asked)
    fail(world, kind, "items\\?", times=1 if kind is FaultKind.GATEWAY_TIMEOUT_AFTER else 3)
    run(world, "pull_items")
    assert len(told(world)) == made
    assert set(told(world).values()) == {1}
    assert {400, 100, 200} <= set(asked)


def _note_page_sizes(world: World, asked: list[int]) -> None:
    handle = world.bc.handle

    def noting(request: object) -> object:
        prefer = request.header("Prefer") or ""  # type: ignore[attr-defined]
        if prefer.startswith("odata.maxpagesize="):
            asked.append(int(prefer.partition("=")[2]))
        return handle(request)  # type: ignore[arg-type]

    world.bc.handle = noting  # type: ignore[method-assign,assignment]


@pytest.mark.parametrize("how", ["500", "dialog"])
@pytest.mark.parametrize("timer", ["pull_items", "reconcile"])
@pytest.mark.parametrize(("rows", "count"), [(10, 30), (120, 170)])
def test_one_broken_record_is_isolated_and_reported(
    how: str, timer: str, rows: int, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    """BC can't serve its page; all others are told, the run completes, the log names the place (P13)."""
    world = world_of(rows)
    world.clock.advance(60)
    made = items(world, count)
    at = world.clock.now()
    broken = made[rows + 4]  # on the second page
    world.bc.faults.broken[broken.id] = how
    run(world, timer)
    rest = [item for item in made if item is not broken]
    assert told(world, "item.") == (pulled(rest) if timer == "pull_items" else created(rest))
    assert mark(world, "pull" if timer == "pull_items" else "watch") == at
    (line,) = [line for line in caplog.messages if line.startswith("record.broken")]
    assert re.search(r"row \d+ from 2026-02-11T\S+ on: .*(internal error|date formula)", line)
    state = world.ctx.streams.load(stream(world, "pull" if timer == "pull_items" else "watch"))
    assert (state.broken, state.error) == (1, "")


def test_a_record_healed_later_is_found_by_the_compare() -> None:
    """It was left out of the delta; the daily listing shows that nobody knows it."""
    world = world_of(rows=10)
    world.clock.advance(60)
    made = items(world, 5)
    world.bc.faults.broken[made[2].id] = "500"
    run(world, "reconcile")
    world.bc.faults.broken.clear()
    world.clock.advance(timedelta(hours=25))
    run(world, "reconcile")
    assert told(world) == created(made)


def test_an_outage_is_no_broken_record() -> None:
    """When nothing can be read the queue waits; no record is given up."""
    world = world_of()
    made = items(world, 4)
    fail(world, FaultKind.SERVER_ERROR, "items\\?", times=None)
    run(world, "pull_items")
    world.clock.advance(30)
    world.drain()
    assert told(world) == {}
    world.bc.faults.clear()
    world.clock.advance(30)
    world.drain()
    assert told(world) == pulled(made)


def test_rows_without_a_time_are_told_by_the_pull_and_by_the_compare() -> None:
    """A delta never sees a row stamped year 1: the full pull goes by number, the listing by id (P12)."""
    fresh = World(demo_data=False, env={"BC_COMPANIES": CRONUS})
    old = fresh.bc.bulk_items(3, changed_at=EMPTY_DATETIME, step_ms=0)
    run(fresh, "pull_items")
    assert told(fresh) == pulled(old)
    world = world_of()
    late = world.bc.bulk_items(3, changed_at=EMPTY_DATETIME, step_ms=0)
    run(world, "reconcile")
    assert told(world) == {}
    world.clock.advance(timedelta(hours=25))
    run(world, "reconcile")
    assert told(world, "item.created") == created(late)


def test_a_record_committed_late_is_caught_by_the_overlap() -> None:
    """Its stamp is older than the watermark: a long posting commits after others were read (P12)."""
    world = world_of()
    world.clock.advance(60)
    stamped = world.clock.now()
    world.clock.advance(timedelta(minutes=8))
    run(world, "reconcile")
    run(world, "pull_items")
    assert mark(world) == world.clock.now()
    late = world.bc.bulk_items(2, changed_at=stamped, step_ms=0)
    world.clock.advance(60)
    run(world, "reconcile")
    run(world, "pull_items")
    assert told(world) == pulled(late) | created(late)


def test_a_batch_too_large_for_a_message_goes_to_a_blob() -> None:
    """The message refers to it with count and checksum; a repeat of the job overwrites the same blob."""
    world = world_of(rows=500)
    made = world.bc.bulk_items(300)
    world.run_timer("pull_items")
    world.step(QUEUE_PAGES)
    (batch,) = messages(world, QUEUE_EVENTS)
    assert batch[0]["type"] == "bc.batch.v1"
    assert batch[0]["count"] == 300
    assert all(len(left.body.encode()) <= 48 * 1024 for left in world.left)
    assert told(world) == pulled(made)
    assert len(world.blobs) == 1


def test_the_watermark_moves_only_when_all_is_told() -> None:
    """Up to the last message the old watermark stands; then it is BC's time of the first page, not the last."""
    world = world_of()
    first = mark(world)
    world.clock.advance(timedelta(minutes=20))
    made = items(world, 10)
    began = world.clock.now()
    world.run_timer("pull_items")
    while world.queues.waiting(QUEUE_PAGES):
        assert mark(world) == first
        world.clock.advance(1)
        world.step(QUEUE_PAGES)
    assert told(world) == pulled(made)
    assert mark(world) == began + timedelta(seconds=1)


# -- deliveries that repeat, cross and die


def test_a_copy_of_a_page_job_does_nothing() -> None:
    """A predecessor delivered twice leaves two messages for one page: one of them is enough."""
    world = world_of()
    made = items(world, 10)
    world.run_timer("pull_items")
    (message,) = world.queues.names[QUEUE_PAGES]
    for _ in range(2):
        world.queues.put(QUEUE_PAGES, message.body, world.clock.now())
    world.drain()
    assert told(world) == pulled(made)
    assert mark(world) == world.clock.now()


def test_a_page_delivered_again_tells_the_same_and_starts_nothing() -> None:
    """Its outputs were written and its message came back: same events, same ids, no second chain."""
    world = world_of()
    made = items(world, 10)
    world.run_timer("pull_items")
    text = world.queues.names[QUEUE_PAGES][0].body
    world.drain()
    again = pages.read(world.ctx, PageJob.from_text(text), "message-of-old")
    first = world.left[0].body
    assert again.pages == ()
    assert again.events in {(), (first,)}
    assert told(world) == pulled(made)


def test_a_redelivered_watch_page_tells_what_it_claimed_though_it_has_moved_on() -> None:
    """It claimed three records and died before its output; one changed meanwhile and is on a later page now (P5)."""
    world = world_of()
    world.clock.advance(60)
    made = items(world, 6)
    world.run_timer("reconcile")
    crashed = []

    def point(name: str) -> None:
        if name == f"before put {QUEUE_EVENTS}" and not crashed:
            crashed.append(name)
            raise Crash(name)

    world.point = point
    world.drain()
    assert crashed
    world.clock.advance(1)
    for item in made[:2]:
        world.bc.user.update(item, {"displayName": "changed since"})
    world.clock.advance(LEASE_S)
    world.drain()
    assert told(world, "item.created") == created(made)


@pytest.mark.parametrize("place", range(1, 60, 3))
@pytest.mark.parametrize("timer", ["pull_items", "reconcile"])
def test_a_crash_anywhere_loses_nothing_and_repeats_only_under_the_same_id(place: int, timer: str) -> None:
    """Killed at any outside effect, the run goes on where it was (P4, P5, P11)."""
    world = world_of()
    world.clock.advance(60)
    made = items(world, 7)
    count = 0

    def point(name: str) -> None:
        nonlocal count
        count += 1
        if count == place:
            raise Crash(name)

    world.point = point
    run(world, timer)
    world.point = lambda _: None
    world.clock.advance(LEASE_S)
    world.drain()
    world.clock.advance(timedelta(minutes=13))
    run(world, timer)
    kind = "item.pulled" if timer == "pull_items" else "item.created"
    assert set(told(world, "item.")) == {(kind, subject(item)) for item in made}
    assert len({event["id"] for event in events(world)}) == len(made)
    repeated = sum(told(world).values()) - len(made)
    assert repeated <= len(made) / 2 + 1  # at most the page that was cut off


def test_a_killed_page_reads_at_most_itself_again() -> None:
    """A pull killed in its fifth page makes one request more than a pull that was not (P11)."""
    asked: dict[bool, list[int]] = {}
    for killed in (False, True):
        world = world_of(rows=5, BC_PULL_ITEM_VARIANTS="false")
        made = items(world, 100)
        _note_page_sizes(world, asked.setdefault(killed, []))
        world.point = _Killer(f"before put {QUEUE_EVENTS}", 4) if killed else world.point
        run(world, "pull_items")
        world.clock.advance(LEASE_S)
        world.drain()
        assert set(told(world)) == set(pulled(made))
    assert len(asked[False]) >= 5
    assert len(asked[True]) == len(asked[False]) + 1


class _Killer:
    """Kills the process at the n-th time of a place, once."""

    def __init__(self, name: str, place: int) -> None:
        self._name, self._left = name, place

    def __call__(self, name: str) -> None:
        self._left -= name == self._name
        if name == self._name and self._left == 0:
            raise Crash(name)


def test_a_run_whose_message_was_lost_is_begun_anew(caplog: pytest.LogCaptureFixture) -> None:
    """Somebody cleared the queue: after a while without progress the timer starts over, and all is told."""
    world = world_of()
    made = items(world, 4)
    world.run_timer("pull_items")
    world.queues.names[QUEUE_PAGES].clear()
    world.clock.advance(timedelta(minutes=5))
    run(world, "pull_items")
    assert told(world) == {}
    world.clock.advance(timedelta(minutes=10))
    run(world, "pull_items")
    assert told(world) == pulled(made)
    assert "run.abandoned" in caplog.text


def test_a_job_of_an_old_run_starts_nothing() -> None:
    """A message that turns up hours late does not wake its run."""
    world = world_of()
    items(world, 10)
    world.run_timer("pull_items")
    text = world.queues.names[QUEUE_PAGES].pop().body
    world.clock.advance(timedelta(minutes=15))
    run(world, "pull_items")
    done = world.ctx.streams.load(stream(world))
    world.queues.put(QUEUE_PAGES, text, world.clock.now())
    world.step(QUEUE_PAGES)
    assert world.queues.waiting(QUEUE_PAGES) == 0
    assert world.ctx.streams.load(stream(world)) == done


# -- one stream does not stop another


def test_an_entity_that_may_not_be_read_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """A missing permission ends that stream's run with a note; the rest goes on (P13)."""
    world = world_of()
    world.clock.advance(60)
    made = items(world, 2, unitPrice=5)
    fail(world, FaultKind.SERVER_ERROR, "salesInvoices\\?", times=None, status=403)
    run(world, "reconcile")
    assert told(world) == created(made)
    state = world.ctx.streams.load(stream(world, "watch", "salesInvoices"))
    assert "403" in state.error
    assert state.ended_at is not None
    assert "stream.failed" in caplog.text
    world.bc.faults.clear()
    invoice = world.bc.user.create_invoice()
    world.clock.advance(timedelta(minutes=15))
    run(world, "reconcile")
    assert told(world, "salesInvoice") == created([invoice], "salesInvoice")
    assert world.ctx.streams.load(stream(world, "watch", "salesInvoices")).error == ""


def test_a_removed_company_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """Deleted in BC while it is watched: its streams fail, the other company's go on."""
    world = small_world()
    mine = world.bc.company("My Company")
    world.clock.advance(60)
    made = items(world, 2)
    del world.bc.environment.companies[mine.id]
    run(world, "reconcile")
    run(world, "pull_items")
    assert told(world) == created(made) | pulled(made)
    assert any("stream.failed" in line and mine.id in line for line in caplog.messages)


def test_a_refusal_of_a_page_that_has_told_something_is_set_aside_and_not_dropped() -> None:
    """It claimed records and died; on its return BC refuses: the claims must not be lost with the run."""
    world = world_of()
    world.clock.advance(60)
    made = items(world, 2)
    world.run_timer("reconcile")
    crashed = []

    def point(name: str) -> None:
        if name == f"before put {QUEUE_EVENTS}" and not crashed:
            crashed.append(name)
            raise Crash(name)

    world.point = point
    world.drain()
    fail(world, FaultKind.SERVER_ERROR, "items\\?", times=None, status=403)
    for _ in range(6):
        world.clock.advance(LEASE_S)
        world.drain()
    assert told(world, "item.") == {}
    world.bc.faults.clear()
    for _ in range(5):
        world.clock.advance(timedelta(minutes=20))
        world.run_timer("retry_sales_orders")
        world.drain()
    assert told(world, "item.created") == created(made)
    assert world.ctx.parked.all(10) == []


# -- the listing of all ids


def test_what_was_there_before_the_watch_is_never_announced() -> None:
    """The first listing is the baseline; only what comes after is news."""
    world = World(demo_data=True, env={"BC_COMPANIES": CRONUS})
    world.start()
    world.left.clear()
    world.clock.advance(timedelta(hours=1))
    run(world, "reconcile")
    world.clock.advance(timedelta(hours=25))
    run(world, "reconcile")
    assert told(world) == {}


def test_a_record_made_while_the_baseline_is_taken_is_announced_or_old_but_never_doubled() -> None:
    """Between the listing's first page and its end: the first delta reads from where the listing began."""
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
    assert told(world) == created(made)


@pytest.mark.parametrize("changes", ["created", "created,deleted"])
def test_deletes_that_nobody_told_are_found_by_the_compare(changes: str) -> None:
    """Deletes are invisible to any delta; the daily listing shows what is missing."""
    world = world_of(BC_CHANGES=changes)
    world.clock.advance(60)
    made = items(world, 3)
    run(world, "reconcile")
    world.bc.user.delete(made[0])
    world.clock.advance(timedelta(hours=25))
    run(world, "reconcile")
    gone = {("item.deleted", subject(made[0])): 1} if "deleted" in changes else {}
    assert told(world) == created(made) | gone
    world.clock.advance(timedelta(hours=25))
    run(world, "reconcile")
    assert told(world) == created(made) | gone


def test_old_listings_are_dropped() -> None:
    """One listing is in force; the tables do not grow with the days."""
    world = world_of(BC_TRIGGERS="items")
    world.bc.bulk_items(50)
    sizes = []
    for _ in range(6):
        world.clock.advance(timedelta(hours=25))
        run(world, "reconcile")
        rows = world.ctx.records.query(f"{world.settings.connection}|{world.bc.company().id}|items", "b|", "b}")
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
    crashed = []

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
    assert set(told(world)) == set(created(late)) | {("item.deleted", subject(old[0]))}
    assert len({event["id"] for event in events(world)}) == len(late) + 1


def test_a_record_made_while_a_listing_is_read_is_not_taken_for_deleted() -> None:
    """It has a row and is not in the listing: only reading it back tells that it is there."""
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
    assert told(world) == created(made)
    world.drain()
    assert told(world) == created(made)


def test_a_new_process_goes_on_with_what_the_old_one_left() -> None:
    """Everything that matters between two pages is in the queue and the tables."""
    world = world_of()
    made = items(world, 12)
    world.run_timer("pull_items")
    while world.step(QUEUE_PAGES):
        restart(world)
    assert told(world) == pulled(made)


def test_no_line_of_a_run_holds_a_record(caplog: pytest.LogCaptureFixture) -> None:
    """Names and numbers of customers and items stay out of the log (P15)."""
    caplog.set_level(logging.DEBUG)
    world = world_of()
    world.clock.advance(60)
    world.bc.user.create_item(displayName="a very secret item")
    run(world, "pull_items")
    run(world, "reconcile")
    assert len(told(world)) == 2
    assert "secret" not in caplog.text
    assert json.loads(caplog.messages[-1].partition(" ")[2])
