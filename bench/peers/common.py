"""What every peer program shares: its task on stdin, its answer on stdout, and a sum over what it read.

Run by the benchmark environment's Python, so it imports nothing of the bundle.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from uuid import UUID


def peak_mb() -> float:
    """Return this process's largest resident memory in MB (Linux; NaN elsewhere)."""
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
    except OSError:
        return float("nan")
    return int(found[1]) / 1024 if found else float("nan")


def main(work: Callable[[dict[str, Any]], Iterable[dict[str, Any]]]) -> None:
    """Time the work, then count what it read; imports and the counting are not timed."""
    task = json.load(sys.stdin)
    began = time.perf_counter()
    rows = work(task)
    seconds = time.perf_counter() - began
    peak = peak_mb()
    items = variants = checksum = 0
    for row in rows:
        count = len(row.get("itemVariants") or ())
        items, variants = items + 1, variants + count
        checksum = (checksum + UUID(row["id"]).int * (1 + count)) % 2**128
    answer = {"seconds": seconds, "peak_mb": peak, "items": items, "variants": variants, "checksum": str(checksum)}
    sys.stdout.write(json.dumps(answer) + "\n")
