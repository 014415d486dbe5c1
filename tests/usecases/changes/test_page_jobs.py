"""Pages of pulls and reconciles: nothing missed, nothing announced twice, nothing stops for one bad record."""

import json
import logging
import re
from dataclasses import replace
from datetime import timedelta

import pytest
from business_central_emulator import FaultKind, Response
from business_central_emulator.data.clock import EMPTY_DATETIME
from business_central_emulator.data.record import Record
from business_central_emulator.server.exchange import Request

from shared.business_central.client import BusinessCentralClient
from shared.business_central.port import WHOLE_S, PageAnswer, PageAsk
from shared.business_central.retry import TIMEOUT
from shared.changes import plan_runs
from shared.changes.page_reader import PAGE_S
from shared.errors import BCUnavailable
from shared.resource_names import QUEUE_EVENTS, QUEUE_PAGES
from tests.simulation.world import World
from tests.support.page_world import (
    CRONUS,
    created,
    fail,
    items,
    note_page_sizes,
    pulled,
    run,
    stream,
    watermark,
    world_of,
)
from tests.support.worlds import announced, events, messages, requests_made, restart, subject


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 2000])
def test_the_first_pull_tells_every_item_once_with_its_variants(rows: int) -> None:
    """In partitions, whatever the page size; then the watermark stands at BC's time of the first page."""
    world = World(demo_data=False, env={"BC_COMPANIES": CRONUS, "BC_PAGE_ROWS": str(rows)})
    made = items(world, 20)
    for item in made[::3]:
        world.bc.user.create_variant(item, "RED")
    world.clock.advance(timedelta(hours=1))
    run(world, "pull_items")
    assert announced(world) == pulled(made)
    assert sum(len(event["data"]["itemVariants"]) for event in events(world)) == len(made[::3])
    assert watermark(world) == world.clock.now()


def test_the_first_pull_runs_in_chains_of_pages() -> None:
    """Each chain has one page job at a time; how many requests are under way is the budget's business (P10, P11)."""
    world = World(demo_data=False, env={"BC_COMPANIES": CRONUS, "BC_PAGE_ROWS": "10"})
    world.bc.bulk_items(400)
    world.run_timer("pull_items")
    assert world.queues.waiting(QUEUE_PAGES) == plan_runs.PARTITIONS
    while world.step(QUEUE_PAGES):
        assert world.queues.waiting(QUEUE_PAGES) <= plan_runs.PARTITIONS
    assert len(announced(world)) == 400
    assert set(announced(world).values()) == {1}


def test_a_quiet_delta_takes_no_execution_for_its_commit() -> None:
    """Nor for variants of which none has changed; with news on a page the rest follows by itself (idle cost)."""
    world = world_of()
    item = items(world, 3)[0]
    run(world, "pull_items")

    def pages() -> int:
        world.clock.advance(timedelta(hours=1))
        world.run_timer("pull_items")
        count = 0
        while world.step(QUEUE_PAGES):
            count += 1
        assert watermark(world) == world.clock.now()
        return count

    assert pages() == 1
    world.bc.user.update(item, {"displayName": "Bench"})
    assert pages() == 2  # the news are on the first page, the second announces nothing
    world.bc.user.create_variant(item, "RED")
    assert pages() == 3


def test_a_small_delta_asks_for_items_and_variants_in_one_execution() -> None:
    """What follows news is the commit alone, which asks for nothing; the watermark is the earlier answer's time."""
    world = world_of()
    item = items(world, 2)[0]
    run(world, "pull_items")
    world.clock.advance(timedelta(hours=1))
    world.bc.user.update(item, {"displayName": "Bench"})
    world.run_timer("pull_items")
    before = requests_made(world)
    assert world.step(QUEUE_PAGES)
    assert requests_made(world) - before == 2
    asked_at = world.clock.now()
    world.clock.advance(timedelta(minutes=1))
    assert world.step(QUEUE_PAGES)
    assert not world.step(QUEUE_PAGES)
    assert requests_made(world) - before == 2
    assert watermark(world) == asked_at


@pytest.mark.parametrize("runs_between", [0, 1])
def test_a_quiet_page_delivered_again_announces_nothing(runs_between: int) -> None:
    """It has announced nothing, so nothing can be lost; what came since is announced by the runs of their time."""
    world = world_of()
    run(world, "pull_items")
    world.clock.advance(timedelta(hours=1))
    world.run_timer("pull_items")
    (message,) = world.queues.names[QUEUE_PAGES]
    world.drain()
    made = items(world, 3)
    for _ in range(runs_between):
        world.clock.advance(timedelta(minutes=1))
        run(world, "pull_items")
    before = announced(world)
    world.queues.put(QUEUE_PAGES, message.body, world.clock.now())
    world.drain()
    assert announced(world) == before
    world.clock.advance(timedelta(minutes=1))
    run(world, "pull_items")
    assert announced(world) == pulled(made)


def test_a_delta_announces_what_changed_and_nothing_of_the_overlap_again() -> None:
    """Each run reads ten minutes of the past; what was announced then is so once, however often it is read."""
    world = world_of()
    made = items(world, 8)
    run(world, "pull_items")
    assert announced(world) == pulled(made)
    for minutes in (1, 4, 5, 6):
        world.clock.advance(timedelta(minutes=minutes))
        run(world, "pull_items")
    assert announced(world) == pulled(made)
    world.bc.user.update(made[3], {"displayName": "another name"})
    world.clock.advance(60)
    run(world, "pull_items")
    assert announced(world) == pulled(made) | {("item.pulled", subject(made[3])): 2}
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
    assert announced(world) == pulled([made[2]])
    assert [one["code"] for one in events(world)[0]["data"]["itemVariants"]] == ["RED"]
    world.clock.advance(timedelta(minutes=5))
    run(world, "pull_items")
    assert announced(world) == pulled([made[2]])
    world.bc.user.update(variant, {"description": "as red as can be"})
    run(world, "pull_items")
    assert announced(world) == pulled([made[2]], 2)


def _requests_of_a_pull(world: World) -> list[str]:
    """The entity sets that one pull asks for, a request each, in one execution."""
    asked: list[str] = []
    handle = world.bc.handle

    def noting(request: Request) -> Response:
        asked.append(request.url.split("?")[0].rsplit("/", 1)[-1])
        return handle(request)

    world.bc.handle = noting  # type: ignore[method-assign]
    world.clock.advance(60)
    world.run_timer("pull_items")
    assert world.step(QUEUE_PAGES)
    assert not world.step(QUEUE_PAGES)
    world.bc.handle = handle  # type: ignore[method-assign]
    return asked


def test_variants_of_the_overlap_are_looked_at_once() -> None:
    """A delta that finds only what the one before it found asks once for items and once for variants."""
    world = world_of(rows=50)
    made = items(world, 12)
    for item in made:
        world.bc.user.create_variant(item, "RED")
    run(world, "pull_items")
    world.clock.advance(60)
    run(world, "pull_items")  # the first that lists variants by themselves
    for _ in range(3):
        assert _requests_of_a_pull(world) == ["items", "itemVariants"]
    assert announced(world) == pulled(made)


def test_a_variant_counts_as_announced_only_with_what_its_item_showed() -> None:
    """The list of variants is current and the item comes from a replica behind: the next delta reads the item again."""
    world = world_of(rows=50)
    made = items(world, 3)
    world.clock.advance(timedelta(hours=1))
    run(world, "pull_items")
    world.left.clear()
    world.clock.advance(timedelta(minutes=30))
    fail(world, FaultKind.REPLICA_LAG, r"^GET .*/items\?.*expand", times=None, least_s=300, window_s=300)
    world.bc.user.create_variant(made[1], "RED")
    world.clock.advance(60)
    run(world, "pull_items")
    assert not any(event["data"]["itemVariants"] for event in events(world))
    world.bc.faults.clear()
    world.clock.advance(60)
    run(world, "pull_items")
    assert [[one["code"] for one in event["data"]["itemVariants"]] for event in events(world)] == [["RED"]]
    world.clock.advance(60)
    assert _requests_of_a_pull(world) == ["items", "itemVariants"]


def test_without_the_option_variants_are_neither_read_nor_announced() -> None:
    """BC_PULL_ITEM_VARIANTS=false: no expand, no look at the variants."""
    world = world_of(BC_PULL_ITEM_VARIANTS="false")
    item = items(world, 1)[0]
    run(world, "pull_items")
    world.bc.user.create_variant(item, "RED")
    world.clock.advance(60)
    run(world, "pull_items")
    assert announced(world) == pulled([item])
    assert "itemVariants" not in events(world)[0]["data"]


def test_equal_times_over_page_edges_are_all_announced_once() -> None:
    """Twenty records of one millisecond in pages of three: BC's links go by position, not by time."""
    world = world_of()
    made = items(world, 20)
    run(world, "pull_items")
    assert announced(world) == pulled(made)


@pytest.mark.parametrize("broken_links", [1, 2, 5])
@pytest.mark.parametrize("same_time", [True, False])
def test_a_link_that_bc_no_longer_honours_costs_nothing(broken_links: int, same_time: bool) -> None:
    """Asked for anew behind the last record; ties at the edge are neither lost nor announced twice."""
    world = world_of()
    made = []
    for _ in range(14):
        made += items(world, 1)
        world.clock.advance(0 if same_time else 1)
    world.run_timer("pull_items")
    world.step(QUEUE_PAGES)
    fail(world, FaultKind.SKIP_TOKEN, "skiptoken", times=broken_links)
    world.drain()
    assert announced(world) == pulled(made)
    assert watermark(world) is not None


def test_a_link_broken_in_a_full_pull_goes_on_by_number() -> None:
    """The full pull goes in order of number, and so does its new beginning."""
    world = World(demo_data=False, env={"BC_COMPANIES": CRONUS, "BC_PAGE_ROWS": "3"})
    made = items(world, 30)
    fail(world, FaultKind.SKIP_TOKEN, "skiptoken", times=3)
    run(world, "pull_items")
    assert announced(world) == pulled(made)


@pytest.mark.parametrize("kind", [FaultKind.GATEWAY_TIMEOUT_AFTER, FaultKind.TIMEOUT_AFTER])
def test_a_page_too_slow_is_asked_for_in_a_smaller_size(kind: FaultKind) -> None:
    """504 and time-outs mean "ask for less"; nothing is lost, and the size stays small to the end of the run."""
    world = world_of(rows=400, BC_PULL_ITEM_VARIANTS="false")
    world.bc.bulk_items(1000)
    made = len(world.bc.table("items"))
    asked: list[int] = []
    note_page_sizes(world, asked)
    fail(world, kind, "items\\?", times=1 if kind is FaultKind.GATEWAY_TIMEOUT_AFTER else 3)
    run(world, "pull_items")
    assert len(announced(world)) == made
    assert set(announced(world).values()) == {1}
    assert asked[:2] == [400, 100] if kind is FaultKind.GATEWAY_TIMEOUT_AFTER else 100 in asked
    assert max(asked[asked.index(100) :]) == 100


def test_an_entity_that_is_slow_in_large_pages_times_out_once_a_run() -> None:
    """Every page above 500 rows times out: one of them, and all that follow are small (100 s each, otherwise)."""
    world = world_of(rows=2000, BC_PULL_ITEM_VARIANTS="false")
    world.bc.bulk_items(6000)
    page = world.bc.handle

    def slow(request: Request) -> Response:
        prefer = request.header("Prefer") or ""
        if prefer.startswith("odata.maxpagesize=") and int(prefer.partition("=")[2]) > 500:
            return Response(status=504)
        return page(request)

    world.bc.handle = slow  # type: ignore[method-assign]  # in this world only
    asked: list[int] = []
    note_page_sizes(world, asked)
    run(world, "pull_items")
    assert len(announced(world)) == 6000
    assert [size for size in asked if size > 500] == [2000]


def test_only_a_page_that_grew_is_waited_for_less_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """It grew as pages were quick; any other may take the whole time of a request, and so may what follows it."""
    world = world_of(400, BC_PULL_ITEM_VARIANTS="false")
    world.bc.bulk_items(6000)
    made = len(world.bc.table("items"))
    asked: list[tuple[int, float]] = []
    page = BusinessCentralClient.page

    def noting(client: BusinessCentralClient, ask: PageAsk) -> PageAnswer:
        asked.append((ask.rows, ask.limit_s))
        if len(asked) == 2:
            raise BCUnavailable("it took too long", code=TIMEOUT)
        return page(client, ask)

    monkeypatch.setattr(BusinessCentralClient, "page", noting)
    run(world, "pull_items")
    assert asked[:3] == [(400, WHOLE_S), (1601, PAGE_S), (400, WHOLE_S)]
    assert {limit_s for rows, limit_s in asked[3:] if rows <= 401} == {WHOLE_S}
    assert len(announced(world)) == made


def test_a_smaller_page_holds_more_than_the_rows_that_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred rows of one time are served once more in the page behind them, after a time-out, too."""
    world = world_of(600, BC_PULL_ITEM_VARIANTS="false", BC_TRIGGERS="items")
    run(world, "pull_items")
    made: list[Record] = []
    for count in [*[1] * 400, 200, *[1] * 600]:
        world.clock.advance(timedelta(milliseconds=10))
        made += items(world, count)
    page = BusinessCentralClient.page

    def slow(client: BusinessCentralClient, ask: PageAsk) -> PageAnswer:
        answer = page(client, ask)
        if len(answer.page.records) > 700:
            raise BCUnavailable("it took too long", code=TIMEOUT)
        return replace(answer, took_s=20.0)

    monkeypatch.setattr(BusinessCentralClient, "page", slow)
    for _ in range(2):
        world.clock.advance(timedelta(minutes=15))
        run(world, "pull_items")
    assert announced(world, "item.pulled") == pulled(made)


def test_a_broken_record_is_not_met_in_ever_larger_pages() -> None:
    """Each page that can't be served is read a hundred rows far; what grew before is small then."""
    world = world_of(400, BC_PULL_ITEM_VARIANTS="false", BC_TRIGGERS="items")
    run(world, "pull_items")
    made: list[Record] = []
    for _ in range(400):
        world.clock.advance(timedelta(milliseconds=10))
        made += items(world, 10)
    world.bc.faults.broken[made[3500].id] = "dialog"
    asked: list[int] = []
    note_page_sizes(world, asked)
    world.clock.advance(timedelta(minutes=15))
    run(world, "pull_items")
    assert announced(world, "item.pulled") == pulled([one for one in made if one is not made[3500]])
    assert 1 < sum(size > 1000 for size in asked) <= 8


@pytest.mark.parametrize("how", ["500", "dialog"])
@pytest.mark.parametrize("timer", ["pull_items", "reconcile"])
@pytest.mark.parametrize(("rows", "count"), [(10, 30), (120, 170)])
def test_one_broken_record_is_isolated_and_reported(
    how: str, timer: str, rows: int, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    """BC can't serve its page; all others are announced, the run completes, the log names the place (P13)."""
    world = world_of(rows)
    world.clock.advance(60)
    made = items(world, count)
    at = world.clock.now()
    broken = made[rows + 4]  # on the second page
    world.bc.faults.broken[broken.id] = how
    run(world, timer)
    rest = [item for item in made if item is not broken]
    assert announced(world, "item.") == (pulled(rest) if timer == "pull_items" else created(rest))
    assert watermark(world, "pull" if timer == "pull_items" else "reconcile") == at
    (line,) = [line for line in caplog.messages if line.startswith("record.")]
    assert re.match(r"record.unread .*a row between \S+ and \S+.*: .*(internal error|date formula)", line)
    state = world.stores.changes.streams.load(stream(world, "pull" if timer == "pull_items" else "reconcile"))
    assert (state.broken, state.unreadable, state.error) == (1, 1, "")


def test_a_record_healed_later_is_found_by_the_snapshot() -> None:
    """It was left out of the delta; the daily snapshot shows that nobody knows it."""
    world = world_of(rows=10)
    world.clock.advance(60)
    made = items(world, 5)
    world.bc.faults.broken[made[2].id] = "500"
    run(world, "reconcile")
    world.bc.faults.broken.clear()
    world.clock.advance(timedelta(hours=25))
    run(world, "reconcile")
    assert announced(world) == created(made)


def test_an_outage_is_no_broken_record() -> None:
    """When nothing can be read the queue waits; no record is given up."""
    world = world_of()
    made = items(world, 4)
    fail(world, FaultKind.SERVER_ERROR, "items\\?", times=None)
    run(world, "pull_items")
    world.clock.advance(30)
    world.drain()
    assert announced(world) == {}
    world.bc.faults.clear()
    world.clock.advance(30)
    world.drain()
    assert announced(world) == pulled(made)


def test_rows_without_a_time_are_announced_by_the_pull_and_by_the_snapshot() -> None:
    """A delta never sees a row stamped year 1: the full pull goes by number, the snapshot by id (P12)."""
    fresh = World(demo_data=False, env={"BC_COMPANIES": CRONUS})
    old = fresh.bc.bulk_items(3, changed_at=EMPTY_DATETIME, step_ms=0)
    run(fresh, "pull_items")
    assert announced(fresh) == pulled(old)
    world = world_of()
    late = world.bc.bulk_items(3, changed_at=EMPTY_DATETIME, step_ms=0)
    run(world, "reconcile")
    assert announced(world) == {}
    world.clock.advance(timedelta(hours=25))
    run(world, "reconcile")
    assert announced(world, "item.created") == created(late)


def test_a_record_committed_late_is_caught_by_the_overlap() -> None:
    """Its stamp is older than the watermark: a long posting commits after others were read (P12)."""
    world = world_of()
    world.clock.advance(60)
    stamped = world.clock.now()
    world.clock.advance(timedelta(minutes=8))
    run(world, "reconcile")
    run(world, "pull_items")
    assert watermark(world) == world.clock.now()
    late = world.bc.bulk_items(2, changed_at=stamped, step_ms=0)
    world.clock.advance(60)
    run(world, "reconcile")
    run(world, "pull_items")
    assert announced(world) == pulled(late) | created(late)


def test_a_batch_too_large_for_a_message_goes_to_a_blob() -> None:
    """The message refers to it with count and checksum."""
    world = world_of(rows=500)
    made = world.bc.bulk_items(300)
    world.run_timer("pull_items")
    world.step(QUEUE_PAGES)
    (batch,) = messages(world, QUEUE_EVENTS)
    assert batch[0]["type"] == "bc.batch.v1"
    assert batch[0]["count"] == 300
    assert all(len(left.body.encode()) <= 48 * 1024 for left in world.left)
    assert announced(world) == pulled(made)
    assert len(world.claim_checks.blobs) == 1


def test_the_watermark_moves_only_when_all_is_announced() -> None:
    """Up to the last message the old watermark stands; then it is BC's time of the first page, not the last."""
    world = world_of()
    first = watermark(world)
    world.clock.advance(timedelta(minutes=20))
    made = items(world, 10)
    began = world.clock.now()
    world.run_timer("pull_items")
    while world.queues.waiting(QUEUE_PAGES):
        assert watermark(world) == first
        world.clock.advance(1)
        world.step(QUEUE_PAGES)
    assert announced(world) == pulled(made)
    assert watermark(world) == began + timedelta(seconds=1)


def test_a_new_process_goes_on_with_what_the_old_one_left() -> None:
    """Everything that matters between two pages is in the queue and the tables."""
    world = world_of()
    made = items(world, 12)
    world.run_timer("pull_items")
    while world.step(QUEUE_PAGES):
        restart(world)
    assert announced(world) == pulled(made)


def test_no_line_of_a_run_holds_a_record(caplog: pytest.LogCaptureFixture) -> None:
    """Names and numbers of customers and items stay out of the log (P15)."""
    caplog.set_level(logging.DEBUG)
    world = world_of()
    world.clock.advance(60)
    world.bc.user.create_item(displayName="a very secret item")
    run(world, "pull_items")
    run(world, "reconcile")
    assert len(announced(world)) == 2
    assert "secret" not in caplog.text
    assert json.loads(caplog.messages[-1].partition(" ")[2])
