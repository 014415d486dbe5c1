"""The first watch: a snapshot of the ids of a hundred thousand invoices, so that none of them is announced as new."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

from bench.options import Options
from bench.storage_meter import StorageMeter
from bench.world import Missed, World
from shared.changes.streams import Stream

_AT_ONCE = 5_000  # invoices in one control call
_AGE_S = 3600.0  # of the invoices when the watch begins: what is younger than its overlap is listed twice


def run(options: Options) -> dict[str, Any]:
    """Take the first snapshot once; then a reconcile that reads all must find nothing."""
    with StorageMeter() as meter, World("baseline", meter=meter) as world:
        world.bc("clock/advance", seconds=-_AGE_S)
        for _ in range(-(-options.baseline // _AT_ONCE)):
            world.bc("records/create", entitySet="salesInvoices", count=min(_AT_ONCE, options.baseline))
        world.bc("clock/advance", seconds=_AGE_S)
        _read_once(world)
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
        before = world.requests()
        world.streams.change(
            Stream("reconcile", world.company, "salesInvoices"),
            lambda held: replace(held, watermark=held.watermark and held.watermark - timedelta(seconds=2 * _AGE_S)),
        )
        delta_s = world.run_stream("reconcile", "reconcile", "salesInvoices", patience_s=1200)
        delta_requests = world.requests() - before
        announced = world.demo.events.take()
    if announced:
        raise Missed(f"{len(announced)} old invoices were announced")
    return {**found, "delta_s": delta_s, "delta_requests": delta_requests, "verified": True}


def _read_once(world: World) -> None:
    """Read all invoices: the emulator writes each row's JSON once, at its first reading."""
    url, token = f"{world.company_url}/salesInvoices", world.token()
    while url:
        answer = world.demo.http.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=300)
        answer.raise_for_status()
        url = answer.json().get("@odata.nextLink", "")
