"""Who gets in: only a caller of this tenant, with a token for the vault, in its time, and with access."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Never

import pytest
import requests
from business_central_emulator.server.adapter import session_for

from local.emulators.entra.directory import DOMAIN, TENANT_ID, ManagedIdentity, demo_directory
from local.emulators.entra.engine import LoginEngine
from local.emulators.key_vault.access import Access
from local.emulators.key_vault.engine import VaultEngine

ORIGIN = "https://localhost:8444"
SECRET_URL = f"{ORIGIN}/secrets/s?api-version=7.6"

type Mint = Callable[..., str]
type Get = Callable[[str], requests.Response]


@pytest.fixture
def mint(login: LoginEngine) -> Mint:
    """A token of the app's identity; `by` is the login that signs it."""

    def make(
        resource: str = "https://vault.azure.net",
        *,
        by: LoginEngine = login,
        identity: ManagedIdentity | None = None,
        now: datetime | None = None,
    ) -> str:
        identity = identity or by.directory.identities[0]
        return by.minter.for_identity(identity, resource=resource, now=now or datetime.now(UTC))

    return make


@pytest.fixture
def get(vault: VaultEngine) -> Get:
    """Read a secret with a token."""
    session = session_for({ORIGIN: vault})
    session.put(f"{ORIGIN}/_emulator/secrets/s", json={"value": "1"})

    def ask(token: str) -> requests.Response:
        return session.get(SECRET_URL, headers={"Authorization": f"Bearer {token}"} if token else {})

    return ask


def test_a_good_token_opens_the_vault(get: Get, mint: Mint) -> None:
    """The check lets the right caller through."""
    assert get(mint()).json()["value"] == "1"


@pytest.mark.parametrize("case", ["none", "garbage", "other resource", "other key", "late", "early"])
def test_what_is_not_a_token_for_this_vault_gets_the_challenge(get: Get, mint: Mint, case: str) -> None:
    """401 with the authority and the resource, and never the secret."""
    now = datetime.now(UTC)
    tokens: dict[str, Callable[[], str]] = {
        "none": lambda: "",
        "garbage": lambda: "abc.def.ghi",
        "other resource": lambda: mint("https://storage.azure.com"),
        "other key": lambda: mint(by=LoginEngine(demo_directory(redirect_uris=[]))),
        "late": lambda: mint(now=now - timedelta(hours=2)),
        "early": lambda: mint(now=now + timedelta(hours=2)),
    }
    answer = get(tokens[case]())
    assert answer.status_code == 401
    assert (
        answer.headers["WWW-Authenticate"]
        == f'Bearer authorization="https://localhost/{DOMAIN}", resource="https://vault.azure.net"'
    )
    assert "value" not in answer.json()


def test_somebody_else_of_the_tenant_is_forbidden(get: Get, mint: Mint) -> None:
    """A genuine token of an identity without access gets 403, as Azure RBAC answers."""
    stranger = ManagedIdentity(client_id=TENANT_ID, object_id="00000000-0000-4000-8000-000000000000")
    answer = get(mint(identity=stranger))
    assert (answer.status_code, answer.json()["error"]["innererror"]["code"]) == (403, "ForbiddenByRbac")


def test_keys_are_read_again_when_unknown_but_not_for_every_forged_token(login: LoginEngine, mint: Mint) -> None:
    """A new signing key is picked up; a flood of unknown key ids does not become a flood of requests."""
    reads: list[int] = []
    now_s = [0.0]

    def keys() -> dict[str, Any]:
        reads.append(1)
        return login.key.jwks

    access = Access(authority="a", keys=keys, monotonic=lambda: now_s[0])
    session = session_for({ORIGIN: VaultEngine(access)})
    other = LoginEngine(demo_directory(redirect_uris=[]))
    for _ in range(5):
        session.get(SECRET_URL, headers={"Authorization": f"Bearer {mint(by=other)}"})
    assert len(reads) == 1
    now_s[0] = 6.0
    session.get(SECRET_URL, headers={"Authorization": f"Bearer {mint(by=other)}"})
    assert len(reads) == 2


def test_a_login_that_is_down_is_an_outage_not_a_refusal(mint: Mint) -> None:
    """Without the login's keys nobody can be judged: 503, so that callers come again."""

    def keys() -> Never:
        raise requests.ConnectionError("down")

    session = session_for({ORIGIN: VaultEngine(Access(authority="a", keys=keys))})
    answer = session.get(SECRET_URL, headers={"Authorization": f"Bearer {mint()}"})
    assert answer.status_code == 503


def test_the_api_version_is_required_and_unknown_paths_are_not_answered(vault: VaultEngine, mint: Mint) -> None:
    """400 without a version; 501 for what this vault does not emulate."""
    session = session_for({ORIGIN: vault})
    bearer = {"Authorization": f"Bearer {mint()}"}
    assert session.get(f"{ORIGIN}/secrets/s", headers=bearer).status_code == 400
    assert session.get(f"{ORIGIN}/keys/k?api-version=7.6", headers=bearer).status_code == 501
    assert session.get(f"{ORIGIN}/_emulator/nothing").status_code == 404
    assert session.post(f"{ORIGIN}/_emulator/faults", json={"match": "x"}).status_code == 400
