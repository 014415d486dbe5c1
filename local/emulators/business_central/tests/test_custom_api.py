"""Custom API pages: their own route for reads, `$metadata` and subscriptions, with and without a time of change."""

import pytest
from business_central_emulator import BusinessCentral, VirtualClock
from business_central_emulator.data.schema import custom_entity
from emulator_world import Api, Subscriber

ROUTE = "contoso/shop/v1.0"
STOCK = custom_entity(
    "stockLevels", "stockLevel", "id G r, itemNumber C20, quantity D, lastModifiedDateTime T r", order=("itemNumber",)
)
BINS = custom_entity(
    "bins", "bin", "id G r, code C10, stockLevelId G", order=("code",), navs="stockLevel stockLevels stockLevelId=id"
)


@pytest.fixture
def custom(api: Api, bc: BusinessCentral) -> str:
    """The root of the custom API."""
    bc.add_api(ROUTE, STOCK, BINS)
    return bc.root_url().replace("/api/v2.0", f"/api/{ROUTE}")


def test_rows_are_read_filtered_paged_and_written(api: Api, custom: str) -> None:
    """As any page, at the route it was published under; the standard API does not know it."""
    sets = f"{custom}/companies({api.company_id})"
    for number in range(3):
        api.create(f"{sets}/stockLevels", {"itemNumber": f"a{number}", "quantity": number})
    page = api.get(f"{sets}/stockLevels?$filter=quantity ge 1", Prefer="odata.maxpagesize=1").json()
    assert page["@odata.context"] == f"{custom}/$metadata#companies({api.company_id})/stockLevels"
    assert page["@odata.nextLink"].startswith(f"{sets}/stockLevels?")
    assert [row["itemNumber"] for row in api.rows(page["@odata.nextLink"])] == ["A2"]
    bin_row = api.create(f"{sets}/bins", {"code": "w1", "stockLevelId": page["value"][0]["id"]})
    assert "lastModifiedDateTime" not in bin_row
    (row,) = api.rows(f"{sets}/bins?$expand=stockLevel")
    assert row["stockLevel"]["itemNumber"] == "A1"
    assert api.get("stockLevels").status == 404
    assert api.get(f"{sets}/items").status == 404
    assert len(api.rows(f"{custom}/companies")) == 2


def test_metadata_describes_the_route(api: Api, custom: str) -> None:
    """Its own sets, companies and subscriptions, nothing else."""
    text = api.get(f"{custom}/$metadata").body.decode()
    assert 'EntitySet Name="stockLevels"' in text
    assert 'EntitySet Name="items"' not in text
    assert {row["name"] for row in api.rows(f"{custom}/")} == {"stockLevels", "bins", "companies", "subscriptions"}


def test_a_custom_page_is_subscribed_at_its_own_route(
    api: Api, bc: BusinessCentral, custom: str, clock: VirtualClock, subscriber: Subscriber
) -> None:
    """The resource names the route; the notification repeats it; an unknown route is refused."""
    body = {
        "notificationUrl": "https://hooks.example.com/bc",
        "resource": f"api/{ROUTE}/companies({api.company_id})/stockLevels",
    }
    api.create(f"{custom}/subscriptions", body)
    row = api.create(f"{custom}/companies({api.company_id})/stockLevels", {"itemNumber": "a"})
    clock.advance(60)
    bc.run_webhooks(subscriber.receive)
    assert [entry["resource"] for entry in subscriber.entries] == [f"{body['resource']}({row['id']})"]
    wrong = body | {"resource": f"api/contoso/other/v1.0/companies({api.company_id})/stockLevels"}
    assert api.post(f"{custom}/subscriptions", wrong).status == 400
    supported = bc.root_url().replace("/api/v2.0", f"/api/microsoft/runtime/beta/companies({api.company_id})")
    names = [one["resource"] for one in api.rows(f"{supported}/webhookSupportedResources")]
    assert {f"{ROUTE}/stockLevels", f"{ROUTE}/bins", "v2.0/items"} <= set(names)


def test_an_api_that_is_not_published_is_not_found(api: Api, bc: BusinessCentral) -> None:
    """A partner's is nowhere else; of Microsoft's own some are not emulated."""
    assert api.get(bc.root_url().replace("/api/v2.0", "/api/contoso/other/v1.0/companies")).status == 404
    assert api.get(bc.root_url().replace("/api/v2.0", "/api/microsoft/other/v1.0/companies")).status == 501


def test_rows_can_be_loaded_and_seen_lagging(api: Api, bc: BusinessCentral, custom: str) -> None:
    """`user.create("<route>/<set>")` fills a page for a test, in companies opened later as well."""
    other = bc.add_company("Fabrikam")
    bc.user.create(f"{ROUTE}/stockLevels", {"itemNumber": "X", "quantity": 1}, company=other.id)
    assert [row["quantity"] for row in api.rows(f"{custom}/companies({other.id})/stockLevels")] == [1]


def test_a_subscription_is_taken_at_its_own_route_alone(api: Api, bc: BusinessCentral, custom: str) -> None:
    """Each API has subscriptions of its own (docs: webhooks of custom API pages)."""
    body = {
        "notificationUrl": "https://hooks.example.com/bc",
        "resource": f"api/{ROUTE}/companies({api.company_id})/stockLevels",
    }
    assert api.post(f"{bc.root_url()}/subscriptions", body).status == 400
    standard = body | {"resource": f"api/v2.0/companies({api.company_id})/items"}
    assert api.post(f"{custom}/subscriptions", standard).status == 400
    made = api.create(f"{custom}/subscriptions", body)
    path = f"subscriptions('{made['subscriptionId']}')"
    assert api.patch(f"{bc.root_url()}/{path}", body, etag=made["@odata.etag"]).status == 400
    assert api.patch(f"{custom}/{path}", body, etag=made["@odata.etag"]).status == 200


def test_a_shop_comes_with_rows_and_another_key(clock: VirtualClock) -> None:
    """Of `--shop`: what a demo needs; a company contains the sets of its API, and a reset brings them back."""
    bc = BusinessCentral(clock, has_shop=True)
    api = Api(bc)
    bc.reset()
    sets = f"{bc.root_url().replace('/api/v2.0', f'/api/{ROUTE}')}/companies({api.company_id})"
    levels = api.rows(f"{sets}/stockLevels?$expand=bins")
    assert [(row["itemNumber"], len(row["bins"])) for row in levels] == [("1896-S", 2), ("1900-S", 1), ("1906-S", 0)]
    (tag,) = api.rows(f"{sets}/priceTags?$filter=code eq 'TAG-1896'")
    assert "lastModifiedDateTime" not in tag
    assert api.get(f"{sets}/priceTags({tag['systemId']})").json()["code"] == "TAG-1896"
    text = api.get(f"{sets.partition('/companies')[0]}/$metadata").body.decode()
    assert '<NavigationProperty Name="priceTags" Type="Collection(Microsoft.NAV.priceTag)"' in text
    assert '<PropertyRef Name="systemId"/>' in text
