"""What an answer of a receiver means for the events that were sent: a decision table, and the words for each cause.

Pure. What heals by itself, or once a person has mended the receiver or its access, waits, and need not be redriven.
What the same request can never heal is refused and becomes a dead letter, after it was cut down to a single event where
its size was the fault. Sources: Event Grid, "Post to custom topic" (400, 401, 404, 413); Service Bus REST, "Send
Message Batch" (400, 401, 403 for a full entity or a large message, 410); Standard Webhooks, "Delivery success and
failure" (2xx alone is success; 410, 429, Retry-After).
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from shared.forwarding.event_targets import TargetKind
from shared.forwarding.webhook_signature import keys_of

#: Sent again for this long, counted from the first failure; then it is a dead letter.
PATIENCE: Final = timedelta(hours=72)
LONGEST_WAIT: Final = timedelta(minutes=30)
#: A receiver may ask for a longer pause than we would make, but not for ever.
_LONGEST_TOLD: Final = timedelta(hours=6)
#: Service Bus answers 403 to a full entity and to a large message; one of this size fits every tier.
_FITS_SERVICE_BUS: Final = 256 * 1024

#: Words of ours for what happened when there was no answer. `CLOSED`: not sent, as the receiver had asked for a pause.
NETWORK: Final = "network"
CLOSED: Final = "closed"
NO_TOKEN: Final = "no_token"  # noqa: S105 - a word for a cause
SECRET_MISSING: Final = "secret_missing"  # noqa: S105
SECRET_WRONG: Final = "secret_wrong"  # noqa: S105
NO_VAULT: Final = "vault"

#: Causes that a person must remove; the others pass.
HELD: Final = frozenset({"denied", "not_found", "moved", "full", NO_TOKEN, SECRET_MISSING, SECRET_WRONG})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. `status` 0: nothing, and `code` is a word of ours; else `code` is the receiver's own word."""

    status: int
    code: str = ""
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """The receiver has the events."""


@dataclass(frozen=True, slots=True)
class Split:
    """Send two halves instead."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Send the rest later; `cause` is a key of `causes`."""

    cause: str
    wait: timedelta


@dataclass(frozen=True, slots=True)
class Refused:
    """These events can't be sent as they are; the others go on."""

    cause: str


type Step = Sent | Split | Hold | Refused


def next_step(kind: TargetKind, answer: Answer, *, events: int, size: int, tries: int) -> Step:
    """Return what follows from an answer to a request of so many events and bytes, tried so often before."""
    status = answer.status
    if 200 <= status < 300:
        return Sent()
    if status == 413 or (kind is TargetKind.SERVICE_BUS and status == 403 and (events > 1 or size > _FITS_SERVICE_BUS)):
        return Split() if events > 1 else Refused("too_large")
    cause = _waits_for(kind, answer)
    if cause:
        return Hold(cause, _wait(answer.retry_after_s, tries))
    return Refused("refused")


def _waits_for(kind: TargetKind, answer: Answer) -> str:
    """Return what a request that may succeed later waits for, "" for one that can't."""
    status = answer.status
    if status == 0:
        return "throttled" if answer.code == CLOSED else answer.code
    if status == 429:
        return "throttled"
    if status in {408, 425} or status >= 500:
        return "unavailable"
    if kind is TargetKind.SERVICE_BUS and status == 403:
        return "full"
    if 300 <= status < 400:
        return "moved"
    return {401: "denied", 403: "denied", 404: "not_found", 405: "not_found", 410: "not_found"}.get(status, "")


def _wait(told_s: float | None, tries: int) -> timedelta:
    ours = min(LONGEST_WAIT, timedelta(minutes=2.0 ** min(tries, 10)))
    if told_s is None:
        return ours
    told_s = min(max(told_s, 0.0), _LONGEST_TOLD.total_seconds())  # what is larger may fit no timedelta
    return timedelta(seconds=told_s)


def secret_fault(secret: str | None) -> str:
    """Return the cause for which a secret signs nothing, "" for one that does."""
    if not secret:
        return SECRET_MISSING
    try:
        keys_of(secret)
    except ValueError:
        return SECRET_WRONG
    return ""


def cause_and_do(kind: TargetKind, cause: str) -> tuple[str, str]:
    """Return why events are not taken, and the next step, as two sentences for people."""
    role = {
        TargetKind.EVENT_GRID: ("the role EventGrid Data Sender", "Give the app's identity that role at the topic"),
        TargetKind.SERVICE_BUS: (
            "the role Azure Service Bus Data Sender", "Give the app's identity that role at the queue or topic"
        ),
        TargetKind.WEBHOOK: (
            "a signature that it accepts", "Compare bc-events-secret in the vault with the receiver's secret"
        ),
    }  # fmt: skip
    lacks, give = role[kind]
    known = {
        "denied": (f"{kind.value} denies access: it misses {lacks}.", f"{give}; what waits then goes by itself."),
        "not_found": (
            f"{kind.value} knows no such address.", "Correct BC_EVENTS_TO, or create what it names."
        ),
        "moved": ("The receiver sent a redirect, which is not followed.", "Set BC_EVENTS_TO to its new address."),
        "full": ("The Service Bus entity is full, or disabled for sending.", "Start its reader, or raise its quota."),
        SECRET_MISSING: (
            "The vault holds no bc-events-secret, without which nothing is sent.",
            "Store whsec_ and the base64 of 32 random bytes there, and give it to the receiver.",
        ),
        SECRET_WRONG: (
            "The secret bc-events-secret in the vault can't be used as a key.",
            "Store one key, or two with a blank between them: whsec_ and the base64 of 24 to 64 bytes each.",
        ),
        NO_TOKEN: ("The app's identity gave no token.", "Check that the Function App has its managed identity."),
        NO_VAULT: ("The vault did not answer.", "Wait; then check KEY_VAULT_URL and the app's access to it."),
        "throttled": (f"{kind.value} asked for a pause.", "Wait; if that goes on, raise its capacity."),
        "unavailable": (f"{kind.value} fails for now.", "Wait; if that goes on, look at its health."),
        NETWORK: (f"{kind.value} does not answer.", "Wait; if that goes on, check DNS, firewall and certificate."),
        "too_large": (
            f"{kind.value} takes no event of this size.",
            "Read it from the queue's claim check or from Business Central, or raise the receiver's limit and redrive.",
        ),
        "blob_gone": (
            "The blob of its claim check is gone, or is not what was stored.",
            "Have the records announced again, or read them from Business Central.",
        ),
        "refused": (
            f"{kind.value} refused the request as malformed.",
            "Check that it takes CloudEvents 1.0 (input schema of the topic), then redrive.",
        ),
    }  # fmt: skip
    return known[cause]
