"""What the host knows about a function: its trigger, its outputs, its retry policy, all settings already filled in."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from local.functions_host.config import HostConfig
from local.functions_host.errors import BAD_APP, HostError
from local.functions_host.settings import fill_settings, is_disabled

TRIGGERS: Final = frozenset({"httpTrigger", "queueTrigger", "timerTrigger"})
RETURN: Final = "$return"


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
    bindings: tuple[Mapping[str, Any], ...]  # all, for the admin endpoints

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


def ready_functions(
    indexed: Iterable[IndexedFunction], config: HostConfig, env: Mapping[str, str]
) -> tuple[Function, ...]:
    """Return the functions to run, in registration order.

    Raises:
        HostError: a missing setting, or a trigger or binding that this host does not have.
    """
    return tuple(
        _ready(function, env)
        for function in indexed
        if config.only_functions is None or function.name in config.only_functions
    )


def _ready(function: IndexedFunction, env: Mapping[str, str]) -> Function:
    where = f"function {function.name}"
    bindings = tuple(_fill(binding, env, where) for binding in function.bindings)
    triggers = [binding for binding in bindings if binding["type"] in TRIGGERS]
    if len(triggers) != 1:
        kinds = ", ".join(str(binding["type"]) for binding in bindings)
        raise HostError(f"{where}: needs one HTTP, queue or timer trigger, has: {kinds}", BAD_APP)
    outputs = []
    for binding in bindings:
        if binding is triggers[0] or (binding["type"] == "http" and binding["name"] == RETURN):
            continue
        outputs.append(_output(binding, where))
    return Function(
        name=function.name,
        function_id=function.function_id,
        trigger=triggers[0],
        outputs=tuple(outputs),
        retry=function.retry,
        disabled=is_disabled(env, function.name),
        bindings=bindings,
    )


def _fill(binding: Mapping[str, Any], env: Mapping[str, str], where: str) -> dict[str, Any]:
    return {
        key: fill_settings(value, env, where=where) if isinstance(value, str) else value
        for key, value in binding.items()
    }


def _output(binding: Mapping[str, Any], where: str) -> Output:
    kind = binding["type"]
    if str(binding.get("direction")).upper() != "OUT" or kind not in {"queue", "blob"}:
        raise HostError(f"{where}: this host has no {binding.get('direction')} binding of type {kind!r}", BAD_APP)
    target = str(binding["queueName"] if kind == "queue" else binding["path"])
    connection = str(binding.get("connection") or "")
    return Output("queue" if kind == "queue" else "blob", str(binding["name"]), target, connection)
