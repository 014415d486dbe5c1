"""How long events, results and poison messages may lie in a queue before somebody is told (P30)."""

import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from shared.errors import StoreUnavailable
from shared.operations import queue_watch
from shared.operations.poison_contents import Peeked
from shared.operations.unread_output import UnreadView, unread, unread_findings
from shared.resource_names import QUEUE_EVENTS, QUEUE_ORDERS, QUEUE_PAGES, QUEUE_RESULTS

NOW = datetime(2026, 3, 4, 12, 7, tzinfo=UTC)
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


def message(age: timedelta) -> Peeked:
    """A message that was put so long ago."""
    return Peeked(message_id="m", body=b"[]", put_at=NOW - age, taken=0)


@pytest.mark.parametrize(
    ("ages", "says"),
    [([], False), ([DAY], False), ([2 * DAY - MINUTE], False), ([2 * DAY], True), ([MINUTE, 6 * DAY], True)],
)
def test_two_days_unread_is_a_finding(ages: list[timedelta], says: bool) -> None:
    """By the oldest of the first messages: five days are left then."""
    queues = [unread(QUEUE_EVENTS, 7, [message(age) for age in ages]), UnreadView(queue=QUEUE_RESULTS, messages=1)]
    found = unread_findings(queues, NOW)
    assert [one.code for one in found] == (["output_old"] if says else [])
    if says:
        assert f"{QUEUE_EVENTS} since {NOW - max(ages):%Y-%m-%d %H:%M} UTC" in found[0].seen
        assert QUEUE_RESULTS not in found[0].seen
        assert "replay" in found[0].do


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, int]]:
    """Queue and count of each line."""
    lines = [line for line in caplog.messages if line.startswith("queue.unread")]
    return [(held["queue"], held["count"]) for held in (json.loads(line.partition(" ")[2]) for line in lines)]


def test_the_log_names_each_queue_that_nobody_reads(caplog: pytest.LogCaptureFixture) -> None:
    """Two days for what others read, a quarter of an hour for poison, never for the work under way."""
    held = {
        QUEUE_EVENTS: (5, 2 * DAY), QUEUE_RESULTS: (3, DAY), QUEUE_ORDERS: (9, 6 * DAY),
        f"{QUEUE_ORDERS}-poison": (2, 15 * MINUTE), f"{QUEUE_PAGES}-poison": (1, 14 * MINUTE),
    }  # fmt: skip
    queue_watch.look(lambda queue: held.get(queue, (0,))[0], lambda queue: [message(held[queue][1])], NOW)
    assert logged(caplog) == [(QUEUE_EVENTS, 5), (f"{QUEUE_ORDERS}-poison", 2)]


def test_it_is_looked_four_times_an_hour(caplog: pytest.LogCaptureFixture) -> None:
    """By the clock, so that whichever process runs the timer looks; the alerts look back for thirty minutes."""
    for minute in range(60):
        queue_watch.look(lambda _: 1, lambda _: [message(3 * DAY)], NOW.replace(minute=minute))
    assert len(logged(caplog)) == 4 * len(queue_watch.WATCHED)


def test_queues_that_do_not_answer_stop_no_timer(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused or silent, the next look is a quarter of an hour away."""

    def refuse(_: str) -> int:
        raise StoreUnavailable("Queue Storage: 403")

    queue_watch.look(refuse, lambda _: [], NOW)
    monkeypatch.setattr(queue_watch, "_LIMIT_S", 0.05)
    queue_watch.look(lambda _: time.sleep(0.5), lambda _: [], NOW)
    assert [line.split(" ")[0] for line in caplog.messages] == ["bc.failed", "bc.failed"]
