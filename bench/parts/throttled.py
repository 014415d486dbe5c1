"""A full pull while five per cent of the requests are answered 429 with Retry-After: 1."""

from __future__ import annotations

from typing import Any

from bench.options import Options
from bench.parts.pull import ours
from bench.peers import runner
from bench.world import Missed, World

PAGE_ROWS = 1000  # of everybody, so that the share is of many requests
_OWN_ROWS = PAGE_ROWS // 4  # pages of a full pull grow fourfold
SHARE = 0.05
_WAIT = {"retry_after": "1"}


def run(options: Options) -> dict[str, Any]:
    """Measure with and without; nothing may be lost or doubled."""
    runner.prepare()
    found: dict[str, dict[str, Any]] = {}
    with World("throttled", host_env={"BC_PAGE_ROWS": str(_OWN_ROWS)}) as world:
        world.bc("items/bulk", count=options.items, variantsPerItem=options.variants_per_item, stepMs=1000)
        truth = world.truth()
        runner.run(world, "requests")
        world.latency(options.latency_base_s, options.latency_row_us)
        for calm in ("_calm", ""):
            world.bc("faults/clear")
            if not calm:
                world.bc("faults/add", kind="429", match="GET .*/items", probability=SHARE, times=None, **_WAIT)
            found["ours" + calm] = ours(world, truth)
            peer = found["requests" + calm] = runner.run(world, "requests", page_rows=PAGE_ROWS)
            if peer.pop("read") != truth:
                raise Missed("the plain loop lost records")
    return {
        "share": SHARE,
        "page_rows": PAGE_ROWS,
        **{name: {"seconds": taken["seconds"], "requests": taken["requests"]} for name, taken in found.items()},
    }
