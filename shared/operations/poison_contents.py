"""Why messages lie in poison queues, by what is in them: how old they are, whether anybody takes them, whose they are.

Pure. The host moves a message there that failed five times; a `dead_letter_*` function keeps it with its reason within
a minute. So one that lies there longer was never taken (the function does not run) or is taken in vain (it fails).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shared.errors import InvalidMessage
from shared.message_text import decode
from shared.operations.findings import Finding, counted, named, note, shortened, wrong
from shared.orders.order_message import sent_key_of
from shared.resource_names import QUEUE_NOTIFICATIONS, QUEUE_ORDER_RESUMES, QUEUE_ORDERS, QUEUE_PAGES

#: Work queue -> the function that empties its poison queue.
KEEPERS: Final = {
    QUEUE_ORDERS: "dead_letter_order", QUEUE_ORDER_RESUMES: "dead_letter_resume",
    QUEUE_NOTIFICATIONS: "dead_letter_notification", QUEUE_PAGES: "dead_letter_page",
}  # fmt: skip
#: So long a message may lie there before its keeper comes: the host looks at least once a minute, a start takes one.
_SOON: Final = timedelta(minutes=2)
_NAMED: Final = 4  # messages told by name


@dataclass(frozen=True, slots=True, kw_only=True)
class Peeked:
    """A message that was looked at and left where it is."""

    message_id: str
    body: bytes
    put_at: datetime
    taken: int  # how often a function was given it


def poison_findings(depths: Mapping[str, int], peek: Mapping[str, Sequence[Peeked]], *, now: datetime) -> list[Finding]:
    """Judge poison queues that hold something: `depths` and the first messages of each; one finding a cause."""
    by_cause: dict[str, list[str]] = {}
    for queue in depths:
        by_cause.setdefault(_cause(peek.get(queue, ()), now), []).append(queue)
    found = []
    for cause, queues in by_cause.items():
        keepers = named(KEEPERS.get(queue.removesuffix("-poison"), "its dead_letter function") for queue in queues)
        found.append(_TOLD[cause](_seen(cause, queues, depths, peek), keepers))
    return found


def _cause(found: Sequence[Peeked], now: datetime) -> str:
    old = [one for one in found if now - one.put_at > _SOON]
    if not found:
        return "unseen"
    return "moving" if not old else "fails" if any(one.taken for one in old) else "idle"


def _seen(cause: str, queues: Sequence[str], depths: Mapping[str, int], peek: Mapping[str, Sequence[Peeked]]) -> str:
    lengths = named(f"{queue} {depths[queue]}" for queue in queues)
    found = [(queue, one) for queue in queues for one in peek.get(queue, ())]
    if not found:
        return f"Messages in poison queues: {lengths}."
    oldest = min(one.put_at for _, one in found)
    whose = named((_whose(queue, one) for queue, one in found), _NAMED)
    taken = max(one.taken for _, one in found)
    tries = {"fails": f", taken up to {counted(taken, 'time')}", "idle": ", never taken"}.get(cause, "")
    return f"Messages in poison queues: {lengths}, the oldest since {oldest:%Y-%m-%d %H:%M} UTC{tries}: {whose}."


def _whose(queue: str, message: Peeked) -> str:
    """Return what a message is about, by names that are no secret: an order's key, or the job."""
    try:
        text = decode(message.body)
    except InvalidMessage:
        return f"message {message.message_id}, which can't be decoded"
    if queue == f"{QUEUE_ORDERS}-poison":
        return f"order {shortened(sent_key_of(text, message.message_id), 60)}"
    try:
        members = json.loads(text)
    except (ValueError, RecursionError):
        members = None
    if not isinstance(members, dict):
        return f"message {message.message_id}, which is no JSON object"
    if queue == f"{QUEUE_ORDER_RESUMES}-poison":
        return f"order {members.get('orderKey', message.message_id)}"
    entity, job = members.get("entity"), members.get("job", message.message_id)
    return f"{members.get('kind') or 'a'} job of {entity}" if isinstance(entity, str) else f"job {job}"


def _moving(seen: str, keepers: str) -> Finding:
    cause = "The host gave up on them a moment ago; the app is just about to keep them as dead letters."
    return note("queues", "poison_moving", seen, cause, f"Look again in a minute; {keepers} comes for them.")


def _fails(seen: str, keepers: str) -> Finding:
    cause = f"{keepers} takes them and fails each time: its settings, its role at the storage account, or the storage."
    do = "Mend what the other findings name. Copy what must not be lost: queue messages end after seven days."
    return wrong("queues", "poison_fails", seen, cause, do)


def _idle(seen: str, keepers: str) -> Finding:
    cause = (
        f"Nobody has taken them: {keepers} is disabled, was not deployed, or the host's queue listener stands still."
    )
    do = "Remove AzureWebJobs.<function>.Disabled, or restart the Function App; then they show as dead letters."
    return wrong("queues", "poison_idle", seen, cause, do)


def _unseen(seen: str, keepers: str) -> Finding:
    cause = f"The host gave up on them, and {keepers} has not come for them yet."
    do = "Look again in two minutes; what still lies there then needs a look by make doctor."
    return wrong("queues", "poison_waits", seen, cause, do)


_TOLD: Final = {"moving": _moving, "fails": _fails, "idle": _idle, "unseen": _unseen}
