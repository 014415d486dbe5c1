"""Which kill comes next: kinds, functions and moments, drawn by the seed so that none is left out.

Pure: knows neither host nor clock. `host_watch` and the soak carry kills out.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final, Literal

type Kind = Literal["worker", "host", "both", "scale-in", "third death"]

#: Worker alone; host alone (its worker ends when it finds out); both at once; calls aborted after 1 to 3 s; a worker
#: that dies again and again until its host gives up.
KINDS: Final[tuple[Kind, ...]] = ("worker", "host", "both", "scale-in", "third death")
#: Functions that are killed, and how often at most they get to a point before it.
FUNCTIONS: Final = {
    "read_page": 4, "process_notifications": 4, "submit_sales_order": 4, "bc_notifications": 4,
    "resume_sales_order": 1, "pull_items": 1, "reconcile": 1, "keep_subscriptions": 1, "retry_sales_orders": 1,
    "dead_letter_page": 1, "dead_letter_notification": 1, "dead_letter_order": 1, "dead_letter_resume": 1,
}  # fmt: skip
#: Dead-letter function -> the function whose messages it gets once they have met too many deaths.
FEEDERS: Final = {
    "dead_letter_page": "read_page", "dead_letter_notification": "process_notifications",
    "dead_letter_order": "submit_sales_order", "dead_letter_resume": "resume_sales_order",
}  # fmt: skip
_POINTS: Final[dict[Kind, tuple[str, ...]]] = {
    "host": ("before-call", "after-call", "between-outputs", "after-outputs"),
    "worker": ("worker-before-call", "worker-after-call"),
}
_ONE_WRITE: Final = (*FEEDERS, *FEEDERS.values())  # these rarely, or never, write twice
_POINTED: Final = 0.5  # share of kills of a host that is about to be started at such a point
#: What was put back to work is put back again 15 to 30 minutes later when its message is lost.
SLOW: Final = "retry_sales_orders"


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill: of what, in which function ("": whatever runs), at which point ("": in the middle, from outside)."""

    kind: Kind
    function: str = ""
    point: str = ""
    count: int = 1  # the N-th time that the function gets to the point
    to_poison: str = ""  # dead-letter function that gets the message of this call, as if it was the fifth death

    @property
    def variable(self) -> str:
        """What LOCAL_HOST_KILL_AT takes."""
        return f"{self.function}:{self.point}:{self.count}" if self.point else ""

    def __str__(self) -> str:
        where = f"{self.function}:{self.point or 'during'}" if self.function else "at random"
        return f"{self.kind} {where}"


class Deck:
    """Draws kills: every kind and every function once a round, in another order each time."""

    def __init__(self, rolls: random.Random) -> None:
        """Take the dice."""
        self._rolls = rolls
        self._kinds: list[Kind] = []
        self._functions: list[str] = []
        self._next: Kill | None = None

    def draw(self, *, at_start: bool, is_sparing: bool, is_late: bool) -> Kill:
        """Return the next kill.

        `at_start`: a host is about to be started and can be told a point. `is_sparing`: nothing that takes minutes to
        recover from. `is_late`: nothing that takes half an hour.
        """
        if self._next is not None and not is_sparing:
            kill, self._next = self._next, None
            return kill
        kind = self._draw_kind()
        if is_sparing:
            return self._sparing(kind, at_start=at_start)
        function = self._draw_function()
        if function == SLOW and is_late and not (at_start and kind in _POINTS):
            self._functions.insert(0, function)
            function = ""
        if function in FEEDERS:
            self._next = Kill(kind, function)
            return Kill(self._rolls.choice(("host", "both")), FEEDERS[function], to_poison=function)
        return self._at(kind, function, at_start=at_start, is_late=is_late)

    def _draw_kind(self) -> Kind:
        if not self._kinds:
            self._kinds = list(KINDS)
            self._rolls.shuffle(self._kinds)
        return self._kinds.pop()

    def _draw_function(self) -> str:
        if not self._functions:
            self._functions = [*FUNCTIONS, "", ""]
            self._rolls.shuffle(self._functions)
        return self._functions.pop()

    def _at(self, kind: Kind, function: str, *, at_start: bool, is_late: bool) -> Kill:
        points = _POINTS.get(kind, ())
        if function in _ONE_WRITE:
            points = tuple(point for point in points if point != "between-outputs")
        if function == SLOW and is_late:
            points = tuple(point for point in points if point.endswith("before-call"))
        if function and at_start and points and (function == SLOW or self._rolls.random() < _POINTED):
            return Kill(kind, function, self._rolls.choice(points), self._rolls.randint(1, FUNCTIONS[function]))
        return Kill(kind, function)

    def _sparing(self, kind: Kind, *, at_start: bool) -> Kill:
        """Return a kill that leaves no order and no plan in doubt: at a moment when there are none, or at a point."""
        points = tuple(point for point in _POINTS.get(kind, ()) if point != "between-outputs")
        if at_start and points and self._rolls.random() < _POINTED:
            return Kill(kind, "submit_sales_order", self._rolls.choice(points))
        return Kill(kind)
