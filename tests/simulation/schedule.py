"""When the timers of the default schedules fire."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

#: Name -> (minutes between two runs, minutes past the hour of the first).
SCHEDULES: Final = {
    "retry_sales_orders": (1, 0),
    "pull_items": (15, 0),
    "keep_subscriptions": (15, 0),
    "reconcile": (15, 7),
}


@dataclass(slots=True)
class Schedule:
    """Remembers when each timer is due next; runs that were missed are made up for by one."""

    _next: dict[str, datetime] = field(default_factory=dict)

    def due(self, now: datetime) -> list[str]:
        """Return the timers to run now and plan their next runs."""
        found = [name for name in SCHEDULES if self._next.get(name, now) <= now]
        for name in found:
            self._next[name] = _after(name, now)
        return found


def _after(name: str, now: datetime) -> datetime:
    every, past = SCHEDULES[name]
    hour = now.replace(minute=0, second=0, microsecond=0)
    minutes = (now - hour).total_seconds() / 60
    steps = (minutes - past) // every + 1
    return hour + timedelta(minutes=past + steps * every)
