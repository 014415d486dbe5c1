"""`make mutants`: change a module in one place at a time, run its own tests, and count the changes that they notice.

A mutant is run in a fork of this process, which has collected the tests: the fork carries out the one statement that
differs, in the module as it was read, and ends with the first test that fails. Nothing on disk is changed. Survivors
that `equivalent.toml` lists with a reason count as no mutants.
"""

import argparse
import importlib
import os
import signal
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import hypothesis
import pytest
from _pytest.main import pytest_runtestloop as run_items

from tests.mutation.changing import install
from tests.mutation.mutants import Mutant, mutants_of
from tests.simulation.paper import with_block

ROOT: Final = Path(__file__).resolve().parents[2]
EQUIVALENT: Final = Path(__file__).with_name("equivalent.toml")
PAPER: Final = ROOT / "docs" / "promises.md"
#: Module -> the tests that are to notice its faults; the modules where one costs most first.
TESTS: Final[Mapping[str, tuple[str, ...]]] = {
    "orders/next_step": ("unit/orders/test_next_step.py",),
    "orders/likeness": ("unit/orders/test_likeness.py",),
    "orders/order_message": ("unit/orders/test_order_message.py",),
    "changes/ledger_rules": ("unit/changes/test_ledger_rules.py",),
    "webhooks/delivery": ("unit/webhooks/test_delivery.py",),
    "webhooks/plan": ("unit/webhooks/test_plan.py",),
    "business_central/retry": ("unit/business_central/test_retry.py",),
    "business_central/transient": ("unit/business_central/test_transient.py",),
    "business_central/odata": ("unit/business_central/test_odata.py",),
    "business_central/page_parser": ("unit/business_central/test_page_parser.py",),
    "storage/keys": ("unit/storage/test_keys.py",),
    "storage/packed_ids": ("unit/changes/test_ledger.py", "unit/changes/test_claims.py"),
    "forwarding/forward_step": ("unit/forwarding/test_forward_step.py",),
    "forwarding/webhook_signature": ("unit/forwarding/test_webhook_signature.py",),
    "orders/order_store": ("unit/orders/test_order_store.py",),
    "changes/ledger": ("unit/changes/test_ledger.py",),
}
type Fate = Literal["killed", "survived", "timeout"]


class _Quick:
    """Examples of Hypothesis are not shortened: that one fails is all that counts."""

    def pytest_sessionstart(self) -> None:
        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile("mutants", hypothesis.settings.get_profile("suite"), phases=phases)
        hypothesis.settings.load_profile("mutants")


@dataclass(frozen=True, slots=True)
class _Module:
    """A module and the collected tests that are run for each of its mutants."""

    name: str
    tests: tuple[str, ...]
    session: pytest.Session

    @property
    def path(self) -> Path:
        return ROOT / "shared" / f"{self.name}.py"

    def fate(self, source: str, line: int, deadline_s: float) -> tuple[Fate, float]:
        """Run the tests in a fork with the statement at a line of a source; say what came of it, after what seconds."""
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            self._be_tested(source, line)
        while time.monotonic() - began < deadline_s:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return ("killed" if status else "survived"), time.monotonic() - began
            time.sleep(0.002)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return "timeout", deadline_s

    def _be_tested(self, source: str, line: int) -> None:
        failed = 1
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
            install(importlib.import_module(f"shared.{self.name.replace('/', '.')}"), source, line)
            files = {ROOT / "tests" / test for test in self.tests}
            self.session.items[:] = [item for item in self.session.items if item.path in files]
            runs = bool(self.session.items) and run_items(self.session)
            failed = 0 if runs and not self.session.testsfailed else 1
        finally:
            os._exit(failed)


def _listed(module: str) -> dict[tuple[str, str], str]:
    entries = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8")).get("equivalent", [])
    return {(one["was"], one["became"]): one["reason"] for one in entries if one["module"] == module}


def measure(module: _Module, *, verbose: bool) -> tuple[Counter[str], list[Mutant], list[tuple[str, str]]]:
    """Return how many mutants met which fate, the survivors, and what is listed wrongly as equivalent."""
    source = module.path.read_text(encoding="utf-8")
    fate, took_s = module.fate(source, 0, 600)
    if fate != "survived":
        raise SystemExit(f"{module.name}: its tests fail without any change")
    listed, met = _listed(module.name), set()
    fates: Counter[str] = Counter()
    survivors: list[Mutant] = []
    for mutant in mutants_of(source):
        place = (mutant.was, mutant.became)
        if place in listed:
            met.add(place)
            fates["equivalent"] += 1
            continue
        fate, _ = module.fate(mutant.source, mutant.line, 15 + 6 * took_s)
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
    return head + "\n".join(rows[name] for name in (*TESTS, "all") if name in rows)


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
        for name in self._given.modules or TESTS:
            began = time.monotonic()
            fates, survivors, stale = measure(_Module(name, TESTS[name], session), verbose=self._given.verbose)
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
    tests = [str(ROOT / "tests" / test) for name in given.modules or TESTS for test in TESTS[name]]
    flags = ["-x", "-q", "-s", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    code = pytest.main([*flags, *dict.fromkeys(tests)], [_Quick(), measuring])
    return int(code) if code else min(measuring.wrong, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
