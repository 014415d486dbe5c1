"""One order key's story as a value: what the store keeps and what the decisions of `next_step` look at."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, Self

type OrderStatus = Literal["posting", "waiting", "created", "rejected", "parked"]

#: Who made the external document number: this app (then no document bears it before the first post), the sender (then
#: it stands for this order alone), or the sender for several orders, which have keys of their own.
type Numbering = Literal["generated", "given", "shared"]


@dataclass(frozen=True, slots=True)
class Sender:
    """One message that awaits the result of an order."""

    message_id: str
    sent_key: str  # as the message wrote it


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderEntry:
    """One order of one company. Times are aware UTC."""

    key: str
    company: str  # company id; "" while it could not be found
    status: OrderStatus
    message: bytes  # JSON text of the message, or its raw bytes when it has none; for a redrive
    is_erased: bool = False  # what it held is gone, and only what stops a second post is left
    digest: str = ""  # of the order as 0.1.0 rendered it; no longer written
    content: str = ""  # digest of what the sender meant; "" in rows of 0.1.0
    own_key: str = ""  # its key as keys compare, where 0.1.0 filed it under another and its message is erased
    external_number: str = ""
    numbering: Numbering = "given"
    likeness: str = ""  # mark of what a look-up compares, by which orders that could be mistaken for it are held back
    before: str = ""  # numbers of documents that bore the external number before the first post, joined by newlines
    attempts: int = 0  # posts sent
    waits: int = 0  # how often it was made to wait
    first_at: datetime | None = None
    posted_at: datetime | None = None  # when the newest post was sent
    unknown: bool = False  # the newest post may have succeeded
    refused_at: datetime | None = None  # since when BC refuses it in words that are not known here
    next_try_at: datetime | None = None
    worker: str = ""  # id of the message that holds the order, or that brought a created one more messages to answer
    lease_until: datetime | None = None
    order_id: str = ""
    number: str = ""
    error_code: str = ""
    error: str = ""
    correlation_id: str = ""
    senders: tuple[Sender, ...] = ()  # every message that is answered when the order ends
    reported_to: str = ""  # id of the message whose delivery gave the outcome
    place: str = ""  # key of its row as stored
    index: str = ""  # key of its index row as stored
    hold: str = ""  # key of its hold row as stored
    etag: str = ""
    left: "OrderEntry | None" = None  # the row that it had while its company was unknown: goes when this one is stored

    @property
    def in_doubt(self) -> bool:
        """Whether the newest post may have made a document: sent, and its answer never seen."""
        return self.unknown or (self.status == "posting" and self.posted_at is not None)

    @property
    def is_over(self) -> bool:
        """Whether the order has an outcome."""
        return self.status in {"created", "rejected", "parked"}

    @property
    def has_contents(self) -> bool:
        """Whether it holds what is erased one day: a message, or the names of senders that came after."""
        return not self.is_erased or bool(self.senders)

    @property
    def shown_key(self) -> str:
        """The key as its first sender wrote it."""
        return self.senders[0].sent_key if self.senders else self.key

    def joined_by(self, *senders: Sender) -> Self:
        """Return the entry with more messages to answer."""
        known = {one.message_id for one in self.senders}
        new = [one for one in senders if one.message_id not in known]
        return replace(self, senders=(*self.senders, *new)) if new else self


def company_of(entries: Iterable[OrderEntry], message_id: str, resumed: OrderEntry | None) -> str:
    """Return the company of the resumed order, or of that which an earlier delivery of a message brought there; or "".

    A message that is delivered again stays there, whatever its company is called by now.
    """
    if resumed is not None:
        return resumed.company
    for entry in entries:
        if entry.company and message_id in {entry.reported_to, *(one.message_id for one in entry.senders)}:
            return entry.company
    return ""
