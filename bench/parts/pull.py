"""The full pull: ours through timer, queue and storage beside the peers, with and without modelled latency."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any, Final

from bench import memory
from bench.options import Options
from bench.peers import runner
from bench.world import Missed, Truth, World
from shared.business_central.lease_rows import SLOTS
from shared.business_central.request_budget import RESERVED_SLOT

type Usage = dict[str, dict[int, float]]

_READS_SHARE: Final = 0.05  # of the time, with a request under way; an identity that asks less does not read


def run(options: Options) -> dict[str, Any]:
    """Measure; every run is compared record by record with the emulator's truth."""
    runner.prepare()
    modelled = (options.latency_base_s, options.latency_row_us, 0.0)
    slow = (options.latency_base_s, 0.0, options.slow_bytes_per_s)
    plain = _compare(options, {"zero": (0.0, 0.0, 0.0), "modelled": modelled, "slow": slow}, runner.PEERS)
    # compression changes nothing in what a single reader waits for, so one loop stands for all peers
    latency = plain["latency"] | _compare(options, {"slow_gzip": slow}, ("requests",), gzip=True)["latency"]
    two = _compare(options, {"modelled": modelled, "slow": slow}, (), reader=True)["latency"]
    for title, taken in two.items():
        latency[title]["two"] = taken["ours"]
    return {**plain, "latency": latency}


def _compare(
    options: Options, models: Mapping[str, tuple[float, float, float]], peers: Iterable[str], *, gzip: bool = False,
    reader: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Measure each model, ours and the peers in turns; with a `reader` ours has a second identity."""
    found: dict[str, Any] = {}
    with World("pull-gzip" if gzip else "pull", gzip=gzip, reader=reader) as world:
        world.bc("items/bulk", count=options.items, variantsPerItem=options.variants_per_item, stepMs=1000)
        truth = world.truth()
        runner.run(world, "requests")  # the emulator writes each row's JSON once, at its first reading
        ours(world, truth)
        for title, latency in models.items():
            world.latency(*latency)
            runs: dict[str, list[dict[str, Any]]] = {"ours": [], **{peer: [] for peer in peers}}
            for turn in range(options.runs):
                for name, taken in runs.items():
                    if name == "ours":
                        taken.append(ours(world, truth))
                    elif not turn or not (name == "dlt_full" or latency[2]):  # those take a minute a run
                        taken.append(_checked(name, runner.run(world, name), truth))
            found[title] = {name: summary(taken) for name, taken in runs.items()}
    return {"items": truth.items, "variants": truth.variants, "latency": found}


def ours(world: World, truth: Truth) -> dict[str, Any]:
    """Pull everything through the host once, from an empty state to the committed watermark."""
    world.forget_pull()
    world.forget_peaks()
    before, pids = world.requests(), world.pids()
    plans, done_run = len(world.logged("run.planned", "pull")), world.stream("pull").done_run
    cpu = {name: memory.cpu_s(pid) for name, pid in pids.items()}
    began = time.perf_counter()
    world.run("pull_items")
    world.until("the pull to be planned", lambda: len(world.logged("run.planned", "pull")) > plans)
    usage = world.at_once_s()  # so that the probes of the plan are left out
    world.until("the pull to commit", lambda: world.stream("pull").done_run != done_run, patience_s=300)
    seconds = time.perf_counter() - began
    span_s = world.logged("page.read", "pull")[-1] - world.logged("run.planned", "pull")[-1]
    taken = {
        "seconds": seconds,
        "requests": world.requests() - before,
        "busy": _busy(usage, world.at_once_s(), span_s),
        "peaks_mb": world.peaks_mb(),
        "cpu_s": {name: round(memory.cpu_s(pid) - cpu[name], 2) for name, pid in pids.items()},
        "read": world.pulled(),
    }
    return _checked("ours", taken, truth)


def _busy(before: Usage, after: Usage, span_s: float) -> dict[str, float]:
    """Return how the budget was used in the time between first and last page.

    `mean`: requests being processed, of all identities; `without_reserved` and `all`: the share of the time in which
    all slots but the reserved one, and all of them, were in use, the mean of the identities that read.
    """
    spent = [
        {at_once: seconds - before.get(who, {}).get(at_once, 0.0) for at_once, seconds in usage.items()}
        for who, usage in after.items()
    ]
    readers = [one for one in spent if sum(one.values()) > _READS_SHARE * span_s]

    def share(least: int) -> float:
        full = sum(seconds for one in readers for at_once, seconds in one.items() if at_once >= least)
        return full / (span_s * len(readers))

    work_s = sum(at_once * seconds for one in spent for at_once, seconds in one.items())
    return {"mean": work_s / span_s, "without_reserved": share(RESERVED_SLOT), "all": share(SLOTS)}


def _checked(name: str, taken: dict[str, Any], truth: Truth) -> dict[str, Any]:
    read = taken.pop("read")
    if read != truth:
        raise Missed(f"{name} read {read}, the emulator holds {truth}")
    return {**taken, "verified": True}


def summary(taken: list[dict[str, Any]]) -> dict[str, Any]:
    """Return medians over the runs, peaks over all of them."""
    peaks = [run.get("peaks_mb") or {"peer": run["peak_mb"]} for run in taken]
    return {
        "seconds": median(run["seconds"] for run in taken),
        "all_seconds": [round(run["seconds"], 2) for run in taken],
        "requests": taken[-1]["requests"],
        "peaks_mb": {name: max(peak[name] for peak in peaks) for name in peaks[0]},
        "verified": all(run["verified"] for run in taken),
        **{name: _medians([run[name] for run in taken]) for name in ("cpu_s", "busy") if name in taken[0]},
    }


def _medians(taken: list[dict[str, float]]) -> dict[str, float]:
    return {name: median(one[name] for one in taken) for name in taken[0]}
