"""The README's table of what is followed says what the replays do."""

from local.functions_host import worker_channel
from tests.local.functions_host import test_recorded_http, test_recorded_queues, test_recorded_wire
from tests.local.functions_host.harness import ROOT
from tests.local.functions_host.recorded import cases, needs_recordings

README = (ROOT / "local" / "functions_host" / "README.md").read_text(encoding="utf-8")


@needs_recordings
def test_counts_of_recorded_cases() -> None:
    """Followed, listed and all, file by file."""
    wires = ("wire-http", "wire-queue", "wire-timer", "wire-outputs")
    counts = {
        "`queue-cases`": (len(cases("queue-cases")), len(test_recorded_queues.LISTED)),
        "`http-cases`": (len(cases("http-cases")), len(test_recorded_http.LISTED)),
        "`startup-cases`": (len(cases("startup-cases")), 0),
        "`wire-http`": (sum(len(cases(name)) for name in wires), len(test_recorded_wire.LISTED)),
    }
    for name, (count, listed) in counts.items():
        (row,) = [line for line in README.splitlines() if line.startswith(f"| {name}")]
        assert row.endswith(f" | {count - listed} | {listed} | {count} |")


def test_every_module_is_named() -> None:
    """The list of modules is whole, and the versions are those of the code."""
    table = README.partition("## Modules")[2]
    modules = {path.stem for path in (ROOT / "local" / "functions_host").glob("*.py")} - {"__init__"}
    assert {name for name in modules if f"`{name}`" not in table} == set()
    assert f"`azure-functions-runtime` {worker_channel.RUNTIME_VERSION}" in README
