"""The ledger: which records of one company's entity are known, and which job announced what.

Known records lie in two places of table BcRecords, one partition per company and entity: in the snapshot in force
(`snapshot_rows.py`), and in a row per record (`r|bucket|id`) for whatever was announced since. A page job also leaves a
row `j|job` with the ids it claims, written before the claims: delivered again, it must announce those even if they have
moved to another page meanwhile. An id there that the job did not get to claim is only looked at once more.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Final

from shared.business_central.entities import Entity
from shared.business_central.records import Record
from shared.changes import ledger_rules
from shared.changes.claims import Claims
from shared.changes.jobs import PageJob
from shared.changes.ledger_rules import Announcement, Decision, Known, SnapshotEntry
from shared.changes.snapshot_rows import SnapshotRows, all_buckets, bucket_of
from shared.concurrency import at_once
from shared.errors import StateConflict
from shared.storage.compare_and_swap import change_row, until_stored
from shared.storage.keys import after, row_key
from shared.storage.row_lookup import find_rows
from shared.storage.table import Change, Insert, Replace, Row, Table, Value

_CHUNK: Final = 100  # claims in one transaction, the most
#: Transactions under way at once: one is put together here while the other is at work there. A partition takes 2,000
#: rows a second (Microsoft Learn, "Scalability and performance targets for Table storage"); more would be throttled.
_TRANSACTIONS: Final = 2
_IDS: Final = "ids"
_AT: Final = "announced_"  # and the change: when it was, for people; 0.1.0 loses it


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a job looks at records: who it is, and what it knows beside them."""

    job: str  # its name
    changes: frozenset[str]  # which changes are announced
    watch_from: datetime | None  # changes before it are no news
    notified_created: frozenset[str] = frozenset()  # ids that BC itself notified as created
    looked_for: frozenset[str] = frozenset()  # ids whose rows say more than the snapshot
    page: PageJob | None = None  # a page job, whose claims are remembered
    now: datetime | None = None  # when it looks


class Ledger:
    """The ledger of one company's entity."""

    def __init__(
        self, table: Table, connection: str, company: str, entity: Entity, snapshot: int, threads: int = 1
    ) -> None:
        """Take the table, what it is about, the snapshot in force (0: none), and how many rows may be read at once."""
        self._table = table
        self._partition = row_key(connection, company, entity.name)
        self._entity = entity
        self._snapshot = snapshot
        self._threads = threads
        self.snapshots = SnapshotRows(table, self._partition)

    def announce(self, records: Sequence[Record], look: Look) -> list[Announcement]:
        """Claim for the job whatever there is to announce about these records, and return it.

        Without a snapshot in force only records that BC itself notified as created are announced, as nobody can know
        yet which of the others are old.
        """
        if self._snapshot == 0:
            records = [record for record in records if record.key in look.notified_created]
        entries = self._entries([record.key for record in records])
        claims = Claims() if look.page is None else self.claims(look.job).with_work_of(look.page)
        # A snapshot made since knows what only this job has announced.
        look = replace(look, looked_for=look.looked_for | look.notified_created | set(claims.ids))
        records = [record for record in records if _has_news(record, entries.get(record.key), look)]
        parts = self._parts(records, entries, claims, look)
        self._remember([one for part in parts for one in part.announce], look)
        claimed = at_once(partial(self._claim, entries=entries, look=look), parts, min(self._threads, _TRANSACTIONS))
        return list(chain.from_iterable(claimed))

    def _parts(
        self, records: Sequence[Record], entries: Mapping[str, SnapshotEntry], claims: Claims, look: Look
    ) -> "list[_Part]":
        """Look at the rows that may be there, and return what each transaction is to hold.

        Unknown records of the watch are taken for new without looking: if one is not, its insert fails.
        """
        known = {*entries, *claims.ids}
        rows = self._rows([one.key for one in records if one.key in known or not _is_fresh(one, look)])
        starts = range(0, len(records), _CHUNK)
        return [self._decided(records[start : start + _CHUNK], rows, entries, look) for start in starts]

    def _decided(
        self, records: Sequence[Record], rows: Mapping[str, Row], entries: Mapping[str, SnapshotEntry], look: Look
    ) -> "_Part":
        """Return what one transaction holds."""
        found: list[Announcement] = []
        writes: list[Change] = []
        for record in records:
            row = rows.get(record.key)
            decision = _decide(self._entity, record, row, entries.get(record.key), look)
            found += [Announcement(change, record) for change in decision.announce]
            if decision.known is not None:
                writes.append(self._write(record.key, row, decision.known, look.now))
        return _Part(records, found, writes)

    def _claim(self, part: "_Part", *, entries: Mapping[str, SnapshotEntry], look: Look) -> list[Announcement]:
        """Claim what one transaction holds; if others were faster, all its records are looked at and decided anew."""
        with suppress(StateConflict):
            self._table.write(part.writes)
            return part.announce
        keys = [record.key for record in part.records]

        def attempt() -> list[Announcement]:
            anew = self._decided(part.records, self._rows(keys), entries, look)
            if not {one.record.key for one in anew.announce} <= {one.record.key for one in part.announce}:
                self._remember(anew.announce, look)
            self._table.write(anew.writes)
            return anew.announce

        return until_stored(attempt, f"ledger of {self._entity.name}")

    def _remember(self, found: Sequence[Announcement], look: Look) -> None:
        """Note what a page job is about to claim, beside what its earlier deliveries did."""
        page, now = look.page, look.now
        if page is None or now is None or not found:
            return
        place = row_key("j", look.job)

        def edit(row: Row | None) -> Row:
            held = (Claims() if row is None else Claims.from_row(row, _IDS)).with_work_of(page)
            values: dict[str, Value] = {**_with_new(held, found).to_values(_IDS), "at": now}
            return Row(partition=self._partition, key=place, values=values, etag="" if row is None else row.etag)

        change_row(self._table, self._partition, place, edit, f"claims of {look.job}")

    def announce_deleted(self, key: str, *, job: str, was_known: bool = False, now: datetime | None = None) -> bool:
        """Claim for `job` to announce that a record is gone; False when it was never known or another job does.

        `was_known`: it was in the snapshot before, which may be out of force and deleted by now.
        """
        decisions: list[Decision] = []

        def decide(known: Known | None) -> Known | None:
            entry = self._entries([key]).get(key) or (SnapshotEntry() if was_known else None)
            decisions.append(ledger_rules.decide_deleted(known, entry, job=job))
            return decisions[-1].known

        self._change(key, decide, now)
        return bool(decisions[-1].announce)

    def known(self, keys: Sequence[str]) -> dict[str, Known]:
        """Return what the rows of these records say; one without a row is not among them."""
        return {key: _known(row) for key, row in self._rows(keys).items()}

    def announced_at(self, key: str) -> dict[str, datetime]:
        """Return when each change of a record was announced, as far as it was noted."""
        row = self._row(key)
        times = {} if row is None else {name: row.time(name) for name in row.values if name.startswith(_AT)}
        return {name.removeprefix(_AT): at for name, at in times.items() if at is not None}

    def is_in_snapshot(self, key: str) -> bool:
        """Return whether the snapshot in force holds a record."""
        return bool(self._entries([key]))

    def deleted_since(self, since: datetime | None) -> Iterator[str]:
        """Yield the ids that were announced as deleted since a time; those whose time nobody has noted, too."""
        for row in self._table.query(self._partition, "r|", after("r|")):
            at = row.time(f"{_AT}deleted")
            if row.text("deleted_by") and (since is None or at is None or at >= since):
                yield row.text("record")

    def is_new(self, key: str) -> bool:
        """Return whether nobody has announced a record, and the snapshot in force lacks it."""
        row = self._row(key)
        is_known = row is not None and bool(row.text("created_by"))
        return self._snapshot > 0 and not is_known and not self._entries([key])

    def claims(self, job: str) -> Claims:
        """Return what earlier deliveries of this job claimed."""
        row = self._table.get(self._partition, row_key("j", job))
        return Claims() if row is None else Claims.from_row(row, _IDS)

    def hand_claims(self, page: PageJob) -> None:
        """Have the message that takes a page now answer for what the page's other messages have claimed.

        They are copies from now on, and dropped; if its own work fails until the run is past, it has to tell it.
        """
        held = self.claims(page.job)
        if not held.ids or held.by == page.again:
            return
        place = row_key("j", page.job)

        def edit(row: Row | None) -> Row:
            claims = (held if row is None else Claims.from_row(row, _IDS)).with_work_of(page)
            kept = Row(partition=self._partition, key=place) if row is None else row
            return kept.with_values(**claims.to_values(_IDS))

        change_row(self._table, self._partition, place, edit, f"claims of {page.job}")

    def forget_jobs(self, before: datetime) -> None:
        """Delete what jobs claimed before a time by which none of them can be delivered again."""
        for row in list(self._table.query(self._partition, "j|", after("j|"))):
            at = row.time("at")
            if at is None or at < before:
                self._table.delete(row.partition, row.key)

    def differences(self, snapshot: int) -> Iterator[tuple[list[str], list[str]]]:
        """Yield, bucket by bucket, ids that only this snapshot holds and ids that it no longer holds.

        It is compared with the snapshot before it and all rows. What its read lacked may also have come since, or have
        moved while it was read; whether it is kept in the snapshot changes nothing here.
        """
        for bucket in all_buckets():
            new = self.snapshots.ids(snapshot, bucket, but_missed=True)
            rows = row_key("r", bucket) + "|"
            known = self.snapshots.ids(snapshot - 1, bucket)
            gone: set[str] = set()
            for row in self._table.query(self._partition, rows, after(rows)):
                key = row.text("record")
                if row.text("deleted_by"):
                    gone.add(key)
                elif row.text("created_by"):  # else it was an old one, which a snapshot holds, or is taken for one
                    known.add(key)
            yield sorted(new - known - gone), sorted(known - new - gone)

    def keep_drafts(self, snapshot: int) -> list[str]:
        """Note in rows what only the snapshot before this one knows: the number of a draft that has another one now.

        It was posted in between. Once this snapshot is in force, it would be taken for one that always was, so it must
        be looked at: returns the ids.
        """
        found: list[str] = []
        for bucket in all_buckets():
            drafts = self.snapshots.unsettled(snapshot - 1, bucket)
            if not drafts:
                continue
            now, ids = self.snapshots.unsettled(snapshot, bucket), self.snapshots.ids(snapshot, bucket)
            for key, entry in drafts.items():
                if key in ids and (key not in now or now[key].open_number != entry.open_number):
                    self._keep_draft(key, entry)
                    found.append(key)
        return found

    def _keep_draft(self, key: str, entry: SnapshotEntry) -> None:
        def keep(held: Known | None) -> Known | None:
            known = held or Known()
            if known.number or known.posted:
                return None
            return replace(known, number=entry.open_number.hex(), unsure=not entry.draft)

        self._change(key, keep)

    def _change(self, key: str, edit: Callable[[Known | None], Known | None], now: datetime | None = None) -> None:
        """Change the row of a record; `edit` returns None to leave it as it is. `now`: it is announced."""

        def edit_row(row: Row | None) -> Row | None:
            known = edit(None if row is None else _known(row))
            return None if known is None else self._write(key, row, known, now).row

        change_row(self._table, self._partition, _place(key), edit_row, f"ledger of {self._entity.name}")

    def _entries(self, keys: Sequence[str]) -> dict[str, SnapshotEntry]:
        return self.snapshots.find(self._snapshot, keys)

    def _rows(self, keys: Sequence[str]) -> dict[str, Row]:
        """Return the rows of these records, by id; one without a row is not among them."""
        places = {_place(key): key for key in keys}
        found = find_rows(self._table, self._partition, places, threads=self._threads)
        return {places[place]: row for place, row in found.items()}

    def _row(self, key: str) -> Row | None:
        return self._table.get(self._partition, _place(key))

    def _write(self, key: str, row: Row | None, known: Known, now: datetime | None) -> Insert | Replace:
        values: dict[str, Value] = {
            "record": key, "created_by": known.created_by, "posted": known.posted, "posted_by": known.posted_by,
            "version": known.version, "version_by": known.version_by, "version_at": known.version_at,
            "number": known.number, "unsure": known.unsure, "deleted_by": known.deleted_by,
            **({"fields": known.fields} if known.fields else {}),
        }  # fmt: skip
        values |= _times(row, known, now)
        if row is None:
            return Insert(Row(partition=self._partition, key=_place(key), values=values))
        return Replace(Row(partition=self._partition, key=_place(key), values=values, etag=row.etag))


@dataclass(frozen=True, slots=True)
class _Part:
    """What one transaction claims: the records it is about, what the job then announces of them, the rows to write."""

    records: Sequence[Record]
    announce: list[Announcement]
    writes: list[Change]


def _place(key: str) -> str:
    return row_key("r", bucket_of(key), key)


def _has_news(record: Record, entry: SnapshotEntry | None, look: Look) -> bool:
    """Return whether anything can be announced; most records of a bulk change are old and need no look at their row."""
    return entry is None or "updated" in look.changes or record.key in look.looked_for or bool(entry.open_number)


def _decide(entity: Entity, record: Record, row: Row | None, entry: SnapshotEntry | None, look: Look) -> Decision:
    return ledger_rules.decide(
        entity, record, None if row is None else _known(row), entry, job=look.job, changes=look.changes,
        notified_created=record.key in look.notified_created,
        fresh=_is_fresh(record, look),
    )  # fmt: skip


def _is_fresh(record: Record, look: Look) -> bool:
    return look.watch_from is None or record.modified >= look.watch_from


def _with_new(claims: Claims, found: Sequence[Announcement]) -> Claims:
    return replace(claims, ids=tuple(dict.fromkeys([*claims.ids, *(one.record.key for one in found)])))


def _times(row: Row | None, known: Known, now: datetime | None) -> dict[str, Value]:
    """Return when each change was announced: now, if the row does not say that the same job has done it before."""
    jobs = {} if row is None else dict(ledger_rules.announced_by(_known(row)))
    found: dict[str, Value] = {}
    for change, job in ledger_rules.announced_by(known):
        at = row.time(_AT + change) if row is not None and jobs.get(change) == job else now
        if at is not None:
            found[_AT + change] = at
    return found


def _known(row: Row) -> Known:
    return Known(
        created_by=row.text("created_by"), posted=bool(row.number("posted")), posted_by=row.text("posted_by"),
        version=row.text("version"), version_by=row.text("version_by"), version_at=row.text("version_at"),
        number=row.text("number"), unsure=bool(row.number("unsure")), deleted_by=row.text("deleted_by"),
        fields=row.text("fields"),
    )  # fmt: skip
