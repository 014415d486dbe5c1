"""What every SecretStore promises: the in-memory twin, and Key Vault's SDK on the vault of the local stack."""

import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from azure.core.credentials import AccessToken
from business_central_emulator.server.faults import Fault, FaultKind
from business_central_emulator.server.serving import server_tls
from business_central_emulator.server.threaded import served

from local.emulators.entra.directory import DOMAIN, IDENTITY_CLIENT_ID, IDENTITY_OBJECT_ID, demo_directory
from local.emulators.entra.engine import LoginEngine, utc_now
from local.emulators.key_vault.access import Access
from local.emulators.key_vault.engine import VaultEngine
from local.stack.tls import TlsFiles, ensure_certificates
from shared.errors import StoreUnavailable, TokenError
from shared.storage.identity import EXCHANGE_SCOPE, client_assertion
from shared.storage.key_vault import KeyVaultSecrets
from shared.storage.table import SecretStore
from tests.support.fakes_secrets import MemorySecrets


@dataclass
class Vault:
    """A store and a way to make its next calls fail."""

    store: SecretStore
    fail: Callable[[], None]
    mend: Callable[[], None]


@dataclass
class Identity:
    """A managed identity's credential, without its endpoint."""

    login: LoginEngine
    asked: int = 0

    def get_token(self, *scopes: str, **_: object) -> AccessToken:
        self.asked += 1
        identity = self.login.directory.identities[0]
        assert identity.object_id == IDENTITY_OBJECT_ID
        token = self.login.minter.for_identity(identity, resource=scopes[0].removesuffix("/.default"), now=utc_now())
        return AccessToken(token, int(utc_now().timestamp()) + 3600)


@pytest.fixture(scope="session")
def tls_files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return ensure_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def login() -> LoginEngine:
    return LoginEngine(demo_directory(redirect_uris=[]))


@pytest.fixture
def engine(login: LoginEngine) -> VaultEngine:
    access = Access(
        authority=f"https://localhost/{DOMAIN}",
        keys=lambda: login.key.jwks,
        allowed=frozenset({IDENTITY_OBJECT_ID}),
        monotonic=lambda: 0.0,
    )
    return VaultEngine(access)


@pytest.fixture
def tls(tls_files: TlsFiles) -> ssl.SSLContext:
    return server_tls(str(tls_files.cert), str(tls_files.key))


@pytest.fixture
def key_vault(
    login: LoginEngine, engine: VaultEngine, tls: ssl.SSLContext, tls_files: TlsFiles
) -> Iterator[KeyVaultSecrets]:
    with served(engine, tls) as url:
        store = KeyVaultSecrets(url, ca_bundle=str(tls_files.ca), credential=Identity(login))
        yield store
        store.close()


@pytest.fixture(params=["memory", "key vault"])
def vault(request: pytest.FixtureRequest) -> Vault:
    if request.param == "memory":
        memory = MemorySecrets()
        return Vault(memory, lambda: memory.failing.update({"read", "write"}), memory.failing.clear)
    engine = request.getfixturevalue("engine")
    fault = Fault(
        kind=FaultKind.ANSWER,
        match="/secrets/",
        status=403,
        text='{"error":{"code":"Forbidden","message":"x"}}',
        times=100,
    )
    return Vault(request.getfixturevalue("key_vault"), lambda: engine.faults.add(fault), engine.faults.clear)


def test_a_secret_that_is_not_there_is_none(vault: Vault) -> None:
    """An unknown name is no error."""
    assert vault.store.read("bc-token-cache") is None


def test_what_is_written_is_read(vault: Vault) -> None:
    """Text comes back as it went in, JSON, quotes and other alphabets included."""
    text = '{"a":"ü \\" 漢"}'
    vault.store.write("bc-token-cache", text)
    assert vault.store.read("bc-token-cache") == text


def test_the_newest_version_counts(vault: Vault) -> None:
    """A second write is what the next read gives; other names are untouched."""
    vault.store.write("bc-client-secret", "one")
    vault.store.write("bc-webhook-secret", "other")
    vault.store.write("bc-client-secret", "two")
    assert (vault.store.read("bc-client-secret"), vault.store.read("bc-webhook-secret")) == ("two", "other")


def test_25_000_bytes_fit_and_more_is_refused_without_loss(vault: Vault) -> None:
    """The limit is told as StoreUnavailable, the value before stays."""
    vault.store.write("bc-token-cache", "x" * 25_000)
    with pytest.raises(StoreUnavailable):
        vault.store.write("bc-token-cache", "y" * 26_000)
    assert vault.store.read("bc-token-cache") == "x" * 25_000


def test_a_vault_that_refuses_is_told_as_unavailable(vault: Vault) -> None:
    """Neither verb lets another exception out, and both work again afterwards."""
    vault.store.write("bc-token-cache", "kept")
    vault.fail()
    with pytest.raises(StoreUnavailable):
        vault.store.read("bc-token-cache")
    with pytest.raises(StoreUnavailable):
        vault.store.write("bc-token-cache", "lost")
    vault.mend()
    assert vault.store.read("bc-token-cache") == "kept"


def test_a_passing_fault_is_ridden_out(key_vault: KeyVaultSecrets, engine: VaultEngine) -> None:
    """One 503 and one 429 are retried by the SDK within a second or two."""
    key_vault.write("bc-token-cache", "value")
    engine.faults.add(Fault(kind=FaultKind.ANSWER, match="GET .*/secrets/", status=503))
    engine.faults.add(Fault(kind=FaultKind.ANSWER, match="GET .*/secrets/", status=429, headers={"Retry-After": "1"}))
    assert key_vault.read("bc-token-cache") == "value"


def test_an_error_names_status_and_code_and_no_value(key_vault: KeyVaultSecrets, engine: VaultEngine) -> None:
    """The message is for a log: what was done, the vault's words, and nothing that was sent or stored."""
    body = '{"error":{"code":"Forbidden","message":"no the-value","innererror":{"code":"ForbiddenByRbac"}}}'
    engine.faults.add(
        Fault(
            kind=FaultKind.ANSWER,
            match="PUT .*/secrets/",
            status=403,
            text=body,
            headers={"Content-Type": "application/json"},
        )
    )
    with pytest.raises(StoreUnavailable) as refused:
        key_vault.write("bc-token-cache", "the-value")
    assert str(refused.value) == "Key Vault, write secret bc-token-cache: 403 ForbiddenByRbac"
    assert refused.value.__cause__ is None


def test_nobody_there_is_told_as_unavailable(tls_files: TlsFiles, login: LoginEngine) -> None:
    """A closed port ends in StoreUnavailable, quickly."""
    store = KeyVaultSecrets("https://localhost:1", ca_bundle=str(tls_files.ca), credential=Identity(login))
    with pytest.raises(StoreUnavailable, match="ServiceRequestError"):
        store.read("bc-token-cache")
    store.close()


def test_a_vault_with_an_unknown_certificate_gets_no_token(
    login: LoginEngine, engine: VaultEngine, tls: ssl.SSLContext
) -> None:
    """Without the local CA the connection is refused before any token is fetched."""
    identity = Identity(login)
    with served(engine, tls) as url:
        store = KeyVaultSecrets(url, credential=identity)
        with pytest.raises(StoreUnavailable):
            store.read("bc-token-cache")
        store.close()
    assert identity.asked == 0
    assert engine.requests == []


@pytest.fixture
def identity_endpoint(login: LoginEngine, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The managed identity endpoint, as the platform announces it."""
    with served(login) as url:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{url}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", "local")
        yield


@pytest.mark.usefixtures("identity_endpoint")
def test_in_azure_the_managed_identity_opens_the_vault(
    engine: VaultEngine, tls: ssl.SSLContext, tls_files: TlsFiles
) -> None:
    """With the platform's endpoint set nothing else is needed: no key, no developer's login."""
    with served(engine, tls) as url:
        store = KeyVaultSecrets(url, client_id=IDENTITY_CLIENT_ID, ca_bundle=str(tls_files.ca))
        store.write("bc-webhook-secret", "value")
        assert store.read("bc-webhook-secret") == "value"
        store.close()


@pytest.mark.usefixtures("identity_endpoint")
def test_the_identity_gives_client_assertions(login: LoginEngine) -> None:
    """The assertion is a token for the exchange with Entra, signed for this identity."""
    fetch = client_assertion(IDENTITY_CLIENT_ID)
    assert fetch is not None
    claims = login.key.check(fetch(), audience=EXCHANGE_SCOPE.removesuffix("/.default"), now=utc_now())
    assert claims["sub"] == IDENTITY_OBJECT_ID


@pytest.mark.usefixtures("identity_endpoint")
def test_an_identity_that_is_not_assigned_is_a_token_error() -> None:
    """A wrong client id is told as TokenError that may pass: an assignment takes minutes to spread."""
    fetch = client_assertion("00000000-0000-0000-0000-000000000001")
    assert fetch is not None
    with pytest.raises(TokenError) as refused:
        fetch()
    assert (refused.value.code, refused.value.retryable) == ("managed_identity_unavailable", True)


def test_outside_azure_there_is_no_assertion() -> None:
    """Without the platform's endpoint the mode managed_identity has nothing to show."""
    assert client_assertion(IDENTITY_CLIENT_ID) is None
