"""The first watch: a snapshot of the ids of a hundred thousand invoices, so that none of them is announced as new."""

from __future__ import annotations

import time
from typing import Any

from bench.options import Options
from bench.storage_meter import StorageMeter
from bench.world import Missed, World

_AT_ONCE = 5_000  # invoices in one control call


def run(options: Options) -> dict[str, Any]:
    """Take the first snapshot once; then a reconcile must find nothing."""
    with StorageMeter() as meter, World("baseline", meter=meter) as world:
        for _ in range(-(-options.baseline // _AT_ONCE)):
            world.bc("records/create", entitySet="salesInvoices", count=min(_AT_ONCE, options.baseline))
        world.latency(options.latency_base_s, options.latency_row_us)
        world.forget_peaks()
        meter.reset()
        before = world.requests()
        began = time.perf_counter()
        world.run("reconcile")
        world.until("the snapshot", lambda: world.stream("snapshot", "salesInvoices").snapshot > 0, patience_s=600)
        seconds = time.perf_counter() - began
        found = {
            "invoices": options.baseline,
            "seconds": seconds,
            "requests": world.requests() - before,
            "peaks_mb": world.peaks_mb(),
            "storage": meter.counts(),
        }
        delta_s = world.run_stream("reconcile", "reconcile", "salesInvoices", patience_s=1200)
        announced = world.demo.events.take()
    if announced:
        raise Missed(f"{len(announced)} old invoices were announced")
    return {**found, "delta_s": delta_s, "verified": True}
