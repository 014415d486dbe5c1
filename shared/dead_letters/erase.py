"""Erasure by order key: what the orders of a key held, and the dead letters that bear it (P31).

An order that ended keeps what stops a second post. One that is under way is left alone: it could not go on.
"""

import logging
from dataclasses import dataclass
from typing import Final

from shared.business_central.code_text import code_of
from shared.connections.context import Context
from shared.dead_letters import redrive
from shared.dead_letters.dead_letter_store import DeadLetterStore
from shared.log import log_event
from shared.orders.order_store import OrderStore

log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What was found under a key, and erased."""

    key: str
    connection: str
    orders: int  # erased now or before
    under_way: int  # not erased: they wait or are being posted
    dead_letters: int

    @property
    def found(self) -> bool:
        """Whether anything bears the key."""
        return bool(self.orders or self.under_way or self.dead_letters)


def erase(ctx: Context, orders: OrderStore, letters: DeadLetterStore, key: str) -> Erased:
    """Forget what orders of a key held, in whatever company, and its dead letters.

    Raises:
        StoreUnavailable: the tables did not answer; the same call goes on.
    """
    entries = orders.find(code_of(key))
    ended = [entry for entry in entries if entry.is_over and (not entry.has_contents or orders.erase(entry))]
    named = redrive.find(letters, key, ctx.now(), of_orders=True)
    for letter in named:
        letters.erase(letter)
    letters.erase_done(lambda letter: redrive.is_of_key(letter, key), redrive.ORDER_QUEUES)
    erased = Erased(
        key=key,
        connection=orders.connection,
        orders=len(ended),
        under_way=len(entries) - len(ended),
        dead_letters=len(named),
    )
    if erased.found:
        log_event(log, "order.erased", order_key=key, count=erased.orders + erased.dead_letters)
    return erased
