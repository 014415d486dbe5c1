"""What the ledger's rows tell: who announced what and when, what is new, what went, and which drafts were posted."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from shared.business_central import records
from shared.business_central.entities import ITEMS, SALES_INVOICES, Entity
from shared.changes.jobs import PageJob
from shared.changes.ledger import Ledger, Look
from shared.changes.ledger_rules import Known, SnapshotEntry, number_digest, snapshot_entry
from shared.clock import format_time
from shared.storage.table import Row, Table
from tests.support.memory_storage import MemoryTables

AT = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
LATER = AT + timedelta(hours=1)
LOOK = Look(job="j", changes=frozenset({"created"}), watch_from=None, now=AT)
ALL = replace(LOOK, changes=frozenset({"created", "updated", "deleted"}))


def key(number: int) -> str:
    """An id."""
    return str(UUID(int=number << 64 | number))


def record(which: int, /, tag: str = "a", at: datetime = AT, **fields: object) -> records.Record:
    """A record of one id."""
    stamp = at.isoformat().replace("+00:00", "Z")
    members = {"@odata.etag": tag, "id": key(which), "lastModifiedDateTime": stamp, **fields}
    return records.parse_record(json.dumps(members).encode())


@pytest.fixture
def table() -> Table:
    """An empty table."""
    return MemoryTables().table("BcRecords")


def ledger(table: Table, snapshot: int = 1, entity: Entity = ITEMS) -> Ledger:
    """The ledger of one company's entity."""
    return Ledger(table, "conn", "company", entity, snapshot)


def told(book: Ledger, look: Look, *found: records.Record) -> list[tuple[str, str]]:
    """What is announced: change and id."""
    return [(one.change, one.record.key) for one in book.announce(found, look)]


def test_what_is_older_than_the_watch_is_no_news(table: Table) -> None:
    """A replica that lagged hid it from the first snapshot; one of that very moment is new."""
    book, look = ledger(table), replace(LOOK, watch_from=AT)
    assert told(book, look, record(1, at=AT - timedelta(seconds=1)), record(2), record(3, at=LATER)) == [
        ("created", key(2)), ("created", key(3)),
    ]  # fmt: skip


def test_business_central_says_better_than_a_snapshot_what_is_created(table: Table) -> None:
    """A record that was made while it was taken."""
    book = ledger(table)
    book.snapshots.add_page(1, 1, [(key(1), SnapshotEntry()), (key(2), SnapshotEntry())])
    look = replace(LOOK, notified_created=frozenset({key(1)}))
    assert told(book, look, record(1), record(2)) == [("created", key(1))]


def test_an_old_record_that_was_announced_is_announced_again_by_its_job(table: Table) -> None:
    """Business Central called it created, and the output may be lost; another job keeps silent."""
    book, look = ledger(table), replace(LOOK, watch_from=AT)
    old = record(1, at=AT - timedelta(seconds=1))
    assert told(book, replace(look, notified_created=frozenset({key(1)})), old) == [("created", key(1))]
    assert told(book, look, old) == [("created", key(1))]
    assert told(book, replace(look, job="k"), old) == []


def test_an_update_of_nothing_that_counts_is_none(table: Table) -> None:
    """The row keeps a digest of what counts as it was when it was announced last."""
    book = ledger(table, entity=replace(ITEMS, only_when_changed=("unitPrice",)))
    assert told(book, ALL, record(1, "a", unitPrice=1)) == [("created", key(1))]
    assert book.known([key(1)])[key(1)].fields
    later = replace(ALL, job="k")
    assert told(book, later, record(1, "b", LATER, unitPrice=1)) == []
    assert told(book, later, record(1, "c", LATER, unitPrice=2)) == [("updated", key(1))]


def test_an_old_record_is_announced_at_its_updates(table: Table) -> None:
    """Once to each version, to whoever comes first; where updates are announced at all."""
    book = ledger(table)
    book.snapshots.add_page(1, 1, [(key(1), SnapshotEntry())])
    assert told(book, LOOK, record(1, "b")) == []
    assert told(book, ALL, record(1, "b")) == [("updated", key(1))]
    assert told(book, replace(ALL, job="k"), record(1, "b")) == []
    assert told(book, replace(ALL, job="k"), record(1, "c", LATER)) == [("updated", key(1))]


def test_a_row_is_looked_for_that_says_more_than_the_snapshot(table: Table) -> None:
    """What this very job announced before a newer snapshot was made."""
    book = ledger(table)
    assert told(book, LOOK, record(1)) == [("created", key(1))]
    later = ledger(table, 2)
    later.snapshots.add_page(2, 1, [(key(1), SnapshotEntry())])
    assert told(later, LOOK, record(1)) == []
    assert told(later, replace(LOOK, looked_for=frozenset({key(1)})), record(1)) == [("created", key(1))]


def test_a_row_says_who_announced_what(table: Table) -> None:
    """All that is known of a record comes back; one without a row is left out."""
    book = ledger(table, entity=SALES_INVOICES)
    draft, paid = (record(1, tag, status=status, number=number)
                   for tag, status, number in (("a", "Draft", "1"), ("b", "Paid", "2")))  # fmt: skip
    told(book, replace(ALL, job="first"), draft)
    told(book, replace(ALL, job="second"), paid)
    assert book.announce_deleted(key(1), job="third")
    assert book.known([key(1), key(2)]) == {
        key(1): Known(
            created_by="first", posted=True, posted_by="second", version=paid.version, version_at=format_time(AT),
            number=number_digest("1").hex(), deleted_by="third",
        )
    }  # fmt: skip


def test_a_row_says_when_each_change_was_announced(table: Table) -> None:
    """The first time, though the job was delivered again; of what nobody timed there is no time."""
    book = ledger(table)
    assert book.announced_at(key(1)) == {}
    told(book, ALL, record(1))
    told(book, replace(ALL, now=LATER), record(1))
    assert book.announced_at(key(1)) == {"created": AT}
    told(book, replace(ALL, job="k", now=LATER), record(1, "b", LATER))
    assert book.announced_at(key(1)) == {"created": AT, "updated": LATER}
    assert book.announce_deleted(key(1), job="d")
    assert set(book.announced_at(key(1))) == {"created", "updated"}
    told(book, replace(ALL, job="l", now=LATER + timedelta(hours=1)), record(1, "c", LATER + timedelta(hours=1)))
    assert book.announced_at(key(1)) == {"created": AT, "updated": LATER + timedelta(hours=1)}


def test_what_is_new_is_in_no_snapshot_and_was_announced_by_nobody(table: Table) -> None:
    """Before there is a snapshot nothing is known to be new; a row that only notes something makes nothing old."""
    book = ledger(table)
    book.snapshots.add_page(1, 1, [(key(1), SnapshotEntry())])
    told(book, LOOK, record(2))
    told(book, replace(ALL, watch_from=AT), record(3, at=AT - timedelta(days=1)))
    assert [book.is_new(key(number)) for number in (1, 2, 3)] == [False, False, True]
    assert [book.is_in_snapshot(key(number)) for number in (1, 2)] == [True, False]
    assert not ledger(table, 0).is_new(key(3))


def test_a_record_that_only_the_snapshot_before_held_is_announced_as_deleted(table: Table) -> None:
    """Whoever compared the two knows that it was there."""
    book = ledger(table, 2)
    assert not book.announce_deleted(key(1), job="d", now=AT)
    assert book.announce_deleted(key(1), job="d", was_known=True, now=AT)
    assert not book.announce_deleted(key(1), job="e", was_known=True, now=AT)
    assert book.announced_at(key(1)) == {"deleted": AT}


def test_of_two_workers_at_one_deletion_one_tells() -> None:
    """The slower sees that it lost, and keeps silent."""
    tables = MemoryTables()
    book = ledger(tables.table("BcRecords"))
    told(book, LOOK, record(1))
    faster: list[bool] = []

    def other_worker(_: str) -> None:
        tables.before = None
        faster.append(book.announce_deleted(key(1), job="other"))

    tables.before = other_worker
    assert not book.announce_deleted(key(1), job="mine")
    assert faster == [True]
    assert book.known([key(1)])[key(1)].deleted_by == "other"


def test_deletions_are_found_from_a_time_on(table: Table) -> None:
    """Those that nobody timed always; what still is, never."""
    book = ledger(table)
    for number, now in ((1, AT), (2, LATER), (3, None)):
        assert book.announce_deleted(key(number), job="d", was_known=True, now=now)
    told(book, LOOK, record(4))
    assert sorted(book.deleted_since(None)) == [key(1), key(2), key(3)]
    assert sorted(book.deleted_since(AT)) == [key(1), key(2), key(3)]
    assert sorted(book.deleted_since(LATER)) == [key(2), key(3)]


def test_what_a_page_claims_only_at_its_second_look_is_noted_too() -> None:
    """Somebody else was faster, and what he wrote shows that an invoice is posted."""
    tables = MemoryTables()
    book = ledger(tables.table("BcRecords"), entity=SALES_INVOICES)
    book.snapshots.add_page(1, 1, [(key(2), snapshot_entry(SALES_INVOICES, "Draft", "1"))])
    page = PageJob(run="j", purpose="reconcile", mode="delta", company="company", entity="salesInvoices")

    def other_worker(operation: str) -> None:
        if operation == "BcRecords.write":
            tables.before = None
            look = replace(LOOK, job="other", notified_created=frozenset({key(2)}))
            told(book, look, record(1, status="Draft", number="9"), record(2, status="Draft", number="2"))

    tables.before = other_worker
    found = (record(1, status="Draft", number="9"), record(2, status="Open", number="1"))
    assert told(book, replace(LOOK, page=page), *found) == [("posted", key(2))]
    assert set(book.claims("j").ids) == {key(1), key(2)}


def test_claims_that_nobody_timed_are_forgotten(table: Table) -> None:
    """Nobody knows how old they are; those of a page without records are not even noted."""
    page = PageJob(run="j", purpose="reconcile", mode="delta", company="company", entity="items")
    book = ledger(table)
    told(book, replace(LOOK, page=page))
    assert list(table.query("conn|company|items", "j|", "j}")) == []
    told(book, replace(LOOK, page=page, now=None), record(1))
    assert book.claims("j").ids == ()
    told(book, replace(LOOK, page=page), record(2))
    (claimed,) = table.query("conn|company|items", "j|", "j}")
    table.upsert(replace(claimed, values={name: value for name, value in claimed.values.items() if name != "at"}))
    book.forget_jobs(AT)
    assert book.claims("j").ids == ()


def test_a_comparison_leaves_out_what_is_known_otherwise(table: Table) -> None:
    """What is deleted neither came nor went, a row that announces nothing is old; what a read lacked went."""
    book = ledger(table)
    book.snapshots.add_page(1, 1, [(key(number), SnapshotEntry()) for number in (1, 2, 6)])
    assert book.announce_deleted(key(1), job="d")
    assert book.announce_deleted(key(3), job="d", was_known=True)
    place = (
        next(iter(table.query("conn|company|items", "r|", "r}"))).key.replace(key(1), key(4)).replace(key(3), key(4))
    )
    table.upsert(Row(partition="conn|company|items", key=place, values={"record": key(4)}))
    book.snapshots.add_page(2, 1, [(key(number), SnapshotEntry()) for number in (3, 5)])
    book.snapshots.add_page(2, 2, [(key(6), SnapshotEntry())], missed_at="2026-03-04T11:00:00Z")
    came = [one for part, _ in book.differences(2) for one in part]
    went = [one for _, part in book.differences(2) for one in part]
    assert (came, sorted(went)) == ([key(5)], [key(2), key(6)])


def test_drafts_that_were_posted_between_two_snapshots_are_looked_at(table: Table) -> None:
    """The snapshot to come would take them for what always was, so their row keeps the number they had."""
    book = ledger(table, entity=SALES_INVOICES)

    def held(number: int, status: str, text: str) -> tuple[str, SnapshotEntry]:
        return key(number), snapshot_entry(SALES_INVOICES, status, text)

    before = [(1, "Draft", "1"), (2, "Open", "2"), (3, "Draft", "3"), (4, "Draft", "4"), (5, "Paid", "5"),
              (6, "Draft", "6"), (7, "Draft", "7")]  # fmt: skip
    after = [(1, "Paid", "101"), (2, "Open", "102"), (3, "Draft", "3"), (5, "Paid", "5"), (6, "Paid", "106"),
             (7, "Paid", "107")]  # fmt: skip
    told(book, replace(LOOK, job="k"), record(6, status="Draft", number="6a"))
    told(book, replace(LOOK, job="k"), record(7, status="Paid", number="107"))
    kept = book.known([key(6), key(7)])
    book.snapshots.add_page(1, 1, [held(*one) for one in before])
    book.snapshots.add_page(2, 1, [held(*one) for one in after])
    assert sorted(book.keep_drafts(2)) == [key(1), key(2), key(6), key(7)]
    assert book.known([key(number) for number in range(1, 8)]) == {
        key(1): Known(number=number_digest("1").hex()),
        key(2): Known(number=number_digest("2").hex(), unsure=True),
        **kept,
    }
