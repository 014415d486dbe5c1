"""The session cookie, the form token and the record of a sign-in under way."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.operations.page_session import (
    COOKIE,
    FLOW_LIFETIME,
    SESSION_LIFETIME,
    PendingSignIn,
    derive_key,
    form_token,
    is_form_token,
    is_session,
    new_session,
    read_cookie,
    set_cookie,
    state_key,
)
from tests.conftest import FixedClock

KEY = derive_key("the webhook secret")
NONCE = "0" * 32
_NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
FLOW = {"state": "s" * 64, "code_verifier": "v", "nonce": "n", "scope": ["a"], "claims_challenge": None}


def test_a_session_lives_its_time(clock: FixedClock) -> None:
    """It counts from its making to its end and not at its end."""
    session = new_session(KEY, nonce=NONCE, now=clock())
    assert is_session(session, KEY, now=clock())
    clock.advance(SESSION_LIFETIME.total_seconds() - 1)
    assert is_session(session, KEY, now=clock())
    clock.advance(1)
    assert not is_session(session, KEY, now=clock())


@given(at=st.integers(0, 200), by=st.characters(min_codepoint=33, max_codepoint=126))
def test_a_changed_session_is_none(at: int, by: str) -> None:
    """No single character can be changed: neither the end, nor the nonce, nor the signature."""
    clock = FixedClock(_NOON)
    session = new_session(KEY, nonce=NONCE, now=clock())
    at %= len(session)
    changed = session[:at] + by + session[at + 1 :]
    assert is_session(changed, KEY, now=clock()) == (changed == session)


@given(text=st.text())
def test_rubbish_is_no_session(text: str) -> None:
    """Whatever is in the cookie, the answer is no and not an exception."""
    assert not is_session(text, KEY, now=_NOON)
    assert not is_form_token(text, "session", KEY)


def test_another_key_makes_other_sessions(clock: FixedClock) -> None:
    """After the webhook secret was rotated no old session is left; a session is no form token and the reverse."""
    session = new_session(KEY, nonce=NONCE, now=clock())
    other = derive_key("another secret")
    assert not is_session(session, other, now=clock())
    assert not is_form_token(form_token(session, other), session, KEY)
    assert not is_form_token(session.rpartition(".")[2], session, KEY)


def test_a_form_belongs_to_its_session(clock: FixedClock) -> None:
    """A form token works in the session it was made for and in no other."""
    mine, other = (new_session(KEY, nonce=nonce, now=clock()) for nonce in ("a" * 32, "b" * 32))
    assert is_form_token(form_token(mine, KEY), mine, KEY)
    assert not is_form_token(form_token(other, KEY), mine, KEY)
    assert not is_form_token("", mine, KEY)


def test_the_cookie_is_locked_down(clock: FixedClock) -> None:
    """Scripts cannot read it, plain HTTP does not carry it, another site's forms do not send it."""
    header = set_cookie(new_session(KEY, nonce=NONCE, now=clock()))
    assert header.startswith("__Host-")
    for word in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"):
        assert f"; {word}" in header
    assert "Domain" not in header


@pytest.mark.parametrize(
    ("header", "value"),
    [
        (f"{COOKIE}=abc", "abc"),
        (f"ARRAffinity=1; {COOKIE}=abc; other=2", "abc"),
        (f'broken={{"a":"b;c"}}; {COOKIE}=abc', "abc"),
        (f"x{COOKIE}=abc", ""),
        ("", ""),
        (";;=;", ""),
    ],
)
def test_the_cookie_is_found_among_others(header: str, value: str) -> None:
    """Other people's cookies, even broken ones, do not hide ours."""
    assert read_cookie(header) == value


def test_a_pending_sign_in_survives_its_row(clock: FixedClock) -> None:
    """The flow comes back from the table as MSAL made it; browser and end hold."""
    begun = PendingSignIn.begun(FLOW, session="mine", now=clock())
    read = PendingSignIn.from_values(begun.values())
    assert read == begun
    assert read.flow == FLOW
    assert read.is_of("mine")
    assert not read.is_of("yours")
    assert not read.is_over(clock() + FLOW_LIFETIME - timedelta(seconds=1))
    assert read.is_over(clock() + FLOW_LIFETIME)


@pytest.mark.parametrize(
    "values",
    [{}, {"flow": "{", "browser": "b"}, {"flow": "[]", "browser": "b"}, {"flow": 1, "browser": "b"}],
)
def test_a_corrupt_row_is_no_sign_in(clock: FixedClock, values: dict[str, object]) -> None:
    """A row somebody spoilt counts as not there."""
    assert PendingSignIn.from_values({"expires_at": clock(), **values}) is None


def test_neither_state_nor_verifier_is_shown(clock: FixedClock) -> None:
    """The row's key does not tell the state, and the record's text not the flow."""
    assert str(FLOW["state"]) not in state_key(str(FLOW["state"]))
    assert "code_verifier" not in repr(PendingSignIn.begun(FLOW, session="mine", now=clock()))
