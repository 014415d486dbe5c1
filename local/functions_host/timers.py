"""Runs one timer function: catch-up at start, then every occurrence, with its status in a blob.

A timer never runs beside itself: a run that outlives its interval is followed by the next one at once, and by one only,
however many occurrences it missed. A start by admin call knows nothing of that and runs beside it.
"""

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from azure.core.exceptions import AzureError

from local.functions_host.expressions import BindingData
from local.functions_host.functions import Function, RetryPolicy
from local.functions_host.invocation import Invoker
from local.functions_host.schedules import Schedule, Status, fires_often, plan_start
from local.functions_host.storage import Storage
from local.functions_host.values import Value, json_value, text_value

CONTAINER: Final = "azure-webjobs-hosts"

_log = logging.getLogger("local.functions_host")


@dataclass(frozen=True)
class Clock:
    """Where time comes from; tests bring their own."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class StatusStore(Protocol):
    """Where the status of a timer is kept."""

    async def read(self, function: str) -> Status | None:
        """Return the stored status, None if there is none or it is damaged."""
        ...

    async def write(self, function: str, status: Status) -> None:
        """Store a status."""
        ...


class BlobStatusStore:
    """Keeps statuses where the timer extension does: ``timers/<host id>/Host.Functions.<name>/status``."""

    def __init__(self, storage: Storage, host_id: str) -> None:
        self._storage = storage
        self._host_id = host_id

    async def read(self, function: str) -> Status | None:
        """Return the stored status, None if there is none or it is damaged."""
        content = await self._storage.read_blob("", CONTAINER, self._name(function))
        try:
            return None if content is None else Status.from_json(json.loads(content))
        except (ValueError, KeyError, TypeError):
            _log.warning("timer %s: its stored status is damaged and starts over", function)
            return None

    async def write(self, function: str, status: Status) -> None:
        """Store a status."""
        await self._storage.write_blob("", CONTAINER, self._name(function), json.dumps(status.to_json()).encode())

    def _name(self, function: str) -> str:
        return f"timers/{self._host_id}/Host.Functions.{function}/status"


class TimerRunner:
    """The schedule of one timer function."""

    def __init__(
        self, function: Function, schedule: Schedule, store: StatusStore, invoker: Invoker, clock: Clock | None = None
    ) -> None:
        self.function = function
        self._schedule = schedule
        self._store = store
        self._invoker = invoker
        self._clock = clock or Clock()
        wanted = function.trigger.get("useMonitor")
        self.monitored = (True if wanted is None else bool(wanted)) and not fires_often(schedule, self._clock.now())
        self._status: Status | None = None

    async def run(self) -> None:
        """Run the schedule until cancelled; a run under way then goes on."""
        past_due = await self._read_status()
        following = self._schedule.after(self._clock.now())
        if past_due or self.function.trigger.get("runOnStartup"):
            following = await self._fire(past_due=past_due)
        while True:
            while (wait_s := (following - self._clock.now()).total_seconds()) > 0:
                await self._clock.sleep(wait_s)  # again if it woke early: the wall clock decides
            following = await self._fire(past_due=False)

    async def _read_status(self) -> bool:
        """Take over the stored status; True if an occurrence was missed."""
        if not self.monitored:
            return False
        try:
            plan = plan_start(await self._store.read(self.function.name), self._schedule, self._clock.now())
            self._status = replace(plan.status, updated=None) if plan.is_new else plan.status
            if plan.is_new:
                await self._store.write(self.function.name, plan.status)
        except AzureError as error:
            _log.warning("timer %s: status not read: %s", self.function.name, error)
            return False
        return plan.past_due

    async def _fire(self, *, past_due: bool) -> datetime:
        """Run once; return the occurrence that follows the start of the run, which may be over by then."""
        began = self._clock.now()
        # A stop cancels this runner, not the run: the invoker keeps the task and the stop waits for it.
        await asyncio.shield(self._invoker.start(self._run_once(began, past_due)))
        return self._schedule.after(began)

    async def run_with(self, status: Status | None, *, past_due: bool) -> None:
        """Run the function as its schedule does, with a status to be told."""
        await invoke_timer(self._invoker, self.function, status, past_due=past_due, sleep=self._clock.sleep)

    async def _run_once(self, began: datetime, past_due: bool) -> None:
        await self.run_with(self._status, past_due=past_due)
        if not self.monitored:
            return
        self._status = Status(began, self._schedule.after(began), self._clock.now())
        try:
            await self._store.write(self.function.name, self._status)
        except AzureError as error:
            _log.warning("timer %s: status not written: %s", self.function.name, error)

    async def run_by_hand(self) -> None:
        """Run the function beside the schedule, with the status that is stored; the status does not change."""
        try:
            status = await self._store.read(self.function.name) if self.monitored else None
        except AzureError as error:
            _log.warning("timer %s: status not read: %s", self.function.name, error)
            status = None
        await invoke_timer(self._invoker, self.function, status, past_due=False, by_hand=True, sleep=self._clock.sleep)


async def invoke_timer(
    invoker: Invoker,
    function: Function,
    status: Status | None,
    *,
    past_due: bool,
    by_hand: bool = False,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Run a timer function once, again as its retry policy says; a failure ends here, the schedule goes on."""
    content: dict[str, Any] = {
        "Schedule": {"AdjustForDST": True},
        "ScheduleStatus": status.to_json() if status else None,
        "IsPastDue": past_due,
    }
    retries = function.retry.max_retries if function.retry else 0
    metadata: dict[str, Value] = {"TimerTrigger": text_value(f"{datetime.now(UTC):%m/%d/%Y %H:%M:%S}")}
    if by_hand:
        metadata[str(function.trigger["name"])] = text_value("")
    data = BindingData({name: item.data for name, item in metadata.items()})
    attempt = 0
    while True:
        outcome = await invoker.invoke(function, json_value(content), metadata, data, retry=(attempt, retries))
        if outcome.ok or function.retry is None or 0 <= retries <= attempt:
            return
        await sleep(retry_delay_s(function.retry, attempt, random.uniform))
        attempt += 1


def retry_delay_s(policy: RetryPolicy, attempt: int, rng: Callable[[float, float], float]) -> float:
    """Return the wait before the retry that follows an attempt, counted from 0."""
    if policy.strategy == "fixed_delay":
        return policy.delay_s
    growth = (2.0 ** min(attempt, 30) - 1) * max(policy.min_delay_s, 1.0) * rng(0.8, 1.2)
    return min(policy.max_delay_s, policy.min_delay_s + growth)
