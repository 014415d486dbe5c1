"""Short seeded runs: nothing lost, nothing twice; the long form is `python -m tests.simulation`."""

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from business_central_emulator import Fault, FaultKind

from shared.changes import cloud_events
from tests.simulation.campaign import Total, play_all
from tests.simulation.defect import Defect
from tests.simulation.defects import DEFECTS
from tests.simulation.plan import plan_of
from tests.simulation.run import Run
from tests.support.shop import Shop

SEEDS = 14
#: Every eighth of the defects, and those that an outsider would try first.
FAMOUS = {
    "adopts a stranger", "absence from a replica", "presence uncommitted", "digest by rendering",
    "row removed before its message left", "dead by silence",
}  # fmt: skip
SAMPLE = [defect for place, defect in enumerate(DEFECTS) if place % 8 == 0 or defect.name in FAMOUS]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """The app reports every fault it meets; here they are made on purpose."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_nothing_is_lost_and_nothing_is_doubled() -> None:
    """P4, P5, P8, P9, P12, P13: whatever goes wrong in some hours of life, all is told and ordered, once."""
    total = Total()
    for outcome in play_all([plan_of(seed, kind="busy") for seed in range(1, SEEDS + 1)], jobs=1):
        assert not outcome.findings, f"seed {outcome.plan.seed}"
        total.add(outcome)
    assert total.valid == total.events > 500  # P23; the findings say what is not valid
    assert total.counts["crash"] > 50
    assert sum(count for name, count in total.counts.items() if name.startswith("api ")) > 100
    assert total.counts["interleaved"] > 100
    assert total.checked["created"] > 250
    assert total.checked["orders"] > 100


@pytest.mark.parametrize(
    ("kind", "seed", "hours"), [("calm", 7, 3.0), ("compare", 7, 27.0), ("outage", 4, 84.0), ("month", 7, 48.0)]
)
def test_every_kind_of_life_ends_well(kind: str, seed: int, hours: float) -> None:
    """A quiet day, a day with its compare, 72 hours of outage, and days on which subscriptions get lost."""
    outcome = Run(plan_of(seed, kind=kind, hours=hours)).play()
    assert outcome.findings == []
    assert outcome.events > 0


def test_a_further_entity_is_as_safe_as_those_that_come_along() -> None:
    """P22: an entry of BC_ENTITIES, through the same weather; its events fit the schema published for it."""
    told: Counter[str] = Counter()
    env = {"BC_ENTITIES": '[{"entitySet": "customers"}]', "BC_CHANGES": "created,updated,deleted"}
    for seed in (2, 6, 8):
        plan = plan_of(seed, kind="busy")
        run = Run(replace(plan, env={**plan.env, **env}))
        assert run.play().findings == [], f"seed {seed}"
        told.update(event.type for event in run.telling.events)
    assert told["bc.customer.created.v1"] > 10
    assert told["bc.customer.updated.v1"] > 5
    assert told["bc.customer.deleted.v1"] > 1


def test_without_a_crash_nothing_is_told_again() -> None:
    """P5: each event leaves exactly once as long as no worker dies."""
    for seed in (1, 2):
        outcome = Run(plan_of(seed, kind="calm")).play()
        assert (outcome.findings, outcome.repeated) == ([], 0)


def test_an_event_that_breaks_its_schema_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """P23: each event is held against the schema published for its type."""
    real = cloud_events._event

    def bare(*given: Any) -> str:
        return real(*given).replace('"datacontenttype":"application/json",', "")

    monkeypatch.setattr(cloud_events, "_event", bare)
    outcome = Run(plan_of(1, kind="calm")).play()
    assert outcome.valid == 0 < outcome.events
    assert any("datacontenttype" in finding and finding.startswith("wrong") for finding in outcome.findings)


def test_a_seed_is_a_life() -> None:
    """The same seed plays the same events in the same order, so that a failure can be looked into."""
    first, second = (Run(plan_of(5, kind="busy"), verbose=True).play() for _ in range(2))
    assert first.log == second.log
    assert len(first.log) > 100


@pytest.mark.parametrize("defect", SAMPLE, ids=lambda defect: defect.name)
def test_a_deliberate_defect_is_caught(defect: Defect) -> None:
    """The simulation can fail: it notices each rule of the app that is broken, and only because it is broken.

    A sample; `make defects` plays all of them.
    """
    caught = defect.caught_by(range(1, 41))
    assert caught is not None, f"nobody noticed that this rule is broken: {defect.rule}"


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_defect_breaks_what_is_there(defect: Defect) -> None:
    """One whose place was renamed since would end `make defects`, which nobody plays every day."""
    with defect.installed():
        pass


def test_no_two_defects_bear_one_name() -> None:
    """There are sixty of them at least."""
    assert len({defect.name for defect in DEFECTS}) == len(DEFECTS) >= 60


def _orders_after_a_lost_answer() -> int:
    shop = Shop()
    lag_s = timedelta(minutes=30).total_seconds()
    shop.fail(FaultKind.GATEWAY_TIMEOUT_AFTER)
    shop.world.bc.faults.add(
        Fault(kind=FaultKind.REPLICA_LAG, match="^GET", times=None, least_s=lag_s, window_s=lag_s)
    )  # fmt: skip
    shop.submit(shop.message())
    shop.wait(timedelta(hours=2))
    return len(shop.orders())


def test_a_lost_answer_and_reads_that_lag_by_half_an_hour_make_one_order() -> None:
    """P8: look-ups that take a replica's word for what is missing made two of it, every time."""
    assert _orders_after_a_lost_answer() == 1
    with next(defect for defect in DEFECTS if defect.name == "absence from a replica").installed():
        assert _orders_after_a_lost_answer() == 2
