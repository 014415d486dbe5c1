"""Keeps a table of the newest state of each record, by `source` and `subject`, in SQLite or PostgreSQL.

Events may come twice and in any order. The later `time` wins; of two without a comparable `time`, the one that comes
later. Deleted is deleted: Business Central never uses a record's id again.

    python upsert.py records.db < events.ndjson
    python upsert.py "postgresql://user@host/base" < events.ndjson      (needs psycopg)
"""

import json
import re
import sqlite3
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

TABLE = """
CREATE TABLE IF NOT EXISTS bc_records (
  source text NOT NULL, subject text NOT NULL, type text NOT NULL, time {time}, deleted boolean NOT NULL, data {json},
  PRIMARY KEY (source, subject)
)"""
UPSERT = """
INSERT INTO bc_records (source, subject, type, time, deleted, data)
VALUES (:source, :subject, :type, :time, :deleted, :data)
ON CONFLICT (source, subject) DO UPDATE SET
  type = excluded.type, time = coalesce(excluded.time, bc_records.time),
  deleted = excluded.deleted, data = excluded.data
WHERE NOT bc_records.deleted AND (
  excluded.deleted OR excluded.time IS NULL OR bc_records.time IS NULL OR excluded.time >= bc_records.time
)"""
SQLITE = {"time": "text", "json": "text"}
POSTGRESQL = {"time": "timestamptz", "json": "jsonb"}


def row(event: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of an event; times in one form, so that texts compare as times do."""
    at = datetime.fromisoformat(event["time"]).astimezone(UTC) if "time" in event else None
    return {
        "source": event["source"],
        "subject": event["subject"],
        "type": event["type"],
        "time": at.isoformat(timespec="microseconds") if at else None,
        "deleted": event["type"].endswith(".deleted.v1"),
        "data": json.dumps(event["data"]),
    }


class Records:
    """The table in one database; `connection` is a DB-API connection of sqlite3 or psycopg."""

    def __init__(self, connection: Any) -> None:
        """Make the table where it is missing."""
        is_sqlite = isinstance(connection, sqlite3.Connection)
        self._connection = connection
        self._upsert = UPSERT if is_sqlite else re.sub(r":(\w+)", r"%(\1)s", UPSERT)
        connection.execute(TABLE.format(**(SQLITE if is_sqlite else POSTGRESQL)))
        connection.commit()

    def take(self, events: Iterable[dict[str, Any]]) -> None:
        """Write the events of one message, all or none; only then may the message be deleted."""
        try:
            self._connection.cursor().executemany(self._upsert, [row(event) for event in events])
        except Exception:
            self._connection.rollback()
            raise
        self._connection.commit()


def connect(address: str) -> Any:
    """Open a database: a PostgreSQL address, or a file of SQLite."""
    if not address.startswith(("postgresql:", "postgres:")):
        return sqlite3.connect(address)
    import psycopg  # noqa: PLC0415 - only who uses PostgreSQL needs it

    return psycopg.connect(address)


if __name__ == "__main__":
    Records(connect(sys.argv[1])).take(map(json.loads, sys.stdin))
