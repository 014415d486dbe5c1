"""One world: Business Central, the app's workers and what they leave behind, all in one process on a virtual clock.

The app's code is the shipped code; only its adapters to tables, vault, login and network are the in-memory ones. The
hook `point` is called before and after every outside effect: a `Crash` raised there kills the function it is raised in,
as the loss of a process would, and other workers run inside of it, which is how two of them interleave.
"""

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import parse_qs, urlsplit

import requests
from business_central_emulator import BusinessCentral, HandshakeAnswer, VirtualClock, mount

from shared import resource_names, triggers
from shared.business_central.client import BusinessCentralClient
from shared.business_central.entities import Entity
from shared.business_central.port import WHOLE_S, Budget, Slot
from shared.business_central.transport import Transport
from shared.connections.companies import Companies
from shared.connections.company_names import CompanyNames
from shared.connections.context import Context
from shared.connections.discovery_store import DiscoveryStore
from shared.connections.entity_catalogue import EntityCatalogue
from shared.connections.settings_reader import read_settings
from shared.connections.webhook_secret import WebhookSecret
from shared.dead_letters import frame
from shared.errors import IntegrationError
from shared.forwarding.forward import Forwarding
from shared.operations import status
from shared.operations.second_clock import SecondClock
from shared.operations.stores import stores_of
from shared.outputs import Outputs
from shared.resource_names import DEFAULT_CONNECTION
from shared.services import Connection
from shared.webhooks import receive
from tests.simulation.network import PointedAdapter
from tests.simulation.queues import MAX_DELIVERIES, Message, Queues
from tests.simulation.schedule import Schedule
from tests.support.memory_claim_checks import MemoryClaimChecks
from tests.support.memory_storage import MemoryTables

PUBLIC_URL: Final = "https://connect.example"
ENV: Final = {
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    "KEY_VAULT_URL": "https://vault.example",
    "BC_TENANT_ID": "lmints.io",
    "BC_CLIENT_ID": "6ff7e2f1-1f4d-4a0e-8a86-52b6f1e4a2aa",
    "PUBLIC_URL": PUBLIC_URL,
}
#: How long queues are worked on until timers get their turn: calls that time out take minutes each.
TURN: Final = timedelta(minutes=1)
#: Processes that serve at the same time.
HOSTS: Final = 3


class Crash(BaseException):
    """The process is gone, and with it all others when the `whole` host is."""

    def __init__(self, point: str = "", *, whole: bool = False) -> None:
        """Say where it happened."""
        super().__init__(point)
        self.whole = whole


@dataclass
class _Tokens:
    point: Callable[[str], None]

    def token(self) -> str:
        self.point("before token")
        return "good-app"

    def discard(self, token: str) -> None:
        """Nothing to discard."""


@dataclass
class _Unlimited:
    point: Callable[[str], None]

    @contextmanager
    def slot(self, *, reserved: bool, or_reader: bool = False, limit_s: float = WHOLE_S) -> Iterator[Slot]:
        del reserved, or_reader, limit_s
        self.point("before slot")
        yield Slot(close_for=lambda _: None)


@dataclass
class Secrets:
    """A vault in memory; `point` is called before each call and may raise."""

    values: dict[str, str] = field(
        default_factory=lambda: {resource_names.SECRET_WEBHOOK: "a webhook secret of this world"}
    )
    point: Callable[[str], None] = lambda _: None

    def read(self, name: str) -> str | None:
        """Return a secret."""
        self.point("before vault")
        return self.values.get(name)

    def write(self, name: str, value: str) -> None:
        """Store a secret."""
        self.point("before vault")
        self.values[name] = value


#: Does one message as another release would: queue, body, message id, number of the delivery.
type OtherRelease = Callable[[str, bytes, str, int], Outputs]


@dataclass(frozen=True, slots=True)
class Left:
    """One message that left for the rest of the business."""

    queue: str
    body: str
    at: datetime
    job: str = ""  # name of the job that sent it; the message's id when the job has none


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
        page_rows: int | None = None,
    ) -> None:
        """Set up an app that has never run. `point` is called before and after every outside effect; it may crash."""
        self.rolls = random.Random(seed)
        self.clock = VirtualClock()
        self.point: Callable[[str], None] = point or (lambda _: None)
        self.reading: Callable[[str], None] = lambda _: None  # called before each read of a table
        self.note: Callable[[str], None] = lambda _: None  # takes lines for the log of a replayed run
        self.bc = BusinessCentral(self.clock.now, seed=seed, handshake=self._handshake, demo_data=demo_data)
        self.tables = MemoryTables(
            before=lambda op: self.point(f"before {op}"),
            after=lambda op: self.point(f"after {op}"),
            reading=lambda op: self.reading(f"read {op}"),
        )
        self.queues = Queues()
        self.claim_checks = MemoryClaimChecks(point=self._at)
        self.left: list[Left] = []
        self.on_left: Callable[[Left], object] = lambda _: None
        self.secrets = Secrets(point=self._at)
        self.settings = read_settings({**ENV, **(env or {})})
        self.budget = budget or _Unlimited(self._at)
        self.schedule = Schedule()
        self.webhooks_answer = True  # False: the app's HTTP side is down
        self.works = True  # False: no timer and no queue function runs
        self.looks = False  # True: every function looks whether the timers have stopped
        self.timers_run = True  # False: the host's timers have stopped for good
        self.sending = False  # BC's sender is at work
        self.at_work: list[tuple[str, Message]] = []  # messages in workers' hands, the innermost worker last
        self.may_repeat: set[str] = set()  # jobs cut off between their output and the delete of their message
        self.stalled: set[str] = set()  # jobs that two workers were at
        self.raised: list[str] | None = None  # errors that are none of the app's own, where they are collected
        self.refused: list[int] = []  # answers of the webhook route that make BC delete its subscriptions
        self.done_runs: dict[str, datetime] = {}  # runs that were completed
        self.clock_ahead = [timedelta(0)] * HOSTS  # of each host: what its clock shows beyond BC's
        self.date_ahead = timedelta(0)  # what a proxy's clock, whose `Date` our calls get, shows beyond BC's
        #: Workers of another release at the same queues: what they do, and which share of the messages they get.
        self.other_release: OtherRelease | None = None
        self.other_share = 0.0
        self._page_rows = page_rows
        self._depth = 0
        self._is_dying = False  # the host, while BC's sender is at work
        self._clock_of: dict[int, SecondClock] = {}  # by the id of its process's context
        self._kept: list[Context] = []
        self.stores = stores_of(self.tables, self.claim_checks, self.settings.connection)
        connections = self.tables.table(resource_names.TABLE_CONNECTIONS)
        self.names = CompanyNames(connections, self.settings.connection)
        self.discovery = DiscoveryStore(connections, self.settings.connection)
        self.forwarding = Forwarding(
            target=None, sender=None, batches=self.stores.batches, blobs=self.claim_checks, now=self.clock.now
        )
        self.hosts = [self.new_process(number) for number in range(HOSTS)]

    @property
    def ctx(self) -> Context:
        """The process that works now."""
        return self.hosts[self._depth % HOSTS]

    @property
    def is_nested(self) -> bool:
        """Whether a process works while others are in the middle of something."""
        return self._depth > 1

    @property
    def connection(self) -> Connection:
        """What the use cases of the process that works now are given."""
        return Connection(context=self.ctx, stores=self.stores, forwarding=self.forwarding)

    @property
    def watched(self) -> tuple[Entity, ...]:
        """The entities whose changes are announced, those of BC_ENTITIES included."""
        return self.ctx.catalogue.resolved().watched

    def new_process(self, host: int = 0) -> Context:
        """Return a context as a fresh process on a host builds it: nothing in memory."""
        adapter = PointedAdapter(
            self.bc, point=self._at, on_delay=self.clock.advance, page_rows=self._page_rows,
            date_ahead=lambda: self.date_ahead,
        )  # fmt: skip

        def now() -> datetime:
            return self.clock.now() + self.clock_ahead[host]

        session = mount(requests.Session(), adapter, self.settings.api_url)
        session.trust_env = False
        transport = Transport(
            self.settings.api_url, _Tokens(self._at), self.budget, new_session=lambda: session,
            sleep=self._wait,
            roll=self.rolls.random, monotonic=lambda: self.clock.now().timestamp(),
        )  # fmt: skip
        bc = BusinessCentralClient(transport, tenant_id=self.settings.tenant_id, environment=self.settings.environment)

        def new_id() -> str:
            return f"{self.rolls.getrandbits(128):032x}"

        context = Context(
            settings=self.settings,
            bc=bc,
            companies=Companies(bc, self.settings.companies, now, self.names),
            catalogue=EntityCatalogue(self.settings, bc, self.discovery, now),
            secrets=self.secrets,
            webhook_secret=WebhookSecret(self.secrets, now=now, new_id=new_id),
            now=now,
            new_id=new_id,
            sleep=self.clock.advance,
        )
        self._clock_of[id(context)] = SecondClock(
            lambda: {DEFAULT_CONNECTION: self.stores.timers}, status.DEFAULT_TIMERS, now=now, new_id=new_id
        )
        self._kept.append(context)  # an id is not used again
        return context

    def _at(self, point: str) -> None:
        self.point(point)

    def _wait(self, wait_s: float) -> None:
        self.clock.advance(wait_s)

    # -- the host's part

    @contextmanager
    def _process(self) -> Iterator[None]:
        """Let another process work for a while; it may die, and then starts anew with an empty memory."""
        self._depth += 1
        try:
            yield
        except Crash as crash:
            self.note("crash")
            host = self._depth % HOSTS
            self.hosts[host] = self.new_process(host)
            if crash.whole and self._depth > 1:  # the others at work die with it
                if not self.sending:
                    raise
                self._is_dying = True
        finally:
            self._depth -= 1

    def run_timer(self, name: str) -> None:
        """Run a timer function once."""
        with self._process():
            self.note(f"timer {name}")
            try:
                self._leave(triggers.do_timer(self.connection, name), "", f"timer {name}")
            except IntegrationError as error:
                self.note(f"timer {name} failed: {error}")
            except Exception as error:  # noqa: BLE001 the host goes on, whatever a function raises
                self._raised(f"timer {name}", error)

    def step(self, queue: str) -> bool:
        """Work on one message of a queue; False when none is visible."""
        message = self.queues.take(queue, self.clock.now())
        if message is None:
            return False
        if message.deliveries > MAX_DELIVERIES and not queue.endswith("-poison"):
            self.queues.failed(queue, message, self.clock.now())  # the host hands it to nobody a sixth time
            return True
        with self._process():
            self.at_work.append((queue, message))
            self.note(f"{queue} takes {message.message_id} delivery {message.deliveries} {message.body[:160]}")
            try:
                self._work(queue, message)
            except IntegrationError as error:
                self.note(f"{queue} failed {message.message_id}: {type(error).__name__} {error}")
                self.queues.failed(queue, message, self.clock.now())
            except Exception as error:  # noqa: BLE001 the host goes on, whatever a function raises
                self._raised(queue, error)
                self.queues.failed(queue, message, self.clock.now())
            finally:
                self.at_work.pop()
        return True

    def _work(self, queue: str, message: Message) -> None:
        self.point(f"before {queue}")
        body, message_id = message.body.encode(), message.message_id
        job = job_of(message.body, message_id)
        if queue.endswith("-poison"):
            self.may_repeat.add(job)  # its worker died before; and taking it aside may be cut off, too
            outgoing = triggers.do_poison(self.connection, queue.removesuffix("-poison"), body, message_id)
        elif self.other_release is not None and self.rolls.random() < self.other_share:
            if message.deliveries > 1 or was_put_again(message.body):
                # 0.1.0 does not know that another message may have done the job meanwhile, nor says which one has
                self.may_repeat.add(job)
            outgoing = self.other_release(queue, body, message_id, message.deliveries)
        else:
            outgoing = frame.guarded(
                self.ctx, self.stores.dead_letters, queue, body, message_id, message.deliveries,
                lambda of, text, name: triggers.WORK[of](self.connection, text, name),
            )  # fmt: skip
            outgoing = replace(outgoing, notifications=outgoing.notifications + self._look())
        is_mine = False
        try:
            self._leave(outgoing, message.body, job)
            self.point(f"before delete {queue}")
            is_mine = self.queues.done(queue, message)
        finally:
            if not is_mine or job in self.may_repeat | self.stalled:
                # a copy of a commit compares, too, and what a copy sends are copies
                self.may_repeat |= {job_of(text, "") for text in outgoing.notifications}
            if not is_mine:  # cut off, or somebody else was faster: this job and what it sent may come again
                sent = [job_of(text, "") for text in outgoing.pages + outgoing.notifications]
                self.may_repeat |= {job, *sent}
        if queue == resource_names.QUEUE_PAGES:
            self._note_done(message.body)

    def _raised(self, where: str, error: Exception) -> None:
        """Note an error that no code of the app raises on purpose; tests of one use case let it through."""
        if self.raised is None:
            raise error
        self.raised.append(f"{where} raised {type(error).__name__}: {error}")

    def doubt(self, message: Message) -> None:
        """Note that two workers are at one message: its job, and what it sends, may be told twice."""
        self.stalled.add(job_of(message.body, message.message_id))

    def is_overtaken(self, message: Message) -> bool:
        """Say whether two workers are, or were, at this message."""
        return job_of(message.body, message.message_id) in self.stalled

    def _note_done(self, body: str) -> None:
        job = json.loads(body)
        for state in self.stores.changes.streams.all() if job["phase"] in {"commit", "settle"} else ():
            if state.done_run:
                self.done_runs.setdefault(state.done_run, self.clock.now())

    def drain(self, most: int = 100_000, *, within: timedelta | None = None) -> int:
        """Work until no message is visible, or a time has passed; return how many were worked on."""
        done = 0
        ends = None if within is None else self.clock.now() + within
        while done < most and (ends is None or self.clock.now() < ends):
            visible = [queue for queue in self.worked_queues() if self.step(queue)]
            if not visible:
                break
            done += len(visible)
        return done

    def worked_queues(self) -> list[str]:
        """Return the queues that functions listen to."""
        return [name for queue in resource_names.WORK_QUEUES for name in (queue, f"{queue}-poison")]

    def leave(self, outgoing: Outputs) -> None:
        """Write what an HTTP function sends out."""
        self._leave(outgoing, "", "http")

    def _leave(self, outgoing: Outputs, body: str, job: str) -> None:
        """Write the outputs in any order, as the host does; a crash in between leaves some unwritten."""
        effects = [(queue, text) for queue, texts in outgoing.by_queue().items() for text in texts]
        self.rolls.shuffle(effects)
        for queue, text in effects:
            self.point(f"before put {queue}")
            self.note(f"put {queue} {text[:200]}")
            if queue in {resource_names.QUEUE_EVENTS, resource_names.QUEUE_RESULTS}:
                left = Left(queue, text, self.clock.now(), job)
                self.left.append(left)
                self.on_left(left)
            else:
                self.queues.put(queue, text, self.clock.now())
            self.point(f"after put {queue}")

    def _look(self) -> tuple[str, ...]:
        """Look, in the process that works now, whether timers have stopped."""
        return self._clock_of[id(self.ctx)].look() if self.looks else ()

    def ask_health(self) -> None:
        """Call `health`, as an availability test does."""
        with self._process():
            self._leave(Outputs(notifications=self._look()), "", "http")

    # -- Business Central calls in

    def deliver_webhooks(self) -> int:
        """Let BC's sender run; return the number of its calls."""
        if self.sending:
            return 0
        self.sending = True
        try:
            calls = self.bc.run_webhooks(self._post)
        finally:
            self.sending = False
        if self._is_dying:
            self._is_dying = False
            if self._depth:
                raise Crash("the whole host, as Business Central called it", whole=True)
        return calls

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
        answer: tuple[int | None, str] = (None, "")
        with self._process():
            try:
                reply = receive.receive(query, parts.path.rpartition("/")[2], body, lambda _: self.ctx)
                jobs = [job.to_text() for job in reply.jobs]
                for text in [*jobs, *(self._look() if jobs else ())]:
                    self.point(f"before put {resource_names.QUEUE_NOTIFICATIONS}")
                    self.queues.put(resource_names.QUEUE_NOTIFICATIONS, text, self.clock.now())
                    self.note(f"notified {text[:200]}")
                answer = reply.status, reply.body
                if not 200 <= reply.status < 300 and reply.status not in {408, 429} and reply.status < 500:
                    self.refused.append(reply.status)
            except IntegrationError:  # the queue did not take it
                answer = 500, ""
        return answer

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
        if not self.works:
            return
        for name in self.schedule.due(self.clock.now()) if self.timers_run else ():
            self.run_timer(name)
        self.drain(within=TURN)

    def start(self) -> None:
        """Bring the app into its steady state: ledger taken, items pulled, webhooks registered."""
        for name in ("reconcile", "pull_items", "keep_subscriptions"):
            self.run_timer(name)
            self.drain()


def was_put_again(body: str) -> bool:
    """Return whether a message holds a page that was put again; every page job of this release says how often."""
    try:
        return bool(json.loads(body)["again"])
    except (ValueError, KeyError, TypeError):
        return False


def job_of(body: str, message_id: str) -> str:
    """Return the name of the job in a message, as the output bindings and the parking read it."""
    try:
        name = json.loads(body)["job"]
    except (ValueError, KeyError, TypeError):
        return message_id
    return name if isinstance(name, str) else message_id
