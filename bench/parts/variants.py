"""Variants expanded with their items, or read flat and joined: plain requests, in both models of Business Central."""

from __future__ import annotations

from typing import Any

from bench.options import Options
from bench.peers import runner
from bench.results import median
from bench.world import Missed, World
from shared.business_central.lease_rows import SLOTS
from shared.changes.plan_runs import PARTITIONS


def run(options: Options) -> dict[str, Any]:
    """Measure both in turns; each must bring every item with its variants."""
    runner.prepare()
    models = {
        "modelled": (options.latency_base_s, options.latency_row_us, 0.0),
        "slow": (options.latency_base_s, 0.0, options.slow_bytes_per_s),
    }
    found: dict[str, Any] = {}
    with World("variants") as world:
        world.bc("items/bulk", count=options.items, variantsPerItem=options.variants_per_item, stepMs=1000)
        truth = world.truth()
        for way in runner.VARIANTS:  # the emulator writes each row's JSON once, at its first reading
            runner.run(world, way, workers=SLOTS, ranges=PARTITIONS)
        for title, latency in models.items():
            world.latency(*latency)
            runs: dict[str, list[dict[str, Any]]] = {way: [] for way in runner.VARIANTS}
            for _ in range(options.runs):
                for way, taken in runs.items():
                    one = runner.run(world, way, workers=SLOTS, ranges=PARTITIONS)
                    if one["read"] != truth:
                        raise Missed(f"{way} read {one['read']}, the emulator holds {truth}")
                    taken.append(one)
            found[title] = {
                way: {
                    "seconds": median([one["seconds"] for one in taken]),
                    "all_seconds": [round(one["seconds"], 2) for one in taken],
                    "requests": taken[-1]["requests"],
                }
                for way, taken in runs.items()
            }
    return {"items": truth.items, "variants": truth.variants, "workers": SLOTS, "models": found, "verified": True}
