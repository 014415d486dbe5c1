"""Workers of 0.1.0 beside those of this release, at the same queues and tables, in one process (P20).

Owns how the released package is loaded under module names of its own: `sys.modules` holds its `shared` only while it is
imported. Rows, changes and errors are translated at the tables; what its functions return becomes this release's
`Outputs`, with the members that its schemas have since. Its timers, its poison functions and its HTTP side stay away.

What this release mended stays a fault of 0.1.0 for as long as that runs, and is kept out of these lives: it posts an
order even minutes after it has noted that, takes documents with a shared number for its own, answers repeated messages
of one order by rules of its own, takes the first company that bears a name, and rejects an order for good where
Business Central tells a passing fault with 400.
"""

import functools
import importlib
import json
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import requests
from business_central_emulator import FaultKind, mount

from shared import resource_names
from shared import triggers as ours
from shared.business_central.port import Budget, Slot
from shared.contract.schema_urls import data_url
from shared.dead_letters import frame
from shared.errors import IntegrationError, StateConflict, StoreUnavailable
from shared.outputs import Outputs
from shared.storage import table as new_table
from tests.simulation.network import PointedAdapter
from tests.simulation.world import PUBLIC_URL, World

PACKAGE: Final = Path(__file__).parents[1] / "compat" / "0.1.0" / "package.zip"
_MODULES: Final = (
    "errors", "ports", "settings", "triggers", "bc.client", "bc.slot_rows", "bc.transport", "core.jobs", "core.wire",
    "handlers.context", "handlers.parking", "state.ledger", "state.orders", "state.parked", "state.seen",
    "state.streams", "state.webhooks",
)  # fmt: skip
#: So long 0.1.0 is at work, and so long it is not: rolled out, and rolled back.
SPAN: Final = timedelta(minutes=30)
#: The queues that 0.1.0 listens to.
QUEUES: Final = (resource_names.QUEUE_PAGES, resource_names.QUEUE_NOTIFICATIONS, resource_names.QUEUE_ORDERS)


@functools.cache
def load() -> Mapping[str, ModuleType]:
    """Return the modules of the released package by their name below `shared`."""
    ours = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "shared"}
    sys.path.insert(0, str(PACKAGE))
    try:
        return {name: importlib.import_module(f"shared.{name}") for name in _MODULES}
    finally:
        sys.path.remove(str(PACKAGE))
        for name in [name for name in sys.modules if name.partition(".")[0] == "shared"]:
            del sys.modules[name]
        sys.modules.update(ours)


class OldTable:
    """One table as 0.1.0 knows it."""

    def __init__(self, table: new_table.Table) -> None:
        self._table = table
        self._ports, self._errors = load()["ports"], load()["errors"]

    def get(self, partition: str, key: str) -> Any:
        return self._old(self._calling(lambda: self._table.get(partition, key)))

    def query(self, partition: str, low: str = "", high: str = "", *, limit: int | None = None) -> Iterator[Any]:
        return map(self._old, self._calling(lambda: list(self._table.query(partition, low, high, limit=limit))))

    def insert(self, row: Any) -> Any:
        return self._old(self._calling(lambda: self._table.insert(_new(row))))

    def replace(self, row: Any) -> Any:
        return self._old(self._calling(lambda: self._table.replace(_new(row))))

    def upsert(self, row: Any) -> Any:
        return self._old(self._calling(lambda: self._table.upsert(_new(row))))

    def delete(self, partition: str, key: str) -> None:
        self._calling(lambda: self._table.delete(partition, key))

    def write(self, changes: Sequence[Any]) -> list[str]:
        kinds = {kind: getattr(new_table, kind) for kind in ("Insert", "Replace", "Upsert", "Delete")}
        return self._calling(lambda: self._table.write([kinds[type(one).__name__](_new(one.row)) for one in changes]))

    def _calling[T](self, call: Callable[[], T]) -> T:
        try:
            return call()
        except (StateConflict, StoreUnavailable) as error:
            raise getattr(self._errors, type(error).__name__)(str(error)) from error

    def _old(self, row: new_table.Row | None) -> Any:
        if row is None:
            return None
        return self._ports.Row(partition=row.partition, key=row.key, values=row.values, etag=row.etag)


def _new(row: Any) -> new_table.Row:
    return new_table.Row(partition=row.partition, key=row.key, values=dict(row.values), etag=row.etag)


class _Tokens:
    """What 0.1.0 signs its requests with."""

    def token(self) -> str:
        return "good-app"

    def discard(self, token: str) -> None:
        """Nothing to discard."""


class _Budget:
    """The world's budget by the words of 0.1.0."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    def slot(self, *, urgent: bool) -> AbstractContextManager[Slot]:
        return self._budget.slot(reserved=urgent)


class OldRelease:
    """A process of 0.1.0, which takes the share `other_share` of the world's messages."""

    def __init__(self, world: World, env: Mapping[str, str], rolls: random.Random) -> None:
        """Take the world and its settings as written."""
        self.took = 0
        self._world = world
        self._rolls = rolls
        self._modules = load()
        self.context = self._context(env)  # as its functions get it
        world.other_release = self.work

    def alternate(self, share: float, life: timedelta) -> None:
        """Be at work for a while from now on, then not, and so on; no longer than a life, which ends before midnight.

        The first pull of a day reads far back, and 0.1.0 remembers only what the run before it has announced.
        """
        begins, tick = self._world.clock.now(), self._world.tick

        def both() -> None:
            age = self._world.clock.now() - begins
            self._world.other_share = share if age < life and age % (2 * SPAN) < SPAN else 0.0
            tick()

        self._world.tick = both  # type: ignore[method-assign]

    def _at(self, point: str) -> None:
        self._world.point(point)

    def _context(self, env: Mapping[str, str]) -> Any:
        world, old = self._world, self._modules
        settings = old["settings"].Settings.from_env(env)
        session = mount(
            requests.Session(), PointedAdapter(world.bc, point=self._at, on_delay=world.clock.advance, page_rows=None),
            settings.api_url,
        )  # fmt: skip
        session.trust_env = False
        transport = old["bc.transport"].Transport(
            settings.api_url, _Tokens(), _Budget(world.budget), new_session=lambda: session,
            sleep=world.clock.advance, roll=self._rolls.random, monotonic=lambda: world.clock.now().timestamp(),
        )  # fmt: skip
        tables = {name: OldTable(world.tables.table(name)) for name in resource_names.TABLES}
        watermarks = tables[resource_names.TABLE_WATERMARKS]
        return old["handlers.context"].Context(
            settings=settings,
            bc=old["bc.client"].BusinessCentralClient(
                transport, tenant_id=settings.tenant_id, environment=settings.environment
            ),
            secrets=world.secrets,
            records=tables[resource_names.TABLE_RECORDS],
            streams=old["state.streams"].StreamBook(watermarks, settings.connection),
            orders=old["state.orders"].OrderBook(tables[resource_names.TABLE_ORDERS], settings.connection),
            webhooks=old["state.webhooks"].WebhookBook(
                tables[resource_names.TABLE_SUBSCRIPTIONS], settings.connection
            ),
            parked=old["state.parked"].ParkedBook(watermarks, settings.connection),
            now=world.clock.now,
            new_id=lambda: f"{self._rolls.getrandbits(128):032x}",
            sleep=world.clock.advance,
        )  # fmt: skip

    def _would_refuse(self) -> bool:
        """Say whether Business Central tells passing faults with a 400, which 0.1.0 takes for its last word."""
        return any(fault.kind is FaultKind.TRANSIENT for fault in self._world.bc.faults.script)

    def work(self, queue: str, body: bytes, message_id: str, delivery: int) -> Outputs:
        """Do one message; those of queues that 0.1.0 does not know this release does.

        Raises:
            IntegrationError: the queue shall deliver the message again.
        """
        world = self._world
        if queue not in QUEUES or (queue == resource_names.QUEUE_ORDERS and self._would_refuse()):
            return frame.guarded(
                world.ctx, world.stores.dead_letters, queue, body, message_id, delivery,
                lambda of, text, name: ours.WORK[of](world.connection, text, name),
            )  # fmt: skip
        self.took += 1
        triggers = self._modules["triggers"]
        does = dict(zip(QUEUES, (triggers.page_job, triggers.notification_job, triggers.ORDER), strict=True))[queue]
        try:
            out = self._modules["handlers.parking"].guarded(
                self.context, queue, body, message_id, delivery, lambda text: does(self.context, text, message_id)
            )
        except self._modules["errors"].IntegrationError as error:
            raise IntegrationError(f"0.1.0: {type(error).__name__}: {error}") from error
        assert out.blob is None, "no run is so large that 0.1.0 writes a claim check"
        for text in out.orders:
            world.queues.put(resource_names.QUEUE_ORDERS, text, world.clock.now())
        return Outputs(
            events=tuple(map(_event_message, out.events)), results=tuple(map(_result, out.results)),
            pages=tuple(job.to_text() for job in out.pages),
            notifications=tuple(job.to_text() for job in out.notifications),
        )  # fmt: skip


def _event_message(text: str) -> str:
    """Return a message of events with the members that were unknown to 0.1.0."""
    more = {"bcconnection": resource_names.DEFAULT_CONNECTION}
    events = json.loads(text)
    return json.dumps([{**one, **more, "dataschema": data_url(PUBLIC_URL, one["type"])} for one in events])


def _result(text: str) -> str:
    return json.dumps({"connection": resource_names.DEFAULT_CONNECTION, **json.loads(text)})
