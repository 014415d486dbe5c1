"""Storage queues as the Functions host uses them: at least once, hidden while worked on, poison after five tries."""

import itertools
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

MAX_DELIVERIES: Final = 5
RETRY_AFTER: Final = timedelta(seconds=30)  # visibilityTimeout of host.json
LEASE: Final = timedelta(minutes=10)  # how long the host hides a message it has handed to a worker


@dataclass(slots=True, eq=False)
class Message:
    """One message; `visible_at` moves when it is handed out, fails, or its worker dies."""

    message_id: str
    body: str
    visible_at: datetime
    deliveries: int = 0


@dataclass(slots=True)
class Queues:
    """All queues of one storage account."""

    names: dict[str, deque[Message]] = field(default_factory=dict)
    _ids: "itertools.count[int]" = field(default_factory=itertools.count)

    def put(self, queue: str, body: str, now: datetime) -> str:
        """Add a message and return its id."""
        message_id = f"message-{next(self._ids):08d}"
        self.names.setdefault(queue, deque()).append(Message(message_id, body, now))
        return message_id

    def take(self, queue: str, now: datetime) -> Message | None:
        """Hand out the first visible message and hide it."""
        for message in self.names.get(queue, ()):
            if message.visible_at <= now:
                message.visible_at = now + LEASE
                message.deliveries += 1
                return message
        return None

    def done(self, queue: str, message: Message) -> bool:
        """Delete a message that was worked off; False when another worker was faster."""
        held = self.names[queue]
        if message not in held:
            return False
        held.remove(message)
        return True

    def failed(self, queue: str, message: Message, now: datetime) -> None:
        """Show the message again, or move it to the poison queue."""
        if message.deliveries >= MAX_DELIVERIES and not queue.endswith("-poison"):
            self.done(queue, message)
            self.put(f"{queue}-poison", message.body, now)
        elif not queue.endswith("-poison"):
            message.visible_at = now + RETRY_AFTER

    def show(self, queue: str, message: Message, now: datetime) -> None:
        """Show a message again although its worker is still at it: a lease that could not be renewed in time."""
        if message in self.names.get(queue, ()):
            message.visible_at = now

    def waiting(self, queue: str) -> int:
        """Return how many messages the queue holds, visible or not."""
        return len(self.names.get(queue, ()))
