"""What clients that nobody here wrote met: each test names the row of the list of differences it closes."""

from decimal import Decimal
from typing import Any

import pytest
from business_central_emulator import BusinessCentral, Request, VirtualClock
from business_central_emulator.data.casing import to_upper
from emulator_world import Api


def numbers(api: Api, query: str, **headers: str) -> list[str]:
    return [row["number"] for row in api.rows(f"items?{query}", **headers)]


def refusal(answer: Any) -> tuple[int, str]:
    return answer.status, answer.json()["error"]["code"]


@pytest.mark.parametrize("literal", [b"0E-20", b"1E+2", b"1e2", b"12.5e0"])
def test_e3_a_decimal_with_an_exponent_is_refused(api: Api, literal: bytes) -> None:
    """E3: digits only."""
    assert refusal(api.post("items", b'{"displayName":"x","unitPrice":' + literal + b"}")) == (400, "BadRequest")
    part = {"method": "POST", "url": f"companies({api.company_id})/items", "headers": {}, "id": "1"}
    raw = f'{{"requests":[{{"method":"POST","url":"{part["url"]}","body":{{"unitPrice":{literal.decode()}}}}}]}}'
    assert api.post("/$batch", raw.encode(), Content_Type="application/json").status == 400


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"unitPrice": 79228162514264337593543950335}, 201),
        ({"unitPrice": 79228162514264337593543950336}, 400),
        ({"unitPrice": -(10**40)}, 400),
    ],
)
def test_e4_a_decimal_that_cannot_be_held_is_400(api: Api, body: dict[str, Any], status: int) -> None:
    """E4: the range of .NET's Decimal."""
    assert api.post("items", {"displayName": "x"} | body).status == status


def test_e4_an_overflow_in_the_making_is_400_with_a_body(api: Api, bc: BusinessCentral) -> None:
    """E4: quantity times price beyond the range is an error of BC's form, and nothing is kept."""
    line = {"lineType": "Item", "lineObjectNumber": "1896-S", "quantity": 10**20, "unitPrice": 10**20}
    count = len(bc.table("salesOrders"))
    answer = api.post("salesOrders", {"customerNumber": "10000", "salesOrderLines": [line]})
    assert refusal(answer) == (400, "Application_DialogException")
    assert len(bc.table("salesOrders")) == count
    assert api.post("salesOrderLines", {"sequence": 2**31}).status == 400


def test_e5_signs_in_a_text_are_wildcards(api: Api, bc: BusinessCentral) -> None:
    """E5: `*` and `?` match more than themselves; AL's other signs do so only with the switch."""
    assert numbers(api, "$filter=number eq '19*-s'") == numbers(
        api, "$filter=startswith(number,'19') and endswith(number,'-S')"
    )
    assert numbers(api, "$filter=number eq '1896-?'") == ["1896-S"]
    assert numbers(api, "$filter=number eq '1896-S|1900-S'") == []
    assert numbers(api, "$filter=displayName eq '@ATHENS desk'") == []
    bc.al_signs = True
    assert numbers(api, "$filter=number eq '1896-S|1900-S'") == ["1896-S", "1900-S"]
    assert numbers(api, "$filter=displayName eq '@ATHENS desk'") == ["1896-S"]
    assert numbers(api, "$filter=number eq '1896-S..1900-S'")[0] == "1896-S"
    assert numbers(api, "$filter=number eq '1*%26*-S'") == numbers(api, "$filter=number eq '1*-S'")


@pytest.mark.parametrize(
    ("text", "upper"),
    [
        ("straße", "STRAßE"),
        ("ﬁx", "ﬁX"),
        ("ŉ", "ŉ"),
        ("ıſ", "ıſ"),
        ("µ", "Μ"),
        ("ᾳ", "ᾼ"),
        ("éǆ", "ÉǄ"),
        ("abc", "ABC"),
    ],
)
def test_e6_codes_are_upper_cased_as_dotnet_does_it(api: Api, text: str, upper: str) -> None:
    """E6: one sign for one sign."""
    assert to_upper(text) == upper
    made = api.create("itemCategories", {"code": text})
    assert made["code"] == upper
    assert [row["id"] for row in api.rows(f"itemCategories?$filter=code eq '{text}'")] == [made["id"]]


def test_e10_names_are_matched_in_any_case(api: Api) -> None:
    """E10: and answered in BC's own spelling."""
    rows = api.rows("items?$filter=NUMBER eq '1896-S'&$select=Number,DISPLAYNAME&$expand=ITEMVARIANTS")
    assert list(rows[0]) == ["@odata.etag", "number", "displayName", "itemVariants"]
    assert numbers(api, "$orderby=UNITPRICE desc&$top=1") == numbers(api, "$orderby=unitPrice desc&$top=1")


@pytest.mark.parametrize("how", ["id", "name", "header"])
def test_e11_the_company_of_a_batch_reaches_its_parts(api: Api, bc: BusinessCentral, how: str) -> None:
    """E11: by query (id or name) or header, for parts that name none."""
    company = bc.company()
    path = "/$batch" if how == "header" else f"/$batch?company={company.id if how == 'id' else company.name}"
    headers = {"Company": company.name} if how == "header" else {}
    body = {"requests": [{"id": "1", "method": "GET", "url": "items?$top=1"}]}
    (part,) = api.post(path, body, Content_Type="application/json", **headers).json()["responses"]
    assert (part["status"], len(part["body"]["value"])) == (200, 1)


def test_e12_count_is_a_number_behind_a_byte_order_mark(api: Api) -> None:
    """E12: of the set, of what a filter leaves, of a navigation."""
    assert api.get("items/$count").body == b"\xef\xbb\xbf80"
    assert api.get("items/$count?$filter=number eq '1896-S'").body.decode("utf-8-sig") == "1"
    order = api.rows("salesOrders?$top=1&$expand=salesOrderLines")[0]
    lines = api.get(f"salesOrders({order['id']})/salesOrderLines/$count").body.decode("utf-8-sig")
    assert int(lines) == len(order["salesOrderLines"])
    assert api.get("/companies/$count").body.decode("utf-8-sig") == "2"
    assert api.get(f"salesOrders({order['id']})/$count").status == 404


def test_e13_a_long_url_is_414(api: Api) -> None:
    """E13: above 8,099 characters."""
    base = api.url("items?$filter=number eq '")
    assert api.get(base + "x" * (8_098 - len(base)) + "'").status == 400  # too long for the field, not for the URL
    assert api.get(base + "x" * (8_099 - len(base)) + "'").status == 414


def test_e15_a_code_longer_than_its_field_is_refused_in_a_filter(api: Api) -> None:
    """E15: 400 that names field and limit."""
    answer = api.get(f"items?$filter=number eq '{'A' * 21}'")
    assert answer.status == 400
    assert "number" in answer.json()["error"]["message"]
    assert "20 characters" in answer.json()["error"]["message"]


def test_e16_schema_version_21_has_in_null_and_nested_functions(api: Api) -> None:
    """E16: `in` is refused with BC's code below 2.1; 1.0 and 2.1 are taken; null matches blank."""
    asked = "$filter=number in ('1896-S','1900-S')"
    assert refusal(api.get(f"items?{asked}")) == (501, "BadRequest_MethodNotImplemented")
    assert numbers(api, f"$schemaversion=2.1&{asked}") == ["1896-S", "1900-S"]
    assert numbers(api, "$schemaversion=1.0&$top=1") == numbers(api, "$top=1")
    assert api.get("items?$schemaversion=3.0").status == 400
    blank = numbers(api, "$filter=gtin eq ''")
    assert numbers(api, "$schemaversion=2.1&$filter=gtin eq null") == blank
    assert numbers(api, "$schemaversion=2.1&$filter=gtin ne null") == [n for n in numbers(api, "") if n not in blank]
    assert api.get("items?$filter=gtin eq null").status == 501
    nested = "$filter=contains(tolower(displayName),'desk')"
    assert numbers(api, f"$schemaversion=2.1&{nested}") == numbers(api, "$filter=contains(displayName,'desk')")
    assert api.get(f"items?{nested}").status == 501


def test_e16_substring_is_a_documented_function(api: Api) -> None:
    """E16: `substring(field,position)`."""
    assert numbers(api, "$filter=substring(number,4) eq '-S'") == [n for n in numbers(api, "") if n[4:] == "-S"]
    assert api.get("items?$filter=substring(number,1,2) eq 'x'").status == 501
    assert api.get("items?$filter=substring(number,1) gt 'x'").status == 400


def test_e17_the_admin_api_says_that_it_is_not_here(bc: BusinessCentral) -> None:
    """E17: 501."""
    url = "https://api.businesscentral.dynamics.com/admin/v2.21/applications/businesscentral/environments"
    assert bc.handle(Request(method="GET", url=url, headers={"Authorization": "Bearer good-a"})).status == 501


def test_e18_answers_carry_the_recorded_headers(api: Api) -> None:
    """E18: CORS, Vary, the preference of companies; OPTIONS is 405 with Allow."""
    answer = api.get("/companies", Prefer="odata.maxpagesize=5000")
    assert answer.headers["Preference-Applied"] == "odata.maxpagesize"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Vary"] == "Accept-Encoding"
    options = api.call("OPTIONS", "items")
    assert (options.status, options.headers["Allow"]) == (405, "GET, POST, PATCH, DELETE")


def test_e18_parts_of_a_batch_carry_type_and_version(api: Api) -> None:
    """E18: rows with minimal metadata and their version, errors as plain JSON, as recorded."""
    urls = [f"companies({api.company_id})/items?$top=1", f"companies({api.company_id})/nope"]
    body = {"requests": [{"id": str(at), "method": "GET", "url": url} for at, url in enumerate(urls)]}
    good, bad = api.post("/$batch", body, Content_Type="application/json").json()["responses"]
    assert "odata.metadata=minimal" in good["headers"]["content-type"]
    assert good["headers"]["odata-version"] == "4.0"
    assert bad["headers"] == {"content-type": "application/json"}


def test_e19_messages_come_in_the_language_asked_for(api: Api) -> None:
    """E19: there are no translations here, so the language is put in front; codes stay."""
    plain, german = (api.get("items(x)", Accept_Language=language).json()["error"] for language in ("en-US", "de-DE"))
    assert german["code"] == plain["code"]
    assert german["message"].startswith("[de-DE] Bad Request")
    assert plain["message"].startswith("Bad Request")


@pytest.mark.parametrize(
    "query",
    [
        "$filter=10 lt unitPrice",
        "$filter=unitPrice gt 1e1",
        "$filter=unitPrice gt (-1)",
        "$filter=startswith(number,'1') eq true",
        "$filter=type eq Microsoft.NAV.itemType'Inventory'",
        "$filter=unitPrice eq unitCost",
        "$filter=unitPrice add 1 eq 2",
        "$filter=not (unitPrice eq 1)",
        "$orderby=itemCategory/code",
        "$select=number,*",
    ],
)
def test_e21_valid_odata_that_is_not_known_is_501(api: Api, query: str) -> None:
    """E21: not called a syntax error."""
    assert refusal(api.get(f"items?{query}")) == (501, "Emulator_NotImplemented")


@pytest.mark.parametrize("query", ["$top=1&$top=2", "$orderby=number,", "$expand=itemVariants()", "$filter=number eq"])
def test_e21_what_is_not_odata_is_400(api: Api, query: str) -> None:
    """E21: taken before."""
    assert refusal(api.get(f"items?{query}")) == (400, "BadRequest")


def test_decimals_of_more_digits_than_dotnet_holds_are_rounded(
    api: Api, bc: BusinessCentral, clock: VirtualClock
) -> None:
    """28 digits are kept."""
    made = api.create("items", b'{"displayName":"x","unitPrice":0.12345678901234567890123456789012}')
    assert bc.table("items").the("id", made["id"])["unitPrice"] == Decimal("0.1234567890123456789012345679")
