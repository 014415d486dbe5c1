"""Snapshots as rows: which ids were there, which were missed, which invoices may still be posted."""

import zlib
from collections.abc import Iterable
from uuid import UUID

import pytest

from shared.changes.ledger_rules import SnapshotEntry
from shared.changes.snapshot_rows import SnapshotRows, all_buckets, bucket_of
from shared.storage.table import Table
from tests.support.memory_storage import MemoryTables

ONE, TWO, THREE = (f"00000000-0000-0000-0000-00000000000{n}" for n in (1, 2, 3))
SETTLED = SnapshotEntry()
OPEN, DRAFT = SnapshotEntry(b"12345678"), SnapshotEntry(b"abcdefgh", draft=True)


def ids(count: int, first: int = 0) -> list[str]:
    """Some ids."""
    return [f"00000000-0000-0000-0001-{at:012x}" for at in range(first, first + count)]


@pytest.fixture
def table() -> Table:
    """A table."""
    return MemoryTables().table("BcRecords")


def rows_of(table: Table) -> SnapshotRows:
    """The snapshots of one entity."""
    return SnapshotRows(table, "conn|c|items")


def settled(keys: Iterable[str]) -> list[tuple[str, SnapshotEntry]]:
    """Entries of records that are settled."""
    return [(key, SETTLED) for key in keys]


def test_each_id_has_one_of_256_buckets_whatever_its_case() -> None:
    """Two hex digits of a checksum: stored rows hold them."""
    assert all_buckets() == [f"{n:02x}" for n in range(256)]
    assert bucket_of(ONE) == f"{zlib.crc32(UUID(ONE).bytes) % 256:02x}"
    assert bucket_of("7B1C4A52-91D3-F011-8D4C-6045BD1A2C10") == bucket_of("7b1c4a52-91d3-f011-8d4c-6045bd1a2c10")
    assert {bucket_of(key) for key in ids(5000)} == set(all_buckets())


def test_a_page_of_any_size_is_stored(table: Table) -> None:
    """As many as were modified while the first snapshot was read, or as one lacks: rows and transactions fit."""
    rows, keys = rows_of(table), ids(200_000)
    for _ in range(2):
        rows.add_page(1, 1, ((key, OPEN) for key in keys))
    found = [key for bucket in all_buckets() for key in rows.ids(1, bucket)]
    assert sorted(found) == keys
    assert set(rows.unsettled(1, "07").values()) == {OPEN}
    assert rows.find(1, keys[::10_000]) == dict.fromkeys(keys[::10_000], OPEN)
    assert max(len(row.data("ids")) for row in table.query("conn|c|items")) <= 500 * 16
    rows.drop(1)
    assert list(table.query("conn|c|items")) == []


def test_a_page_is_stored_by_bucket_and_its_repeat_replaces_it(table: Table) -> None:
    """Rows `b|number|bucket|page`."""
    rows = rows_of(table)
    for _ in range(2):
        rows.add_page(7, 12, settled([ONE]))
    (row,) = table.query("conn|c|items")
    assert row.key == f"b|000007|{bucket_of(ONE)}|000012"
    assert rows.ids(7, bucket_of(ONE)) == {ONE}
    assert rows.ids(8, bucket_of(ONE)) == set()
    rows.add_page(7, 13, settled([ONE]))
    assert len(list(table.query("conn|c|items"))) == 2


def test_a_page_of_many_buckets_is_written_whole(table: Table) -> None:
    """A transaction takes a hundred rows."""
    rows = rows_of(table)
    rows.add_page(1, 1, settled(ids(5000)))
    assert set().union(*(rows.ids(1, bucket) for bucket in all_buckets())) == set(ids(5000))
    assert len(list(table.query("conn|c|items"))) == 256


def test_ids_that_the_read_lacked_are_known_apart(table: Table) -> None:
    """They stay known until a read by id says that they are gone."""
    rows, bucket = rows_of(table), bucket_of(ONE)
    other = next(key for key in ids(5000) if bucket_of(key) == bucket)
    rows.add_page(1, 1, settled([ONE]))
    rows.add_page(1, 2, settled([other]), missed_at="2026-03-04T12:00:00Z")
    assert rows.ids(1, bucket) == {ONE, other}
    assert rows.ids(1, bucket, but_missed=True) == {ONE}
    assert rows.missed(1, bucket) == {other: "2026-03-04T12:00:00Z"}
    assert set(rows.find(1, [ONE, other])) == {ONE, other}


def test_invoices_that_may_still_be_posted_keep_their_number(table: Table) -> None:
    """Surely a draft, or not surely; of the others nothing is kept but the id."""
    rows = rows_of(table)
    entries = {ONE: OPEN, TWO: DRAFT, THREE: SETTLED}
    rows.add_page(1, 1, entries.items())
    assert rows.find(1, entries) == entries
    found: dict[str, SnapshotEntry] = {}
    for bucket in {bucket_of(key) for key in entries}:
        found |= rows.unsettled(1, bucket)
    assert found == {ONE: OPEN, TWO: DRAFT}


@pytest.mark.parametrize("count", [1, 40, 400])
def test_ids_are_found_in_few_buckets_and_in_many(table: Table, count: int) -> None:
    """One that is not in the snapshot is not found; snapshot 0 is none."""
    rows = rows_of(table)
    there, absent = ids(count), ids(count, first=10_000)
    rows.add_page(1, 1, settled(there))
    rows.add_page(2, 1, settled(absent))
    assert rows.find(1, [*there, *absent]) == dict.fromkeys(there, SETTLED)
    rows.add_page(0, 1, settled(there))
    assert rows.find(0, there) == {}
    assert rows.find(1, []) == {}


@pytest.mark.parametrize(("buckets", "queries"), [(47, 47), (48, 1)])
def test_from_48_buckets_on_one_query_is_cheaper(buckets: int, queries: int) -> None:
    """Than one for each."""
    tables = MemoryTables()
    rows = rows_of(tables.table("BcRecords"))
    keys = list({bucket_of(key): key for key in ids(5000)}.values())[:buckets]
    rows.add_page(1, 1, settled(keys))
    asked: list[str] = []
    tables.reading = asked.append
    assert set(rows.find(1, keys)) == set(keys)
    assert len(asked) == queries


def test_a_snapshot_that_is_no_longer_in_force_goes_whole(table: Table) -> None:
    """And no other."""
    rows = rows_of(table)
    for number in (1, 2, 10):
        rows.add_page(number, 1, settled([ONE, TWO]))
    rows.drop(1)
    assert [rows.find(number, [ONE]) for number in (1, 2, 10)] == [{}, {ONE: SETTLED}, {ONE: SETTLED}]
