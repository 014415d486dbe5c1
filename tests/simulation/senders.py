"""The systems that send sales orders: good ones, bad ones, repeated ones; and what each must come to."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from business_central_emulator.data.environment import Company

from shared.orders.order_message import external_of
from shared.resource_names import QUEUE_ORDERS
from tests.simulation.people import BLOCKED_CUSTOMER, CUSTOMERS
from tests.simulation.world import World

type Fate = Literal["created", "rejected", "either"]
_ODD: Final = ("{}|a", "O'{}", "{}..9", "@{}", "{} x", "<{}>", "{}*")


@dataclass(slots=True)
class Sent:
    """All messages under one order key."""

    key: str
    company: str
    external: str  # as BC gets it
    fate: Fate
    at: datetime
    messages: int = 1
    texts: list[str] = field(default_factory=list)
    shared_number: bool = False  # the external number is that of an older order, too


class Senders:
    """Sends orders and keeps account of them."""

    def __init__(self, world: World, rolls: random.Random, companies: list[Company]) -> None:
        """Take the world and the companies that orders are for."""
        self._world = world
        self._rolls = rolls
        self._companies = companies
        self.sent: dict[str, Sent] = {}
        self.messages = 0
        self.is_created: Callable[[str], bool] = lambda _: False

    def send(self) -> None:
        """Put one order, or one more copy of an order, on the queue."""
        roll = self._rolls.random()
        if roll < 0.15 and self.sent:
            self._repeat()
        elif roll < 0.28:
            self._send_bad()
        else:
            self._send_good()

    def _repeat(self) -> None:
        old = self._rolls.choice(list(self.sent.values()))
        if old.key.startswith("MESSAGE-"):
            return  # its key is the id of its message: another message is another order
        old.messages += 1
        self._put(self._rolls.choice(old.texts))

    def _send_good(self) -> None:
        company = self._rolls.choice(self._companies)
        number = f"{len(self.sent):05d}"
        order = self._order(company)
        message: dict[str, Any] = {"company": self._rolls.choice((company.id, company.name)), "order": order}
        key, external, shared = f"WEB-{number}", "", False
        style = self._rolls.randrange(8)
        if style == 0:
            order["externalDocumentNumber"] = key = f"po-{number}"
        elif style == 1:
            key = f"{self._rolls.getrandbits(128):032x}"
            key = f"{key[:8]}-{key[8:12]}-{key[12:16]}-{key[16:20]}-{key[20:]}"
            message["orderKey"] = key
        elif style == 2:
            message["orderKey"] = key = f"a very long key of some shop, number {number}"
        elif style == 3:
            order["externalDocumentNumber"] = key = self._rolls.choice(_ODD).format(number)
        elif style == 4 and len(self._companies) == 1 and len(self._world.bc.environment.companies) == 1:
            message = order  # a bare order; its message's id is its key
            key = ""
        elif style == 5:
            external, shared = self._old_number(company)
            order["externalDocumentNumber"] = external
            message["orderKey"] = key
        elif style == 6:
            key = ""
        else:
            message["orderKey"] = key.lower()
        self._put_new(message, key, company.id, external, "created", shared=shared)

    def _send_bad(self) -> None:
        company = self._rolls.choice(self._companies)
        order = self._order(company)
        message: dict[str, Any] = {"company": company.id, "orderKey": f"bad-{len(self.sent):05d}", "order": order}
        match self._rolls.randrange(6):
            case 0:
                order["customerNumber"] = "NOBODY"
            case 1:
                order["customerNumber"] = BLOCKED_CUSTOMER
            case 2:
                order["orderDate"] = "yesterday"
            case 3:
                message["company"] = "No Such Company"
            case 4:
                order["salesOrderLines"][0]["lineObjectNumber"] = "NO-ITEM"
            case _:
                del order["customerNumber"]
        self._put_new(message, message["orderKey"], company.id, "", "rejected")

    def _old_number(self, company: Company) -> tuple[str, bool]:
        """Return a customer's own number: often one that another order bears, too, finished or under way."""
        old = [sent for sent in self.sent.values() if sent.company == company.id and sent.external.startswith("PO/")]
        if old and self._rolls.random() < 0.5:
            return self._rolls.choice(old).external, True
        return f"PO/{len(self.sent):05d}", False

    def _order(self, company: Company) -> dict[str, Any]:
        sold = [item for item in company.tables["items"] if item["hasEntries"] and item["unitPrice"] > 0]
        item = self._rolls.choice(sold)
        return {
            "orderDate": self._world.clock.now().date().isoformat(),
            "customerNumber": self._rolls.choice(CUSTOMERS[:2]),
            "salesOrderLines": [
                {"lineType": "Item", "lineObjectNumber": item["number"], "quantity": self._rolls.randint(1, 5)}
            ],
        }

    def _put_new(
        self, message: dict[str, Any], key: str, company: str, external: str, fate: Fate, *, shared: bool = False
    ) -> None:
        text = json.dumps(message)
        message_id = self._put(text)
        key = (key or message_id).strip().upper()
        number = (external or external_of(key)).upper()
        self.sent[key] = Sent(key, company, number, fate, self._world.clock.now(), texts=[text], shared_number=shared)

    def _put(self, text: str) -> str:
        self.messages += 1
        self._world.note(f"order sent {text}")
        return self._world.queues.put(QUEUE_ORDERS, text, self._world.clock.now())
