"""What a soak is asked to do, and what it reports: counts, the host's memory, and a table for people."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

#: How long before the end a soak becomes sparing: a run whose planner was killed begins anew after 12 minutes.
SPARING_S: Final = 13 * 60.0
#: How long before the end no fault leaves an order's outcome unknown: its last look comes after 15 minutes.
CERTAIN_S: Final = 20 * 60.0
MEMORY_BOUND_MIB: Final = 16.0  # a life may grow this much once it is warm
_WARM_S: Final = 15.0
_OF_WEATHER: Final = frozenset({"message.dead_lettered", "stream.failed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long and how hard."""

    seconds: float
    seed: int
    life_s: tuple[float, float] = (4.0, 24.0)  # between two kills
    pause_s: tuple[float, float] = (0.3, 0.9)  # between two acts of people or senders

    sparing_s: float = SPARING_S  # of the end, in which nothing is done that takes long to recover from

    @classmethod
    def of_minutes(cls, minutes: float, seed: int) -> Plan:
        """Return the plan of a soak; a short one awaits slow recoveries when its work is over."""
        return cls(seconds=minutes * 60, seed=seed, sparing_s=min(SPARING_S, minutes * 15))

    @property
    def sparing_from_s(self) -> float:
        """From when on nothing is done that takes long to recover from."""
        return self.seconds - self.sparing_s

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
    kills: Counter[str] = field(default_factory=Counter)  # by kind
    moments: Counter[str] = field(default_factory=Counter)  # kills by where they came
    met: Counter[str] = field(default_factory=Counter)  # calls under way at a kill, by function
    moved: Counter[str] = field(default_factory=Counter)  # messages moved to poison queues, by work queue
    alarms: list[str] = field(default_factory=list)  # events that say "someone must act" because of a kill alone
    weather_alarms: Counter[str] = field(default_factory=Counter)  # such events for what Business Central did
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
        """Whether nothing was lost, doubled or wrong, memory stayed flat and no alarm was raised for a kill."""
        flat = all(growth <= MEMORY_BOUND_MIB for growth in self.growth_mib.values())
        return flat and not (self.lost or self.doubled or self.wrong or self.alarms)

    def judge_alarms(self, events: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Sort what the app logged as an alarm: its reason is a kill, or a fault of Business Central.

        A message moved to a poison queue killed its worker five times, as far as the app can know: once each is right.
        """
        poisoned: dict[str, set[str]] = defaultdict(set)
        for event, told in events:
            reason, queue = str(told.get("reason", "")), str(told.get("queue", ""))
            if event == "message.dead_lettered" and "worker died" in reason:
                poisoned[queue].add(str(told["message_id"]))
            elif event in _OF_WEATHER:
                self.weather_alarms[f"{event}: {reason[:80]}"] += 1
            else:
                self.alarms.append(f"{event} {told}")
        for queue, messages in poisoned.items():
            if len(messages) > self.moved[queue]:
                self.alarms.append(f"{len(messages)} dead letters of {queue}, {self.moved[queue]} were moved to poison")

    def table(self) -> str:
        """Return the summary for a person."""
        checked = self.checked
        records = ", ".join(f"{checked[name]} {name}" for name in ("items", "salesShipments", "salesInvoices"))
        rows = {
            "seed": str(self.plan.seed),
            "minutes": f"{self.minutes:.1f}, of which {self.plan.seconds / 60:.1f} with work and kills",
            "kills": _listed(self.kills),
            "moments": _listed(self.moments),
            "under way": _listed(self.met),
            "poison": _listed(self.moved),
            "faults": _listed(self.faults),
            "records": f"{records} created, {checked['posted']} invoices posted",
            "events": f"{checked['events']}, of which {checked['pulled']} of pulled items",
            "repeated": f"{self.repeated['announced']} announced again under the same id, "
            f"{self.repeated['pulled']} pulled again",
            "orders": f"{checked['orders']} keys in {checked['messages']} messages: {checked['created']} created, "
            f"{checked['rejected']} rejected, {self.repeated['results']} results told again",
            "lost": str(len(self.lost)),
            "doubled": str(len(self.doubled)),
            "wrong": str(len(self.wrong)),
            "alarms": f"{len(self.alarms)}; for Business Central's faults: {_listed(self.weather_alarms)}",
            "memory": self._memory(),
        }
        lines = [f"{name:<10} {value}" for name, value in rows.items()]
        return "\n".join([*lines, *(f"  {one}" for one in [*self.lost, *self.doubled, *self.wrong, *self.alarms][:40])])

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


def _listed(counts: Counter[str]) -> str:
    """Return counts in words, the most first."""
    return f"{counts.total()}: " + ", ".join(f"{number} {name}" for name, number in counts.most_common())
