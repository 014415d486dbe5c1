"""What happens at a point of the app's code: it dies, waits, finds storage gone, or others work meanwhile."""

import random
from collections import Counter
from collections.abc import Callable
from typing import Final

from tests.simulation.plan import Plan
from tests.simulation.weather import Weather
from tests.simulation.world import Crash, World

_MOST_NESTED: Final = 3
#: How long a worker sleeps: shorter and longer than the host hides its message, an order's lease and a late commit.
_STALLS_S: Final = (20.0, 120.0, 240.0, 900.0, 2400.0)
#: A known limit (README): a post that leaves when its process wakes again, after the last look at the clock. Nobody
#: sleeps while one waits there, either: the clock is the same for all.
_NEVER_FROZEN: Final = "before POST salesOrders"


class Workers:
    """The hook of a run; off until `on` is set."""

    def __init__(self, world: World, weather: Weather, plan: Plan, rolls: random.Random, counts: Counter[str]) -> None:
        """Take what may happen how often; other work is given by `meanwhile`."""
        self._world = world
        self._weather = weather
        self._plan = plan
        self._rolls = rolls
        self._counts = counts
        self._waiting: list[str] = []  # where those wait meanwhile whom others have interrupted
        self.on = False
        self.crash_at = ""  # a point at which the next worker dies, whatever the chances
        self.crashed_at: Counter[str] = Counter()
        self.meanwhile: list[Callable[[], object]] = []

    def at(self, point: str) -> None:
        """Roll what happens here."""
        if not self.on:
            return
        is_spared = not self._plan.overtaken_die and self._is_overtaken()
        roll = 1.0 if is_spared else self._rolls.random()
        if roll < self._plan.crash_p or (self.crash_at and point == self.crash_at):
            self.crash_at = ""
            self._counts["crash"] += 1
            self.crashed_at[point] += 1
            self._world.note(f"CRASH at {point}")
            whole = self._world.is_nested and self._rolls.random() < 0.3
            self._counts["whole host"] += whole
            raise Crash(point, whole=whole)
        if roll < 1.0:
            self._weather.strike(point)
        if len(self._waiting) >= _MOST_NESTED or self._world.sending:
            return
        if self._rolls.random() < self._plan.stall_p and _NEVER_FROZEN not in {point, *self._waiting}:
            self._stall(point)
        elif self._rolls.random() < self._plan.nest_p:
            self._others(point)

    def read(self, point: str) -> None:
        """Roll whether storage answers a read."""
        if self.on:
            self._weather.strike(point)

    def _is_overtaken(self) -> bool:
        """Say whether another worker took this one's message.

        Such a worker lives on unless the plan says otherwise. If it claims something after the other one has finished
        the message, and then dies before its output, nobody comes back for the claim: two rare faults within a second.
        """
        return bool(self._world.at_work) and self._world.is_overtaken(self._world.at_work[-1][1])

    def _stall(self, point: str) -> None:
        """The worker sleeps, its lease is lost, and others take its message."""
        self._counts["stall"] += 1
        self._world.note(f"stall at {point}")
        self._world.clock.advance(self._rolls.choice(_STALLS_S))
        for queue, message in self._world.at_work:
            self._world.queues.show(queue, message, self._world.clock.now())
            self._world.doubt(message)
        self._others(point)

    def _others(self, point: str) -> None:
        self._counts["interleaved"] += 1
        self._waiting.append(point)
        self._world.note(f"others work at {point}")
        try:
            for _ in range(self._rolls.randint(1, 3)):
                self._rolls.choice(self.meanwhile)()
        finally:
            self._waiting.pop()
            self._world.note(f"back to {point}")
