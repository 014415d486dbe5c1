"""When the reader is used: it fails nobody, rests after a refusal, and its state is what all instances see."""

import pytest
from business_central_emulator.server.adapter import session_for
from business_central_emulator.server.faults import Fault, FaultKind

from local.emulators.entra.directory import DOMAIN, READER_CLIENT_ID, demo_directory
from local.emulators.entra.engine import LoginEngine
from shared.connections.settings_reader import read_settings
from shared.errors import BCDenied, BCUnavailable, StoreUnavailable, TokenError
from shared.login.reader_tokens import REST, SETTLED, ReaderTokens
from shared.resource_names import SECRET_READER, TABLE_CONNECTIONS
from tests.conftest import FixedClock
from tests.support.fakes_secrets import MemorySecrets
from tests.support.login_world import LOGIN, REFRESH
from tests.support.memory_storage import MemoryTables

SECRET = "the-secret-of-the-reader"


class World:
    """A login, a vault and a table, with one process."""

    def __init__(self, clock: FixedClock) -> None:
        self.clock = clock
        self.login = LoginEngine(demo_directory(redirect_uris=[], reader_secret=SECRET), now=clock)
        self.secrets = MemorySecrets(versions={SECRET_READER: [SECRET]})
        self.table = MemoryTables().table(TABLE_CONNECTIONS)
        self.settings = read_settings(
            {
                "AzureWebJobsStorage": "UseDevelopmentStorage=true", "KEY_VAULT_URL": "https://localhost:8444",
                "BC_TENANT_ID": DOMAIN, "BC_CLIENT_ID": "5f0e9c1a-7d42-4c38-8a6b-2e91b7d3f604",
                "BC_READER_CLIENT_ID": READER_CLIENT_ID, "BC_LOGIN_URL": LOGIN, "PUBLIC_URL": "https://app.example",
            }
        )  # fmt: skip
        self.reader = self.start()

    def start(self) -> ReaderTokens:
        """Start another process."""
        return ReaderTokens(
            self.settings, self.secrets, self.table, now=self.clock, session=session_for({LOGIN: self.login})
        )

    def asked(self) -> int:
        """How often Entra was asked for a token."""
        return sum(one.grant_type == "client_credentials" for one in self.login.requests)


@pytest.fixture
def world(clock: FixedClock) -> World:
    """A reader that Entra knows."""
    return World(clock)


def test_a_token_is_kept_until_shortly_before_its_end(world: World) -> None:
    """Entra is asked once an hour, with the reader's own secret and for Business Central alone."""
    token = world.reader.token()
    claims = world.login.key.check(token, audience="https://api.businesscentral.dynamics.com", now=world.clock())
    assert claims["appid"] == READER_CLIENT_ID
    world.clock.advance(3000)
    assert world.reader.token() == token
    assert world.asked() == 1
    world.clock.advance(400)
    assert world.reader.token() != token


def test_an_outage_of_the_login_fails_nobody(world: World) -> None:
    """The old token serves to its end; then the identity reads alone, and Entra is asked once in the time of rest."""
    token = world.reader.token()
    world.login.faults.add(Fault(kind=FaultKind.SERVER_ERROR, status=503, match=REFRESH, times=None))
    world.clock.advance(3400)
    assert world.reader.token() == token
    world.clock.advance(190)
    before = world.asked()
    assert world.reader.token() == ""
    assert world.asked() == before
    world.login.faults.clear()
    world.clock.advance(REST.total_seconds())
    assert world.reader.token()
    assert world.reader.state().state == "", "an outage is nobody's fault"


def test_a_vault_that_does_not_answer_fails_nobody(world: World) -> None:
    """It rests as after any refusal."""

    def fail(_: str) -> str | None:
        raise StoreUnavailable("Key Vault: no answer")

    world.secrets.read = fail  # type: ignore[method-assign,assignment]
    assert world.reader.token() == ""


def test_business_central_s_refusal_is_seen_by_all_and_ends_with_an_answer(world: World) -> None:
    """The token is forgotten, nobody is asked for a while, and a token alone does not make it well."""
    world.reader.token()
    world.reader.refused(BCDenied("not known here", status=401))
    assert world.reader.token() == ""
    other = world.start()
    assert (other.look().state, other.look().code) == ("needed", "bc_refuses_reader")
    world.clock.advance(REST.total_seconds())
    assert world.reader.token()
    for one in (world.reader, other):
        one.served()  # by another entity, perhaps: it may still not read the one that it was refused
        assert other.state().state == "needed"
    world.clock.advance(SETTLED.total_seconds())
    other.served()
    assert other.state().state == "ok"


def test_a_refusal_is_logged_once_however_often_it_is_met(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A reader that lacks one entity is refused that every few minutes, and serves the others between."""
    for _ in range(10):
        world.reader.refused(BCDenied("not this one", status=403))
        world.clock.advance(REST.total_seconds())
        world.reader.served()
    assert caplog.text.count("reader.refused") == 1
    assert world.reader.state().code == "bc_refuses_reader"


def noted(caplog: pytest.LogCaptureFixture) -> int:
    """How often its refusal was logged."""
    return caplog.text.count("reader.refused")


def test_what_an_instance_is_refused_stands_while_it_is_whatever_another_is_served(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Each refusal renews what is noted, so that the other does not end it; twenty minutes after the last it ends."""
    other = world.start()
    for _ in range(10):
        world.reader.refused(BCDenied("not this one", status=403))
        world.clock.advance(SETTLED.total_seconds() / 2)
        other.served()
    assert (noted(caplog), other.state().code) == (1, "bc_refuses_reader")
    world.clock.advance(SETTLED.total_seconds())
    other.served()
    assert other.state().state == "ok"


FAULT = BCUnavailable("no", status=503)


def test_a_reader_that_alone_is_not_served_rests_and_counts_as_refused_when_it_is_so_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Once may be chance, however many requests met it; what it is served between is no matter."""
    assert world.reader.token()
    for _ in range(5):
        world.reader.failed(FAULT, alone=True)
        assert world.reader.token() == ""
        world.clock.advance(60)
    assert (noted(caplog), world.reader.state().state) == (0, "")
    for _ in range(3):
        world.clock.advance(REST.total_seconds())
        assert world.reader.token()
        world.reader.served()
        world.reader.failed(FAULT, alone=True)
    assert (noted(caplog), world.reader.state().code) == (1, "bc_refuses_reader")
    assert "503" in world.reader.state().reason
    world.clock.advance(SETTLED.total_seconds())
    world.reader.served()
    assert world.reader.state().state == "ok"


def test_a_fault_long_ago_is_forgotten(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A reader that is served for twenty minutes after it begins anew."""
    for _ in range(3):
        world.reader.failed(FAULT, alone=True)
        world.clock.advance(SETTLED.total_seconds())
        world.reader.served()
    assert (noted(caplog), world.reader.state().state) == (0, "ok")


def test_a_fault_of_which_nobody_knows_whether_it_is_the_reader_s_never_counts(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """It rests, and that is all."""
    for _ in range(5):
        assert world.reader.token()
        world.reader.failed(FAULT, alone=False)
        assert world.reader.token() == ""
        world.clock.advance(REST.total_seconds())
    assert (noted(caplog), world.reader.state().state) == (0, "")


def test_who_looks_learns_why_entra_refuses(world: World) -> None:
    """At once, whatever the rest; when nobody can tell it is an error that passes."""
    world.secrets.versions[SECRET_READER] = ["wrong"]
    assert world.reader.token() == ""
    assert world.reader.look().state == "needed"
    world.secrets.versions[SECRET_READER] = [SECRET]
    assert world.reader.look().state == "ok"
    world.login.faults.add(Fault(kind=FaultKind.SERVER_ERROR, status=503, match=REFRESH, times=None))
    with pytest.raises(TokenError) as error:
        world.reader.look()
    assert error.value.retryable
