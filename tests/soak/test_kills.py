"""Which kills a soak draws, and what it reads in the host's log."""

import random
from itertools import pairwise
from pathlib import Path

import pytest

from local.functions_host.faults import POINTS
from shared.resource_names import QUEUE_PAGES
from tests.soak.host_watch import HostWatch
from tests.soak.kills import FEEDERS, FUNCTIONS, KINDS, SLOW, Deck, Kill
from tests.soak.report import Plan, Report

_ID = "8d0b1c1e-0000-4000-8000-0123456789ab"


def drawn(
    many: int, *, seed: int = 1, at_start: bool = True, is_sparing: bool = False, is_late: bool = False
) -> list[Kill]:
    deck = Deck(random.Random(seed))
    return [deck.draw(at_start=at_start, is_sparing=is_sparing, is_late=is_late) for _ in range(many)]


@pytest.mark.parametrize("seed", range(20))
def test_every_kind_and_every_function_has_its_turn(seed: int) -> None:
    """One round of functions is enough for all of both."""
    kills = drawn(len(FUNCTIONS) + 2 + len(FEEDERS), seed=seed, at_start=seed % 2 == 0)
    assert {kill.kind for kill in kills} == set(KINDS)
    assert {kill.function for kill in kills} == {*FUNCTIONS, ""}


def test_the_functions_are_those_of_the_app() -> None:
    """Every function with an effect is killed; those that only show something are not."""
    source = (Path(__file__).parents[2] / "function_app.py").read_text(encoding="utf-8")
    assert all(f"def {function}(" in source for function in FUNCTIONS)


def test_points_are_the_hosts_and_fit_their_kind() -> None:
    """A worker dies at points of the worker, a host at its own."""
    for kill in drawn(400):
        assert not kill.point or kill.point in POINTS
        assert not kill.point or kill.point.startswith("worker-") == (kill.kind == "worker")
        assert kill.variable == (f"{kill.function}:{kill.point}:{kill.count}" if kill.point else "")
    assert {kill.point for kill in drawn(400)} == {"", *POINTS}
    assert {kill.point for kill in drawn(50, at_start=False)} == {""}


def test_a_dead_letter_function_gets_a_message_first() -> None:
    """The host dies in the function whose queue it is, and the next kill is of the one that gets its poison."""
    kills = drawn(200)
    fed = [(one, following) for one, following in pairwise(kills) if one.to_poison]
    assert {following.function for _, following in fed} == set(FEEDERS)
    for one, following in fed:
        assert (one.function, one.kind in {"host", "both"}) == (FEEDERS[following.function], True)
        assert one.to_poison == following.function


def test_late_kills_lose_nothing_that_is_put_back_after_half_an_hour() -> None:
    """Late, the timer that puts back dies before it has noted anything; sparing, only orders' points are left."""
    late = [
        kill.point
        for at_start in (True, False)
        for kill in drawn(300, at_start=at_start, is_late=True)
        if kill.function == SLOW
    ]
    assert late
    assert set(late) <= {"before-call", "worker-before-call"}
    assert {kill.function for kill in drawn(300, is_sparing=True)} == {"", "submit_sales_order"}


def test_the_log_tells_workers_calls_and_alarms(tmp_path: Path) -> None:
    """Also while a line is half written; a warning is no alarm."""
    log = tmp_path / "host.log"
    log.write_text(
        f"worker process 41 started\nread_page {_ID} started\n2026-11-27 03:16:52,447 WARNING bc.x - a.b {{}}\n"
    )
    watch = HostWatch(log)
    watch.look()
    assert (watch.worker, watch.is_up, watch.workers, watch.running) == (41, True, 1, {"read_page": 1})
    with log.open("a") as more:
        more.write(
            "2026-11-27 03:16:52,447 ERROR local.functions_host - worker process 41: python exited with code 137\n"
            f"read_page {_ID} 12 ms FAILED: python exited with code 137\n"
            f'2026-11-27 03:16:53,000 ERROR shared.x {_ID} order.parked {{"reason": "x"}}\nworker process 4'
        )
    watch.look()
    assert (watch.is_up, watch.deaths, watch.running, watch.begun) == (False, 1, {}, {"read_page": 1})
    assert watch.alarms == [("order.parked", {"reason": "x"})]
    with log.open("a") as more:
        more.write(f"2 started\nread_page {_ID} started\n")
    watch.look()
    assert (watch.worker, watch.is_up, watch.workers) == (42, True, 2)
    watch.forget_calls()
    assert (watch.is_up, watch.running) == (False, {})


def test_an_alarm_for_a_kill_fails_the_soak() -> None:
    """A dead letter of a moved message is right, a fault of Business Central is named; any other is too much."""
    report = Report(plan=Plan(seconds=1, seed=1))
    report.moved[QUEUE_PAGES] = 1
    died = {"queue": QUEUE_PAGES, "reason": "the worker died on it, or ...", "message_id": "m-1"}
    report.judge_alarms([("message.dead_lettered", died), ("message.dead_lettered", died)])
    report.judge_alarms([("message.dead_lettered", {"queue": QUEUE_PAGES, "reason": "BC answered 500"})])
    assert report.is_good
    assert report.weather_alarms.total() == 1
    report.judge_alarms([("message.dead_lettered", died), ("message.dead_lettered", died | {"message_id": "m-2"})])
    assert not report.is_good
    report.alarms.clear()
    report.judge_alarms([("order.parked", {})])
    assert not report.is_good
