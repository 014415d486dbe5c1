"""App-only sign-in: by secret, by federated managed identity, and everything that is refused on the way."""

import json
from datetime import timedelta
from typing import Any

import jwt
import msal
import pytest
import requests
from azure.identity import ManagedIdentityCredential
from business_central_emulator.server.adapter import session_for
from business_central_emulator.server.threaded import served

from local.emulators.entra.directory import CLIENT_ID, DOMAIN, IDENTITY_CLIENT_ID, IDENTITY_OBJECT_ID, TENANT_ID
from local.emulators.entra.engine import LoginEngine
from tests.local.entra.conftest import Ask, Clock

ORIGIN = "https://localhost:8443"
SCOPE = "https://api.businesscentral.dynamics.com/.default"
EXCHANGE = "api://AzureADTokenExchange"
BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def claims_of(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


@pytest.fixture
def identity(http: requests.Session) -> Ask:
    """Ask the managed identity endpoint."""

    def ask(header: str = "header-1", **changes: str | None) -> requests.Response:
        query = {"api-version": "2019-08-01", "resource": EXCHANGE, "client_id": IDENTITY_CLIENT_ID, **changes}
        sent = {name: value for name, value in query.items() if value is not None}
        return http.get(f"{ORIGIN}/msi/token", params=sent, headers={"X-IDENTITY-HEADER": header})

    return ask


@pytest.fixture
def assert_as(token: Ask) -> Ask:
    """Ask for an app-only token with an assertion."""

    def call(assertion: str) -> requests.Response:
        return token(
            grant_type="client_credentials",
            client_secret="",
            client_assertion=assertion,
            client_assertion_type=BEARER,
        )

    return call


def test_a_secret_gives_an_app_token_with_roles_and_the_second_call_is_cached(
    client: msal.ConfidentialClientApplication, login: LoginEngine
) -> None:
    """App-only tokens carry roles and no scp, and MSAL asks once."""
    claims = claims_of(client.acquire_token_for_client([SCOPE])["access_token"])
    assert claims["roles"] == ["API.ReadWrite.All", "app_access"]
    assert (claims["appid"], claims["idtyp"], claims["tid"]) == (CLIENT_ID, "app", TENANT_ID)
    assert "scp" not in claims
    client.acquire_token_for_client([SCOPE])
    assert [asked.grant_type for asked in login.requests].count("client_credentials") == 1


def test_a_managed_identity_speaks_for_the_application(login: LoginEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The federated sign-in works without a secret anywhere, with the libraries the app uses."""
    with served(login) as address:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{address}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", "header-1")
        with ManagedIdentityCredential(client_id=IDENTITY_CLIENT_ID) as credential:
            client = msal.ConfidentialClientApplication(
                CLIENT_ID,
                authority=f"{ORIGIN}/{DOMAIN}",
                client_credential={"client_assertion": lambda: credential.get_token(f"{EXCHANGE}/.default").token},
                instance_discovery=False,
                http_client=session_for({ORIGIN: login}),
            )
            reply = client.acquire_token_for_client([SCOPE])
    assert claims_of(reply["access_token"])["appid"] == CLIENT_ID


def test_an_assertion_of_another_audience_is_refused(assert_as: Ask, identity: Ask) -> None:
    """A vault token is no credential for the application."""
    assertion = identity(resource="https://vault.azure.net").json()["access_token"]
    refused = assert_as(assertion)
    assert (refused.status_code, refused.json()["error_codes"]) == (401, [700212])


def test_an_assertion_of_an_untrusted_identity_is_refused(assert_as: Ask, identity: Ask, login: LoginEngine) -> None:
    """Only identities named in the application's federated credentials may speak for it."""
    login.directory.applications[0].federated_subjects.remove(IDENTITY_OBJECT_ID)
    assert assert_as(identity().json()["access_token"]).json()["error_codes"] == [700213]


def test_a_forged_or_late_assertion_is_refused(assert_as: Ask, identity: Ask, clock: Clock) -> None:
    """A token of another key, no token at all, and one past its end are told apart."""
    forged = jwt.encode({"aud": EXCHANGE, "sub": IDENTITY_OBJECT_ID, "exp": 9_999_999_999}, "k" * 32)
    assert assert_as(forged).json()["error_codes"] == [700027]
    assert assert_as("garbage").json()["error_codes"] == [700027]
    assertion = identity().json()["access_token"]
    clock.advance(timedelta(hours=1))
    assert assert_as(assertion).json()["error_codes"] == [700024]


@pytest.mark.parametrize(
    ("tenant", "changes", "error", "code"),
    [
        ("common", {}, "invalid_request", 50059),
        ("contoso.com", {}, "invalid_tenant", 90002),
        (DOMAIN, {"scope": "https://api.businesscentral.dynamics.com/user_impersonation"}, "invalid_scope", 1002012),
        (DOMAIN, {"scope": f"{SCOPE} offline_access"}, "invalid_scope", 1002012),
        (DOMAIN, {"scope": ""}, "invalid_request", 900144),
        (DOMAIN, {"scope": "https://nowhere.example/.default"}, "invalid_resource", 500011),
        (DOMAIN, {"client_id": "no-such-app"}, "unauthorized_client", 700016),
    ],
)
def test_what_a_client_credentials_request_must_be(
    token: Ask, tenant: str, changes: dict[str, Any], error: str, code: int
) -> None:
    """A wrong tenant, scope or application is refused with Entra's code."""
    body = token(tenant=tenant, grant_type="client_credentials", **changes).json()
    assert (body["error"], body["error_codes"]) == (error, [code])


def test_the_tenant_is_known_by_id_and_by_domain(token: Ask) -> None:
    """Both names of the tenant lead to the same place."""
    for tenant in (TENANT_ID, DOMAIN):
        assert token(tenant=tenant, grant_type="client_credentials").status_code == 200


def test_a_rotated_secret_replaces_the_old_one(token: Ask, control: Ask) -> None:
    """After a rotation the old secret is wrong; with keep_old both work; an expired one says that it expired."""
    added = control("secrets").json()["secret"]
    assert token(grant_type="client_credentials").json()["error_codes"] == [7000215]
    another = control("secrets", keep_old=True).json()["secret"]
    for secret in (added, another):
        assert token(grant_type="client_credentials", client_secret=secret).status_code == 200
    control("expire-secrets")
    assert token(grant_type="client_credentials", client_secret=added).json()["error_codes"] == [7000222]


def test_without_consent_an_app_token_has_no_roles(token: Ask, control: Ask) -> None:
    """Entra gives the token all the same; it is for the resource to refuse it."""
    control("settings", consented=False)
    reply = token(grant_type="client_credentials").json()
    assert claims_of(reply["access_token"])["roles"] == []


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"header": "guess"}, 401),
        ({"api-version": "2017-09-01"}, 400),
        ({"api-version": None}, 400),
        ({"resource": None}, 400),
        ({"resource": "https://nowhere.example"}, 400),
        ({"client_id": "00000000-0000-4000-8000-000000000000"}, 400),
    ],
)
def test_the_identity_endpoint_refuses(identity: Ask, changes: dict[str, Any], status: int) -> None:
    """Without the header of this app, a known version, resource and identity there is no token."""
    answer = identity(**changes)
    assert answer.status_code == status
    assert "access_token" not in answer.text


def test_the_identity_endpoint_serves_the_apps_own_identity_when_none_is_named(identity: Ask) -> None:
    """A request without client_id gets the system-assigned identity's token."""
    reply = identity(client_id=None, resource="https://vault.azure.net").json()
    assert claims_of(reply["access_token"])["oid"] == IDENTITY_OBJECT_ID
    assert int(reply["expires_on"]) == claims_of(reply["access_token"])["exp"]


def test_no_secret_is_remembered(token: Ask, http: requests.Session, identity: Ask) -> None:
    """The list of requests is safe to print."""
    token(grant_type="client_credentials")
    held = identity().json()["access_token"]
    listed = json.dumps(http.get(f"{ORIGIN}/_emulator/requests").json())
    assert "client_credentials" in listed
    assert "the-first-secret" not in listed
    assert held not in listed


def test_the_first_version_of_the_protocol_gives_tokens_for_a_resource(http: requests.Session) -> None:
    """`/oauth2/token` with `resource`: the same token, numbers as texts (E23)."""
    form = {
        "grant_type": "client_credentials",
        "client_id": CLIENT_ID,
        "client_secret": "not-the-secret",
        "resource": "https://api.businesscentral.dynamics.com/",
    }
    wrong = http.post(f"{ORIGIN}/{DOMAIN}/oauth2/token", data=form)
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
    reply = http.post(f"{ORIGIN}/{DOMAIN}/oauth2/token", data={**form, "client_secret": "the-first-secret"}).json()
    assert (reply["expires_in"], reply["resource"]) == ("3599", "https://api.businesscentral.dynamics.com")
    assert claims_of(reply["access_token"])["roles"] == ["API.ReadWrite.All", "app_access"]
    assert int(reply["expires_on"]) - int(reply["not_before"]) == 3599


@pytest.mark.parametrize("tenant", ["common", "organizations", DOMAIN, TENANT_ID])
@pytest.mark.parametrize("path", ["v2.0/.well-known/openid-configuration", ".well-known/openid-configuration"])
def test_every_way_to_name_the_tenant_is_described(http: requests.Session, tenant: str, path: str) -> None:
    """Clients that know no tenant ask `/common` or `/organizations`, of either version (E23)."""
    found = http.get(f"{ORIGIN}/{tenant}/{path}").json()
    assert found["token_endpoint"] == f"{ORIGIN}/{tenant}/oauth2/v2.0/token"
    keys = http.get(f"{ORIGIN}/{tenant}/discovery/keys").json()
    assert keys == http.get(found["jwks_uri"]).json()


def test_a_client_that_does_not_know_the_host_asks_for_its_instance(http: requests.Session) -> None:
    """MSAL with instance discovery on: where the authority is described."""
    asked = {"api-version": "1.1", "authorization_endpoint": f"{ORIGIN}/{DOMAIN}/oauth2/v2.0/authorize"}
    found = http.get(f"{ORIGIN}/common/discovery/instance", params=asked).json()
    assert (
        http.get(found["tenant_discovery_endpoint"]).json()["token_endpoint"].endswith(f"/{DOMAIN}/oauth2/v2.0/token")
    )
