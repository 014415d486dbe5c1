"""The table adapters that one contract suite runs against: the in-memory twin and Azure Table Storage on Azurite."""

from collections.abc import Callable, Iterator
from itertools import count

import pytest

from shared.settings import StorageSettings
from shared.storage.azure_tables import AzureTables
from shared.storage.table import Table
from tests.support.memory_storage import MemoryTables

_numbers = count(1)


@pytest.fixture(params=["memory", pytest.param("azurite", marks=pytest.mark.azurite)])
def open_tables(request: pytest.FixtureRequest) -> Iterator[Callable[[], Callable[[str], Table]]]:
    """Open the same storage account anew: each call is one more instance of the app, giving table by name."""
    if request.param == "memory":
        account = MemoryTables()
        yield lambda: account.table
        return
    storage = StorageSettings(connection_string=request.getfixturevalue("azurite"), table_endpoint="", client_id="")
    opened: list[AzureTables] = []

    def connect() -> Callable[[str], Table]:
        opened.append(AzureTables(storage))
        return opened[-1].table

    yield connect
    for tables in opened:
        tables.close()


@pytest.fixture
def table_name() -> str:
    """A table that nobody has used yet."""
    return f"Contract{next(_numbers)}"


@pytest.fixture
def table(open_tables: Callable[[], Callable[[str], Table]], table_name: str) -> Table:
    """A table that does not exist yet."""
    return open_tables()(table_name)
