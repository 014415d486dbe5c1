"""URLs of pages and records: which collection is asked, and with which options."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import pytest

from shared.business_central.entities import ITEMS, SALES_INVOICES, Entity
from shared.business_central.page_queries import (
    count_query,
    cut_query,
    page_query,
    page_resource,
    probe_query,
    records_query,
)
from shared.business_central.port import PageAsk

AT = datetime(2026, 2, 11, 9, 14, 27, 530_000, tzinfo=UTC)
TAGS = Entity(
    name="contoso/shop/v1.0/priceTags", event="priceTag", route="contoso/shop/v1.0", key="systemId", sort="",
    has_times=False,
)  # fmt: skip
IDS = ("7b1c4a52-91d3-f011-8d4c-6045bd1a2c10", "7b1c4a52-91d3-f011-8d4c-6045bd1a2c11")


def ask_of(entity: Entity, **more: Any) -> PageAsk:
    """What page to read in company `c`."""
    return PageAsk(company="c", entity=entity, **more)


def options(query: str) -> dict[str, str]:
    """The options of a query."""
    assert query[:1] in {"", "?"}
    return dict(parse_qsl(query[1:]))


def test_a_page_is_of_the_entity_or_of_its_expanded_records() -> None:
    """At the route of the entity."""
    assert page_resource(ask_of(ITEMS)) == "api/v2.0/companies(c)/items"
    assert page_resource(ask_of(ITEMS, what="ids")) == "api/v2.0/companies(c)/items"
    assert page_resource(ask_of(ITEMS, what="expanded")) == "api/v2.0/companies(c)/itemVariants"
    assert page_resource(ask_of(TAGS)) == "api/contoso/shop/v1.0/companies(c)/priceTags"


@pytest.mark.parametrize(
    ("ask", "asked"),
    [
        (ask_of(ITEMS), {}),
        (ask_of(ITEMS, expanded=True), {"$expand": "itemVariants"}),
        (ask_of(ITEMS, order="number", skip=1), {"$orderby": "number", "$skip": "1"}),
        (ask_of(ITEMS, since=AT), {"$filter": "lastModifiedDateTime ge 2026-02-11T09:14:27.530Z"}),
        (ask_of(ITEMS, low="O'Neill"), {"$filter": "number ge 'O''Neill'"}),
        (ask_of(ITEMS, high="2000"), {"$filter": "number lt '2000'"}),
        (
            ask_of(ITEMS, since=AT, low="1000", high="2000"),
            {
                "$filter": "lastModifiedDateTime ge 2026-02-11T09:14:27.530Z and number ge '1000' and number lt '2000'",
            },
        ),
        (
            ask_of(replace(ITEMS, select=("unitPrice", "number"))),
            {"$select": "id,number,lastModifiedDateTime,unitPrice"},
        ),
        (ask_of(ITEMS, what="expanded", expanded=True), {"$select": "id,itemId,lastModifiedDateTime"}),
        (ask_of(ITEMS, what="ids", expanded=True), {"$select": "id,number,lastModifiedDateTime"}),
        (ask_of(SALES_INVOICES, what="ids"), {"$select": "id,number,status,lastModifiedDateTime"}),
        (ask_of(TAGS, what="ids"), {"$select": "systemId"}),
    ],
)
def test_a_page_is_asked_for_with_what_narrows_it(ask: PageAsk, asked: dict[str, str]) -> None:
    """And with nothing that is not wanted; only whole records are read with what belongs to them."""
    assert options(page_query(ask)) == asked


def test_records_are_read_by_their_ids() -> None:
    """Each of them whole, or of it what was chosen."""
    assert options(records_query(ITEMS, IDS, expanded=True)) == {
        "$filter": f"id eq {IDS[0]} or id eq {IDS[1]}", "$expand": "itemVariants",
    }  # fmt: skip
    chosen = options(records_query(replace(TAGS, select=("code",)), IDS[:1], expanded=False))
    assert chosen == {"$select": "systemId,code", "$filter": f"systemId eq {IDS[0]}"}


def test_a_probe_reads_next_to_nothing() -> None:
    """One record at most, one number, or one place of a set."""
    assert options(probe_query(ITEMS, expanded=True)) == {"$top": "1", "$expand": "itemVariants"}
    assert options(probe_query(TAGS, expanded=False)) == {"$top": "1", "$select": "systemId"}
    assert options(count_query(TAGS)) == {"$select": "systemId", "$top": "1", "$count": "true"}
    assert options(cut_query(ITEMS, 500)) == {
        "$select": "id,number", "$orderby": "number", "$skip": "500", "$top": "1",
    }  # fmt: skip
