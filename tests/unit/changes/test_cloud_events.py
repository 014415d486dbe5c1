"""CloudEvents: ids that depend on what happened and nothing else, and batches that always fit a queue message."""

import json
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.business_central import records
from shared.business_central.entities import ITEMS, SALES_INVOICES, Entity
from shared.changes import cloud_events

AT = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
URL = "https://store.blob.core.windows.net/bc-data/x.ndjson"
SOURCE = "https://api.example/v2.0/t/p/api/v2.0/companies(1)"
SCHEMAS = "https://app.example/api/schema?data="
ORIGIN = cloud_events.Origin(SOURCE, SCHEMAS, SOURCE, "eu")
ID = "7b1c4a52-91d3-f011-8d4c-6045bd1a2c10"


def record(tag: str = "a", price: str = "129.50", name: str = "Parka") -> records.Record:
    """An item."""
    head = f'{{"@odata.etag":"{tag}","id":"{ID}","displayName":{json.dumps(name)}'
    return records.parse_record(
        f'{head},"unitPrice":{price},"lastModifiedDateTime":"2026-02-11T09:14:27.53Z"}}'.encode()
    )


def test_an_event_is_a_cloud_event_with_the_record_inside() -> None:
    """All attributes of design.md section 4, and the record as BC sent it."""
    event = json.loads(cloud_events.change_event(ORIGIN, ITEMS, "created", record()), parse_float=Decimal)
    assert event.pop("data") == json.loads(record().raw, parse_float=Decimal)
    assert len(event.pop("id")) == 32
    assert event == {
        "specversion": "1.0", "source": SOURCE, "type": "bc.item.created.v1", "bcconnection": "eu",
        "subject": f"items({ID})", "dataschema": f"{SCHEMAS}bc.item.created.v1",
        "time": "2026-02-11T09:14:27.53Z", "datacontenttype": "application/json",
    }  # fmt: skip


def test_numbers_leave_digit_for_digit() -> None:
    """The record's own text is embedded; nothing is decoded and encoded again."""
    price = "1234567890.123456789012345600"
    assert f'"unitPrice":{price}' in cloud_events.change_event(ORIGIN, ITEMS, "created", record(price=price))


def event_id(change: str, source: str = SOURCE, entity: Entity = ITEMS, tag: str = "a") -> str:
    """The id of an event."""
    origin = cloud_events.Origin(source, SCHEMAS)
    return str(json.loads(cloud_events.change_event(origin, entity, change, record(tag)))["id"])


@pytest.mark.parametrize("change", ["created", "posted"])
def test_what_happens_once_has_one_id_for_ever(change: str) -> None:
    """A record is created and posted once: later versions of it make no other id (P5)."""
    assert event_id(change, tag="a") == event_id(change, tag="b")


@pytest.mark.parametrize("change", ["pulled", "updated"])
def test_what_happens_to_each_version_has_an_id_per_version(change: str) -> None:
    """Another version is another event; the same version is the same one."""
    assert event_id(change, tag="a") == event_id(change, tag="a")
    assert event_id(change, tag="a") != event_id(change, tag="b")


def test_different_things_have_different_ids() -> None:
    """Change, entity and company are part of the id."""
    changes = ("pulled", "created", "posted", "updated")
    ids = {event_id(c, s, e) for c in changes for s in (SOURCE, SOURCE + "x") for e in (ITEMS, SALES_INVOICES)}
    assert len(ids) == 16


@pytest.mark.parametrize(("change", "version"), [("created", ""), ("posted", ""), ("pulled", "v"), ("updated", "v")])
def test_the_id_of_an_event_is_known_before_it_is_made(change: str, version: str) -> None:
    """By it a sent event is found again."""
    made = json.loads(cloud_events.change_event(ORIGIN, ITEMS, change, record(), version))
    assert cloud_events.event_id(SOURCE, ITEMS, change, ID, version) == made["id"]


def test_ids_outlive_a_new_name_of_the_environment() -> None:
    """They go by the URL of the connection's first day, those of claim checks too; without one by the URL it has."""
    first, renamed = replace(ORIGIN, source="first", seed=""), replace(ORIGIN, source="renamed", seed="first")
    blob = cloud_events.Blob(b"", 1, "d")

    def ids_of(origin: cloud_events.Origin) -> list[str]:
        check = json.loads(cloud_events.claim_check(origin, "job", blob, URL, now=AT))[0]
        return [check["id"], json.loads(cloud_events.change_event(origin, ITEMS, "created", record()))["id"]]

    assert ids_of(first) == ids_of(renamed)
    other = ids_of(replace(first, source="other"))
    assert [one for one, same in zip(ids_of(first), other, strict=True) if one == same] == []


def test_a_deleted_record_leaves_its_id_only() -> None:
    """All that BC tells of a deleted record is its id and a time."""
    event = json.loads(cloud_events.deleted_event(ORIGIN, ITEMS, ID, "2026-02-11T09:14:55.4Z"))
    assert event["type"] == "bc.item.deleted.v1"
    assert event["data"] == {"id": ID}
    again = json.loads(cloud_events.deleted_event(ORIGIN, ITEMS, ID, "2026-02-12T00:00:00Z"))
    assert again["id"] == event["id"]


def test_no_events_make_no_message() -> None:
    """Nothing is sent to say that nothing happened."""
    assert cloud_events.pack([]) is None


names = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6000), min_size=1, max_size=40)


def test_a_queue_message_holds_that_many_bytes_of_a_batch() -> None:
    """64 KiB of base64, and not a byte is given away."""
    assert len(b64encode(bytes(cloud_events.MESSAGE_BYTES))) == 64 * 1024


@given(names)
@example(["x" * 6000] * 9)
def test_a_batch_fits_the_queue_and_loses_nothing(texts: list[str]) -> None:
    """Inline or by claim check: at most 48 KiB before base64, every event once and in order, count and sum right."""
    announced = [
        cloud_events.change_event(ORIGIN, ITEMS, "pulled", record(str(n), name=text)) for n, text in enumerate(texts)
    ]
    batch = cloud_events.pack(announced)
    assert batch is not None
    if batch.blob is None:
        assert len(batch.message.encode()) <= cloud_events.MESSAGE_BYTES
        assert json.loads(batch.message) == [json.loads(event) for event in announced]
        return
    (reference,) = json.loads(cloud_events.claim_check(ORIGIN, "run-00-000001", batch.blob, URL, now=AT))
    assert batch.blob.data.decode().split("\n") == [*announced, ""]
    assert len(reference.pop("id")) == 32
    digest = sha256(batch.blob.data).hexdigest()
    assert batch.blob.name == f"{digest}.ndjson"
    assert reference == {
        "specversion": "1.0", "source": SOURCE, "type": "bc.batch.v1", "bcconnection": "eu", "subject": "run-00-000001",
        "dataschema": f"{SCHEMAS}bc.batch.v1",
        "time": "2026-03-04T12:00:00Z", "datacontenttype": "application/x-ndjson", "dataref": URL,
        "count": len(announced), "checksum": f"sha256:{digest}",
    }  # fmt: skip


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_the_edge_of_a_queue_message_is_exact(over: int) -> None:
    """48 KiB go inline, one byte more goes to the blob; bytes count, not characters."""
    empty = len(cloud_events.change_event(ORIGIN, ITEMS, "pulled", record(name=""))) + 2
    text = "x" * (cloud_events.MESSAGE_BYTES - empty + over)
    batch = cloud_events.pack([cloud_events.change_event(ORIGIN, ITEMS, "pulled", record(name=text))])
    assert batch is not None
    assert (batch.blob is not None) == (over > 0)
    raw = replace(record(), raw=record().raw.replace("Parka", "é" * (cloud_events.MESSAGE_BYTES // 2)))
    wide = cloud_events.pack([cloud_events.change_event(ORIGIN, ITEMS, "pulled", raw)])
    assert wide is not None
    assert wide.blob is not None


def test_a_repeated_job_refers_to_the_same_blob_under_the_same_id() -> None:
    """Also hours later; with other content it refers to another blob, and the first stays as it was (P27)."""
    announced = [cloud_events.change_event(ORIGIN, ITEMS, "pulled", record(name=name * 60_000)) for name in "xy"]
    first, again, other = (cloud_events.pack([announced[n]]) for n in (0, 0, 1))
    assert first and again and other and first.blob and again.blob and other.blob  # noqa: PT018
    assert (first, other.blob.name == first.blob.name) == (again, False)
    ids = [
        json.loads(cloud_events.claim_check(ORIGIN, "job", blob, URL, now=at))[0]["id"]
        for blob, at in ((first.blob, AT), (again.blob, AT.replace(hour=15)), (other.blob, AT))
    ]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize("at", ["", "0001-01-01T00:00:00Z", "yesterday"])
def test_a_record_without_a_time_makes_an_event_without_one(at: str) -> None:
    """`time` is optional in CloudEvents, and where it stands it must be RFC 3339."""
    fields = json.dumps({"id": ID, "lastModifiedDateTime": at})
    made = records.parse_record(fields.encode())
    assert "time" not in json.loads(cloud_events.change_event(ORIGIN, ITEMS, "created", made))
    assert "time" not in json.loads(cloud_events.deleted_event(ORIGIN, ITEMS, ID, at))
