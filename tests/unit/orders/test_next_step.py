"""The decision table of an order: each row is a sentence of P8, P9 or P17."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.business_central.port import PostedOrder
from shared.errors import (
    BCConflict,
    BCDenied,
    BCNotFound,
    BCRejected,
    BCThrottled,
    BCUnavailable,
    BudgetExhausted,
    IntegrationError,
    TokenError,
)
from shared.orders import next_step
from shared.orders.next_step import PATIENCE, SETTLE, Adopt, Candidate, Park, Post, Reject, Wait
from shared.orders.order_entry import OrderEntry

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
MADE = PostedOrder("id-1", "101001")
OURS, OTHER = Candidate(MADE), Candidate(PostedOrder("id-2", "101002"))
CLAIMED = replace(OURS, claimed=True)
OLD = Candidate(replace(MADE, modified_at=NOW - timedelta(hours=2)))
THEIRS = Candidate(replace(MADE, is_customers=False))
NO_TIME = Candidate(replace(MADE, modified_at=datetime(1, 1, 1, tzinfo=UTC)))
MINUTE = timedelta(minutes=1)


def entry(**more: Any) -> OrderEntry:
    """An order that came a minute ago and was never posted."""
    known: dict[str, Any] = {"first_at": NOW - MINUTE, "status": "posting", **more}
    return OrderEntry(key="K", company="c", message=b"{}", **known)


def doubt(age: timedelta, **more: Any) -> OrderEntry:
    """An order whose newest post was sent so long ago, without an answer."""
    return entry(status="waiting", unknown=True, posted_at=NOW - age, attempts=1, **more)


def wait(code: str, minutes: float = 1, *, unknown: bool = False) -> tuple[object, ...]:
    """A wait as `plain` shows it."""
    return ("Wait", code, unknown, NOW + timedelta(minutes=minutes))


def changed(before: timedelta) -> Candidate:
    """A document that was changed last so long before the post of an order whose doubt is just settled."""
    return Candidate(replace(MADE, modified_at=NOW - SETTLE - before))


def plain(step: next_step.Step) -> tuple[object, ...]:
    """A step by what matters of it: errors by their code."""
    match step:
        case Adopt(document):
            return ("Adopt", document.number)
        case Post(before):
            return ("Post", *before)
        case Reject(error):
            return ("Reject", error.code)
        case Wait(error, unknown, until):
            return ("Wait", getattr(error, "code", type(error).__name__), unknown, until)
        case Park(error, unknown):
            return ("Park", getattr(error, "code", type(error).__name__), unknown)


@dataclass
class Row:
    """One row of the table."""

    said: str
    entry: OrderEntry
    found: Any
    step: tuple[object, ...]


LOST = BCUnavailable("no answer", code="network")
THROTTLED = BCThrottled("too many", code="Application_TooManyRequests", retry_after_s=600)
NO_FIELD = BCRejected("unknown field", status=400, code="BadRequest")
STUMBLED = BCRejected("The document is broken.", status=400, code="Application_DialogException")
LOCKED = BCRejected("The record was locked by another user.", status=400, code="Application_DialogException")
FOREIGN = BCRejected("Der Datensatz wurde gesperrt.", status=400, code="Application_DialogException")
FOREIGN_RULE = BCRejected("Gesperrt muss Nein sein.", status=400, code="Application_FieldValidationException")
HOURS = next_step.UNCLEAR_FOR
NO_LINES = BCRejected("Could not find a property named 'salesOrderLines' on type 'x'.", status=400, code="BadRequest")
NO_SHOES = BCRejected("Could not find a property named 'shoeSize' on type 'x'.", status=400, code="BadRequest")
GONE = BCNotFound("no such environment", status=404, code="NoEnvironment")
SHARED = {"numbering": "shared"}

LOOKED_UP = [
    Row("P8: an order that is nowhere is posted", entry(), [], ("Post",)),
    Row("P8: a shared number is no order of ours: those that bear it are remembered, and the order is posted",
        entry(**SHARED), [OURS, OTHER], ("Post", "101001", "101002")),
    Row("P17: an order that was never posted can't have made a document: refused, not adopted",
        entry(), [OURS], ("Reject", "OrderExists")),
    Row("P17: the document of another key of ours is in nobody's way", entry(), [CLAIMED], ("Post",)),
    Row("P8: an order in doubt that is found is adopted, never posted again", doubt(MINUTE), [OURS],
        ("Adopt", "101001")),
    Row("P8: a worker died after it had noted its post: the order is in doubt", entry(posted_at=NOW - MINUTE), [OURS],
        ("Adopt", "101001")),
    Row("P17: a document that was there before the first post is not this order",
        doubt(SETTLE, before="101001", **SHARED), [OURS], ("Post", "101001")),
    Row("P17: of two documents the one that was not there before is this order",
        doubt(MINUTE, before="101001", **SHARED), [OURS, OTHER], ("Adopt", "101002")),
    Row("P17: a document that another key has claimed is not this order", doubt(SETTLE), [CLAIMED], ("Post",)),
    Row("P17: a document last changed long before the post is not what the post made",
        doubt(MINUTE), [OLD], wait("outcome_unknown", unknown=True)),
    Row("P8: a document without a time may be what the post made", doubt(MINUTE), [NO_TIME], ("Adopt", "101001")),
    Row("P17: another customer's document under the number was there before and is in nobody's way", entry(),
        [THEIRS], ("Post", "101001")),
    Row("P8: a document of another customer may be this order, whose customer a clerk has changed: not posted again",
        doubt(SETTLE), [THEIRS], wait("outcome_unknown", unknown=True)),
    Row("P8: under a number that this app made it is this order, whatever was changed in it",
        doubt(SETTLE, numbering="generated"), [replace(THEIRS, likeness="unclear")], ("Adopt", "101001")),
    Row("P8: quantities that BC has rounded to whole pieces are this order's, as no other one bears the number",
        doubt(MINUTE, numbering="given"), [replace(OURS, likeness="rounded")], ("Adopt", "101001")),
    Row("P17: under a shared number they may be another order's",
        doubt(SETTLE, **SHARED), [replace(OURS, likeness="rounded")], wait("outcome_unknown", unknown=True)),
    Row("P17: a document that may yet be rolled back is not reported, and is not posted again meanwhile",
        doubt(SETTLE), [replace(OURS, likeness="uncommitted")], wait("outcome_unknown", unknown=True)),
    Row("P17: a document with more lines is not taken while a better one may come",
        doubt(MINUTE), [replace(OURS, likeness="unclear")], wait("outcome_unknown", unknown=True)),
    Row("P17: what is minutes older than the post may have been typed in before it: never taken",
        doubt(SETTLE), [changed(MINUTE * 2)], wait("outcome_unknown", unknown=True)),
    Row("P8: but nobody else knows a number that this app made",
        doubt(SETTLE, numbering="generated"), [changed(MINUTE * 2)], ("Adopt", "101001")),
    Row("P8: clocks lie apart a little", doubt(SETTLE), [changed(MINUTE / 2)], ("Adopt", "101001")),
    Row("P17: nor is it later, nor is the order posted again: its owner may claim it, or a person tells",
        doubt(SETTLE), [replace(OURS, likeness="unclear")], wait("outcome_unknown", unknown=True)),
    Row("P9: the person hears of it when patience is over",
        doubt(SETTLE, first_at=NOW - PATIENCE - timedelta(hours=2)), [replace(OURS, likeness="unclear")],
        ("Park", "outcome_unknown", True)),
    Row("P17: the better of two documents is this order", doubt(SETTLE),
        [replace(OURS, likeness="unclear"), OTHER], ("Adopt", "101002")),
    Row("P8: an order in doubt is not posted again while BC may still be working on it",
        doubt(SETTLE - timedelta(seconds=1)), [], wait("outcome_unknown", unknown=True)),
    Row("P8: once BC can no longer be at it, a lost post is repeated", doubt(SETTLE), [], ("Post",)),
    Row("P9: patience is over and the newest post surely made nothing: parked, and no longer in doubt",
        doubt(SETTLE, first_at=NOW - PATIENCE, error_code="network"), [], ("Park", "network", False)),
    Row("P9: patience is over while the outcome is open: looked up again before a person hears of it",
        doubt(MINUTE, first_at=NOW - PATIENCE), [], wait("outcome_unknown", unknown=True)),
    Row("P9: a look-up that is not answered makes the order wait", entry(), LOST, wait("network")),
    Row("P9: a look-up that is not answered settles no doubt", doubt(SETTLE), LOST, wait("network", unknown=True)),
    Row("P9: no token and no slot are waited out", entry(), TokenError("x", code="grant"), wait("grant")),
    Row("P9: no token and no slot are waited out", entry(), BudgetExhausted("x"), wait("BudgetExhausted")),
    Row("P9: what BC can't even look for is refused", entry(), NO_FIELD, ("Reject", "BadRequest")),
    Row("P8: an order in doubt is never rejected by a failed look-up", doubt(MINUTE), NO_FIELD,
        wait("BadRequest", unknown=True)),
    Row("P9: a look-up that stumbled over another document rejects nothing", entry(), STUMBLED,
        wait("Application_DialogException")),
]  # fmt: skip


@pytest.mark.parametrize("row", LOOKED_UP, ids=lambda row: row.said)
def test_after_a_look_up(row: Row) -> None:
    """What was found decides; what could not be read decides nothing."""
    assert plain(next_step.after_look_up(row.entry, row.found, NOW)) == row.step


POSTED = [
    Row("P8: what BC answers to a post is this order", entry(), MADE, ("Adopt", "101001")),
    Row("P8: no answer leaves the outcome open", entry(), LOST, wait("network", unknown=True)),
    Row("P9: 429 did nothing and is waited out as long as BC asks", entry(), THROTTLED,
        wait("Application_TooManyRequests", 10)),
    Row("P9: a login without the permission is waited out", entry(), BCDenied("no", code="Denied"), wait("Denied")),
    Row("P9: a conflict is waited out", entry(), BCConflict("changed", code="Changed"), wait("Changed")),
    Row("P9: a lock told with 400 is waited out", entry(), LOCKED, wait("Application_DialogException")),
    Row("P9: words that nobody here knows may tell a lock: waited out", entry(), FOREIGN,
        wait("Application_DialogException")),
    Row("P9: still refused so after hours, it is a rule", entry(refused_at=NOW - HOURS), FOREIGN,
        ("Reject", "Application_DialogException")),
    Row("P9: a minute before that it is not", entry(refused_at=NOW - HOURS + MINUTE, first_at=NOW - PATIENCE / 2),
        FOREIGN, wait("Application_DialogException")),
    Row("P9: a code that names a rule is final in any language", entry(), FOREIGN_RULE,
        ("Reject", "Application_FieldValidationException")),
    Row("P9: metadata that BC lost for a moment is waited out", entry(), NO_LINES, wait("BadRequest")),
    Row("P9: a property that BC never had is refused", entry(), NO_SHOES, ("Reject", "BadRequest")),
    Row("P9: an environment that is not there for now is waited for", entry(), GONE, wait("NoEnvironment")),
    Row("P9: nothing was sent without a token", entry(), TokenError("x", code="e", retryable=True), wait("e")),
    Row("P9: what BC refuses for good is rejected after one try", entry(), STUMBLED,
        ("Reject", "Application_DialogException")),
    Row("P9: after 72 hours a person decides", entry(first_at=NOW - PATIENCE), THROTTLED,
        ("Park", "Application_TooManyRequests", False)),
    Row("P9: an open outcome is looked up for two hours more",
        entry(first_at=NOW - PATIENCE - timedelta(minutes=119)), LOST, wait("network", unknown=True)),
    Row("P9: and then a person decides, and is told that it is open",
        entry(first_at=NOW - PATIENCE - timedelta(minutes=120)), LOST, ("Park", "network", True)),
]  # fmt: skip


@pytest.mark.parametrize("row", POSTED, ids=lambda row: row.said)
def test_after_a_post(row: Row) -> None:
    """Only a refusal is final; what was not answered stays open."""
    assert plain(next_step.after_post(row.entry, row.found, NOW)) == row.step


@pytest.mark.parametrize(
    ("known", "asks"),
    [
        (entry(numbering="generated"), False),
        (entry(numbering="given"), True),
        (entry(numbering="shared"), True),
        (doubt(MINUTE, numbering="generated"), True),
    ],
)
def test_a_number_that_this_app_made_needs_no_look_up_before_the_first_post(known: OrderEntry, asks: bool) -> None:
    """Nothing can bear it yet; one that the sender gave may be borne, and an order in doubt always is looked up."""
    assert next_step.needs_look_up(known) is asks


def test_a_post_leaves_within_a_minute_of_its_note_or_not_at_all() -> None:
    """So that BC can no longer be at it once its doubt is settled."""
    assert next_step.may_leave(doubt(timedelta(seconds=59)), NOW)
    assert not next_step.may_leave(doubt(MINUTE), NOW)
    assert not next_step.may_leave(entry(), NOW)


def test_an_order_waits_for_one_that_could_be_mistaken_for_it() -> None:
    """P17: and parks in the end, as for any other fault."""
    assert plain(next_step.after_hold(entry(), "PO-1", NOW)) == wait("another_in_doubt")
    assert plain(next_step.after_hold(entry(first_at=NOW - PATIENCE), "PO-1", NOW)) == (
        "Park", "another_in_doubt", False,
    )  # fmt: skip


@given(st.integers(-3, 300))
def test_waiting_grows_to_half_an_hour(waits: int) -> None:
    """From a minute to thirty, never shorter than the time before."""
    assert timedelta(minutes=1) <= next_step.delay(waits) <= timedelta(minutes=30)
    assert next_step.delay(waits) <= next_step.delay(waits + 1)


errors = st.sampled_from([LOST, THROTTLED, NO_FIELD, STUMBLED, LOCKED, GONE, BudgetExhausted("x"), TokenError("x")])


@given(st.one_of(errors, st.just([OURS]), st.just([])), st.integers(0, 80 * 60), st.booleans())
def test_an_order_in_doubt_is_never_posted_early_nor_rejected(found: Any, minutes: int, is_shared: bool) -> None:
    """Whatever is found and however old the doubt is (P8)."""
    age = timedelta(minutes=minutes)
    numbering = "shared" if is_shared else "given"
    step = next_step.after_look_up(doubt(age, first_at=NOW - age, numbering=numbering), found, NOW)
    assert not isinstance(step, Reject)
    if isinstance(step, Post):
        assert age >= SETTLE
        assert not isinstance(found, IntegrationError)


def test_an_order_waits_longer_each_time() -> None:
    """The n-th wait takes what the n-th place says, and all later ones half an hour."""
    assert [next_step.delay(waits) // MINUTE for waits in range(1, 9)] == [1, 2, 4, 8, 15, 30, 30, 30]
    for waits, minutes in enumerate((1, 2, 4, 8)):
        assert plain(next_step.after_hold(entry(waits=waits), "PO-1", NOW)) == wait("another_in_doubt", minutes)


def test_an_order_whose_document_another_key_has_claimed_is_in_doubt_no_more() -> None:
    """P17: what its post made is not there, so nothing is looked up for longer than 72 hours."""
    assert plain(next_step.after_lost_claim(entry(), MADE, NOW)) == wait("outcome_unknown")
    assert plain(next_step.after_lost_claim(entry(first_at=NOW - PATIENCE), MADE, NOW)) == (
        "Park", "outcome_unknown", False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("modified", "is_ours"),
    [
        (NOW - timedelta(minutes=10), True),
        (NOW - timedelta(minutes=10, seconds=1), False),
        (datetime(1, 12, 31, tzinfo=UTC), True),
        (datetime(2, 1, 1, tzinfo=UTC), False),
        (None, True),
    ],
)
def test_a_document_is_older_than_its_post_by_more_than_clocks_may_lie_apart(
    modified: datetime | None, is_ours: bool
) -> None:
    """Ten minutes; year 1 stands for no time."""
    assert next_step.may_be_ours(doubt(timedelta(0)), replace(MADE, modified_at=modified)) is is_ours


def test_of_several_strangers_the_first_is_named() -> None:
    """P17: the sender is told which order bears the number; a candidate is claimed only where the store says so."""
    strangers = [Candidate(MADE), Candidate(PostedOrder("id-2", "101002"))]
    step = next_step.after_look_up(entry(numbering="given"), strangers, NOW)
    assert isinstance(step, Reject)
    assert step.error.message.startswith("order 101001 ")


@pytest.mark.parametrize("error", [LOST, THROTTLED, GONE, BudgetExhausted("x"), TokenError("x")])
def test_only_a_refusal_in_unknown_words_has_a_beginning(error: IntegrationError) -> None:
    """P9: four hours are counted from it."""
    assert next_step.refused_since(entry(refused_at=NOW), error, NOW) is None
