"""What a use case sends out: texts for the queues, which the host writes after the function has returned."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """Everything one run of a function sends out. The host writes it side by side and in no order."""

    events: tuple[str, ...] = ()  # messages for bc-events, each a JSON array of CloudEvents
    forwards: tuple[str, ...] = ()  # messages for bc-events-forward: events, or the name of some that wait
    pages: tuple[str, ...] = ()  # page jobs for bc-pages
    notifications: tuple[str, ...] = ()  # notification jobs for bc-notifications
    resumes: tuple[str, ...] = ()  # messages for sales-orders-resume
    results: tuple[str, ...] = ()  # messages for sales-order-results
