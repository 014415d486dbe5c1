"""The MSAL adapter: one application object per process, and one kind of error.

MSAL raises on a 5xx, returns a dict with `error` on a 4xx, and repeats an old answer for up to a minute on its own
account. Here every answer becomes a `Grant` or a `TokenError` that says whether waiting can help, and nothing is
replayed: `EntraTokens` decides when to ask again. MSAL is imported on first use (it costs a cold start 150 ms).
"""

import json
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

import requests

from shared.errors import TokenError
from shared.storage.http_transport import leave_headers

if TYPE_CHECKING:
    import msal

#: The resource is Business Central's, wherever BC_API_URL points: a token is made for it by this name.
SCOPE: Final = "https://api.businesscentral.dynamics.com/.default"
TIMEOUT_S: Final = (5, 15)  # to connect, to wait for an answer
REASON_CHARS: Final = 400
#: Entra's own transient faults behind a 4xx: overload, request budget, external server, request loop.
_TRANSIENT: Final = frozenset({"temporarily_unavailable", "server_error", "slow_down"})
_TRANSIENT_CODES: Final = frozenset({"90006", "90024", "90033", "50196"})

type Credential = str | Callable[[], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What the token endpoint gave."""

    access_token: str = field(repr=False)
    lifetime_s: int


class _Answer:
    """An HTTP answer in the shape MSAL reads."""

    def __init__(self, response: requests.Response) -> None:
        self.status_code = response.status_code
        self.text = response.text
        self.headers = dict(response.headers)

    def raise_for_status(self) -> None:
        """Nothing to raise: answers that are not to be read never come this far."""


class _Http:
    """MSAL's way to the network: bounded in time, no redirects (a form with a token must not follow one).

    `.netrc` adds no header to the form with the client secret. The certificates are named with each request: a
    session's own `verify` gives way to REQUESTS_CA_BUNDLE. MSAL's telemetry headers stay behind: they repeat the error
    of an earlier answer, and one with a line break in it ended every later request of the process.
    """

    def __init__(self, session: requests.Session, ca_bundle: str | None) -> None:
        self._session = session
        self._verify: str | bool = ca_bundle or True

    def get(self, url: str, **options: Any) -> _Answer:
        return self._send("GET", url, **options)

    def post(self, url: str, **options: Any) -> _Answer:
        return self._send("POST", url, **options)

    def close(self) -> None:
        self._session.close()

    def _send(self, method: str, url: str, **options: Any) -> _Answer:
        """Return an answer that holds a JSON object.

        Raises:
            TokenError: 408, 429, 5xx or not JSON (a proxy's page): retryable. MSAL would log such a body whole.
        """
        options |= {"timeout": TIMEOUT_S, "verify": self._verify, "auth": leave_headers}
        headers = options.pop("headers", None) or {}
        options["headers"] = {name: value for name, value in headers.items() if "telemetry" not in name.lower()}
        try:
            response = self._session.request(method, url, allow_redirects=False, **options)
        except (requests.RequestException, ValueError) as error:  # its text may hold a URL with a query
            raise _not_now(f"no answer from the login: {type(error).__name__}", "login_unreachable") from None
        status = response.status_code
        if status in {408, 429} or status >= 500:
            raise _not_now(f"the login answered {status}", f"login_{status}")
        try:
            body = json.loads(response.text)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise _not_now(f"the login answered {status} with something that is not JSON", "login_unreadable")
        if method == "GET" and status >= 400:
            raise refusal(body)
        return _Answer(response)


class _NoReplay(dict[str, Any]):
    """A store that keeps nothing, so that MSAL asks whenever it is called."""

    def __setitem__(self, key: str, value: Any) -> None:
        """Forget at once."""


class EntraApp:
    """The app registration as MSAL sees it, with the token cache in memory."""

    def __init__(
        self,
        *,
        login_url: str,
        tenant_id: str,
        client_id: str,
        ca_bundle: str | None = None,
        session: requests.Session | None = None,
    ) -> None:
        """Connect to nothing yet; `session` replaces the network in tests."""
        self._login_url = login_url
        self._tenant_id = tenant_id
        self._client_id = client_id
        self._ca_bundle = ca_bundle
        self._session = session
        self._credential: Credential | None = None
        self._lock = RLock()
        self._built: Any = None
        self._tokens: msal.SerializableTokenCache | None = None

    def use_credential(self, credential: Credential) -> None:
        """Prove the app's identity with this client secret or assertion from now on."""
        with self._lock:
            if credential != self._credential:
                self._credential = credential
                self._built = None

    def load(self, cache: str) -> None:
        """Replace the token cache with a serialised one."""
        self._cache.deserialize(cache)

    def dump(self) -> str:
        """Return the token cache serialised."""
        return str(self._cache.serialize())

    def begin(self, redirect_uri: str, *, state: str) -> tuple[str, dict[str, Any]]:
        """Return the address where a person signs in, and what `redeem` needs to finish (state, PKCE, nonce).

        Raises:
            TokenError: the login does not answer or does not know the tenant.
        """
        with _readable(), warnings.catch_warnings():
            # MSAL recommends form_post; its cross-site POST would come without our SameSite=Lax cookie
            warnings.simplefilter("ignore")
            flow = self._app().initiate_auth_code_flow(
                [SCOPE], redirect_uri=redirect_uri, state=state, prompt="select_account"
            )
            return str(flow["auth_uri"]), dict(flow)

    def redeem(self, flow: Mapping[str, Any], answer: Mapping[str, str]) -> Grant:
        """Exchange the code of a finished sign-in. The cache then holds this account only; untouched on failure.

        MSAL gets `code` and `state` of the answer and nothing else: the rest comes from whoever called the address.

        Raises:
            TokenError: Entra refused, the user did, or the answer does not belong to this flow.
        """
        if not answer.get("code"):
            raise refusal({name: _one_line(answer.get(name, "")) for name in ("error", "error_description")})
        before = self.dump()
        self.load("{}")
        try:
            with _readable():
                return _grant(
                    self._app().acquire_token_by_auth_code_flow(
                        dict(flow), {name: answer.get(name, "") for name in ("code", "state")}
                    )
                )
        except BaseException:
            self.load(before)
            raise

    def refresh(self) -> Grant:
        """Use the refresh token of the cache; the cache then holds what Entra gave instead.

        Raises:
            TokenError: Entra refused or did not answer; `login_required` when nobody is signed in.
        """
        with _readable():
            app = self._app()
            accounts = app.get_accounts()
            result = accounts and app.acquire_token_silent_with_error([SCOPE], accounts[0], force_refresh=True)
            return _grant(result or None)

    def for_app(self) -> Grant:
        """Get a token for the app itself (client credentials), always a new one.

        Raises:
            TokenError: Entra refused or did not answer.
        """
        with _readable():
            self.load("{}")  # else MSAL returns the token it still holds
            return _grant(self._app().acquire_token_for_client([SCOPE]))

    @property
    def _cache(self) -> Any:
        with self._lock:
            if self._tokens is None:
                import msal  # noqa: PLC0415 slow to import

                self._tokens = msal.SerializableTokenCache()
            return self._tokens

    def _app(self) -> Any:
        """Return MSAL's application; building one asks the login for its endpoints."""
        with self._lock:
            if self._built is None:
                import msal  # noqa: PLC0415 slow to import

                # at DEBUG it writes the authorization code and its verifier, whole
                logging.getLogger("msal").setLevel(logging.INFO)
                session = self._session or requests.Session()
                credential = self._credential
                self._built = msal.ConfidentialClientApplication(
                    self._client_id,
                    client_credential={"client_assertion": credential} if callable(credential) else credential,
                    authority=f"{self._login_url}/{self._tenant_id}",
                    # On Microsoft's hosts this would only look up other names of the same host, with a request whose
                    # failure hides what Entra said; on any other host (local stack) it would ask Microsoft about it.
                    instance_discovery=False,
                    token_cache=self._cache,
                    http_client=_Http(session, self._ca_bundle),
                    http_cache=_NoReplay(),
                )
            return self._built


def refusal(answer: Mapping[str, Any]) -> TokenError:
    """Turn an OAuth error answer into a TokenError with Entra's words, without its trace ids."""
    error = str(answer.get("error") or "unknown_error")
    described = str(answer.get("error_description") or "").split(" Trace ID:")[0].split("\r\n")[0].strip()
    codes = {str(code) for code in answer.get("error_codes") or []} | set(re.findall(r"AADSTS(\d+)", described))
    message = f"{error}: {described}"[:REASON_CHARS] if described else error
    return TokenError(message, code=error, retryable=error in _TRANSIENT or bool(codes & _TRANSIENT_CODES))


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text[:REASON_CHARS]).strip()


def _grant(result: Mapping[str, Any] | None) -> Grant:
    if not result:
        raise TokenError("nobody has signed in yet", code="login_required")
    if "access_token" not in result:
        raise refusal(result)
    return Grant(access_token=str(result["access_token"]), lifetime_s=int(result.get("expires_in") or 0))


def _not_now(message: str, code: str) -> TokenError:
    return TokenError(message, code=code, retryable=True)


@contextmanager
def _readable() -> Iterator[None]:
    """Turn MSAL's own complaints about an answer into TokenError; unchained, as they may quote the answer."""
    try:
        yield
    except (ValueError, RuntimeError, KeyError, TypeError) as error:
        raise _not_now(f"the login's answer makes no sense: {type(error).__name__}", "login_unreadable") from None
