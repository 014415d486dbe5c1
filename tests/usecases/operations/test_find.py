"""Find: an order key, a record id or a record number leads to what was announced and what Business Central says."""

import json

import azure.functions as func
import pytest
from business_central_emulator import Fault, FaultKind

from shared import services, triggers
from shared.errors import InvalidMessage
from shared.operations import find
from shared.resource_names import QUEUE_PAGES
from tests.simulation.world import World
from tests.support.routes import Box, Only
from tests.support.shop import Shop
from tests.support.worlds import events, restart, small_world


def look(world: World, key: str, company: str = "") -> find.Found:
    """Look for a key."""
    return find.find(world.ctx, world.stores, key, company)


def work(world: World) -> None:
    for timer in ("pull_items", "reconcile"):
        world.run_timer(timer)
        world.drain()
    world.clock.advance(900)


@pytest.mark.parametrize("by", ["id", "ID", "number", "blanks"])
def test_a_record_shows_the_events_that_left_with_their_ids(by: str) -> None:
    """By id or number, in any case of letters; every id is one that a consumer has seen."""
    world = small_world()
    restart(world, BC_CHANGES="created,updated")
    item = world.bc.user.create_item(number="P-1")
    work(world)
    world.bc.user.update(item, {"displayName": "Other"})
    for _ in range(3):
        work(world)
    key = {"id": item.id, "ID": item.id.upper(), "number": "p-1", "blanks": "  P-1 "}[by]
    (story,) = look(world, key).records
    assert (story.entity, story.id, story.company) == ("items", item.id, world.bc.company().id)
    assert story.business_central.is_there
    assert story.business_central.number == "P-1"
    left = {event["id"]: event["type"] for event in events(world) if item.id in event["subject"]}
    found = {one.event_id: one.type for one in story.announced}
    assert set(found.values()) == {"bc.item.created.v1", "bc.item.updated.v1", "bc.item.pulled.v1"}
    assert found.items() <= left.items()
    assert all(one.job and one.at is not None for one in story.announced)


def test_an_updated_record_whose_version_moved_on_has_no_event_id_for_the_old_one() -> None:
    """What Business Central holds now was not announced yet."""
    world = small_world()
    restart(world, BC_CHANGES="created,updated")
    item = world.bc.user.create_item()
    work(world)
    world.bc.user.update(item, {"displayName": "Other"})
    for _ in range(3):
        work(world)
    world.bc.user.update(item, {"displayName": "And another"})
    (story,) = look(world, item.id).records
    assert {one.type: bool(one.event_id) for one in story.announced if one.type != "bc.item.pulled.v1"} == {
        "bc.item.created.v1": True, "bc.item.updated.v1": False,
    }  # fmt: skip


def test_a_record_that_is_gone_is_still_known() -> None:
    """The ledger says what was announced of it, Business Central that it is not there."""
    world = small_world()
    restart(world, BC_CHANGES="created,deleted")
    item = world.bc.user.create_item()
    work(world)
    world.bc.user.delete(item)
    world.clock.advance(25 * 3600)
    for _ in range(2):
        work(world)
    (story,) = look(world, item.id).records
    assert not story.business_central.is_there
    left = {event["id"]: event["type"] for event in events(world)}
    assert {one.type for one in story.announced} >= {"bc.item.created.v1", "bc.item.deleted.v1"}
    assert all(left[one.event_id] == one.type for one in story.announced if one.event_id)


def test_a_record_that_nobody_announced_says_so() -> None:
    """New in Business Central, and no timer has run since; an old one is in the snapshot."""
    world = small_world()
    item = world.bc.user.create_item(number="NEW")
    (story,) = look(world, "NEW").records
    assert (story.announced, story.in_snapshot) == ((), False)
    assert look(world, item.id).records == (story,)


def test_an_order_is_found_by_key_and_by_its_number() -> None:
    shop = Shop()
    shop.submit(shop.message("web-1"))
    (story,) = look(shop.world, "web-1").orders
    assert (story["status"], story["businessCentral"].is_there) == ("created", True)
    assert story["businessCentral"].number == story["number"]
    (same,) = look(shop.world, story["number"]).orders
    assert same["orderKey"] == "web-1"


def test_nothing_bears_the_key() -> None:
    world = small_world()
    found = look(world, "nobody")
    assert (found.records, found.orders, found.dead_letters, found.errors) == ((), (), (), ())


def test_business_central_that_does_not_answer_hides_nothing_else() -> None:
    """What the ledger knows is shown beside the error."""
    world = small_world()
    item = world.bc.user.create_item()
    work(world)
    world.bc.faults.add(Fault(kind=FaultKind.SERVER_ERROR, match="GET .*/items", times=None))
    (story,) = look(world, item.id).records
    assert story.announced
    assert story.business_central.error
    assert len(look(world, "P-9").errors) == 2  # one for each company


@pytest.mark.parametrize(("key", "company", "says"), [("", "", "key:"), (" ", "", "key:"), ("x", "Nobody", "company:")])
def test_a_wrong_ask_is_refused(key: str, company: str, says: str) -> None:
    with pytest.raises(InvalidMessage, match=says):
        look(small_world(), key, company)


def test_the_routes_answer_json_and_name_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """`find` and `replay` as a caller sees them."""
    world = small_world()
    monkeypatch.setattr(services, "services", lambda: Only(world.connection))
    item = world.bc.user.create_item(number="P-1")
    work(world)

    def call(**query: str) -> func.HttpRequest:
        return func.HttpRequest(method="GET", url="x", params=query, route_params={}, body=b"")

    reply = triggers.find_key(call(key="P-1"))
    body = json.loads(reply.get_body())
    assert (reply.status_code, body["records"][0]["id"]) == (200, item.id)
    assert triggers.find_key(call()).status_code == 400
    box = Box()
    reply = triggers.replay_events(call(entity="items", since="2026-01-01"), {QUEUE_PAGES: box})
    body = json.loads(reply.get_body())
    assert (reply.status_code, [run["is_new"] for run in body["runs"]]) == (200, [True, True])
    assert len(box.texts) == 2
    reply = triggers.replay_events(call(entity="itmes"), {QUEUE_PAGES: box})
    assert reply.status_code == 400
    assert "did you mean items?" in json.loads(reply.get_body())["error"]
