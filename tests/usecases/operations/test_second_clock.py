"""The second clock: timers that stop for good stop nothing (P28), and a plan is made once at a time."""

import json
import logging
from collections.abc import Callable
from datetime import timedelta

import pytest
from business_central_emulator import Fault, FaultKind

from shared import message_text, triggers
from shared.operations import status
from shared.operations.second_clock import LOOK_EVERY
from shared.operations.status_view import LoginView
from shared.operations.timer_store import TimerRun, TimerStore
from shared.operations.timers import SETTINGS, TimerJob, timers_of
from shared.outputs import Outputs
from shared.resource_names import QUEUE_NOTIFICATIONS
from shared.webhooks.plan import LIFETIME
from tests.simulation.world import Crash, World
from tests.support.shop import Shop
from tests.support.worlds import announced, events, small_world, subject

FOUR_DAYS_H = 96


def without_timers(**env: str) -> World:
    """A started world whose host runs no timer any more."""
    world = small_world(env={"BC_COMPANIES": "CRONUS International Ltd.", **env})
    world.looks = True
    world.timers_run = False
    return world


def codes(world: World) -> set[str]:
    """What the status calls wrong."""
    view = status.view(world.ctx, world.stores, LoginView(state="ok", mode="client_secret"))
    return {found.code for found in view.findings if found.is_wrong}


@pytest.mark.parametrize("clock", ["notifications", "health"])
def test_four_days_without_timers(clock: str, caplog: pytest.LogCaptureFixture) -> None:
    """Webhooks alive, pulls done, every record announced: by notifications alone, or by health calls alone."""
    world = without_timers()
    company = world.bc.company().id
    made = []
    for hour in range(FOUR_DAYS_H):
        made.append(world.bc.user.create_item(displayName=f"item {hour}"))
        for _ in range(4):
            world.clock.advance(timedelta(minutes=15))
            if clock == "notifications":
                world.deliver_webhooks()
            else:
                world.ask_health()
            world.drain()
    now = world.clock.now()
    held = [note for note in world.stores.notes.all() if note.company == company]
    assert len(held) == 3
    assert all(note.expires_at and note.expires_at > now + LIFETIME / 2 for note in held)
    assert {one.entity for one in held if one.status == "active"} == {"items", "salesShipments", "salesInvoices"}
    pulled = {state.stream.purpose: state.done_at for state in world.stores.changes.streams.all()}
    assert pulled["pull"] is not None
    assert now - pulled["pull"] < timedelta(hours=2)
    counted = announced(world, "item.created")
    late = {subject(record) for record in made[-2:]}  # the last may be on their way
    assert {("item.created", subject(record)) for record in made if subject(record) not in late} <= set(counted)
    assert max(counted.values()) == 1
    assert "timer.overdue" in caplog.text
    assert "timer_stopped" in codes(world)


def test_orders_that_wait_are_retried_without_timers() -> None:
    """A transient fault passes and nobody's timer puts the order back: a health call does."""
    shop = Shop()
    shop.world.looks = True
    shop.world.timers_run = False
    shop.fail(FaultKind.THROTTLED)
    shop.submit(shop.message())
    for _ in range(9):
        shop.world.clock.advance(timedelta(minutes=15))
        shop.world.ask_health()
        shop.world.drain()
    assert len(shop.orders()) == 1


def test_while_timers_run_the_second_clock_sends_for_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A day of timers, notifications and health calls: no message, no line, nothing wrong."""
    world = without_timers()
    world.timers_run = True
    caplog.set_level(logging.INFO)
    for _ in range(96):
        world.run_for(timedelta(minutes=15))
        world.ask_health()
        world.drain()
    assert "timer.overdue" not in caplog.text
    assert codes(world) == set()


def test_a_look_is_one_table_read_in_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a process is called."""
    world = without_timers()
    reads: list[int] = []
    read = TimerStore.all

    def counted(store: TimerStore) -> dict[str, TimerRun]:
        reads.append(1)
        return read(store)

    monkeypatch.setattr(TimerStore, "all", counted)
    for _ in range(50):
        world.ask_health()
    assert len(reads) == 1
    world.clock.advance(LOOK_EVERY)
    world.ask_health()
    assert len(reads) == 2


def test_one_message_is_sent_however_many_look() -> None:
    """Three processes look at the same moment: the row says who sends."""
    world = without_timers()
    for _ in world.hosts:
        world.ask_health()
    world.clock.advance(timedelta(hours=2))
    sent = [job for context in world.hosts for job in world._clock_of[id(context)].look()]
    assert sorted(json.loads(job)["timer"] for job in sent) == sorted(SETTINGS)


def test_a_timer_never_seen_has_an_hour() -> None:
    """While a deployment goes on the release before runs the timers, notes nothing, and can't read the message."""
    world = World(demo_data=False)
    world.looks = True
    world.ask_health()
    world.clock.advance(timedelta(minutes=59))
    world.ask_health()
    assert world.queues.take(QUEUE_NOTIFICATIONS, world.clock.now()) is None
    world.clock.advance(timedelta(minutes=11))
    world.ask_health()
    assert world.queues.take(QUEUE_NOTIFICATIONS, world.clock.now()) is not None


def test_one_plan_at_a_time(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A run longer than its interval, an admin's start and the second clock: whoever comes second does nothing."""
    world = without_timers()
    caplog.set_level(logging.INFO)
    seen: list[str] = []

    def work(_: object) -> Outputs:
        seen.append("in")
        if len(seen) < 3:
            world.run_timer("reconcile")  # another process, at this very moment
            triggers.do_overdue(world.connection, "reconcile")
        return Outputs()

    monkeypatch.setitem(triggers.TIMERS, "reconcile", work)
    world.clock.advance(timedelta(minutes=15))
    world.run_timer("reconcile")
    assert seen == ["in"]
    assert caplog.text.count("timer.skipped") == 2
    world.run_timer("reconcile")  # over: the next may begin
    assert len(seen) == 2


@pytest.mark.parametrize("encode", [str, message_text.encode], ids=["json", "base64"])
def test_a_message_for_a_timer_that_died_too_often_is_no_dead_letter(
    encode: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    """The platform ended five workers on it: nobody can put it back, and what is overdue is sent for again anyway."""
    world = without_timers()
    triggers.do_poison(
        world.connection,
        QUEUE_NOTIFICATIONS,
        encode(TimerJob(function="reconcile", job="j-1").to_text()).encode(),
        "m-1",
    )
    assert world.stores.dead_letters.all(10) == []
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    triggers.do_poison(world.connection, QUEUE_NOTIFICATIONS, b'{"kind": "timer", "timer": "none"}', "m-2")
    triggers.do_poison(world.connection, QUEUE_NOTIFICATIONS, b"\xff", "m-3")
    assert len(world.stores.dead_letters.all(10)) == 2


def test_a_run_that_died_lets_the_next_one_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process is gone and notes no end; after ten minutes it counts as over."""
    world = without_timers()
    world.clock.advance(timedelta(minutes=15))
    seen: list[str] = []

    def work(_: object) -> Outputs:
        seen.append("in")
        raise Crash("gone")

    monkeypatch.setitem(triggers.TIMERS, "reconcile", work)
    monkeypatch.setattr("shared.operations.second_clock._end", lambda *_: None)  # a dead process notes nothing
    world.run_timer("reconcile")
    world.run_timer("reconcile")
    assert seen == ["in"]
    world.clock.advance(timedelta(minutes=15))
    world.run_timer("reconcile")
    assert len(seen) == 2


def test_what_fails_is_sent_for_again_and_no_dead_letter() -> None:
    """Business Central is down for an hour: nothing lies aside when it is back, and the work is done."""
    world = without_timers()
    world.bc.faults.add(Fault(kind=FaultKind.UNAVAILABLE, times=None))
    for _ in range(8):
        world.clock.advance(timedelta(minutes=15))
        world.ask_health()
        world.drain()
    assert world.stores.dead_letters.all(10) == []
    world.bc.faults.clear()
    back = world.clock.now()
    for _ in range(3):
        world.clock.advance(timedelta(minutes=15))
        world.ask_health()
        world.drain()
    done = {state.stream.purpose: state.done_at for state in world.stores.changes.streams.all()}
    assert done["pull"] is not None
    assert done["pull"] > back


def test_a_schedule_that_cannot_be_read_is_named_and_its_work_is_done() -> None:
    """The host leaves the function out; the finding names it, and the second clock does what it should."""
    world = without_timers()
    timers = timers_of({"BC_RECONCILE_SCHEDULE": "hourly"})
    view = status.view(world.ctx, world.stores, LoginView(state="ok", mode="client_secret"), timers)
    named = {found.seen.split()[0] for found in view.findings if found.code == "timer_left_out"}
    assert named == {"reconcile", "pull_items", "keep_subscriptions"}
    before = len(events(world))
    record = world.bc.user.create_item(displayName="unheard")
    world.webhooks_answer = False
    for _ in range(4):
        world.clock.advance(timedelta(minutes=15))
        world.ask_health()
        world.drain()
    assert ("item.created", subject(record)) in announced(world, "item.created")
    assert len(events(world)) > before
