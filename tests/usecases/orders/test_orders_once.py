"""One sales order in Business Central per key: open outcomes, crashes, two workers, outages of days (P8, P9)."""

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import pytest
from business_central_emulator import FaultKind
from business_central_emulator.data.record import Record
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from shared.business_central.port import WHOLE_S, Slot
from shared.orders import resume
from shared.orders.next_step import PATIENCE, SETTLE
from shared.orders.order_store import LEASE_S
from shared.resource_names import QUEUE_ORDERS
from tests.simulation.world import Crash
from tests.support.shop import Shop
from tests.support.worlds import at_effect, kill_at_effect, restart, results


@pytest.fixture
def shop() -> Shop:
    """A fresh shop."""
    return Shop()


OPEN_OUTCOMES = [
    FaultKind.RESET_BEFORE, FaultKind.RESET_AFTER, FaultKind.TIMEOUT_BEFORE, FaultKind.TIMEOUT_AFTER,
    FaultKind.GATEWAY_TIMEOUT_AFTER, FaultKind.REQUEST_TIMEOUT_AFTER, FaultKind.TRUNCATED, FaultKind.SERVER_ERROR,
    FaultKind.HTML_ERROR, FaultKind.UNAVAILABLE,
]  # fmt: skip


@pytest.mark.parametrize("kind", OPEN_OUTCOMES)
@pytest.mark.parametrize("external", [None, "PO-1"])
def test_an_open_outcome_makes_one_order(shop: Shop, kind: FaultKind, external: str | None) -> None:
    """Before or after the commit, the order is looked up before anything is repeated (P8)."""
    shop.fail(kind)
    assert shop.submit(shop.message(order=shop.order(externalDocumentNumber=external))) == []
    assert shop.status() == "waiting"
    shop.wait(SETTLE + timedelta(minutes=30))
    (result,) = results(shop.world)
    assert result["status"] == "created"
    assert len(shop.orders()) == 1
    assert result["attempts"] <= 2


@pytest.mark.parametrize("kind", [FaultKind.RESET_BEFORE, FaultKind.RESET_AFTER])
def test_an_open_outcome_is_not_settled_by_an_older_order_with_the_same_number(shop: Shop, kind: FaultKind) -> None:
    """The purchase order was delivered in part before: that earlier order is not taken for this one."""
    order = shop.order(externalDocumentNumber="PO-1")
    (first,) = shop.submit(shop.message("a", order))
    shop.fail(kind)
    shop.submit(shop.message("b", order))
    shop.wait(SETTLE + timedelta(minutes=30))
    second = results(shop.world)[-1]
    assert (second["orderKey"], second["status"]) == ("b", "created")
    assert second["number"] != first["number"]
    assert len(shop.orders("PO-1")) == 2


@pytest.mark.parametrize("late_s", [1.0, 60.0, 300.0, 480.0])
def test_a_late_commit_is_waited_for(shop: Shop, late_s: float) -> None:
    """BC may work on a request for minutes after its gateway gave up: nothing is repeated before that is over."""
    shop.fail(FaultKind.LATE_COMMIT, late_s=late_s)
    shop.submit(shop.message())
    shop.wait(SETTLE + timedelta(minutes=30))
    assert [result["status"] for result in results(shop.world)] == ["created"]
    assert len(shop.orders()) == 1


@pytest.mark.parametrize(("retry_after", "least"), [(None, 1), ("600", 10)])
def test_a_429_is_waited_out(shop: Shop, retry_after: str | None, least: int) -> None:
    """BC did nothing; the order waits as long as BC asks, and its first result is "created"."""
    shop.fail(FaultKind.THROTTLED, retry_after=retry_after)
    shop.submit(shop.message())
    began = shop.world.clock.now()
    shop.wait(timedelta(minutes=30))
    (result,) = results(shop.world)
    assert (result["status"], result["attempts"]) == ("created", 2)
    assert shop.world.left[-1].at - began >= timedelta(minutes=least)


def test_bc_not_answering_the_look_up_posts_nothing(shop: Shop) -> None:
    """What cannot be looked up is not posted: the order waits."""
    shop.fail(FaultKind.UNAVAILABLE, match="^GET .*/salesOrders", times=4)
    assert shop.submit(shop.message()) == []
    assert shop.world.bc.limits.methods.get("POST", 0) == shop_posts_of_start(shop)
    shop.wait(timedelta(minutes=5))
    assert [result["status"] for result in results(shop.world)] == ["created"]


def shop_posts_of_start(shop: Shop) -> int:
    """POSTs made to register webhooks."""
    return len(shop.world.bc.environment.subscriptions)


def test_an_order_waits_when_companies_cannot_be_listed(shop: Shop) -> None:
    """Before its company is even known; it is then posted to the right one, and nothing stays behind."""
    restart(shop.world)
    shop.fail(FaultKind.UNAVAILABLE, match="/companies$", times=6)
    assert shop.submit(shop.message()) == []
    assert [entry.company for entry in shop.world.stores.orders.find("WEB-1")] == [""]
    shop.wait(timedelta(minutes=20))
    assert [result["status"] for result in results(shop.world)] == ["created"]
    assert [entry.company for entry in shop.world.stores.orders.find("WEB-1")] == [shop.world.bc.company().id]
    assert shop.world.stores.orders.waiting(10) == []


def test_a_transient_fault_is_waited_out_for_72_hours_and_then_parked_once(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    """No hands needed for three days; then a person is told, once, and can put it back (P9)."""
    shop.fail(FaultKind.THROTTLED, times=None)
    shop.submit(shop.message())
    shop.wait(PATIENCE - timedelta(hours=1), step=timedelta(minutes=30))
    assert results(shop.world) == []
    shop.wait(timedelta(hours=3), step=timedelta(minutes=30))
    (result,) = results(shop.world)
    assert (result["status"], result["error"]["code"]) == ("parked", "Application_TooManyRequests")
    assert [entry.key for entry in shop.world.stores.orders.stopped(10)] == ["WEB-1"]
    assert [record.levelno for record in caplog.records if "order.parked" in record.message] == [logging.ERROR]
    shop.world.bc.faults.clear()
    shop.wait(timedelta(hours=2), step=timedelta(minutes=30))
    assert len(results(shop.world)) == 1
    shop.world.leave(resume.redrive(shop.world.stores.orders, "WEB-1")[1])
    shop.world.drain()
    assert results(shop.world)[-1]["status"] == "created"
    assert len(shop.orders()) == 1


@pytest.mark.parametrize("minutes_before", [55, 30, 20, 10, 1])
@pytest.mark.parametrize("kind", [FaultKind.TIMEOUT_AFTER, FaultKind.LATE_COMMIT, FaultKind.RESET_BEFORE])
def test_an_order_is_not_parked_while_its_last_post_may_have_succeeded(
    shop: Shop, minutes_before: int, kind: FaultKind
) -> None:
    """Patience ends with an open outcome: the order is looked up once more before a person is told anything."""
    shop.fail(FaultKind.THROTTLED, times=None)
    shop.submit(shop.message())
    shop.wait(PATIENCE - timedelta(minutes=minutes_before), step=timedelta(minutes=1))
    shop.world.bc.faults.clear()
    shop.fail(kind)
    shop.wait(timedelta(hours=3), step=timedelta(minutes=5))
    (result,) = results(shop.world)
    assert result["status"] == ("created" if shop.orders() else "parked")
    assert len(shop.orders()) <= 1
    assert bool(shop.orders()) or kind is FaultKind.RESET_BEFORE


@pytest.mark.parametrize("match", ["^POST .*/salesOrders", "/sales"])
def test_an_order_whose_outcome_stays_open_is_parked_in_the_end(shop: Shop, match: str) -> None:
    """An outage that never ends, of posts or of everything, does not keep an order waiting for ever."""
    shop.fail(FaultKind.RESET_BEFORE)
    shop.submit(shop.message())
    shop.fail(FaultKind.RESET_BEFORE, match=match, times=None)
    shop.wait(PATIENCE + timedelta(hours=3), step=timedelta(minutes=10))
    assert [result["status"] for result in results(shop.world)] == ["parked"]


def test_an_order_posted_and_invoiced_before_we_looked_is_found(shop: Shop) -> None:
    """The answer was lost, and meanwhile the warehouse shipped and invoiced: the order is gone, its traces are not."""
    shop.fail(FaultKind.RESET_AFTER)
    shop.submit(shop.message())
    (order,) = shop.orders()
    number = order["number"]
    shop.world.bc.user.post_order(order)
    assert shop.orders() == []
    shop.wait(SETTLE + timedelta(minutes=30))
    (result,) = results(shop.world)
    assert (result["status"], result["number"]) == ("created", number)
    assert shop.orders() == []


def line_of(shop: Shop, order: Record) -> Record:
    """The one line of an order in BC."""
    return next(row for row in shop.world.bc.table("salesOrderLines") if row["documentId"] == order.id)


EDITS: dict[str, Callable[[Shop, Record], object]] = {
    "quantity": lambda shop, order: shop.world.bc.user.update(line_of(shop, order), {"quantity": 1}),
    "date": lambda shop, order: shop.world.bc.user.update(order, {"orderDate": "2026-12-24"}),
    "line deleted": lambda shop, order: shop.world.bc.user.delete(line_of(shop, order)),
}


@pytest.mark.parametrize("key", ["3bb5b4b6-ea4c-43ca-ba1c-3b69e29a6668", "web-1"])
@pytest.mark.parametrize("edit", EDITS)
def test_an_order_that_is_worked_on_before_its_lost_answer_is_looked_up_is_recognised(
    shop: Shop, key: str, edit: str
) -> None:
    """Its number is ours, or its key alone: nobody else can know it, whatever is changed in the document (P8)."""
    shop.fail(FaultKind.RESET_AFTER)
    shop.submit(shop.message(key, shop.order(orderDate="2026-02-11")))
    (made,) = shop.orders()
    EDITS[edit](shop, made)
    shop.wait(SETTLE + timedelta(minutes=30))
    assert [(one["status"], one["number"]) for one in results(shop.world)] == [("created", made["number"])]
    assert len(shop.orders()) == 1


def crash_at(shop: Shop, place: int) -> bool:
    """Let the process die at its n-th outside effect; False when there is no such place."""
    died = kill_at_effect(shop.world, place)
    shop.send(shop.message())
    shop.world.drain()
    shop.world.point = lambda _: None
    return bool(died)


@pytest.mark.parametrize("place", range(1, 25))
def test_a_crash_anywhere_makes_one_order_and_one_answer(shop: Shop, place: int) -> None:
    """Killed before or after any row, call or output; the redelivery finishes what was begun (P8)."""
    if not crash_at(shop, place):
        assert place > 12, "the places ended sooner than they should"
        assert len(results(shop.world)) == 1
        return
    shop.world.clock.advance(LEASE_S)
    shop.wait(SETTLE + timedelta(minutes=40))
    found = results(shop.world)
    assert {result["status"] for result in found} == {"created"}
    assert len({json.dumps(result) for result in found}) == 1
    assert len(shop.orders()) == 1
    assert shop.world.queues.waiting(QUEUE_ORDERS) == 0


@pytest.mark.parametrize("place", range(1, 25))
def test_two_workers_with_one_key_make_one_order(shop: Shop, place: int) -> None:
    """A second message with the same key is worked on inside any pause of the first."""
    shop.send(shop.message())
    shop.send(shop.message())
    at_effect(shop.world, place, lambda _: shop.world.step(QUEUE_ORDERS))
    shop.world.step(QUEUE_ORDERS)
    shop.world.point = lambda _: None
    shop.world.drain()
    shop.wait(SETTLE + timedelta(minutes=40))
    assert [result["status"] for result in results(shop.world)] == ["created", "created"]
    assert len({result["number"] for result in results(shop.world)}) == 1
    assert len(shop.orders()) == 1


def test_a_message_that_kills_its_worker_is_looked_up_before_it_is_posted_again(shop: Shop) -> None:
    """Five deaths after the commit: the poison handler takes the order over and finds it in BC."""

    def point(name: str) -> None:
        if name == "after POST salesOrders":
            raise Crash(name)

    shop.world.point = point
    shop.send(shop.message())
    for _ in range(8):
        shop.world.drain()
        shop.world.clock.advance(LEASE_S)
    shop.world.point = lambda _: None
    shop.wait(timedelta(hours=1))
    assert {result["status"] for result in results(shop.world)} == {"created"}
    assert len(shop.orders()) == 1


def test_a_worker_that_is_frozen_before_its_post_leaves_does_not_send_it(shop: Shop) -> None:
    """Another has posted the order meanwhile: the frozen one looks at the clock, and answers as its row says (P8)."""
    frozen: list[datetime] = []

    @contextmanager
    def slot(*, reserved: bool, or_reader: bool = False, limit_s: float = WHOLE_S) -> Iterator[Slot]:
        if reserved and not frozen and shop.status() == "posting":
            frozen.append(shop.world.clock.now())
            for _ in range(8):
                shop.world.clock.advance(timedelta(minutes=3))
                shop.world.run_timer("retry_sales_orders")
                shop.world.drain()
        yield Slot(close_for=lambda _: None)

    shop.world.budget.slot = slot  # type: ignore[method-assign]
    shop.submit(shop.message())
    shop.wait(SETTLE + timedelta(minutes=30))
    assert len(frozen) == len(shop.orders()) == 1
    assert {result["number"] for result in results(shop.world)} == {shop.orders()[0]["number"]}


kinds = st.sampled_from([
    FaultKind.THROTTLED, FaultKind.UNAVAILABLE, FaultKind.SERVER_ERROR, FaultKind.HTML_ERROR, FaultKind.RESET_BEFORE,
    FaultKind.RESET_AFTER, FaultKind.TIMEOUT_AFTER, FaultKind.GATEWAY_TIMEOUT_AFTER, FaultKind.REQUEST_TIMEOUT_AFTER,
    FaultKind.TRUNCATED, FaultKind.LATE_COMMIT,
])  # fmt: skip
places = st.sampled_from(["^POST .*/salesOrders", "^GET .*/salesOrders", "^GET .*/salesInvoices", ""])
sent = st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from(["C00120", "NOBODY"]), st.booleans())


@hypothesis_settings(max_examples=40)
@given(st.lists(sent, min_size=1, max_size=6), st.lists(st.tuples(kinds, places), max_size=5))
def test_sent_is_created_and_rejected_and_parked(
    sending: list[tuple[str, str, bool]], faults: list[tuple[FaultKind, str]]
) -> None:
    """Whatever goes wrong in whatever order: every message is answered in the end, and no key has two orders (P9)."""
    shop = Shop()
    for kind, match in faults:
        shop.fail(kind, match=match)
    for key, customer, pause in sending:
        shop.send(shop.message(key, shop.order(customerNumber=customer)))
        if pause:
            shop.world.drain()
    shop.wait(timedelta(hours=3), step=timedelta(minutes=2))
    answered = Counter(result["orderKey"].upper() for result in results(shop.world))
    assert answered == Counter(key.upper() for key, _, _ in sending)
    numbers = Counter(order["externalDocumentNumber"] for order in shop.orders())
    assert all(count == 1 for count in numbers.values())
    created = {result["orderKey"].upper() for result in results(shop.world) if result["status"] == "created"}
    assert created == set(numbers)
    assert shop.world.stores.orders.waiting(10) == []
    assert all(shop.world.queues.waiting(queue) == 0 for queue in shop.world.worked_queues())
