"""The end of a worker process as app and messages see it: by itself, by a kill, by a time-out, by a scale-in."""

import asyncio
import base64
import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local.functions_host.calls import Call
from local.functions_host.faults import KILL_EXIT_CODE
from local.functions_host.worker_channel import MOST_DEATHS, WINDOW_S, WorkerChannel, WorkerEndedError
from tests.local.functions_host.conftest import StartHost
from tests.local.functions_host.harness import APPS, Account, Answer, HostProcess, eventually

pytestmark = pytest.mark.azurite

Start = Callable[..., HostProcess]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where the app notes its calls."""
    file = tmp_path / "probe.log"
    file.touch()
    return file


@pytest.fixture
def start(start_host: StartHost, azurite: Account, log: Path) -> Start:
    """Starts the app on an empty account."""
    azurite.clear()
    azurite.queue("work").create_queue()
    azurite.queue("done").create_queue()

    def begin(**env: str) -> HostProcess:
        variables = {"AzureWebJobsStorage": azurite.connection_string, "PROBE_LOG": str(log), **env}
        return start_host("mortal", env=variables)

    return begin


def send(account: Account, text: str) -> None:
    account.send("work", base64.b64encode(text.encode()).decode())


def notes(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def done(account: Account) -> list[str]:
    return sorted(base64.b64decode(text).decode() for text in account.texts("done"))


def call_in_thread(host: HostProcess, path: str) -> Callable[[], Answer]:
    """Send a request beside the test; the result waits for its answer."""
    answers: list[Answer] = []
    caller = threading.Thread(target=lambda: answers.append(host.ask(path)))
    caller.start()

    def result() -> Answer:
        caller.join(20)
        return answers[0]

    return result


def worker_pid(host: HostProcess) -> int:
    """Return the process that the host's last line about it names."""
    return int(re.findall(r"worker process (\d+) started", host.output)[-1])


def test_a_worker_that_dies_takes_its_calls_along_and_is_replaced(start: Start, azurite: Account, log: Path) -> None:
    """The innocent call beside it fails too; the host answers on, another process runs what comes back."""
    host = start()
    first = worker_pid(host)
    waiting = call_in_thread(host, "/api/wait?s=15")
    eventually(lambda: notes(log), what="the call that waits")
    send(azurite, "a:wait15")
    eventually(lambda: len(notes(log)) == 2, what="the message that waits")
    send(azurite, "b:die")
    assert (waiting().status, waiting().body) == (500, b"")
    eventually(lambda: done(azurite) == ["a", "b"], what="both messages done")
    eventually(lambda: azurite.count("work") == 0, what="an empty queue")
    again = [(note["name"], note["count"]) for note in notes(log) if note.get("count") == 2]
    assert sorted(again) == [("a", 2), ("b", 2)]
    second = worker_pid(host)
    assert second != first
    assert {note["pid"] for note in notes(log) if note.get("ended")} == {second}
    assert f"worker process {first}: python exited with code 3" in host.errors
    assert host.ask("/api/wait?s=0").body == str(second).encode()


def test_a_killed_worker_is_replaced_and_the_host_stays(start: Start, azurite: Account, log: Path) -> None:
    """A SIGKILL from outside, as memory pressure does it: the message comes back with the next count."""
    host = start()
    send(azurite, "a:wait15")
    eventually(lambda: notes(log), what="the call")
    os.kill(worker_pid(host), signal.SIGKILL)
    eventually(lambda: done(azurite) == ["a"], what="the message done")
    assert [note.get("count") for note in notes(log)] == [1, 2, None]
    assert host.process.poll() is None
    assert "python exited with code 137" in host.errors


@pytest.mark.parametrize(("point", "ran"), [("worker-before-call", 1), ("worker-after-call", 2)])
def test_a_worker_can_be_told_where_to_die(start: Start, azurite: Account, log: Path, point: str, ran: int) -> None:
    """Before the function began, or after it returned with its answer unsent: nothing of that call is written."""
    host = start(LOCAL_HOST_KILL_AT=f"work:{point}")
    send(azurite, "a")
    eventually(lambda: done(azurite) == ["a"], what="the message done")
    assert sum("ended" in note for note in notes(log)) == ran
    assert f"python exited with code {KILL_EXIT_CODE}" in host.errors


def test_the_third_death_ends_the_host(start: Start) -> None:
    """Three deaths within 30 minutes: the host ends, with a line that says so."""
    host = start()
    assert [host.ask("/api/die").status for _ in range(3)] == [500] * 3
    assert host.wait_exit() == 1
    assert host.errors.splitlines()[-1].startswith("error: the worker process ended 3 times within 30 minutes")


def test_a_timeout_ends_the_worker_with_every_call_in_it(start: Start, azurite: Account, log: Path) -> None:
    """FunctionTimeout kills the process; the call that was too long and the innocent one both fail and come back."""
    host = start(AzureFunctionsJobHost__functionTimeout="00:00:01.500")
    first = worker_pid(host)
    send(azurite, "long:wait15")
    eventually(lambda: notes(log), what="the long call")
    time.sleep(0.9)
    innocent = call_in_thread(host, "/api/wait?s=1.2")
    assert innocent().status == 500
    eventually(lambda: done(azurite) == ["long"], what="the message done")
    assert "FunctionTimeoutException: 1.5 s (functionTimeout) exceeded by work" in host.errors
    assert "wait" in host.output
    assert "FunctionTimeoutAbortException: Worker channel is shutting down" in host.output
    assert worker_pid(host) != first
    # What the host did itself is not counted as a death.
    assert [host.ask("/api/die").status for _ in range(2)] == [500] * 2
    assert host.ask("/api/wait?s=0").status == 200


def test_scale_in_gives_calls_a_moment(start: Start, azurite: Account, log: Path) -> None:
    """SIGUSR1: no more messages are taken, and after 1 to 3 s the worker ends with 143 and its calls are aborted."""
    host = start()
    waiting = call_in_thread(host, "/api/wait?s=15")
    eventually(lambda: notes(log), what="the call")
    began = time.monotonic()
    host.process.send_signal(signal.SIGUSR1)
    assert host.wait_exit() == 0
    assert 1.0 <= time.monotonic() - began < 6.0
    assert waiting().status == 500
    assert "python exited with code 143" in host.errors
    assert "FunctionTimeoutAbortException" in host.output
    send(azurite, "late")
    time.sleep(0.3)
    assert [note["name"] for note in notes(log)] == ["wait"]


def test_a_stop_cuts_off_what_takes_too_long(start: Start, azurite: Account, log: Path) -> None:
    """SIGTERM waits 10 s for what runs, then leaves it: the message is not given back, hidden anew or poisoned."""
    host = start(LOCAL_HOST_LEASE_S="60")
    send(azurite, "a:wait60")
    eventually(lambda: notes(log), what="the call")
    began = time.monotonic()
    assert host.stop() == 0
    assert 9.5 <= time.monotonic() - began < 15
    assert "stopping although calls are still running after 10 s" in host.errors
    assert (azurite.texts("work"), azurite.count("work"), done(azurite)) == ([], 1, [])


def test_the_worker_ends_with_a_killed_host(start: Start) -> None:
    """Nothing stays behind after kill -9 of the host."""
    host = start()
    worker = worker_pid(host)
    host.process.kill()
    host.process.wait()

    def is_gone() -> bool:
        try:
            return Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except FileNotFoundError:
            return True

    eventually(is_gone, what="the end of the worker")


def test_deaths_are_counted_within_the_window_only() -> None:
    """Deaths far apart never end the host; calls that wait meanwhile are answered by the next process."""
    clock = [0.0]
    env = {**os.environ, "PROBE_LOG": os.devnull}

    async def main() -> None:
        channel = WorkerChannel(APPS / "mortal", env, level=30, now=lambda: clock[0])
        channel.start()
        index = await channel.index()
        (die,) = [function.function_id for function in index.functions if function.name == "die"]
        for number in range(MOST_DEATHS + 1):
            clock[0] += WINDOW_S / 2 + 1
            with pytest.raises(WorkerEndedError, match="python exited with code 137"):
                await channel.call(
                    Call(invocation_id=str(number), function_id=die, inputs=(), metadata={}, death="worker-before-call")
                )
        await channel.stop()
        assert not channel.failure

    asyncio.run(main())
