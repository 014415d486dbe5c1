"""Everything that differs between entities, as one row of data each: a further entity is a further row."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """One entity set of Business Central. A custom API page has its own `route`, for example `contoso/shop/v1.0`."""

    name: str  # entity set, as in the URL
    event: str  # noun in the event type: bc.<event>.created.v1
    announces: str = ""  # what its first event stands for, as the status page says it: "a new item"
    expand: str = ""  # navigation property read along when its option is on; "": none
    option: str = ""  # app setting that turns `expand` on
    parts: str = ""  # the expanded records, as the status page names them: "variants"
    expanded_set: str = ""  # entity set of the expanded records if it can be filtered by lastModifiedDateTime itself
    expanded_parent: str = ""  # property of an expanded record that holds the parent's id
    posts: bool = False  # a draft that is posted later: announces `posted` and has a status
    modified_by_reads: bool = False  # by who may write sales headers, on the primary (AL: OnAfterGetRecord)
    order_number: str = ""  # property with the number of the sales order: where an order leaves its trace
    route: str = "v2.0"  # API route behind `/api/`

    def resource(self, company: str) -> str:
        """Return the path a subscription names, as Business Central stores and repeats it."""
        return f"api/{self.route}/companies({company})/{self.name}"

    def event_type(self, change: str) -> str:
        """Return the CloudEvents type, for example `bc.item.created.v1`."""
        return f"bc.{self.event}.{change}.v1"


ITEMS: Final = Entity(
    name="items",
    event="item",
    announces="a new item",
    expand="itemVariants",
    option="BC_PULL_ITEM_VARIANTS",
    parts="variants",
    expanded_set="itemVariants",
    expanded_parent="itemId",
)
SALES_SHIPMENTS: Final = Entity(
    name="salesShipments",
    event="salesShipment",
    announces="a posted sales shipment",
    expand="salesShipmentLines",
    option="BC_PULL_SALES_SHIPMENT_LINES",
    parts="lines",
    order_number="orderNumber",
)
SALES_INVOICES: Final = Entity(
    name="salesInvoices",
    event="salesInvoice",
    announces="a new sales invoice",
    expand="salesInvoiceLines",
    option="BC_PULL_SALES_INVOICE_LINES",
    parts="lines",
    posts=True,
    modified_by_reads=True,
    order_number="orderNumber",
)
#: Written and looked up, but neither watched nor pulled.
SALES_ORDERS: Final = Entity(
    name="salesOrders",
    event="salesOrder",
    expand="salesOrderLines",
    modified_by_reads=True,
    order_number="number",
)

#: Entities that can be watched, by entity set.
ENTITIES: Final[dict[str, Entity]] = {entity.name: entity for entity in (ITEMS, SALES_SHIPMENTS, SALES_INVOICES)}
#: Where an order leaves its number: itself, and what is left of it once it is shipped and invoiced.
ORDER_TRACES: Final = (SALES_ORDERS, SALES_INVOICES, SALES_SHIPMENTS)
