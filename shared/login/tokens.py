"""Access tokens for Business Central in all three modes, and the sign-in behind the connect page.

With `authorization_code` all instances share one refresh token, in the secret `bc-token-cache`. Entra may give a new
refresh token at each use, and losing it means that a person must log in again. Hence the order, safe to be killed at
any line: take the lease row, read the vault, ask Entra, check that the lease is still ours, write the vault, and only
then hand out the access token. Who is killed between Entra's answer and the vault leaves the old refresh token there,
which Entra still takes. Who cannot reach the vault keeps the new one in memory and the lease with it, and writes at the
next call. Who waited for the lease finds a fresh access token in the vault and asks Entra for nothing.

The app-only modes (`client_secret`, `managed_identity`) have nothing to lose and need no row, lease or cache.
"""

import copy
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import RLock
from typing import Any, Final

import requests

from shared.clock import Clock, NewId
from shared.errors import StoreUnavailable, TokenError
from shared.log import log_event
from shared.login.login_state import LoginState, LoginStore
from shared.login.msal_app import Credential, EntraApp, Grant
from shared.login.refresh_lease import RefreshLease
from shared.login.token_cache import EMPTY, AccessToken, clean, find_access_token, pack, user_name
from shared.resource_names import SECRET_CLIENT, SECRET_TOKEN_CACHE
from shared.settings import AuthMode, Settings
from shared.storage.table import SecretStore, Table

#: While a new token cannot be had, the old one is used until this long before its end.
LAST_USE: Final = timedelta(seconds=60)
#: How long a failure is repeated without asking again: transient ones, and those that wait for a person.
TRANSIENT_PAUSE: Final = timedelta(seconds=5)
DEAD_PAUSE: Final = timedelta(seconds=60)
#: BC refusing a token that was fetched because it refused the one before refuses the user, not the token.
DISCARD_PAUSE: Final = timedelta(seconds=60)

_log = logging.getLogger("bc.auth")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unsaved:
    """What Entra gave and the vault does not hold yet."""

    base: str | None = field(repr=False)  # the secret it replaces
    cache: str = field(repr=False)
    access: AccessToken


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    error: TokenError
    until: datetime


class EntraTokens:
    """The TokenSource of the deployed app; one per process, safe to share between threads."""

    def __init__(
        self,
        settings: Settings,
        secrets: SecretStore,
        connections: Table,
        *,
        now: Clock,
        new_id: NewId,
        sleep: Callable[[float], None] = time.sleep,
        assertion: Callable[[], str] | None = None,
        session: requests.Session | None = None,
        token_vault: SecretStore | None = None,
    ) -> None:
        """Reach for nothing yet.

        `secrets` holds the client secret; `token_vault` the token cache (None: the same vault).
        `connections` is the table BcConnections; `assertion` fetches the managed identity's client assertion (None:
        there is no identity); `session` replaces the network to the login in tests.
        """
        self._mode = settings.auth_mode
        self._client_id = settings.client_id
        self._cache_name = settings.secret(SECRET_TOKEN_CACHE)
        self._secret_name = settings.secret(SECRET_CLIENT)
        self._secrets = secrets
        self._vault = token_vault or secrets
        self._now = now
        self._new_id = new_id
        self._assertion = assertion
        self._entra = EntraApp(
            login_url=settings.login_url,
            tenant_id=settings.tenant_id,
            client_id=settings.client_id,
            ca_bundle=settings.ca_bundle,
            session=session,
        )
        self._login_state = LoginStore(connections, settings.connection, now)
        self._lease = RefreshLease(connections, settings.connection, holder=new_id(), now=now, sleep=sleep)
        self._lock = RLock()
        self._credential: Credential | None = None
        self._access: AccessToken | None = None
        self._refused = ""  # the last token BC answered 401 to
        self._discarded_at: datetime | None = None
        self._unsaved: _Unsaved | None = None
        self._failure: _Failure | None = None
        self._has_looked = False  # into the vault, at least once in this process

    # -- TokenSource

    def token(self) -> str:
        """Return an access token that is valid for some minutes (in an outage of vault or login: for one at least).

        Raises:
            TokenError: none can be had; `.retryable` says whether waiting can help.
            StoreUnavailable: the vault or the table did not answer.
        """
        with self._lock:
            now = self._now()
            held = self._access
            if held is not None and now < held.renew_at and self._unsaved is None:
                self._login_state.catch_up()
                return held.value
            try:
                access = self._obtain(now)
            except (TokenError, StoreUnavailable) as error:
                if held is not None and error.retryable and now < held.expires_at - LAST_USE:
                    return held.value
                raise
            return access.value

    def discard(self, token: str) -> None:
        """Note that BC answered 401 to this token; the next `token()` fetches another, once a minute at most."""
        with self._lock:
            now = self._now()
            if self._access is None or self._access.value != token:
                return
            if self._discarded_at is not None and now < self._discarded_at + DISCARD_PAUSE:
                return
            self._discarded_at = now
            self._refused = token
            self._access = None

    # -- for the connect page and the status

    def login(self) -> LoginState:
        """Return the state of the login as all instances share it. Raises StoreUnavailable."""
        return self._login_state.read()

    def account(self) -> str | None:
        """Return who is signed in, None when nobody is or the app signs in as itself. Raises StoreUnavailable."""
        state = self.login()
        return state.user or None if state.state == "ok" else None

    def begin_sign_in(self, redirect_uri: str) -> tuple[str, dict[str, Any]]:
        """Return the address where a person signs in, and the flow that `finish_sign_in` needs.

        The flow holds `state` and what proves that the same app finishes (PKCE verifier, nonce).

        Raises:
            TokenError: the login does not answer or knows no such tenant; or this mode has no person to sign in.
            StoreUnavailable: the vault did not answer.
        """
        self._check_delegated()
        with self._lock:
            self._prove_identity()
            return self._entra.begin(redirect_uri, state=self._new_id() + self._new_id())

    def finish_sign_in(self, flow: Mapping[str, Any], answer: Mapping[str, str]) -> str:
        """Exchange the code for tokens, store them, and return who signed in.

        The vault is asked before the code is spent. If it fails after that, the tokens are kept in memory and stored
        at the next `token()`.

        Raises:
            TokenError: Entra or the user refused, or the answer does not belong to the flow.
            StoreUnavailable: the vault or the table did not answer.
        """
        self._check_delegated()
        with self._lock, self._leased():
            base = self._vault.read(self._cache_name)
            began_at = self._now()
            grant = self._ask(lambda: self._entra.redeem(flow, answer))
            self._failure = None
            self._keep(base, grant, began_at)
            self._save()
            user = user_name(self._entra.dump())
            log_event(_log, "login.completed", user=user)
            return user

    def sign_out(self) -> None:
        """Forget the tokens here and in the vault; Entra is not asked to revoke them.

        Raises:
            TokenError: another instance is refreshing; retryable.
            StoreUnavailable: the vault or the table did not answer.
        """
        self._check_delegated()
        with self._lock, self._leased():
            self._vault.write(self._cache_name, EMPTY)
            self._entra.load(EMPTY)
            self._access = self._unsaved = self._failure = None
            self._login_state.signed_out()
            log_event(_log, "login.removed")

    # -- inside

    def _obtain(self, now: datetime) -> AccessToken:
        if self._failure is not None and now < self._failure.until:
            raise copy.copy(self._failure.error)
        self._failure = None
        try:
            if self._mode is AuthMode.AUTHORIZATION_CODE:
                return self._obtain_shared(now)
            return self._obtain_own(now)
        except TokenError as error:
            pause = TRANSIENT_PAUSE if error.retryable else DEAD_PAUSE
            self._failure = _Failure(error=error, until=self._now() + pause)
            if error.retryable:
                log_event(_log, "token.failed", error_code=error.code, reason=str(error), mode=self._mode)
            raise

    def _obtain_own(self, now: datetime) -> AccessToken:
        try:
            grant = self._ask(self._entra.for_app)
        except TokenError as error:
            if error.retryable:
                raise
            # says in the state of the login that no person can mend it by signing in (see `entra_codes.advice`)
            refused = TokenError(f"the app signs in as itself: {error}", code=error.code)
            self._note_refusal(refused)
            raise refused from error
        self._access = AccessToken.issued(grant.access_token, at=now, lifetime_s=grant.lifetime_s)
        self._login_state.ok("")
        log_event(_log, "token.refreshed", mode=self._mode, expires_at=self._access.expires_at)
        return self._access

    def _obtain_shared(self, now: datetime) -> AccessToken:
        if not self._has_looked:  # a new process: mostly another one has refreshed lately, and no lease is needed
            stored = self._vault.read(self._cache_name)
            self._has_looked = True
            if (found := self._usable(stored)) is not None:
                return self._adopt(stored, found)
        with self._leased():
            stored = self._vault.read(self._cache_name)
            if self._unsaved is not None and stored not in {self._unsaved.base, self._unsaved.cache}:
                self._unsaved = None  # another instance has stored a newer login since
            if self._unsaved is not None:
                return self._save()
            if (found := self._usable(stored)) is not None:
                return self._adopt(stored, found)
            self._entra.load(clean(stored))
            try:
                grant = self._ask(self._entra.refresh)
            except TokenError as error:
                self._note_refusal(error)
                raise
            self._keep(stored, grant, now)
            return self._save()

    def _usable(self, stored: str | None) -> AccessToken | None:
        """Return the access token of the stored cache if it has time left and BC has not refused it."""
        found = find_access_token(stored, client_id=self._client_id)
        return found if found and self._now() < found.renew_at and found.value != self._refused else None

    def _adopt(self, stored: str | None, found: AccessToken) -> AccessToken:
        self._access = found
        self._login_state.ok(user_name(stored))
        return found

    def _keep(self, base: str | None, grant: Grant, at: datetime) -> None:
        access = AccessToken.issued(grant.access_token, at=at, lifetime_s=grant.lifetime_s)
        packed = pack(self._entra.dump(), access=access, now=at)
        self._unsaved = _Unsaved(base=base, cache=packed, access=access)

    def _save(self) -> AccessToken:
        """Write what Entra gave to the vault, then let it be used.

        Raises:
            TokenError: another instance took over and stored something else; retryable, theirs counts.
            StoreUnavailable: not written, or nobody knows; kept for the next call.
        """
        unsaved = self._unsaved
        if unsaved is None:
            raise TokenError("there is nothing to save", code="refresh_busy", retryable=True)
        if not self._lease.extend() and self._vault.read(self._cache_name) != unsaved.base:
            self._unsaved = None
            raise TokenError("another instance has stored a newer token", code="refresh_busy", retryable=True)
        self._vault.write(self._cache_name, unsaved.cache)
        self._unsaved = None
        self._access = unsaved.access
        self._login_state.ok(user_name(unsaved.cache))
        log_event(_log, "token.refreshed", mode=self._mode, expires_at=unsaved.access.expires_at)
        return unsaved.access

    def _note_refusal(self, error: TokenError) -> None:
        if not error.retryable:
            self._login_state.needed(error)

    @contextmanager
    def _leased(self) -> Iterator[None]:
        """Hold the lease; keep it while a refresh token is not saved, so that nobody uses the one it replaces."""
        self._lease.take()
        try:
            yield
        finally:
            if self._unsaved is None:
                self._lease.give_back()

    def _ask(self, question: Callable[[], Grant]) -> Grant:
        """Ask Entra; if it refuses the client secret, look once whether the vault has a new one."""
        self._prove_identity()
        try:
            return question()
        except TokenError as error:
            if error.code != "invalid_client" or not self._has_new_secret():
                raise
            return question()

    def _prove_identity(self) -> None:
        """Give MSAL the secret or assertion, read once per process.

        `authorization_code` takes the client secret if the vault holds one, else the managed identity.
        """
        if self._credential is None:
            secret = None if self._mode is AuthMode.MANAGED_IDENTITY else self._client_secret()
            may_use_identity = self._mode is not AuthMode.CLIENT_SECRET
            credential: Credential | None = secret or (self._assertion if may_use_identity else None)
            if not credential:
                error = _no_credential(self._mode, self._secret_name)
                self._note_refusal(error)
                raise error
            self._credential = credential
        self._entra.use_credential(self._credential)

    def _client_secret(self) -> str:
        """Return the client secret, "" when the vault holds none; a file or a shell adds a line break at its end."""
        return (self._secrets.read(self._secret_name) or "").strip()

    def _has_new_secret(self) -> bool:
        if not isinstance(self._credential, str):
            return False
        secret = self._client_secret()
        if not secret or secret == self._credential:
            return False
        self._credential = secret
        self._entra.use_credential(secret)
        return True

    def _check_delegated(self) -> None:
        if self._mode is not AuthMode.AUTHORIZATION_CODE:
            raise TokenError(f"in mode {self._mode} the app signs in as itself", code="no_person_needed")


def _no_credential(mode: AuthMode, secret: str) -> TokenError:
    if mode is AuthMode.MANAGED_IDENTITY:
        message = "the app has no managed identity here (IDENTITY_ENDPOINT is not set)"
        return TokenError(message, code="managed_identity_missing")
    return TokenError(f"the vault holds no secret {secret}", code="client_secret_missing")
