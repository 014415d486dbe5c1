"""Access tokens: fetched once, shared by all instances, renewed in time, kept within the vault's limit."""

import json

import pytest

from shared.errors import StoreUnavailable, TokenError
from shared.login.token_cache import SECRET_LIMIT_BYTES
from shared.resource_names import SECRET_TOKEN_CACHE
from tests.conftest import FixedClock
from tests.support.login_world import CALLBACK, World


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


def test_a_token_is_fetched_once_and_kept(connected: World) -> None:
    """A thousand calls within the life of a token are one refresh, one read of the cache and one write."""
    process = connected.start()
    tokens = {process.tokens.token() for _ in range(1000)}
    assert len(tokens) == 1
    assert connected.refreshes() == 1
    assert process.effects.count(f"write {SECRET_TOKEN_CACHE}") == 1


def test_a_token_is_renewed_five_minutes_before_its_end(connected: World) -> None:
    """At 54 minutes the token in hand is given, at 55 a new one."""
    process = connected.start()
    first = process.tokens.token()
    connected.clock.advance(54 * 60)
    assert process.tokens.token() == first
    connected.clock.advance(60)
    assert process.tokens.token() != first


def test_a_short_token_is_not_renewed_at_each_call(connected: World) -> None:
    """Where tokens live two minutes, half of their life is used before the next refresh."""
    connected.login.minter.lifetime_s = 120
    process = connected.start()
    first = process.tokens.token()
    connected.clock.advance(59)
    assert process.tokens.token() == first
    connected.clock.advance(1)
    assert process.tokens.token() != first


def test_a_refused_token_is_replaced_once_a_minute(connected: World) -> None:
    """After a 401 the next token is a new one; if that is refused too, it is the user BC refuses, not the token."""
    process = connected.start()
    first = process.tokens.token()
    process.tokens.discard(first)
    second = process.tokens.token()
    assert second != first
    for _ in range(50):
        process.tokens.discard(second)
        assert process.tokens.token() == second
    assert connected.refreshes() == 2
    connected.clock.advance(60)
    process.tokens.discard(second)
    assert process.tokens.token() != second
    process.tokens.discard("somebody else's")


def test_a_refused_token_is_not_taken_from_the_vault_again(connected: World) -> None:
    """Two instances with one refused token: the first refreshes, the second takes that one's."""
    first, second = connected.start(), connected.start()
    shared = first.tokens.token()
    assert second.tokens.token() == shared
    first.tokens.discard(shared)
    second.tokens.discard(shared)
    assert first.tokens.token() == second.tokens.token() != shared
    assert connected.refreshes() == 2


def test_a_cache_that_does_not_fit_keeps_the_refresh_token(connected: World) -> None:
    """With tokens of 20 kB (a user in many groups) the secret stays within the vault's limit and the login works."""
    user = connected.login.directory.users[0]
    object.__setattr__(user, "display_name", "x" * 16_000)
    for _ in range(3):
        assert connected.is_good(connected.start().tokens.token())
        stored = connected.secrets.versions[SECRET_TOKEN_CACHE][-1]
        assert len(stored.encode()) <= SECRET_LIMIT_BYTES
        kept = json.loads(stored)
        assert len(kept["RefreshToken"]) == 1
        assert "IdToken" not in kept
        connected.clock.advance(3600)


def test_the_cache_does_not_grow(connected: World) -> None:
    """After fifty refreshes the secret holds one token of each kind."""
    process = connected.start()
    for _ in range(50):
        process.tokens.token()
        connected.clock.advance(3600)
    kept = json.loads(connected.secrets.versions[SECRET_TOKEN_CACHE][-1])
    assert {kind: len(entries) for kind, entries in kept.items()} == {
        "AccessToken": 1, "Account": 1, "AppMetadata": 1, "IdToken": 1, "RefreshToken": 1
    }  # fmt: skip


def test_a_table_that_is_away_stops_a_refresh_but_not_a_token_in_hand(connected: World) -> None:
    """Without the lease nobody talks to Entra; what is in memory is used."""
    process = connected.start()
    process.tokens.token()

    def away(effect: str) -> None:
        if effect.startswith("table"):
            raise StoreUnavailable("the table did not answer")

    process.during = away
    assert connected.is_good(process.tokens.token())
    connected.clock.advance(3600)
    with pytest.raises(StoreUnavailable):
        process.tokens.token()
    assert connected.refreshes() == 1


def test_the_row_follows_when_the_table_is_back(connected: World) -> None:
    """A login that ends while the row cannot be written is written at a later call."""
    _revoke(connected)
    with pytest.raises(TokenError):
        connected.start().tokens.token()
    connected.login.grants._refresh.clear()
    process = connected.start()
    address, flow = process.tokens.begin_sign_in(CALLBACK)
    answer = connected.answer_of(address)

    def cannot_write(effect: str) -> None:
        if effect == "table upsert":
            raise StoreUnavailable("the table did not answer")

    process.during = cannot_write
    process.tokens.finish_sign_in(flow, answer)
    assert connected.login_row().text("state") == "needed"
    process.during = lambda _: None
    process.tokens.token()
    assert connected.login_row().text("state") == "ok"
