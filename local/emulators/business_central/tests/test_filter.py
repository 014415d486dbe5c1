"""`$filter` and friends: literals, same-field `or`, dropped lambdas, refusals by name."""

from collections.abc import Callable
from datetime import timedelta
from operator import itemgetter
from typing import Any

import pytest
from business_central_emulator import BusinessCentral, VirtualClock
from business_central_emulator.data.schema import ENTITIES
from business_central_emulator.odata.planning import plan
from business_central_emulator.odata.query import parse_query
from emulator_world import Api, Recorded
from hypothesis import given, settings
from hypothesis import strategies as st


def numbers(api: Api, text: str, entity: str = "items") -> list[str]:
    return [row["number"] for row in api.rows(f"{entity}?$filter={text}")]


SELECTIONS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "number eq '1896-S'": lambda row: row["number"] == "1896-S",
    "number eq '1896-s'": lambda row: row["number"] == "1896-S",
    "number ne '1896-S'": lambda row: row["number"] != "1896-S",
    "unitPrice gt 100 and unitPrice lt 430": lambda row: 100 < row["unitPrice"] < 430,
    "(unitPrice ge 399) and (unitPrice le 399)": lambda row: row["unitPrice"] == 399,
    "number eq '1896-S' or number eq '1900-S'": lambda row: row["number"] in ("1896-S", "1900-S"),
    "startswith(displayName,'athens')": lambda row: row["displayName"].startswith("ATHENS"),
    "endswith(number,'-W')": lambda row: row["number"].endswith("-W"),
    "contains(displayName,'swivel')": lambda row: "Swivel" in row["displayName"],
    "tolower(displayName) eq 'athens desk'": lambda row: row["displayName"] == "ATHENS Desk",
    "type eq 'Non_x002D_Inventory'": lambda row: row["type"] == "Non_x002D_Inventory",
    "type eq 'Non-Inventory'": lambda row: row["type"] == "Non_x002D_Inventory",
    "blocked eq false": lambda row: not row["blocked"],
    "itemCategoryCode eq ''": lambda row: row["itemCategoryCode"] == "",
    "itemCategoryCode eq 'desk' and unitPrice gt 1": lambda row: row["itemCategoryCode"] == "DESK",
    "displayName eq 'manual for loudspeakers'": lambda row: row["number"] == "LS-MAN-10",
}


@pytest.mark.parametrize("text", SELECTIONS)
def test_operators_and_functions(api: Api, text: str) -> None:
    """Each operator and function selects what a look at every row selects."""
    wanted = [row["number"] for row in api.rows("items") if SELECTIONS[text](row)]
    assert wanted
    assert numbers(api, text) == wanted


def test_a_quote_is_escaped_by_doubling_it(api: Api, bc: BusinessCentral) -> None:
    """`O''Brien` finds O'Brien."""
    bc.user.create_item(number="OB", displayName="O'Brien")
    assert numbers(api, "displayName eq 'O''Brien'") == ["OB"]


@pytest.mark.parametrize(
    "text",
    ["id eq '1'", "lastModifiedDateTime gt '2026-01-01T00:00:00Z'", "number eq 1896", "unitPrice eq '5'",
     "blocked eq 'true'", "id eq 'd290ba0b-a47d-f011-8eef-6045bdadacc5'"],
)  # fmt: skip
def test_a_literal_of_the_wrong_kind_is_refused(api: Api, text: str) -> None:
    """GUIDs, dates, numbers and booleans are unquoted, texts quoted; anything else is 400."""
    answer = api.get(f"items?$filter={text}")
    assert (answer.status, answer.json()["error"]["code"]) == (400, "BadRequest")
    assert "incompatible types" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "text", ["number eq", "eq 'x'", "number like 'x'", "(number eq 'x'", "number eq 'x' garbage", "&&"]
)
def test_a_filter_that_does_not_parse_is_refused(api: Api, text: str) -> None:
    """Syntax errors are 400, never an unfiltered answer."""
    assert api.get(f"items?$filter={text.replace('&', '%26')}").status == 400


def test_an_unknown_property_is_refused_by_name(api: Api, recorded: Recorded) -> None:
    """The recorded text, for filter, order, select and expand alike."""
    theirs = recorded("error-400-filter-unknown-property.json")["error"]
    for query in ("$filter=nope eq 1", "$orderby=nope", "$select=nope", "$expand=nope"):
        error = api.get(f"items?{query}").json()["error"]
        assert error["code"] == theirs["code"]
        words = theirs["message"].split("  ")[0].replace("lastModifiedDateTime", "nope").replace("balanceSheet", "item")
        assert error["message"].split("  ")[0] == words


def test_or_over_two_fields_is_not_supported(api: Api, recorded: Recorded) -> None:
    """501 with the recorded code and text; `or` over one field works."""
    answer = api.get("items?$filter=number eq '1' or displayName eq '2'")
    theirs = recorded("error-501-or-distinct-fields.json")["error"]
    error = answer.json()["error"]
    assert (answer.status, error["code"]) == (501, theirs["code"])
    assert error["message"].startswith(theirs["message"])


def test_a_lambda_is_dropped_without_a_word(api: Api) -> None:
    """The whole expression is ignored and everything comes back."""
    everything = api.rows("salesOrders")
    assert api.rows("salesOrders?$filter=salesOrderLines/any(l: l/quantity gt 1000)") == everything


@pytest.mark.parametrize("text", ["not (number eq 'x')", "number in ('a','b')", "contains(tolower(number),'x')",
                                  "customer/number eq 'x'", "indexof(number,'x') eq 1"])  # fmt: skip
def test_what_schema_2_0_does_not_know_is_not_guessed(api: Api, text: str) -> None:
    """`not`, `in`, nested functions and paths are answered 501 by the emulator."""
    assert api.get(f"items?$filter={text}").status == 501


def test_times_are_compared_in_milliseconds(api: Api, bc: BusinessCentral) -> None:
    """`ge` finds the row of that millisecond, `gt` does not; digits beyond are cut."""
    item = bc.user.create_item()
    at = "2026-02-11T09:00:00"
    assert item["number"] in numbers(api, f"lastModifiedDateTime ge {at}.000Z")
    assert item["number"] in numbers(api, f"lastModifiedDateTime ge {at}.0009Z")
    assert item["number"] not in numbers(api, f"lastModifiedDateTime gt {at}Z")
    assert item["number"] in numbers(api, "lastModifiedDateTime ge 2026-02-11T10:00:00%2B01:00")


def test_an_unknown_enum_member_lists_the_options(api: Api) -> None:
    """400 with the existing options, as in the documented batch sample."""
    error = api.get("salesOrders?$filter=status eq 'Posted'").json()["error"]
    assert error["message"].startswith("'Posted' is not an option. The existing options are: Draft,In Review,Open")


def test_order_top_skip_select_and_count(api: Api) -> None:
    """`$orderby` sorts, `$skip` jumps, `$select` keeps the ETag, `$count` counts the whole filter."""
    answer = api.get("items?$orderby=unitPrice desc,number&$skip=1&$top=2&$select=number,unitPrice&$count=true").json()
    rows = sorted(api.rows("items"), key=lambda row: (-row["unitPrice"], row["number"]))
    assert [row["number"] for row in answer["value"]] == [row["number"] for row in rows[1:3]]
    assert set(answer["value"][0]) == {"@odata.etag", "number", "unitPrice"}
    assert answer["@odata.count"] == 80
    assert answer["@odata.context"].endswith("/items(number,unitPrice)")
    assert api.rows("items?$top=0") == []
    assert api.get("items?$top=-1").status == 400


def test_expand_nests_with_options(api: Api, bc: BusinessCentral) -> None:
    """`$expand=lines($filter=..;$select=..;$expand=item($select=..))` shapes every level."""
    rows = api.rows(
        "salesOrders?$top=2&$expand=customer($select=number),"
        "salesOrderLines($filter=quantity gt 8;$select=quantity;$orderby=quantity desc;$expand=item($select=number))"
    )
    line = rows[0]["salesOrderLines"][0]
    assert set(line) == {"@odata.etag", "quantity", "item"}
    assert line["item"]["number"] == "1996-S"
    assert [entry["quantity"] for entry in rows[1]["salesOrderLines"]] == [10]
    assert rows[0]["customer"]["number"] == "10000"


def test_expanding_nothing_gives_null_or_an_empty_list(api: Api, bc: BusinessCentral) -> None:
    """A single navigation without a row is null, a collection empty."""
    item = bc.user.create_item()
    row = api.get(f"items({item.id})?$expand=itemCategory,itemVariants").json()
    assert (row["itemCategory"], row["itemVariants"]) == (None, [])


def test_variants_come_by_navigation_and_by_filter(api: Api, bc: BusinessCentral) -> None:
    """`items(id)/itemVariants` and `itemVariants?$filter=itemId eq ..` are the same rows."""
    item = bc.table("items").the("number", "SP-SCM1006")
    by_path = api.rows(f"items({item.id})/itemVariants")
    assert by_path == api.rows(f"itemVariants?$filter=itemId eq {item.id}")
    assert [row["code"] for row in by_path] == ["BLACK", "RED", "WHITE"]
    assert api.get(f"itemVariants({by_path[0]['id']})/item").json()["number"] == "SP-SCM1006"


def test_lines_want_their_document(api: Api, bc: BusinessCentral) -> None:
    """A bare GET of order and invoice lines is refused; documentId, id or the parent lead to them."""
    order = bc.table("salesOrders").the("number", "101002")
    for name in ("salesOrderLines", "salesInvoiceLines"):
        answer = api.get(name)
        assert (answer.status, answer.json()["error"]["code"]) == (400, "Application_DialogException")
        assert "You must specify an Id or a Document Id" in answer.json()["error"]["message"]
    lines = api.rows(f"salesOrders({order.id})/salesOrderLines")
    assert lines == api.rows(f"salesOrderLines?$filter=documentId eq {order.id}")
    assert api.rows(f"salesOrderLines?$filter=id eq {lines[1]['id']}") == lines[1:]
    assert len(lines) == 2


def test_a_filter_over_two_documents_loads_the_first_only(api: Api, bc: BusinessCentral) -> None:
    """BC loads lines per document and stops after one."""
    first, second = (bc.table("salesOrders").the("number", number) for number in ("101001", "101002"))
    rows = api.rows(f"salesOrderLines?$filter=documentId eq {first.id} or documentId eq {second.id}")
    assert {row["documentId"] for row in rows} == {first.id}


def test_shipments_can_only_be_read(api: Api, bc: BusinessCentral) -> None:
    """POST, PATCH and DELETE on shipments and their lines are 405; their lines may be read bare."""
    shipment = next(iter(bc.table("salesShipments")))
    assert api.post("salesShipments", {}).status == 405
    assert api.patch(f"salesShipments({shipment.id})", {"number": "x"}).status == 405
    assert api.delete(f"salesShipments({shipment.id})").status == 405
    assert len(api.rows("salesShipmentLines")) == len(bc.table("salesShipmentLines"))
    line = api.rows("salesShipmentLines?$top=1")[0]
    assert not {"itemId", "itemVariantId", "orderNumber", "lastModifiedDateTime"} & set(line)


_CLOCK = VirtualClock()
_BC = BusinessCentral(_CLOCK, seed=5)
_BC.bulk_items(300, 2, step_ms=200)
_FIELDS = st.sampled_from(["lastModifiedDateTime", "number", "unitPrice", "displayName", "id"])


@settings(max_examples=120)
@given(
    order=st.lists(st.tuples(_FIELDS, st.booleans()), max_size=2, unique_by=lambda pair: pair[0]),
    low=st.integers(0, 70_000),
    width=st.integers(0, 70_000),
    skipped=st.integers(0, 350),
)
def test_every_plan_equals_a_scan(order: Any, low: Any, width: Any, skipped: Any) -> None:
    """Whatever index is chosen, rows and continuation equal filtering and sorting the whole table."""
    table = _BC.table("items")
    start = min(record["lastModifiedDateTime"] for record in table if record["number"].startswith("BULK"))
    bounds = [start + timedelta(milliseconds=one) for one in (low, low + width)]
    text = " and ".join(
        f"lastModifiedDateTime {op} {bound:%Y-%m-%dT%H:%M:%S}.{bound.microsecond // 1000:03d}Z"
        for op, bound in zip(("ge", "lt"), bounds, strict=True)
    )
    sort = ",".join(f"{name}{' desc' if descending else ''}" for name, descending in order)
    options = parse_query(f"$filter={text}" + (f"&$orderby={sort}" if sort else ""), ENTITIES["items"])
    found = plan(table, options)
    got = list(found.rows())
    wanted = [record for record in table if bounds[0] <= record["lastModifiedDateTime"] < bounds[1]]
    wanted.sort(key=lambda record: record.id)
    if "number" not in dict(order):
        wanted.sort(key=lambda record: record["number"])
    for name, descending in reversed(order):
        wanted.sort(key=itemgetter(name), reverse=descending)
    assert [record.id for record in got] == [record.id for record in wanted]
    if skipped < len(got):
        assert [record.id for record in found.rows_after(got[skipped])] == [record.id for record in got[skipped + 1 :]]
