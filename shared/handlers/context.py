"""What every use case works with: the ports, the books and the settings, built once per process."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from shared.core.entities import Entity
from shared.core.names import SECRET_WEBHOOK
from shared.errors import StoreUnavailable
from shared.ports import BusinessCentral, Clock, Company, NewId, SecretStore, Table
from shared.settings import Settings
from shared.state.ledger import Ledger
from shared.state.orders import OrderBook
from shared.state.parked import ParkedBook
from shared.state.seen import SeenBook
from shared.state.streams import Stream, StreamBook
from shared.state.webhooks import WebhookBook

_COMPANIES_FOR: Final = timedelta(minutes=15)
_SECRET_FOR: Final = timedelta(minutes=10)


class Memo:
    """What a process keeps in memory for a few minutes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._companies: tuple[datetime, list[Company]] | None = None
        self._secret: tuple[datetime, bytes] | None = None

    def companies(self, now: datetime, bc: BusinessCentral) -> list[Company]:
        """Return the list of companies, at most a quarter of an hour old."""
        with self._lock:
            held = self._companies
        if held is not None and now - held[0] < _COMPANIES_FOR:
            return held[1]
        listed = bc.companies()
        with self._lock:
            self._companies = (now, listed)
        return listed

    def forget_companies(self) -> None:
        """Read the list again next time."""
        with self._lock:
            self._companies = None

    def forget_secret(self) -> None:
        """Read the secret again next time."""
        with self._lock:
            self._secret = None

    def secret(self, now: datetime, secrets: SecretStore) -> bytes | None:
        """Return the webhook secret, at most ten minutes old."""
        with self._lock:
            held = self._secret
        if held is not None and now - held[0] < _SECRET_FOR:
            return held[1]
        value = secrets.read(SECRET_WEBHOOK)
        if not value:
            return None
        with self._lock:
            self._secret = (now, value.encode())
        return value.encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The ports and books of one connection. Safe to share between threads."""

    settings: Settings
    bc: BusinessCentral
    secrets: SecretStore
    records: Table
    streams: StreamBook
    orders: OrderBook
    webhooks: WebhookBook
    parked: ParkedBook
    now: Clock
    new_id: NewId
    sleep: Callable[[float], object]  # seconds
    threads: int = 1  # how many streams are planned, or rows of a ledger read, at once
    memo: Memo = field(default_factory=Memo)

    def ledger(self, company: str, entity: Entity) -> Ledger:
        """Return the ledger of one company's entity, with the listing now in force."""
        generation = self.ledger_generation(company, entity)
        return Ledger(self.records, self.settings.connection, company, entity, generation, self.threads)

    def ledger_generation(self, company: str, entity: Entity) -> int:
        """Return which listing of known ids is in force, 0 before the first."""
        return self.streams.load(Stream("compare", company, entity.name)).generation

    def seen(self, company: str, entity: Entity) -> SeenBook:
        """Return which versions of one company's entity a pull has announced."""
        return SeenBook(self.records, self.settings.connection, company, entity.name)

    def with_nested(self, entity: Entity) -> bool:
        """Say whether the option to read variants or lines along is on."""
        return {
            "itemVariants": self.settings.item_variants,
            "salesShipmentLines": self.settings.sales_shipment_lines,
            "salesInvoiceLines": self.settings.sales_invoice_lines,
        }.get(entity.nested, False)

    def companies(self) -> list[Company]:
        """Return the companies to work with, as BC_COMPANIES selects them."""
        listed = self._listed()
        wanted = {name.lower() for name in self.settings.companies}
        if "*" in wanted:
            return listed
        return [company for company in listed if company.key in wanted or company.name.lower() in wanted]

    def unknown_companies(self) -> list[str]:
        """Return entries of BC_COMPANIES that no company answers to: renamed, removed or misspelt."""
        known = {name for company in self._listed() for name in (company.key, company.name.lower())}
        return [name for name in self.settings.companies if name != "*" and name.lower() not in known]

    def company(self, name: str) -> Company | None:
        """Return the company with this id or name; without a name the only one there is."""
        found = self._find(name)
        if found is None and name:
            self.memo.forget_companies()  # it may be new
            found = self._find(name)
        return found

    def _find(self, name: str) -> Company | None:
        companies = self.companies()
        if not name:
            return companies[0] if len(companies) == 1 else None
        wanted = name.strip().lower()
        for company in companies:
            if wanted in {company.key, company.name.lower()}:
                return company
        return next((company for company in companies if company.display_name.lower() == wanted), None)

    def _listed(self) -> list[Company]:
        return self.memo.companies(self.now(), self.bc)

    def webhook_secret(self) -> bytes | None:
        """Return the webhook secret of the vault, read at most every ten minutes; None when there is none."""
        return self.memo.secret(self.now(), self.secrets)

    def made_webhook_secret(self) -> bytes:
        """Return the webhook secret; a vault that has none yet gets a random one."""
        found = self.webhook_secret()
        if found is None:
            self.secrets.write(SECRET_WEBHOOK, self.new_id() + self.new_id())
            found = self.webhook_secret()
        if found is None:
            raise StoreUnavailable("the vault took bc-webhook-secret but does not give it back")
        return found
