"""The full pull: ours through timer, queue and storage beside the peers, with and without modelled latency."""

from __future__ import annotations

from typing import Any

from bench import memory
from bench.options import Options
from bench.peers import runner
from bench.results import median
from bench.world import Missed, Truth, World
from shared.business_central.lease_rows import SLOTS


def run(options: Options) -> dict[str, Any]:
    """Measure; every run is compared record by record with the emulator's truth."""
    runner.prepare()
    slow = (options.latency_base_s, 0.0, options.slow_bytes_per_s)
    models = {"zero": (0.0, 0.0, 0.0), "modelled": (options.latency_base_s, options.latency_row_us, 0.0), "slow": slow}
    plain = _compare(options, models)
    packed = _compare(options, {"slow_gzip": slow}, gzip=True)
    return {**plain, "latency": plain["latency"] | packed["latency"]}


def _compare(options: Options, models: dict[str, tuple[float, float, float]], *, gzip: bool = False) -> dict[str, Any]:
    """Measure each model, ours and the peers in turns."""
    found: dict[str, Any] = {}
    with World("pull-gzip" if gzip else "pull", gzip=gzip) as world:
        world.bc("items/bulk", count=options.items, variantsPerItem=options.variants_per_item, stepMs=1000)
        truth = world.truth()
        runner.run(world, "requests")  # the emulator writes each row's JSON once, at its first reading
        ours(world, truth)
        for title, latency in models.items():
            world.latency(*latency)
            runs: dict[str, list[dict[str, Any]]] = {"ours": [], **{peer: [] for peer in runner.PEERS}}
            for turn in range(options.runs):
                runs["ours"].append(ours(world, truth))
                for peer in runner.PEERS:
                    if turn and (peer == "dlt_full" or latency[2]):
                        continue  # a minute a run
                    runs[peer].append(_checked(peer, runner.run(world, peer), truth))
            found[title] = {name: summary(taken) for name, taken in runs.items()}
    return {"items": truth.items, "variants": truth.variants, "latency": found, "page": _page_facts(world)}


def ours(world: World, truth: Truth) -> dict[str, Any]:
    """Pull everything through the host once, from an empty state to the committed watermark."""
    world.forget_pull()
    world.forget_peaks()
    before, busy, pids = world.requests(), world.at_once_s(), world.pids()
    cpu = {name: memory.cpu_s(pid) for name, pid in pids.items()}
    seconds = world.run_stream("pull_items", "pull")
    taken = {
        "seconds": seconds,
        "requests": world.requests() - before,
        "full_share": _full_share(busy, world.at_once_s()),
        "peaks_mb": world.peaks_mb(),
        "cpu_s": {name: round(memory.cpu_s(pid) - cpu[name], 2) for name, pid in pids.items()},
        "read": world.pulled(),
    }
    return _checked("ours", taken, truth)


def _full_share(before: dict[int, float], after: dict[int, float]) -> float:
    """Return the share of the time with requests under way in which the budget was full (0 to 1)."""
    spent = {at_once: seconds - before.get(at_once, 0.0) for at_once, seconds in after.items()}
    full = sum(seconds for at_once, seconds in spent.items() if at_once >= SLOTS)
    return full / (sum(spent.values()) or 1.0)


def _checked(name: str, taken: dict[str, Any], truth: Truth) -> dict[str, Any]:
    read = taken.pop("read")
    if read != truth:
        raise Missed(f"{name} read {read}, the emulator holds {truth}")
    return {**taken, "verified": True}


def summary(taken: list[dict[str, Any]]) -> dict[str, Any]:
    """Return medians over the runs, peaks over all of them."""
    peaks = [run.get("peaks_mb") or {"peer": run["peak_mb"]} for run in taken]
    return {
        "seconds": median([run["seconds"] for run in taken]),
        "all_seconds": [round(run["seconds"], 2) for run in taken],
        "requests": taken[-1]["requests"],
        "peaks_mb": {name: max(peak[name] for peak in peaks) for name in peaks[0]},
        "cpu_s": taken[-1].get("cpu_s"),
        "full_share": taken[-1].get("full_share"),
        "verified": all(run["verified"] for run in taken),
    }


def _page_facts(world: World) -> dict[str, Any]:
    found = world.executions()
    pages = max(1, found["runs"].get("read_page", 0))
    return {"executions": found["runs"], "mean_page_ms": round(found["took_ms"].get("read_page", 0) / pages)}
