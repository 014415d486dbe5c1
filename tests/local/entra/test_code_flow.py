"""The authorization code flow, as MSAL drives it and as somebody with bad intentions would."""

import base64
import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
import msal
import pytest
import requests
from business_central_emulator.server.adapter import EngineAdapter
from business_central_emulator.server.exchange import Engine, Request, Response

from local.emulators.entra.browser import SignInFailed, sign_in
from local.emulators.entra.directory import CLIENT_ID, DOMAIN, TENANT_ID
from local.emulators.entra.engine import LoginEngine
from tests.local.entra.conftest import Ask, Clock

ORIGIN = "https://localhost:8443"
REDIRECT_URI = "https://localhost:7443/api/connect/callback"
SCOPE = "https://api.businesscentral.dynamics.com/.default"
MEGAN = f"megan@{DOMAIN}"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


def authorize_url(tenant: str = DOMAIN, **changes: str | None) -> str:
    fields = {
        "client_id": CLIENT_ID,
        "response_type": "code",
        "redirect_uri": REDIRECT_URI,
        "scope": f"{SCOPE} offline_access openid profile",
        "state": "state-1",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "login_hint": MEGAN,
        **changes,
    }
    sent = {name: value for name, value in fields.items() if value is not None}
    return f"{ORIGIN}/{tenant}/oauth2/v2.0/authorize?{urlencode(sent)}"


def answer_of(response: requests.Response) -> dict[str, str]:
    assert response.status_code == 302, response.text
    return dict(parse_qsl(urlsplit(response.headers["Location"]).query))


@pytest.fixture
def code(http: requests.Session) -> Callable[..., str]:
    """A fresh authorization code."""

    def get(**changes: str) -> str:
        return answer_of(http.get(authorize_url(**changes), allow_redirects=False))["code"]

    return get


@pytest.fixture
def redeem(token: Ask) -> Ask:
    def call(held: str, **changes: str) -> requests.Response:
        return token(
            **{
                "grant_type": "authorization_code",
                "code": held,
                "redirect_uri": REDIRECT_URI,
                "code_verifier": VERIFIER,
                **changes,
            }
        )

    return call


def refused(response: requests.Response, error: str, code: int, status: int = 400) -> None:
    body = response.json()
    assert (response.status_code, body["error"], body["error_codes"]) == (status, error, [code])
    assert body["error_description"].startswith(f"AADSTS{code}: ")


def test_msal_signs_in_refreshes_and_reads_its_cache(
    client: msal.ConfidentialClientApplication, signed_in: dict[str, Any], login: LoginEngine
) -> None:
    """MSAL's own code flow (PKCE, nonce, state) works unchanged, and later calls need no person."""
    assert signed_in["id_token_claims"]["preferred_username"] == MEGAN
    (account,) = client.get_accounts()
    assert account["username"] == MEGAN
    asked = len(login.requests)
    assert client.acquire_token_silent([SCOPE], account)["access_token"] == signed_in["access_token"]
    assert len(login.requests) == asked
    renewed = client.acquire_token_silent([SCOPE], account, force_refresh=True)
    assert renewed["access_token"] != signed_in["access_token"]
    assert [asked.grant_type for asked in login.requests if asked.grant_type] == ["authorization_code", "refresh_token"]


def test_the_access_token_is_what_business_central_checks(
    code: Callable[..., str], redeem: Ask, login: LoginEngine, http: requests.Session
) -> None:
    """An access token is signed by the published key and carries the claims of a user with delegated permissions."""
    reply = redeem(code()).json()
    (key,) = jwt.PyJWKSet.from_dict(http.get(f"{ORIGIN}/{TENANT_ID}/discovery/v2.0/keys").json()).keys
    claims = jwt.decode(
        reply["access_token"], key, algorithms=["RS256"], audience="https://api.businesscentral.dynamics.com"
    )
    assert claims["iss"] == f"https://sts.windows.net/{TENANT_ID}/"
    assert (claims["tid"], claims["upn"], claims["appid"]) == (TENANT_ID, MEGAN, CLIENT_ID)
    assert claims["scp"].split() == ["Financials.ReadWrite.All", "user_impersonation"]
    assert "roles" not in claims
    assert claims["exp"] - claims["iat"] == reply["expires_in"] == 3599


def test_a_person_picks_a_user_on_the_page(http: requests.Session, client: msal.ConfidentialClientApplication) -> None:
    """Without a hint the page lists the users; the scripted browser picks one and lands on the redirect URI."""
    received = {}

    class Callback(Engine):
        def handle(self, request: Request) -> Response:
            received.update(request.query)
            return Response(status=200, headers={"Content-Type": "text/plain"}, body=b"connected")

    http.mount("https://localhost:7443/", EngineAdapter(Callback()))
    page = sign_in(http, authorize_url(login_hint=None), MEGAN)
    assert page.text == "connected"
    assert set(received) == {"code", "state"}
    assert received["state"] == "state-1"


def test_the_page_is_shown_although_a_hint_is_given_when_the_app_asks_for_it(http: requests.Session) -> None:
    """`prompt=select_account` always asks the person."""
    response = http.get(authorize_url(prompt="select_account"), allow_redirects=False)
    assert response.status_code == 200
    assert "Pick an account" in response.text


def test_the_page_escapes_what_the_request_brought(http: requests.Session) -> None:
    """A state with markup in it comes out as text."""
    response = http.get(authorize_url(login_hint=None, state='"><script>alert(1)</script>'))
    assert "<script>alert(1)" not in response.text


def test_a_person_may_refuse(http: requests.Session) -> None:
    """Cancel sends access_denied and the state back to the app."""
    with pytest.raises(SignInFailed):
        sign_in(http, authorize_url(login_hint=None), "nobody@lmints.io")
    response = http.post(authorize_url(login_hint=None), data={"picked_user": ""}, allow_redirects=False)
    answer = answer_of(response)
    assert (answer["error"], answer["state"]) == ("access_denied", "state-1")
    assert answer["error_description"].startswith("AADSTS65004")


def test_form_post_carries_the_answer_in_the_body(http: requests.Session) -> None:
    """With response_mode=form_post nothing secret stands in a URL."""
    response = http.get(authorize_url(response_mode="form_post"), allow_redirects=False)
    assert response.status_code == 200
    assert f'action="{REDIRECT_URI}"' in response.text
    assert 'name="code"' in response.text
    assert 'value="state-1"' in response.text


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"client_id": "00000000-0000-4000-8000-000000000000"}, 700016),
        ({"client_id": None}, 900144),
        ({"redirect_uri": "https://evil.example/callback"}, 50011),
        ({"redirect_uri": None}, 50011),
        ({"tenant": "contoso.com"}, 90002),
    ],
)
def test_a_wrong_client_or_redirect_is_shown_and_never_redirected_to(
    http: requests.Session, changes: dict[str, Any], code: int
) -> None:
    """What could leak a code to a stranger stays on the login's own page."""
    response = http.get(authorize_url(**changes), allow_redirects=False)
    assert response.status_code == 400
    assert f"AADSTS{code}" in response.text
    assert "Location" not in response.headers


@pytest.mark.parametrize(
    ("changes", "error", "code"),
    [
        ({"response_type": "token"}, "unsupported_response_type", 700054),
        ({"response_type": None}, "unsupported_response_type", 700054),
        ({"code_challenge_method": "plain"}, "invalid_request", 501491),
        ({"code_challenge_method": None}, "invalid_request", 501491),
        ({"code_challenge": "short"}, "invalid_request", 501491),
        ({"scope": "openid nonsense"}, "invalid_scope", 70011),
        ({"scope": "https://graph.example/.default"}, "invalid_resource", 500011),
        ({"scope": f"{SCOPE} https://vault.azure.net/.default"}, "invalid_request", 28000),
        ({"scope": "https://api.businesscentral.dynamics.com/Mail.Read"}, "invalid_client", 650053),
        ({"login_hint": None, "prompt": "none"}, "login_required", 50058),
    ],
)
def test_other_faults_go_back_to_the_app(
    http: requests.Session, changes: dict[str, Any], error: str, code: int
) -> None:
    """The app learns the OAuth error and the AADSTS code, with its state."""
    answer = answer_of(http.get(authorize_url(**changes), allow_redirects=False))
    assert (answer["error"], answer["state"]) == (error, "state-1")
    assert answer["error_description"].startswith(f"AADSTS{code}:")


def test_a_code_works_once_and_its_replay_ends_the_sign_in(code: Callable[..., str], redeem: Ask, token: Ask) -> None:
    """A replayed code is refused, and the refresh token of the first use dies with it."""
    once = code()
    first = redeem(once).json()
    refused(redeem(once), "invalid_grant", 54005)
    refused(token(grant_type="refresh_token", refresh_token=first["refresh_token"]), "invalid_grant", 50173)


@pytest.mark.parametrize(
    ("changes", "error", "number", "status"),
    [
        ({"code_verifier": "w" * 43}, "invalid_grant", 501481, 400),
        ({"code_verifier": ""}, "invalid_grant", 50148, 400),
        ({"redirect_uri": "https://localhost:7443/other"}, "invalid_client", 500112, 401),
        ({"code": "1.made-up"}, "invalid_grant", 9002313, 400),
        ({"code": ""}, "invalid_request", 900144, 400),
        ({"client_secret": "wrong"}, "invalid_client", 7000215, 401),
        ({"client_secret": ""}, "invalid_client", 7000218, 401),
        ({"grant_type": "password"}, "unsupported_grant_type", 70003, 400),
        ({"grant_type": ""}, "invalid_request", 900144, 400),
    ],
)
def test_a_code_is_bound_to_client_verifier_and_redirect(
    code: Callable[..., str], redeem: Ask, changes: dict[str, Any], error: str, number: int, status: int
) -> None:
    """A stolen code is worth nothing, and a refused try does not use the code up for its owner."""
    held = code()
    refused(redeem(held, **changes), error, number, status)
    assert redeem(held).status_code == 200


def test_a_code_ends_after_ten_minutes(code: Callable[..., str], redeem: Ask, clock: Clock) -> None:
    """A code that lay around is refused."""
    held = code()
    clock.advance(timedelta(minutes=10, seconds=1))
    refused(redeem(held), "invalid_grant", 70008)


def test_a_token_without_offline_access_cannot_be_refreshed(code: Callable[..., str], redeem: Ask) -> None:
    """A refresh token comes only to who asked for offline_access."""
    reply = redeem(code(scope=SCOPE)).json()
    assert "refresh_token" not in reply
    assert "id_token" not in reply


def test_no_consent_is_told_to_the_app(http: requests.Session, control: Ask) -> None:
    """An application nobody consented to gets AADSTS65001 instead of a code."""
    control("settings", consented=False)
    answer = answer_of(http.get(authorize_url(), allow_redirects=False))
    assert answer["error"] == "consent_required"
    assert answer["error_description"].startswith("AADSTS65001")


def test_the_first_version_of_the_protocol_signs_in_for_a_resource(http: requests.Session) -> None:
    """`/oauth2/authorize` with `resource` gives a code that `/oauth2/token` redeems (E23)."""
    resource = "https://api.businesscentral.dynamics.com"
    url = authorize_url(scope=None, resource=resource, code_challenge=None, code_challenge_method=None)
    answer = answer_of(http.get(url.replace("/oauth2/v2.0/", "/oauth2/"), allow_redirects=False))
    form = {
        "grant_type": "authorization_code",
        "client_id": CLIENT_ID,
        "client_secret": "the-first-secret",
        "code": answer["code"],
        "redirect_uri": REDIRECT_URI,
        "resource": resource,
    }
    reply = http.post(f"{ORIGIN}/common/oauth2/token", data=form).json()
    assert reply["refresh_token"]
    assert reply["resource"] == resource
