"""Runs the app inside Microsoft's worker library: loads and indexes it, calls its functions.

The library keeps its state in module globals, so a process can hold one app, once: a reload is a new process. Calls go
through ``native_invocation``, which the package does not export from its root; that is why the version is pinned and
checked, and why a test looks at the signature.
"""

import json
import os
import re
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import azure_functions_runtime as runtime
from azure_functions_runtime.native_invocation import invocation_request_native

from local.functions_host.errors import BAD_APP, HostError
from local.functions_host.functions import IndexedFunction, RetryPolicy
from local.functions_host.wire import Datum, Message, Protos

RUNTIME_VERSION: Final = "1.3.0"


@dataclass(frozen=True)
class CallResult:
    """What one call of a function gave."""

    ok: bool
    returned: Datum | None
    outputs: Mapping[str, Datum]  # Out parameters that were set
    error: str | None  # repr of the exception


def check_runtime_version() -> None:
    """Refuse any worker library but the one whose behaviour was pinned.

    Raises:
        HostError: another version is installed.
    """
    found = version("azure-functions-runtime")
    if found != RUNTIME_VERSION:
        raise HostError(f"azure-functions-runtime {RUNTIME_VERSION} is needed, {found} is installed")


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

    async def call(
        self,
        function_id: str,
        invocation_id: str,
        inputs: Sequence[tuple[str, Datum]],
        metadata: Mapping[str, Datum],
        *,
        retry: tuple[int, int] = (0, 0),
    ) -> CallResult:
        """Call a function once; ``retry`` is the attempt's number from 0 and the highest number allowed."""
        token = runtime.invocation_id_cv.set(invocation_id)  # for the library's own line about a failure
        try:
            ok, returned, outputs, error, _ = await invocation_request_native(
                invocation_id,
                function_id,
                list(inputs),
                dict(metadata),
                trace_parent=f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00",
                retry_count=retry[0],
                max_retry_count=retry[1],
            )
        finally:
            runtime.invocation_id_cv.reset(token)
        return CallResult(ok, returned, dict(outputs), error)

    @staticmethod
    def stop() -> None:
        """Stop the thread pool; waits for the threads, so call it when no call is running."""
        runtime.stop_threadpool_executor()

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
