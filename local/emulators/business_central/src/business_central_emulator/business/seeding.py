"""Fills companies: CRONUS with the demo data of `seed/cronus.json`, others with the code tables alone.

The facts (numbers, names, prices, documents) are Microsoft's CRONUS demo company as published in microsoft/BCApps under
the MIT licence. Ids are name-based, so they are the same in every run. What the source does not hold is made here and
marked so: stock, times of last change, VAT, and which posted invoices are paid (those due before `_PAID_BEFORE`).
"""

import json
import uuid
import zlib
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any, Final

from business_central_emulator.business import documents, lines, masters, posting
from business_central_emulator.data.casing import to_upper
from business_central_emulator.data.clock import VirtualClock
from business_central_emulator.data.environment import Company, Environment, Ids, Work
from business_central_emulator.data.record import Record
from business_central_emulator.data.schema import ENTITIES, Kind

SECOND_COMPANY: Final = "My Company"
_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "https://example.invalid/cronus-demo-data")
_MASTERS_AT: Final = datetime(2025, 1, 2, 6, 0, 0, 17_000, tzinfo=UTC)
_LAST_AT: Final = datetime(2026, 1, 30, 16, 0, 0, 3_000, tzinfo=UTC)  # no demo record is younger
_PAID_BEFORE: Final = "2025-12-01"
_MAKERS: Final[dict[Kind, Callable[[Any], Any]]] = {Kind.DECIMAL: Decimal, Kind.CODE: to_upper}
_CODE_TABLES: Final = (
    "unitsOfMeasure", "itemCategories", "currencies", "paymentTerms", "shipmentMethods", "accounts", "dimensions",
    "dimensionValues", "companyInformation",
)  # fmt: skip
#: Two G/L accounts of the demo chart of accounts: id, number, name.
_ACCOUNTS: Final = (
    ("6f0c1f3e-0d1c-5b6a-9a53-4f0f5c3b7a10", "40140", "Sales Discounts"),
    ("6f0c1f3e-0d1c-5b6a-9a53-4f0f5c3b7a20", "40250", "Sales of Resources"),
)
#: Two dimensions of the demo company with some of their values.
_DIMENSIONS: Final = (
    ("CUSTOMERGROUP", "Customer Group", (("LARGE", "Large Business"), ("MEDIUM", "Medium Business"))),
    ("DEPARTMENT", "Department", (("ADM", "Administration"), ("PROD", "Production"), ("SALES", "Sales"))),
)


class _SeedIds(Ids):
    """Gives the ids that were laid out beforehand, in order."""

    def __init__(self) -> None:
        super().__init__(seed=0)
        self.next_ids: deque[str] = deque()

    def guid(self) -> str:
        return self.next_ids.popleft() if self.next_ids else super().guid()


def companies(*, demo_data: bool) -> list[Company]:
    """Return the companies of a fresh environment: CRONUS and "My Company"."""
    cronus, rows, series = _cronus()
    first = Company(cronus.id, cronus.name, cronus.display_name)
    if demo_data:
        _load(first, rows)
        first.series = dict(series)
    else:
        _load(first, [row for row in rows if row[0] in _CODE_TABLES])
    return [first, empty_company(SECOND_COMPANY)]


def empty_company(name: str, *, display_name: str = "") -> Company:
    """Return a company that holds the code tables and nothing else."""
    company = Company(company_id(name), name, display_name)
    _load(company, _code_rows(name))
    return company


def company_id(name: str) -> str:
    """Return the id of a company by its name."""
    return str(uuid.uuid5(_NAMESPACE, name))


def record_id(company: str, entity_set: str, *key: str) -> str:
    """Return the id of a demo record by its key."""
    return str(uuid.uuid5(_NAMESPACE, "/".join((company, entity_set, *key))))


Row = tuple[str, list[Any], datetime]


def _load(company: Company, rows: list[Row]) -> None:
    by_set: dict[str, list[Record]] = {}
    for name, row, created_at in rows:
        by_set.setdefault(name, []).append(Record(ENTITIES[name], row, created_at))
    for name, records in by_set.items():
        company.tables[name].load(records)


@cache
def _facts() -> dict[str, Any]:
    text = files("business_central_emulator.business.seed").joinpath("cronus.json").read_text(encoding="utf-8")
    facts: dict[str, Any] = json.loads(text, parse_float=Decimal)
    return facts


@cache
def _code_rows(name: str) -> list[Row]:
    builder = _Builder(name)
    builder.code_tables()
    return builder.rows()


@cache
def _cronus() -> tuple[Company, list[Row], dict[str, int]]:
    facts = _facts()
    builder = _Builder(facts["company"]["name"], facts["company"]["displayName"])
    builder.code_tables()
    builder.master_data()
    builder.documents()
    builder.stock()
    company = builder.company
    company.series |= {"salesOrders": 101_010, "salesInvoices": 102_219, "postedInvoices": 103_212}
    return company, builder.rows(), company.series


class _Builder:
    """Makes one company through the same code that answers requests."""

    def __init__(self, name: str, display_name: str = "") -> None:
        self.clock = VirtualClock(_MASTERS_AT)
        self.ids = _SeedIds()
        self.company = Company(company_id(name), name, display_name)
        self._environment = Environment(clock=self.clock, seed=0, tenant_id="", tenant_domain="", name="seed")
        self._environment.ids = self.ids
        self._environment.companies[self.company.id] = self.company
        self._contacts = {fact["number"]: fact["contact"] for fact in _facts()["customers"]}

    def rows(self) -> list[Row]:
        """Return what was made."""
        return [
            (name, record.row, record.created_at) for name, table in self.company.tables.items() for record in table
        ]

    def code_tables(self) -> None:
        """Make units, categories, currencies, terms and shipment methods."""
        facts = _facts()
        columns = {
            "unitsOfMeasure": ("code", "displayName", "internationalStandardCode"),
            "itemCategories": ("code", "displayName"),
            "currencies": ("code", "displayName", "amountDecimalPlaces", "amountRoundingPrecision"),
            "paymentTerms": (
                "code", "displayName", "dueDateCalculation", "discountDateCalculation", "discountPercent",
            ),
            "shipmentMethods": ("code", "displayName"),
        }  # fmt: skip
        for name, names in columns.items():
            for fact in facts[name]:
                given = dict(zip(names, fact, strict=True))
                self._add(name, given, given["code"])
        self._charts()

    def _charts(self) -> None:
        """Make the few accounts and dimensions that documents may name, and the company's own row."""
        for account_id, number, name in _ACCOUNTS:
            self._put("accounts", {"number": number, "displayName": name, "directPosting": True}, account_id)
        for code, name, values in _DIMENSIONS:
            dimension = record_id(self.company.name, "dimensions", code)
            self._put("dimensions", {"code": code, "displayName": name}, dimension)
            for value, shown in values:
                row = {"code": value, "dimensionId": dimension, "displayName": shown}
                self._put("dimensionValues", row, record_id(self.company.name, "dimensionValues", code, value))
        row = {"displayName": self.company.name, "currencyCode": self.company.currency_code}
        self._put("companyInformation", row, record_id(self.company.name, "companyInformation", ""))

    def _put(self, name: str, given: dict[str, Any], row_id: str) -> None:
        self.clock.advance(timedelta(milliseconds=37))
        self._work().insert(name, {**given, "id": row_id})

    def master_data(self) -> None:
        """Make items with stock, variants and customers."""
        facts = _facts()
        for fact in facts["items"]:
            given = dict(zip(facts["itemColumns"], fact, strict=True))
            self._add("items", given, given["number"])
        for number, code, description in facts["variants"]:
            given = {"itemNumber": number, "code": code, "description": description}
            self._add("itemVariants", given, number, code)
        for fact in facts["customers"]:
            given = {key: value for key, value in fact.items() if key not in ("paymentTermsCode", "contact")}
            given["paymentTermsId"] = record_id(self.company.name, "paymentTerms", fact["paymentTermsCode"])
            self._add("customers", given, given["number"])

    def documents(self) -> None:
        """Make the documents in the order of their dates of posting."""
        facts = _facts()
        for at, fact in enumerate(facts["postedInvoices"]):
            self._post(self._invoice(*fact), str(102_001 + at))
        for fact in facts["draftInvoices"]:
            self._invoice(*fact)
        for at, (number, external, customer, day, delivery, rows) in enumerate(facts["orders"]):
            given = {
                "number": number or str(101_001 + at),
                "externalDocumentNumber": external,
                "customerNumber": customer,
                "orderDate": day,
                "postingDate": day,
            }
            if delivery:
                given["requestedDeliveryDate"] = delivery
            self._document("salesOrders", number or external, given, day, rows)

    def stock(self) -> None:
        """Put goods on the shelves; the source has no stock, so the quantities are made from the item numbers."""
        for item in self.company.tables["items"]:
            if item["type"] == "Inventory":
                self._work().update(item, {"inventory": Decimal(zlib.crc32(item["number"].encode()) % 240)})

    def _work(self) -> Work:
        return Work(self._environment, self.company)

    def _add(self, name: str, given: dict[str, Any], *key: str) -> Record:
        self.clock.advance(timedelta(milliseconds=37))
        self.ids.next_ids.append(record_id(self.company.name, name, *key))
        columns = ENTITIES[name].columns
        typed = {
            column.name: _MAKERS[column.kind](given[column.name])
            for column in columns
            if column.kind in _MAKERS and column.name in given
        }
        return masters.create(self._work(), name, given | typed)

    def _invoice(self, draft: int, day: str, customer: str, reference: str, terms: str, rows: list[str]) -> Record:
        given = {
            "number": str(draft),
            "customerNumber": customer,
            "invoiceDate": day,
            "postingDate": day,
            "customerPurchaseOrderReference": reference,
            "paymentTermsId": record_id(self.company.name, "paymentTerms", terms),
        }
        return self._document("salesInvoices", str(draft), given, day, rows)

    def _document(self, name: str, key: str, given: dict[str, Any], day: str, rows: list[str]) -> Record:
        self._turn_to(day)
        work, line_set = self._work(), documents.LINES[name]
        given["shipToContact"] = self._contacts[given["customerNumber"]]
        self.ids.next_ids.append(record_id(self.company.name, name, key))
        header = documents.create_header(work, name, given)
        for at, row in enumerate(rows, start=1):
            self.ids.next_ids.append(self._line_id(line_set, header.id, at))
            lines.create_line(work, header, _line(row))
        documents.recalculate(work, header)
        return header

    def _post(self, invoice: Record, shipment_number: str) -> None:
        work = self._work()
        rows = documents.lines_of(work, invoice)
        shipment = record_id(self.company.name, "salesShipments", shipment_number)
        self.ids.next_ids.append(shipment)
        for name, parent in (("salesShipmentLines", shipment), ("salesInvoiceLines", invoice.id)):
            self.ids.next_ids.extend(self._line_id(name, parent, at) for at in range(1, len(rows) + 1))
        posting.post_invoice(work, invoice)
        if invoice["dueDate"] < _PAID_BEFORE and not invoice["customerPurchaseOrderReference"]:
            posting.pay_invoice(work, invoice, invoice["remainingAmount"])

    def _turn_to(self, day: str) -> None:
        """Set the clock to the document's day, later for each document, never past the last day of the demo."""
        moment = datetime.fromisoformat(f"{day}T08:00:00+00:00")
        count = len(self.company.tables["salesInvoices"]) + len(self.company.tables["salesOrders"])
        self.clock.set(min(moment, _LAST_AT) + timedelta(milliseconds=613 * count + 7))

    def _line_id(self, line_set: str, parent: str, at: int) -> str:
        return record_id(self.company.name, line_set, parent, str(at * lines.STEP))


def _line(row: str) -> dict[str, Any]:
    if row.startswith("# "):
        return {"lineType": "Comment", "description": row[2:]}
    number, _, quantity = row.rpartition("*")
    return {"lineType": "Item", "lineObjectNumber": number, "quantity": Decimal(quantity)}
