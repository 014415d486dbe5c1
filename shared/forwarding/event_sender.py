"""One HTTP call with events to the one receiver of this deployment: token or signature, limits of time, what came back.

Tokens and signatures go to the address of the setting only: a redirect is not followed, a cookie not kept, `.netrc` not
read. Nothing of an answer is kept but its status, a code and the pause that it asks for.
"""

import re
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import TYPE_CHECKING, Final

import requests
from urllib3.exceptions import HTTPError

from shared.business_central.deadline import bounded_session, ends_within
from shared.clock import Clock
from shared.errors import StoreUnavailable
from shared.forwarding import forward_step
from shared.forwarding.event_requests import EventRequest
from shared.forwarding.event_targets import Target
from shared.forwarding.forward_step import Answer
from shared.forwarding.webhook_signature import keys_of, sign
from shared.resource_names import SECRET_EVENTS
from shared.storage.http_transport import leave_headers
from shared.storage.identity import app_credential
from shared.storage.table import SecretStore
from shared.version import USER_AGENT

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

CONNECT_S: Final = 10.0
READ_S: Final = 30.0  # Standard Webhooks recommends 15 to 30 s
WHOLE_S: Final = 60.0
#: A secret in hand is read again after this, so that a rotation needs no restart.
SECRET_KEPT_FOR: Final = timedelta(minutes=5)
_ERROR_BYTES: Final = 4096
#: Where the services of Azure name what is wrong: JSON of Event Grid, XML of Service Bus.
_CODE: Final = re.compile(rb'"code"\s*:\s*"([A-Za-z0-9_.]{1,60})"|<Code>([A-Za-z0-9_.]{1,60})</Code>')
#: What a receiver may ask for at most, so that it can be reckoned with; the step that follows has a bound of its own.
_LONGEST_PAUSE_S: Final = 7 * 86_400.0
_UNREADABLE: Final = (requests.RequestException, HTTPError, HTTPException, OSError, ValueError, LookupError, TypeError)


class EventSender:
    """Sends requests to one target. Safe to share between threads (one `requests.Session` per thread)."""

    def __init__(
        self,
        target: Target,
        secrets: SecretStore,
        *,
        now: Clock,
        client_id: str = "",
        ca_bundle: str | None = None,
        token: Callable[[str], str] | None = None,
        new_session: Callable[[], requests.Session] = bounded_session,
    ) -> None:
        """Open nothing yet. `token` (scope -> token) and `new_session` replace identity and network in tests."""
        self._target = target
        self._secrets = secrets
        self._now = now
        self._client_id = client_id
        self._ca_bundle = ca_bundle
        self._token = token or self._identity_token
        self._new_session = new_session
        self._credential: TokenCredential | None = None
        self._keys: tuple[bytes, ...] = ()
        self._keys_read_at: datetime | None = None
        self._closed_until: datetime | None = None
        self._lock = threading.Lock()
        self._local = threading.local()

    def send(self, request: EventRequest) -> Answer:
        """Send one request and return what came of it; nothing is sent while a pause lasts that was asked for."""
        now = self._now()
        if self._closed_until is not None and now < self._closed_until:
            left_s = (self._closed_until - now).total_seconds()
            return Answer(status=0, code=forward_step.CLOSED, retry_after_s=left_s)
        headers = {"Content-Type": request.content_type, "User-Agent": USER_AGENT}
        fault = self._add_token(headers) if self._target.scope else self._add_signature(headers, request, now)
        if fault:
            return Answer(status=0, code=fault)
        answer = self._exchange(request.body, headers)
        if answer.retry_after_s is not None and answer.status in {429, 503}:
            self._closed_until = now + timedelta(seconds=min(answer.retry_after_s, 3600.0))
        if answer.status in {401, 403}:
            self._keys_read_at = None  # perhaps it was rotated: ask the vault before the next try
        return answer

    def _add_token(self, headers: dict[str, str]) -> str:
        try:
            headers["Authorization"] = f"Bearer {self._token(self._target.scope)}"
        except StoreUnavailable:
            return forward_step.NO_TOKEN
        return ""

    def _identity_token(self, scope: str) -> str:
        from azure.core.exceptions import AzureError  # noqa: PLC0415 - slow to import

        with self._lock:
            if self._credential is None:
                self._credential = app_credential(self._client_id, ca_bundle=self._ca_bundle)
        try:
            return self._credential.get_token(scope).token
        except AzureError as error:
            raise StoreUnavailable(f"the identity gave no token: {type(error).__name__}") from None

    def _add_signature(self, headers: dict[str, str], request: EventRequest, now: datetime) -> str:
        try:
            keys = self._signing_keys(now)
        except StoreUnavailable:
            return forward_step.NO_VAULT
        except ValueError:
            return forward_step.SECRET_WRONG
        if not keys:
            return forward_step.SECRET_MISSING
        at_s = int(now.timestamp())
        headers["webhook-id"] = request.webhook_id
        headers["webhook-timestamp"] = str(at_s)
        headers["webhook-signature"] = sign(keys, request.webhook_id, at_s, request.body)
        return ""

    def _signing_keys(self, now: datetime) -> tuple[bytes, ...]:
        """Return the keys of the vault; those in hand outlive a vault that does not answer."""
        with self._lock:
            if self._keys and self._keys_read_at is not None and now - self._keys_read_at < SECRET_KEPT_FOR:
                return self._keys
            try:
                secret = self._secrets.read(SECRET_EVENTS)
            except StoreUnavailable:
                if not self._keys:
                    raise
                return self._keys
            self._keys = keys_of(secret) if secret else ()
            self._keys_read_at = now
            return self._keys

    def _exchange(self, body: bytes, headers: dict[str, str]) -> Answer:
        try:
            with (
                ends_within(WHOLE_S),
                self._session().post(
                    self._target.url, data=body, headers=headers, auth=leave_headers, timeout=(CONNECT_S, READ_S),
                    verify=self._ca_bundle or True, allow_redirects=False, stream=True,
                ) as response,
            ):  # fmt: skip
                said = _first_bytes(response)
                pause_s = _pause_s(response.headers.get("Retry-After"), self._now())
                found = None if response.status_code < 300 else _CODE.search(said)
                code = (found[1] or found[2]).decode() if found else ""
                return Answer(status=response.status_code, code=code, retry_after_s=pause_s)
        except _UNREADABLE:
            return Answer(status=0, code=forward_step.NETWORK)

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = self._new_session()
        return session


def _first_bytes(response: requests.Response) -> bytes:
    """Return how the body begins, nothing of one that can't be read: what the status says holds all the same.

    To have read it lets the connection be used again.
    """
    try:
        return next(response.iter_content(_ERROR_BYTES), b"")
    except _UNREADABLE:
        return b""


def _pause_s(value: str | None, now: datetime) -> float | None:
    """Return the seconds of a Retry-After header: a number, or an HTTP date (RFC 9110, 10.2.3)."""
    if not value:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), _LONGEST_PAUSE_S)
    try:
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
