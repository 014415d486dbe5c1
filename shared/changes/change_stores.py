"""What the reading of changes remembers: streams, ledgers, versions that pulls have announced."""

from dataclasses import dataclass

from shared.business_central.entities import Entity
from shared.changes.ledger import Ledger
from shared.changes.pulled_versions import PulledVersionStore
from shared.changes.streams import Stream, StreamStore
from shared.storage.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeStores:
    """The stores of one connection. Safe to share between threads."""

    streams: StreamStore
    records: Table  # BcRecords
    connection: str
    threads: int = 1  # rows of a ledger that are read at once

    def ledger(self, company: str, entity: Entity) -> Ledger:
        """Return the ledger of one company's entity, with the listing now in force."""
        generation = self.ledger_generation(company, entity)
        return Ledger(self.records, self.connection, company, entity, generation, self.threads)

    def ledger_generation(self, company: str, entity: Entity) -> int:
        """Return which listing of known ids is in force, 0 before the first."""
        return self.streams.load(Stream("compare", company, entity.name)).generation

    def seen(self, company: str, entity: Entity) -> PulledVersionStore:
        """Return which versions of one company's entity a pull has announced."""
        return PulledVersionStore(self.records, self.connection, company, entity.name)
