"""External business events: a switch, a catalogue, subscriptions, one POST for each event."""

import json
from typing import Any

import pytest
from business_central_emulator import BusinessCentral, VirtualClock
from emulator_world import Api


class Receiver:
    """Takes events and answers with `status`."""

    def __init__(self) -> None:
        self.status = 200
        self.bodies: list[dict[str, Any]] = []

    def receive(self, url: str, headers: Any, body: bytes) -> int:
        assert url == "https://hooks.example.com/events"
        assert headers["Content-Type"] == "application/json"
        self.bodies.append(json.loads(body))
        return self.status


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def root(bc: BusinessCentral) -> str:
    """The route of the events, switched on."""
    bc.business_events.is_on = True
    return bc.root_url().replace("/api/v2.0", "/api/microsoft/runtime/v1.0")


def subscribe(api: Api, root: str, event: str = "SalesInvoicePosted") -> dict[str, Any]:
    body = {
        "companyName": api.engine.company().name,
        "companyId": api.company_id,
        "eventName": event,
        "appId": "437dbf0e-84ff-417a-965d-ed2bb9650972",
        "notificationUrl": "https://hooks.example.com/events",
        "clientState": "s",
    }
    return api.create(f"{root}/externaleventsubscriptions", body)


def test_without_the_switch_they_are_not_here(api: Api, bc: BusinessCentral) -> None:
    """501, and nothing is queued."""
    root = bc.root_url().replace("/api/v2.0", "/api/microsoft/runtime/v1.0")
    assert api.get(f"{root}/externalbusinesseventdefinitions").status == 501


def test_the_catalogue_names_what_can_be_subscribed(api: Api, root: str) -> None:
    """Name, version and payload of each event; an unknown one is refused."""
    names = {row["name"] for row in api.rows(f"{root}/externalbusinesseventdefinitions")}
    assert names == {"SalesInvoicePosted", "SalesShipmentPosted", "SalesOrderReleased"}
    body = {"companyId": api.company_id, "eventName": "Nope", "notificationUrl": "https://x.example/"}
    assert api.post(f"{root}/externaleventsubscriptions", body).status == 400


def test_an_event_is_sent_at_once_with_the_id_of_the_api(
    api: Api, bc: BusinessCentral, root: str, receiver: Receiver
) -> None:
    """No 30 s window; the payload names the invoice that API v2.0 serves."""
    subscribe(api, root)
    posted = bc.user.post_order(bc.user.create_order())
    assert posted.invoice is not None
    assert bc.run_webhooks(receiver.receive) == 1
    (body,) = receiver.bodies
    assert body["payload"] == {"SalesInvoiceAPIId": posted.invoice.id}
    assert (body["companyId"], body["eventName"], body["clientState"]) == (api.company_id, "SalesInvoicePosted", "s")
    assert bc.run_webhooks(receiver.receive) == 0


def test_a_rollback_sends_nothing(
    api: Api, bc: BusinessCentral, clock: VirtualClock, root: str, receiver: Receiver
) -> None:
    """Events belong to what was committed, when it was."""
    subscribe(api, root, "SalesShipmentPosted")
    order = bc.user.create_order()
    with bc.user.transaction(60, commits=False):
        bc.user.post_order(order)
    clock.advance(61)
    assert bc.run_webhooks(receiver.receive) == 0
    with bc.user.transaction(60):
        bc.user.post_order(order)
    assert bc.run_webhooks(receiver.receive) == 0
    clock.advance(61)
    assert bc.run_webhooks(receiver.receive) == 1


def test_repeated_refusals_disable_a_subscription(
    api: Api, bc: BusinessCentral, clock: VirtualClock, root: str, receiver: Receiver
) -> None:
    """It can be enabled again by a change; a deleted one gets nothing."""
    made = subscribe(api, root, "SalesOrderReleased")
    path = f"{root}/externaleventsubscriptions({made['id']})"
    receiver.status = 500
    bc.user.release(bc.user.create_order())
    for _ in range(8):
        bc.run_webhooks(receiver.receive)
        clock.advance(61)
    assert len(receiver.bodies) == 5
    assert api.get(path).json()["subscriptionState"] == "Disabled"
    assert api.patch(path, {"clientState": "t"}).json()["subscriptionState"] == "Active"
    receiver.status = 200
    bc.user.release(bc.user.create_order())
    bc.run_webhooks(receiver.receive)
    assert receiver.bodies[-1]["clientState"] == "t"
    assert api.delete(path).status == 204
    bc.user.release(bc.user.create_order())
    assert bc.run_webhooks(receiver.receive) == 0
