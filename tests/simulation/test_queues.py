"""The simulated queues and timers behave as the host's do."""

from datetime import UTC, datetime, timedelta

from tests.simulation.queues import LEASE, MAX_DELIVERIES, RETRY_AFTER, Queues
from tests.simulation.schedule import Schedule

NOW = datetime(2026, 2, 11, 9, 0, tzinfo=UTC)


def test_a_message_is_hidden_while_worked_on_and_comes_back() -> None:
    """A worker that dies leaves its message to the next one once the lease is over."""
    queues = Queues()
    queues.put("q", "a", NOW)
    message = queues.take("q", NOW)
    assert message is not None
    assert queues.take("q", NOW + LEASE - timedelta(seconds=1)) is None
    assert queues.take("q", NOW + LEASE) is message


def test_a_message_that_fails_too_often_is_poison() -> None:
    """After five deliveries it moves to the poison queue; a poison message that fails stays where it is."""
    queues, now = Queues(), NOW
    queues.put("q", "a", now)
    for _ in range(MAX_DELIVERIES):
        message = queues.take("q", now)
        assert message is not None
        queues.failed("q", message, now)
        now += RETRY_AFTER
    assert (queues.waiting("q"), queues.waiting("q-poison")) == (0, 1)


def test_only_one_worker_deletes_a_message() -> None:
    """Of two that hold the same message, the second learns that it came too late."""
    queues = Queues()
    queues.put("q", "a", NOW)
    message = queues.take("q", NOW)
    assert message is not None
    queues.show("q", message, NOW)
    assert queues.take("q", NOW) is message
    assert queues.done("q", message)
    assert not queues.done("q", message)


def test_timers_fire_on_their_minutes_and_make_up_for_one_missed_run() -> None:
    """Every quarter of an hour, the reconcile seven minutes later; after a long sleep once, not many times."""
    schedule = Schedule()
    assert schedule.due(NOW + timedelta(minutes=2)) == [
        "retry_sales_orders", "pull_items", "keep_subscriptions", "reconcile",
    ]  # fmt: skip
    assert schedule.due(NOW + timedelta(minutes=6, seconds=59)) == ["retry_sales_orders"]
    assert schedule.due(NOW + timedelta(minutes=7)) == ["retry_sales_orders", "reconcile"]
    assert "pull_items" in schedule.due(NOW + timedelta(minutes=15))
    assert schedule.due(NOW + timedelta(hours=5)).count("reconcile") == 1
    assert "reconcile" not in schedule.due(NOW + timedelta(hours=5, minutes=1))
