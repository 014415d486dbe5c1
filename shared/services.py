"""Composition root: the only module that names concrete adapters; built once per process, on first use."""

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from shared import resource_names
from shared.business_central.client import BusinessCentralClient
from shared.business_central.request_budget import RequestBudget
from shared.business_central.transport import Transport
from shared.changes.change_stores import ChangeStores, ClaimChecks
from shared.changes.run_progress import RunStore
from shared.changes.streams import StreamStore
from shared.clock import Clock, new_id, utc_now
from shared.connections.companies import Companies
from shared.connections.company_names import CompanyNames
from shared.connections.context import Context
from shared.connections.discovery_store import DiscoveryStore
from shared.connections.entity_catalogue import EntityCatalogue
from shared.connections.settings_reader import read_settings
from shared.connections.state_owner import StateOwner
from shared.connections.webhook_secret import WebhookSecret
from shared.dead_letters.dead_letter_store import DeadLetterStore
from shared.errors import ConfigError, StoreUnavailable
from shared.forwarding.event_sender import EventSender
from shared.forwarding.event_targets import read_target
from shared.forwarding.forward import Forwarding
from shared.forwarding.waiting_batches import WaitingBatches
from shared.invocation import invocation_id
from shared.login.tokens import EntraTokens
from shared.operations import doctor, status
from shared.operations.activity import Activity
from shared.operations.diagnosis import HandshakeResult
from shared.operations.failures import settings_findings
from shared.operations.findings import Report
from shared.operations.handshake_probe import probe_handshake
from shared.operations.page_session import derive_key
from shared.operations.queue_depths import QueueDepths
from shared.operations.second_clock import SecondClock
from shared.operations.status_view import LoginView, StatusView
from shared.operations.stores import Stores
from shared.operations.timer_store import TimerStore
from shared.operations.timers import Timer, timers_of
from shared.orders.order_store import OrderStore
from shared.outputs import Outputs
from shared.settings import Settings
from shared.storage.azure_tables import AzureTables
from shared.storage.claim_checks import BlobClaimChecks
from shared.storage.identity import client_assertion
from shared.storage.key_vault import KeyVaultSecrets
from shared.storage.moved_secrets import MovedSecrets
from shared.storage.table import SecretStore, Table, Tables
from shared.webhooks.notes import WebhookNoteStore

#: Requests or plans that one call may have under way; the budget allows no more requests.
THREADS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One connection at work: what its use cases are given."""

    context: Context
    stores: Stores
    forwarding: Forwarding
    timers: tuple[Timer, ...] = status.DEFAULT_TIMERS
    activity: Activity | None = None  # None: nobody counts

    def counted(self, work: Callable[[], Outputs]) -> Outputs:
        """Do a job's work, and count what it does."""
        return self.activity.counted(work) if self.activity else work()


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the triggers work with."""

    connection: Connection
    tokens: EntraTokens
    connections: Table
    owner: StateOwner
    second_clock: SecondClock

    def view(self, key: str = "") -> StatusView:
        """Return the state of everything; with a `key` only orders and dead letters that bear it are listed."""
        return status.view(
            self.connection.context, self.connection.stores, self.login(), self.connection.timers, self._depths().read,
            key, self._depths().peek, self.connection.activity,
        )  # fmt: skip

    def login(self) -> LoginView:
        """Return the state of the login."""
        mode = self.connection.context.settings.auth_mode.value
        try:
            held = self.tokens.login()
        except StoreUnavailable as error:
            return LoginView(state="", mode=mode, reason=str(error))
        return LoginView(
            state=held.state, mode=mode, user=held.user, code=held.code, reason=held.reason, since=held.since
        )

    def examine(self) -> Report:
        """Return why nothing arrives."""
        settings = self.connection.context.settings

        def handshake(url: str) -> HandshakeResult:
            return probe_handshake(url, self.connection.context.new_id(), ca_bundle=settings.ca_bundle)

        instruments = doctor.Instruments(
            token=self.tokens.token,
            login=self.login,
            handshake=handshake,
            depth=self._depths().read,
            timers=self.connection.timers,
            peek=self._depths().peek,
            env=os.environ,
        )
        report = doctor.examine(self.connection.context, self.connection.stores, instruments)
        try:
            self.owner.check()
        except ConfigError as error:
            return replace(report, findings=settings_findings(error) + report.findings)
        except StoreUnavailable:
            return report  # the doctor has met it, too
        return report

    def _depths(self) -> QueueDepths:
        settings = self.connection.context.settings
        return QueueDepths(settings.storage, ca_bundle=settings.ca_bundle)

    def session_key(self, *, make: bool) -> bytes | None:
        """Return the key that signs the connect page's sessions; without `make` None where there is no secret yet."""
        secret = self.connection.context.webhook_secret
        found = secret.made() if make else secret.read()
        return None if found is None else derive_key(found.decode())


_building = threading.Lock()
_built: Services | None = None


def services() -> Services:
    """Return the services of this process; a failed build is tried again at the next call.

    Raises:
        ConfigError: names every wrong setting.
    """
    global _built  # noqa: PLW0603 - one object per process is what this module is for
    with _building:
        if _built is None:
            _built = build(os.environ)
        return _built


def connection() -> Connection:
    """Return the connection of this process, once it is sure whose state it is.

    Raises:
        ConfigError: as `services` and `StateOwner.check`.
        StoreUnavailable: the table did not answer.
    """
    made = services()
    made.owner.check()
    return made.connection


def refused(error: ConfigError) -> Report:
    """Return the doctor's report of an app that can't be built."""
    return doctor.refused(error, utc_now(), os.environ)


def build(env: Mapping[str, str], *, now: Clock = utc_now) -> Services:
    """Build everything from the settings; opens no connection yet."""
    settings = read_settings(env)
    identity = settings.storage.client_id
    tables = AzureTables(settings.storage, settings.ca_bundle)
    secrets = KeyVaultSecrets(settings.key_vault_url, client_id=identity, ca_bundle=settings.ca_bundle)
    connections = tables.table(resource_names.TABLE_CONNECTIONS)
    tokens = EntraTokens(
        settings, secrets, connections, now=now, new_id=new_id, assertion=client_assertion(identity),
        token_vault=_token_vault(settings, secrets),
    )  # fmt: skip
    budget = RequestBudget(connections, settings.connection, now=now, new_id=new_id)
    transport = Transport(settings.api_url, tokens, budget, ca_bundle=settings.ca_bundle, request_id=invocation_id)
    bc = BusinessCentralClient(
        transport, tenant_id=settings.tenant_id, environment=settings.environment, threads=THREADS
    )
    context = Context(
        settings=settings,
        bc=bc,
        catalogue=EntityCatalogue(settings, bc, DiscoveryStore(connections, settings.connection), now),
        companies=Companies(bc, settings.companies, now, CompanyNames(connections, settings.connection)),
        secrets=secrets,
        webhook_secret=WebhookSecret(secrets, now=now, new_id=new_id),
        now=now,
        new_id=new_id,
        sleep=time.sleep,
        threads=THREADS,
    )
    claim_checks = BlobClaimChecks(settings.storage, settings.ca_bundle)
    stores = stores_of(tables, claim_checks, settings.connection, threads=THREADS)
    timers = timers_of(env)
    return Services(
        connection=Connection(
            context=context, stores=stores, timers=timers,
            forwarding=_forwarding(settings, secrets, stores, claim_checks, now),
            activity=Activity(tables.table(resource_names.TABLE_WATERMARKS), settings.connection, now),
        ),
        tokens=tokens, connections=connections,
        owner=StateOwner(connections, settings, now),
        second_clock=SecondClock(stores.timers, timers, now=now, new_id=new_id),
    )  # fmt: skip


def _forwarding(
    settings: Settings, secrets: SecretStore, stores: Stores, blobs: BlobClaimChecks, now: Clock
) -> Forwarding:
    """Return what sends events on."""
    target = read_target(settings.events_to)
    sender = None
    if target is not None:
        identity = settings.storage.client_id
        sender = EventSender(target, secrets, now=now, client_id=identity, ca_bundle=settings.ca_bundle)
    return Forwarding(target=target, sender=sender, batches=stores.batches, blobs=blobs, now=now)


def _token_vault(settings: Settings, secrets: SecretStore) -> SecretStore:
    """Return the vault of the token cache; what an earlier release kept in the other one is read from there once."""
    if settings.token_vault_url == settings.key_vault_url:
        return secrets
    identity = settings.storage.client_id
    own = KeyVaultSecrets(settings.token_vault_url, client_id=identity, ca_bundle=settings.ca_bundle)
    return MovedSecrets(own, before=secrets)


def stores_of(tables: Tables, claim_checks: ClaimChecks, connection: str, *, threads: int = 1) -> Stores:
    """Build the stores of one connection over its tables and blobs."""
    watermarks = tables.table(resource_names.TABLE_WATERMARKS)
    return Stores(
        changes=ChangeStores(
            streams=StreamStore(watermarks, connection),
            runs=RunStore(watermarks, connection),
            records=tables.table(resource_names.TABLE_RECORDS),
            claim_checks=claim_checks,
            connection=connection,
            threads=threads,
        ),
        orders=OrderStore(tables.table(resource_names.TABLE_ORDERS), connection),
        notes=WebhookNoteStore(tables.table(resource_names.TABLE_SUBSCRIPTIONS), connection),
        dead_letters=DeadLetterStore(watermarks, connection),
        timers=TimerStore(watermarks, connection),
        batches=WaitingBatches(watermarks, connection),
    )
