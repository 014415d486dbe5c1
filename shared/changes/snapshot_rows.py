"""The rows of snapshots: which ids of one company's entity were there when all of them were read, once a day.

Rows `b|number|bucket|page` of table BcRecords, and `b|number|bucket|page|place` for more than one row takes: packed
ids, about 80 a row, never changed; beside them, of invoices that may still be posted, the digest of their number. A row
with `missed_at` holds ids that the read lacked, but that stay known until a read by id says that they are gone. Knows
nothing of who announced what.
"""

import zlib
from collections.abc import Iterable
from typing import Final

from shared.changes.ledger_rules import SnapshotEntry
from shared.storage.keys import after, row_key
from shared.storage.packed_ids import ID_BYTES, cut, entry_of, pack_id, unpack_ids
from shared.storage.table import Row, Table, Upsert

BUCKETS: Final = 256
_DIGEST: Final = 8
_UNSETTLED: Final = ID_BYTES + _DIGEST + 1  # id, digest of the number, whether surely a draft
#: From so many buckets on, one query over the snapshot is cheaper than one per bucket.
_WHOLE: Final = 48
_WRITES: Final = 100  # in one transaction
#: Ids in one row: a page of Business Central has far fewer a bucket, and a transaction of such rows stays below 4 MiB.
_MOST: Final = 500


def bucket_of(key: str) -> str:
    """Return the two hex digits of the bucket of an id."""
    return f"{zlib.crc32(pack_id(key)) & 0xFF:02x}"


def all_buckets() -> list[str]:
    """Return every bucket, in order."""
    return [f"{number:02x}" for number in range(BUCKETS)]


class SnapshotRows:
    """The snapshots of one company's entity."""

    def __init__(self, table: Table, partition: str) -> None:
        """Take the table and the partition of the company's entity."""
        self._table = table
        self._partition = partition

    def add_page(
        self, number: int, page: int, entries: Iterable[tuple[str, SnapshotEntry]], *, missed_at: str = ""
    ) -> None:
        """Store one page of ids of the snapshot `number`; a repeat of the page replaces it.

        `missed_at`: when the read began that lacked them first, for ids that are kept all the same.
        """
        buckets: dict[str, list[tuple[bytes, bytes]]] = {}
        for key, entry in entries:
            packed = pack_id(key)
            unsettled = packed + entry.open_number + (b"D" if entry.draft else b"O") if entry.open_number else b""
            buckets.setdefault(bucket_of(key), []).append((packed, unsettled))
        rows = [
            Upsert(
                Row(
                    partition=self._partition,
                    key=row_key("b", f"{number:06d}", bucket, f"{page:06d}", *([f"{start:06d}"] if start else [])),
                    values={
                        "ids": b"".join(packed for packed, _ in found[start : start + _MOST]),
                        "open": b"".join(unsettled for _, unsettled in found[start : start + _MOST]),
                        "missed_at": missed_at,
                    },
                )
            )
            for bucket, found in sorted(buckets.items())
            for start in range(0, len(found), _MOST)
        ]
        for start in range(0, len(rows), _WRITES):
            self._table.write(rows[start : start + _WRITES])

    def ids(self, number: int, bucket: str, *, but_missed: bool = False) -> set[str]:
        """Return the ids in one bucket of a snapshot; `but_missed`: without those that the read lacked."""
        rows = self._rows(number, bucket)
        return {
            key for row in rows if not (but_missed and row.text("missed_at")) for key in unpack_ids(row.data("ids"))
        }

    def missed(self, number: int, bucket: str) -> dict[str, str]:
        """Return the ids in one bucket that the read lacked, with when the read began that lacked them first."""
        return {
            key: row.text("missed_at")
            for row in self._rows(number, bucket)
            if row.text("missed_at")
            for key in unpack_ids(row.data("ids"))
        }

    def unsettled(self, number: int, bucket: str) -> dict[str, SnapshotEntry]:
        """Return the invoices in one bucket that were not settled then."""
        return {key: entry for row in self._rows(number, bucket) for key, entry in _unsettled(row).items()}

    def find(self, number: int, keys: Iterable[str]) -> dict[str, SnapshotEntry]:
        """Return what a snapshot says of those of the ids that it holds; nothing for snapshot 0."""
        wanted: dict[str, list[str]] = {}
        for key in keys if number else ():
            wanted.setdefault(bucket_of(key), []).append(key)
        found: dict[str, SnapshotEntry] = {}
        for bucket in [""] if len(wanted) >= _WHOLE else wanted:
            for row in self._rows(number, bucket):
                ids, unsettled = row.data("ids"), row.data("open")
                hits = [key for key in wanted.get(row.key.split("|")[2], ()) if entry_of(ids, key)]
                found |= {key: _entry(entry_of(unsettled, key, _UNSETTLED)) for key in hits}
        return found

    def drop(self, number: int) -> None:
        """Delete a snapshot that is no longer in force."""
        for row in list(self._rows(number, "")):
            self._table.delete(row.partition, row.key)

    def _rows(self, number: int, bucket: str) -> Iterable[Row]:
        parts = ["b", f"{number:06d}", *([bucket] if bucket else [])]
        prefix = row_key(*parts) + "|"
        return self._table.query(self._partition, prefix, after(prefix))


def _unsettled(row: Row) -> dict[str, SnapshotEntry]:
    packed = cut(row.data("open"), _UNSETTLED)
    return {key: _entry(one) for one in packed for key in unpack_ids(one)}


def _entry(packed: bytes) -> SnapshotEntry:
    """Return what the bytes of an invoice say that may still be posted; of none, that it is settled."""
    return SnapshotEntry(packed[ID_BYTES:-1], draft=packed[-1:] == b"D")
