"""Writes the history of a run from outside the app: its queues, its `GET orders`, and what Business Central commits."""

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from business_central_emulator.data.environment import Event, Work
from business_central_emulator.data.record import Record

from shared.business_central.code_text import code_of
from shared.operations import status
from shared.resource_names import QUEUE_RESULTS
from tests.simulation.history import (
    Announced,
    Answered,
    Committed,
    Disputed,
    Fact,
    Healed,
    Lagging,
    Looked,
    PutBack,
    Shown,
    Submitted,
    WatchBegan,
)
from tests.simulation.telling import Told, told_in
from tests.simulation.world import Left, World

#: A property of a sales order that the app passes on and never looks at; it bears the mark of the message.
MARK = "phoneNumber"


class Recorder:
    """Listens to one world from its beginning."""

    def __init__(self, world: World) -> None:
        """Begin to listen."""
        self._world = world
        self._facts: list[Fact | Left] = []
        self.lags: list[Lagging] = []
        world.on_left = self._facts.append
        self._commit = world.bc.commit
        world.bc.commit = self._committing  # type: ignore[method-assign]

    def facts(self) -> list[Fact]:
        """Return the history so far."""
        return [fact for one in self._facts for fact in (_read(self._world, one) if isinstance(one, Left) else [one])]

    def submitted(self, key: str, spelling: str, company: str, mark: str) -> None:
        """Note that a message was sent."""
        self._facts.append(Submitted(at=self._now(), key=key, spelling=spelling, company=company, mark=mark))

    def disputed(self, key: str) -> None:
        """Note that somebody else uses the number of an order."""
        self._facts.append(Disputed(at=self._now(), key=key))

    def put_back(self, key: str) -> None:
        """Note that a person redrives an order."""
        self._facts.append(PutBack(at=self._now(), key=key))

    def look(self, key: str) -> None:
        """Ask `GET orders`, and note the answer."""
        story = status.order_story(self._world.stores.orders, key)
        entries = tuple(Shown(one["company"], one["status"], one["number"]) for one in story)
        self._facts.append(Looked(at=self._now(), key=code_of(key), entries=entries))

    def watch_began(self) -> None:
        """Note that the app knows what was there before."""
        self._facts.append(WatchBegan(at=self._now()))

    def healed(self) -> None:
        """Note that the last fault is over."""
        self._facts.append(Healed(at=self._now()))

    def lagging(self, begins: bool) -> None:
        """Note that replicas begin, or cease, to lag for long."""
        self.lags.append(Lagging(at=self._now(), begins=begins))
        self._facts.append(self.lags[-1])

    def _now(self) -> datetime:
        return self._world.clock.now()

    def _committing(self, work: Work, *, can_schedule: bool = True) -> None:
        history = self._world.bc.environment.history
        before = len(history)
        self._commit(work, can_schedule=can_schedule)
        self._facts += [self._committed(event) for event in history[before:] if event.company_id]

    def _committed(self, event: Event) -> Committed:
        record = self._world.bc.environment.companies[event.company_id].tables[event.entity_set].get(event.record_id)
        is_order = record is not None and event.entity_set == "salesOrders"
        return Committed(
            at=self._now(), company=event.company_id, entity=event.entity_set, record=event.record_id, kind=event.kind,
            number=event.number, version="" if record is None else _version(record),
            mark=str(record[MARK]) if record is not None and is_order else "",
        )  # fmt: skip


def _version(record: Record) -> str:
    modified = record["lastModifiedDateTime"] if "lastModifiedDateTime" in record.entity.position else ""
    return f"{record.etag()}|{modified}"


def _read(world: World, left: Left) -> Iterator[Fact]:
    if left.queue == QUEUE_RESULTS:
        result = json.loads(left.body)
        key = result["orderKey"]
        yield Answered(
            at=left.at, key=code_of(key), spelling=key, company=result["company"], status=result["status"],
            order_id=result["id"], number=result["number"], code=(result["error"] or {}).get("code", ""),
        )  # fmt: skip
    else:
        yield from map(_announced, told_in(left, world.claim_checks, []))


def _announced(told: Told) -> Announced:
    return Announced(
        at=told.at, event_id=told.event_id, change=told.change, source=told.source,
        entity=told.subject.partition("(")[0], record=told.record, version=_told_version(told.data),
        content=hashlib.sha256(json.dumps(told.data, sort_keys=True).encode()).hexdigest()[:16],
    )  # fmt: skip


def _told_version(data: dict[str, Any]) -> str:
    text = data.get("lastModifiedDateTime")
    return f"{data['@odata.etag']}|{datetime.fromisoformat(text)}" if text else ""
