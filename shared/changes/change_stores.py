"""What the reading of changes remembers: streams, runs, ledgers, pulled versions, and the blobs of large batches."""

from dataclasses import dataclass
from typing import Protocol

from shared.business_central.entities import Entity
from shared.changes.ledger import Ledger
from shared.changes.pulled_versions import PulledVersionStore
from shared.changes.run_progress import RunStore
from shared.changes.streams import Stream, StreamStore
from shared.storage.table import Table


class ClaimChecks(Protocol):
    """Where events go that fit no message. Raises StoreUnavailable when storage does not answer."""

    def put(self, name: str, data: bytes) -> str:
        """Store a blob of NDJSON in one step, whatever is there, and return its absolute URL."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeStores:
    """The stores of one connection. Safe to share between threads."""

    streams: StreamStore
    runs: RunStore
    records: Table  # BcRecords
    claim_checks: ClaimChecks
    connection: str
    threads: int = 1  # rows of a ledger that are read at once
    beat_s: float | None = None  # how often a page that is at work for long says so; None: never

    def ledger(self, company: str, entity: Entity) -> Ledger:
        """Return the ledger of one company's entity, with the snapshot now in force."""
        snapshot = self.snapshot_in_force(company, entity)
        return Ledger(self.records, self.connection, company, entity, snapshot, self.threads)

    def snapshot_in_force(self, company: str, entity: Entity) -> int:
        """Return the number of the snapshot of known ids in force, 0 before the first."""
        return self.streams.load(Stream("snapshot", company, entity.name)).snapshot

    def pulled_versions(self, company: str, entity: Entity) -> PulledVersionStore:
        """Return which versions of one company's entity a pull has announced."""
        return PulledVersionStore(self.records, self.connection, company, entity.name)
