"""The entity tables of API v2.0 as data: properties with type, length and who may write them, and navigations.

Sets with rules of their own are written by hand from `facts` and the AL pages; the others are served as the facts tell
them, with one guess: a text called number, code or ...Code is a Code, which BC upper-cases. A line of a table reads
`name type flags`, where type is S text, C code (upper-cased by the server), G guid, D decimal, B boolean, I int32,
L int64, A date, T date and time, or E:<enum>; a number after S or C is the maximum length. Flags: `r` read-only,
`c` writable on create only, `p` writable by PATCH only, `v` computed (a change moves neither the ETag nor
lastModifiedDateTime), `h` hidden (a fact of the BC tables that API v2.0 does not show). No flag means writable.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from business_central_emulator.data import facts

STANDARD_ROUTE: Final = "v2.0"
ZERO_GUID: Final = "00000000-0000-0000-0000-000000000000"
EMPTY_DATE: Final = "0001-01-01"


class Kind(StrEnum):
    """How a property is stored, compared and written."""

    TEXT = "S"
    CODE = "C"
    GUID = "G"
    DECIMAL = "D"
    BOOLEAN = "B"
    INT32 = "I"
    INT64 = "L"
    DATE = "A"
    DATETIME = "T"
    ENUM = "E"
    STREAM = "X"  # media: not part of a row


EDM: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        Kind.TEXT: "Edm.String",
        Kind.CODE: "Edm.String",
        Kind.GUID: "Edm.Guid",
        Kind.DECIMAL: "Edm.Decimal",
        Kind.BOOLEAN: "Edm.Boolean",
        Kind.INT32: "Edm.Int32",
        Kind.INT64: "Edm.Int64",
        Kind.DATE: "Edm.Date",
        Kind.DATETIME: "Edm.DateTimeOffset",
        Kind.STREAM: "Edm.Stream",
    }
)

#: Members in the order of their values; the first is the default.
ENUMS: Final[Mapping[str, tuple[str, ...]]] = {name: tuple(members) for name, members in facts.ENUM_VALUES.items()}


@dataclass(frozen=True, slots=True)
class Column:
    """One property of an entity."""

    name: str
    kind: Kind
    length: int = 0  # characters; 0 = unlimited
    enum: str = ""
    flags: str = ""

    @property
    def read_only(self) -> bool:
        """Whether no request may write it."""
        return "r" in self.flags

    @property
    def hidden(self) -> bool:
        """Whether the API does not show it in a row."""
        return "h" in self.flags or self.kind is Kind.STREAM

    @property
    def computed(self) -> bool:
        """Whether its change is silent (FlowFields and values computed at read time)."""
        return "v" in self.flags


@dataclass(frozen=True, slots=True)
class Nav:
    """A navigation property: rows of `target` whose `remote` property equals our `local` one."""

    name: str
    target: str
    local: str
    remote: str = "id"
    many: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Entity:
    """One entity set."""

    name: str  # entity set, as in a URL
    type_name: str  # EDM type
    table: str  # caption of the BC table, for messages
    columns: tuple[Column, ...]
    navs: tuple[Nav, ...] = ()
    order: tuple[str, ...] = ("number",)  # primary key of the source table: the default order
    key_caption: str = "No."
    can: str = "IUD"  # insert, update, delete
    is_ruled: bool = False  # rows are made by rules that this emulator does not have
    needs_parent: bool = False  # a bare collection GET is refused
    key: str = "id"
    scoped: bool = True  # lives in a company
    route: str = STANDARD_ROUTE  # API it belongs to: "v2.0" or publisher/group/version
    position: Mapping[str, int] = field(default_factory=dict)
    spellings: Mapping[str, str] = field(default_factory=dict, repr=False)  # names by their lower case
    catalog: Mapping[str, "Entity"] = field(default_factory=dict, repr=False)  # the sets of its API

    @property
    def table_key(self) -> str:
        """Name of its table in a company."""
        return self.name if self.route == STANDARD_ROUTE else f"{self.route}/{self.name}"

    def column(self, name: str) -> Column | None:
        """Return the property, or None when the API shows none of that name."""
        at = self.position.get(name)
        return None if at is None or self.columns[at].hidden else self.columns[at]

    def spelled(self, name: str) -> str:
        """Return a property's or navigation's own spelling; query options may use any case."""
        return self.spellings.get(name.lower(), name)

    def nav(self, name: str) -> Nav | None:
        """Return the navigation property, or None."""
        return next((nav for nav in self.navs if nav.name == name), None)


def _column(line: str) -> Column:
    name, kind, *rest = line.split()
    flags = rest[0] if rest else ""
    if kind.startswith("E:"):
        return Column(name, Kind.ENUM, enum=kind[2:], flags=flags)
    return Column(name, Kind(kind[0]), length=int(kind[1:] or 0), flags=flags)


def _columns(text: str) -> tuple[Column, ...]:
    return tuple(_column(part.strip()) for part in text.replace("\n", ",").split(",") if part.strip())


def _address(prefix: str, flags: str = "") -> str:
    lengths = ("AddressLine1 S100", "AddressLine2 S50", "City S30", "Country C10", "State S30", "PostCode C20")
    return ",".join(f"{prefix}{part} {flags}" for part in lengths)


_ADDRESSES = ",".join((_address("sellTo"), _address("billTo", "r"), _address("shipTo")))
_LINE_HEAD = """
id G r, documentId G c, sequence I c, itemId G, accountId G, lineType E:invoiceLineAggLineType, lineObjectNumber C20 c
description S100, description2 S50, unitOfMeasureId G, unitOfMeasureCode C10, quantity D, unitPrice D
discountAmount D, discountPercent D, discountAppliedBeforeTax B r, amountExcludingTax D r, taxCode C50, taxPercent D r
totalTaxAmount D r, amountIncludingTax D r, invoiceDiscountAllocation D r, netAmount D r, netTaxAmount D r
netAmountIncludingTax D r, shipmentDate A"""
_CODE_TABLE = "id G r, code C{n}, displayName S{m}"
_DEFINITIONS = (
    Entity("companies", "company", "Company", _columns("""
        id G r, systemVersion S r, timestamp L r, name S30 r, displayName S250 r, businessProfileId S250 r
        systemCreatedAt T r, systemCreatedBy G r, systemModifiedAt T r, systemModifiedBy G r"""),
        order=("name",), key_caption="Name", can="", scoped=False),
    Entity("subscriptions", "subscriptions", "API Webhook Subscription", _columns("""
        subscriptionId S150 r, notificationUrl S, resource S, timestamp L r, userId G r, lastModifiedDateTime T r
        clientState S2048, expirationDateTime T r, systemCreatedAt T r, systemCreatedBy G r, systemModifiedAt T r
        systemModifiedBy G r"""),
        order=("subscriptionId",), key_caption="Subscription Id", key="subscriptionId", scoped=False),
    Entity("items", "item", "Item", _columns("""
        id G r, number C20, displayName S100, displayName2 S50, type E:itemType, itemCategoryId G, itemCategoryCode C20
        blocked B, gtin C14, inventory D pv, unitPrice D, priceIncludesTax B, unitCost D, taxGroupId G, taxGroupCode C20
        baseUnitOfMeasureId G, baseUnitOfMeasureCode C10, generalProductPostingGroupId G
        generalProductPostingGroupCode C20, inventoryPostingGroupId G, inventoryPostingGroupCode C20
        lastModifiedDateTime T r, salesBlocked B h, hasEntries B hv""")),
    Entity("itemVariants", "itemVariant", "Item Variant", _columns("""
        id G r, itemId G, itemNumber C20, code C10, description S100, lastModifiedDateTime T r"""),
        order=("itemNumber", "code"), key_caption="Code"),
    Entity("customers", "customer", "Customer", _columns("""
        id G r, number C20, displayName S100, type E:contactType, addressLine1 S100, addressLine2 S50, city S30
        state S30, country C10, postalCode C20, phoneNumber S30, email S80, website S80, salespersonCode C20
        balanceDue D rv, creditLimit D, taxLiable B, taxAreaId G, taxAreaDisplayName S rv
        taxRegistrationNumber S20, currencyId G, currencyCode C, paymentTermsId G, shipmentMethodId G
        paymentMethodId G, blocked E:customerBlocked, lastModifiedDateTime T r, privacyBlocked B h
        customerPostingGroup C20 h""")),
    Entity("salesOrders", "salesOrder", "Sales Header", _columns(f"""
        id G r, number C20 c, externalDocumentNumber C35, orderDate A, postingDate A, customerId G, customerNumber C20
        customerName S100 r, billToName S100 r, billToCustomerId G, billToCustomerNumber C20, shipToName S100
        shipToContact S100, {_ADDRESSES}, shortcutDimension1Code C20, shortcutDimension2Code C20, currencyId G
        currencyCode C, pricesIncludeTax B, paymentTermsId G, shipmentMethodId G, salesperson C20, partialShipping B
        requestedDeliveryDate A, discountAmount D, discountAppliedBeforeTax B r, totalAmountExcludingTax D r
        totalTaxAmount D r, totalAmountIncludingTax D r, fullyShipped B r, status E:salesOrderEntityBufferStatus r
        lastModifiedDateTime T r, phoneNumber S30, email S80""")),
    Entity("salesOrderLines", "salesOrderLine", "Sales Line", _columns(f"""{_LINE_HEAD}
        shippedQuantity D r, invoicedQuantity D r, invoiceQuantity D, shipQuantity D, itemVariantId G, locationId G"""),
        order=("documentId", "sequence"),
        key_caption="Line No.", needs_parent=True),
    Entity("salesInvoices", "salesInvoice", "Sales Invoice Entity Aggregate", _columns(f"""
        id G r, number C20 c, externalDocumentNumber C35, invoiceDate A, postingDate A, dueDate A, promisedPayDate A
        customerPurchaseOrderReference S35, customerId G, customerNumber C20, customerName S100 r, billToName S100 r
        billToCustomerId G, billToCustomerNumber C20, shipToName S100, shipToContact S100, {_ADDRESSES}, currencyId G
        shortcutDimension1Code C20, shortcutDimension2Code C20, currencyCode C, orderId G r, orderNumber C20 r
        paymentTermsId G, shipmentMethodId G, salesperson C20, disputeStatusId G, disputeStatus C10
        pricesIncludeTax B r, remainingAmount D rv, discountAmount D, discountAppliedBeforeTax B r
        totalAmountExcludingTax D r, totalTaxAmount D r, totalAmountIncludingTax D r
        status E:invoiceEntityAggregateStatus r
        lastModifiedDateTime T r, phoneNumber S30, email S80, posted B h, preAssignedNumber C20 h""")),
    Entity("salesInvoiceLines", "salesInvoiceLine", "Sales Invoice Line Aggregate", _columns(f"""{_LINE_HEAD}
        itemVariantId G, locationId G"""),
        order=("documentId", "sequence"),
        key_caption="Line No.", needs_parent=True),
    Entity("salesShipments", "salesShipment", "Sales Shipment Header", _columns(f"""
        id G r, number C20 r, externalDocumentNumber C35 r, invoiceDate A r, postingDate A r, dueDate A r
        customerPurchaseOrderReference S35 r, customerId G r, customerNumber C20 r, customerName S100 r
        billToCustomerId G r, billToName S100 r, billToCustomerNumber C20 r, shipToName S100 r, shipToContact S100 r
        {_ADDRESSES}, currencyCode C r, orderNumber C20 r, paymentTermsCode C10 r, shipmentMethodCode C10 r
        salesperson C20 r, pricesIncludeTax B r, lastModifiedDateTime T r, phoneNumber S30 r, email S80 r"""), can=""),
    Entity("salesShipmentLines", "salesShipmentLine", "Sales Shipment Line", _columns("""
        id G r, documentId G r, documentNo C20 r, sequence I r, lineType E:salesLineType r, lineObjectNumber C20 r
        description S100 r, description2 S50 r, unitOfMeasureCode C10 r, unitPrice D r, quantity D r
        discountPercent D r, taxPercent D r, shipmentDate A r"""), order=("documentNo", "sequence"),
        key_caption="Line No.", can=""),
    Entity("unitsOfMeasure", "unitOfMeasure", "Unit of Measure", _columns(_CODE_TABLE.format(n=10, m=50) + """
        internationalStandardCode C10, symbol S10, lastModifiedDateTime T r""".replace("\n", ",", 1)),
        order=("code",), key_caption="Code"),
    Entity("itemCategories", "itemCategory", "Item Category", _columns(_CODE_TABLE.format(n=20, m=100) + """
        lastModifiedDateTime T r"""), order=("code",), key_caption="Code"),
    Entity("currencies", "currency", "Currency", _columns(_CODE_TABLE.format(n=10, m=30) + """
        symbol S10, amountDecimalPlaces S5, amountRoundingPrecision D, lastModifiedDateTime T r"""),
        order=("code",), key_caption="Code"),
    Entity("paymentTerms", "paymentTerm", "Payment Terms", _columns(_CODE_TABLE.format(n=10, m=100) + """
        dueDateCalculation S, discountDateCalculation S, discountPercent D, calculateDiscountOnCreditMemos B
        lastModifiedDateTime T r"""), order=("code",), key_caption="Code"),
    Entity("shipmentMethods", "shipmentMethod", "Shipment Method", _columns(_CODE_TABLE.format(n=10, m=100) + """
        lastModifiedDateTime T r"""), order=("code",), key_caption="Code"),
)  # fmt: skip


#: Primary key of the source table, which rows come by, where a set has such a property.
_ORDERS: Final = ("number", "code", "entryNumber", "sequence", "lineNumber")
#: Sets whose rows Business Central makes by its own rules: read here, and not created.
_RULED: Final = frozenset(
    {
        "applyVendorEntries", "attachments", "customerPaymentJournals", "customerPayments", "documentAttachments",
        "journalLines", "purchaseCreditMemos", "purchaseInvoices", "purchaseOrders", "salesCreditMemos", "salesQuotes",
        "timeRegistrationEntries", "vendorPaymentJournals", "vendorPayments", "externaleventsubscriptions",
    }
)  # fmt: skip


def _generic(fact: facts.SetFact) -> Entity:
    """Return a set that is served without rules of its own: read, filtered, paged, perhaps created."""
    columns = tuple(_generic_column(text) for text in fact.columns)
    names = {column.name for column in columns}
    key = fact.keys[0]
    order = next((name for name in _ORDERS if name in names), key)
    is_ruled = fact.name in _RULED or fact.name.endswith("Lines")
    caption = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", fact.type_name).title()
    return Entity(
        fact.name, fact.type_name, caption, columns, order=(order,), key=key, key_caption="No.",
        can=fact.can, is_ruled=is_ruled, scoped=fact.in_company,
    )  # fmt: skip


def _generic_column(text: str) -> Column:
    name, kind, *_ = text.split()
    if kind[0] == "S" and (name in ("number", "code", "externalDocumentNumber") or name.endswith("Code")):
        kind = f"C{kind[1:]}"  # a guess by name: the document does not tell Code from Text
    flags = "r" if name in ("id", "lastModifiedDateTime") or name.startswith("system") else ""
    return _column(f"{name} {kind} {flags}")


def _nav(fact: facts.NavFact) -> Nav:
    local, remote = fact.pairs[0] if fact.pairs else ("", "")
    return Nav(fact.name, fact.target, local, remote, many=fact.many)


def custom_entity(
    name: str,
    type_name: str,
    columns: str,
    *,
    order: tuple[str, ...] = ("id",),
    navs: str = "",
    can: str = "IUD",
    key: str = "id",
) -> Entity:
    """Return the definition of a custom API page: columns in the form of this module's tables.

    `navs` are `name target[*] local=remote`, separated by commas; `key` is the property of its one key, a GUID.
    """
    made = tuple(_nav(facts.nav_fact(f"{one.strip()} -")) for one in navs.split(",") if one.strip())
    return Entity(name, type_name, type_name, _columns(columns), navs=made, order=order, can=can, key=key)


def catalog(definitions: Iterable[Entity], *, route: str = STANDARD_ROUTE) -> dict[str, Entity]:
    """Return the entity sets of one API by name, each knowing the others."""
    made: dict[str, Entity] = {}
    for entity in definitions:
        position = MappingProxyType({column.name: at for at, column in enumerate(entity.columns)})
        names = [*position, *(nav.name for nav in entity.navs)]
        spellings = MappingProxyType({name.lower(): name for name in names})
        made[entity.name] = replace(entity, position=position, spellings=spellings, catalog=made, route=route)
    return made


def _standard() -> dict[str, Entity]:
    known = {entity.name: entity for entity in _DEFINITIONS}
    made = []
    for fact in facts.SETS.values():
        if fact.name == "entityDefinitions":  # described by `odata.metadata`, no rows
            continue
        entity = known.get(fact.name) or _generic(fact)
        navs = tuple(_nav(nav) for nav in fact.navs)
        if fact.name == "companies":
            navs = tuple(Nav(one.name, one.name, "", "", many=True) for one in facts.SETS.values() if one.in_company)
        made.append(replace(entity, navs=navs))
    return catalog(made)


ENTITIES: Final[Mapping[str, Entity]] = MappingProxyType(_standard())
#: Entity set names as a client may spell them (segment matching is case-insensitive).
SPELLINGS: Final[Mapping[str, str]] = MappingProxyType({name.lower(): name for name in ENTITIES})
COMPANY_ENTITIES: Final = tuple(name for name, entity in ENTITIES.items() if entity.scoped)
#: Navigations of versions after the recorded one: they are answered 501, not "not found".
UNEMULATED_NAVS: Final = frozenset({"pdfDocument", "attachments", "documentAttachments", "picture"})
#: Sets whose rows Business Central makes when they are asked for: one that was not loaded is 501, not "not found".
MADE_ON_DEMAND: Final = frozenset({"pictures", "pdfDocument"})
