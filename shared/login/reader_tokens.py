"""Access tokens of the reader: a second application that reads pages beside the identity, within a budget of its own.

Owns when the reader is used: whoever refuses or fails it, Entra or Business Central, it rests for some minutes, and
work goes on under the identity alone. It signs in as itself, so nothing is kept but its state, which people see.
"""

import logging
from contextlib import suppress
from datetime import datetime, timedelta
from threading import Lock
from typing import Final

import requests

from shared.clock import NO_TIME, Clock
from shared.errors import BCError, StoreUnavailable, TokenError
from shared.log import log_event
from shared.login.entra_codes import BY_BC
from shared.login.login_state import READER_KEY, LoginState, LoginStore
from shared.login.msal_app import EntraApp
from shared.login.token_cache import AccessToken
from shared.resource_names import SECRET_READER
from shared.settings import Settings
from shared.storage.table import SecretStore, Table

#: How long a reader that was refused, or got no token, is left alone.
REST: Final = timedelta(minutes=5)
#: How long after Business Central refused it the reader counts as refused, whatever else it is allowed to read: longer
#: than from pull to pull. So often, too, the state that all instances share is looked at while it works.
SETTLED: Final = timedelta(minutes=20)
#: A token that can't be renewed is used until this long before its end.
LAST_USE: Final = timedelta(seconds=60)

_log = logging.getLogger("bc.auth")


class ReaderTokens:
    """The reader of one connection; one per process, safe to share between threads."""

    def __init__(
        self,
        settings: Settings,
        secrets: SecretStore,
        connections: Table,
        *,
        now: Clock,
        session: requests.Session | None = None,
    ) -> None:
        """Reach for nothing yet; `session` replaces the network to the login in tests."""
        self._secrets = secrets
        self._secret_name = settings.secret(SECRET_READER)
        self._now = now
        self._entra = EntraApp(
            login_url=settings.login_url,
            tenant_id=settings.tenant_id,
            client_id=settings.reader_client_id,
            ca_bundle=settings.ca_bundle,
            session=session,
        )
        self._state = LoginStore(connections, settings.connection, now, READER_KEY)
        self._lock = Lock()  # held by whoever changes what is below
        self._access: AccessToken | None = None
        self._rests_until: datetime | None = None
        self._failed_at: datetime | None = None  # when the identity was served what it was not
        self._settled_until = NO_TIME  # nothing is noted before, as long as it works

    def token(self) -> str:
        """Return an access token, "" while the reader is not to be used. Nobody waits for what another asks Entra."""
        held, now = self._access, self._now()
        if held is not None and now < held.renew_at:
            return held.value
        if self._lock.acquire(blocking=False):
            try:
                held = self._renewed(now)
            finally:
                self._lock.release()
        return held.value if held is not None and now < held.expires_at - LAST_USE else ""

    def refused(self, error: BCError) -> None:
        """Note that Business Central knows the reader not, or not well enough: it rests, and its token is forgotten."""
        with self._lock:
            now = self._rest()
            self._settled_until = now + SETTLED
            self._state.needed(TokenError(str(error), code=BY_BC))

    def failed(self, error: BCError, *, alone: bool) -> None:
        """Note that Business Central did not serve the reader: it rests.

        `alone`: the identity was served the same at once. Once that may be chance; so again after a rest it counts as
        a refusal.
        """
        with self._lock:
            now = self._rest()
            if not alone:
                return
            self._settled_until = now + SETTLED
            if self._failed_at is not None and now < self._failed_at + REST:
                return  # it was asked before it rested
            if self._failed_at is not None:
                self._state.needed(TokenError(str(error), code=BY_BC))
            self._failed_at = now

    def served(self) -> None:
        """Note that Business Central has answered the reader."""
        now = self._now()
        if now < self._settled_until:
            return
        self._settled_until = now + SETTLED
        self._failed_at = None
        with suppress(StoreUnavailable):
            held = self.state()
            if held.code != BY_BC or held.since is None or held.since + SETTLED <= now:
                self._state.ok("")

    def state(self) -> LoginState:
        """Return the state as all instances share it. Raises StoreUnavailable."""
        return self._state.read()

    def look(self) -> LoginState:
        """Ask for a token now, and return the state with what came of it.

        Raises:
            TokenError, StoreUnavailable: nobody can tell for now; retryable.
        """
        with self._lock:
            try:
                self._access = self._fetch()
            except TokenError as error:
                if error.retryable:
                    raise
                self._note(error)
                return LoginState(state="needed", code=error.code, reason=str(error))
            if self.state().code != BY_BC:  # that is for the next page to say
                self._state.ok("")
            return self.state()

    def _rest(self) -> datetime:
        """Forget the token and let the reader rest from now on; return now."""
        now = self._now()
        self._access, self._rests_until = None, now + REST
        return now

    def _renewed(self, now: datetime) -> AccessToken | None:
        """Return a new token, or the old one while the reader rests."""
        if self._rests_until is None or now >= self._rests_until:
            try:
                self._access = self._fetch()
            except (TokenError, StoreUnavailable) as error:
                self._rests_until = now + REST
                self._note(error)
        return self._access

    def _fetch(self) -> AccessToken:
        secret = (self._secrets.read(self._secret_name) or "").strip()
        if not secret:
            raise TokenError(f"the vault holds no secret {self._secret_name}", code="client_secret_missing")
        self._entra.use_credential(secret)
        now = self._now()
        grant = self._entra.for_app()
        return AccessToken.issued(grant.access_token, at=now, lifetime_s=grant.lifetime_s)

    def _note(self, error: TokenError | StoreUnavailable) -> None:
        self._settled_until = NO_TIME
        if isinstance(error, TokenError) and not error.retryable:
            self._state.needed(error)
        else:
            log_event(_log, "token.failed", error_code=getattr(error, "code", ""), reason=str(error), kind="reader")
