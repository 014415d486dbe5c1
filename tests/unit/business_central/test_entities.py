"""Entities as data: what the app brings along, what it always reads of each, and what names them outside."""

from dataclasses import replace

import pytest

from shared.business_central.entities import (
    ENTITIES,
    ITEMS,
    ORDER_TRACES,
    SALES_INVOICES,
    SALES_ORDERS,
    SALES_SHIPMENTS,
    Entity,
    Watch,
)

STOCK = Entity(name="contoso/Shop/v1.0/stockLevels", event="stockLevel", route="contoso/Shop/v1.0", sort="")


def test_a_further_entity_is_watched_and_not_pulled() -> None:
    """Unless a setting says otherwise; it is taken for one with times, and for no document."""
    assert (STOCK.watch, STOCK.pull, STOCK.has_times) == ("auto", False, True)
    assert (STOCK.posts, STOCK.modified_by_reads, STOCK.order_number) == (False, False, "")
    assert STOCK.changes == {"created"}


def test_three_entities_come_along() -> None:
    """Items alone are pulled; invoices are drafts before they are posted, and those who read them touch them."""
    assert list(ENTITIES) == ["items", "salesShipments", "salesInvoices"]
    assert [entity.name for entity in ENTITIES.values() if entity.pull] == ["items"]
    assert [entity.name for entity in ENTITIES.values() if entity.posts] == ["salesInvoices"]
    assert [one.name for one in (*ENTITIES.values(), SALES_ORDERS) if one.modified_by_reads] == [
        "salesInvoices", "salesOrders",
    ]  # fmt: skip
    assert {entity.name: entity.order_number for entity in ORDER_TRACES} == {
        "salesOrders": "number", "salesInvoices": "orderNumber", "salesShipments": "orderNumber",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("watch", "has_times", "by_webhook"),
    [
        ("auto", True, True), ("webhook", True, True), ("reconcile", True, False), ("off", True, False),
        ("auto", False, False),
    ],
)  # fmt: skip
def test_a_webhook_is_wanted_where_it_can_serve(watch: Watch, has_times: bool, by_webhook: bool) -> None:
    """What has no times is served by the snapshot alone."""
    assert replace(STOCK, watch=watch, has_times=has_times).by_webhook == by_webhook


def test_what_the_app_decides_by_is_always_read() -> None:
    """Key, number and time; of an invoice whether and how it is posted."""
    assert ITEMS.technical == ("id", "number", "lastModifiedDateTime")
    assert STOCK.technical == ("id", "lastModifiedDateTime")
    assert replace(STOCK, key="systemId", sort="code", has_times=False).technical == ("systemId", "code")
    assert SALES_INVOICES.technical == (
        "id", "number", "status", "orderNumber", "orderId", "disputeStatus", "promisedPayDate", "lastModifiedDateTime",
    )  # fmt: skip


def test_an_entity_is_named_by_its_set_in_urls_and_events() -> None:
    """A custom page behind its route; webhooks compare in lower case."""
    assert (SALES_SHIPMENTS.entity_set, STOCK.entity_set) == ("salesShipments", "stockLevels")
    assert STOCK.resource("c") == "api/contoso/Shop/v1.0/companies(c)/stockLevels"
    assert STOCK.webhook_resource == "contoso/shop/v1.0/stocklevels"
    assert ITEMS.event_type("created") == "bc.item.created.v1"


def test_a_plain_entity_is_read_without_what_belongs_to_it() -> None:
    """All else of it stays."""
    assert ITEMS.plain() == replace(ITEMS, expand="", expanded_set="", expanded_parent="", parts="")
