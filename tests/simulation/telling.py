"""What has left the app, as a reader of `bc-events` and `sales-order-results` gets it."""

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from shared.business_central.code_text import code_of
from shared.changes.cloud_events import BATCH_TYPE
from shared.contract.built_in import BUILT_IN, described
from shared.contract.event_schemas import Described
from shared.resource_names import QUEUE_EVENTS, QUEUE_RESULTS
from tests.simulation.world import Left, World
from tests.support.memory_claim_checks import MemoryClaimChecks
from tests.support.published import event_faults, result_faults


@dataclass(frozen=True, slots=True)
class Told:
    """One event on its way out."""

    event_id: str
    type: str
    source: str
    subject: str
    data: dict[str, Any]
    job: str
    at: datetime
    is_valid: bool = True  # by the schema published for it

    @property
    def change(self) -> str:
        """What happened, for example `created`."""
        return self.type.split(".")[2]

    @property
    def record(self) -> str:
        """Id of the record."""
        return self.subject.partition("(")[2].rstrip(")")

    @property
    def tags(self) -> tuple[str, ...]:
        """ETags of the record and of what is nested in it, as a version."""
        nested = [
            str(row["@odata.etag"])
            for value in self.data.values()
            if isinstance(value, list)
            for row in value
            if "@odata.etag" in row
        ]
        return (str(self.data.get("@odata.etag", "")), *sorted(nested))


class Telling:
    """Everything told so far, read once."""

    def __init__(self, world: World) -> None:
        """Read the messages that have left."""
        self.faults: list[str] = []
        self.events: list[Told] = []
        self.by_record: dict[tuple[str, str], list[Told]] = defaultdict(list)  # (change, record id)
        self.by_id: dict[str, list[Told]] = defaultdict(list)
        self.results: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.valid = 0  # of the events told, those that fit the schemas published for them
        self._world = world
        self._read = 0

    def read(self) -> None:
        """Read what has left since."""
        new, self._read = self._world.left[self._read :], len(self._world.left)
        for left in new:
            if left.queue == QUEUE_RESULTS:
                result = json.loads(left.body)
                self.faults += result_faults(result)
                self.results[code_of(result["orderKey"])].append(result)
            elif left.queue == QUEUE_EVENTS:
                self._add(left)

    def _add(self, left: Left) -> None:
        for told in told_in(left, self._world.claim_checks, self.faults, self._rows()):
            self.valid += told.is_valid
            self.events.append(told)
            self.by_record[told.change, told.record].append(told)
            self.by_id[told.event_id].append(told)

    def _rows(self) -> tuple[Described, ...]:
        if not self._world.settings.entities:
            return BUILT_IN
        catalogue = self._world.ctx.catalogue
        return described(catalogue.resolved().entities, catalogue.facts())

    def has(self, change: str, record: str) -> bool:
        """Say whether a change of a record has been told."""
        return bool(self.by_record.get((change, record)))


def told_in(
    left: Left, claim_checks: MemoryClaimChecks, faults: list[str], rows: tuple[Described, ...] = BUILT_IN
) -> list[Told]:
    """Return the events of one message, with those of its claim check; what is wrong goes into `faults`."""
    if len(left.body.encode()) > 48 * 1024:
        faults.append(f"a message of {len(left.body)} characters does not fit its queue")
    events = json.loads(left.body)
    if events[0]["type"] == BATCH_TYPE:
        faults += event_faults(events[0], rows)
        head, name = events[0], events[0]["dataref"]
        blob = claim_checks.read(name)
        if f"sha256:{hashlib.sha256(blob).hexdigest()}" != head["checksum"]:
            faults.append(f"checksum of {name} is wrong")
        events = [json.loads(line) for line in blob.splitlines()]
        if len(events) != head["count"]:
            faults.append(f"count of {name} is wrong")
    found = []
    for event in events:
        wrong = event_faults(event, rows)
        faults += wrong
        told = Told(event["id"], event["type"], event["source"], event["subject"], event["data"], left.job, left.at)
        found.append(replace(told, is_valid=not wrong))
    return found
