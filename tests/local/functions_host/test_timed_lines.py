"""Every printed line has a time in front, however the text comes in pieces."""

import io
from datetime import UTC, datetime

from local.functions_host.timed_lines import TimedLines


def test_each_line_gets_its_time_once() -> None:
    """In the form of Python's logging; pieces of a line stay together, empty lines are lines."""
    out = io.StringIO()
    lines = TimedLines(out, lambda: datetime(2026, 2, 11, 9, 14, 27, 53_000, UTC))
    print("host", "ready", file=lines)
    lines.write("a\n\nb")
    lines.write("c\n")
    time = "2026-02-11 09:14:27,053 "
    assert out.getvalue() == f"{time}host ready\n{time}a\n{time}\n{time}bc\n"
