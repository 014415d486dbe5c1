"""Each parser of what others wrote, as one property of bytes: it returns or raises its own errors, and nothing else.

The same functions serve Hypothesis in the suite (`test_targets`) and the coverage-guided fuzzer (`make fuzz`).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

import requests

from shared.business_central.entities import ENTITIES, ITEMS
from shared.business_central.metadata import from_json, read_metadata, to_json
from shared.business_central.odata import error_from, is_link_within, parse_date, parse_retry_after
from shared.business_central.page_parser import Page, parse_page
from shared.changes.jobs import NotificationJob
from shared.connections.entity_entries import read_entries
from shared.errors import BCError, InvalidMessage
from shared.forwarding import event_sender
from shared.message_text import decode
from shared.operations.connect_values import Request
from shared.operations.page_session import is_form_token, is_session, is_shaped, read_cookie, state_key
from shared.operations.sign_in_answer import sign_in_answer
from shared.orders import order_message
from shared.orders.order_fields import EXTERNAL_LENGTH
from shared.webhooks.delivery import Target as Watched
from shared.webhooks.delivery import client_state, parse_delivery, plan_jobs, subscription_path

type Property = Callable[[bytes], None]

_NOW: Final = datetime(2026, 3, 4, 12, tzinfo=UTC)
_COMPANY: Final = "262f81f2-9490-516c-9c50-9fd2565a0489"
_ORIGIN: Final = "https://api.businesscentral.dynamics.com"
_API: Final = f"{_ORIGIN}/v2.0"
_HOME: Final = f"{_API}/contoso.com/production/api/v2.0/companies({_COMPANY})/items"
_SECRET: Final = b"a webhook secret"
_WATCHED: Final = Watched(_COMPANY, ITEMS)
_PATH: Final = subscription_path(_SECRET, "state", _WATCHED)
#: Stands in a fuzzed notification for the clientState, which nobody can guess.
_STATE: Final = b"CLIENT_STATE"


def notification(data: bytes) -> None:
    """A delivery of webhooks is sorted, whatever it holds: an entry counts once at most, a job fits a queue."""
    body = data.replace(_STATE, client_state(_SECRET, _PATH).encode())
    delivery = parse_delivery(
        body,
        path=_PATH,
        secret=_SECRET,
        state="state",
        api_url=_API,
        entities=tuple(ENTITIES.values()),
        connection="default",
    )
    assert len(delivery.changes) + delivery.foreign + delivery.unread <= max(1, len(body) // 2)
    assert delivery.target is None or delivery.target == _WATCHED
    names = iter(range(10**6))
    for job in plan_jobs(delivery, lambda: f"job-{next(names)}"):
        text = job.to_text()
        assert NotificationJob.from_text(text) == job
        assert len(text) < 48 * 1024  # of the 64 KiB of a message, in base64


def order(data: bytes) -> None:
    """A message of `sales-orders` is an order or an `InvalidMessage`, and what BC gets is JSON with a number."""
    try:
        text = decode(data)
    except InvalidMessage:
        return
    assert len(order_message.connection_of(text)) <= len(text)
    assert order_message.sent_key_of(text, "message-1")
    for is_checked in (False, True):  # True: another release took it for an order
        try:
            request = order_message.parse_message(text, message_id="message-1", is_checked=is_checked)
        except InvalidMessage:
            continue
        assert isinstance(json.loads(request.body), dict)
        request.body.encode()
        if not is_checked:
            assert 0 < len(request.external_number) <= EXTERNAL_LENGTH
            assert request.key == request.key.strip() != ""


def page(data: bytes) -> None:
    """An answer is split into records, or refused, the same way whole and in chunks of any size."""
    whole = _page([data])
    size = 1 + len(data) % 7
    parts = _page([data[place : place + size] for place in range(0, len(data), size)])
    assert whole == parts
    if whole is not None:
        assert all(json.loads(record.raw, parse_int=str)["id"].lower() == record.key for record in whole.records)
        assert sum(len(record.raw) for record in whole.records) <= 4 * len(data)


def _page(chunks: list[bytes]) -> Page | None:
    try:
        return parse_page(chunks)
    except (ValueError, RecursionError):  # both are waited for where it is called
        return None


def odata_error(data: bytes) -> None:
    """An answer of 300 or more is an error of ours, of bounded size, whatever a gateway wrote."""
    head, _, body = data.partition(b"\n")
    status = 300 + int.from_bytes(head[:2]) % 300
    headers = {"Retry-After": head.decode("latin-1"), "ms-correlation-x": head.decode("latin-1")}
    error = error_from(status, headers, body)
    assert isinstance(error, BCError)
    assert len(error.message) <= 600
    assert len(error.code) <= 200
    assert error.status == status


def next_link(data: bytes) -> None:
    """A link that is followed leads the HTTP client to the origin that may have the token, to the collection."""
    link = data.decode("utf-8", "surrogateescape")
    if not is_link_within(link, _HOME):
        return
    try:
        sent = requests.Request("GET", link).prepare().url
    except (requests.RequestException, UnicodeError):
        return  # never leaves
    parts = urlsplit(str(sent))
    assert (parts.scheme, parts.hostname, parts.port or 443) == ("https", "api.businesscentral.dynamics.com", 443)
    assert parts.username is None
    assert parts.path.lower().count("/companies(") + parts.path.lower().count("/companies%28") == 1


def wait_headers(data: bytes) -> None:
    """`Retry-After` and `Date` give a time or nothing."""
    text = data.decode("latin-1")
    seconds = parse_retry_after(text)
    assert seconds is None or 0 <= seconds <= 3600
    date = parse_date(text)
    assert date is None or date.tzinfo is UTC
    pause = event_sender._pause_s(text, _NOW)
    assert pause is None or timedelta(seconds=pause) >= timedelta(0)


def connect_form(data: bytes) -> None:
    """What a browser, or anybody, sends to the connect page is a form, a session and an answer, or none."""
    text = data.decode("latin-1")
    form = Request(method="POST", body=data).form()
    assert form is None or all(isinstance(value, str) for value in form.values())
    session = read_cookie(text)
    assert ";" not in session
    assert not is_session(text, b"key", now=_NOW)
    assert not is_session(session, b"key", now=_NOW)
    assert not is_form_token(text, session, b"key")
    assert is_shaped(text) in {True, False}
    assert len(state_key(text)) == 64
    answer = sign_in_answer(form or {})
    assert answer is None or all(value.isprintable() for value in answer.values())


def entities_setting(data: bytes) -> None:
    """`BC_ENTITIES` gives entries and messages, one of them for each entry of the list."""
    entries, faults = read_entries(data.decode("utf-8", "surrogateescape"))
    assert len({entry.name.lower() for entry in entries}) == len(entries)
    assert all(fault.startswith("BC_ENTITIES") for fault in faults)


def metadata(data: bytes) -> None:
    """`$metadata` gives entity sets or a ValueError, and what is stored of it reads back equal."""
    try:
        facts = read_metadata(data)
    except ValueError:
        return
    assert from_json(to_json(facts)) == facts
    assert not any("<!DOCTYPE" in data.decode(coding, "ignore") for coding in ("utf-8", "utf-16-le", "utf-16-be"))


@dataclass(frozen=True, slots=True)
class Target:
    """A property, texts that its parser takes, of which hostile ones are made, and what once broke it."""

    holds: Property
    seeds: tuple[bytes, ...]
    found: tuple[bytes, ...] = ()


_ORDER: Final = {
    "company": "CRONUS", "orderKey": "web-1",
    "order": {
        "customerNumber": "C1", "orderDate": "2026-03-04", "externalDocumentNumber": "PO-1",
        "salesOrderLines": [{"lineType": "Item", "lineObjectNumber": "1000", "quantity": 2.50}],
    },
}  # fmt: skip
_NOTIFICATION: Final = {
    "value": [
        {"subscriptionId": "1", "clientState": _STATE.decode(), "changeType": kind,
         "resource": f"api/v2.0/companies({_COMPANY})/{ITEMS.entity_set}{behind}",
         "lastModifiedDateTime": "2026-03-04T12:00:00Z"}
        for kind, behind in (("created", f"({_COMPANY})"), ("deleted", f"({_COMPANY})"),
                             ("collection", "?$filter=lastModifiedDateTime%20gt%202026-03-04T12:00:00Z"))
    ]
}  # fmt: skip
_RECORD: Final = (
    f'{{"@odata.etag":"W/\\"1\\"","id":"{_COMPANY}","number":"1000","unitPrice":1.50,"inventory":12,'
    '"lastModifiedDateTime":"2026-03-04T12:00:00Z"}'
)
_SHORT_RECORD: Final = f'{{"id":"{_COMPANY}"}}'
_METADATA: Final = b"""<?xml version="1.0" encoding="utf-8"?>
<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>
<Schema Namespace="NAV" xmlns="http://docs.oasis-open.org/odata/ns/edm"><EntityType Name="company">
<Key><PropertyRef Name="id"/></Key><Property Name="id" Type="Edm.Guid"/>
<NavigationProperty Name="items" Type="Collection(NAV.item)" ContainsTarget="true">
<ReferentialConstraint Property="id" ReferencedProperty="companyId"/></NavigationProperty></EntityType>
<EntityType Name="item"><Key><PropertyRef Name="id"/></Key><Property Name="id" Type="Edm.Guid"/></EntityType>
<EntityContainer Name="NAV"><EntitySet Name="companies" EntityType="NAV.company"/>
<EntitySet Name="items" EntityType="NAV.item"/></EntityContainer></Schema></edmx:DataServices></edmx:Edmx>"""

TARGETS: Final[Mapping[str, Target]] = {
    "notification": Target(notification, (json.dumps(_NOTIFICATION).encode(),)),
    "order_message": Target(
        order,
        (json.dumps(_ORDER).encode(), json.dumps(_ORDER["order"]).encode(), b"eyJjdXN0b21lck51bWJlciI6ICJDMSJ9"),
        found=(b'{"customerNumber": "C1", "salesOrderLines": [null]}',),
    ),
    "page": Target(
        page,
        (
            f'{{"@odata.context":"x","value":[{_RECORD},{_RECORD}],"@odata.nextLink":"{_HOME}?a=b"}}'.encode(),
            f'{{"value":[{",".join([_SHORT_RECORD] * 60)}]}}'.encode(),  # so many that their shape is learned
        ),
        found=(f'{{"value":[{_RECORD}]}}'.encode() + b"\xd0\xcd",),
    ),
    "odata_error": Target(
        odata_error,
        (
            b'30\n{"error":{"code":"Application_DialogException","message":"No.  CorrelationId:  '
            + _COMPANY.encode() + b'."}}',
            b'Wed, 04 Mar 2026 12:00:00 GMT\n<error><code>429</code><message xml:lang="en">slow</message></error>',
        ),
    ),
    "next_link": Target(
        next_link,
        (f"{_HOME}?$skiptoken=1&tenant=contoso.com".encode(), f"{_HOME}?aid=FIN&company=x".encode(),
         f"{_HOME}".replace("contoso.com", _COMPANY).encode()),
        found=(_HOME.replace("companies", "comp\ranies").encode(),),
    ),
    "wait_headers": Target(
        wait_headers, (b"120", b"Wed, 04 Mar 2026 12:00:00 GMT", b"4 Mar 26 12:00 +0100"),
        found=(b"0\x1d", b"9" * 400, b"1 Jan 99999999999999999999 00:00:00 GMT", b"4 Mar 2026 99999999999:00:00 GMT"),
    ),
    "connect_form": Target(
        connect_form,
        (b"form_token=abc&action=connect&key=web-1", b"a=b; __Host-bc-connect=1772625600.abc." + b"A" * 43,
         b"state=abc&error=access_denied&error_description=no", b'{"flow": 1}'),
    ),
    "entities_setting": Target(
        entities_setting,
        (b'[{"entitySet": "customers"}, {"entitySet": "bins", "pull": true, "watch": "auto", "changes": ["created"]}]',
         b'[{"entitySet": "stockLevels", "route": "contoso/shop/v1.0", "event": "stock", "expand": ["bins"]}]'),
    ),
    "metadata": Target(
        metadata, (_METADATA,),
        found=(
            _METADATA.replace(b"utf-8", b"rot13"),
            _METADATA.replace(b"utf-8", b"utf-16").replace(b"<edmx", b"<!DOCTYPE a><edmx", 1).decode().encode("utf-16"),
        ),
    ),
}  # fmt: skip
