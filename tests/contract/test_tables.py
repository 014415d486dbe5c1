"""The contract of `shared.storage.table.Table`, over the in-memory twin and Azure Table Storage (Azurite)."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from itertools import count
from threading import Barrier

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import RowTooLarge, StateConflict
from shared.storage.keys import after, row_key
from shared.storage.table import Change, Delete, Insert, Replace, Row, Table, Upsert, Value
from shared.storage.table_rules import EARLIEST

type OpenTables = Callable[[], Callable[[str], Table]]

_examples = count()


def row(key: str = "a", partition: str = "p", **values: Value) -> Row:
    return Row(partition=partition, key=key, values=values)


def _conflict(table: Table, stale: Row) -> None:
    with pytest.raises(StateConflict):
        table.replace(stale)


# ---- one row ---------------------------------------------------------------------------------------------------------


def test_a_missing_table_reads_as_empty(table: Table) -> None:
    """Before anything was written there is no table, and that is no error."""
    assert table.get("p", "a") is None
    assert list(table.query("p")) == []
    table.delete("p", "a")


@pytest.mark.parametrize("first", ["get", "query", "insert", "upsert", "replace", "delete", "write"])
def test_any_first_use_creates_the_table(table: Table, first: str) -> None:
    """Whichever call comes first finds no table, creates it, and does what it says."""
    stale = Row(partition="p", key="a", etag="W/\"datetime'2024-01-01T00%3A00%3A00.0000000Z'\"")
    calls: dict[str, Callable[[], object]] = {
        "get": lambda: table.get("p", "a"),
        "query": lambda: list(table.query("p")),
        "insert": lambda: table.insert(row()),
        "upsert": lambda: table.upsert(row()),
        "replace": lambda: _conflict(table, stale),
        "delete": lambda: table.delete("p", "a"),
        "write": lambda: table.write([Insert(row())]),
    }
    calls[first]()
    assert [found.key for found in table.query("p")] == (["a"] if first in {"insert", "upsert", "write"} else [])


def test_a_row_comes_back_as_it_was_written(table: Table) -> None:
    """Every kind of value returns with its type and to the last digit."""
    values: dict[str, Value] = {
        "text": "line\nquote ' \" \\ é 漢 \U0001f600 \x00",
        "empty": "",
        "small": 5,
        "large": 2**63 - 1,
        "least": -(2**63),
        "yes": True,
        "no": False,
        "half": 0.1,
        "whole": 3.0,
        "time": datetime(2026, 3, 4, 12, 0, 0, 123456, UTC),
        "even": datetime(2026, 3, 4, tzinfo=UTC),
        "raw": bytes(range(256)),
        "none": b"",
    }
    stored = table.insert(Row(partition="p", key="a", values=values))
    read = table.get("p", "a")
    assert read is not None
    assert dict(read.values) == values
    assert {name: type(value) for name, value in read.values.items() if name != "whole"} == {
        name: type(value) for name, value in values.items() if name != "whole"
    }
    assert read == stored
    assert read.etag


@given(
    text=st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=50),
    number=st.integers(-(2**63), 2**63 - 1),
    real=st.floats(allow_nan=False, allow_infinity=False),
    time=st.datetimes(EARLIEST.replace(tzinfo=None), timezones=st.just(UTC)),
    raw=st.binary(max_size=50),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_values_round_trip(table: Table, text: str, number: int, real: float, time: datetime, raw: bytes) -> None:
    """What was read equals what was written, for any value, by upsert and by transaction."""
    written = row(key=f"k{next(_examples)}", text=text, number=number, real=real, time=time, raw=raw)
    assert table.get("p", written.key) is None
    upserted = table.upsert(written)
    assert table.get("p", written.key) == upserted
    table.write([Replace(upserted)])
    again = table.get("p", written.key)
    assert again is not None
    assert again.values == written.values


def test_a_time_of_another_zone_comes_back_in_utc(table: Table) -> None:
    """Times are stored in UTC; the instant stays the same."""
    at = datetime(2026, 3, 4, 12, tzinfo=timezone(timedelta(hours=2)))
    stored = table.insert(row(at=at))
    assert stored.time("at") == at
    read = table.get("p", "a")
    assert read is not None
    assert read.time("at") == at
    assert str(read.time("at")) == "2026-03-04 10:00:00+00:00"


def test_insert_refuses_what_exists(table: Table) -> None:
    """A second insert is a StateConflict and changes nothing."""
    table.insert(row(n=1))
    with pytest.raises(StateConflict):
        table.insert(row(n=2))
    assert [found.number("n") for found in table.query("p")] == [1]


def test_replace_needs_the_version_that_is_there(table: Table) -> None:
    """Only the reader of the newest version may replace; the row is replaced whole, and each write has its own etag."""
    first = table.insert(row(n=1, gone=True))
    second = table.replace(Row(partition="p", key="a", values={"n": 2}, etag=first.etag))
    assert second.etag != first.etag
    with pytest.raises(StateConflict):
        table.replace(first.with_values(n=3))
    assert table.get("p", "a") == second
    assert dict(second.values) == {"n": 2}


def test_replace_of_a_deleted_row_is_a_conflict(table: Table) -> None:
    """A row that is gone has moved under us."""
    stored = table.insert(row())
    table.delete("p", "a")
    with pytest.raises(StateConflict):
        table.replace(stored)
    assert table.get("p", "a") is None


def test_a_row_made_anew_is_another_version(table: Table) -> None:
    """An etag of before a delete does not fit the row inserted after it."""
    old = table.insert(row(n=1))
    table.delete("p", "a")
    table.insert(row(n=2))
    with pytest.raises(StateConflict):
        table.replace(old)


def test_upsert_and_delete_ask_nothing(table: Table) -> None:
    """Upsert replaces whole whatever is there; delete is content with a row that is gone."""
    table.upsert(row(n=1, gone=1))
    stored = table.upsert(row(n=2))
    assert table.get("p", "a") == stored
    assert dict(stored.values) == {"n": 2}
    table.delete("p", "a")
    table.delete("p", "a")
    assert table.get("p", "a") is None


def test_changing_what_was_read_changes_nothing_stored(table: Table) -> None:
    """A caller's dict stays the caller's."""
    values: dict[str, Value] = {"n": 1}
    table.insert(Row(partition="p", key="a", values=values))
    values["n"] = 2
    read = table.get("p", "a")
    assert read is not None
    assert read.number("n") == 1


def test_every_key_of_row_key_can_be_used(table: Table) -> None:
    """Keys made from awkward parts work in each kind of call and come back unchanged."""
    for odd in [
        "CRONUS A/S",
        "it's",
        'a"b',
        "50%",
        "a+b",
        "a&b=c",
        "é漢",
        "a|b",
        "$it!*(),;:@[]^`{}<>~",
        "",
        "x" * 900,
    ]:
        key = row_key("k", odd)
        stored = table.insert(row(key=key, partition=key))
        assert table.get(key, key) == stored
        assert list(table.query(key, key, after(key))) == [stored]
        table.write([Replace(table.replace(stored))])
        table.write([Delete(row(key=key, partition=key))])
        assert table.get(key, key) is None


# ---- queries ---------------------------------------------------------------------------------------------------------


def test_a_query_gives_a_range_in_key_order(table: Table) -> None:
    """The low end is inside, the high end is not, capitals sort before small letters, other partitions stay out."""
    keys = ["B", "a", "a|1", "a|10", "a|2", "a-", "b", "Z", "_"]
    for key in keys:
        table.insert(row(key=key))
        table.insert(row(key=key, partition="other"))
    assert [found.key for found in table.query("p")] == sorted(keys)
    assert [found.key for found in table.query("p", "a|", after("a|"))] == ["a|1", "a|10", "a|2"]
    assert [found.key for found in table.query("p", "a|10", "b")] == ["a|10", "a|2"]
    assert [found.key for found in table.query("p", high="Z")] == ["B"]
    assert [found.key for found in table.query("p", "a", limit=2)] == ["a", "a-"]
    assert list(table.query("p", limit=0)) == []
    assert list(table.query("p", "b", "a")) == []
    assert list(table.query("nobody")) == []


def test_a_query_passes_page_edges(table: Table) -> None:
    """More rows than one answer of the service holds come back all, once, in order; a limit may cross pages."""
    keys = [f"{number:05}" for number in range(2150)]
    for start in range(0, len(keys), 100):
        table.write([Insert(row(key=key)) for key in keys[start : start + 100]])
    assert [found.key for found in table.query("p")] == keys
    assert [found.key for found in table.query("p", "00010", limit=1500)] == keys[10:1510]


def test_a_query_reads_only_what_is_taken(table: Table) -> None:
    """Rows of later pages are read when the caller gets there: one deleted meanwhile is not given."""
    for start in range(0, 1200, 100):
        table.write([Insert(row(key=f"{number:05}")) for number in range(start, start + 100)])
    rows = table.query("p")
    assert next(rows).key == "00000"
    table.delete("p", "01150")
    assert "01150" not in [found.key for found in rows]


# ---- transactions ----------------------------------------------------------------------------------------------------


def test_a_transaction_does_all_its_changes(table: Table) -> None:
    """Insert, replace, upsert and both kinds of delete take effect together."""
    kept = {key: table.insert(row(key=key, n=1)) for key in "bcde"}
    table.write(
        [
            Insert(row(key="a", n=2)),
            Replace(kept["b"].with_values(n=2)),
            Upsert(row(key="c", n=2)),
            Upsert(row(key="f", n=2)),
            Delete(kept["d"]),
            Delete(row(key="e")),
        ]
    )
    assert {found.key: found.number("n") for found in table.query("p")} == {"a": 2, "b": 2, "c": 2, "f": 2}


@pytest.mark.parametrize("failing", ["insert", "replace", "replace missing", "delete", "delete missing"])
@pytest.mark.parametrize("place", [0, 1])
def test_a_transaction_does_all_or_nothing(table: Table, failing: str, place: int) -> None:
    """One change that cannot be made is a StateConflict, and none of the others is."""
    old = table.insert(row(key="a", n=1))
    table.upsert(row(key="a", n=2))
    changes_that_fail: dict[str, Change] = {
        "insert": Insert(row(key="a", n=3)),
        "replace": Replace(old.with_values(n=3)),
        "replace missing": Replace(Row(partition="p", key="x", etag=old.etag)),
        "delete": Delete(old),
        "delete missing": Delete(row(key="x")),
    }
    changes: list[Change] = [Upsert(row(key="b")), Insert(row(key="c"))]
    changes.insert(place, changes_that_fail[failing])
    with pytest.raises(StateConflict):
        table.write(changes)
    assert [(found.key, found.number("n")) for found in table.query("p")] == [("a", 2)]


def test_a_transaction_takes_100_changes_and_nearly_4_mib(table: Table) -> None:
    """The documented limits can be used: 100 rows of 40,000 bytes are 3.8 MiB in the request."""
    table.write([])
    table.write([Insert(row(key=f"{number:03}", data=b"\xff" * 27_000)) for number in range(100)])
    assert len(list(table.query("p"))) == 100


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([Upsert(row(key=f"{number}")) for number in range(101)], "100 changes"),
        ([Upsert(row()), Upsert(row(partition="q"))], "one partition"),
        ([Upsert(row()), Delete(row())], "each row once"),
        ([Upsert(row(key=f"{number}", data=bytes(60_000))) for number in range(60)], "4 MiB"),
        ([Replace(row())], "etag"),
        ([Delete(row(key="a/b"))], "key"),
        ([Insert(row(key="x")), Insert(row(key="y", n=2**63))], "64 bits"),
    ],
)
def test_a_transaction_beyond_the_rules_is_a_mistake(table: Table, changes: list[Upsert], words: str) -> None:
    """What Table Storage cannot take fails at once as ValueError and writes nothing."""
    with pytest.raises(ValueError, match=words):
        table.write(changes)
    assert list(table.query("p")) == []


@pytest.mark.parametrize(
    "bad",
    [
        row(key=""),
        row(key="a/b"),
        row(key="a\x7f"),
        row(key="k" * 513),
        row(partition="a?b"),
        row(n=2**63),
        row(t=datetime(2026, 3, 4)),  # noqa: DTZ001 the fault under test
        row(t=datetime(1, 1, 1, tzinfo=UTC)),
        row(s="x" * 32_769),
        row(s="\ud800"),
        row(b=bytes(65_537)),
        row(f=float("nan")),
        row(f=float("inf")),
        row(v=None),  # type: ignore[arg-type] # the fault under test
        Row(partition="p", key="a", values={"no-name": 1}),
        row(RowKey="x"),
        Row(partition="p", key="a", values={f"p{number}": 1 for number in range(253)}),
    ],
)
def test_a_row_beyond_the_rules_is_a_mistake(table: Table, bad: Row) -> None:
    """A key, name or value that Table Storage does not take fails as ValueError before anything is sent."""
    with pytest.raises(ValueError):
        table.insert(bad)
    with pytest.raises(ValueError):
        table.upsert(bad)


def test_a_row_that_has_grown_too_large_is_named(table: Table) -> None:
    """No mistake: whoever adds to it may not know before, and can do less at once. Nothing is written."""
    large = Row(partition="p", key="a", values={f"p{number}": bytes(65_000) for number in range(17)})
    for write in (table.insert, table.upsert, lambda row: table.write([Insert(row)])):
        with pytest.raises(RowTooLarge, match="row p a: 1105294 bytes, and a table row holds at most 1048576"):
            write(large)
    assert table.get("p", "a") is None


def test_the_largest_values_fit(table: Table) -> None:
    """A text of 32 Ki characters, 64 KiB of bytes and the first time there is are stored and read."""
    stored = table.insert(row(s="x" * 32_768, b=bytes(65_536), t=EARLIEST))
    assert table.get("p", "a") == stored


# ---- races -----------------------------------------------------------------------------------------------------------


def test_one_of_many_wins_an_insert_into_a_new_table(open_tables: OpenTables, table_name: str) -> None:
    """Eight threads of two instances race to create the table and the row: one insert wins, the rest are conflicts."""
    instances = [open_tables()(table_name), open_tables()(table_name)]
    start = Barrier(8)

    def attempt(number: int) -> bool:
        start.wait()
        try:
            instances[number % 2].insert(row(n=number))
        except StateConflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(attempt, range(8))).count(True) == 1


def test_no_update_is_lost(open_tables: OpenTables, table_name: str) -> None:
    """Counting up by read and replace from four threads of two instances ends at the number of successes."""
    instances = [open_tables()(table_name), open_tables()(table_name)]
    instances[0].insert(row(n=0))

    def add(number: int) -> int:
        done = 0
        for _ in range(15):
            read = instances[number % 2].get("p", "a")
            assert read is not None
            try:
                instances[number % 2].replace(read.with_values(n=read.number("n") + 1))
            except StateConflict:
                continue
            done += 1
        return done

    with ThreadPoolExecutor(4) as pool:
        done = sum(pool.map(add, range(4)))
    read = instances[1].get("p", "a")
    assert read is not None
    assert read.number("n") == done > 0
