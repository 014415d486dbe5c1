"""Refresh tokens: how long they live, what ends them, and what a client sees then."""

from datetime import timedelta
from typing import Any

import msal
import pytest
import requests

from local.emulators.entra.directory import DOMAIN
from tests.local.entra.conftest import Ask, Clock

SCOPE = "https://api.businesscentral.dynamics.com/.default"


@pytest.fixture
def account(client: msal.ConfidentialClientApplication, signed_in: dict[str, Any]) -> dict[str, Any]:
    """Megan's account in MSAL's cache."""
    found: dict[str, Any]
    (found,) = client.get_accounts()
    return found


@pytest.fixture
def refresh_token(client: msal.ConfidentialClientApplication, signed_in: dict[str, Any]) -> str:
    (held,) = client.token_cache.search("RefreshToken")
    return str(held["secret"])


@pytest.mark.parametrize(("path", "code"), [("revoke", 50173), ("expire", 700082)])
def test_a_dead_login_is_told_with_its_code(
    client: msal.ConfidentialClientApplication, account: dict[str, Any], control: Ask, path: str, code: int
) -> None:
    """A revoked and an expired login are told apart, and MSAL hands the code on."""
    assert control(path).json() == {"revoked" if path == "revoke" else "expired": 1}
    refused = client.acquire_token_silent_with_error([SCOPE], account, force_refresh=True)
    assert refused["error"] == "invalid_grant"
    assert refused["error_codes"] == [code]


def test_only_the_named_user_is_revoked(
    client: msal.ConfidentialClientApplication, account: dict[str, Any], control: Ask
) -> None:
    """Revoking Alex leaves Megan signed in."""
    assert control("revoke", user=f"alex@{DOMAIN}").json() == {"revoked": 0}
    assert "access_token" in client.acquire_token_silent([SCOPE], account, force_refresh=True)


def test_ninety_days_without_use_end_a_login(token: Ask, refresh_token: str, clock: Clock) -> None:
    """A refresh token dies of disuse, and each use gives one that lives on."""
    clock.advance(timedelta(days=89))
    renewed = token(grant_type="refresh_token", refresh_token=refresh_token).json()["refresh_token"]
    clock.advance(timedelta(days=89))
    assert token(grant_type="refresh_token", refresh_token=renewed).status_code == 200
    assert token(grant_type="refresh_token", refresh_token=refresh_token).json()["error_codes"] == [700082]


def test_with_rotation_a_used_refresh_token_is_refused(token: Ask, refresh_token: str, control: Ask) -> None:
    """A client that did not save the rotated token has lost its login."""
    control("settings", rotate=True)
    renewed = token(grant_type="refresh_token", refresh_token=refresh_token).json()["refresh_token"]
    again = token(grant_type="refresh_token", refresh_token=refresh_token)
    assert again.json()["error_codes"] == [70000]
    assert token(grant_type="refresh_token", refresh_token=renewed).status_code == 200


def test_without_rotation_an_old_refresh_token_still_works(token: Ask, refresh_token: str) -> None:
    """For confidential clients Entra keeps the old token valid."""
    for _ in range(2):
        assert token(grant_type="refresh_token", refresh_token=refresh_token).status_code == 200


def test_a_lost_reply_has_still_used_the_token_up(
    http: requests.Session,
    token: Ask,
    refresh_token: str,
    control: Ask,
) -> None:
    """A reply lost on the wire after rotation: the login moved on although the client learnt nothing."""
    control("settings", rotate=True)
    control("faults", kind="reset_after_commit", match="POST .*/token")
    with pytest.raises(requests.ConnectionError):
        token(grant_type="refresh_token", refresh_token=refresh_token)
    assert token(grant_type="refresh_token", refresh_token=refresh_token).json()["error_codes"] == [70000]


def test_shortened_tokens_say_so(token: Ask, refresh_token: str, control: Ask) -> None:
    """`expires_in` and the token's own end follow the setting."""
    control("settings", token_lifetime_s=30)
    assert token(grant_type="refresh_token", refresh_token=refresh_token).json()["expires_in"] == 30
