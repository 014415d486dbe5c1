"""Webhooks kept alive: registered, renewed by age, rebuilt when lost with the gap read, orphans removed (P7)."""

import logging
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

import pytest
from business_central_emulator import Fault, FaultKind, HandshakeAnswer

from shared.business_central.port import Wanted
from shared.errors import StoreUnavailable
from shared.webhooks.keep import keep_subscriptions
from shared.webhooks.notes import WebhookNote
from shared.webhooks.plan import RENEW_AGE
from tests.simulation.world import PUBLIC_URL, World
from tests.support.worlds import announced, restart, small_world, subject

WATCHED = 6  # three entities in two companies


def held(world: World) -> dict[str, Any]:
    """The webhooks of the environment by id."""
    return {record["subscriptionId"]: record.values() for record in world.bc.environment.subscriptions}


def handshakes(world: World) -> list[str]:
    """Keep the URLs of handshakes from now on."""
    seen: list[str] = []
    shake = world.bc.handshake

    def noting(url: str) -> Any:
        seen.append(url)
        return shake(url)

    world.bc.handshake = noting
    return seen


def states(world: World) -> dict[str, str]:
    """The noted state of each webhook of the first company."""
    company = world.bc.company().id
    return {note.entity: note.status for note in world.stores.notes.all() if note.company == company}


def test_every_watched_entity_of_every_company_gets_a_webhook() -> None:
    """On a URL of its own, under our public address, and the note says so."""
    world = small_world()
    found = held(world)
    assert len(found) == WATCHED
    assert len({one["notificationUrl"] for one in found.values()}) == WATCHED
    assert len({one["clientState"] for one in found.values()}) == WATCHED
    assert all(one["notificationUrl"].startswith(f"{PUBLIC_URL}/api/bc/notifications/") for one in found.values())
    assert states(world) == {"items": "active", "salesShipments": "active", "salesInvoices": "active"}


def test_a_second_run_changes_nothing() -> None:
    """Four times an hour it only looks."""
    world = small_world()
    before, seen = held(world), handshakes(world)
    assert keep_subscriptions(world.ctx, world.stores.notes, world.stores.changes).pages == ()
    assert held(world) == before
    assert seen == []


def test_webhooks_are_renewed_by_age_and_never_expire() -> None:
    """Each renewal is a handshake; after ten days the same six live, none older than the promise (P7)."""
    world = small_world()
    before, seen = set(held(world)), handshakes(world)
    world.clock.advance(RENEW_AGE - timedelta(seconds=30))
    keep_subscriptions(world.ctx, world.stores.notes, world.stores.changes)
    assert seen == []
    for _ in range(40):
        world.clock.advance(timedelta(hours=6))
        keep_subscriptions(world.ctx, world.stores.notes, world.stores.changes)
        assert all(one["expirationDateTime"] > world.clock.now() + timedelta(hours=24) for one in held(world).values())
    assert set(held(world)) == before
    assert len(seen) >= 9 * WATCHED


@pytest.mark.parametrize("known", [True, False])
def test_a_lost_webhook_is_rebuilt_and_its_gap_read(known: bool, caplog: pytest.LogCaptureFixture) -> None:
    """BC deletes without a word; what was created meanwhile is announced soon, not at the next reconcile."""
    world = small_world()
    lost = next(one for one in held(world).values() if one["resource"].endswith(f"{world.bc.company().id})/items"))
    if known:
        world.bc.delete_subscription_silently(lost["subscriptionId"])
    else:
        world.bc.copy_environment()
    item = world.bc.user.create_item(displayName="in the gap")
    world.clock.advance(60)
    assert world.deliver_webhooks() == 0
    caplog.set_level(logging.INFO)
    world.run_timer("keep_subscriptions")
    world.drain()
    assert len(held(world)) == WATCHED
    assert announced(world) == {("item.created", subject(item)): 1}
    assert caplog.text.count("subscription.lost") == (1 if known else WATCHED)


def test_a_gap_during_a_running_delta_is_read_after_it(caplog: pytest.LogCaptureFixture) -> None:
    """The run under way may have passed the place already: another follows."""
    world = small_world()
    company = world.bc.company().id
    world.run_timer("reconcile")
    lost = next(one for one in held(world).values() if one["resource"].endswith(f"{company})/items"))
    world.bc.delete_subscription_silently(lost["subscriptionId"])
    assert keep_subscriptions(world.ctx, world.stores.notes, world.stores.changes).pages == ()
    caplog.set_level(logging.INFO)
    world.drain()
    planned = [line for line in caplog.messages if line.startswith("run.planned")]
    assert len(planned) == 1
    assert company in planned[0]
    assert '"entity": "items"' in planned[0]
    committed = [line for line in caplog.messages if line.startswith("watermark.committed") and company in line]
    assert sum('"entity": "items"' in line for line in committed) == 2


def test_orphans_and_doubles_of_ours_are_removed_and_others_left_alone() -> None:
    """A webhook under our address that nobody wants goes; somebody else's stays, whatever it watches."""
    world = small_world(env={"BC_TRIGGERS": "items"})
    assert len(held(world)) == 2
    ours = next(iter(held(world).values()))
    for url, resource in (
        (ours["notificationUrl"], ours["resource"]),
        (f"{PUBLIC_URL}/api/bc/notifications/{'0' * 32}", ours["resource"]),
        ("https://other.example/hook", ours["resource"]),
        (f"{PUBLIC_URL}.other.example/api/bc/notifications/1", ours["resource"]),
    ):
        shake, world.bc.handshake = world.bc.handshake, _echo
        _post(world, url, resource)
        world.bc.handshake = shake
    assert len(held(world)) == 6
    keep_subscriptions(world.ctx, world.stores.notes, world.stores.changes)
    urls = sorted(one["notificationUrl"] for one in held(world).values())
    assert len(urls) == 4
    assert [url for url in urls if not url.startswith(f"{PUBLIC_URL}/")] == [
        f"{PUBLIC_URL}.other.example/api/bc/notifications/1", "https://other.example/hook",
    ]  # fmt: skip


def _echo(url: str) -> Any:
    token = unquote(url.partition("validationToken=")[2])
    return HandshakeAnswer(status=200, content_type="text/plain", body=token.encode())


def _post(world: World, url: str, resource: str) -> None:
    world.ctx.bc.create_subscription(Wanted(company="", entity="", url=url, resource=resource, client_state="x"))


def test_an_entity_that_bc_offers_no_webhook_for_is_left_to_the_reconcile(caplog: pytest.LogCaptureFixture) -> None:
    """Noted once as unsupported, asked for by nobody, and its records still come."""
    world = World(demo_data=False)
    world.bc.subscriptions.optional_resources = ()
    world.bc.user.create_customer(displayName="Customer")
    world.bc.user.create_item(number="1", displayName="x", unitPrice=1)
    world.start()
    assert states(world)["salesShipments"] == "unsupported"
    assert len(held(world)) == 4
    world.left.clear()
    caplog.clear()
    world.clock.advance(timedelta(minutes=5))
    shipment = world.bc.user.create_shipment()
    world.run_for(timedelta(minutes=20))
    assert announced(world, "salesShipment") == {("salesShipment.created", subject(shipment)): 1}
    assert "subscription.unsupported" not in caplog.text


def test_without_the_list_of_supported_resources_all_are_tried() -> None:
    """The list is a beta; where it is not there, BC's own refusal decides."""
    world = World(demo_data=False)
    world.bc.subscriptions.optional_resources = ()
    world.bc.faults.add(Fault(kind=FaultKind.SERVER_ERROR, match="webhookSupportedResources", times=None, status=404))
    keep_subscriptions(world.ctx, world.stores.notes, world.stores.changes)
    assert len(held(world)) == 4
    assert states(world) == {"items": "active", "salesShipments": "failed", "salesInvoices": "active"}


def test_a_failing_handshake_is_noted_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """The app's HTTP side was down: each webhook's note says why, and the next run registers them."""
    world = World(demo_data=False)
    world.webhooks_answer = False
    keep_subscriptions(world.ctx, world.stores.notes, world.stores.changes)
    assert held(world) == {}
    assert set(states(world).values()) == {"failed"}
    assert "subscription.failed" in caplog.text
    notes = world.stores.notes.all()
    assert all(note.error.startswith("register: ") and "validat" in note.error for note in notes)
    world.webhooks_answer = True
    keep_subscriptions(world.ctx, world.stores.notes, world.stores.changes)
    assert set(states(world).values()) == {"active"}


def test_one_failure_stops_no_other() -> None:
    """Of six, the one BC refuses is noted and five stand."""
    world = World(demo_data=False)
    world.bc.faults.add(Fault(kind=FaultKind.SERVER_ERROR, match="^POST .*/subscriptions"))
    keep_subscriptions(world.ctx, world.stores.notes, world.stores.changes)
    assert len(held(world)) == WATCHED - 1
    keep_subscriptions(world.ctx, world.stores.notes, world.stores.changes)
    assert len(held(world)) == WATCHED


def test_a_failed_renewal_leaves_the_old_one_in_force() -> None:
    """There are many more tries before it expires; the note tells until when it lives."""
    world = small_world()
    before = held(world)
    world.clock.advance(RENEW_AGE)
    world.webhooks_answer = False
    keep_subscriptions(world.ctx, world.stores.notes, world.stores.changes)
    assert held(world) == before
    notes = world.stores.notes.all()
    assert {note.status for note in notes} == {"failed"}
    assert all(note.expires_at and note.error.startswith("renew: ") for note in notes)
    world.webhooks_answer = True
    keep_subscriptions(world.ctx, world.stores.notes, world.stores.changes)
    assert set(states(world).values()) == {"active"}


def test_an_answer_lost_after_registration_makes_no_second_webhook() -> None:
    """BC has it, we did not hear: the next run finds it and keeps it."""
    world = World(demo_data=False)
    world.bc.faults.add(Fault(kind=FaultKind.RESET_AFTER, match="^POST .*/subscriptions", times=None))
    keep_subscriptions(world.ctx, world.stores.notes, world.stores.changes)
    world.bc.faults.clear()
    before = held(world)
    assert len(before) == WATCHED
    keep_subscriptions(world.ctx, world.stores.notes, world.stores.changes)
    assert held(world) == before
    assert set(states(world).values()) == {"active"}


def test_a_company_that_is_no_longer_served_loses_its_webhooks() -> None:
    """Taken out of BC_COMPANIES: its webhooks go, and so do their notes."""
    world = small_world()
    restart(world, BC_COMPANIES="My Company")
    keep_subscriptions(world.ctx, world.stores.notes, world.stores.changes)
    mine = world.bc.company("My Company").id
    assert len(held(world)) == WATCHED / 2
    assert all(mine in one["resource"] for one in held(world).values())
    assert {note.company for note in world.stores.notes.all()} == {mine}


def test_a_fresh_vault_gets_a_secret() -> None:
    """The first run makes it; what it derives is what the route expects."""
    world = World(demo_data=False)
    world.secrets.values.clear()
    world.start()
    assert len(held(world)) == WATCHED
    assert len(next(iter(world.secrets.values.values()))) == 64
    world.clock.advance(60)
    item = world.bc.user.create_item(displayName="x")
    world.clock.advance(60)
    assert world.deliver_webhooks() == 1
    world.drain()
    assert announced(world, "item.created") == {("item.created", subject(item)): 1}


@pytest.mark.parametrize("match", ["webhookSupportedResources", "/companies$"])
@pytest.mark.parametrize("status", [500, 503])
def test_an_endpoint_that_fails_for_days_ends_no_webhook(match: str, status: int) -> None:
    """The list of companies or of offered webhooks is gone for four days: all six live on, none is removed (P7)."""
    world = small_world()
    before = set(held(world))
    world.bc.faults.add(Fault(kind=FaultKind.SERVER_ERROR, match=match, times=None, status=status))
    for _ in range(4 * 24):
        world.clock.advance(timedelta(hours=1))
        restart(world)
        world.run_timer("keep_subscriptions")
    assert set(held(world)) == before
    assert set(states(world).values()) == {"active"}


def test_one_company_that_fails_for_days_ends_no_webhook_of_another() -> None:
    """Its own list of offered webhooks answers 500: the other company's webhooks, and its own, are renewed."""
    world = small_world()
    before = set(held(world))
    company = world.bc.company().id
    world.bc.faults.add(
        Fault(kind=FaultKind.SERVER_ERROR, match=f"{company}.*webhookSupportedResources", times=None, status=500)
    )
    for _ in range(4 * 4):
        world.clock.advance(timedelta(hours=6))
        world.run_timer("keep_subscriptions")
    assert set(held(world)) == before


def test_what_was_unsupported_stays_so_while_bc_does_not_tell() -> None:
    """The last known answer serves: nothing is registered that BC refused before."""
    world = World(demo_data=False)
    world.bc.subscriptions.optional_resources = ()
    world.run_timer("keep_subscriptions")
    world.bc.faults.add(Fault(kind=FaultKind.SERVER_ERROR, match="webhookSupportedResources", times=None, status=503))
    world.run_timer("keep_subscriptions")
    assert states(world)["salesShipments"] == "unsupported"
    assert len(held(world)) == 4


def test_a_step_that_fails_unexpectedly_loses_no_gap_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two webhooks are lost; the store fails at one of them: the gap of the other is read all the same."""
    world = small_world()
    for one in held(world).values():
        if one["resource"].endswith("/items"):
            world.bc.delete_subscription_silently(one["subscriptionId"])
    real = world.stores.notes.save
    failed: list[WebhookNote] = []

    def save(note: WebhookNote) -> None:
        if not failed:
            failed.append(note)
            raise StoreUnavailable("down")
        real(note)

    monkeypatch.setattr(world.stores.notes, "save", save)
    assert len(keep_subscriptions(world.ctx, world.stores.notes, world.stores.changes).pages) == 1
    assert len(failed) == 1
