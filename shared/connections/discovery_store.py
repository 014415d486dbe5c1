"""What Business Central offers, as it was read last: entity sets by API route, and what may be subscribed by company.

Rows `metadata|<route>` and `webhooks|<company>` of table BcConnections, so that no process asks twice a day for what
seldom changes. Nothing here is read on the way of a handshake or of a notification.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shared.business_central import metadata
from shared.business_central.metadata import RouteFacts
from shared.storage.keys import after, row_key, split_key
from shared.storage.packed_ids import gather, spread
from shared.storage.table import Row, Table

_DATA: Final = "data"
_MOST_BYTES: Final = 16 << 20  # unpacked; the 87 sets of API v2.0 take 80 KB


@dataclass(frozen=True, slots=True)
class Kept[T]:
    """Something that was read, and when."""

    value: T
    at: datetime


class DiscoveryStore:
    """The rows of one connection. Every method raises StoreUnavailable when the table does not answer."""

    def __init__(self, table: Table, connection: str) -> None:
        """Take the table and the connection whose rows it keeps."""
        self._table = table
        self._connection = connection

    def routes(self) -> Mapping[str, Kept[RouteFacts]]:
        """Return every route that was asked for; one without sets is not published."""
        prefix = row_key("metadata", "")
        found = {}
        for row in self._table.query(self._connection, prefix, after(prefix)):
            kept = _unpacked(row)
            if kept is not None:
                found[split_key(row.key)[1]] = Kept(metadata.from_json(kept.value), kept.at)
        return found

    def save_route(self, route: str, facts: RouteFacts, at: datetime) -> None:
        """Keep the sets of a route."""
        self._save(row_key("metadata", route), metadata.to_json(facts), at)

    def webhooks(self) -> Mapping[str, Kept[frozenset[str]]]:
        """Return what may be subscribed, by company."""
        prefix = row_key("webhooks", "")
        found = {}
        for row in self._table.query(self._connection, prefix, after(prefix)):
            kept = _unpacked(row)
            if kept is not None:
                found[split_key(row.key)[1]] = Kept(frozenset(map(str, json.loads(kept.value))), kept.at)
        return found

    def webhooks_of(self, company: str) -> Kept[frozenset[str]] | None:
        """Return what may be subscribed in one company; None when it was never read."""
        row = self._table.get(self._connection, row_key("webhooks", company))
        kept = None if row is None else _unpacked(row)
        return None if kept is None else Kept(frozenset(map(str, json.loads(kept.value))), kept.at)

    def save_webhooks(self, company: str, resources: frozenset[str], at: datetime) -> None:
        """Keep what may be subscribed in a company."""
        self._save(row_key("webhooks", company), json.dumps(sorted(resources)).encode(), at)

    def _save(self, key: str, data: bytes, at: datetime) -> None:
        values = {"at": at, **spread(_DATA, zlib.compress(data, 9))}
        self._table.upsert(Row(partition=self._connection, key=key, values=values))


def _unpacked(row: Row) -> Kept[bytes] | None:
    """Return what a row holds; None for one that nobody can read, which is then read anew."""
    at = row.time("at")
    unpacking = zlib.decompressobj()
    try:
        data = unpacking.decompress(gather(row, _DATA), _MOST_BYTES)
    except zlib.error:
        return None
    return Kept(data, at) if at is not None and unpacking.eof else None
