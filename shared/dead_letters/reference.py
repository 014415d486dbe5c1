"""The message that retries or redrives a dead letter of orders or events: it names the letter, which keeps the body.

It travels in a queue that nobody else writes to: `sales-orders-resume`, as on `sales-orders` no member is ours, or
`bc-events-forward`.
"""

import json
from dataclasses import dataclass

from shared.resource_names import DEFAULT_CONNECTION, QUEUE_FORWARD, QUEUE_ORDER_RESUMES


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Names a dead letter; `copy` is how often it had been enqueued again when this message was made."""

    queue: str
    name: str
    copy: int
    connection: str = DEFAULT_CONNECTION  # id

    def to_text(self) -> str:
        """Return the queue message."""
        of = {} if self.connection == DEFAULT_CONNECTION else {"connection": self.connection}
        return json.dumps({"deadLetter": self.name, "queue": self.queue, "redrive": self.copy, **of})


def read_reference(queue: str, body: bytes) -> Reference | None:
    """Return what a message refers to, None when it is no such message or lies in another queue."""
    if queue not in {QUEUE_ORDER_RESUMES, QUEUE_FORWARD}:
        return None
    try:
        members = json.loads(body)
        name, of, copy = members["deadLetter"], members["queue"], members["redrive"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    is_reference = isinstance(name, str) and isinstance(of, str) and isinstance(copy, int) and copy > 0
    return Reference(queue=of, name=name, copy=copy) if is_reference else None
