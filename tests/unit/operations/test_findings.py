"""The shape of a finding, and how its texts are cut, counted and put together."""

from datetime import UTC, datetime

import pytest

from shared.operations.findings import (
    Finding,
    Report,
    Severity,
    counted,
    fine,
    grouped,
    in_plain_words,
    named,
    note,
    shortened,
    warning,
    wrong,
)

AT = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
FINE = fine("vault", "It answers.")
NOTE, WARNING, ERROR = (make("vault", "slow", "Seen.", "Cause.", "Do.") for make in (note, warning, wrong))


@pytest.mark.parametrize(
    ("found", "severity", "is_wrong"),
    [
        (FINE, Severity.OK, False),
        (NOTE, Severity.NOTE, False),
        (WARNING, Severity.WARNING, True),
        (ERROR, Severity.ERROR, True),
    ],
)
def test_a_warning_and_an_error_ask_for_somebody(found: Finding, severity: Severity, is_wrong: bool) -> None:
    """What is in order or only worth knowing does not."""
    assert (found.severity, found.is_wrong) == (severity, is_wrong)
    assert Report(at=AT, environment="e", findings=(FINE, found)).is_healthy is not is_wrong


def test_a_finding_bears_what_was_seen_why_and_what_to_do() -> None:
    """One that is fine has nothing to do, and the code `ok`."""
    assert (FINE.code, FINE.seen, FINE.do, FINE.connection) == ("ok", "It answers.", "", "")
    for found in (NOTE, WARNING, ERROR):
        assert (found.check, found.code, found.seen, found.cause, found.do) == (
            "vault",
            "slow",
            "Seen.",
            "Cause.",
            "Do.",
        )


@pytest.mark.parametrize(
    ("count", "line"),
    [(0, ""), (1, "a"), (6, "a, b, c, d, e, f"), (7, "a, b, c, d, e, f and 1 more"),
     (9, "a, b, c, d, e, f and 3 more")],
)  # fmt: skip
def test_things_are_named_up_to_six(count: int, line: str) -> None:
    """The rest is counted."""
    assert named(iter("abcdefghi"[:count])) == line
    assert named("abc", most=2) == "a, b and 1 more"


@pytest.mark.parametrize(("number", "text"), [(0, "0 orders"), (1, "1 order"), (2, "2 orders")])
def test_one_thing_is_one(number: int, text: str) -> None:
    """Of nouns that take an s."""
    assert counted(number, "order") == text


@pytest.mark.parametrize(
    ("text", "most", "short"),
    [
        ("a  b\nc", 10, "a b c"), ("  ", 10, "  "), ("", 10, ""), ("ab cd ef", 8, "ab cd ef"),
        ("ab cd ef", 7, "ab cd …"),
        ("ab cd ef", 6, "ab cd …"), ("ab cd ef", 5, "ab …"), ("abcdef", 3, "abc …"),
    ],
)  # fmt: skip
def test_a_text_is_cut_at_a_word(text: str, most: int, short: str) -> None:
    """In one line."""
    assert shortened(text, most) == short
    assert shortened("x" * 200) == "x" * 200
    assert shortened("x" * 201) == "x" * 200 + " …"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("[id-1] 400 Application_DialogException: Blocked.", "Blocked."),
        ("register: [id-1] 400 BadRequest: Blocked.", "register: Blocked."),
        ("[id-1] no answer: timed out", "timed out"),
        ("503: down", "down"),
        ("a 503: down", "a 503: down"),
        ("Blocked.", "Blocked."),
        ("503: ", "503:"),
        ("503: 504: down", "504: down"),
    ],
)
def test_what_only_machines_read_is_left_out(said: str, words: str) -> None:
    """The id of the request, status and code; once."""
    assert in_plain_words(said) == words
    assert in_plain_words("503: " + "x" * 201) == "x" * 200 + " …"
    assert in_plain_words("ab cd", most=3) == "ab …"


def test_reasons_that_differ_in_ids_only_are_one_cause() -> None:
    """Under its first wording."""
    guid = "7b1c4a52-91d3-f011-8d4c-6045bd1a2c1"
    pairs = [
        (f"[a-1] record {guid}0 at 2026-03-04T12:00:00Z, 0123456789ab", 1),
        ("other", 2),
        (f"[b-2] record {guid}1 at 2026-03-05T13:00:00.5Z, 0123456789abcd", 3),
        ("record 0123456789a", 4),
        ("record 0123456789c", 5),
    ]
    assert list(grouped(pairs).items()) == [
        (pairs[0][0], [1, 3]), ("other", [2]), ("record 0123456789a", [4]), ("record 0123456789c", [5])
    ]  # fmt: skip
