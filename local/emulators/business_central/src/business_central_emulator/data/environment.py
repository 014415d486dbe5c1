"""The state of one emulated environment: its companies with their tables, ids, number series and history.

A `Work` is one unit of work in it. Handlers write through it; it stamps times, notes what a webhook trigger would see,
and is committed or rolled back as a whole.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

from business_central_emulator.data import errors
from business_central_emulator.data.clock import Clock, to_ms
from business_central_emulator.data.record import Record
from business_central_emulator.data.schema import COMPANY_ENTITIES, ENTITIES, Entity, Kind
from business_central_emulator.data.store import Change, Table, Transaction, new_row

#: First numbers of the series of the demo company, by document kind (the posted series differ from the drafts').
SERIES: Final[Mapping[str, tuple[str, int]]] = MappingProxyType(
    {
        "customers": ("C", 10),
        "items": ("", 70_000),
        "salesOrders": ("", 101_001),
        "salesInvoices": ("", 102_001),
        "postedInvoices": ("", 103_001),
        "salesShipments": ("", 102_001),
    }
)


class Ids:
    """Ids, tokens and rolls from one seeded source, so that a run can be repeated."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 repeatable, not secret

    def guid(self) -> str:
        """Return a GUID that looks like SQL's sequential ones (common tail, varying head)."""
        bits = self.random.getrandbits(64)
        return f"{bits >> 32:08x}-{bits >> 16 & 0xFFFF:04x}-f011-{bits & 0xFFFF:04x}-6045bd1a2c10"

    def hex32(self) -> str:
        """Return 32 lower-case hex digits (subscription ids, validation tokens)."""
        return f"{self.random.getrandbits(128):032x}"


@dataclass(slots=True)
class Company:
    """One company: a set of tables and the setup that documents need."""

    id: str
    name: str
    display_name: str = ""
    currency_code: str = "GBP"  # local currency (LCY)
    country: str = "GB"  # sales at home carry VAT, others none
    vat_percent: Decimal = Decimal(20)
    shipment_on_invoice: bool = True  # a posted invoice without an order makes its shipment, as in the demo data
    prices_with_sales_tax: bool = False
    tables: dict[str, Table] = field(default_factory=lambda: {name: Table(ENTITIES[name]) for name in COMPANY_ENTITIES})
    series: dict[str, int] = field(default_factory=lambda: {name: first for name, (_, first) in SERIES.items()})

    def next_number(self, series: str) -> str:
        """Take the next number of a series; numbers of failed requests leave gaps."""
        prefix, first = SERIES.get(series, ("", 10_000))
        number = self.series.get(series, first)
        self.series[series] = number + (10 if series == "customers" else 1)
        return f"{prefix}{number:05d}" if prefix else str(number)


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the oracle's history: what happened to which record, in order."""

    seq: int
    at: datetime
    company_id: str
    entity_set: str
    record_id: str
    kind: str  # created, updated, deleted, posted, paid, released, canceled, null_update
    number: str


class Environment:
    """Everything that outlives a request."""

    def __init__(self, *, clock: Clock, seed: int, tenant_id: str, tenant_domain: str, name: str) -> None:
        self.clock = clock
        self.ids = Ids(seed)
        self.tenant_id = tenant_id
        self.tenant_domain = tenant_domain
        self.name = name
        self.companies: dict[str, Company] = {}
        self.company_rows = Table(ENTITIES["companies"])
        self.subscriptions = Table(ENTITIES["subscriptions"])
        self.others = {
            name: Table(entity) for name, entity in ENTITIES.items() if not entity.scoped
        }  # sets that no company has, but for the two above
        self.apis: dict[str, Mapping[str, Entity]] = {}  # custom API pages by route
        self.history: list[Event] = []
        self.row_version = 40_000_000

    def now(self) -> datetime:
        """Return the present moment, in whole milliseconds."""
        return to_ms(self.clock())

    def add_company(self, company: Company) -> None:
        """Open a company in this environment."""
        self.companies[company.id] = company
        now = self.now()
        nobody = "00000000-0000-0000-0000-000000000001"
        row = {
            "id": company.id,
            "systemVersion": "26.0.30643.32100",
            "timestamp": self.next_row_version(),
            "name": company.name,
            "displayName": company.display_name,
            "systemCreatedAt": now,
            "systemCreatedBy": nobody,
            "systemModifiedAt": now,
            "systemModifiedBy": nobody,
        }
        self.company_rows.put(Record(ENTITIES["companies"], new_row(ENTITIES["companies"], row), now))

    def company(self, key: str) -> Company:
        """Return the company with this id or name.

        Raises:
            ApiError: 404 Internal_CompanyNotFound.
        """
        found = self.companies.get(key.lower())
        if found is None:
            found = next((one for one in self.companies.values() if one.name == key), None)
        if found is None:
            raise errors.company_not_found()
        return found

    def table(self, name: str) -> Table:
        """Return the table of a set that no company has."""
        return {"subscriptions": self.subscriptions, "companies": self.company_rows}.get(name) or self.others[name]

    def next_row_version(self) -> int:
        """Return the next SQL row version (`timestamp`)."""
        self.row_version += self.ids.random.randrange(1, 60)
        return self.row_version


class Work:
    """One unit of work in one company (or in the environment, for subscriptions)."""

    def __init__(
        self, environment: Environment, company: Company | None = None, *, part_of: "Work | None" = None
    ) -> None:
        self.environment = environment
        self._company = company
        self.now = environment.now()
        self.tx: Transaction = part_of.tx if part_of else Transaction(self.now)
        #: (kind, row, number, company id)
        self.notes: list[tuple[str, Record, str, str]] = part_of.notes if part_of else []

    @property
    def company(self) -> Company:
        """The company of this work."""
        if self._company is None:
            raise errors.bad_request("A company must be given in the path, the query or the Company header.")
        return self._company

    def within(self, company: Company) -> "Work":
        """Return a view of the same unit of work for another company (parts of a batch)."""
        return Work(self.environment, company, part_of=self)

    def table(self, name: str) -> Table:
        """Return a table of the company."""
        return self.company.tables[name]

    def insert(self, name: str, given: Mapping[str, Any]) -> Record:
        """Add a row with AL defaults for what is not given; id and times are set here."""
        entity = self.table(name).entity
        row_values = dict(given)
        if not row_values.get(entity.key) and entity.columns[entity.position[entity.key]].kind is Kind.GUID:
            row_values[entity.key] = self.environment.ids.guid()
        if "lastModifiedDateTime" in entity.position:
            row_values["lastModifiedDateTime"] = self.now
        record = Record(entity, new_row(entity, row_values), self.now)
        self.tx.insert(self.table(name), record)
        self._changed(record, "created")
        return record

    def update(self, record: Record, changes: Mapping[str, Any]) -> bool:
        """Change a row; True when a stored value really changed.

        Computed values change silently. A modify that changes nothing is still seen by the webhook trigger, as in AL.
        """
        entity = record.entity
        row = list(record.row)
        moved = False
        for name, value in changes.items():
            at = entity.position[name]
            if row[at] != value:
                row[at] = value
                moved = moved or not entity.columns[at].computed
        if moved and "lastModifiedDateTime" in entity.position:
            row[entity.position["lastModifiedDateTime"]] = self.now
        if row != record.row:
            self.tx.modify(self._table_of(record), record, row, silent=not moved)
        only_computed = changes and all(entity.columns[entity.position[name]].computed for name in changes)
        if not only_computed:
            self._changed(record, "updated" if moved else "null_update")
        return moved

    def touch(self, record: Record) -> None:
        """Stamp a document whose lines changed: new time and ETag, one `updated`."""
        row = list(record.row)
        row[record.entity.position["lastModifiedDateTime"]] = self.now
        self.tx.modify(self._table_of(record), record, row)
        self._changed(record, "updated")

    def delete(self, record: Record) -> None:
        """Take a row out."""
        self.tx.delete(self._table_of(record), record)
        self._changed(record, "deleted")

    def note(self, kind: str, record: Record) -> None:
        """Write a business event (posted, paid, ...) into the oracle's history."""
        self.notes.append((kind, record, _number_of(record), self._company.id if self._company else ""))

    def commit(self) -> list[Change]:
        """Write the history and return the changes for the webhook triggers."""
        history = self.environment.history
        for kind, record, number, company_id in self.notes:
            history.append(Event(len(history) + 1, self.now, company_id, record.entity.name, record.id, kind, number))
        for hook in self.tx.on_commit:
            hook()
        self.tx.remember(self.environment.now())
        return self.tx.changes

    def rollback(self) -> None:
        """Undo everything."""
        self.tx.rollback()

    def _table_of(self, record: Record) -> Table:
        if not record.entity.scoped:
            return self.environment.table(record.entity.name)
        return self.table(record.entity.table_key)

    def _changed(self, record: Record, kind: str) -> None:
        self.note(kind, record)
        if record.entity.scoped:
            seen = "updated" if kind == "null_update" else kind
            self.tx.changes.append(Change(self.company.id, record.entity.table_key, record.id, seen, self.now))


def _number_of(record: Record) -> str:
    position = record.entity.position
    for name in ("number", "code", "documentNo"):
        if name in position:
            return str(record.row[position[name]])
    return ""
