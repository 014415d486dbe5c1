"""A running stack goes from the last release's package to this one and back, each time killed with work in flight.

`tests/compat/0.1.0/package.zip` is what the last release deployed. Storage, vault, login and Business Central stay, the
package changes; what docs/upgrade.md promises of both ways is checked against Business Central itself (P20).
"""

import itertools
import json
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final
from zipfile import ZipFile

import pytest
from azure.data.tables import TableServiceClient

from local.stack.demo import COMPANY, Demo
from local.stack.stack import ROOT, Stack
from shared import resource_names as names
from shared.version import VERSION

pytestmark = pytest.mark.e2e

_PACKAGE: Final = ROOT / "tests" / "compat" / "0.1.0" / "package.zip"
_ENV: Final = {"BC_PAGE_ROWS": "10", "LOCAL_HOST_LEASE_S": "2"}  # a killed host's message comes back after this
_SLOW_S: Final = 8.0  # long enough to be killed in
_WORK: Final = "POST .*/salesOrders|GET .*/items.*expand"  # not what a pull asks to plan itself
_PATIENCE_S: Final = 150.0
_LATER: Final = timedelta(minutes=45)  # every wait of either release is over, and every lease
#: What reads a queue of work, in either release.
_READERS: Final = ("submit_sales_order", "resume_sales_order", "process_notifications", "read_page")
_ASLEEP: Final = {f"AzureWebJobs.{function}.Disabled": "true" for function in _READERS}
_DUE: Final = re.compile(r"due\|([0-9T:-]+Z)\|")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The folder of the last release's package."""
    folder = tmp_path / "0.1.0"
    with ZipFile(_PACKAGE) as package:
        package.extractall(folder)
    return folder


@pytest.fixture
def stack(tmp_path: Path, old: Path) -> Iterator[Stack]:
    """A stack that runs the last release; Business Central tells changes at once."""
    with Stack(tmp_path / "stack", host="embedded", host_env=_ENV, app_dir=old, webhook_delay_s=0.5) as running:
        yield running


def test_a_running_stack_is_upgraded_and_rolled_back_with_work_in_flight(stack: Stack, old: Path) -> None:
    """Orders exist once and are answered, created items have one event id, webhooks live on, dead letters are done."""
    site = Site(stack)
    site.log_in()
    site.take_baseline()
    site.demo.register_webhooks()
    webhooks = site.webhooks()
    assert site.health() == "up"

    site.leave_work_in_flight("OLD")
    assert site.demo.events.count(names.QUEUE_ORDERS) >= 4  # the timer's messages, as 0.1.0 words them
    site.go_on_with(ROOT)
    assert site.health() == f"up {VERSION}"
    site.expect_all_done()
    site.expect_a_repeat_to_make_no_order("OLD-DONE")
    site.expect_webhooks(webhooks)

    site.leave_work_in_flight("NEW")
    assert site.demo.events.count(names.QUEUE_ORDER_RESUMES) >= 4  # 0.1.0 does not read these
    site.go_on_with(old)
    assert site.health() == "up"
    site.expect_all_done()
    site.expect_a_repeat_to_make_no_order("OLD-DONE", "NEW-DONE")
    site.expect_webhooks(webhooks)

    stack.kill_host()
    site.go_on_with(ROOT)  # forward again, over rows that both have written
    site.pull()
    site.expect_all_done()
    site.expect_a_repeat_to_make_no_order(*site.sent)
    site.expect_webhooks(webhooks)


@dataclass
class Site:
    """The stack with what was asked of it, and what came out so far."""

    stack: Stack
    sent: dict[str, dict[str, Any]] = field(default_factory=dict)  # order key -> message
    created: set[str] = field(default_factory=set)  # ids of items made since the baseline
    to_pull: set[str] = field(default_factory=set)  # ids of items that were there when the newest pull began
    announced: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # item id -> event ids
    pulled: dict[str, dict[str, set[str]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(set)))
    results: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))  # key: status, number

    def __post_init__(self) -> None:
        self.demo = Demo(self.stack, say=lambda _: None)
        self.jobs = (f"{number:032x}" for number in itertools.count(1))
        customer = next(iter(self.demo._records("customers").values()))["number"]
        item = next(row for row in self.demo._records("items").values() if row["unitPrice"] and not row["blocked"])
        line = {"lineType": "Item", "lineObjectNumber": item["number"], "quantity": 1}
        self.order = {"customerNumber": customer, "salesOrderLines": [line]}

    # -- what is done to it

    def log_in(self) -> None:
        """Sign in as a browser that takes 0.1.0's cookie, a `__Host-` one with an empty domain; today's refuse it."""
        opened = self.demo.http.get(f"{self.stack.public_url}/api/connect", allow_redirects=False, timeout=30)
        name, _, value = opened.headers["Set-Cookie"].partition(";")[0].partition("=")
        self.demo.http.cookies.set(name, value)
        self.demo.log_in()

    def take_baseline(self) -> None:
        """Let the first reconcile list all ids."""
        self.demo._run("reconcile")
        until(lambda: sum("(watch)" in name for name in self.streams()) >= 6, "the baseline")

    def leave_work_in_flight(self, name: str) -> None:
        """Begin one of everything, kill the host in the middle of it, and again when its timer has sent messages."""
        self.leave_dead_letters(name)
        self.send(f"{name}-DONE")
        until(lambda: self.collect().results[f"{name}-DONE"], "the result of an order without trouble")
        for kinds in (("429",), ("504_after_commit", "reset_before_commit")):  # refused; in doubt, made and not made
            waiting = [f"{name}-WAITS-{kind[:3]}".upper() for kind in kinds]
            for kind, key in zip(kinds, waiting, strict=True):
                self.demo._bc("faults/add", kind=kind, match="POST .*/salesOrders")
                self.send(key)
            until(partial(self.do_wait, waiting), f"{waiting} to wait")
            self.demo._bc("faults/clear")
        until(lambda: len(self.dead_letters()) == 2, "two dead letters")
        self.demo._bc("faults/add", kind="slow", match=_WORK, delay_s=_SLOW_S, times=None)
        with self.told("the many items"):
            self.make_items(f"{name} flies", 25)
        self.pull()
        until(lambda: self.demo.events.count(names.QUEUE_PAGES), "the pull to be planned")
        self.send(f"{name}-FLIES")
        until(lambda: self.held(f"{name}-FLIES"), "Business Central to hold the order that flies")
        with self.told("one item"):
            self.make_items(f"{name} flies", 1)
        until(lambda: self.demo.events.count(names.QUEUE_NOTIFICATIONS), "the notification")
        assert self.demo.events.count(names.QUEUE_PAGES)
        assert self.state_of(f"{name}-FLIES") == "posting"
        self.stack.kill_host()
        self.let_time_pass()
        self.stack.start_host(_ASLEEP)
        self.demo._run("retry_sales_orders")
        queue = names.QUEUE_ORDERS if name == "OLD" else names.QUEUE_ORDER_RESUMES
        until(lambda: self.demo.events.count(queue) >= 4, f"the timer's messages in {queue}")
        self.stack.kill_host()

    def leave_dead_letters(self, name: str) -> None:
        """Put messages where the host puts them after five deliveries: an order, and what else nobody would tell."""
        self.demo._bc("notifications/tamper", kind="drop", match=".*", times=1)
        with self.told("the item that it drops"):
            (item,) = self.make_items(f"{name} dropped", 1)
        company = next(row["id"] for row in self.demo._status()["companies"] if row["name"] == COMPANY)
        job = {
            "job": next(self.jobs), "company": company, "entity": "items",
            "changes": [[item, "created", f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"]],
            "collection": "", "compared": False, "redrive": 0,
        }  # fmt: skip
        self.demo.events.put(f"{names.QUEUE_NOTIFICATIONS}-poison", json.dumps(job))
        self.send(f"{name}-LETTER", f"{names.QUEUE_ORDERS}-poison")

    @contextmanager
    def told(self, what: str) -> Iterator[None]:
        """Wait until Business Central has sent its notification."""
        before = len(self.demo._bc("webhookLogs")["deliveries"])
        yield
        until(lambda: len(self.demo._bc("webhookLogs")["deliveries"]) > before, f"the notification of {what}")

    def go_on_with(self, package: Path) -> None:
        """Start a package where another was killed; Business Central is well again, and the timers run."""
        self.demo._bc("faults/clear")
        self.let_time_pass()
        self.stack.app_dir = package
        self.stack.start_host()
        self.demo._run("retry_sales_orders")

    def let_time_pass(self) -> None:
        """Make orders, dead letters and request slots older, as the clock of this machine stays; the host is down."""
        tables = TableServiceClient.from_connection_string(self.stack.storage_connection_string)
        for name in (names.TABLE_ORDERS, names.TABLE_WATERMARKS, names.TABLE_CONNECTIONS):
            table = tables.get_table_client(name)
            for row in list(table.list_entities()):
                if name == names.TABLE_WATERMARKS and "|parked" not in row["PartitionKey"]:
                    continue
                before = row["RowKey"]
                for column, value in row.items():
                    if isinstance(value, datetime):
                        row[column] = datetime.fromtimestamp(value.timestamp(), UTC) - _LATER
                    elif isinstance(value, str):
                        row[column] = _DUE.sub(_earlier, value)
                if row["RowKey"] != before:
                    table.delete_entity(row["PartitionKey"], before)
                table.upsert_entity(row)

    def send(self, key: str, queue: str = names.QUEUE_ORDERS) -> None:
        """Send an order."""
        self.sent[key] = {"company": COMPANY, "orderKey": key, "order": self.order}
        self.demo.events.put(queue, json.dumps(self.sent[key]))

    def make_items(self, name: str, count: int) -> set[str]:
        """Create items as people do."""
        before = set(self.demo._records("items"))
        values = {"displayName": name}
        self.demo._bc("records/create", entitySet="items", company=COMPANY, values=values, count=count)
        made = set(self.demo._records("items")) - before
        assert len(made) == count
        self.created |= made
        return made

    def pull(self) -> None:
        """Begin the scheduled pull."""
        self.to_pull = set(self.demo._records("items"))
        self.demo._run("pull_items")

    # -- what is seen of it

    def collect(self) -> "Site":
        """Take what has left the app."""
        for event in self.demo.events.take():
            record = event["data"]
            if event["type"] == "bc.item.created.v1":
                self.announced[record["id"]].add(event["id"])
            elif event["type"] == "bc.item.pulled.v1":
                self.pulled[record["id"]][record["lastModifiedDateTime"]].add(event["id"])
        for result in self.demo.events.results():
            self.results[result["orderKey"]].append((result["status"], result["number"]))
        return self

    def health(self) -> str:
        """What `health` answers."""
        return self.demo._get("/api/health").text

    def webhooks(self) -> set[tuple[str, str]]:
        """Id and URL of all webhooks."""
        return {(row["subscriptionId"], row["notificationUrl"]) for row in self.demo._subscriptions()}

    def streams(self) -> dict[str, str]:
        """State by entity, purpose and company; 0.1.0 has the purpose in the entity's name only."""
        rows = self.demo._status()["streams"]
        return {f"{row['entity']} {row.get('purpose', '')} {row['company']}": row["state"] for row in rows}

    def dead_letters(self) -> list[dict[str, Any]]:
        """Dead letters, which 0.1.0 called messages."""
        status = self.demo._status()
        letters: list[dict[str, Any]] = status["dead_letters"] if "version" in status else status["messages"]
        return letters

    def state_of(self, key: str) -> str:
        """The status of a stored order."""
        answer = self.demo._get(f"/api/orders/{key}")
        return str(answer.json()[0]["status"]) if answer.status_code == 200 else ""

    def do_wait(self, keys: list[str]) -> bool:
        """Whether all these orders wait."""
        return all(self.state_of(key) == "waiting" for key in keys)

    def held(self, key: str) -> list[str]:
        """Numbers of the orders in Business Central that bear a key."""
        rows = self.demo._records("salesOrders").values()
        return [row["number"] for row in rows if row["externalDocumentNumber"] == key]

    # -- what is expected

    def expect_all_done(self) -> None:
        """Nothing sent is lost, nothing is doubled."""
        assert self.demo._status()["login"]["state"] == "ok"
        until(lambda: self.sent.keys() <= self.collect().results.keys(), lambda: f"results: {self.open_orders()}")
        until(lambda: self.created <= self.collect().announced.keys(), "the created items")
        until(lambda: self.to_pull <= self.collect().pulled.keys(), "the pulled items")
        until(lambda: not self.dead_letters(), "the dead letters to be worked off")
        until(lambda: {state for name, state in self.streams().items() if "pull" in name} == {"ok"}, "the pull to end")
        for key in self.sent:
            numbers = self.held(key)
            assert len(numbers) == 1, key
            assert set(self.results[key]) == {("created", numbers[0])}, key
        assert self.announced.keys() == self.created
        assert all(len(ids) == 1 for ids in self.announced.values())
        assert all(len(ids) == 1 for versions in self.pulled.values() for ids in versions.values())

    def open_orders(self) -> dict[str, str]:
        """Status of the orders without a result."""
        return {key: self.state_of(key) for key in self.sent.keys() - self.results.keys()}

    def expect_a_repeat_to_make_no_order(self, *keys: str) -> None:
        """A message sent once more is answered with the order that is there."""
        before = {key: (self.held(key), len(self.collect().results[key])) for key in keys}
        for key in keys:
            self.send(key)
        until(lambda: all(len(self.collect().results[key]) > before[key][1] for key in keys), f"answers to {keys}")
        for key in keys:
            assert self.held(key) == before[key][0]
            assert set(self.results[key]) == {("created", *self.held(key))}

    def expect_webhooks(self, webhooks: set[tuple[str, str]]) -> None:
        """The webhooks are those that the last release registered, tell what happens, and are renewed."""
        made = self.make_items("tells", 1)
        until(lambda: made <= self.collect().announced.keys(), "the item a webhook tells of")
        oldest = min(webhooks)[0]
        self.demo._bc("subscriptions/age", id=oldest, hours=30)
        before = self.demo._expiry(oldest)
        self.demo._run("keep_subscriptions")
        until(lambda: self.demo._expiry(oldest) > before, "the renewal")
        assert self.webhooks() == webhooks


def _earlier(due: re.Match[str]) -> str:
    return f"due|{datetime.fromisoformat(due[1]) - _LATER:%Y-%m-%dT%H:%M:%SZ}|"


def until(done: Callable[[], Any], what: str | Callable[[], str]) -> None:
    """Wait for something that other processes bring about."""
    deadline = time.monotonic() + _PATIENCE_S
    while not done():
        assert time.monotonic() < deadline, f"waited in vain for {what if isinstance(what, str) else what()}"
        time.sleep(0.1)
