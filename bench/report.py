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
from bench.sections import PLOT, SECTIONS, Numbers, plot, prose, table

_IDLE_LIMIT = 3_000
_NOTES = Path(__file__).with_name("notes.md")
_INTRODUCTION = """
    Written by `make bench` (`python -m bench`); do not edit. Everything, the emulators included, ran on one machine,
    which each section names with the time and the version. Seconds depend on the machine and on what else it does,
    ratios within one run much less: compare those.
"""

type Aim = tuple[str, str, str, str]


def write(options: Options) -> Path:
    """Write the page and the plot; return where. A small run writes beside its numbers and not into `docs/`."""
    folder = options.results if options.quick else ROOT / "docs"
    folder.mkdir(parents=True, exist_ok=True)
    found = {name: numbers for name in SECTIONS if (numbers := results.load(options, name)) is not None}
    path = folder / "performance.md"
    path.write_text(page(found, path.read_text(encoding="utf-8") if path.is_file() else ""), encoding="utf-8")
    if "pull" in found:
        (folder / PLOT).write_text(plot(found["pull"]), encoding="utf-8")
    return path


def page(found: dict[str, Numbers], before: str = "") -> str:
    """Return the page for the measurements that were taken; what was not stays as it is on the page `before`."""
    lines = ["# Performance", "", *prose(_INTRODUCTION)]
    if _NOTES.is_file():
        lines += ["", *_NOTES.read_text(encoding="utf-8").rstrip().splitlines()]
    kept = dict(re.findall(r"^## (.+)\n\n((?:(?!## ).*\n?)*)", before, re.MULTILINE))
    for name, (title, section) in SECTIONS.items():
        if name in found:
            aims = table(("Aim", "Wanted", "Measured", "Met"), rows) if (rows := _aims(name, found[name])) else []
            lines += [
                "",
                f"## {title}",
                "",
                *_taken(found[name]),
                "",
                *section(found[name]),
                *([""] if aims else []),
                *aims,
            ]
        elif title in kept:
            lines += ["", f"## {title}", "", *kept[title].rstrip().splitlines()]
    return "\n".join(lines) + "\n"


def _taken(numbers: Numbers) -> list[str]:
    machine = "{cpu}, {cores} cores, {memory_gb} GB, {system}, Python {python}".format(**numbers["machine"])
    load = numbers["machine"]["load"]
    return prose(f"*Version {numbers['version']}, {numbers['taken']}, {machine}; load average at the end: {load}.*")


def _aims(name: str, numbers: Numbers) -> list[Aim]:
    return [
        (what, wanted, shown, "yes" if value <= most else "**no**")
        for what, wanted, value, most, shown in _AIMS.get(name, _no_aims)(numbers)
    ]


type _Row = tuple[str, str, float, float, str]  # what, wanted, measured, at most, as shown


def _no_aims(_: Numbers) -> Iterator[_Row]:
    yield from ()


def _aims_of_pull(numbers: Numbers) -> Iterator[_Row]:
    latency = numbers["latency"]
    fastest = min(latency["modelled"][peer]["seconds"] for peer in PEERS)
    ratio = latency["modelled"]["ours"]["seconds"] / fastest
    yield "Modelled latency, to the fastest peer", "<= 0.30", ratio, 0.30, f"{ratio:.2f}"
    slow = latency["slow"]["ours"]["seconds"]
    yield "2 MB/s a call", "<= 20 s", slow, 20, f"{slow:.1f} s"
    ratio = latency["zero"]["ours"]["seconds"] / latency["zero"]["requests"]["seconds"]
    yield "No latency, to the plain loop", "<= 1.20", ratio, 1.2, f"{ratio:.2f}"
    cpu = latency["zero"]["ours"]["cpu_s"]
    spent = cpu["host"] + cpu.get("listeners", 0.0)
    yield "Processor time of our host, no latency", "<= 2.5 s", spent, 2.5, f"{spent:.1f} s"
    yield _memory(max(float(one["ours"]["peaks_mb"]["host"]) for one in latency.values()), 256)


def _aims_of_collection(numbers: Numbers) -> Iterator[_Row]:
    yield "Seconds", "<= 20 s", numbers["seconds"], 20, f"{numbers['seconds']:.0f} s"
    most = numbers["pages"] + 2
    yield "Requests", f"<= {most}", numbers["requests"], most, str(numbers["requests"])
    yield _memory(numbers["peaks_mb"]["host"], 256)


def _aims_of_notifications(numbers: Numbers) -> Iterator[_Row]:
    burst, p95 = numbers["burst"], numbers["stream"]["event_p95_s"]
    title = f"{burst['notifications']:,} in one call, acknowledged"
    yield title, "<= 1 s", burst["ack_s"], 1.0, f"{burst['ack_s']:.2f} s"
    yield "One by one, BC's POST to event, p95", "<= 2 s", p95, 2.0, f"{p95:.2f} s"


def _aims_of_start(numbers: Numbers) -> Iterator[_Row]:
    first, warm = numbers["first_handshake_s"], numbers["warm_p99_s"]
    yield "Import of the app", "<= 1 s", numbers["import_s"], 1.0, f"{numbers['import_s']:.2f} s"
    yield "Process start to first handshake", "<= 4 s", first, 4.0, f"{first:.2f} s"
    yield "Handshake, warm, p99", "<= 1 s", warm, 1.0, f"{warm * 1000:.0f} ms"


def _aims_of_delta(numbers: Numbers) -> Iterator[_Row]:
    yield "Delta of 1 %", "<= 1.0 s", numbers["seconds"], 1.0, f"{numbers['seconds']:.2f} s"
    idle = numbers["unchanged"]
    yield "Nothing changed", "<= 0.3 s", idle["seconds"], 0.3, f"{idle['seconds']:.2f} s"
    yield "Nothing changed, requests", "<= 1", idle["requests"], 1, str(idle["requests"])


def _aims_of_baseline(numbers: Numbers) -> Iterator[_Row]:
    yield "Reconcile", "<= 30 s", numbers["delta_s"], 30, f"{numbers['delta_s']:.0f} s"


def _aims_of_orders(numbers: Numbers) -> Iterator[_Row]:
    for name, most in (("generated", 53.4), ("given", 89.0)):
        taken = numbers["ours"][name]["per_1000_s"]
        yield f"1,000 orders, {name} numbers", f"<= {most:.0f} s", taken, most, f"{taken:.0f} s"


def _aims_of_cost(numbers: Numbers) -> Iterator[_Row]:
    for count, idle in numbers["idle"].items():
        a_day = prices.idle_day(idle)["executions"]
        what = f"Executions on an idle day, companies: {count}"
        yield what, f"<= {_IDLE_LIMIT:,}", a_day, _IDLE_LIMIT, f"{a_day:,.0f}"


def _aims_of_million(numbers: Numbers) -> Iterator[_Row]:
    yield _memory(float(numbers["peaks_mb"]["host"]), 160)


def _memory(peak_mb: float, most_mb: float) -> _Row:
    return "Memory of our process", f"<= {most_mb:.0f} MB", peak_mb, most_mb, f"{peak_mb:.0f} MB"


_AIMS: dict[str, Callable[[Numbers], Iterator[_Row]]] = {
    "pull": _aims_of_pull,
    "collection": _aims_of_collection,
    "notifications": _aims_of_notifications,
    "start": _aims_of_start,
    "delta": _aims_of_delta,
    "baseline": _aims_of_baseline,
    "orders": _aims_of_orders,
    "cost": _aims_of_cost,
    "million": _aims_of_million,
}
