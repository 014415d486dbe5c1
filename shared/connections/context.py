"""What every use case works with: settings, client, companies, secrets, clock and ids of one connection, and no store.

The stores of a capability are handed to its use cases beside the context, by `shared.services`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from shared.business_central.port import BusinessCentral
from shared.clock import Clock, NewId
from shared.connections.companies import Companies
from shared.connections.entity_catalogue import EntityCatalogue
from shared.connections.webhook_secret import WebhookSecret
from shared.settings import Settings
from shared.storage.table import SecretStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One connection. Safe to share between threads."""

    settings: Settings
    bc: BusinessCentral
    companies: Companies
    catalogue: EntityCatalogue
    secrets: SecretStore
    webhook_secret: WebhookSecret
    now: Clock
    new_id: NewId
    sleep: Callable[[float], object]  # seconds
    threads: int = 1  # how many streams are planned, or rows of a ledger read, at once
