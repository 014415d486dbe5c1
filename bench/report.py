"""Writes `docs/performance.md` and its plot from the numbers that were kept; nothing in them is typed by hand.

A section whose measurement was not taken here stays on the page as it was, with its date and machine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import prices, results
from bench.options import ROOT, Options
from bench.peers.runner import PEERS
from bench.sections import PLOT, SECTIONS, Numbers, host_cpu_s, plot, prose, table

_IDLE_LIMIT = 3_000
_ORDERS_OF_010_S = 89  # what version 0.1.0 took for 1,000 orders
_NOTES = Path(__file__).with_name("notes.md")
_INTRODUCTION = """
    Written by `make bench` (`python -m bench`); do not edit. Everything, the emulators included, ran on one machine,
    which each section names with the time and the version. Seconds depend on the machine and on what else it does,
    ratios within one run much less: compare those.
"""


def write(options: Options) -> tuple[Path, list[str]]:
    """Write the page and the plot; return where, and of which measurements the numbers have another form than today's.

    Their sections stay as they are. A small run writes beside its numbers and not into `docs/`.
    """
    folder = options.results if options.quick else ROOT / "docs"
    folder.mkdir(parents=True, exist_ok=True)
    taken = {name: numbers for name in SECTIONS if (numbers := results.load(options, name)) is not None}
    found = {name: numbers for name, numbers in taken.items() if _has_form(name, numbers)}
    path = folder / "performance.md"
    path.write_text(page(found, path.read_text(encoding="utf-8") if path.is_file() else ""), encoding="utf-8")
    if "pull" in found:
        (folder / PLOT).write_text(plot(found["pull"]), encoding="utf-8")
    return path, [name for name in taken if name not in found]


def _has_form(name: str, numbers: Numbers) -> bool:
    try:
        _section(name, numbers)
    except KeyError:
        return False
    return True


def page(found: dict[str, Numbers], before: str = "") -> str:
    """Return the page for the measurements that were taken; what was not stays as it is on the page `before`."""
    lines = ["# Performance", "", *prose(_INTRODUCTION)]
    if _NOTES.is_file():
        lines += ["", *_NOTES.read_text(encoding="utf-8").rstrip().splitlines()]
    kept = dict(re.findall(r"^## (.+)\n\n((?:(?!## ).*\n?)*)", before, re.MULTILINE))
    for name, (title, _) in SECTIONS.items():
        if name in found:
            lines += ["", f"## {title}", "", *_section(name, found[name])]
        elif title in kept:
            lines += ["", f"## {title}", "", *kept[title].rstrip().splitlines()]
    return "\n".join(lines) + "\n"


def _section(name: str, numbers: Numbers) -> list[str]:
    rows = _aims(name, numbers)
    aims = ["", *table(("Aim", "Wanted", "Measured", "Met"), rows)] if rows else []
    return [*_taken(numbers), "", *SECTIONS[name][1](numbers), *aims]


def _taken(numbers: Numbers) -> list[str]:
    machine = "{cpu}, {cores} cores, {memory_gb} GB, {system}, Python {python}".format(**numbers["machine"])
    load = numbers["machine"]["load"]
    commit = f" at {numbers['commit']}" if numbers["commit"] else ""
    took = f"{numbers['took_s']} s, load average at the end {load}"
    return prose(f"*Version {numbers['version']}{commit}, {numbers['taken']}, taken in {took}; {machine}.*")


type _Aim = tuple[str, str, str, bool]  # what, wanted, as measured, whether it is met


def _aims(name: str, numbers: Numbers) -> list[tuple[str, str, str, str]]:
    found = _AIMS[name](numbers) if name in _AIMS else ()
    return [(what, wanted, shown, "yes" if is_met else "**no**") for what, wanted, shown, is_met in found]


def _most(what: str, value: float, most: float, form: str) -> _Aim:
    """Return the aim not to exceed a value; `form`: how what was measured is written, with its unit."""
    return what, f"<= {most:,g}{_unit(form)}", form.format(value), value <= most


def _least(what: str, value: float, least: float, form: str) -> _Aim:
    """Return the aim to reach a value."""
    return what, f">= {least:,g}{_unit(form)}", form.format(value), value >= least


def _unit(form: str) -> str:
    return form.partition("}")[2]


def _memory(peak_mb: float, most_mb: float) -> _Aim:
    return _most("Memory of our process", float(peak_mb), most_mb, "{:.0f} MB")


def _aims_of_pull(numbers: Numbers) -> Iterator[_Aim]:
    latency = numbers["latency"]
    modelled, slow, zero = latency["modelled"], latency["slow"], latency["zero"]
    fastest = min(modelled[peer]["seconds"] for peer in PEERS)
    yield _most("Modelled latency, to the fastest peer", modelled["ours"]["seconds"] / fastest, 0.30, "{:.2f}")
    ratio = modelled["two"]["seconds"] / fastest
    yield _most("Modelled latency, two identities, to the fastest peer", ratio, 0.18, "{:.2f}")
    yield _most("2 MB/s a call", slow["ours"]["seconds"], 20, "{:.1f} s")
    yield _most("2 MB/s a call, two identities", slow["two"]["seconds"], 11, "{:.1f} s")
    yield _most("No latency, to the plain loop", zero["ours"]["seconds"] / zero["requests"]["seconds"], 1.2, "{:.2f}")
    yield _most("Processor time of our host, no latency", host_cpu_s(zero["ours"]), 2.5, "{:.1f} s")
    yield _memory(max(one["ours"]["peaks_mb"]["host"] for one in latency.values()), 256)


def _aims_of_collection(numbers: Numbers) -> Iterator[_Aim]:
    yield _most("Seconds", numbers["seconds"], 20, "{:.0f} s")
    yield _most("Requests", numbers["requests"], numbers["pages"] + 2, "{}")
    yield _memory(numbers["peaks_mb"]["host"], 256)


def _aims_of_notifications(numbers: Numbers) -> Iterator[_Aim]:
    burst, stream = numbers["burst"], numbers["stream"]
    yield _most(f"{burst['notifications']:,} in one call, acknowledged", burst["ack_s"], 1, "{:.2f} s")
    title = f"{stream['per_s']} a second, Business Central's POST to event, p95"
    yield _most(title, stream["event_p95_s"], 2, "{:.2f} s")


def _aims_of_start(numbers: Numbers) -> Iterator[_Aim]:
    yield _most("Import of the app", numbers["import_s"], 1, "{:.2f} s")
    yield _most("Process start to first handshake", numbers["first_handshake_s"], 4, "{:.2f} s")
    yield _most("Handshake, warm, p99", numbers["warm_p99_s"], 1, "{:.3f} s")


def _aims_of_delta(numbers: Numbers) -> Iterator[_Aim]:
    idle = numbers["unchanged"]
    yield _most("Delta of 1 %", numbers["seconds"], 1, "{:.2f} s")
    yield _most("Nothing changed", idle["seconds"], 0.3, "{:.2f} s")
    yield _most("Nothing changed, requests a stream", idle["requests"], 1, "{:g}")


def _aims_of_resume(numbers: Numbers) -> Iterator[_Aim]:
    for name, most, title in (
        ("worker", 60, "Goes on after its worker's death, full pull"),
        ("worker_delta", 60, "Goes on after its worker's death, delta"),
        ("host", 180, "Goes on after its host's death, full pull"),
    ):
        if one := numbers.get("killed", {}).get(name):
            yield _most(title, one["goes_on_s"], most, "{:.0f} s")


def _aims_of_baseline(numbers: Numbers) -> Iterator[_Aim]:
    yield _most(f"Reconcile over {numbers['invoices']:,} unpaid invoices", numbers["delta_s"], 30, "{:.0f} s")


def _aims_of_orders(numbers: Numbers) -> Iterator[_Aim]:
    ours = numbers["ours"]
    for name, share in (("generated", 0.6), ("given", 1.0)):
        taken, title = ours[name]["per_1000_s"], f"1,000 orders, {name} numbers: {share} of {_ORDERS_OF_010_S} s"
        yield _most(title, taken, share * _ORDERS_OF_010_S, "{:.0f} s")
    rate = 1000 / ours["quick"]["per_1000_s"]
    yield _least(f"Orders a second, writes of {numbers['quick_write_s'] * 1000:.0f} ms", rate, 20, "{:.1f}")


def _aims_of_cost(numbers: Numbers) -> Iterator[_Aim]:
    for count, idle in numbers["idle"].items():
        title = f"Executions on an idle day, companies: {count}"
        yield _most(title, prices.idle_day(idle)["executions"], _IDLE_LIMIT, "{:,.0f}")


def _aims_of_million(numbers: Numbers) -> Iterator[_Aim]:
    yield _memory(numbers["peaks_mb"]["host"], 160)


_AIMS: dict[str, Callable[[Numbers], Iterator[_Aim]]] = {
    "pull": _aims_of_pull,
    "collection": _aims_of_collection,
    "notifications": _aims_of_notifications,
    "start": _aims_of_start,
    "delta": _aims_of_delta,
    "resume": _aims_of_resume,
    "baseline": _aims_of_baseline,
    "orders": _aims_of_orders,
    "cost": _aims_of_cost,
    "million": _aims_of_million,
}
