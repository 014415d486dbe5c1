"""How a connection is, in one word with a reason and a next step (design 3.2). Pure: findings in, health out.

Owns the words and which finding decides; what leads to a finding is others'.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from shared.login.entra_codes import advice
from shared.operations.findings import Finding

type Word = Literal["connected", "login_needed", "unreachable", "degraded", "stopped"]

#: What passes when Business Central, the login, the vault or the tables answer again.
_UNREACHABLE: Final = frozenset({
    "bc_unreachable", "bc_down", "bc_throttled", "business_central_hangs", "login_unavailable", "budget_busy",
    "storage_unreachable", "vault_unreachable",
})  # fmt: skip
#: Without these nothing flows.
_STOPPING: Final = frozenset({"settings", "state", "login", "business_central"})
#: What slows or stops the flow of records; orders and dead letters wait for a person while it flows.
_PATH: Final = frozenset({"companies", "timers", "runs", "webhooks", "queues", "forwarding"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """One word, a sentence why, and a sentence on what to do; both are empty when nothing is to be said."""

    word: Word
    reason: str = ""
    next_step: str = ""


def health_of(found: Sequence[Finding]) -> Health:
    """Return what the findings of one connection amount to: the first that decides, as they are worst first."""
    wrong = [one for one in found if one.is_wrong]
    for one in wrong:
        stopping = _stopping(one)
        if stopping is not None:
            return _health(stopping, one)
    for one in wrong:
        if one.check in _PATH:
            return _health("degraded", one)
    return _health("connected", wrong[0]) if wrong else Health(word="connected")


def _stopping(one: Finding) -> Word | None:
    """Return the word for a finding with which nothing flows, None for any other."""
    if one.check not in _STOPPING:
        return None
    if one.code in _UNREACHABLE:
        return "unreachable"
    if one.check == "login" and advice(one.code.removeprefix("login_"), "").by_signing_in:
        return "login_needed"
    return "stopped"


def _health(word: Word, finding: Finding) -> Health:
    return Health(word=word, reason=finding.seen, next_step=finding.do)
