"""Responses and webhook bodies that Business Central really sent go through the code that will meet their like."""

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from shared import exact_json
from shared.business_central import odata, records
from shared.business_central.entities import ENTITIES, ITEMS, SALES_INVOICES, SALES_SHIPMENTS
from shared.business_central.page_parser import parse_page
from shared.business_central.port import Subscription, Wanted
from shared.changes import cloud_events
from shared.clock import parse_time
from shared.errors import BCDenied, BCError, BCNotFound, BCRejected, BCThrottled
from shared.webhooks.delivery import Target, client_state, parse_delivery, subscription_path
from shared.webhooks.plan import LIFETIME, RENEW_AGE, Renew, plan

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "captures"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="recorded responses are not part of the project")

CAPTURES: list[dict[str, Any]] = (
    [
        capture for capture in json.loads((FOLDER / "index.json").read_text(encoding="utf-8"))["captures"]
        if capture["file"]
    ]
    if FOLDER.is_dir() else []
)  # fmt: skip
SECRET = b"secret"
API = "https://api.businesscentral.dynamics.com"


def of_kind(pattern: str) -> list[str]:
    """The files whose kind matches."""
    return sorted(capture["file"] for capture in CAPTURES if re.search(pattern, str(capture["kind"])))


def body(name: str) -> bytes:
    """The recorded body."""
    return (FOLDER / name).read_bytes()


def numbers(text: str) -> list[str]:
    """Every number literal of a JSON text, in order."""
    found: list[str] = []

    def keep(literal: str) -> str:
        found.append(literal)
        return literal

    json.loads(text, parse_float=keep, parse_int=keep)
    return found


def has_ids(name: str) -> bool:
    """Whether the rows of a page carry the `id` of API v2.0 (published pages of another kind do not)."""
    rows = json.loads(body(name)).get("value")
    return isinstance(rows, list) and all(isinstance(row, dict) and len(str(row.get("id", ""))) == 36 for row in rows)


PAGES = [name for name in of_kind(r"-page$") if name.endswith(".json") and has_ids(name)]
RECORDS = [  # what the documentation prints is shortened, and not JSON in places
    name
    for name in of_kind(r"(item|itemVariant|salesShipment|salesInvoice|salesOrder|customer)-(entity|201)$|entity-20")
    if not name.startswith("doc-")
]


def test_there_are_captures_of_every_kind_that_matters() -> None:
    """An index that was read wrongly would make this file test nothing."""
    assert len(PAGES) >= 10
    assert len(RECORDS) >= 10


@pytest.mark.parametrize("name", PAGES)
def test_a_recorded_page_is_split_into_its_rows_digit_for_digit(name: str) -> None:
    """Every row, every number as BC wrote it, the next link as it is."""
    page = parse_page([body(name)])
    document = json.loads(body(name))
    assert page.broken == []
    assert [record.fields["id"] for record in page.records] == [row["id"] for row in document["value"]]
    assert page.next_link == document.get("@odata.nextLink", "")
    rows = json.dumps(document["value"])
    assert json.loads("[" + ",".join(record.raw for record in page.records) + "]") == json.loads(rows)
    assert [n for record in page.records for n in numbers(record.raw)] == _numbers_of_value(body(name))


def _numbers_of_value(content: bytes) -> list[str]:
    text = content.decode("utf-8-sig")
    document = json.loads(text, parse_float=_Literal, parse_int=_Literal)
    found: list[str] = []

    def walk(value: object) -> None:
        if isinstance(value, _Literal):
            found.append(str(value))
        for member in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            walk(member)

    walk(document["value"])
    return found


class _Literal(str):
    """A number as it was written."""

    __slots__ = ()


@pytest.mark.parametrize("name", RECORDS)
def test_a_recorded_record_is_forwarded_as_it_came(name: str) -> None:
    """Inside an event, with all its numbers and its own time."""
    record = records.parse_record(body(name))
    event = cloud_events.change_event(
        cloud_events.Origin("https://source", "https://schemas/"), ITEMS, "created", record
    )
    assert json.loads(event)["data"] == json.loads(body(name))
    assert numbers(event) == numbers(body(name).decode("utf-8-sig"))
    assert "\n" not in event
    assert parse_time(record.text("lastModifiedDateTime")) is not None


def test_a_page_with_another_behind_it_leads_there() -> None:
    """A real next link is followed; on another collection, company or host it would not be."""
    page = parse_page([body("customers-page-nextlink.json")])
    company = re.search(r"companies\(([0-9a-f-]{36})\)", page.next_link)
    assert company is not None
    home = page.next_link.partition("?")[0]
    assert odata.is_link_within(page.next_link, home)
    assert not odata.is_link_within(page.next_link, home.replace("customers", "items"))
    assert not odata.is_link_within(page.next_link, home.replace("api.businesscentral", "api.other"))


ERRORS: dict[str, tuple[int, type[BCError], str]] = {
    "error-400-duplicate-key.json": (400, BCRejected, "Internal_EntityWithSameKeyExists"),
    "error-400-filter-unknown-property.json": (400, BCRejected, "BadRequest"),
    "error-401-invalid-credentials.json": (401, BCDenied, "Authentication_InvalidCredentials"),
    "error-404-noenvironment.xml": (404, BCNotFound, "NoEnvironment"),
    "error-404-record-deleted.json": (404, BCNotFound, "BadRequest_ResourceNotFound"),
    "error-404-resource-not-found-segment.json": (404, BCNotFound, "BadRequest_ResourceNotFound"),
    "error-501-or-distinct-fields.json": (501, BCRejected, "BadRequest_MethodNotImplemented"),
    "doc-error-429.json": (429, BCThrottled, "Application_TooManyRequests"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_a_recorded_error_becomes_the_right_exception(name: str) -> None:
    """Class by status, BC's own code, and whether waiting helps."""
    status, kind, code = ERRORS[name]
    error = odata.error_from(status, {}, body(name))
    assert type(error) is kind
    assert error.code == code


@pytest.mark.parametrize("name", of_kind("^error-"))
def test_every_recorded_error_gives_up_its_words(name: str) -> None:
    """Code and message are read, and the correlation id is taken out of the message."""
    error = odata.error_from(400, {}, body(name))
    assert error.code
    assert error.message
    assert "CorrelationId" not in error.message
    if b"CorrelationId" in body(name):
        assert re.fullmatch(r"[0-9a-f-]{36}", error.correlation_id)


def test_a_recorded_answer_names_bcs_time_and_its_correlation_id() -> None:
    """The headers that were recorded are the ones that are read."""
    found = [capture["headers"] for capture in CAPTURES if "Date" in capture.get("headers", {})]
    assert found
    assert all(odata.parse_date(headers["Date"]) is not None for headers in found)


def readdressed(name: str) -> tuple[bytes, str, dict[str, Any]]:
    """A recorded notification with the clientState of our own URL for its company's items."""
    document = json.loads(body(name))
    entry = document["value"][0]
    company = re.search(r"companies\(([0-9a-f-]{36})\)", entry["resource"])
    assert company is not None
    path = subscription_path(SECRET, "c", Target(company[1], ITEMS))
    for each in document["value"]:
        each["clientState"] = client_state(SECRET, path)
    return json.dumps(document).encode(), path, entry


@pytest.mark.parametrize("name", ["notification-item-updated.json", "notification-item-updated-2022.json"])
def test_a_recorded_notification_is_understood(name: str) -> None:
    """Only its clientState was replaced by ours; as it was recorded it is somebody else's."""
    content, path, entry = readdressed(name)
    delivery = parse_delivery(
        content, path=path, secret=SECRET, state="c", api_url=API, entities=tuple(ENTITIES.values())
    )
    (change,) = delivery.changes
    assert (change.kind, change.at) == (entry["changeType"], entry["lastModifiedDateTime"])
    assert change.key in entry["resource"]
    foreign = parse_delivery(
        body(name), path=path, secret=SECRET, state="c", api_url=API, entities=tuple(ENTITIES.values())
    )
    assert (foreign.target, foreign.foreign) == (None, 1)


def test_the_documented_notification_is_sorted() -> None:
    """Of four entries about three entity sets, those of other URLs and unknown sets are dropped."""
    content, path, _ = readdressed("doc-notification-four-change-types.json")
    delivery = parse_delivery(
        content, path=path, secret=SECRET, state="c", api_url=API, entities=tuple(ENTITIES.values())
    )
    assert len(delivery.changes) == 1
    assert (delivery.foreign, delivery.unread) == (1, 2)


def test_a_recorded_subscription_is_recognised_and_renewed_in_time() -> None:
    """Its resource is in the form that is registered, its ETag is sent back, its term is three days."""
    row = json.loads(body("subscription-items-bc26.json"))
    made, expires_at = parse_time(row["lastModifiedDateTime"]), parse_time(row["expirationDateTime"])
    assert made is not None
    assert expires_at == made + LIFETIME
    company = re.search(r"companies\(([0-9a-f-]{36})\)", row["resource"])
    assert company is not None
    assert row["resource"] == ITEMS.resource(company[1])
    held = Subscription(
        subscription_id=row["subscriptionId"], url=row["notificationUrl"], resource=row["resource"],
        expires_at=expires_at, etag=row["@odata.etag"],
    )  # fmt: skip
    want = Wanted(
        company=company[1], entity="items", url=row["notificationUrl"], resource=ITEMS.resource(company[1]),
        client_state="s",
    )  # fmt: skip
    (step,) = plan([want], [held], own_prefix="https://test.url/test/", now=made + RENEW_AGE)
    assert step == Renew(want, held)


def test_recorded_documents_have_what_is_read_of_them() -> None:
    """Status and number of invoices, order numbers of shipments and invoices, ETags in nested rows."""
    invoice = records.parse_record(body("salesinvoice-row-posted-from-order.json"))
    assert invoice.text("status") in {"Open", "Paid", "Draft", "Canceled", "Corrective"}
    assert invoice.text("number")
    assert "orderNumber" in invoice.fields
    shipment = records.parse_record(body("salesshipment-row-with-customer-lines.json"))
    assert "orderNumber" in shipment.fields
    assert isinstance(shipment.fields[SALES_SHIPMENTS.expand], list)
    order = records.parse_record(body("salesorder-row-with-lines.json"))
    tags = re.findall(r'"@odata.etag"', order.raw)
    assert len(tags) == 1 + len(order.fields["salesOrderLines"])
    assert SALES_INVOICES.expand == "salesInvoiceLines"


def test_recorded_decimals_survive_a_round_trip_through_our_own_json() -> None:
    """What an order message may carry: read with decimals exact, written digit for digit."""
    for name in RECORDS:
        again = exact_json.dumps(exact_json.loads(body(name)))
        assert [Decimal(n) for n in numbers(again)] == [Decimal(n) for n in numbers(body(name).decode("utf-8-sig"))]
        assert [n for n in numbers(again) if "." in n] == [
            n for n in numbers(body(name).decode("utf-8-sig")) if "." in n
        ]


def test_every_watched_entity_has_a_capture() -> None:
    """Each of the entities of the table was seen for real, or in the documentation."""
    names = " ".join(str(capture["file"]).lower() for capture in CAPTURES)
    assert all(entity.event.lower() in names for entity in ENTITIES.values())
