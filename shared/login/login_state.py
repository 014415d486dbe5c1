"""Two rows of the table BcConnections: the state of the login that people see, and the lease on a token refresh.

Neither row holds a token or a secret.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shared.clock import Clock
from shared.errors import StateConflict, StoreUnavailable, TokenError
from shared.log import log_event
from shared.login.entra_codes import entra_code
from shared.storage.table import Delete, Row, Table, Value

LOGIN_KEY: Final = "login"
LEASE_KEY: Final = "refresh-lease"
#: Longer than a vault read and a token request may take with all their time-outs; renewed before the vault is written.
LEASE: Final = timedelta(seconds=90)
#: How long one call waits for another instance's refresh, which takes about a second.
LEASE_WAIT: Final = timedelta(seconds=10)
LEASE_POLL_S: Final = 0.5

_TEXTS: Final = ("state", "code", "reason", "user")  # columns of the login row, beside `since`
_log = logging.getLogger("bc.login")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginState:
    """What the status page shows of the login."""

    state: str  # ok, needed; "" before the first attempt
    code: str = ""  # Entra's word for what is wrong: AADSTS50173, login_required, ...
    reason: str = ""  # one sentence for a person
    since: datetime | None = None
    user: str = ""  # who is signed in; "" when the app signs in as itself


class LoginStore:
    """Writes the login's state to its row when it changes, and logs `login.needed` once per change.

    A row that cannot be written is written at a later call; the login itself does not wait for it.
    """

    def __init__(self, table: Table, connection: str, now: Clock) -> None:
        self._table = table
        self._connection = connection
        self._now = now
        self._unwritten: LoginState | None = None

    def read(self) -> LoginState:
        """Return the state as stored. Raises StoreUnavailable."""
        row = self._table.get(self._connection, LOGIN_KEY)
        if row is None:
            return LoginState(state="")
        return LoginState(**{name: row.text(name) for name in _TEXTS}, since=row.time("since"))

    def ok(self, user: str) -> None:
        """Note that a token was had."""
        self._change(LoginState(state="ok", user=user, since=self._now()))

    def needed(self, error: TokenError) -> None:
        """Note that a person must act. A cache that is empty since somebody disconnected stays noted as that."""
        code = entra_code(error)
        try:
            known = self.read()
        except StoreUnavailable:
            known = self._unwritten or LoginState(state="")
        if known.state == "needed" and code in {known.code, "login_required"}:
            return
        log_event(_log, "login.needed", level=logging.ERROR, error_code=code, reason=str(error))
        self._change(LoginState(state="needed", code=code, reason=str(error), since=self._now()))

    def signed_out(self) -> None:
        """Note that a person has disconnected the app."""
        reason = "the connection was disconnected on the connect page"
        self._change(LoginState(state="needed", code="signed_out", reason=reason, since=self._now()))

    def catch_up(self) -> None:
        """Write a change that could not be written when it happened."""
        if self._unwritten is not None:
            self._change(self._unwritten)

    def _change(self, state: LoginState) -> None:
        self._unwritten = state
        try:
            known = self.read()  # another instance may have written since
            if (known.state, known.code, known.user) != (state.state, state.code, state.user):
                values: dict[str, Value] = {name: str(getattr(state, name)) for name in _TEXTS}
                values["since"] = state.since or self._now()
                self._table.upsert(Row(partition=self._connection, key=LOGIN_KEY, values=values))
        except StoreUnavailable:
            return
        self._unwritten = None


class RefreshLease:
    """One row that lets a single instance talk to Entra about the shared refresh token; it expires by itself."""

    def __init__(
        self, table: Table, connection: str, *, holder: str, now: Clock, sleep: Callable[[float], None]
    ) -> None:
        self._table = table
        self._connection = connection
        self._holder = holder
        self._now = now
        self._sleep = sleep
        self._row: Row | None = None

    def take(self) -> None:
        """Hold the lease, after waiting for another holder.

        Raises:
            TokenError: somebody else kept it all the time; retryable.
            StoreUnavailable: the table did not answer.
        """
        give_up_at = self._now() + LEASE_WAIT
        while not self._try():
            if self._now() >= give_up_at:
                message = "another instance is refreshing the token and has not finished"
                raise TokenError(message, code="refresh_busy", retryable=True)
            self._sleep(LEASE_POLL_S)

    def extend(self) -> bool:
        """Hold it for a full term more; False when another instance took it over. Raises StoreUnavailable."""
        if self._row is None:
            return False
        try:
            self._row = self._table.replace(self._row.with_values(expires_at=self._now() + LEASE))
        except StateConflict:
            self._row = None
            return False
        return True

    def give_back(self) -> None:
        """Let others have it; when the table does not answer it expires by itself."""
        row, self._row = self._row, None
        if row is not None:
            try:
                self._table.write([Delete(row)])
            except (StateConflict, StoreUnavailable):
                return

    def _try(self) -> bool:
        now = self._now()
        values: dict[str, Value] = {"holder": self._holder, "expires_at": now + LEASE}
        row = self._table.get(self._connection, LEASE_KEY)
        try:
            if row is None:
                self._row = self._table.insert(Row(partition=self._connection, key=LEASE_KEY, values=values))
                return True
            if row.text("holder") == self._holder or not _is_held(row.time("expires_at"), now):
                self._row = self._table.replace(row.with_values(**values))
                return True
        except StateConflict:
            return False
        return False


def _is_held(expires_at: datetime | None, now: datetime) -> bool:
    """Whether a lease still counts; an end further away than any lease comes from a clock that was wrong."""
    return expires_at is not None and now < expires_at <= now + 2 * LEASE
