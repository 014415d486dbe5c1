"""The systems that send sales orders, good, bad and repeated ones that share numbers, and what each must come to.

They know nothing of how orders are told apart: keys and numbers overlap as chance has it. Each order bears a mark in a
field that the app passes on and never looks at, by which the checker knows whose document is whose.
"""

import json
import random
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from business_central_emulator.data.environment import Company

from shared.business_central.code_text import code_of
from shared.orders.order_message import external_of
from shared.resource_names import QUEUE_ORDERS
from tests.simulation.people import BLOCKED_CUSTOMER, CUSTOMERS, Numbered
from tests.simulation.recorder import MARK, Recorder
from tests.simulation.world import World

type Fate = Literal["created", "rejected", "either"]
_ODD: Final = ("{}|a", "O'{}", "{}..9", "@{}", "{} x", "<{}>", "{}*")
#: Numbers and keys that several senders use without knowing of each other.
_COMMON: Final = tuple(f"PO-{number}" for number in range(1, 7))


@dataclass(slots=True)
class Sent:
    """All messages of one order."""

    key: str
    company: str
    external: str  # as BC gets it
    fate: Fate
    at: datetime
    mark: str
    messages: int = 1
    texts: list[str] = field(default_factory=list)
    spelling: str = ""
    order: dict[str, Any] = field(default_factory=dict)


class Senders:
    """Sends orders and keeps account of them."""

    def __init__(self, world: World, rolls: random.Random, companies: list[Company], recorder: Recorder) -> None:
        """Take the world, the companies that orders are for, and who writes down what is sent."""
        self._world = world
        self._rolls = rolls
        self._companies = companies
        self._recorder = recorder
        self.sent: list[Sent] = []
        self.messages = 0
        self.is_plain = False  # True: each order once, with the id of its company and a number that nobody else uses

    def send(self) -> None:
        """Put one order, or one more copy of an order, on the queue."""
        roll = self._rolls.random()
        if roll < 0.15 and self.sent and not self.is_plain:
            self._repeat()
        elif roll < 0.26:
            self._send_bad()
        elif roll < 0.40 and not self.is_plain:
            self._send_overlapping()
        else:
            self._send_good()

    def every_key(self) -> list[str]:
        """Return every key that was used, as it was first written."""
        return list({sent.key: sent.spelling for sent in self.sent}.values())

    def numbered(self, company: Company) -> list[Numbered]:
        """Return the numbers that a person in a company may come across, with the order that bears each."""
        sent = [] if self.is_plain else self.sent
        return [Numbered(one.external, one.order) for one in sent if one.company == company.id and one.order]

    def disturb(self, company: str, external: str) -> None:
        """Note that somebody else uses a number: no order that bears it is sure to be made any more."""
        for sent in self.sent:
            if (sent.company, sent.external) == (company, code_of(external)) and sent.fate != "rejected":
                sent.fate = "either"
                self._recorder.disputed(sent.key)

    def rename(self, name: str) -> None:
        """Note that a name means no company any more, or another one: an order that bears it may be refused."""
        for sent in self.sent:
            if sent.fate == "created" and any(json.loads(text).get("company") == name for text in sent.texts):
                sent.fate = "either"

    def _repeat(self) -> None:
        old = self._rolls.choice(self.sent)
        if old.key.startswith("MESSAGE-"):
            return  # its key is the id of its message: another message is another order
        old.messages += 1
        text, spelling = old.texts[0], old.spelling
        if self._rolls.random() < 0.5:
            text, spelling = self._written_anew(text, spelling)
        self._put(text)
        self._recorder.submitted(old.key, spelling, old.company, old.mark)

    def _written_anew(self, text: str, spelling: str) -> tuple[str, str]:
        """Return a message as another system writes it: members in another order, numbers and its key otherwise."""
        message = json.loads(text)
        for line in message.get("order", message).get("salesOrderLines", []):
            if isinstance(line.get("quantity"), int):
                line["quantity"] = float(line["quantity"])
        if isinstance(message.get("orderKey"), str):
            spelling = message["orderKey"] = f" {message['orderKey'].swapcase()}"
        return json.dumps(message, sort_keys=True, indent=self._rolls.choice((None, 1))), spelling

    def _send_good(self) -> None:
        company = self._rolls.choice(self._companies)
        number = f"{len(self.sent):05d}"
        order = self._order(company)
        message: dict[str, Any] = {"company": self._named(company), "order": order}
        key, external = f"WEB-{number}", ""
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
        elif style == 4 and len(self._companies) == 1:
            message = order  # a bare order; its message's id is its key
            key = ""
        elif style == 5:
            old = self._old_order(company)
            external = old.external if old else f"PO/{len(self.sent):05d}"
            if old and self._rolls.random() < 0.5:  # word by word what another key ordered, and ordered once more
                order = message["order"] = {**old.order}
            order["externalDocumentNumber"] = external
            message["orderKey"] = key
        elif style == 6:
            key = ""
        else:
            message["orderKey"] = key = key.lower()
        self._put_new(message, key, company.id, external, "created", order)

    def _send_overlapping(self) -> None:
        """Send one of several senders' orders: whatever its key, its number and its content, others bear them, too."""
        company = self._rolls.choice(self._companies)
        old = [sent for sent in self.sent if sent.company == company.id and sent.order]
        is_alike = bool(old) and self._rolls.random() < 0.4
        order = {**self._rolls.choice(old).order} if is_alike else self._order(company)
        order["externalDocumentNumber"] = external = self._rolls.choice(_COMMON)
        key = ""
        message: dict[str, Any] = {"company": company.id, "order": order}
        if self._rolls.random() < 0.8:
            key = self._rolls.choice((f"shop-{len(self.sent)}", f" edi-{len(self.sent) % 5} ", external.lower()))
            message["orderKey"] = key
        self.disturb(company.id, external)
        self._put_new(message, key or external, company.id, external, "either", order)

    def _send_bad(self) -> None:
        company = self._rolls.choice(self._companies)
        order = self._order(company)
        message: dict[str, Any] = {"company": company.id, "orderKey": f"bad-{len(self.sent):05d}", "order": order}
        home = company.id
        match self._rolls.randrange(6):
            case 0:
                order["customerNumber"] = "NOBODY"
            case 1:
                order["customerNumber"] = BLOCKED_CUSTOMER
            case 2:
                order["orderDate"], home = "yesterday", ""
            case 3:
                message["company"], home = "No Such Company", ""
            case 4:
                order["salesOrderLines"][0]["lineObjectNumber"] = "NO-ITEM"
            case _:
                del order["customerNumber"]
                home = ""
        self._put_new(message, message["orderKey"], home, "", "rejected", {})

    def _named(self, company: Company) -> str:
        """Return a company's id, its name, or a display name that is its alone."""
        if self.is_plain:
            return company.id
        shared = [
            one for one in self._world.bc.environment.companies.values() if one.display_name == company.display_name
        ]
        names = [company.id, company.name]
        is_name = any(one.name == company.display_name for one in self._world.bc.environment.companies.values())
        if len(shared) == 1 and company.display_name and not is_name:  # a name goes before a display name
            names.append(company.display_name)
        return self._rolls.choice(names)

    def _old_order(self, company: Company) -> Sent | None:
        """Return an order that bears a customer's own number, finished or under way; often none."""
        old = [sent for sent in self.sent if sent.company == company.id and sent.external.startswith("PO/")]
        return self._rolls.choice(old[-2:]) if old and self._rolls.random() < 0.6 else None

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
        self, message: dict[str, Any], key: str, company: str, external: str, fate: Fate, order: dict[str, Any]
    ) -> None:
        mark = f"M{len(self.sent):05d}"
        (order or message["order"])[MARK] = mark
        text = json.dumps(message)
        message_id = self._put(text)
        spelling = key or message_id
        key = code_of(spelling)
        number = code_of(external or external_of(key))
        sent = Sent(key, company, number, fate, self._world.clock.now(), mark, texts=[text], spelling=spelling)
        sent.order = order
        self.sent.append(sent)
        self._recorder.submitted(key, spelling, company, mark)
        if fate == "either":
            self._recorder.disputed(key)

    def _put(self, text: str) -> str:
        self.messages += 1
        self._world.note(f"order sent {text}")
        return self._world.queues.put(QUEUE_ORDERS, text, self._world.clock.now())
