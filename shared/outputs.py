"""What a use case sends out: texts for the queues, which the host writes after the function has returned."""

from collections.abc import Iterable
from dataclasses import dataclass, fields

from shared.resource_names import (
    QUEUE_EVENTS,
    QUEUE_FORWARD,
    QUEUE_NOTIFICATIONS,
    QUEUE_ORDER_RESUMES,
    QUEUE_PAGES,
    QUEUE_RESULTS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """Everything one run of a function sends out. The host writes it side by side and in no order."""

    events: tuple[str, ...] = ()  # messages for bc-events, each a JSON array of CloudEvents
    forwards: tuple[str, ...] = ()  # messages for bc-events-forward: events, or the name of some that wait
    pages: tuple[str, ...] = ()  # page jobs for bc-pages
    notifications: tuple[str, ...] = ()  # notification jobs for bc-notifications
    resumes: tuple[str, ...] = ()  # messages for sales-orders-resume
    results: tuple[str, ...] = ()  # messages for sales-order-results

    def by_queue(self) -> dict[str, tuple[str, ...]]:
        """Return queue -> the texts that leave by it."""
        return {
            QUEUE_EVENTS: self.events,
            QUEUE_RESULTS: self.results,
            QUEUE_ORDER_RESUMES: self.resumes,
            QUEUE_FORWARD: self.forwards,
            QUEUE_PAGES: self.pages,
            QUEUE_NOTIFICATIONS: self.notifications,
        }


def together(some: Iterable[Outputs]) -> Outputs:
    """Return what several use cases send out as one: a binding keeps only what it was given last."""
    all_of = list(some)
    names = [field.name for field in fields(Outputs)]
    return Outputs(**{name: tuple(text for one in all_of for text in getattr(one, name)) for name in names})
