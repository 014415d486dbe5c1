"""Puts the time in front of each line that is printed, in the form that Python's logging has."""

import io
from collections.abc import Callable
from datetime import datetime
from typing import TextIO


def _now() -> datetime:
    return datetime.now().astimezone()


class TimedLines(io.TextIOBase):
    """A text stream over another one."""

    def __init__(self, out: TextIO, now: Callable[[], datetime] = _now) -> None:
        """Take the stream that is written to."""
        self._out = out
        self._now = now
        self._at_start = True

    def write(self, text: str) -> int:
        """Write a text; every line that it begins gets its time."""
        for line in text.splitlines(keepends=True):
            if self._at_start:
                self._out.write(f"{self._now():%Y-%m-%d %H:%M:%S},{self._now().microsecond // 1000:03d} ")
            self._out.write(line)
            self._at_start = line.endswith("\n")
        return len(text)

    def flush(self) -> None:
        """Hand on what is written."""
        self._out.flush()
