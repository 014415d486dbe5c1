"""What a use case sends out: texts for the queues, which the host writes after the function has returned."""

from collections.abc import Iterable
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """Everything one run of a function sends out. The host writes it side by side and in no order."""

    events: tuple[str, ...] = ()  # messages for bc-events, each a JSON array of CloudEvents
    forwards: tuple[str, ...] = ()  # messages for bc-events-forward: events, or the name of some that wait
    pages: tuple[str, ...] = ()  # page jobs for bc-pages
    notifications: tuple[str, ...] = ()  # notification jobs for bc-notifications
    resumes: tuple[str, ...] = ()  # messages for sales-orders-resume
    results: tuple[str, ...] = ()  # messages for sales-order-results


def together(some: Iterable[Outputs]) -> Outputs:
    """Return what several use cases send out as one: a binding keeps only what it was given last."""
    all_of = list(some)
    names = [field.name for field in fields(Outputs)]
    return Outputs(**{name: tuple(text for one in all_of for text in getattr(one, name)) for name in names})
