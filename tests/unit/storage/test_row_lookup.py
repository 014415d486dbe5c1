"""Rows looked up by key: what is found, and with how many calls."""

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.storage.row_lookup import RANGE_ROWS, WORTH_KEYS, find_rows
from shared.storage.table import Insert, Row
from tests.support.memory_storage import MemoryTables


def place(number: int) -> str:
    """A key; they lie in the order of their numbers."""
    return f"r|{number:06d}"


def tables(held: range) -> MemoryTables:
    """Tables with a row of each number."""
    made = MemoryTables()
    for start in held[::100]:
        batch = range(start, min(start + 100 * held.step, held.stop), held.step)
        made.table("T").write([Insert(Row(partition="p", key=place(number))) for number in batch])
    return made


def calls_of(made: MemoryTables, look: Callable[[], dict[str, Row]]) -> tuple[set[str], Counter[str]]:
    """What is found, and which calls that took."""
    calls: Counter[str] = Counter()
    made.reading = lambda operation: calls.update([operation.partition(".")[2]])
    return set(look()), calls


@pytest.mark.parametrize(
    ("held", "wanted", "queries", "gets"),
    [
        (range(0), range(2000), 1, 0),  # nobody has a row: one answer says so
        (range(0, 90_000, 100), range(0, 100_000, 50), 1, 0),  # a day's rows
        (range(5_000), range(0, 5_000, 5), 5, 0),  # each range passes two hundred
        (range(100_000), range(0, 100_000, 1_000), 1, 99),  # dense: the first range passes one key
        (range(5_000), range(WORTH_KEYS - 1), 0, WORTH_KEYS - 1),  # few keys
        (range(5_000), range(0), 0, 0),
    ],
)
def test_what_costs_least_is_asked(held: range, wanted: range, queries: int, gets: int) -> None:
    """Rows held, keys wanted -> ranges and single reads."""
    made = tables(held)
    found, calls = calls_of(made, lambda: find_rows(made.table("T"), "p", [place(n) for n in wanted]))
    assert found == {place(n) for n in set(held) & set(wanted)}
    assert (calls["query"], calls["get"]) == (queries, gets)


@given(st.sets(st.integers(0, 3 * RANGE_ROWS)), st.integers(1, 4), st.integers(1, 3))
def test_exactly_what_is_there_is_found(wanted: set[int], step: int, threads: int) -> None:
    """Whatever is wanted, in whatever order, dense or not; rows of another partition are none of them."""
    held = range(0, 2 * RANGE_ROWS, step)
    table = tables(held).table("T")
    table.insert(Row(partition="q", key=place(1)))
    found = find_rows(table, "p", [place(n) for n in sorted(wanted, key=str)] * 2, threads=threads)
    assert found.keys() == {place(n) for n in wanted & set(held)}
    assert all(row.key == key and row.etag for key, row in found.items())
