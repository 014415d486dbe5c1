"""URLs of both forms, companies, environments, tokens, and the shape of errors."""

import re

import pytest
from business_central_emulator import BusinessCentral, Request, VirtualClock
from emulator_world import Api


def test_both_forms_of_the_root_lead_to_the_same_data(api: Api, bc: BusinessCentral) -> None:
    """A URL with the tenant (id or domain, any case) and one without read the same record."""
    environment = bc.environment
    path = f"companies({api.company_id})/items?$top=1"
    roots = [
        f"https://api.businesscentral.dynamics.com/v2.0/{tenant}Production/api/v2.0"
        for tenant in ("", f"{environment.tenant_id}/", f"{environment.tenant_id.upper()}/", "LMINTS.io/")
    ]
    rows = [api.rows(f"{root}/{path}") for root in roots]
    assert all(row == rows[0] for row in rows)


def test_the_context_echoes_the_form_of_the_request(api: Api, bc: BusinessCentral) -> None:
    """`@odata.context` repeats host and path as the client wrote them."""
    for with_tenant in (True, False):
        root = bc.root_url(with_tenant=with_tenant, origin="https://localhost:7443")
        answer = api.get(f"{root}/companies({api.company_id})/items?$top=1").json()
        assert answer["@odata.context"] == f"{root}/$metadata#companies({api.company_id})/items"


@pytest.mark.parametrize("path", ["lmints.io/sandbox", "other.example/production", "nowhere"])
def test_an_unknown_environment_or_tenant_is_answered_in_xml(api: Api, path: str) -> None:
    """The gateway's 404 has an XML body, not JSON."""
    answer = api.get(f"https://api.businesscentral.dynamics.com/v2.0/{path}/api/v2.0/companies")
    assert (answer.status, answer.headers["Content-Type"]) == (404, "application/xml")
    assert b"<code>NoEnvironment</code><message>Environment does not exist.</message>" in answer.body


def test_an_unknown_company_is_not_found(api: Api) -> None:
    """A company id that is not of this environment gives Internal_CompanyNotFound."""
    answer = api.get("/companies(00000000-0000-4000-8000-000000000000)/items")
    assert (answer.status, answer.json()["error"]["code"]) == (404, "Internal_CompanyNotFound")


def test_the_company_may_come_from_the_query_or_a_header(api: Api, bc: BusinessCentral) -> None:
    """`?company=` and the Company header name it by id or name; without any the call is refused."""
    by_query = api.rows(f"/items?$top=1&company={api.company_id}")
    assert by_query == api.rows("/items?$top=1", Company=bc.company().name) == api.rows("items?$top=1")
    assert api.get("/items").status == 400


def test_an_unknown_segment_is_named_in_the_recorded_words(api: Api) -> None:
    """The text is the recorded one; its correlation id equals the request-id header."""
    answer = api.get("contact")
    assert (answer.status, answer.json()["error"]["code"]) == (404, "BadRequest_ResourceNotFound")
    assert answer.json()["error"]["message"] == (
        f"Resource not found for the segment 'contact'.  CorrelationId:  {answer.headers['request-id']}."
    )


def test_a_deleted_record_answers_like_an_unknown_segment(api: Api, bc: BusinessCentral) -> None:
    """GET after DELETE is 404 with the segment's name, as recorded."""
    item = bc.user.create_item()
    assert api.delete(f"items({item.id})").status == 204
    answer = api.get(f"items({item.id})")
    assert (answer.status, answer.json()["error"]["code"]) == (404, "BadRequest_ResourceNotFound")
    assert "segment 'items'" in answer.json()["error"]["message"]


@pytest.mark.parametrize("key", ["None", "'1000'", "number='1896-S'", "guid'0'"])
def test_a_key_that_is_no_guid_is_a_syntax_error(api: Api, key: str) -> None:
    """Quoted, alternate and empty keys are refused with the recorded 404."""
    answer = api.get(f"items({key})")
    assert (answer.status, answer.json()["error"]["code"]) == (404, "BadRequest_NotFound")


def test_entity_sets_match_without_regard_to_case(api: Api) -> None:
    """`Customers` reads customers."""
    assert api.rows("Customers?$top=1") == api.rows("customers?$top=1")


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer bad", "Basic good-app", "Bearer good-"])
def test_without_a_good_token_everything_is_refused(bc: BusinessCentral, header: str | None) -> None:
    """401 Authentication_InvalidCredentials with the recorded text."""
    headers = {} if header is None else {"Authorization": header}
    answer = bc.handle(Request(method="GET", url=bc.root_url() + "/companies", headers=headers))
    assert (answer.status, answer.json()["error"]["code"]) == (401, "Authentication_InvalidCredentials")
    assert re.fullmatch(
        r"The server has rejected the client credentials\.  CorrelationId:  [0-9a-f-]{36}\.",
        answer.json()["error"]["message"],
    )


def test_every_answer_carries_the_headers_of_the_service(api: Api, clock: VirtualClock) -> None:
    """Date comes from the engine's clock; request-id and ms-correlation-x are always there."""
    for path in ("companies", "items?$filter=nope eq 1"):
        answer = api.get(path)
        assert answer.headers["Date"] == "Wed, 11 Feb 2026 09:00:00 GMT"
        assert {"request-id", "ms-correlation-x"} <= set(answer.headers)
    good = api.get("items?$top=1")
    assert good.headers["Content-Type"] == "application/json; odata.metadata=minimal; odata.streaming=true"
    assert good.headers["OData-Version"] == "4.0"


def test_the_environment_list_needs_no_environment(api: Api, bc: BusinessCentral) -> None:
    """GET /environments/v1.2 names the environment and its tenant."""
    row = api.rows("https://api.businesscentral.dynamics.com/environments/v1.2")[0]
    assert (row["name"], row["aadTenantId"], row["applicationFamily"]) == (
        bc.environment.name,
        bc.environment.tenant_id,
        "BusinessCentral",
    )


@pytest.mark.parametrize(
    "path",
    [
        "items({id})/picture",
        "items?$expand=picture",
        "items?$search=x",
        "items?$apply=x",
        "salesInvoices?$expand=pdfDocument",
        "salesShipments?$expand=attachments",
        "/entityDefinitions?$top=1",
    ],
)
def test_what_is_not_emulated_says_so(api: Api, bc: BusinessCentral, path: str) -> None:
    """What API v2.0 has and the emulator has not is 501 with a sentence, never an invented answer."""
    item = next(iter(bc.table("items")))
    answer = api.get(path.replace("{id}", item.id))
    assert answer.status == 501
    assert "The local emulator does not know" in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["automation/v2.0/companies", "acme/sales/v1.0/companies", "v1.0/companies"])
def test_other_apis_are_not_emulated(api: Api, bc: BusinessCentral, path: str) -> None:
    """Automation API, custom APIs and v1.0 are 501."""
    root = bc.root_url().removesuffix("v2.0")
    assert api.get(f"{root}{path}").status in (404, 501)
    assert api.get(bc.root_url().replace("/api/v2.0", "/ODataV4/items")).status == 501


def test_two_engines_with_one_seed_answer_alike(clock: VirtualClock) -> None:
    """All ids and tokens come from the seed."""
    first, second = (BusinessCentral(clock, seed=3) for _ in range(2))
    for engine in (first, second):
        engine.user.create_item(displayName="Same")
    url = first.root_url() + f"/companies({first.company().id})/items?$filter=displayName eq 'Same'"
    request = Request(method="GET", url=url, headers={"Authorization": "Bearer good-a"})
    assert first.handle(request) == second.handle(request)
