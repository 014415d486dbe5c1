"""A login on a clock the test moves, reached without a socket."""

import html
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msal
import pytest
import requests
from business_central_emulator.server.adapter import session_for

from local.emulators.entra.directory import CLIENT_ID, DOMAIN, demo_directory
from local.emulators.entra.engine import LoginEngine

ORIGIN = "https://localhost:8443"
REDIRECT_URI = "https://localhost:7443/api/connect/callback"
SECRET = "the-first-secret"
SCOPE = "https://api.businesscentral.dynamics.com/.default"


type Ask = Callable[..., requests.Response]  # as a fixture gives it: the arguments are what its form takes


class Clock:
    """The time the login goes by."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)  # MSAL compares tokens with the real time, so this starts there

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta) -> None:
        self.now += by


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def login(clock: Clock) -> LoginEngine:
    return LoginEngine(
        demo_directory(redirect_uris=[REDIRECT_URI], client_secret=SECRET), identity_header="header-1", now=clock
    )


@pytest.fixture
def http(login: LoginEngine) -> requests.Session:
    return session_for({ORIGIN: login})


@pytest.fixture
def control(http: requests.Session) -> Ask:
    def call(path: str, **fields: object) -> requests.Response:
        response = http.post(f"{ORIGIN}/_emulator/{path}", json=fields)
        assert response.status_code == 200, response.text
        return response

    return call


@pytest.fixture
def client(http: requests.Session) -> msal.ConfidentialClientApplication:
    """The app's own kind of MSAL client."""
    return msal.ConfidentialClientApplication(
        CLIENT_ID,
        authority=f"{ORIGIN}/{DOMAIN}",
        client_credential=SECRET,
        instance_discovery=False,
        http_client=http,
    )


@pytest.fixture
def token(http: requests.Session) -> Ask:
    """Post a form to the token endpoint, as the application with its right secret unless told otherwise."""

    def call(tenant: str = DOMAIN, **fields: str) -> requests.Response:
        form = {"client_id": CLIENT_ID, "client_secret": SECRET, "scope": SCOPE, **fields}
        sent = {name: value for name, value in form.items() if value}
        return http.post(f"{ORIGIN}/{tenant}/oauth2/v2.0/token", data=sent)

    return call


@pytest.fixture
def signed_in(client: msal.ConfidentialClientApplication, http: requests.Session) -> dict[str, Any]:
    """Sign Megan in with MSAL's own flow (PKCE, nonce, state, form_post); give the token reply."""
    flow = client.initiate_auth_code_flow(
        [SCOPE], redirect_uri=REDIRECT_URI, login_hint=f"megan@{DOMAIN}", response_mode="form_post"
    )
    page = http.get(flow["auth_uri"]).text
    fields = {name: html.unescape(value) for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', page)}
    reply: dict[str, Any] = client.acquire_token_by_auth_code_flow(flow, fields)
    return reply
