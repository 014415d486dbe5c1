"""Brings orders back from the order book after their table was lost, so that none is posted a second time (P31).

It adds what is missing and changes nothing that is there. What may have happened after the book was written is in
doubt: orders that were under way or stopped are looked up before they are posted, and so is a key that is not in the
book, for two weeks.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Final

from shared.concurrency import at_once
from shared.connections.context import Context
from shared.errors import InvalidMessage
from shared.orders.order_book import ORDER, Edition, OrderBook, kind_of
from shared.orders.order_entry import OrderEntry
from shared.orders.order_rows import entry_of
from shared.orders.order_store import OrderStore
from shared.storage.table import Row

#: The console waits for a minute, Azure for 230 s; after this no further part is begun.
_LIMIT: Final = timedelta(seconds=30)
#: Orders that were under way are looked up a little later, once the import is through.
_RESUME_AFTER: Final = timedelta(minutes=15)
_BESIDE: Final = frozenset({"claim", "hold", "stop"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What one call has brought back."""

    day: str  # ISO 8601
    added: int  # orders that were missing
    there: int  # orders that were not
    next: str  # the part to go on with, "" at the end


def bring_back(ctx: Context, orders: OrderStore, book: OrderBook, day: str, part: str = "") -> Imported:
    """Add the orders of a day's book that are missing, in the time that a call has; go on with `part`.

    Raises:
        InvalidMessage: no such book, or a part that is none.
        StoreUnavailable: storage did not answer; what was added stays, and the same call goes on.
    """
    edition, ends = _edition(book, day, ctx.now().date()), ctx.now() + _LIMIT
    if not part:
        orders.upkeep.note_restored(edition.began_at, ctx.now())
    added, there, name = 0, 0, part or edition.last
    while name and ctx.now() < ends:
        read = book.part(name)
        for row in read.rows:
            if kind_of(row) in _BESIDE:
                orders.add(row)  # before their orders: a dismissal is in the row beside the order
        outcomes = at_once(
            lambda row: orders.restore(_in_doubt(entry_of(row), edition, ctx.now())),
            [row for row in read.rows if _is_order(row)], ctx.threads,
        )  # fmt: skip
        added, there, name = added + sum(outcomes), there + outcomes.count(False), read.before
    return Imported(day=edition.day.isoformat(), added=added, there=there, next=name)


def books(ctx: Context, book: OrderBook) -> dict[str, list[dict[str, str | int]]]:
    """Return which books there are, the newest first, each by day with its number of orders."""
    there = book.editions(ctx.now().date())
    return {"books": [{"day": one.day.isoformat(), "orders": one.orders} for one in there]}


def _is_order(row: Row) -> bool:
    return kind_of(row) == ORDER


def _edition(book: OrderBook, day: str, today: date) -> Edition:
    try:
        found = book.of_day(date.fromisoformat(day))
    except ValueError:
        found = None
    if found is not None:
        return found
    there = [f"{one.day} with {one.orders} orders" for one in book.editions(today)]
    raise InvalidMessage([f"day: must be that of an order book: {', '.join(there) or 'there is none'}"])


def _in_doubt(entry: OrderEntry, edition: Edition, now: datetime) -> OrderEntry:
    """Return an order as it comes back: what is not known to be in BC may have been posted since the book was begun."""
    if entry.status == "created":
        return entry
    entry = replace(entry, unknown=True, posted_at=entry.posted_at or edition.began_at, worker="", lease_until=None)
    return entry if entry.is_over else replace(entry, status="waiting", next_try_at=now + _RESUME_AFTER)
