"""The app-only modes, and how the app proves who it is: client secret, rotated secret, managed identity."""

import pytest
from business_central_emulator.server.faults import Fault, FaultKind

from local.emulators.entra.directory import IDENTITY_OBJECT_ID
from shared.errors import TokenError
from shared.login.entra_codes import advice
from shared.login.refresh_lease import LEASE_KEY
from shared.resource_names import SECRET_CLIENT
from tests.conftest import FixedClock
from tests.support.login_world import CALLBACK, MEGAN, REFRESH, SECRET, World


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


@pytest.mark.parametrize("mode", ["authorization_code", "client_secret"])
def test_a_rotated_client_secret_is_picked_up(clock: FixedClock, mode: str) -> None:
    """When Entra refuses the secret, the vault is read again and the call repeated at once with the new one."""
    world = World(clock, mode)
    if mode == "authorization_code":
        world.connect()
        clock.advance(3600)
    process = world.start()
    first = process.tokens.token()
    world.login.directory.applications[0].client_secrets[0].value = "the-second-secret"
    world.secrets.write(SECRET_CLIENT, "the-second-secret")
    clock.advance(3600)
    assert process.tokens.token() != first
    assert world.login_row().text("state") == "ok"


@pytest.mark.parametrize("mode", ["authorization_code", "client_secret"])
def test_without_a_client_secret_a_person_must_act(clock: FixedClock, mode: str) -> None:
    """The code names the missing secret; once it is in the vault the app goes on by itself within a minute."""
    world = World(clock, mode)
    del world.secrets.versions[SECRET_CLIENT]
    if mode == "authorization_code":
        with pytest.raises(TokenError) as missing:
            world.start().tokens.begin_sign_in(CALLBACK)
        assert missing.value.code == "client_secret_missing"
        return
    process = world.start()
    with pytest.raises(TokenError) as missing:
        process.tokens.token()
    assert (missing.value.code, missing.value.retryable) == ("client_secret_missing", False)
    world.secrets.write(SECRET_CLIENT, SECRET)
    clock.advance(60)
    assert world.is_good(process.tokens.token())


def _identity_assertion(world: World) -> str:
    identity = world.login.directory.identities[0]
    return world.login.minter.for_identity(identity, resource="api://AzureADTokenExchange", now=world.clock())


def test_a_managed_identity_needs_no_secret(clock: FixedClock) -> None:
    """App-only with the identity's assertion: no secret is read, no cache is written, no lease is taken."""
    world = World(clock, "managed_identity")
    world.secrets.versions.clear()
    world.assertion = lambda: _identity_assertion(world)
    process = world.start()
    first = process.tokens.token()
    assert world.is_good(first)
    clock.advance(3600)
    assert process.tokens.token() != first
    assert (world.secrets.reads, world.secrets.writes) == (0, 0)
    assert world.row(LEASE_KEY) is None
    assert world.login_row().text("state") == "ok"


def test_an_untrusted_identity_asks_for_a_person(clock: FixedClock) -> None:
    """A registration without the federated credential is Entra's AADSTS700213."""
    world = World(clock, "managed_identity")
    world.assertion = lambda: _identity_assertion(world)
    world.login.directory.applications[0].federated_subjects.remove(IDENTITY_OBJECT_ID)
    with pytest.raises(TokenError, match="AADSTS700213"):
        world.start().tokens.token()
    assert world.login_row().text("code") == "AADSTS700213"


def test_without_an_identity_the_mode_says_so(clock: FixedClock) -> None:
    """On a machine without a managed identity the code names it."""
    with pytest.raises(TokenError) as missing:
        World(clock, "managed_identity").start().tokens.token()
    assert missing.value.code == "managed_identity_missing"


def test_a_person_may_sign_in_without_a_client_secret(clock: FixedClock) -> None:
    """With a managed identity the authorization code flow needs no secret either, and refreshes go on without one."""
    world = World(clock, "authorization_code")
    del world.secrets.versions[SECRET_CLIENT]
    world.assertion = lambda: _identity_assertion(world)
    assert world.connect() == MEGAN
    clock.advance(3600)
    assert world.is_good(world.start().tokens.token())


def test_app_only_modes_have_nobody_to_sign_in(clock: FixedClock) -> None:
    """Connect, callback and disconnect are refused there without a word to Entra."""
    tokens = World(clock, "client_secret").start().tokens
    for attempt in (
        lambda: tokens.begin_sign_in(CALLBACK),
        lambda: tokens.finish_sign_in({}, {}),
        tokens.sign_out,
    ):
        with pytest.raises(TokenError) as refused:
            attempt()
        assert refused.value.code == "no_person_needed"


def test_an_app_only_token_is_fetched_anew_after_a_401(clock: FixedClock) -> None:
    """MSAL's own cache does not bring the refused token back."""
    process = World(clock, "client_secret").start()
    first = process.tokens.token()
    process.tokens.discard(first)
    assert process.tokens.token() != first


def test_an_unknown_tenant_asks_for_a_person(clock: FixedClock) -> None:
    """The look-up of the login's endpoints is refused with AADSTS90002; that is not an outage."""
    world = World(clock, "client_secret")
    world.login.directory.domain = "elsewhere.example"
    with pytest.raises(TokenError, match="AADSTS90002") as unknown:
        world.start().tokens.token()
    assert not unknown.value.retryable


@pytest.mark.parametrize("secret", [f"{SECRET}\n", f" {SECRET}\r\n"])
def test_a_client_secret_may_end_in_a_line_break(clock: FixedClock, secret: str) -> None:
    """A file or a shell adds it; Entra's secrets have no blanks."""
    world = World(clock, "client_secret")
    world.secrets.versions[SECRET_CLIENT] = [secret]
    assert world.is_good(world.start().tokens.token())


def test_an_app_that_signs_in_as_itself_needs_no_person(clock: FixedClock) -> None:
    """Whatever Entra calls the refusal, the state of the login says that the registration is to be mended."""
    world = World(clock, "client_secret")
    refusal = '{"error": "invalid_grant", "error_description": "AADSTS999999: something new"}'
    world.login.faults.add(Fault(kind=FaultKind.ANSWER, match=REFRESH, status=400, text=refusal, times=10))
    with pytest.raises(TokenError) as refused:
        world.start().tokens.token()
    state = world.start().tokens.login()
    assert (state.state, state.code) == ("needed", "AADSTS999999")
    for reason in (state.reason, str(refused.value)):
        assert not advice(state.code, reason).by_signing_in
