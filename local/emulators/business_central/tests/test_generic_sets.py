"""Entity sets without rules of their own: read, filtered, paged, created as far as every page does the same."""

import re
import xml.etree.ElementTree as ET

import pytest
from business_central_emulator import BusinessCentral
from business_central_emulator.data import facts
from business_central_emulator.data.schema import ENTITIES
from emulator_world import Api, Subscribe

KINDS_OF_TYPE = ("EntityType", "ComplexType", "EnumType")
TYPED = ("Property", "NavigationProperty", "Parameter")
EDM = "{http://docs.oasis-open.org/odata/ns/edm}"
EDM_NS = {"e": "http://docs.oasis-open.org/odata/ns/edm"}
HEADERS = {"salesOrderLines", "salesInvoiceLines"}
GENERIC = sorted(
    name for name, one in ENTITIES.items()
    if one.scoped and "I" in one.can and not one.is_ruled and one.order[0] in ("number", "code")
    and name not in {"salesOrders", "salesInvoices", "itemVariants", "customers"}
)  # fmt: skip
RULED = sorted(name for name, one in ENTITIES.items() if one.is_ruled and "I" in one.can and one.scoped)


@pytest.mark.parametrize("name", sorted(name for name, one in ENTITIES.items() if one.scoped and name not in HEADERS))
def test_every_set_is_read_counted_and_ordered(api: Api, name: str) -> None:
    """200 with a page, whatever is in it; a wrong property is refused by name."""
    key = ENTITIES[name].key
    answer = api.get(f"{name}?$count=true&$orderby={key} desc&$top=5")
    assert answer.status == 200, answer.body
    assert answer.json()["@odata.context"].endswith(f"/{name}")
    assert len(answer.json()["value"]) <= answer.json()["@odata.count"]
    assert api.get(f"{name}?$filter=nope eq 1").json()["error"]["code"] == "BadRequest"


@pytest.mark.parametrize("name", GENERIC)
def test_a_row_is_created_changed_and_deleted(api: Api, name: str) -> None:
    """Codes are upper-cased and unique, reading gives what was written, If-Match is asked for."""
    key = ENTITIES[name].order[0]
    made = api.create(
        name, {key: "ab1", "displayName": "One"} if ENTITIES[name].column("displayName") else {key: "ab1"}
    )
    assert made[key] == "AB1"
    path = f"{name}({made['id']})"
    assert api.rows(f"{name}?$filter={key} eq 'ab1'")[0]["id"] == made["id"]
    assert api.post(name, {key: "AB1"}).json()["error"]["code"] == "Internal_EntityWithSameKeyExists"
    assert api.patch(path, {key: "AB2"}, etag=None).status == 400
    assert api.patch(path, {key: "AB2"}, etag=made["@odata.etag"]).json()[key] == "AB2"
    assert api.delete(path).status == 204
    assert api.get(path).status == 404


@pytest.mark.parametrize("name", RULED)
def test_what_business_central_makes_by_its_own_rules_is_not_invented(api: Api, name: str) -> None:
    """Documents, payments and their lines: 501 on POST."""
    assert api.post(name, {}).status == 501


@pytest.mark.parametrize("name", sorted(name for name, one in ENTITIES.items() if not one.can and one.scoped))
def test_a_set_that_only_reads_refuses_writes(api: Api, name: str) -> None:
    """405 with BC's code."""
    assert api.post(name, {}).json()["error"]["code"] == "BadRequest_MethodNotAllowed"


def test_rows_that_only_business_central_makes_can_be_loaded(api: Api, bc: BusinessCentral) -> None:
    """`user.create` fills ledger entries and the like for a test; pages and filters then work on them."""
    for number in range(5):
        bc.user.create("generalLedgerEntries", {"entryNumber": number, "documentNumber": "D1", "debitAmount": number})
    page = api.get("generalLedgerEntries?$filter=debitAmount gt 1", Prefer="odata.maxpagesize=2").json()
    assert [row["entryNumber"] for row in page["value"]] == [2, 3]
    assert [row["entryNumber"] for row in api.rows(page["@odata.nextLink"])] == [4]


def test_navigations_between_generic_sets(api: Api) -> None:
    """Below a parent a row is created with its link; `$expand` follows it in both directions."""
    vendor = api.create("vendors", {"displayName": "Fabrikam", "currencyCode": ""})
    assert vendor["number"]
    dimension = api.rows("dimensions?$filter=code eq 'DEPARTMENT'")[0]["id"]
    made = api.create(f"vendors({vendor['id']})/defaultDimensions", {"dimensionId": dimension})
    assert made["parentId"] == vendor["id"]
    (row,) = api.rows(f"vendors?$filter=id eq {vendor['id']}&$expand=defaultDimensions($expand=dimension),currency")
    assert row["defaultDimensions"][0]["dimension"]["code"] == "DEPARTMENT"
    assert row["currency"] is None


def test_a_company_expands_its_sets(api: Api) -> None:
    """What `$metadata` declares is followed: the sets of a company are its navigations."""
    for row in api.rows("/companies?$expand=items($select=number;$top=1),vendors"):
        assert len(row["items"]) == (1 if row["name"].startswith("CRONUS") else 0)
        assert row["vendors"] == []


def test_an_order_takes_dimensions_with_its_lines(api: Api) -> None:
    """`dimensionSetLines` in a deep insert are taken, before the lines; an unknown value is refused as a whole."""
    body = {
        "customerNumber": "10000",
        "salesOrderLines": [{"lineType": "Item", "lineObjectNumber": "1896-S", "quantity": 1}],
        "dimensionSetLines": [{"code": "department", "valueCode": "sales"}],
    }
    order = api.create("salesOrders", body)
    (row,) = api.rows(f"salesOrders({order['id']})/dimensionSetLines")
    assert (row["code"], row["valueCode"], row["valueDisplayName"]) == ("DEPARTMENT", "SALES", "Sales")
    count = len(api.rows("salesOrders"))
    body["dimensionSetLines"] = [{"code": "DEPARTMENT", "valueCode": "NOPE"}]
    assert api.post("salesOrders", body).json()["error"]["code"] == "Internal_InvalidTableRelation"
    assert len(api.rows("salesOrders")) == count


def test_a_zero_account_is_refused(api: Api) -> None:
    """AL: "Account does not exist." also for the zero GUID."""
    line = {"accountId": "00000000-0000-0000-0000-000000000000", "itemId": api.rows("items?$top=1")[0]["id"]}
    answer = api.post("salesOrders", {"customerNumber": "10000", "salesOrderLines": [line]})
    assert answer.json()["error"]["message"].startswith("Account does not exist.")


def test_a_binding_is_refused(api: Api) -> None:
    """Nobody knows what BC does with `@odata.bind`: 501 instead of a 201 that dropped it."""
    assert api.post("items", {"displayName": "x", "itemCategory@odata.bind": "itemCategories(1)"}).status == 501


def test_metadata_is_what_strict_readers_take(api: Api) -> None:
    """Keys are never null, each constraint names properties that exist, all actions are there."""
    tree = ET.fromstring(api.get("/$metadata").body)
    types = {one.get("Name"): one for one in tree.iterfind(".//e:EntityType", EDM_NS)}
    names = {kind: {p.get("Name") for p in one.iterfind("e:Property", EDM_NS)} for kind, one in types.items()}
    for one in types.values():
        for key in one.iterfind("e:Key/e:PropertyRef", EDM_NS):
            (prop,) = (p for p in one.iterfind("e:Property", EDM_NS) if p.get("Name") == key.get("Name"))
            assert prop.get("Nullable") == "false"
    constraints = 0
    for kind, one in types.items():
        for nav in one.iterfind("e:NavigationProperty", EDM_NS):
            target = (
                (nav.get("Type") or "").removeprefix("Collection(").removesuffix(")").removeprefix("Microsoft.NAV.")
            )
            for pair in nav.iterfind("e:ReferentialConstraint", EDM_NS):
                constraints += 1
                assert pair.get("Property") in names[kind]
                assert pair.get("ReferencedProperty") in names[target]
    assert (len(types), constraints) == (87, 263)
    assert len(tree.findall(".//e:Action", EDM_NS)) == len(facts.ACTIONS) == 21


def test_metadata_keeps_the_rules_of_microsofts_validator(api: Api) -> None:
    """CSDL: names are identifiers and once in a type, each type that is named is there, an enum has members."""
    tree = ET.fromstring(api.get("/$metadata").body)
    declared = {f"Microsoft.NAV.{one.get('Name')}" for kind in KINDS_OF_TYPE for one in tree.iter(f"{EDM}{kind}")}
    named = {one.get("Type", "") for tag in TYPED for one in tree.iter(f"{EDM}{tag}")}
    named |= {one.get("EntityType", "") for one in tree.iter(f"{EDM}EntitySet")}
    plain = {name.removeprefix("Collection(").removesuffix(")") for name in named}
    assert {name for name in plain if not name.startswith("Edm.")} <= declared
    for kind in KINDS_OF_TYPE:
        for one in tree.iter(f"{EDM}{kind}"):
            inside = [part.get("Name", "") for part in one if part.get("Name")]
            assert len(inside) == len(set(inside)) > 0, one.get("Name")
            assert [name for name in inside if not re.fullmatch(r"[A-Za-z_]\w{0,127}", name)] == []
    for enum in tree.iter(f"{EDM}EnumType"):
        values = [int(member.get("Value", "")) for member in enum]
        assert len(values) == len(set(values)), enum.get("Name")
    assert tree.find(".//e:NavigationPropertyBinding", EDM_NS) is None


def test_entity_definitions_name_properties_and_members(api: Api) -> None:
    """Names without captions, which the published facts do not hold."""
    (row,) = api.rows("entityDefinitions?$filter=entitySetName eq 'items'")
    assert row["properties"][0]["name"] == "id"
    assert [one["name"] for one in row["enumMembers"]] == ["Inventory", "Service", "Non_x002D_Inventory"]


def test_actions_without_rules_here_say_so(api: Api, bc: BusinessCentral) -> None:
    """A known action is 501, an unknown one 404."""
    quote = bc.user.create("salesQuotes", {"number": "Q1"})
    assert api.post(f"salesQuotes({quote.id})/Microsoft.NAV.makeOrder", {}).status == 501
    assert api.post(f"salesQuotes({quote.id})/Microsoft.NAV.post", {}).status == 404


def test_sets_of_the_documented_list_take_subscriptions(api: Api, bc: BusinessCentral, subscribe: Subscribe) -> None:
    """A change of a vendor is seen by its subscription."""
    subscribe("vendors")
    api.create("vendors", {"displayName": "Fabrikam"})
    assert bc.webhooks.waiting() == 1
