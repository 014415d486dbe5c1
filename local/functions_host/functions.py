"""What the host knows about a function: its trigger, its outputs, its retry policy, all settings already filled in.

A function that cannot be made ready does not stop the host: it is left out and carries its error, as the script host
shows it in ``/admin/functions/<name>/status``. A missing setting of a timer's schedule is such an error.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from local.functions_host.config import HostConfig
from local.functions_host.errors import HostError
from local.functions_host.settings import fill_settings, is_disabled

TRIGGERS: Final = frozenset({"httpTrigger", "queueTrigger", "timerTrigger"})
RETURN: Final = "$return"
_QUEUE_NAME: Final = re.compile(r"[a-z0-9](?:-?[a-z0-9])*")


@dataclass(frozen=True)
class RetryPolicy:
    """A decorator's retry policy; delays in seconds."""

    max_retries: int  # -1 = for ever
    strategy: str  # fixed_delay or exponential_backoff
    delay_s: float
    min_delay_s: float
    max_delay_s: float


@dataclass(frozen=True)
class IndexedFunction:
    """A function as the worker library reports it."""

    name: str
    function_id: str
    bindings: tuple[Mapping[str, Any], ...]  # in the order of the worker, which is decorators bottom up
    retry: RetryPolicy | None


@dataclass(frozen=True)
class Output:
    """An output binding that the host writes."""

    kind: Literal["queue", "blob"]
    name: str  # parameter name, or $return
    target: str  # queue name or container/blob; may hold {expressions}
    connection: str


@dataclass(frozen=True)
class Function:
    """A function ready to run."""

    name: str
    function_id: str
    trigger: Mapping[str, Any]  # the trigger's binding, settings filled in
    outputs: tuple[Output, ...]
    retry: RetryPolicy | None
    disabled: bool
    bindings: tuple[Mapping[str, Any], ...]  # all, as the app declares them, for the admin endpoints

    @property
    def trigger_type(self) -> str:
        """Return ``httpTrigger``, ``queueTrigger`` or ``timerTrigger``."""
        return str(self.trigger["type"])

    def storage_needs(self) -> set[tuple[str, Literal["queue", "blob"]]]:
        """Return the storage services it uses, by connection name and kind."""
        needs: set[tuple[str, Literal["queue", "blob"]]] = {(out.connection, out.kind) for out in self.outputs}
        if self.trigger_type == "queueTrigger":
            needs.add((str(self.trigger.get("connection") or ""), "queue"))
        return needs


@dataclass(frozen=True)
class FunctionInError:
    """A function that is left out."""

    name: str
    bindings: tuple[Mapping[str, Any], ...]
    disabled: bool
    error: str  # one line

    @property
    def shown(self) -> str:
        """Return the line that status and log show."""
        return f"The '{self.name}' function is in error: {self.error}"


def left_out(function: "Function | IndexedFunction", error: str, *, disabled: bool = False) -> FunctionInError:
    """Return a function with the reason why it does not run."""
    return FunctionInError(function.name, function.bindings, disabled, " ".join(error.split()))


def ready_functions(
    indexed: Iterable[IndexedFunction], config: HostConfig, env: Mapping[str, str]
) -> tuple[tuple[Function, ...], tuple[FunctionInError, ...]]:
    """Return the functions to run, sorted by name as the script host does, and those that are left out."""
    ready: list[Function] = []
    errors: list[FunctionInError] = []
    for function in sorted(indexed, key=lambda entry: entry.name.casefold()):
        if config.only_functions is not None and function.name not in config.only_functions:
            continue
        try:
            ready.append(_ready(function, env))
        except HostError as error:
            errors.append(left_out(function, str(error), disabled=is_disabled(env, function.name)))
    return tuple(ready), tuple(errors)


def _ready(function: IndexedFunction, env: Mapping[str, str]) -> Function:
    bindings = tuple(_fill(binding, env) for binding in function.bindings)
    triggers = [binding for binding in bindings if binding["type"] in TRIGGERS]
    if len(triggers) != 1:
        kinds = ", ".join(str(binding["type"]) for binding in bindings)
        raise HostError(f"needs one HTTP, queue or timer trigger, has: {kinds}")
    trigger = triggers[0]
    if trigger["type"] == "queueTrigger":
        check_queue_name(str(trigger["queueName"]).lower())
    return Function(
        name=function.name,
        function_id=function.function_id,
        trigger=trigger,
        outputs=tuple(
            _output(binding)
            for binding in bindings
            if binding is not trigger and not (binding["type"] == "http" and binding["name"] == RETURN)
        ),
        retry=function.retry,
        disabled=is_disabled(env, function.name),
        bindings=function.bindings,
    )


def check_queue_name(name: str) -> None:
    """Refuse a name that Azure has no queue for.

    Raises:
        HostError: not 3 to 63 lower-case letters, digits and single dashes between them.
    """
    if not 3 <= len(name) <= 63 or not _QUEUE_NAME.fullmatch(name):
        raise HostError(f"the queue name {name!r} is not valid: 3 to 63 letters, digits and single dashes")


def _fill(binding: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, Any]:
    return {key: fill_settings(value, env) if isinstance(value, str) else value for key, value in binding.items()}


def _output(binding: Mapping[str, Any]) -> Output:
    kind = binding["type"]
    if str(binding.get("direction")).upper() != "OUT" or kind not in {"queue", "blob"}:
        raise HostError(f"this host has no {binding.get('direction')} binding of type {kind!r}")
    target = str(binding["queueName"] if kind == "queue" else binding["path"])
    connection = str(binding.get("connection") or "")
    return Output("queue" if kind == "queue" else "blob", str(binding["name"]), target, connection)
