"""Which connection a message, a timer or a request is for."""

import json
import logging
import threading

import azure.functions as func
import pytest
from business_central_emulator import Fault, FaultKind

from shared import overview, routing, services, triggers
from shared.errors import ConfigError, InvalidMessage, StoreUnavailable
from shared.operations.connect_page import ConnectPages
from shared.operations.status_view import StatusView
from shared.outputs import Outputs
from shared.resource_names import QUEUE_PAGES
from shared.services import Services
from tests.support.connected_worlds import Deployment
from tests.usecases.connections.test_isolation import warmed_up


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
    """Work of a connection that never was is dropped; orders and events never are."""
    found = routing.of_message(made.made, queue, routing.named_in(queue, json.dumps(message).encode()))
    assert (found and found.id) == connection


def test_a_message_that_is_no_json_is_the_first_connections(made: Deployment) -> None:
    """Which refuses it with a result, or keeps it as a dead letter."""
    for queue in ("sales-orders", "bc-pages"):
        found = routing.of_message(made.made, queue, routing.named_in(queue, b"\xff"))
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


def test_status_keeps_nobody_waiting_for_storage_that_is_frozen(
    made: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes calls and answers none: one connection is refused in time, several are shown as unreachable."""
    thawed = threading.Event()

    def hang(*_: object) -> None:
        thawed.wait(20)

    for name in ("view", "absent"):
        monkeypatch.setattr(Services, name, hang)
    monkeypatch.setattr(overview, "LOOK_S", 0.05)
    try:
        with pytest.raises(StoreUnavailable, match=r"storage has not answered for 0\.05 s"):
            overview.status_of(made.made, "us")
        several = overview.status_of(made.made, "")
    finally:
        thawed.set()
    assert {one.health for one in several.connections} == {"unreachable"}


def test_the_page_of_one_works_while_another_is_stopped(made: Deployment) -> None:
    """The page is the deployment's; each connection has its own sign-in."""
    made.env["DEFAULT__BC_PAGE_ROWS"] = "many"
    made.restart()
    pages = triggers._pages(made.made, "", [], has_key=True)
    assert isinstance(pages, ConnectPages)
    assert pages.connection == "us"
    assert pages.connections is not None
    assert {one.id: one.health for one in pages.connections()}["default"] == "stopped"


def deliver(made: Deployment, queue: str, text: str, name: str, delivery: int = 1) -> Outputs:
    """One delivery of a message; what leaves is lost unless the caller takes it."""
    return routing.do_message(made.made, queue, text.encode(), name, delivery, triggers.WORK)


def listed(made: Deployment, ids: str) -> None:
    """Ten minutes later a new process reads another BC_CONNECTIONS."""
    made.env["BC_CONNECTIONS"] = ids
    made.restart()
    made.clock.advance(600)


def kept(made: Deployment, connection: str) -> list[str]:
    """Reasons of what is kept for a connection that is out."""
    return [letter.reason for letter in made.made.absent()[connection].dead_letters.all(10)]


ORDER = {
    "customerNumber": "C00120",
    "salesOrderLines": [{"lineType": "Item", "lineObjectNumber": "PRK-1001", "quantity": 2}],
}


@pytest.mark.parametrize("ids", ["default", "default,US"])
def test_work_of_a_connection_that_is_out_for_a_while_is_kept(ids: str) -> None:
    """A page job had claimed a record and died before its output; then BC_CONNECTIONS has a typo (P4)."""
    made = warmed_up("default", "us")
    made.clock.advance(900)
    made.places["us"].bc.user.create_item(number="NEW-US")
    dead: list[str] = []
    work = made._work

    def dying(queue: str, text: str) -> None:
        if queue == QUEUE_PAGES and any("item.created" in one for one in deliver(made, queue, text, "p").events):
            dead.append(text)
        else:
            work(queue, text)

    made._work = dying  # type: ignore[method-assign]
    made.timer("reconcile")
    made._work = work  # type: ignore[method-assign]
    (text,) = dead
    listed(made, ids)
    assert deliver(made, QUEUE_PAGES, text, "p", 2) == Outputs()
    timer = json.dumps({"kind": "timer", "timer": "reconcile", "job": "t", "connection": "us"})
    assert deliver(made, "bc-notifications", timer, "t") == Outputs()  # comes back by itself
    assert kept(made, "us") == ["connection: BC_CONNECTIONS does not name us; this is done once it does"]
    listed(made, "default,us")
    for _ in range(4):
        made.clock.advance(900)
        made.timer("retry_sales_orders")
    assert [one["type"] for one in made.events if one["data"].get("number") == "NEW-US"] == ["bc.item.created.v1"]


def test_an_order_waits_while_an_entry_of_the_list_is_refused(made: Deployment) -> None:
    """It may be the very one that is meant; a name that no connection can have is refused all the same."""
    listed(made, "default,US")
    text = json.dumps({"connection": "us", "orderKey": "A", "order": ORDER})
    with pytest.raises(ConfigError, match="names no us, for which an order waits, and can't use #2"):
        deliver(made, "sales-orders", text, "m-1")
    (result,) = deliver(made, "sales-orders", text.replace('"us"', '"U.S."'), "m-2").results
    assert json.loads(result)["status"] == "rejected"
    listed(made, "default,us")
    (result,) = deliver(made, "sales-orders", text, "m-1", 2).results
    assert json.loads(result)["status"] == "created"


@pytest.mark.parametrize("queue", ["sales-orders", "sales-orders-resume"])
def test_an_order_that_is_stored_is_not_refused_while_its_connection_is_out(made: Deployment, queue: str) -> None:
    """It may be in Business Central, and its result was lost (P9): the sender has the truth once it is back."""
    text = json.dumps({"connection": "us", "orderKey": "A", "order": ORDER})
    if queue == "sales-orders-resume":
        made.places["us"].bc.faults.add(Fault(kind=FaultKind.UNAVAILABLE, match="^POST .*/salesOrders", times=1))
        assert deliver(made, "sales-orders", text, "m-1").results == ()
        made.clock.advance(3600)
        work = routing.run_timer(
            made.made, "retry_sales_orders", lambda of: triggers.do_timer(of, "retry_sales_orders")
        )
        (text,) = work.resumes
    (first,) = deliver(made, queue, text, "r-1").results
    listed(made, "default")
    assert deliver(made, queue, text, "r-1", 2) == Outputs()
    new = json.dumps({"connection": "us", "orderKey": "B", "order": ORDER})
    (result,) = deliver(made, "sales-orders", new, "m-2").results
    assert json.loads(result)["status"] == "rejected"
    listed(made, "default,us")
    made.timer("retry_sales_orders")
    assert made.results == [json.loads(first)]
    assert len(list(made.places["us"].bc.table("salesOrders"))) == 1


@pytest.mark.parametrize("ids", ["default", "default,uk"])
def test_orders_of_a_connection_that_was_taken_out_are_a_finding(ids: str) -> None:
    """Nothing goes on with them, so status and doctor name the connection and how many there are (P9, P26)."""
    made = warmed_up("default", "us", "uk")
    made.places["us"].bc.faults.add(Fault(kind=FaultKind.UNAVAILABLE, match="^POST .*/salesOrders"))
    assert made.order("A", connection="us") == []
    listed(made, ids)
    for found in (overview.status_of(made.made, "").findings, overview.examine(made.made, "").findings):
        (one,) = [finding for finding in found if finding.code == "connection_absent"]
        assert (one.connection, one.is_wrong) == ("us", True)
        assert one.seen == "1 orders and 0 dead letters wait under connection us."
    listed(made, "default,us,uk")
    assert "connection_absent" not in [one.code for one in overview.examine(made.made, "").findings]


def test_a_poison_message_of_a_connection_that_is_out_is_kept(
    made: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As its worker died on it, that is the last that is heard of it."""
    assert made.made.connection("us").id == "us"  # its state begins
    listed(made, "default")
    monkeypatch.setattr(services, "services", lambda: made.made)
    body = json.dumps({"kind": "page", "job": "r-00-000001", "connection": "us"}).encode()
    triggers.run_poison(func.QueueMessage(id="p", body=body), QUEUE_PAGES)
    assert len(kept(made, "us")) == 1


def test_what_nobody_foresaw_of_one_connection_costs_no_other_its_timer(
    made: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told as an error. Alone it ends the invocation, where the platform shows it."""

    def work(conn: services.Connection) -> Outputs:
        if conn.id == "us":
            raise OverflowError("a fault of ours")
        return Outputs(resumes=(conn.id,))

    assert routing.run_timer(made.made, "retry_sales_orders", work).resumes == ("default",)
    told = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert ["OverflowError" in record.getMessage() for record in told] == [True]
    alone = Deployment("us")
    with pytest.raises(OverflowError):
        routing.run_timer(alone.made, "retry_sales_orders", work)
