"""Rows, tables and secrets as protocols: what every store is built on, without a cloud in sight.

Every adapter raises only errors of `shared.errors`; its in-memory twin passes the same contract tests.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol, Self

#: What a table property may hold. `bytes` at most 64 KiB, `str` at most 32 Ki characters; `datetime` aware UTC.
type Value = str | int | float | bool | datetime | bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One table row. `etag` is the version read ("" for a row that was never stored)."""

    partition: str
    key: str
    values: Mapping[str, Value] = field(default_factory=dict)
    etag: str = ""

    def text(self, name: str) -> str:
        """Return a text property, "" when absent."""
        value = self.values.get(name, "")
        return value if isinstance(value, str) else ""

    def number(self, name: str) -> int:
        """Return a whole-number property, 0 when absent."""
        value = self.values.get(name, 0)
        return value if isinstance(value, int) else 0

    def data(self, name: str) -> bytes:
        """Return a binary property, b"" when absent."""
        value = self.values.get(name, b"")
        return value if isinstance(value, bytes) else b""

    def time(self, name: str) -> datetime | None:
        """Return a time property, None when absent."""
        value = self.values.get(name)
        return value if isinstance(value, datetime) else None

    def with_values(self, **changes: Value) -> Self:
        """Return the row with some properties changed and the same etag."""
        return replace(self, values={**self.values, **changes})


@dataclass(frozen=True, slots=True)
class Insert:
    """Create the row; StateConflict when it exists."""

    row: Row


@dataclass(frozen=True, slots=True)
class Replace:
    """Replace the row whole; StateConflict unless it still has `row.etag`."""

    row: Row


@dataclass(frozen=True, slots=True)
class Upsert:
    """Create or replace the row whole, whatever is there."""

    row: Row


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the row; StateConflict when `row.etag` is set and no longer right, or the row is gone."""

    row: Row


type Change = Insert | Replace | Upsert | Delete


class Table(Protocol):
    r"""One table of Azure Table Storage, or its in-memory twin.

    Every method raises StoreUnavailable when storage does not answer. Keys may hold any text but `/ \\ # ?` and
    control characters (`shared.storage.keys` makes such keys).
    """

    def get(self, partition: str, key: str) -> Row | None:
        """Return the row, or None."""
        ...

    def query(self, partition: str, low: str = "", high: str = "", *, limit: int | None = None) -> Iterator[Row]:
        """Yield rows of a partition with low <= key < high (high "" means to the end), in key order."""
        ...

    def insert(self, row: Row) -> Row:
        """Create a row and return it with its etag; StateConflict when it exists."""
        ...

    def replace(self, row: Row) -> Row:
        """Replace a row whole if it still has `row.etag`, return it with the new etag; StateConflict if not."""
        ...

    def upsert(self, row: Row) -> Row:
        """Create or replace a row whole, return it with its etag."""
        ...

    def delete(self, partition: str, key: str) -> None:
        """Delete a row; a row that is gone already is fine."""
        ...

    def write(self, changes: Sequence[Change]) -> list[str]:
        """Apply at most 100 changes to rows of one partition all together or not at all; StateConflict if any fails.

        Returns the new etag of each row, "" for a deleted one.
        """
        ...


class Tables(Protocol):
    """The tables of one storage account, or their in-memory twin."""

    def table(self, name: str) -> Table:
        """Return the table of this name; opens no connection yet."""
        ...


class SecretStore(Protocol):
    """Key Vault secrets, or their in-memory twin. Raises StoreUnavailable when the vault does not answer."""

    def read(self, name: str) -> str | None:
        """Return the newest version's value, None when there is no such secret."""
        ...

    def write(self, name: str, value: str) -> None:
        """Store a new version. A vault takes at most 25,000 bytes."""
        ...
