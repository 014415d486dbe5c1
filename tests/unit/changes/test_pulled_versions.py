"""What a pull has announced survives its row and does not grow."""

import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.business_central import records
from shared.changes.claims import Claims
from shared.changes.pulled_versions import (
    PAGE_BYTES,
    PulledVersionStore,
    check_page,
    digest,
    digests,
    expanded_digest,
)
from shared.errors import RowTooLarge
from shared.storage.table import Row
from tests.support.memory_storage import MemoryTables

AT = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
ID = "7b1c4a52-91d3-f011-8d4c-6045bd1a2c10"


def seen_book() -> PulledVersionStore:
    """An empty book."""
    return PulledVersionStore(MemoryTables().table("BcRecords"), "conn", "c", "items")


@given(
    st.lists(st.binary(min_size=8, max_size=8), max_size=50), st.lists(st.binary(min_size=8, max_size=8), max_size=50)
)
def test_versions_are_found_by_run_but_not_by_the_job_that_announced_them(one: list[bytes], two: list[bytes]) -> None:
    """A redelivered job must announce again what it announced; every other one must not."""
    book = seen_book()
    book.add("r1-00-000001", [one], Claims((ID,) if one else ()), None, now=AT)
    book.add("r2-00-000001", [two], Claims(), None, now=AT)
    assert set(book.load(["r1", "r2"], but="")) == set(one) | set(two)
    assert set(book.load(["r1", ""], but="")) == set(one)
    assert set(book.load(["r1", "r2"], but="r1-00-000001")) == set(two)
    assert book.claims("r1-00-000001") == Claims((ID,) if one else ())
    assert book.claims("r3-00-000001") is None


def test_a_page_of_twenty_thousand_rows_fits() -> None:
    """The largest page BC serves is one row of the table; a repeat adds nothing to it."""
    book = seen_book()
    ids = tuple(str(UUID(int=n)) for n in range(20_000))
    digests = [n.to_bytes(8, "big") for n in range(20_000)]
    for _ in range(2):
        book.add("r1-00-000001", [digests], Claims(ids, 2), None, now=AT)
    assert len(book.load(["r1"], but="")) == 20_000
    assert book.claims("r1-00-000001") == Claims(ids, 2)


def test_a_delivery_that_was_overtaken_makes_nobody_forget_what_another_announced() -> None:
    """It reads less by now, or something else, whether it knows of the other or not; each version is kept once."""
    book = seen_book()
    own, tag = b"record-1", b"variant1"
    held = book.row_of("r1-00-000001")
    book.add("r1-00-000001", [[own, tag, own]], Claims((ID,), 0), held, now=AT)
    other = "00000000-0000-0000-0000-000000000001"
    book.add("r1-00-000001", [[own, tag, own], [b"record-2"]], Claims((other,), 1), held, now=AT)
    book.add("r1-00-000001", [], Claims((), 1), book.row_of("r1-00-000001"), now=AT)
    found = book.row_of("r1-00-000001")
    assert found is not None
    assert found.digests == [own, tag, own, b"record-2"]
    assert found.claims == Claims((ID, other), 1)


def test_rows_of_other_runs_are_deleted() -> None:
    """Only the last complete run is compared with."""
    book = seen_book()
    for run in ("r1", "r2", "r3"):
        book.add(f"{run}-00-000001", [[b"12345678"]], Claims(), None, now=AT)
    book.keep_only(["r2", ""], since=AT)
    assert set(book.load(["r3"], but="")) == {b"12345678"}
    book.keep_only(["r2", ""], since=AT + timedelta(seconds=1))
    assert set(book.load(["r1", "r3"], but="")) == set()
    assert book.load(["r2"], but="")


def test_a_digest_stands_for_one_version_of_one_record() -> None:
    """Another ETag or another record is another digest."""
    found = {
        digest(records.parse_record(json.dumps({"@odata.etag": tag, "id": key}).encode()))
        for tag in "ab" for key in (ID, ID.replace("7", "8"))
    }  # fmt: skip
    assert len(found) == 4


def test_a_version_is_stored_before_its_record_and_each_expanded_one_before_it() -> None:
    """Behind the digest of an expanded record stands its record's, the only one that 0.1.0 knows."""
    record = records.parse_record(
        json.dumps({
            "@odata.etag": "a", "id": ID, "itemVariants": [{"@odata.etag": "v1", "id": ID}, {"@odata.etag": "v2"}]
        }).encode()
    )  # fmt: skip
    own = digest(record)
    assert own == sha256(f"{ID}|{record.version}".encode()).digest()[:8]
    assert record.expanded_tags
    expanded = [expanded_digest(ID, tag) for tag in record.expanded_tags]
    assert expanded[0] == sha256(f"{ID}/{record.expanded_tags[0]}".encode()).digest()[:8]
    assert digests(record) == [own, *(one for each in expanded for one in (each, own))]
    book = seen_book()
    book.add("r1-00-000001", [digests(record)], Claims(), None, now=AT)
    found = book.load(["r1"], but="")
    assert {one: found[one] for one in expanded} == dict.fromkeys(expanded, own)
    assert found[own] == b""


def test_the_runs_and_the_jobs_that_announced_a_record_are_known() -> None:
    """With their time."""
    book = seen_book()
    for run, ids in (("r1", (ID,)), ("r1", ()), ("r2", (ID,))):
        book.add(f"{run}-00-00000{len(ids)}", [], Claims(ids), None, now=AT)
    assert book.runs() == {"r1", "r2"}
    assert book.announced_by(ID) == [("r1-00-000001", AT), ("r2-00-000001", AT)]
    assert book.announced_by(ID.replace("7", "8")) == []


def test_a_row_without_a_time_is_old() -> None:
    """As another release may have left it; one of a kept run stays."""
    table = MemoryTables().table("BcRecords")
    book = PulledVersionStore(table, "conn", "c", "items")
    for job in ("r1-00-000001", "r2-00-000001"):
        table.upsert(Row(partition="conn|c|items|seen", key=job))
    book.keep_only(["r2"], since=AT)
    assert book.runs() == {"r2"}
    book.keep_only([], since=AT)
    assert book.runs() == set()


def many(first: int, count: int) -> list[list[bytes]]:
    """As many versions, each by itself."""
    return [[n.to_bytes(8, "big")] for n in range(first, first + count)]


def test_what_does_not_fit_beside_what_was_held_replaces_versions_that_are_no_more() -> None:
    """Delivered again, a page has read whatever it claimed; all claims stay, and what others stored meanwhile."""
    book = seen_book()
    job = "r1-00-000001"
    ids = tuple(str(UUID(int=n)) for n in range(2_000))
    other = "00000000-0000-0000-0000-0000ffffffff"
    book.add(job, many(0, 80_000), Claims(ids, 0), None, now=AT)
    book.add(job, many(60_000, 80_000), Claims((other,), 1), book.row_of(job), now=AT)
    found = book.row_of(job)
    assert found is not None
    assert found.claims == Claims((*ids, other), 1)
    assert found.digests == [one for (one,) in many(60_000, 80_000)]
    with pytest.raises(RowTooLarge):  # knew of nobody
        book.add(job, many(0, 80_000), Claims(ids, 0), None, now=AT)
    with pytest.raises(RowTooLarge):
        book.add(job, many(0, 140_000), Claims(ids, 0), book.row_of(job), now=AT)
    assert book.row_of(job) == found


def test_a_page_stores_half_a_row_at_most() -> None:
    """Eight bytes for each record and sixteen for each one expanded in it, and the ids of what it announces."""
    own: dict[str, Any] = {"@odata.etag": "a", "id": ID}
    tags = [{"@odata.etag": f"v{n}", "id": ID} for n in range(3)]
    record = records.parse_record(json.dumps({**own, "itemVariants": tags}).encode())
    plain = records.parse_record(json.dumps(own).encode())
    check_page("j", [plain] * 20_000, [plain] * 20_000)
    fits = PAGE_BYTES // (8 + 3 * 16 + 16)
    check_page("j", iter([record] * fits), [record] * fits)
    with pytest.raises(RowTooLarge, match=f"page j: {72 * fits + 72} bytes, and a page stores at most {PAGE_BYTES}"):
        check_page("j", iter([record] * (fits + 1)), [record] * (fits + 1))
