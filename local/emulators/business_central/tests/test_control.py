"""The control paths mirror the engine's methods and tell the truth."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from business_central_emulator import BusinessCentral, VirtualClock
from business_central_emulator.server import control
from emulator_world import Api, Subscribe, Subscriber


@pytest.fixture
def run(bc: BusinessCentral) -> Any:
    def call(path: str, **args: Any) -> Any:
        answer = control.handle(bc, path, json.dumps(args).encode() if args else b"")
        assert answer.status == 200, answer.body
        return answer.json()

    return call


def test_the_oracle_tells_records_and_history_in_order(run: Callable[..., Any], bc: BusinessCentral, api: Api) -> None:
    """Created, posted, deleted: what happened to which record, with hidden facts included."""
    order = run("records/create", entitySet="salesOrders", values={"externalDocumentNumber": "web-1"})
    posted = run("orders/post", id=order["id"])
    state = run("state")
    company = state["companies"][api.company_id]
    assert order["id"] not in company["records"]["salesOrders"]
    assert company["records"]["salesInvoices"][posted["invoice"]["id"]]["posted"] is True
    kinds = [event["kind"] for event in state["history"] if event["id"] == order["id"]]
    assert (kinds[0], kinds[-1]) == ("created", "deleted")
    assert "posted" in kinds
    assert [event["seq"] for event in state["history"]] == list(range(1, len(state["history"]) + 1))
    only = run("state", entitySet="salesShipments")
    assert {event["entitySet"] for event in only["history"]} == {"salesShipments"}


def test_users_actions(run: Callable[..., Any], api: Api) -> None:
    """Create one or many, change, post, pay, cancel, release, move stock, delete."""
    items = run("records/create", entitySet="items", count=3, values={"displayName": "Chair"})
    assert len({item["number"] for item in items}) == 3
    assert run("records/create", entitySet="itemVariants", values={"itemNumber": items[0]["number"], "code": "RED"})
    assert run("records/update", entitySet="items", id=items[0]["id"], values={"unitPrice": 9.5})["unitPrice"] == 9.5
    assert run("items/inventory", id=items[0]["id"], quantity=4)["inventory"] == 4
    invoice = run("records/create", entitySet="salesInvoices")
    assert run("documents/release", entitySet="salesInvoices", id=invoice["id"])["status"] == "Open"
    assert run("invoices/post", id=invoice["id"])["posted"] is True
    assert run("invoices/pay", id=invoice["id"], amount=1)["status"] == "Open"
    assert run("invoices/pay", id=invoice["id"])["status"] == "Paid"
    other = run("records/create", entitySet="salesInvoices")
    run("invoices/post", id=other["id"])
    assert run("invoices/cancel", id=other["id"])["status"] == "Canceled"
    assert run("records/create", entitySet="salesShipments")["orderNumber"]
    assert run("records/create", entitySet="customers", values={"displayName": "New"})["number"]
    run("records/delete", entitySet="items", id=items[1]["id"])
    assert api.get(f"items({items[1]['id']})").status == 404


def test_bulk_loads_faults_and_subscriptions(
    run: Callable[..., Any], bc: BusinessCentral, api: Api, subscribe: Subscribe
) -> None:
    """Many items at once, scripted faults, broken records, tampering, lost subscriptions, limits, latency."""
    assert run("items/bulk", count=50, variantsPerItem=2)["items"] == 50
    run("faults/add", kind="503", match="items", retry_after="5")
    assert len(run("faults/list")["script"]) == 1
    assert api.get("items").headers["Retry-After"] == "5"
    run("records/break", entitySet="items", number="1896-S", kind="dialog")
    assert api.get("items").status == 400
    run("notifications/tamper", kind="drop", times=2)
    run("faults/clear")
    assert api.get("items").status == 200
    made = subscribe()
    assert run("subscriptions/delete", id=made["subscriptionId"])["deleted"] == [made["subscriptionId"]]
    subscribe()
    run("environment/copy")
    assert api.rows("/subscriptions") == []
    assert run("limits", enforced=True) == {"enforced": True}
    assert run("latency", base_s=0.5)["base_s"] == 0.5
    assert run("statistics")["requests"] > 0
    assert run("companies/add", name="Third")["name"] == "Third"
    assert len(api.rows("/companies")) == 3


def test_the_clock_can_be_moved_and_everything_started_over(
    run: Callable[..., Any], bc: BusinessCentral, api: Api, clock: VirtualClock
) -> None:
    """`clock/advance` moves a virtual clock; `reset` brings the demo data back."""
    assert run("clock/advance", seconds=90)["now"] == "2026-02-11T09:01:30Z"
    bc.user.create_item(number="EXTRA")
    run("reset")
    assert (bc.table("items").find("number", "EXTRA"), len(bc.table("items"))) == (None, 80)


def test_webhook_log_and_deliveries_are_shown(
    run: Callable[..., Any], bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """What was sent where and what came back."""
    subscribe()
    subscriber.status = 404
    bc.user.create_item()
    clock.advance(31)
    bc.run_webhooks(subscriber.receive)
    log = run("webhookLogs")
    assert [(one["entries"], one["status"]) for one in log["deliveries"]] == [(1, 404)]
    assert any("Delete invalid" in line["message"] for line in log["log"])


@pytest.mark.parametrize(
    ("name", "args", "status"),
    [
        ("nope", {}, 404),
        ("records/create", {}, 400),
        ("records/update", {"entitySet": "items", "id": "x"}, 400),
        ("faults/add", {"kind": "nope"}, 400),
        ("invoices/pay", {"number": "102196"}, 400),
        ("notifications/tamper", {"kind": "drop", "nope": 1}, 400),
    ],
)
def test_a_wrong_control_call_says_what_is_wrong(
    bc: BusinessCentral, name: str, args: dict[str, Any], status: int
) -> None:
    """404 lists the known paths, 400 gives the reason."""
    answer = control.handle(bc, name, json.dumps(args).encode())
    assert answer.status == status
    assert answer.json()["error"]
