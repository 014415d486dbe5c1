"""What an environment answers to open questions: asked once each, on demand, without business data."""

import json

import pytest
from business_central_emulator import Fault, FaultKind

from shared.operations.environment_facts import collected
from tests.simulation.world import World
from tests.support.worlds import small_world


@pytest.fixture
def world() -> World:
    """An app in its steady state, with an item."""
    world = small_world()
    world.bc.user.create("items", {"number": "CHAIR", "displayName": "Athens chair"})
    world.drain()
    return world


def test_every_question_has_an_answer(world: World) -> None:
    """A status, what was noted or BC's code; the emulator says 501 to what nobody has written down."""
    facts = collected(world.ctx)["facts"]
    assert facts["system version"].startswith("200, 26.")
    assert facts["webhooks"].endswith("of those in doubt: itemVariants, salesShipmentLines, salesShipments")
    assert facts["star in eq"] == "200, some"
    assert facts["range in eq"] == "200, none"
    assert facts["not in a filter"] == "501 Emulator_NotImplemented"
    assert facts["schema version 2.1"].startswith("200, ")
    assert facts["IEEE754Compatible"] == "200, decimals are numbers"
    assert "ms-correlation-x" in facts["headers"]
    assert len(facts) == 15


def test_a_look_is_one_read_each_and_changes_nothing(world: World) -> None:
    """Reads only: a refusal is an answer and not tried again."""
    world.bc.faults.add(Fault(kind=FaultKind.UNAVAILABLE, match="GET .*apiRoutes", times=None))
    before = world.bc.statistics()["requests"]
    facts = collected(world.ctx)["facts"]
    assert world.bc.statistics()["requests"] - before <= len(facts) + 1  # and the companies
    assert facts["routes of APIs"].startswith("503")
    assert world.drain() == 0


def test_no_business_data_is_in_it(world: World) -> None:
    """It can be sent on as it is."""
    told = json.dumps(collected(world.ctx), default=str)
    company = world.bc.company()
    values = {company.id, company.name, world.settings.environment, world.settings.tenant_id}
    values |= {str(row[name]) for row in world.bc.table("items") for name in ("id", "number", "displayName")}
    assert [value for value in values if value in told] == []
