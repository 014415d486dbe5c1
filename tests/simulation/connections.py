"""What ails one connection and what others feel of it; and what many connections cost.

`python -m tests.simulation.connections` plays each trouble beside a calm run of the same seed and prints how far the
delays of the other connections moved. `--days 7` plays twenty connections of five companies and four entities.
"""

import argparse
import logging
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from business_central_emulator import Fault, FaultKind

from shared.resource_names import TABLES
from tests.simulation.connections_world import Delay, Fleet
from tests.support.memory_storage import MemoryTable

#: How far the delays of a connection may move for what ails another (P21).
BOUND_S: Final = 60.0
AILING: Final = "eu"
IDS: Final = (AILING, "us", "uk")
#: From the beginning of what ails: trouble, and what is watched after it.
TROUBLE: Final = timedelta(hours=1)
AFTER: Final = timedelta(minutes=45)


#: Begins what ails a connection, and returns what mends it.
type Scenario = Callable[[Fleet], Callable[[], object]]


def dead_login(fleet: Fleet) -> Callable[[], object]:
    """The login refuses the client secret, and the token has ended."""
    app = fleet.places[AILING].login.directory.applications[0]
    secrets = list(app.client_secrets)
    app.client_secrets.clear()
    fleet.restart()
    return lambda: app.client_secrets.extend(secrets)


def vault_refuses(fleet: Fleet) -> Callable[[], object]:
    """The vault refuses to give its secret, as the permission on it was taken away."""
    fleet.vault.refused.add(f"bc-client-secret-{AILING}")
    fleet.restart()
    return fleet.vault.refused.clear


def login_hangs(fleet: Fleet) -> Callable[[], object]:
    """The login takes calls and never answers."""
    fleet.restart()
    login = fleet.logins[AILING]
    login.hangs = True
    return lambda: setattr(login, "hangs", False)


def _by(fault: Fault) -> Scenario:
    def begin(fleet: Fleet) -> Callable[[], object]:
        script = fleet.places[AILING].bc.faults.script
        script.append(fault)
        return script.clear

    return begin


def poisoned_company(fleet: Fleet) -> Callable[[], object]:
    """Every answer about one company is 500."""
    fault = Fault(kind=FaultKind.SERVER_ERROR, match=fleet.places[AILING].company.id, times=None)
    return _by(fault)(fleet)


def _throttled(retry_after: str | None) -> Scenario:
    return _by(Fault(kind=FaultKind.THROTTLED, match="", times=None, retry_after=retry_after))


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "dead login": dead_login,
    "vault refuses its secret": vault_refuses,
    "login hangs": login_hangs,
    "storm of 429, Retry-After 120": _throttled("120"),
    "storm of 429, Retry-After 5": _throttled("5"),
    "storm of 429 without a word": _throttled(None),
    "poisoned company": poisoned_company,
    "Business Central hangs": _by(Fault(kind=FaultKind.TIMEOUT_BEFORE, times=None)),
    "Business Central slow, 60 s": _by(Fault(kind=FaultKind.SLOW, times=None, delay_s=60.0)),
}


def delays_of(scenario: str, seed: int, *, rate: float = 40.0) -> list[Delay]:
    """Return the delays of all connections while one ails, or none does; the ailing one has three times the work.

    Raises:
        AssertionError: something was lost or doubled, of the ailing one as well, which is mended in the end.
    """
    fleet = Fleet(*IDS, seed=seed, companies=5)
    with fleet.at_work():
        fleet.start()
        fleet.live(TROUBLE, records=rate, orders=rate, busy=(AILING,))
        mend = SCENARIOS[scenario](fleet) if scenario else lambda: None
        fleet.run_for(TROUBLE)
        mend()
        fleet.run_for(AFTER)
    if findings := fleet.judge():
        raise AssertionError(f"{scenario}, seed {seed}: {len(findings)} findings: {findings[:3]}")
    return fleet.delays


@dataclass(frozen=True, slots=True)
class Spread:
    """Half, 99 of 100 and all of some delays were no longer, in seconds."""

    p50: float
    p99: float
    worst: float

    def moved(self, calm: "Spread") -> float:
        """Return how far the most moved of the three moved."""
        return max(self.p50 - calm.p50, self.p99 - calm.p99, self.worst - calm.worst)

    def __str__(self) -> str:
        """Show the three."""
        return f"{self.p50:.0f} / {self.p99:.0f} / {self.worst:.0f}"


def spread(delays: list[Delay], what: str) -> Spread:
    """Return how the delays of one kind spread, those of the ailing connection left out."""
    took = sorted(one.took_s for one in delays if one.what == what and one.connection != AILING)
    return Spread(took[len(took) // 2], took[min(len(took) - 1, len(took) * 99 // 100)], took[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What some connections cost in a day."""

    connections: int
    requests: float
    executions: float
    transactions: float
    rows: int
    most_at_once: int
    most_in_window: int
    delays: int
    took_s: float

    def line(self) -> str:
        """Return it as a row of the table in docs/connections.md."""
        numbers = (self.requests, self.executions, self.transactions, self.rows)
        return f"| {self.connections} | " + " | ".join(f"{number:,.0f}" for number in numbers) + " |"


def life(
    connections: int, span: timedelta, *, seed: int = 1, companies: int = 5, rate: float = 2.0, faults: bool = True
) -> Cost:
    """Let connections live in calm weather with a few faults; two of several share an identity.

    Raises:
        AssertionError: something was lost, doubled or sent to a stranger; or an identity went beyond its budget.
    """
    began = time.monotonic()
    ids = tuple(f"c{number}" for number in range(1, connections + 1))
    fleet = Fleet(*ids, seed=seed, companies=companies, twin=ids[1] if connections > 1 else "")
    with fleet.at_work():
        fleet.start()
        before = _counted(fleet)
        fleet.live(span, records=rate, orders=rate)
        if faults:
            _few_faults(fleet, span)
        fleet.run_for(span)
        done = [now - then for now, then in zip(_counted(fleet), before, strict=True)]
        fleet.run_for(timedelta(minutes=75))  # what waits comes in
    findings = fleet.judge()
    most_at_once = max(usage.most_at_once for usage in fleet.usage.values())
    most_in_window = max(usage.most_in_window for usage in fleet.usage.values())
    if most_at_once > 5 or most_in_window > 6000:
        findings.append(f"{most_at_once} requests at once, {most_in_window} in five minutes")
    if findings:
        raise AssertionError(f"{len(findings)} findings: {findings[:5]}")
    days = span / timedelta(days=1)
    return Cost(
        connections=connections, requests=done[0] / days, executions=done[1] / days, transactions=done[2] / days,
        rows=_rows(fleet), most_at_once=most_at_once, most_in_window=most_in_window, delays=len(fleet.delays),
        took_s=time.monotonic() - began,
    )  # fmt: skip


def _few_faults(fleet: Fleet, span: timedelta) -> None:
    """Two faults a connection and day, of a few minutes each; at least one somewhere."""
    kinds = (FaultKind.UNAVAILABLE, FaultKind.THROTTLED, FaultKind.RESET_AFTER, FaultKind.TIMEOUT_BEFORE)
    for _ in range(max(1, round(2 * len(fleet.places) * (span / timedelta(days=1))))):
        fault = Fault(kind=fleet.rolls.choice(kinds), match=".*", times=None, probability=fleet.rolls.choice((0.3, 1)))
        begins = fleet.clock.now() + span * fleet.rolls.random()
        fleet.fault(fleet.rolls.choice(list(fleet.places)), fault, begins, timedelta(minutes=fleet.rolls.uniform(1, 8)))


def _counted(fleet: Fleet) -> tuple[int, int, int]:
    requests = sum(usage.requests for usage in fleet.usage.values())
    return requests, fleet.executions.total(), fleet.transactions.total()


def _rows(fleet: Fleet) -> int:
    tables = [fleet.tables.table(name) for name in TABLES]
    found = [len(part.rows) for one in tables if isinstance(one, MemoryTable) for part in one._partitions.values()]
    return sum(found)


def main(argv: list[str] | None = None) -> int:
    """Do what the command line asks."""
    parser = argparse.ArgumentParser(prog="tests.simulation.connections", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--days", type=float, help="instead: what connections cost, over so many virtual days")
    parser.add_argument("--connections", type=int, default=20, help="with --days (default 20)")
    parser.add_argument("--idle", action="store_true", help="with --days: no people, no senders, no faults")
    parser.add_argument("--only", default="", metavar="WORDS", help="scenarios whose name holds the words")
    asked = parser.parse_args(argv)
    logging.disable(logging.CRITICAL)
    if asked.days:
        rate = 0.0 if asked.idle else 2.0
        cost = life(asked.connections, timedelta(days=asked.days), seed=asked.seed, rate=rate, faults=not asked.idle)
        print("| connections | requests | executions | table transactions | rows |")
        print(cost.line())
        print(
            f"{cost.delays} records and orders arrived once; {cost.most_at_once} requests at once and "
            f"{cost.most_in_window} in 5 minutes at most for an identity; {cost.took_s:.0f} s"
        )
        return 0
    worst, calm = 0.0, delays_of("", asked.seed)
    for scenario in SCENARIOS:
        if asked.only not in scenario:
            continue
        began, delays = time.monotonic(), delays_of(scenario, asked.seed)
        for what in ("record to event", "order to result"):
            found, before = spread(delays, what), spread(calm, what)
            worst = max(worst, found.moved(before))
            print(f"| {scenario} | {what} | {before} | {found} | {found.moved(before):.0f} |", flush=True)
        print(f"({time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)
    print(f"moved by {worst:.0f} s at most")
    return 0 if worst <= BOUND_S else 1


if __name__ == "__main__":
    sys.exit(main())
