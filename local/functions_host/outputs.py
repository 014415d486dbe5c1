"""Turns what a function gave to its outputs into queue messages and blobs, and writes them.

The rules are the script host's: text that is a JSON array becomes one message per element, text that is a JSON object
is written again indented, bytes stay untouched. Every output is tried even when another one fails, as the script host
does, which writes them concurrently; `local.functions_host.faults` says when they go one by one instead.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from local.functions_host.expressions import BindingData, fill_expressions
from local.functions_host.faults import Faults
from local.functions_host.functions import Function, Output
from local.functions_host.storage import Storage, encode_text
from local.functions_host.wire import Datum


def queue_bodies(value: Datum) -> list[bytes]:
    """Return the bodies of the messages that a value becomes.

    Raises:
        ValueError: text that looks like JSON (braces or brackets at both ends) and is not.
    """
    if value.type == "bytes":
        return [bytes(value.value)]
    text = str(value.value)
    if value.type not in {"string", "json"}:
        raise ValueError(f"a queue output cannot be of type {value.type}")
    if value.type == "string" and not _looks_like_json(text):
        return [text.encode()]
    parsed = json.loads(text)
    elements = parsed if isinstance(parsed, list) else [parsed]
    return [_element_text(element).encode() for element in elements]


def blob_body(value: Datum) -> bytes:
    """Return the content of the blob that a value becomes; text is written as UTF-8.

    Raises:
        ValueError: neither bytes nor text.
    """
    if value.type == "bytes":
        return bytes(value.value)
    if value.type == "string":
        return str(value.value).encode()
    raise ValueError(f"a blob output cannot be of type {value.type}")


def _looks_like_json(text: str) -> bool:
    ends = text.strip()
    return len(ends) > 1 and (ends[0], ends[-1]) in {("{", "}"), ("[", "]")}


def _element_text(element: Any) -> str:
    """Return a JSON value as .NET's ToString writes it: objects indented, text without quotes, True and False."""
    if isinstance(element, str):
        return element
    if element is None or isinstance(element, bool):
        return "" if element is None else str(element)
    return json.dumps(element, indent=2, ensure_ascii=False)


@dataclass(frozen=True)
class Write:
    """One queue message or one blob to be written."""

    kind: Literal["queue", "blob"]
    connection: str
    target: str  # queue name or container/blob, expressions filled in
    body: bytes


def planned_writes(function: str, output: Output, value: Datum, data: BindingData) -> list[Write]:
    """Return the writes of one output.

    Raises:
        ValueError: the value does not fit the output, or its target names something unknown.
    """
    target = fill_expressions(output.target, data, function=function)
    if output.kind == "queue":
        return [Write("queue", output.connection, target, body) for body in queue_bodies(value)]
    container, _, name = target.partition("/")
    if not container or not name:
        raise ValueError(f"blob path {target!r} is not container/name")
    return [Write("blob", output.connection, target, blob_body(value))]


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

    async def write(self, function: Function, values: Mapping[str, Datum], data: BindingData) -> None:
        """Write every output that was set.

        Raises:
            Exception: the first output that failed; the others are written.
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
        left = sum(map(len, batches))

        async def write_all(batch: Sequence[Write]) -> None:
            nonlocal left
            for done, write in enumerate(batch):
                try:
                    await self._write(write)
                except Exception as error:  # noqa: BLE001 - whatever it is, it fails this output and no other
                    failures.append(error)
                    left -= len(batch) - done
                    return
                left -= 1
                if left:
                    self._faults.reach(function.name, "between-outputs")

        if self._faults.output_order == "together":
            await asyncio.gather(*map(write_all, batches))
        else:
            for batch in batches:
                await write_all(batch)
        if failures:
            raise failures[0]

    async def _write(self, write: Write) -> None:
        if write.kind == "blob":
            container, _, name = write.target.partition("/")
            await self._storage.write_blob(write.connection, container, name, write.body)
            return
        queue = self._storage.queue(write.connection, write.target)
        await queue.put(encode_text(write.body, self._encoding))
        self._wake(queue.key)
