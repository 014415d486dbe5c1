"""Two releases at the same queues and rows: while one is rolled out, and while it is rolled back (P20)."""

import sys
from dataclasses import replace

import pytest

import shared
from shared.changes.jobs import PageJob, Slice
from tests.simulation import old_release
from tests.simulation.plan import plan_of
from tests.simulation.run import Run
from tests.simulation.world import was_put_again


def test_the_released_code_leaves_no_module_behind() -> None:
    """Its `shared` is another one, and only ours can be imported afterwards."""
    old = old_release.load()
    assert "package.zip" in str(old["triggers"].__file__)
    assert sys.modules["shared"] is shared
    assert not any("package.zip" in str(getattr(module, "__file__", "")) for module in list(sys.modules.values()))


def test_only_a_page_that_was_put_again_may_be_repeated_for_it() -> None:
    """Each page job says how often it was, were it never: all that 0.1.0 takes would be excused."""
    job = PageJob(run="r", purpose="pull", mode="delta", company="c", entity="items", slice=Slice(number=0))
    assert was_put_again(replace(job, again=1).to_text())
    assert not any(map(was_put_again, (job.to_text(), '{"job": "of an order"}', "[]", "no JSON")))


@pytest.mark.parametrize("seed", [5, 8, 9, 10, 13, 23, 34, 52])
def test_a_life_with_both_releases_at_work_loses_and_doubles_nothing(seed: int) -> None:
    """Half an hour both take what comes, half an hour this release alone, and again, in all weather."""
    outcome = Run(plan_of(seed, kind="rollout")).play()
    assert outcome.findings == []
    assert outcome.counts["messages taken by 0.1.0"] > 5
