"""The rest of the business, as demo, console and end-to-end tests play it: reads events and results, sends orders.

It takes messages, takes them and gives them back, or only peeks. It opens claim checks: a `bc.batch.v1` event names a
blob of NDJSON. A message stays in its queue until checksum and count of its blob
are right, as a consumer should have it.
"""

import base64
import contextlib
import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobClient, BlobServiceClient
from azure.storage.queue import QueueClient, QueueMessage, QueueServiceClient

from shared import resource_names
from shared.changes.cloud_events import BATCH_TYPE

API_VERSION = "2025-11-05"  # the newest that Azurite knows
_HIDDEN_S = 30
_AGAIN_S = 1  # a message whose blob is not right is looked at again
_KEPT_S = 600  # a message that will be given back is hidden for so long at most
#: The most messages that a queue shows without taking any: those in front.
MOST_PEEKED = 32


class Mailbox:
    """Takes every message out of the outgoing queues of one storage account."""

    def __init__(self, storage: str, *, keeps: bool = False) -> None:
        """Open an account: a connection string, or the name of one that is reached with one's own `az login`.

        `keeps`: what is taken comes back by `give_back`, or after ten minutes.
        """
        self._queues, self._blobs = _open_account(storage)
        self._keeps = keeps
        self._kept: list[tuple[QueueClient, QueueMessage]] = []
        self.messages = 0  # taken out of bc-events
        self.batches = 0  # claim checks opened among them

    def put(self, queue: str, text: str) -> str:
        """Send a message as the Functions host expects it, base64 of UTF-8; return its id."""
        client = self._queues.get_queue_client(queue)
        with contextlib.suppress(ResourceExistsError):
            client.create_queue()
        return str(client.send_message(base64.b64encode(text.encode()).decode()).id)

    def take(self) -> list[dict[str, Any]]:
        """Return all events that lie in `bc-events`, claim checks opened; a message whose blob is not right stays."""
        events: list[dict[str, Any]] = []

        def read(text: str) -> bool:
            found = self.events_of(text)
            if found is None:
                return False
            self.messages += 1
            events.extend(found)
            return True

        self._drain(resource_names.QUEUE_EVENTS, read)
        return events

    def events_of(self, text: str) -> list[dict[str, Any]] | None:
        """Return the events of one message, claim checks opened; None when a blob is not what its event says."""
        opened = [self._open(event) if event["type"] == BATCH_TYPE else [event] for event in json.loads(text)]
        right = [part for part in opened if part is not None]
        return None if len(right) < len(opened) else [event for part in right for event in part]

    def peek(self, queue: str) -> list[tuple[str, str]]:
        """Return id and text of the messages in front, at most 32, and leave them where they are."""
        try:
            found = self._queues.get_queue_client(queue).peek_messages(max_messages=MOST_PEEKED)
        except ResourceNotFoundError:
            return []
        return [(str(message.id), base64.b64decode(message.content).decode()) for message in found]

    def give_back(self) -> None:
        """Let everything that was taken and kept be seen again, by whoever reads the queues."""
        for client, message in self._kept:
            with contextlib.suppress(HttpResponseError):  # it was hidden for too long, and is back already
                client.update_message(message, visibility_timeout=0)
        self._kept.clear()

    def results(self) -> list[dict[str, Any]]:
        """Return all results that lie in `sales-order-results`."""
        return [json.loads(text) for text in self._drain(resource_names.QUEUE_RESULTS)]

    def count(self, queue: str) -> int:
        """Return about how many messages a queue holds, 0 when it does not exist."""
        try:
            return int(self._queues.get_queue_client(queue).get_queue_properties().approximate_message_count or 0)
        except ResourceNotFoundError:
            return 0

    def _blob(self, event: dict[str, Any]) -> BlobClient:
        name = event["dataref"].rpartition(f"{resource_names.CONTAINER}/")[2]  # of a URL; 0.1.0 left the address out
        return self._blobs.get_blob_client(resource_names.CONTAINER, name)

    def _open(self, event: dict[str, Any]) -> list[dict[str, Any]] | None:
        """Return the events of a claim check, None when its blob is not what the event says."""
        try:
            body = self._blob(event).download_blob().readall()
        except ResourceNotFoundError:
            return None
        lines = body.splitlines()
        if event["checksum"] != f"sha256:{sha256(body).hexdigest()}" or len(lines) != event["count"]:
            return None
        self.batches += 1
        return [json.loads(line) for line in lines]

    def _drain(self, queue: str, read: Callable[[str], bool] = lambda _: True) -> list[str]:
        client = self._queues.get_queue_client(queue)
        texts: list[str] = []
        hidden_s = _KEPT_S if self._keeps else _HIDDEN_S
        try:
            while messages := list(client.receive_messages(max_messages=32, visibility_timeout=hidden_s)):
                for message in messages:
                    text = base64.b64decode(message.content).decode()
                    if not read(text):
                        client.update_message(message, visibility_timeout=_AGAIN_S)
                        continue
                    texts.append(text)
                    if self._keeps:
                        self._kept.append((client, message))
                    else:
                        client.delete_message(message)
        except ResourceNotFoundError:
            pass
        return texts


def _open_account(storage: str) -> tuple[QueueServiceClient, BlobServiceClient]:
    if "=" in storage:
        return (
            QueueServiceClient.from_connection_string(storage, api_version=API_VERSION),
            BlobServiceClient.from_connection_string(storage, api_version=API_VERSION),
        )
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415 - costs a second, for deployed apps only

    login = DefaultAzureCredential()
    return (
        QueueServiceClient(f"https://{storage}.queue.core.windows.net", credential=login, api_version=API_VERSION),
        BlobServiceClient(f"https://{storage}.blob.core.windows.net", credential=login, api_version=API_VERSION),
    )


def create_queues(connection_string: str) -> None:
    """Create every queue of the app, as the template does in Azure: the host warns of each that it polls in vain."""
    service = QueueServiceClient.from_connection_string(connection_string, api_version=API_VERSION)
    poison = [f"{queue}-poison" for queue in resource_names.WORK_QUEUES]
    for name in (*resource_names.WORK_QUEUES, *poison, resource_names.QUEUE_EVENTS, resource_names.QUEUE_RESULTS):
        with contextlib.suppress(ResourceExistsError):
            service.create_queue(name)
