"""What release 0.1.0 wrote is read with the meaning it had: rows in every state, messages of every kind (P20).

`expected.json` holds the meaning of every recorded row and message; the tests below it say the most important of it in
their own words. A later release that reads something otherwise changes the expectation and says why in its commit.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.compat import reading

HERE = Path(__file__).parent / "0.1.0"
SCENES = sorted(path.stem for path in (HERE / "rows").glob("*.json"))
READERS = {
    "bc-pages": reading.page_meaning,
    "bc-notifications": reading.notification_meaning,
    "sales-orders": reading.order_message_meaning,
}


def recorded(name: str) -> Any:
    """A recorded file."""
    return json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))


def plain(said: object) -> Any:
    """A meaning as it looks in a file."""
    return json.loads(json.dumps(said))


EXPECTED = recorded("expected")
MESSAGES = {queue: recorded(f"messages/{queue}") for queue in READERS}
EVENTS = {kind: json.loads(text) for kind, text in recorded("messages/bc-events").items()}
NEWS = [event for kind, batch in EVENTS.items() if kind != "claim check" for event in batch]


def test_every_file_has_its_expectation() -> None:
    """No scene and no message is left out, and none is expected that was not recorded."""
    assert sorted(EXPECTED["rows"]) == SCENES
    assert {queue: sorted(kinds) for queue, kinds in EXPECTED["messages"].items()} == {
        queue: sorted(kinds) for queue, kinds in MESSAGES.items()
    }
    tables = {table for scene in SCENES for table in recorded(f"rows/{scene}")["tables"]}
    assert tables == {"BcWatermarks", "BcRecords", "BcOrders", "BcSubscriptions", "BcConnections"}


@pytest.mark.parametrize("scene", SCENES)
def test_rows_mean_what_they_meant(scene: str) -> None:
    """Orders, streams, runs, records, set-aside messages, webhooks, login and slots."""
    assert plain(reading.meaning(recorded(f"rows/{scene}"))) == EXPECTED["rows"][scene]


@pytest.mark.parametrize(("queue", "kind"), [(queue, kind) for queue, kinds in MESSAGES.items() for kind in kinds])
def test_messages_mean_what_they_meant(queue: str, kind: str) -> None:
    """Each asks for the same page, the same records, the same order as on the day it was written."""
    assert plain(READERS[queue](MESSAGES[queue][kind])) == EXPECTED["messages"][queue][kind]


def test_orders_stand_where_they_stood() -> None:
    """In every status: nothing done is forgotten, nothing in doubt is taken for certain (P8, P9)."""
    scene = recorded("rows/orders")
    said = reading.order_meaning(reading.load(scene))
    company = scene["ids"]["company"]
    found = {
        name.removesuffix(f" in {company}"): (
            one["status"], one["number"], one["posts sent"], one["may be in Business Central"]
        )
        for name, one in said["orders"].items()
    }  # fmt: skip
    assert found == {
        "CREATED-1": ("created", "101002", 1, False),
        "SHARED-A": ("created", "101003", 1, False),
        "SHARED-B": ("created", "101004", 1, False),
        "STRASSE/1 Ü": ("created", "101006", 1, False),
        "鍵" * 80: ("created", "101007", 1, False),
        "BARE-1": ("created", "101008", 1, False),
        "0F8FAD5B-D9CB-469F-A165-70867728950E": ("created", "101009", 1, False),
        "FOUND-1": ("created", "101010", 1, False),
        "MESSAGE-00000322": ("created", "101011", 1, False),
        "REJECTED-1": ("rejected", "", 1, False),
        "REFUSED-1 in no company": ("rejected", "", 0, False),
        "REFUSED-2 in no company": ("rejected", "", 0, False),
        "MESSAGE-00000315 in no company": ("rejected", "", 0, False),
        "PARKED-1": ("parked", "", 145, False),
        "DOUBT-1": ("parked", "", 1, True),
        "WAITING-HOUR": ("waiting", "", 1, False),
        "WAITING-1": ("waiting", "", 1, False),
        "MESSAGE-00000328": ("waiting", "", 1, False),
        "LOOKUP-1": ("waiting", "", 0, False),
        "UNKNOWN-1": ("waiting", "", 1, True),
        "SHARED-C": ("waiting", "", 1, True),
        "UNPLACED-1 in no company": ("waiting", "", 0, False),
        "POSTING-1": ("posting", "", 1, True),
        "POSTING-2": ("posting", "", 1, True),
    }
    assert said["orders"][f"SHARED-C in {company}"]["numbers of others"] == ["101003", "101004"]
    assert not [name for name, one in said["orders"].items() if one["its message is this order"] is False]


def test_waiting_orders_are_put_back_to_work() -> None:
    """All that are due, those without a company too, and once."""
    scene = recorded("rows/orders")
    company = scene["ids"]["company"]
    due = [(key, company) for key in ("UNKNOWN-1", "WAITING-1", "MESSAGE-00000328", "SHARED-C", "LOOKUP-1")]
    assert reading.messages_put_back(reading.load(scene)) == [[*one] for one in (*due, ("UNPLACED-1", ""))]
    assert reading.messages_put_back(reading.load(recorded("rows/orders_put_back"))) == []


@pytest.mark.parametrize("key", ["PARKED-1", "DOUBT-1", "REJECTED-1", "REFUSED-1"])
def test_a_stopped_order_can_be_put_back_by_hand(key: str) -> None:
    """A person may decide after the deploy what failed before it (P9)."""
    assert [one[0] for one in reading.redriven_order(reading.load(recorded("rows/orders")), key)] == [key]


def test_a_late_copy_of_an_order_gets_the_result_it_had() -> None:
    """The message of an order that 0.1.0 created, delivered once more: no second order, and the same result (P8)."""
    scene = recorded("rows/orders")
    (row,) = [row for row in scene["tables"]["BcOrders"] if row["values"].get("key") == "BARE-1"]
    message = MESSAGES["sales-orders"]["bare order"]
    (result,) = reading.result_of_a_late_copy(reading.load(scene), message)
    told = json.loads(recorded("messages/sales-order-results")["created"])
    assert set(result) == {*told, "connection"}
    assert (result["orderKey"], result["status"]) == ("BARE-1", "created")
    assert (result["number"], result["id"]) == ("101008", row["values"]["order_id"])


def test_a_page_on_the_queue_goes_on_and_its_copy_does_nothing() -> None:
    """The run under way at the deploy is finished by its own message (P4, P5)."""
    said = reading.flight_meaning(reading.load(recorded("rows/first_pull")))
    assert [(one["its own message"], one["a copy"]) for one in said.values()] == [("GO", "COPY"), ("GO", "not asked")]


def test_known_records_are_no_news() -> None:
    """What 0.1.0 told, or found there before it watched, no other job tells (P4); an unposted draft may be posted."""
    said = reading.record_meaning(reading.load(recorded("rows/watched")))
    for entity in ("items", "salesShipments", "salesInvoices"):
        news = said[entity]["told by another job"]
        assert news
        assert not [name for name, by in news.items() if any("created" in told for told in by.values())]
    invoices = said["salesInvoices"]["told by another job"]
    assert [name for name, by in invoices.items() if "posted" in by["Paid, changed long ago"]] == ["invoice_created"]


def test_a_version_that_was_told_is_no_news() -> None:
    """The newest version of each record that 0.1.0 told as updated is known; any other version would be news (P4)."""
    held = reading.load(recorded("rows/watched"))
    events = [event for event in NEWS if event["type"] == "bc.salesShipment.updated.v1"]
    assert events
    for event in events:
        assert reading.is_known_version(held, event)
        other = {**event, "data": {**event["data"], "@odata.etag": 'W/"another"'}}
        assert not reading.is_known_version(held, other)


@pytest.mark.parametrize("event", NEWS, ids=[event["id"] for event in NEWS])
def test_events_bear_the_ids_they_had(event: dict[str, Any]) -> None:
    """The same news told by the new release has the old id, so that consumers drop what they have (P5)."""
    again = reading.event_again(event)
    names = ("id", "source", "type", "subject", "time", "specversion", "datacontenttype")
    changes = event["type"].split(".")[2]
    kept = names if changes not in {"pulled", "updated"} or "@odata.etag" in event["data"] else names[1:]
    assert {name: again[name] for name in kept} == {name: event[name] for name in kept}


def test_a_claim_check_keeps_its_form() -> None:
    """What consumers follow: the blob's place, the number of events and the sum over them."""
    (check,) = EVENTS["claim check"]
    assert check["type"] == "bc.batch.v1"
    assert check["dataref"] == f"bc-data/{check['subject']}.ndjson"
    assert check["count"] > 0
    assert check["checksum"].startswith("sha256:")


def test_webhooks_keep_their_urls() -> None:
    """Subscriptions that 0.1.0 registered are recognised, and calls to them pass, after the deploy (P7)."""
    held = recorded("subscriptions")
    assert held["held"]
    for one in held["held"]:
        path, state = reading.subscription_again(
            held["bc-webhook-secret"], held["connection"], one["company"], one["entity"]
        )
        assert one["url"] == f"{held['public_url']}/api/bc/notifications/{path}"
        assert one["client_state"] == state


def test_the_login_survives() -> None:
    """Nobody signs in anew: the cache says who it is, and its access token is used while it lives (P2)."""
    secret = recorded("secrets")
    said = reading.token_meaning(secret["bc-token-cache"], secret["client_id"])
    assert said == EXPECTED["login"]
    assert (said["user"], said["access token"]) == (secret["user"], "a-fake-access-token")
