"""Decides what to announce about a record, given what the ledger knows of it.

The ledger knows a record from the snapshot in force (it was there when the watch began, or later) or from a row of its
own, which says who announced what. A row is claimed by the job that announces: the same job, delivered again, announces
again under the same event id; any other job keeps silent.
"""

import json
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final

from shared.business_central.entities import Entity
from shared.business_central.records import Record
from shared.clock import NO_TIME, format_time

#: What an invoice's status can be once it is posted, beyond doubt. `Open` is posted and unpaid, or a released draft.
_POSTED: Final = frozenset({"Paid", "Canceled", "Corrective"})
_OPEN: Final = "Open"


@dataclass(frozen=True, slots=True)
class SnapshotEntry:
    """The record was in the snapshot.

    If it was not surely settled then, `open_number` is the digest of its number and `draft` whether it surely was a
    draft (status Draft or In Review, not the ambiguous Open).
    """

    open_number: bytes = b""
    draft: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The ledger row of one record; each `_by` is the job that announced it, "" for nobody."""

    created_by: str = ""
    posted: bool = False
    posted_by: str = ""
    version: str = ""
    version_by: str = ""
    version_at: str = ""  # when that version was made, as BC's literal in UTC
    number: str = ""  # digest (hex) of the number it had when last seen unposted
    unsure: bool = False  # the number is from a snapshot that showed it `Open`: a released draft, or posted already
    deleted_by: str = ""
    fields: str = ""  # digest (hex) of the properties that count, when an event last carried them; "": not known


@dataclass(frozen=True, slots=True)
class Announcement:
    """One change to announce of one record."""

    change: str
    record: Record
    version: str = ""  # that it is about, where that is not the record's own


@dataclass(frozen=True, slots=True)
class Decision:
    """Which changes to announce, and the row to store (None: the row stands as it is)."""

    announce: tuple[str, ...]
    known: Known | None


def number_digest(number: str) -> bytes:
    """Return eight bytes that stand for a document number."""
    return sha256(number.encode()).digest()[:8]


def snapshot_entry(entity: Entity, status: str, number: str) -> SnapshotEntry:
    """Return what a snapshot must keep of a record: its number as long as it may still turn from draft to posted."""
    if not entity.posts or status in _POSTED:
        return SnapshotEntry()
    return SnapshotEntry(number_digest(number), draft=status != _OPEN)


def decide(
    entity: Entity,
    record: Record,
    known: Known | None,
    entry: SnapshotEntry | None,
    *,
    job: str,
    changes: frozenset[str],
    notified_created: bool,
    fresh: bool,
) -> Decision:
    """Decide on one record that exists in BC now.

    A creation that nobody wants to hear of is noted all the same: what follows it is an update.

    `entry`: what the snapshot in force says of it. What no snapshot holds and BC stamped before the watch began was
    hidden from the first one, by a replica that lagged, and counts as if that had held it. `notified_created`: BC
    itself notified that the record was created, which outranks the snapshot (a record made while it was being taken).
    `fresh`: modified after the watch began, so that an update is news.
    """
    announce: list[str] = []
    if known is None and entry is None and not fresh:
        entry = _hidden_entry(entity, record)
    row = _creation(known, notified_created or (known is None and entry is None), announce, job=job)
    if entity.posts:
        row = _posting(record, row, entry, is_new="created" in announce, job=job, announce=announce)
    if "updated" in changes:
        fields = fields_digest(entity, record)
        row = _update(record, row, announce, job=job, fresh=fresh, fields=fields)
    return Decision(_wanted(announce, changes), row if row != (known or Known()) else None)


def _creation(known: Known | None, is_new: bool, announce: list[str], *, job: str) -> Known:
    row = known or Known()
    if row.created_by == job or (is_new and not row.created_by):
        announce.append("created")
        return replace(row, created_by=job)
    return row


def _wanted(announce: list[str], changes: frozenset[str]) -> tuple[str, ...]:
    return tuple(change for change in announce if change != "created" or change in changes)


def _hidden_entry(entity: Entity, record: Record) -> SnapshotEntry | None:
    """Return what the first snapshot would have said of a record that is older than the watch; None without a time."""
    known_time = record.modified > NO_TIME
    return snapshot_entry(entity, record.text("status"), record.text("number")) if known_time else None


def _posting(
    record: Record, row: Known, entry: SnapshotEntry | None, *, is_new: bool, job: str, announce: list[str]
) -> Known:
    if row.posted:
        if row.posted_by == job:
            announce.append("posted")
        return row
    held = None if row.number or is_new else entry  # what the record's own row says is newer
    if held is not None and not held.open_number:
        return row  # posted before the watch began, as the snapshot says
    digest = number_digest(record.text("number")).hex()
    before = held.open_number.hex() if held is not None else row.number
    surely_draft = held.draft if held is not None else not row.unsure
    if _is_posted(record, digest, before, surely_draft=surely_draft):
        announce.append("posted")
        return replace(row, posted=True, posted_by=job)
    if held is not None:
        return row
    return replace(row, number=digest, unsure=row.unsure and record.text("status") in _POSTED | {_OPEN})


def _is_posted(record: Record, digest: str, before: str, *, surely_draft: bool) -> bool:
    """Return whether an invoice is posted; `before` is the digest of the number it had unposted, "" if never seen so.

    Posting gives a draft another number. `Open` with the number it had before may be a released draft, unless it bears
    what only a posted invoice can (AL: Sales Invoice Aggregator); `Open` at first sight counts as posted.
    """
    status = record.text("status")
    if status == _OPEN:
        return digest != before or (surely_draft and _bears_proof(record))
    return status in _POSTED and (surely_draft or digest != before)


def _bears_proof(record: Record) -> bool:
    """Return whether a property is set that a draft never has: its source order, a promised pay date, a dispute."""
    return bool(
        record.text("orderNumber")
        or record.text("orderId").strip("0-")
        or record.text("disputeStatus")
        or record.text("promisedPayDate").strip("01-")
    )


def fields_digest(entity: Entity, record: Record) -> str:
    """Return a digest of the properties whose change alone counts, "" where every change does.

    ETags inside of expanded records do not count: they change with whatever changes.
    """
    if not entity.only_when_changed:
        return ""
    fields = record.fields
    held = {name: _without_annotations(fields.get(name)) for name in entity.only_when_changed}
    return sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()[:16]


def _without_annotations(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_annotations(one) for one in value]
    if isinstance(value, dict):
        return {name: _without_annotations(one) for name, one in value.items() if "@odata." not in name}
    return value


def _update(record: Record, row: Known, announce: list[str], *, job: str, fresh: bool, fields: str) -> Known:
    """Decide on an update. With `fields` one that leaves them as they are is none.

    A record that was there before the watch is announced at its first update, as nobody knows what it was.
    """
    version, at = record.version, format_time(record.newest)
    if at < row.version_at:
        return row  # an older view of the record: read before the one that was announced, or from a replica that lags
    if announce:  # the other event carries this version
        return replace(row, version=version, version_by="", version_at=at, fields=fields)
    if row.version == version:
        if row.version_by == job:
            announce.append("updated")
        return row
    if not row.version and not fresh:
        return row  # an old record that only lies in the overlap of the first delta
    if fields and fields == row.fields and row.version_by != job:
        return row  # nothing that counts; what this very job has announced, and may be lost, leaves again
    announce.append("updated")
    return replace(row, version=version, version_by=job, version_at=at, fields=fields)


def announced_by(known: Known | None) -> tuple[tuple[str, str], ...]:
    """Return which changes of a record were announced, each with the job that did it."""
    row = known or Known()
    jobs = {
        "created": row.created_by, "posted": row.posted_by, "updated": row.version_by, "deleted": row.deleted_by,
    }  # fmt: skip
    return tuple((change, job) for change, job in jobs.items() if job)


def announced(entity: Entity, record: Record, known: Known | None) -> tuple[Announcement, ...]:
    """Return what was announced of a record that is there, in all that counts as it is now.

    An update after which nothing that counts has changed still stands, and bears the version that it was about.
    """
    row = known or Known()
    stands = row.version == record.version or (row.fields != "" and row.fields == fields_digest(entity, record))
    gone = {"deleted"} if stands else {"deleted", "updated"}
    return tuple(
        Announcement(change, record, row.version if change == "updated" else "")
        for change, _ in announced_by(known)
        if change not in gone
    )


def decide_deleted(known: Known | None, entry: SnapshotEntry | None, *, job: str) -> Decision:
    """Decide on a record that is gone: announced once, if it was ever known."""
    if known is None and entry is None:
        return Decision((), None)
    row = known or Known()
    if row.deleted_by not in {"", job}:
        return Decision((), None)
    return Decision(("deleted",), None if row.deleted_by == job else replace(row, deleted_by=job))
