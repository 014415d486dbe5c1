"""What people in Business Central do all day: create, change, delete, post, pay; and what of it must be remembered."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from business_central_emulator import BusinessCentral, Fault, FaultKind, Request
from business_central_emulator.data.environment import Company
from business_central_emulator.data.errors import ApiError
from business_central_emulator.data.record import Record

CUSTOMERS: Final = ("C00010", "C00020", "C00030")
BLOCKED_CUSTOMER: Final = "C00030"


@dataclass(frozen=True, slots=True)
class Numbered:
    """An external number that people come across, and the order that bears it."""

    external: str
    order: dict[str, Any]

    @property
    def is_given(self) -> bool:
        """Whether the sender gave the number; one that the app made is seen on a document only."""
        return "externalDocumentNumber" in self.order


class People:
    """Acts in all companies; refusals of BC are part of the day."""

    def __init__(
        self, bc: BusinessCentral, rolls: random.Random, companies: list[Company], *, changes_customers: bool = False
    ) -> None:
        """Take the engine and the companies that people work in."""
        self._bc = bc
        self._rolls = rolls
        self.companies = companies
        self.gone_orders: list[tuple[str, str, str]] = []  # (company id, external number, number) posted and deleted
        self.done = 0
        self.is_announced: Callable[[str], bool] = lambda _: False
        self.is_told: Callable[[str, str], bool] = lambda _company, _number: False  # whether an order was answered for
        self.numbered: Callable[[Company], list[Numbered]] = lambda _: []
        self.disturb: Callable[[str, str], object] = lambda _company, _external: None
        self._acts: list[tuple[Callable[[Company], object], int]] = [
            (self._create_item, 6), (self._change_item, 6), (self._add_variant, 4), (self._change_variant, 3),
            (self._delete_item, 2), (self._draft_invoice, 5), (self._change_invoice, 2), (self._delete_draft, 1),
            (self._post_invoice, 4), (self._pay_invoice, 2), (self._ship_and_invoice, 4), (self._post_some_order, 4),
            (self._change_many, 2), (self._create_many, 1), (self._release_draft, 1), (self._slow_clerk, 3),
            (self._type_a_senders_number, 4), (self._amend_an_order, 1), (self._delete_an_order, 1),
            (self._change_their_mind, 4),
        ]  # fmt: skip
        if changes_customers:
            self._acts += [(self._add_customer, 20), (self._change_customer, 12), (self._delete_customer, 5)]

    def _add_customer(self, company: Company) -> None:
        self._bc.user.create_customer(company=company.id, displayName=f"New {self._rolls.randrange(10**6)}")

    def _change_customer(self, company: Company) -> None:
        customer = self._some(company, "customers")
        if customer is not None:
            self._bc.user.update(customer, {"website": f"https://{self._rolls.randrange(10**6)}.example"})

    def _delete_customer(self, company: Company) -> None:
        customer = self._some(company, "customers", lambda row: row["displayName"].startswith("New "))
        if customer is not None:
            self._bc.user.delete(customer)

    def settle_in(self) -> None:
        """Fill the companies with what was there before the app came."""
        for company in self.companies:
            for number in CUSTOMERS:
                self._bc.user.create_customer(company=company.id, number=number, displayName=f"Customer {number}")
            blocked = company.tables["customers"].find("number", BLOCKED_CUSTOMER)
            if blocked is not None:
                self._bc.user.update(blocked, {"blocked": "All"})
            for count in range(self._rolls.randint(2, 12)):
                self._bc.user.create_item(company=company.id, displayName=f"Old item {count}", unitPrice=10)
            for _ in range(3):
                self._draft_invoice(company)
                self._ship_and_invoice(company)
            self._post_invoice(company)
            self._add_variant(company)

    def act(self) -> None:
        """Do one thing."""
        company = self._rolls.choice(self.companies)
        act = self._rolls.choices([one for one, _ in self._acts], [weight for _, weight in self._acts])[0]
        try:
            act(company)
        except ApiError:
            return
        self.done += 1

    def mend(self, record_id: str) -> None:
        """Put a broken record right, which changes it."""
        for company in self.companies:
            for name in ("items", "salesInvoices", "salesShipments"):
                record = company.tables[name].get(record_id)
                if record is not None:
                    field = "displayName2" if name == "items" else "phoneNumber"
                    self._bc.user.update(record, {field: f"mended {self._rolls.randrange(10**6)}"})

    def a_record(self) -> Record | None:
        """Return some record that is watched."""
        table = self._rolls.choice(self.companies).tables[
            self._rolls.choice(("items", "salesInvoices", "salesShipments"))
        ]
        return self._rolls.choice(list(table)) if len(table) else None

    # -- acts

    def _create_item(self, company: Company) -> None:
        item = self._bc.user.create_item(
            company=company.id, displayName=f"Item {self._rolls.randrange(10**6)}", unitPrice=self._rolls.randint(1, 99)
        )
        for code in ("RED", "BLUE")[: self._rolls.choice((0, 0, 1, 2))]:
            self._bc.user.create_variant(item, code, company=company.id)

    def _change_item(self, company: Company) -> None:
        item = self._some(company, "items")
        if item is not None:
            self._bc.user.update(item, {"displayName": f"Changed {self._rolls.randrange(10**6)}"})

    def _add_variant(self, company: Company) -> None:
        item = self._some(company, "items")
        if item is not None:
            self._bc.user.create_variant(item, f"V{self._rolls.randrange(10**4)}", company=company.id)

    def _change_variant(self, company: Company) -> None:
        variant = self._some(company, "itemVariants")
        if variant is not None:
            self._bc.user.update(variant, {"description": f"Variant {self._rolls.randrange(10**6)}"})

    def _delete_item(self, company: Company) -> None:
        item = self._some(company, "items", lambda row: not row["hasEntries"])
        if item is not None:
            self._bc.user.delete(item)

    def _draft_invoice(self, company: Company) -> None:
        self._bc.user.create_invoice(self._lines(company), company=company.id, customerNumber=CUSTOMERS[0])

    def _change_invoice(self, company: Company) -> None:
        draft = self._some(company, "salesInvoices", lambda row: not row["posted"])
        if draft is not None:
            self._bc.user.update(draft, {"phoneNumber": str(self._rolls.randrange(10**6))})

    def _delete_draft(self, company: Company) -> None:
        draft = self._some(company, "salesInvoices", lambda row: not row["posted"])
        if draft is not None:
            self._bc.user.delete(draft)

    def _post_invoice(self, company: Company) -> None:
        draft = self._some(company, "salesInvoices", lambda row: not row["posted"])
        if draft is not None:
            self._bc.user.post_invoice(draft)
            if self._rolls.random() < 0.2:
                self._bc.user.pay_invoice(draft)

    def _pay_invoice(self, company: Company) -> None:
        open_ = self._some(company, "salesInvoices", lambda row: row["posted"] and row["status"] == "Open")
        if open_ is not None and self._rolls.random() < 0.7:
            self._bc.user.pay_invoice(open_, None if self._rolls.random() < 0.6 else 1)
        elif open_ is not None:
            self._bc.user.cancel_invoice(open_)

    def _ship_and_invoice(self, company: Company) -> None:
        order = self._bc.user.create_order(self._lines(company), company=company.id, customerNumber=CUSTOMERS[1])
        self._post(company, order)

    def _post_some_order(self, company: Company) -> None:
        order = self._some(company, "salesOrders")
        if order is not None:
            self._post(company, order)

    def _post(self, company: Company, order: Record) -> None:
        trace = (company.id, order["externalDocumentNumber"], order["number"])
        ship_only = self._rolls.random() < 0.3
        posted = self._bc.user.post_order(order, invoice=not ship_only, company=company.id)
        if posted.order_deleted:
            self.gone_orders.append(trace)

    def _change_many(self, company: Company) -> None:
        for item in list(company.tables["items"]):
            self._bc.user.update(item, {"unitPrice": self._rolls.randint(1, 10**6)}, company=company.id)

    def _create_many(self, company: Company) -> None:
        for number in range(self._rolls.randint(8, 20)):
            self._bc.user.create_item(company=company.id, displayName=f"Import {number}", unitPrice=5)

    def _release_draft(self, company: Company) -> None:
        """Release a draft that has been told of: one never seen as a draft can't be told from a posted one."""
        draft = self._some(
            company, "salesInvoices",
            lambda row: not row["posted"] and row["status"] == "Draft" and self.is_announced(row["id"]),
        )  # fmt: skip
        if draft is not None:
            self._bc.user.release(draft)

    def _slow_clerk(self, company: Company) -> None:
        """Write through the API in a transaction that is committed minutes after its time stamp."""
        base = f"{self._bc.root_url()}/companies({company.id})"
        draft = self._some(company, "salesInvoices", lambda row: not row["posted"])
        order = self._some(company, "salesOrders")
        body: dict[str, Any] = {"displayName": f"Slow {self._rolls.randrange(10**6)}"}
        match self._rolls.randrange(3):
            case 0 if draft is not None:
                path, body = f"salesInvoices({draft.id})/Microsoft.NAV.post", {}
            case 1 if order is not None:
                path, body = f"salesOrders({order.id})/Microsoft.NAV.shipAndInvoice", {}
                self.gone_orders.append((company.id, order["externalDocumentNumber"], order["number"]))
            case _:
                path = "items"
        fault = Fault(kind=FaultKind.LATE_COMMIT, match=f"POST .*{path.partition('(')[0]}", late_s=self._late_s())
        script, self._bc.faults.script = self._bc.faults.script, [fault]
        headers = {"Authorization": "Bearer good-clerk", "Content-Type": "application/json"}
        try:
            self._bc.handle(
                Request(method="POST", url=f"{base}/{path}", headers=headers, body=json.dumps(body).encode())
            )
        finally:
            self._bc.faults.script = script

    def _type_a_senders_number(self, company: Company) -> None:
        """Type an order or an invoice that bears the number of a sender's order and is another one.

        Customer, date, lines: some may be the same, not all of them, as nobody could tell such an order apart.
        """
        shown = {order["externalDocumentNumber"] for order in company.tables["salesOrders"]}
        known = [one for one in self.numbered(company) if one.is_given or one.external in shown]
        if not known:
            return
        one = self._rolls.choice(known[-4:] if self._rolls.random() < 0.7 else known)
        self.disturb(company.id, one.external)
        lines = [{**line, "quantity": line["quantity"] + 7} for line in one.order["salesOrderLines"]]
        given = {"externalDocumentNumber": one.external, "customerNumber": one.order["customerNumber"]}
        match self._rolls.randrange(4):
            case 0:
                given["customerNumber"] = CUSTOMERS[0] if given["customerNumber"] == CUSTOMERS[1] else CUSTOMERS[1]
                lines = one.order["salesOrderLines"]
            case 1:
                self._bc.user.create_invoice(lines, company=company.id, **given)
                return
            case 2:
                lines = [*one.order["salesOrderLines"], *lines]
            case _:
                pass
        self._bc.user.create_order(lines, company=company.id, orderDate=one.order["orderDate"], **given)

    def _amend_an_order(self, company: Company) -> None:
        """Add a line to a sender's order, or change its customer's number for it."""
        order = self._some(company, "salesOrders", lambda row: bool(row["externalDocumentNumber"]))
        if order is None:
            return
        self.disturb(company.id, order["externalDocumentNumber"])
        if self._rolls.random() < 0.5:
            self._bc.user.update(order, {"email": f"clerk{self._rolls.randrange(10**6)}@example.com"})
            return
        body = json.dumps(self._lines(company)[0]).encode()
        url = f"{self._bc.root_url()}/companies({company.id})/salesOrders({order.id})/salesOrderLines"
        self._ask("POST", url, body)

    def _delete_an_order(self, company: Company) -> None:
        """Delete a sender's order once its sender knows of it: before, nobody could tell that it ever was."""
        order = self._some(company, "salesOrders", lambda row: self.is_told(company.id, row["number"]))
        if order is not None:
            self._bc.user.delete(order)
            self.gone_orders.append((company.id, order["externalDocumentNumber"], order["number"]))

    def _change_their_mind(self, company: Company) -> None:
        """Create and change records in a transaction that stays open for a while and then is rolled back."""
        with self._bc.user.transaction(self._late_s(), commits=self._rolls.random() < 0.2):
            for _ in range(self._rolls.randint(1, 3)):
                self._rolls.choice((self._create_item, self._change_item, self._draft_invoice, self._add_variant))(
                    company
                )

    def _ask(self, method: str, url: str, body: bytes) -> None:
        headers = {"Authorization": "Bearer good-clerk", "Content-Type": "application/json"}
        script, self._bc.faults.script = self._bc.faults.script, []
        try:
            self._bc.handle(Request(method=method, url=url, headers=headers, body=body))
        finally:
            self._bc.faults.script = script

    def _late_s(self) -> float:
        return self._rolls.uniform(1, 480)

    # -- what there is

    def _some(self, company: Company, name: str, fits: Callable[[Record], bool] = lambda _: True) -> Record | None:
        found = [record for record in company.tables[name] if fits(record)]
        return self._rolls.choice(found) if found else None

    def _lines(self, company: Company) -> list[dict[str, Any]]:
        item = self._some(company, "items", lambda row: not row["blocked"] and row["unitPrice"] > 0)
        number = item["number"] if item is not None else ""
        return [{"lineType": "Item", "lineObjectNumber": number, "quantity": self._rolls.randint(1, 3)}]
