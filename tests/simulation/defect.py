"""A deliberate defect: one rule of the app broken from outside, in this process only, and the run it shows in."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from tests.simulation.plan import Plan, plan_of
from tests.simulation.run import Outcome, Run

type Patch = tuple[object, str, Any]


@dataclass(frozen=True, slots=True)
class Defect:
    """One rule broken."""

    name: str
    rule: str  # what holds without the defect
    patches: Callable[[], list[Patch]]
    bend: dict[str, Any] = field(default_factory=dict)  # fields of the plan
    kind: str = "busy"

    def plan(self, seed: int) -> Plan:
        """Return a run in which the defect shows."""
        plan = plan_of(seed, kind=self.kind)
        env = {**plan.env, **self.bend.get("env", {})}
        return replace(plan, **{**self.bend, "env": env})

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Break the rule while the body runs."""
        with ExitStack() as stack:
            for owner, name, value in self.patches():
                stack.callback(setattr, owner, name, getattr(owner, name))
                setattr(owner, name, value)
            yield

    def caught_by(self, seeds: range) -> Outcome | None:
        """Return the first run that catches the defect and passes without it, None when there is none."""
        for seed in seeds:
            with self.installed():
                outcome = Run(self.plan(seed)).play()
            if outcome.findings and not Run(self.plan(seed)).play().findings:
                return outcome
        return None
