"""Scripted faults: which requests fail, how, and whether the work behind them counts. One script for every emulator.

A `Fault` says what (`kind`), where (`match`, a regular expression searched in `METHOD url`), and how often. Faults that
answer instead of the engine come first in the list that wins; `BENDING` ones only change an honest answer. The kinds in
`BUSINESS_CENTRAL` need its tables, and other engines refuse them.
"""

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from business_central_emulator.server.exchange import Request, Response, Transport


class FaultKind(StrEnum):
    """What goes wrong."""

    THROTTLED = "429"  # not carried out; `retry_after` or none
    UNAVAILABLE = "503"  # not carried out
    SERVER_ERROR = "500"  # not carried out
    TRANSIENT = "transient"  # not carried out; a 4xx whose text says that it passes, see `TRANSIENT_ANSWERS`
    HTML_ERROR = "html"  # a gateway's page, `status` 502 by default; not carried out
    ANSWER = "answer"  # `status` with `headers` and `text` as they are; not carried out
    GATEWAY_TIMEOUT_AFTER = "504_after_commit"
    REQUEST_TIMEOUT_AFTER = "408_after_commit"
    LATE_COMMIT = "late_commit"  # 504 now (or `status`), the write is committed `late_s` later
    LATE_ROLLBACK = "late_rollback"  # the same, and it is rolled back; until then reads with `ReadWrite` see it
    RESET_BEFORE = "reset_before_commit"
    RESET_AFTER = "reset_after_commit"
    TIMEOUT_BEFORE = "timeout_before_commit"  # the client waits in vain
    TIMEOUT_AFTER = "timeout_after_commit"
    TRUNCATED = "truncated"  # carried out; the body ends in the middle
    SKIP_TOKEN = "skip_token_invalid"  # noqa: S105 a fault's name, not a secret
    SLOW = "slow"  # `delay_s` per request and `per_row_us` per row
    REPLICA_LAG = "replica_lag"  # a read without `ReadWrite` sees what was committed `least_s` to `window_s` ago


BENDING: Final = frozenset({FaultKind.SLOW, FaultKind.REPLICA_LAG})
BEFORE_COMMIT: Final = frozenset(
    {
        FaultKind.THROTTLED, FaultKind.UNAVAILABLE, FaultKind.SERVER_ERROR, FaultKind.HTML_ERROR, FaultKind.ANSWER,
        FaultKind.TRANSIENT,
        FaultKind.RESET_BEFORE, FaultKind.TIMEOUT_BEFORE, FaultKind.SKIP_TOKEN,
    }
)  # fmt: skip
BUSINESS_CENTRAL: Final = frozenset({FaultKind.LATE_COMMIT, FaultKind.LATE_ROLLBACK, FaultKind.REPLICA_LAG})
#: Reasons of a TRANSIENT: status, code and text. Texts as users report them; which status goes with which is not
#: documented, so a client must not depend on it.
TRANSIENT_ANSWERS: Final[Mapping[str, tuple[int, str, str]]] = {
    "locked": (
        400, "Application_DialogException",
        ("The operation could not complete because a record in the 'Sales Header' table was locked by another user. "
        "Please retry the activity."),
    ),
    "updated": (
        400, "Application_DialogException",
        ("We can't save your changes right now, because a record in table 'Sales Header' is being updated in a "
        "transaction done by another session. You'll have to wait until the other transaction has completed, which may "
        "take a while. Please try again later."),
    ),
    "deadlock": (
        400, "Application_DialogException",
        ("Your activity was deadlocked with another user that was modifying the Sales Line table. Start your activity "
        "again."),
    ),
    "metadata": (
        400, "BadRequest", "Could not find a property named 'salesOrderLines' on type 'Microsoft.NAV.salesOrder'.",
    ),
    "tenant": (400, "Internal_TenantUnavailable", "The tenant is not available right now. Please try again later."),
}  # fmt: skip
_XML_NAMESPACE: Final = '"http://docs.oasis-open.org/odata/ns/metadata"'
MAX_LAG_S: Final = 3600.0  # the emulator's own bound; Business Central names none
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
    headers: Mapping[str, str] = field(default_factory=dict)  # of an ANSWER
    text: str = ""  # body of an ANSWER
    reason: str = "locked"  # of a TRANSIENT
    lasts_s: float | None = None  # heals this long after it first struck, whatever `times` says
    ends: datetime | None = None  # set when it first strikes
    body: str = "json"  # json, xml, html or empty, for 429, 503 and 500
    delay_s: float = 0.0
    per_row_us: float = 0.0
    late_s: float = 120.0
    queued: bool = False  # of a LATE_COMMIT: the write begins late, too, so no read sees it before
    window_s: float = 30.0
    least_s: float | None = None  # of a REPLICA_LAG; None = always `window_s`

    def __post_init__(self) -> None:
        self.kind = FaultKind(self.kind)
        re.compile(self.match)
        if not 0 < self.late_s <= MAX_LATE_S:
            raise ValueError(f"late_s must lie in (0, {MAX_LATE_S:.0f}]")
        if self.body not in ("json", "xml", "html", "empty"):
            raise ValueError(f"unknown body {self.body!r}")
        if self.reason not in TRANSIENT_ANSWERS:
            raise ValueError(f"a transient answer is one of {', '.join(TRANSIENT_ANSWERS)}")
        if self.kind is FaultKind.ANSWER and self.status is None:
            raise ValueError("an answer needs a status")
        if self.kind is FaultKind.REPLICA_LAG and not 0 <= (self.least_s or 0.0) <= self.window_s <= MAX_LAG_S:
            raise ValueError(f"a lag lies in [0, {MAX_LAG_S:.0f}] s")
        if (self.times is not None and self.times < 1) or self.delay_s < 0:
            raise ValueError("times starts at 1 and delay_s at 0")

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> "Fault":
        """Read a fault from a control request.

        Raises:
            ValueError: an unknown field or kind, or a value that cannot be used.
        """
        unknown = set(given) - {one.name for one in fields(cls)}
        if unknown or "kind" not in given:
            raise ValueError(f"a fault needs 'kind' and knows no {sorted(unknown)}")
        try:
            return cls(**given)
        except (TypeError, re.error) as fault:
            raise ValueError(str(fault)) from fault


@dataclass(slots=True)
class Faults:
    """The script in force, broken records included."""

    rolls: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311 repeatable, not secret
    script: list[Fault] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)  # record id -> "500" or "dialog"
    refused: frozenset[FaultKind] = frozenset()  # what this engine cannot play
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def add(self, fault: Fault) -> Fault:
        """Append a fault to the script.

        Raises:
            ValueError: this engine cannot play it.
        """
        if fault.kind in self.refused:
            raise ValueError(f"this emulator cannot play {fault.kind.value}")
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
            if fault.ends is not None and self.clock() >= fault.ends:
                continue
            if fault.probability < 1.0 and self.rolls.random() >= fault.probability:
                continue
            if fault.lasts_s is not None and fault.ends is None:
                fault.ends = self.clock() + timedelta(seconds=fault.lasts_s)
            if fault.times is not None:
                fault.times -= 1
            if is_bending:
                bending.append(fault)
            else:
                decisive = fault
        return decisive, bending


def answered(faults: Faults, request: Request, honest: Callable[[], Response]) -> Response:
    """Return the answer of an engine under its script."""
    decisive, bending = faults.strike(request)
    if decisive is not None and decisive.kind in BEFORE_COMMIT:
        return instead(decisive)
    answer = bend(honest(), bending)
    return answer if decisive is None else afterwards(decisive, answer)


def instead(fault: Fault, correlation: str = "") -> Response:
    """Return the answer of a fault that keeps the request from being carried out."""
    match fault.kind:
        case FaultKind.RESET_BEFORE:
            return Response(status=0, transport=Transport.RESET)
        case FaultKind.TIMEOUT_BEFORE:
            return Response(status=0, transport=Transport.TIMEOUT)
        case FaultKind.ANSWER:
            status = fault.status or 500
            return Response(status=status, headers=fault.headers, body=fault.text.encode(), delay_s=fault.delay_s)
        case FaultKind.TRANSIENT:
            status, code, text = TRANSIENT_ANSWERS[fault.reason]
            return _plain(fault.status or status, "json", code, correlation, fault, text)
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


def afterwards(fault: Fault, done: Response, correlation: str = "") -> Response:
    """Return what the client gets although the request was carried out."""
    match fault.kind:
        case FaultKind.RESET_AFTER:
            return Response(status=0, transport=Transport.RESET)
        case FaultKind.TIMEOUT_AFTER:
            return Response(status=0, transport=Transport.TIMEOUT)
        case FaultKind.TRUNCATED:
            return replace(done, transport=Transport.TRUNCATED)
        case FaultKind.REQUEST_TIMEOUT_AFTER:
            return _plain(408, fault.body, "Internal_OperationTimeout", correlation, fault)
        case _:
            return _plain(fault.status or 504, fault.body, "Internal_GatewayTimeout", correlation, fault)


def bend(done: Response, bending: list[Fault]) -> Response:
    """Return an honest answer as late as the script wants it."""
    return replace(done, delay_s=done.delay_s + sum(fault.delay_s for fault in bending))


def _plain(
    status: int, kind: str, code: str, correlation: str, fault: Fault, text: str = "The request failed."
) -> Response:
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    text = "Too many requests reached. Actual (101). Maximum (100)." if status == 429 else text
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
