"""What the network and BC's own gaps do to notifications, by script: dropped, doubled, shuffled, late, answer lost.

A rule applies to the deliveries whose URL it matches, `times` times or with a probability. Rolls come from the
engine's seeded source.
"""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

Entries = list[dict[str, Any]]


class TamperKind(StrEnum):
    """What happens to a delivery."""

    DROP = "drop"  # never leaves; BC counts it as accepted
    DROP_ENTRIES = "drop_entries"  # each entry is lost with probability `share`
    DUPLICATE = "duplicate"  # sent twice; the second answer counts
    REORDER = "reorder"  # entries leave in a random order
    LATE = "late"  # accepted by BC now, arrives `delay_s` later
    LOST_ANSWER = "lost_answer"  # arrives, but BC sees no answer and will repeat it


@dataclass(slots=True, kw_only=True)
class Tamper:
    """One rule."""

    kind: TamperKind
    match: str = ""  # regular expression on the notification URL
    times: int | None = 1  # None = no end
    probability: float = 1.0
    share: float = 0.5
    delay_s: float = 0.0


class Tampering:
    """The rules in force and the deliveries they hold back."""

    def __init__(self, rolls: random.Random) -> None:
        self._rolls = rolls
        self.rules: list[Tamper] = []
        self._held: list[tuple[datetime, Callable[[], object]]] = []

    def next_due(self) -> datetime | None:
        """Return when the next held-back delivery leaves, or None."""
        return min((due for due, _ in self._held), default=None)

    def release(self, now: datetime) -> int:
        """Send the held-back deliveries whose time has come; their answers no longer matter to BC."""
        ready = [send for due, send in self._held if due <= now]
        self._held = [held for held in self._held if held[0] > now]
        for send in ready:
            send()
        return len(ready)

    def send(self, url: str, entries: Entries, now: datetime, send: Callable[[Entries], int | None]) -> int | None:
        """Send one delivery, perhaps not as it should be, and return the status that BC sees."""
        rule = self._rule_for(url)
        if rule is None:
            return send(entries)
        match rule.kind:
            case TamperKind.DROP:
                return 202
            case TamperKind.DROP_ENTRIES:
                kept = [entry for entry in entries if self._rolls.random() >= rule.share]
                return send(kept) if kept else 202
            case TamperKind.DUPLICATE:
                send(entries)
                return send(entries)
            case TamperKind.REORDER:
                return send(self._rolls.sample(entries, len(entries)))
            case TamperKind.LATE:
                self._held.append((now + timedelta(seconds=rule.delay_s), lambda: send(entries)))
                return 202
            case TamperKind.LOST_ANSWER:
                send(entries)
                return None

    def _rule_for(self, url: str) -> Tamper | None:
        for rule in self.rules:
            if rule.times == 0 or not re.search(rule.match, url):
                continue
            if rule.probability < 1.0 and self._rolls.random() >= rule.probability:
                continue
            if rule.times is not None:
                rule.times -= 1
            return rule
        return None
