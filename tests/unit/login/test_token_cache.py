"""The secret `bc-token-cache`: what is read of it, and what of it is kept when it grows too long for the vault."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.login.token_cache import AccessToken, clean, find_access_token, pack, parse, user_name

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
OUR_APP = "our-app"


def stamp(at: datetime) -> str:
    """A time as MSAL writes it."""
    return str(int(at.timestamp()))


def held(secret: str = "at", *, client_id: str = OUR_APP, cached: object = None, expires: object = None) -> Any:
    """An access token in a cache, of an hour's life."""
    cached = stamp(NOW) if cached is None else cached
    expires = stamp(NOW + timedelta(hours=1)) if expires is None else expires
    return {"secret": secret, "client_id": client_id, "cached_at": cached, "expires_on": expires}


def cache(**kinds: Any) -> str:
    """A cache."""
    return json.dumps(kinds)


@pytest.mark.parametrize(
    ("lifetime_s", "renewed_s"), [(3600, 3300), (601, 301), (600, 300), (599, 299.5), (60, 30), (0, 0)]
)
def test_a_token_is_renewed_five_minutes_early_or_at_half_of_its_life(lifetime_s: int, renewed_s: float) -> None:
    """Whichever is later."""
    token = AccessToken.issued("at", at=NOW, lifetime_s=lifetime_s)
    assert (token.expires_at - NOW).total_seconds() == lifetime_s
    assert (token.renew_at - NOW).total_seconds() == renewed_s
    assert "at" not in repr(token).replace("renew_at", "").replace("expires_at", "").replace("datetime", "").replace(
        "AccessToken", ""
    )


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        (None, {}), ("", {}), ("{", {}), ("[]", {}), ("5", {}), ('{"Account": 5}', {}),
        ('{"Account": {}}', {"Account": {}}),
        ('{"Account": {"a": 5, "b": {"username": "u"}}, "More": []}', {"Account": {"b": {"username": "u"}}}),
    ],
)  # fmt: skip
def test_what_is_unreadable_counts_as_an_empty_cache(text: str | None, kinds: object) -> None:
    """Nobody signed in; MSAL can load what is left."""
    assert parse(text) == kinds
    assert json.loads(clean(text)) == kinds


@pytest.mark.parametrize(
    ("accounts", "name"),
    [({}, ""), ({"a": {"username": "ann@x.io"}, "b": {"username": "bob@x.io"}}, "ann@x.io"), ({"a": {}}, ""),
     ({"a": {"username": None}}, "")],
)  # fmt: skip
def test_the_first_account_is_who_is_signed_in(accounts: dict[str, Any], name: str) -> None:
    """There is one; "" when nobody is."""
    assert user_name(cache(Account=accounts)) == name
    assert user_name(None) == ""


def test_the_token_that_lives_longest_is_found_with_the_times_of_its_life() -> None:
    """Renewed by the life that it was issued with."""
    found = find_access_token(cache(AccessToken={
        "a": held("short", expires=stamp(NOW + timedelta(minutes=5))), "b": held("long"),
        "c": held("other", client_id="another-app", expires=stamp(NOW + timedelta(days=1))),
    }), client_id=OUR_APP)  # fmt: skip
    assert found == AccessToken.issued("long", at=NOW, lifetime_s=3600)


@pytest.mark.parametrize(
    "entry",
    [
        held(""), held(client_id=""), held(cached="soon"), held(expires="soon"), held(cached=[]),
        held(expires="9" * 30), {"secret": "at", "client_id": OUR_APP},
    ],
)  # fmt: skip
def test_an_entry_that_lacks_something_is_no_token(entry: dict[str, Any]) -> None:
    """Then a new one is asked for."""
    assert find_access_token(cache(AccessToken={"a": entry}), client_id=OUR_APP) is None
    assert find_access_token(None, client_id=OUR_APP) is None


TOKEN = AccessToken.issued("at", at=NOW, lifetime_s=3600)


def packed(**kinds: Any) -> dict[str, Any]:
    """What is stored of a cache, a quarter of an hour later."""
    text = pack(cache(**kinds), access=TOKEN, now=NOW + timedelta(minutes=15))
    assert ": " not in text
    found: dict[str, Any] = json.loads(text)
    return found


def test_the_token_in_hand_is_stored_with_our_clocks_times_and_no_other() -> None:
    """MSAL stamps with its own clock."""
    found = packed(AccessToken={"old": held("old"), "new": {**held(cached="1", expires="2"), "realm": "t"}})
    assert found == {"AccessToken": {"new": {
        "secret": "at", "client_id": OUR_APP, "realm": "t", "cached_at": stamp(NOW + timedelta(minutes=15)),
        "expires_on": stamp(NOW + timedelta(hours=1)), "extended_expires_on": stamp(NOW + timedelta(hours=1)),
    }}}  # fmt: skip
    assert packed() == {"AccessToken": {}}


REST = {"RefreshToken": {"r": {"secret": "rt"}}, "Account": {"a": {"username": "u"}}}


@pytest.mark.parametrize(
    ("id_bytes", "access_bytes", "kept"),
    [
        (10, 10, {"IdToken", "AccessToken"}),
        (25_000, 10, {"AccessToken"}),
        (10, 25_000, set()),
        (25_000, 25_000, set()),
    ],
)
def test_what_is_too_long_for_the_vault_loses_what_can_be_had_again(
    id_bytes: int, access_bytes: int, kept: set[str]
) -> None:
    """ID tokens first, then the access token; refresh token and account stay."""
    found = packed(
        **REST,
        IdToken={"i": {"secret": "x" * id_bytes}},
        AccessToken={"a": {**held(), "more": "x" * access_bytes}},
    )
    assert found.keys() - REST.keys() == kept
    assert found.items() >= REST.items()


@pytest.mark.parametrize(("more", "is_kept"), [(0, True), (1, False)])
def test_a_vault_takes_25000_bytes(more: int, is_kept: bool) -> None:
    """Bytes, not characters; exactly so many fit."""
    frame = len(json.dumps({"IdToken": {"i": {"secret": ""}}, "AccessToken": {}}, separators=(",", ":")))
    found = packed(IdToken={"i": {"secret": "x" * (25_000 - frame + more)}})
    assert ("IdToken" in found) is is_kept
