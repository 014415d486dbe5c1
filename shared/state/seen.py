"""Which record versions the newest runs of a pull announced, so that the overlap of the next does not repeat them.

One row per page, holding eight bytes per record; only records that the next delta will read again are kept.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from shared.core.keys import after, row_key
from shared.core.wire import Record
from shared.ports import Row, Table

_SIZE: Final = 8
_PROPERTY: Final = 60_000  # bytes; a table property holds 64 KiB


def digest(record: Record) -> bytes:
    """Return eight bytes that stand for this version of the record."""
    return sha256(f"{record.key}|{record.version}".encode()).digest()[:_SIZE]


class SeenBook:
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
                for name in sorted(row.values):
                    packed = row.data(name)
                    found.update(packed[start : start + _SIZE] for start in range(0, len(packed), _SIZE))
        return found

    def add(self, job: str, digests: list[bytes]) -> None:
        """Store the digests of one page; a repeat of the job replaces them."""
        if not digests:
            return
        packed = b"".join(digests)
        cuts = range(0, len(packed), _PROPERTY)
        values = {f"seen{n:02d}": packed[start : start + _PROPERTY] for n, start in enumerate(cuts)}
        self._table.upsert(Row(partition=self._partition, key=job, values=values))

    def keep_only(self, runs: Iterable[str]) -> None:
        """Delete the rows of all other runs."""
        kept = tuple(run for run in runs if run)
        for row in list(self._table.query(self._partition)):
            if not row.key.startswith(kept):
                self._table.delete(row.partition, row.key)
