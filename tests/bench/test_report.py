"""The benchmark's own arithmetic: what it writes into the documentation follows from what it measured."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench import chart, prices, report, results
from bench.options import QUICK, Options
from bench.parts import pull
from bench.sections import SECTIONS, table
from bench.storage_meter import StorageMeter
from bench.world import Truth, percentile
from shared.version import VERSION

START = {
    "import_s": 0.3, "first_handshake_s": 2.5, "warm_p50_s": 0.002, "warm_p99_s": 0.01, "handshakes": 9,
    "package_files": 120, "package_bytes": 200_000,
}  # fmt: skip
TICK = {"share": 1, "runs": {"read_page": 2}, "took_ms": {"read_page": 500}, "storage": {"table": 10}}


def test_a_lost_a_doubled_or_a_foreign_record_is_seen() -> None:
    """Two pulls count as equal only if every id came once with its variants."""
    one, two = "7b1c4a52-91d3-f011-8d4c-6045bd1a2c10", "7b1c4a52-91d3-f011-8d4c-6045bd1a2c11"
    whole = Truth.of({one: 2, two: 0})
    assert whole == Truth.of({two: 0, one: 2})
    assert all(whole != Truth.of(other) for other in ({one: 2}, {one: 0, two: 2}, {one: 2, one[:-1] + "f": 0}))


@pytest.mark.parametrize(("share", "wanted"), [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0)])
def test_a_percentile_is_a_value_that_was_measured(share: float, wanted: float) -> None:
    """The share of values that do not exceed it is at least the one asked for."""
    assert percentile([float(n) for n in range(100, 0, -1)], share) == wanted


def test_a_bill_counts_every_execution_for_a_second_at_least() -> None:
    """GB-seconds are an upper bound; what was measured for a share is scaled to the whole."""
    bill = prices.bill(TICK, 3)
    assert (bill["executions"], bill["gb_s"], bill["storage"]) == (6, 6 * prices.INSTANCE_GB, 30)
    assert bill["usd"] == pytest.approx(6 / 1e6 * 0.40 + 12 * 0.000026 + 30 * 0.00036 / 10_000)
    assert prices.bill({**TICK, "share": 10}, 10)["executions"] == 2


def test_an_idle_day_has_all_ticks_and_what_is_done_once() -> None:
    """96 ticks of three timers, 1,440 of the fourth, the snapshot and the order book."""
    idle = {"ticks": dict.fromkeys(prices.TIMERS_A_DAY, TICK), "daily": {"snapshot": TICK, "order book": TICK}}
    assert prices.idle_day(idle)["executions"] == 2 * (3 * 96 + 1440 + 2)


def test_the_plot_is_well_formed_and_to_scale() -> None:
    """Half the value is half the length; markup in a name does no harm."""
    drawn = chart.svg("a < b", [("group", [chart.Bar(name="<x>", value=v, label="s") for v in (2.0, 4.0)])])
    widths = [float(rect.attrib["width"]) for rect in ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}rect")]
    assert widths[1] == pytest.approx(2 * widths[0])


def test_a_page_is_written_from_whatever_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One measurement alone makes a page with its section; an aim that was missed says so."""
    monkeypatch.setattr(Options, "results", property(lambda _: tmp_path))
    numbers = {**START, "first_handshake_s": 4.5}
    results.save(QUICK, "start", numbers, took_s=1.5)
    text = report.write(QUICK)[0].read_text(encoding="utf-8")
    assert f"## {SECTIONS['start'][0]}" in text
    assert "| Import of the app | <= 1 s | 0.30 s | yes |" in text
    assert "| Process start to first handshake | <= 4 s | 4.50 s | **no** |" in text
    assert "## Full pull" not in text


def test_what_was_not_measured_again_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A section keeps its text, date and aims while another one is measured; a title that is none any more goes."""
    monkeypatch.setattr(Options, "results", property(lambda _: tmp_path))
    kept = "*Version 0.1.0, some day.*\n\nSeconds of old.\n\n|  | s |\n|---|---:|\n| x | 1 |"
    gone = "\n\n## Left behind\n\nNothing.\n"
    (tmp_path / "performance.md").write_text(
        f"# Performance\n\nOld words.\n\n## Full pull\n\n{kept}{gone}", encoding="utf-8"
    )
    results.save(QUICK, "start", START, took_s=1.5)
    text = report.write(QUICK)[0].read_text(encoding="utf-8")
    assert f"## Full pull\n\n{kept}\n" in text
    assert "Left behind" not in text
    assert "Old words" not in text
    assert f"*Version {VERSION}" in text
    assert report.page({"start": results.load(QUICK, "start") or {}}, text) == text


def test_numbers_of_another_form_leave_their_section_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An earlier version kept other numbers: its section stands, and is named."""
    monkeypatch.setattr(Options, "results", property(lambda _: tmp_path))
    (tmp_path / "performance.md").write_text("# Performance\n\n## Start\n\nOld numbers.\n", encoding="utf-8")
    results.save(QUICK, "start", {"import_s": 0.3}, took_s=1.0)
    path, unread = report.write(QUICK)
    assert unread == ["start"]
    assert "## Start\n\nOld numbers.\n" in path.read_text(encoding="utf-8")


def test_a_section_says_when_on_what_and_of_which_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time, version, commit, machine, load and how long it took stand under every title."""
    monkeypatch.setattr(Options, "results", property(lambda _: tmp_path))
    monkeypatch.setattr(results, "commit", lambda: "0a1b2c3+")
    results.save(QUICK, "start", START, took_s=61.7)
    kept = results.load(QUICK, "start") or {}
    line = " ".join(report.page({"start": kept}).partition("## Start\n\n")[2].partition("\n\n")[0].split())
    assert line.startswith(f"*Version {VERSION} at 0a1b2c3+, {kept['taken']}, taken in 62 s, load average at the end ")
    assert f"{kept['machine']['cores']} cores" in line


def test_of_the_budget_the_time_between_first_and_last_page_counts() -> None:
    """Probes before are left out, an identity that does not read as well; of two that read, the mean is shown."""
    before = {"user": {1: 3.0, 4: 0.1}}
    one = {"user": {1: 3.0, 4: 4.1, 5: 5.0}, "reader": {1: 0.2}}
    assert pull._busy(before, one, 10.0) == pytest.approx({"mean": 4.12, "without_reserved": 0.9, "all": 0.5})
    two = {"user": {1: 3.0, 4: 0.1, 5: 10.0}, "reader": {5: 5.0}}
    assert pull._busy(before, two, 10.0) == pytest.approx({"mean": 7.5, "without_reserved": 0.75, "all": 0.75})


@pytest.mark.parametrize(
    ("modelled", "slow", "said"),
    [(9.5, 9.1, "in neither model faster by more than a tenth: the bundle expands"),
     (8.9, 9.1, "with modelled latency alone: the bundle expands"),
     (8.9, 8.9, "clearly faster")],
)  # fmt: skip
def test_whether_variants_are_expanded_follows_from_the_numbers(modelled: float, slow: float, said: str) -> None:
    """Another way to read them would have to save a tenth in both models."""
    models = {
        title: {
            way: {"seconds": seconds, "requests": 1, "all_seconds": [seconds]}
            for way, seconds in (("expanded", 10.0), ("flat", flat))
        }
        for title, flat in (("modelled", modelled), ("slow", slow))
    }
    numbers = {"items": 1, "variants": 2, "workers": 5, "verified": True, "models": models}
    assert said in " ".join(SECTIONS["variants"][1](numbers))


def test_a_day_of_connections_has_its_timers_and_three_transactions_a_message() -> None:
    """Executions beyond the timers' are of messages: put, taken, deleted."""
    bill = prices.idle_connections({"requests": 1, "executions": sum(prices.TIMERS_A_DAY.values()) + 100, "table": 50})
    assert bill["storage"] == 50 + 300


def test_a_table_has_as_many_columns_as_its_head() -> None:
    """Markdown, first column left, numbers right."""
    assert table(("", "s"), [("a", "1")]) == ["|  | s |", "|---|---:|", "| a | 1 |"]


def test_the_meter_leads_every_service_through_itself() -> None:
    """No storage call of the app goes past the relay uncounted."""
    meter = StorageMeter()
    real = ";".join(f"{name}=http://127.0.0.1:{port}/a" for name, port in meter.azurite_ports.items())
    assert not any(f":{port}/" in meter.through(real) for port in meter.azurite_ports.values())
    meter._loop.close()
