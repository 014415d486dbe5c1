"""Events in requests: their texts unchanged, their order kept, within each receiver's limits; as Microsoft's SDK."""

import json
from typing import Any, Final

import pytest

from shared.errors import InvalidMessage
from shared.forwarding.event_requests import (
    MOST_BYTES,
    MOST_EVENTS,
    Part,
    events_in,
    parts,
    subject_of,
    to_request,
)
from shared.forwarding.event_targets import TargetKind, read_target

GRID, BUS, HOOK = TargetKind.EVENT_GRID, TargetKind.SERVICE_BUS, TargetKind.WEBHOOK
CONTENT_TYPES: Final = {
    GRID: "application/cloudevents-batch+json; charset=utf-8",
    BUS: "application/vnd.microsoft.servicebus.json",
    HOOK: "application/cloudevents+json; charset=utf-8",
}


def event(number: int, subject: str = "", *, data: str = '{"unitPrice":129.50}', **more: str) -> str:
    """An event as it is announced."""
    members = "".join(f'"{name}":{json.dumps(value)},' for name, value in more.items())
    return (
        f'{{"specversion":"1.0","id":"{number:032x}","source":"urn:bc:tenant:environment","type":"bc.item.created.v1",'
        f'"subject":"{subject or f"items({number})"}",{members}"datacontenttype":"application/json","data":{data}}}'
    )


#: What EventGridPublisherClient.send of azure-eventgrid 4.22.1 (azure-core 1.41.0) sent on 27 November 2026 for a topic
#: and for a topic of a namespace, given RECORDED_EVENTS as CloudEvent.from_dict and a credential; recorded in place of
#: `RequestsTransport.send`, client ids and User-Agent left out. The body is the same but for the order of members.
RECORDED_EVENTS: Final = [
    {"specversion": "1.0", "id": "0f3c5ab0e1d24cb7a5a0a7c8a7d0b1c2", "source": "urn:bc:tenant:environment",
     "type": "bc.item.created.v1", "subject": "items(1)", "time": "2026-09-01T10:11:12.123Z",
     "datacontenttype": "application/json", "data": {"id": "1", "displayName": "Straße €", "unitPrice": 129.50}},
    {"specversion": "1.0", "id": "1f3c5ab0e1d24cb7a5a0a7c8a7d0b1c2", "source": "urn:bc:tenant:environment",
     "type": "bc.item.created.v1", "subject": "items(2)", "datacontenttype": "application/json",
     "bcconnection": "default", "data": {"id": "2"}},
]  # fmt: skip
RECORDED_SCOPE: Final = "https://eventgrid.azure.net/.default"
RECORDED_TYPE: Final = "application/cloudevents-batch+json; charset=utf-8"
RECORDED_BODY: Final = (
    '[{"id": "0f3c5ab0e1d24cb7a5a0a7c8a7d0b1c2", "source": "urn:bc:tenant:environment", "data": {"id": "1", '
    '"displayName": "Stra\\u00dfe \\u20ac", '
    '"unitPrice": 129.5}, "type": "bc.item.created.v1", "time": "2026-09-01T10:11:12.123Z", '
    '"specversion": "1.0", "datacontenttype": "application/json", "subject": "items(1)"}, {"bcconnection": "default", '
    '"id": "1f3c5ab0e1d24cb7a5a0a7c8a7d0b1c2", "source": "urn:bc:tenant:environment", "data": {"id": "2"}, "type": '
    '"bc.item.created.v1", "specversion": "1.0", "datacontenttype": "application/json", "subject": "items(2)"}]'
)
RECORDED_URLS: Final = {
    "https://orders.westeurope-1.eventgrid.azure.net/api/events":
        "https://orders.westeurope-1.eventgrid.azure.net/api/events?api-version=2018-01-01",
    "https://contoso.westeurope-1.eventgrid.azure.net/topics/orders":
        "https://contoso.westeurope-1.eventgrid.azure.net/topics/orders:publish?api-version=2024-06-01",
}  # fmt: skip


def test_event_grid_gets_what_microsofts_sdk_sends() -> None:
    """Address, content type, scope of the token and every member of the body."""
    (part,) = parts(GRID, [json.dumps(each, ensure_ascii=False) for each in RECORDED_EVENTS])
    request = to_request(GRID, part)
    assert request.content_type == RECORDED_TYPE
    assert json.loads(request.body) == json.loads(RECORDED_BODY)
    for address, url in RECORDED_URLS.items():
        target = read_target(address)
        assert target is not None
        assert (target.url, target.scope) == (url, RECORDED_SCOPE)


def test_numbers_and_letters_leave_as_they_came() -> None:
    """No decimal is rounded on its way, as an SDK that parses would round it."""
    text = event(1, data='{"amount":12345678901234567890.1234500,"name":"Straße €"}')
    assert events_in(f" [ {text} ,\n{text}]\n") == (text, text)
    for kind in (GRID, HOOK):
        assert text.encode() in to_request(kind, Part(0, (text,))).body
    (message,) = json.loads(to_request(BUS, Part(0, (text,))).body)
    assert message["Body"] == text


@pytest.mark.parametrize("message", ["", "{}", "[", "[1]", '["a"]', "null", "[{}", "[{} x]", '{"a":[]}', "[" * 100_000])
def test_what_is_no_array_of_objects_is_refused(message: str) -> None:
    """It becomes a dead letter with that reason."""
    with pytest.raises(InvalidMessage, match="JSON array of CloudEvents"):
        events_in(message)


def test_an_empty_array_holds_no_events() -> None:
    assert events_in("[]") == ()


@pytest.mark.parametrize("kind", TargetKind)
def test_every_event_goes_once_and_in_its_order(kind: TargetKind) -> None:
    """Parts follow each other without gap or overlap, from whatever event they begin at."""
    texts = [event(number, f"items({number // 3})") for number in range(2500)]
    found = list(parts(kind, texts[500:], 500))
    assert [text for part in found for text in part.texts] == texts[500:]
    assert [part.first for part in found] == [500, *(part.end for part in found[:-1])]
    for part in found:
        request = to_request(kind, part)
        assert request.content_type == CONTENT_TYPES[kind]
        assert len(part.texts) <= MOST_EVENTS[kind]
        assert len(request.body) <= MOST_BYTES[kind] or len(part.texts) == 1


@pytest.mark.parametrize(("kind", "most"), [(GRID, 1_000_000), (BUS, 256 * 1024)])
def test_large_events_stay_within_a_request_or_go_alone(kind: TargetKind, most: int) -> None:
    """Quotes and letters that grow on their way are counted."""
    texts = [event(number, "items(1)", data=json.dumps({"text": '"ä' * size}, ensure_ascii=False))
             for number, size in enumerate([10_000, 30_000, 60_000, 600_000, 5, 30_000, 30_000])]  # fmt: skip
    found = list(parts(kind, texts))
    assert [text for part in found for text in part.texts] == texts
    assert all(len(to_request(kind, part).body) <= most or len(part.texts) == 1 for part in found)
    assert any(len(to_request(kind, part).body) > most for part in found)  # the receiver judges it


def test_a_service_bus_batch_holds_one_session_and_tells_messages_apart() -> None:
    """MessageId, SessionId, Label and properties as the REST interface names them."""
    texts = [event(1, "items(1)"), event(2, "items(1)"), event(3, "items(2)", bcconnection="eu"), event(4, "items(1)")]
    found = list(parts(BUS, texts))
    assert [len(part.texts) for part in found] == [2, 1, 1]
    messages: list[dict[str, Any]] = [each for part in found for each in json.loads(to_request(BUS, part).body)]
    assert [each["BrokerProperties"] for each in messages] == [
        {"MessageId": f"{number:032x}", "Label": "bc.item.created.v1", "SessionId": subject_of(text)}
        for number, text in zip((1, 2, 3, 4), texts, strict=True)
    ]
    assert messages[2]["UserProperties"] == {
        "specversion": "1.0", "source": "urn:bc:tenant:environment", "bcconnection": "eu",
    }  # fmt: skip
    assert all(to_request(BUS, part).body.isascii() for part in found)


def test_a_receiver_takes_so_many_events_at_once() -> None:
    """A thousand, a hundred, one; counted from the first of the message unless another is named."""
    texts = [event(1)] * 1001
    assert [(part.first, part.end) for part in parts(GRID, texts)] == [(0, 1000), (1000, 1001)]
    assert [(part.first, part.end) for part in parts(BUS, texts[:101])] == [(0, 100), (100, 101)]
    assert [(part.first, part.end) for part in parts(HOOK, texts[:2])] == [(0, 1), (1, 2)]


def sized(size: int) -> str:
    """An event of so many bytes."""
    return event(1, data=f'"{"x" * (size - len(event(1, data=chr(34) * 2)))}"')


@pytest.mark.parametrize(
    ("kind", "least"), [(GRID, (1_000_000 - 3) // 2), (BUS, 120_000 - 1024 - len(json.dumps(sized(1000))) + 1000)]
)
def test_a_request_is_full_at_its_bytes(kind: TargetKind, least: int) -> None:
    """An event counts with its comma, for Service Bus as a text in JSON with what stands beside it; each part anew."""
    fits, larger = sized(least), sized(least + 2)
    assert kind is not GRID or len(to_request(kind, Part(0, (fits, fits))).body) == 999_999
    assert [len(part.texts) for part in parts(kind, [fits] * 4)] == [2, 2]
    assert [len(part.texts) for part in parts(kind, [fits, larger, fits])] == [1, 1, 1]
    assert [len(part.texts) for part in parts(kind, [fits, fits, fits, larger])] == [2, 1, 1]


def test_what_stands_beside_the_body_of_a_broker_message_is_counted() -> None:
    """A hundred events of two KB whose ids, names and sources are long are more than one request."""
    texts = [event(1, "s" * 128, source="s" * 400, type="t" * 300, data=f'"{"x" * 1000}"')] * 100
    found = list(parts(BUS, texts))
    assert sum(len(to_request(BUS, part).body) for part in found) > MOST_BYTES[BUS]
    assert all(len(to_request(BUS, part).body) <= MOST_BYTES[BUS] for part in found)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"subject":' + "[" * 100_000])
def test_what_is_no_object_has_no_subject_and_is_not_sent(text: str) -> None:
    """Whoever wrote it; it becomes a dead letter."""
    assert subject_of(text) == ""
    for kind in (BUS, HOOK):
        with pytest.raises(InvalidMessage, match="must be a JSON object"):
            to_request(kind, Part(0, (text,)))


@pytest.mark.parametrize("value", ['""', "5", "null"])
def test_an_id_is_a_text(value: str) -> None:
    """Nothing else tells one event from another."""
    with pytest.raises(InvalidMessage, match="must have the text id"):
        to_request(HOOK, Part(0, (f'{{"id":{value}}}',)))


def test_a_subject_of_128_characters_is_a_session_as_it_is() -> None:
    """A longer one keeps its beginning and fills the rest with its digest."""

    def session_of(subject: str) -> str:
        (message,) = json.loads(to_request(BUS, Part(0, (event(1, subject),))).body)
        return str(message["BrokerProperties"]["SessionId"])

    assert session_of("x" * 128) == "x" * 128
    assert session_of("x" * 129).startswith("x" * 63 + ".")
    assert len(session_of("x" * 129)) == 128


def test_a_subject_that_is_too_long_for_a_session_keeps_its_own() -> None:
    """128 characters; a digest tells long ones apart."""
    long = "x" * 300
    sessions = {
        json.loads(to_request(BUS, Part(0, (event(1, subject),))).body)[0]["BrokerProperties"]["SessionId"]
        for subject in (f"{long}1", f"{long}2", f"{long}2")
    }
    assert len(sessions) == 2
    assert all(len(session) <= 128 for session in sessions)


def test_an_endpoint_gets_one_event_under_its_own_id() -> None:
    """The receiver's idempotency key is the event's."""
    requests = [to_request(HOOK, part) for part in parts(HOOK, [event(1), event(2)])]
    assert [request.webhook_id for request in requests] == [f"{1:032x}", f"{2:032x}"]


@pytest.mark.parametrize("kind", [BUS, HOOK])
def test_an_event_without_an_id_can_not_be_told_apart(kind: TargetKind) -> None:
    """Ours all have one."""
    with pytest.raises(InvalidMessage, match="id"):
        to_request(kind, Part(0, ('{"specversion":"1.0","type":"x","source":"y"}',)))


def test_halves_are_the_whole() -> None:
    whole = Part(7, tuple("abcde"))
    first, second = whole.halves()
    assert (first.first, first.end, second.first, second.end) == (7, 9, 9, 12)
    assert first.texts + second.texts == whole.texts
