"""Writes `docs/performance.md` and its plot from the numbers that were kept; nothing in them is typed by hand."""

from __future__ import annotations

from pathlib import Path

from bench import prices, results
from bench.options import ROOT, Options
from bench.peers.runner import PEERS
from bench.sections import PLOT, SECTIONS, Numbers, plot, prose, table

_IDLE_LIMIT = 3_000
_NOTES = Path(__file__).with_name("notes.md")


def write(options: Options) -> Path:
    """Write the page and the plot; return where. A small run writes beside its numbers and not into `docs/`."""
    folder = options.results if options.quick else ROOT / "docs"
    folder.mkdir(parents=True, exist_ok=True)
    found = {name: numbers for name in SECTIONS if (numbers := results.load(options, name)) is not None}
    path = folder / "performance.md"
    path.write_text(page(found), encoding="utf-8")
    if "pull" in found:
        (folder / PLOT).write_text(plot(found["pull"]), encoding="utf-8")
    return path


def page(found: dict[str, Numbers]) -> str:
    """Return the page for the measurements that were taken."""
    lines = ["# Performance", "", *_preamble(found), *_aims(found)]
    if _NOTES.is_file():
        lines += ["", *_NOTES.read_text(encoding="utf-8").rstrip().splitlines()]
    for name, (title, section) in SECTIONS.items():
        if name in found:
            lines += ["", f"## {title}", "", *section(found[name])]
    return "\n".join(lines) + "\n"


def _preamble(found: dict[str, Numbers]) -> list[str]:
    if not found:
        return ["Nothing was measured yet.", ""]
    machines = {
        "{cpu}, {cores} cores, {memory_gb} GB, {system}, Python {python}".format(**numbers["machine"])
        for numbers in found.values()
    }
    times = sorted(numbers["taken"] for numbers in found.values())
    load = max(numbers["machine"]["load"] for numbers in found.values())
    text = f"""
        Written by `make bench` (`python -m bench`); do not edit. Everything, the emulators included, ran on one
        machine: {"; ".join(sorted(machines))}. Taken {times[0]} to {times[-1]}; highest load average at the end of a
        measurement: {load}. Seconds depend on the machine and on what else it does, ratios within one run much less:
        compare those.
    """
    return [*prose(text), ""]


class _Aims:
    """Rows of the table of aims."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str, str]] = []

    def add(self, what: str, wanted: str, value: float, most: float, shown: str) -> None:
        """Add what was measured beside what was wanted."""
        self.rows.append((what, wanted, shown, "yes" if value <= most else "**no**"))


def _aims(found: dict[str, Numbers]) -> list[str]:
    aims = _Aims()
    _aims_of_pull(aims, found)
    for name, what in (
        ("pull", "full pull"),
        ("million", "full pull of a million items"),
        ("collection", "collection"),
    ):
        if name in found:
            peak = _host_peak(found[name])
            aims.add(f"Memory of our process, {what}", "<= 256 MB", peak, 256, f"{peak:.0f} MB")
    if "collection" in found:
        one = found["collection"]
        most = one["pages"] + 2
        aims.add("Requests for a collection", f"<= {most}", one["requests"], most, str(one["requests"]))
    if "notifications" in found:
        burst = found["notifications"]["burst"]
        title = f"{burst['notifications']:,} notifications in one call, acknowledged"
        aims.add(title, "<= 1 s", burst["ack_s"], 1.0, f"{burst['ack_s']:.2f} s")
    if "start" in found:
        one = found["start"]
        first, warm = one["first_handshake_s"], one["warm_p99_s"]
        aims.add("Import of the app", "<= 1 s", one["import_s"], 1.0, f"{one['import_s']:.2f} s")
        aims.add("Process start to first handshake", "<= 4 s", first, 4.0, f"{first:.2f} s")
        aims.add("Handshake, warm, p99", "<= 1 s", warm, 1.0, f"{warm * 1000:.0f} ms")
    if "cost" in found:
        for count, idle in found["cost"]["idle"].items():
            a_day = prices.idle_day(idle)["executions"]
            what = f"Executions on an idle day, companies: {count}"
            aims.add(what, f"<= {_IDLE_LIMIT:,}", a_day, _IDLE_LIMIT, f"{a_day:,.0f}")
    return ["## Aims", "", *table(("Aim", "Wanted", "Measured", "Met"), aims.rows)] if aims.rows else []


def _aims_of_pull(aims: _Aims, found: dict[str, Numbers]) -> None:
    if "pull" not in found:
        return
    latency = found["pull"]["latency"]
    fastest = min(latency["modelled"][peer]["seconds"] for peer in PEERS)
    ratio = latency["modelled"]["ours"]["seconds"] / fastest
    aims.add("Full pull, modelled latency, to the fastest peer", "<= 0.33", ratio, 1 / 3, f"{ratio:.2f}")
    ratio = latency["zero"]["ours"]["seconds"] / latency["zero"]["requests"]["seconds"]
    aims.add("Full pull, no latency, to the plain loop", "<= 1.50", ratio, 1.5, f"{ratio:.2f}")


def _host_peak(numbers: Numbers) -> float:
    if "latency" in numbers:
        return max(float(one["ours"]["peaks_mb"]["host"]) for one in numbers["latency"].values())
    return float(numbers["peaks_mb"]["host"])
