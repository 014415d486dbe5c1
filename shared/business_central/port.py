"""The verbs this app needs of Business Central, and the values they take and give; `client.py` speaks them over HTTP.

Every verb raises only errors of `shared.errors`.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final, Literal, Protocol

from shared.business_central.entities import STANDARD_ROUTE, Entity
from shared.business_central.metadata import RouteFacts
from shared.business_central.page_parser import Page
from shared.business_central.records import Record
from shared.errors import BCError


class Intent(StrEnum):
    """Which question a read asks, sent as `Data-Access-Intent` (docs: database-read-scale-out-overview).

    Found counts when committed, missing counts when current: a replica shows only what is committed and lags without
    bound; the primary shows what is current and may yet be rolled back. Nothing is concluded from the other kind.
    """

    COMMITTED = "ReadOnly"
    CURRENT = "ReadWrite"


#: How long a request may take, from its first byte to the last of its answer, where it has no limit of its own.
WHOLE_S: Final = 120.0


class TokenSource(Protocol):
    """Where access tokens for Business Central come from."""

    def token(self) -> str:
        """Return an access token that is valid for at least some minutes.

        Raises:
            TokenError: none can be had; `.retryable` says whether waiting can help.
            StoreUnavailable: the vault or the state store did not answer.
        """
        ...

    def discard(self, token: str) -> None:
        """Note that BC answered 401 to this token, so that the next `token()` fetches a fresh one."""
        ...


@dataclass(frozen=True, slots=True)
class Slot:
    """A leased right to have one request in flight. `close_for` keeps it shut after BC asked for a pause."""

    close_for: Callable[[float], None]  # seconds
    is_readers: bool = False  # it is the reader's: a request with its token


class Reader(Protocol):
    """A second identity that may read pages. It never fails: without it the identity reads them alone."""

    def token(self) -> str:
        """Return an access token, "" while it is not to be used."""
        ...

    def refused(self, error: BCError) -> None:
        """Note that BC does not let it read."""
        ...

    def failed(self, error: BCError, *, alone: bool) -> None:
        """Note that BC did not serve it for another reason; `alone`: the identity was served the same at once."""
        ...

    def served(self) -> None:
        """Note that BC answered it."""
        ...


class Budget(Protocol):
    """Business Central's limits for one identity, shared by all instances: 5 requests at once, 6,000 in 5 minutes."""

    def slot(
        self, *, reserved: bool, or_reader: bool = False, limit_s: float = WHOLE_S
    ) -> AbstractContextManager[Slot]:
        """Hold one slot while the body runs; `reserved` (orders, notifications): the reserved slot, too.

        `or_reader`: of the identity or of its reader, whichever comes free first. `limit_s`: how long the body takes at
        most; should the process die, nobody else has the slot before it is over.

        Raises:
            BudgetExhausted: no slot came free in the waiting time.
            StoreUnavailable: the state store did not answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class Company:
    """One company of the environment."""

    key: str  # lower-case GUID
    name: str
    display_name: str  # falls back to the name


@dataclass(frozen=True, slots=True, kw_only=True)
class PageAsk:
    """What page to read. With a `link` only `rows` and `limit_s` count beside it, as the link repeats the rest."""

    company: str
    entity: Entity
    what: Literal["records", "expanded", "ids"] = "records"  # expanded: ids of their parents
    expanded: bool = False
    since: datetime | None = None  # lastModifiedDateTime ge
    low: str = ""  # the entity's sort property ge
    high: str = ""  # and lt
    order: str = ""  # property that the rows are sorted by; "": BC's own order
    rows: int = 2000
    limit_s: float = WHOLE_S  # how long to wait for the whole answer
    skip: int = 0  # rows to leave out in front: only to get past one that can't be read
    link: str = ""


@dataclass(frozen=True, slots=True)
class PageAnswer:
    """One page and BC's own time when it was served (None when the answer did not say)."""

    page: Page
    served_at: datetime | None
    size: int = 0  # bytes
    took_s: float = 0.0  # from sending the request to the last byte


@dataclass(frozen=True, slots=True)
class PostedOrder:
    """A sales order that exists, or existed until it was shipped and invoiced."""

    order_id: str  # lower-case GUID; "" when only its shipment or invoice is left
    number: str
    order_date: str = ""  # ISO; "" when only its shipment or invoice is left
    modified_at: datetime | None = None  # None when BC did not say
    lines: str = ""  # resource that holds its lines, `salesOrders(<id>)/salesOrderLines`
    is_customers: bool = True  # it is of the customer that was asked for


@dataclass(frozen=True, slots=True)
class DocumentLine:
    """What a line of an order, shipment or invoice has in common with the others."""

    ids: frozenset[str]  # lower-case GUIDs of its item and account; empty where lines have none (shipments)
    number: str  # of item, account, resource, ...; "" on a comment
    quantity: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A webhook as Business Central holds it."""

    subscription_id: str
    url: str  # notificationUrl
    resource: str
    expires_at: datetime
    etag: str  # sent unmodified as If-Match


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A webhook that should exist."""

    company: str
    entity: str
    url: str
    resource: str
    client_state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookLogLine:
    """One line of Business Central's own log of its webhooks."""

    at: datetime | None
    failed: bool
    message: str
    details: str = field(repr=False)  # holds notification URLs, which nobody else shall know


class BusinessCentral(Protocol):
    """The verbs this app needs of Business Central. Every one raises BCError, TokenError, BudgetExhausted.

    A read of what is committed unless its verb says that it is of what is current.
    """

    def company_url(self, company: str, route: str = STANDARD_ROUTE) -> str:
        """Return the URL of a company in one of its APIs: the `source` of its events."""
        ...

    def environments(self) -> list[str]:
        """Return the names of the environments that the tenant has; asked once."""
        ...

    def companies(self) -> list[Company]:
        """Return all companies the connection may list, as is current: one that is missing can't be served."""
        ...

    def page(self, ask: PageAsk) -> PageAnswer:
        """Read one page; BCRejected with code `nextLink` for a link that leads elsewhere."""
        ...

    def records(
        self,
        company: str,
        entity: Entity,
        keys: Sequence[str],
        *,
        expanded: bool,
        reserved: bool = False,
        intent: Intent = Intent.COMMITTED,
    ) -> list[Record]:
        """Read up to 100 records by id; one that does not exist is simply not among the answers.

        `COMMITTED` for what is to be announced; `CURRENT` to learn what is missing, where a read modifies nothing.

        Raises:
            ValueError: `CURRENT` for an entity that is modified by such reads.
        """
        ...

    def split_points(self, company: str, entity: Entity, parts: int, *, least: int) -> list[str]:
        """Return at most `parts - 1` sort values, ascending, that cut an entity of `least` rows or more."""
        ...

    def find_orders(
        self,
        company: str,
        external_number: str,
        *,
        customer_number: str,
        customer_id: str,
        any_customer: bool,
        since: datetime | None,
        also_posted: bool,
        intent: Intent,
    ) -> list[PostedOrder]:
        """Look an order up by external document number; `also_posted`: among invoices and shipments, too.

        `any_customer`: those of other customers, too, as far as the number can be filtered by; else `since`, if given,
        and the customer bound the search. BCRejected with code `TooManyOrders` when more documents have to be read than
        can be in one look-up.
        """
        ...

    def order_lines(self, company: str, order: PostedOrder) -> list[DocumentLine] | None:
        """Return the lines of a document that `find_orders` found; None while it is not known to be committed."""
        ...

    def create_order(self, company: str, body: str, in_time: Callable[[], bool]) -> PostedOrder:
        """Post one sales order with its lines, once; a fault that leaves the outcome open is BCUnavailable.

        `in_time` is asked right before the request leaves: it is not sent when it is late, which is BudgetExhausted.
        """
        ...

    def webhook_resources(self, company: str) -> frozenset[str]:
        """Return the resources (`v2.0/items`, lower case) this environment offers webhooks for, as is current."""
        ...

    def probe(self, company: str, entity: Entity, *, expanded: bool) -> datetime | None:
        """Read one record at most, to see whether that is permitted; return BC's own time when it answered."""
        ...

    def webhook_logs(self, company: str) -> list[WebhookLogLine]:
        """Return BC's own log of the webhooks of one company, newest first."""
        ...

    def facts(self, company: str) -> dict[str, str]:
        """Return what the environment answers to questions that no document answers: statuses, codes, names."""
        ...

    def metadata(self, route: str) -> RouteFacts:
        """Return the entity sets of an API route, by name; BCNotFound for a route that is not published."""
        ...

    def subscriptions(self, routes: Iterable[str] = (STANDARD_ROUTE,)) -> list[Subscription]:
        """Return all webhooks of the environment, whoever made them, as is current: a missing one is made anew.

        Each route has a list of its own; a custom one that is not published any more has no webhooks.
        """
        ...

    def create_subscription(self, wanted: Wanted) -> Subscription:
        """Register a webhook; BC calls its URL for the handshake before it answers."""
        ...

    def renew_subscription(self, wanted: Wanted, existing: Subscription) -> Subscription:
        """Renew a webhook, with another handshake; BCNotFound when BC has forgotten it."""
        ...

    def delete_subscription(self, existing: Subscription) -> None:
        """Remove a webhook; one that is gone already is fine."""
        ...
