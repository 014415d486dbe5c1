"""Every store of one connection in one place, for what people see: status, doctor, connect page."""

from dataclasses import dataclass

from shared.changes.change_stores import ChangeStores
from shared.dead_letters.dead_letter_store import ParkedBook
from shared.orders.order_store import OrderBook
from shared.webhooks.notes import WebhookBook


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """The stores. Safe to share between threads."""

    changes: ChangeStores
    orders: OrderBook
    notes: WebhookBook
    dead_letters: ParkedBook
