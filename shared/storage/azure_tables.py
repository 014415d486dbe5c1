"""Azure Table Storage behind `shared.storage.table.Table`: one connection pool per process, opened on first use.

Owns the translation of rows and of errors. A row that moved is StateConflict; whatever else goes wrong is
StoreUnavailable. Only calls that may be repeated without harm (reads, upserts, deletes) are repeated by the SDK: were a
conditional write repeated after a lost answer, our own success would look like somebody else's change.
The SDK is imported on first use, as it takes a quarter of a second that the webhook's handshake must not wait for.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from shared.errors import StateConflict, StoreUnavailable
from shared.settings import StorageSettings
from shared.storage.http_transport import UNREADABLE, sdk_transport
from shared.storage.identity import storage_client
from shared.storage.table import Change, Delete, Insert, Replace, Row, Table, Upsert, Value
from shared.storage.table_rules import check_changes, check_key, check_row, check_versioned

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.data.tables import TableClient, TableServiceClient

CONNECT_TIMEOUT_S: Final = 5
READ_TIMEOUT_S: Final = 20
REPEATS: Final = 2  # of a call that may be repeated
PAGE_ROWS: Final = 1000  # the service's largest page

_GONE: Final = frozenset({"ResourceNotFound", "EntityNotFound"})
_EXISTS: Final = frozenset({"EntityAlreadyExists", "ResourceAlreadyExists"})
_NO_TABLE: Final = "TableNotFound"
_ONCE: Final[Mapping[str, Any]] = {"retry_total": 0}


class AzureTables:
    """The tables of one storage account, reached with a connection string or the app's own identity."""

    def __init__(
        self, storage: StorageSettings, ca_bundle: str | None = None, *, credential: "TokenCredential | None" = None
    ) -> None:
        """Open nothing yet. `ca_bundle` is a PEM file; `credential` overrides the identity found in the environment."""
        self._storage = storage
        self._ca_bundle = ca_bundle
        self._credential = credential
        self._service: TableServiceClient | None = None
        self._clients: dict[str, TableClient] = {}
        self._lock = Lock()

    def table(self, name: str) -> Table:
        """Return the table of that name; it is created when its first use finds it missing."""
        return AzureTable(name, self)

    def client(self, name: str) -> "TableClient":
        """Return the SDK's client of one table; all share one connection pool.

        Raises:
            ConfigError: the connection string or endpoint is not one.
        """
        with self._lock:
            if self._service is None:
                self._service = self._connect()
            if name not in self._clients:
                self._clients[name] = self._service.get_table_client(name)
            return self._clients[name]

    def create(self, name: str) -> None:
        """Create a table, or find that another has done so.

        Raises:
            AzureError: any other answer, for the caller to translate.
        """
        from azure.core.exceptions import ResourceExistsError  # noqa: PLC0415

        try:
            self.client(name).create_table(**_ONCE)
        except ResourceExistsError as error:
            if _code(error) != "TableAlreadyExists":  # for example TableBeingDeleted
                raise

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        with self._lock:
            if self._service is not None:
                self._service.close()
                self._service = None
                self._clients.clear()

    def _connect(self) -> "TableServiceClient":
        from azure.data.tables import TableServiceClient  # noqa: PLC0415

        # The SDK logs every request with its URL, which holds row keys, at INFO.
        for noisy in ("azure.core", "azure.identity"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        options: dict[str, Any] = {
            "transport": sdk_transport(connect_s=CONNECT_TIMEOUT_S, read_s=READ_TIMEOUT_S, ca_bundle=self._ca_bundle),
            "retry_total": REPEATS,
            "retry_backoff_factor": 0.2,
            "retry_backoff_max": 2,
        }
        return storage_client(
            self._storage,
            lambda text: TableServiceClient.from_connection_string(text, **options),
            lambda identity: TableServiceClient(
                endpoint=self._storage.table_endpoint, credential=identity, **options
            ),
            credential=self._credential, ca_bundle=self._ca_bundle,
        )  # fmt: skip


class AzureTable:
    """One table; see `shared.storage.table.Table` for the contract."""

    def __init__(self, name: str, tables: AzureTables) -> None:
        """Take the name and the account it is in."""
        self._name = name
        self._tables = tables

    def get(self, partition: str, key: str) -> Row | None:
        """Return the row, or None."""
        check_key(partition)
        check_key(key)
        return self._call(lambda client: _row(client.get_entity(partition, key)), on_gone=lambda: None)

    def query(self, partition: str, low: str = "", high: str = "", *, limit: int | None = None) -> Iterator[Row]:
        """Yield rows of a partition with low <= key < high in key order, fetched page by page as they are taken."""
        check_key(partition)
        if limit is not None and limit < 0:
            raise ValueError("limit is 0 or more")
        wanted = f"PartitionKey eq {_quoted(partition)}"
        if low:
            wanted += f" and RowKey ge {_quoted(low)}"
        if high:
            wanted += f" and RowKey lt {_quoted(high)}"
        return self._pages(wanted, limit)

    def insert(self, row: Row) -> Row:
        """Create a row; StateConflict when it exists."""
        row = check_row(row)
        return self._call(lambda client: _stored(row, client.create_entity(_entity(row), **_ONCE)))

    def replace(self, row: Row) -> Row:
        """Replace a row that still has `row.etag`; StateConflict if not."""
        row = check_versioned(row)
        return self._call(
            lambda client: _stored(row, client.update_entity(_entity(row), **_whole(), **_if_match(row.etag), **_ONCE))
        )

    def upsert(self, row: Row) -> Row:
        """Create or replace a row."""
        row = check_row(row)
        return self._call(lambda client: _stored(row, client.upsert_entity(_entity(row), **_whole())))

    def delete(self, partition: str, key: str) -> None:
        """Delete a row, or find it gone."""
        check_key(partition)
        check_key(key)
        self._call(lambda client: client.delete_entity(partition, key))

    def write(self, changes: Sequence[Change]) -> list[str]:
        """Apply all changes or none and return the new etags; StateConflict if any fails."""
        checked = check_changes(changes)
        if not checked:
            return []
        if len(checked) == 1 and not isinstance(checked[0], Delete):
            return [self._write_one(checked[0]).etag]
        answers = self._call(
            lambda client: client.submit_transaction([_operation(change) for change in checked], **_ONCE)
        )
        return [str(answer.get("etag") or "") for answer in answers]

    def _write_one(self, change: Insert | Replace | Upsert) -> Row:
        """Do without the envelope of a transaction, which takes longer to write and read than the row."""
        if isinstance(change, Insert):
            return self.insert(change.row)
        return self.replace(change.row) if isinstance(change, Replace) else self.upsert(change.row)

    def _call[T](self, call: "Callable[[TableClient], T]", *, on_gone: Callable[[], T] | None = None) -> T:
        """Make one call; create the table and call again when it is missing.

        Raises:
            StateConflict: the row exists, is gone, or was changed.
            StoreUnavailable: anything else.
        """
        from azure.core.exceptions import AzureError  # noqa: PLC0415

        try:
            try:
                return call(self._tables.client(self._name))
            except AzureError as error:
                if _code(error) != _NO_TABLE:
                    raise
            self._tables.create(self._name)
            return call(self._tables.client(self._name))
        except AzureError as error:
            code = _code(error)
            if code in _GONE and on_gone is not None:
                return on_gone()
            if code in _GONE or code in _EXISTS or getattr(error, "status_code", None) == 412:
                raise StateConflict(f"{self._name}: {code or 'the row was changed'}") from error
            raise StoreUnavailable(f"{self._name}: {code or type(error).__name__}") from error
        except UNREADABLE as error:
            raise StoreUnavailable(f"{self._name}: unreadable answer ({type(error).__name__})") from error

    def _pages(self, wanted: str, limit: int | None) -> Iterator[Row]:
        left = limit
        token: Any = None
        while left is None or left > 0:
            size = PAGE_ROWS if left is None else min(left, PAGE_ROWS)
            rows, token = self._call(partial(_page, wanted=wanted, size=size, token=token))
            yield from rows if left is None else rows[:left]
            left = None if left is None else left - len(rows)
            if token is None:
                return


def _page(client: "TableClient", *, wanted: str, size: int, token: object) -> tuple[list[Row], object]:
    """Fetch one page, which may be empty, and the token of the next (None: there is none)."""
    pages = client.query_entities(wanted, results_per_page=size).by_page(token)  # type: ignore[arg-type] # a dict here
    rows = [_row(entity) for entity in next(pages)]
    return rows, pages.continuation_token  # type: ignore[attr-defined]


def _operation(change: Change) -> Any:
    if isinstance(change, Insert):
        return ("create", _entity(change.row))
    if isinstance(change, Replace):
        return ("update", _entity(change.row), _whole() | _if_match(change.row.etag))
    if isinstance(change, Delete):
        keys = {"PartitionKey": change.row.partition, "RowKey": change.row.key}
        return ("delete", keys, _if_match(change.row.etag) if change.row.etag else {})
    return ("upsert", _entity(change.row), _whole())


def _whole() -> dict[str, Any]:
    from azure.data.tables import UpdateMode  # noqa: PLC0415

    return {"mode": UpdateMode.REPLACE}


def _if_match(etag: str) -> dict[str, Any]:
    from azure.core import MatchConditions  # noqa: PLC0415

    return {"etag": etag, "match_condition": MatchConditions.IfNotModified}


def _entity(row: Row) -> dict[str, Any]:
    """Return what the SDK sends; whole numbers and times carry their type, as its own guesses lose some of either."""
    entity: dict[str, Any] = {"PartitionKey": row.partition, "RowKey": row.key}
    for name, value in row.values.items():
        entity[name] = value
        if isinstance(value, datetime):  # strftime's %Y and the SDK's fallback drop digits; isoformat does not
            entity[name] = (value.isoformat(timespec="microseconds").replace("+00:00", "Z"), "Edm.DateTime")
        elif isinstance(value, int) and not isinstance(value, bool):
            entity[name] = (value, "Edm.Int64")
    return entity


def _row(entity: Any) -> Row:
    values = {name: _value(value) for name, value in entity.items() if name not in {"PartitionKey", "RowKey"}}
    return Row(
        partition=entity["PartitionKey"], key=entity["RowKey"], values=values, etag=entity.metadata["etag"] or ""
    )


def _value(value: Any) -> Value:
    if isinstance(value, tuple):  # the SDK's EntityProperty of an Int64
        return int(value[0])
    if isinstance(value, datetime):  # a subclass that remembers the service's text; ticks below 1 us are cut
        return datetime.fromtimestamp(0, UTC) + (value - datetime.fromtimestamp(0, UTC))
    if isinstance(value, (str, int, float, bytes)):
        return value
    return str(value)  # a Guid, which this app does not write


def _stored(row: Row, metadata: Mapping[str, Any]) -> Row:
    return replace(row, etag=str(metadata["etag"]))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _code(error: Exception) -> str:
    """Return the service's error code, "" when the answer has none or there is no answer."""
    code = getattr(error, "error_code", None)
    if code is None:  # the SDK does not decode a failed insert
        response = getattr(error, "response", None)
        code = response.headers.get("x-ms-error-code") if response is not None else None
        if code is None and response is not None:
            code = _code_in(response)
    return str(getattr(code, "value", code) or "")


def _code_in(response: Any) -> str:
    try:
        return str(json.loads(response.text())["odata.error"]["code"])
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""
