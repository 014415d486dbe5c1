"""What one seed means: how long, how busy, which settings, how much goes wrong. All of it is rolled from the seed."""

import random
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from business_central_emulator import Fault

_CHANGES: Final = ("created", "created", "created,updated", "created,deleted", "created,updated,deleted")
_COMPANY: Final = "CRONUS International Ltd."
_COMPANY_ID: Final = "262f81f2-9490-516c-9c50-9fd2565a0489"
#: Kinds of a run, with how many of 100 seeds they get.
_KINDS: Final = (("calm", 6), ("busy", 60), ("rollout", 4), ("compare", 20), ("outage", 9), ("month", 1))
KINDS: Final = tuple(name for name, _ in _KINDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run."""

    seed: int
    kind: str
    life: timedelta  # of trouble; healing comes on top
    orders: int
    actions: int  # of people in BC
    env: dict[str, str] = field(default_factory=dict)
    page_rows: int = 20
    collection_at: int = 1000  # changes from which BC tells only "many"
    crash_p: float = 0.0  # per point
    nest_p: float = 0.0
    stall_p: float = 0.0
    overtaken_die: bool = False  # workers whose message another one took may die as well
    clock_steps_s: tuple[int, ...] = (-90, -45, -10, 10, 45, 90)  # how far a host's clock jumps
    spells: int = 0  # of bad weather
    lost_subscriptions: int = 0
    is_deaf: bool = False  # no notification ever arrives
    fault: Fault | None = None  # one fault of BC for the whole life
    more_faults: tuple[Fault, ...] = ()  # and further ones
    forced: tuple[str, ...] = ()  # spells, by the names in `weather.FORCED`, that last all the life
    outage: timedelta = timedelta(0)
    latency_s: float = 0.0
    companies: int = 1
    company_names: str = "*"  # BC_COMPANIES

    @property
    def is_calm(self) -> bool:
        """Whether nothing ever goes wrong."""
        return self.kind == "calm"


def plan_of(seed: int, *, orders: int | None = None, hours: float | None = None, kind: str | None = None) -> Plan:
    """Return what a seed means; `orders`, `hours` and `kind` replace what it would roll."""
    rolls = random.Random(seed * 7919 + 17)
    rolled = rolls.choices([name for name, _ in _KINDS], [weight for _, weight in _KINDS])[0]
    kind = kind or rolled
    lives_h = {"busy": rolls.uniform(1.5, 5), "compare": rolls.uniform(26, 30), "outage": 84.0, "month": 720.0}
    life_h = lives_h.get(kind, 3.0)
    env = {
        "BC_CHANGES": rolls.choice(_CHANGES),
        "BC_PAGE_ROWS": str(rolls.choice((3, 5, 10, 40, 100))),
    }
    if kind == "month":
        env |= {"BC_TRIGGERS": rolls.choice(("items", "salesInvoices")), "BC_CHANGES": "created"}
    calm = kind == "calm"
    companies = rolls.choice((1, 1, 1, 2))
    return Plan(
        seed=seed,
        kind=kind,
        life=timedelta(hours=hours if hours is not None else life_h),
        orders=orders if orders is not None else rolls.randint(8, 20),
        actions=rolls.randint(15, 60),
        env=env,
        page_rows=rolls.choice((4, 15, 100)),
        collection_at=rolls.choice((6, 12, 1000)),
        crash_p=0.0 if calm else rolls.choice((0.0, 0.001, 0.003, 0.01)),
        nest_p=0.0 if calm else rolls.choice((0.0, 0.02, 0.1)),
        stall_p=0.0 if calm or kind == "rollout" else rolls.choice((0.0, 0.0, 0.002)),  # 0.1.0 posts after a stall
        spells=0 if calm else rolls.randint(2, 10),
        lost_subscriptions=rolls.randint(20, 60) if kind == "month" else 0,
        outage=timedelta(hours=72) if kind == "outage" else timedelta(0),
        latency_s=rolls.choice((0.0, 0.2, 2.0)),
        companies=companies,
        company_names="*" if companies == 2 else rolls.choice((_COMPANY, _COMPANY_ID)),
    )
