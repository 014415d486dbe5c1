"""What can be made to happen in the emulated Business Central, and which events the app should send then.

One row for each: what a person in Business Central does, and the event types that follow from it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import requests

from local.console.target import Refused
from local.stack.demo import COMPANY
from local.stack.running import Running

#: Business Central sends one `collection` instead of more changes than this.
COLLECTION: Final = 1001
Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Done:
    """What was done: a sentence, and the subjects and types of the events to come."""

    said: str
    wanted: frozenset[tuple[str, str]]  # (event type, subject)


class Person:
    """Somebody who works in the emulated Business Central of a local stack."""

    def __init__(self, stack: Running, company: str = COMPANY) -> None:
        """Take the stack, and the company to work in by name."""
        self._stack = stack
        self._company = company
        self._http = requests.Session()
        self._http.trust_env = False
        self._http.verify = str(stack.ca_file)

    def do(self, command: str, **arguments: Any) -> Any:
        """Send a control request.

        Raises:
            Refused: Business Central refuses it, or does not answer.
        """
        try:
            answer = self._http.post(f"{self._stack.bc_url}/_emulator/{command}", json=arguments, timeout=60)
        except requests.RequestException as error:
            raise Refused(f"the emulated Business Central can't be reached: {type(error).__name__}") from error
        if answer.status_code != 200:
            raise Refused(f"Business Central refuses {command}: {answer.json().get('error', answer.text[:200])}")
        return answer.json()

    def company_id(self) -> str:
        """Return the id of the company."""
        found = [key for key, one in self.do("state")["companies"].items() if one["name"] == self._company]
        if not found:
            raise Refused(f"there is no company {self._company}")
        return str(found[0])

    def create(self, entity_set: str, **values: Any) -> Record:
        """Create a record."""
        made: Record = self.do("records/create", entitySet=entity_set, company=self.company_id(), values=values)
        return made

    def newest(self, entity_set: str) -> Record:
        """Return the record that was made last."""
        records = self.do("state", entitySet=entity_set)["records"].get(self.company_id(), {})
        if not records:
            raise Refused(f"{self._company} has no {entity_set}")
        found: Record = list(records.values())[-1]
        return found


def _event(kind: str, entity_set: str, record: Mapping[str, Any]) -> tuple[str, str]:
    return f"bc.{kind}.v1", f"{entity_set}({record['id']})"


def _create_item(person: Person) -> Done:
    item = person.create("items", displayName="Console parka")
    return Done(f"created item {item['number']}", frozenset([_event("item.created", "items", item)]))


def _update_item(person: Person) -> Done:
    item = person.newest("items")
    name = "Console parka, blue" if item["displayName"] != "Console parka, blue" else "Console parka, red"
    person.do("records/update", entitySet="items", id=item["id"], values={"displayName": name})
    return Done(f"renamed item {item['number']} to {name}", frozenset([_event("item.updated", "items", item)]))


def _delete_item(person: Person) -> Done:
    item = person.newest("items")
    person.do("records/delete", entitySet="items", id=item["id"])
    return Done(f"deleted item {item['number']}", frozenset([_event("item.deleted", "items", item)]))


def _create_variant(person: Person) -> Done:
    item = person.newest("items")
    code = f"V{len(person.do('state', entitySet='itemVariants')['history']) + 1}"
    person.create("itemVariants", itemNumber=item["number"], code=code, description="Made by the console")
    said = f"created variant {code} of item {item['number']}, which the next pull sends"
    return Done(said, frozenset([_event("item.pulled", "items", item)]))


def _create_shipment(person: Person) -> Done:
    shipment = person.create("salesShipments")
    return Done(
        f"shipped {shipment['number']}", frozenset([_event("salesShipment.created", "salesShipments", shipment)])
    )


def _create_invoice(person: Person) -> Done:
    invoice = person.create("salesInvoices")
    return Done(
        f"drafted invoice {invoice['number']}", frozenset([_event("salesInvoice.created", "salesInvoices", invoice)])
    )


def _post_invoice(person: Person) -> Done:
    draft = person.create("salesInvoices")
    posted = person.do("invoices/post", id=draft["id"])
    wanted = [
        _event("salesInvoice.created", "salesInvoices", draft),
        _event("salesInvoice.posted", "salesInvoices", draft),
    ]
    return Done(f"drafted and posted invoice {posted['number']}", frozenset(wanted))


def _post_order(person: Person) -> Done:
    order = person.create("salesOrders")
    posted = person.do("orders/post", id=order["id"])
    wanted = [
        _event("salesShipment.created", "salesShipments", posted["shipment"]),
        _event("salesInvoice.created", "salesInvoices", posted["invoice"]),
    ]
    return Done(f"shipped and invoiced order {order['number']}", frozenset(wanted))


def _create_many(person: Person) -> Done:
    made = person.do(
        "records/create", entitySet="items", company=person.company_id(), count=COLLECTION,
        values={"displayName": "One of many"},
    )  # fmt: skip
    wanted = frozenset(_event("item.created", "items", item) for item in made)
    return Done(f"created {len(made)} items at once, of which one collection notification tells", wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One thing that can be made to happen."""

    does: Callable[[Person], Done]
    tells: str  # for --help
    entities: tuple[str, ...]  # which BC_TRIGGERS must hold
    change: str = "created"  # which BC_CHANGES must hold
    starts: str = ""  # the timer function that brings it, where no webhook does


ACTS: Final[dict[str, Act]] = {
    "item.created": Act(does=_create_item, tells="a new item", entities=("items",)),
    "item.updated": Act(does=_update_item, tells="the newest item gets a name", entities=("items",), change="updated"),
    "item.deleted": Act(does=_delete_item, tells="the newest item goes", entities=("items",), change="deleted"),
    "variant.created": Act(
        does=_create_variant, tells="a variant of the newest item; brought by a pull", entities=(), starts="pull_items"
    ),
    "shipment.created": Act(does=_create_shipment, tells="an order is shipped", entities=("salesShipments",)),
    "invoice.created": Act(does=_create_invoice, tells="a draft", entities=("salesInvoices",)),
    "invoice.posted": Act(does=_post_invoice, tells="a draft, posted", entities=("salesInvoices",)),
    "order.posted": Act(
        does=_post_order, tells="an order is shipped and invoiced", entities=("salesShipments", "salesInvoices")
    ),
    "collection": Act(
        does=_create_many, tells=f"{COLLECTION} items at once: more than one notification lists", entities=("items",)
    ),
}  # fmt: skip
#: `item` stands for `item.created`, and so on.
SHORT: Final = {name.partition(".")[0]: name for name in reversed(ACTS)}


def named(name: str) -> Act:
    """Return what a name means.

    Raises:
        Refused: nothing; says the nearest right name.
    """
    found = ACTS.get(SHORT.get(name, name))
    if found is None:
        near = difflib.get_close_matches(name, [*ACTS, *SHORT], 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(ACTS)}"
        raise Refused(f"{name} can't be made to happen; {hint}")
    return found


def check(name: str, act: Act, values: Mapping[str, str]) -> None:
    """Refuse what the app would not announce, as it was started.

    Raises:
        Refused: says with which setting it would.
    """
    if values.get("BC_EVENTS_TO", "queue") != "queue":
        raise Refused("events of this stack go to BC_EVENTS_TO and not to bc-events, where this command looks")
    for setting, wanted in (("BC_TRIGGERS", act.entities), ("BC_CHANGES", (act.change,))):
        missing = set(wanted) - {entry.strip() for entry in values[setting].split(",")}
        if missing and not act.starts:
            more = ",".join([values[setting], *sorted(missing)])
            raise Refused(f"{name} would send nothing: start the stack with --set {setting}={more}")
