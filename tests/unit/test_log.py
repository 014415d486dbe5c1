"""Log lines: one event, named, as JSON; nothing that was not allowed gets out."""

import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.log import EVENTS, LOGGED_FIELDS, log_event

log = logging.getLogger("tests.log")


class Kept(logging.Handler):
    """Keeps what was logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@given(
    st.dictionaries(
        st.sampled_from(sorted(LOGGED_FIELDS)) | st.sampled_from(["body", "token", "url", "headers"]), st.text()
    )
)
def test_a_line_is_its_event_and_json(fields: dict[str, Any]) -> None:
    """Machines read it back; what is not on the list is REDACTED; it stays one line whatever the values hold."""
    kept = Kept()
    log.addHandler(kept)
    log.setLevel(logging.INFO)
    try:
        log_event(log, "page.read", **fields)
    finally:
        log.removeHandler(kept)
    (record,) = kept.records
    line = record.getMessage()
    name, _, text = line.partition(" ")
    assert name == "page.read" == record.__dict__["event"]
    assert "\n" not in line
    assert json.loads(text) == {key: value if key in LOGGED_FIELDS else "REDACTED" for key, value in fields.items()}


def test_only_known_events_are_written() -> None:
    """Alerts look for names; one that is misspelt fails where it is written."""
    with pytest.raises(ValueError, match=r"page\.red"):
        log_event(log, "page.red")


def test_every_event_is_a_noun_and_what_happened() -> None:
    """`noun.past_verb`, with a meaning for the operator."""
    for name, meaning in EVENTS.items():
        assert name.count(".") == 1
        assert name == name.lower()
        assert meaning


def test_fields_that_could_hold_a_secret_are_not_on_the_list() -> None:
    """No body, token, header or address with a query is ever allowed."""
    assert not LOGGED_FIELDS & {"body", "token", "headers", "url", "query", "link", "message", "client_state", "secret"}
