"""What host and worker process say to each other; the host speaks first only with calls, the worker with its index."""

from dataclasses import dataclass
from typing import Final, Literal

from local.functions_host.functions import IndexedFunction
from local.functions_host.values import CallResult, Value

DIES_BEFORE: Final = "worker-before-call"
DIES_AFTER: Final = "worker-after-call"


@dataclass(frozen=True, slots=True)
class Indexed:
    """The worker's first word: the functions of the app, in registration order, or why there are none."""

    functions: tuple[IndexedFunction, ...]
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a function."""

    invocation_id: str
    function_id: str
    inputs: tuple[tuple[str, Value], ...]
    metadata: dict[str, Value]  # of the trigger
    retry: tuple[int, int] = (0, 0)  # the attempt's number from 0, and the highest number allowed
    death: Literal["", "worker-before-call", "worker-after-call"] = ""  # a test's order: the process ends there


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call ended."""

    invocation_id: str
    result: CallResult
