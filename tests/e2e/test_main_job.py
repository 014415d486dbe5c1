"""The shipped app on the whole local stack: the main job, kills in the middle of it, wrong settings, forged calls."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import requests

from local.stack.demo import COMPANY, Demo
from local.stack.mailbox import Mailbox
from local.stack.stack import Stack
from scripts import entities
from shared import resource_names
from shared.changes import plan_runs
from tests.support.published import demo_rows, event_faults, result_faults

pytestmark = pytest.mark.e2e

_SOON = {"LOCAL_HOST_LEASE_S": "2"}  # a killed host's message comes back after this, not after ten minutes
_SMALL_PAGES = {"BC_PAGE_ROWS": "8"}


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A stack of its own, with timers that run only when called."""
    with Stack(tmp_path, host="embedded", host_env={**_SMALL_PAGES, **_SOON}) as running:
        yield running


class JudgedMailbox(Mailbox):
    """A reader that holds whatever it takes against the schemas published for it (P23)."""

    def __init__(self, connection_string: str) -> None:
        """Open the account."""
        super().__init__(connection_string)
        self.seen: list[dict[str, Any]] = []
        self.faults: list[str] = []

    def take(self) -> list[dict[str, Any]]:
        """Return all events, judged."""
        events = super().take()
        self.seen += events
        self.faults += [fault for event in events for fault in event_faults(event, demo_rows())]
        return events

    def results(self) -> list[dict[str, Any]]:
        """Return all results, judged."""
        found = super().results()
        self.faults += [fault for result in found for fault in result_faults(result)]
        return found

    def _open(self, event: dict[str, Any]) -> list[dict[str, Any]] | None:
        self.faults += event_faults(event, demo_rows())
        return super()._open(event)


@pytest.fixture
def mailbox(stack: Stack) -> Iterator[JudgedMailbox]:
    """The rest of the business; at the end of a test all that it was given fits the contract."""
    box = JudgedMailbox(stack.storage_connection_string)
    yield box
    assert box.faults == []


@pytest.fixture
def demo(stack: Stack, mailbox: JudgedMailbox) -> Demo:
    """The main job's steps on that stack, silent."""
    made = Demo(stack, say=lambda _: None)
    made.events = mailbox
    return made


def until(done: Callable[[], Any], what: str, patience_s: float = 300.0) -> Any:
    """Wait for something that processes elsewhere bring about; a killed host holds its request slots for 130 s."""
    deadline = time.monotonic() + patience_s
    while not (found := done()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.2)
    return found


def test_the_main_job_happens_from_login_to_renewal(demo: Demo, mailbox: JudgedMailbox) -> None:
    """Every step of the customer's mission really happens, each checked against Business Central itself.

    The second act adds a custom API page and two connections, one to another tenant. P23: each event names where the
    schema of its data is; it is served there, and the data fits.
    """
    demo.run()
    assert len(demo.results) == 11
    results = [json.loads(sample) for sample in demo.samples if "connection" in sample]
    assert {result["connection"] for result in results} == {"default", "us", "fabrikam"}
    assert {result["orderKey"] for result in results} == {"demo-0002"}
    stock = [event for event in mailbox.seen if event["type"] == "bc.stockLevel.created.v1"]
    assert {event["bcconnection"] for event in stock} == {"default"}
    assert "login" in demo.table().lower() or "Log in" in demo.table()
    served = {
        address: jsonschema_rs.Draft202012Validator(demo.http.get(address, timeout=30).json(), validate_formats=True)
        for address in {event["dataschema"] for event in mailbox.seen}
    }
    assert {address.partition("?")[0] for address in served} == {f"{demo.stack.public_url}/api/schema"}
    valid = sum(served[event["dataschema"]].is_valid(event["data"]) for event in mailbox.seen)
    sys.stdout.write(f"events that validate / events seen: {valid} / {len(mailbox.seen)}\n")
    assert valid == len(mailbox.seen) > 50
    offered = entities.ask(demo.stack.public_url, "", str(demo.stack.ca_file), "default")
    printed = entities.readable(offered, "stock")
    assert "contoso/shop/v1.0/stockLevels        by webhook and reconcile" in printed
    assert '{"entitySet": "stockLevels", "route": "contoso/shop/v1.0"}' in printed
    assert len(offered["offers"]) == 81 + 3


@pytest.mark.parametrize(
    ("settings", "connections"),
    [
        ({"BC_AUTH_MODE": "client_secret", "BC_TRIGGERS": "items,salesInvoices", "BC_PULL_ITEM_VARIANTS": "false",
          "BC_PULL_SALES_INVOICE_LINES": "no", "BC_COMPANIES": f'"{COMPANY}"'}, 3),
        ({"BC_AUTH_MODE": "managed_identity", "BC_TRIGGERS": "salesShipments", "BC_PAGE_ROWS": "5"}, 1),
    ],
    ids=["client secret, fewer of all, others beside", "managed identity, small pages"],
)  # fmt: skip
def test_the_demo_follows_its_settings_and_may_leave_its_events(
    tmp_path: Path, settings: dict[str, str], connections: int
) -> None:
    """As `make run` does: what it has looked at lies in bc-events afterwards, for the next consumer."""
    with Stack(tmp_path, host="embedded", host_env=settings, connections=connections) as running:
        demo = Demo(running, say=lambda _: None, keeps=True)
        demo.run()
        assert len(demo.results) == len(demo.steps()) == 8
        assert demo.events.count(resource_names.QUEUE_EVENTS)
        demo.events.give_back()
        reader = Mailbox(running.storage_connection_string)
        taken: list[dict[str, Any]] = []

        def of_all() -> bool:  # a pull is of every connection
            taken.extend(reader.take())
            return len({event["bcconnection"] for event in taken}) == connections

        until(of_all, "events of each connection")
        types = {event["type"] for event in taken}
        wanted = {entity.event_type("created") for entity in demo.watched} | {"bc.item.pulled.v1"}
        assert types >= wanted
        assert len(reader.results()) == 2


@pytest.mark.parametrize("point", ["before-call", "after-call", "between-outputs", "after-outputs:2"])
def test_a_host_killed_in_the_middle_of_a_pull_loses_no_item(stack: Stack, demo: Demo, point: str) -> None:
    """Kill -9 while pages are read, then a restart: every item has left, whatever left twice has the same event id."""
    demo.log_in()
    stack.kill_host()
    stack.start_host({"AzureWebJobs.read_page.Disabled": "true"})
    requests.post(f"{stack.app_url}/admin/functions/pull_items", json={"input": ""}, timeout=30)
    planned = plan_runs.PARTITIONS + 1
    until(
        lambda: demo.events.count(resource_names.QUEUE_PAGES) == planned, "the plan: partitions, and an empty company"
    )
    stack.kill_host()
    stack.start_host({"LOCAL_HOST_KILL_AT": f"read_page:{point}"})
    until(lambda: not _is_up(stack), "the kill")
    stack.kill_host()
    stack.start_host()
    wanted = set(demo._records("items"))
    ids: dict[str, set[str]] = {}

    def complete() -> bool:
        for event in demo.events.take():
            ids.setdefault(event["data"]["id"], set()).add(event["id"])
        return wanted <= set(ids)

    until(complete, "all items")
    until(lambda: _stream(demo, "items (pull)")["state"] == "ok", "the watermark")
    assert all(len(found) == 1 for found in ids.values())


@pytest.mark.parametrize("point", ["before-call", "after-call", "after-outputs"])
def test_a_host_killed_in_the_middle_of_an_order_posts_it_once(stack: Stack, demo: Demo, point: str) -> None:
    """Kill -9 around an order, then a restart: one order in Business Central, its result delivered."""
    demo.log_in()
    stack.kill_host()
    stack.start_host({"LOCAL_HOST_KILL_AT": f"submit_sales_order:{point}"})
    demo.events.put(resource_names.QUEUE_ORDERS, json.dumps(_order(demo, "KILL-1")))
    until(lambda: not _is_up(stack), "the kill")
    stack.kill_host()
    stack.start_host()
    results = until(demo.events.results, "the result")
    assert {(result["orderKey"], result["status"]) for result in results} == {("KILL-1", "created")}
    assert len(_orders(demo, "KILL-1")) == 1


def test_a_host_killed_while_business_central_works_on_an_order_posts_it_once(stack: Stack, demo: Demo) -> None:
    """The answer to a post is lost with its process; the order is found again and not posted a second time."""
    demo.log_in()
    demo._bc("faults/add", kind="slow", match="POST .*/salesOrders", delay_s=3.0, times=1)
    demo.events.put(resource_names.QUEUE_ORDERS, json.dumps(_order(demo, "KILL-2")))
    until(lambda: _orders(demo, "KILL-2"), "Business Central to hold the order")
    stack.kill_host()
    stack.start_host()
    results = until(demo.events.results, "the result")
    assert [result["status"] for result in results] == ["created"]
    assert len(_orders(demo, "KILL-2")) == 1


def test_wrong_settings_leave_the_handshake_alone_and_are_named_all_at_once(stack: Stack, demo: Demo) -> None:
    """P16: the webhook answers 503 and the handshake works; the status names every wrong setting."""
    stack.kill_host()
    stack.start_host({"BC_CLIENT_ID": "not-a-guid", "BC_PAGE_ROWS": "0", "BC_AUTH_MODE": "magic"})
    hook = f"{stack.public_url}/api/bc/notifications/0123456789abcdef0123456789abcdef"
    handshake = demo.http.post(hook, params={"validationToken": "a b+c/ü"}, timeout=30)
    assert (handshake.status_code, handshake.text) == (200, "a b+c/ü")
    assert handshake.headers["Content-Type"].startswith("text/plain")
    assert demo.http.post(hook, json={"value": []}, timeout=30).status_code == 503
    answer = demo.http.get(f"{stack.public_url}/api/status", timeout=30)
    assert answer.status_code == 503
    assert set(answer.json()["settings"]) == {"BC_CLIENT_ID", "BC_PAGE_ROWS", "BC_AUTH_MODE"}


def test_a_forged_call_reaches_neither_queue_nor_business_central(stack: Stack, demo: Demo) -> None:
    """P3, P15: garbage, a wrong clientState and a foreign host get a 2xx, and nothing else happens."""
    demo.log_in()
    demo.take_baseline()
    demo.register_webhooks()
    hook = demo._subscriptions()[0]["notificationUrl"]
    until(lambda: demo.events.count(resource_names.QUEUE_PAGES) == 0, "quiet")
    time.sleep(1.0)  # the gap reads that registering began
    before = demo._bc("statistics")
    genuine = demo._subscriptions()[0]
    forged = {
        "subscriptionId": genuine["subscriptionId"],
        "clientState": "guessed",
        "resource": genuine["resource"] + "(0d7f8b21-a4d3-f011-8d4c-6045bd1a2c10)",
        "changeType": "created",
    }
    elsewhere = {**forged, "clientState": genuine["clientState"], "resource": "https://evil.example/api/v2.0/x"}
    bodies = [b"garbage", b"x" * 5_000_000, json.dumps({"value": [forged, elsewhere]}).encode(), b'{"value": 3}']
    for body in bodies:
        assert demo.http.post(hook, data=body, timeout=30).status_code == 202
    time.sleep(1.0)
    assert demo.events.count(resource_names.QUEUE_NOTIFICATIONS) == 0
    assert demo._bc("statistics") == before


def _order(demo: Demo, key: str) -> dict[str, Any]:
    customer = next(iter(demo._records("customers").values()))["number"]
    lines = [{"lineType": "Item", "lineObjectNumber": next(iter(demo._records("items").values()))["number"]}]
    order = {"customerNumber": customer, "salesOrderLines": [{**line, "quantity": 1} for line in lines]}
    return {"company": COMPANY, "orderKey": key, "order": order}


def _orders(demo: Demo, key: str) -> list[dict[str, Any]]:
    return [row for row in demo._records("salesOrders").values() if row["externalDocumentNumber"] == key]


def _stream(demo: Demo, entity: str) -> dict[str, Any]:
    streams = demo._status()["streams"]
    found: dict[str, Any] = next(stream for stream in streams if f"{stream['entity']} ({stream['purpose']})" == entity)
    return found


def _is_up(stack: Stack) -> bool:
    try:
        return requests.get(f"{stack.app_url}/admin/host/ping", timeout=5).ok
    except requests.RequestException:
        return False
