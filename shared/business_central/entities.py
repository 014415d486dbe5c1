"""What differs between items, shipments and invoices, as one row of data each: a further entity is a further row."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """One entity set of Business Central that is watched or pulled.

    A custom API page is a row with its own `route`, for example `contoso/shop/v1.0`.
    """

    name: str  # entity set, as in the URL
    event: str  # noun in the event type: bc.<event>.created.v1
    nested: str  # navigation property read along when the option is on
    nested_set: str = ""  # entity set of the nested records if it can be filtered by lastModifiedDateTime itself
    nested_parent: str = ""  # property of a nested record that holds the parent's id
    posts: bool = False  # a draft that is posted later: announces `posted` and has a status
    route: str = "v2.0"  # API route behind `/api/`

    def resource(self, company: str) -> str:
        """Return the path a subscription names, as Business Central stores and repeats it."""
        return f"api/{self.route}/companies({company})/{self.name}"

    def event_type(self, change: str) -> str:
        """Return the CloudEvents type, for example `bc.item.created.v1`."""
        return f"bc.{self.event}.{change}.v1"


ITEMS: Final = Entity(
    name="items", event="item", nested="itemVariants", nested_set="itemVariants", nested_parent="itemId"
)
SALES_SHIPMENTS: Final = Entity(name="salesShipments", event="salesShipment", nested="salesShipmentLines")
SALES_INVOICES: Final = Entity(name="salesInvoices", event="salesInvoice", nested="salesInvoiceLines", posts=True)

ENTITIES: Final[dict[str, Entity]] = {entity.name: entity for entity in (ITEMS, SALES_SHIPMENTS, SALES_INVOICES)}
