"""Messages that fail: tried again, set aside with their reason, put back by time or by hand; none ends unseen (P9)."""

import json
import logging
from collections.abc import Callable
from datetime import timedelta

import pytest
from business_central_emulator import Fault, FaultKind

from shared.changes.jobs import NotificationJob
from shared.dead_letters import frame, redrive
from shared.dead_letters.dead_letter_store import PATIENCE
from shared.errors import (
    BCThrottled,
    BCUnavailable,
    BudgetExhausted,
    IntegrationError,
    InvalidMessage,
    StoreUnavailable,
)
from shared.outputs import Outputs
from shared.resource_names import QUEUE_NOTIFICATIONS, QUEUE_ORDER_RESUMES, QUEUE_ORDERS, QUEUE_PAGES, WORK_QUEUES
from tests.simulation.queues import MAX_DELIVERIES
from tests.simulation.world import Crash, World
from tests.support.shop import Shop
from tests.support.worlds import announced, results, small_world, subject

CRONUS = "CRONUS International Ltd."
BODY = b'{"job":"j-1","redrive":0}'


@pytest.fixture
def world() -> World:
    """A started world of one company."""
    return small_world(env={"BC_COMPANIES": CRONUS})


def failing(error: IntegrationError) -> Callable[[str, bytes, str], Outputs]:
    """Work that fails."""

    def work(queue: str, body: bytes, message_id: str) -> Outputs:
        raise error

    return work


def guard(world: World, error: IntegrationError, delivery: int, body: bytes = BODY) -> Outputs:
    """Do failing work."""
    return frame.guarded(world.ctx, world.stores.dead_letters, QUEUE_PAGES, body, "m-1", delivery, failing(error))


def test_deliveries_end_where_the_hosts_do() -> None:
    """The app sets aside at its last delivery, so the host never has to: both numbers are the same."""
    assert frame.DELIVERIES == MAX_DELIVERIES


@pytest.mark.parametrize("delivery", range(1, frame.DELIVERIES))
def test_a_failing_message_goes_back_to_the_queue_first(world: World, delivery: int) -> None:
    """Most faults have passed by the next delivery."""
    with pytest.raises(BCUnavailable):
        guard(world, BCUnavailable("x"), delivery)
    assert world.stores.dead_letters.all(10) == []


@pytest.mark.parametrize("error", [BCUnavailable("down", status=503), StoreUnavailable("down")])
def test_the_last_delivery_sets_it_aside_with_its_reason(
    world: World, error: IntegrationError, caplog: pytest.LogCaptureFixture
) -> None:
    """It can be seen, says why, and comes back by itself."""
    assert guard(world, error, frame.DELIVERIES) == Outputs()
    (message,) = world.stores.dead_letters.all(10)
    assert (message.queue, message.name, message.body) == (QUEUE_PAGES, "j-1", BODY)
    assert "down" in message.reason
    assert message.next_try_at is not None
    assert [record.levelno for record in caplog.records if "message.dead_lettered" in record.message] == [logging.ERROR]


@pytest.mark.parametrize("error", [BudgetExhausted("no slot"), BCThrottled("slower", status=429, retry_after_s=180.0)])
def test_a_pause_that_bc_asks_for_is_nobodys_alarm(
    world: World, error: IntegrationError, caplog: pytest.LogCaptureFixture
) -> None:
    """A Retry-After longer than five deliveries is waited out without an ERROR, until the patience has an end."""
    caplog.set_level(logging.INFO)
    guard(world, error, frame.DELIVERIES)
    assert [letter.next_try_at is not None for letter in world.stores.dead_letters.all(10)] == [True]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "message.waiting" in caplog.text
    world.clock.advance(PATIENCE)
    guard(world, error, frame.DELIVERIES)
    assert [record.levelno for record in caplog.records if "message.dead_lettered" in record.message] == [logging.ERROR]


def test_what_can_never_work_is_set_aside_at_once_and_stays(world: World) -> None:
    """No retry can help a message that is none; a person decides."""
    assert guard(world, InvalidMessage(["job: nonsense"]), 1, b"garbage") == Outputs()
    (message,) = world.stores.dead_letters.all(10)
    assert (message.name, message.next_try_at) == ("m-1", None)
    world.clock.advance(timedelta(days=4))
    assert redrive.retry_due(world.ctx, world.stores.dead_letters) == Outputs()


BAD = [
    b"", b"\xff\xfe", b"null", b"[]", b'{"job": 5}', b'{"job": {"a": 1}}', b"[" * 48_000, b'{"job":"x/y#?"}',
    b'{"job":"\\ud800"}', b'{"job":"' + b"x" * 40_000 + b'"}',
]  # fmt: skip


@pytest.mark.parametrize("body", BAD, ids=range(len(BAD)))
@pytest.mark.parametrize("queue", WORK_QUEUES)
def test_no_message_breaks_the_handler_of_broken_messages(world: World, queue: str, body: bytes) -> None:
    """Whatever lands in a poison queue is kept or answered, and leaves that queue."""
    frame.dead_letter_poison(world.ctx, world.stores.dead_letters, world.stores.orders, queue, body, "m-1")
    (message,) = world.stores.dead_letters.all(10)
    assert (message.queue, message.body) == (queue, body)
    assert redrive.redrive(world.ctx, world.stores.dead_letters, queue, message.name) is not None


def test_it_waits_longer_each_time_and_gives_up_after_three_days(world: World) -> None:
    """Minutes at first, half an hour at most, 72 hours in all; then only a person puts it back."""
    began = world.clock.now()
    tries = []
    while world.clock.now() < began + PATIENCE + timedelta(hours=5):
        guard(world, BCUnavailable("x"), frame.DELIVERIES)
        (message,) = world.stores.dead_letters.all(10)
        if message.next_try_at is None:
            break
        tries.append(message.next_try_at - world.clock.now())
        world.clock.set(message.next_try_at)
        assert len(redrive.retry_due(world.ctx, world.stores.dead_letters).pages) in {0, 1}
        assert len(world.stores.dead_letters.take_due(world.clock.now(), 10)) == 0
        (message,) = world.stores.dead_letters.all(10)
        world.stores.dead_letters.enqueued_again(message, world.clock.now())
    assert tries[0] == timedelta(minutes=1)
    assert tries == sorted(tries)
    assert tries[-1] == timedelta(minutes=30)
    (message,) = world.stores.dead_letters.all(10)
    assert message.next_try_at is None
    assert message.since == began
    assert timedelta(hours=71) < world.clock.now() - began <= PATIENCE


def test_two_letters_of_strangers_with_a_member_job_stay_two(world: World) -> None:
    """On a queue that others write to no member is ours: the name of a letter is its message's id."""
    for n in (1, 2):
        body = json.dumps({"job": "J100", "redrive": -1, "externalDocumentNumber": f"PO-{n}"}).encode()
        frame.dead_letter(world.ctx, world.stores.dead_letters, QUEUE_ORDERS, body, f"m-{n}", "x", retryable=True)
    assert [letter.name for letter in world.stores.dead_letters.all(10)] == ["m-1", "m-2"]


def test_what_is_no_job_any_more_goes_to_a_person_and_not_round_for_ever(world: World) -> None:
    """Put back once, found unreadable, left to a person with that reason; counted all the while."""
    letters = world.stores.dead_letters
    frame.dead_letter_poison(
        world.ctx, letters, world.stores.orders, QUEUE_PAGES, b'{"run":"r","entity":"gone","job":"j"}', "m-1"
    )
    world.clock.advance(timedelta(minutes=2))
    assert redrive.retry_due(world.ctx, letters) == Outputs()
    (letter,) = letters.all(10)
    assert (letter.next_try_at, letter.tries) == (None, 1)
    assert "no message of this version" in letter.reason
    for _ in range(4):
        world.clock.advance(timedelta(hours=12))
        assert redrive.retry_due(world.ctx, letters) == Outputs()
    assert letters.all(10)[0].tries == 1
    assert letters.counts(world.clock.now()) == {QUEUE_PAGES: 1}


def test_a_thousand_letters_for_a_person_starve_no_other(world: World) -> None:
    """Letters that are due are found by their time, whatever else is kept (P26)."""
    letters = world.stores.dead_letters
    for n in range(1001):
        frame.dead_letter(world.ctx, letters, QUEUE_NOTIFICATIONS, b"{}", f"{n:04d}", "x", retryable=False)
    frame.dead_letter(world.ctx, letters, QUEUE_ORDERS, b"{}", "order-1", "x", retryable=True)
    world.clock.advance(timedelta(hours=1))
    assert letters.counts(world.clock.now()) == {QUEUE_NOTIFICATIONS: 1001, QUEUE_ORDERS: 1}
    assert [letter.name for letter in letters.take_due(world.clock.now(), 100)] == ["order-1"]


def test_a_letter_without_an_index_is_found_within_an_hour(world: World) -> None:
    """The last release wrote none, and may run beside this one."""
    letters = world.stores.dead_letters
    letters.counts(world.clock.now())
    guard(world, BCUnavailable("x"), frame.DELIVERIES, _page_job(world))
    table = world.tables.table("BcWatermarks")
    for row in list(table.query(f"{world.settings.connection}|parked-index")):
        if row.key != "swept":
            table.delete(row.partition, row.key)
    world.clock.advance(timedelta(minutes=61))
    assert len(redrive.retry_due(world.ctx, letters).pages) == 1


def outage(world: World, hours: float) -> None:
    """Let BC be away for some hours, with all timers and queues running."""
    world.bc.faults.add(Fault(kind=FaultKind.UNAVAILABLE, times=None))
    world.run_for(timedelta(hours=hours), every=timedelta(minutes=5))
    world.bc.faults.clear()


@pytest.mark.parametrize("hours", [1, 10, 71])
def test_after_an_outage_all_comes_in_without_hands(world: World, hours: float) -> None:
    """Notifications and pages that were set aside are put back by themselves (P4, P9)."""
    world.clock.advance(60)
    item = world.bc.user.create_item(displayName="x")
    world.clock.advance(40)
    world.deliver_webhooks()
    world.run_timer("reconcile")
    outage(world, hours)
    world.run_for(timedelta(minutes=50))
    assert announced(world, "item.created") == {("item.created", subject(item)): 1}
    assert world.stores.dead_letters.all(10) == []


def test_a_person_puts_a_message_back_and_it_is_forgotten_once_done(world: World) -> None:
    """By queue and name as the status shows them; unknown ones are not found."""
    world.clock.advance(60)
    item = world.bc.user.create_item(displayName="x")
    world.clock.advance(40)
    world.deliver_webhooks()
    (message,) = world.queues.names[QUEUE_NOTIFICATIONS]
    world.queues.names[QUEUE_NOTIFICATIONS].clear()
    frame.dead_letter_poison(
        world.ctx, world.stores.dead_letters, world.stores.orders, QUEUE_NOTIFICATIONS, message.body.encode(), "m-1"
    )
    name = json.loads(message.body)["job"]
    assert redrive.redrive(world.ctx, world.stores.dead_letters, QUEUE_NOTIFICATIONS, "other") is None
    assert redrive.redrive(world.ctx, world.stores.dead_letters, QUEUE_PAGES, name) is None
    outgoing = redrive.redrive(world.ctx, world.stores.dead_letters, QUEUE_NOTIFICATIONS, name)
    assert outgoing is not None
    assert [NotificationJob.from_text(text).redrive for text in outgoing.notifications] == [1]
    world.leave(outgoing)
    world.drain()
    assert announced(world) == {("item.created", subject(item)): 1}
    assert world.stores.dead_letters.all(10) == []


def test_a_page_that_kills_its_worker_is_redriven_with_its_claims(world: World) -> None:
    """Five deaths, then the poison queue; put back, it announces what it had claimed, under the same ids (P5)."""
    world.clock.advance(60)
    made = [world.bc.user.create_item(displayName="x") for _ in range(3)]
    world.run_timer("reconcile")
    deaths: list[str] = []

    def point(name: str) -> None:
        if name == "before put bc-events" and len(deaths) < MAX_DELIVERIES:
            deaths.append(name)
            raise Crash(name)

    world.point = point
    for _ in range(MAX_DELIVERIES + 1):
        world.drain()
        for queue in ("bc-pages",):
            for message in world.queues.names.get(queue, ()):
                if message.deliveries >= MAX_DELIVERIES:
                    world.queues.failed(queue, message, world.clock.now())
                    break
        world.clock.advance(600)
    world.run_for(timedelta(hours=1))
    assert len(deaths) == MAX_DELIVERIES
    assert announced(world, "item.created") == {("item.created", subject(item)): 1 for item in made}
    assert world.stores.dead_letters.all(10) == []


def test_an_order_put_back_keeps_its_key() -> None:
    """It comes back under another message id and is the same order."""
    shop = Shop()
    text = json.dumps(shop.order())
    frame.dead_letter(
        shop.world.ctx,
        shop.world.stores.dead_letters,
        QUEUE_ORDERS,
        text.encode(),
        "m-1",
        "storage was away",
        retryable=True,
    )
    shop.wait(timedelta(minutes=5))
    (result,) = results(shop.world)
    assert (result["orderKey"], result["status"]) == ("m-1", "created")
    assert shop.world.stores.dead_letters.all(10) == []


@pytest.mark.parametrize("where", ["before put sales-orders-resume", "before put sales-order-results"])
def test_an_order_put_back_survives_the_death_of_whoever_carries_it(where: str) -> None:
    """Its letter is removed only by the delivery that finished its work, and its result comes once (P9, P26)."""
    shop = Shop()
    deaths: list[str] = []
    letters = shop.world.stores.dead_letters
    text = shop.message("web-9").encode()
    frame.dead_letter(shop.world.ctx, letters, QUEUE_ORDERS, text, "m-1", "storage was away", retryable=True)

    def point(name: str) -> None:
        if name == where and not deaths:
            deaths.append(name)
            raise Crash(name)

    shop.world.point = point
    shop.wait(timedelta(hours=2), step=timedelta(minutes=5))
    assert deaths == [where]
    assert [(result["orderKey"], result["status"]) for result in results(shop.world)] == [("web-9", "created")]
    assert len(shop.orders()) == 1
    assert letters.all(10) == []


def test_an_order_that_kills_every_worker_ends_with_a_person() -> None:
    """Its letter comes back for 72 hours, longer each time, and then waits for a person (P9, P26)."""
    shop = Shop()
    letters, world = shop.world.stores.dead_letters, shop.world
    frame.dead_letter(world.ctx, letters, QUEUE_ORDERS, shop.message("web-9").encode(), "m-1", "x", retryable=True)
    for _ in range(400):
        world.clock.advance(timedelta(minutes=15).total_seconds())
        for text in redrive.retry_due(world.ctx, letters).resumes:  # five workers die, then it is poison
            frame.dead_letter_poison(
                world.ctx, letters, world.stores.orders, QUEUE_ORDER_RESUMES, text.encode(), "resume-1"
            )
    (letter,) = letters.all(10)
    assert letter.next_try_at is None
    assert 100 < letter.tries < 160
    assert letter.reason == "the worker died on it, or it could not be handed over, too often; before that: x"


def test_a_message_lost_on_its_way_back_comes_again(world: World) -> None:
    """It is noted as tried and not forgotten before its work is done."""
    guard(world, BCUnavailable("x"), frame.DELIVERIES, _page_job(world))
    world.clock.advance(120)
    assert len(redrive.retry_due(world.ctx, world.stores.dead_letters).pages) == 1
    world.clock.advance(timedelta(minutes=31))
    assert len(redrive.retry_due(world.ctx, world.stores.dead_letters).pages) == 1


def _page_job(world: World) -> bytes:
    world.run_timer("pull_items")
    return world.queues.names[QUEUE_PAGES].pop().body.encode()


def test_all_letters_of_a_queue_are_redriven_and_no_others(world: World) -> None:
    """At most 100 at a time; pressed again, the rest goes (P26)."""
    letters = world.stores.dead_letters
    for n in range(150):
        job = NotificationJob(job=f"n-{n}", company="c", entity="items")
        retryable = n % 2 == 0
        frame.dead_letter(world.ctx, letters, QUEUE_NOTIFICATIONS, job.to_text().encode(), "", "x", retryable=retryable)
    frame.dead_letter(world.ctx, letters, QUEUE_ORDERS, b"{}", "order-1", "x", retryable=False)
    first, second = (redrive.redrive_queue(world.ctx, letters, QUEUE_NOTIFICATIONS).notifications for _ in range(2))
    assert (len(first), len({*first, *second} - {*first})) == (100, 100)
    assert {NotificationJob.from_text(text).job for text in [*first, *second]} == {f"n-{n}" for n in range(150)}
    order = letters.get(QUEUE_ORDERS, "order-1")
    assert order is not None
    assert order.tries == 0
