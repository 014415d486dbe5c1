"""Sessions of the connect page that a person has ended, in rows of table BcConnections, until their time is over.

A session is a signed cookie that no instance remembers; ending one is to remember that it counts no longer.
"""

from datetime import datetime, timedelta

from shared.operations.page_session import SESSION_LIFETIME, fingerprint
from shared.storage.table import Row, Table


class EndedSessions:
    """The ended sessions of the deployment. Every method raises StoreUnavailable when the table does not answer."""

    def __init__(self, table: Table) -> None:
        """Take the table."""
        self._table = table
        self._partition = "deployment|ended-session"

    def add(self, session: str, now: datetime) -> None:
        """End a session, and clear away those whose time is over (a handful at most)."""
        self._table.upsert(Row(partition=self._partition, key=fingerprint(session), values={"ended_at": now}))
        for row in list(self._table.query(self._partition, limit=100)):
            ended_at = row.time("ended_at")
            if ended_at is None or now - ended_at > SESSION_LIFETIME + timedelta(minutes=5):
                self._table.delete(self._partition, row.key)

    def holds(self, session: str) -> bool:
        """Whether a session was ended."""
        return self._table.get(self._partition, fingerprint(session)) is not None
