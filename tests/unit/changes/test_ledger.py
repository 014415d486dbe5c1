"""The ledger in terms of rows: what is known is found wherever it lies, and what is claimed is claimed by one."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.business_central import records
from shared.business_central.entities import ITEMS, SALES_INVOICES
from shared.changes.jobs import PageJob
from shared.changes.ledger import Ledger, Look
from shared.changes.ledger_rules import SnapshotEntry, snapshot_entry
from shared.errors import StateConflict, StoreUnavailable
from shared.storage.table import Table
from tests.support.memory_storage import MemoryTables

AT = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
CREATED = frozenset({"created"})
guids = st.uuids().map(str)


def record(key: str, tag: str = "a", **fields: object) -> records.Record:
    """An item."""
    return records.parse_record(json.dumps({"@odata.etag": tag, "id": key, **fields}).encode())


def key(number: int) -> str:
    """An id."""
    return str(UUID(int=number << 64 | number))


def ledger(table: Table, snapshot: int = 1) -> Ledger:
    """The ledger of one company's items."""
    return Ledger(table, "conn", "company", ITEMS, snapshot)


def announce(
    book: Ledger,
    records: list[records.Record],
    job: str,
    *,
    notified: frozenset[str] = frozenset(),
    remember: bool = False,
) -> list[str]:
    """The ids of what is announced."""
    page = PageJob(run=job, purpose="reconcile", mode="delta", company="company", entity="items")
    look = Look(
        job=job, changes=CREATED, watch_from=None, notified_created=notified, page=page if remember else None, now=AT
    )
    return [note.record.key for note in book.announce(records, look)]


@pytest.fixture
def table() -> Table:
    """An empty table."""
    return MemoryTables().table("BcRecords")


@given(st.sets(guids, max_size=120), st.sets(guids, max_size=60))
def test_what_is_listed_is_old_and_all_else_is_new(listed: set[str], other: set[str]) -> None:
    """However many, in whatever buckets: exactly the unlisted ones are announced, once."""
    table = MemoryTables().table("BcRecords")
    book = ledger(table)
    book.snapshots.add_page(1, 1, [(each, SnapshotEntry()) for each in sorted(listed)])
    records = [record(each) for each in sorted(listed | other)]
    assert announce(book, records, "j1") == sorted(other - listed)
    assert announce(book, records, "j2") == []
    assert announce(book, records, "j1") == sorted(other - listed)


def test_a_claim_is_announced_again_though_a_snapshot_knows_the_record_by_now(table: Table) -> None:
    """The job's output may have been lost before the snapshot was made; nobody else would tell it."""
    assert announce(ledger(table), [record(key(1))], "j", remember=True) == [key(1)]
    later = ledger(table, snapshot=2)
    later.snapshots.add_page(2, 1, [(key(1), SnapshotEntry())])
    assert announce(later, [record(key(1))], "j", remember=True) == [key(1)]
    assert announce(later, [record(key(1))], "other", remember=True) == []


def test_an_id_across_two_packed_ids_is_not_found(table: Table) -> None:
    """Ids lie packed side by side; a match over the border of two is none."""
    one, two = UUID(bytes=b"\x00" * 8 + b"\x01" * 8), UUID(bytes=b"\x02" * 8 + b"\x00" * 8)
    between = UUID(bytes=b"\x01" * 8 + b"\x02" * 8)
    book = ledger(table)
    book.snapshots.add_page(1, 1, [(str(one), SnapshotEntry()), (str(two), SnapshotEntry())])
    assert announce(book, [record(str(each)) for each in (one, two, between)], "j") == [str(between)]


def test_the_number_of_an_unsettled_record_is_kept_in_the_snapshot(table: Table) -> None:
    """A draft of the baseline that is posted later is announced as posted, and not as created."""
    book = Ledger(table, "conn", "company", SALES_INVOICES, 1)
    book.snapshots.add_page(1, 1, [(key(1), snapshot_entry(SALES_INVOICES, "Draft", "102001"))])
    draft, posted = (record(key(1), n, status=s, number=n) for s, n in (("Draft", "102001"), ("Open", "103001")))
    notes = [
        [note.change for note in book.announce([each], Look(job=job, changes=CREATED, watch_from=None))]
        for job, each in (("j1", draft), ("j2", posted), ("j3", posted), ("j2", posted))
    ]  # fmt: skip
    assert notes == [[], ["posted"], [], ["posted"]]


def test_without_a_snapshot_only_what_bc_calls_created_is_announced(table: Table) -> None:
    """Nobody knows yet which of the others are old."""
    book = ledger(table, snapshot=0)
    assert announce(book, [record(key(1)), record(key(2))], "j", notified=frozenset({key(2)})) == [key(2)]


def test_claims_of_a_page_are_remembered_and_forgotten_in_time(table: Table) -> None:
    """Delivered again, the page knows what it announced; a month later nobody asks."""
    book = ledger(table)
    made = [record(key(n)) for n in range(200)]
    announce(book, made[:150], "j1", remember=True)
    announce(book, made[150:], "j1", remember=True)
    assert sorted(book.claims("j1").ids) == sorted(each.key for each in made)
    assert book.claims("j2").ids == ()
    book.forget_jobs(AT)
    assert book.claims("j1").ids
    book.forget_jobs(AT + timedelta(seconds=1))
    assert book.claims("j1").ids == ()


def test_what_a_page_claims_is_noted_before_it_is_claimed(table: Table) -> None:
    """Killed in between, it claims when delivered again, though the record is on another page by then."""
    tables = MemoryTables()
    shared = tables.table("BcRecords")

    def killed(operation: str) -> None:
        if operation == "BcRecords.write":
            raise StoreUnavailable("killed")

    tables.before = killed
    with pytest.raises(StoreUnavailable):
        announce(ledger(shared), [record(key(1)), record(key(2))], "j", remember=True)
    tables.before = None
    assert ledger(shared).claims("j").ids == (key(1), key(2))
    assert ledger(shared).known([key(1), key(2)]) == {}
    assert announce(ledger(shared), [record(key(1))], "other", remember=True) == [key(1)]
    assert announce(ledger(shared), [record(key(1)), record(key(2))], "j", remember=True) == [key(2)]


def test_two_deliveries_at_once_note_the_claims_of_both() -> None:
    """One has seen a record that moved before the other read: whichever comes back announces all."""
    tables = MemoryTables()
    shared = tables.table("BcRecords")

    def other_delivery(operation: str) -> None:
        tables.before = None
        announce(ledger(shared), [record(key(1)), record(key(2))], "j", remember=True)

    tables.before = other_delivery
    assert announce(ledger(shared), [record(key(2)), record(key(3))], "j", remember=True) == [key(2), key(3)]
    assert set(ledger(shared).claims("j").ids) == {key(1), key(2), key(3)}


@pytest.mark.parametrize("threads", [1, 4])
def test_a_page_of_new_records_takes_a_few_transactions(threads: int) -> None:
    """Of a hundred records each, and one row that notes them all; delivered again, ranges say what it has claimed."""
    tables = MemoryTables()
    shared, writes, reads = tables.table("BcRecords"), Counter[str](), Counter[str]()
    made = [record(key(n)) for n in range(2000)]
    tables.before = lambda operation: writes.update([operation])
    book = Ledger(shared, "conn", "company", ITEMS, 1, threads)
    assert sorted(announce(book, made, "j", remember=True)) == sorted(one.key for one in made)
    assert writes == {"BcRecords.insert": 1, "BcRecords.write": 20}
    tables.reading = lambda operation: reads.update([operation])
    assert len(announce(book, made, "j", remember=True)) == 2000
    assert reads == {"BcRecords.get": 2, "BcRecords.query": 1 + 2}  # the snapshot, and the rows
    assert announce(book, made, "other", remember=True) == []


def test_unpaid_invoices_that_nobody_has_announced_are_looked_up_by_ranges(table: Table) -> None:
    """A snapshot can't say of an unsettled one whether it was announced as posted since."""
    tables = MemoryTables()
    book = Ledger(tables.table("BcRecords"), "conn", "company", SALES_INVOICES, 1)
    held = [(key(n), snapshot_entry(SALES_INVOICES, "Open", f"{n}")) for n in range(2000)]
    book.snapshots.add_page(1, 1, held)
    reads = Counter[str]()
    tables.reading = lambda operation: reads.update([operation])
    found = [record(one, number=f"{n}", status="Open") for n, (one, _) in enumerate(held)]
    assert announce(book, found, "j") == []
    assert reads == {"BcRecords.query": 2}


def test_of_two_workers_at_one_record_one_tells(table: Table) -> None:
    """The insert of the slower fails; it looks again and keeps silent."""
    tables = MemoryTables()
    shared = tables.table("BcRecords")
    announced: list[str] = []

    def other_worker(operation: str) -> None:
        tables.before = None
        announced.extend(announce(ledger(shared), [record(key(1))], "other"))

    tables.before = other_worker
    announced += announce(ledger(shared), [record(key(1)), record(key(2))], "mine")
    assert sorted(announced) == [key(1), key(2)]


def test_endless_contention_is_given_up_and_left_to_the_queue() -> None:
    """It never spins for ever."""
    tables = MemoryTables()

    def refuse(operation: str) -> None:
        raise StateConflict("always")

    tables.before = refuse
    with pytest.raises(StateConflict, match="contended"):
        announce(ledger(tables.table("BcRecords")), [record(key(1))], "j")


def test_a_snapshot_page_delivered_again_replaces_itself(table: Table) -> None:
    """No id is doubled and none of the first time stays."""
    book = ledger(table)
    for _ in range(2):
        book.snapshots.add_page(1, 1, [(key(n), SnapshotEntry()) for n in range(300)])
    book.snapshots.add_page(2, 1, [(key(n), SnapshotEntry()) for n in range(300)])
    assert [pair for pair in book.differences(2) if pair != ([], [])] == []


@given(st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60)))
def test_a_comparison_finds_exactly_what_came_and_went(old: set[int], new: set[int], announced: set[int]) -> None:
    """Against the snapshot before and all rows."""
    table = MemoryTables().table("BcRecords")
    book = ledger(table)
    book.snapshots.add_page(1, 1, [(key(n), SnapshotEntry()) for n in sorted(old)])
    announce(book, [record(key(n)) for n in sorted(announced)], "j")
    book.snapshots.add_page(2, 1, [(key(n), SnapshotEntry()) for n in sorted(new)])
    came = {each for part, _ in book.differences(2) for each in part}
    went = {each for _, part in book.differences(2) for each in part}
    assert came == {key(n) for n in new - old - announced}
    assert went == {key(n) for n in (old | announced) - new}


def test_a_deletion_is_claimed_by_one_job(table: Table) -> None:
    """Once for a known record, never for an unknown one; and a deleted one is no longer missed."""
    book = ledger(table)
    announce(book, [record(key(1))], "j")
    assert book.announce_deleted(key(1), job="d1")
    assert book.announce_deleted(key(1), job="d1")
    assert not book.announce_deleted(key(1), job="d2")
    assert not book.announce_deleted(key(2), job="d1")
    assert [went for _, went in book.differences(2) if went] == []


def test_a_dropped_snapshot_leaves_the_others(table: Table) -> None:
    """One generation goes, rows and other generations stay."""
    book = ledger(table, snapshot=2)
    for generation in (1, 2, 3):
        book.snapshots.add_page(generation, 1, [(key(1), SnapshotEntry())])
    announce(book, [record(key(2))], "j")
    book.snapshots.drop(1)
    assert announce(book, [record(key(1)), record(key(2))], "k") == []
    left = {row.key.split("|")[1] for row in table.query("conn|company|items", "b|", "b}")}
    assert left == {"000002", "000003"}
