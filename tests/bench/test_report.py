"""The benchmark's own arithmetic: what it writes into the documentation follows from what it measured."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench import chart, prices, report, results
from bench.options import QUICK, Options
from bench.sections import SECTIONS, table
from bench.storage_meter import StorageMeter
from bench.world import Truth, percentile
from shared.version import VERSION

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


def test_an_idle_day_has_all_ticks_and_one_listing() -> None:
    """96 ticks of three timers, 1,440 of the fourth, and the listing."""
    idle = {"ticks": dict.fromkeys(prices.TIMERS_A_DAY, TICK), "listing": TICK}
    assert prices.idle_day(idle)["executions"] == 2 * (3 * 96 + 1440 + 1)


def test_the_plot_is_well_formed_and_to_scale() -> None:
    """Half the value is half the length; markup in a name does no harm."""
    drawn = chart.svg("a < b", [("group", [chart.Bar(name="<x>", value=v, label="s") for v in (2.0, 4.0)])])
    widths = [float(rect.attrib["width"]) for rect in ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}rect")]
    assert widths[1] == pytest.approx(2 * widths[0])


def test_a_page_is_written_from_whatever_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One measurement alone makes a page with its section; an aim that was missed says so."""
    monkeypatch.setattr(Options, "results", property(lambda _: tmp_path))
    numbers = {"import_s": 0.3, "first_handshake_s": 4.5, "warm_p50_s": 0.002, "warm_p99_s": 0.01, "handshakes": 9}
    results.save(QUICK, "start", numbers)
    text = report.write(QUICK).read_text(encoding="utf-8")
    assert f"## {SECTIONS['start'][0]}" in text
    assert "| Import of the app | <= 1 s | 0.30 s | yes |" in text
    assert "| Process start to first handshake | <= 4 s | 4.50 s | **no** |" in text
    assert "## Full pull" not in text


def test_what_was_not_measured_again_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A section keeps its text, date and aims while another one is measured; a title that is none any more goes."""
    monkeypatch.setattr(Options, "results", property(lambda _: tmp_path))
    numbers = {"import_s": 0.3, "first_handshake_s": 2.5, "warm_p50_s": 0.002, "warm_p99_s": 0.01, "handshakes": 9}
    kept = "*Version 0.1.0, some day.*\n\nSeconds of old.\n\n|  | s |\n|---|---:|\n| x | 1 |"
    gone = "\n\n## Left behind\n\nNothing.\n"
    (tmp_path / "performance.md").write_text(
        f"# Performance\n\nOld words.\n\n## Full pull\n\n{kept}{gone}", encoding="utf-8"
    )
    results.save(QUICK, "start", numbers)
    text = report.write(QUICK).read_text(encoding="utf-8")
    assert f"## Full pull\n\n{kept}\n" in text
    assert "Left behind" not in text
    assert "Old words" not in text
    assert f"*Version {VERSION}, " in text
    assert report.page({"start": results.load(QUICK, "start") or {}}, text) == text


def test_a_table_has_as_many_columns_as_its_head() -> None:
    """Markdown, first column left, numbers right."""
    assert table(("", "s"), [("a", "1")]) == ["|  | s |", "|---|---:|", "| a | 1 |"]


def test_the_meter_leads_every_service_through_itself() -> None:
    """No storage call of the app goes past the relay uncounted."""
    meter = StorageMeter()
    real = ";".join(f"{name}=http://127.0.0.1:{port}/a" for name, port in meter.azurite_ports.items())
    assert not any(f":{port}/" in meter.through(real) for port in meter.azurite_ports.values())
    meter._loop.close()
