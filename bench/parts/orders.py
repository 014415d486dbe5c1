"""Sales orders: ours from queue to result beside a sequential loop and `$batch`, with a modelled write latency."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

from bench import memory
from bench.options import Options
from bench.world import Missed, World
from local.stack.demo import COMPANY
from shared import resource_names
from shared.orders.order_message import external_of

_WRITES = r"POST .*/(salesOrders|\$batch)"


def run(options: Options) -> dict[str, Any]:
    """Post the same orders three ways. The loop and `$batch` are timed on a sample and reported per 1,000 orders.

    Each kind of ours in a stack of its own, as Azurite goes through all orders of before at each look-up.
    """
    with World("orders") as world:
        order = an_order(world, options.order_lines)
        write_takes(world, options.order_write_s)
        loop_s = _loop(world, order, options.order_samples)
        batch_s = _batch(world, order, options.order_batch)
    kinds = {
        "generated": (options.order_write_s, generated_key),
        "given": (options.order_write_s, _given_key),
        "quick": (options.quick_write_s, generated_key),
    }
    ours: dict[str, dict[str, Any]] = {}
    for name, (write_s, key_of) in kinds.items():
        with World("orders") as world:
            write_takes(world, write_s)
            ours[name] = _ours(world, an_order(world, options.order_lines), options.orders, key_of)
    return {
        "orders": options.orders,
        "lines": options.order_lines,
        "write_s": options.order_write_s,
        "quick_write_s": options.quick_write_s,
        "loop": _per_1000(options.order_samples, loop_s),
        "batch": _per_1000(options.order_batch, batch_s),
        "ours": {name: {**one, **_per_1000(options.orders, one["seconds"])} for name, one in ours.items()},
    }


def an_order(world: World, lines: int) -> dict[str, Any]:
    """Return an order of the demo company with so many lines, as Business Central takes it."""
    customer = min(row["number"] for row in world.demo._records("customers").values())  # noqa: SLF001
    items = [row["number"] for row in world.demo._records("items").values() if not row["blocked"]]  # noqa: SLF001
    asked = [{"lineType": "Item", "lineObjectNumber": items[n % len(items)], "quantity": 1 + n} for n in range(lines)]
    return {"customerNumber": customer, "orderDate": "2026-02-11", "salesOrderLines": asked}


def write_takes(world: World, seconds: float) -> None:
    """Let every write of an order take so long, beside the modelled latency."""
    world.bc("faults/clear")
    world.bc("faults/add", kind="slow", match=_WRITES, delay_s=seconds, times=None)


def generated_key(number: int) -> str:
    """Return a key from which the bundle makes the external number itself."""
    return str(uuid.UUID(int=number + 1))


def _given_key(number: int) -> str:
    """Return a key that is the external number."""
    return f"BENCH-{number:05d}"


def _per_1000(orders: int, seconds: float) -> dict[str, Any]:
    return {"orders": orders, "seconds": seconds, "per_1000_s": seconds / orders * 1000}


def _loop(world: World, order: dict[str, Any], count: int) -> float:
    token = world.token()
    began = time.perf_counter()
    for number in range(count):
        answer = world.demo.http.post(
            f"{world.company_url}/salesOrders", json={**order, "externalDocumentNumber": f"LOOP-{number:05d}"},
            headers={"Authorization": f"Bearer {token}"}, timeout=60,
        )  # fmt: skip
        answer.raise_for_status()
    return time.perf_counter() - began


def _batch(world: World, order: dict[str, Any], count: int) -> float:
    token = world.token()
    requests = [
        {
            "id": str(number), "method": "POST", "url": f"companies({world.company})/salesOrders",
            "headers": {"Content-Type": "application/json"},
            "body": {**order, "externalDocumentNumber": f"BATCH-{number:05d}"},
        }
        for number in range(count)
    ]  # fmt: skip
    began = time.perf_counter()
    answer = world.demo.http.post(
        f"{world.company_url.rpartition('/companies')[0]}/$batch", json={"requests": requests},
        headers={"Authorization": f"Bearer {token}"}, timeout=300,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    statuses = {part["status"] for part in answer.json()["responses"]}
    if statuses != {201}:
        raise Missed(f"$batch answered {statuses}")
    return seconds


def _ours(world: World, order: dict[str, Any], count: int, key_of: Callable[[int], str]) -> dict[str, Any]:
    """Put all messages into the queue while the host is down; the clock runs from its start to the last result."""
    world.stack.stop_host()
    keys = [key_of(number) for number in range(count)]
    for key in keys:
        message = {"company": COMPANY, "orderKey": key, "order": order}
        world.demo.events.put(resource_names.QUEUE_ORDERS, json.dumps(message))
    before = world.requests()
    world.stack.start_host()
    memory.forget_peak(world.pids()["host"])
    began = time.perf_counter()
    world.until(
        "all results", lambda: world.demo.events.count(resource_names.QUEUE_RESULTS) >= count, patience_s=300 + count
    )
    seconds = time.perf_counter() - began
    peaks, requests, usage = world.peaks_mb(), world.requests() - before, world.bc("statistics")["principals"]
    results = world.demo.events.results()
    made = {result["number"] for result in results if result["status"] == "created"}
    numbers = {external_of(key) for key in keys}
    held = [
        row["externalDocumentNumber"]
        for row in world.demo._records("salesOrders").values()  # noqa: SLF001
        if row["externalDocumentNumber"] in numbers
    ]
    if not len(results) == len(made) == len(held) == len(set(held)) == count:
        raise Missed(f"{count} orders sent, {len(results)} results, {len(made)} created, {len(held)} in BC")
    return {
        "seconds": seconds, "requests": requests, "peaks_mb": peaks, "verified": True,
        "most_at_once": max(one["max_at_once"] for one in usage.values()),
    }  # fmt: skip
