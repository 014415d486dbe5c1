"""Which record versions the newest runs of a pull announced, so that the overlap of the next does not repeat them.

One row per page. It holds eight bytes for each version that the next delta will read again, and the ids of all records
the page announced: delivered again, it must announce those even if they have moved to another page meanwhile.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Final
from uuid import UUID

from shared.business_central.records import Record
from shared.storage.keys import after, row_key
from shared.storage.table import Row, Table, Value

_SIZE: Final = 8
_ID: Final = 16
_SEEN: Final = "seen"
_TOLD: Final = "told"
_PROPERTY: Final = 60_000  # bytes; a table property holds 64 KiB


def digest(record: Record) -> bytes:
    """Return eight bytes that stand for this version of the record."""
    return sha256(f"{record.key}|{record.version}".encode()).digest()[:_SIZE]


class PulledVersionStore:
    """The seen versions of one company's entity, in table BcRecords."""

    def __init__(self, table: Table, connection: str, company: str, entity: str) -> None:
        """Take the table and what its rows are about."""
        self._table = table
        self._partition = row_key(connection, company, entity, "seen")

    def load(self, runs: Iterable[str], *, but: str) -> set[bytes]:
        """Return the digests of these runs, except those of the job named `but`."""
        found: set[bytes] = set()
        for run in {run for run in runs if run}:
            for row in self._table.query(self._partition, run, after(run)):
                if row.key == but:
                    continue
                found.update(_unpacked(row, _SEEN, _SIZE))
        return found

    def told(self, job: str) -> list[str]:
        """Return the ids of the records that an earlier delivery of this job announced."""
        return self.claims(job) or []

    def claims(self, job: str) -> list[str] | None:
        """Return the same, or None if there is no row: the job never got so far, or its row is gone by now."""
        row = self._table.get(self._partition, job)
        return None if row is None else [str(UUID(bytes=packed)) for packed in _unpacked(row, _TOLD, _ID)]

    def add(self, job: str, digests: Sequence[bytes], told: Sequence[str], *, now: datetime) -> None:
        """Store what one page saw and announces, were it nothing; a repeat of the job replaces it."""
        values: dict[str, Value] = {"at": now}
        values |= _packed(_SEEN, b"".join(digests)) | _packed(_TOLD, b"".join(UUID(key).bytes for key in told))
        self._table.upsert(Row(partition=self._partition, key=job, values=values))

    def keep_only(self, runs: Iterable[str], *, since: datetime) -> None:
        """Delete the rows of all other runs that are older than `since`."""
        kept = tuple(run for run in runs if run)
        for row in list(self._table.query(self._partition)):
            at = row.time("at")
            if not row.key.startswith(kept) and (at is None or at < since):
                self._table.delete(row.partition, row.key)


def _packed(name: str, data: bytes) -> dict[str, Value]:
    cuts = range(0, len(data), _PROPERTY)
    return {f"{name}{n:02d}": data[start : start + _PROPERTY] for n, start in enumerate(cuts)}


def _unpacked(row: Row, name: str, size: int) -> list[bytes]:
    data = b"".join(row.data(part) for part in sorted(row.values) if part.startswith(name))
    return [data[start : start + size] for start in range(0, len(data), size)]
