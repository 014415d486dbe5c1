"""The state of a login as people see it, of the identity or its reader: a row each of the table BcConnections.

It holds no token and no secret.
"""

import logging
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from shared.clock import Clock
from shared.errors import StoreUnavailable, TokenError
from shared.log import log_event
from shared.login.entra_codes import entra_code
from shared.storage.table import Row, Table, Value

LOGIN_KEY: Final = "login"
READER_KEY: Final = "reader"

_TEXTS: Final = ("state", "code", "reason", "user")  # columns of the login row, beside `since`
_log = logging.getLogger("bc.login")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginState:
    """What the status page shows of the login."""

    state: str  # ok, needed; "" before the first attempt
    code: str = ""  # Entra's word for what is wrong: AADSTS50173, login_required, ...
    reason: str = ""  # one sentence for a person
    since: datetime | None = None  # of the reader: when it was refused last
    user: str = ""  # who is signed in, or was until the login ended; "" when the app signs in as itself


class LoginStore:
    """Writes a login's state to its row when it changes, and logs `login.needed` or `reader.refused` once per change.

    A row that cannot be written is written at a later call; the login itself does not wait for it.
    """

    def __init__(self, table: Table, connection: str, now: Clock, key: str = LOGIN_KEY) -> None:
        self._key = key
        self._table = table
        self._connection = connection
        self._now = now
        self._unwritten: LoginState | None = None

    def read(self) -> LoginState:
        """Return the state as stored. Raises StoreUnavailable."""
        row = self._table.get(self._connection, self._key)
        if row is None:
            return LoginState(state="")
        return LoginState(**{name: row.text(name) for name in _TEXTS}, since=row.time("since"))

    def ok(self, user: str) -> None:
        """Note that a token was had."""
        self._change(LoginState(state="ok", user=user, since=self._now()))

    def needed(self, error: TokenError) -> None:
        """Note that a person must act. A cache that is empty since somebody disconnected stays noted as that."""
        code = entra_code(error)
        known = self._known()
        if known.state == "needed" and code in {known.code, "login_required"}:
            if self._key == READER_KEY:  # else an instance whom it serves would end what others still meet
                with suppress(StoreUnavailable):
                    self._upsert(replace(known, reason=str(error), since=self._now()))
            return
        if self._key == LOGIN_KEY:
            log_event(_log, "login.needed", level=logging.ERROR, error_code=code, reason=str(error))
        else:  # work goes on without it
            log_event(_log, "reader.refused", level=logging.WARNING, error_code=code, reason=str(error))
        self._change(LoginState(state="needed", code=code, reason=str(error), since=self._now(), user=known.user))

    def signed_out(self) -> None:
        """Note that a person has disconnected the app."""
        reason = "the connection was disconnected on the connect page"
        user = self._known().user
        self._change(LoginState(state="needed", code="signed_out", reason=reason, since=self._now(), user=user))

    def catch_up(self) -> None:
        """Write a change that could not be written when it happened."""
        if self._unwritten is not None:
            self._change(self._unwritten)

    def _known(self) -> LoginState:
        try:
            return self.read()
        except StoreUnavailable:
            return self._unwritten or LoginState(state="")

    def _change(self, state: LoginState) -> None:
        self._unwritten = state
        try:
            known = self.read()  # another instance may have written since
            if (known.state, known.code, known.user) != (state.state, state.code, state.user):
                self._upsert(state)
        except StoreUnavailable:
            return
        self._unwritten = None

    def _upsert(self, state: LoginState) -> None:
        values: dict[str, Value] = {name: str(getattr(state, name)) for name in _TEXTS}
        values["since"] = state.since or self._now()
        self._table.upsert(Row(partition=self._connection, key=self._key, values=values))
