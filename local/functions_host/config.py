"""Owns host.json: the members this host acts on, their defaults and ranges, and their overrides from the environment.

Members it does not act on (logging, extensionBundle, ...) are accepted and ignored, as they change nothing locally.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal

from local.functions_host.errors import HostError
from local.functions_host.timespans import parse_timespan

_OVERRIDE_PREFIX: Final = "azurefunctionsjobhost"


@dataclass(frozen=True, kw_only=True)
class QueueOptions:
    """host.json ``extensions.queues``."""

    batch_size: int = 16  # messages asked for at once, 1 to 32
    new_batch_threshold: int = 8  # ask again when this many or fewer are running
    max_polling_interval_s: float = 2.0  # the host's default is 60 s, 2 s in the Development environment
    visibility_timeout_s: float = 0.0  # how long a failed message stays invisible
    max_dequeue_count: int = 5
    message_encoding: Literal["base64", "none"] = "base64"


@dataclass(frozen=True, kw_only=True)
class HttpOptions:
    """host.json ``extensions.http``."""

    route_prefix: str = "api"  # without slashes; empty = none
    custom_headers: tuple[tuple[str, str], ...] = ()  # on every answer
    max_outstanding: int | None = None  # requests running or waiting; more are answered 429
    max_concurrent: int | None = None  # requests running; more wait
    reads_chunks: bool = False  # enableChunkedRequestBinding: a chunked body is read, and still arrives empty


@dataclass(frozen=True, kw_only=True)
class HostConfig:
    """What host.json asks for."""

    queues: QueueOptions = QueueOptions()
    http: HttpOptions = HttpOptions()
    function_timeout_s: float | None = 1800.0  # None = unbounded
    only_functions: frozenset[str] | None = None  # None = all


def read_config(path: Path, env: Mapping[str, str]) -> HostConfig:
    """Read host.json and apply ``AzureFunctionsJobHost__a__b`` variables over it.

    Raises:
        HostError: missing, not JSON, not version 2.0, or a value out of its range.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise HostError(f"{path} does not exist") from None
    except (OSError, ValueError) as error:
        raise HostError(f"{path} is not readable JSON: {error}") from error
    if not isinstance(content, dict):
        raise HostError(f"{path} must hold a JSON object")
    if content.get("version") != "2.0":
        raise HostError(f'{path} must say "version": "2.0", not {content.get("version")!r}')
    for name, value in env.items():
        parts = name.replace(":", "__").split("__")
        if len(parts) > 1 and parts[0].casefold() == _OVERRIDE_PREFIX:
            _set(content, parts[1:], value)
    read = _Reader(path, content)
    return HostConfig(
        queues=_queue_options(read),
        http=HttpOptions(
            route_prefix=read.text("extensions.http.routePrefix", "api").strip("/"),
            custom_headers=read.texts("extensions.http.customHeaders"),
            max_outstanding=read.bound("extensions.http.maxOutstandingRequests"),
            max_concurrent=read.bound("extensions.http.maxConcurrentRequests"),
            reads_chunks=read.flag("extensions.http.enableChunkedRequestBinding"),
        ),
        function_timeout_s=read.timeout("functionTimeout", 1800.0),
        only_functions=read.names("functions"),
    )


def _queue_options(read: "_Reader") -> QueueOptions:
    batch_size = read.whole("extensions.queues.batchSize", 16, 1, 32)
    default_threshold = batch_size // 2 * (os.cpu_count() or 1)
    encoding = read.text("extensions.queues.messageEncoding", "base64").casefold()
    if encoding not in {"base64", "none"}:
        raise read.wrong("extensions.queues.messageEncoding", "base64 or none")
    return QueueOptions(
        batch_size=batch_size,
        new_batch_threshold=read.whole("extensions.queues.newBatchThreshold", default_threshold, 0, 10_000),
        max_polling_interval_s=max(0.1, read.span("extensions.queues.maxPollingInterval", timedelta(seconds=2))),
        visibility_timeout_s=read.span("extensions.queues.visibilityTimeout", timedelta()),
        max_dequeue_count=read.whole("extensions.queues.maxDequeueCount", 5, 1, 1_000_000),
        message_encoding="none" if encoding == "none" else "base64",
    )


def _set(content: dict[str, Any], parts: list[str], value: str) -> None:
    """Put one override in place; member names match whatever their case."""
    here = content
    for depth, part in enumerate(parts):
        name = next((key for key in here if key.casefold() == part.casefold()), part)
        if depth == len(parts) - 1:
            here[name] = value
            return
        if not isinstance(here.get(name), dict):
            here[name] = {}
        here = here[name]


class _Reader:
    """Reads members by dotted path; every complaint names the file and the path."""

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        self._path = path
        self._content = content

    def wrong(self, member: str, rule: str) -> HostError:
        return HostError(f"{self._path}: {member} must be {rule}, not {self._get(member)!r}")

    def text(self, member: str, default: str) -> str:
        value = self._get(member)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.wrong(member, "a string")
        return value

    def whole(self, member: str, default: int, low: int, high: int) -> int:
        value = self._get(member)
        if value is None:
            return default
        if isinstance(value, str) and value.strip().removeprefix("-").isdigit():
            value = int(value)  # a variable can only hold text
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.wrong(member, f"a whole number from {low} to {high}")
        return value

    def flag(self, member: str) -> bool:
        value = self._get(member)
        if isinstance(value, str) and value.casefold() in {"true", "false"}:
            return value.casefold() == "true"
        if value is not None and not isinstance(value, bool):
            raise self.wrong(member, "true or false")
        return bool(value)

    def bound(self, member: str) -> int | None:
        """Return a number, None for -1, which means no bound."""
        value = self.whole(member, -1, -1, 1_000_000)
        return None if value == -1 else value

    def texts(self, member: str) -> tuple[tuple[str, str], ...]:
        value = self._get(member)
        if value is None:
            return ()
        if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
            raise self.wrong(member, "an object of strings")
        return tuple(value.items())

    def span(self, member: str, default: timedelta) -> float:
        value = self._get(member)
        if value is None:
            return default.total_seconds()
        try:
            return parse_timespan(value).total_seconds()
        except (ValueError, AttributeError):
            raise self.wrong(member, "a time span like 00:00:02") from None

    def timeout(self, member: str, default: float) -> float | None:
        value = self._get(member)
        if value in {"-1", "-00:00:01"} or value == -1:
            return None
        seconds = self.span(member, timedelta(seconds=default))
        if seconds < 1:
            raise self.wrong(member, "at least one second, or -1")
        return seconds

    def names(self, member: str) -> frozenset[str] | None:
        value = self._get(member)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise self.wrong(member, "a list of function names")
        return frozenset(value)

    def _get(self, member: str) -> Any:
        here: Any = self._content
        for part in member.split("."):
            if not isinstance(here, dict):
                return None
            here = next((value for key, value in here.items() if key.casefold() == part.casefold()), None)
        return here
