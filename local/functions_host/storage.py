"""Owns the storage connections and the few operations the host needs from queues and blobs.

Connection names are looked up as the storage extensions do: ``AzureWebJobsX`` before ``X``, each under
``ConnectionStrings`` first, then the identity form (``X__accountName`` or service addresses). ``CA_BUNDLE`` names a PEM
file to trust, for accounts behind a local certificate.
"""

import base64
import contextlib
from collections.abc import Mapping
from typing import Any, Final, Literal

from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.storage.blob import BlobBlock
from azure.storage.blob.aio import BlobServiceClient
from azure.storage.queue import QueueMessage
from azure.storage.queue.aio import QueueClient, QueueServiceClient

from local.functions_host.errors import BAD_CONFIG, NO_STORAGE, HostError
from local.functions_host.settings import find_setting

DEFAULT_CONNECTION: Final = "AzureWebJobsStorage"
# The newest version that every Azurite since 3.35 accepts; the SDKs' own default is newer than any Azurite.
API_VERSION: Final = "2025-11-05"
# The SDK's default waits 15 s before its first retry, which only hides a fault on a developer's machine.
_RETRIES: Final = {"retry_total": 2, "initial_backoff": 1, "increment_base": 2}
_DEVELOPMENT: Final = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
    "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
    "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1;"
    "TableEndpoint=http://127.0.0.1:10002/devstoreaccount1;"
)


def encode_text(body: bytes, encoding: Literal["base64", "none"]) -> str:
    """Return the text of a queue message.

    Raises:
        UnicodeDecodeError: without base64, a body that is not UTF-8.
    """
    return base64.b64encode(body).decode() if encoding == "base64" else body.decode()


def decode_text(text: str, encoding: Literal["base64", "none"]) -> bytes:
    """Return the body of a queue message.

    Raises:
        ValueError: the text is not base64 though it should be.
    """
    return base64.b64decode("".join(text.split()), validate=True) if encoding == "base64" else text.encode()


class Queue:
    """One queue of one account; texts are as stored, neither encoded nor decoded."""

    def __init__(self, client: QueueClient, name: str) -> None:
        self._client = client
        self.name = name
        self.key = client.url  # what a wake-up is addressed to

    async def receive(self, count: int, visibility_s: int) -> list[QueueMessage]:
        """Take up to ``count`` messages (at most 32) and hide them for that long."""
        pages = self._client.receive_messages(messages_per_page=count, visibility_timeout=visibility_s).by_page()
        async for page in pages:
            return [message async for message in page]
        return []

    async def put(self, text: str) -> None:
        """Add a message; a missing queue is created."""
        try:
            await self._client.send_message(text)
        except ResourceNotFoundError:
            with contextlib.suppress(ResourceExistsError):  # another message got here first
                await self._client.create_queue()
            await self._client.send_message(text)

    async def delete(self, message_id: str, pop_receipt: str) -> None:
        """Delete a message; one that somebody else holds or deleted by now is left alone."""
        try:
            await self._client.delete_message(message_id, pop_receipt)
        except HttpResponseError as error:
            if not _is_gone(error):
                raise

    async def hide(self, message_id: str, pop_receipt: str, visibility_s: int) -> str | None:
        """Make a message visible after that long; returns the new pop receipt, None if it is not ours any more."""
        try:
            updated = await self._client.update_message(message_id, pop_receipt, visibility_timeout=visibility_s)
        except HttpResponseError as error:
            if not _is_gone(error):
                raise
            return None
        return str(updated.pop_receipt)


def _is_gone(error: HttpResponseError) -> bool:
    return error.status_code == 404 or error.error_code == "PopReceiptMismatch"  # type: ignore[attr-defined]


class Storage:
    """The storage accounts behind the connection names; clients are made on first use."""

    def __init__(self, env: Mapping[str, str], credential: AsyncTokenCredential | None = None) -> None:
        self._env = env
        self._credential = credential
        self._own_credentials: list[Any] = []
        self._queues: dict[str, QueueServiceClient] = {}
        self._blobs: dict[str, BlobServiceClient] = {}

    def queue(self, connection: str, name: str) -> Queue:
        """Return a queue by its connection and its name, which is lower-cased.

        Raises:
            HostError: the connection is not set.
        """
        return Queue(self._queue_service(connection).get_queue_client(name.lower()), name.lower())

    def connect(self, connection: str, kind: Literal["queue", "blob"]) -> None:
        """Make the client of a connection, without asking the service for anything.

        Raises:
            HostError: the connection is not set, or is no connection string.
        """
        if kind == "queue":
            self._queue_service(connection)
        else:
            self._blob_service(connection)

    async def read_blob(self, connection: str, container: str, name: str) -> bytes | None:
        """Return a blob's content, None if there is none."""
        try:
            download = await self._blob_service(connection).get_blob_client(container, name).download_blob()
            return await download.readall()
        except ResourceNotFoundError:
            return None

    async def write_blob(
        self, connection: str, container: str, name: str, body: bytes, metadata: dict[str, str] | None = None
    ) -> None:
        """Write a blob over whatever is there; a missing container is created."""
        service = self._blob_service(connection)
        blob = service.get_blob_client(container, name)
        try:
            await blob.upload_blob(body, overwrite=True, metadata=metadata)
        except ResourceNotFoundError:
            with contextlib.suppress(ResourceExistsError):  # another invocation got here first
                await service.create_container(container)
            await blob.upload_blob(body, overwrite=True, metadata=metadata)

    async def commit_blob(
        self, connection: str, container: str, name: str, body: bytes, metadata: dict[str, str]
    ) -> None:
        """Give a blob its content as a written stream does when it is closed: a block, then the list of blocks."""
        blob = self._blob_service(connection).get_blob_client(container, name)
        block = base64.b64encode(b"0000000000000000").decode()
        if body:
            await blob.stage_block(block, body)
        await blob.commit_block_list([BlobBlock(block_id=block)] if body else [], metadata=metadata)

    async def check(self, connection: str, kind: Literal["queue", "blob"]) -> None:
        """Ask a service of the account for a sign of life.

        Raises:
            HostError: the connection is not set, cannot be reached, or does not accept us.
        """
        name = connection or DEFAULT_CONNECTION
        service = self._queue_service(connection) if kind == "queue" else self._blob_service(connection)
        try:
            await service.get_service_properties(retry_total=0, connection_timeout=3, read_timeout=5)
        except HttpResponseError as error:
            if isinstance(error, ClientAuthenticationError) or "Authentication" in str(
                getattr(error, "error_code", "")
            ):
                raise HostError(f"storage of {name!r} refuses us: {error.message}", NO_STORAGE) from error
            # Any other answer (a role without this right, say) is a sign of life.
        except AzureError as error:
            raise HostError(f"storage of {name!r} at {service.url} cannot be reached: {error}", NO_STORAGE) from error

    async def close(self) -> None:
        """Close every client."""
        for client in (*self._queues.values(), *self._blobs.values(), *self._own_credentials):
            await client.close()

    def _queue_service(self, connection: str) -> QueueServiceClient:
        if connection not in self._queues:
            self._queues[connection] = self._client(QueueServiceClient, connection, "queue")
        return self._queues[connection]

    def _blob_service(self, connection: str) -> BlobServiceClient:
        if connection not in self._blobs:
            self._blobs[connection] = self._client(BlobServiceClient, connection, "blob")
        return self._blobs[connection]

    def _client[C: (QueueServiceClient, BlobServiceClient)](self, kind: type[C], connection: str, service: str) -> C:
        address, credential = self._account(connection, service)

        def made(**trust: str) -> C:
            options: dict[str, Any] = {"api_version": API_VERSION, **_RETRIES, **trust}
            if credential is None:
                return _from_text(kind, connection, address, options)
            return kind(address, credential, **options)

        client, bundle = made(), self._env.get("CA_BUNDLE")
        # The SDK reads the bundle for every request, those by plain HTTP included.
        return made(connection_verify=bundle) if bundle and client.url.startswith("https:") else client

    def _account(self, connection: str, service: str) -> tuple[str, AsyncTokenCredential | None]:
        """Return a connection string and None, or a service address and a credential."""
        name = connection or DEFAULT_CONNECTION
        for prefix in (f"AzureWebJobs{name}", name):
            for key in (f"ConnectionStrings:{prefix}", f"ConnectionStrings__{prefix}", prefix):
                text = find_setting(self._env, key)
                if text:
                    develop = text.strip().rstrip(";").casefold() == "usedevelopmentstorage=true"
                    return (_DEVELOPMENT if develop else text), None
            address = find_setting(self._env, f"{prefix}__{service}ServiceUri")
            account = find_setting(self._env, f"{prefix}__accountName")
            if address or account:
                return address or f"https://{account}.{service}.core.windows.net", self._identity(prefix)
        raise HostError(f"storage connection {name!r} is not set", BAD_CONFIG)

    def _identity(self, prefix: str) -> AsyncTokenCredential:
        if self._credential is not None:
            return self._credential
        from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential  # noqa: PLC0415 - slow import

        client_id = find_setting(self._env, f"{prefix}__clientId")
        managed = (find_setting(self._env, f"{prefix}__credential") or "").casefold() == "managedidentity"
        credential: AsyncTokenCredential = (
            ManagedIdentityCredential(client_id=client_id) if managed else DefaultAzureCredential()
        )
        self._own_credentials.append(credential)
        return credential


def _from_text[C: (QueueServiceClient, BlobServiceClient)](
    kind: type[C], connection: str, text: str, options: dict[str, Any]
) -> C:
    try:
        return kind.from_connection_string(text, **options)
    except ValueError as error:  # its message may quote the text, which holds a key
        raise HostError(f"storage connection {connection or DEFAULT_CONNECTION!r} is not valid", BAD_CONFIG) from error
