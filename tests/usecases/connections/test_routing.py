"""Which connection a message, a timer or a request is for."""

import json
import logging

import pytest

from shared import overview, routing, triggers
from shared.errors import ConfigError, InvalidMessage
from shared.operations.connect_page import ConnectPages
from shared.operations.status_view import StatusView
from tests.support.connected_worlds import Deployment


@pytest.fixture
def made() -> Deployment:
    return Deployment("default", "us")


@pytest.mark.parametrize(
    ("queue", "message", "connection"),
    [
        ("bc-pages", {"kind": "page"}, "default"),
        ("bc-pages", {"kind": "page", "connection": "us"}, "us"),
        ("bc-pages", {"kind": "page", "connection": 7}, "default"),
        ("bc-notifications", {"kind": "timer", "connection": "us"}, "us"),
        ("sales-orders-resume", {"orderKey": "A", "company": "", "connection": "us"}, "us"),
        ("sales-orders", {"connection": "us", "order": {}}, "us"),
        ("sales-orders", {"connection": "uk", "order": {}}, "default"),
        ("sales-orders", {"customerNumber": "1", "connection": "us"}, "default"),
        ("bc-events-forward", [{"bcconnection": "us"}], "us"),
        ("bc-events-forward", [{"bcconnection": "gone"}], "default"),
        ("bc-events-forward", {"batch": "m-1", "connection": "us"}, "us"),
        ("bc-pages", {"kind": "page", "connection": "gone"}, None),
    ],
)
def test_a_message_says_of_which_connection_it_is(
    made: Deployment, queue: str, message: object, connection: str | None
) -> None:
    """Work of a connection that is gone is dropped; orders and events never are."""
    found = routing.of_message(made.made, queue, json.dumps(message).encode())
    assert (found and found.id) == connection


def test_a_message_that_is_no_json_is_the_first_connections(made: Deployment) -> None:
    """Which refuses it with a result, or keeps it as a dead letter."""
    for queue in ("sales-orders", "bc-pages"):
        found = routing.of_message(made.made, queue, b"\xff")
        assert found is not None
        assert found.id == "default"


def test_a_request_names_its_connection(made: Deployment) -> None:
    """Where it must: with several nothing is guessed."""
    assert [one.id for one in routing.chosen(made.made, "")] == ["default", "us"]
    assert routing.only(made.made, "us").id == "us"
    with pytest.raises(InvalidMessage, match=r"connection: is required: several are connected \(default, us\)"):
        routing.only(made.made, "")
    with pytest.raises(InvalidMessage, match="connection: must be one of: default, us"):
        routing.chosen(made.made, "uk")


def test_log_lines_bear_the_connection(made: Deployment, caplog: pytest.LogCaptureFixture) -> None:
    """Also those of a refused one, which stops no other."""
    made.env["US__BC_TENANT_ID"] = "my tenant"
    made.restart()
    with caplog.at_level(logging.INFO):
        made.timer("keep_subscriptions")
    lines = [json.loads(line[line.index("{") :]) for line in caplog.messages if line.startswith("subscription.created")]
    assert [line["connection"] for line in lines] == ["default"] * 3
    (refused,) = [line for line in caplog.messages if line.startswith("settings.refused")]
    assert json.loads(refused[refused.index("{") :])["connection"] == "us"
    with pytest.raises(ConfigError, match="US__BC_TENANT_ID"):
        made.made.connection("us")
    health = {one.id: (one.health, one.reason) for one in overview.in_short(made.made)}
    assert health["us"][0] == "stopped"
    assert "US__BC_TENANT_ID" in health["us"][1]


def test_status_is_whole_for_one_and_short_for_several(made: Deployment) -> None:
    """`connections` is in both."""
    short = overview.status_of(made.made, "")
    assert [one.id for one in short.connections] == ["default", "us"]
    whole = overview.status_of(made.made, "us")
    assert isinstance(whole, StatusView)
    assert (whole.connection, [one.id for one in whole.connections]) == ("us", ["us"])


def test_the_page_of_one_works_while_another_is_stopped(made: Deployment) -> None:
    """The page is the deployment's; each connection has its own sign-in."""
    made.env["DEFAULT__BC_PAGE_ROWS"] = "many"
    made.restart()
    pages = triggers._pages(made.made, "", [], has_key=True)
    assert isinstance(pages, ConnectPages)
    assert pages.connection == "us"
    assert pages.connections is not None
    assert {one.id: one.health for one in pages.connections()}["default"] == "stopped"
