"""Scripted faults of the API side: which requests fail, how, and whether the write behind them counts.

A `Fault` says what (`kind`), where (`match`, a regular expression on `METHOD url`), and how often. Faults that answer
instead of the engine come first in the list that wins; `SLOW`, `STALE_READ` and `MISSING_READ` only bend the answer.
"""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from business_central_emulator import errors
from business_central_emulator.messages import Request, Response, Transport
from business_central_emulator.store import Record


class FaultKind(StrEnum):
    """What goes wrong."""

    THROTTLED = "429"  # not carried out; `retry_after` or none
    UNAVAILABLE = "503"  # not carried out
    SERVER_ERROR = "500"  # not carried out
    HTML_ERROR = "html"  # a gateway's page, `status` 502 by default; not carried out
    GATEWAY_TIMEOUT_AFTER = "504_after_commit"
    REQUEST_TIMEOUT_AFTER = "408_after_commit"
    LATE_COMMIT = "late_commit"  # 504 now (or `status`), the write becomes visible `late_s` later
    RESET_BEFORE = "reset_before_commit"
    RESET_AFTER = "reset_after_commit"
    TIMEOUT_BEFORE = "timeout_before_commit"  # the client waits in vain
    TIMEOUT_AFTER = "timeout_after_commit"
    TRUNCATED = "truncated"  # carried out; the body ends in the middle
    SKIP_TOKEN = "skip_token_invalid"  # noqa: S105 a fault's name, not a secret
    SLOW = "slow"  # `delay_s` per request and `per_row_us` per row
    STALE_READ = "stale_read"  # rows changed in the last `window_s` are read as they were
    MISSING_READ = "missing_read"  # rows created in the last `window_s` are not found yet


BENDING: Final = frozenset({FaultKind.SLOW, FaultKind.STALE_READ, FaultKind.MISSING_READ})
BEFORE_COMMIT: Final = frozenset(
    {
        FaultKind.THROTTLED, FaultKind.UNAVAILABLE, FaultKind.SERVER_ERROR, FaultKind.HTML_ERROR,
        FaultKind.RESET_BEFORE, FaultKind.TIMEOUT_BEFORE, FaultKind.SKIP_TOKEN,
    }
)  # fmt: skip
_XML_NAMESPACE: Final = '"http://docs.oasis-open.org/odata/ns/metadata"'
MAX_LATE_S: Final = 480.0  # the operation timeout of 8 minutes bounds a late commit


@dataclass(slots=True, kw_only=True)
class Fault:
    """One scripted fault; `times=None` means without end."""

    kind: FaultKind
    match: str = ""
    times: int | None = 1
    probability: float = 1.0
    status: int | None = None
    retry_after: str | None = None  # header value, seconds or an HTTP date
    body: str = "json"  # json, xml, html or empty, for 429, 503 and 500
    delay_s: float = 0.0
    per_row_us: float = 0.0
    late_s: float = 120.0
    window_s: float = 30.0

    def __post_init__(self) -> None:
        self.kind = FaultKind(self.kind)
        re.compile(self.match)
        if not 0 < self.late_s <= MAX_LATE_S:
            raise ValueError(f"late_s must lie in (0, {MAX_LATE_S:.0f}]")
        if self.body not in ("json", "xml", "html", "empty"):
            raise ValueError(f"unknown body {self.body!r}")

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> "Fault":
        """Read a fault from a control request.

        Raises:
            ValueError: an unknown field or kind.
        """
        unknown = set(given) - {one.name for one in fields(cls)}
        if unknown or "kind" not in given:
            raise ValueError(f"a fault needs 'kind' and knows no {sorted(unknown)}")
        return cls(**given)


@dataclass(slots=True)
class Faults:
    """The script in force, broken records included."""

    rolls: random.Random
    script: list[Fault] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)  # record id -> "500" or "dialog"

    def add(self, fault: Fault) -> Fault:
        """Append a fault to the script."""
        self.script.append(fault)
        return fault

    def clear(self) -> None:
        """Heal everything."""
        self.script.clear()
        self.broken.clear()

    def strike(self, request: Request) -> tuple[Fault | None, list[Fault]]:
        """Return the fault that decides this answer, if any, and those that bend it; each counts as used."""
        line = f"{request.method} {request.url}"
        decisive: Fault | None = None
        bending: list[Fault] = []
        for fault in self.script:
            is_bending = fault.kind in BENDING
            if (fault.times == 0) or (decisive is not None and not is_bending) or not re.search(fault.match, line):
                continue
            if fault.probability < 1.0 and self.rolls.random() >= fault.probability:
                continue
            if fault.times is not None:
                fault.times -= 1
            if is_bending:
                bending.append(fault)
            else:
                decisive = fault
        return decisive, bending


@dataclass(frozen=True, slots=True)
class Sight:
    """What a read gets to see of the rows, given the faults that bend it."""

    now: datetime
    broken: Mapping[str, str]
    stale_s: float = 0.0
    missing_s: float = 0.0

    @property
    def is_clear(self) -> bool:
        """Whether rows need no look at all."""
        return not self.broken and not self.stale_s and not self.missing_s

    def row(self, record: Record) -> list[Any] | None:
        """Return the values that are seen, or None when the row is not seen yet.

        Raises:
            ApiError: the row is broken: 500, or a dialog error.
        """
        broken = self.broken.get(record.id)
        if broken == "dialog":
            raise errors.dialog("The record cannot be read: a date formula is not valid.")
        if broken is not None:
            raise errors.server_error()
        if self.missing_s and record.created_at > self.now - timedelta(seconds=self.missing_s):
            return None
        if self.stale_s:
            at = record.entity.position.get("lastModifiedDateTime")
            is_fresh = at is not None and record.row[at] > self.now - timedelta(seconds=self.stale_s)
            if is_fresh and record.previous is None:
                return None
            if is_fresh:
                return record.previous
        return record.row


def sight(now: datetime, faults: Faults, bending: list[Fault]) -> Sight:
    """Return what reads of this request get to see."""
    stale = [fault.window_s for fault in bending if fault.kind is FaultKind.STALE_READ]
    missing = [fault.window_s for fault in bending if fault.kind is FaultKind.MISSING_READ]
    return Sight(now, faults.broken, max(stale, default=0.0), max(missing, default=0.0))


def instead(fault: Fault, correlation: str) -> Response:
    """Return the answer of a fault that keeps the request from being carried out."""
    match fault.kind:
        case FaultKind.RESET_BEFORE:
            return Response(status=0, transport=Transport.RESET)
        case FaultKind.TIMEOUT_BEFORE:
            return Response(status=0, transport=Transport.TIMEOUT)
        case FaultKind.HTML_ERROR:
            return _plain(fault.status or 502, "html", "Bad Gateway", correlation, fault)
        case FaultKind.SKIP_TOKEN:
            return _plain(400, "json", "SkipTokenIsNoLongerValid", correlation, fault)
        case FaultKind.THROTTLED:
            return _plain(429, fault.body, "Application_TooManyRequests", correlation, fault)
        case FaultKind.UNAVAILABLE:
            return _plain(fault.status or 503, fault.body, "Internal_TenantUnavailable", correlation, fault)
        case _:
            return _plain(fault.status or 500, fault.body, "Internal_ServerError", correlation, fault)


def afterwards(fault: Fault, done: Response, correlation: str) -> Response:
    """Return what the client gets although the request was carried out."""
    match fault.kind:
        case FaultKind.RESET_AFTER:
            return Response(status=0, transport=Transport.RESET)
        case FaultKind.TIMEOUT_AFTER:
            return Response(status=0, transport=Transport.TIMEOUT)
        case FaultKind.TRUNCATED:
            return Response(
                status=done.status, headers=done.headers, body=done.body, delay_s=done.delay_s,
                transport=Transport.TRUNCATED,
            )  # fmt: skip
        case FaultKind.REQUEST_TIMEOUT_AFTER:
            return _plain(408, fault.body, "Internal_OperationTimeout", correlation, fault)
        case _:
            return _plain(fault.status or 504, fault.body, "Internal_GatewayTimeout", correlation, fault)


def _plain(status: int, kind: str, code: str, correlation: str, fault: Fault) -> Response:
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    text = "Too many requests reached. Actual (101). Maximum (100)." if status == 429 else "The request failed."
    bodies = {
        "json": (
            "application/json",
            f'{{"error":{{"code":"{code}","message":"{text}  CorrelationId:  {correlation}."}}}}',
        ),
        "xml": (
            "application/xml",
            f"<error xmlns={_XML_NAMESPACE}><code>{code}</code><message>{text}</message></error>",
        ),
        "html": (
            "text/html",
            f"<html><head><title>{status}</title></head><body><h1>{status} Service Error</h1></body></html>",
        ),
        "empty": ("", ""),
    }
    content_type, body = bodies[kind]
    if content_type:
        headers["Content-Type"] = content_type
    return Response(status=status, headers=headers, body=body.encode(), delay_s=fault.delay_s)
