"""Every property name that the code uses is in the metadata of a real tenant, with its type and its length."""

import re
import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path
from typing import Literal

import pytest

from shared.business_central import page_queries
from shared.business_central.entities import ENTITIES, ORDER_TRACES, Entity
from shared.business_central.port import PageAsk
from shared.orders import order_fields
from shared.webhooks import plan

FILE = Path(__file__).resolve().parents[3] / "shared" / "data" / "metadata" / "api-v2.0.xml"
pytestmark = pytest.mark.skipif(not FILE.is_file(), reason="recorded metadata is not part of the project")

EDM = "{http://docs.oasis-open.org/odata/ns/edm}"
#: Kind in our tables -> EDM type.
TYPES = {"guid": "Edm.Guid", "date": "Edm.Date", "decimal": "Edm.Decimal", "bool": "Edm.Boolean"}


@cache
def schema() -> ET.Element:
    """The parsed metadata."""
    found = ET.parse(FILE).getroot().find(f".//{EDM}Schema")
    assert found is not None
    return found


@cache
def types_of_sets() -> dict[str, str]:
    """Entity set -> entity type, as the company contains them."""
    container = {
        str(each.get("Name")): str(each.get("EntityType")).rpartition(".")[2]
        for each in schema().iterfind(f".//{EDM}EntitySet")
    }
    contained = {
        str(each.get("Name")): str(each.get("Type")).removesuffix(")").rpartition(".")[2]
        for each in schema().iterfind(f"{EDM}EntityType[@Name='company']/{EDM}NavigationProperty")
    }
    return container | contained


def properties(entity_set: str) -> dict[str, tuple[str, int | None]]:
    """Property -> (EDM type, longest text) of an entity set."""
    kind = schema().find(f"{EDM}EntityType[@Name='{types_of_sets()[entity_set]}']")
    assert kind is not None
    return {
        str(each.get("Name")): (str(each.get("Type")), int(length) if (length := each.get("MaxLength")) else None)
        for each in kind.iterfind(f"{EDM}Property")
    }


def navigation(entity_set: str) -> dict[str, str]:
    """Navigation property -> type of an entity set."""
    kind = schema().find(f"{EDM}EntityType[@Name='{types_of_sets()[entity_set]}']")
    assert kind is not None
    return {str(each.get("Name")): str(each.get("Type")) for each in kind.iterfind(f"{EDM}NavigationProperty")}


FIELDS = [("salesOrders", name, kind) for name, kind in order_fields.HEADER.items()]
FIELDS += [("salesOrderLines", name, kind) for name, kind in order_fields.LINE.items()]


@pytest.mark.parametrize(("entity_set", "name", "kind"), FIELDS)
def test_a_field_of_an_order_has_the_type_and_length_that_is_checked(
    entity_set: str, name: str, kind: int | str
) -> None:
    """A message that we accept is not refused by BC for its form, and one that BC takes is not refused by us."""
    edm, length = properties(entity_set)[name]
    if isinstance(kind, int):
        assert edm == "Edm.String"
        assert length is None or length == kind
    elif kind == "lineType":
        assert edm == "Microsoft.NAV.invoiceLineAggLineType"
    else:
        assert edm == TYPES[kind]


def test_every_property_of_an_order_is_either_taken_or_refused_by_name() -> None:
    """The two lists cover the metadata, so nothing is passed on unchecked by oversight."""
    header = set(order_fields.HEADER) | order_fields.HEADER_READ_ONLY
    line = set(order_fields.LINE) | order_fields.LINE_READ_ONLY
    assert set(properties("salesOrders")) - header == set()
    assert set(properties("salesOrderLines")) - line - {"sequence"} == set()
    assert set(properties("salesOrders")) >= header
    assert set(properties("salesOrderLines")) >= line


def test_the_line_types_are_those_of_the_enum() -> None:
    """By their encoded names."""
    members = schema().iterfind(f"{EDM}EnumType[@Name='invoiceLineAggLineType']/{EDM}Member")
    assert {str(member.get("Name")) for member in members} == set(order_fields.LINE_TYPES)


def test_the_statuses_of_an_invoice_are_those_of_the_enum() -> None:
    """What counts as posted beyond doubt, and the ambiguous Open, exist under these names."""
    members = schema().iterfind(f"{EDM}EnumType[@Name='invoiceEntityAggregateStatus']/{EDM}Member")
    assert {"Open", "Paid", "Canceled", "Corrective", "Draft"} <= {str(member.get("Name")) for member in members}


def test_the_external_number_is_as_long_as_it_is_cut() -> None:
    """In orders, and in what is left of them."""
    for entity_set in ("salesOrders", "salesInvoices", "salesShipments"):
        assert properties(entity_set)["externalDocumentNumber"] == ("Edm.String", order_fields.EXTERNAL_LENGTH)


@pytest.mark.parametrize("entity", ENTITIES.values(), ids=ENTITIES)
def test_an_entity_row_names_real_sets_and_properties(entity: Entity) -> None:
    """Set, navigation, number to page by, time to read by, status where it posts."""
    found = properties(entity.name)
    assert found["id"][0] == "Edm.Guid"
    assert found["number"] == ("Edm.String", 20)
    assert found["lastModifiedDateTime"][0] == "Edm.DateTimeOffset"
    assert navigation(entity.name)[entity.expand].startswith("Collection(")
    assert ("status" in found) == entity.posts
    if entity.expanded_set:
        expanded = properties(entity.expanded_set)
        assert expanded[entity.expanded_parent][0] == "Edm.Guid"
        assert expanded["lastModifiedDateTime"][0] == "Edm.DateTimeOffset"


ASKS = [
    (entity, what)
    for entity in ENTITIES.values()
    for what in ("records", "expanded", "ids")
    if what != "expanded" or entity.expanded_set
]


@pytest.mark.parametrize(("entity", "what"), ASKS)
def test_a_page_query_names_real_properties(entity: Entity, what: Literal["records", "expanded", "ids"]) -> None:
    """Whatever select, filter, order and expand a page asks with."""
    entity_set = entity.expanded_set if what == "expanded" else entity.name
    ask = PageAsk(company="c", entity=entity, what=what, expanded=True, low="a", high="b", order="number")
    query = page_queries.page_query(ask if what != "expanded" else PageAsk(company="c", entity=entity, what="expanded"))
    select = re.search(r"select=([^&]+)", query)
    named = set(select[1].split(",")) if select else set()
    named |= set(re.findall(r"([A-Za-z]+)%20(?:ge|lt|gt|eq)%20", query)) | set(
        re.findall(r"orderby=([A-Za-z]+)", query)
    )
    assert named <= set(properties(entity_set))
    expand = re.search(r"expand=([A-Za-z]+)", query)
    assert (expand is not None) == (what == "records")
    assert expand is None or expand[1] in navigation(entity.name)


def test_the_traces_of_an_order_are_real_properties() -> None:
    """Where an order leaves its number, and what it is looked up by."""
    for entity_set, number in ((entity.name, entity.order_number) for entity in ORDER_TRACES):
        assert properties(entity_set)[number] == ("Edm.String", 20)
        assert properties(entity_set)["customerNumber"] == ("Edm.String", 20)
        assert properties(entity_set)["customerId"][0] == "Edm.Guid"


def test_a_subscription_and_a_company_have_what_is_read_of_them() -> None:
    """The key is text, which is why it is quoted."""
    found = properties("subscriptions")
    assert found["subscriptionId"] == ("Edm.String", 150)
    assert found["clientState"] == ("Edm.String", 2048)
    assert found["expirationDateTime"][0] == "Edm.DateTimeOffset"
    assert {"notificationUrl", "resource"} <= set(found)
    assert {"id", "name", "displayName"} <= set(properties("companies"))
    assert plan.LIFETIME.days == 3


def test_what_tells_a_posted_invoice_is_real() -> None:
    """The properties that a draft never bears."""
    found = properties("salesInvoices")
    assert {"orderNumber", "orderId", "disputeStatus", "promisedPayDate"} <= set(found)
