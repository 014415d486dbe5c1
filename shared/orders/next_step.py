"""The state machine of an order as a decision table: from what is known of it to the one step that is next.

Owns every rule of when an order is looked up, posted, adopted, rejected, made to wait or parked; knows no store, no
network and no clock. `submit` carries the steps out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from shared.business_central.port import PostedOrder
from shared.business_central.transient import Refusal, refusal_of
from shared.errors import BCDenied, BCError, BCRejected, BCUnavailable, IntegrationError
from shared.orders.likeness import Likeness
from shared.orders.order_entry import OrderEntry
from shared.orders.order_fields import KNOWN_NAMES

#: How long a transient fault is waited out before an order is parked.
PATIENCE: Final = timedelta(hours=72)
#: How long a refusal is waited out that is told in words which are not known here: a lock passes long before, and the
#: rule of an app in its author's language is reported then.
UNCLEAR_FOR: Final = timedelta(hours=4)
#: BC cancels an operation after 8 minutes, its gateway gives up after 10: only then is a lost answer surely no order.
SETTLE: Final = timedelta(minutes=11)
#: What of it a post may wait for its token and slot, and a worker be frozen: what leaves later could come too late.
_LEAVES_WITHIN: Final = timedelta(minutes=1)
#: How long after its patience an order whose newest post may have succeeded is still looked up.
_LAST_LOOK: Final = timedelta(hours=2)
#: How far the clocks of this app and of BC may lie apart at most: what is older was there before the post.
_CLOCKS: Final = timedelta(minutes=10)
#: How far they lie apart as a rule. What is older may have been typed in before, unseen by a replica.
_CLOCKS_MOSTLY: Final = timedelta(minutes=1)
_DELAYS_MIN: Final = (1, 2, 4, 8, 15, 30)
#: Codes of errors that AL code raised: in a look-up it stumbled over some document, which says nothing of the order.
_AL_ERROR: Final = "Application_"
#: Codes of this app in results.
EXISTS: Final = "OrderExists"
TOO_MANY: Final = "TooManyOrders"
LOOKS_ALIKE: Final = "another_in_doubt"
OUTCOME_UNKNOWN: Final = "outcome_unknown"


@dataclass(frozen=True, slots=True)
class Adopt:
    """The order is in BC as this document."""

    document: PostedOrder


@dataclass(frozen=True, slots=True)
class Post:
    """The order is sent; documents of these numbers bore its external number before and are not it."""

    before: tuple[str, ...] = ()


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


@dataclass(frozen=True, slots=True)
class Candidate:
    """A document that bears the external number and the customer of an order."""

    document: PostedOrder
    claimed: bool = False  # by another order key
    likeness: Likeness = "same"


#: What a look-up brought: documents, or the fault that kept it from answering.
type Found = Sequence[Candidate] | IntegrationError


def needs_look_up(entry: OrderEntry) -> bool:
    """Return whether BC is asked before a post: before the first one, no document bears a number this app made."""
    return entry.in_doubt or entry.numbering != "generated"


def may_be_ours(entry: OrderEntry, document: PostedOrder) -> bool:
    """Return whether the newest post can have made a document (P17): it was not there before, and is not much older."""
    return not _is_older(entry, document, _CLOCKS) and document.number not in entry.before.split("\n")


def _is_older(entry: OrderEntry, document: PostedOrder, clocks: timedelta) -> bool:
    """Return whether a document was changed last before the newest post, with clocks that lie so far apart."""
    return (
        entry.posted_at is not None
        and document.modified_at is not None
        and document.modified_at.year > 1  # year 1 stands for "no time"
        and document.modified_at < entry.posted_at - clocks
    )


def after_look_up(entry: OrderEntry, found: Found, now: datetime) -> Step:
    """Return what follows a look-up."""
    if isinstance(found, IntegrationError):
        return _after_blind_look_up(entry, found, now)
    if entry.in_doubt:
        return _after_doubtful_look_up(entry, found, now)
    strangers = [one.document.number for one in found if not one.claimed and one.document.is_customers]
    if entry.numbering != "shared" and strangers:
        return Reject(_exists(entry, strangers[0]))
    return Post(tuple(one.document.number for one in found if not one.claimed))


def _exists(entry: OrderEntry, number: str) -> BCRejected:
    return BCRejected(
        f"order {number} of this customer bears the external document number {entry.external_number} and was not made "
        "from this message; if numbers are shared, send an orderKey that differs from externalDocumentNumber",
        code=EXISTS,
    )  # fmt: skip


def _after_doubtful_look_up(entry: OrderEntry, found: Sequence[Candidate], now: datetime) -> Step:
    is_settled = entry.posted_at is None or now >= entry.posted_at + SETTLE
    ours = {one.likeness: one.document for one in reversed(_plausible(entry, found))}  # of several the first
    if "same" in ours:
        return Adopt(ours["same"])
    if "unclear" in ours and is_settled:  # another order key may yet claim it; else a person tells
        which = f"order {ours['unclear'].number} may be this order or another one"
        return wait_or_park(entry, BCUnavailable(which, code=OUTCOME_UNKNOWN), now, unknown=True)
    if not is_settled or "uncommitted" in ours:
        doubt = BCUnavailable("the outcome of the newest post is not known yet", code=OUTCOME_UNKNOWN)
        return wait_or_park(entry, doubt, now, unknown=True)
    if _is_over(entry, now, PATIENCE):  # looked up for the last time; another post would leave a new doubt
        none = BCUnavailable("the newest post made no order", code=entry.error_code or OUTCOME_UNKNOWN)
        return wait_or_park(entry, none, now, unknown=False)
    return Post(tuple(entry.before.split("\n")) if entry.before else ())


def _plausible(entry: OrderEntry, found: Sequence[Candidate]) -> list[Candidate]:
    ours = [one for one in found if not one.claimed and may_be_ours(entry, one.document)]
    return [replace(one, likeness=_told_apart(entry, one)) for one in ours]


def _told_apart(entry: OrderEntry, one: Candidate) -> Likeness:
    """Return what a document's likeness means under the number that it bears."""
    if one.likeness == "uncommitted" or entry.numbering == "generated":
        return "uncommitted" if one.likeness == "uncommitted" else "same"  # nobody else knows the number
    if one.likeness == "rounded" and entry.numbering == "given":
        one = replace(one, likeness="same")  # no other order of ours bears the number
    is_surely_later = one.document.is_customers and not _is_older(entry, one.document, _CLOCKS_MOSTLY)
    return "same" if one.likeness == "same" and is_surely_later else "unclear"


def _after_blind_look_up(entry: OrderEntry, fault: IntegrationError, now: datetime) -> Step:
    says_nothing = entry.in_doubt or (isinstance(fault, BCError) and fault.code.startswith(_AL_ERROR))
    if isinstance(fault, BCRejected) and _refusal(fault) == "final" and not says_nothing:
        return Reject(fault)  # the order names something that BC can't even look for
    return wait_or_park(entry, fault, now, unknown=entry.in_doubt)


def may_leave(entry: OrderEntry, now: datetime) -> bool:
    """Return whether a post that was noted may be sent still: later, another worker may have posted the order (P8)."""
    return entry.posted_at is not None and now < entry.posted_at + _LEAVES_WITHIN


def after_post(entry: OrderEntry, answer: PostedOrder | IntegrationError, now: datetime) -> Step:
    """Return what follows a post."""
    if isinstance(answer, PostedOrder):
        return Adopt(answer)
    if isinstance(answer, BCError):
        refusal, since = _refusal(answer), refused_since(entry, answer, now)
        if refusal == "final" or (since is not None and now >= since + UNCLEAR_FOR):
            return Reject(answer)
    return wait_or_park(entry, answer, now, unknown=isinstance(answer, BCUnavailable))


def refused_since(entry: OrderEntry, error: IntegrationError, now: datetime) -> datetime | None:
    """Return since when BC has refused an order in words that are not known here; None for any other fault."""
    is_unclear = isinstance(error, BCError) and _refusal(error) == "unclear"
    return (entry.refused_at or now) if is_unclear else None


def after_lost_claim(entry: OrderEntry, document: PostedOrder, now: datetime) -> Step:
    """Return what follows when another key has claimed the document of this order: it is not in BC any more."""
    lost = BCUnavailable(f"order {document.number} was claimed by another order key", code=OUTCOME_UNKNOWN)
    return wait_or_park(entry, lost, now, unknown=False)


def after_hold(entry: OrderEntry, holder: str, now: datetime) -> Step:
    """Return what follows when an order that could be mistaken for this one is being posted or in doubt."""
    alike = BCUnavailable(
        f"order {holder} has the same number, customer and quantities, and its outcome is not known yet",
        code=LOOKS_ALIKE,
    )  # fmt: skip
    return wait_or_park(entry, alike, now, unknown=entry.in_doubt)


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


def _refusal(error: BCError) -> Refusal:
    """Return whether BC refuses for good; a login without a permission is mended by a person and waits."""
    return "transient" if isinstance(error, BCDenied) else refusal_of(error, KNOWN_NAMES)


def _is_over(entry: OrderEntry, now: datetime, patience: timedelta) -> bool:
    return now >= (entry.first_at or now) + patience
