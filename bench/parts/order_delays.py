"""Sales orders sent at a steady pace: from queue to result, with nothing else to do and while full pulls run."""

from __future__ import annotations

import json
import threading
import time
from statistics import median
from types import TracebackType
from typing import Any, Self

from bench.options import Options
from bench.parts.orders import an_order, generated_key, write_takes
from bench.world import Missed, World, percentile
from local.stack.demo import COMPANY
from shared import resource_names

_POLL_S = 0.02


def run(options: Options) -> dict[str, Any]:
    """Send the same number of orders in each state of the host."""
    modelled = (options.latency_base_s, options.latency_row_us, 0.0)
    slow = (options.latency_base_s, 0.0, options.slow_bytes_per_s)
    found: dict[str, Any] = {}
    with World("order-delays") as world:
        order = an_order(world, options.order_lines)
        world.bc("items/bulk", count=options.items, variantsPerItem=options.variants_per_item, stepMs=1000)
        write_takes(world, options.order_write_s)
        world.latency(*modelled)
        world.run_stream("pull_items", "pull")  # the emulator writes each row's JSON once, at its first reading
        for turn, (name, latency) in enumerate((("alone", modelled), ("modelled", modelled), ("slow", slow))):
            world.latency(*latency)
            keys = [generated_key(turn * options.paced_orders + number) for number in range(options.paced_orders)]
            if name == "alone":
                found[name] = _paced(world, order, keys, options.paced_per_s)
            else:
                with _Pulling(world) as pulling:
                    found[name] = _paced(world, order, keys, options.paced_per_s)
                found[name]["pull_s"] = median(pulling.seconds)
    return {
        "orders": options.paced_orders, "per_s": options.paced_per_s, "write_s": options.order_write_s,
        "items": options.items, "states": found, "verified": True,
    }  # fmt: skip


def _paced(world: World, order: dict[str, Any], keys: list[str], per_s: int) -> dict[str, Any]:
    sent: dict[str, float] = {}
    seen: dict[str, float] = {}
    numbers: set[str] = set()

    def take() -> bool:
        for result in world.demo.events.results():
            if result["status"] != "created":
                raise Missed(f"an order was not created: {result}")
            seen.setdefault(result["orderKey"], time.perf_counter())
            numbers.add(result["number"])
        return len(seen) >= len(keys)

    began = time.perf_counter()
    for number, key in enumerate(keys):
        while time.perf_counter() < began + number / per_s:
            take()
            time.sleep(_POLL_S)
        sent[key] = time.perf_counter()
        world.demo.events.put(
            resource_names.QUEUE_ORDERS, json.dumps({"company": COMPANY, "orderKey": key, "order": order})
        )
    world.until("all results", take)
    if seen.keys() != sent.keys() or len(numbers) != len(keys):
        raise Missed(f"{len(keys)} orders sent, {len(seen)} results, {len(numbers)} documents")
    delays = [seen[key] - sent[key] for key in keys]
    return {"p50_s": percentile(delays, 0.5), "p99_s": percentile(delays, 0.99), "worst_s": max(delays)}


class _Pulling:
    """Runs one full pull after another. Use as a context manager; it ends with the one that is under way."""

    def __init__(self, world: World) -> None:
        self.seconds: list[float] = []
        self._world = world
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(300)
        if error is None and (self._error or not self.seconds):
            raise Missed(f"no full pull went on beside the orders: {self._error}")

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                self._world.forget_pull()
                self.seconds.append(self._world.run_stream("pull_items", "pull"))
        except Exception as error:  # noqa: BLE001  told by the thread that waits
            self._error = error
