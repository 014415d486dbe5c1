"""One world: Business Central, the app's workers and what they leave behind, all in one process on a virtual clock.

The app's code is the shipped code; only its adapters to tables, vault, login and network are the in-memory ones. A
`Crash` raised by a hook kills the function it is raised in, as the loss of a process would.
"""

import json
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import parse_qs, urlsplit

import requests

from local.business_central import BusinessCentral, EngineAdapter, HandshakeAnswer, VirtualClock, mount
from local.simulation.queues import Message, Queues
from shared import triggers
from shared.bc.client import BusinessCentralClient
from shared.bc.transport import Transport
from shared.core import names
from shared.core.outgoing import Outgoing
from shared.errors import IntegrationError
from shared.handlers import orders, parking, webhook
from shared.handlers.context import Context
from shared.ports import Budget, Slot
from shared.settings import Settings
from shared.state.orders import OrderBook
from shared.state.parked import ParkedBook
from shared.state.streams import StreamBook
from shared.state.webhooks import WebhookBook
from shared.stores.memory import MemoryTables

PUBLIC_URL: Final = "https://connect.example"
ENV: Final = {
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    "KEY_VAULT_URL": "https://vault.example",
    "BC_TENANT_ID": "lmints.io",
    "BC_CLIENT_ID": "6ff7e2f1-1f4d-4a0e-8a86-52b6f1e4a2aa",
    "PUBLIC_URL": PUBLIC_URL,
}
TIMERS: Final[dict[str, Callable[[Context], Outgoing]]] = {
    "pull_items": triggers.PULL_ITEMS,
    "reconcile": triggers.RECONCILE,
    "keep_subscriptions": triggers.KEEP_SUBSCRIPTIONS,
    "retry_sales_orders": triggers.put_back,
}
WORK: Final[dict[str, Callable[[Context, str, str], Outgoing]]] = {
    names.QUEUE_PAGES: triggers.page_job,
    names.QUEUE_NOTIFICATIONS: triggers.notification_job,
    names.QUEUE_ORDERS: orders.submit,
}


class Crash(BaseException):
    """The process is gone."""


class _Tokens:
    def token(self) -> str:
        return "good-app"

    def discard(self, token: str) -> None:
        """Nothing to discard."""


class _Unlimited:
    @contextmanager
    def slot(self, *, urgent: bool) -> Iterator[Slot]:
        del urgent
        yield Slot(close_for=lambda _: None)


@dataclass
class Secrets:
    """A vault in memory."""

    values: dict[str, str] = field(default_factory=lambda: {names.SECRET_WEBHOOK: "a webhook secret of this world"})

    def read(self, name: str) -> str | None:
        """Return a secret."""
        return self.values.get(name)

    def write(self, name: str, value: str) -> None:
        """Store a secret."""
        self.values[name] = value


@dataclass(frozen=True, slots=True)
class Left:
    """One message that left for the rest of the business, and its blob as it was then."""

    queue: str
    body: str
    at: datetime


class World:
    """See the module."""

    def __init__(
        self,
        *,
        seed: int = 1,
        env: dict[str, str] | None = None,
        budget: Budget | None = None,
        point: Callable[[str], None] | None = None,
        demo_data: bool = True,
    ) -> None:
        """Set up an app that has never run. `point` is called before and after every outside effect; it may crash."""
        self.rolls = random.Random(seed)  # noqa: S311 - a seed to repeat a run by
        self.clock = VirtualClock()
        self.point: Callable[[str], None] = point or (lambda _: None)
        self.bc = BusinessCentral(self.clock.now, seed=seed, handshake=self._handshake, demo_data=demo_data)
        self.tables = MemoryTables(
            before=lambda op: self.point(f"before {op}"), after=lambda op: self.point(f"after {op}")
        )
        self.queues = Queues()
        self.blobs: dict[str, bytes] = {}
        self.left: list[Left] = []
        self.secrets = Secrets()
        self.settings = Settings.from_env({**ENV, **(env or {})})
        self.budget = budget or _Unlimited()
        self.webhooks_answer = True  # False: the app's HTTP side is down
        self.ctx = self.new_process()

    def new_process(self) -> Context:
        """Return a context as a fresh process builds it: nothing in memory."""
        session = mount(requests.Session(), EngineAdapter(self.bc, on_delay=self.clock.advance), self.settings.api_url)
        transport = Transport(
            self.settings.api_url, _Tokens(), self.budget, new_session=lambda: session,
            sleep=self.clock.advance, roll=self.rolls.random, monotonic=lambda: self.clock.now().timestamp(),
        )  # fmt: skip
        bc = BusinessCentralClient(transport, tenant_id=self.settings.tenant_id, environment=self.settings.environment)
        watermarks = self.tables.table(names.TABLE_WATERMARKS)
        connection = self.settings.connection
        return Context(
            settings=self.settings,
            bc=bc,
            secrets=self.secrets,
            records=self.tables.table(names.TABLE_RECORDS),
            streams=StreamBook(watermarks, connection),
            orders=OrderBook(self.tables.table(names.TABLE_ORDERS), connection),
            webhooks=WebhookBook(self.tables.table(names.TABLE_SUBSCRIPTIONS), connection),
            parked=ParkedBook(watermarks, connection),
            now=self.clock.now,
            new_id=lambda: f"{self.rolls.getrandbits(128):032x}",
            sleep=self.clock.advance,
        )

    # -- the host's part

    def run_timer(self, name: str) -> None:
        """Run a timer function once."""
        try:
            outgoing = TIMERS[name](self.ctx)
        except IntegrationError:
            return
        self._leave(outgoing, "")

    def step(self, queue: str) -> bool:
        """Work on one message of a queue; False when none is visible."""
        message = self.queues.take(queue, self.clock.now())
        if message is None:
            return False
        try:
            self._work(queue, message)
        except IntegrationError:
            self.queues.failed(queue, message, self.clock.now())
        except Crash:
            self.ctx = self.new_process()  # the message comes back when its lease ends
        return True

    def _work(self, queue: str, message: Message) -> None:
        self.point(f"before {queue}")
        body, message_id = message.body.encode(), message.message_id
        if queue.endswith("-poison"):
            outgoing = parking.park_poison(self.ctx, queue.removesuffix("-poison"), body, message_id)
        else:
            outgoing = parking.guarded(
                self.ctx, queue, body, message_id, message.deliveries,
                lambda text: WORK[queue](self.ctx, text, message_id),
            )  # fmt: skip
        self._leave(outgoing, message.body)
        self.point(f"before delete {queue}")
        self.queues.done(queue, message)

    def drain(self, most: int = 100_000) -> int:
        """Work until no message is visible; return how many were worked on."""
        done = 0
        while done < most:
            visible = [queue for queue in self.worked_queues() if self.step(queue)]
            if not visible:
                break
            done += len(visible)
        return done

    def worked_queues(self) -> list[str]:
        """Return the queues that functions listen to."""
        return [name for queue in names.WORK_QUEUES for name in (queue, f"{queue}-poison")]

    def _leave(self, outgoing: Outgoing, body: str) -> None:
        """Write the outputs in any order, as the host does; a crash in between leaves some unwritten."""
        now = self.clock.now()
        effects: list[tuple[str, str]] = []
        effects += [(names.QUEUE_EVENTS, text) for text in outgoing.events]
        effects += [(names.QUEUE_RESULTS, text) for text in outgoing.results]
        effects += [(names.QUEUE_ORDERS, text) for text in outgoing.orders]
        effects += [(names.QUEUE_PAGES, job.to_text()) for job in outgoing.pages]
        effects += [(names.QUEUE_NOTIFICATIONS, job.to_text()) for job in outgoing.notifications]
        self.rolls.shuffle(effects)
        if outgoing.blob is not None:
            self.point("before blob")
            self.blobs[_field(body, "job") + ".ndjson"] = outgoing.blob
        for queue, text in effects:
            self.point(f"before put {queue}")
            if queue in {names.QUEUE_EVENTS, names.QUEUE_RESULTS}:
                self.left.append(Left(queue, text, now))
            else:
                self.queues.put(queue, text, now)
            self.point(f"after put {queue}")

    # -- Business Central calls in

    def deliver_webhooks(self) -> int:
        """Let BC's sender run; return the number of its calls."""
        return self.bc.run_webhooks(self._post)

    def _post(self, url: str, headers: object, body: bytes) -> int | None:
        del headers
        return self._call(url, body)[0]

    def _handshake(self, url: str) -> HandshakeAnswer | None:
        status, text = self._call(url, b"")
        return None if status is None else HandshakeAnswer(status=status, content_type="text/plain", body=text.encode())

    def _call(self, url: str, body: bytes) -> tuple[int | None, str]:
        if not self.webhooks_answer:
            return None, ""
        parts = urlsplit(url)
        if not url.startswith(f"{PUBLIC_URL}/api/bc/notifications/"):
            return 404, ""
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        try:
            reply = webhook.receive(query, parts.path.rpartition("/")[2], body, lambda: self.ctx)
            for job in reply.jobs:
                self.point(f"before put {names.QUEUE_NOTIFICATIONS}")
                self.queues.put(names.QUEUE_NOTIFICATIONS, job.to_text(), self.clock.now())
        except Crash:
            return None, ""
        return reply.status, reply.body

    # -- convenience

    def run_for(self, span: timedelta, *, every: timedelta = timedelta(minutes=1)) -> None:
        """Let time pass with all timers on their default schedules, webhooks delivered and queues drained."""
        end = self.clock.now() + span
        while self.clock.now() < end:
            self.clock.advance(every)
            self.tick()

    def tick(self) -> None:
        """Do what is due now."""
        self.deliver_webhooks()
        for name in due_timers(self.clock.now()):
            try:
                self.run_timer(name)
            except Crash:
                self.ctx = self.new_process()
        self.drain()

    def start(self) -> None:
        """Bring the app into its steady state: ledger taken, items pulled, webhooks registered."""
        for name in ("reconcile", "pull_items", "keep_subscriptions"):
            self.run_timer(name)
            self.drain()


def due_timers(now: datetime) -> Iterable[str]:
    """Return the timers of the default schedules that fire in this minute."""
    names_due = ["retry_sales_orders"]
    if now.minute % 15 == 0:
        names_due += ["pull_items", "keep_subscriptions"]
    if now.minute % 15 == 7:
        names_due.append("reconcile")
    return names_due


def _field(body: str, name: str) -> str:
    return str(json.loads(body)[name])
