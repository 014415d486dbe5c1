"""A worker, or the whole host, killed in the middle of a pull (SIGKILL), with the leases that the platform has."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

from bench.options import Options
from bench.parts.pull import ours
from bench.world import Truth, World
from shared.business_central.port import WHOLE_S
from shared.business_central.request_budget import MARGIN_S
from shared.changes.page_reader import MOST_GROWTH, PAGE_S
from shared.changes.plan_runs import PARTITIONS
from shared.clock import format_time, utc_now

#: Pages of an undisturbed pull after which it is killed.
SHARE = 0.4
#: Of the delta: a first one, and those that are as large as pages grow.
DELTA_PAGES = 6
#: Between the times of the records that a delta reads.
STEP_S = 0.0001
#: The last records of a killed host may come with its messages, ten minutes later.
PATIENCE_S = 700.0


def run(options: Options) -> dict[str, Any]:
    """Kill a full pull, which holds all its request slots, by worker and by host, and a delta, which holds one."""
    rows = max(50, options.items // 50)
    with World("resume", host_env={"BC_PAGE_ROWS": str(rows)}) as world:
        world.bc("items/bulk", count=options.items, variantsPerItem=options.variants_per_item, stepMs=1000)
        truth = world.truth()
        world.latency(options.latency_base_s, options.latency_row_us)
        calm = ours(world, truth)
        pages = _pages(world)
        world.forget_pull()
        worker = _killed(world, _kill_worker, truth, pages)
        world.forget_pull()
        host = _killed(world, _kill_host, truth, pages)
        since = format_time(utc_now())
        count = rows + (DELTA_PAGES - 1) * MOST_GROWTH * rows
        time.sleep(count * STEP_S + 1)  # the last of them bears the time of now
        world.bc("items/bulk", count=count, stepMs=STEP_S * 1000)
        delta = _killed(world, _kill_worker, world.truth(changed_since=since), DELTA_PAGES)
    return {
        "calm_seconds": calm["seconds"],
        "calm_requests": calm["requests"],
        "partitions": PARTITIONS,
        "slot_lease_s": PAGE_S + MARGIN_S,
        "other_lease_s": WHOLE_S + MARGIN_S,
        "killed": {"worker": worker, "worker_delta": delta, "host": host},
    }


def _killed(world: World, kill: Callable[[World], None], truth: Truth, pages: int) -> dict[str, Any]:
    """Kill a pull of so many pages; measure from then on until it reads again, commits, and all is announced."""
    before, begun, done = world.requests(), _pages(world), world.stream("pull").done_run
    world.run("pull_items")
    world.until("pages before the kill", lambda: _pages(world) >= begun + SHARE * pages)
    kill(world)
    killed = time.perf_counter()
    asked = world.requests()  # those under way were counted when they came
    took: dict[str, float] = {}
    wait = _EveryMinute(world)
    wait.until("the pull to go on", lambda: world.requests() > asked)
    took["goes_on_s"] = time.perf_counter() - killed
    wait.until("the pull to commit", lambda: world.stream("pull").done_run != done)
    took["commits_s"] = time.perf_counter() - killed
    requests = world.requests() - before
    events: list[dict[str, Any]] = []
    wait.until("the last record", lambda: _read(world, events) == truth)
    took["complete_s"] = time.perf_counter() - killed
    return {**took, "requests": requests, "repeated": _repeated(events), "verified": True}


def _read(world: World, events: list[dict[str, Any]]) -> Truth:
    """Return what all events together hold, each record once."""
    events += world.demo.events.take()
    return world.held(events)


def _repeated(events: list[dict[str, Any]]) -> int:
    return len(events) - len({event["id"] for event in events})


def _kill_worker(world: World) -> None:
    os.kill(world.pids()["host"], signal.SIGKILL)


def _kill_host(world: World) -> None:
    world.stack.kill_host()
    world.stack.start_host()


class _EveryMinute:
    """Waits, and starts the timer of every minute at each full one, as the stack's own timers are off."""

    def __init__(self, world: World) -> None:
        """Begin to wait."""
        self._world = world
        self._minute = int(time.time() // 60)

    def until(self, what: str, done: Callable[[], bool]) -> None:
        """Wait as `World.until` does; seldom looking takes no processor from who works."""

        def look() -> bool:
            minute = int(time.time() // 60)
            if minute != self._minute:
                self._minute = minute
                self._world.run("retry_sales_orders")
            is_done = done()
            if not is_done:
                time.sleep(0.2)
            return is_done

        self._world.until(what, look, patience_s=PATIENCE_S)


def _pages(world: World) -> int:
    return int(world.executions()["runs"].get("read_page", 0))
