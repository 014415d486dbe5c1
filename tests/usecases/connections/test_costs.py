"""What an idle connection costs an hour: the figures of docs/connections.md."""

import re
from collections import Counter
from pathlib import Path

import pytest

from shared.resource_names import QUEUE_NOTIFICATIONS, QUEUE_PAGES
from tests.support.connected_worlds import Deployment
from tests.usecases.connections.test_isolation import TIMERS, rows, warmed_up

PAPER = Path(__file__).parents[3] / "docs" / "connections.md"


def requests_of(made: Deployment) -> int:
    """How many requests all environments have had."""
    return sum(usage.requests for place in made.places.values() for usage in place.bc.limits.usage.values())


def figures() -> dict[str, tuple[int, ...]]:
    """The figures of the table by their row's first word."""
    table = PAPER.read_text(encoding="utf-8").partition("## What a connection costs")[2]
    lines = re.findall(r"(?m)^\| (\w+)[^|]*\|([^|]*)\|([^|]*)\|$", table)
    return {word: tuple(map(int, re.findall(r"\d+", f"{hour} {day}"))) for word, hour, day in lines}


@pytest.mark.parametrize("ids", [("eu",), ("eu", "us", "uk")])
def test_an_idle_connection_costs_what_the_paper_says(ids: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, each costs the same."""
    made = warmed_up(*ids)
    made.clock.advance(900)
    for function in TIMERS:
        made.timer(function)
    done: Counter[str] = Counter()
    work = made._work

    def counted(queue: str, text: str) -> None:
        done[queue] += 1
        work(queue, text)

    monkeypatch.setattr(made, "_work", counted)
    before = requests_of(made)
    for _ in range(4):
        made.clock.advance(900)
        for function in TIMERS[:3]:
            made.timer(function)
    said = figures()
    assert requests_of(made) - before == said["requests"][0] * len(ids)
    assert done[QUEUE_PAGES] == said["page"][0] * len(ids)
    assert done[QUEUE_NOTIFICATIONS] == (said["plans"][0] * len(ids) if len(ids) > 1 else 0)
    assert len(rows(made)) == said["rows"][0] * len(ids)
    for hour, day, *_ in (said["requests"], said["page"], said["plans"]):
        assert day == hour * 24
