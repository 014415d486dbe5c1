"""The sign-ins under way, in rows of table BcConnections: begun by one session, taken once, gone after ten minutes.

A row stands in the partition of its connection, which is how the one callback address knows whose sign-in it finishes.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared.errors import StateConflict
from shared.operations.page_session import PendingSignIn, state_key
from shared.storage.table import Delete, Row, Table


class PendingSignIns:
    """The sign-ins of all connections. Every method raises StoreUnavailable when the table does not answer."""

    def __init__(self, table: Table, states: Mapping[str, str]) -> None:
        """Take the table, and the name of each connection's state by its id."""
        self._table = table
        self._partitions = {connection: f"{state}|sign-in" for connection, state in states.items()}

    def begin(self, connection: str, flow: Mapping[str, Any], *, session: str, now: datetime) -> None:
        """Note a sign-in that a session begins, and clear away those never finished (a handful at most)."""
        partition = self._partitions[connection]
        for row in self._table.query(partition):
            left = PendingSignIn.from_values(row.values)
            if left is None or left.is_over(now):
                self._table.delete(partition, row.key)
        pending = PendingSignIn.begun(flow, session=session, now=now)
        self._table.insert(Row(partition=partition, key=state_key(str(flow["state"])), values=pending.values()))

    def take(self, state: str, *, session: str, now: datetime) -> tuple[str, PendingSignIn] | None:
        """Return the sign-in of this state and its connection, if this session began it in time, and delete it.

        Each is finished once.
        """
        for connection, partition in self._partitions.items():
            row = self._table.get(partition, state_key(state))
            if row is not None:
                pending = PendingSignIn.from_values(row.values)
                if pending is None or pending.is_over(now) or not pending.is_of(session):
                    return None
                try:
                    self._table.write([Delete(row)])
                except StateConflict:  # the same callback at the same moment has taken it
                    return None
                return connection, pending
        return None
