"""The scheduled delta after one per cent of the items has changed."""

from __future__ import annotations

import math
from typing import Any

from bench.options import Options
from bench.parts.pull import ours
from bench.peers import runner
from bench.results import median
from bench.world import Missed, World
from shared.changes.plan_runs import OVERLAP
from shared.changes.streams import Stream
from shared.clock import format_time

_STEP_S = 1  # between the changes of the items that are there
_BEHIND_S = 3600.0  # how far Business Central's clock is set back at first, as turns move it on
#: Of each turn: seconds until the next change, and the share of the changes; it is pulled after a quarter of an hour,
#: as the schedule has it, and two thirds of a turn's changes lie in the overlap of the next one.
_TURN = ((200.0, 1 / 3), (300.0, 1 / 3), (300.0, 1 / 3))
_TURN_S = 900.0


def run(options: Options) -> dict[str, Any]:
    """Change, pull, count; the plain loop reads with the filter that a careful person would give it."""
    runner.prepare()
    changed = max(1, options.items // 100)
    with World("delta") as world:
        world.bc("clock/advance", seconds=-_BEHIND_S)
        world.bc("items/bulk", count=options.items, variantsPerItem=options.variants_per_item, stepMs=_STEP_S * 1000)
        world.latency(options.latency_base_s, options.latency_row_us)
        full = ours(world, world.truth())
        idle = [_idle(world) for _ in range(options.runs)]
        ids = sorted(next(iter(world.bc("state", entitySet="items")["records"].values())))
        taken: list[dict[str, Any]] = []
        for turn in range(options.runs):
            mark = world.stream("pull").watermark
            chosen = ids[turn * changed : (turn + 1) * changed]
            _change(world, chosen, f"Changed {turn}")
            before = world.requests()
            seconds = world.run_stream("pull_items", "pull")
            requests = world.requests() - before
            announced = {event["data"]["id"] for event in world.demo.events.take()}
            since = format_time(mark) if mark else ""
            peer = runner.run(world, "requests", since=since)
            taken.append({
                "seconds": seconds, "requests": requests, "peer_seconds": peer["seconds"],
                "lost": len(set(chosen) - announced), "extra": len(announced - set(chosen)),
            })  # fmt: skip
    return {
        "overlap": min(options.items, int(OVERLAP.total_seconds()) // _STEP_S),
        "changed": changed,
        "items": options.items,
        "seconds": median([run["seconds"] for run in taken]),
        "full_seconds": full["seconds"],
        "unchanged": {"seconds": median([one[0] for one in idle]), "requests": max(one[1] for one in idle)},
        "peer_seconds": median([run["peer_seconds"] for run in taken]),
        "runs": taken,
    }


def _change(world: World, keys: list[str], name: str) -> None:
    """Let a quarter of an hour pass in Business Central, in which these items are changed."""
    left = list(keys)
    for pause_s, share in _TURN:
        world.bc("clock/advance", seconds=pause_s)
        part = math.ceil(len(keys) * share)
        for key in left[:part]:
            world.bc("records/update", entitySet="items", id=key, values={"displayName": name})
        left = left[part:]
    world.bc("clock/advance", seconds=_TURN_S - sum(pause_s for pause_s, _ in _TURN))


def _idle(world: World) -> tuple[float, float]:
    """Pull when nothing has changed; return the seconds and the requests of a stream: one of each company."""
    streams = [Stream("pull", company["id"], "items") for company in world.demo._status()["companies"]]  # noqa: SLF001
    before, done = world.requests(), {stream: world.streams.load(stream).done_run for stream in streams}
    seconds = world.run_stream("pull_items", "pull")
    world.until("all companies", lambda: all(world.streams.load(one).done_run != done[one] for one in streams))
    if world.demo.events.take():
        raise Missed("records were announced though nothing had changed")
    return seconds, (world.requests() - before) / len(streams)
