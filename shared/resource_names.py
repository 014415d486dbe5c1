"""Names that the code, the template in `infra/` and the local stack agree on: queues, tables, container, secrets."""

from typing import Final

QUEUE_PAGES: Final = "bc-pages"
QUEUE_NOTIFICATIONS: Final = "bc-notifications"
QUEUE_ORDERS: Final = "sales-orders"
#: Resumes stored orders. No one but this app writes to it, as sales-orders is others' to write to.
QUEUE_ORDER_RESUMES: Final = "sales-orders-resume"
QUEUE_RESULTS: Final = "sales-order-results"
QUEUE_EVENTS: Final = "bc-events"
#: Events that go to another receiver than the queue; no one but this app writes to it, or reads it.
QUEUE_FORWARD: Final = "bc-events-forward"

#: Queues this app reads; what fails too often the host moves to `<queue>-poison`, which `dead_letter_*` empty.
WORK_QUEUES: Final = (QUEUE_PAGES, QUEUE_NOTIFICATIONS, QUEUE_ORDERS, QUEUE_ORDER_RESUMES, QUEUE_FORWARD)

CONTAINER: Final = "bc-data"

TABLE_SUBSCRIPTIONS: Final = "BcSubscriptions"
TABLE_WATERMARKS: Final = "BcWatermarks"
TABLE_RECORDS: Final = "BcRecords"
TABLE_ORDERS: Final = "BcOrders"
TABLE_CONNECTIONS: Final = "BcConnections"
TABLES: Final = (TABLE_SUBSCRIPTIONS, TABLE_WATERMARKS, TABLE_RECORDS, TABLE_ORDERS, TABLE_CONNECTIONS)

SECRET_TOKEN_CACHE: Final = "bc-token-cache"
SECRET_CLIENT: Final = "bc-client-secret"
SECRET_READER: Final = "bc-reader-secret"
SECRET_WEBHOOK: Final = "bc-webhook-secret"
SECRET_EVENTS: Final = "bc-events-secret"

#: The connection that the flat settings make; what the last release stored is its.
DEFAULT_CONNECTION: Final = "default"


def secret_of(name: str, connection: str) -> str:
    """Return the name of a connection's own secret; `default` has that of the last release."""
    return name if connection == DEFAULT_CONNECTION else f"{name}-{connection}"
