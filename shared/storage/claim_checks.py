"""Claim checks in Blob Storage: one Put Blob each, so that a blob is whole as soon as it can be seen.

Owns the connection to container `bc-data` and the translation of errors; knows nothing of events. The host's own blob
output is not used, as it shows an empty blob first and fills it after the messages have left (P27).
The SDK is imported on first use, as it takes a tenth of a second that the webhook's handshake must not wait for.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from shared.errors import StoreUnavailable
from shared.resource_names import CONTAINER
from shared.settings import StorageSettings
from shared.storage.http_transport import UNREADABLE, sdk_transport
from shared.storage.identity import storage_client

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.storage.blob import ContainerClient

CONTENT_TYPE: Final = "application/x-ndjson"
CONNECT_TIMEOUT_S: Final = 5
READ_TIMEOUT_S: Final = 60
REPEATS: Final = 2  # a repeated Put Blob writes the same again
#: What one Put Blob may carry; a larger body would be sent in blocks, which is more than one step.
_MOST_BYTES: Final = 256 * 1024 * 1024
_VERSION: Final = "2023-11-03"


class BlobClaimChecks:
    """The claim checks of one storage account. Safe to share between threads."""

    def __init__(
        self, storage: StorageSettings, ca_bundle: str | None = None, *, credential: "TokenCredential | None" = None
    ) -> None:
        """Open nothing yet. `ca_bundle` is a PEM file; `credential` overrides the identity found in the environment."""
        self._storage = storage
        self._ca_bundle = ca_bundle
        self._credential = credential
        self._container: ContainerClient | None = None
        self._lock = Lock()

    def put(self, name: str, data: bytes) -> str:
        """Store a blob in one step, whatever is there, and return its absolute URL.

        Raises:
            StoreUnavailable: storage did not answer or refused.
            ConfigError: the connection string or endpoint is not one.
        """
        from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError  # noqa: PLC0415

        container = self._opened()
        with _translated():
            try:
                return _put(container, name, data)
            except ResourceNotFoundError:  # the container, as a blob need not exist
                with suppress(ResourceExistsError):
                    container.create_container()
                return _put(container, name, data)

    def get(self, name: str) -> bytes | None:
        """Return a blob, None when there is none of that name.

        Raises:
            StoreUnavailable: storage did not answer or refused.
            ConfigError: as `put`.
        """
        from azure.core.exceptions import ResourceNotFoundError  # noqa: PLC0415

        container = self._opened()
        with _translated():
            try:
                return bytes(container.get_blob_client(name).download_blob().readall())
            except ResourceNotFoundError:
                return None

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        with self._lock:
            if self._container is not None:
                self._container.close()
                self._container = None

    def _opened(self) -> "ContainerClient":
        with self._lock:
            if self._container is None:
                self._container = self._connect()
            return self._container

    def _connect(self) -> "ContainerClient":
        from azure.storage.blob import ContainerClient  # noqa: PLC0415

        options: dict[str, Any] = {
            "api_version": _VERSION,
            "transport": sdk_transport(connect_s=CONNECT_TIMEOUT_S, read_s=READ_TIMEOUT_S, ca_bundle=self._ca_bundle),
            "retry_total": REPEATS,
            "max_single_put_size": _MOST_BYTES,
        }
        endpoint = self._storage.table_endpoint.replace(".table.", ".blob.", 1)
        return storage_client(
            self._storage,
            lambda text: ContainerClient.from_connection_string(text, CONTAINER, **options),
            lambda identity: ContainerClient(endpoint, CONTAINER, credential=identity, **options),
            credential=self._credential, ca_bundle=self._ca_bundle,
        )  # fmt: skip


@contextmanager
def _translated() -> Iterator[None]:
    """Raise StoreUnavailable in place of what the SDK raises."""
    from azure.core.exceptions import AzureError  # noqa: PLC0415

    try:
        yield
    except AzureError as error:
        code = getattr(error, "error_code", None) or type(error).__name__
        raise StoreUnavailable(f"Blob Storage, {CONTAINER}: {code}") from None
    except UNREADABLE as error:
        raise StoreUnavailable(f"Blob Storage, {CONTAINER}: {type(error).__name__}") from None


def _put(container: "ContainerClient", name: str, data: bytes) -> str:
    from azure.storage.blob import ContentSettings  # noqa: PLC0415

    blob = container.get_blob_client(name)
    blob.upload_blob(data, overwrite=True, content_settings=ContentSettings(content_type=CONTENT_TYPE))
    return str(blob.url)
