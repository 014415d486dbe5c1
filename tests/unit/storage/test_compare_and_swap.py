"""A row is read, decided on and written, and all of that anew when somebody was faster; not for ever."""

from dataclasses import replace

import pytest

from shared.errors import StateConflict
from shared.storage.compare_and_swap import change_row, until_stored
from shared.storage.table import Row
from tests.support.memory_storage import MemoryTables


@pytest.mark.parametrize("conflicts", [0, 1, 7])
def test_the_first_attempt_without_a_conflict_counts(conflicts: int) -> None:
    """Up to eight of them."""
    tried: list[int] = []

    def attempt() -> int:
        tried.append(1)
        if len(tried) <= conflicts:
            raise StateConflict("moved")
        return len(tried)

    assert until_stored(attempt, "a row") == conflicts + 1


def test_what_is_contended_without_end_says_so() -> None:
    """After eight attempts; the queue delivers again."""
    tried: list[int] = []

    def attempt() -> None:
        tried.append(1)
        raise StateConflict("moved")

    with pytest.raises(StateConflict, match="a row is contended"):
        until_stored(attempt, "a row")
    assert len(tried) == 8


def test_an_error_that_is_no_conflict_ends_it() -> None:
    """Nobody knows then what was written."""
    with pytest.raises(ZeroDivisionError):
        until_stored(lambda: 1 // 0, "a row")


def counted(held: Row | None) -> Row:
    """One more than was there."""
    if held is None:
        return Row(partition="p", key="k", values={"n": 1})
    return held.with_values(n=held.number("n") + 1)


def test_a_row_is_made_then_changed() -> None:
    """What is returned is what stands there, with its etag."""
    table = MemoryTables().table("T")
    assert change_row(table, "p", "k", counted) == table.get("p", "k")
    changed = change_row(table, "p", "k", counted)
    assert changed == table.get("p", "k")
    assert changed is not None
    assert changed.values == {"n": 2}


def test_a_row_that_moved_meanwhile_is_read_anew() -> None:
    """Nobody's change is lost."""
    tables = MemoryTables()
    table = tables.table("T")
    change_row(table, "p", "k", counted)
    faster = [1, 1]

    def edit(held: Row | None) -> Row:
        if faster:
            faster.pop()
            change_row(table, "p", "k", counted)
        return counted(held)

    changed = change_row(table, "p", "k", edit)
    assert changed is not None
    assert changed.values == {"n": 4}


@pytest.mark.parametrize("edit", [lambda held: None, lambda held: held])
def test_an_edit_of_nothing_writes_nothing(edit: object) -> None:
    """Neither a row that is there nor one that is not."""
    tables = MemoryTables()
    table = tables.table("T")
    assert callable(edit)
    assert change_row(table, "p", "k", edit) is None
    held = change_row(table, "p", "k", counted)
    writes: list[str] = []
    tables.before = writes.append
    assert change_row(table, "p", "k", edit) == held
    assert writes == []


@pytest.mark.parametrize(("what", "said"), [("", "row k is contended"), ("a slot", "a slot is contended")])
def test_a_row_that_others_always_move_is_named(what: str, said: str) -> None:
    """By its key where nothing else is told."""
    table = MemoryTables().table("T")
    stored = table.insert(Row(partition="p", key="k"))
    with pytest.raises(StateConflict, match=said):
        change_row(table, "p", "k", lambda held: replace(stored, etag="old", values={"n": 1}), what)
