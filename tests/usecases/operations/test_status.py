"""What an operator asks: everything in one look, whatever is broken, and the story of one order."""

import json
import threading
from dataclasses import asdict
from datetime import timedelta

import pytest
from business_central_emulator import Fault, FaultKind

from shared.dead_letters import frame
from shared.dead_letters.dead_letter_store import DeadLetter
from shared.errors import TokenError
from shared.operations import status
from shared.operations.poison_contents import Peeked
from shared.operations.status_view import LoginView, StatusView
from shared.resource_names import QUEUE_EVENTS, QUEUE_ORDERS, QUEUE_PAGES, QUEUE_RESULTS
from tests.simulation.world import World
from tests.support.shop import Shop
from tests.support.worlds import restart, small_world

CRONUS = "CRONUS International Ltd."
LOGIN = LoginView(state="ok", mode="client_secret")


def look(world: World) -> StatusView:
    """The status now."""
    return status.view(world.ctx, world.stores, LOGIN)


def view_entities(view: StatusView) -> tuple[str, ...]:
    """The entities that are watched."""
    return tuple(trigger.entity for trigger in view.triggers)


def test_a_fresh_app_says_that_nothing_has_run() -> None:
    """Before the first timers there is nothing to show, and that is shown."""
    view = look(World(demo_data=False))
    assert (view.streams, view.subscriptions, view.orders, view.dead_letters) == ((), (), (), ())
    assert [company.name for company in view.companies] == [CRONUS, "My Company"]
    assert view.login == LOGIN


def test_a_healthy_app_shows_watermarks_webhooks_and_runs() -> None:
    """Per company and entity how far it is read, when last, and until when its webhook lives."""
    world = small_world()
    world.run_for(timedelta(minutes=30))
    view = look(world)
    assert {(stream.company, stream.entity, stream.purpose, stream.state) for stream in view.streams} == {
        (company, entity, purpose, "ok") for company in (CRONUS, "My Company")
        for purpose, entities in (
            ("pull", ("items",)), ("reconcile", view_entities(view)), ("snapshot", view_entities(view))
        )
        for entity in entities
    }  # fmt: skip
    assert all(stream.last_run and not stream.error for stream in view.streams)
    assert all(stream.watermark for stream in view.streams if stream.purpose != "snapshot")
    assert view.findings == ()
    assert {(one.company, one.entity, one.state) for one in view.subscriptions} == {
        (company, entity, "ok") for company in (CRONUS, "My Company")
        for entity in ("items", "salesShipments", "salesInvoices")
    }  # fmt: skip
    assert all(one.expires_at and one.expires_at > world.clock.now() for one in view.subscriptions)
    assert [trigger.entity for trigger in view.triggers] == ["items", "salesShipments", "salesInvoices"]


def test_a_run_under_way_and_a_failed_one_are_told_apart() -> None:
    """The word and the reason."""
    world = small_world(env={"BC_COMPANIES": CRONUS})
    world.clock.advance(timedelta(minutes=15))
    world.run_timer("pull_items")
    assert {stream.state for stream in look(world).streams if stream.purpose == "pull"} == {"running"}
    world.bc.faults.add(Fault(kind=FaultKind.SERVER_ERROR, match="items", times=None, status=403))
    world.drain()
    (stream,) = [stream for stream in look(world).streams if stream.purpose == "pull"]
    assert stream.state == "failed"
    assert "403" in stream.error


def test_a_company_that_is_not_there_is_shown() -> None:
    """Misspelt in BC_COMPANIES: an entry of its own with the reason."""
    world = small_world(env={"BC_COMPANIES": f"{CRONUS},Contoso"})
    assert [(company.name, bool(company.error)) for company in look(world).companies] == [
        (CRONUS, False), ("Contoso", True),
    ]  # fmt: skip


def test_the_status_answers_while_bc_does_not() -> None:
    """What BC can't tell is said to be so, everything else is there, and companies keep their names.

    Also in a process that never saw them: the names outlive it.
    """
    world = small_world(env={"BC_COMPANIES": CRONUS})
    restart(world)
    world.bc.faults.add(Fault(kind=FaultKind.UNAVAILABLE, times=None))
    view = look(world)
    assert view.business_central is not None
    assert (view.business_central.code, view.health) == ("bc_down", "unreachable")
    assert [company.name for company in view.companies] == [CRONUS]
    assert {stream.company for stream in view.streams} == {one.company for one in view.subscriptions} == {CRONUS}


def test_an_outage_shows_within_a_minute_also_where_the_companies_are_known() -> None:
    """A list of a minute ago says nothing about now."""
    world = small_world(env={"BC_COMPANIES": CRONUS})
    assert look(world).health == "connected"
    world.bc.faults.add(Fault(kind=FaultKind.UNAVAILABLE, times=None))
    world.clock.advance(61)
    view = look(world)
    assert view.health == "unreachable"
    assert "bc_down" in {found.code for found in view.findings}
    assert not [found for found in view.findings if found.check == "companies"]


def test_a_business_central_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is there within some seconds, and says so."""
    world = small_world(env={"BC_COMPANIES": CRONUS})
    restart(world)
    gate = threading.Event()
    monkeypatch.setattr("shared.operations.status._BC_LIMIT_S", 0.05)
    monkeypatch.setattr(world.ctx.bc, "companies", lambda: gate.wait(10))
    view = look(world)
    gate.set()
    assert view.business_central is not None
    assert (view.business_central.code, view.health) == ("business_central_hangs", "unreachable")


def test_a_dead_login_is_told_once() -> None:
    """Business Central was not asked, so nothing is said about it; the person's name stays."""
    world = small_world(env={"BC_COMPANIES": CRONUS})
    restart(world)
    login = LoginView(state="needed", mode="authorization_code", code="AADSTS50173", user="megan@lmints.io")
    dead = TokenError("invalid_grant: AADSTS50173", code="invalid_grant")

    def fail() -> None:
        raise dead

    world.ctx.bc.companies = fail  # type: ignore[assignment,method-assign]  # the login, as the client meets it
    view = status.view(world.ctx, world.stores, login)
    assert [found.code for found in view.findings] == ["login_AADSTS50173"]
    assert (view.health, view.business_central) == ("login_needed", None)


def test_messages_in_poison_queues_are_counted() -> None:
    """With a hand on the queues; a storage that hangs leaves the rest of the page."""
    world = small_world(env={"BC_COMPANIES": CRONUS})
    depths = {"bc-pages-poison": 2, "sales-orders-poison": 0}
    view = status.view(world.ctx, world.stores, LOGIN, depth=depths.get)
    assert view.poison == {"bc-pages-poison": 2}
    assert view.health == "degraded"


def test_unread_events_are_shown_with_their_age() -> None:
    """Of the queues that others read; two days are a finding, which stops nothing."""
    world = small_world(env={"BC_COMPANIES": CRONUS})
    now = world.clock.now()
    old = Peeked(message_id="m-1", body=b"[]", put_at=now - timedelta(days=2), taken=0)
    depths = {QUEUE_EVENTS: 7, QUEUE_RESULTS: 0, QUEUE_ORDERS: 9}
    view = status.view(world.ctx, world.stores, LOGIN, depth=depths.get, peek=lambda _: [old])
    assert [(one.queue, one.messages, one.oldest) for one in view.unread] == [(QUEUE_EVENTS, 7, old.put_at)]
    assert "output_old" in [one.code for one in view.findings]


def test_a_webhook_past_its_time_is_shown_as_lost() -> None:
    """The app could not renew it for three days."""
    world = small_world(env={"BC_COMPANIES": CRONUS})
    world.clock.advance(timedelta(days=4))
    assert {one.state for one in look(world).subscriptions} == {"lost"}


def test_orders_that_are_not_in_bc_are_listed_and_counted() -> None:
    """Waiting, parked and rejected ones by key as sent, with the code of their reason; created ones are no concern."""
    shop = Shop()
    shop.submit(shop.message("fine"))
    shop.submit(shop.message("bad", shop.order(customerNumber="NOBODY")))
    shop.fail(FaultKind.THROTTLED)
    shop.submit(shop.message("later"))
    view = look(shop.world)
    assert (view.orders_waiting, view.orders_rejected, view.orders_parked) == (1, 1, 0)
    assert {(order.key, order.company, order.state, order.code) for order in view.orders} == {
        ("bad", CRONUS, "rejected", "Application_DialogException"),
        ("later", CRONUS, "waiting", "Application_TooManyRequests"),
    }


def test_counts_are_whole_though_the_list_is_cut() -> None:
    """Hundreds of rejected orders do not make the page endless."""
    shop = Shop()
    for number in range(130):
        shop.send(shop.message(f"k{number}", shop.order(orderDate="x")))
    shop.world.drain()
    view = look(shop.world)
    assert view.orders_rejected == 130
    assert len(view.orders) == 100


def test_messages_set_aside_are_shown_as_they_are_redriven() -> None:
    """Their id is what the redrive takes."""
    world = small_world(env={"BC_COMPANIES": CRONUS})
    frame.dead_letter_poison(
        world.ctx, world.stores.dead_letters, world.stores.orders, QUEUE_PAGES, b'{"job":"j-1"}', "m-1"
    )
    (message,) = look(world).dead_letters
    assert (message.id, message.queue, message.since) == ("bc-pages/j-1", QUEUE_PAGES, world.clock.now())
    assert message.reason


def test_nothing_of_a_record_or_a_secret_is_in_the_status() -> None:
    """Names of companies, counts, times and codes only."""
    shop = Shop()
    shop.submit(shop.message("bad", shop.order(customerNumber="NOBODY", email="person@example.com")))
    shop.world.run_for(timedelta(minutes=20))
    text = json.dumps(asdict(look(shop.world)), default=str)
    assert "person@example.com" not in text
    for record in shop.world.bc.environment.subscriptions:
        assert record["clientState"] not in text
        assert record["notificationUrl"].rpartition("/")[2] not in text


@pytest.mark.parametrize("key", ["web-1", " WEB-1 ", "Web-1"])
def test_the_story_of_an_order_is_told_by_its_key(key: str) -> None:
    """However the key is written."""
    shop = Shop()
    (result,) = shop.submit(shop.message())
    (story,) = status.order_story(shop.world.stores.orders, key)
    assert story["status"] == "created"
    assert (story["id"], story["number"]) == (result["id"], result["number"])
    assert (story["externalDocumentNumber"], story["attempts"], story["error"]) == ("WEB-1", 1, None)
    assert status.order_story(shop.world.stores.orders, "web") == []


def test_the_story_says_that_an_outcome_is_open() -> None:
    """Until it is settled, and when it will be looked at again."""
    shop = Shop()
    shop.fail(FaultKind.RESET_AFTER)
    shop.submit(shop.message())
    (story,) = status.order_story(shop.world.stores.orders, "WEB-1")
    assert (story["status"], story["outcomeUnknown"]) == ("waiting", True)
    assert story["nextTry"] > shop.world.clock.now()
    assert story["error"]["code"] == "network"


def test_many_dead_letters_of_one_queue_hide_none_of_another() -> None:
    """They are counted whole, and every queue has its share of the list (P26)."""
    world = small_world()
    for queue, count in (("bc-pages", 150), ("sales-orders", 1)):
        for n in range(count):
            letter = DeadLetter(queue=queue, name=f"job-{n:03d}", body=b"{}", reason="x", since=world.clock.now())
            world.stores.dead_letters.add(letter, retryable=False, now=world.clock.now())
    view = look(world)
    assert view.dead_letter_counts == {"bc-pages": 150, "sales-orders": 1}
    assert "sales-orders/job-000" in [letter.id for letter in view.dead_letters]
    assert [one.seen for one in view.findings if one.check == "dead_letters"] == [
        "151 dead letters (bc-pages 150, sales-orders 1); the first is bc-pages/job-000."
    ]


def test_many_rejected_orders_hide_none_that_is_parked_or_waits() -> None:
    """Rejected orders stay for good; each status has a list of its own, what waits for a person first."""
    shop = Shop()
    for n in range(101):
        shop.submit(shop.message(f"a-{n:03d}", shop.order(customerNumber="NOPE")))
    shop.fail(FaultKind.UNAVAILABLE, times=None)
    shop.submit(shop.message("web-1"))
    view = look(shop.world)
    assert (view.orders_waiting, view.orders_rejected) == (1, 101)
    assert [order.state for order in view.orders] == ["waiting", *["rejected"] * 100]


def test_a_dead_letter_is_found_by_message_id_and_by_order_key() -> None:
    """However many others there are (P26)."""
    world = small_world()
    now = world.clock.now()
    for n in range(150):
        body = json.dumps({"orderKey": f"web-{n}", "order": {"customerNumber": "1"}}).encode()
        letter = DeadLetter(queue=QUEUE_ORDERS, name=f"m-{n:03d}", body=body, reason="x", since=now)
        world.stores.dead_letters.add(letter, retryable=False, now=now)
    for key in ("m-149", "WEB-149"):
        view = status.view(world.ctx, world.stores, LOGIN, key=key)
        assert [letter.id for letter in view.dead_letters] == [f"{QUEUE_ORDERS}/m-149"]
        assert view.dead_letter_counts == {QUEUE_ORDERS: 150}
    assert status.view(world.ctx, world.stores, LOGIN, key="nobody").dead_letters == ()
