"""What people do in Business Central: create, change, post, pay. Same rules as the API, no token, one commit each.

Every method takes `company` (id or name; the first company by default). `can_schedule=False` on the instance plays a
user whose changes are recorded for webhooks but do not start the sender's job.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

from business_central_emulator.business import documents, generic, lines, masters, posting
from business_central_emulator.business.drafts import Drafts
from business_central_emulator.business.posting import Posted
from business_central_emulator.data import errors, values
from business_central_emulator.data.environment import Company, Environment, Work
from business_central_emulator.data.record import Record
from business_central_emulator.data.schema import ENTITIES, Entity


class _Engine(Protocol):
    """What people work in."""

    environment: Environment
    drafts: Drafts

    def company(self, key: str | None = None) -> Company: ...

    def settle(self) -> None: ...

    def commit(self, work: Work, *, can_schedule: bool = True) -> None: ...

    def postpone(self, done: list[Work], seconds: float, *, commits: bool) -> None: ...


class User:
    """Acts in the engine's companies as a person would."""

    def __init__(self, engine: _Engine) -> None:
        self._engine = engine
        self.can_schedule = True
        self._transaction: list[Work] | None = None

    @contextlib.contextmanager
    def transaction(self, seconds: float, *, commits: bool = True) -> Iterator[None]:
        """Do what is inside in one transaction that stays open for some seconds and then commits, or rolls back.

        Until then it is seen by reads with `ReadWrite` only.
        """
        works = self._transaction = []
        try:
            yield
        finally:
            self._transaction = None
            self._engine.postpone(works, seconds, commits=commits)

    def create(self, entity_set: str, given: Mapping[str, Any] | None = None, *, company: str | None = None) -> Record:
        """Create a row from JSON-like values: a master record, or a document with its lines inside."""

        def act(work: Work) -> Record:
            own, rows = self._checked(work.table(entity_set).entity, given or {})
            if entity_set not in documents.LINES and entity_set not in masters.RULED:
                return generic.create(work, work.table(entity_set).entity, own)
            if entity_set not in documents.LINES:
                return masters.create(work, entity_set, own)
            header = documents.create_header(work, entity_set, own)
            for row in rows:
                line_set = documents.LINES[entity_set]
                lines.create_line(work, header, self._checked(ENTITIES[line_set], row)[0])
            if rows:
                documents.recalculate(work, header)
            return header

        return self._do(act, company)

    def create_item(self, *, company: str | None = None, **given: Any) -> Record:
        """Create an item; number and unit have defaults."""
        return self.create("items", {"displayName": "New item", **given}, company=company)

    def create_variant(self, item: Record | str, code: str, *, company: str | None = None, **given: Any) -> Record:
        """Create a variant of an item (row or number)."""
        number = item if isinstance(item, str) else item["number"]
        return self.create("itemVariants", {"itemNumber": number, "code": code, **given}, company=company)

    def create_customer(self, *, company: str | None = None, **given: Any) -> Record:
        """Create a customer."""
        return self.create("customers", {"displayName": "New customer", **given}, company=company)

    def create_order(
        self, order_lines: Sequence[Mapping[str, Any]] = (), *, company: str | None = None, **given: Any
    ) -> Record:
        """Create a sales order for a customer (the first one by default) with lines."""
        return self._document("salesOrders", order_lines, company, given)

    def create_invoice(
        self, invoice_lines: Sequence[Mapping[str, Any]] = (), *, company: str | None = None, **given: Any
    ) -> Record:
        """Create a draft sales invoice for a customer (the first one by default) with lines."""
        return self._document("salesInvoices", invoice_lines, company, given)

    def update(self, record: Record, changes: Mapping[str, Any], *, company: str | None = None) -> None:
        """Change stored values of any row directly, read-only and hidden ones included."""

        def act(work: Work) -> None:
            parsed = {}
            for name, value in changes.items():
                column = record.entity.columns[record.entity.position[name]]
                parsed[name] = values.parse_json(column, _as_json(value))
            work.update(record, parsed)

        self._do(act, company or self._home(record))

    def delete(self, record: Record, *, company: str | None = None) -> None:
        """Delete a row; documents go with their lines."""

        def act(work: Work) -> None:
            if record.entity.name in ("salesOrders", "salesInvoices"):
                documents.delete_header(work, record)
            elif record.entity.name == "salesShipments":
                for line in documents.lines_of(work, record):
                    work.delete(line)
                work.delete(record)
            elif record.entity.table_key not in masters.RULED:
                work.delete(record)
            else:
                masters.delete(work, record)

        self._do(act, company or self._home(record))

    def adjust_inventory(self, item: Record, quantity: float | Decimal, *, company: str | None = None) -> None:
        """Post an item journal: stock moves, nothing is notified."""

        def act(work: Work) -> None:
            work.update(item, {"inventory": item["inventory"] + Decimal(str(quantity)), "hasEntries": True})

        self._do(act, company or self._home(item))

    def post_order(
        self, order: Record, *, ship: bool = True, invoice: bool = True, company: str | None = None
    ) -> Posted:
        """Post an order: ship, invoice, or both."""
        home = company or self._home(order)
        return self._do(lambda work: posting.post_order(work, order, ship=ship, invoice=invoice), home)

    def post_invoice(self, invoice: Record, *, company: str | None = None) -> Posted:
        """Post a draft invoice."""
        return self._do(lambda work: posting.post_invoice(work, invoice), company or self._home(invoice))

    def pay_invoice(
        self, invoice: Record, amount: float | Decimal | None = None, *, company: str | None = None
    ) -> None:
        """Pay a posted invoice, in part or (by default) in full."""
        paid = invoice["remainingAmount"] if amount is None else Decimal(str(amount))
        self._do(lambda work: posting.pay_invoice(work, invoice, paid), company or self._home(invoice))

    def cancel_invoice(self, invoice: Record, *, company: str | None = None) -> None:
        """Cancel a posted invoice."""
        self._do(lambda work: posting.cancel_invoice(work, invoice), company or self._home(invoice))

    def release(self, document: Record, *, company: str | None = None) -> None:
        """Release an order or a draft invoice."""
        self._do(lambda work: posting.release(work, document), company or self._home(document))

    def reopen(self, document: Record, *, company: str | None = None) -> None:
        """Take a release back."""
        self._do(lambda work: posting.reopen(work, document), company or self._home(document))

    def create_shipment(
        self, shipment_lines: Sequence[Mapping[str, Any]] = (), *, company: str | None = None, **given: Any
    ) -> Record:
        """Make a shipment the only way there is: create an order and post it with "ship" alone."""
        order = self.create_order(shipment_lines, company=company, **given)
        shipment = self.post_order(order, invoice=False, company=company).shipment
        if shipment is None:
            raise errors.dialog("There is nothing to post because the document does not contain a quantity or amount.")
        return shipment

    def _document(
        self, name: str, rows: Sequence[Mapping[str, Any]], company: str | None, given: Mapping[str, Any]
    ) -> Record:
        home = self._engine.company(company)
        body = dict(given)
        if "customerNumber" not in body and "customerId" not in body:
            body = {"customerNumber": next(iter(home.tables["customers"]))["number"]} | body
        if not rows:
            item = next(row for row in home.tables["items"] if row["unitPrice"] > 0 and not row["blocked"])
            rows = [{"lineType": "Item", "lineObjectNumber": item["number"], "quantity": 1}]
        return self.create(name, {**body, documents.LINES[name]: list(rows)}, company=home.id)

    def _checked(self, entity: Entity, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[Mapping[str, Any]]]:
        own: dict[str, Any] = {}
        rows: list[Mapping[str, Any]] = []
        for name, value in given.items():
            if name == documents.LINES.get(entity.name):
                rows = list(value)
                continue
            if name not in entity.position:
                raise errors.unknown_property_in_body(name, entity.type_name)
            own[name] = values.parse_json(entity.columns[entity.position[name]], _as_json(value))
        return own, rows

    def _home(self, record: Record) -> str:
        for company in self._engine.environment.companies.values():
            if company.tables[record.entity.table_key].get(record.id) is record:
                return company.id
        raise errors.segment_not_found(record.entity.name)

    def _do[Result](self, act: Callable[[Work], Result], company: str | None) -> Result:
        self._engine.settle()
        work = Work(self._engine.environment, self._engine.company(company))
        try:
            result = act(work)
        except errors.ApiError:
            work.rollback()
            raise
        self._engine.drafts.changed_by_person(step.record for step in work.tx.steps)
        if self._transaction is not None:
            self._transaction.append(work)
        else:
            self._engine.commit(work, can_schedule=self.can_schedule)
        return result


def _as_json(value: Any) -> Any:
    """Turn what Python callers write into what a JSON body would hold."""
    if isinstance(value, float):
        return Decimal(str(value))
    return value
