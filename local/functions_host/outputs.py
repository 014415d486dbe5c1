"""Turns what a function gave to its outputs into queue messages and blobs, and writes them as the script host does.

Text that is a JSON array becomes one message per element, text that is a JSON object is written again by Json.NET's
rules, bytes and lists of texts stay untouched. All outputs are written side by side and each is tried even when another
fails; what is written stays. A blob is two writes: an empty one is put first, over whatever is there; its content is
committed when *all* outputs have succeeded. `local.functions_host.faults` says when they go one by one instead.
"""

import asyncio
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from local.functions_host import json_net
from local.functions_host.expressions import BindingData, blob_target, fill_expressions
from local.functions_host.faults import Faults
from local.functions_host.functions import Function, Output
from local.functions_host.storage import Storage, encode_text
from local.functions_host.values import Value

PARENT: Final = "AzureWebJobsParentId"  # the blob metadata that names the invocation
_NOT_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")


def queue_bodies(value: Value) -> list[bytes]:
    """Return the bodies of the messages that a value becomes.

    Raises:
        ValueError: text that looks like JSON (braces or brackets at both ends) and is not.
    """
    if value.kind == "bytes":
        return [bytes(value.data)]
    text = str(value.data)
    if value.kind not in {"string", "json"}:
        raise ValueError(f"a queue output cannot be of type {value.kind}")
    if value.kind == "string" and not _looks_like_json(text):
        return [text.encode()]
    if value.kind == "json" and (texts := _list_of_texts(text)) is not None:
        return [element.encode() for element in texts]
    parsed = json_net.read(text)
    return [json_net.as_text(element).encode() for element in (parsed if isinstance(parsed, list) else [parsed])]


def blob_body(value: Value) -> bytes:
    """Return the content of the blob that a value becomes; text is written as UTF-8.

    Raises:
        ValueError: neither bytes nor text.
    """
    if value.kind == "bytes":
        return bytes(value.data)
    if value.kind == "string":
        return str(value.data).encode()
    raise ValueError(f"a blob output cannot be of type {value.kind}")


def _looks_like_json(text: str) -> bool:
    ends = text.strip()
    return len(ends) > 1 and (ends[0], ends[-1]) in {("{", "}"), ("[", "]")}


def _list_of_texts(text: str) -> list[str] | None:
    """Return the elements of what ``Out[List[str]]`` gave: the worker wrote that JSON, and texts cross unchanged."""
    parsed: Any = json.loads(text)
    return parsed if isinstance(parsed, list) and all(isinstance(element, str) for element in parsed) else None


@dataclass(frozen=True)
class Write:
    """One queue message or one blob to be written."""

    kind: Literal["queue", "blob"]
    connection: str
    target: str  # queue name or container/blob, expressions filled in
    body: bytes


def planned_writes(function: str, output: Output, value: Value, data: BindingData) -> list[Write]:
    """Return the writes of one output.

    Raises:
        ValueError: the value does not fit the output, or its target names something unknown.
    """
    target = fill_expressions(output.target, data, function=function)
    if output.kind == "queue":
        return [Write("queue", output.connection, target, body) for body in queue_bodies(value)]
    blob_target(target)
    return [Write("blob", output.connection, target, blob_body(value))]


@dataclass
class _Steps:
    """The writes of an invocation that are still to come; a blob has two."""

    faults: Faults
    function: str
    left: int

    def one_done(self) -> None:
        self.left -= 1
        if self.left:
            self.faults.reach(self.function, "between-outputs")


class OutputWriter:
    """Writes the outputs of invocations."""

    def __init__(
        self,
        storage: Storage,
        faults: Faults,
        *,
        message_encoding: Literal["base64", "none"],
        wake: Callable[[str], None],
    ) -> None:
        self._storage = storage
        self._faults = faults
        self._encoding = message_encoding
        self._wake = wake

    async def write(
        self, function: Function, values: Mapping[str, Value], data: BindingData, invocation_id: str
    ) -> None:
        """Write every output that was set.

        Raises:
            Exception: the first output that failed; what could be written is, and no blob has its content.
        """
        outputs = [output for output in function.outputs if output.name in values]
        if self._faults.output_order == "reverse":
            outputs.reverse()
        failures: list[Exception] = []
        batches: list[Sequence[Write]] = []
        for output in outputs:
            try:
                batches.append(planned_writes(function.name, output, values[output.name], data))
            except ValueError as error:
                failures.append(ValueError(f"output {output.name!r}: {error}"))
        blobs = [write for batch in batches for write in batch if write.kind == "blob"]
        steps = _Steps(self._faults, function.name, sum(map(len, batches)) + len(blobs))

        async def begin_all(batch: Sequence[Write]) -> None:
            for done, write in enumerate(batch):
                try:
                    await self._begin(write, invocation_id)
                except Exception as error:  # noqa: BLE001 - whatever it is, it fails this output and no other
                    failures.append(error)
                    steps.left -= len(batch) - done
                    return
                steps.one_done()

        if self._faults.output_order == "together":
            await asyncio.gather(*map(begin_all, batches))
        else:
            for batch in batches:
                await begin_all(batch)
        if failures:
            raise failures[0]
        for write in blobs:
            container, name = blob_target(write.target)
            await self._storage.commit_blob(write.connection, container, name, write.body, {PARENT: invocation_id})
            steps.one_done()

    async def _begin(self, write: Write, invocation_id: str) -> None:
        """Add a message, or put the empty blob that comes before the content."""
        if write.kind == "blob":
            container, name = blob_target(write.target)
            await self._storage.write_blob(write.connection, container, name, b"", {PARENT: invocation_id})
            return
        text = encode_text(write.body, self._encoding)
        if _NOT_XML.search(text):
            raise ValueError("a message without base64 cannot hold control characters")
        queue = self._storage.queue(write.connection, write.target)
        await queue.put(text)
        self._wake(queue.key)
