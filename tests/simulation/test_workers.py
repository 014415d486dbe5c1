"""The hook at the points of the app's code: who sleeps where."""

from dataclasses import replace

import pytest

from tests.simulation.plan import plan_of
from tests.simulation.run import Run


@pytest.mark.parametrize(("point", "sleeps"), [("before POST salesOrders", False), ("before GET items", True)])
def test_no_time_passes_for_a_post_that_is_about_to_leave(point: str, sleeps: bool) -> None:
    """Neither does its own worker sleep there, nor another that works meanwhile: the clock is the same for all."""
    run = Run(replace(plan_of(1, kind="calm"), stall_p=0.5, nest_p=1.0))
    reached: list[str] = []

    def work() -> None:
        reached.append(point)
        run.workers.at("before GET items")

    run.workers.meanwhile, run.workers.on = [work], True
    started = run.world.clock.now()
    for _ in range(20):
        run.workers.at(point)
    assert reached
    assert (run.world.clock.now() > started) is sleeps
