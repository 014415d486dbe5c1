"""What ails one connection does not delay the others (P21), and many connections lose nothing and stay in budget (P10).

A sample: `python -m tests.simulation.connections` plays every scenario, with `--days` a life of twenty connections.
"""

import logging
from collections.abc import Iterator
from datetime import timedelta
from functools import cache

import pytest
from business_central_emulator import VirtualClock

from shared import services
from tests.simulation.connections import BOUND_S, Spread, delays_of, life, spread
from tests.simulation.connections_turns import Turns

KINDS = ("record to event", "order to result")


@pytest.fixture(autouse=True)
def _silence() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@cache
def calm() -> dict[str, Spread]:
    """How the delays spread when nothing ails."""
    return spreads("")


def spreads(scenario: str) -> dict[str, Spread]:
    """How the delays of the others spread in a scenario."""
    delays = delays_of(scenario, 1)
    return {what: spread(delays, what) for what in KINDS}


@pytest.mark.parametrize(
    "scenario",
    [
        "dead login", "vault refuses its secret", "storm of 429, Retry-After 5", "poisoned company",
        "Business Central hangs",
    ],
)  # fmt: skip
def test_what_ails_one_delays_no_other(scenario: str) -> None:
    """Half, 99 of 100 and the longest of the others' delays move by a minute at most; nothing of anyone is lost."""
    found = spreads(scenario)
    assert {what: found[what].moved(calm()[what]) <= BOUND_S for what in KINDS} == dict.fromkeys(KINDS, True), found


def test_without_patience_for_others_they_would_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The measure bites: were each job to wait in its place as it may alone, records of others would be late."""
    monkeypatch.setattr(services, "PATIENCE_S", services.PATIENT_S)
    assert spreads("storm of 429, Retry-After 5")[KINDS[0]].moved(calm()[KINDS[0]]) > BOUND_S


def test_several_connections_lose_nothing_and_stay_within_their_budgets() -> None:
    """Six of them, two under one identity, for an hour with a few faults; what goes wrong is raised."""
    cost = life(6, timedelta(hours=1), companies=3, rate=6.0)
    assert cost.delays == 6 * 12
    assert 1 < cost.most_at_once <= 5


def test_turns_are_taken_in_the_order_of_the_clock() -> None:
    """A sleep lets others go on; a lock is had by one at a time."""
    turns, done = Turns(VirtualClock()), []
    lock = turns.lock()

    def work(name: str, seconds: float) -> None:
        with lock, lock:
            turns.sleep(seconds)
            done.append(name)

    began = turns.clock.now()
    for name, seconds in (("a", 3.0), ("b", 1.0)):
        turns.spawn(lambda name=name, seconds=seconds: work(name, seconds))  # type: ignore[misc]
    turns.at(began + timedelta(seconds=2), lambda: done.append("c"))
    turns.run_until(began + timedelta(seconds=10))
    assert (done, turns.clock.now()) == (["c", "a", "b"], began + timedelta(seconds=10))
