"""Which entities there are: settings merged over those that come along, completed and refused by `$metadata` (P22)."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from business_central_emulator.data.schema import ENTITIES as SETS
from business_central_emulator.odata.metadata import edmx

from shared.business_central.entities import ENTITIES, ITEMS, SALES_INVOICES, SALES_SHIPMENTS, Entity
from shared.business_central.metadata import Navigation, RouteFacts, SetFacts, read_metadata
from shared.connections.entity_entries import read_entries
from shared.connections.entity_rules import Resolved, declared, how_served, offers, resolved, without_webhook

SHOP = "contoso/shop/v1.0"
TRIGGERS = ("items", "salesShipments", "salesInvoices")
STANDARD = read_metadata(edmx(SETS))
GUID, TEXT, TIME = "Edm.Guid", "Edm.String", "Edm.DateTimeOffset"


def facts(name: str, type_name: str, *navigations: Navigation, keys: str = "id", **more: str) -> SetFacts:
    """A set of a custom API."""
    return SetFacts(name, type_name, tuple(keys.split()), {"id": GUID, **more}, navigations, in_company=True)


BINS = Navigation("bins", "bins", is_many=True, parent="stockLevelId")
CUSTOM: RouteFacts = {
    "stockLevels": facts(
        "stockLevels", "stockLevel", BINS, itemNumber=TEXT, quantity="Edm.Decimal", lastModifiedDateTime=TIME
    ),
    "bins": facts("bins", "bin", code=TEXT, stockLevelId=GUID, lastModifiedDateTime=TIME),
    "priceTags": facts("priceTags", "priceTag", keys="systemId", systemId=GUID, code=TEXT),
    "pairs": facts("pairs", "pair", keys="a b", a=TEXT, b=TEXT),
    "codes": facts("codes", "code", keys="code", code=TEXT),
    "items": facts("items", "item", number=TEXT, lastModifiedDateTime=TIME),
}
ROUTES = {"v2.0": STANDARD, SHOP: CUSTOM}


def of(
    *entries: Mapping[str, Any],
    routes: Mapping[str, RouteFacts] = ROUTES,
    triggers: Iterable[str] = TRIGGERS,
    known: Iterable[str] = (),
) -> Resolved:
    """The entities of some entries."""
    read, faults = read_entries(json.dumps(entries))
    assert faults == []
    found = declared(read, triggers=tuple(triggers), expanded=("items",), changes=frozenset({"created"}))
    return resolved(found, routes, known_routes=known)


def one(*entries: Mapping[str, Any]) -> Entity:
    """The last entity of some entries, of which none is refused."""
    found = of(*entries)
    assert found.faults == ()
    return found.entities[-1]


def test_without_entries_the_three_are_as_the_settings_say() -> None:
    """Nothing about them has to be discovered; what is not watched can still be pulled."""
    found = of(routes={}, triggers=("items", "salesInvoices"))
    assert found.entities == (
        ITEMS, replace(SALES_SHIPMENTS.plain(), watch="off"), SALES_INVOICES.plain(),
    )  # fmt: skip
    assert found.watched == (ITEMS, SALES_INVOICES.plain())
    assert found.pulled == (ITEMS,)
    assert found.named("salesShipments") == replace(SALES_SHIPMENTS.plain(), watch="off")


def test_an_entry_overrides_the_settings_of_its_entity() -> None:
    """BC_TRIGGERS and BC_PULL_* count no more for it; what it does not name is as it came along."""
    found = of(
        {"entitySet": "salesShipments"}, {"entitySet": "items", "expand": [], "watch": "off"}, triggers=("items",)
    )
    assert found.named("salesShipments") == SALES_SHIPMENTS
    assert found.named("items") == replace(ITEMS.plain(), watch="off")
    assert one({"entitySet": "items"}) == SALES_INVOICES.plain()
    assert of({"entitySet": "items", "pull": False}).pulled == ()


def test_a_further_entity_is_one_entry() -> None:
    """Its event, its key, what it is sorted by and whether it has times are discovered."""
    assert one({"entitySet": "customers"}) == Entity(name="customers", event="customer")
    assert one({"entitySet": "currencies"}).sort == "code"
    assert one({"entitySet": "generalLedgerEntries"}).sort == ""


def test_a_custom_page_has_its_own_route() -> None:
    """Its expanded records are found by their own time; its options stand in its row."""
    entity = one({"entitySet": "stockLevels", "route": SHOP, "expand": ["bins"], "pull": True,
                  "changes": ["updated"], "onlyWhenChanged": ["quantity", "bins"]})  # fmt: skip
    assert entity == Entity(
        name=f"{SHOP}/stockLevels", event="stockLevel", route=SHOP, sort="", expand="bins", expanded_set="bins",
        expanded_parent="stockLevelId", pull=True, changes=frozenset({"updated"}),
        only_when_changed=("quantity", "bins"),
    )  # fmt: skip
    assert entity.resource("c") == f"api/{SHOP}/companies(c)/stockLevels"
    assert entity.webhook_resource == f"{SHOP}/stocklevels"


BIN = facts("bins", "bin", code=TEXT, stockLevelId=GUID, lastModifiedDateTime=TIME)


@pytest.mark.parametrize(
    ("bins", "navigation", "expanded_set"),
    [
        (BIN, BINS, "bins"),
        (facts("bins", "bin", stockLevelId=GUID), BINS, ""),
        (facts("bins", "bin", stockLevelId=TEXT, lastModifiedDateTime=TIME), BINS, ""),
        (facts("bins", "bin", stockLevelId=TEXT), BINS, ""),
        (facts("bins", "bin", keys="code", code=TEXT, stockLevelId=GUID, lastModifiedDateTime=TIME), BINS, ""),
        (BIN, replace(BINS, is_many=False), ""),
        (BIN, replace(BINS, target="shelves"), ""),
    ],
)
def test_expanded_records_are_found_by_time_where_they_can_be(
    bins: SetFacts, navigation: Navigation, expanded_set: str
) -> None:
    """A list in a set of its own, with ids, times and the id of the parent; what else is expanded comes before it."""
    label = Navigation("label", "labels", is_many=False, parent="")
    levels = facts("stockLevels", "stockLevel", label, navigation, number=TEXT, lastModifiedDateTime=TIME)
    entry = {"entitySet": "stockLevels", "route": SHOP, "expand": ["bins"]}
    found = of(entry, routes={SHOP: {"stockLevels": levels, "bins": bins}})
    assert found.faults == ()
    assert found.entities[-1].expanded_set == expanded_set


def test_a_page_without_times_has_its_own_key_and_the_snapshot_alone() -> None:
    """The key is a GUID under any name; no webhook is wanted."""
    entity = one({"entitySet": "priceTags", "route": SHOP})
    assert (entity.key, entity.sort, entity.has_times, entity.by_webhook) == ("systemId", "code", False, False)
    assert entity.technical == ("systemId", "code")


REFUSED = [
    ({"entitySet": "custmers"}, "(custmers): entitySet: there is no custmers at v2.0; did you mean 'customers'?"),
    (
        {"entitySet": "stockLevels"},
        "(stockLevels): entitySet: there is no stockLevels at v2.0",
    ),
    (
        {"entitySet": "stockLevels", "route": "contoso/shp/v1.0"},
        f"(stockLevels): route: no API is published at contoso/shp/v1.0; did you mean '{SHOP}'?",
    ),
    ({"entitySet": "companies"}, "(companies): entitySet: companies lies in no company"),
    (
        {"entitySet": "pairs", "route": SHOP},
        "(pairs): entitySet: pairs has a composite key (a, b); publish the page with ODataKeyFields = SystemId",
    ),
    (
        {"entitySet": "codes", "route": SHOP},
        "(codes): entitySet: the key of codes, code, is no GUID; publish the page with ODataKeyFields = SystemId",
    ),
    (
        {"entitySet": "stockLevels", "route": SHOP, "expand": ["bin"], "select": ["qantity"]},
        (
            "(stockLevels): expand: bin is nothing to expand of stockLevels; did you mean 'bins'?; "
            "select: qantity is no property of stockLevels; did you mean 'quantity'?"
        ),
    ),
    (
        {"entitySet": "items", "onlyWhenChanged": ["unitprice"]},
        (
            "(items): onlyWhenChanged: unitprice is no property, nor expanded of items; did you mean 'unitPrice'?"
        ),
    ),
    (
        {"entitySet": "items", "select": ["displayName"], "onlyWhenChanged": ["unitPrice", "number"]},
        "(items): onlyWhenChanged: unitPrice is not among those of select",
    ),
    (
        {"entitySet": "priceTags", "route": SHOP, "pull": True, "watch": "webhook"},
        (
            "(priceTags): pull: must be false: priceTags has no lastModifiedDateTime, so only the daily snapshot "
            "serves it; watch: must not be webhook: priceTags has no lastModifiedDateTime, so only the daily snapshot "
            "serves it"
        ),
    ),
    (
        {"entitySet": "customers", "event": "Item"},
        '(customers): event: "Item" is that of items; give this one another "event"',
    ),
    (
        {"entitySet": "items", "route": SHOP},
        '(items): event: "item" is that of items; give this one another "event"',
    ),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "said"), REFUSED)
def test_what_is_not_there_is_refused_with_the_nearest_right_name(entry: Mapping[str, Any], said: str) -> None:
    """The other entities go on."""
    routes = {**ROUTES, "contoso/shp/v1.0": {}}
    found = of({"entitySet": "vendors"}, entry, {"entitySet": "currencies"}, routes=routes, known=("v2.0", SHOP))
    assert found.faults == (f"BC_ENTITIES entry 2 {said}",)
    assert found.named("vendors") is not None
    assert found.named("currencies") is not None
    assert len(found.entities) == 5 - (entry["entitySet"] in ENTITIES and "route" not in entry)


def test_an_event_name_is_free_where_its_owner_is_not_in_use() -> None:
    """A custom page may take the place of items."""
    off = {"entitySet": "items", "watch": "off", "pull": False}
    found = of(off, {"entitySet": "items", "route": SHOP})
    assert found.faults == ()
    assert [entity.name for entity in found.watched] == ["salesShipments", "salesInvoices", f"{SHOP}/items"]


def test_before_its_route_was_read_an_entity_waits() -> None:
    """The three that come along go on; so does what lies at another route."""
    found = of(
        {"entitySet": "customers"}, {"entitySet": "bins", "route": SHOP}, {"entitySet": "items"}, routes={SHOP: CUSTOM}
    )
    assert found.waiting == ("customers",)
    assert [entity.name for entity in found.entities] == [*ENTITIES, f"{SHOP}/bins"]


def test_what_a_connection_offers_is_listed_with_a_ready_line() -> None:
    """Every line, taken into BC_ENTITIES, is served; what can't be served says why."""
    found = offers(ROUTES, {"v2.0/customers", f"{SHOP}/stocklevels"})
    by_name = {(offer.route, offer.entity_set): offer for offer in found}
    assert len(found) == 81 + len(CUSTOM)
    customers = by_name["v2.0", "customers"]
    assert (customers.line, customers.has_webhook, customers.has_times) == ('{"entitySet": "customers"}', True, True)
    assert by_name[SHOP, "stockLevels"].line == f'{{"entitySet": "stockLevels", "route": "{SHOP}"}}'
    assert by_name[SHOP, "stockLevels"].expandable == ("bins",)
    assert by_name["v2.0", "vendors"].has_webhook is False
    assert (by_name[SHOP, "pairs"].line, by_name[SHOP, "pairs"].refused.split(" (")[0]) == (
        "",
        "pairs has a composite key",
    )
    assert by_name["v2.0", "salesInvoiceLines"].has_times is False
    assert offers(ROUTES, None)[0].has_webhook is None
    for offer in found:
        if offer.line:
            entry = {**json.loads(offer.line), "event": "another"}
            assert of(entry).faults == ()


def test_offers_begin_with_microsofts_own_route() -> None:
    """Then route by route and set by set, by name."""
    found = offers({"b/b/v1.0": CUSTOM, "v2.0": {"items": STANDARD["items"]}, "a/a/v1.0": {"bins": BIN}}, None)
    assert [(offer.route, offer.entity_set) for offer in found] == [
        ("v2.0", "items"), ("a/a/v1.0", "bins"), *(("b/b/v1.0", name) for name in sorted(CUSTOM)),
    ]  # fmt: skip


def test_a_webhook_that_was_asked_for_and_is_not_offered_is_said() -> None:
    """Only where `watch` asks for it; the entity is served all the same."""
    found = of({"entitySet": "vendors", "watch": "webhook"}, {"entitySet": "customers"})
    assert without_webhook(found, {"v2.0/vendors"}) == []
    assert without_webhook(found, None) == []
    assert without_webhook(found, set()) == [
        "BC_ENTITIES (vendors): watch: Business Central offers no webhook for it; the reconcile alone serves it"
    ]


@pytest.mark.parametrize(
    ("change", "has_webhook", "how"),
    [
        ({}, True, "by webhook and reconcile"),
        ({}, None, "by webhook and reconcile"),
        ({}, False, "by the reconcile alone, as Business Central offers no webhook for it"),
        ({"watch": "reconcile"}, True, "by the reconcile alone, as watch says"),
        ({"has_times": False}, True, "by the daily snapshot alone, as it has no lastModifiedDateTime"),
        ({"watch": "off"}, True, "not watched"),
    ],
)
def test_how_an_entity_is_served_is_said(change: dict[str, Any], has_webhook: bool | None, how: str) -> None:
    """And why not better."""
    assert how_served(replace(ITEMS, **change), has_webhook=has_webhook) == how
