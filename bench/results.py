"""The numbers of a run, one JSON file per measurement, so that any of them can be taken again by itself."""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.options import ROOT, Options
from shared.version import VERSION


def save(options: Options, name: str, numbers: dict[str, Any], *, took_s: float) -> None:
    """Keep the numbers of one measurement with time, commit and machine; `took_s`: how long it took in all."""
    options.results.mkdir(parents=True, exist_ok=True)
    taken = datetime.now(UTC).isoformat(timespec="seconds")
    about = {"taken": taken, "took_s": round(took_s), "version": VERSION, "commit": commit(), "machine": machine()}
    content = {**about, **numbers}
    path = options.results / f"{name}.json"
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    draft.replace(path)


def load(options: Options, name: str) -> dict[str, Any] | None:
    """Return the numbers of one measurement, None when it was not taken."""
    path = options.results / f"{name}.json"
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def commit() -> str:
    """Return the commit that is checked out, with a + where files differ from it; "" outside a repository.

    The page and its plot are left out of the comparison, as the run itself writes them.
    """
    own = (":(exclude)docs/performance.md", ":(exclude)docs/performance.svg")
    head = _git("rev-parse", "--short", "HEAD")
    return head + ("+" if head and _git("status", "--porcelain", "--untracked-files=no", "--", ".", *own) else "")


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def machine() -> dict[str, Any]:
    """Describe what it was measured on; the load tells whether somebody else was at work."""
    return {
        "cpu": _first(r"^model name\s*:\s*(.+)$", "/proc/cpuinfo") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(int(_first(r"^MemTotal:\s+(\d+) kB", "/proc/meminfo") or 0) / 1024 / 1024, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }


def median(values: list[float]) -> float:
    """Return the middle value."""
    return float(statistics.median(values))


def _first(pattern: str, path: str) -> str:
    try:
        found = re.search(pattern, Path(path).read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return ""
    return found[1].strip() if found else ""
