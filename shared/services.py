"""Composition root: the only module that names concrete adapters; built once per process, on first use."""

import os
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from shared.bc.auth import EntraTokens
from shared.bc.budget import SlotBudget
from shared.bc.client import BusinessCentralClient
from shared.bc.handshake import knock
from shared.bc.transport import Transport
from shared.core import names
from shared.core.diagnosis import Knock
from shared.core.findings import Report
from shared.core.sign_in import derive_key
from shared.core.status_view import LoginView, StatusView
from shared.errors import StoreUnavailable
from shared.handlers import doctor, status
from shared.handlers.context import Context
from shared.ports import Clock, Table
from shared.settings import Settings
from shared.state.orders import OrderBook
from shared.state.parked import ParkedBook
from shared.state.streams import StreamBook
from shared.state.webhooks import WebhookBook
from shared.stores.azure_tables import AzureTables
from shared.stores.identity import client_assertion
from shared.stores.key_vault import KeyVaultSecrets
from shared.stores.queue_depths import QueueDepths

#: Requests or plans that one call may have under way; the budget allows no more requests.
THREADS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the triggers work with."""

    context: Context
    tokens: EntraTokens
    connections: Table

    def view(self) -> StatusView:
        """Return the state of everything."""
        return status.view(self.context, self.login())

    def login(self) -> LoginView:
        """Return the state of the login."""
        mode = self.context.settings.auth_mode.value
        try:
            held = self.tokens.login()
        except StoreUnavailable as error:
            return LoginView(state="", mode=mode, reason=str(error))
        return LoginView(
            state=held.state, mode=mode, user=held.user, code=held.code, reason=held.reason, since=held.since
        )

    def examine(self) -> Report:
        """Say why nothing arrives."""
        settings = self.context.settings

        def knock_at(url: str) -> Knock:
            return knock(url, self.context.new_id(), ca_bundle=settings.ca_bundle)

        depths = QueueDepths(settings.storage, ca_bundle=settings.ca_bundle)
        instruments = doctor.Instruments(token=self.tokens.token, login=self.login, knock=knock_at, depth=depths.read)
        return doctor.examine(self.context, instruments)

    def session_key(self) -> bytes:
        """Return the key that signs the connect page's sessions."""
        return derive_key(self.context.made_webhook_secret().decode())


def utc_now() -> datetime:
    """Return the time now, aware and in UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """Return 32 unguessable hex digits."""
    return uuid.uuid4().hex


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


def context() -> Context:
    """Return the context of this process. Raises ConfigError like `services`."""
    return services().context


def build(env: Mapping[str, str], *, now: Clock = utc_now) -> Services:
    """Build everything from the settings; opens no connection yet."""
    settings = Settings.from_env(env)
    identity = settings.storage.client_id
    tables = AzureTables(settings.storage, settings.ca_bundle)
    secrets = KeyVaultSecrets(settings.key_vault_url, client_id=identity, ca_bundle=settings.ca_bundle)
    connections = tables.table(names.TABLE_CONNECTIONS)
    watermarks = tables.table(names.TABLE_WATERMARKS)
    tokens = EntraTokens(settings, secrets, connections, now=now, new_id=new_id, assertion=client_assertion(identity))
    budget = SlotBudget(connections, settings.connection, now=now, new_id=new_id)
    transport = Transport(settings.api_url, tokens, budget, ca_bundle=settings.ca_bundle)
    bc = BusinessCentralClient(
        transport, tenant_id=settings.tenant_id, environment=settings.environment, threads=THREADS
    )
    return Services(
        context=Context(
            settings=settings,
            bc=bc,
            secrets=secrets,
            records=tables.table(names.TABLE_RECORDS),
            streams=StreamBook(watermarks, settings.connection),
            orders=OrderBook(tables.table(names.TABLE_ORDERS), settings.connection),
            webhooks=WebhookBook(tables.table(names.TABLE_SUBSCRIPTIONS), settings.connection),
            parked=ParkedBook(watermarks, settings.connection),
            now=now,
            new_id=new_id,
            sleep=time.sleep,
            threads=THREADS,
        ),
        tokens=tokens,
        connections=connections,
    )
