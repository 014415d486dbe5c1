"""Runs one invocation from call to written outputs, logs its line, and knows how many are running."""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local.functions_host.expressions import BindingData
from local.functions_host.faults import Faults
from local.functions_host.functions import RETURN, Function
from local.functions_host.outputs import OutputWriter
from local.functions_host.wire import Datum
from local.functions_host.worker import Worker

_log = logging.getLogger("local.functions_host")


@dataclass(frozen=True)
class Outcome:
    """How an invocation ended; it is ok only when the outputs are written too."""

    ok: bool
    returned: Datum | None  # what an HTTP function answered


class Invoker:
    """Runs invocations of the app's functions."""

    def __init__(
        self,
        worker: Worker,
        writer: OutputWriter,
        faults: Faults,
        *,
        timeout_s: float | None,
        report: Callable[[str], None],
    ) -> None:
        self._worker = worker
        self._writer = writer
        self._faults = faults
        self._timeout_s = timeout_s
        self._report = report
        self._tasks: set[asyncio.Task[Any]] = set()

    def start[T](self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run something as a task that a stop waits for: an invocation and what must follow it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def finish(self, timeout_s: float) -> bool:
        """Wait until nothing runs; False if something still does after that long."""
        deadline = time.monotonic() + timeout_s
        while self._tasks and time.monotonic() < deadline:
            await asyncio.wait(set(self._tasks), timeout=max(0.0, deadline - time.monotonic()))
        return not self._tasks

    async def invoke(
        self,
        function: Function,
        value: Datum,
        metadata: Mapping[str, Datum],
        data: BindingData,
        *,
        retry: tuple[int, int] = (0, 0),
    ) -> Outcome:
        """Call the function with its trigger's value and write its outputs; never raises."""
        invocation_id = str(uuid.uuid4())
        began = time.monotonic()
        overdue = self._warn_when_overdue(function, invocation_id)
        self._faults.reach(function.name, "before-call")
        inputs: Sequence[tuple[str, Datum]] = [(str(function.trigger["name"]), value)]
        result = await self._worker.call(function.function_id, invocation_id, inputs, metadata, retry=retry)
        if overdue:
            overdue.cancel()
        error = result.error if not result.ok else None
        if result.ok:
            self._faults.reach(function.name, "after-call")
            values = dict(result.outputs)
            if result.returned is not None and result.returned.type is not None:
                values[RETURN] = result.returned
            try:
                await self._writer.write(function, values, data)
            except Exception as fault:  # noqa: BLE001 - a failed output fails the invocation, whatever the fault
                error = f"output not written: {fault!r}"
                _log.error("function %s, invocation %s: %s", function.name, invocation_id, error)
            else:
                self._faults.reach(function.name, "after-outputs")
        took_ms = round((time.monotonic() - began) * 1000)
        outcome = "succeeded" if error is None else f"FAILED: {' '.join(str(error).split())[:300]}"
        self._report(f"{function.name} {invocation_id} {took_ms} ms {outcome}")
        return Outcome(error is None, result.returned if error is None else None)

    def _warn_when_overdue(self, function: Function, invocation_id: str) -> asyncio.TimerHandle | None:
        """Azure kills the worker at functionTimeout; here the call goes on and a line says so."""
        if self._timeout_s is None:
            return None
        message = "function %s, invocation %s: over functionTimeout (%g s); Azure would have killed it"
        arguments = (message, function.name, invocation_id, self._timeout_s)
        return asyncio.get_running_loop().call_later(self._timeout_s, _log.warning, *arguments)
