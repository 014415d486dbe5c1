"""What an operator sees: the connect page, the `status` function and the doctor show the same values.

Names, counts, times and error codes only; no record of Business Central gets here. Times are aware UTC.
"""

from dataclasses import dataclass, field
from datetime import datetime

from shared.business_central.entities import Entity
from shared.connections.entity_rules import how_served
from shared.operations.findings import Finding
from shared.operations.unread_output import UnreadView
from shared.resource_names import DEFAULT_CONNECTION
from shared.version import VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginView:
    """The login."""

    state: str  # "ok", "needed", or "" before the first attempt
    mode: str  # authorization_code, client_secret, managed_identity
    user: str = ""  # who is signed in, or was; "" when the app signs in as itself
    code: str = ""  # Entra's word for what is wrong: AADSTS50173, login_required, signed_out, ...
    reason: str = ""  # one sentence
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanyView:
    """A company that is served."""

    name: str
    id: str
    error: str = ""  # why it cannot be served at present


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerView:
    """What one switched-on trigger does, in a sentence for people."""

    entity: str
    does: str
    how: str = ""  # by which reads it is watched, and why not by others
    reads: tuple[str, ...] = ("reconcile",)  # the purposes of the streams that must have been read


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamView:
    """How far one company's entity has been read."""

    company: str
    entity: str
    purpose: str  # "pull", "reconcile", "snapshot"
    state: str  # "ok", "running", "failed", "waiting" (for its first run)
    watermark: datetime | None = None  # everything changed before is announced
    lag_seen_at: datetime | None = None  # a read replica lagged then, within a day: reads go back up to an hour
    last_run: datetime | None = None
    late_after: datetime | None = None  # by its schedule: silent for longer than that is a fault
    error: str = ""

    def is_late(self, at: datetime) -> bool:
        """Return whether it has been silent for longer than its schedule explains."""
        return self.state != "running" and self.late_after is not None and at > self.late_after


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionView:
    """One webhook, as the app noted it when it last looked after it."""

    company: str
    entity: str
    state: str  # "ok", "lost", "failed", "unsupported"
    expires_at: datetime | None = None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderView:
    """A sales order that is not in Business Central."""

    key: str  # the idempotency key
    company: str
    state: str  # "waiting", "parked", "rejected"
    attempts: int = 0
    since: datetime | None = None
    code: str = ""  # BC's or our code for the reason
    reason: str = ""  # BC's or our own words, shortened
    cause: str = ""  # what orders of one case have in common
    no_redrive: str = ""  # why trying again can't help
    company_id: str = ""
    is_dismissed: bool = False  # somebody wants no more of it


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterView:
    """A queue message that failed too often and waits for a person, or for its next try."""

    id: str
    queue: str
    since: datetime | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerView:
    """One timer function."""

    function: str
    setting: str  # app setting of its schedule, "" when it is fixed
    schedule: str  # as it is set
    fault: str = ""  # why the host does not run it
    is_disabled: bool = False
    started_at: datetime | None = None  # whoever started it
    by_timer_at: datetime | None = None  # the host's timer, or a person, started it
    next_due: datetime | None = None
    is_overdue: bool = False  # the host's timer should have started it, twice


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingEventsView:
    """Messages of events that wait for one cause."""

    cause: str  # word of `forward_step`; "": they are at work
    messages: int
    since: datetime
    why: str = ""
    do: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardingView:
    """Where events go instead of the queue."""

    receiver: str  # its kind and origin: path and query may hold a secret
    waiting: tuple[WaitingEventsView, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CountView:
    """What was done in one hour for one company and entity ("": for none); counts that are 0 are left out."""

    hour: datetime  # its begin
    company: str
    entity: str
    counts: dict[str, int]  # announced, created, rejected, parked, delivered (webhook calls), requests, throttled (429)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionView:
    """One connection in short."""

    id: str
    health: str  # connected, login_needed, unreachable, degraded, stopped
    reason: str = ""  # one sentence, "" when all is well
    next_step: str = ""
    environment: str = ""
    orders_waiting: int = 0
    orders_parked: int = 0
    orders_rejected: int = 0
    dead_letters: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusView:
    """Everything at one moment. Lists may be cut; the counts are whole."""

    at: datetime
    environment: str
    login: LoginView
    reader: LoginView | None = None  # of the second application that reads pages; None: there is none
    connection: str = DEFAULT_CONNECTION  # id
    connections: tuple[ConnectionView, ...] = ()  # in short: this one
    version: str = VERSION  # of this app
    companies: tuple[CompanyView, ...] = ()
    triggers: tuple[TriggerView, ...] = ()
    pulls: tuple[str, ...] = ("items",)  # entities that the scheduled pull reads
    entity_faults: tuple[str, ...] = ()  # why entries of BC_ENTITIES are not served
    streams: tuple[StreamView, ...] = ()
    subscriptions: tuple[SubscriptionView, ...] = ()
    orders_waiting: int = 0
    orders_parked: int = 0
    orders_rejected: int = 0
    orders_dismissed: int = 0
    order_causes: dict[str, int] = field(default_factory=dict)  # orders that wait for a person by cause, all of them
    orders: tuple[OrderView, ...] = ()
    dead_letters: tuple[DeadLetterView, ...] = ()
    dead_letter_counts: dict[str, int] = field(default_factory=dict)  # by queue, all of them
    timers: tuple[TimerView, ...] = ()
    poison: dict[str, int] | None = None  # messages by poison queue; None: not looked at
    in_poison: tuple[Finding, ...] = ()  # what the messages there say
    unread: tuple[UnreadView, ...] = ()  # output queues that hold something
    business_central: Finding | None = None  # whether it answers just now; None: not asked
    forwarding: ForwardingView | None = None  # None: events stay in the queue
    activity: tuple[CountView, ...] = ()  # of the last seven days, in order of time
    last_event: datetime | None = None  # when something was announced last, within seven days
    last_order: datetime | None = None  # when an order was created last, within seven days
    key: str = ""  # of what alone is listed of orders and dead letters
    health: str = ""  # connected, login_needed, unreachable, degraded, stopped
    findings: tuple[Finding, ...] = ()  # what is wrong, worst first; see `view_findings`


def describe_trigger(entity: Entity, *, has_webhook: bool | None = None) -> TriggerView:
    """Return what a trigger does; `has_webhook`: whether one is offered for it, None when that is not known."""
    sentence = f"Announces {entity.announces or f'a new record of {entity.name}'}"
    sentence += f" with its {entity.parts or entity.expand}" if entity.expand else ""
    sentence += ", and once more when it is posted" if entity.posts else ""
    more = [word for word in ("updated", "deleted") if word in entity.changes]
    if more:
        sentence += f"; also announces when one is {' or '.join(more)}"
    if entity.only_when_changed:
        sentence += f", if {' or '.join(entity.only_when_changed)} changed"
    return TriggerView(
        entity=entity.name, does=f"{sentence}.", how=how_served(entity, has_webhook=has_webhook),
        reads=("reconcile",) if entity.has_times else ("snapshot",),
    )  # fmt: skip
