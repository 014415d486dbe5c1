"""What the use cases need from the outside, as small protocols; adapters live in `bc/` and `stores/`.

Every adapter raises only errors of `shared.errors`. Each has an in-memory twin that passes the same contract tests.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, Protocol, Self

from shared.core.collection import Page
from shared.core.entities import Entity
from shared.core.subscriptions import Subscription, Wanted, WebhookLogLine
from shared.core.wire import Record

#: Time now, aware and in UTC.
type Clock = Callable[[], datetime]
#: A fresh unguessable id: 32 lower-case hex digits.
type NewId = Callable[[], str]
#: What a table property may hold. `bytes` at most 64 KiB, `str` at most 32 Ki characters; `datetime` aware UTC.
type Value = str | int | float | bool | datetime | bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One table row. `etag` is the version read ("" for a row that was never stored)."""

    partition: str
    key: str
    values: Mapping[str, Value] = field(default_factory=dict)
    etag: str = ""

    def text(self, name: str) -> str:
        """Return a text property, "" when absent."""
        value = self.values.get(name, "")
        return value if isinstance(value, str) else ""

    def number(self, name: str) -> int:
        """Return a whole-number property, 0 when absent."""
        value = self.values.get(name, 0)
        return value if isinstance(value, int) else 0

    def data(self, name: str) -> bytes:
        """Return a binary property, b"" when absent."""
        value = self.values.get(name, b"")
        return value if isinstance(value, bytes) else b""

    def time(self, name: str) -> datetime | None:
        """Return a time property, None when absent."""
        value = self.values.get(name)
        return value if isinstance(value, datetime) else None

    def with_values(self, **changes: Value) -> Self:
        """Return the row with some properties changed and the same etag."""
        return replace(self, values={**self.values, **changes})


@dataclass(frozen=True, slots=True)
class Insert:
    """Create the row; StateConflict when it exists."""

    row: Row


@dataclass(frozen=True, slots=True)
class Replace:
    """Replace the row whole; StateConflict unless it still has `row.etag`."""

    row: Row


@dataclass(frozen=True, slots=True)
class Upsert:
    """Create or replace the row whole, whatever is there."""

    row: Row


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the row; StateConflict when `row.etag` is set and no longer right, or the row is gone."""

    row: Row


type Change = Insert | Replace | Upsert | Delete


class Table(Protocol):
    r"""One table of Azure Table Storage, or its in-memory twin.

    Every method raises StoreUnavailable when storage does not answer. Keys may hold any text but `/ \\ # ?` and
    control characters (`shared.core.keys` makes such keys).
    """

    def get(self, partition: str, key: str) -> Row | None:
        """Return the row, or None."""
        ...

    def query(self, partition: str, low: str = "", high: str = "", *, limit: int | None = None) -> Iterator[Row]:
        """Yield rows of a partition with low <= key < high (high "" means to the end), in key order."""
        ...

    def insert(self, row: Row) -> Row:
        """Create a row and return it with its etag; StateConflict when it exists."""
        ...

    def replace(self, row: Row) -> Row:
        """Replace a row whole if it still has `row.etag`, return it with the new etag; StateConflict if not."""
        ...

    def upsert(self, row: Row) -> Row:
        """Create or replace a row whole, return it with its etag."""
        ...

    def delete(self, partition: str, key: str) -> None:
        """Delete a row; a row that is gone already is fine."""
        ...

    def write(self, changes: Sequence[Change]) -> list[str]:
        """Apply at most 100 changes to rows of one partition all together or not at all; StateConflict if any fails.

        Returns the new etag of each row, "" for a deleted one.
        """
        ...


class SecretStore(Protocol):
    """Key Vault secrets, or their in-memory twin. Raises StoreUnavailable when the vault does not answer."""

    def read(self, name: str) -> str | None:
        """Return the newest version's value, None when there is no such secret."""
        ...

    def write(self, name: str, value: str) -> None:
        """Store a new version. A vault takes at most 25,000 bytes."""
        ...


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
        """Tell that BC answered 401 to this token, so that the next `token()` fetches a fresh one."""
        ...


@dataclass(frozen=True, slots=True)
class Slot:
    """A leased right to have one request in flight. `close_for` keeps it shut after BC asked for a pause."""

    close_for: Callable[[float], None]  # seconds


class Budget(Protocol):
    """Business Central's limits for one identity, shared by all instances: 5 requests at once, 6,000 in 5 minutes."""

    def slot(self, *, urgent: bool) -> AbstractContextManager[Slot]:
        """Hold one slot while the body runs; `urgent` work (orders, notifications) may use the slot kept free for it.

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
    """What page to read. With a `link` only `rows` counts beside it, as the link repeats the rest."""

    company: str
    entity: Entity
    what: Literal["records", "nested", "ids"] = "records"  # nested: parent ids of nested records; ids: for the ledger
    with_nested: bool = False
    since: datetime | None = None  # lastModifiedDateTime ge
    low: str = ""  # number ge
    high: str = ""  # number lt
    order: Literal["", "number", "lastModifiedDateTime"] = ""
    rows: int = 2000
    skip: int = 0  # rows to pass over: only to get past one that can't be read
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


class BusinessCentral(Protocol):
    """The verbs this app needs of Business Central. Every one raises BCError, TokenError, BudgetExhausted."""

    def company_url(self, company: str) -> str:
        """Return the API URL of a company: the `source` of its events."""
        ...

    def companies(self) -> list[Company]:
        """Return all companies the connection may list."""
        ...

    def page(self, ask: PageAsk) -> PageAnswer:
        """Read one page; BCRejected with code `nextLink` for a link that leads elsewhere."""
        ...

    def records(
        self, company: str, entity: Entity, keys: Sequence[str], *, with_nested: bool, urgent: bool = True
    ) -> list[Record]:
        """Read up to 100 records by id; one that does not exist is simply not among the answers."""
        ...

    def split_points(self, company: str, entity: Entity, parts: int, *, least: int) -> list[str]:
        """Return at most `parts - 1` values of `number`, ascending, that cut an entity of `least` rows or more."""
        ...

    def find_orders(
        self,
        company: str,
        external_number: str,
        *,
        customer_number: str,
        customer_id: str,
        since: datetime,
        also_posted: bool,
    ) -> list[PostedOrder]:
        """Look an order up by external document number; `also_posted`: among invoices and shipments, too.

        `since` bounds the search where the number can't be filtered by.
        """
        ...

    def create_order(self, company: str, body: str) -> PostedOrder:
        """Post one sales order with its lines, once; a fault that leaves the outcome open is BCUnavailable."""
        ...

    def webhook_resources(self, company: str) -> frozenset[str]:
        """Return the resources (`v2.0/items`, lower case) this environment offers webhooks for."""
        ...

    def probe(self, company: str, entity: Entity, *, with_nested: bool) -> datetime | None:
        """Read one record at most, to see whether that is permitted; return BC's own time when it answered."""
        ...

    def webhook_logs(self, company: str) -> list[WebhookLogLine]:
        """Return BC's own log of the webhooks of one company, newest first."""
        ...

    def subscriptions(self) -> list[Subscription]:
        """Return all webhooks of the environment, whoever made them."""
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
