"""The sign-ins under way, in rows of table BcConnections: begun by one session, taken once, gone after ten minutes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared.errors import StateConflict
from shared.operations.page_session import PendingSignIn, state_key
from shared.storage.table import Delete, Row, Table


class PendingSignIns:
    """The sign-ins of one connection. Every method raises StoreUnavailable when the table does not answer."""

    def __init__(self, table: Table, connection: str) -> None:
        """Take the table and the connection whose sign-ins it keeps."""
        self._table = table
        self._partition = f"{connection}|sign-in"

    def begin(self, flow: Mapping[str, Any], *, session: str, now: datetime) -> None:
        """Note a sign-in that a session begins, and clear away those never finished (a handful at most)."""
        for row in self._table.query(self._partition):
            left = PendingSignIn.from_values(row.values)
            if left is None or left.is_over(now):
                self._table.delete(self._partition, row.key)
        pending = PendingSignIn.begun(flow, session=session, now=now)
        self._table.insert(Row(partition=self._partition, key=state_key(str(flow["state"])), values=pending.values()))

    def take(self, state: str, *, session: str, now: datetime) -> PendingSignIn | None:
        """Return the sign-in of this state if this session began it in time, and delete it: each is finished once."""
        row = self._table.get(self._partition, state_key(state))
        pending = PendingSignIn.from_values(row.values) if row is not None else None
        if row is None or pending is None or pending.is_over(now) or not pending.is_of(session):
            return None
        try:
            self._table.write([Delete(row)])
        except StateConflict:  # the same callback at the same moment has taken it
            return None
        return pending
