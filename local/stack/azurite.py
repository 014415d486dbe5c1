"""Azurite, Microsoft's storage emulator, as a child process: the locked npm package, on free ports, telemetry off.

Owns its command line, its connection string and where its data live. `make setup` installs it.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from local.stack.ports import LOOPBACK, PortInUse, is_free
from local.stack.process import Child, StartError

ROOT = Path(__file__).resolve().parents[2]
ENTRY = ROOT / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
ACCOUNT = "devstoreaccount1"
# The development account key that Microsoft publishes for Azurite: the same on every machine, worth nothing outside it.
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
START_TIMEOUT_S = 30.0
STARTED = re.compile(r"Azurite (Blob|Queue|Table) service is successfully listening at \S+:(\d+)")


class Azurite:
    """A running Azurite. Use as a context manager, or call `start` and `stop`.

    `location` None keeps everything in memory; a folder keeps it over restarts (a stop by SIGTERM flushes, a crash of
    Azurite itself may lose its last seconds). A port of 0 means any free one.
    """

    def __init__(
        self,
        *,
        log_path: Path,
        location: Path | None = None,
        blob_port: int = 0,
        queue_port: int = 0,
        table_port: int = 0,
    ) -> None:
        self._log_path = log_path
        self._location = location
        self._ports = {"Blob": blob_port, "Queue": queue_port, "Table": table_port}
        self._child: Child | None = None

    def start(self) -> None:
        """Start it and wait until all three services listen.

        Raises:
            StartError: node or the package is missing, or Azurite ended or hung.
            PortInUse: a port asked for by number is taken.
        """
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start the process without waiting for it, so that others can start meanwhile.

        Raises:
            StartError: node or the package is missing.
            PortInUse: a port asked for by number is taken.
        """
        node = node_program()
        if not ENTRY.is_file():
            raise StartError("azurite: not installed; run 'make clean setup'")
        for service, port in self._ports.items():
            if port and not is_free(port):
                raise PortInUse({f"azurite {service.lower()}": port})
        if self._location is None:
            where = ["--inMemoryPersistence"]
        else:
            self._location.mkdir(parents=True, exist_ok=True)
            where = ["--location", str(self._location)]
        options = ["--silent", "--disableTelemetry", "--skipApiVersionCheck"]  # the SDKs' API is newer than any Azurite
        listen = [
            word
            for service, port in self._ports.items()
            for word in (f"--{service.lower()}Host", LOOPBACK, f"--{service.lower()}Port", str(port))
        ]
        self._child = Child("azurite", [node, str(ENTRY), *where, *options, *listen], log_path=self._log_path)

    def wait_ready(self) -> None:
        """Wait until all three services listen, and learn their ports.

        Raises:
            StartError: Azurite ended or hung.
        """
        started = self.child.wait_for_log(STARTED, count=3, timeout_s=START_TIMEOUT_S)
        self._ports = {match[1]: int(match[2]) for match in started}

    def stop(self) -> None:
        """Stop it; data under `location` are flushed first."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    @property
    def child(self) -> Child:
        """The running process."""
        if self._child is None:
            raise StartError("azurite: not started")
        return self._child

    @property
    def connection_string(self) -> str:
        """What `AzureWebJobsStorage` takes."""
        endpoints = "".join(
            f"{service}Endpoint=http://{LOOPBACK}:{port}/{ACCOUNT};" for service, port in self._ports.items()
        )
        return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};{endpoints}"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def node_program() -> str:
    """Give the node to use: the one set up beside the Python packages, else the machine's own.

    Raises:
        StartError: there is none.
    """
    found = shutil.which("node", path=str(Path(sys.executable).parent)) or shutil.which("node")
    if found is None:
        raise StartError("azurite: node is not on PATH; run 'make setup', which brings one")
    return found
