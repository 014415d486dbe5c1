"""Composition root: the only module that names concrete adapters; built once per process, on first use.

Table, vault, webhook secret and request budgets are the deployment's; everything else is one connection's alone. A
connection is opened when it is first asked for, so that one that can't work stops no other.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import requests

from shared import resource_names
from shared.business_central.client import BusinessCentralClient
from shared.business_central.deadline import bounded_session
from shared.business_central.environment_api import environment_url
from shared.business_central.request_budget import RequestBudget
from shared.business_central.transport import Transport
from shared.changes.lost_pages import BEAT
from shared.clock import Clock, new_id, utc_now
from shared.connections.companies import Companies
from shared.connections.company_names import CompanyNames
from shared.connections.context import Context
from shared.connections.discovery_store import DiscoveryStore
from shared.connections.entity_catalogue import EntityCatalogue
from shared.connections.settings_reader import ConnectionSettings, read_connections, setting_name
from shared.connections.state_owner import StateOwner, places
from shared.connections.webhook_secret import WebhookSecret
from shared.errors import ConfigError, StoreUnavailable, TokenError
from shared.forwarding.event_sender import EventSender
from shared.forwarding.event_targets import read_target
from shared.forwarding.forward import Forwarding
from shared.invocation import invocation_id
from shared.log import about
from shared.login.reader_tokens import ReaderTokens
from shared.login.tenant_lookup import find_tenant_id
from shared.login.tokens import EntraTokens
from shared.operations import doctor, queue_watch, status
from shared.operations.activity import Activity
from shared.operations.diagnosis import HandshakeResult
from shared.operations.findings import Report
from shared.operations.handshake_probe import probe_handshake
from shared.operations.page_session import derive_key
from shared.operations.queue_depths import QueueDepths
from shared.operations.second_clock import SecondClock
from shared.operations.status_view import LoginView, StatusView
from shared.operations.stores import EventBlobs, Stores, stores_of
from shared.operations.timer_store import TimerStore
from shared.operations.timers import Timer, timers_of
from shared.outputs import Outputs
from shared.resource_names import DEFAULT_CONNECTION
from shared.settings import AuthMode, Settings
from shared.storage.azure_tables import AzureTables
from shared.storage.claim_checks import BlobClaimChecks
from shared.storage.identity import client_assertion
from shared.storage.key_vault import KeyVaultSecrets
from shared.storage.moved_secrets import MovedSecrets
from shared.storage.table import SecretStore, Table, Tables

#: Requests or plans that one call may have under way; the budget allows no more requests.
THREADS = 4
#: How long a call of one of several connections waits in its place on the host, which the others need as well, where
#: Business Central does not answer or asks for a pause. A connection that is alone waits as long as it may.
PATIENCE_S = 5.0
PATIENT_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """How the outside is reached; tests replace it."""

    tables: Callable[[Settings], Tables] = lambda of: AzureTables(of.storage, of.ca_bundle)
    claim_checks: Callable[[Settings], EventBlobs] = lambda of: BlobClaimChecks(of.storage, of.ca_bundle)
    vault: Callable[[Settings, str], SecretStore] = lambda of, url: KeyVaultSecrets(
        url, client_id=of.storage.client_id, ca_bundle=of.ca_bundle
    )
    business_central: Callable[[], requests.Session] = bounded_session
    login: requests.Session | None = None
    now: Clock = utc_now
    sleep: Callable[[float], None] | None = None  # must let `now` advance
    monotonic: Callable[[], float] = time.monotonic
    threads: int = THREADS


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One connection at work: what its use cases are given."""

    context: Context
    stores: Stores
    forwarding: Forwarding
    timers: tuple[Timer, ...] = status.DEFAULT_TIMERS
    activity: Activity | None = None  # None: nobody counts
    reader: ReaderTokens | None = None  # None: the identity reads alone

    def counted(self, work: Callable[[], Outputs]) -> Outputs:
        """Do a job's work in log lines that bear the id, and count what it does."""
        with about(self.id):
            return self.activity.counted(work) if self.activity else work()

    @property
    def id(self) -> str:
        """The id that an operator chose."""
        return self.context.settings.id


class Services:
    """What the triggers work with. Safe to share between threads."""

    def __init__(self, env: Mapping[str, str], outside: Outside) -> None:
        """Read the settings; open no connection yet.

        Raises:
            ConfigError: no connection can work; names every wrong setting.
        """
        self.settings: ConnectionSettings = read_connections(env)
        self.timers = timers_of(env)
        self._env = env
        self._outside = outside
        self._lock = threading.RLock()
        self._opened: dict[str, tuple[Connection, EntraTokens]] = {}
        self._budgets: dict[tuple[str, str], RequestBudget] = {}  # by partitions of identity and reader
        self._first = next(iter(self.settings.able.values()))  # what belongs to the deployment is the same in all
        self._tables = outside.tables(self._first)
        self._claim_checks = outside.claim_checks(self._first)
        self._secrets = outside.vault(self._first, self._first.key_vault_url)
        self.connections: Table = self._tables.table(resource_names.TABLE_CONNECTIONS)
        self.webhook_secret = WebhookSecret(self._secrets, now=outside.now, new_id=new_id)
        self._patience_s = PATIENCE_S if len(self.ids) > 1 else PATIENT_S
        self._owners = {one.id: self._owner(one) for one in self.settings.able.values()}
        self.second_clock = SecondClock(self._timer_stores, self.timers, now=outside.now, new_id=new_id)

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all connections, those that can't work included."""
        return (*self._first.ids, *(one for one in self.settings.refused if one not in self._first.ids))

    def connection(self, connection: str) -> Connection:
        """Return a connection, once it is sure whose state it is.

        Raises:
            ConfigError: it can't work; names what is wrong with it.
            TokenError, StoreUnavailable: whose state it is can't be told for now.
        """
        return self._open(connection)[0]

    def tokens(self, connection: str) -> EntraTokens:
        """Return the token source of a connection. Raises as `connection`."""
        return self._open(connection)[1]

    def working(self) -> dict[str, Connection]:
        """Return the connections that can work, by id. Raises StoreUnavailable."""
        found = {}
        for one in self.settings.able:
            try:
                found[one] = self.connection(one)
            except (ConfigError, TokenError):
                continue  # timers and status say so
        return found

    def states(self) -> dict[str, str]:
        """Return the name of each working connection's state, by id. Raises StoreUnavailable."""
        return {one.id: one.context.settings.connection for one in self.working().values()}

    def absent(self) -> dict[str, Stores]:
        """Return the stores of connections that have state and that BC_CONNECTIONS does not name, by id.

        Raises:
            StoreUnavailable: the table did not answer.
        """
        return {
            one: stores_of(self._tables, self._claim_checks, place.state, connection=one)
            for one, place in places(self.connections).items()
            if one not in self.ids
        }

    def _open(self, connection: str) -> tuple[Connection, EntraTokens]:
        refused = self.settings.refused.get(connection)
        if refused is not None:
            raise ConfigError(refused.faults)
        with self._lock:
            if connection not in self._opened:
                self._opened[connection] = self._build(self._owners[connection].check())
            return self._opened[connection]

    def _timer_stores(self) -> dict[str, TimerStore]:
        return {one.id: one.stores.timers for one in self.working().values()}

    def _owner(self, settings: Settings) -> StateOwner:
        def find_tenant(tenant: str) -> str:
            return find_tenant_id(settings.login_url, tenant, ca_bundle=settings.ca_bundle, session=self._outside.login)

        return StateOwner(
            self.connections, settings,
            environment_url(settings.api_url, settings.tenant_id, settings.environment), self._outside.now,
            find_tenant=find_tenant, setting=lambda name: setting_name(self._env, settings.id, name),
        )  # fmt: skip

    def _build(self, settings: Settings) -> tuple[Connection, EntraTokens]:
        outside, identity = self._outside, settings.storage.client_id
        tokens = EntraTokens(
            settings, self._secrets, self.connections, now=outside.now, new_id=new_id,
            sleep=outside.sleep or time.sleep, assertion=client_assertion(identity), session=outside.login,
            token_vault=self._token_vault(settings),
        )  # fmt: skip
        reader = None
        if settings.reader_client_id:
            reader = ReaderTokens(settings, self._secrets, self.connections, now=outside.now, session=outside.login)
        transport = Transport(
            settings.api_url, tokens, self._budget(settings), new_session=outside.business_central,
            ca_bundle=settings.ca_bundle, request_id=invocation_id, sleep=outside.sleep or time.sleep,
            monotonic=outside.monotonic, patience_s=self._patience_s, reader=reader,
        )  # fmt: skip
        bc = BusinessCentralClient(
            transport, tenant_id=settings.tenant_id, environment=settings.environment, threads=outside.threads
        )
        names = CompanyNames(self.connections, settings.connection)
        context = Context(
            settings=settings,
            bc=bc,
            catalogue=EntityCatalogue(settings, bc, DiscoveryStore(self.connections, settings.connection), outside.now),
            companies=Companies(bc, settings.companies, outside.now, names),
            secrets=self._secrets,
            webhook_secret=self.webhook_secret,
            now=outside.now,
            new_id=new_id,
            sleep=outside.sleep or time.sleep,
            threads=outside.threads,
        )
        stores = stores_of(
            self._tables, self._claim_checks, settings.connection, threads=outside.threads, connection=settings.id,
            beat_s=BEAT.total_seconds(),
        )  # fmt: skip
        activity = Activity(self._tables.table(resource_names.TABLE_WATERMARKS), settings.connection, outside.now)
        forwarding = self._forwarding(settings, stores)
        return Connection(
            context=context, stores=stores, timers=self.timers, forwarding=forwarding, activity=activity, reader=reader
        ), tokens

    def _forwarding(self, settings: Settings, stores: Stores) -> Forwarding:
        """Return what sends the events of a connection on."""
        target, now = read_target(settings.events_to), self._outside.now
        sender = None
        if target is not None:
            identity = settings.storage.client_id
            sender = EventSender(target, self._secrets, now=now, client_id=identity, ca_bundle=settings.ca_bundle)
        return Forwarding(
            target=target, sender=sender, batches=stores.batches, blobs=self._claim_checks, now=now,
            connection=settings.id,
        )  # fmt: skip

    def _budget(self, settings: Settings) -> RequestBudget:
        """Return the budget of tenant and application, which Business Central counts together, whoever shares it.

        With that of its reader, if it has one.
        """
        reader = settings.reader_identity
        partitions = self._slots_of(settings.identity, settings), self._slots_of(reader, settings) if reader else ""
        if partitions not in self._budgets:
            self._budgets[partitions] = RequestBudget(
                self.connections, partitions[0], now=self._outside.now, new_id=new_id, sleep=self._outside.sleep,
                patience_s=self._patience_s, reader=partitions[1],
            )  # fmt: skip
        return self._budgets[partitions]

    def _slots_of(self, identity: str, settings: Settings) -> str:
        """Return the partition of an identity's slots.

        That of `default` stands where the last release keeps it, as both may run for some minutes.
        """
        default = self.settings.able.get(DEFAULT_CONNECTION)
        if default is not None:
            try:
                default = settings if settings.id == DEFAULT_CONNECTION else self._owners[DEFAULT_CONNECTION].check()
            except (ConfigError, TokenError):
                default = None
            if default is not None and default.identity == identity:
                return default.connection
        return f"budget|{identity}"

    def _token_vault(self, settings: Settings) -> SecretStore:
        """Return the vault of the token cache; what an earlier release kept in the other one is read there once."""
        if settings.token_vault_url == settings.key_vault_url:
            return self._secrets
        own = self._outside.vault(settings, settings.token_vault_url)
        return MovedSecrets(own, before=self._secrets) if settings.id == DEFAULT_CONNECTION else own

    # -- what people see

    def view(self, connection: str, key: str = "") -> StatusView:
        """Return the state of a connection; with a `key` only orders and dead letters that bear it are listed."""
        at_work = self.connection(connection)
        return status.view(
            at_work.context, at_work.stores, self.login(connection), at_work.timers, self._depths().read, key,
            self._depths().peek, at_work.activity, self._reader(at_work),
        )  # fmt: skip

    def login(self, connection: str) -> LoginView:
        """Return the state of a connection's login."""
        at_work, tokens = self._open(connection)
        mode = at_work.context.settings.auth_mode.value
        try:
            held = tokens.login()
        except StoreUnavailable as error:
            return LoginView(state="", mode=mode, reason=str(error))
        return LoginView(
            state=held.state, mode=mode, user=held.user, code=held.code, reason=held.reason, since=held.since
        )

    def _reader(self, at_work: Connection, *, ask: bool = False) -> LoginView | None:
        """Return the state of a connection's reader, None where there is none; `ask`: it asks for a token now.

        Raises:
            TokenError, StoreUnavailable: nobody can tell for now what was asked.
        """
        if at_work.reader is None:
            return None
        mode = AuthMode.CLIENT_SECRET.value
        try:
            held = at_work.reader.look() if ask else at_work.reader.state()
        except StoreUnavailable as error:
            if ask:
                raise  # an unknown state is not to be taken for a good one
            return LoginView(state="", mode=mode, reason=str(error))
        return LoginView(state=held.state, mode=mode, code=held.code, reason=held.reason, since=held.since)

    def examine(self, connection: str) -> Report:
        """Return why nothing arrives on a connection. Raises as `connection`."""
        at_work, tokens = self._open(connection)
        settings = at_work.context.settings

        def handshake(url: str) -> HandshakeResult:
            return probe_handshake(url, at_work.context.new_id(), ca_bundle=settings.ca_bundle)

        instruments = doctor.Instruments(
            token=tokens.token,
            login=lambda: self.login(connection),
            handshake=handshake,
            depth=self._depths().read,
            timers=self.timers,
            peek=self._depths().peek,
            env=self._env,
            reader=lambda: self._reader(at_work, ask=True),
        )
        return doctor.examine(at_work.context, at_work.stores, instruments)

    def watch_queues(self, timer: str) -> None:
        """Log what lies in a queue for too long, when it is time to look and the timer of every minute has run."""
        if timer == "retry_sales_orders":
            queue_watch.look(self._depths().read, self._depths().peek, self._outside.now())

    def _depths(self) -> QueueDepths:
        return QueueDepths(self._first.storage, ca_bundle=self._first.ca_bundle)

    def session_key(self, *, make: bool) -> bytes | None:
        """Return the key that signs the connect page's sessions; without `make` None where there is no secret yet."""
        found = self.webhook_secret.made() if make else self.webhook_secret.read()
        return None if found is None else derive_key(found.decode())


_building = threading.Lock()
_built: Services | None = None


def services() -> Services:
    """Return the services of this process; a failed build is tried again at the next call.

    Raises:
        ConfigError: no connection can work; names every wrong setting.
    """
    global _built  # noqa: PLW0603 - one object per process is what this module is for
    with _building:
        if _built is None:
            _built = build(os.environ)
        return _built


def refused(error: ConfigError) -> Report:
    """Return the doctor's report of an app that can't be built."""
    return doctor.refused(error, utc_now(), os.environ)


def build(env: Mapping[str, str], outside: Outside | None = None) -> Services:
    """Build everything from the settings; opens no connection yet."""
    return Services(dict(env), outside or Outside())
