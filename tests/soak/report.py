"""What a soak is asked to do, and what it reports: counts, the host's memory, and a table for people."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from statistics import median
from typing import Final

#: How long before the end a soak becomes sparing: a run whose planner was killed begins anew after 12 minutes.
SPARING_S: Final = 13 * 60.0
#: How long before the end no fault leaves an order's outcome unknown: its last look comes after 15 minutes.
CERTAIN_S: Final = 20 * 60.0
MEMORY_BOUND_MIB: Final = 16.0  # a life may grow this much once it is warm
_WARM_S: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long and how hard."""

    seconds: float
    seed: int
    life_s: tuple[float, float] = (20.0, 60.0)  # between a start of the host and its end
    pause_s: tuple[float, float] = (0.3, 0.9)  # between two acts of people or senders

    @property
    def sparing_from_s(self) -> float:
        """From when on nothing is done that takes long to recover from."""
        return self.seconds - SPARING_S

    @property
    def certain_from_s(self) -> float:
        """From when on no post of an order has an unknown outcome, unless a kill brings it about."""
        return self.seconds - CERTAIN_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Memory of the host at one moment."""

    life: int
    age_s: float  # of this life
    mib: float


@dataclass(slots=True, kw_only=True)
class Report:
    """What came out."""

    plan: Plan
    minutes: float = 0.0  # with the wait for quiet
    kills: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    checked: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    repeated: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)

    @property
    def growth_mib(self) -> dict[int, float]:
        """By life: median of its last quarter less that of its first, once it was warm; four samples or more."""
        found: dict[int, float] = {}
        for life in {sample.life for sample in self.samples}:
            warm = [one.mib for one in self.samples if one.life == life and one.age_s >= _WARM_S]
            quarter = len(warm) // 4
            if quarter:
                found[life] = median(warm[-quarter:]) - median(warm[:quarter])
        return found

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost, doubled or wrong, and memory stayed flat."""
        flat = all(growth <= MEMORY_BOUND_MIB for growth in self.growth_mib.values())
        return flat and not (self.lost or self.doubled or self.wrong)

    def table(self) -> str:
        """Return the summary for a person."""
        checked, kills = self.checked, self.kills
        records = ", ".join(f"{checked[name]} {name}" for name in ("items", "salesShipments", "salesInvoices"))
        rows = {
            "seed": str(self.plan.seed),
            "minutes": f"{self.minutes:.1f}, of which {self.plan.seconds / 60:.1f} with work and kills",
            "kills": f"{kills.total()}: " + ", ".join(f"{number} {name}" for name, number in kills.most_common()),
            "faults": f"{self.faults.total()}: " + ", ".join(f"{many} {what}" for what, many in self.faults.items()),
            "records": f"{records} created, {checked['posted']} invoices posted",
            "events": f"{checked['events']}, of which {checked['pulled']} of pulled items",
            "repeated": f"{self.repeated['announced']} announced again under the same id, "
            f"{self.repeated['pulled']} pulled again",
            "orders": f"{checked['orders']} keys in {checked['messages']} messages: {checked['created']} created, "
            f"{checked['rejected']} rejected, {self.repeated['results']} results told again",
            "lost": str(len(self.lost)),
            "doubled": str(len(self.doubled)),
            "wrong": str(len(self.wrong)),
            "memory": self._memory(),
        }
        lines = [f"{name:<10} {value}" for name, value in rows.items()]
        return "\n".join([*lines, *(f"  {one}" for one in [*self.lost, *self.doubled, *self.wrong][:40])])

    def _memory(self) -> str:
        warm = [sample for sample in self.samples if sample.age_s >= _WARM_S]
        if not self.growth_mib:
            return "not measured"
        quarter = max(1, len(warm) // 4)
        first, last = (median(one.mib for one in part) for part in (warm[:quarter], warm[-quarter:]))
        longest = max(self.samples, key=lambda one: one.age_s)
        worst = max(self.growth_mib.values())
        most, middle = max(one.mib for one in warm), median(self.growth_mib.values())
        return (
            f"{first:.0f} MiB in the first quarter, {last:.0f} MiB in the last, {most:.0f} MiB at most; "
            f"within a life it grew by {middle:.1f} MiB (median), {worst:.1f} MiB (worst), "
            f"{self.growth_mib.get(longest.life, 0):.1f} MiB in the longest of {longest.age_s:.0f} s"
        )
