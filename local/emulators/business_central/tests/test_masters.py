"""Items, variants, customers and code tables: creation, checks, If-Match."""

from typing import Any

import pytest
from business_central_emulator import BusinessCentral, VirtualClock
from emulator_world import Api, Recorded

DIALOG = "Application_DialogException"


def error_of(answer: Any) -> tuple[int, str]:
    return answer.status, answer.json()["error"]["code"]


def message_of(answer: Any) -> str:
    return str(answer.json()["error"]["message"]).split("  CorrelationId")[0]


def test_post_answers_201_with_location_and_defaults(api: Api, bc: BusinessCentral) -> None:
    """Number from the series, unit PCS, posting groups, Location with the new id."""
    answer = api.post("items", {"displayName": "Chair"})
    item = answer.json()
    assert answer.status == 201
    assert answer.headers["Location"] == api.url(f"items({item['id']})")
    assert item["@odata.context"].endswith(f"#companies({api.company_id})/items/$entity")
    assert (item["number"], item["baseUnitOfMeasureCode"], item["inventoryPostingGroupCode"]) == (
        "70000",
        "PCS",
        "RESALE",
    )


def test_codes_are_trimmed_and_upper_cased(api: Api) -> None:
    """What is sent is not what is read back: `so-1 ` becomes `SO-1`; texts stay."""
    item = api.create("items", {"number": " abc-1 ", "displayName": " Chair "})
    assert (item["number"], item["displayName"]) == ("ABC-1", " Chair ")


def test_text_longer_than_its_field_is_refused(api: Api) -> None:
    """400 Application_StringExceededLength names the length and the maximum."""
    answer = api.post("items", {"displayName": "x" * 101})
    assert error_of(answer) == (400, "Application_StringExceededLength")
    assert "is 101" in message_of(answer)
    assert "100 characters" in message_of(answer)


def test_an_unknown_property_is_refused_in_the_recorded_words(api: Api, recorded: Recorded) -> None:
    """400 BadRequest, the property and the type named."""
    theirs = recorded("batch-part-400-unknown-property.json")["body"]["error"]["message"].split("  ")[0]
    answer = api.post("items", {"postingDate": "2026-01-01"})
    assert error_of(answer) == (400, "BadRequest")
    assert message_of(answer) == theirs.replace("cashRegisterEntry", "item")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"x"', {"unitPrice": "12"}, {"blocked": "true"}, {"itemCategoryId": "DESK"},
     {"unitPrice": True}, {"type": "Furniture"}, {"displayName": 5}],
)  # fmt: skip
def test_a_body_of_the_wrong_shape_is_refused(api: Api, bc: BusinessCentral, body: Any) -> None:
    """400 and nothing is created."""
    before = len(bc.table("items"))
    assert api.post("items", body).status == 400
    assert len(bc.table("items")) == before


def test_read_only_properties_are_refused(api: Api, bc: BusinessCentral) -> None:
    """Another value for `id` or lastModifiedDateTime is an error; the same value is fine on PATCH."""
    item = api.create("items", {"displayName": "Chair"})
    assert api.post("items", {"lastModifiedDateTime": "2026-01-01T00:00:00Z"}).status == 400
    assert api.post("items", {"id": item["id"]}).status == 400
    same = {key: item[key] for key in ("id", "number", "lastModifiedDateTime", "displayName")}
    assert api.patch(f"items({item['id']})", same).status == 200
    changed = api.patch(f"items({item['id']})", {"id": "00000000-0000-4000-8000-000000000000"})
    assert message_of(changed) == 'The "id" cannot be changed.'


def test_stock_cannot_be_set_on_creation_but_by_patch(api: Api, bc: BusinessCentral) -> None:
    """POST with an inventory fails with AL's words; PATCH posts an adjustment."""
    answer = api.post("items", {"displayName": "Chair", "inventory": 5})
    assert (error_of(answer), message_of(answer)) == ((400, DIALOG), "Inventory cannot be changed during on insert.")
    item = api.create("items", {"displayName": "Chair"})
    assert api.patch(f"items({item['id']})", {"inventory": 9}).json()["inventory"] == 9


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"itemCategoryId": "00000000-0000-4000-8000-000000000000"},
         'The "itemCategoryId" does not match to a specific Item Category group.'),
        ({"itemCategoryCode": "NOPE"}, 'The "itemCategoryCode" does not match to a Item Category.'),
        ({"baseUnitOfMeasureId": "00000000-0000-4000-8000-000000000000"},
         'The "baseUnitOfMeasureId" does not match to a Unit of Measure.'),
    ],
)  # fmt: skip
def test_related_records_must_exist(api: Api, body: Any, message: str) -> None:
    """Unknown categories and units are dialog errors with AL's words."""
    answer = api.post("items", {"displayName": "Chair"} | body)
    assert (error_of(answer), message_of(answer)) == ((400, DIALOG), message)


def test_id_and_code_of_a_pair_must_agree(api: Api, bc: BusinessCentral) -> None:
    """One of them fills the other; two different ones are an error."""
    desk, chair = (bc.table("itemCategories").the("code", code) for code in ("DESK", "CHAIR"))
    item = api.create("items", {"displayName": "Desk", "itemCategoryId": desk.id})
    assert item["itemCategoryCode"] == "DESK"
    wrong = {"displayName": "Desk", "itemCategoryId": desk.id, "itemCategoryCode": "CHAIR"}
    assert (
        message_of(api.post("items", wrong)) == "The item categories values do not match to a specific item category."
    )
    moved = api.patch(f"items({item['id']})", {"itemCategoryCode": "CHAIR"}).json()
    assert moved["itemCategoryId"] == chair.id


def test_a_duplicate_key_is_refused_in_the_recorded_words(api: Api, recorded: Recorded) -> None:
    """400 Internal_EntityWithSameKeyExists, the key named."""
    theirs = recorded("error-400-duplicate-key.json")["error"]
    answer = api.post("customers", {"number": "10000", "displayName": "Twice"})
    assert error_of(answer) == (400, theirs["code"])
    assert message_of(answer) == theirs["message"].replace("4281", "10000")


def test_a_variant_belongs_to_one_item_and_has_a_code(api: Api, bc: BusinessCentral) -> None:
    """Item by id or number, both must agree; the code is upper-cased and unique per item."""
    chair, desk = (bc.table("items").the("number", number) for number in ("1900-S", "1896-S"))
    variant = api.create("itemVariants", {"itemId": chair.id, "code": "red", "description": "Red"})
    assert (variant["itemNumber"], variant["code"]) == ("1900-S", "RED")
    assert api.post("itemVariants", {"itemNumber": "1900-S", "code": "RED"}).json()["error"]["code"] == (
        "Internal_EntityWithSameKeyExists"
    )
    assert api.create("itemVariants", {"itemNumber": "1896-S", "code": "RED"})["itemId"] == desk.id
    both = {"itemId": chair.id, "itemNumber": "1896-S", "code": "BLUE"}
    assert message_of(api.post("itemVariants", both)) == "The item values do not match to a specific Item."
    assert api.post("itemVariants", {"itemNumber": "1900-S"}).json()["error"]["code"] == (
        "Application_FieldValidationException"
    )
    nested = api.create(f"items({chair.id})/itemVariants", {"code": "below"})
    assert nested["itemId"] == chair.id


def test_a_customer_needs_a_name(api: Api) -> None:
    """The page's two messages for a missing and a blank displayName."""
    assert message_of(api.post("customers", {"city": "Kiel"})) == 'A "displayName" must be provided.'
    assert message_of(api.post("customers", {"displayName": ""})) == 'The blank "displayName" is not allowed.'


@pytest.mark.parametrize("etag", [None, "", "abc", '"abc"', "JzIw"])
def test_patch_without_a_usable_if_match_is_refused(api: Api, bc: BusinessCentral, etag: Any) -> None:
    """400 BadRequest_InvalidToken for a missing and for a malformed tag."""
    item = bc.user.create_item()
    headers = {} if etag is None else {"If_Match": etag}
    answer = api.call("PATCH", f"items({item.id})", {"displayName": "x"}, **headers)
    assert error_of(answer) == (400, "BadRequest_InvalidToken")
    assert message_of(answer).startswith("Could not validate the client concurrency token")


def test_a_stale_etag_is_a_conflict(api: Api, bc: BusinessCentral) -> None:
    """409 Request_EntityChanged (412 by switch) on PATCH, DELETE and actions; `*` always fits."""
    item = bc.user.create_item()
    stale = api.get(f"items({item.id})").json()["@odata.etag"]
    fresh = api.patch(f"items({item.id})", {"displayName": "x"}, stale).json()["@odata.etag"]
    answer = api.patch(f"items({item.id})", {"displayName": "y"}, stale)
    assert error_of(answer) == (409, "Request_EntityChanged")
    assert message_of(answer) == "Another user has already changed the record."
    assert api.delete(f"items({item.id})", stale).status == 409
    bc.changed_status = 412
    assert api.delete(f"items({item.id})", stale).status == 412
    assert api.delete(f"items({item.id})", fresh).status == 204


def test_delete_and_actions_check_the_etag_only_when_sent(api: Api, bc: BusinessCentral) -> None:
    """DELETE without If-Match works."""
    item = bc.user.create_item()
    assert api.delete(f"items({item.id})", None).status == 204
    assert bc.table("items").get(item.id) is None


def test_patch_changes_what_is_sent_and_nothing_else(api: Api, bc: BusinessCentral, clock: VirtualClock) -> None:
    """Omitted properties stay; time and ETag move."""
    before = api.create("items", {"displayName": "Chair", "unitPrice": 5})
    clock.advance(10)
    after = api.patch(f"items({before['id']})", {"unitPrice": 6}).json()
    moved = {key for key in after if after[key] != before[key]}
    assert moved == {"@odata.etag", "unitPrice", "lastModifiedDateTime"}


def test_an_item_with_entries_or_documents_stays(api: Api, bc: BusinessCentral) -> None:
    """Deleting a sold item or its customer is refused."""
    order = bc.user.create_order()
    line = api.rows(f"salesOrders({order.id})/salesOrderLines")[0]
    assert error_of(api.delete(f"items({line['itemId']})")) == (400, DIALOG)
    assert error_of(api.delete(f"customers({order['customerId']})")) == (400, DIALOG)


def test_deleting_an_item_takes_its_variants(api: Api, bc: BusinessCentral) -> None:
    """Variants go with their item."""
    item = bc.user.create_item()
    bc.user.create_variant(item, "RED")
    assert api.delete(f"items({item.id})").status == 204
    assert api.rows(f"itemVariants?$filter=itemId eq {item.id}") == []


def test_renaming_an_item_keeps_its_id(api: Api, bc: BusinessCentral) -> None:
    """PATCH of `number` renames; variants follow."""
    item = bc.user.create_item(number="OLD")
    bc.user.create_variant(item, "RED")
    assert api.patch(f"items({item.id})", {"number": "new"}).json()["number"] == "NEW"
    assert api.rows(f"items({item.id})/itemVariants")[0]["itemNumber"] == "NEW"


def test_prefer_return_no_content_answers_204(api: Api) -> None:
    """POST with `Prefer: return-no-content` has a Location and no body."""
    answer = api.post("items", {"displayName": "Chair"}, Prefer="return-no-content")
    assert (answer.status, answer.body) == (204, b"")
    assert "/items(" in answer.headers["Location"]


def test_writes_on_whole_collections_are_refused(api: Api) -> None:
    """PATCH and DELETE without a key are 405, PUT too."""
    assert api.patch("items", {"displayName": "x"}).status == 405
    assert api.delete("items").status == 405
    assert api.call("PUT", "items", {}).status == 405
    assert api.post("/companies", {}).status == 405


def test_code_tables_can_be_kept(api: Api) -> None:
    """Units, categories, currencies, terms and methods can be created, changed and deleted; codes are unique."""
    unit = api.create("unitsOfMeasure", {"code": "roll", "displayName": "Roll"})
    assert unit["code"] == "ROLL"
    assert api.post("unitsOfMeasure", {"code": "ROLL"}).status == 400
    assert api.post("paymentTerms", {"displayName": "x"}).status == 400
    assert api.patch(f"unitsOfMeasure({unit['id']})", {"displayName": "Rolle"}).json()["displayName"] == "Rolle"
    assert api.delete(f"unitsOfMeasure({unit['id']})").status == 204


def test_writes_must_not_ask_for_the_replica(api: Api) -> None:
    """`Data-Access-Intent: ReadOnly` fails on a write and passes on a read."""
    assert api.post("items", {"displayName": "x"}, Data_Access_Intent="ReadOnly").status == 400
    assert api.get("items?$top=1", Data_Access_Intent="ReadOnly").status == 200
