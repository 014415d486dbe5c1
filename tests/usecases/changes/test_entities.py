"""Entities by configuration: a standard one, a custom page at its own route, one without times (P4, P12, P18, P22)."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from business_central_emulator import Fault, FaultKind
from business_central_emulator.business.shop import ROUTE
from business_central_emulator.business.shop import STOCK as STOCK_ROWS

import scripts.entities
from shared.changes import notification_job, replay
from shared.changes.change_stores import ChangeStores
from shared.changes.jobs import NotificationJob, RecordChange
from shared.connections.context import Context
from shared.connections.entity_catalogue import EntityCatalogue
from shared.contract.built_in import described
from shared.contract.event_schemas import published_events
from shared.errors import StoreUnavailable
from shared.operations import entity_offers, status
from shared.operations.status_view import LoginView
from shared.outputs import Outputs
from shared.resource_names import QUEUE_NOTIFICATIONS, QUEUE_PAGES
from shared.webhooks import receive
from shared.webhooks.delivery import Target, client_state, subscription_path
from tests.simulation.world import World
from tests.support.worlds import announced, events, notify, requests_made, restart

CRONUS = "CRONUS International Ltd."
STOCK = {"entitySet": "stockLevels", "route": ROUTE, "expand": ["bins"], "pull": True}
TAGS = {"entitySet": "priceTags", "route": ROUTE}


def world_of(*entries: Mapping[str, Any], **env: str) -> World:
    """A started world of one company with custom API pages, and these entries of BC_ENTITIES."""
    settings = {"BC_COMPANIES": CRONUS, "BC_ENTITIES": json.dumps(entries), **env}
    world = World(demo_data=False, env=settings)
    world.bc.add_shop()
    world.bc.user.create_customer(displayName="Old customer")
    world.clock.advance(timedelta(hours=1))
    world.start()
    world.run_for(timedelta(minutes=30))
    world.left.clear()
    return world


def resources(world: World) -> set[str]:
    """What is subscribed, without the company."""
    rows = world.bc.environment.subscriptions
    return {str(row["resource"]).replace(f"companies({world.bc.company().id})/", "") for row in rows}


def test_customers_are_one_entry() -> None:
    """Watched by webhook and reconcile; created once, by whichever came first, and old ones are no news."""
    world = world_of({"entitySet": "customers"})
    assert "api/v2.0/customers" in resources(world)
    told = world.bc.user.create_customer(displayName="Told")
    notify(world)
    assert announced(world) == {("customer.created", f"customers({told.id})"): 1}
    world.webhooks_answer = False
    untold = world.bc.user.create_customer(displayName="Not told")
    world.run_for(timedelta(hours=1))
    assert announced(world) == {("customer.created", f"customers({one.id})"): 1 for one in (told, untold)}
    (event, _) = events(world)
    assert event["data"]["displayName"] == "Told"
    assert event["source"].endswith(f"/api/v2.0/companies({world.bc.company().id})")


def test_a_custom_page_is_read_watched_and_subscribed_at_its_own_route() -> None:
    """Its notification is recognised at that route, its records come with what is expanded."""
    world = world_of(STOCK)
    assert f"api/{ROUTE}/stockLevels" in resources(world)
    level = world.bc.user.create(f"{ROUTE}/stockLevels", {"itemNumber": "1896-S", "quantity": 4})
    world.bc.user.create(f"{ROUTE}/bins", {"code": "A1", "stockLevelId": level.id})
    notify(world)
    (event,) = events(world)
    assert event["type"] == "bc.stockLevel.created.v1"
    assert event["subject"] == f"stockLevels({level.id})"
    assert event["source"].endswith(f"/api/{ROUTE}/companies({world.bc.company().id})")
    assert [one["code"] for one in event["data"]["bins"]] == ["A1"]


def test_a_custom_page_is_pulled_with_what_changed_in_its_expanded_records() -> None:
    """From the beginning at first, then by time; a changed bin brings its stock level."""
    world = world_of(STOCK)
    level = world.bc.user.create(f"{ROUTE}/stockLevels", {"itemNumber": "1896-S", "quantity": 4})
    bin_ = world.bc.user.create(f"{ROUTE}/bins", {"code": "A1", "stockLevelId": level.id})
    world.run_for(timedelta(minutes=30))
    assert announced(world, "stockLevel.pulled") == {("stockLevel.pulled", f"stockLevels({level.id})"): 1}
    world.bc.user.update(bin_, {"code": "A2"})
    world.run_for(timedelta(minutes=30))
    assert announced(world, "stockLevel.pulled") == {("stockLevel.pulled", f"stockLevels({level.id})"): 2}


def test_many_rows_without_a_text_to_sort_by_are_all_known() -> None:
    """The first snapshot goes by time; nothing that was there is announced, nothing new is missed."""
    world = World(demo_data=False, env={"BC_COMPANIES": CRONUS, "BC_ENTITIES": json.dumps([STOCK])}, page_rows=3)
    world.bc.add_shop()
    for number in range(10):
        world.bc.user.create(f"{ROUTE}/stockLevels", {"itemNumber": f"N{number}", "quantity": 1})
    world.start()
    pulled = announced(world, "stockLevel")
    assert len(pulled) == 10 + len(STOCK_ROWS)
    assert all(change == "stockLevel.pulled" for change, _ in pulled)
    world.run_for(timedelta(days=1, hours=1))
    assert announced(world, "stockLevel.created") == {}
    world.bc.user.create(f"{ROUTE}/stockLevels", {"itemNumber": "N99", "quantity": 1})
    world.run_for(timedelta(minutes=30))
    assert len(announced(world, "stockLevel.created")) == 1


def test_a_snapshot_whose_end_waits_its_turn_announces_once() -> None:
    """Nothing of the connection moves for a while: two ends of it would both compare, and none is put again (P5)."""
    world = world_of(TAGS)
    made = [world.bc.user.create(f"{ROUTE}/priceTags", {"code": f"N{n}", "price": 5}) for n in range(3)]
    world.clock.advance(timedelta(hours=25))
    world.run_timer("reconcile")
    while not all('"phase":"commit"' in message.body for message in world.queues.names[QUEUE_PAGES]):
        world.step(QUEUE_PAGES)
    for _ in range(6):
        world.clock.advance(61)
        world.run_timer("retry_sales_orders")
    waiting = [json.loads(message.body)["job"] for message in world.queues.names[QUEUE_PAGES]]
    assert sorted(waiting) == sorted(set(waiting))
    world.drain()
    assert announced(world) == {("priceTag.created", f"priceTags({tag.id})"): 1 for tag in made}


def test_a_page_without_times_is_served_by_the_snapshot_alone() -> None:
    """No webhook, no delta; what came and went is announced within a day (P22)."""
    world = world_of({**TAGS, "changes": ["created", "deleted"]})
    assert not any("priceTags" in one for one in resources(world))
    old = next(iter(world.bc.company().tables[f"{ROUTE}/priceTags"]))
    tag = world.bc.user.create(f"{ROUTE}/priceTags", {"code": "NEW", "price": 5})
    notify(world)
    world.run_for(timedelta(hours=1))
    assert events(world) == []
    world.run_for(timedelta(hours=24))
    assert announced(world) == {("priceTag.created", f"priceTags({tag.id})"): 1}
    assert "time" not in events(world)[0]
    world.bc.user.delete(old)
    world.run_for(timedelta(hours=25))
    assert announced(world, "priceTag.deleted") == {("priceTag.deleted", f"priceTags({old.id})"): 1}
    purposes = {one.stream.purpose for one in world.stores.changes.streams.all() if "priceTags" in one.stream.entity}
    assert purposes == {"snapshot"}


def test_updates_that_change_none_of_the_named_fields_are_not_announced() -> None:
    """A record known from before is announced at its first change; then only what changes the field counts."""
    world = world_of({**STOCK, "pull": False, "changes": ["created", "updated"], "onlyWhenChanged": ["quantity"]})
    level = world.bc.user.create(f"{ROUTE}/stockLevels", {"itemNumber": "1896-S", "quantity": 4})
    notify(world)
    for change, count in (
        ({"itemNumber": "1900-S"}, 0), ({"quantity": 5}, 1), ({"itemNumber": "1908-S"}, 1), ({"quantity": 4}, 2),
    ):  # fmt: skip
        world.bc.user.update(level, change)
        notify(world)
        world.run_for(timedelta(minutes=16))
        assert sum(announced(world, "stockLevel.updated").values()) == count, change
    old = next(one for one in world.bc.company().tables[f"{ROUTE}/stockLevels"] if one.id != level.id)
    world.bc.user.update(old, {"itemNumber": "X"})
    notify(world)
    world.bc.user.update(old, {"itemNumber": "Y"})
    notify(world)
    assert announced(world)["stockLevel.updated", f"stockLevels({old.id})"] == 1


def test_an_update_is_replayed_though_what_does_not_count_has_changed_since() -> None:
    """It has the id that it had (P30)."""
    world = world_of({**STOCK, "pull": False, "changes": ["created", "updated"], "onlyWhenChanged": ["quantity"]})
    level = world.bc.user.create(f"{ROUTE}/stockLevels", {"itemNumber": "1896-S", "quantity": 4})
    for change in ({"quantity": 4}, {"quantity": 9}, {"itemNumber": "1900-S"}):
        world.bc.user.update(level, change)
        world.run_for(timedelta(minutes=31))
    before = {event["id"] for event in events(world) if level.id in event["subject"]}
    world.left.clear()
    now = world.clock.now()
    since = (now - timedelta(days=1)).isoformat()
    ask = replay.parse_ask(world.ctx.catalogue.resolved().entities, "*", "", since, now)
    for text in replay.start(world.ctx, world.stores.changes, ask)[1].pages:
        world.queues.put(QUEUE_PAGES, text, now)
    world.drain()
    again = [event for event in events(world) if level.id in event["subject"]]
    assert [event["type"] for event in again] == ["bc.stockLevel.created.v1", "bc.stockLevel.updated.v1"]
    assert {event["id"] for event in again} == before


def test_options_of_an_entity_that_comes_along() -> None:
    """Only some fields, without variants, updates too, no webhook."""
    entry = {
        "entitySet": "items", "select": ["displayName"], "expand": [], "changes": ["updated"], "watch": "reconcile",
        "pull": False,
    }  # fmt: skip
    world = world_of(entry)
    assert "api/v2.0/items" not in resources(world)
    item = world.bc.user.create_item(displayName="One")
    world.run_for(timedelta(minutes=30))
    assert announced(world, "item") == {}
    world.bc.user.update(item, {"displayName": "Two"})
    world.run_for(timedelta(minutes=30))
    (event,) = [one for one in events(world) if one["type"] == "bc.item.updated.v1"]
    assert set(event["data"]) == {"@odata.etag", "id", "number", "displayName", "lastModifiedDateTime"}


def test_an_entry_that_is_refused_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """One line in the log, once; it is served once it is right, without a new deployment of what stands beside it."""
    world = world_of({"entitySet": "custmers"}, {"entitySet": "vendors"})
    assert caplog.text.count("entity.refused") == 1
    assert "did you mean 'customers'?" in caplog.text
    assert "api/v2.0/vendors" in resources(world)
    vendor = world.bc.user.create("vendors", {"displayName": "Fabrikam"})
    item = world.bc.user.create_item(displayName="Parka")
    notify(world)
    assert set(announced(world)) == {
        ("vendor.created", f"vendors({vendor.id})"), ("item.created", f"items({item.id})"),
    }  # fmt: skip


def test_metadata_and_offered_webhooks_are_read_once_a_day() -> None:
    """Not on the way of a notification, nor by every timer."""
    world = world_of({"entitySet": "customers"}, STOCK)
    asked: list[str] = []
    handle = world.bc.handle

    def noting(request: Any) -> Any:
        asked.extend(name for name in ("$metadata", "webhookSupportedResources") if name in request.url)
        return handle(request)

    world.bc.handle = noting  # type: ignore[method-assign]  # only to count
    world.bc.user.create_customer(displayName="Told")
    notify(world)
    world.run_for(timedelta(hours=12))
    assert asked == []
    world.run_for(timedelta(hours=13))
    assert sorted(asked) == ["$metadata", "$metadata", "webhookSupportedResources"]


def test_an_entity_that_was_taken_out_ends_sensibly() -> None:
    """Its jobs are dropped, its webhooks removed; when it comes back, what came meanwhile is announced."""
    world = world_of(STOCK)
    world.bc.user.create(f"{ROUTE}/stockLevels", {"itemNumber": "1896-S", "quantity": 4})
    world.run_timer("reconcile")
    restart(world, BC_COMPANIES=CRONUS, BC_ENTITIES="")
    world.drain()
    assert announced(world, "stockLevel") == {}
    assert world.stores.dead_letters.all(10) == []
    world.run_for(timedelta(minutes=30))
    assert not any("stockLevels" in one for one in resources(world))
    restart(world, BC_COMPANIES=CRONUS, BC_ENTITIES=json.dumps([STOCK]))
    world.run_for(timedelta(minutes=30))
    assert len(announced(world, "stockLevel.created")) == 1


def test_all_is_switched_off_by_the_line_that_administrators_are_given() -> None:
    """Then nothing is read, no webhook stays behind, and orders go on."""
    page = (Path(__file__).resolve().parents[3] / "docs" / "for-bc-administrators.md").read_text(encoding="utf-8")
    world = world_of()
    assert resources(world) == {f"api/v2.0/{name}" for name in ("items", "salesShipments", "salesInvoices")}
    restart(world, BC_COMPANIES=CRONUS, BC_ENTITIES=page.partition("```json\n")[2].partition("```")[0])
    world.run_for(timedelta(minutes=30))
    assert resources(world) == set()
    world.bc.user.create_item(displayName="Nobody looks")
    before = requests_made(world)
    world.run_for(timedelta(hours=24))
    assert announced(world) == {}
    assert requests_made(world) - before < 24 * 4 * 3  # companies and webhooks are looked at, records are not


def test_a_job_that_has_announced_of_an_entity_that_is_gone_is_kept_for_a_person() -> None:
    """Its output may be lost, so nobody else will announce it (P5, P26)."""
    world = world_of({**STOCK, "watch": "off"})
    world.bc.user.create(f"{ROUTE}/stockLevels", {"itemNumber": "1896-S", "quantity": 4})
    world.run_timer("pull_items")
    page = next(
        message.body for message in world.queues.names[QUEUE_PAGES] if "stockLevels" in message.body
    )  # fmt: skip
    world.drain()
    restart(world, BC_COMPANIES=CRONUS, BC_ENTITIES="")
    world.queues.put(QUEUE_PAGES, page, world.clock.now())
    world.drain()
    (letter,) = world.stores.dead_letters.all(10)
    assert letter.reason == (
        f"entity: {ROUTE}/stockLevels is not configured any more, and this job has announced of it"
    )


OUT: list[dict[str, str]] = [{"BC_ENTITIES": "[]"}, {"BC_COMPANIES": "Old Name"}]


@pytest.mark.parametrize("out", OUT)
def test_what_a_notification_job_has_claimed_is_kept_while_it_is_not_served(out: dict[str, str]) -> None:
    """Its worker died before the output; delivered again meanwhile it waits for a person, and tells when put back."""
    served = {"BC_COMPANIES": CRONUS, "BC_ENTITIES": json.dumps([{"entitySet": "customers"}])}
    world = world_of({"entitySet": "customers"})
    made = world.bc.user.create_customer(displayName="New")
    world.clock.advance(5)
    company = world.bc.company().id

    def job(key: str) -> NotificationJob:
        change = RecordChange(key=key, kind="created", at="")
        return NotificationJob(job=f"j-{key}", company=company, entity="customers", changes=(change,))

    notification_job.process(world.ctx, world.stores.changes, job(made.id))  # its output is lost
    restart(world, **{**served, **out})
    for key in (made.id, "0f8fad5b-d9cb-469f-a165-70867728950e"):
        world.queues.put(QUEUE_NOTIFICATIONS, job(key).to_text(), world.clock.now())
    world.drain()
    (letter,) = world.stores.dead_letters.all(10)  # a job that has claimed nothing ends: the next run finds the same
    assert (letter.name, letter.next_try_at) == (f"j-{made.id}", None)
    assert f"customers of company {company} is not watched any more" in letter.reason
    restart(world, **served)
    world.queues.put(QUEUE_NOTIFICATIONS, letter.body.decode(), world.clock.now())
    world.drain()
    assert announced(world, "customer.created") == {("customer.created", f"customers({made.id})"): 1}


@pytest.mark.parametrize("out", OUT)
def test_what_a_snapshot_has_found_is_kept_while_it_is_not_served(out: dict[str, str]) -> None:
    """The snapshot is in force, so no later one finds it."""
    world = world_of(TAGS)
    world.clock.advance(timedelta(hours=25))
    world.bc.user.create(f"{ROUTE}/priceTags", {"code": "NEW-1", "price": 5})
    held: list[str] = []

    def process(ctx: Context, stores: ChangeStores, job: NotificationJob) -> Outputs:
        held.append(job.to_text())
        return Outputs()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(notification_job, "process", process)
        world.run_timer("reconcile")
        world.drain()
    (text,) = held
    served = {"BC_COMPANIES": CRONUS, "BC_ENTITIES": json.dumps([TAGS])}
    restart(world, **{**served, **out})
    world.queues.put(QUEUE_NOTIFICATIONS, text, world.clock.now())
    world.drain()
    (letter,) = world.stores.dead_letters.all(10)
    restart(world, **served)
    world.queues.put(QUEUE_NOTIFICATIONS, letter.body.decode(), world.clock.now())
    world.drain()
    assert list(announced(world, "priceTag").values()) == [1]


def test_what_a_connection_offers_is_shown_with_a_ready_line() -> None:
    """Of every route in sight: what can be served and what can't, what is served already and how."""
    world = world_of(STOCK, TAGS, {"entitySet": "custmers"})
    found = entity_offers.offered(world.ctx)
    offers = {(one["route"], one["entity_set"]): one for one in found["offers"]}
    assert offers["v2.0", "customers"]["line"] == '{"entitySet": "customers"}'
    assert offers["v2.0", "customers"]["has_webhook"] is True
    assert (offers[ROUTE, "priceTags"]["has_times"], offers[ROUTE, "priceTags"]["has_webhook"]) == (False, True)
    assert offers[ROUTE, "stockLevels"]["expandable"] == ("bins",)
    served = {one["entity"]: one["watched"] for one in found["served"]}
    assert served[f"{ROUTE}/stockLevels"] == "by webhook and reconcile"
    assert served[f"{ROUTE}/priceTags"] == "by the daily snapshot alone, as it has no lastModifiedDateTime"
    assert found["refused"] == [
        "BC_ENTITIES entry 3 (custmers): entitySet: there is no custmers at v2.0; did you mean 'customers'?"
    ]
    text = scripts.entities.readable(json.loads(json.dumps(found)), "shop")
    assert 'yes    {"entitySet": "stockLevels", "route": "contoso/shop/v1.0"}' in text
    assert "customers  " not in text.partition("Offered")[2]


def test_every_event_of_a_configured_entity_fits_its_published_schema() -> None:
    """P23 holds for entries of BC_ENTITIES, too."""
    every = ["created", "updated", "deleted"]
    world = world_of({**STOCK, "changes": every}, {**TAGS, "changes": every})
    level = world.bc.user.create(f"{ROUTE}/stockLevels", {"itemNumber": "1896-S", "quantity": 4})
    tag = world.bc.user.create(f"{ROUTE}/priceTags", {"code": "NEW", "price": 5})
    world.run_for(timedelta(hours=25))
    world.bc.user.update(level, {"quantity": 5})
    world.run_for(timedelta(minutes=30))
    for record in (level, tag):
        world.bc.user.delete(record)
    world.run_for(timedelta(hours=25))
    catalogue = world.ctx.catalogue
    schemas = published_events(described(catalogue.resolved().entities, catalogue.facts()), "https://app.example")
    found = events(world)
    kinds = {event["type"] for event in found}
    assert {f"bc.stockLevel.{change}.v1" for change in ("pulled", "created", "updated", "deleted")} <= kinds
    assert {f"bc.priceTag.{change}.v1" for change in ("created", "deleted")} <= kinds
    for event in found:
        jsonschema_rs.validate(schemas[event["type"]], event)


def test_a_wrong_route_is_refused_with_the_nearest_right_one() -> None:
    """Known routes are those of what may be subscribed; nothing else at that route is asked for."""
    world = world_of({"entitySet": "customers"}, {**STOCK, "route": "contoso/shp/v1.0"})
    fault = (
        f"BC_ENTITIES entry 2 (stockLevels): route: no API is published at contoso/shp/v1.0; did you mean '{ROUTE}'?"
    )
    assert world.ctx.catalogue.resolved().faults == (fault,)
    view = status.view(world.ctx, world.stores, LoginView(state="ok", mode="authorization_code"))
    assert [one.cause for one in view.findings if one.check == "entities"] == [f"{fault}."]
    assert {one.entity: one.how for one in view.triggers}["customers"] == "by webhook and reconcile"


def test_a_message_names_the_connection_where_there_are_several() -> None:
    """Setting, connection, entry and rule; the form of the setting is judged before anything is read."""
    world = world_of()
    settings = replace(world.settings, id="eu", ids=("default", "eu"), entities='[{"entityset": "customers"}]')
    catalogue = EntityCatalogue(settings, world.ctx.bc, world.discovery, world.clock.now)
    (fault,) = catalogue.resolved().faults
    assert fault.startswith("BC_ENTITIES of eu entry 1: entityset: is no member of an entry; did you mean 'entitySet'?")
    assert {one.name for one in catalogue.resolved().watched} == {"items", "salesShipments", "salesInvoices"}


def test_an_entry_is_served_once_business_central_bears_it_out() -> None:
    """A page that is published later, or metadata that could not be read: looked at again after an hour."""
    world = World(demo_data=False, env={"BC_COMPANIES": CRONUS, "BC_ENTITIES": json.dumps([STOCK])})
    world.start()
    assert world.ctx.catalogue.named(f"{ROUTE}/stockLevels") is None
    assert "no API is published" in world.ctx.catalogue.resolved().faults[0]
    world.bc.add_shop()
    world.run_for(timedelta(hours=2))
    assert world.ctx.catalogue.named(f"{ROUTE}/stockLevels") is not None
    assert any("stockLevels" in one for one in resources(world))


def test_while_metadata_cannot_be_read_the_others_go_on() -> None:
    """An entity that nothing is known of waits; what was read before counts for days."""
    world = World(demo_data=False, env={"BC_COMPANIES": CRONUS, "BC_ENTITIES": json.dumps([{"entitySet": "vendors"}])})
    world.bc.faults.add(Fault(kind=FaultKind.SERVER_ERROR, match="metadata", times=None, status=503))
    world.start()
    assert world.ctx.catalogue.resolved().waiting == ("BC_ENTITIES: vendors waits until its $metadata can be read",)
    assert {one.name for one in world.ctx.catalogue.resolved().watched} == {"items", "salesShipments", "salesInvoices"}
    world.bc.faults.clear()
    world.run_for(timedelta(hours=1))
    assert world.ctx.catalogue.named("vendors") is not None
    world.bc.faults.add(Fault(kind=FaultKind.SERVER_ERROR, match="metadata", times=None, status=503))
    world.clock.advance(timedelta(days=3))
    restart(world)
    world.run_timer("reconcile")
    assert world.ctx.catalogue.named("vendors") is not None


def test_webhooks_of_a_custom_page_are_renewed_and_removed_at_its_route() -> None:
    """And once the API itself is taken back, there is nothing left to remove."""
    world = world_of(STOCK)
    (held,) = [one for one in world.bc.environment.subscriptions if "stockLevels" in one["resource"]]
    expires = held["expirationDateTime"]
    world.run_for(timedelta(hours=25), every=timedelta(minutes=15))
    (held,) = [one for one in world.bc.environment.subscriptions if "stockLevels" in one["resource"]]
    assert held["expirationDateTime"] > expires
    del world.bc.environment.apis[ROUTE]
    world.run_for(timedelta(hours=26), every=timedelta(minutes=15))
    assert "no API is published" in world.ctx.catalogue.resolved().faults[0]
    item = world.bc.user.create_item(displayName="goes on")
    notify(world)
    assert announced(world, "item.created") == {("item.created", f"items({item.id})"): 1}


def test_a_notification_of_a_configured_entity_is_taken_without_table_or_metadata(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the settings say is enough to know it; storage and Business Central may be down."""
    world = world_of(STOCK)
    restart(world, BC_COMPANIES=CRONUS, BC_ENTITIES=json.dumps([STOCK]))
    ctx, company = world.ctx, world.bc.company().id
    entity = next(one for one in ctx.catalogue.declared if one.entity_set == "stockLevels")
    secret = ctx.webhook_secret.made()
    path = subscription_path(secret, ctx.settings.connection, Target(company, entity))

    def down(*_: object, **__: object) -> None:
        raise StoreUnavailable("down")

    for name in ("routes", "webhooks", "webhooks_of"):
        monkeypatch.setattr(world.discovery, name, down)
    monkeypatch.setattr(ctx.bc, "metadata", down)
    entry = {
        "clientState": client_state(secret, path), "changeType": "created",
        "resource": f"api/{ROUTE}/companies({company})/stockLevels({company})",
    }  # fmt: skip
    reply = receive.receive({}, path, json.dumps({"value": [entry]}).encode(), lambda _: ctx)
    assert reply.status == 202
    assert [job.entity for job in reply.jobs] == [f"{ROUTE}/stockLevels"]
