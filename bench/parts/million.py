"""A full pull of a million items: whether memory stays where it is with a tenth of them."""

from __future__ import annotations

from typing import Any

from bench.options import Options
from bench.world import World

ITEMS = 1_000_000


def run(options: Options) -> dict[str, Any]:
    """Pull once; the events are counted by their batches and not read, as they would fill this process's memory."""
    items = 20 * options.items if options.quick else ITEMS
    with World("million", host_env={"BC_PULL_ITEM_VARIANTS": "false"}) as world:
        world.bc("items/bulk", count=items, stepMs=1)
        world.forget_peaks()
        before = world.requests()
        seconds = world.run_stream("pull_items", "pull", patience_s=900)
        return {
            "items": items, "seconds": seconds, "requests": world.requests() - before,
            "rows": world.stream("pull").rows, "peaks_mb": world.peaks_mb(),
        }  # fmt: skip
