"""The routes of an operator: an order is looked up and put back to work by its key, whatever characters it has."""

import json
from typing import Any

import azure.functions as func
import pytest

from shared import message_text, services, triggers
from shared.resource_names import QUEUE_ORDER_RESUMES
from tests.support.routes import Box, Only
from tests.support.shop import Shop
from tests.support.worlds import results


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A fresh shop, which the triggers serve."""
    shop = Shop()
    monkeypatch.setattr(services, "services", lambda: Only(shop.world.connection))
    return shop


def call(route: str = "", **query: str) -> func.HttpRequest:
    """A call with a key in its path, its query, or both."""
    return func.HttpRequest(method="GET", url="x", params=query, route_params={"key": route} if route else {}, body=b"")


def show(request: func.HttpRequest) -> tuple[int, Any]:
    """Status and story of an order."""
    reply = triggers.show_order(request)
    return reply.status_code, json.loads(reply.get_body())


@pytest.mark.parametrize("key", ["web-1", "A/B c%2F?#", "鍵" * 80, "Straße 1", "x" * 200])
def test_any_key_is_looked_up_and_redriven_by_the_query(shop: Shop, key: str) -> None:
    """As it was sent, or in another case of letters; the story carries it as it was sent."""
    shop.submit(shop.message(key, shop.order(customerNumber="LATER")))
    status, (story,) = show(call(key=f" {key} "))
    assert (status, story["orderKey"], story["status"]) == (200, key, "rejected")
    shop.world.bc.user.create_customer(number="LATER", displayName="x")
    box = Box()
    reply = triggers.redrive_order(call(key=key), {QUEUE_ORDER_RESUMES: box})
    assert json.loads(reply.get_body()) == {"orderKey": key, "connection": "default", "found": True, "redriven": 1}
    (text,) = box.texts
    shop.world.queues.put(QUEUE_ORDER_RESUMES, message_text.decode(text.encode()), shop.world.clock.now())
    shop.world.drain()
    assert results(shop.world)[-1]["status"] == "created"


def test_a_simple_key_may_stand_in_the_path(shop: Shop) -> None:
    """The query wins where both are given; a key that nobody knows is 404."""
    shop.submit(shop.message())
    assert show(call("web-1"))[0] == 200
    assert show(call("other", key="web-1"))[0] == 200
    assert show(call("other")) == (404, [])
    assert triggers.redrive_order(call("other"), {}).status_code == 404


@pytest.mark.parametrize("route", ["a%2Fb", "a/b", "a\\b", ""])
def test_the_path_says_where_to_ask_for_other_keys(shop: Shop, route: str) -> None:
    """The host leaves `%2F` encoded in a path, so such a key would be another one."""
    status, said = show(call(route))
    assert status == 400
    assert "/api/orders?key=" in said["error"]
    reply = triggers.redrive_order(call(route), {})
    assert reply.status_code == 400
    assert "/api/orders/redrive?key=" in json.loads(reply.get_body())["error"]
