"""The message that retries or redrives a dead letter of an order queue: it names the letter, which keeps the body.

It travels in `sales-orders-resume`, as on `sales-orders`, to which others write, no member is ours.
"""

import json
from dataclasses import dataclass

from shared.resource_names import QUEUE_ORDER_RESUMES


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Names a dead letter; `copy` is how often it had been enqueued again when this message was made."""

    queue: str
    name: str
    copy: int

    def to_text(self) -> str:
        """Return the queue message."""
        return json.dumps({"deadLetter": self.name, "queue": self.queue, "redrive": self.copy})


def read_reference(queue: str, body: bytes) -> Reference | None:
    """Return what a message refers to, None when it is no such message or lies in another queue."""
    if queue != QUEUE_ORDER_RESUMES:
        return None
    try:
        members = json.loads(body)
        name, of, copy = members["deadLetter"], members["queue"], members["redrive"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    is_reference = isinstance(name, str) and isinstance(of, str) and isinstance(copy, int) and copy > 0
    return Reference(queue=of, name=name, copy=copy) if is_reference else None
