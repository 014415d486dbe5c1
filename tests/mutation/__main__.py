"""`make mutants`: change a module in one place at a time, run its own tests, and count the changes that they notice.

The tests run once, watched for the lines of the module that each reaches. A mutant is run in a fork of this process,
which has collected the tests: the fork carries out the one statement that differs, in the module as it was read, runs
the tests that reach it, the quickest first, and ends with the first that fails. Nothing on disk is changed. Survivors
that `equivalent.toml` lists with a reason count as no mutants.
"""

import argparse
import importlib
import os
import pickle
import resource
import select
import signal
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final, Literal, cast

import hypothesis
import pytest
from _pytest.main import pytest_runtestloop as run_items

from tests.mutation.changing import install
from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.reach import Reach, Watch, who_may_notice
from tests.simulation.paper import with_block

ROOT: Final = Path(__file__).resolve().parents[2]
EQUIVALENT: Final = Path(__file__).with_name("equivalent.toml")
PAPER: Final = ROOT / "docs" / "promises.md"
#: The modules where a fault costs most first.
MODULES: Final = (
    "orders/next_step", "orders/likeness", "orders/order_message", "orders/order_store", "orders/order_rows",
    "orders/order_fields", "orders/order_entry", "orders/order_contents", "orders/order_cause", "orders/order_result",
    "orders/asked_key",
    "changes/ledger_rules", "changes/ledger", "changes/claims", "changes/streams", "changes/pulled_versions",
    "changes/snapshot_rows", "changes/jobs", "changes/cloud_events",
    "webhooks/delivery", "webhooks/plan",
    "business_central/retry", "business_central/transient", "business_central/odata", "business_central/page_parser",
    "business_central/records", "business_central/metadata", "business_central/entities", "business_central/rate",
    "business_central/lease_rows", "business_central/page_queries", "business_central/code_text",
    "login/token_cache", "login/entra_codes",
    "connections/entity_rules", "connections/entity_entries", "connections/settings_reader",
    "connections/discovery_store",
    "storage/keys", "storage/packed_ids", "storage/table_rules", "storage/compare_and_swap",
    "dead_letters/dead_letter_store",
    "forwarding/forward_step", "forwarding/webhook_signature", "forwarding/event_targets", "forwarding/event_requests",
    "operations/findings", "operations/failures", "operations/diagnosis", "operations/connection_health",
    "operations/timers", "operations/timer_store", "operations/unread_output", "operations/token_claims",
    "message_text", "exact_json", "ncrontab", "guid",
)  # fmt: skip
#: Module -> the tests that are to notice its faults, where they are not its own file in the room of `unit`.
TESTS: Final[Mapping[str, tuple[str, ...]]] = {
    "orders/order_fields": ("unit/orders/test_order_fields.py", "unit/orders/test_order_message.py"),
    "orders/order_store": ("unit/orders/test_order_store.py", "unit/orders/test_order_lists.py"),
    "changes/cloud_events": ("unit/changes/test_cloud_events.py", "usecases/changes/test_replay.py"),
    "changes/ledger": ("unit/changes/test_ledger.py", "unit/changes/test_ledger_rows.py"),
    "connections/settings_reader": ("unit/test_settings.py",),
    "business_central/page_parser": (
        "unit/business_central/test_page_parser.py",
        "unit/business_central/test_record_shape.py",
    ),
}
type Fate = Literal["killed", "survived", "timeout"]


class _Quick:
    """Examples of Hypothesis are few, as survivors meet all, and not shortened: that one fails is all that counts."""

    def pytest_sessionstart(self) -> None:
        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile(
            "mutants", hypothesis.settings.get_profile("suite"), phases=phases, max_examples=20
        )
        hypothesis.settings.load_profile("mutants")


@dataclass(frozen=True, slots=True)
class _Module:
    """A module and the collected tests that may be run for its mutants."""

    name: str
    tests: tuple[str, ...]
    session: pytest.Session

    @property
    def path(self) -> Path:
        return ROOT / "shared" / f"{self.name}.py"

    def reaches(self) -> dict[str, Reach]:
        """Run all the tests in a fork without any change; say what each of them reaches."""
        reading, writing = os.pipe()
        if os.fork() == 0:
            self._be_watched(writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            sent = pipe.read()
        os.wait()
        if not sent:
            raise SystemExit(f"{self.name}: its tests fail without any change")
        return cast("dict[str, Reach]", pickle.loads(sent))

    def fate(self, mutant: Mutant, tests: Sequence[str], took_s: float) -> Fate:
        """Run tests in a fork with the changed statement, until one fails; say what came of it."""
        child = os.fork()
        if child == 0:
            cpu_s = int(3 + 6 * took_s)
            resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))  # a loop that never ends says so to any machine
            self._be_tested(mutant, tests)
        with os.fdopen(os.pidfd_open(child), "rb") as ending:
            has_ended = bool(select.select([ending], [], [], 60 + 60 * took_s)[0])
        if has_ended:
            return "killed" if os.waitpid(child, 0)[1] else "survived"
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return "timeout"

    def _be_watched(self, writing: int) -> None:
        try:
            _be_silent()
            watch = Watch(str(self._read().__file__))
            self.session.config.pluginmanager.register(watch)
            files = {ROOT / "tests" / test for test in self.tests}
            self.session.items[:] = [item for item in self.session.items if item.path in files]
            if self.session.items and run_items(self.session) and not self.session.testsfailed:
                with os.fdopen(writing, "wb") as pipe:
                    pipe.write(pickle.dumps(watch.reaches))
        finally:
            os._exit(0)

    def _be_tested(self, mutant: Mutant, tests: Sequence[str]) -> None:
        failed = 1
        try:
            _be_silent()
            install(self._read(), mutant.source, mutant.line)
            of_id = {item.nodeid: item for item in self.session.items}
            self.session.items[:] = [of_id[test] for test in tests]
            failed = 0 if run_items(self.session) and not self.session.testsfailed else 1
        finally:
            os._exit(failed)

    def _read(self) -> ModuleType:
        return importlib.import_module(f"shared.{self.name.replace('/', '.')}")


def _be_silent() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def tests_of(module: str) -> tuple[str, ...]:
    """Return the files of tests that are to notice the faults of a module."""
    room, _, name = module.rpartition("/")
    return TESTS.get(module, (str(Path("unit", room, f"test_{name}.py")),))


def _listed(module: str) -> dict[tuple[str, str], str]:
    entries = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8")).get("equivalent", [])
    return {(one["was"], one["became"]): one["reason"] for one in entries if one["module"] == module}


def measure(module: _Module, *, verbose: bool) -> tuple[Counter[str], list[Mutant], list[tuple[str, str]]]:
    """Return how many mutants met which fate, the survivors, and what is listed wrongly as equivalent."""
    source = module.path.read_text(encoding="utf-8")
    reaches = module.reaches()
    listed, met = _listed(module.name), set()
    fates: Counter[str] = Counter()
    survivors: list[Mutant] = []
    for mutant in mutants_of(source):
        place = (mutant.was, mutant.became)
        if place in listed:
            met.add(place)
            fates["equivalent"] += 1
            continue
        tests = who_may_notice(source, mutant.line, reaches)
        took_s = sum(reaches[test].took_s for test in tests)
        fate: Fate = module.fate(mutant, tests, took_s) if tests else "survived"
        fates[fate] += 1
        if fate == "survived":
            survivors.append(mutant)
        if verbose:
            print(
                f"{fate:9} {module.name}:{mutant.line} {mutant.operator}: {mutant.was} -> {mutant.became}", flush=True
            )
    return fates, survivors, sorted(listed.keys() - met)


def _row(name: str, fates: Counter[str]) -> str:
    killed = fates["killed"] + fates["timeout"]
    all_of_them = killed + fates["survived"]
    share = f"{100 * killed / all_of_them:.1f} %" if all_of_them else ""
    return f"| `{name}` | {all_of_them} | {killed} | {fates['survived']} | {fates['equivalent']} | {share} |"


def _table(rows: Mapping[str, str]) -> str:
    head = "| module | mutants | killed | survived | equivalent, beside them | score |\n|---|---|---|---|---|---|\n"
    return head + "\n".join(rows[name] for name in (*MODULES, "all") if name in rows)


def _write(rows: Mapping[str, str]) -> None:
    """Put rows into the paper; those of modules that were not measured now stay."""
    paper = PAPER.read_text(encoding="utf-8")
    block = paper.partition("<!-- mutation score -->\n")[2].partition("<!-- end of mutation score -->")[0]
    kept = {line.split("`")[1]: line for line in block.splitlines() if line.startswith("| `")}
    kept.update(rows)
    total: Counter[str] = Counter()
    for line in kept.values():
        cells = [cell.strip() for cell in line.split("|")]
        total += Counter(killed=int(cells[3]), survived=int(cells[4]), equivalent=int(cells[5]))
    kept["all"] = _row("all", total).replace("`all`", "all of these")
    PAPER.write_text(with_block(paper, "mutation score", _table(kept)), encoding="utf-8")


class _Measuring:
    """Takes the place of pytest's loop over the tests it has collected."""

    def __init__(self, given: argparse.Namespace) -> None:
        self._given = given
        self.wrong = 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        for name in self._given.modules or MODULES:
            began = time.monotonic()
            fates, survivors, stale = measure(_Module(name, tests_of(name), session), verbose=self._given.verbose)
            row = _row(name, fates)
            print(f"\n{row} {time.monotonic() - began:.0f} s", flush=True)
            for one in survivors:
                print(f"  survived {name}:{one.line} {one.operator}\n    was    {one.was}\n    became {one.became}")
            for was, became in stale:
                print(f"  listed as equivalent, and no mutant: {was} -> {became}")
            self.wrong += len(survivors) + len(stale)
            if self._given.write:
                _write({name: row})
        return True


def main(arguments: Sequence[str]) -> int:
    """Measure modules; without names all of the list."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", help="such as orders/next_step")
    parser.add_argument("--write", action="store_true", help="put the score into docs/promises.md")
    parser.add_argument("--verbose", action="store_true", help="print every mutant with its fate")
    given = parser.parse_args(arguments)
    measuring = _Measuring(given)
    tests = [str(ROOT / "tests" / test) for name in given.modules or MODULES for test in tests_of(name)]
    flags = ["-x", "-q", "-s", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    code = pytest.main([*flags, *dict.fromkeys(tests)], [_Quick(), measuring])
    return int(code) if code else min(measuring.wrong, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
