"""One child process of the local stack: started with its own log, watched while it comes up, and never left behind.

A child leads its own process group, so that stopping it also stops what it started, and a Ctrl-C in the terminal
reaches only the parent, which then stops the children in order. On Linux the kernel also kills a child when the thread
that started it dies, so even `kill -9` of the parent leaves no orphan.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1
TAIL_LINES = 5


class StartError(Exception):
    """A child did not come up. The message is one line for a person: name, reason and the last lines of its log."""


class Child:
    """A running process with a log file."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log_path: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Start the process; its output is appended to `log_path`.

        Raises:
            StartError: the program could not be started at all.
        """
        self.name = name
        self.log_path = log_path
        log_path.parent.mkdir(parents=True, exist_ok=True)
        with log_path.open("ab") as log:
            self._log_start = log.tell()
            try:
                self._process = subprocess.Popen(
                    list(command),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=None if env is None else dict(env),
                    cwd=cwd,
                    start_new_session=True,
                    preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 only a prctl call
                )
            except OSError as error:
                raise StartError(f"{name}: cannot start {command[0]}: {error.strerror}") from error

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its process group."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process is alive."""
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Exit code once it has ended; negative for a signal; None while it runs."""
        return self._process.poll()

    def log(self) -> str:
        """Give what this run of the process has written so far."""
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode("utf-8", "replace")

    def tail(self) -> str:
        """Give the last lines of the log joined into one."""
        lines = [line.strip() for line in self.log().splitlines() if line.strip()]
        return " | ".join(lines[-TAIL_LINES:]) or "its log is empty"

    def wait_until(self, is_ready: Callable[[], bool], *, timeout_s: float, what: str = "") -> None:
        """Wait until `is_ready()` is true.

        Raises:
            StartError: the process ended first, or `timeout_s` passed.
        """
        deadline = time.monotonic() + timeout_s
        while not is_ready():
            if not self.is_running:
                raise StartError(f"{self.name}{what}: ended with code {self.exit_code}: {self.tail()}")
            if time.monotonic() > deadline:
                raise StartError(f"{self.name}{what}: not ready after {timeout_s:.0f} s: {self.tail()}")
            time.sleep(0.02)

    def wait_for_log(self, pattern: re.Pattern[str], *, count: int, timeout_s: float) -> list[re.Match[str]]:
        """Wait until the log of this run holds `count` matches and give them.

        Raises:
            StartError: as `wait_until`.
        """
        found: list[re.Match[str]] = []

        def seen() -> bool:
            found[:] = pattern.finditer(self.log())
            return len(found) >= count

        self.wait_until(seen, timeout_s=timeout_s)
        return found

    def stop(self, *, grace_s: float = 5.0) -> None:
        """Ask the process group to end, and kill it when it has not after `grace_s`."""
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.kill()

    def kill(self) -> None:
        """End the process and everything in its group at once, as a crash would."""
        self._signal(signal.SIGKILL)
        self._process.wait(10)

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):  # all gone; macOS says the latter of a group of zombies
            return


def _die_with_parent() -> None:
    """Between fork and exec: have the kernel kill this process when its parent dies."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
