"""Runs one invocation from call to written outputs, logs its line, and knows how many are running."""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from local.functions_host.calls import Call
from local.functions_host.expressions import BindingData
from local.functions_host.faults import Faults
from local.functions_host.functions import RETURN, Function
from local.functions_host.outputs import OutputWriter
from local.functions_host.values import CallResult, Value
from local.functions_host.worker_channel import WorkerEndedError

_log = logging.getLogger("local.functions_host")


@dataclass(frozen=True)
class Outcome:
    """How an invocation ended; it is ok only when the outputs are written too."""

    ok: bool
    returned: Value | None  # what an HTTP function answered


class CallsWorker(Protocol):
    """The worker as an invocation needs it."""

    async def call(self, call: Call) -> CallResult:
        """Call a function; raises WorkerEndedError when the process ends first."""
        ...

    def end_for_timeout(self) -> None:
        """End the process, with every call in it."""
        ...


class Invoker:
    """Runs invocations of the app's functions."""

    def __init__(
        self,
        worker: CallsWorker,
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

    async def cut_off(self) -> None:
        """Leave what still runs: no answer is waited for, no message is given back."""
        for task in set(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def invoke(
        self,
        function: Function,
        value: Value,
        metadata: Mapping[str, Value],
        data: BindingData,
        *,
        retry: tuple[int, int] = (0, 0),
    ) -> Outcome:
        """Call the function with its trigger's value and write its outputs; never raises."""
        invocation_id = str(uuid.uuid4())
        began = time.monotonic()
        if self._faults.tells_starts:
            self._report(f"{function.name} {invocation_id} started")
        self._faults.reach(function.name, "before-call")
        call = Call(
            invocation_id=invocation_id,
            function_id=function.function_id,
            inputs=((str(function.trigger["name"]), value),),
            metadata=dict(metadata),
            retry=retry,
            death=self._faults.death_of_worker(function.name),
        )
        result = await self._call(call, function)
        error = result.error if not result.ok else None
        if result.ok:
            self._faults.reach(function.name, "after-call")
            values = dict(result.outputs)
            if result.returned is not None:
                values[RETURN] = result.returned
            try:
                await self._writer.write(function, values, data, invocation_id)
            except Exception as fault:  # noqa: BLE001 - a failed output fails the invocation, whatever the fault
                error = f"output not written: {fault!r}"
                _log.error("function %s, invocation %s: %s", function.name, invocation_id, error)
            else:
                self._faults.reach(function.name, "after-outputs")
        took_ms = round((time.monotonic() - began) * 1000)
        outcome = "succeeded" if error is None else f"FAILED: {' '.join(str(error).split())[:300]}"
        self._report(f"{function.name} {invocation_id} {took_ms} ms {outcome}")
        return Outcome(error is None, result.returned if error is None else None)

    def refuse(self, function: Function, reason: str) -> Outcome:
        """Fail an invocation whose trigger value cannot be made; the function is not called."""
        _log.error("function %s: %s", function.name, reason)
        self._report(f"{function.name} {uuid.uuid4()} 0 ms FAILED: {reason}")
        return Outcome(ok=False, returned=None)

    async def _call(self, call: Call, function: Function) -> CallResult:
        """Call the worker; a call over functionTimeout ends its process, with every other call in it."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._worker.call(call)
        except TimeoutError:
            self._worker.end_for_timeout()
            error = f"FunctionTimeoutException: {self._timeout_s:g} s (functionTimeout) exceeded by {function.name}"
            _log.error("function %s, invocation %s: %s", function.name, call.invocation_id, error)
        except WorkerEndedError as ended:
            error = str(ended)
        return CallResult(ok=False, returned=None, outputs={}, error=error)
