"""Several connections on one host, in virtual time: the shipped `Services`, and a Business Central for each connection.

The host is as small as it can be: one instance for each function, never scaled out, that takes messages as `host.json`
says. Jobs run side by side as threads of one agenda, so what one of them waits for keeps its place from the others,
and an answer that never comes holds a place as long as it would in a real host.
"""

import heapq
import itertools
import json
import random
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from unittest import mock
from urllib.parse import parse_qs, urlsplit

import requests
from business_central_emulator import Fault
from business_central_emulator.server.adapter import EngineAdapter, mount
from business_central_emulator.server.exchange import Engine

from shared import routing, services, triggers
from shared.connections import state_owner
from shared.connections.context import Context
from shared.errors import IntegrationError, StoreUnavailable
from shared.login import msal_app, tokens
from shared.outputs import Outputs
from shared.resource_names import (
    QUEUE_FORWARD,
    QUEUE_NOTIFICATIONS,
    QUEUE_ORDER_RESUMES,
    QUEUE_ORDERS,
    QUEUE_PAGES,
)
from shared.services import Outside, Services, build
from shared.webhooks import receive
from tests.simulation.connections_turns import Turns
from tests.simulation.schedule import SCHEDULES
from tests.support.connected_worlds import Deployment, Place, Remembering
from tests.support.memory_storage import MemoryTables

_HOST: Final[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "host.json").read_text(encoding="utf-8")
)["extensions"]["queues"]  # fmt: skip
BATCH: Final[int] = _HOST["batchSize"]
THRESHOLD: Final[int] = _HOST["newBatchThreshold"]
DELIVERIES: Final[int] = _HOST["maxDequeueCount"]
_QUEUES: Final = (QUEUE_PAGES, QUEUE_NOTIFICATIONS, QUEUE_ORDERS, QUEUE_ORDER_RESUMES, QUEUE_FORWARD)
#: Between two looks at an empty queue: at first, and at most (`maxPollingInterval`).
_POLLS_S: Final = (0.1, 10.0)
_HIDDEN: Final = timedelta(seconds=30)  # `visibilityTimeout`
WINDOW: Final = timedelta(minutes=5)
CUSTOMERS: Final = json.dumps([{"entitySet": "customers"}])


@dataclass(slots=True)
class Usage:
    """What one identity asked of Business Central, in all environments that know it."""

    requests: int = 0
    at_once: int = 0
    most_at_once: int = 0
    most_in_window: int = 0
    recent: deque[datetime] = field(default_factory=deque)

    @contextmanager
    def request(self, now: datetime) -> Iterator[None]:
        """Count one request while it lasts."""
        while self.recent and self.recent[0] <= now - WINDOW:
            self.recent.popleft()
        self.recent.append(now)
        self.requests += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.most_in_window = max(self.most_in_window, len(self.recent))
        try:
            yield
        finally:
            self.at_once -= 1


class _Counting(EngineAdapter):
    def __init__(self, place: Place, usage: Usage, sleep: Callable[[float], None]) -> None:
        super().__init__(place.bc, on_delay=sleep)
        self._usage = usage
        self._clock = place.clock

    def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> requests.Response:
        """Answer one request, and count it for the identity."""
        with self._usage.request(self._clock.now()):
            return super().send(request, *arguments, **options)


class _Login(EngineAdapter):
    """A login that takes a moment, or never answers."""

    def __init__(self, engine: Engine, sleep: Callable[[float], None]) -> None:
        super().__init__(engine, on_delay=sleep)
        self._sleep = sleep
        self.hangs = False

    def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> requests.Response:
        """Answer one request."""
        if self.hangs:
            patience = options.get("timeout") or 100.0
            self._sleep(patience[1] if isinstance(patience, tuple) else patience)
            raise requests.ReadTimeout("Read timed out (scripted)", request=request)
        self._sleep(0.2)
        return super().send(request, *arguments, **options)


@dataclass(order=True, slots=True)
class _Message:
    visible_at: datetime
    number: int
    body: str = field(compare=False)
    deliveries: int = field(compare=False, default=0)


@dataclass(slots=True)
class _Listener:
    """One queue function on its one instance."""

    queue: str
    messages: list[_Message] = field(default_factory=list)  # a heap
    at_work: int = 0
    pause_s: float = _POLLS_S[0]
    is_full: bool = False


class _Vault(Remembering):
    """A vault that may refuse single secrets."""

    def __init__(self, versions: dict[str, list[str]]) -> None:
        super().__init__()
        self.versions |= versions
        self.refused: set[str] = set()

    def read(self, name: str) -> str | None:
        """Return the newest version."""
        if name in self.refused:
            raise StoreUnavailable(f"the vault refused {name}: 403 Forbidden (scripted)")
        return super().read(name)


@dataclass(frozen=True, slots=True)
class Delay:
    """How long one thing took: a record until its event left, or an order until its result did."""

    connection: str
    what: str
    began: datetime
    took_s: float


class Fleet(Deployment):
    """The app, its connections and their Business Central, with people and senders at work."""

    def __init__(self, *ids: str, seed: int = 1, companies: int = 1, twin: str = "", **env: str) -> None:
        """Set up all of it. `twin`: the second connection is another environment of the tenant of the first."""
        self.rolls = random.Random(seed)
        self.usage: dict[str, Usage] = {}
        self.executions: Counter[str] = Counter()
        self.transactions: Counter[str] = Counter()
        self.due: dict[tuple[str, str], tuple[datetime, str]] = {}  # connection and key -> since when, what
        self.delays: list[Delay] = []
        self.findings: list[str] = []
        self._event_ids: dict[tuple[str, str], set[str]] = {}
        self._answers: Counter[tuple[str, str]] = Counter()
        self._numbers = itertools.count(1)
        self._listeners = {queue: _Listener(queue) for queue in _QUEUES}
        self._is_on = False
        served = {f"{one.upper()}__BC_COMPANIES": "*" for one in ids}
        super().__init__(*ids, **{"BC_ENTITIES": CUSTOMERS, **served, **env})
        for place in self.places.values():
            place.bc.latency.base_s = 0.3
            for number in range(3, companies + 1):
                place.bc.add_company(f"Company {number}")
            for company in list(place.bc.environment.companies.values())[companies:]:
                place.bc.environment.companies.pop(company.id)
        self.tables = MemoryTables(
            before=lambda name: self.transactions.update([name.partition(".")[0]]),
            reading=lambda name: self.transactions.update([name.partition(".")[0]]),
        )
        self.vault: _Vault = _Vault(self.vault.versions)
        if twin:
            self._share_identity(ids[0], twin)
        self.restart()

    def _share_identity(self, first: str, second: str) -> None:
        """Make the second an environment of the first one's tenant, where Business Central counts both together."""
        one, other = self.places[first], self.places[second]
        other.secret, other.directory, other.login = one.secret, one.directory, one.login
        other.bc.environment.tenant_id = one.directory.tenant_id
        other.bc.environment.tenant_domain = one.directory.domain
        self.env |= {f"{second.upper()}__{name}": value for name, value in (
            ("BC_TENANT_ID", one.directory.domain), ("BC_LOGIN_URL", f"https://login-{first}.example"),
        )}  # fmt: skip
        self.vault.versions[f"bc-client-secret-{second}"] = [one.secret]

    def restart(self) -> Services:
        """Start a new process with nothing in memory."""
        if not hasattr(self, "turns"):
            self.turns = Turns(self.clock)
        self.logins = {one: _Login(place.login, self.turns.sleep) for one, place in self.places.items()}
        login = requests.Session()
        login.adapters.clear()
        for one, adapter in self.logins.items():
            mount(login, adapter, f"https://login-{one}.example/")
        self.made = build(
            self.env,
            Outside(
                tables=lambda _: self.tables, claim_checks=lambda _: self.blobs, vault=lambda *_: self.vault,
                business_central=self._session, login=login, now=self.clock.now, sleep=self.turns.sleep, threads=1,
                monotonic=lambda: self.clock.now().timestamp(),
            ),
        )  # fmt: skip
        return self.made

    def _session(self) -> requests.Session:
        session = requests.Session()
        session.adapters.clear()
        for one, place in self.places.items():
            usage = self.usage.setdefault(place.directory.tenant_id, Usage())
            mount(session, _Counting(place, usage, self.turns.sleep), f"https://bc-{one}.example/")
        return session

    # -- the host

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Let the app's own locks and pool be those of the agenda."""
        threads = SimpleNamespace(Lock=self.turns.lock, RLock=self.turns.lock)
        with ExitStack() as stack:
            for module in (services, state_owner):
                stack.enter_context(mock.patch.object(module, "threading", threads))
            for lock in (tokens, msal_app):
                stack.enter_context(mock.patch.object(lock, "RLock", self.turns.lock))
            stack.enter_context(mock.patch.object(routing, "at_once", self.turns.side_by_side))
            self.restart()  # with these locks
            yield

    def start(self) -> None:
        """Begin: webhooks, snapshots and first pulls come by the timers, then half an hour is left to settle."""
        self._is_on = True
        for name, (every, past) in SCHEDULES.items():
            hour = self.clock.now().replace(minute=0, second=0, microsecond=0)
            first = hour + timedelta(minutes=past)
            while first < self.clock.now():
                first += timedelta(minutes=every)
            self._plan_timer(name, first, timedelta(minutes=every))
        for listener in self._listeners.values():
            self._poll(listener)
        self._deliver_all()
        self.run_for(timedelta(minutes=40))

    def run_for(self, span: timedelta) -> None:
        """Let time pass."""
        self.turns.run_until(self.clock.now() + span)

    def _plan_timer(self, name: str, when: datetime, every: timedelta) -> None:
        def fire() -> None:
            self.turns.spawn(lambda: self._run_timer(name))
            self._plan_timer(name, when + every, every)

        self.turns.at(when, fire)

    def _run_timer(self, name: str) -> None:
        self.executions[name] += 1
        self.leave(routing.run_timer(self.made, name, lambda conn: triggers.do_timer(conn, name)))

    def _put(self, queue: str, text: str) -> None:
        heapq.heappush(self._listeners[queue].messages, _Message(self.clock.now(), next(self._numbers), text))

    def _poll(self, listener: _Listener) -> None:
        """Take a batch, and look again: at once when there was one, later and later when there was none."""
        now = self.clock.now()
        taken: list[_Message] = []
        while listener.messages and listener.messages[0].visible_at <= now and len(taken) < BATCH:
            taken.append(heapq.heappop(listener.messages))
        for message in taken:
            listener.at_work += 1
            self.turns.spawn(lambda message=message: self._do(listener, message))  # type: ignore[misc]
        listener.is_full = listener.at_work > THRESHOLD
        listener.pause_s = _POLLS_S[0] if taken else min(listener.pause_s * 2, _POLLS_S[1])
        if not listener.is_full:
            wait = timedelta(0) if taken else timedelta(seconds=listener.pause_s)
            self.turns.at(now + wait, lambda: self._poll(listener))

    def _do(self, listener: _Listener, message: _Message) -> None:
        self.executions[listener.queue] += 1
        message.deliveries += 1
        name = f"m-{message.number:08d}"
        try:
            body = message.body.encode()
            self.leave(
                routing.do_message(self.made, listener.queue, body, name, message.deliveries, triggers.WORK)
            )  # fmt: skip
        except IntegrationError as error:
            self._again(listener, message, f"{listener.queue}: {type(error).__name__} {error}")
        finally:
            listener.at_work -= 1
            if listener.is_full and listener.at_work <= THRESHOLD:
                listener.is_full = False
                self.turns.at(self.clock.now(), lambda: self._poll(listener))

    def _again(self, listener: _Listener, message: _Message, why: str) -> None:
        self.failed.append(why)
        if message.deliveries >= DELIVERIES:
            self.findings.append(f"a message went to the poison queue: {why}")
            return
        message.visible_at = self.clock.now() + _HIDDEN
        heapq.heappush(listener.messages, message)

    # -- Business Central calls in

    def _deliver_all(self) -> None:
        """Let every sender run each minute: retries, and changes that orders made."""
        for place in self.places.values():
            self._deliver(place)
        self.turns.at(self.clock.now() + timedelta(minutes=1), self._deliver_all)

    def _deliver(self, place: Place) -> None:
        due = place.bc.webhooks.next_due()
        if due is not None and due <= self.clock.now():
            self.turns.spawn(lambda: place.bc.run_webhooks(self._call))

    def _call(self, url: str, headers: object, body: bytes) -> int | None:
        del headers
        parts = urlsplit(url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.executions["bc_notifications"] += 1
        path = parts.path.partition("/api/bc/notifications/")[2]
        reply = receive.receive(query, path, body, self._context)
        for job in reply.jobs:
            self._put(QUEUE_NOTIFICATIONS, job.to_text())
        return reply.status

    def _context(self, connection: str) -> Context | None:
        return self.made.connection(connection).context if connection in self.made.ids else None

    # -- people and senders

    def live(self, span: timedelta, *, records: float, orders: float, busy: tuple[str, ...] = ()) -> None:
        """Plan what people and senders do within a span: so many an hour and connection; three times for `busy`."""
        hours = span / timedelta(hours=1)
        for one, place in self.places.items():
            times = 3 if one in busy else 1
            rolls = random.Random(f"{one} {self.rolls.random()}")
            for plan, rate in ((self._plan_record, records), (self._plan_order, orders)):
                for number in range(round(rate * hours * times)):
                    plan(place, self.clock.now() + span * rolls.random(), number, rolls)

    def _plan_record(self, place: Place, when: datetime, number: int, rolls: random.Random) -> None:
        company = rolls.choice(list(place.bc.environment.companies))

        def create() -> None:
            record = place.bc.user.create_item(company=company, displayName=f"item {number}")
            self.due[(place.id, record.id)] = (self.clock.now(), "record to event")
            self.turns.at(self.clock.now() + timedelta(seconds=31), lambda: self._deliver(place))

        self.turns.at(when, create)

    def _plan_order(self, place: Place, when: datetime, number: int, rolls: random.Random) -> None:
        key = f"web-{place.id}-{when:%d%H%M%S}-{number}-{rolls.randrange(10**6)}"
        line = {"lineType": "Item", "lineObjectNumber": "PRK-1001", "quantity": 2}
        order = {"customerNumber": "C00120", "salesOrderLines": [line]}
        message = {"connection": place.id, "company": place.company.name, "orderKey": key, "order": order}

        def send() -> None:
            self.due[(place.id, key)] = (self.clock.now(), "order to result")
            self._put(QUEUE_ORDERS, json.dumps(message))

        self.turns.at(when, send)

    def fault(self, one: str, fault: Fault, begins: datetime, lasts: timedelta) -> None:
        """Plan a fault of one connection's Business Central."""
        script = self.places[one].bc.faults.script
        self.turns.at(begins, lambda: script.append(fault))
        self.turns.at(begins + lasts, lambda: script.remove(fault))

    # -- what leaves

    def leave(self, outgoing: Outputs) -> None:
        """Take what leaves; note when what somebody waits for has come, and what comes twice."""
        if not self._is_on:
            super().leave(outgoing)
            return
        for text in outgoing.events:
            for event in json.loads(text):
                if event["type"].endswith(".created.v1"):
                    key = (event["bcconnection"], event["data"]["id"])
                    self._event_ids.setdefault(key, set()).add(event["id"])
                    self._came(*key)
        for text in outgoing.results:
            result = json.loads(text)
            key = (result["connection"], result["orderKey"])
            self._answers[key] += 1
            if result["status"] != "created":
                self.findings.append(f"order {result['orderKey']} is {result['status']}: {result.get('error')}")
            self._came(*key)
        leaving = outgoing.by_queue()
        for queue in (QUEUE_PAGES, QUEUE_NOTIFICATIONS, QUEUE_ORDER_RESUMES):
            for text in leaving[queue]:
                self._put(queue, text)

    def _came(self, connection: str, key: str) -> None:
        found = self.due.pop((connection, key), None)
        if found is not None:
            since, what = found
            self.delays.append(Delay(connection, what, since, (self.clock.now() - since).total_seconds()))

    def judge(self) -> list[str]:
        """Return what was lost, doubled, or sent to a stranger."""
        findings = list(self.findings)
        findings += [f"{what} of {key} never came" for key, (_, what) in self.due.items()]
        findings += [
            f"{key} was announced under {len(ids)} ids" for key, ids in self._event_ids.items() if len(ids) > 1
        ]
        findings += [f"{key} has {count} results" for key, count in self._answers.items() if count > 1]
        for one, place in self.places.items():
            findings += [f"a {what} of another connection came to {one}" for what in place.strangers]
            numbers = Counter(row["externalDocumentNumber"] for row in place.bc.table("salesOrders"))
            findings += [f"{one} has {count} orders {name}" for name, count in numbers.items() if count > 1]
        return findings
