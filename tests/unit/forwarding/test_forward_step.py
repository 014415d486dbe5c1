"""What an answer means, row by row."""

from datetime import timedelta

import pytest

from shared.forwarding.event_targets import TargetKind
from shared.forwarding.forward_step import (
    CLOSED,
    HELD,
    LONGEST_WAIT,
    NETWORK,
    NO_TOKEN,
    NO_VAULT,
    PATIENCE,
    SECRET_MISSING,
    SECRET_WRONG,
    Answer,
    Hold,
    Refused,
    Sent,
    Split,
    Step,
    cause_and_do,
    next_step,
    secret_fault,
)

GRID, BUS, HOOK = TargetKind.EVENT_GRID, TargetKind.SERVICE_BUS, TargetKind.WEBHOOK
SMALL, LARGE = 1000, 300_000
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("kind", "answer", "events", "size", "step"),
    [
        (GRID, Answer(status=200), 9, SMALL, Sent()),
        (BUS, Answer(status=201), 9, SMALL, Sent()),
        (HOOK, Answer(status=204), 1, SMALL, Sent()),
        (HOOK, Answer(status=299), 1, SMALL, Sent()),
        (GRID, Answer(status=413), 2, LARGE, Split()),
        (GRID, Answer(status=413), 1, LARGE, Refused("too_large")),
        (HOOK, Answer(status=413), 1, SMALL, Refused("too_large")),
        # Service Bus says 403 for what is too large and for an entity that is full
        (BUS, Answer(status=403), 2, SMALL, Split()),
        (BUS, Answer(status=403), 1, 262_144, Hold("full", MINUTE)),
        (BUS, Answer(status=403), 1, 262_145, Refused("too_large")),
        (BUS, Answer(status=403), 1, LARGE, Refused("too_large")),
        (BUS, Answer(status=403), 1, SMALL, Hold("full", MINUTE)),
        (GRID, Answer(status=400), 9, SMALL, Refused("refused")),
        (BUS, Answer(status=400), 1, SMALL, Refused("refused")),
        (HOOK, Answer(status=422), 1, SMALL, Refused("refused")),
        (GRID, Answer(status=401), 9, SMALL, Hold("denied", MINUTE)),
        (GRID, Answer(status=403), 9, SMALL, Hold("denied", MINUTE)),
        (BUS, Answer(status=401), 9, SMALL, Hold("denied", MINUTE)),
        (HOOK, Answer(status=403), 1, SMALL, Hold("denied", MINUTE)),
        (GRID, Answer(status=404), 9, SMALL, Hold("not_found", MINUTE)),
        (BUS, Answer(status=404), 9, SMALL, Hold("not_found", MINUTE)),
        (BUS, Answer(status=410), 9, SMALL, Hold("not_found", MINUTE)),
        (HOOK, Answer(status=410), 1, SMALL, Hold("not_found", MINUTE)),
        (HOOK, Answer(status=302), 1, SMALL, Hold("moved", MINUTE)),
        (HOOK, Answer(status=300), 1, SMALL, Hold("moved", MINUTE)),
        (HOOK, Answer(status=399), 1, SMALL, Hold("moved", MINUTE)),
        (HOOK, Answer(status=405), 1, SMALL, Hold("not_found", MINUTE)),
        (HOOK, Answer(status=406), 1, SMALL, Refused("refused")),
        (HOOK, Answer(status=424), 1, SMALL, Refused("refused")),
        (HOOK, Answer(status=425), 1, SMALL, Hold("unavailable", MINUTE)),
        (HOOK, Answer(status=426), 1, SMALL, Refused("refused")),
        (HOOK, Answer(status=499), 1, SMALL, Refused("refused")),
        (GRID, Answer(status=429, retry_after_s=-1.0), 9, SMALL, Hold("throttled", timedelta(0))),
        (GRID, Answer(status=429), 9, SMALL, Hold("throttled", MINUTE)),
        (GRID, Answer(status=429, retry_after_s=7), 9, SMALL, Hold("throttled", timedelta(seconds=7))),
        (HOOK, Answer(status=503, retry_after_s=7200), 1, SMALL, Hold("unavailable", timedelta(hours=2))),
        (HOOK, Answer(status=503, retry_after_s=1e9), 1, SMALL, Hold("unavailable", timedelta(hours=6))),
        (HOOK, Answer(status=429, retry_after_s=1e14), 1, SMALL, Hold("throttled", timedelta(hours=6))),
        (HOOK, Answer(status=429, retry_after_s=float("inf")), 1, SMALL, Hold("throttled", timedelta(hours=6))),
        (GRID, Answer(status=500), 9, SMALL, Hold("unavailable", MINUTE)),
        (GRID, Answer(status=408), 9, SMALL, Hold("unavailable", MINUTE)),
        (HOOK, Answer(status=504), 1, SMALL, Hold("unavailable", MINUTE)),
        (GRID, Answer(status=0, code=NETWORK), 9, SMALL, Hold(NETWORK, MINUTE)),
        (GRID, Answer(status=0, code=CLOSED, retry_after_s=5), 9, SMALL, Hold("throttled", timedelta(seconds=5))),
        (GRID, Answer(status=0, code=NO_TOKEN), 9, SMALL, Hold(NO_TOKEN, MINUTE)),
        (HOOK, Answer(status=0, code=SECRET_MISSING), 1, SMALL, Hold(SECRET_MISSING, MINUTE)),
        (HOOK, Answer(status=0, code=SECRET_WRONG), 1, SMALL, Hold(SECRET_WRONG, MINUTE)),
        (HOOK, Answer(status=0, code=NO_VAULT), 1, SMALL, Hold(NO_VAULT, MINUTE)),
    ],
)  # fmt: skip
def test_what_follows_from_an_answer(kind: TargetKind, answer: Answer, events: int, size: int, step: Step) -> None:
    """What can heal waits; what can't is refused, after it was cut down to one event where its size was the fault."""
    assert next_step(kind, answer, events=events, size=size, tries=0) == step


@pytest.mark.parametrize("kind", TargetKind)
def test_no_answer_is_taken_for_success_and_each_has_words(kind: TargetKind) -> None:
    """2xx alone is success (Standard Webhooks); every other status leads to a cause that people are told."""
    for status in [*range(100, 200), *range(300, 600)]:
        step = next_step(kind, Answer(status=status), events=1, size=SMALL, tries=0)
        assert isinstance(step, Hold | Refused)
        assert all(words.endswith(".") for words in cause_and_do(kind, step.cause))


def test_failures_in_a_row_wait_longer_up_to_half_an_hour() -> None:
    """As dead letters and orders do."""
    waits = [
        step.wait
        for tries in range(12)
        if isinstance(step := next_step(GRID, Answer(status=500), events=1, size=1, tries=tries), Hold)
    ]
    assert waits[:5] == [timedelta(minutes=minutes) for minutes in (1, 2, 4, 8, 16)]
    assert set(waits[5:]) == {LONGEST_WAIT}


@pytest.mark.parametrize("cause", sorted(HELD))
def test_what_a_person_must_mend_names_the_next_step(cause: str) -> None:
    """For every kind of receiver."""
    for kind in TargetKind:
        assert cause_and_do(kind, cause)[1]


def test_a_batch_waits_for_three_days_and_half_an_hour_at_once() -> None:
    """As docs/forwarding.md says."""
    assert (timedelta(hours=72), timedelta(minutes=30)) == (PATIENCE, LONGEST_WAIT)


@pytest.mark.parametrize(
    ("secret", "fault"),
    [(None, SECRET_MISSING), ("", SECRET_MISSING), ("no secret", SECRET_WRONG), ("whsec_" + "A" * 32, "")],
)
def test_a_secret_that_signs_nothing_is_said_to_be_missing_or_wrong(secret: str | None, fault: str) -> None:
    """By `bc-events-secret`, before a request is made."""
    assert secret_fault(secret) == fault
