"""The sample that keeps the newest state of each record: same end in SQLite and PostgreSQL, whatever the order."""

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.loaded_modules import SAMPLES, load
from tests.support.postgresql import programs, running_postgresql

upsert = load("upsert/upsert.py")
SOURCE = "https://api.example/companies(1)"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A PostgreSQL server, where one is installed."""
    binaries = programs()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed")
    with running_postgresql(binaries) as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def connection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """An empty database."""
    is_sqlite = request.param == "sqlite"
    made = upsert.connect(str(tmp_path / "records.db") if is_sqlite else request.getfixturevalue("server"))
    made.execute("DROP TABLE IF EXISTS bc_records")
    made.commit()
    yield made
    made.close()


def event(change: str, time: str = "", number: str = "1", subject: str = "items(1)") -> dict[str, Any]:
    """An event; its `number` says which state it carries."""
    found = {"id": number, "source": SOURCE, "subject": subject, "type": f"bc.item.{change}.v1"}
    return found | ({"time": time} if time else {}) | {"data": {"number": number}}


def rows(connection: Any) -> list[tuple[str, str, bool]]:
    """Subject, number and whether it is deleted, of each record."""
    found = connection.execute("SELECT subject, data, deleted FROM bc_records ORDER BY subject").fetchall()
    return [
        (subject, (json.loads(data) if isinstance(data, str) else data)["number"], bool(deleted))
        for subject, data, deleted in found
    ]


CREATED = event("created", "2026-02-11T09:14:27Z", "created")
HALF = event("updated", "2026-02-11T09:14:27.5Z", "half")
LATER = event("updated", "2026-02-11T10:14:27.53+01:00", "later")  # 27.53 in UTC
GONE = event("deleted", "2026-02-11T09:20:00Z", "gone")
OTHER = event("created", "2026-02-11T09:00:00Z", "other", "items(2)")


@pytest.mark.parametrize("order", [*itertools.permutations([CREATED, HALF, LATER, OTHER])], ids=lambda _: "")
def test_the_later_time_wins_in_whatever_order_events_come(connection: Any, order: tuple[dict[str, Any], ...]) -> None:
    """Times with fractions of another length or in another zone compare as times; a repeat changes nothing."""
    records = upsert.Records(connection)
    for one in (*order, order[0]):
        records.take([one])
    assert rows(connection) == [("items(1)", "later", False), ("items(2)", "other", False)]


@pytest.mark.parametrize("order", [*itertools.permutations([CREATED, LATER, GONE])], ids=lambda _: "")
def test_what_is_deleted_stays_deleted(connection: Any, order: tuple[dict[str, Any], ...]) -> None:
    """Also when an older event comes late, and in one message with others."""
    upsert.Records(connection).take(order)
    assert rows(connection) == [("items(1)", "gone", True)]


def test_an_event_without_time_is_taken_as_it_comes(connection: Any) -> None:
    """`time` may be absent: then the queue's order is all there is, and a known time is kept."""
    records = upsert.Records(connection)
    for one in (event("created", "", "first"), event("updated", "", "second")):
        records.take([one])
    assert rows(connection) == [("items(1)", "second", False)]
    records.take([LATER, event("updated", "", "timeless"), HALF])
    assert rows(connection) == [("items(1)", "timeless", False)]


def test_a_message_is_written_whole_or_not_at_all(connection: Any) -> None:
    """The second event is no event: the first is not kept either, and the database can be used again."""
    records = upsert.Records(connection)
    with pytest.raises(Exception, match=r"NULL|null"):
        records.take([CREATED, {**OTHER, "subject": None}])
    assert rows(connection) == []
    records.take([CREATED])
    assert rows(connection) == [("items(1)", "created", False)]


def test_it_runs_as_a_command(tmp_path: Path) -> None:
    """NDJSON in, as a claim check's blob is: a table out."""
    command = [sys.executable, str(SAMPLES / "upsert" / "upsert.py"), str(tmp_path / "records.db")]
    lines = "\n".join(map(json.dumps, [LATER, CREATED, OTHER]))
    subprocess.run(command, input=lines, text=True, check=True, timeout=60)
    made = upsert.connect(str(tmp_path / "records.db"))
    assert rows(made) == [("items(1)", "later", False), ("items(2)", "other", False)]
    made.close()
