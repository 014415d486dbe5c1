"""The one kind of finding for page, status and doctor: what was looked at, what was seen, why, and the next step.

Pure. Owns the shape and its severities; knows no setting, no store and no page. What leads to a finding is in
`view_findings` (from the state), `failures` (from a failed call) and `diagnosis` (from what the doctor gathered).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from shared import guid

#: What differs between two answers of one cause: ids of request, record and company, and the time.
_PARTICULAR: Final = re.compile(rf"\[[^\]\s]{{1,80}}\]|{guid.PATTERN}|\d{{4}}-\d\d-\d\dT[\d:.]+Z?|\b[0-9a-f]{{12,}}\b")

#: What stands before the words of an answer: `register: [id] 400 Application_DialogException: `.
_MACHINES: Final = re.compile(r"(?:^|(?<=: ))(?:\[[^\]\s]{1,80}\] (?:\d{3}|no answer)|\d{3})(?: [A-Za-z]\w*)?: ")


class Severity(StrEnum):
    """How bad it is."""

    OK = "ok"  # looked at and in order
    NOTE = "note"  # worth knowing, nothing to do
    WARNING = "warning"  # works for now, or part of it does not
    ERROR = "error"  # something does not arrive because of this


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at. The texts are sentences for people; none holds a secret or a notification URL."""

    check: str  # settings, vault, login, token, clock, business_central, companies, webhooks, timers, ...
    code: str  # stable word for the cause, "ok" when in order
    severity: Severity
    seen: str
    cause: str = ""
    do: str = ""
    connection: str = ""  # id; "" where it is the deployment's

    @property
    def is_wrong(self) -> bool:
        """Whether somebody should look at it."""
        return self.severity in {Severity.WARNING, Severity.ERROR}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything the doctor saw, in the order in which one thing depends on the one before."""

    at: datetime
    environment: str
    findings: tuple[Finding, ...]

    @property
    def is_healthy(self) -> bool:
        """Whether nothing is wrong."""
        return not any(found.is_wrong for found in self.findings)


def fine(check: str, seen: str) -> Finding:
    """Return that a check found all in order."""
    return Finding(check=check, code="ok", severity=Severity.OK, seen=seen)


def note(check: str, code: str, seen: str, cause: str, do: str = "") -> Finding:
    """Return something worth knowing."""
    return Finding(check=check, code=code, severity=Severity.NOTE, seen=seen, cause=cause, do=do)


def warning(check: str, code: str, seen: str, cause: str, do: str) -> Finding:
    """Return something that will hurt, or hurts in part."""
    return Finding(check=check, code=code, severity=Severity.WARNING, seen=seen, cause=cause, do=do)


def wrong(check: str, code: str, seen: str, cause: str, do: str) -> Finding:
    """Return something that keeps data from arriving."""
    return Finding(check=check, code=code, severity=Severity.ERROR, seen=seen, cause=cause, do=do)


def named(things: Iterable[str], most: int = 6) -> str:
    """Return the things in one line, cut after `most`: `a, b and 3 more`. One cause is one finding, however many."""
    listed = list(things)
    shown = ", ".join(listed[:most])
    return f"{shown} and {len(listed) - most} more" if len(listed) > most else shown


def counted(number: int, noun: str) -> str:
    """Return `1 order`, `2 orders`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def shortened(text: str, most: int = 200) -> str:
    """Return a text in one line, cut at a word after `most` characters: enough to know what it is about."""
    line = " ".join(text.split()) or text
    return line if len(line) <= most else f"{line[:most].rsplit(' ', 1)[0]} …"


def in_plain_words(text: str, most: int = 200) -> str:
    """Return what was said without what only machines read: the id of the request, status and code."""
    return shortened(_MACHINES.sub("", text, count=1) or text, most)


def grouped[T](pairs: Iterable[tuple[str, T]]) -> Mapping[str, list[T]]:
    """Return things by the reason they bear, under its first wording: reasons that differ in ids only are one cause."""
    wording: dict[str, str] = {}
    found: dict[str, list[T]] = {}
    for reason, one in pairs:
        first = wording.setdefault(_PARTICULAR.sub("", reason), reason)
        found.setdefault(first, []).append(one)
    return found
