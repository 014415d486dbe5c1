"""What lies in a poison queue tells why: nobody comes for it, its keeper fails, or it has only just come."""

from datetime import UTC, datetime, timedelta

import pytest

import function_app
from shared.operations.poison_contents import KEEPERS, Peeked, poison_findings

AT = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def peeked(body: bytes = b"{}", *, minutes: int = 10, taken: int = 0) -> Peeked:
    """A message that was put there some minutes ago."""
    return Peeked(message_id="m-1", body=body, put_at=AT - timedelta(minutes=minutes), taken=taken)


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([], "poison_waits"),
        ([peeked(minutes=1)], "poison_moving"),
        ([peeked(minutes=1, taken=1)], "poison_moving"),
        ([peeked(minutes=3)], "poison_idle"),
        ([peeked(minutes=3, taken=1)], "poison_fails"),
        ([peeked(minutes=1), peeked(minutes=30)], "poison_idle"),
    ],
)
def test_age_and_deliveries_tell_the_cause(messages: list[Peeked], code: str) -> None:
    """Young ones are on their way; old ones were never taken, or taken in vain."""
    (found,) = poison_findings({"bc-pages-poison": 2}, {"bc-pages-poison": messages}, now=AT)
    assert found.code == code
    assert found.is_wrong == (code != "poison_moving")
    assert "dead_letter_page" in found.cause + found.do


@pytest.mark.parametrize(
    ("queue", "body", "word"),
    [
        ("sales-orders-poison", b'{"orderKey": "WEB-1", "order": {}}', "order WEB-1"),
        ("sales-orders-poison", b"\xff\xfe", "message m-1, which can't be decoded"),
        ("sales-orders-resume-poison", b'{"orderKey": "WEB-1", "company": "c"}', "order WEB-1"),
        ("bc-pages-poison", b'{"kind": "page", "entity": "items", "job": "j"}', "page job of items"),
        ("bc-notifications-poison", b'{"kind": "timer", "job": "j-9"}', "job j-9"),
    ],
)
def test_messages_are_told_by_what_they_are_about(queue: str, body: bytes, word: str) -> None:
    """By the order's key or the entity, never by their contents."""
    (found,) = poison_findings({queue: 1}, {queue: [peeked(body)]}, now=AT)
    assert found.seen.endswith(f"since 2026-03-04 11:50 UTC, never taken: {word}.")


def test_queues_of_one_cause_are_one_finding() -> None:
    """All keepers disabled: one line."""
    queues = [f"{queue}-poison" for queue in KEEPERS]
    (found,) = poison_findings(dict.fromkeys(queues, 1), {queue: [peeked()] for queue in queues}, now=AT)
    assert all(keeper in found.cause for keeper in KEEPERS.values())


def test_the_keepers_are_functions() -> None:
    """A renamed function can't be asked for."""
    assert all(hasattr(function_app, keeper) for keeper in KEEPERS.values())
