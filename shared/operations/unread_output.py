"""How long events and results lie unread: a queue forgets a message after seven days, so two are worth a word (P30).

Pure.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shared.operations.findings import Finding, named, warning
from shared.operations.poison_contents import Peeked
from shared.resource_names import QUEUE_EVENTS, QUEUE_RESULTS

#: Queues that others read.
OUTPUTS: Final = (QUEUE_EVENTS, QUEUE_RESULTS)
OLD: Final = timedelta(days=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadView:
    """An output queue that holds something."""

    queue: str
    messages: int  # about
    oldest: datetime | None = None  # of the first messages; None: not looked at, or all of them are in a reader's hands


def unread(queue: str, messages: int, first: Sequence[Peeked]) -> UnreadView:
    """Return how a queue stands, by its first messages: those that came first lie in front."""
    return UnreadView(queue=queue, messages=messages, oldest=min((one.put_at for one in first), default=None))


def is_old(one: UnreadView, now: datetime) -> bool:
    """Return whether somebody should have read it by now."""
    return one.oldest is not None and now - one.oldest >= OLD


def unread_findings(queues: Iterable[UnreadView], now: datetime) -> list[Finding]:
    """Return that messages are about to be forgotten; one finding."""
    old = [one for one in queues if is_old(one, now)]
    if not old:
        return []
    seen = f"Unread for days: {named(f'{one.queue} since {one.oldest:%Y-%m-%d %H:%M} UTC' for one in old)}."
    do = "Start the reader. What is lost by then: ./connect replay sends events again, /api/orders?key= tells results."
    return [warning("queues", "output_old", seen, "Nobody reads it; a queue forgets a message after seven days.", do)]
