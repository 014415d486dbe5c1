"""A vault and a login on sockets, opened with the SDK and the credential the app uses."""

import ssl
from collections.abc import Iterator

import pytest
from azure.identity import ManagedIdentityCredential
from azure.keyvault.secrets import SecretClient
from business_central_emulator.server.serving import server_tls
from business_central_emulator.server.threaded import served

from local.emulators.entra.directory import DOMAIN, IDENTITY_CLIENT_ID, IDENTITY_OBJECT_ID, demo_directory
from local.emulators.entra.engine import LoginEngine
from local.emulators.key_vault.access import Access
from local.emulators.key_vault.engine import VaultEngine
from local.stack.tls import TlsFiles, ensure_certificates


@pytest.fixture(scope="session")
def tls_files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return ensure_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def tls(tls_files: TlsFiles) -> ssl.SSLContext:
    return server_tls(str(tls_files.cert), str(tls_files.key))


@pytest.fixture
def login() -> LoginEngine:
    return LoginEngine(demo_directory(redirect_uris=[]), identity_header="header-1")


@pytest.fixture
def vault(login: LoginEngine) -> VaultEngine:
    access = Access(
        authority=f"https://localhost/{DOMAIN}",
        keys=lambda: login.key.jwks,
        allowed=frozenset({IDENTITY_OBJECT_ID}),
        monotonic=lambda: 0.0,
    )
    return VaultEngine(access)


@pytest.fixture
def client(
    login: LoginEngine, vault: VaultEngine, tls: ssl.SSLContext, tls_files: TlsFiles, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SecretClient]:
    with served(login) as login_url, served(vault, tls) as vault_url:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{login_url}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", "header-1")
        with (
            ManagedIdentityCredential(client_id=IDENTITY_CLIENT_ID) as credential,
            SecretClient(
                vault_url,
                credential,
                verify_challenge_resource=False,
                connection_verify=str(tls_files.ca),
                retry_total=0,
            ) as secrets,
        ):
            yield secrets
