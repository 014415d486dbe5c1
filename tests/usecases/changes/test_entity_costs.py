"""What an entity costs a day, as docs/entities.md says it: requests, rows written, executions."""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest

from tests.simulation.world import World
from tests.support.worlds import requests_made

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "entities.md").read_text(encoding="utf-8")
ROWS = re.findall(r"(?m)^\| `(\{.+\})` \| (\d+) \| (\d+) \| (\d+) \|$", PAGE)


def day_of(*entries: object, companies: str = "CRONUS International Ltd.") -> tuple[int, int, int]:
    """Requests, writes of rows, and queue messages worked on, in a day in which nothing happens in Business Central."""
    env = {"BC_COMPANIES": companies, "BC_ENTITIES": json.dumps(entries)}
    world = World(demo_data=False, env=env)
    world.bc.add_shop()
    world.clock.advance(timedelta(hours=1))
    world.start()
    world.run_for(timedelta(hours=1))
    writes, worked, step = 0, 0, world.step

    def write(_operation: str) -> None:
        nonlocal writes
        writes += 1

    def counted(queue: str) -> bool:
        nonlocal worked
        did = step(queue)
        worked += did
        return did

    world.tables.before, world.step = write, counted  # type: ignore[method-assign]  # only to count
    before = requests_made(world)
    world.run_for(timedelta(hours=24))
    return requests_made(world) - before, writes, worked


@pytest.fixture(scope="module")
def idle() -> tuple[int, int, int]:
    """What the three entities cost that come along."""
    return day_of()


def test_administrators_are_told_how_often_it_asks(idle: tuple[int, int, int]) -> None:
    """A day of an idle environment, with one company and with two."""
    page = (Path(__file__).resolve().parents[3] / "docs" / "for-bc-administrators.md").read_text(encoding="utf-8")
    said = re.search(r"sees (\d+) requests a day with one company, and (\d+) more with each further one", page)
    assert said
    assert idle[0] == int(said[1])
    assert day_of(companies="*")[0] - idle[0] == int(said[2])


def test_the_page_tells_of_every_kind_of_watch() -> None:
    """With webhook, without, pulled, at a route of its own, without times."""
    assert len(ROWS) == 6


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_the_figures_of_the_page_are_measured(row: tuple[str, ...], idle: tuple[int, int, int]) -> None:
    """In addition to what is there anyway; of the writes, which each store may do with a few more or less, a tenth."""
    entry, *said = row
    requests, writes, executions = (one - other for one, other in zip(day_of(json.loads(entry)), idle, strict=True))
    assert [requests, executions] == [int(said[0]), int(said[2])]
    assert writes == pytest.approx(int(said[1]), rel=0.1)
