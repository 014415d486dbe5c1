"""Which record versions the newest runs of a pull announced, so that the overlap of the next does not repeat them.

One row per page, kept for a day and a half. It holds eight bytes for each version that a later delta will read again,
expanded records included, and the ids of all records the page announced: delivered again, it must announce those even
if they have moved to another page meanwhile.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Final

from shared.business_central.records import Record
from shared.changes.claims import Claims
from shared.errors import RowTooLarge
from shared.storage.compare_and_swap import until_stored
from shared.storage.keys import after, row_key
from shared.storage.packed_ids import ID_BYTES, cut, gather, spread
from shared.storage.table import Insert, Replace, Row, Table, Value
from shared.storage.table_rules import MAX_ROW_BYTES

#: What one page may store by itself: half a row, as what its redeliveries find instead is stored beside it.
PAGE_BYTES: Final = MAX_ROW_BYTES // 2
_DIGEST: Final = 8
_SEEN: Final = "seen"
_ANNOUNCED: Final = "told"  # the name it has had since 0.1.0


def digest(record: Record) -> bytes:
    """Return eight bytes that stand for this version of the record."""
    return sha256(f"{record.key}|{record.version}".encode()).digest()[:_DIGEST]


def expanded_digest(parent: str, tag: str) -> bytes:
    """Return eight bytes that stand for a version of an expanded record: the id of its parent, and its own ETag."""
    return sha256(f"{parent}/{tag}".encode()).digest()[:_DIGEST]


def digests(record: Record) -> list[bytes]:
    """Return what stands for this version of a record and of those expanded in it, each before its record's."""
    own = digest(record)
    found = [own]
    for tag in record.expanded_tags:
        found += (expanded_digest(record.key, tag), own)
    return found


def check_page(job: str, kept: Iterable[Record], announced: Sequence[Record]) -> None:
    """Check what a page has to store: the versions of some records, and the ids of those that it announces.

    It depends on the page alone, so that each delivery that reads the same takes as much of it.

    Raises:
        RowTooLarge: that is more than a page may store.
    """
    size = ID_BYTES * len(announced) + sum(_DIGEST * (1 + 2 * len(record.expanded_tags)) for record in kept)
    if size > PAGE_BYTES:
        raise RowTooLarge(f"pulled versions of page {job}: {size} bytes, and a page stores at most {PAGE_BYTES}")


@dataclass(frozen=True, slots=True)
class PageRow:
    """What is stored of one page."""

    row: Row

    @property
    def claims(self) -> Claims:
        """Which records it announced."""
        return Claims.from_row(self.row, _ANNOUNCED)

    @property
    def digests(self) -> list[bytes]:
        """What stands for the versions it saw, in their order."""
        return cut(gather(self.row, _SEEN), _DIGEST)


class PulledVersionStore:
    """The pulled versions of one company's entity, in table BcRecords."""

    def __init__(self, table: Table, connection: str, company: str, entity: str) -> None:
        """Take the table and what its rows are about."""
        self._table = table
        self._partition = row_key(connection, company, entity, "seen")

    def load(self, runs: Iterable[str], *, but: str) -> dict[bytes, bytes]:
        """Return the digests of these runs, except those of the job named `but`, each with the one stored behind it.

        Behind that of an expanded record this is its record's: the only one that release 0.1.0 knows.
        """
        found: dict[bytes, bytes] = {}
        for run in {run for run in runs if run}:
            for row in self._table.query(self._partition, run, after(run)):
                if row.key != but:
                    found.update(itertools.pairwise([*PageRow(row).digests, b""]))
        return found

    def runs(self) -> set[str]:
        """Return the runs of which anything is stored."""
        return {row.key.partition("-")[0] for row in self._table.query(self._partition)}

    def claims(self, job: str) -> Claims | None:
        """Return which records earlier deliveries of this job announced.

        None if there is no row: the job never got so far, or its row is gone by now.
        """
        held = self.row_of(job)
        return None if held is None else held.claims

    def row_of(self, job: str) -> "PageRow | None":
        """Return what earlier deliveries of this job stored; None as in `claims`."""
        row = self._table.get(self._partition, job)
        return None if row is None else PageRow(row)

    def announced_by(self, key: str) -> list[tuple[str, datetime | None]]:
        """Return which jobs of the newest runs announced a record, and when; reads all their rows."""
        rows = self._table.query(self._partition)
        return [(row.key, row.time("at")) for row in rows if key in PageRow(row).claims.ids]

    def add(
        self, job: str, versions: Iterable[Sequence[bytes]], claims: Claims, held: "PageRow | None", *, now: datetime
    ) -> None:
        """Store what one page saw and announces, were it nothing, beside what the job's other deliveries did.

        `versions`: of each record what `digests` returns. `held`: what `row_of` returned. A delivery that was overtaken
        may read less than the one before it: it makes nobody forget what that one announced. Where not all of it fits,
        versions in `held` that this page did not see again are left out: its records were changed since.

        Raises:
            RowTooLarge: it does not fit all the same.
        """
        seen = list(versions)
        rows = [held]

        def store(found: PageRow | None, digests: list[bytes]) -> None:
            known = frozenset(digests)
            digests += [one for version in seen if not known.issuperset(version) for one in version]
            ids = tuple(dict.fromkeys([*(() if found is None else found.claims.ids), *claims.ids]))
            values: dict[str, Value] = {
                "at": now, **spread(_SEEN, b"".join(digests)), **replace(claims, ids=ids).to_values(_ANNOUNCED),
            }  # fmt: skip
            row = Row(partition=self._partition, key=job, values=values)
            self._table.write([Insert(row) if found is None else Replace(replace(row, etag=found.row.etag))])

        def attempt() -> None:
            found = rows.pop() if rows else self.row_of(job)
            try:
                store(found, [] if found is None else found.digests)
            except RowTooLarge:
                if found is None or found is not held:  # what another has stored meanwhile this page may not have seen
                    raise
                store(found, [])

        until_stored(attempt, f"versions of {job}")

    def keep_only(self, runs: Iterable[str], *, since: datetime) -> None:
        """Delete the rows of all other runs that are older than `since`."""
        kept = tuple(run for run in runs if run)
        for row in list(self._table.query(self._partition)):
            at = row.time("at")
            if not row.key.startswith(kept) and (at is None or at < since):
                self._table.delete(row.partition, row.key)
