"""Everything that differs between entities, as one row of data each: a further entity is a further row.

Owns the rows that the app brings along. Further ones, and changes of these, are settings: `shared.connections`.
"""

from dataclasses import dataclass, replace
from typing import Final, Literal, Self

#: Route of Microsoft's own API behind `/api/`; a custom API page has `publisher/group/version`.
STANDARD_ROUTE: Final = "v2.0"

#: How an entity is watched: by webhook where one is offered, by webhook or a warning, without one, not at all.
type Watch = Literal["auto", "webhook", "reconcile", "off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """One entity set of Business Central. A custom API page has its own `route`, for example `contoso/shop/v1.0`."""

    name: str  # as state, jobs and logs call it: the entity set, behind its route unless that is v2.0
    event: str  # noun in the event type: bc.<event>.created.v1
    announces: str = ""  # what its first event stands for, as the status page says it: "a new item"
    expand: str = ""  # navigation properties that are read along, separated by commas; "": none
    option: str = ""  # app setting that turns `expand` on
    parts: str = ""  # the expanded records, as the status page names them: "variants"
    expanded_set: str = ""  # entity set of the expanded records if it can be filtered by lastModifiedDateTime itself
    expanded_parent: str = ""  # property of an expanded record that holds the parent's id
    posts: bool = False  # a draft that is posted later: announces `posted` and has a status
    modified_by_reads: bool = False  # by who may write sales headers, on the primary (AL: OnAfterGetRecord)
    order_number: str = ""  # property with the number of the sales order: where an order leaves its trace
    route: str = STANDARD_ROUTE  # API route behind `/api/`
    key: str = "id"  # property that is the record's id, a GUID
    sort: str = "number"  # text property that full reads are sorted by; "": it has none that serves
    has_times: bool = True  # bears lastModifiedDateTime, so that a delta can be read
    select: tuple[str, ...] = ()  # properties that are read; empty: all
    changes: frozenset[str] = frozenset({"created"})  # which are announced: created, updated, deleted
    pull: bool = False  # read by the scheduled pull
    watch: Watch = "auto"
    only_when_changed: tuple[str, ...] = ()  # an update of none of these is not announced; empty: every update is

    @property
    def entity_set(self) -> str:
        """Name of the entity set, as in the URL."""
        return self.name.rpartition("/")[2]

    @property
    def by_webhook(self) -> bool:
        """Whether a webhook is wanted, where one is offered."""
        return self.watch in {"auto", "webhook"} and self.has_times

    @property
    def technical(self) -> tuple[str, ...]:
        """Properties that this app itself decides by, whatever else is read."""
        posting = ("status", "orderNumber", "orderId", "disputeStatus", "promisedPayDate") if self.posts else ()
        times = ("lastModifiedDateTime",) if self.has_times else ()
        return (self.key, *([self.sort] if self.sort else []), *posting, *times)

    def plain(self) -> Self:
        """Return the entity read without its expanded records."""
        return replace(self, expand="", expanded_set="", expanded_parent="", parts="")

    def resource(self, company: str) -> str:
        """Return the path a subscription names, as Business Central stores and repeats it."""
        return f"api/{self.route}/companies({company})/{self.entity_set}"

    @property
    def webhook_resource(self) -> str:
        """How `webhookSupportedResources` names it, in lower case."""
        return f"{self.route}/{self.entity_set}".lower()

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
    pull=True,
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

#: Entities that the app brings along, by entity set.
ENTITIES: Final[dict[str, Entity]] = {entity.name: entity for entity in (ITEMS, SALES_SHIPMENTS, SALES_INVOICES)}
#: Where an order leaves its number: itself, and what is left of it once it is shipped and invoiced.
ORDER_TRACES: Final = (SALES_ORDERS, SALES_INVOICES, SALES_SHIPMENTS)
