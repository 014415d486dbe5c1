"""Runs the app inside Microsoft's worker library, in the worker process: loads and indexes it, calls its functions.

The library keeps its state in module globals, so a process can hold one app, once: a reload is a new process. Calls go
through ``native_invocation``, which the package does not export from its root; that is why the version is pinned and
checked, and why a test looks at the signature.
"""

import json
import os
import re
import secrets
import sys
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

import azure_functions_runtime as runtime
from azure_functions_runtime.native_invocation import invocation_request_native

from local.functions_host.calls import Call
from local.functions_host.errors import BAD_APP, HostError
from local.functions_host.functions import IndexedFunction, RetryPolicy
from local.functions_host.values import CallResult
from local.functions_host.wire import Message, Protos, datum_of, value_of


class Worker:
    """The app of this process."""

    def __init__(self, app_dir: Path) -> None:
        self._app_dir = app_dir

    async def start(self) -> tuple[IndexedFunction, ...]:
        """Import the app and return its functions in registration order. Settings must be in the environment by now.

        Raises:
            HostError: the app does not import or index; the message is the worker's own.
        """
        script = os.environ.get("PYTHON_SCRIPT_FILE_NAME") or "function_app.py"
        if not (self._app_dir / script).is_file():
            raise HostError(f"{self._app_dir} holds no {script}", BAD_APP)
        os.environ["AzureWebJobsScriptRoot"] = str(self._app_dir)  # noqa: SIM112 - the platform's spelling
        sys.path.insert(0, str(self._app_dir))
        os.chdir(self._app_dir)
        runtime.start_threadpool_executor()  # reads PYTHON_THREADPOOL_THREAD_COUNT
        request = Message(
            request=Message(worker_init_request=Message(capabilities={}, function_app_directory=str(self._app_dir))),
            properties={"host": "127.0.0.1", "protos": Protos},
        )
        answer = await runtime.worker_init_request(request)
        if answer.result.status != Protos.StatusResult.Success:
            raise HostError(self._indexing_error(answer.result.exception), BAD_APP)
        metadata = await runtime.functions_metadata_request(request)
        if not metadata.function_metadata_results:
            raise HostError(f"{script} registers no function", BAD_APP)
        return tuple(_indexed(entry) for entry in metadata.function_metadata_results)

    async def call(self, call: Call) -> CallResult:
        """Call a function once; whatever happens in it is in the result."""
        token = runtime.invocation_id_cv.set(call.invocation_id)  # for the library's own line about a failure
        try:
            ok, returned, outputs, error, _ = await invocation_request_native(
                call.invocation_id,
                call.function_id,
                [(name, datum_of(value)) for name, value in call.inputs],
                {name: datum_of(value) for name, value in call.metadata.items()},
                trace_parent=f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00",
                retry_count=call.retry[0],
                max_retry_count=call.retry[1],
            )
            values = {name: value for name, datum in dict(outputs).items() if (value := value_of(datum)) is not None}
            return CallResult(ok, value_of(returned), values, error)
        except Exception as fault:  # noqa: BLE001 - what the worker library cannot convert fails the call, not the process
            traceback.print_exc()
            return CallResult(ok=False, returned=None, outputs={}, error=repr(fault))
        finally:
            runtime.invocation_id_cv.reset(token)

    def _indexing_error(self, exception: Any) -> str:
        """Return the worker's message with the last line of the app that the stack trace names."""
        places = re.findall(r'File "([^"]+)", line (\d+)', exception.stack_trace or "")
        ours = [(file, line) for file, line in places if Path(file).is_relative_to(self._app_dir)]
        where = f" ({Path(ours[-1][0]).relative_to(self._app_dir)}, line {ours[-1][1]})" if ours else ""
        return f"the worker failed to index functions: {exception.message}{where}"


def _indexed(entry: Any) -> IndexedFunction:
    bindings = tuple(json.loads(raw) for raw in entry.raw_bindings)
    return IndexedFunction(entry.name, entry.function_id, bindings, _retry(entry.retry_options))


def _retry(options: Any) -> RetryPolicy | None:
    if options is None:
        return None
    none = timedelta()
    return RetryPolicy(
        max_retries=int(options.max_retry_count),
        strategy=str(options.retry_strategy),
        delay_s=(options.delay_interval or none).total_seconds(),
        min_delay_s=(options.minimum_interval or none).total_seconds(),
        max_delay_s=(options.maximum_interval or none).total_seconds(),
    )
