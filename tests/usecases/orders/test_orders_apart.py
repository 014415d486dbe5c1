"""A document in Business Central belongs to one order key, and no order is taken for another (P17)."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from business_central_emulator import FaultKind
from business_central_emulator.data.record import Record
from business_central_emulator.server.faults import TRANSIENT_ANSWERS

from shared.business_central.port import DocumentLine, PostedOrder
from shared.errors import BCRejected
from shared.orders import resume
from shared.orders.next_step import SETTLE
from shared.orders.order_message import parse_message
from tests.support.shop import CRONUS, Shop
from tests.support.worlds import restart, results

SETTLED = SETTLE + timedelta(minutes=40)
SEVEN = {"lineType": "Item", "lineObjectNumber": "PRK-1001", "quantity": 7}
TWO = {"lineType": "Item", "lineObjectNumber": "PRK-1001", "quantity": 2}


@pytest.fixture
def shop() -> Shop:
    """A fresh shop."""
    return Shop()


def numbers(shop: Shop) -> dict[str, str]:
    """Order key as sent -> number of the order it was told."""
    return {result["orderKey"]: result["number"] for result in results(shop.world) if result["status"] == "created"}


@pytest.mark.parametrize("kind", [FaultKind.RESET_BEFORE, FaultKind.RESET_AFTER, FaultKind.LATE_COMMIT])
@pytest.mark.parametrize("line", [SEVEN, TWO])
def test_two_keys_under_one_number_are_two_orders_whatever_becomes_of_the_first_post(
    shop: Shop, kind: FaultKind, line: dict[str, Any]
) -> None:
    """The other is posted while the first is in doubt: at once if it looks otherwise, after it if it looks alike."""
    shop.fail(kind)
    shop.submit(shop.message("a", shop.order(externalDocumentNumber="PO-1")))
    shop.submit(shop.message("b", shop.order(line, externalDocumentNumber="PO-1")))
    assert shop.status("B") == ("created" if line is SEVEN else "waiting")
    shop.wait(SETTLED)
    assert set(numbers(shop)) == {"a", "b"}
    assert len(set(numbers(shop).values())) == len(shop.orders("PO-1")) == 2
    quantities = {row["documentId"]: row["quantity"] for row in shop.world.bc.table("salesOrderLines")}
    by_number = {order["number"]: quantities[order.id] for order in shop.orders()}
    assert by_number[numbers(shop)["a"]] == 2
    assert by_number[numbers(shop)["b"]] == line["quantity"]


@pytest.mark.parametrize("other", [{"customerNumber": "C2"}, {"externalDocumentNumber": "PO-2"}])
def test_only_orders_that_could_be_mistaken_for_it_wait(shop: Shop, other: dict[str, str]) -> None:
    """Another customer, or another number: posted at once."""
    shop.world.bc.user.create_customer(number="C2", displayName="x")
    shop.fail(FaultKind.RESET_BEFORE)
    shop.submit(shop.message("a", shop.order(externalDocumentNumber="PO-1")))
    (result,) = shop.submit(shop.message("b", shop.order(**{"externalDocumentNumber": "PO-1", **other})))
    assert result["status"] == "created"


PARKED_AFTER = timedelta(hours=75)


@pytest.mark.parametrize("key", ["a", None])
@pytest.mark.parametrize("lines", [(), (SEVEN,)])
def test_an_order_that_a_clerk_types_in_meanwhile_is_for_a_person_to_tell(
    shop: Shop, key: str | None, lines: tuple[Any, ...]
) -> None:
    """Under the same number within the doubt: it can't be told from ours as a clerk has changed it, so a person tells.

    When he has given the other one its own number, a redrive posts the order.
    """
    shop.fail(FaultKind.RESET_BEFORE)
    shop.submit(shop.message(key, shop.order(externalDocumentNumber="PO-1")))
    typed = shop.world.bc.user.create_order(lines, customerNumber="C00120", externalDocumentNumber="PO-1")
    shop.wait(PARKED_AFTER, step=timedelta(minutes=10))
    assert [(one["status"], one["attempts"]) for one in results(shop.world)] == [("parked", 1)]
    assert f"order {typed['number']} may be this order or another one" in results(shop.world)[0]["error"]["message"]
    shop.world.bc.user.update(typed, {"externalDocumentNumber": "PO-1-BY-HAND"})
    shop.world.leave(resume.redrive(shop.world.stores.orders, key or "PO-1")[1])
    shop.wait(SETTLED)
    assert results(shop.world)[-1]["status"] == "created"
    assert len(shop.orders()) == 2


LINES_CHANGED: dict[str, Callable[[Shop, Record], object]] = {
    "customer": lambda shop, order: shop.world.bc.user.update(order, {"customerNumber": "C2"}),
    "quantity": lambda shop, order: shop.world.bc.user.update(
        next(row for row in shop.world.bc.table("salesOrderLines") if row["documentId"] == order.id), {"quantity": 9}
    ),
    "date": lambda shop, order: shop.world.bc.user.update(order, {"orderDate": "2026-12-24"}),
}


@pytest.mark.parametrize("edit", LINES_CHANGED)
def test_a_document_that_a_clerk_has_changed_while_its_order_was_in_doubt_is_not_posted_again(
    shop: Shop, edit: str
) -> None:
    """Nothing in it says who made it, so a person is asked; never two (P8)."""
    shop.world.bc.user.create_customer(number="C2", displayName="x")
    shop.fail(FaultKind.RESET_AFTER)
    shop.submit(shop.message(None, shop.order(externalDocumentNumber="PO-1", orderDate="2026-02-11")))
    (made,) = shop.orders()
    LINES_CHANGED[edit](shop, made)
    shop.wait(PARKED_AFTER, step=timedelta(minutes=10))
    assert [one["status"] for one in results(shop.world)] == ["parked"]
    assert made["number"] in results(shop.world)[0]["error"]["message"]
    assert len(shop.orders()) == 1


@pytest.mark.parametrize(("sent", "stored"), [("1.000005", "1.00001"), ("2.4", "2"), ("2.4", "2.5")])
def test_an_order_whose_quantity_business_central_rounds_is_recognised(shop: Shop, sent: str, stored: str) -> None:
    """Half away from zero, five decimals, or what the unit's precision allows; the answer was lost (P8)."""
    shop.fail(FaultKind.RESET_AFTER)
    line = {**TWO, "quantity": float(sent)}
    shop.submit(shop.message(None, shop.order(line, externalDocumentNumber="PO-1")))
    for row in list(shop.world.bc.table("salesOrderLines")):
        shop.world.bc.user.update(row, {"quantity": float(stored)})  # as it would have been stored at once
    shop.wait(SETTLED)
    assert [one["status"] for one in results(shop.world)] == ["created"]
    assert len(shop.orders()) == 1


ODD = ["PÖ1", "R&D", "O'1", "(1)", "PO*1", "A|B", "PO..1", "@1", "<1>", "(*)", "1=1", "%", "?", "ШЩ"]


@pytest.mark.parametrize("number", ODD)
def test_a_number_of_any_characters_is_looked_up_whenever_it_was_used(shop: Shop, number: str) -> None:
    """An order of that customer has borne it for months (P8)."""
    user = shop.world.bc.user
    user.create_order([TWO], customerNumber="C00120", externalDocumentNumber=number)
    shop.world.clock.advance(timedelta(days=60))
    (result,) = shop.submit(shop.message(None, shop.order(externalDocumentNumber=number)))
    assert (result["status"], result["error"]["code"]) == ("rejected", "OrderExists")
    assert len(shop.orders()) == 1


GERMAN_LOCK = json.dumps({
    "error": {
        "code": "Application_DialogException",
        "message": "Ein Datensatz in der Tabelle 'Verkaufskopf' wurde von einem anderen Benutzer gesperrt.",
    }
})  # fmt: skip


@pytest.mark.parametrize("times", [1, None])
def test_a_refusal_in_words_that_nobody_here_knows_is_waited_out_for_hours(shop: Shop, times: int | None) -> None:
    """It may be a lock; a rule of an app in its author's language is told when no lock lasts so long (P9)."""
    answer: dict[str, Any] = {"status": 400, "text": GERMAN_LOCK, "headers": {"Content-Type": "application/json"}}
    shop.fail(FaultKind.ANSWER, times=times, **answer)
    assert shop.submit(shop.message()) == []
    shop.wait(timedelta(hours=3, minutes=50))
    assert [one["status"] for one in results(shop.world)] == ([] if times is None else ["created"])
    shop.wait(timedelta(hours=1))
    (result,) = results(shop.world)
    assert result["status"] == ("rejected" if times is None else "created")
    assert len(shop.orders()) == (0 if times is None else 1)


@pytest.mark.parametrize("key", ["a", None])
def test_what_a_clerk_typed_in_before_the_post_is_never_taken_for_it(shop: Shop, key: str | None) -> None:
    """The replica lagged, so the look-up before the post did not show it: it can't be told, and a person decides."""
    shop.wait(timedelta(minutes=30))
    shop.fail(FaultKind.REPLICA_LAG, match="^GET", times=None, least_s=360.0, window_s=360.0)
    shop.world.bc.user.create_order([TWO], customerNumber="C00120", externalDocumentNumber="PO-1")
    shop.wait(timedelta(minutes=5))
    shop.fail(FaultKind.RESET_BEFORE)
    shop.submit(shop.message(key, shop.order(externalDocumentNumber="PO-1")))
    shop.wait(PARKED_AFTER, step=timedelta(minutes=10))
    assert [(one["status"], one["attempts"]) for one in results(shop.world)] == [("parked", 1)]
    assert "may be this order or another one" in results(shop.world)[0]["error"]["message"]


def test_an_order_that_a_clerk_completes_is_recognised(shop: Shop) -> None:
    """The answer was lost, and a line was added before we looked: it is the order, and there is one."""
    shop.fail(FaultKind.RESET_AFTER)
    shop.submit(shop.message())
    (made,) = shop.orders()
    freight = DocumentLine(frozenset(), "FREIGHT", Decimal(1))
    for host in shop.world.hosts:
        real = host.bc.order_lines
        host.bc.order_lines = lambda *given, real=real: [*real(*given), freight]  # type: ignore[method-assign]
    shop.wait(SETTLED)
    assert [result["number"] for result in results(shop.world)] == [made["number"]]
    assert len(shop.orders()) == 1


def lines_in_bc(shop: Shop) -> dict[str, list[int]]:
    """Number of an order -> quantities of its lines, in BC or invoiced."""
    tables = [("number", "salesOrders", "salesOrderLines"), ("orderNumber", "salesInvoices", "salesInvoiceLines")]
    return {
        row[number]: [int(line["quantity"]) for line in shop.world.bc.table(lines) if line["documentId"] == row.id]
        for number, documents, lines in tables
        for row in shop.world.bc.table(documents)
        if row["externalDocumentNumber"] == "PO-1"
    }


HAT = {"lineType": "Item", "lineObjectNumber": "HAT-1", "quantity": 1}


@pytest.mark.parametrize("invoiced", [False, True])
@pytest.mark.parametrize("wait", [timedelta(0), timedelta(minutes=11, seconds=20)])
@pytest.mark.parametrize(
    ("first", "second"), [((TWO,), (TWO, HAT)), ((SEVEN,), (TWO,)), ((TWO,), (SEVEN,)), ((TWO, HAT), (HAT,))]
)
def test_an_order_whose_lines_are_a_part_of_anothers_is_not_taken_for_it(
    shop: Shop, first: tuple[Any], second: tuple[Any], wait: timedelta, invoiced: bool
) -> None:
    """The first post never came; the second's answer is lost, and its document is seen by the first before it."""
    shop.world.bc.user.create_item(number="HAT-1", displayName="Hat", unitPrice=9)
    shop.fail(FaultKind.RESET_BEFORE)
    shop.submit(shop.message("a", shop.order(*first, externalDocumentNumber="PO-1")))
    shop.wait(wait, step=timedelta(seconds=20))
    shop.fail(FaultKind.RESET_AFTER)
    shop.submit(shop.message("b", shop.order(*second, externalDocumentNumber="PO-1")))
    if invoiced:
        for order in shop.orders("PO-1"):
            shop.world.bc.user.post_order(order)
    shop.wait(timedelta(minutes=90), step=timedelta(seconds=20))
    made = lines_in_bc(shop)
    assert {key: made[number] for key, number in numbers(shop).items()} == {
        "a": [line["quantity"] for line in first], "b": [line["quantity"] for line in second],
    }  # fmt: skip
    assert len(made) == 2


def test_one_customer_named_by_number_and_by_id_is_one(shop: Shop) -> None:
    """An order of another price and address waits for the one in doubt, as it would under the same name."""
    shop.fail(FaultKind.RESET_BEFORE)
    shop.submit(shop.message("a", shop.order(externalDocumentNumber="PO-1", shipToCity="Hamburg")))
    by_id = {"customerNumber": None, "customerId": shop.customer.id}
    shop.fail(FaultKind.RESET_AFTER)
    shop.submit(shop.message("b", shop.order(externalDocumentNumber="PO-1", shipToCity="Rome", **by_id)))
    assert shop.status("B") == "waiting"
    assert shop.orders("PO-1") == []
    shop.wait(timedelta(minutes=90))
    cities = {order["number"]: order["shipToCity"] for order in shop.orders("PO-1")}
    assert {key: cities[number] for key, number in numbers(shop).items()} == {"a": "Hamburg", "b": "Rome"}
    assert len(cities) == 2


def test_a_document_that_another_key_has_claimed_is_posted_again(shop: Shop) -> None:
    """A claim that came before our answer, as only a release without holds can make it: no key shares a document."""

    def point(name: str) -> None:
        if name == "after POST salesOrders":
            shop.world.point = lambda _: None
            company, (made,) = shop.world.bc.company().id, shop.orders()
            thief = replace(
                entry, key="THIEF", status="created", number=made["number"], order_id=made.id, etag="", place="",
                hold="", index="", senders=(),
            )  # fmt: skip
            assert company == thief.company
            shop.world.stores.orders.save(thief)

    shop.fail(FaultKind.THROTTLED)
    shop.submit(shop.message())
    (entry,) = shop.world.stores.orders.find("WEB-1")
    shop.world.point = point
    shop.wait(SETTLED)
    (result,) = results(shop.world)
    assert (result["status"], len(shop.orders())) == ("created", 2)
    assert result["number"] not in {e.number for e in shop.world.stores.orders.find("THIEF")}


@pytest.mark.parametrize("customer", ["*", "H&M", "A|B", "A..Z", "@X"])
@pytest.mark.parametrize("in_doubt", [False, True])
def test_a_customer_whose_number_al_takes_for_a_pattern_finds_no_other_customers_order(
    shop: Shop, customer: str, in_doubt: bool
) -> None:
    """The filter only narrows; number and customer are compared by us."""
    shop.world.bc.user.create_customer(number=customer, displayName="x")
    shop.world.bc.user.create_order([TWO], customerNumber="C00120", externalDocumentNumber="WEB-1")
    if in_doubt:
        shop.fail(FaultKind.RESET_BEFORE)
    shop.submit(shop.message(order=shop.order(customerNumber=customer)))
    shop.wait(SETTLED)
    (result,) = results(shop.world)
    assert result["status"] == "created"
    assert len(shop.orders("WEB-1")) == 2


def test_one_reference_on_thousands_of_orders(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them are remembered, and the order is posted, found again when its answer is lost, and never confused."""
    found = [PostedOrder(f"id-{n}", f"SO-{n:07d}") for n in range(3_500)]
    for host in shop.world.hosts:
        real = host.bc.find_orders
        monkeypatch.setattr(host.bc, "find_orders", lambda *a, real=real, **k: [*found, *real(*a, **k)])
    shop.fail(FaultKind.RESET_AFTER)
    shop.submit(shop.message("k1", shop.order(externalDocumentNumber="WEB")))
    shop.wait(SETTLED)
    (made,) = shop.orders("WEB")
    assert numbers(shop) == {"k1": made["number"]}
    (entry,) = shop.world.stores.orders.find("K1")
    assert len(entry.before.split("\n")) == 3_500


@pytest.mark.parametrize("count", [25_000, 0])
def test_a_look_up_has_an_end(shop: Shop, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """More documents than can be read or remembered: refused in words that say why."""
    found = [PostedOrder(f"id-{n}", f"SO-{n:07d}") for n in range(count)]

    def find(*_: Any, **__: Any) -> list[PostedOrder]:
        if not found:
            raise BCRejected("more than 20000 documents to look through", code="TooManyOrders")
        return found

    for host in shop.world.hosts:
        monkeypatch.setattr(host.bc, "find_orders", find)
    (result,) = shop.submit(shop.message("k1", shop.order(externalDocumentNumber="WEB")))
    assert (result["status"], result["error"]["code"]) == ("rejected", "TooManyOrders")
    assert shop.orders() == []


def test_keys_that_differ_in_a_sharp_s_are_two(shop: Shop) -> None:
    """.NET's upper case keeps it, so Business Central does, and so do keys; each result carries its key as sent."""
    for key in ("straße-1", "STRASSE-1", "Straße-1"):
        shop.submit(shop.message(key, shop.order(externalDocumentNumber="PO-1")))
    assert set(numbers(shop)) == {"straße-1", "STRASSE-1", "Straße-1"}
    assert numbers(shop)["straße-1"] == numbers(shop)["Straße-1"] != numbers(shop)["STRASSE-1"]
    assert len(shop.orders("PO-1")) == 2


def test_a_display_name_that_two_companies_bear_is_refused_with_their_ids(shop: Shop) -> None:
    """Names that people may change identify nothing; the id or the name goes."""
    restart(shop.world, BC_COMPANIES="*")
    made = [shop.world.bc.add_company(name, display_name="Nordlicht GmbH") for name in ("A-TEST", "NORDLICHT")]
    for company in made:
        shop.world.bc.user.create_customer(company=company.id, number="C00120", displayName="x")
        shop.world.bc.user.create_item(company=company.id, number="PRK-1001", displayName="x")
    (result,) = shop.submit(shop.message(company="nordlicht gmbh"))
    assert (result["status"], result["error"]["code"]) == ("rejected", "InvalidMessage")
    assert all(company.id in result["error"]["message"] for company in made)
    (result,) = shop.submit(shop.message(company="Nordlicht"))
    assert (result["status"], result["company"]) == ("created", made[1].id)


def test_an_order_stays_with_its_company_when_that_is_renamed(shop: Shop) -> None:
    """It was placed once; its name means nothing any more."""
    shop.fail(FaultKind.RESET_AFTER)
    shop.submit(shop.message())
    restart(shop.world, BC_COMPANIES="Nobody")
    shop.wait(SETTLED)
    assert [result["status"] for result in results(shop.world)] == ["created"]


@pytest.mark.parametrize(
    "change",
    [lambda text: text, lambda text: text.replace('"quantity": 2', '"quantity": 2.0'), lambda text: f" {text} "],
)
def test_a_repeat_that_means_the_same_is_the_same_order(shop: Shop, change: Callable[[str], str]) -> None:
    """However its numbers are written, and in whatever order its members come."""
    shop.fail(FaultKind.THROTTLED)
    shop.submit(shop.message())
    shop.submit(change(shop.message()))
    shop.wait(timedelta(minutes=5))
    assert [result["status"] for result in results(shop.world)] == ["created", "created"]
    assert len(shop.orders()) == 1


def test_a_waiting_order_of_0_1_0_goes_on(shop: Shop) -> None:
    """Its digest was made of that release's rendering, which no other makes; its message says what it is (P20)."""
    shop.fail(FaultKind.THROTTLED)
    shop.submit(shop.message())
    book = shop.world.stores.orders
    (entry,) = book.find("WEB-1")
    book.save(replace(entry, content="", digest="0" * 64, senders=(), likeness="", numbering="given"))
    shop.send(shop.message())
    shop.wait(timedelta(minutes=5))
    assert [(result["orderKey"], result["status"]) for result in results(shop.world)] == [("web-1", "created")]
    assert parse_message(shop.message(), message_id="x").content == book.find("WEB-1")[0].content
    (other,) = shop.submit(shop.message(order=shop.order(SEVEN)))
    assert "another order" in other["error"]["message"]


@pytest.mark.parametrize("reason", TRANSIENT_ANSWERS)
@pytest.mark.parametrize("match", ["^POST .*/salesOrders", "^GET .*/salesOrders"])
def test_a_passing_refusal_told_with_4xx_is_waited_out(shop: Shop, reason: str, match: str) -> None:
    """Business Central tells a lock, a deadlock or lost metadata with 400 and the code of a business rule (P9)."""
    shop.fail(FaultKind.TRANSIENT, match=match, reason=reason, times=2)  # a read is asked once more without its intent
    assert shop.submit(shop.message()) == []
    shop.wait(timedelta(minutes=5))
    assert [result["status"] for result in results(shop.world)] == ["created"]
    assert len(shop.orders()) == 1


ITEM = {"lineType": "Item", "quantity": 2}
MISPLACED: list[dict[str, Any]] = [
    {"quantity": 2},
    {"salesOrderLines": [{**TWO, "shipToName": "x"}]},
    {"salesOrderLines": [{**TWO, "orderDate": "2026-02-11"}]},
    {"salesOrderLines": [{**ITEM, "lineObjectNumber": "DEADLOCK"}]},
    {"customerNumber": "TRY AGAIN LATER"},
]


@pytest.mark.parametrize("fields", MISPLACED)
def test_what_business_central_refuses_for_good_is_told_at_once(shop: Shop, fields: dict[str, Any]) -> None:
    """A property that only the other level has, a value that reads like a passing refusal (P9)."""
    (result,) = shop.submit(shop.message(order=shop.order(**fields)))
    assert (result["status"], result["attempts"]) == ("rejected", 1)


NO_ENVIRONMENT = "<error><code>NoEnvironment</code><message>Environment does not exist</message></error>"


@pytest.mark.parametrize(("status", "text"), [(404, NO_ENVIRONMENT), (404, ""), (400, "<html>gateway</html>")])
def test_an_answer_that_is_not_surely_final_is_waited_out(shop: Shop, status: int, text: str) -> None:
    """An environment under way, a route that is not there, a gateway in Business Central's place."""
    shop.fail(FaultKind.ANSWER, status=status, text=text)
    assert shop.submit(shop.message()) == []
    shop.wait(timedelta(minutes=5))
    assert [result["status"] for result in results(shop.world)] == ["created"]


@pytest.mark.parametrize("late_s", [60.0, 400.0])
def test_an_order_that_is_rolled_back_is_never_told_as_created(shop: Shop, late_s: float) -> None:
    """The primary shows it until then; a replica never does (P17)."""
    shop.fail(FaultKind.LATE_ROLLBACK, late_s=late_s)
    shop.submit(shop.message())
    shop.wait(SETTLED)
    (result,) = results(shop.world)
    assert [order["number"] for order in shop.orders()] == [result["number"]]
    assert (result["status"], result["attempts"]) == ("created", 2)


@pytest.mark.parametrize("kind", [FaultKind.RESET_AFTER, FaultKind.RESET_BEFORE, FaultKind.LATE_COMMIT])
@pytest.mark.parametrize("external", [None, "PO-1"])
def test_a_replica_that_lags_by_an_hour_makes_no_second_order(
    shop: Shop, kind: FaultKind, external: str | None
) -> None:
    """What is there is seen on the primary, and reported once the replica shows it, too (P8, P17)."""
    shop.fail(FaultKind.REPLICA_LAG, match="^GET", times=None, window_s=3600.0)
    shop.fail(kind)
    shop.submit(shop.message(order=shop.order(externalDocumentNumber=external)))
    shop.wait(timedelta(hours=3), step=timedelta(minutes=2))
    assert [result["status"] for result in results(shop.world)] == ["created"]
    assert len(shop.orders()) == 1


def test_a_redriven_order_in_doubt_is_looked_up_where_it_was_posted(shop: Shop) -> None:
    """A person redrives days later: the document is as old as its post, and found none the less."""
    shop.fail(FaultKind.RESET_AFTER, times=1)
    shop.submit(shop.message("o'7"))
    shop.fail(FaultKind.UNAVAILABLE, match="^GET .*/sales", times=None)
    shop.wait(timedelta(hours=80), step=timedelta(minutes=20))
    assert shop.status("O'7") == "parked"
    shop.world.bc.faults.clear()
    shop.world.leave(resume.redrive(shop.world.stores.orders, "o'7")[1])
    shop.world.drain()
    assert results(shop.world)[-1]["status"] == "created"
    assert len(shop.orders()) == 1
    assert json.loads(shop.message())["company"] == CRONUS
