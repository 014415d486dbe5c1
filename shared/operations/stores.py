"""Every store of one connection in one place, for what people see: status, doctor, connect page."""

from dataclasses import dataclass

from shared.changes.change_stores import ChangeStores
from shared.dead_letters.dead_letter_store import DeadLetterStore
from shared.forwarding.waiting_batches import WaitingBatches
from shared.operations.timer_store import TimerStore
from shared.orders.order_book import OrderBook
from shared.orders.order_store import OrderStore
from shared.webhooks.notes import WebhookNoteStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """The stores. Safe to share between threads."""

    changes: ChangeStores
    orders: OrderStore
    book: OrderBook
    notes: WebhookNoteStore
    dead_letters: DeadLetterStore
    timers: TimerStore
    batches: WaitingBatches
