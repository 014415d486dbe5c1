"""What the host's log tells while it is written: the worker process, the calls under way, and the app's alarms."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

_WORKER: Final = re.compile(r"worker process (\d+) started$")
_DIED: Final = re.compile(r".*worker process \d+: python exited with code ")
_STARTED: Final = re.compile(r"(\w+) ([0-9a-f-]{36}) started$")
_ENDED: Final = re.compile(r"\w+ ([0-9a-f-]{36}) \d+ ms (?:succeeded|FAILED)")
_ALARM: Final = re.compile(r"[\d-]+ [\d:,]+ (?:ERROR|CRITICAL) \S+ \S+ ([a-z_]+\.[a-z_]+) (\{.*\})$")


class HostWatch:
    """Follows one log over all lives of the host; one thread."""

    def __init__(self, log: Path) -> None:
        """Begin at the top of the log."""
        self._log = log
        self._read = 0
        self._running: dict[str, str] = {}  # function by invocation id
        self.begun: Counter[str] = Counter()  # calls by function
        self.worker = 0  # process id of the newest
        self.is_up = False  # whether that one is said to work
        self.workers = 0  # how many there were
        self.deaths = 0
        self.worker_since = 0.0  # time.monotonic()
        self.alarms: list[tuple[str, dict[str, Any]]] = []  # events of the app that say: someone must act

    @property
    def running(self) -> Counter[str]:
        """Calls under way by function."""
        return Counter(self._running.values())

    def look(self) -> None:
        """Read what was written since."""
        with self._log.open("rb") as log:
            log.seek(self._read)
            text = log.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.decode("utf-8", "replace").splitlines():
            self._take(line)

    def forget_calls(self) -> None:
        """The host has ended without a word of its calls."""
        self.look()
        self._running.clear()
        self.is_up = False

    def _take(self, line: str) -> None:
        if found := _STARTED.match(line):
            self._running[found[2]] = found[1]
            self.begun[found[1]] += 1
        elif found := _ENDED.match(line):
            self._running.pop(found[1], None)
        elif found := _WORKER.match(line):
            self.worker, self.worker_since = int(found[1]), time.monotonic()
            self.workers, self.is_up = self.workers + 1, True
        elif _DIED.match(line):
            self.deaths, self.is_up = self.deaths + 1, False
        elif found := _ALARM.match(line):
            self.alarms.append((found[1], json.loads(found[2])))

    def worker_mib(self) -> float | None:
        """Return the resident memory of the app's process; None between two of them, or if /proc does not tell."""
        try:
            fields = Path(f"/proc/{self.worker}/status").read_text().splitlines()
        except OSError:
            return None
        held = next((line.split()[1] for line in fields if line.startswith("VmRSS:")), None)
        return None if held is None else int(held) / 1024
