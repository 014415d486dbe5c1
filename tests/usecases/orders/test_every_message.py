"""Every message in `sales-orders` ends in a result or a dead letter, whatever its bytes, encoding or members (P19)."""

import base64
import json
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from business_central_emulator import FaultKind
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from shared import message_text
from shared.dead_letters import erase, frame, redrive
from shared.orders import resume, submit
from shared.outputs import Outputs
from shared.resource_names import QUEUE_ORDER_RESUMES, QUEUE_ORDERS
from shared.triggers import WORK
from tests.simulation.world import Crash
from tests.support.shop import CRONUS, Shop
from tests.support.worlds import at_effect, kill_at, requests_made, restart, results, small_world

BOM = b"\xef\xbb\xbf"
MEMBERS = ["id", "Id", "dequeueCount", "insertionTime", "expirationTime", "nextVisibleTime", "popReceipt"]


@pytest.fixture
def shop() -> Shop:
    """A fresh shop."""
    return Shop()


def deliver(shop: Shop, body: bytes, message_id: str = "m-1", delivery: int = 1) -> list[dict[str, Any]]:
    """Deliver raw bytes as the host hands them over; returns the results."""
    conn = shop.world.connection
    outgoing = frame.guarded(
        conn.context, conn.stores.dead_letters, QUEUE_ORDERS, body, message_id, delivery,
        lambda of, raw, name: WORK[of](conn, raw, name),
    )  # fmt: skip
    return [json.loads(text) for text in outgoing.results]


@pytest.mark.parametrize(
    "encode", [bytes, base64.b64encode, lambda raw: BOM + raw, lambda raw: base64.b64encode(BOM + raw)]
)
def test_an_order_is_taken_as_text_and_as_base64(shop: Shop, encode: Any) -> None:
    """What today's queue SDKs send by default, and what Functions consumers expect; with or without BOM."""
    text = shop.message(order=shop.order(shipToCity="Zürich"))
    raw = json.dumps(json.loads(text), ensure_ascii=False).encode()
    (result,) = deliver(shop, encode(raw))
    assert (result["orderKey"], result["status"]) == ("web-1", "created")
    (order,) = shop.orders()
    assert order["shipToCity"] == "Zürich"


REFUSED: dict[str, Callable[[str], bytes]] = {
    "cp1252": lambda text: text.encode("cp1252"),
    "base64 of cp1252": lambda text: base64.b64encode(text.encode("cp1252")),
    "UTF-16": lambda text: text.encode("utf-16"),
    "U+FFFD": lambda text: text.replace("ü", "\ufffd").encode(),
    "U+FFFD, escaped": lambda text: text.replace("ü", "\\ufffd").encode(),
    "URL-safe base64": lambda text: base64.urlsafe_b64encode(text.replace("ü", "ÿÿ>>??").encode()),
    "binary": lambda text: bytes(range(256)),
    "nothing": lambda text: b"",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_lose_a_letter_is_refused_and_kept_as_it_came(shop: Shop, name: str) -> None:
    """A result under the message's id, no request, and the very bytes for whoever looks into it."""
    text = json.dumps({"customerNumber": "C00120", "shipToCity": "Zürich"}, ensure_ascii=False)
    body, before = REFUSED[name](text), requests_made(shop.world)
    (result,) = deliver(shop, body)
    assert (result["orderKey"], result["status"], result["error"]["code"]) == ("m-1", "rejected", "InvalidMessage")
    assert requests_made(shop.world) == before
    (entry,) = shop.world.stores.orders.find("M-1")
    assert entry.message == body
    found, outgoing = resume.redrive(shop.world.stores.orders, "m-1")
    assert found
    shop.world.leave(outgoing)
    shop.world.drain()
    assert results(shop.world)[-1]["status"] == "rejected"


@given(st.binary(max_size=300))
@hypothesis_settings(max_examples=60)
def test_any_bytes_end_in_one_result(body: bytes) -> None:
    """No bytes raise, and none vanish."""
    shop = Shop()
    (result,) = deliver(shop, body)
    assert result["status"] == "rejected"


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("value", ["tomorrow", 9, None, {"a": 1}])
def test_members_that_name_queue_metadata_have_no_effect(shop: Shop, name: str, value: object) -> None:
    """In a bare order BC judges them as it judges any member; beside an envelope's four they are refused."""
    (bare,) = deliver(shop, json.dumps({**shop.order(externalDocumentNumber="PO-1"), name: value}).encode())
    assert (bare["orderKey"], bare["status"]) == ("PO-1", "rejected")
    assert name in bare["error"]["message"]
    member: dict[str, Any] = {name: value or "x"}
    (wrapped,) = deliver(shop, shop.message(**member).encode())
    assert (wrapped["status"], wrapped["error"]["code"]) == ("rejected", "InvalidMessage")
    assert wrapped["error"]["message"].startswith(f"{name}: is no member of an order message")


@pytest.mark.parametrize("more", [{"redrive": -1}, {"job": "web-1"}, {"again": {"orderKey": "X", "company": ""}}])
def test_no_member_is_an_instruction_to_this_app(shop: Shop, more: dict[str, Any]) -> None:
    """What 0.1.0 took for its own marks: the message is answered like any other, and nobody's dead letter goes."""
    conn = shop.world.connection
    frame.dead_letter(conn.context, conn.stores.dead_letters, QUEUE_ORDERS, b"{}", "web-1", "x", retryable=False)
    (result,) = deliver(shop, shop.message(**more).encode())
    assert (result["status"], result["error"]["code"]) == ("rejected", "InvalidMessage")
    assert [letter.name for letter in shop.world.stores.dead_letters.all(9)] == ["web-1"]


def test_an_old_reference_wakes_a_stored_order_and_makes_none(shop: Shop) -> None:
    """For one release: 0.1.0 may have left some in the queue."""
    shop.fail(FaultKind.THROTTLED)
    shop.submit(shop.message())
    (entry,) = shop.world.stores.orders.find("WEB-1")
    old = json.dumps({"again": {"orderKey": entry.key, "company": entry.company}})
    (result,) = deliver(shop, old.encode(), "m-2")
    assert (result["orderKey"], result["status"]) == ("web-1", "created")
    unknown = json.dumps({"again": {"orderKey": "NOBODY", "company": entry.company}})
    (result,) = deliver(shop, unknown.encode(), "m-3")
    assert (result["orderKey"], result["status"]) == ("m-3", "rejected")
    assert len(shop.orders()) == 1


@pytest.mark.parametrize("customer", ["C00120", "LATER"])
def test_an_old_reference_to_an_order_that_has_an_outcome_is_a_message_like_any_other(
    shop: Shop, customer: str
) -> None:
    """Anybody may write it: it is refused with a result, and puts nothing back to work (P19)."""
    (done,) = shop.submit(shop.message(order=shop.order(customerNumber=customer)))
    if customer == "LATER":
        shop.world.bc.user.create_customer(number="LATER", displayName="x")
    old = json.dumps({"again": {"orderKey": "WEB-1", "company": done["company"]}})
    (result,) = deliver(shop, old.encode(), "m-2")
    assert (result["orderKey"], result["status"]) == ("m-2", "rejected")
    assert shop.status() == done["status"]


@pytest.mark.parametrize("place", ["before put sales-order-results", "before delete sales-orders"])
def test_an_old_reference_whose_worker_dies_answers_in_the_end(shop: Shop, place: str) -> None:
    """The order has its outcome when the message comes again, which is not refused then."""

    def point(name: str) -> None:
        if name == place:
            shop.world.point = lambda _: None
            raise Crash(name)

    shop.fail(FaultKind.THROTTLED)
    shop.submit(shop.message())
    (entry,) = shop.world.stores.orders.find("WEB-1")
    shop.world.point = point
    shop.send(json.dumps({"again": {"orderKey": entry.key, "company": entry.company}}))
    shop.world.drain()
    shop.wait(timedelta(minutes=15))
    assert {(result["orderKey"], result["status"]) for result in results(shop.world)} == {("web-1", "created")}


@pytest.mark.parametrize("letter", ["x", "鍵", "\U0001f600"])
@pytest.mark.parametrize("waits", [True, False])
def test_a_result_fits_a_queue_message(shop: Shop, letter: str, waits: bool) -> None:
    """However many faults a message has, and whether or not an order waits under its key (64 KiB of base64)."""
    if waits:
        shop.fail(FaultKind.UNAVAILABLE, match="/companies$", times=9)
        for host in shop.world.hosts:
            host.companies.forget()
        shop.submit(shop.message())
    order = {"customerNumber": "1", "salesOrderLines": [1] * 2000, letter * 200: letter * 1000}
    many = {letter * 40 + str(number): 1 for number in range(50)}
    deliver(shop, json.dumps({"company": "x", "orderKey": "web-1", "order": order, **many}).encode(), "m-2")
    (result,) = deliver(shop, json.dumps({"company": "x", "orderKey": "web-1", "order": order, **many}).encode(), "m-3")
    assert result["status"] == "rejected"
    assert len(message_text.encode(json.dumps(result))) <= 65_536


def test_orders_come_back_by_a_queue_of_their_own(shop: Shop) -> None:
    """Nothing of ours is written to a queue that others write to."""
    shop.fail(FaultKind.THROTTLED)
    shop.submit(shop.message())
    shop.world.clock.advance(timedelta(minutes=2))
    shop.world.run_timer("retry_sales_orders")
    assert shop.world.queues.waiting(QUEUE_ORDERS) == 0
    assert shop.world.queues.waiting(QUEUE_ORDER_RESUMES) == 1
    shop.world.drain()
    assert [result["status"] for result in results(shop.world)] == ["created"]


@pytest.mark.parametrize("body", [b"{}", b"x", b'{"orderKey": "a", "company": "b", "more": 1}', b'{"orderKey": 5}'])
def test_a_resume_that_names_no_order_becomes_a_dead_letter(shop: Shop, body: bytes) -> None:
    """Seen by a person, and not put back for ever."""
    conn = shop.world.connection
    outgoing = frame.guarded(
        conn.context, conn.stores.dead_letters, QUEUE_ORDER_RESUMES, body, "m-1", 1,
        lambda of, raw, name: WORK[of](conn, raw, name),
    )  # fmt: skip
    assert outgoing == Outputs()
    (letter,) = conn.stores.dead_letters.all(9)
    assert (letter.queue, letter.next_try_at) == (QUEUE_ORDER_RESUMES, None)


def test_a_resume_of_an_order_that_is_gone_does_nothing(shop: Shop) -> None:
    """Not even an answer: its sender had one, or goes on being awaited elsewhere."""
    assert (
        resume.resume(shop.world.ctx, shop.world.stores.orders, b'{"orderKey": "A", "company": ""}', "m") == Outputs()
    )


@pytest.mark.parametrize("kind", [FaultKind.THROTTLED, FaultKind.RESET_AFTER, FaultKind.UNAVAILABLE])
def test_three_messages_of_one_key_are_one_order_and_three_results(shop: Shop, kind: FaultKind) -> None:
    """Sent again and again while Business Central is away: each is answered, under the key as it wrote it."""
    shop.fail(kind)
    for key in ("web-1", "WEB-1", " Web-1 "):
        assert shop.submit(shop.message(key)) == []
    shop.wait(timedelta(minutes=40))
    assert sorted(result["orderKey"] for result in results(shop.world)) == [" Web-1 ", "WEB-1", "web-1"]
    assert len({(result["status"], result["number"]) for result in results(shop.world)}) == 1
    assert len(shop.orders()) == 1


def test_three_messages_are_answered_when_the_order_is_rejected_or_parked(shop: Shop) -> None:
    """Whatever the outcome is; a redrive answers all of them once more."""
    shop.fail(FaultKind.THROTTLED, times=None)
    for _ in range(3):
        shop.submit(shop.message())
    shop.wait(timedelta(hours=74), step=timedelta(minutes=30))
    assert [result["status"] for result in results(shop.world)] == ["parked"] * 3
    shop.world.bc.faults.clear()
    shop.world.leave(resume.redrive(shop.world.stores.orders, "web-1")[1])
    shop.world.drain()
    assert [result["status"] for result in results(shop.world)][3:] == ["created"] * 3


@pytest.mark.parametrize("place", range(1, 12))
def test_a_message_that_comes_while_the_order_is_posted_is_answered(shop: Shop, place: int) -> None:
    """It joins at any point of the other's work, which goes on and answers both."""
    shop.send(shop.message("a"))
    shop.send(shop.message("A"))
    at_effect(shop.world, place, lambda _: shop.world.step(QUEUE_ORDERS))
    shop.world.step(QUEUE_ORDERS)
    shop.world.drain()
    assert {result["orderKey"] for result in results(shop.world)} == {"a", "A"}
    assert len(shop.orders()) == 1


def test_a_message_of_a_key_that_is_held_by_a_dead_worker_is_answered_in_the_end(shop: Shop) -> None:
    """The dead one's own message comes back; until then others join and are done."""

    def point(name: str) -> None:
        if name == "before POST salesOrders":
            raise Crash(name)

    shop.world.point = point
    shop.send(shop.message("a"))
    shop.world.drain()
    shop.world.point = lambda _: None
    assert shop.submit(shop.message("A")) == []
    assert shop.world.queues.waiting(QUEUE_ORDERS) == 1
    shop.wait(timedelta(minutes=45))
    assert {result["orderKey"] for result in results(shop.world)} == {"a", "A"}
    assert len(shop.orders()) == 1


def test_more_messages_of_one_key_than_can_be_kept_are_refused(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a result that says so."""
    shop.fail(FaultKind.THROTTLED)
    shop.submit(shop.message())
    monkeypatch.setattr(submit, "is_too_long", lambda entry: len(entry.senders) > 2)
    assert shop.submit(shop.message()) == []
    (result,) = shop.submit(shop.message())
    assert (result["status"], result["error"]["message"]) == ("rejected", submit._TOO_MANY)


@pytest.mark.parametrize("is_swapped", [False, True])
@pytest.mark.parametrize("is_refused", [False, True])
def test_a_message_delivered_again_stays_in_its_company_whatever_that_is_called(
    is_swapped: bool, is_refused: bool
) -> None:
    """Its worker died after the order ended; then its company is renamed, and another may take the name (P9, P17)."""
    shop = Shop(world=small_world(env={"BC_COMPANIES": "*"}))
    order = shop.order(**({"customerNumber": "NOBODY"} if is_refused else {}))
    text = shop.message("web-1", order).encode()
    before = deliver(shop, text)
    assert before[0]["status"] == ("rejected" if is_refused else "created")
    (entry,) = shop.world.stores.orders.find("WEB-1")
    shop.world.bc.rename_company(entry.company, name="Renamed", display_name="Renamed")
    if is_swapped:
        (other,) = [one for one in shop.world.bc.environment.companies.values() if one.id != entry.company]
        shop.world.bc.rename_company(other.id, name=CRONUS, display_name=CRONUS)
    shop.world.clock.advance(timedelta(minutes=16))
    assert deliver(shop, text, delivery=2) == before
    assert [one.company for one in shop.world.stores.orders.find("WEB-1")] == [entry.company]
    assert deliver(shop, text, "m-2")[0]["company"] != entry.company


def test_an_unreadable_message_takes_no_waiting_orders_place(shop: Shop) -> None:
    """It bears the key of an order that has no company yet: refused, and the order goes on."""
    shop.fail(FaultKind.UNAVAILABLE, match="/companies$", times=9)
    for host in shop.world.hosts:
        host.companies.forget()
    shop.submit(shop.message())
    assert [entry.company for entry in shop.world.stores.orders.find("WEB-1")] == [""]
    (result,) = shop.submit(shop.message(order=shop.order(orderDate="x")))
    assert result["status"] == "rejected"
    shop.wait(timedelta(minutes=40))
    assert results(shop.world)[-1]["status"] == "created"


@pytest.mark.parametrize("has_key", [True, False])
def test_a_message_that_kills_its_worker_before_anything_is_stored_becomes_a_dead_letter(
    shop: Shop, has_key: bool
) -> None:
    """And comes back by itself: a result in the end, and one order."""

    def point(name: str) -> None:
        if name.startswith(f"before {QUEUE_ORDERS}") and "poison" not in name:
            raise Crash(name)

    shop.world.point = point
    shop.send(shop.message("web-1" if has_key else None))
    for _ in range(8):
        shop.world.drain()
        shop.world.clock.advance(timedelta(minutes=11))
    (letter,) = shop.world.stores.dead_letters.all(9)
    assert letter.queue == QUEUE_ORDERS
    shop.world.point = lambda _: None
    shop.wait(timedelta(hours=1))
    assert [result["status"] for result in results(shop.world)] == ["created"]
    assert shop.world.stores.dead_letters.all(9) == []


@pytest.mark.parametrize(
    ("down", "is_erased"), [(timedelta(0), True), (timedelta(hours=8), False), (timedelta(6), True)]
)
def test_a_message_without_a_key_that_is_poison_late_makes_no_second_order(
    shop: Shop, down: timedelta, is_erased: bool
) -> None:
    """Its workers die after the post; the host is away, or a person erases the order, before it is poison (P8)."""

    def point(name: str) -> None:
        if name == f"before delete {QUEUE_ORDERS}":
            raise Crash(name, whole=True)

    world = shop.world
    key = shop.send(shop.message(None))
    world.point = point
    for _ in range(5):
        world.step(QUEUE_ORDERS)
        world.clock.advance(601)
    if is_erased:
        assert erase.erase(world.ctx, world.stores.orders, world.stores.dead_letters, key).orders == 1
    world.point = lambda _: None
    world.clock.advance(down)
    world.drain()
    shop.wait(timedelta(minutes=20))
    assert len(shop.orders()) == 1
    assert {result["orderKey"].upper() for result in results(world)} == {key.upper()}
    (letter,) = world.stores.dead_letters.all(9)
    assert letter.next_try_at is None


def die_at_once(shop: Shop, text: str, rounds: int = 12) -> None:
    """Send a message whose workers die as they begin, until it is poison and what is left of it has been worked on."""

    def point(name: str) -> None:
        if name == f"before {QUEUE_ORDERS}":
            raise Crash(name)

    shop.world.point = point
    shop.send(text)
    for _ in range(rounds):
        shop.world.drain()
        shop.world.clock.advance(timedelta(minutes=11))
    shop.world.drain()
    shop.world.point = lambda _: None


@pytest.mark.parametrize("is_down", [True, False])
def test_the_same_order_once_more_without_a_key_is_not_taken_for_the_first(shop: Shop, is_down: bool) -> None:
    """Its worker dies before a row is written; the first waits, or was created: a person sees the second (P9, P19)."""
    if is_down:
        shop.fail(FaultKind.UNAVAILABLE, times=3)
    shop.submit(shop.message(None))
    die_at_once(shop, shop.message(None))
    shop.wait(timedelta(hours=3))
    assert {result["status"] for result in results(shop.world)} == {"created"}
    (letter,) = shop.world.stores.dead_letters.all(9)
    assert (letter.queue, letter.next_try_at) == (QUEUE_ORDERS, None)
    assert "the same order once more" in letter.reason
    assert len({result["orderKey"] for result in results(shop.world)}) == 1
    shop.world.leave(
        redrive.redrive(shop.world.ctx, shop.world.stores.dead_letters, letter.queue, letter.name) or Outputs()
    )
    shop.world.drain()
    assert len(shop.orders()) == 2


def test_an_order_that_poison_finds_at_the_end_of_its_patience_is_answered(shop: Shop) -> None:
    """Business Central was down and the app stopped for three days; both of its messages hear of it (P9, P19)."""
    shop.fail(FaultKind.UNAVAILABLE, times=None)
    shop.submit(shop.message())
    shop.wait(timedelta(hours=1))
    shop.world.clock.advance(timedelta(hours=74))
    die_at_once(shop, shop.message())
    shop.world.bc.faults.clear()
    shop.wait(timedelta(hours=1))
    assert [result["status"] for result in results(shop.world)] == [shop.status()] * 2
    assert shop.world.stores.dead_letters.all(9) == []


@pytest.mark.parametrize("place", ["before put sales-order-results", "after put sales-order-results"])
def test_a_poisoned_order_is_answered_although_the_worker_that_parks_it_dies(shop: Shop, place: str) -> None:
    """The redelivery of its resume tells the outcome once more."""

    def point(name: str) -> None:
        if name == place:
            shop.world.point = lambda _: None
            raise Crash(name)

    shop.fail(FaultKind.UNAVAILABLE, times=None)
    shop.submit(shop.message())
    shop.world.clock.advance(timedelta(hours=75))
    die_at_once(shop, shop.message())
    shop.world.point = point
    shop.wait(timedelta(hours=1))
    assert {result["status"] for result in results(shop.world)} == {"parked"}
    assert len(results(shop.world)) >= 2


def test_a_persons_redrive_whose_workers_die_is_carried_out(shop: Shop) -> None:
    """The refusal that it found is none of its answers (P19)."""
    shop.submit(shop.message(order=shop.order(customerNumber="NOBODY")))
    shop.world.bc.user.create_customer(number="NOBODY", displayName="there is one now")
    shop.world.leave(resume.redrive(shop.world.stores.orders, "web-1")[1])

    def point(name: str) -> None:
        if name == f"before {QUEUE_ORDER_RESUMES}":
            raise Crash(name)

    shop.world.point = point
    for _ in range(7):
        shop.world.drain()
        shop.world.clock.advance(timedelta(minutes=11))
    shop.world.point = lambda _: None
    shop.wait(timedelta(hours=3))
    assert [result["status"] for result in results(shop.world)] == ["rejected", "created"]
    assert len(shop.orders()) == 1


def die_often(shop: Shop, place: str, deaths: int = 5) -> list[str]:
    """Kill the workers of the stored order's resumes at a place, so many times; return where they died."""
    died: list[str] = []

    def point(name: str) -> None:
        if name == place and len(died) < deaths:
            died.append(name)
            raise Crash(name)

    shop.world.point = point
    for _ in range(12):
        shop.world.clock.advance(timedelta(minutes=11))
        shop.world.run_timer("retry_sales_orders")
        shop.world.drain()
    shop.wait(timedelta(hours=30))
    return died


@pytest.mark.parametrize("has_company", [True, False])
@pytest.mark.parametrize("place", ["before POST salesOrders", "before put sales-order-results"])
def test_a_resume_that_kills_its_workers_loses_no_order_and_no_result(
    shop: Shop, place: str, has_company: bool
) -> None:
    """Before the post, or between the outcome and its result; its order may have found its company (P9)."""
    if has_company:
        shop.fail(FaultKind.UNAVAILABLE, times=1)
    else:
        shop.fail(FaultKind.UNAVAILABLE, match="/companies$", times=9)
        for host in shop.world.hosts:
            host.companies.forget()
    shop.submit(shop.message("a"))
    assert shop.status("A") == "waiting"
    shop.world.bc.faults.clear()
    assert len(die_often(shop, place)) == 5
    assert len(shop.orders()) == 1
    assert [result["status"] for result in results(shop.world)] == ["created"]
    assert shop.world.stores.dead_letters.all(9) == []


def test_resumes_that_lie_in_the_queue_when_an_order_is_answered_do_nothing(shop: Shop) -> None:
    """Each was put while the queue stood still: only a person's redrive tries a refused order anew (P19)."""
    shop.fail(FaultKind.TRANSIENT, times=1)
    shop.submit(shop.message("a", shop.order(customerNumber="NOBODY")))
    orders = shop.world.stores.orders
    (entry,) = orders.find("A")
    for _ in range(3):
        shop.world.queues.put(QUEUE_ORDER_RESUMES, resume.resume_message(orders, entry), shop.world.clock.now())
    shop.world.drain()
    assert [(one["status"], one["attempts"]) for one in results(shop.world)] == [("rejected", 2)]
    shop.world.leave(resume.redrive(orders, "a")[1])
    shop.world.drain()
    assert [one["attempts"] for one in results(shop.world)] == [2, 3]


def test_a_message_that_a_resume_has_answered_is_answered_again_and_not_tried_anew(shop: Shop) -> None:
    """Its worker died before it could delete it; the order's result does not go back (P17)."""
    shop.fail(FaultKind.TRANSIENT, times=1)
    kill_at(shop.world, f"before delete {QUEUE_ORDERS}")
    shop.submit(shop.message("a", shop.order(customerNumber="NOBODY")))
    shop.wait(timedelta(minutes=5))
    assert shop.status("A") == "rejected"
    shop.fail(FaultKind.UNAVAILABLE, times=None)
    shop.wait(timedelta(minutes=15))
    assert shop.status("A") == "rejected"
    assert [(one["status"], one["attempts"]) for one in results(shop.world)] == [("rejected", 2)] * 2


KEYS = ["鍵" * 80, "П" * 94, "a/b?c#d%2F e", "Büro " * 39 + "x", "é" * 200, "k" * 200, "'|*..@"]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_of_any_characters_is_found_and_redriven(shop: Shop, key: str) -> None:
    """Up to 200 of them; the result carries it as it was sent."""
    (result,) = shop.submit(shop.message(key, shop.order(customerNumber="LATER")))
    assert (result["orderKey"], result["status"]) == (key, "rejected")
    shop.world.bc.user.create_customer(number="LATER", displayName="x")
    found, outgoing = resume.redrive(shop.world.stores.orders, f" {key.lower()} ")
    assert found
    shop.world.leave(outgoing)
    shop.world.drain()
    assert (results(shop.world)[-1]["orderKey"], results(shop.world)[-1]["status"]) == (key, "created")


def test_a_line_with_a_sequence_is_refused_before_business_central_answers_500(shop: Shop) -> None:
    """It would be posted for 72 hours."""
    line = {"lineType": "Item", "lineObjectNumber": "PRK-1001", "quantity": 1, "sequence": 10000}
    (result,) = shop.submit(shop.message(order=shop.order(line)))
    assert "salesOrderLines[0].sequence: is set by Business Central" in result["error"]["message"]


def test_a_connection_that_is_not_there_is_refused(shop: Shop) -> None:
    """The one there is may be named."""
    (result,) = shop.submit(shop.message(connection="default"))
    assert result["status"] == "created"
    (result,) = shop.submit(shop.message("b", connection="us"))
    assert (result["status"], result["error"]["message"]) == ("rejected", "connection: must be default")


def wait_without_a_company(shop: Shop, text: str) -> None:
    """Have an order come while the companies can't be listed; then they can."""
    shop.fail(FaultKind.UNAVAILABLE, match="/companies$", times=9)
    for host in shop.world.hosts:
        host.companies.forget()
    shop.submit(text)
    shop.world.bc.faults.clear()


@pytest.mark.parametrize("place", [None, "before put sales-order-results", "after put sales-order-results"])
@pytest.mark.parametrize("line", [None, {"lineType": "Item", "lineObjectNumber": "PRK-1001", "quantity": 9}])
def test_an_order_that_waited_without_a_company_is_answered_whatever_has_its_place(
    shop: Shop, place: str | None, line: dict[str, Any] | None
) -> None:
    """Meanwhile its key was used: a repeat or another order, and the worker may die before its answer is written."""
    wait_without_a_company(shop, shop.message("a"))
    (first,) = shop.submit(shop.message("A", shop.order(*filter(None, [line]))))
    assert first["status"] == "created"

    def point(name: str) -> None:
        if name == place:
            shop.world.point = lambda _: None
            raise Crash(name)

    shop.world.point = point
    shop.wait(timedelta(minutes=30))
    told = [result["status"] for result in results(shop.world) if result["orderKey"] == "a"]
    assert told == ["rejected" if line else "created"] * (2 if place and place.startswith("after") else 1)
    assert shop.world.stores.orders.waiting(9) == []
    assert shop.status("A") == ("rejected,created" if line else "created")
    assert len(shop.orders()) == 1


def test_what_waited_without_a_company_waits_no_longer_than_its_answer(shop: Shop) -> None:
    """It is answered with the order that has its key by then, and no list holds it from that very moment on."""
    wait_without_a_company(shop, shop.message("a"))
    shop.submit(shop.message("A"))
    while len(results(shop.world)) == 1:
        shop.wait(timedelta(minutes=1))
    assert [result["orderKey"] for result in results(shop.world)] == ["A", "a"]
    (entry,) = shop.world.stores.orders.find("A")
    assert (entry.status, [sender.sent_key for sender in entry.senders]) == ("created", ["A", "a"])
    assert shop.world.stores.orders.counts(9) == {"parked": 0, "rejected": 0, "waiting": 0}


def test_whoever_waited_before_is_answered_although_the_same_happens_once_more(shop: Shop) -> None:
    """The worker dies before its results are written, and others waited without a company before it comes back."""
    wait_without_a_company(shop, shop.message("a"))
    shop.submit(shop.message("A"))
    (text,) = resume.due(shop.world.stores.orders, shop.world.clock.now() + timedelta(hours=1)).resumes
    lost = WORK[QUEUE_ORDER_RESUMES](shop.world.connection, text.encode(), "r-1")
    assert [json.loads(one)["orderKey"] for one in lost.results] == ["a"]
    wait_without_a_company(shop, shop.message(" a"))
    shop.wait(timedelta(minutes=30))
    told = [result["orderKey"] for result in results(shop.world)]
    assert Counter(told) == Counter(["A", "A", "a", " a"])


def test_an_erased_order_that_answers_once_more_forgets_the_names_again(shop: Shop) -> None:
    """The next erasure finds what came since."""
    shop.submit(shop.message("A"))
    orders, letters = shop.world.stores.orders, shop.world.stores.dead_letters
    wait_without_a_company(shop, shop.message("a"))
    erase.erase(shop.world.ctx, orders, letters, "A")
    shop.wait(timedelta(minutes=30))
    assert results(shop.world)[-1]["orderKey"] == "a"
    assert [entry.has_contents for entry in orders.find("A")] == [True]
    erase.erase(shop.world.ctx, orders, letters, "A")
    assert [entry.has_contents for entry in orders.find("A")] == [False]


@pytest.mark.parametrize("at", ["BcOrders.delete", "BcOrders.write"])
@pytest.mark.parametrize("nth", range(1, 9))
def test_an_order_that_waited_without_a_company_is_answered_wherever_its_worker_dies(
    shop: Shop, at: str, nth: int
) -> None:
    """It is created, and the worker dies as it forgets the row under no company: the half of it, once, for good."""
    wait_without_a_company(shop, shop.message())
    places = iter(range(1, 100))

    def point(name: str) -> None:
        if name == f"before {at}" and next(places) == nth:
            raise Crash(name)

    shop.world.point = point
    shop.wait(timedelta(hours=2))
    assert {result["status"] for result in results(shop.world)} == {"created"}
    assert len(shop.orders()) == 1
    assert shop.world.stores.dead_letters.all(9) == []


def test_an_order_that_was_refused_and_waits_for_its_company_is_not_forgotten(shop: Shop) -> None:
    """Its company was unknown, a person redrives, and the companies can't be listed just then."""
    restart(shop.world, BC_COMPANIES="*")
    shop.submit(shop.message(company="Contoso"))
    contoso = shop.world.bc.add_company("Contoso")
    shop.world.bc.user.create_customer(company=contoso.id, number="C00120", displayName="x")
    shop.world.bc.user.create_item(company=contoso.id, number="PRK-1001", displayName="x")
    shop.fail(FaultKind.UNAVAILABLE, match="/companies$", times=6)
    shop.world.leave(resume.redrive(shop.world.stores.orders, "web-1")[1])
    shop.world.drain()
    assert shop.status() == "waiting"
    shop.wait(timedelta(minutes=30))
    assert [result["status"] for result in results(shop.world)] == ["rejected", "created"]
