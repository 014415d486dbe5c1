"""Workers of 0.1.0 beside those of this release, at the same queues and tables, in one process (P20).

Owns how the released package is loaded under module names of its own: `sys.modules` holds its `shared` only while it is
imported. Rows, changes and errors are translated at the tables; what its functions return becomes this release's
`Outputs`. Its timers, its poison functions and its HTTP side stay away.
"""

import functools
import importlib
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import requests
from business_central_emulator import mount

from shared import resource_names
from shared import triggers as ours
from shared.business_central.port import Budget, Slot
from shared.dead_letters import frame
from shared.errors import IntegrationError, StateConflict, StoreUnavailable
from shared.outputs import Outputs
from shared.storage import table as new_table
from tests.simulation.network import PointedAdapter
from tests.simulation.world import World

PACKAGE: Final = Path(__file__).parents[1] / "compat" / "0.1.0" / "package.zip"
_MODULES: Final = (
    "errors", "ports", "settings", "triggers", "bc.client", "bc.transport", "handlers.context", "handlers.parking",
    "state.orders", "state.parked", "state.streams", "state.webhooks",
)  # fmt: skip
#: What is said of its events: they name no schema, as there was none.
NO_SCHEMA: Final = "/dataschema: None is not where its schema is published"
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


class _Tables:
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
        self._ctx = self._context(env)
        world.other_release = self.work

    def alternate(self, span: timedelta, share: float = 0.5) -> None:
        """Be at work for so long from now on, then not for so long, and so on: rolled out, and rolled back."""
        begins, tick = self._world.clock.now(), self._world.tick

        def both() -> None:
            self._world.other_share = share if (self._world.clock.now() - begins) % (2 * span) < span else 0.0
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
        tables = {name: _Tables(world.tables.table(name)) for name in resource_names.TABLES}
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

    def work(self, queue: str, body: bytes, message_id: str, delivery: int) -> Outputs:
        """Do one message; those of queues that 0.1.0 does not know this release does.

        Raises:
            IntegrationError: the queue shall deliver the message again.
        """
        world = self._world
        if queue not in QUEUES:
            return frame.guarded(
                world.ctx, world.stores.dead_letters, queue, body, message_id, delivery,
                lambda of, text, name: ours.WORK[of](world.connection, text, name),
            )  # fmt: skip
        self.took += 1
        triggers = self._modules["triggers"]
        does = dict(zip(QUEUES, (triggers.page_job, triggers.notification_job, triggers.ORDER), strict=True))[queue]
        try:
            out = self._modules["handlers.parking"].guarded(
                self._ctx, queue, body, message_id, delivery, lambda text: does(self._ctx, text, message_id)
            )
        except self._modules["errors"].IntegrationError as error:
            raise IntegrationError(f"0.1.0: {type(error).__name__}: {error}") from error
        assert out.blob is None, "no run is so large that 0.1.0 writes a claim check"
        for text in out.orders:
            world.queues.put(resource_names.QUEUE_ORDERS, text, world.clock.now())
        return Outputs(
            events=out.events, results=out.results, pages=tuple(job.to_text() for job in out.pages),
            notifications=tuple(job.to_text() for job in out.notifications),
        )  # fmt: skip
