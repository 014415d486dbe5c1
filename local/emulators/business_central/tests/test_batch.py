"""`$batch`."""

from typing import Any

import pytest
from business_central_emulator import BusinessCentral
from emulator_world import Api, Recorded, Subscribe


def batch(api: Api, operations: Any, **headers: Any) -> Any:
    requests = [
        {"id": f"r{at}", "method": method, "url": f"companies({api.company_id})/{path}",
         "headers": {"Content-Type": "application/json", "If-Match": "*"}}
        | ({} if body is None else {"body": body})
        for at, (method, path, body) in enumerate(operations, start=1)
    ]  # fmt: skip
    return api.post("/$batch", {"requests": requests}, Content_Type="application/json", **headers)


def new_item(number: str) -> Any:
    return ("POST", "items", {"number": number, "displayName": number})


BAD = ("POST", "items", {"nope": 1})


def test_parts_are_answered_in_order_with_lower_case_headers(api: Api, recorded: Recorded) -> None:
    """200 outside; each part has id, status, lower-case headers and its body, as recorded."""
    answer = batch(api, [new_item("A1"), ("GET", "items?$filter=number eq 'A1'", None)])
    parts = answer.json()["responses"]
    assert (answer.status, [part["id"] for part in parts], [part["status"] for part in parts]) == (
        200,
        ["r1", "r2"],
        [201, 200],
    )
    theirs = recorded("batch-salesorderlines-201.json")["responses"][0]
    assert set(parts[0]) == set(theirs)
    assert set(parts[0]["headers"]) == set(theirs["headers"])
    assert parts[0]["headers"]["location"] == api.url(f"items({parts[0]['body']['id']})")
    assert parts[1]["body"]["value"][0]["number"] == "A1"


def test_the_first_failure_stops_the_rest(api: Api, bc: BusinessCentral) -> None:
    """Earlier parts stay, later ones are missing from the answer."""
    parts = batch(api, [new_item("A1"), BAD, new_item("A2")]).json()["responses"]
    assert [part["status"] for part in parts] == [201, 400]
    assert parts[1]["body"]["error"]["code"] == "BadRequest"
    assert bc.table("items").find("number", "A1") is not None
    assert bc.table("items").find("number", "A2") is None


def test_continue_on_error_runs_all(api: Api, bc: BusinessCentral) -> None:
    """`Prefer: odata.continue-on-error`."""
    parts = batch(api, [new_item("A1"), BAD, new_item("A2")], Prefer="odata.continue-on-error").json()["responses"]
    assert [part["status"] for part in parts] == [201, 400, 201]


@pytest.mark.parametrize(("count", "status"), [(100, 200), (101, 500)])
def test_a_batch_holds_100_operations(api: Api, bc: BusinessCentral, count: int, status: int) -> None:
    """The 101st makes the whole request fail with code Unknown; nothing is done."""
    answer = batch(api, [new_item(f"A{n}") for n in range(count)])
    assert answer.status == status
    if status == 500:
        assert answer.json()["error"]["code"] == "Unknown"
        assert "maximum is 100" in answer.json()["error"]["message"]
    assert (bc.table("items").find("number", "A0") is not None) == (status == 200)


def test_a_failed_snapshot_rolls_everything_back_and_still_shows_201(
    api: Api, bc: BusinessCentral, subscribe: Subscribe
) -> None:
    """The ids of the earlier parts do not exist; no webhook learns of them."""
    subscribe("items")
    parts = batch(api, [new_item("A1"), BAD], Isolation="snapshot").json()["responses"]
    assert [part["status"] for part in parts] == [201, 400]
    assert api.get(f"items({parts[0]['body']['id']})").status == 404
    assert bc.webhooks.waiting() == 0


def test_a_good_snapshot_commits(api: Api, bc: BusinessCentral) -> None:
    """One transaction, later parts see earlier ones."""
    parts = batch(
        api, [new_item("A1"), ("POST", "itemVariants", {"itemNumber": "A1", "code": "X"})], Isolation="snapshot"
    )
    assert [part["status"] for part in parts.json()["responses"]] == [201, 201]
    assert bc.table("items").find("number", "A1") is not None


def test_every_part_counts_against_the_limits(api: Api, bc: BusinessCentral) -> None:
    """A batch of three counts four requests."""
    batch(api, [new_item("A1"), new_item("A2"), new_item("A3")])
    assert bc.statistics()["principals"]["app"]["requests"] == 4


def test_the_company_may_come_from_a_header_of_the_part(api: Api, bc: BusinessCentral) -> None:
    """The documented form: url without company, header Company."""
    request = {"id": "1", "method": "GET", "url": "items?$top=1", "headers": {"Company": bc.company().name}}
    answer = api.post("/$batch", {"requests": [request]}, Content_Type="application/json")
    assert answer.json()["responses"][0]["status"] == 200


@pytest.mark.parametrize("body", [b"{}", b"x", {"requests": [{"id": "1"}]}, {"requests": 5}])
def test_a_malformed_batch_is_refused(api: Api, body: Any) -> None:
    """400 for the whole request."""
    assert api.post("/$batch", body, Content_Type="application/json").status == 400


def test_unknown_forms_are_not_guessed(api: Api) -> None:
    """multipart, atomicityGroup and dependsOn are answered 501."""
    assert api.post("/$batch", b"--x", Content_Type="multipart/mixed; boundary=x").status == 501
    request = {"id": "1", "method": "GET", "url": "companies", "atomicityGroup": "g"}
    assert api.post("/$batch", {"requests": [request]}, Content_Type="application/json").status == 501


def test_decimals_keep_their_digits_through_a_batch(api: Api, bc: BusinessCentral) -> None:
    """Neither the part's body nor its answer passes through a float."""
    number = "1234567890.123456789"
    url = f"companies({api.company_id})/items"
    body = (
        f'{{"requests":[{{"id":"1","method":"POST","url":"{url}","body":{{"displayName":"x","unitPrice":{number}}}}}]}}'
    )
    answer = api.post("/$batch", body.encode(), Content_Type="application/json")
    assert f'"unitPrice":{number}'.encode() in answer.body
