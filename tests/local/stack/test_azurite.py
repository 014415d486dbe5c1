"""Azurite as a child process: where its data go, and what is said when it cannot start."""

import sys
from pathlib import Path

import pytest
from azure.storage.queue import QueueServiceClient

from local.stack import azurite
from local.stack.azurite import Azurite
from local.stack.ports import PortInUse, free_ports
from local.stack.process import StartError

pytestmark = pytest.mark.azurite


def queues(server: Azurite) -> list[str]:
    with QueueServiceClient.from_connection_string(server.connection_string) as client:
        return [queue.name for queue in client.list_queues()]


def create_queue(server: Azurite, name: str) -> None:
    with QueueServiceClient.from_connection_string(server.connection_string) as client:
        client.create_queue(name)


def test_a_folder_keeps_the_data_over_restarts(tmp_path: Path) -> None:
    """What was stored is there after a stop and a start, on other ports."""
    with Azurite(log_path=tmp_path / "log", location=tmp_path / "data") as first:
        create_queue(first, "kept")
    with Azurite(log_path=tmp_path / "log", location=tmp_path / "data") as second:
        assert queues(second) == ["kept"]


def test_memory_keeps_nothing_and_a_stop_leaves_no_process(tmp_path: Path) -> None:
    """Without a folder every start is empty."""
    with Azurite(log_path=tmp_path / "log") as first:
        create_queue(first, "lost")
        child = first.child
    assert not child.is_running
    with Azurite(log_path=tmp_path / "log") as second:
        assert queues(second) == []


def test_ports_can_be_chosen_and_a_taken_one_is_named(tmp_path: Path) -> None:
    """A chosen port is used; a second Azurite on it is refused with the name of the service."""
    (port,) = free_ports(1)
    with Azurite(log_path=tmp_path / "log", queue_port=port) as server:
        assert f"QueueEndpoint=http://127.0.0.1:{port}/" in server.connection_string
        with pytest.raises(PortInUse, match=f"azurite queue: port {port}"):
            Azurite(log_path=tmp_path / "other", queue_port=port).start()


def test_a_missing_node_or_package_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that ends in the command to run."""
    monkeypatch.setattr(azurite, "ENTRY", tmp_path / "azurite.js")
    with pytest.raises(StartError, match="azurite: not installed; run 'make clean setup'"):
        Azurite(log_path=tmp_path / "log").start()
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(StartError, match="node is not on PATH; run 'make setup'"):
        Azurite(log_path=tmp_path / "log").start()


def test_an_azurite_that_ends_at_once_is_told_with_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken installation: its exit code and the end of its log in one line."""
    broken = tmp_path / "azurite.js"
    broken.write_text("console.log('the disk is on fire'); process.exit(3)")
    monkeypatch.setattr(azurite, "ENTRY", broken)
    with pytest.raises(StartError, match="azurite: ended with code 3: the disk is on fire"):
        Azurite(log_path=tmp_path / "log").start()
