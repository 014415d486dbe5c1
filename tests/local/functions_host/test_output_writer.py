"""Writing the outputs of one invocation: order, faults between writes, and what one failure means for the others."""

import asyncio
from typing import Any

import pytest

from local.functions_host.expressions import BindingData
from local.functions_host.faults import Faults
from local.functions_host.functions import Function, Output
from local.functions_host.outputs import PARENT, OutputWriter
from local.functions_host.values import Value, bytes_value, json_value

OUTPUTS = (
    Output("queue", "many", "q-many", ""),
    Output("blob", "file", "box/file", ""),
    Output("queue", "last", "q-last", ""),
)
FUNCTION = Function("f", "id", {"type": "queueTrigger"}, OUTPUTS, None, disabled=False, bindings=())


class Storage:
    """Notes what is written and fails where the test says."""

    def __init__(self, failing: str = "") -> None:
        self.failing = failing
        self.written: list[str] = []

    def queue(self, connection: str, name: str) -> Any:
        storage = self

        class Queue:
            key = name

            async def put(self, text: str) -> None:
                storage.note(f"{name}:{text}")

        return Queue()

    async def write_blob(
        self, connection: str, container: str, name: str, body: bytes, metadata: dict[str, str]
    ) -> None:
        assert metadata == {PARENT: "call"}
        self.note(f"{container}/{name}:{body.decode()}")

    async def commit_blob(
        self, connection: str, container: str, name: str, body: bytes, metadata: dict[str, str]
    ) -> None:
        assert metadata == {PARENT: "call"}
        self.note(f"{container}/{name}:{body.decode()}")

    def note(self, write: str) -> None:
        if self.failing and write == self.failing:
            raise OSError(write)
        self.written.append(write)


class CountedFaults(Faults):
    """Counts how often the point between two writes is reached."""

    reached = 0

    def reach(self, function: str, point: str) -> None:
        assert (function, point) == ("f", "between-outputs")
        self.reached += 1


def write(storage: Storage, faults: Faults, **values: Value) -> list[str]:
    """Write some outputs and return the queues that were woken."""
    woken: list[str] = []
    writer = OutputWriter(storage, faults, message_encoding="none", wake=woken.append)  # type: ignore[arg-type]  # a fake
    asyncio.run(writer.write(FUNCTION, values, BindingData(), "call"))
    return woken


VALUES: dict[str, Value] = {
    "last": bytes_value(b"z"),
    "file": bytes_value(b"y"),
    "many": json_value(["a", "b"]),
}


def test_writes_go_in_binding_order() -> None:
    """Outputs are written in the order of their bindings, a blob's content last; a queue write wakes its listeners."""
    storage, faults = Storage(), CountedFaults()
    assert write(storage, faults, **VALUES) == ["q-many", "q-many", "q-last"]
    assert storage.written == ["q-many:a", "q-many:b", "box/file:", "q-last:z", "box/file:y"]
    assert faults.reached == 4  # between five writes


def test_reverse_order() -> None:
    """Reversed, the last binding is written first; messages of one output keep their order."""
    storage = Storage()
    write(storage, CountedFaults(output_order="reverse"), **VALUES)
    assert storage.written == ["q-last:z", "box/file:", "q-many:a", "q-many:b", "box/file:y"]


def test_outputs_are_written_side_by_side() -> None:
    """A slow blob keeps no message waiting, and a reader finds it empty beside the messages, as on the real host."""
    released = asyncio.Event()

    class SlowBlobs(Storage):
        async def write_blob(
            self, connection: str, container: str, name: str, body: bytes, metadata: dict[str, str]
        ) -> None:
            await released.wait()
            await super().write_blob(connection, container, name, body, metadata)

        def note(self, write: str) -> None:
            super().note(write)
            if write == "q-last:z":
                released.set()

    storage = SlowBlobs()
    write(storage, CountedFaults(output_order="together"), **VALUES)
    assert sorted(storage.written) == ["box/file:", "box/file:y", "q-last:z", "q-many:a", "q-many:b"]
    assert storage.written.index("q-last:z") < storage.written.index("box/file:") < storage.written.index("box/file:y")


@pytest.mark.parametrize(
    ("failing", "written"),
    [
        ("q-many:a", ["box/file:", "q-last:z"]),
        ("q-many:b", ["q-many:a", "box/file:", "q-last:z"]),
        ("box/file:", ["q-many:a", "q-many:b", "q-last:z"]),
        ("box/file:y", ["q-many:a", "q-many:b", "box/file:", "q-last:z"]),
    ],
)
def test_one_failure_leaves_the_other_outputs(failing: str, written: list[str]) -> None:
    """A failing output ends itself and fails the call; messages of others are written, but a blob stays empty."""
    storage, faults = Storage(failing), CountedFaults()
    with pytest.raises(OSError, match=failing):
        write(storage, faults, **VALUES)
    assert storage.written == written
    assert faults.reached <= len(written)


def test_value_that_does_not_fit_fails_too() -> None:
    """A value its output cannot take is a failure with the output's name, and the others are written."""
    storage = Storage()
    with pytest.raises(ValueError, match="output 'file'"):
        write(storage, CountedFaults(), **{**VALUES, "file": json_value({})})
    assert storage.written == ["q-many:a", "q-many:b", "q-last:z"]


def test_nothing_set_writes_nothing() -> None:
    """Without values there is no write and no point to die at."""
    storage, faults = Storage(), CountedFaults()
    assert write(storage, faults) == []
    assert (storage.written, faults.reached) == ([], 0)
