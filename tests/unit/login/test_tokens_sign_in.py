"""Signing in, signing in again as somebody else, and signing out."""

import logging
from collections.abc import Mapping

import pytest

from shared.errors import StoreUnavailable, TokenError
from shared.resource_names import SECRET_TOKEN_CACHE
from tests.conftest import FixedClock
from tests.support.login_world import ALEX, CALLBACK, MEGAN, World


@pytest.fixture
def world(clock: FixedClock) -> World:
    return World(clock, "authorization_code")


@pytest.fixture
def connected(world: World) -> World:
    """Megan has signed in, and her first access token has ended."""
    world.connect()
    world.clock.advance(3600)
    world.login.requests.clear()
    return world


def _revoke(world: World) -> None:
    world.login.grants.revoke()


def test_a_sign_in_gives_every_instance_a_token(world: World) -> None:
    """After one person has signed in on one instance, another instance has a token without asking Entra."""
    assert world.connect() == MEGAN
    other = world.start()
    assert world.is_good(other.tokens.token())
    assert world.refreshes() == 0
    assert other.tokens.account() == MEGAN


def test_the_flow_uses_pkce_state_and_nonce(world: World) -> None:
    """The address carries an S256 challenge, an unguessable state and a nonce; the verifier stays in the flow."""
    address, flow = world.start().tokens.begin_sign_in(CALLBACK)
    assert "code_challenge_method=S256" in address
    assert f"state={flow['state']}" in address
    assert len(flow["state"]) == 64
    assert "nonce=" in address
    assert flow["code_verifier"] not in address


def test_signing_in_again_ends_a_dead_login_at_once(connected: World) -> None:
    """The instance that finishes the sign-in has a token in the same second; the others within a minute."""
    _revoke(connected)
    process, other = connected.start(), connected.start()
    for instance in (process, other):
        with pytest.raises(TokenError):
            instance.tokens.token()
    address, flow = process.tokens.begin_sign_in(CALLBACK)
    process.tokens.finish_sign_in(flow, connected.answer_of(address))
    assert connected.is_good(process.tokens.token())
    connected.clock.advance(60)
    assert connected.is_good(other.tokens.token())


def test_nobody_signed_in_yet(world: World) -> None:
    """Without a cache the answer is `login_required`, and Entra is not asked."""
    with pytest.raises(TokenError) as missing:
        world.start().tokens.token()
    assert (missing.value.code, missing.value.retryable) == ("login_required", False)
    assert world.login_row().text("code") == "login_required"
    assert not any(asked.grant_type for asked in world.login.requests)


@pytest.mark.parametrize("text", ["", "not json", "[]", '{"Account": 1}', '{"RefreshToken": {"a": null}}', "null"])
def test_a_spoilt_cache_is_an_empty_one(world: World, text: str) -> None:
    """Whatever somebody pasted into the secret, a person is asked to sign in, and signing in helps."""
    world.secrets.versions[SECRET_TOKEN_CACHE] = [text]
    with pytest.raises(TokenError) as missing:
        world.start().tokens.token()
    assert missing.value.code == "login_required"
    assert world.connect() == MEGAN
    assert world.is_good(world.start().tokens.token())


def test_signing_out_forgets_the_tokens(connected: World, caplog: pytest.LogCaptureFixture) -> None:
    """The vault then holds no token, the row says who did it, and nobody is woken by an ERROR for it."""
    process = connected.start()
    process.tokens.token()
    process.tokens.sign_out()
    assert connected.secrets.versions[SECRET_TOKEN_CACHE][-1] == "{}"
    for instance in (process, connected.start()):
        with pytest.raises(TokenError) as gone:
            instance.tokens.token()
        assert gone.value.code == "login_required"
    assert connected.login_row().text("code") == "signed_out"
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_another_user_takes_over_whole(connected: World) -> None:
    """After a sign-in as somebody else, on the instance that served the first user, nothing of that one is left."""
    process = connected.start()
    process.tokens.token()
    address, flow = process.tokens.begin_sign_in(CALLBACK)
    assert process.tokens.finish_sign_in(flow, connected.answer_of(address, ALEX)) == ALEX
    assert MEGAN not in connected.secrets.versions[SECRET_TOKEN_CACHE][-1]
    connected.clock.advance(3600)
    connected.start().tokens.token()
    assert connected.start().tokens.account() == ALEX


def test_a_sign_in_waits_for_a_refresh_under_way(connected: World) -> None:
    """An instance that refreshes the old login can't overwrite the new one: the code is kept until it is done."""
    refreshing, process = connected.start(), connected.start()
    address, flow = process.tokens.begin_sign_in(CALLBACK)
    answer = connected.answer_of(address, ALEX)

    def meanwhile(effect: str) -> None:
        if effect.endswith("/token"):
            with pytest.raises(TokenError) as busy:
                process.tokens.finish_sign_in(flow, answer)
            assert busy.value.retryable

    refreshing.during = meanwhile
    refreshing.tokens.token()
    assert process.tokens.finish_sign_in(flow, answer) == ALEX
    assert ALEX in connected.secrets.versions[SECRET_TOKEN_CACHE][-1]


def test_a_code_is_not_spent_while_the_vault_is_away(world: World) -> None:
    """If the vault does not answer, the sign-in stops before the code is redeemed and can be finished later."""
    process = world.start()
    address, flow = process.tokens.begin_sign_in(CALLBACK)
    answer = world.answer_of(address)
    world.secrets.failing = {"read"}
    with pytest.raises(StoreUnavailable):
        process.tokens.finish_sign_in(flow, answer)
    world.secrets.failing = set()
    assert process.tokens.finish_sign_in(flow, answer) == MEGAN


def test_a_sign_in_the_vault_did_not_take_is_saved_later(world: World) -> None:
    """If the vault fails after the code was redeemed, the next call for a token stores the login."""
    process = world.start()
    address, flow = process.tokens.begin_sign_in(CALLBACK)
    world.secrets.failing = {"write"}
    with pytest.raises(StoreUnavailable):
        process.tokens.finish_sign_in(flow, world.answer_of(address))
    world.secrets.failing = set()
    assert world.is_good(process.tokens.token())
    assert world.start().tokens.account() == MEGAN


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        ({"code": "1.wrong"}, "invalid_grant"),
        ({"error": "access_denied", "error_description": "AADSTS65004: declined", "code": ""}, "access_denied"),
        ({"state": "another"}, "login_unreadable"),
    ],
)
def test_a_refused_sign_in_leaves_the_old_login(connected: World, spoil: Mapping[str, str], code: str) -> None:
    """A wrong code, a user who declines or a foreign state end in a TokenError; the tokens in use stay."""
    process = connected.start()
    address, flow = process.tokens.begin_sign_in(CALLBACK)
    answer = {**connected.answer_of(address), **spoil}
    with pytest.raises(TokenError) as refused:
        process.tokens.finish_sign_in(flow, answer)
    assert refused.value.code == code
    assert connected.is_good(connected.start().tokens.token())


def test_a_replayed_callback_is_refused_by_the_login(connected: World) -> None:
    """The same code a second time is Entra's AADSTS54005."""
    process = connected.start()
    address, flow = process.tokens.begin_sign_in(CALLBACK)
    answer = connected.answer_of(address)
    process.tokens.finish_sign_in(flow, answer)
    with pytest.raises(TokenError, match="AADSTS54005"):
        process.tokens.finish_sign_in(flow, answer)


def test_what_a_caller_wrote_into_the_address_reaches_nobody(connected: World) -> None:
    """A line break in `error` once stayed in MSAL's telemetry header and ended every later request of the process."""
    process = connected.start()
    for error in ("a\r\nX-Evil: 1", "\x00\x1b[2J", "é" * 5000, ""):
        _, flow = process.tokens.begin_sign_in(CALLBACK)
        with pytest.raises(TokenError) as refused:
            process.tokens.finish_sign_in(flow, {"error": error, "error_description": error, "state": flow["state"]})
        assert str(refused.value).isprintable()
        assert len(str(refused.value)) < 1000
    assert connected.is_good(process.tokens.token())
    address, flow = process.tokens.begin_sign_in(CALLBACK)
    assert process.tokens.finish_sign_in(flow, connected.answer_of(address)) == MEGAN
