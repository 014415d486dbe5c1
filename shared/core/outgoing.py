"""What a use case wants to leave the app: values that the trigger hands to its output bindings."""

from dataclasses import dataclass

from shared.core.jobs import NotificationJob, PageJob


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """Everything one run of a function sends out. The host writes it after the function has returned."""

    events: tuple[str, ...] = ()  # messages for bc-events, each a JSON array of CloudEvents
    blob: bytes | None = None  # NDJSON for `bc-data/<job>.ndjson`
    pages: tuple[PageJob, ...] = ()
    notifications: tuple[NotificationJob, ...] = ()
    orders: tuple[str, ...] = ()  # messages for sales-orders
    results: tuple[str, ...] = ()  # messages for sales-order-results
