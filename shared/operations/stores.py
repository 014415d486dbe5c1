"""Every store of one connection in one place: what `services` builds, and status, doctor and connect page look at."""

from dataclasses import dataclass
from typing import Protocol

from shared.changes.change_stores import ChangeStores, ClaimChecks
from shared.changes.run_progress import RunStore
from shared.changes.streams import StreamStore
from shared.dead_letters.dead_letter_store import DeadLetterStore
from shared.forwarding.forward import Blobs
from shared.forwarding.waiting_batches import WaitingBatches
from shared.operations.timer_store import TimerStore
from shared.orders.order_book import OrderBook
from shared.orders.order_store import OrderStore
from shared.resource_names import DEFAULT_CONNECTION, TABLE_ORDERS, TABLE_RECORDS, TABLE_SUBSCRIPTIONS, TABLE_WATERMARKS
from shared.storage.table import Tables
from shared.webhooks.notes import WebhookNoteStore


class EventBlobs(ClaimChecks, Blobs, Protocol):
    """The blobs of large batches, written and read."""


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


def stores_of(
    tables: Tables,
    claim_checks: EventBlobs,
    state: str,
    *,
    threads: int = 1,
    connection: str = DEFAULT_CONNECTION,
    beat_s: float | None = None,
) -> Stores:
    """Build the stores of one connection; `state` begins the keys of its partitions, `connection` is its id."""
    watermarks = tables.table(TABLE_WATERMARKS)
    return Stores(
        changes=ChangeStores(
            streams=StreamStore(watermarks, state),
            runs=RunStore(watermarks, state),
            records=tables.table(TABLE_RECORDS),
            claim_checks=claim_checks,
            connection=state,
            threads=threads,
            beat_s=beat_s,
        ),
        orders=OrderStore(tables.table(TABLE_ORDERS), state, connection),
        book=OrderBook(claim_checks, state),
        notes=WebhookNoteStore(tables.table(TABLE_SUBSCRIPTIONS), state),
        dead_letters=DeadLetterStore(watermarks, state, connection),
        timers=TimerStore(watermarks, state),
        batches=WaitingBatches(watermarks, state),
    )
