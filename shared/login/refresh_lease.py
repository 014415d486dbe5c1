"""The lease on a token refresh: one row of the table BcConnections, so that one instance at a time talks to Entra.

The row holds no token and no secret.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from shared.clock import Clock
from shared.errors import StateConflict, StoreUnavailable, TokenError
from shared.storage.table import Delete, Row, Table, Value

LEASE_KEY: Final = "refresh-lease"
#: Longer than a vault read and a token request may take with all their time-outs; renewed before the vault is written.
LEASE: Final = timedelta(seconds=90)
#: How long one call waits for another instance's refresh, which takes about a second.
LEASE_WAIT: Final = timedelta(seconds=10)
LEASE_POLL_S: Final = 0.5


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
