"""Many runs on all cores, and their sum."""

import logging
import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from tests.simulation.defect import Defect
from tests.simulation.defects import DEFECTS
from tests.simulation.plan import Plan
from tests.simulation.run import Outcome, Run

#: What a finding begins with.
WORDS: Final = ("lost", "doubled", "phantom", "adopted", "late", "wrong")


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
    found: Counter[str] = field(default_factory=Counter)  # findings by their first word
    facts: int = 0
    excused: int = 0
    delays: dict[str, list[timedelta]] = field(default_factory=lambda: defaultdict(list))
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
        self.found.update(finding.partition(":")[0] for finding in outcome.findings)
        self.facts += outcome.facts
        self.excused += outcome.excused
        for kind, found in outcome.delays.items():
            self.delays[kind] += found
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
            found = self._of(start)
            yield f"{title:<10} {found.total()}: " + _listed(found)
        spells: Counter[str] = Counter()
        for name, count in self.counts.items():
            if name.startswith("spell "):
                spells[name.removeprefix("spell ").partition(" on ")[0]] += count
        yield f"spells     {spells.total()}: " + _listed(spells)
        others = ("crash", "whole host", "stall", "interleaved", "redriven by hand", "messages taken by 0.1.0")
        yield "workers    " + _listed(Counter({name: self.counts[name] for name in others}))
        yield "faults     " + _listed(self._of("fault "))
        yield f"crashed at {len(self.crashed_at)} different points"
        yield f"histories  {self.runs} with {self.facts} facts judged"
        yield f"hidden     {self.excused} versions by lag, of which nothing told"
        for kind, delays in sorted(self.delays.items()):
            yield f"owed       {kind}: {_spread(delays)} after the last fault, {len(delays)} of them"
        for word in WORDS:
            yield f"{word:<10} {self.found[word]}"

    def figures(self) -> dict[str, str]:
        """Return the figures of the promises by name, as `paper` wants them."""
        api, spells = self._of("api "), self._of("spell ")
        counts = {
            "created": self.checked["created"], "events": self.events, "repeated": self.repeated,
            "notified": self._of("notification ").total(), "orders": self.checked["orders"], "messages": self.messages,
            "lost": self.found["lost"] + self.found["late"], "doubled": self.found["doubled"],
            "adopted": self.found["adopted"], "phantoms": self.found["phantom"], "crashes": self.counts["crash"],
            "subscriptions": spells["subscription deleted silently"], "copies": spells["environment copied"],
            "outages": self.kinds["outage"], "late_commits": api["late_commit"], "rollbacks": api["late_rollback"],
            "lags": api["replica_lag"], "broken": spells["broken record"], "stops": spells["timers stop for good"],
            "excused": self.excused,
        }  # fmt: skip
        delays = "; ".join(f"{kind}: {_spread(found)}" for kind, found in sorted(self.delays.items()))
        return {name: f"{count:,}" for name, count in counts.items()} | {
            "results": _listed(self.results), "delays": delays or "nothing was owed after a fault",
        }  # fmt: skip

    def _of(self, start: str) -> Counter[str]:
        return Counter({name.removeprefix(start): n for name, n in self.counts.items() if name.startswith(start)})


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


type Catch = tuple[str, int | None, str, float]


def hunt(name: str, tries: int) -> Catch:
    """Switch one defect on and play seeds until one catches it; return its name, seed, finding and seconds taken."""
    logging.disable(logging.CRITICAL)
    began = time.monotonic()
    defect = next(defect for defect in DEFECTS if defect.name == name)
    outcome = defect.caught_by(range(1, tries + 1))
    took_s = time.monotonic() - began
    return (name, None, "", took_s) if outcome is None else (name, outcome.plan.seed, outcome.findings[0], took_s)


def hunt_all(defects: Sequence[Defect], *, tries: int, jobs: int | None = None) -> Iterator[Catch]:
    """Do so for many defects, in their order; one process per core unless told otherwise."""
    names = [defect.name for defect in defects]
    with ProcessPoolExecutor(jobs or os.cpu_count() or 1) as pool:
        yield from pool.map(hunt, names, [tries] * len(names), chunksize=1)


def _spread(found: list[timedelta]) -> str:
    """Return the middle, the 99th of a hundred and the worst."""
    found = sorted(found)
    p50, p99 = found[len(found) // 2], found[min(len(found) - 1, len(found) * 99 // 100)]
    return f"p50 {_span(p50)}, p99 {_span(p99)}, worst {_span(found[-1])}"


def _span(span: timedelta) -> str:
    minutes = span / timedelta(minutes=1)
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common() if count) or "none"
