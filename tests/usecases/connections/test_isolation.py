"""Several connections side by side: nothing of one is used for another, and what ails one delays no other (P21)."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Final

import pytest
from business_central_emulator import Fault, FaultKind

from shared import log, overview, routing, triggers
from shared.errors import InvalidMessage
from shared.operations import bc_checks
from shared.resource_names import TABLES
from shared.storage.table import Row
from tests.support.connected_worlds import PUBLIC_URL, Deployment
from tests.support.memory_storage import MemoryTable

#: How long what ails one connection may delay another.
DELAY: Final = timedelta(seconds=60)
TIMERS: Final = ("keep_subscriptions", "reconcile", "pull_items", "retry_sales_orders")


def warmed_up(*ids: str, **env: str) -> Deployment:
    """A deployment whose connections have their webhooks and first snapshots."""
    made = Deployment(*ids, **env)
    for function in TIMERS:
        made.timer(function)
    made.events.clear()
    return made


def rows(made: Deployment) -> list[Row]:
    """Every row of every table."""
    tables = [made.tables.table(name) for name in TABLES]
    assert all(isinstance(table, MemoryTable) for table in tables)
    return [
        row
        for table in tables
        if isinstance(table, MemoryTable)
        for part in table._partitions.values()
        for row in part.rows.values()
    ]


def test_each_connection_reads_writes_and_announces_its_own() -> None:
    """The id is in events and results; webhooks stand at addresses of their own connection."""
    made = warmed_up("eu", "us")
    for place in made.places.values():
        place.bc.user.create_item(number=f"NEW-{place.id.upper()}", displayName=place.id)
    made.clock.advance(900)
    made.timer("reconcile")
    found = {(event["bcconnection"], event["data"]["number"]) for event in made.events if "number" in event["data"]}
    assert found == {("eu", "NEW-EU"), ("us", "NEW-US")}
    for place in made.places.values():
        urls = [str(one["notificationUrl"]) for one in place.bc.subscriptions.active(made.clock.now())]
        assert len(urls) == 3
        assert all(url.startswith(f"{PUBLIC_URL}/api/bc/notifications/{place.id}/") for url in urls)


def test_an_order_goes_where_it_says() -> None:
    """Without a connection it is refused with a result that lists them, as with one that there is not."""
    made = warmed_up("eu", "us")
    (result,) = made.order("web-1", connection="us")
    assert (result["connection"], result["status"]) == ("us", "created")
    assert [len(list(place.bc.table("salesOrders"))) for place in made.places.values()] == [0, 1]
    (refused,) = made.order("web-2")
    assert refused["error"]["message"] == "connection: is required: several are connected (eu, us)"
    (unknown,) = made.order("web-3", connection="use")
    assert unknown["error"]["message"] == "connection: must be one of: eu, us; did you mean us?"
    assert not made.failed


def test_the_same_key_is_another_order_on_another_connection() -> None:
    """Stories and redrives name the connection."""
    made = warmed_up("eu", "us")
    (one,), (other,) = made.order("web-1", connection="eu"), made.order("web-1", connection="us")
    assert (one["status"], other["status"]) == ("created", "created")
    with pytest.raises(InvalidMessage, match=r"several have an order of this key \(eu, us\)"):
        routing.holder_of(made.made, "", "web-1")
    assert routing.holder_of(made.made, "us", "web-1").connection == "us"


@pytest.mark.parametrize("by", ["name", "id"])
def test_a_company_of_another_connection_is_refused(by: str) -> None:
    """An order that names one has a result that says so, and is in neither environment."""
    made = Deployment("eu", "us", EU__BC_COMPANIES="*", US__BC_COMPANIES="*")
    only = made.places["eu"].bc.add_company("Only of eu")
    (refused,) = made.order("web-1", connection="us", company=getattr(only, by))
    assert (refused["connection"], refused["status"]) == ("us", "rejected")
    assert refused["error"]["message"].startswith("company: ")
    assert [len(list(place.bc.table("salesOrders"))) for place in made.places.values()] == [0, 0]
    assert not list(made.places["eu"].bc.table("salesOrders", only.id))


IDS: Final = ("eu", "us", "uk")
#: What may happen, and to what.
STEPS: Final = {
    "timer": TIMERS, "order": (*IDS, "", "de"), "item": IDS, "unauthorized": IDS, "no secret": IDS, "restart": ("",),
    "look": ("",), "wait": ("",),
}  # fmt: skip


def take(made: Deployment, number: int, step: str, what: str) -> None:
    """Do one step of a life."""
    match step:
        case "timer":
            made.timer(what)
        case "order":
            made.order(f"web-{number}", **({"connection": what} if what else {}))
        case "item":
            made.places[what].bc.user.create_item(displayName=f"item {number} of {what}")
        case "unauthorized":
            made.places[what].bc.faults.add(Fault(kind=FaultKind.ANSWER, match=".*", times=2, status=401))
        case "no secret":
            made.places[what].login.directory.applications[0].client_secrets.clear()
        case "restart":
            made.restart()
        case "look":
            overview.in_short(made.made)
        case _:
            made.clock.advance(4000)


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    """Which connection's work wrote or deleted rows of which partition."""
    found: set[tuple[str, str]] = set()
    put, drop = MemoryTable._put, MemoryTable._drop

    def noted_put(table: MemoryTable, row: Row, demand: Callable[[Row], None] | None = None) -> Row:
        found.add((log._connection.get(), f"{row.partition}|{row.key}"))
        return put(table, row, demand)

    def noted_drop(table: MemoryTable, partition: str, key: str) -> None:
        found.add((log._connection.get(), f"{partition}|{key}"))
        drop(table, partition, key)

    monkeypatch.setattr(MemoryTable, "_put", noted_put)
    monkeypatch.setattr(MemoryTable, "_drop", noted_drop)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_nothing_of_one_is_ever_used_for_another(seed: int, writes: set[tuple[str, str]]) -> None:
    """No token, secret or state, whatever fails and whoever starts anew, in lives of twelve steps drawn by a seed."""
    rolls = random.Random(seed)
    made = warmed_up(*IDS)
    for number in range(12):
        step = rolls.choice(sorted(STEPS))
        take(made, number, step, rolls.choice(STEPS[step]))
    assert all(place.strangers == [] for place in made.places.values())
    own = {f"bc-client-secret-{one}" for one in made.places} | {"bc-webhook-secret"}
    assert made.vault.touched <= own
    assert len({place.company.id for place in made.places.values()}) == 1  # nothing but the id tells their rows apart
    for row in rows(made):
        state = row.partition.partition("|")[0]
        assert state in {*made.places, "deployment", "budget"}, row.partition
        text = f"{row.partition} {row.key} {sorted(row.values.items(), key=str)}"
        owner = row.key.removeprefix("connection|") if state == "deployment" else state
        assert not [one for one in IDS if owner in IDS and one != owner and f"{one}.example" in text], text[:200]
    assert {worker for worker, _ in writes} >= set(IDS)
    for worker, written in writes:
        if worker:
            budget = f"budget|{made.places[worker].directory.tenant_id}|"
            assert written.startswith((f"{worker}|", f"deployment|connection|{worker}", budget)), (worker, written)
    for event in made.events:
        assert f"/{event['bcconnection']}.example/" in event["source"]


def refuses_its_secret(made: Deployment) -> None:
    """The client secret of eu has expired."""
    made.places["eu"].login.directory.applications[0].client_secrets.clear()
    made.clock.advance(4000)  # its token ends


def has_no_secret(made: Deployment) -> None:
    """The vault holds no secret of eu any more."""
    del made.vault.versions["bc-client-secret-eu"]
    made.restart()
    made.clock.advance(4000)


def is_throttled(made: Deployment) -> None:
    """Business Central answers 429 to whatever eu asks."""
    fault = Fault(kind=FaultKind.THROTTLED, match=".*", times=None, retry_after="120")
    made.places["eu"].bc.faults.add(fault)


def is_down(made: Deployment) -> None:
    """Business Central of eu answers 503."""
    made.places["eu"].bc.faults.add(Fault(kind=FaultKind.UNAVAILABLE, match=".*", times=None))


def has_wrong_settings(made: Deployment) -> None:
    """Somebody has mistyped a setting of eu."""
    made.env["EU__BC_PAGE_ROWS"] = "many"
    made.restart()


@pytest.mark.parametrize("ails", [refuses_its_secret, has_no_secret, is_throttled, is_down, has_wrong_settings])
def test_what_ails_one_connection_delays_no_other(ails: object) -> None:
    """An order and a new record of us arrive within a minute, while eu has work of its own that fails."""
    made = warmed_up("eu", "us")
    assert callable(ails)
    ails(made)
    made.places["us"].bc.user.create_item(number="NEW-US", displayName="x")
    began: datetime = made.clock.now()
    planned = routing.run_timer(made.made, "reconcile", lambda conn: triggers.do_timer(conn, "reconcile"))
    mine = tuple(text for text in planned.notifications if json.loads(text)["connection"] == "us")
    made.leave(replace(planned, notifications=mine))  # eu's is in the hands of another worker, as long as it takes
    made.drain()
    (result,) = made.order("web-1", connection="us")
    assert (result["status"], made.clock.now() - began <= DELAY) == ("created", True)
    assert [event["data"]["number"] for event in made.events] == ["NEW-US"]
    made.order("web-1", connection="eu")
    assert not [one for one in chain(made.results) if one["connection"] == "eu" and one["status"] == "created"]
    made.clock.advance(120)
    health = {one.id: one.health for one in overview.in_short(made.made)}
    assert health["us"] in {"connected", "degraded"}
    assert health["eu"] != "connected"


def test_a_misspelt_environment_is_told_with_those_that_there_are() -> None:
    """On page and status as from the doctor; it is stopped, and the other goes on."""
    made = Deployment("eu", "us", US__BC_ENVIRONMENT="Prod")
    seen = "There is no environment Prod; there are Prod-us."
    (found,) = bc_checks.list_companies(made.made.connection("us").context, [])
    assert (found.code, found.seen) == ("bc_environment", seen)
    health = {one.id: (one.health, one.reason) for one in overview.in_short(made.made)}
    assert health["us"] == ("stopped", seen)
    assert health["eu"][0] != "stopped"
    assert overview.in_full(made.made, "us").connection == "us"


def test_budgets_are_shared_where_business_central_counts_together() -> None:
    """Two environments of one tenant and application share one; another tenant has its own, as has `default`."""
    made = Deployment("default", "us", "uk", UK__BC_TENANT_ID="us.example", UK__BC_LOGIN_URL="https://login-us.example")
    budgets = {one: made.made.connection(one).context.settings.identity for one in made.places}
    assert budgets["us"] == budgets["uk"] != budgets["default"]
    assert set(made.made._budgets) == {("default.example.prod-default", ""), (f"budget|{budgets['us']}", "")}
