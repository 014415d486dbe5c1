"""Notifications: a thousand in one call, ten calls a second for a minute, and a collection of fifty thousand."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from bench.options import Options
from bench.results import median
from bench.webhook import Sender
from bench.world import EventClock, Missed, World, percentile

PAGE_ROWS = 2000  # the default of BC_PAGE_ROWS
_STEP_MS = 0.1  # between the times of two items


def run(options: Options) -> dict[str, Any]:
    """Take the first snapshot first, so that only what is new is announced."""
    with World("notifications") as world:
        world.take_snapshot()
        known = set(world.demo._records("items"))  # noqa: SLF001
        calls = options.stream_s * options.stream_per_s
        world.bc("items/bulk", count=options.notifications * options.runs + calls, stepMs=1)
        fresh = sorted(set(world.demo._records("items")) - known)  # noqa: SLF001
        sender = Sender(world)
        bursts = []
        for turn in range(options.runs):
            keys = fresh[turn * options.notifications : (turn + 1) * options.notifications]
            bursts.append(_burst(world, sender, keys))
        stream = _stream(world, sender, fresh[-calls:], options.stream_per_s)
        return {
            "burst": {
                "notifications": options.notifications,
                "ack_s": median([burst["ack_s"] for burst in bursts]),
                "to_last_event_s": median([burst["to_last_event_s"] for burst in bursts]),
                "requests": bursts[-1]["requests"],
            },
            "stream": {"per_s": options.stream_per_s, "seconds": options.stream_s, **stream},
            "host_peak_mb": world.peaks_mb()["host"],
        }


def _burst(world: World, sender: Sender, keys: list[str]) -> dict[str, Any]:
    before = world.requests()
    clock = EventClock(world)
    began = time.perf_counter()
    ack_s = sender.call(sender.session(), sender.created(keys))
    world.until("the events of one call", lambda: len(clock.seen) >= len(keys))
    clock.stop()
    _check(clock, keys)
    return {
        "ack_s": ack_s,
        "to_last_event_s": max(clock.seen.values()) - began,
        "requests": world.requests() - before,
    }


def _stream(world: World, sender: Sender, keys: list[str], per_s: int) -> dict[str, Any]:
    clock = EventClock(world)
    sent: dict[str, float] = {}
    acks: list[float] = []
    local = threading.local()

    def send(key: str) -> None:
        session: requests.Session | None = getattr(local, "session", None)
        if session is None:
            session = local.session = sender.session()
        sent[key] = time.perf_counter()
        acks.append(sender.call(session, sender.created([key])))

    began = time.perf_counter()
    with ThreadPoolExecutor(16) as pool:
        waiting = []
        for number, key in enumerate(keys):
            time.sleep(max(0.0, began + number / per_s - time.perf_counter()))
            waiting.append(pool.submit(send, key))
        for one in waiting:
            one.result()
    world.until("the events of all calls", lambda: len(clock.seen) >= len(keys))
    clock.stop()
    _check(clock, keys)
    delays = [clock.seen[key] - sent[key] for key in keys]
    return {
        "calls": len(keys),
        "ack_p50_s": percentile(acks, 0.5), "ack_p99_s": percentile(acks, 0.99),
        "event_p50_s": percentile(delays, 0.5), "event_p95_s": percentile(delays, 0.95),
        "event_p99_s": percentile(delays, 0.99),
    }  # fmt: skip


def _check(clock: EventClock, keys: list[str]) -> None:
    lost = set(keys) - set(clock.seen)
    doubled = [name for name, ids in clock.ids.items() if len(ids) > 1]
    if lost or doubled:
        raise Missed(f"{len(lost)} records were not announced, {len(doubled)} under two ids")


def collection(options: Options) -> dict[str, Any]:
    """Expand one `collection` notification over many new items (P6)."""
    with World("collection") as world:
        world.take_snapshot()
        known = set(world.demo._records("items"))  # noqa: SLF001
        # They bear times that go back from now; what was made before the watch began is no news.
        time.sleep(1 + options.collection * _STEP_MS / 1000)
        world.bc("items/bulk", count=options.collection, variantsPerItem=options.variants_per_item, stepMs=_STEP_MS)
        world.latency(options.latency_base_s, options.latency_row_us)
        world.forget_peaks()
        before, done = world.requests(), world.stream("reconcile").done_run
        sender = Sender(world)
        began = time.perf_counter()
        sender.call(sender.session(), sender.collection(datetime.now(UTC) - timedelta(minutes=5)))
        world.until("the collection", lambda: world.stream("reconcile").done_run != done, patience_s=600)
        seconds = time.perf_counter() - began
        requests_, peaks = world.requests() - before, world.peaks_mb()
        world.latency()
        announced: dict[str, set[str]] = {}
        for event in world.demo.events.take():
            announced.setdefault(event["data"]["id"], set()).add(event["id"])
        wanted = set(world.demo._records("items")) - known  # noqa: SLF001
    if set(announced) != wanted or any(len(ids) > 1 for ids in announced.values()):
        raise Missed(f"{len(wanted)} items are new, {len(announced)} were announced")
    return {
        "records": options.collection, "seconds": seconds, "requests": requests_,
        "pages": -(-options.collection // PAGE_ROWS), "peaks_mb": peaks, "verified": True,
    }  # fmt: skip
