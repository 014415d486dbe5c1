"""The cases that were recorded on Microsoft's host: where they are, and how many of them this host follows.

They stand beside the repository, in `shared/cases/real-host`, and not in it; without them their tests are skipped.
"""

import base64
import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.local.functions_host.harness import ROOT

_PLACE = Path("shared") / "cases" / "real-host"
FOLDER = next((parent / _PLACE for parent in ROOT.parents if (parent / _PLACE).is_dir()), None)

needs_recordings = pytest.mark.skipif(FOLDER is None, reason="the recordings of Microsoft's host are not here")

Case = dict[str, Any]


@cache
def cases(name: str) -> tuple[Case, ...]:
    """Return the cases of a file; none when the recordings are not here."""
    if FOLDER is None:
        return ()
    return tuple(json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines())


def decoded(text: str) -> bytes:
    """Return what a base64 member holds."""
    return base64.b64decode(text)


class Tally:
    """Counts what was followed and what was listed, and says so at the end."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []

    def add(self, case: str, problem: str, listed: str | None) -> None:
        """Take one case: `problem` is how it differs, empty when it does not; `listed` why it may."""
        if listed is not None:
            self.counts["listed"] += 1
            if not problem:
                self.wrong.append(f"{case}: is listed ({listed}) but followed")
        elif problem:
            self.wrong.append(f"{case}: {problem}")
        else:
            self.counts["followed"] += 1

    def check(self, count: int) -> None:
        """Fail with every case that differs; print the counts."""
        line = f"{self.file}: followed {self.counts['followed']} / listed {self.counts['listed']} / all {count}"
        print(line)  # noqa: T201 - asked for: the tests print it
        assert not self.wrong, f"{line}\n" + "\n".join(self.wrong[:40])
        assert self.counts["followed"] + self.counts["listed"] == count, line
