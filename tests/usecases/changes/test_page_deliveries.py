"""Page jobs that repeat, cross and die, and streams that fail: nothing is lost, and no other stream stops."""

import json
from datetime import timedelta

import pytest
from business_central_emulator import FaultKind

from shared.changes import page_job, replica_lag
from shared.changes.jobs import PageJob
from shared.changes.streams import Stream
from shared.clock import format_time
from shared.resource_names import QUEUE_EVENTS, QUEUE_PAGES
from tests.simulation.world import Crash
from tests.support.page_world import (
    LEASE_S,
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
from tests.support.worlds import announced, events, kill_at, kill_at_effect, messages, small_world, subject


def test_a_copy_of_a_page_job_does_nothing() -> None:
    """A predecessor delivered twice leaves two messages for one page: one of them is enough."""
    world = world_of()
    made = items(world, 10)
    world.run_timer("pull_items")
    (message,) = world.queues.names[QUEUE_PAGES]
    for _ in range(2):
        world.queues.put(QUEUE_PAGES, message.body, world.clock.now())
    world.drain()
    assert announced(world) == pulled(made)
    assert watermark(world) == world.clock.now()


def test_a_page_delivered_again_tells_the_same_and_starts_nothing() -> None:
    """Its outputs were written and its message came back: same events, same ids, no second chain."""
    world = world_of()
    made = items(world, 10)
    world.run_timer("pull_items")
    text = world.queues.names[QUEUE_PAGES][0].body
    world.drain()
    again = page_job.read(world.ctx, world.stores.changes, PageJob.from_text(text), "message-of-old")
    first = world.left[0].body
    assert again.pages == ()
    assert again.events in {(), (first,)}
    assert announced(world) == pulled(made)


def test_a_redelivered_watch_page_tells_what_it_claimed_though_it_has_moved_on() -> None:
    """It claimed three records and died before its output; one changed meanwhile and is on a later page now (P5)."""
    world = world_of()
    world.clock.advance(60)
    made = items(world, 6)
    world.run_timer("reconcile")
    crashed = kill_at(world, f"before put {QUEUE_EVENTS}")
    world.drain()
    assert crashed
    world.clock.advance(1)
    for item in made[:2]:
        world.bc.user.update(item, {"displayName": "changed since"})
    world.clock.advance(LEASE_S)
    world.drain()
    assert announced(world, "item.created") == created(made)


@pytest.mark.parametrize("place", range(1, 60, 3))
@pytest.mark.parametrize("timer", ["pull_items", "reconcile"])
def test_a_crash_anywhere_loses_nothing_and_repeats_only_under_the_same_id(place: int, timer: str) -> None:
    """Killed at any outside effect, the run goes on where it was (P4, P5, P11)."""
    world = world_of()
    world.clock.advance(60)
    made = items(world, 7)
    kill_at_effect(world, place)
    run(world, timer)
    world.point = lambda _: None
    world.clock.advance(LEASE_S)
    world.drain()
    world.clock.advance(timedelta(minutes=13))
    run(world, timer)
    kind = "item.pulled" if timer == "pull_items" else "item.created"
    assert set(announced(world, "item.")) == {(kind, subject(item)) for item in made}
    assert len({event["id"] for event in events(world)}) == len(made)
    repeated = sum(announced(world).values()) - len(made)
    assert repeated <= len(made) / 2 + 1  # at most the page that was cut off


def test_a_killed_page_reads_at_most_itself_again() -> None:
    """A pull killed in its fifth page makes one request more than a pull that was not (P11)."""
    asked: dict[bool, list[int]] = {}
    for killed in (False, True):
        world = world_of(rows=5, BC_PULL_ITEM_VARIANTS="false")
        made = items(world, 100)
        note_page_sizes(world, asked.setdefault(killed, []))
        world.point = _Killer(f"before put {QUEUE_EVENTS}", 4) if killed else world.point
        run(world, "pull_items")
        world.clock.advance(LEASE_S)
        world.drain()
        assert set(announced(world)) == set(pulled(made))
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


def test_a_page_job_that_got_lost_is_put_again(caplog: pytest.LogCaptureFixture) -> None:
    """Somebody cleared the queue: after a while without progress the timer puts the job again, and all is announced."""
    world = world_of()
    made = items(world, 14)
    world.run_timer("pull_items")
    world.step(QUEUE_PAGES)
    before = announced(world)
    world.queues.names[QUEUE_PAGES].clear()
    world.clock.advance(timedelta(minutes=5))
    run(world, "pull_items")
    assert announced(world) == before
    world.clock.advance(timedelta(minutes=10))
    run(world, "pull_items")
    assert announced(world) == pulled(made)
    assert "page.put_again" in caplog.text
    assert "run.superseded" not in caplog.text


def test_a_run_that_cannot_be_woken_is_begun_anew(caplog: pytest.LogCaptureFixture) -> None:
    """The queue is cleared again and again: what putting again does not help, another run does."""
    world = world_of()
    made = items(world, 4)
    world.run_timer("pull_items")
    for _ in range(2):
        world.queues.names[QUEUE_PAGES].clear()
        world.clock.advance(timedelta(minutes=15))
        world.run_timer("pull_items")
    world.drain()
    assert announced(world) == pulled(made)
    assert "run.superseded" in caplog.text


@pytest.mark.parametrize("lost", ["commit", "settle"])
def test_the_end_of_a_snapshot_that_got_lost_is_put_again(lost: str) -> None:
    """Its commit, and the job that settles it."""
    world = world_of(BC_TRIGGERS="items")
    world.clock.advance(timedelta(hours=25))
    late = items(world, 2)
    world.run_timer("reconcile")
    queue = world.queues.names[QUEUE_PAGES]
    while not any(f'"phase":"{lost}"' in message.body for message in queue):
        world.step(QUEUE_PAGES)
    queue.clear()
    world.drain()
    world.clock.advance(timedelta(minutes=15))
    run(world, "reconcile")
    assert world.stores.changes.streams.load(stream(world, "snapshot")).snapshot == 2
    assert announced(world) == created(late)


def test_slow_is_not_dead(caplog: pytest.LogCaptureFixture) -> None:
    """A page of each company waits for those of all others, a quarter of an hour and more: all pulls complete (P25)."""
    world = small_world(env={"BC_PAGE_ROWS": "2", "BC_TRIGGERS": "items"})
    companies = [world.bc.add_company(f"C{n:02d}") for n in range(20)]
    for company in companies:
        world.bc.bulk_items(8, company=company.id)
    for host in world.hosts:
        host.companies.forget()
    due = began = world.clock.now()

    def is_complete() -> bool:
        load = world.stores.changes.streams.load
        return all(load(Stream("pull", company.id, "items")).watermark for company in companies)

    while not is_complete():
        if world.clock.now() >= due:
            world.run_timer("pull_items")
            due = world.clock.now() + timedelta(minutes=15)
        world.step(QUEUE_PAGES)
        world.clock.advance(45)
        assert world.clock.now() < began + timedelta(hours=4)
    assert "run.superseded" not in caplog.text
    assert "page.put_again" not in caplog.text
    assert set(announced(world).values()) == {1}


def test_a_job_of_an_old_run_starts_nothing() -> None:
    """A message that turns up hours late does not wake its run."""
    world = world_of()
    items(world, 10)
    world.run_timer("pull_items")
    text = world.queues.names[QUEUE_PAGES].pop().body
    for _ in range(2):
        world.clock.advance(timedelta(minutes=15))
        world.queues.names[QUEUE_PAGES].clear()
        world.run_timer("pull_items")
    world.drain()
    done = world.stores.changes.streams.load(stream(world))
    world.queues.put(QUEUE_PAGES, text, world.clock.now())
    world.step(QUEUE_PAGES)
    assert world.queues.waiting(QUEUE_PAGES) == 0
    assert world.stores.changes.streams.load(stream(world)) == done


def test_an_entity_that_may_not_be_read_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """A missing permission ends that stream's run with a note; the rest goes on (P13)."""
    world = world_of()
    world.clock.advance(60)
    made = items(world, 2, unitPrice=5)
    fail(world, FaultKind.SERVER_ERROR, "salesInvoices\\?", times=None, status=403)
    run(world, "reconcile")
    assert announced(world) == created(made)
    state = world.stores.changes.streams.load(stream(world, "reconcile", "salesInvoices"))
    assert "403" in state.error
    assert state.ended_at is not None
    assert "stream.failed" in caplog.text
    world.bc.faults.clear()
    invoice = world.bc.user.create_invoice()
    world.clock.advance(timedelta(minutes=15))
    run(world, "reconcile")
    assert announced(world, "salesInvoice") == created([invoice], "salesInvoice")
    assert world.stores.changes.streams.load(stream(world, "reconcile", "salesInvoices")).error == ""


def test_a_removed_company_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """Deleted in BC while it is watched: its streams fail, the other company's go on."""
    world = small_world()
    mine = world.bc.company("My Company")
    world.clock.advance(60)
    made = items(world, 2)
    del world.bc.environment.companies[mine.id]
    run(world, "reconcile")
    run(world, "pull_items")
    assert announced(world) == created(made) | pulled(made)
    assert any("stream.failed" in line and mine.id in line for line in caplog.messages)


def test_a_refusal_of_a_page_that_has_announced_something_is_a_dead_letter_and_not_dropped() -> None:
    """It claimed records and died; on its return BC refuses: the claims must not be lost with the run."""
    world = world_of()
    world.clock.advance(60)
    made = items(world, 2)
    world.run_timer("reconcile")
    kill_at(world, f"before put {QUEUE_EVENTS}")
    world.drain()
    fail(world, FaultKind.SERVER_ERROR, "items\\?", times=None, status=403)
    for _ in range(6):
        world.clock.advance(LEASE_S)
        world.drain()
    assert announced(world, "item.") == {}
    world.bc.faults.clear()
    for _ in range(5):
        world.clock.advance(timedelta(minutes=20))
        world.run_timer("retry_sales_orders")
        world.drain()
    assert announced(world, "item.created") == created(made)
    assert world.stores.dead_letters.all(10) == []


def test_a_claim_check_stays_valid_when_its_job_is_delivered_again() -> None:
    """An item changed meanwhile: the repeat makes another blob, and what refers to the first still finds it (P27)."""
    world = world_of(rows=400)
    made = world.bc.bulk_items(300)
    world.run_timer("pull_items")
    text = world.queues.names[QUEUE_PAGES][0].body
    world.drain()
    (first,) = messages(world, QUEUE_EVENTS)
    (url,) = [event["dataref"] for event in first]
    before = world.claim_checks.read(url)
    world.bc.user.update(made[7], {"displayName": "changed since"})
    again = page_job.read(world.ctx, world.stores.changes, PageJob.from_text(text), "message-of-old")
    (event,) = json.loads(again.events[0])
    assert event["dataref"] != url
    assert world.claim_checks.read(url) == before
    assert announced(world) == pulled(made)


def test_a_blob_is_whole_before_anything_refers_to_it() -> None:
    """Killed while it writes the blob, a page leaves nothing; its redelivery stores it and then announces (P27)."""
    world = world_of(rows=400)
    made = world.bc.bulk_items(300)
    for place in ("before put blob", "after put blob"):
        world.point = _Killer(place, 1)
        run(world, "pull_items")
        assert [left for left in world.left if left.queue == QUEUE_EVENTS] == []
        world.clock.advance(LEASE_S)
    world.drain()
    assert announced(world) == pulled(made)


def test_a_page_that_comes_again_after_its_run_tells_what_it_told_and_nothing_that_others_did() -> None:
    """Its worker died with its output, and the run went on without it (P5): the versions in its overlap are known."""
    world = world_of(rows=9)
    world.clock.advance(60)
    old = items(world, 3)
    run(world, "pull_items")
    world.clock.advance(timedelta(minutes=3))
    new = items(world, 2)
    world.run_timer("pull_items")
    job = PageJob.from_text(world.queues.names[QUEUE_PAGES][0].body)
    world.drain()
    assert announced(world) == pulled(old + new)
    again = page_job.read(world.ctx, world.stores.changes, job, "message-of-old")
    (batch,) = again.events
    assert {event["data"]["id"] for event in json.loads(batch)} == {item.id for item in new}
    world.clock.advance(timedelta(minutes=3))
    run(world, "pull_items")
    assert announced(world) == pulled(old + new)


def test_a_page_of_a_wide_delta_that_dies_before_its_output_tells_it_when_it_comes_again() -> None:
    """The first delta of a day asks all runs what they announced, but not its own: its second page was read ahead."""
    world = world_of(rows=50)
    world.clock.advance(60)
    old = items(world, 2)
    run(world, "pull_items")
    world.clock.advance(timedelta(hours=16))
    new = items(world, 2)
    for item in new:
        world.bc.user.create_variant(item, "RED")
    crashed = kill_at(world, f"before put {QUEUE_EVENTS}")
    run(world, "pull_items")
    assert crashed
    world.clock.advance(LEASE_S)
    world.drain()
    assert announced(world) == pulled(old + new)


def test_what_a_lagging_replica_hid_from_the_delta_between_is_not_announced_twice() -> None:
    """It was announced, then not shown, and while the lag counts the third delta reads further back."""
    world = world_of(rows=50)
    run(world, "pull_items")
    world.clock.advance(timedelta(minutes=20))
    made = items(world, 3)
    run(world, "pull_items")
    world.clock.advance(timedelta(minutes=12))
    replica_lag.note(
        world.stores.changes.streams,
        world.bc.company().id,
        "items",
        world.clock.now() - timedelta(minutes=40),
        world.clock.now(),
    )
    fail(world, FaultKind.REPLICA_LAG, "items\\?", times=None, least_s=1800, window_s=1800)
    run(world, "pull_items")
    world.bc.faults.clear()
    world.clock.advance(timedelta(minutes=12))
    run(world, "pull_items")
    assert announced(world) == pulled(made)


def test_nothing_is_noted_of_variants_that_a_page_reads_ahead() -> None:
    """Their own page may never come: the page before it was delivered twice, and the other had found none (P12)."""
    world = world_of(rows=50)
    (made,) = items(world, 1)
    for _ in range(2):
        run(world, "pull_items")
        world.clock.advance(timedelta(hours=1))
    world.run_timer("pull_items")
    job = PageJob.from_text(world.queues.names[QUEUE_PAGES][0].body)
    world.clock.advance(60)
    world.bc.user.create_variant(made, "RED")
    page_job.read(world.ctx, world.stores.changes, job, "its output is lost")
    end = job.next(phase="commit", began=format_time(world.clock.now() - timedelta(seconds=60)))
    world.queues.names[QUEUE_PAGES].clear()
    world.queues.put(QUEUE_PAGES, end.to_text(), world.clock.now())
    world.drain()
    world.clock.advance(timedelta(minutes=5))
    run(world, "pull_items")
    assert announced(world) == pulled([made], times=2)


def test_a_copy_that_comes_after_its_run_repeats_nothing() -> None:
    """Put again while the first was only slow: whichever comes second never was at work, and keeps silent (P5)."""
    world = world_of()
    world.clock.advance(60)
    made = items(world, 4)
    for timer, kind in (("reconcile", created(made)), ("pull_items", pulled(made))):
        world.run_timer(timer)
        world.clock.advance(timedelta(minutes=13))
        world.run_timer(timer)
        world.drain()
        assert announced(world, "item.") == kind
        world.left.clear()
