"""Schemas of events: a function of entity rows and of what `$metadata` says; what is refused, and what may come."""

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from shared.business_central.entities import ITEMS, SALES_INVOICES, SALES_SHIPMENTS, Entity
from shared.business_central.records import make_record
from shared.changes import cloud_events
from shared.contract.built_in import BUILT_IN
from shared.contract.edm import Property, Schema, value_schema
from shared.contract.event_schemas import BATCH_TYPE, Described, data_schemas, published_data, published_events
from tests.support.published import PUBLIC_URL, Validators, event_faults

ID = "7b1c4a52-91d3-f011-8d4c-6045bd1a2c10"
SHOP = "contoso/shop/v1.0"
#: Everything that a custom API page may have and the built-in entities have not.
STOCK = Described(
    entity=Entity(
        name=f"{SHOP}/stockLevels", event="stockLevel", route=SHOP, key="systemId", expand="bins"
    ),
    properties=(
        Property("systemId", "Edm.Guid", nullable=False), Property("quantity", "Edm.Double"),
        Property("tags", "Collection(Edm.String)"), Property("image", "Edm.Stream"),
        Property("place", "Contoso.geoPoint"), Property("kind", "Contoso.kind", members=("A", "B")),
    ),
    expanded=(("bins", (Property("id", "Edm.Guid"), Property("code", "Edm.String", longest=10))),),
)  # fmt: skip


def test_the_built_in_entities_have_a_schema_for_every_type_of_event() -> None:
    """Also for changes that the settings of today do not ask for: events of yesterday lie in the queue."""
    changes = {
        "item": ("pulled", "created", "updated", "deleted"),
        "salesShipment": ("created", "updated", "deleted"),
        "salesInvoice": ("created", "posted", "updated", "deleted"),
    }
    wanted = {f"bc.{name}.{change}.v1" for name, found in changes.items() for change in found} | {"bc.batch.v1"}
    assert set(published_events(BUILT_IN, PUBLIC_URL)) == set(published_data(BUILT_IN, PUBLIC_URL)) == wanted
    assert [each.entity for each in BUILT_IN] == [ITEMS, SALES_SHIPMENTS, SALES_INVOICES]
    assert cloud_events.BATCH_TYPE == BATCH_TYPE


TEXT = {"type": ["string", "null"]}


@pytest.mark.parametrize(
    ("made", "schema"),
    [
        (Property("name", "Edm.String", longest=20), TEXT | {"x-maxLength": 20}),
        (Property("code", "Edm.String", nullable=False), {"type": "string"}),
        (Property("itemId", "Edm.Guid"), TEXT | {"format": "uuid"}),
        (Property("at", "Edm.DateTimeOffset"), TEXT | {"format": "date-time"}),
        (Property("on", "Edm.Date"), TEXT | {"format": "date"}),
        (Property("price", "Edm.Decimal"), {"type": ["number", "null"]}),
        (Property("count", "Edm.Int64"), {"type": ["integer", "null"]}),
        (Property("blocked", "Edm.Boolean"), {"type": ["boolean", "null"]}),
        (Property("kind", "Microsoft.NAV.itemType", members=("A", "B")), TEXT | {"examples": ["A", "B"]}),
        (Property("tags", "Collection(Edm.Guid)"), {"type": "array", "items": {"type": "string", "format": "uuid"}}),
        (Property("place", "Contoso.geoPoint"), {}),
    ],
)
def test_a_property_has_the_schema_of_its_edm_type(made: Property, schema: Schema) -> None:
    """A longer text or a further member of an enumeration is no fault: BC widens both without another version."""
    assert value_schema(made) == schema


def stock_event(**more: Any) -> dict[str, Any]:
    """An event of the custom entity, made by the same code as all events."""
    record = {
        "systemId": ID,
        "quantity": 3.5,
        "tags": ["x"],
        "place": {"lat": 1},
        "kind": "C",
        "bins": [],
        "new": 1,
        **more,
    }
    origin = cloud_events.Origin("https://api.example/companies(1)", "https://app.example/api/schema?data=")
    made = make_record(json.dumps(record), record, "systemId")
    text = cloud_events.change_event(origin, STOCK.entity, "created", made)
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_custom_entity_goes_the_same_way() -> None:
    """One row and its metadata are all that its schemas need (P22, P23)."""
    judge = Validators(published_events([STOCK], PUBLIC_URL))
    assert list(judge.faults("bc.stockLevel.created.v1", stock_event())) == []
    members = data_schemas([STOCK])["bc.stockLevel.created.v1"]["properties"]
    assert set(members) == {"@odata.etag", "systemId", "quantity", "tags", "place", "kind", "bins"}
    assert members["bins"]["items"]["title"] == "bin"
    gone = cloud_events.deleted_event(cloud_events.Origin("https://a.b", "https://a.b/"), STOCK.entity, ID, "")
    assert list(judge.faults("bc.stockLevel.deleted.v1", json.loads(gone))) == []
    assert list(judge.faults("bc.stockLevel.created.v1", stock_event(systemId="bin 1"))) != []
    (fault,) = judge.faults("bc.stockLevel.created.v1", stock_event(bins=[{"id": "bin 1"}]))
    assert "'bins', 0, 'id'" in fault


GOOD: dict[str, Any] = {
    "specversion": "1.0", "id": "5f0c0e6d1f1b4a53a6a0f9d1c2b3e4f5", "type": "bc.item.created.v1",
    "source": "https://api.example/v2.0/lmints.io/production/api/v2.0/companies(262f81f2-9490-516c-9c50-9fd2565a0489)",
    "dataschema": "https://app.example/api/schema?data=bc.item.created.v1", "subject": f"items({ID})",
    "time": "2026-02-11T09:14:27.53Z", "datacontenttype": "application/json",
    "data": {"id": ID, "number": "1896-S", "unitPrice": 129.5, "itemVariants": []},
}  # fmt: skip


@pytest.mark.parametrize(
    "spoilt",
    [
        {"specversion": "0.3"}, {"id": "5F0C"}, {"source": "companies(1)"}, {"type": "bc.item.made.v1"},
        {"subject": "salesInvoices(7b1c4a52-91d3-f011-8d4c-6045bd1a2c10)"}, {"time": "yesterday"},
        {"datacontenttype": "text/plain"}, {"bcreplay": "yes"},
        {"data": {"number": "1896-S"}}, {"data": {"id": ID, "unitPrice": "129.50"}},
        {"data": {"id": ID, "blocked": 0}}, {"data": {"id": ID, "itemVariants": [{"id": ID, "code": None}]}},
        {"data": {"id": ID, "lastModifiedDateTime": "11.02.2026"}}, {"dataschema": "https://app.example/api/schema"},
    ],
    ids=str,
)  # fmt: skip
def test_an_event_with_one_fault_is_refused(spoilt: dict[str, Any]) -> None:
    """The schema says something; a good event has no fault."""
    assert event_faults(GOOD) == []
    assert event_faults({**GOOD, "bcconnection": "eu", "bcreplay": True}) == []
    assert event_faults({**GOOD, **spoilt}) != []


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type", "subject", "datacontenttype", "data"])
def test_an_attribute_that_is_missing_is_a_fault(name: str) -> None:
    """Only `time` and what extensions add may be absent."""
    assert event_faults({key: value for key, value in GOOD.items() if key != name}) != []
    assert event_faults({key: value for key, value in GOOD.items() if key != "time"}) == []


def test_events_that_release_0_1_0_wrote_are_valid_too() -> None:
    """They may lie in the queue when a consumer begins to validate (P20)."""
    folder = Path(__file__).resolve().parents[2] / "compat" / "0.1.0" / "messages"
    messages = json.loads((folder / "bc-events.json").read_text(encoding="utf-8"))
    judge, seen = Validators(published_events(BUILT_IN, PUBLIC_URL)), 0
    for message in messages.values():
        for event in json.loads(message):
            assert list(judge.faults(event["type"], event)) == []
            seen += 1
    assert seen > 20


def test_what_is_published_is_json_schema_2020_12_and_names_itself() -> None:
    """A schema bears the address that it is served at, and that each event's `dataschema` names."""
    events, data = (
        published_events([*BUILT_IN, STOCK], "https://a.b"),
        published_data([*BUILT_IN, STOCK], "https://a.b"),
    )
    for kind in events:
        assert events[kind]["$id"] == f"https://a.b/api/schema?type={kind}"
        assert data[kind]["$id"] == f"https://a.b/api/schema?data={kind}"
        for schema in (events[kind], data[kind]):
            assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
            assert jsonschema_rs.meta.is_valid(schema)
