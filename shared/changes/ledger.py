"""The ledger: which records of one company's entity are known, and which job announced what.

Known records lie in two places of table BcRecords, one partition per company and entity:
- a *listing* (`b|generation|bucket|page`): packed ids from reading all ids once, about 80 a row, never changed;
- a row per record (`r|bucket|id`) for whatever was announced since.
A page job also leaves a row `j|job` with the ids it has claimed, written together with the claims: delivered again, it
must announce those even if they have moved to another page meanwhile.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from shared.business_central.entities import Entity
from shared.business_central.records import Record
from shared.changes import ledger_rules
from shared.changes.ledger_rules import Base, Known
from shared.concurrency import at_once
from shared.errors import StateConflict
from shared.storage.keys import after, row_key
from shared.storage.table import Change, Insert, Replace, Row, Table, Upsert, Value

BUCKETS: Final = 256
_ID: Final = 16
_OPEN: Final = _ID + 8 + 1  # id, digest of the number, whether surely a draft
_CHUNK: Final = 90  # claims in one transaction of at most 100
_TRIES: Final = 8
_PROPERTY: Final = 60_000  # bytes; a table property holds 64 KiB
#: From so many buckets on, one query over the listing is cheaper than one per bucket.
_WHOLE_LISTING: Final = 48


@dataclass(frozen=True, slots=True)
class Announcement:
    """One thing to tell about one record."""

    change: str
    record: Record


def bucket_of(key: str) -> str:
    """Return the two hex digits of the bucket of an id."""
    return f"{zlib.crc32(UUID(key).bytes) & 0xFF:02x}"


class Ledger:
    """The ledger of one company's entity."""

    def __init__(
        self, table: Table, connection: str, company: str, entity: Entity, generation: int, threads: int = 1
    ) -> None:
        """Take the table, what it is about, the listing in force (0: none), and how many rows may be read at once."""
        self._table = table
        self._partition = row_key(connection, company, entity.name)
        self._entity = entity
        self._generation = generation
        self._threads = threads

    def announce(
        self,
        records: Sequence[Record],
        *,
        job: str,
        changes: frozenset[str],
        told_created: frozenset[str],
        looked_for: frozenset[str] = frozenset(),
        watch_from: datetime | None,
        remember_job: bool,
        now: datetime,
    ) -> list[Announcement]:
        """Claim for `job` whatever there is to tell about these records, and return it.

        Without a listing in force only records that BC itself told to be created are announced, as nobody can know yet
        which of the others are old. `looked_for`: their rows say more than the listing.
        """
        if self._generation == 0:
            records = [record for record in records if record.key in told_created]
        base = self._base(record.key for record in records)
        claimed = self.claims(job) if remember_job else []
        looked_for |= told_created | set(claimed)  # a listing made since knows what only this job has told
        records = [record for record in records if self._may_tell(record, base, changes, looked_for)]
        told: list[Announcement] = []
        for start in range(0, len(records), _CHUNK):
            part = records[start : start + _CHUNK]
            # Unknown records are taken for new without looking; if one is not, the insert fails and all are looked at.
            rows = self._rows([record.key for record in part if record.key in base])
            for _ in range(_TRIES):
                found: list[Announcement] = []
                writes: list[Change] = []
                for record in part:
                    row = rows.get(record.key)
                    decision = ledger_rules.decide(
                        self._entity, record, None if row is None else _known(row), base.get(record.key),
                        job=job, changes=changes, told_created=record.key in told_created,
                        fresh=watch_from is None or record.modified >= watch_from,
                    )  # fmt: skip
                    found += [Announcement(change, record) for change in decision.announce]
                    if decision.known is not None:
                        writes.append(self._write(record.key, row, decision.known))
                mine = list(dict.fromkeys([*claimed, *(note.record.key for note in found)]))
                if remember_job and mine != claimed:
                    writes.append(Upsert(self._claims_row(job, mine, now)))
                try:
                    self._table.write(writes)
                except StateConflict:
                    rows = self._rows([record.key for record in part])
                    continue
                told += found
                claimed = mine
                break
            else:
                raise StateConflict(f"ledger of {self._entity.name} is contended")
        return told

    def _may_tell(
        self, record: Record, base: dict[str, Base], changes: frozenset[str], looked_for: frozenset[str]
    ) -> bool:
        """Say whether anything can be told; most records of a bulk change are old and need no look at their row."""
        held = base.get(record.key)
        return held is None or "updated" in changes or record.key in looked_for or bool(held.open_number)

    def announce_deleted(self, key: str, *, job: str, was_known: bool = False) -> bool:
        """Claim for `job` to tell that a record is gone; False when it was never known or somebody else tells.

        `was_known`: the compare knew it by the listing before, which may be out of force and deleted by now.
        """
        for _ in range(_TRIES):
            row = self._row(key)
            base = self._base([key]).get(key) or (Base() if was_known else None)
            decision = ledger_rules.decide_deleted(None if row is None else _known(row), base, job=job)
            if decision.known is not None:
                try:
                    self._table.write([self._write(key, row, decision.known)])
                except StateConflict:
                    continue
            return bool(decision.announce)
        raise StateConflict(f"ledger of {self._entity.name} is contended")

    def claims(self, job: str) -> list[str]:
        """Return the ids an earlier delivery of this job claimed."""
        row = self._table.get(self._partition, row_key("j", job))
        if row is None:
            return []
        packed = b"".join(row.data(name) for name in sorted(row.values))
        return list(dict.fromkeys(str(UUID(bytes=packed[at : at + _ID])) for at in range(0, len(packed), _ID)))

    def forget_jobs(self, before: datetime) -> None:
        """Delete what jobs claimed before a time by which none of them can be delivered again."""
        for row in list(self._table.query(self._partition, "j|", after("j|"))):
            at = row.time("at")
            if at is None or at < before:
                self._table.delete(row.partition, row.key)

    def add_listing(self, generation: int, page: int, entries: Iterable[tuple[str, Base]]) -> None:
        """Store one page of ids of the listing `generation`; a repeat of the page replaces it."""
        ids: dict[str, list[bytes]] = {}
        open_: dict[str, list[bytes]] = {}
        for key, base in entries:
            packed, bucket = UUID(key).bytes, bucket_of(key)
            ids.setdefault(bucket, []).append(packed)
            if base.open_number:
                open_.setdefault(bucket, []).append(packed + base.open_number + (b"D" if base.draft else b"O"))
        rows = [
            Upsert(
                Row(
                    partition=self._partition,
                    key=row_key("b", f"{generation:06d}", bucket, f"{page:06d}"),
                    values={"ids": b"".join(packed), "open": b"".join(open_.get(bucket, []))},
                )
            )
            for bucket, packed in sorted(ids.items())
        ]
        for start in range(0, len(rows), 100):
            self._table.write(rows[start : start + 100])

    def compare(self, generation: int) -> Iterator[tuple[list[str], list[str]]]:
        """Yield, bucket by bucket, ids that only this listing holds and ids that it no longer holds.

        It is compared with the listing before it and all rows. What it lacks may also have come since it was read.
        """
        for number in range(BUCKETS):
            bucket = f"{number:02x}"
            new = self._listed(generation, bucket)
            rows = row_key("r", bucket) + "|"
            known = self._listed(generation - 1, bucket)
            gone: set[str] = set()
            for row in self._table.query(self._partition, rows, after(rows)):
                key = row.text("record")
                if row.text("deleted_by"):
                    gone.add(key)
                elif row.text("created_by"):  # else it was an old one, which a listing holds, or is taken for one
                    known.add(key)
            yield sorted(new - known - gone), sorted(known - new - gone)

    def keep_drafts(self, generation: int) -> list[str]:
        """Note in rows what only the listing before this one knows: the number of a draft that has another one now.

        It was posted in between. Once this listing is in force, it would be taken for one that always was, so it must
        be looked at: returns the ids.
        """
        found: list[str] = []
        for number in range(BUCKETS):
            bucket = f"{number:02x}"
            drafts = self._open(generation - 1, bucket)
            if not drafts:
                continue
            now, listed = self._open(generation, bucket), self._listed(generation, bucket)
            for key, base in drafts.items():
                if key in listed and (key not in now or now[key].open_number != base.open_number):
                    self._keep_draft(key, base)
                    found.append(key)
        return found

    def _keep_draft(self, key: str, base: Base) -> None:
        for _ in range(_TRIES):
            row = self._row(key)
            known = Known() if row is None else _known(row)
            if known.number or known.posted:
                return
            kept = replace(known, number=base.open_number.hex(), unsure=not base.draft)
            try:
                self._table.write([self._write(key, row, kept)])
            except StateConflict:
                continue
            return
        raise StateConflict(f"ledger of {self._entity.name} is contended")

    def _open(self, generation: int, bucket: str) -> dict[str, Base]:
        prefix = row_key("b", f"{generation:06d}", bucket) + "|"
        found: dict[str, Base] = {}
        for row in self._table.query(self._partition, prefix, after(prefix)):
            found |= {str(UUID(bytes=packed)): base for packed, base in _open_entries(row).items()}
        return found

    def drop_listing(self, generation: int) -> None:
        """Delete a listing that is no longer in force."""
        prefix = row_key("b", f"{generation:06d}") + "|"
        for row in list(self._table.query(self._partition, prefix, after(prefix))):
            self._table.delete(row.partition, row.key)

    def _listed(self, generation: int, bucket: str) -> set[str]:
        prefix = row_key("b", f"{generation:06d}", bucket) + "|"
        found: set[str] = set()
        for row in self._table.query(self._partition, prefix, after(prefix)):
            packed = row.data("ids")
            found.update(str(UUID(bytes=packed[at : at + _ID])) for at in range(0, len(packed) - _ID + 1, _ID))
        return found

    def _base(self, keys: Iterable[str]) -> dict[str, Base]:
        if self._generation == 0:
            return {}
        wanted: dict[str, dict[bytes, str]] = {}
        for key in keys:
            wanted.setdefault(bucket_of(key), {})[UUID(key).bytes] = key
        found: dict[str, Base] = {}
        generation = f"{self._generation:06d}"
        if len(wanted) >= _WHOLE_LISTING:
            prefixes = [row_key("b", generation) + "|"]
        else:
            prefixes = [row_key("b", generation, bucket) + "|" for bucket in wanted]
        for prefix in prefixes:
            for row in self._table.query(self._partition, prefix, after(prefix)):
                _read_listing(row, wanted.get(row.key.split("|")[2], {}), found)
        return found

    def _claims_row(self, job: str, keys: list[str], now: datetime) -> Row:
        packed = b"".join(UUID(key).bytes for key in keys)
        values: dict[str, Value] = {
            f"ids{n:02d}": packed[at : at + _PROPERTY] for n, at in enumerate(range(0, len(packed), _PROPERTY))
        }
        return Row(partition=self._partition, key=row_key("j", job), values={**values, "at": now})

    def _rows(self, keys: list[str]) -> dict[str, Row | None]:
        return dict(zip(keys, at_once(self._row, keys, self._threads), strict=True))

    def _row(self, key: str) -> Row | None:
        return self._table.get(self._partition, row_key("r", bucket_of(key), key))

    def _write(self, key: str, row: Row | None, known: Known) -> Insert | Replace:
        values: dict[str, Value] = {
            "record": key, "created_by": known.created_by, "posted": known.posted, "posted_by": known.posted_by,
            "version": known.version, "version_by": known.version_by, "version_at": known.version_at,
            "number": known.number, "unsure": known.unsure, "deleted_by": known.deleted_by,
        }  # fmt: skip
        place = row_key("r", bucket_of(key), key)
        if row is None:
            return Insert(Row(partition=self._partition, key=place, values=values))
        return Replace(Row(partition=self._partition, key=place, values=values, etag=row.etag))


def _known(row: Row) -> Known:
    return Known(
        created_by=row.text("created_by"), posted=bool(row.number("posted")), posted_by=row.text("posted_by"),
        version=row.text("version"), version_by=row.text("version_by"), version_at=row.text("version_at"),
        number=row.text("number"), unsure=bool(row.number("unsure")), deleted_by=row.text("deleted_by"),
    )  # fmt: skip


def _read_listing(row: Row, wanted: dict[bytes, str], found: dict[str, Base]) -> None:
    packed = row.data("ids")
    hits = [key for key in wanted.values() if _holds(packed, UUID(key).bytes)]
    if not hits:
        return
    drafts = _open_entries(row)
    for key in hits:
        found[key] = drafts.get(UUID(key).bytes) or Base()


def _open_entries(row: Row) -> dict[bytes, Base]:
    """Return what a row of a listing says of invoices that are not settled, by packed id."""
    packed = row.data("open")
    entries = (packed[at : at + _OPEN] for at in range(0, len(packed) - _OPEN + 1, _OPEN))
    return {entry[:_ID]: Base(entry[_ID : _ID + 8], draft=entry[_ID + 8 :] == b"D") for entry in entries}


def _holds(packed: bytes, wanted: bytes) -> bool:
    at = packed.find(wanted)
    while at >= 0 and at % _ID:  # a match across two ids is none
        at = packed.find(wanted, at + 1)
    return at >= 0
