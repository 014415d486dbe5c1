"""Sees events in `bc-events` as they come. It peeks: no message is taken, hidden or counted as delivered."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from local.stack.mailbox import MOST_PEEKED, Mailbox
from shared import resource_names

Event = dict[str, Any]

POLL_S: Final = 0.2


@dataclass
class Watch:
    """Looks at one account's events; each is seen once."""

    mailbox: Mailbox
    seen: set[str] = field(default_factory=set)  # ids of messages

    def skip(self) -> int:
        """Count everything that lies there now as seen; return how many messages that is, at most those in front."""
        self.seen.update(found := [message for message, _ in self.mailbox.peek(resource_names.QUEUE_EVENTS)])
        return len(found)

    def new(self) -> list[Event]:
        """Return the events of messages that were not seen before, claim checks opened."""
        events: list[Event] = []
        for message, text in self.mailbox.peek(resource_names.QUEUE_EVENTS):
            if message in self.seen:
                continue
            found = self.mailbox.events_of(text)
            if found is not None:  # else its blob is not right, and it is looked at again
                self.seen.add(message)
                events += found
        return events

    def blocked_by(self) -> int:
        """Return how many messages lie there when that is more than can be seen without taking any, else 0."""
        count = self.mailbox.count(resource_names.QUEUE_EVENTS)
        return count if count >= MOST_PEEKED else 0

    def follow(self, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
        """Yield events as they come, until `stop`."""
        while not stop():
            yield from self.new()
            time.sleep(POLL_S)


def blocked(count: int) -> str:
    """Return the line that says why nothing more can be seen."""
    return (
        f"{count} messages lie unread in bc-events, and a queue shows only the {MOST_PEEKED} in front: newer events "
        "can't be seen until a consumer takes some, or './connect take' does"
    )
