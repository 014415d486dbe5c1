"""One seeded run: a life with trouble, then quiet, then the judgement."""

import contextlib
import logging
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Final

from business_central_emulator.data.clock import DEFAULT_START

from shared.dead_letters import redrive
from shared.errors import IntegrationError
from shared.orders import resume
from tests.simulation import checker
from tests.simulation.checker import Verdict
from tests.simulation.history import Watch
from tests.simulation.old_release import OldRelease
from tests.simulation.oracle import Oracle
from tests.simulation.people import People
from tests.simulation.plan import Plan
from tests.simulation.recorder import Recorder
from tests.simulation.senders import Senders
from tests.simulation.telling import Telling
from tests.simulation.weather import Weather
from tests.simulation.workers import Workers
from tests.simulation.world import ENV, World

#: Quiet after the last fault in which everything that waits by itself must have come in.
HEALING: Final = timedelta(minutes=75)
#: Then a person puts back what has been given up.
AFTER_HANDS: Final = timedelta(minutes=45)
#: Then the app stands still for a day, so that the daily compare is due.
STANDSTILL: Final = timedelta(hours=25)
#: And goes on until what only two looks at replicas call gone has been looked for twice.
SECOND_LOOK: Final = timedelta(hours=2)
_STEP: Final = timedelta(seconds=150)
_HEALTH_EVERY: Final = timedelta(minutes=5)


@dataclass(slots=True)
class Outcome:
    """What came of one run."""

    plan: Plan
    findings: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)  # faults by kind as they struck
    crashed_at: Counter[str] = field(default_factory=Counter)
    checked: Counter[str] = field(default_factory=Counter)
    results: Counter[str] = field(default_factory=Counter)
    events: int = 0
    valid: int = 0  # of the events, by the schemas published for them
    messages: int = 0
    repeated: int = 0
    virtual: timedelta = timedelta(0)
    excused: int = 0  # versions that no run may be blamed for missing
    facts: int = 0  # of its history, all judged
    delays: Mapping[str, tuple[timedelta, ...]] = field(default_factory=dict)  # after the last fault, by obligation
    log: list[str] = field(default_factory=list)


class _Lines(logging.Handler):
    """Puts the app's own log between the events of a replayed run."""

    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__()
        self._note = note

    def emit(self, record: logging.LogRecord) -> None:
        """Take one line."""
        self._note(f"app: {record.getMessage()}")


class Run:
    """All parts of one run."""

    def __init__(self, plan: Plan, *, verbose: bool = False) -> None:
        """Build the world of a plan."""
        self.plan = plan
        self.outcome = Outcome(plan)
        rolls = random.Random(plan.seed)
        self._rolls = rolls
        names = plan.company_names
        self.world = World(
            seed=plan.seed, env={"BC_COMPANIES": names, **plan.env}, demo_data=False, page_rows=plan.page_rows
        )
        self._handler = _Lines(self._note) if verbose else None
        if verbose:
            self.world.note = self._note
        bc = self.world.bc
        self.companies = list(bc.environment.companies.values())[: plan.companies]
        with_customers = "customers" in plan.env.get("BC_ENTITIES", "")
        self.people = People(bc, rolls, self.companies, changes_customers=with_customers)
        self.recorder = Recorder(self.world)
        self.senders = Senders(self.world, rolls, self.companies, self.recorder)
        self.telling = Telling(self.world)
        self.weather = Weather(self.world, self.people, rolls, self.outcome.counts)
        self.workers = Workers(self.world, self.weather, plan, rolls, self.outcome.counts)
        self.oracle = Oracle(self.world, self.telling, self.people, self.senders, self.companies)
        self.oracle.was_lagging = partial(checker.was_lagging, self.recorder.lags)
        self.world.point = self.workers.at
        self.world.reading = self.workers.read
        self.world.looks = True
        self._old: OldRelease | None = None
        if plan.kind == "rollout":  # half an hour both releases are at work, half an hour this one, and again
            self._old = OldRelease(self.world, {**ENV, "BC_COMPANIES": names, **plan.env}, random.Random(plan.seed))
            self._old.alternate(0.5, plan.life)
            self.senders.is_plain = True
        self.world.raised = []
        self.workers.meanwhile = [self._some_work, self._some_work, self._some_work, self.world.deliver_webhooks,
                                  self._people_act, self._look]  # fmt: skip
        self.weather.renames = self.senders.rename
        self.weather.lags = self.recorder.lagging
        self.people.numbered, self.people.disturb = self.senders.numbered, self.senders.disturb
        self.people.is_told = self._is_told
        bc.webhooks.max_entries = plan.collection_at
        bc.latency.base_s = plan.latency_s
        self._actions = plan.actions
        self._orders = plan.orders
        self._by_hand: Counter[str] = Counter()
        self._health_at = self.world.clock.now()

    def play(self) -> Outcome:
        """Run it and judge it."""
        app = logging.getLogger("shared")
        if self._handler is None:
            return self._play()
        app.addHandler(self._handler)
        app.setLevel(logging.INFO)
        try:
            return self._play()
        finally:
            app.removeHandler(self._handler)

    def _play(self) -> Outcome:
        world = self.world
        self.people.settle_in()
        world.clock.advance(timedelta(minutes=self._rolls.uniform(1, 59)))  # runs do not all begin on the hour
        world.start()
        world.clock.advance(1)
        self.oracle.watch_begins()
        self.recorder.watch_began()
        begins = world.clock.now()
        self.weather.plan(self.plan, begins)
        self.workers.on = not self.plan.is_calm
        self._live()
        self._heal()
        self._hands()
        world.clock.advance(STANDSTILL)
        self._pass(SECOND_LOOK)
        trouble = self.outcome.counts["crash"] + self.outcome.counts["stall"] + self.outcome.counts["storage fault"]
        self.oracle.judge(may_repeat=trouble > 0, by_hand=self._by_hand)
        for key in self.senders.every_key():
            self.recorder.look(key)
        return self._finish(checker.judge(self.recorder.facts(), self._watch()))

    def _watch(self) -> Watch:
        watched = self.world.watched
        posting = frozenset(entity.name for entity in watched if entity.posts)
        names = frozenset(entity.name for entity in watched)
        return Watch(entities=names, posting=posting, changes=self.world.settings.changes)

    def _live(self) -> None:
        world, plan = self.world, self.plan
        start = world.clock.now()
        end = start + plan.life
        self.people.is_announced = lambda record: self._told("created", record)
        slow = plan.kind in {"month", "outage", "compare"}
        while world.clock.now() < end:
            left = (end - world.clock.now()) / plan.life
            busy = self._actions > plan.actions * left or self._orders > plan.orders * left
            step_s = self._rolls.uniform(5, 90) if busy else self._rolls.uniform(30, 900 if slow else 120)
            world.clock.advance(step_s)
            self.weather.change()
            if self._actions > 0 and self._actions > plan.actions * left:
                self._people_act()
            if self._orders > 0 and self._orders > plan.orders * left:
                self._orders -= 1
                self.senders.send()
            self._tick()
            if self._rolls.random() < 0.2:
                self._look()
        while self._orders > 0:
            self._orders -= 1
            self.senders.send()
        self._tick()

    def _tick(self) -> None:
        if self.world.works:
            self.world.tick()
            self._ask_health()
        else:
            self.world.deliver_webhooks()

    def _heal(self) -> None:
        """End all trouble and let time do the rest."""
        self.world.note("healing begins")
        self.weather.clear()
        self.workers.on = False
        self.world.webhooks_answer = self.world.works = True
        self.recorder.healed()
        self._pass(HEALING)

    def _hands(self) -> None:
        """Let a person put back what was given up."""
        world = self.world
        self.telling.read()
        for message in world.stores.dead_letters.all(1000):
            outgoing = redrive.redrive(world.ctx, world.stores.dead_letters, message.queue, message.name)
            if outgoing is not None:
                self.outcome.counts["redriven by hand"] += 1
                world.leave(outgoing)
        for key in dict.fromkeys(sent.key for sent in self.senders.sent):
            results = self.telling.results.get(key)
            if results and results[-1]["status"] == "parked":
                self.outcome.counts["redriven by hand"] += 1
                self._by_hand[key] += 1
                self.recorder.put_back(key)
                world.leave(resume.redrive(world.stores.orders, key)[1])
        self._pass(AFTER_HANDS)

    def _pass(self, span: timedelta) -> None:
        """Let time pass: all timers that still run, webhooks, queues, and a health call every ten minutes."""
        end = self.world.clock.now() + span
        while self.world.clock.now() < end:
            self.world.run_for(_STEP, every=_STEP)
            self._ask_health()

    def _ask_health(self) -> None:
        now = self.world.clock.now()
        if now >= self._health_at:
            self._health_at = now + _HEALTH_EVERY
            with contextlib.suppress(IntegrationError):  # its queue did not take what it sent for
                self.world.ask_health()

    def _look(self) -> None:
        """Somebody asks what became of an order."""
        keys = self.senders.every_key()
        if keys:
            with contextlib.suppress(IntegrationError):
                self.recorder.look(self._rolls.choice(keys))

    def _finish(self, verdict: Verdict) -> Outcome:
        outcome = self.outcome
        outcome.findings = [*self.oracle.findings, *verdict.findings]
        outcome.delays, outcome.facts, outcome.excused = verdict.delays, verdict.facts, verdict.excused
        outcome.checked = self.oracle.checked
        outcome.results = self.oracle.results()
        outcome.repeated = self.oracle.repeated
        outcome.crashed_at = self.workers.crashed_at
        outcome.counts["messages taken by 0.1.0"] = self._old.took if self._old else 0
        outcome.events = len(self.telling.events)
        outcome.valid = self.telling.valid
        outcome.messages = self.senders.messages
        outcome.virtual = self.world.clock.now() - DEFAULT_START
        return outcome

    # -- what others do meanwhile

    def _some_work(self) -> None:
        busy = [queue for queue in self.world.worked_queues() if self.world.queues.waiting(queue)]
        if busy and self.world.works:
            self.world.step(self._rolls.choice(busy))

    def _people_act(self) -> None:
        if self._actions > 0:
            self._actions -= 1
            self.people.act()

    def _told(self, change: str, record: str) -> bool:
        self.telling.read()
        return self.telling.has(change, record)

    def _is_told(self, company: str, number: str) -> bool:
        self.telling.read()
        told = (result for results in self.telling.results.values() for result in results)
        return any((result["company"], result["number"]) == (company, number) for result in told)

    def _note(self, text: str) -> None:
        self.outcome.log.append(f"{self.world.clock.now():%d %H:%M:%S.%f} {text}")
