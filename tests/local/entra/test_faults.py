"""Scripted faults and control paths: a test gets exactly the fault it asked for, and hears when it asked wrongly."""

from typing import Any

import pytest
import requests

from local.emulators.entra.engine import LoginEngine
from tests.local.entra.conftest import Ask

ORIGIN = "https://localhost:8443"


def test_a_throttled_login_answers_as_scripted_and_then_works(token: Ask, control: Ask) -> None:
    """429 with Retry-After as often as asked, and honest answers afterwards."""
    control(
        "faults", kind="answer", match="POST .*/token", status=429, headers={"Retry-After": "7"}, text="{}", times=2
    )
    answers = [token(grant_type="client_credentials") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["Retry-After"] == "7"


def test_a_slow_login_times_a_client_out(http: requests.Session, control: Ask) -> None:
    """A delay longer than the client's patience is a timeout, without anybody waiting for it."""
    control("faults", kind="slow", match="GET .*/keys", delay_s=60)
    with pytest.raises(requests.ReadTimeout):
        http.get(f"{ORIGIN}/common/discovery/v2.0/keys", timeout=5)
    assert http.get(f"{ORIGIN}/common/discovery/v2.0/keys", timeout=5).status_code == 200


def test_a_dropped_request_was_not_carried_out(token: Ask, control: Ask, login: LoginEngine) -> None:
    """The connection closes and no token was issued."""
    control("faults", kind="reset_before_commit", match="token")
    with pytest.raises(requests.ConnectionError):
        token(grant_type="client_credentials")
    assert token(grant_type="client_credentials").status_code == 200


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("faults", {"match": "token"}),
        ("faults", {"kind": "reset_before_commit", "match": "("}),
        ("faults", {"kind": "500", "colour": "red"}),
        ("faults", {"kind": "500", "times": 0}),
        ("faults", {"kind": "answer"}),
        ("faults", {"kind": "replica_lag"}),
        ("settings", {"token_lifetime_s": "long"}),
        ("settings", {"token_lifetime_s": 0}),
        ("settings", {"unknown": True}),
        ("revoke", {"user": "nobody"}),
        ("secrets", {"client_id": "nobody"}),
        ("redirect-uris", {"uri": "http://evil.example/"}),
    ],
)
def test_a_wrong_control_request_is_refused(http: requests.Session, path: str, fields: dict[str, Any]) -> None:
    """A test that misspells what it wants fails at once instead of passing by accident."""
    assert http.post(f"{ORIGIN}/_emulator/{path}", json=fields).status_code == 400


def test_what_the_login_does_not_know_is_not_answered_with_success(http: requests.Session) -> None:
    """Unknown paths, methods and control paths get 404 and 405."""
    assert http.get(f"{ORIGIN}/lmints.io/oauth2/v2.0/devicecode").status_code == 404
    assert http.get(f"{ORIGIN}/lmints.io/oauth2/v2.0/token").status_code == 405
    assert http.post(f"{ORIGIN}/_emulator/nothing").status_code == 404


def test_reset_brings_the_first_state_back(token: Ask, control: Ask, http: requests.Session) -> None:
    """After a reset the first secret works again and no fault or request is left."""
    control("secrets")
    control("faults", kind="500", match="token")
    control("reset")
    assert token(grant_type="client_credentials").status_code == 200
    assert len(http.get(f"{ORIGIN}/_emulator/requests").json()) == 1
