"""The work of a soak: what people do in Business Central and which orders other systems send, in its own thread."""

from __future__ import annotations

import json
import random
import threading
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import requests
from azure.core.exceptions import AzureError

from local.stack.demo import COMPANY
from local.stack.process import StartError
from shared.orders.order_message import external_of
from shared.resource_names import QUEUE_ORDERS
from tests.soak.truth import Account, Emulator, Refused, Sent

if TYPE_CHECKING:
    from local.stack.stack import Stack

_ORDERS: Final = 0.3  # share of orders among all acts
_REPEATS: Final = 0.15  # share of copies among the orders
_BAD: Final = 0.15
_READ_S: Final = 1.0


class Business:
    """Works at a gentle pace until it is stopped, and keeps account."""

    def __init__(self, stack: Stack, account: Account, *, seed: int, pause_s: tuple[float, float]) -> None:
        """Take the stack and the books; `pause_s` is between two acts."""
        self._account = account
        self._bc = Emulator(stack)
        self._rolls = random.Random(seed)
        self._pause_s = pause_s
        self._over, self._orders_off = threading.Event(), threading.Event()
        self._sending = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="business", daemon=True)
        self._fault: Exception | None = None
        self._made: list[dict[str, Any]] = []  # items of this soak
        self._drafts: list[str] = []
        self._acts: list[tuple[Callable[[], None], int]] = [
            (self._create_item, 6), (self._change_item, 5), (self._draft_invoice, 5), (self._post_invoice, 3),
            (self._ship, 4), (self._ship_and_invoice, 2), (self._change_invoice, 2),
        ]  # fmt: skip

    def start(self) -> None:
        """Begin."""
        self._customer = next(iter(self._bc.records("customers").values()))["number"]
        sold = [row for row in self._bc.records("items").values() if row["unitPrice"] and not row["blocked"]]
        self._sold = sorted(row["number"] for row in sold)[:20]
        self._send(is_good=False)  # however few a busy machine lets it send, one of them is refused
        self._thread.start()

    def stop(self) -> None:
        """End after the act under way."""
        self._over.set()
        self._thread.join(120)

    def check(self) -> None:
        """Look whether the work goes on.

        Raises:
            StartError: it has ended by a fault of its own.
        """
        if self._fault is not None:
            raise StartError(f"business: {type(self._fault).__name__}: {self._fault}") from self._fault

    def pause_orders(self) -> None:
        """Send no orders for now."""
        self._orders_off.set()

    def resume_orders(self) -> None:
        """Send orders again."""
        self._orders_off.clear()

    def send_order(self) -> str:
        """Send one good order; return its external document number."""
        return self._send(is_good=True).external

    def _run(self) -> None:
        read_at = 0.0
        try:
            while not self._over.wait(self._rolls.uniform(*self._pause_s)):
                self._act()
                if time.monotonic() - read_at > _READ_S:
                    self._account.read()
                    read_at = time.monotonic()
        except (requests.RequestException, AzureError, ValueError, LookupError) as fault:
            self._fault = fault

    def _act(self) -> None:
        if self._rolls.random() < _ORDERS:
            if not self._orders_off.is_set():
                self._send_some()
            return
        act = self._rolls.choices([one for one, _ in self._acts], [weight for _, weight in self._acts])[0]
        try:
            act()
        except Refused:
            return  # a refusal is part of the day

    # -- people

    def _create(self, entity_set: str, **values: Any) -> dict[str, Any]:
        made: dict[str, Any] = self._bc.call("records/create", entitySet=entity_set, company=COMPANY, values=values)
        return made

    def _create_item(self) -> None:
        item = self._create("items", displayName=f"Soak {self._rolls.randrange(10**6)}", unitPrice=7)
        self._made.append(item)
        for code in ("RED", "BLUE")[: self._rolls.choice((0, 1, 2))]:
            self._create("itemVariants", itemNumber=item["number"], code=code, description=code.title())

    def _change_item(self) -> None:
        if self._made:
            values = {"displayName": f"Changed {self._rolls.randrange(10**6)}"}
            item = self._rolls.choice(self._made)
            self._bc.call("records/update", entitySet="items", company=COMPANY, id=item["id"], values=values)

    def _draft_invoice(self) -> None:
        self._drafts.append(self._create("salesInvoices")["id"])

    def _change_invoice(self) -> None:
        if self._drafts:
            values = {"phoneNumber": str(self._rolls.randrange(10**6))}
            draft = self._rolls.choice(self._drafts)
            self._bc.call("records/update", entitySet="salesInvoices", company=COMPANY, id=draft, values=values)

    def _post_invoice(self) -> None:
        if self._drafts:
            draft = self._drafts.pop(self._rolls.randrange(len(self._drafts)))
            self._bc.call("invoices/post", company=COMPANY, id=draft)

    def _ship(self) -> None:
        self._create("salesShipments")

    def _ship_and_invoice(self) -> None:
        self._bc.call("orders/post", company=COMPANY, id=self._create("salesOrders")["id"])

    # -- senders of orders

    def _send_some(self) -> None:
        roll = self._rolls.random()
        if roll < _REPEATS and self._account.sent:
            self._put(self._rolls.choice(list(self._account.sent.values())))
            return
        sent = self._send(is_good=roll > _REPEATS + _BAD)
        if self._rolls.random() < 0.1:
            self._put(sent)  # a careless sender: both are under way at once

    def _send(self, *, is_good: bool) -> Sent:
        with self._sending:
            number = f"{len(self._account.sent):05d}"
            line = {"lineType": "Item", "lineObjectNumber": self._rolls.choice(self._sold), "quantity": 1}
            order: dict[str, Any] = {"customerNumber": self._customer, "salesOrderLines": [line]}
            key, own = self._name(number)
            if own:
                order["externalDocumentNumber"] = own
            if not is_good:
                self._spoil(order)
            message = {"company": COMPANY, "order": order} | ({} if key == own else {"orderKey": key})
            sent = Sent(key.upper(), (own or external_of(key)).upper(), is_good, json.dumps(message))
            self._account.sent[sent.key] = sent
            self._put(sent)
            return sent

    def _name(self, number: str) -> tuple[str, str]:
        """Return an order's key, and its own external document number or ""."""
        match self._rolls.randrange(4):
            case 0:
                return str(uuid.UUID(int=self._rolls.getrandbits(128), version=4)), ""
            case 1:
                return f"po-{number}", f"po-{number}"
            case 2:
                return f"shop-{number}", f"OWN-{number}"
            case _:
                return f"soak-{number}", ""

    def _spoil(self, order: dict[str, Any]) -> None:
        match self._rolls.randrange(4):
            case 0:
                order["customerNumber"] = "NOBODY"
            case 1:
                order["orderDate"] = "yesterday"
            case 2:
                order["salesOrderLines"][0]["lineObjectNumber"] = "NO-ITEM"
            case _:
                del order["customerNumber"]

    def _put(self, sent: Sent) -> None:
        sent.messages += 1
        self._account.mailbox.put(QUEUE_ORDERS, sent.text)
