"""Entities of BC_ENTITIES are published like the built-in ones: their events fit what `$metadata` says (P22, P23)."""

import json
from datetime import timedelta

from shared.contract.built_in import described
from shared.contract.event_schemas import published_data
from shared.contract.schema_answer import answer
from tests.simulation.world import World
from tests.support.worlds import events, restart, small_world

ENTRIES = [{"entitySet": "customers", "changes": ["created", "updated", "deleted"]},
           {"entitySet": "salesQuotes", "expand": ["salesQuoteLines"], "pull": True}]  # fmt: skip


def world_with_entities() -> World:
    """A world where customers and quotes are watched, too, and a customer has been made, changed and deleted."""
    world = small_world()
    restart(world, BC_ENTITIES=json.dumps(ENTRIES))
    world.run_for(timedelta(minutes=45))
    customer = world.bc.user.create_customer(displayName="Adatum")
    world.run_for(timedelta(minutes=45))
    world.bc.user.update(customer, {"displayName": "Adatum Ltd."})
    world.run_for(timedelta(minutes=45))
    world.bc.user.delete(customer)
    world.run_for(timedelta(minutes=45))
    return world


def test_events_of_further_entities_fit_what_is_published_for_them() -> None:
    """`events` holds each against the schemas made of the stored facts; without them there would be none."""
    world = world_with_entities()
    kinds = {event["type"] for event in events(world)}
    assert {f"bc.customer.{change}.v1" for change in ("created", "updated", "deleted")} <= kinds
    rows = described(world.ctx.catalogue.resolved().entities, world.ctx.catalogue.facts())
    assert kinds <= set(published_data(rows, ""))


def test_a_further_entity_is_published_with_its_properties_and_lines() -> None:
    """Of its own type and of what is expanded; the document holds it beside the others."""
    world = world_with_entities()
    rows = described(world.ctx.catalogue.resolved().entities, world.ctx.catalogue.facts())
    found = answer(rows, "https://app.example", {"data": "bc.salesQuote.pulled.v1"})["properties"]
    assert found["number"] == {"type": ["string", "null"]}
    assert found["totalAmountIncludingTax"] == {"type": ["number", "null"]}
    line = found["salesQuoteLines"]["items"]["properties"]
    assert line["unitPrice"] == {"type": ["number", "null"]}
    document = answer(rows, "https://app.example", {})
    assert {"bc.customer.created.v1", "bc.item.created.v1", "customer", "salesQuote"} <= set(
        document["components"]["schemas"]
    )
