"""Peak memory of processes as the kernel counts it (Linux): exact, with no sampling that could miss the peak."""

from __future__ import annotations

import re
from pathlib import Path

MB = 1024 * 1024
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)


def child(pid: int) -> int:
    """Return the first process that a process has started, 0 where there is none or the kernel does not tell."""
    listings = Path(f"/proc/{pid}/task").glob("*/children")
    return next((int(children.split()[0]) for listing in listings if (children := listing.read_text())), 0)


def forget_peak(pid: int) -> None:
    """Let the peak of a process begin anew from what it holds now; without effect where that is not allowed."""
    try:
        Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def peak_mb(pid: int) -> float:
    """Return the largest resident memory of a process in MB since `forget_peak`; NaN where the kernel does not tell."""
    try:
        found = _PEAK.search(Path(f"/proc/{pid}/status").read_text(encoding="ascii"))
    except OSError:
        return float("nan")
    return int(found[1]) / 1024 if found else float("nan")


def cpu_s(pid: int) -> float:
    """Return the processor time a process has used, in seconds."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / 100
