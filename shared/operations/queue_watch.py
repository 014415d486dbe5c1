"""Says in the log, for the alerts, when messages lie in a queue for too long: events, results, poison messages (P30).

A look costs a request a queue, so it is taken four times an hour, by the clock: no process has to remember the last.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from shared.errors import StoreUnavailable
from shared.log import log_event
from shared.operations.poison_contents import Peeked
from shared.operations.time_limit import TookTooLong, within
from shared.operations.unread_output import OLD, OUTPUTS, unread
from shared.resource_names import WORK_QUEUES

log: Final = logging.getLogger(__name__)

#: A poison queue is emptied within minutes; what lies there longer, nobody empties.
POISON_OLD: Final = timedelta(minutes=15)
#: Minutes of the hour, in remainders of fifteen, in which it is looked: the alerts look every quarter of an hour.
_EVERY_MIN: Final = 15
_AT_MIN: Final = 7
_LIMIT_S: Final = 10.0
#: Queue -> how long a message may lie in it.
WATCHED: Final = {**dict.fromkeys(OUTPUTS, OLD), **dict.fromkeys((f"{one}-poison" for one in WORK_QUEUES), POISON_OLD)}


def look(depth: Callable[[str], int | None], peek: Callable[[str], Sequence[Peeked]], now: datetime) -> None:
    """Log each queue whose oldest message is too old, if it is time to look; never an error."""
    if now.minute % _EVERY_MIN != _AT_MIN:
        return
    try:
        found = within(_LIMIT_S, lambda: [unread(one, held, peek(one)) for one in WATCHED if (held := depth(one))])
    except (StoreUnavailable, TookTooLong) as error:
        log_event(log, "bc.failed", level=logging.WARNING, error=type(error).__name__, reason=str(error))
        return
    for one in found:
        if one.oldest is not None and now - one.oldest >= WATCHED[one.queue]:
            log_event(log, "queue.unread", level=logging.ERROR, queue=one.queue, count=one.messages, last_at=one.oldest)
