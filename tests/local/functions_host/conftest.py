"""Fixtures of the host's tests: one Azurite for the session, host processes that never outlive their test."""

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest

from tests.local.functions_host.harness import (
    APPS,
    Account,
    HostProcess,
    azurite_command,
    can_connect,
    eventually,
    free_ports,
)


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """A storage account of an Azurite that keeps everything in memory."""
    command = azurite_command()
    assert command, "Azurite is not installed: run make setup, or set AZURITE_BIN"
    blob, queue, table = free_ports(3)
    options = ["--inMemoryPersistence", "--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    for kind, port in (("blob", blob), ("queue", queue), ("table", table)):
        options += [f"--{kind}Host", "127.0.0.1", f"--{kind}Port", str(port)]
    log = tmp_path_factory.mktemp("azurite") / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen([*command, *options], stdout=output, stderr=output, cwd=log.parent)
    try:
        eventually(lambda: can_connect(blob) and can_connect(queue), within_s=30, what="Azurite listening")
        account = Account(blob, queue)
        yield account
        account.close()
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)


class StartHost(Protocol):
    """Starts a host for one of the sample apps."""

    def __call__(
        self, app: str | Path, *arguments: str, env: Mapping[str, str] | None = None, ready: bool = True
    ) -> HostProcess: ...


def _starter(folder: Path, started: list[HostProcess]) -> StartHost:
    def start(
        app: str | Path, *arguments: str, env: Mapping[str, str] | None = None, ready: bool = True
    ) -> HostProcess:
        log_dir = folder / f"host-{len(started)}"
        log_dir.mkdir()
        host = HostProcess(APPS / app, log_dir, env or {}, *arguments)
        started.append(host)
        return host.wait_ready() if ready else host

    return start


@pytest.fixture
def start_host(tmp_path: Path) -> Iterator[StartHost]:
    """Starts hosts that end with the test."""
    started: list[HostProcess] = []
    yield _starter(tmp_path, started)
    for host in started:
        host.stop()


@pytest.fixture(scope="module")
def start_shared_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartHost]:
    """Starts hosts that end with the test module."""
    started: list[HostProcess] = []
    yield _starter(tmp_path_factory.mktemp("hosts"), started)
    for host in started:
        host.stop()
