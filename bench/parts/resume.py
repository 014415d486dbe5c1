"""A host killed in the middle of a full pull (SIGKILL) and started again: what is read twice, what is lost."""

from __future__ import annotations

import time
from typing import Any

from bench.options import Options
from bench.parts.pull import ours
from bench.world import World
from shared.changes.plan_runs import PARTITIONS

LEASE_S = 5  # of a queue message; ten minutes on the platform


def run(options: Options) -> dict[str, Any]:
    """Kill when 40 % of the pages of an undisturbed pull are done."""
    rows = str(max(50, options.items // 50))
    with World("resume", host_env={"LOCAL_HOST_LEASE_S": str(LEASE_S), "BC_PAGE_ROWS": rows}) as world:
        world.bc("items/bulk", count=options.items, variantsPerItem=options.variants_per_item, stepMs=1000)
        truth = world.truth()
        world.latency(options.latency_base_s, options.latency_row_us)
        calm = ours(world, truth)
        pages = _pages(world)
        world.forget_pull()
        before, done_before = world.requests(), world.stream("pull").done_run
        began = time.perf_counter()
        world.run("pull_items")
        world.until("40 % of the pages", lambda: _pages(world) >= 1.4 * pages)
        world.stack.kill_host()
        killed = time.perf_counter()
        world.stack.start_host()
        up = time.perf_counter()
        world.until("the pull to go on", lambda: world.stream("pull").done_run != done_before, patience_s=400)
        done = time.perf_counter()
        requests = world.requests() - before
        read = world.pulled()
    return {
        "calm_seconds": calm["seconds"],
        "calm_requests": calm["requests"],
        "requests": requests,
        "partitions": PARTITIONS,
        "to_kill_s": killed - began,
        "start_s": up - killed,
        "rest_s": done - up,
        "lease_s": LEASE_S,
        "verified": read == truth,
    }


def _pages(world: World) -> int:
    return int(world.executions()["runs"].get("read_page", 0))
