"""The main job, told step by step on Microsoft's demo company: what `make run` and `make demo` show.

Every step asks the running app, or Business Central behind it, whether it really happened; a step that did not ends
the demo with one clear line.
"""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from html import unescape
from typing import TYPE_CHECKING, Any, Final

import requests

from local.emulators.entra.browser import SignInFailed, sign_in
from local.stack.mailbox import Mailbox
from shared import resource_names

if TYPE_CHECKING:
    from local.stack.stack import Stack

COMPANY: Final = "CRONUS International Ltd."
USER: Final = "megan@lmints.io"
_PATIENCE_S: Final = 60.0
_POLL_S: Final = 0.25


class StepFailed(Exception):
    """A step did not happen; the message is the line a person reads."""


@dataclass
class Demo:
    """Runs the steps and keeps what came out for the table at the end."""

    stack: "Stack"
    say: Callable[[str], None] = print
    results: dict[str, str] = field(default_factory=dict)
    samples: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.http = requests.Session()
        self.http.trust_env = False  # REQUESTS_CA_BUNDLE would outrank `verify`
        self.http.verify = str(self.stack.ca_file)
        self.events = Mailbox(self.stack.storage_connection_string)

    def run(self) -> None:
        """Do the main job once.

        Raises:
            StepFailed: a step did not happen.
        """
        steps = (
            ("Log in by authorization code", self.log_in),
            ("List the companies", self.list_companies),
            ("Take stock of what exists", self.take_baseline),
            ("Pull items with their variants", self.pull_items),
            ("Register webhooks", self.register_webhooks),
            ("Announce a created item, shipment and invoice", self.announce),
            ("Send a sales order", self.send_order),
            ("Renew a subscription", self.renew),
        )
        for number, (title, step) in enumerate(steps, 1):
            began = time.monotonic()
            self.say(f"[{number}/{len(steps)}] {title} ...")
            outcome = step()
            self.say(f"      {outcome}  ({time.monotonic() - began:.1f} s)")
            self.results[title] = outcome

    def table(self) -> str:
        """Return the closing table and a few samples."""
        width = max(len(title) for title in self.results)
        lines = ["", "What came out", "-" * 13]
        lines += [f"{title:<{width}}  {outcome}" for title, outcome in self.results.items()]
        lines += ["", "Events from the queue bc-events and a result from sales-order-results (shortened)"]
        lines += [f"  {sample}" for sample in self.samples]
        return "\n".join(lines)

    # -- the steps

    def _why(self) -> str:
        """Return what the status says, for an app that shows no page: with wrong settings it names each."""
        said = self._get("/api/status").text
        try:
            return str(json.loads(said)["error"])
        except (ValueError, KeyError, TypeError):
            return f"the reason is in {self.stack.work_dir / 'logs' / 'host.log'}"

    def log_in(self) -> str:
        """Walk through the connect page and Entra's sign-in as a browser would."""
        page = self._get("/api/connect")
        token = re.search(r'name="form_token" value="([^"]+)"', page.text)
        if token is None:
            raise StepFailed(f"the connect page shows no form (HTTP {page.status_code}): {self._why()}")
        fields = {"form_token": unescape(token[1]), "action": "connect"}
        start = self.http.post(
            f"{self.stack.public_url}/api/connect/start", data=fields, allow_redirects=False, timeout=30
        )
        location = start.headers.get("Location", "")
        if start.status_code != 303 or not location.startswith(self.stack.login_url):
            raise StepFailed(f"the Connect button answered {start.status_code} and did not lead to the login")
        sign_in(self.http, location, USER)
        login = self._status()["login"]
        if login["state"] != "ok":
            raise StepFailed(f"after the sign-in the app says: {login}")
        return f"signed in as {login['user']}; tokens are in the vault"

    def list_companies(self) -> str:
        """Ask the app which companies the connection opens."""
        companies = self._status()["companies"]
        if not any(company["name"] == COMPANY for company in companies):
            raise StepFailed(f"{COMPANY} is not among the companies: {companies}")
        return "; ".join(f"{company['name']} ({company['id']})" for company in companies)

    def take_baseline(self) -> str:
        """Let the first reconcile list all ids, so that old records are not announced as new."""
        self._run("reconcile")
        self._until(
            "the ledger to be complete",
            lambda: sum(stream["purpose"] == "reconcile" for stream in self._status()["streams"]) >= 6,
        )
        counts = {name: len(self._records(name)) for name in ("items", "salesShipments", "salesInvoices")}
        return ", ".join(f"{count} {name}" for name, count in counts.items()) + " are known and will not be announced"

    def pull_items(self) -> str:
        """Run the scheduled pull once and count what it wrote."""
        self._run("pull_items")
        wanted = set(self._records("items"))
        pulled: dict[str, dict[str, Any]] = {}

        def complete() -> bool:
            for event in self.events.take():
                if event["type"] == "bc.item.pulled.v1":
                    pulled[event["data"]["id"]] = event
            return wanted <= set(pulled)

        self._until("all items to be pulled", complete)
        variants = sum(len(event["data"]["itemVariants"]) for event in pulled.values())
        if variants != len(self._records("itemVariants")):
            raise StepFailed(f"{variants} variants came with the items, BC has {len(self._records('itemVariants'))}")
        self.samples.append(_sample(next(event for event in pulled.values() if event["data"]["itemVariants"])))
        how = f"{self.events.messages} message(s), {self.events.batches} of them with a claim check"
        return f"{len(pulled)} items with {variants} variants, in {how}"

    def register_webhooks(self) -> str:
        """Let the app register its webhooks; BC calls back for the handshake."""
        self._run("keep_subscriptions")
        self._until("six webhooks", lambda: len(self._subscriptions()) == 6)
        urls = {subscription["notificationUrl"] for subscription in self._subscriptions()}
        if len(urls) != 6:
            raise StepFailed("two webhooks share one URL")
        return f"{len(urls)} webhooks, each on its own URL, each after a handshake"

    def announce(self) -> str:
        """Do in BC what people do there, and wait for the events."""
        item = self._bc("records/create", entitySet="items", company=COMPANY, values={"displayName": "Demo parka"})
        number = item["records"][0]["number"] if "records" in item else item["number"]
        self._bc(
            "records/create", entitySet="itemVariants", company=COMPANY,
            values={"itemNumber": number, "code": "BLUE", "description": "Blue"},
        )  # fmt: skip
        self._bc("records/create", entitySet="salesShipments", company=COMPANY)
        self._bc("records/create", entitySet="salesInvoices", company=COMPANY)
        wanted = {
            "bc.item.created.v1": "itemVariants",
            "bc.salesShipment.created.v1": "salesShipmentLines",
            "bc.salesInvoice.created.v1": "salesInvoiceLines",
        }
        found: dict[str, dict[str, Any]] = {}

        def complete() -> bool:
            for event in self.events.take():
                if event["type"] in wanted:
                    found[event["type"]] = event
            return set(found) == set(wanted)

        self._until("the three events", complete)
        for kind, nested in wanted.items():
            if len(found[kind]["data"][nested]) != 1:
                raise StepFailed(f"{kind} came without its {nested}")
            self.samples.append(_sample(found[kind]))
        return "announced with 1 variant, 1 shipment line, 1 invoice line"

    def send_order(self) -> str:
        """Send one order twice, as a careless sender would, and find it once in BC."""
        customer = next(iter(self._records("customers").values()))["number"]
        item = next(row for row in self._records("items").values() if row["unitPrice"] and not row["blocked"])
        message = {
            "company": COMPANY,
            "orderKey": "demo-0001",
            "order": {
                "customerNumber": customer, "orderDate": "2026-02-11",
                "salesOrderLines": [{"lineType": "Item", "lineObjectNumber": item["number"], "quantity": 3}],
            },
        }  # fmt: skip
        for _ in range(2):
            self.events.put(resource_names.QUEUE_ORDERS, json.dumps(message))
        results: list[dict[str, Any]] = []
        self._until("two results", lambda: len(results.__iadd__(self.events.results())) >= 2)
        orders = [row for row in self._records("salesOrders").values() if row["externalDocumentNumber"] == "DEMO-0001"]
        if len(orders) != 1 or {result["number"] for result in results} != {orders[0]["number"]}:
            raise StepFailed(f"sent twice, BC holds {len(orders)} orders; results: {results}")
        shown = ("orderKey", "status", "number", "attempts")
        self.samples.append(json.dumps({name: results[0][name] for name in shown}))
        return f"order {orders[0]['number']}, sent twice, is in Business Central once"

    def renew(self) -> str:
        """Make one webhook 30 hours old and let the app renew it."""
        chosen = self._subscriptions()[0]
        self._bc("subscriptions/age", id=chosen["subscriptionId"], hours=30)
        before = self._expiry(chosen["subscriptionId"])
        self._run("keep_subscriptions")
        self._until("the renewal", lambda: self._expiry(chosen["subscriptionId"]) > before)
        return f"{before} -> {self._expiry(chosen['subscriptionId'])}, with another handshake"

    # -- asking

    def _get(self, path: str) -> requests.Response:
        return self.http.get(f"{self.stack.public_url}{path}", timeout=30)

    def _status(self) -> dict[str, Any]:
        answer = self._get("/api/status")
        if answer.status_code != 200:
            raise StepFailed(f"status answered {answer.status_code}: {answer.text[:300]}")
        found: dict[str, Any] = answer.json()
        return found

    def _run(self, function: str) -> None:
        answer = self.http.post(f"{self.stack.app_url}/admin/functions/{function}", json={"input": ""}, timeout=30)
        if answer.status_code != 202:
            raise StepFailed(f"{function} could not be started: HTTP {answer.status_code}")

    def _bc(self, command: str, **arguments: Any) -> Any:
        answer = self.http.post(f"{self.stack.bc_url}/_emulator/{command}", json=arguments, timeout=30)
        if answer.status_code != 200:
            raise StepFailed(f"the emulator refused {command}: {answer.text[:300]}")
        return answer.json()

    def _records(self, entity_set: str) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for company in self._bc("state", entitySet=entity_set)["records"].values():
            found |= company
        return found

    def _subscriptions(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._bc("state")["subscriptions"]
        return rows

    def _expiry(self, subscription_id: str) -> str:
        row = next(row for row in self._subscriptions() if row["subscriptionId"] == subscription_id)
        return str(row["expirationDateTime"])

    def _until(self, what: str, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not done():
            if time.monotonic() > deadline:
                raise StepFailed(f"waited {_PATIENCE_S:.0f} s in vain for {what}; see .local/logs")
            time.sleep(_POLL_S)


def _sample(event: dict[str, Any]) -> str:
    data = {name: event["data"][name] for name in ("number", "displayName", "customerName") if name in event["data"]}
    nested = {name: len(value) for name, value in event["data"].items() if isinstance(value, list)}
    return json.dumps({"type": event["type"], "subject": event["subject"], "data": data, "inside": nested})


def main(stack: "Stack") -> int:
    """Run the demo on a started stack; return the exit code."""
    demo = Demo(stack)
    try:
        demo.run()
    except (StepFailed, SignInFailed) as error:
        print(f"demo: FAILED: {error}")
        return 1
    except requests.RequestException as error:
        print(f"demo: FAILED: the stack does not answer ({type(error).__name__}); see .local/logs")
        return 1
    print(demo.table())
    return 0
