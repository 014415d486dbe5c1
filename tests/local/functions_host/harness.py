"""Runs the host and Azurite as processes for the tests, and waits for what they do."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobServiceClient, ContainerClient
from azure.storage.queue import QueueClient, QueueServiceClient

ROOT = Path(__file__).parents[3]
APPS = Path(__file__).parent / "apps"
API_VERSION = "2025-11-05"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def eventually[T](check: Callable[[], T | None], *, within_s: float = 10.0, what: str = "it") -> T:
    """Return the first answer of a check that is true; fail when there is none in time."""
    deadline = time.monotonic() + within_s
    while True:
        answer = check()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {within_s} s")
        time.sleep(0.02)


def free_ports(count: int) -> list[int]:
    """Return ports that are free now, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def can_connect(port: int) -> bool:
    """Tell whether somebody listens on a local port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def azurite_command() -> list[str] | None:
    """Return how to start Azurite here: AZURITE_BIN, else the one of node_modules, else None."""
    chosen = os.environ.get("AZURITE_BIN") or str(ROOT / "node_modules" / ".bin" / "azurite")
    return [chosen] if shutil.which(chosen) and shutil.which("node") else None


class Account:
    """A storage account of Azurite, seen from a test."""

    def __init__(self, blob_port: int, queue_port: int) -> None:
        self.connection_string = (
            f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={_KEY};"
            f"BlobEndpoint=http://127.0.0.1:{blob_port}/devstoreaccount1;"
            f"QueueEndpoint=http://127.0.0.1:{queue_port}/devstoreaccount1;"
        )
        self._queues = QueueServiceClient.from_connection_string(self.connection_string, api_version=API_VERSION)
        self._blobs = BlobServiceClient.from_connection_string(self.connection_string, api_version=API_VERSION)

    def close(self) -> None:
        self._queues.close()
        self._blobs.close()

    def queue(self, name: str) -> QueueClient:
        return self._queues.get_queue_client(name)

    def clear(self) -> None:
        """Delete every queue and container."""
        for queue in list(self._queues.list_queues()):
            self._queues.delete_queue(queue)
        for container in list(self._blobs.list_containers()):
            self._blobs.delete_container(container)

    def send(self, name: str, text: str) -> None:
        """Add a text, as it is, to a queue that is created if need be."""
        client = self.queue(name)
        try:
            client.send_message(text)
        except ResourceNotFoundError:
            client.create_queue()
            client.send_message(text)

    def texts(self, name: str) -> list[str]:
        """Return the visible texts of a queue, none if it is missing."""
        try:
            return [str(message.content) for message in self.queue(name).peek_messages(max_messages=32)]
        except ResourceNotFoundError:
            return []

    def count(self, name: str) -> int:
        """Return how many messages a queue holds, hidden ones too."""
        return int(self.queue(name).get_queue_properties().approximate_message_count or 0)

    def blobs(self, container: str) -> dict[str, bytes]:
        """Return the blobs of a container, none if it is missing."""
        client = self._blobs.get_container_client(container)
        try:
            return {name: client.download_blob(name).readall() for name in list(client.list_blob_names())}
        except ResourceNotFoundError:
            return {}

    def blob_container(self, name: str) -> ContainerClient:
        return self._blobs.get_container_client(name)

    def write_blob(self, container: str, name: str, body: bytes) -> None:
        client = self._blobs.get_container_client(container)
        if not client.exists():
            client.create_container()
        client.upload_blob(name, body, overwrite=True)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class HostProcess:
    """A host that runs as its own process."""

    def __init__(self, app: Path, log_dir: Path, env: Mapping[str, str], *arguments: str) -> None:
        self._out, self._err = log_dir / "out.txt", log_dir / "err.txt"
        variables = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "local.functions_host", "--app-dir", str(app), "--port", "0", *arguments],
                cwd=ROOT,
                env={**variables, **env},
                stdout=out,
                stderr=err,
            )
        self.url = ""

    @property
    def output(self) -> str:
        return self._out.read_text()

    @property
    def errors(self) -> str:
        return self._err.read_text()

    def wait_ready(self) -> "HostProcess":
        """Wait for the readiness line and take the address from it."""

        def line() -> str | None:
            assert self.process.poll() is None, self.errors
            return next((text for text in self.output.splitlines() if text.startswith("host ready ")), None)

        self.url = eventually(line, within_s=20, what="host ready").removeprefix("host ready ")
        return self

    def wait_exit(self) -> int:
        """Wait for the end of the process and return its exit code."""
        return self.process.wait(timeout=20)

    def stop(self) -> int:
        """Stop it as a supervisor does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=25)
        finally:
            self.process.kill()

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request and return the answer, whatever its status."""
        request = urllib.request.Request(self.url + path, data=body, method=method, headers=dict(headers or {}))
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return Answer(response.status, response.getheaders(), response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, list(error.headers.items()), error.read())
