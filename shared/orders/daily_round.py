"""The daily round over all orders: contents whose time is over go, and the order book is written (P31).

Each run of a timer does some hundred rows, so that nothing waits for it; a round of many orders takes hours, and the
next begins on the next day. What a crash leaves behind is a part that no book names.
"""

import logging
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from shared.connections.context import Context
from shared.errors import IntegrationError
from shared.log import log_event
from shared.orders.order_book import ORDER, Edition, OrderBook, kind_of
from shared.orders.order_contents import is_past
from shared.orders.order_rows import entry_of
from shared.orders.order_store import OrderStore
from shared.orders.upkeep_notes import Round
from shared.storage.table import Row

log: Final = logging.getLogger(__name__)

#: Rows of one run: one query, one blob, and as many writes as contents go.
BATCH: Final = 500
#: Orders stay, so a book with a smaller share of the orders of the one before tells of a lost table.
_LEAST_SHARE: Final = 0.9


def go_on(ctx: Context, orders: OrderStore, book: OrderBook) -> None:
    """Do a piece of the round; never an error, as the timer has more to do, and the next run tries again."""
    try:
        held = orders.upkeep.begin(ctx.now())
        if held is not None:
            _piece(ctx, orders, book, held)
    except IntegrationError as error:
        log_event(log, "bc.failed", level=logging.WARNING, error=type(error).__name__, reason=str(error))


def _piece(ctx: Context, orders: OrderStore, book: OrderBook, held: Round) -> None:
    rows = orders.page(held.behind, BATCH)
    done = replace(
        held,
        behind=rows[-1].key if rows else held.behind,
        part=book.write_part([orders.for_the_book(row) for row in rows], held.part),
        orders=held.orders + sum(kind_of(row) == ORDER for row in rows),
        erased=held.erased + _erase_past(orders, rows, ctx.now(), timedelta(days=ctx.settings.keep_orders_days)),
        is_done=len(rows) < BATCH,
    )
    if done.is_done:
        edition = Edition(day=done.day, began_at=done.began_at, last=done.part, orders=done.orders)
        _compare(book, edition)
        book.publish(edition)
    if orders.upkeep.save(done) and done.is_done:
        log_event(log, "orders.kept", count=done.orders, skipped=done.erased)


def _erase_past(orders: OrderStore, rows: list[Row], now: datetime, keep: timedelta) -> int:
    entries = [entry_of(row) for row in rows if kind_of(row) == ORDER]
    past = [entry for entry in entries if entry.has_contents and is_past(entry, now, keep)]
    return sum([orders.erase(entry) for entry in past])


def _compare(book: OrderBook, edition: Edition) -> None:
    before = next(book.editions(edition.day), None)
    if before is not None and edition.orders < before.orders * _LEAST_SHARE:
        reason = f"the order book of {before.day} holds {before.orders} orders, the table {edition.orders}"
        log_event(log, "orders.lost", level=logging.ERROR, count=before.orders - edition.orders, reason=reason)
