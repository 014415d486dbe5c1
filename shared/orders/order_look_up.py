"""The look-up of an order: the documents under its number, whose they are, and how they compare with it.

Which of them is the order is `next_step`'s to say.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from shared.business_central.port import Intent, PostedOrder
from shared.clock import earlier
from shared.connections.context import Context
from shared.errors import BCError, BCRejected, BudgetExhausted, TokenError
from shared.orders import likeness, next_step
from shared.orders.next_step import Candidate, Found
from shared.orders.order_entry import OrderEntry
from shared.orders.order_message import OrderRequest
from shared.orders.order_store import OrderStore

#: Documents whose lines one look-up reads at most: each costs a request, and an order is held for ten minutes.
_MOST_COMPARED: Final = 50


def look_up(ctx: Context, orders: OrderStore, request: OrderRequest, entry: OrderEntry) -> Found:
    """Return what BC has under an order's number and customer, or the fault that kept it from answering."""
    try:
        found = ctx.bc.find_orders(
            entry.company, entry.external_number, customer_number=request.customer_number,
            customer_id=request.customer_id, any_customer=entry.numbering != "shared",
            since=_since(entry, ctx.now()) if entry.in_doubt else None,
            also_posted=entry.in_doubt or entry.numbering == "shared",
            # Only the look-up of an order in doubt asks the primary, where reading an order may modify it (P18).
            intent=Intent.CURRENT if entry.in_doubt else Intent.COMMITTED,
        )  # fmt: skip
        if not entry.in_doubt and entry.numbering == "shared":
            return [Candidate(document) for document in found]  # whatever they are, they were there before
        return list(_candidates(ctx, orders, request, entry, found))
    except (BCError, TokenError, BudgetExhausted) as error:
        return error


def _since(entry: OrderEntry, now: datetime) -> datetime:
    """Return when the newest post can have made a document at the earliest, with a day to spare."""
    return earlier(min(entry.first_at or now, entry.posted_at or now), timedelta(days=1))


def _candidates(
    ctx: Context, orders: OrderStore, request: OrderRequest, entry: OrderEntry, found: list[PostedOrder]
) -> Iterator[Candidate]:
    """Yield what may be the order; the lines of a document are read only when it may and no other key has it."""
    compared = 0
    for document in found:
        if entry.in_doubt and not next_step.may_be_ours(entry, document):
            continue
        claimant = orders.claimant(entry.company, document)
        if claimant not in {"", entry.key}:
            yield Candidate(document, claimed=True)
        elif entry.in_doubt:
            compared += 1
            if compared > _MOST_COMPARED:
                raise BCRejected("too many documents look like this order", code=next_step.TOO_MANY)
            lines = ctx.bc.order_lines(entry.company, document)
            yield Candidate(document, likeness=likeness.likeness(request.order, document, lines))
        else:
            yield Candidate(document)
