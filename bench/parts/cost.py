"""What is billed: executions, their time and storage transactions, counted for ticks, notifications and a full pull."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import Any

from bench.options import Options
from bench.storage_meter import StorageMeter
from bench.webhook import Sender
from bench.world import World
from local.stack.demo import COMPANY
from shared.business_central.entities import ENTITIES
from tests.simulation.connections import life

CONNECTIONS = (1, 3, 20)
_CALLS = 20  # notifications that come one by one, as a sample
_RETRIES = 5  # ticks of the timer that looks for waiting orders, as a sample
_QUIET_S = 2.0


def run(options: Options) -> dict[str, Any]:
    """Count; prices are applied when the report is written."""
    return {
        "idle": {str(companies): _idle(companies) for companies in (1, 3)},
        "connections": {str(connections): _connections(connections) for connections in CONNECTIONS},
        "notifications": _notifications(options),
        "pull": _pull(options),
    }


def _idle(companies: int) -> dict[str, Any]:
    """Count one tick of every timer, with nothing to do."""
    names = COMPANY if companies == 1 else "*"
    with StorageMeter() as meter, World(f"idle-{companies}", meter=meter, host_env={"BC_COMPANIES": names}) as world:
        for number in range(companies - 2):
            world.bc("companies/add", name=f"Company {number + 3}")
        world.stack.stop_host()  # it keeps the list of companies for a while
        world.stack.start_host()
        count = _Count(world, meter)
        everywhere = [row["id"] for row in world.demo._status()["companies"]]  # noqa: SLF001
        chosen = [world.company] if companies == 1 else everywhere
        daily = {"snapshot": count.over(lambda: _tick(world, "reconcile", chosen, "snapshot"))}
        for company in chosen:
            world.company = company
            world.run_stream("pull_items", "pull") if company == chosen[0] else None
        world.run("keep_subscriptions")
        world.until("the webhooks", lambda: len(world.demo._subscriptions()) == 3 * len(chosen))  # noqa: SLF001
        _settle(world)
        daily["order book"] = count.over(lambda: _one_by_one(world, "retry_sales_orders", 1))
        found = {
            "pull_items": count.over(lambda: _tick(world, "pull_items", chosen, "pull")),
            "reconcile": count.over(lambda: _tick(world, "reconcile", chosen, "reconcile")),
            "keep_subscriptions": count.over(lambda: world.run("keep_subscriptions")),
            "retry_sales_orders": count.over(
                lambda: _one_by_one(world, "retry_sales_orders", _RETRIES), share=_RETRIES
            ),
        }
    return {"companies": len(chosen), "ticks": found, "daily": daily}


def _connections(connections: int) -> dict[str, float]:
    """Let connections of one company each live for an hour without work, in virtual time; return what a day has."""
    logging.disable(logging.CRITICAL)
    try:
        cost = life(connections, timedelta(hours=1), companies=1, rate=0.0, faults=False)
    finally:
        logging.disable(logging.NOTSET)
    return {"requests": cost.requests, "executions": cost.executions, "table": cost.transactions}


def _tick(world: World, function: str, companies: list[str], purpose: str) -> None:
    """Run a timer and wait until every stream it moves has come to rest."""
    entities = ["items"] if purpose == "pull" else list(ENTITIES)

    def done() -> list[tuple[str, str]]:
        found = []
        for company in companies:
            world.company = company
            found += [(company, world.stream(purpose, name).done_run) for name in entities]  # type: ignore[arg-type]
        return found

    before = set(done())
    world.run(function)
    world.until(f"{function} to come to rest", lambda: not before & set(done()))
    world.company = companies[0]


def _one_by_one(world: World, function: str, times: int) -> None:
    """Run a timer so often; a run that began while another is at work would do nothing."""
    for _ in range(times):
        before = world.executions()["runs"].get(function, 0)
        world.run(function)
        world.until(function, lambda: world.executions()["runs"].get(function, 0) > before)  # noqa: B023  waited for here


def _notifications(options: Options) -> dict[str, Any]:
    with StorageMeter() as meter, World("cost-notifications", meter=meter) as world:
        world.take_snapshot()
        known = set(world.demo._records("items"))  # noqa: SLF001
        world.bc("items/bulk", count=options.notifications + _CALLS, stepMs=1)
        keys = sorted(set(world.demo._records("items")) - known)  # noqa: SLF001
        _settle(world)
        sender, count = Sender(world), _Count(world, meter)
        session = sender.session()

        def one_call() -> None:
            sender.call(session, sender.created(keys[: options.notifications]))

        def many_calls() -> None:
            for key in keys[options.notifications :]:
                sender.call(session, sender.created([key]))
                time.sleep(0.2)

        return {
            "in_one_call": count.over(one_call, share=options.notifications),
            "one_by_one": count.over(many_calls, share=_CALLS),
        }


def _pull(options: Options) -> dict[str, Any]:
    with StorageMeter() as meter, World("cost-pull", meter=meter) as world:
        world.bc("items/bulk", count=options.items, variantsPerItem=options.variants_per_item, stepMs=1000)
        world.latency(options.latency_base_s, options.latency_row_us)
        return {"items": options.items, **_Count(world, meter).over(lambda: world.run_stream("pull_items", "pull"))}


def _settle(world: World) -> None:
    """Wait until the host has been silent for a while."""
    last, since = world.executions(), time.monotonic()
    while time.monotonic() - since < _QUIET_S:
        time.sleep(0.2)
        now = world.executions()
        if now != last:
            last, since = now, time.monotonic()


class _Count:
    """Counts what one piece of work causes until the host is at rest again."""

    def __init__(self, world: World, meter: StorageMeter) -> None:
        self._world = world
        self._meter = meter

    def over(self, work: Any, *, share: int = 1) -> dict[str, Any]:
        """Return executions, their milliseconds and storage transactions; `share` says of how many pieces."""
        before, requests = self._world.executions(), self._world.requests()
        self._meter.reset()
        work()
        _settle(self._world)
        after = self._world.executions()
        runs = {name: count - before["runs"].get(name, 0) for name, count in after["runs"].items()}
        took = {name: ms - before["took_ms"].get(name, 0) for name, ms in after["took_ms"].items()}
        return {
            "share": share,
            "runs": {name: count for name, count in runs.items() if count},
            "took_ms": {name: ms for name, ms in took.items() if runs[name]},
            "storage": {name: count for name, count in self._meter.counts().items() if name != "queue poll, empty"},
            "requests": self._world.requests() - requests,
            "failed": after["failed"] - before["failed"],
        }
