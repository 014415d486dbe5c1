"""The in-memory tables' own promises: hooks that crash a writer around a write, and names."""

from collections.abc import Callable

import pytest

from shared.storage.table import Delete, Insert, Row, Table
from tests.support.memory_storage import MemoryTables

WRITES: dict[str, Callable[[Table], object]] = {
    "insert": lambda table: table.insert(Row(partition="p", key="new")),
    "replace": lambda table: table.replace(table.upsert(Row(partition="p", key="new"))),
    "upsert": lambda table: table.upsert(Row(partition="p", key="new")),
    "delete": lambda table: table.delete("p", "old"),
    "write": lambda table: table.write([Insert(Row(partition="p", key="new")), Delete(Row(partition="p", key="old"))]),
}


class Crash(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("operation", ["insert", "upsert", "delete", "write"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_hook_crashes_a_writer_before_or_after_its_write(operation: str, moment: str) -> None:
    """What `before` raises leaves the table as it was; what `after` raises leaves the write done."""
    tables = MemoryTables()
    table = tables.table("T")
    table.insert(Row(partition="p", key="old"))
    seen: list[str] = []

    def crash(name: str) -> None:
        seen.append(name)
        raise Crash

    setattr(tables, moment, crash)
    with pytest.raises(Crash):
        WRITES[operation](table)
    assert seen == [f"T.{operation}"]
    done = {"insert": ["new", "old"], "upsert": ["new", "old"], "delete": [], "write": ["new"]}[operation]
    assert [row.key for row in table.query("p")] == (done if moment == "after" else ["old"])


def test_hooks_see_every_kind_of_write_and_no_read() -> None:
    """A simulation counts its crash points with the hooks; reads are none."""
    seen: list[str] = []
    tables = MemoryTables(before=seen.append)
    table = tables.table("T")
    for write in WRITES.values():
        table.delete("p", "new")
        table.upsert(Row(partition="p", key="old"))
        table.get("p", "old")
        list(table.query("p"))
        write(table)
    assert set(seen) == {f"T.{name}" for name in WRITES}
    assert len(seen) == 2 * len(WRITES) + len(WRITES) + 1


def test_a_name_is_one_table() -> None:
    """Asked twice, an account gives the same table; another name is another table."""
    tables = MemoryTables()
    tables.table("A").insert(Row(partition="p", key="k"))
    assert tables.table("A").get("p", "k") is not None
    assert tables.table("B").get("p", "k") is None
