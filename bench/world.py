"""One started stack, signed in, with what every measurement needs: run a timer, wait for a stream, count, compare."""

from __future__ import annotations

import json
import math
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from bench import memory
from bench.options import WORK
from bench.storage_meter import StorageMeter
from local.emulators.entra.directory import READER_CLIENT_ID
from local.stack.demo import COMPANY, Demo
from local.stack.stack import Stack
from shared import resource_names
from shared.business_central.entities import ENTITIES
from shared.changes.jobs import Purpose
from shared.changes.streams import Stream, StreamState, StreamStore
from shared.connections.settings_reader import read_settings
from shared.storage.azure_tables import AzureTables
from shared.storage.keys import row_key

_INVOCATION = re.compile(r"^(\w+) [0-9a-f-]{36} (\d+) ms (succeeded|FAILED.*)$", re.MULTILINE)
_LOG_TIME = "%Y-%m-%d %H:%M:%S,%f"  # of this machine's zone
_LOGGED_AT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}")
_POLL_S = 0.02


class Missed(Exception):
    """Something that a measurement waits for did not happen; the message says what."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """How many records there are and a sum over their ids that no lost, doubled or foreign id leaves as it is."""

    items: int
    variants: int
    checksum: int

    @classmethod
    def of(cls, items: Mapping[str, int]) -> Truth:
        """Return the truth for ids of items with the number of variants each has."""
        return cls(
            items=len(items),
            variants=sum(items.values()),
            checksum=sum(UUID(key).int * (1 + count) for key, count in items.items()) % 2**128,
        )


class World:
    """A stack of its own for one measurement. Use as a context manager."""

    def __init__(
        self,
        name: str,
        *,
        host_env: Mapping[str, str] | None = None,
        webhook_delay_s: float = 2.0,
        limits: bool = True,
        gzip: bool = False,
        reader: bool = False,
        meter: StorageMeter | None = None,
    ) -> None:
        """Take the measurement's name.

        `limits` lets Business Central enforce its request limits, `gzip` compress its answers; `reader`: a second
        identity reads, with a budget of its own; with a `meter` the app's storage calls are counted.
        """
        self._meter = meter
        self.stack = Stack(
            ports=meter.azurite_ports if meter else None,
            work_dir=WORK / "stacks" / name,
            host="embedded",
            host_env={**(host_env or {}), **({"BC_READER_CLIENT_ID": READER_CLIENT_ID} if reader else {})},
            webhook_delay_s=webhook_delay_s,
            business_central_options=("--enforce-limits",) * limits + ("--gzip",) * gzip,
        )

    def __enter__(self) -> Self:
        self.stack.start()
        try:
            if self._meter is not None:
                self.stack.stop_host()
                storage = self._meter.through(self.stack.storage_connection_string)
                self.stack._host_env["AzureWebJobsStorage"] = storage  # noqa: SLF001
                self.stack.start_host()
            self.demo = Demo(self.stack, say=lambda _: None)
            self.demo.log_in()
            self.company = next(
                one["id"]
                for one in self.demo._status()["companies"]  # noqa: SLF001
                if one["name"] == COMPANY
            )
            settings = read_settings(self.stack.settings)
            self.connection = settings.connection
            self.tables = AzureTables(settings.storage)
            self.streams = StreamStore(self.tables.table(resource_names.TABLE_WATERMARKS), settings.connection)
        except BaseException:
            self.stack.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stack.stop()

    # -- Business Central ----------------------------------------------------------------------------------------------

    def bc(self, command: str, **arguments: Any) -> Any:
        """Run a control command of the emulator."""
        answer = self.demo.http.post(f"{self.stack.bc_url}/_emulator/{command}", json=arguments, timeout=300)
        if answer.status_code != 200:
            raise Missed(f"the emulator refused {command}: {answer.text[:300]}")
        return answer.json()

    def latency(self, base_s: float = 0.0, row_us: float = 0.0, bytes_per_s: float = 0.0) -> None:
        """Set the modelled latency of every answer."""
        self.bc("latency", base_s=base_s, per_row_us=row_us, bytes_per_s=bytes_per_s)

    def requests(self) -> int:
        """Return how many API requests the emulator has seen."""
        return int(self.bc("statistics")["requests"])

    def at_once_s(self) -> dict[str, dict[int, float]]:
        """Return of each identity the seconds in which so many of its requests were being processed."""
        return {
            principal: {int(at_once): seconds for at_once, seconds in usage["at_once_s"].items()}
            for principal, usage in self.bc("statistics")["principals"].items()
        }

    def truth(self, *, changed_since: str = "") -> Truth:
        """Return what the emulator itself holds."""
        found = self.bc("state", entitySet="items")["records"]
        variants = self.bc("state", entitySet="itemVariants")["records"]
        counts = {
            key: 0
            for rows in found.values()
            for key, row in rows.items()
            if row["lastModifiedDateTime"] >= changed_since
        }
        for rows in variants.values():
            for row in rows.values():
                if row["itemId"] in counts:
                    counts[row["itemId"]] += 1
        return Truth.of(counts)

    def token(self) -> str:
        """Return an app-only access token, for peers."""
        answer = self.demo.http.post(
            f"{self.stack.login_url}/{self.stack.tenant}/oauth2/v2.0/token",
            data={
                "grant_type": "client_credentials",
                "client_id": self.stack.client_id,
                "client_secret": self.stack.client_secret,
                "scope": "https://api.businesscentral.dynamics.com/.default",
            },
            timeout=30,
        )
        answer.raise_for_status()
        return str(answer.json()["access_token"])

    @property
    def company_url(self) -> str:
        """The API URL of the company that is measured."""
        return f"{self.stack.bc_url}/v2.0/{self.stack.tenant}/production/api/v2.0/companies({self.company})"

    # -- the app -------------------------------------------------------------------------------------------------------

    def run(self, function: str) -> None:
        """Start a timer function as the platform's admin path does."""
        self.demo._run(function)  # noqa: SLF001

    def stream(self, purpose: Purpose, entity: str = "items") -> StreamState:
        """Return a stream's row."""
        return self.streams.load(Stream(purpose, self.company, entity))

    def run_stream(self, function: str, purpose: Purpose, entity: str = "items", *, patience_s: float = 300) -> float:
        """Start a timer and wait until the run it plans has committed its watermark; return the seconds it took."""
        before = self.stream(purpose, entity).done_run
        began = time.perf_counter()
        self.run(function)
        self.until(
            f"{function} to commit", lambda: self.stream(purpose, entity).done_run != before, patience_s=patience_s
        )
        return time.perf_counter() - began

    def take_snapshot(self) -> None:
        """Let the first reconcile list what exists, so that it is not announced as new."""
        self.run("reconcile")
        self.until("the first snapshot", lambda: all(self.stream("snapshot", name).snapshot for name in ENTITIES))

    def forget_pull(self) -> None:
        """Let the next pull be the first one: without watermark and seen versions."""
        table = self.tables.table(resource_names.TABLE_WATERMARKS)
        for row in list(table.query(row_key(self.connection))):
            if "|pull|" in f"|{row.key}|":
                table.delete(row.partition, row.key)
        records = self.tables.table(resource_names.TABLE_RECORDS)
        partition = row_key(self.connection, self.company, "items", "seen")
        for row in list(records.query(partition)):
            records.delete(row.partition, row.key)

    def until(self, what: str, done: Callable[[], bool], *, patience_s: float = 120.0) -> None:
        """Wait until something has happened.

        Raises:
            Missed: it did not in time, or a process of the stack has ended.
        """
        deadline = time.monotonic() + patience_s
        while not done():
            self.stack.check()
            if time.monotonic() > deadline:
                raise Missed(f"waited {patience_s:.0f} s in vain for {what}; see {self.stack.work_dir / 'logs'}")
            time.sleep(_POLL_S)

    # -- what came out -------------------------------------------------------------------------------------------------

    def pids(self) -> dict[str, int]:
        """Return the processes of ours and of the emulators, by name."""
        children = dict(self.stack._children)  # noqa: SLF001
        found = {name: child.pid for name, child in children.items()}
        if "host" in found:  # the app is in a process of its own
            found["listeners"], found["host"] = found["host"], memory.child(found["host"])
        if self.stack._azurite is not None:  # noqa: SLF001
            found["azurite"] = self.stack._azurite.child.pid  # noqa: SLF001
        return found

    def forget_peaks(self) -> None:
        """Let all peaks of memory begin anew."""
        for pid in self.pids().values():
            memory.forget_peak(pid)

    def peaks_mb(self) -> dict[str, float]:
        """Return the peak of every process since then, in MB."""
        return {name: round(memory.peak_mb(pid), 1) for name, pid in self.pids().items()}

    def logged(self, event: str, purpose: Purpose) -> list[float]:
        """Return when the app logged an event of the measured company, as seconds since the epoch.

        Host and workers write into one file, so that a line may begin with the half of another's; the last may be cut
        off.
        """
        lines = [line.split(f" {event} ", 1) for line in self.stack.logs("host").splitlines() if f" {event} " in line]
        about = {"company": self.company, "kind": purpose}
        return [
            datetime.strptime(_LOGGED_AT.findall(before)[-1], _LOG_TIME).astimezone().timestamp()
            for before, members in lines
            if "}" in members and about.items() <= json.JSONDecoder().raw_decode(members)[0].items()
        ]

    def executions(self) -> dict[str, Any]:
        """Return the host's own lines: how often each function ran, how long in all, and how many failed."""
        runs: Counter[str] = Counter()
        took_ms: Counter[str] = Counter()
        failed = 0
        for name, took, outcome in _INVOCATION.findall(self.stack.logs("host")):
            runs[name] += 1
            took_ms[name] += int(took)
            failed += outcome != "succeeded"
        return {"runs": dict(runs), "took_ms": dict(took_ms), "failed": failed}

    def pulled(self) -> Truth:
        """Empty the queue of events and return what they hold, each record once.

        Raises:
            Missed: an event came twice under two ids, or a claim check does not match its blob.
        """
        return self.held(self.demo.events.take())

    @staticmethod
    def held(events: Iterable[dict[str, Any]]) -> Truth:
        """Return what some events hold, each record once. Raises as `pulled`."""
        ids: dict[str, set[str]] = {}
        counts: dict[str, int] = {}
        for event in events:
            key = event["data"]["id"]
            ids.setdefault(key, set()).add(event["id"])
            counts[key] = len(event["data"].get("itemVariants", ()))
        doubled = sum(len(names_) > 1 for names_ in ids.values())
        if doubled:
            raise Missed(f"{doubled} records left under two event ids")
        return Truth.of(counts)


class EventClock:
    """Reads `bc-events` as a consumer would and notes when each record's event was first seen."""

    def __init__(self, world: World) -> None:
        """Begin to read in a thread of its own; `stop` ends it."""
        self.seen: dict[str, float] = {}
        self.ids: dict[str, set[str]] = {}
        self._world = world
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop reading."""
        self._stop.set()
        self._thread.join(30)

    def _read(self) -> None:
        while not self._stop.wait(_POLL_S):
            for event in self._world.demo.events.take():
                key = str(event["data"]["id"])
                self.seen.setdefault(key, time.perf_counter())
                self.ids.setdefault(f"{event['type']} {key}", set()).add(event["id"])


def percentile(values: list[float], share: float) -> float:
    """Return the value that `share` (0 to 1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else float("nan")


def as_json(value: Any) -> str:
    """Return a value as the results files hold it."""
    return json.dumps(value, indent=1, sort_keys=True)
