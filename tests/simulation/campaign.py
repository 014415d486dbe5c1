"""Many runs on all cores, and their sum."""

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta

from tests.simulation.plan import Plan
from tests.simulation.run import Outcome, Run


@dataclass(slots=True)
class Total:
    """What all runs came to."""

    runs: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    crashed_at: Counter[str] = field(default_factory=Counter)
    checked: Counter[str] = field(default_factory=Counter)
    results: Counter[str] = field(default_factory=Counter)
    events: int = 0
    valid: int = 0
    messages: int = 0
    repeated: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    virtual: timedelta = timedelta(0)
    failed: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Take a run in."""
        self.runs += 1
        self.kinds[outcome.plan.kind] += 1
        self.counts += outcome.counts
        self.crashed_at += outcome.crashed_at
        self.checked += outcome.checked
        self.results += outcome.results
        self.events += outcome.events
        self.valid += outcome.valid
        self.messages += outcome.messages
        self.repeated += outcome.repeated
        self.lost += outcome.lost
        self.doubled += outcome.doubled
        self.wrong += len(outcome.findings) - outcome.lost - outcome.doubled
        self.virtual += outcome.virtual
        if outcome.findings:
            self.failed.append(outcome)

    def lines(self) -> Iterator[str]:
        """Yield the summary."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kinds.items()))
        days = self.virtual / timedelta(days=1)
        yield f"runs       {self.runs} ({kinds}), {days:.0f} virtual days"
        yield "records    " + _listed(self.checked - Counter(orders=self.checked["orders"]))
        yield f"orders     {self.checked['orders']} keys in {self.messages} messages: " + _listed(self.results)
        yield f"events     {self.events}, announced again under the same id after a crash: {self.repeated}"
        yield f"valid      {self.valid} of {self.events} events by the schemas published for them"
        for title, start in (("BC faults", "api "), ("notified", "notification ")):
            found = Counter({name.removeprefix(start): n for name, n in self.counts.items() if name.startswith(start)})
            yield f"{title:<10} {found.total()}: " + _listed(found)
        spells: Counter[str] = Counter()
        for name, count in self.counts.items():
            if name.startswith("spell "):
                spells[name.removeprefix("spell ").partition(" on ")[0]] += count
        yield f"spells     {spells.total()}: " + _listed(spells)
        others = ("crash", "stall", "storage fault", "interleaved", "redriven by hand")
        yield "workers    " + _listed(Counter({name: self.counts[name] for name in others}))
        yield f"crashed at {len(self.crashed_at)} different points"
        yield f"lost       {self.lost}"
        yield f"doubled    {self.doubled}"
        yield f"wrong      {self.wrong}"


def play(plan: Plan) -> Outcome:
    """Do one run."""
    logging.disable(logging.CRITICAL)  # the app reports every fault it meets, as it should
    return Run(plan).play()


def play_all(plans: Iterable[Plan], *, jobs: int | None = None) -> Iterator[Outcome]:
    """Do many runs, in the order of the plans; one process per core unless told otherwise."""
    workers = jobs or os.cpu_count() or 1
    if workers == 1:
        yield from map(play, plans)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(play, plans, chunksize=1)


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common() if count) or "none"
