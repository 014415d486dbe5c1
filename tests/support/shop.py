"""A world with a shop in it: customers and an item in one company, and messages that order it."""

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from business_central_emulator import Fault, FaultKind
from business_central_emulator.data.record import Record

from shared.resource_names import QUEUE_ORDERS
from tests.simulation.world import World
from tests.support.worlds import results, small_world

CRONUS = "CRONUS International Ltd."


@dataclass
class Shop:
    """Orders go in, results come out."""

    world: World = field(default_factory=lambda: small_world(env={"BC_COMPANIES": CRONUS}))

    def __post_init__(self) -> None:
        user = self.world.bc.user
        self.item = user.create_item(number="PRK-1001", displayName="Parka", unitPrice=129.5)
        self.customer = user.create_customer(number="C00120", displayName="Nordlicht")

    def order(self, *lines: object, **fields: object) -> dict[str, Any]:
        """An order that BC takes, with some fields changed."""
        line = {"lineType": "Item", "lineObjectNumber": "PRK-1001", "quantity": 2}
        order = {"customerNumber": "C00120", "salesOrderLines": list(lines) or [line], **fields}
        return {name: value for name, value in order.items() if value is not None}

    def message(self, key: str | None = "web-1", order: object = None, **more: object) -> str:
        """A message of the queue `sales-orders`; None leaves the key out."""
        members = {"company": CRONUS, "orderKey": key, "order": self.order() if order is None else order, **more}
        return json.dumps({name: value for name, value in members.items() if value is not None})

    def send(self, text: str) -> str:
        """Put a message on the queue; returns its id."""
        return self.world.queues.put(QUEUE_ORDERS, text, self.world.clock.now())

    def submit(self, text: str) -> list[dict[str, Any]]:
        """Send a message, let it be worked on, and return the results that came of it."""
        before = len(results(self.world))
        self.send(text)
        self.world.drain()
        return results(self.world)[before:]

    def wait(self, span: timedelta, step: timedelta = timedelta(minutes=1)) -> None:
        """Let time pass for orders that wait."""
        end = self.world.clock.now() + span
        while self.world.clock.now() < end:
            self.world.clock.advance(step)
            self.world.run_timer("retry_sales_orders")
            self.world.drain()

    def fail(self, kind: FaultKind, match: str = "^POST .*/salesOrders", times: int | None = 1, **more: Any) -> None:
        """Script a fault of BC."""
        self.world.bc.faults.add(Fault(kind=kind, match=match, times=times, **more))

    def orders(self, external: str = "") -> list[Record]:
        """The orders in BC, all or those that bear this external number."""
        self.world.bc.settle()  # what was committed late shows at the next look, and this is one
        table = self.world.bc.table("salesOrders")
        return [row for row in table if external in {"", row["externalDocumentNumber"]}]

    def status(self, key: str = "WEB-1") -> str:
        """How far an order key is."""
        return ",".join(entry.status for entry in self.world.stores.orders.find(key))
