"""The main job, told step by step on Microsoft's demo company: what `make run` and `make demo` show.

The demo goes on with a second act: a custom API page and two more connections, one of them to another tenant.
Every step asks the running app, or Business Central behind it, whether it really happened; a step that did not ends
the demo with one clear line. What a step expects follows from the app's settings.
"""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from html import unescape
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

import requests

from local.emulators.entra.browser import SignInFailed, sign_in
from local.stack.further import FURTHER, MOST, Place
from local.stack.mailbox import Mailbox
from shared import resource_names
from shared.business_central.entities import ENTITIES, ITEMS, Entity
from shared.connections.settings_reader import read_settings
from shared.resource_names import DEFAULT_CONNECTION
from shared.settings import AuthMode, Settings

COMPANY: Final = "CRONUS International Ltd."
#: The entry of BC_ENTITIES that the second act adds; the emulator publishes this page.
STOCK_LEVELS: Final = {"entitySet": "stockLevels", "route": "contoso/shop/v1.0", "expand": ["bins"]}
USER: Final = "megan@lmints.io"
_PATIENCE_S: Final = 60.0
_POLL_S: Final = 0.25


class StepFailed(Exception):
    """A step did not happen; the message is the line a person reads."""


class Site(Protocol):
    """A running stack, of this process or of another one."""

    @property
    def app_url(self) -> str:
        """The host itself."""
        ...

    @property
    def public_url(self) -> str:
        """The app as browsers see it."""
        ...

    @property
    def login_url(self) -> str:
        """The login's origin."""
        ...

    @property
    def bc_url(self) -> str:
        """Business Central's origin."""
        ...

    @property
    def storage_connection_string(self) -> str:
        """What the storage SDKs take."""
        ...

    @property
    def ca_file(self) -> Path:
        """The CA to trust."""
        ...

    @property
    def work_dir(self) -> Path:
        """Where its logs are."""
        ...

    @property
    def values(self) -> Mapping[str, str]:
        """The app settings."""
        ...


@runtime_checkable
class Restartable(Protocol):
    """A stack of this process, whose host can be started with other settings."""

    def stop_host(self) -> None:
        """Stop the host as a deployment does."""
        ...

    def start_host(self, extra_env: Mapping[str, str] | None = None) -> None:
        """Start the host with further variables."""
        ...

    def add_connections(self, count: int) -> dict[str, str]:
        """Start further environments until there are so many connections; return the settings that name them."""
        ...

    @property
    def further_urls(self) -> Mapping[Place, str]:
        """Where the further environments are served."""
        ...


@dataclass
class Demo:
    """Runs the steps and keeps what came out for the table at the end."""

    stack: Site
    say: Callable[[str], None] = print
    keeps: bool = False  # events and results stay in their queues, for another consumer
    results: dict[str, str] = field(default_factory=dict)
    samples: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.http = requests.Session()
        self.http.trust_env = False  # REQUESTS_CA_BUNDLE would outrank `verify`
        self.http.verify = str(self.stack.ca_file)
        self.events = Mailbox(self.stack.storage_connection_string, keeps=self.keeps)

    @cached_property
    def settings(self) -> Settings:
        """The settings that the app was started with."""
        return read_settings(self.stack.values)

    @property
    def watched(self) -> list[Entity]:
        """The entities whose changes the app announces."""
        return [ENTITIES[name] for name in self.settings.triggers]

    def steps(self) -> tuple[tuple[str, Callable[[], str]], ...]:
        """Return title and work of each step, as the settings ask for."""
        mode, parts = self.settings.auth_mode, self._parts(ITEMS)
        signs_in = "Log in by authorization code" if mode is AuthMode.AUTHORIZATION_CODE else f"Log in by {mode}"
        return (
            (signs_in, self.log_in),
            ("List the companies", self.list_companies),
            ("Take stock of what exists", self.take_baseline),
            (f"Pull items with their {parts}" if parts else "Pull items", self.pull_items),
            ("Register webhooks", self.register_webhooks),
            (f"Announce a created {_listed([entity.event for entity in self.watched])}", self.announce),
            ("Send a sales order", self.send_order),
            ("Renew a subscription", self.renew),
            *self._second_act(),
        )

    def _second_act(self) -> list[tuple[str, Callable[[], str]]]:
        """Return what takes another set of settings, where the stack ends with the demo and they are not chosen."""
        stack = self.stack
        chosen = self.settings.entities or stack.values.get("BC_CONNECTIONS")
        if self.keeps or chosen or not isinstance(stack, Restartable):
            return []
        return [
            ("Add a custom API page and two connections", lambda: self.add_by_configuration(stack)),
            ("Send an order to each connection", lambda: self.send_to_each(stack)),
            ("Announce a row of the custom API page", self.announce_stock_level),
        ]

    def run(self) -> None:
        """Do the main job once.

        Raises:
            StepFailed: a step did not happen.
        """
        steps = self.steps()
        for number, (title, step) in enumerate(steps, 1):
            began = time.monotonic()
            self.say(f"[{number}/{len(steps)}] {title} ...")
            outcome = step()
            self.say(f"      {outcome}  ({time.monotonic() - began:.1f} s)")
            self.results[title] = outcome

    def prepare(self) -> Iterator[str]:
        """Bring the app to where changes are announced, as far as it is not there yet; yield what is done.

        Raises:
            StepFailed: it did not come there.
        """
        if self._status()["login"]["state"] != "ok":
            yield f"nobody has signed in yet: {self.log_in()}"
        if not self.has_baseline():
            yield f"nothing was read yet: {self.take_baseline()}"
        if len(self._subscriptions()) < len(self._served()) * len(self.watched):
            yield f"webhooks are missing: {self.register_webhooks()}"

    def start(self, function: str) -> None:
        """Start a timer function now.

        Raises:
            StepFailed: the host did not take it.
        """
        self._run(function)

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

    def _parts(self, entity: Entity) -> str:
        """Return what is expanded of an entity, "" when nothing is."""
        return entity.parts if entity.name in self.settings.expanded else ""

    def log_in(self) -> str:
        """Walk through the connect page and Entra's sign-in as a browser would; an app that signs in itself does so."""
        if self.settings.auth_mode is not AuthMode.AUTHORIZATION_CODE:
            self._until("a first token", lambda: bool(self._status()["login"]["state"]))  # the status asks for one
            login = self._status()["login"]
            if login["state"] != "ok":
                raise StepFailed(f"the app can't sign in as itself: {login}")
            return f"the app signs in as itself ({login['mode']}); nobody has to"
        self._get("/api/connect")  # begins a session; of several connections it lists all
        path = f"/api/connect/start?connection={DEFAULT_CONNECTION}"
        page = self._get(path)
        token = re.search(r'name="form_token" value="([^"]+)"', page.text)
        if token is None:
            raise StepFailed(f"the connect page shows no form (HTTP {page.status_code}): {self._why()}")
        fields = {"form_token": unescape(token[1]), "action": "connect"}
        start = self.http.post(f"{self.stack.public_url}{path}", data=fields, allow_redirects=False, timeout=30)
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
            names = self.stack.values.get("BC_COMPANIES", "*")
            raise StepFailed(f"the demo needs {COMPANY}, and BC_COMPANIES is {names}: {companies}")
        return "; ".join(f"{company['name']} ({company['id']})" for company in companies)

    def take_baseline(self) -> str:
        """Let the first reconcile list all ids, so that old records are not announced as new."""
        self._run("reconcile")
        self._until("the ledger to be complete", self.has_baseline)
        counts = {entity.name: len(self._records(entity.name)) for entity in self.watched}
        return ", ".join(f"{count} {name}" for name, count in counts.items()) + " are known and will not be announced"

    def has_baseline(self) -> bool:
        """Return whether all ids have been read once, of every company and watched entity."""
        status = self._status()
        known = [stream for stream in status["streams"] if stream["purpose"] == "reconcile"]
        return len(known) >= len(status["companies"]) * len(self.watched)

    def pull_items(self) -> str:
        """Run the scheduled pull once and count what it wrote."""
        self._run("pull_items")
        wanted = {key for company in self._served() for key in self._in_company("items", company)}
        pulled: dict[str, dict[str, Any]] = {}

        def complete() -> bool:
            for event in self._events():
                if event["type"] == "bc.item.pulled.v1":
                    pulled[event["data"]["id"]] = event
            return wanted <= set(pulled)

        self._until("all items to be pulled", complete)
        how = f"in {self.events.messages} message(s), {self.events.batches} of them with a claim check"
        if not self._parts(ITEMS):
            self.samples.append(_sample(next(iter(pulled.values()))))
            return f"{len(pulled)} items, {how}"
        variants = sum(len(event["data"]["itemVariants"]) for event in pulled.values())
        there = sum(len(self._in_company("itemVariants", company)) for company in self._served())
        if variants != there:
            raise StepFailed(f"{variants} variants came with the items, BC has {there}")
        self.samples.append(_sample(next(event for event in pulled.values() if event["data"]["itemVariants"])))
        return f"{len(pulled)} items with {variants} variants, {how}"

    def register_webhooks(self) -> str:
        """Let the app register its webhooks; BC calls back for the handshake."""
        self._run("keep_subscriptions")
        wanted = len(self._served()) * len(self.watched)
        self._until(f"{wanted} webhooks", lambda: len(self._subscriptions()) >= wanted)
        subscriptions = self._subscriptions()
        urls = {subscription["notificationUrl"] for subscription in subscriptions}
        if len(urls) != len(subscriptions):
            raise StepFailed("two webhooks share one URL")
        return f"{len(urls)} webhooks, each on its own URL, each after a handshake"

    def announce(self) -> str:
        """Do in BC what people do there, and wait for the events."""
        for entity in self.watched:
            values = {"displayName": "Demo parka"} if entity is ITEMS else {}
            made = self._bc("records/create", entitySet=entity.name, company=COMPANY, values=values)
            if entity is ITEMS:
                self._bc(
                    "records/create", entitySet="itemVariants", company=COMPANY,
                    values={"itemNumber": made["number"], "code": "BLUE", "description": "Blue"},
                )  # fmt: skip
        wanted = {entity.event_type("created"): entity for entity in self.watched}
        found: dict[str, dict[str, Any]] = {}

        def complete() -> bool:
            for event in self._events():
                if event["type"] in wanted:
                    found[event["type"]] = event
            return set(found) == set(wanted)

        self._until(f"{len(wanted)} events", complete)
        inside = []
        for kind, entity in wanted.items():
            self.samples.append(_sample(found[kind]))
            if self._parts(entity):
                if len(found[kind]["data"][entity.expand]) != 1:
                    raise StepFailed(f"{kind} came without its {entity.parts}")
                inside.append(f"1 {entity.event} with 1 of its {entity.parts}")
            else:
                inside.append(f"1 {entity.event}")
        return f"announced: {_listed(inside)}"

    def send_order(self) -> str:
        """Send one order twice, as a careless sender would, and find it once in BC."""
        customer = next(iter(self._records("customers").values()))["number"]
        item = next(row for row in self._records("items").values() if row["unitPrice"] and not row["blocked"])
        message = {
            "connection": DEFAULT_CONNECTION,
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

    def add_by_configuration(self, stack: "Restartable") -> str:
        """Start the app with two more connections and a custom API page in its settings, and nothing else."""
        own = stack.add_connections(MOST)
        own |= {f"{place.connection.upper()}__BC_COMPANIES": f'"{COMPANY}"' for place in FURTHER}
        stack.stop_host()
        stack.start_host({**own, f"{DEFAULT_CONNECTION.upper()}__BC_ENTITIES": json.dumps([STOCK_LEVELS])})
        shown = [f"{place.connection} ({place.environment} of {place.domain})" for place in FURTHER]
        found = {one["id"]: one for one in self._get("/api/status").json()["connections"]}
        if set(found) != {DEFAULT_CONNECTION, *(place.connection for place in FURTHER)}:
            raise StepFailed(f"the status lists other connections: {found}")
        if stopped := [f"{key}: {one['reason']}" for key, one in found.items() if one["health"] == "stopped"]:
            raise StepFailed(f"a connection is stopped: {'; '.join(stopped)}")
        return f"connections {', '.join([DEFAULT_CONNECTION, *shown])}; entity {STOCK_LEVELS['entitySet']}"

    def send_to_each(self, stack: "Restartable") -> str:
        """Send one order to each connection, all under one key; each is in its own environment, and there alone."""
        customer = next(iter(self._records("customers").values()))["number"]  # all environments hold the demo data
        order = {"customerNumber": customer, "orderDate": "2026-02-11"}
        places = {DEFAULT_CONNECTION: self.stack.bc_url}
        places |= {place.connection: url for place, url in stack.further_urls.items()}
        for connection in places:
            message = {"connection": connection, "company": COMPANY, "orderKey": "demo-0002", "order": order}
            self.events.put(resource_names.QUEUE_ORDERS, json.dumps(message))
        results: dict[str, dict[str, Any]] = {}

        def complete() -> bool:
            results.update({result["connection"]: result for result in self.events.results()})
            return set(results) >= set(places)

        self._until("the result of each connection", complete)
        for connection, url in places.items():
            result, rows = results[connection], self._records("salesOrders", url).values()
            numbers = [row["number"] for row in rows if row["externalDocumentNumber"] == "DEMO-0002"]
            if result["status"] != "created" or numbers != [result["number"]]:
                raise StepFailed(f"the order for {connection}: Business Central holds {numbers}; result: {result}")
        shown = ("connection", "orderKey", "status", "number")
        self.samples += [json.dumps({name: result[name] for name in shown}) for result in results.values()]
        return "; ".join(f"{connection}: order {results[connection]['number']}" for connection in places)

    def announce_stock_level(self) -> str:
        """Watch the custom API page by a webhook at its own route; what is new there is announced like the rest."""
        for function in ("reconcile", "keep_subscriptions"):
            self._run(function)
        companies = len(self._served())
        self._until(
            "the page to be watched",
            lambda: (
                sum("stockLevels" in one["entity"] and bool(one["last_run"]) for one in self._status()["streams"])
                >= companies
                and sum("stockLevels" in one["resource"] for one in self._subscriptions()) == companies
            ),
        )
        page = f"{STOCK_LEVELS['route']}/{STOCK_LEVELS['entitySet']}"
        values = {"itemNumber": "1896-S", "locationCode": "DEMO", "quantity": 7}
        level = self._bc("records/create", entitySet=page, company=COMPANY, values=values)
        found: list[dict[str, Any]] = []

        def announced() -> bool:
            events = (event for event in self._events() if event["type"] == "bc.stockLevel.created.v1")
            found.extend(event for event in events if event["data"]["id"] == level["id"])
            return bool(found)

        self._until("the event of the stock level", announced)
        self.samples.append(_sample(found[-1]))
        return f"{page}: one entry of BC_ENTITIES; 1 stock level announced, of connection {found[-1]['bcconnection']}"

    # -- asking

    def _get(self, path: str) -> requests.Response:
        return self.http.get(f"{self.stack.public_url}{path}", timeout=30)

    def _status(self) -> dict[str, Any]:
        answer = self._get(f"/api/status?connection={DEFAULT_CONNECTION}")
        if answer.status_code != 200:
            raise StepFailed(f"status answered {answer.status_code}: {answer.text[:300]}")
        found: dict[str, Any] = answer.json()
        return found

    def _events(self) -> Iterator[dict[str, Any]]:
        """Take the events that lie there; yield those of the first connection: others hold records of the same ids."""
        yield from (event for event in self.events.take() if event["bcconnection"] == DEFAULT_CONNECTION)

    def _run(self, function: str) -> None:
        answer = self.http.post(f"{self.stack.app_url}/admin/functions/{function}", json={"input": ""}, timeout=30)
        if answer.status_code != 202:
            raise StepFailed(f"{function} could not be started: HTTP {answer.status_code}")

    def _bc(self, command: str, url: str = "", **arguments: Any) -> Any:
        """Send a control request to an environment, by default the first."""
        answer = self.http.post(f"{url or self.stack.bc_url}/_emulator/{command}", json=arguments, timeout=30)
        if answer.status_code != 200:
            raise StepFailed(f"the emulator refused {command}: {answer.text[:300]}")
        return answer.json()

    def _records(self, entity_set: str, url: str = "") -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for company in self._bc("state", url, entitySet=entity_set)["records"].values():
            found |= company
        return found

    def _in_company(self, entity_set: str, company: str) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = self._bc("state", entitySet=entity_set)["records"].get(company, {})
        return found

    def _served(self) -> list[str]:
        """Return the ids of the companies that the app serves."""
        return [company["id"] for company in self._status()["companies"] if company["id"]]

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


def _listed(words: list[str]) -> str:
    return " and ".join([part for part in (", ".join(words[:-1]), *words[-1:]) if part])


def main(stack: Site, *, keeps: bool = False) -> int:
    """Run the demo on a started stack; return the exit code. `keeps`: its events stay in their queues."""
    demo = Demo(stack, keeps=keeps)
    try:
        demo.run()
    except (StepFailed, SignInFailed) as error:
        print(f"demo: FAILED: {error}")
        return 1
    except requests.RequestException as error:
        print(f"demo: FAILED: the stack does not answer ({type(error).__name__}); see .local/logs")
        return 1
    finally:
        demo.events.give_back()
    print(demo.table())
    return 0
