"""The state machine of an order as a decision table: from what is known of it to the one step that is next.

Owns every rule of when an order is posted, adopted, rejected, made to wait or parked; knows no store, no network and
no clock. `submit` carries the steps out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shared.business_central.port import PostedOrder
from shared.errors import BCConflict, BCDenied, BCError, BCRejected, BCThrottled, BCUnavailable, IntegrationError
from shared.orders.order_entry import OrderEntry

#: How long a transient fault is waited out before an order is parked.
PATIENCE: Final = timedelta(hours=72)
#: BC cancels an operation after 8 minutes, its gateway gives up after 10: only then is a lost answer surely no order.
SETTLE: Final = timedelta(minutes=11)
#: How long after its patience an order whose newest post may have succeeded is still looked up.
_LAST_LOOK: Final = timedelta(hours=2)
_DELAYS_MIN: Final = (1, 2, 4, 8, 15, 30)
#: Codes of errors that AL code raised: in a look-up it stumbled over some document, which says nothing of the order.
_AL_ERROR: Final = "Application_"


@dataclass(frozen=True, slots=True)
class Adopt:
    """The order is in BC as this document."""

    document: PostedOrder


@dataclass(frozen=True, slots=True)
class Post:
    """The order is sent; documents of these numbers bore its external number before and are not it."""

    before: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reject:
    """The order is refused for good."""

    error: BCError


@dataclass(frozen=True, slots=True)
class Wait:
    """The order comes back by itself at a time. `unknown`: its newest post may have succeeded."""

    error: IntegrationError
    unknown: bool
    until: datetime


@dataclass(frozen=True, slots=True)
class Park:
    """The order waits for a person. `unknown`: its newest post may have succeeded."""

    error: IntegrationError
    unknown: bool


type Step = Adopt | Post | Reject | Wait | Park
#: What a look-up brought: documents that bear the external number, or the fault that kept it from answering.
type Found = Sequence[PostedOrder] | IntegrationError


def after_look_up(entry: OrderEntry, found: Found, now: datetime, *, shared: bool) -> Step:
    """Return what follows a look-up; `shared`: other orders may bear the same external number."""
    if isinstance(found, IntegrationError):
        return _after_blind_look_up(entry, found, now)
    if entry.in_doubt:
        return _after_doubtful_look_up(entry, found, now)
    if found and not shared:
        return Adopt(found[0])
    return Post(tuple(order.number for order in found))


def _after_doubtful_look_up(entry: OrderEntry, found: Sequence[PostedOrder], now: datetime) -> Step:
    before = tuple(entry.before.split("\n"))
    ours = [order for order in found if order.number not in before]
    if ours:
        return Adopt(ours[0])
    if entry.posted_at is not None and now < entry.posted_at + SETTLE:
        doubt = BCUnavailable("the outcome of the newest post is not known yet", code="outcome_unknown")
        return wait_or_park(entry, doubt, now, unknown=True)
    if _is_over(entry, now, PATIENCE):  # looked up for the last time; another post would leave a new doubt
        none = BCUnavailable("the newest post made no order", code=entry.error_code or "outcome_unknown")
        return wait_or_park(entry, none, now, unknown=False)
    return Post(before)


def _after_blind_look_up(entry: OrderEntry, fault: IntegrationError, now: datetime) -> Step:
    if isinstance(fault, BCRejected) and not entry.in_doubt and not fault.code.startswith(_AL_ERROR):
        return Reject(fault)  # the order names something that BC can't even look for
    return wait_or_park(entry, fault, now, unknown=entry.in_doubt)


def after_post(entry: OrderEntry, answer: PostedOrder | IntegrationError, now: datetime) -> Step:
    """Return what follows a post."""
    if isinstance(answer, PostedOrder):
        return Adopt(answer)
    if isinstance(answer, BCUnavailable):
        return wait_or_park(entry, answer, now, unknown=True)
    if isinstance(answer, BCError) and not isinstance(answer, BCThrottled | BCDenied | BCConflict):
        return Reject(answer)
    return wait_or_park(entry, answer, now, unknown=False)


def wait_or_park(entry: OrderEntry, error: IntegrationError, now: datetime, *, unknown: bool) -> Wait | Park:
    """Return when a transient fault is tried again; after 72 hours the order is parked.

    What may be in BC is looked up for two hours more, in case BC did not answer even that.
    """
    if _is_over(entry, now, PATIENCE + _LAST_LOOK if unknown else PATIENCE):
        return Park(error, unknown)
    pause = delay(entry.waits + 1)
    if isinstance(error, BCError) and error.retry_after_s is not None:
        pause = max(pause, timedelta(seconds=error.retry_after_s))
    return Wait(error, unknown, now + pause)


def delay(waits: int) -> timedelta:
    """Return how long an order waits the n-th time: from a minute to half an hour."""
    return timedelta(minutes=_DELAYS_MIN[min(max(waits, 1), len(_DELAYS_MIN)) - 1])


def _is_over(entry: OrderEntry, now: datetime, patience: timedelta) -> bool:
    return now >= (entry.first_at or now) + patience
