"""One order key's story as a value: what the store keeps and what the decisions of `next_step` look at."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

type OrderStatus = Literal["posting", "waiting", "created", "rejected", "parked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderEntry:
    """One order of one company. Times are aware UTC."""

    key: str
    company: str  # company id; "" while it could not be found
    status: OrderStatus
    message: bytes  # the message as it came, for a redrive
    digest: str = ""  # of the order's content
    external_number: str = ""
    before: str = ""  # numbers of documents that bore the external number before the first post, joined by newlines
    attempts: int = 0  # posts sent
    waits: int = 0  # how often it was made to wait
    first_at: datetime | None = None
    posted_at: datetime | None = None  # when the newest post was sent
    unknown: bool = False  # the newest post may have succeeded
    next_try_at: datetime | None = None
    worker: str = ""  # id of the message that holds the order
    lease_until: datetime | None = None
    order_id: str = ""
    number: str = ""
    error_code: str = ""
    error: str = ""
    correlation_id: str = ""
    reported_to: str = ""  # id of the message whose result gave the outcome
    index: str = ""  # key of its index row as stored
    etag: str = ""

    @property
    def in_doubt(self) -> bool:
        """Whether the newest post may have made a document: sent, and its answer never seen."""
        return self.unknown or (self.status == "posting" and self.posted_at is not None)
