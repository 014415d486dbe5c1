"""What happened in a run, as anybody outside the app could have written it down, in the order in which it happened.

Plain values: what senders submitted and were answered, what `GET orders` showed, what was announced, what Business
Central committed. Knows nothing of the app; `checker` judges it, `recorder` writes it.
"""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """A message was put into `sales-orders`."""

    at: datetime
    key: str  # as keys compare
    spelling: str  # as the message writes it, and as its results must
    company: str  # id; "" for one that names no company there is
    mark: str  # a word in the order that the app passes on and never looks at; Business Central's document bears it


@dataclass(frozen=True, slots=True, kw_only=True)
class Disputed:
    """A person, or another sender, uses the number of an order: nobody can tell for sure what became of it."""

    at: datetime
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBack:
    """A person redrove an order."""

    at: datetime
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A result left."""

    at: datetime
    key: str
    spelling: str
    company: str
    status: str
    order_id: str = ""
    number: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """One entry of an answer to `GET orders`."""

    company: str
    status: str
    number: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """Somebody asked `GET orders` for a key."""

    at: datetime
    key: str
    entries: tuple[Shown, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """An event left."""

    at: datetime
    event_id: str
    change: str  # created, posted, updated, deleted, pulled
    source: str
    entity: str
    record: str
    version: str  # of the record itself: its ETag and when it was modified; "" for one that is gone
    content: str  # digest of the record and of what is expanded in it


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """Business Central committed a change of a record."""

    at: datetime  # when it was committed, which may be long after its time stamp
    company: str
    entity: str
    record: str
    kind: str  # created, updated, deleted, posted, ...
    number: str = ""
    version: str = ""  # as in `Announced`
    mark: str = ""  # of a sales order


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchBegan:
    """The app knows what was there before; what comes from now on is news."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Healed:
    """The last fault is over."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Lagging:
    """Replicas begin to lag by more than a delta makes up for unasked, or no longer do."""

    at: datetime
    begins: bool


type Fact = Submitted | Disputed | PutBack | Answered | Looked | Announced | Committed | WatchBegan | Healed | Lagging


@dataclass(frozen=True, slots=True)
class Watch:
    """What the app was told to announce."""

    entities: frozenset[str]  # whose creation is announced
    posting: frozenset[str]  # those of them that are posted
    changes: frozenset[str]
    pulled: frozenset[str] = frozenset({"items"})
