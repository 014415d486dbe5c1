"""When an alert calls a schedule silent: never before its second due time, whatever the schedule."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.ncrontab import read_schedule
from shared.operations.status import RUN_TIME
from tests.app import bicep_reading as bicep

WINDOWS = {"PT1H": 1, "PT3H": 3, "PT6H": 6, "P1D": 24, "P2D": 48}  # hours
START = datetime(2026, 3, 2, tzinfo=UTC)


def silence_of(schedule: str) -> str:
    """What `silenceAfter` returns: the functions are one expression each, played in Python."""
    source = bicep.text(bicep.INFRA / "modules" / "types.bicep")
    names: dict[str, Any] = {
        "int": int, "contains": lambda whole, part: part in whole, "split": lambda text, by: text.split(by),
        "startsWith": lambda text, head: text.startswith(head), "substring": lambda text, start: text[start:],
        "join": lambda parts, by: by.join(parts), "skip": lambda parts, count: parts[count:],
    }  # fmt: skip
    found = re.findall(r"(?s)func (silence\w+)\((\w+) [^)]+\) string =>(.*?)\n\n", source)
    assert len(found) == 6
    for name, argument, text in found:
        names[name] = eval(f"lambda {argument}: {_python(text)}", names)
    return str(names["silenceAfter"](schedule))


def _python(text: str) -> str:
    """Return `a ? b : c` as `(b) if a else (c)`; only `c` has another one in it."""
    condition, asked, rest = " ".join(text.split()).partition(" ? ")
    if not asked:
        return condition
    this, _, that = rest.partition(" : ")
    return f"({this}) if {condition} else ({_python(that)})"


@pytest.mark.parametrize(
    ("schedule", "window"),
    [
        ("0 */15 * * * *", "PT1H"),
        ("0 7-59/15 * * * *", "PT1H"),
        ("0 */5 * * * *", "PT1H"),
        ("30 * * * * *", "PT1H"),
        ("0 */30 * * * *", "PT3H"),
        ("0 0 * * * *", "PT3H"),
        ("0 0,5 * * * *", "PT3H"),
        ("0 0 */2 * * *", "PT6H"),
        ("0 0 */6 * * *", "P1D"),
        ("0 0 */12 * * *", "P2D"),
        ("0 0 2 * * *", "P2D"),
        ("0 0 6-18 * * *", "P2D"),
        ("0 0 2 * * 1", ""),
        ("0 0 2 1 * *", ""),
        ("0 0 2 * 1 *", ""),
    ],
)
def test_the_window_holds_two_due_times(schedule: str, window: str) -> None:
    """A nightly pull is no fault at noon; what is due less than once a day no log alert can watch."""
    assert silence_of(schedule) == window
    due = read_schedule(schedule)
    assert due is not None
    longest, last = timedelta(), START
    for _ in range(200):
        first = due.after(last)
        second = first and due.after(first)
        assert first
        assert second
        longest, last = max(longest, second - last), first
    if window:
        assert timedelta(hours=WINDOWS[window]) >= min(longest + RUN_TIME, timedelta(days=2))
    else:
        assert longest > timedelta(days=2)
