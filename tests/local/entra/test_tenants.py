"""Two tenants behind one login: each has its own GUID, issuer, users and registrations, and takes nothing of the other.

Codes: https://learn.microsoft.com/entra/identity-platform/reference-error-codes
"""

import html
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jwt
import pytest
import requests
from business_central_emulator.server.adapter import session_for
from business_central_emulator.server.threaded import served
from business_central_emulator.server.tokens import JwtCheck

from local.emulators.entra.directory import (
    CLIENT_ID,
    DOMAIN,
    FURTHER_CLIENT_ID,
    FURTHER_DOMAIN,
    FURTHER_TENANT_ID,
    IDENTITY_CLIENT_ID,
    TENANT_ID,
    demo_directory,
    further_directory,
)
from local.emulators.entra.engine import LoginEngine
from local.emulators.entra.tokens import v1_issuer, v2_issuer
from local.emulators.key_vault.access import RESOURCE, Access, NotAuthenticated
from tests.local.entra.conftest import REDIRECT_URI, SCOPE, SECRET, Ask, Clock

ORIGIN = "https://localhost:8443"
FURTHER_SECRET = "the-further-secret"
MEGAN = f"megan@{DOMAIN}"
NESTOR = f"nestor@{FURTHER_DOMAIN}"
OWN = {"tenant": FURTHER_DOMAIN, "client_id": FURTHER_CLIENT_ID, "client_secret": FURTHER_SECRET}


@pytest.fixture
def login(clock: Clock) -> LoginEngine:
    """The two tenants of the local stack."""
    return LoginEngine(
        demo_directory(redirect_uris=[REDIRECT_URI], client_secret=SECRET),
        further_directory(redirect_uris=[REDIRECT_URI], client_secret=FURTHER_SECRET),
        identity_header="header-1",
        now=clock,
    )


def claims_of(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


@pytest.mark.parametrize(
    ("names", "tenant_id"), [((DOMAIN, TENANT_ID), TENANT_ID), ((FURTHER_DOMAIN, FURTHER_TENANT_ID), FURTHER_TENANT_ID)]
)
def test_each_tenant_is_described_under_its_domain_and_guid(
    http: requests.Session, names: tuple[str, str], tenant_id: str
) -> None:
    """Issuer and keys name the tenant's GUID, whichever name was asked."""
    for name in names:
        found = http.get(f"{ORIGIN}/{name}/v2.0/.well-known/openid-configuration").json()
        assert found["issuer"] == v2_issuer(tenant_id)
        assert found["token_endpoint"] == f"{ORIGIN}/{name}/oauth2/v2.0/token"
        (key,) = http.get(found["jwks_uri"]).json()["keys"]
        assert key["issuer"] == v2_issuer(tenant_id)


def test_the_issuer_of_a_shared_name_is_a_template(http: requests.Session) -> None:
    """`/common` belongs to no tenant, and Entra says so by the literal `{tenantid}`."""
    found = http.get(f"{ORIGIN}/common/v2.0/.well-known/openid-configuration").json()
    assert found["issuer"] == "https://login.microsoftonline.com/{tenantid}/v2.0"


def test_each_registration_gets_a_token_of_its_own_tenant(token: Ask) -> None:
    """Same flow, two tenants: `tid`, issuer and application differ."""
    for tenant_id, client_id, own in ((TENANT_ID, CLIENT_ID, {}), (FURTHER_TENANT_ID, FURTHER_CLIENT_ID, OWN)):
        claims = claims_of(token(grant_type="client_credentials", **own).json()["access_token"])
        assert (claims["tid"], claims["iss"], claims["appid"]) == (tenant_id, v1_issuer(tenant_id), client_id)


@pytest.mark.parametrize(
    ("changes", "error", "code"),
    [
        ({"tenant": FURTHER_DOMAIN}, "unauthorized_client", 700016),
        ({"tenant": FURTHER_TENANT_ID}, "unauthorized_client", 700016),
        ({**OWN, "tenant": DOMAIN}, "unauthorized_client", 700016),
        ({**OWN, "client_secret": SECRET}, "invalid_client", 7000215),
        ({"client_secret": FURTHER_SECRET}, "invalid_client", 7000215),
        ({"tenant": "contoso.com"}, "invalid_tenant", 90002),
    ],
)
def test_a_registration_or_secret_of_the_other_tenant_is_refused(
    token: Ask, changes: dict[str, str], error: str, code: int
) -> None:
    """The application is not in that directory; a secret of the other registration is a wrong one."""
    body = token(grant_type="client_credentials", **changes).json()
    assert (body["error"], body["error_codes"]) == (error, [code])


@pytest.mark.parametrize(
    ("own", "tenant_id", "other_id"), [({}, TENANT_ID, FURTHER_TENANT_ID), (OWN, FURTHER_TENANT_ID, TENANT_ID)]
)
def test_business_central_of_one_tenant_refuses_a_token_of_the_other(
    token: Ask, login: LoginEngine, own: dict[str, str], tenant_id: str, other_id: str
) -> None:
    """One key signs for both, as with Entra: it is the issuer that tells them apart."""
    held = token(grant_type="client_credentials", **own).json()["access_token"]
    with served(login) as address:
        checks = {
            one: JwtCheck(f"{address}/{one}/discovery/v2.0/keys", issuers=[v1_issuer(one)])
            for one in (tenant_id, other_id)
        }
        assert checks[tenant_id](held) == own.get("client_id", CLIENT_ID)
        assert checks[other_id](held) is None


def test_the_vault_of_one_tenant_refuses_a_token_of_the_other(token: Ask, login: LoginEngine) -> None:
    """Its tenant is checked before its access policy."""
    access = Access(
        authority=f"{ORIGIN}/{TENANT_ID}", keys=lambda: login.key.jwks, issuer=v1_issuer(TENANT_ID),
        monotonic=lambda: 0.0,
    )  # fmt: skip
    scope = f"{RESOURCE}/.default"
    now = datetime.now(UTC)
    held = token(grant_type="client_credentials", scope=scope).json()["access_token"]
    assert access.check(f"Bearer {held}", now=now) == login.directory.applications[0].object_id
    foreign = token(grant_type="client_credentials", scope=scope, **OWN).json()["access_token"]
    with pytest.raises(NotAuthenticated, match="AKV10032: Invalid issuer"):
        access.check(f"Bearer {foreign}", now=now)


def test_an_identity_of_the_home_tenant_speaks_for_no_application_of_the_other(
    token: Ask, http: requests.Session
) -> None:
    """The issuer of its assertion is in no federated credential there."""
    query = {"api-version": "2019-08-01", "resource": "api://AzureADTokenExchange", "client_id": IDENTITY_CLIENT_ID}
    identity = http.get(f"{ORIGIN}/msi/token", params=query, headers={"X-IDENTITY-HEADER": "header-1"}).json()
    body = token(
        grant_type="client_credentials",
        client_assertion=identity["access_token"],
        client_assertion_type="urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        **{**OWN, "client_secret": ""},
    ).json()
    assert (body["error"], body["error_codes"]) == ("invalid_client", [700211])


@pytest.fixture
def sign_in(http: requests.Session) -> Callable[..., str]:
    """Ask for a code as a browser that is signed in; an error page's text when none came."""

    def call(tenant: str, client_id: str, user: str) -> str:
        fields = {
            "client_id": client_id, "response_type": "code", "redirect_uri": REDIRECT_URI,
            "scope": f"{SCOPE} offline_access openid", "login_hint": user,
        }  # fmt: skip
        answer = http.get(f"{ORIGIN}/{tenant}/oauth2/v2.0/authorize", params=fields, allow_redirects=False)
        if answer.status_code != 302:
            return html.unescape(answer.text)
        return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))["code"]

    return call


def test_a_sign_in_of_one_tenant_works_in_that_tenant_alone(
    login: LoginEngine, sign_in: Callable[..., str], token: Ask
) -> None:
    """Even a registration that both know redeems code and refresh token where they came from, or under /common."""
    login.tenants[1].directory.applications.append(login.directory.applications[0])
    given = {"grant_type": "authorization_code", "redirect_uri": REDIRECT_URI}
    code = sign_in(DOMAIN, CLIENT_ID, MEGAN)
    assert token(tenant=FURTHER_DOMAIN, code=code, **given).json()["error_codes"] == [700005]
    held = token(tenant="common", code=code, **given).json()["refresh_token"]
    again = {"grant_type": "refresh_token", "refresh_token": held}
    refused = token(tenant=FURTHER_DOMAIN, **again).json()
    assert (refused["error"], refused["error_codes"]) == ("invalid_grant", [50020])
    assert MEGAN in refused["error_description"]
    assert claims_of(token(**again).json()["access_token"])["tid"] == TENANT_ID


def test_the_page_of_a_tenant_offers_its_own_users(sign_in: Callable[..., str]) -> None:
    """A hint of the other tenant's user is nobody there; an application of the other is shown as unknown."""
    page = sign_in(FURTHER_DOMAIN, FURTHER_CLIENT_ID, MEGAN)
    assert re.findall(r'name="picked_user" value="([^"]+)"', page) == [NESTOR]
    assert "AADSTS700016" in sign_in(FURTHER_DOMAIN, CLIENT_ID, MEGAN)


def test_control_paths_find_users_and_registrations_of_every_tenant(
    login: LoginEngine, control: Ask, token: Ask, sign_in: Callable[..., str], http: requests.Session
) -> None:
    """Rotating or revoking in one tenant leaves the other alone; a reset mends both."""
    rotated = control("secrets", client_id=FURTHER_CLIENT_ID).json()["secret"]
    assert token(grant_type="client_credentials", **OWN).json()["error_codes"] == [7000215]
    assert token(grant_type="client_credentials", **{**OWN, "client_secret": rotated}).status_code == 200
    assert token(grant_type="client_credentials").status_code == 200
    code = sign_in(FURTHER_DOMAIN, FURTHER_CLIENT_ID, NESTOR)
    given = {"grant_type": "authorization_code", "redirect_uri": REDIRECT_URI, **OWN, "client_secret": rotated}
    assert token(code=code, **given).status_code == 200
    assert control("revoke", user=MEGAN).json() == {"revoked": 0}
    assert control("revoke", user=NESTOR).json() == {"revoked": 1}
    control("reset")
    assert token(grant_type="client_credentials", **OWN).status_code == 200


def test_the_managed_identity_is_the_home_tenants(login: LoginEngine) -> None:
    """The platform gives the app an identity in one tenant; sessions to the other know none."""
    answer = session_for({ORIGIN: login}).get(
        f"{ORIGIN}/msi/token",
        params={"api-version": "2019-08-01", "resource": RESOURCE},
        headers={"X-IDENTITY-HEADER": "header-1"},
    )
    assert claims_of(answer.json()["access_token"])["tid"] == TENANT_ID
