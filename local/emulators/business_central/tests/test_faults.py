"""Scripted faults of the API and of notifications."""

from datetime import timedelta
from typing import Any

import pytest
from business_central_emulator import BusinessCentral, Fault, FaultKind, Tamper, TamperKind, Transport, VirtualClock
from business_central_emulator.server.faults import TRANSIENT_ANSWERS
from emulator_world import Api, Subscribe, Subscriber

ORDER = {"customerNumber": "10000", "externalDocumentNumber": "WEB-1"}


def find(api: Api) -> list[dict[str, Any]]:
    return api.rows("salesOrders?$filter=externalDocumentNumber eq 'WEB-1'")


@pytest.mark.parametrize("retry_after", [None, "7", "Wed, 11 Feb 2026 09:00:30 GMT"])
@pytest.mark.parametrize(("body", "start"), [("json", b"{"), ("xml", b"<error"), ("html", b"<html"), ("empty", b"")])
@pytest.mark.parametrize("kind", [FaultKind.THROTTLED, FaultKind.UNAVAILABLE, FaultKind.SERVER_ERROR])
def test_refusals_come_in_every_body_and_with_or_without_retry_after(
    api: Api, bc: BusinessCentral, kind: FaultKind, body: Any, start: Any, retry_after: Any
) -> None:
    """429, 503 and 500 are not carried out; body and header are as scripted; the next request is fine."""
    bc.faults.add(Fault(kind=kind, match="POST .*salesOrders", body=body, retry_after=retry_after))
    answer = api.post("salesOrders", ORDER)
    assert answer.status == int(kind.value)
    assert answer.headers.get("Retry-After") == retry_after
    assert answer.body.startswith(start)
    assert bool(answer.body) == bool(start)
    assert find(api) == []
    assert api.post("salesOrders", ORDER).status == 201


@pytest.mark.parametrize(
    ("kind", "status"), [(FaultKind.GATEWAY_TIMEOUT_AFTER, 504), (FaultKind.REQUEST_TIMEOUT_AFTER, 408)]
)
def test_a_timeout_answer_may_hide_a_committed_write(
    api: Api, bc: BusinessCentral, kind: FaultKind, status: int
) -> None:
    """The order exists although the client was told 504 or 408."""
    bc.faults.add(Fault(kind=kind, match="POST"))
    assert api.post("salesOrders", ORDER).status == status
    assert len(find(api)) == 1


@pytest.mark.parametrize(
    ("kind", "transport", "written"),
    [
        (FaultKind.RESET_BEFORE, Transport.RESET, 0),
        (FaultKind.RESET_AFTER, Transport.RESET, 1),
        (FaultKind.TIMEOUT_BEFORE, Transport.TIMEOUT, 0),
        (FaultKind.TIMEOUT_AFTER, Transport.TIMEOUT, 1),
    ],
)
def test_lost_connections_before_and_after_the_commit(
    api: Api, bc: BusinessCentral, kind: FaultKind, transport: Any, written: int
) -> None:
    """The client sees the same; only the data tells whether the write happened."""
    bc.faults.add(Fault(kind=kind, match="POST"))
    assert api.post("salesOrders", ORDER).transport is transport
    assert len(find(api)) == written


def test_a_late_commit_becomes_visible_minutes_later(
    api: Api, bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """504 now, nothing to find, then the order with the time of the request, and its notification."""
    subscribe("salesOrders")
    bc.faults.add(Fault(kind=FaultKind.LATE_COMMIT, match="POST .*salesOrders", late_s=300))
    body = ORDER | {"salesOrderLines": [{"lineType": "Item", "lineObjectNumber": "1896-S", "quantity": 1}]}
    assert api.post("salesOrders", body).status == 504
    assert (find(api), bc.late_commits()) == ([], 1)
    clock.advance(299)
    assert (find(api), bc.run_webhooks(subscriber.receive)) == ([], 0)
    clock.advance(1)
    order = find(api)[0]
    assert order["lastModifiedDateTime"] == "2026-02-11T09:00:00Z"
    assert len(api.rows(f"salesOrders({order['id']})/salesOrderLines")) == 1
    clock.advance(1)
    assert bc.run_webhooks(subscriber.receive) == 1
    assert subscriber.kinds == ["created", "updated"]
    assert [event["kind"] for event in bc.oracle()["history"] if event["id"] == order["id"]] == ["created", "updated"]


def test_a_late_change_of_a_row_that_moved_meanwhile_is_rolled_back(
    api: Api, bc: BusinessCentral, clock: VirtualClock
) -> None:
    """Two writers on one row: the late one loses, nothing of it becomes visible."""
    item = bc.user.create_item(displayName="first")
    bc.faults.add(Fault(kind=FaultKind.LATE_COMMIT, match="PATCH", late_s=60))
    assert api.patch(f"items({item.id})", {"displayName": "late"}).status == 504
    assert api.get(f"items({item.id})").json()["displayName"] == "first"
    assert api.patch(f"items({item.id})", {"unitPrice": 5}).status == 200
    clock.advance(61)
    assert api.get(f"items({item.id})").json()["displayName"] == "first"


def test_a_late_commit_is_bounded_by_the_operation_timeout() -> None:
    """More than 8 minutes cannot be scripted."""
    with pytest.raises(ValueError, match="late_s"):
        Fault(kind=FaultKind.LATE_COMMIT, late_s=481)


def test_a_truncated_answer_was_carried_out(api: Api, bc: BusinessCentral) -> None:
    """Full headers, the body ends in the middle (the carriers cut it)."""
    bc.faults.add(Fault(kind=FaultKind.TRUNCATED, match="POST"))
    answer = api.post("salesOrders", ORDER)
    assert (answer.status, answer.transport) == (201, Transport.TRUNCATED)
    assert len(find(api)) == 1


def test_an_html_page_of_the_gateway(api: Api, bc: BusinessCentral) -> None:
    """502 (or what is scripted) with a page instead of JSON."""
    bc.faults.add(Fault(kind=FaultKind.HTML_ERROR, match="GET"))
    answer = api.get("items")
    assert (answer.status, answer.headers["Content-Type"], answer.body[:6]) == (502, "text/html", b"<html>")


def test_a_skip_token_can_be_declared_invalid(api: Api, bc: BusinessCentral) -> None:
    """400 SkipTokenIsNoLongerValid on the pages that match, the first page being fine."""
    bc.faults.add(Fault(kind=FaultKind.SKIP_TOKEN, match=r"skiptoken="))
    first = api.get("items", Prefer="odata.maxpagesize=10").json()
    answer = api.get(first["@odata.nextLink"])
    assert (answer.status, answer.json()["error"]["code"]) == (400, "SkipTokenIsNoLongerValid")
    assert api.get(first["@odata.nextLink"]).status == 200


def test_slowness_is_modelled_not_slept(api: Api, bc: BusinessCentral) -> None:
    """Seconds per request and microseconds per row are told to the carrier."""
    bc.latency.base_s, bc.latency.per_row_us = 0.2, 100
    bc.faults.add(Fault(kind=FaultKind.SLOW, match="items", delay_s=1, per_row_us=900, times=None))
    assert api.get("items").delay_s == pytest.approx(1.2 + 80 * 0.001)
    assert api.get("customers").delay_s == pytest.approx(0.2 + 5 * 0.0001)
    bc.latency.bytes_per_s = 1_000
    answer = api.get("customers")
    assert answer.delay_s == pytest.approx(0.2 + 5 * 0.0001 + len(answer.body) / 1_000)


@pytest.mark.parametrize(("kind", "status"), [("500", 500), ("dialog", 400)])
def test_one_broken_record_spoils_every_answer_that_holds_it(
    api: Api, bc: BusinessCentral, kind: FaultKind, status: int
) -> None:
    """Single read, page and expansion fail; pages without it are fine."""
    broken = bc.table("items").the("number", "1900-S")
    bc.faults.broken[broken.id] = kind
    assert api.get(f"items({broken.id})").status == status
    assert api.get("items").status == status
    assert api.get("items?$filter=number ne '1900-S'").status == 200
    variant = bc.user.create_variant("1900-S", "RED")
    assert api.get(f"itemVariants({variant.id})?$expand=item").status == status
    assert api.get(f"itemVariants({variant.id})").status == 200
    bc.faults.clear()
    assert api.get("items").status == 200


def test_faults_are_counted_matched_and_rolled(api: Api, bc: BusinessCentral) -> None:
    """`times` is used up per match, `probability` comes from the seed, the first matching fault wins."""
    bc.faults.add(Fault(kind=FaultKind.UNAVAILABLE, match="customers", times=2))
    bc.faults.add(Fault(kind=FaultKind.SERVER_ERROR, match="customers"))
    assert [api.get(name).status for name in ("customers", "items", "customers", "customers", "customers")] == [
        503, 200, 503, 500, 200,
    ]  # fmt: skip
    bc.faults.add(Fault(kind=FaultKind.SERVER_ERROR, match="items", times=None, probability=0.5))
    failures = sum(api.get("items?$top=1").status == 500 for _ in range(200))
    assert 60 < failures < 140


def test_a_fault_of_a_failing_write_commits_nothing(api: Api, bc: BusinessCentral) -> None:
    """A refused order stays refused whatever happens to its answer."""
    bc.faults.add(Fault(kind=FaultKind.RESET_AFTER, match="POST"))
    assert api.post("salesOrders", {"customerNumber": "NOPE"}).status == 400


@pytest.mark.parametrize(
    ("kind", "posts", "kept"),
    [
        (TamperKind.DROP, 0, 0),
        (TamperKind.DUPLICATE, 2, 0),
        (TamperKind.REORDER, 1, 0),
        (TamperKind.LOST_ANSWER, 1, 3),
        (TamperKind.LATE, 0, 0),
    ],
)
def test_notifications_can_be_lost_doubled_shuffled_and_delayed(
    bc: BusinessCentral,
    clock: VirtualClock,
    subscribe: Subscribe,
    subscriber: Subscriber,
    kind: TamperKind,
    posts: Any,
    kept: Any,
) -> None:
    """What arrives, and what BC still keeps for a retry."""
    subscribe()
    bc.webhooks.tampering.rules.append(Tamper(kind=kind, delay_s=120))
    for _ in range(3):
        clock.advance(1)
        bc.user.create_item()
    clock.advance(31)
    bc.run_webhooks(subscriber.receive)
    assert (len(subscriber.posts), bc.webhooks.waiting()) == (posts, kept)
    if kind is TamperKind.LATE:
        assert bc.webhooks.next_due() == clock() + timedelta(seconds=120)
        clock.advance(120)
        assert bc.run_webhooks(subscriber.receive) == 1
        assert subscriber.kinds == ["created"] * 3
    if kind is TamperKind.DUPLICATE:
        assert subscriber.posts[0] == subscriber.posts[1]


def test_single_entries_can_be_lost(
    bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """Each entry is dropped with the scripted share; the rest arrives."""
    subscribe()
    bc.webhooks.tampering.rules.append(Tamper(kind=TamperKind.DROP_ENTRIES, share=0.5))
    for _ in range(200):
        bc.user.create_item()
    clock.advance(31)
    bc.run_webhooks(subscriber.receive)
    assert 50 < len(subscriber.entries) < 150
    assert bc.webhooks.waiting() == 0


def test_shuffled_entries_are_the_same_entries(
    bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """Another order, nothing lost; only the deliveries that match are touched."""
    subscribe()
    subscribe(url="https://hooks.example.com/other")
    bc.webhooks.tampering.rules.append(Tamper(kind=TamperKind.REORDER, match="other"))
    for _ in range(20):
        clock.advance(1)
        bc.user.create_item()
    clock.advance(31)
    bc.run_webhooks(subscriber.receive)
    by_url = {url: [entry["resource"] for entry in entries] for url, _, entries in subscriber.posts}
    plain, shuffled = by_url["https://hooks.example.com/bc"], by_url["https://hooks.example.com/other"]
    assert plain != shuffled
    assert sorted(plain) == sorted(shuffled)


def test_unknown_faults_cannot_be_scripted() -> None:
    """A typo in a script fails where it is written."""
    for given in ({}, {"kind": "nope"}, {"kind": "503", "tims": 1}, {"kind": "503", "body": "yaml"}):
        with pytest.raises(ValueError, match=r"fault|FaultKind|body"):
            Fault.from_json(given)


@pytest.mark.parametrize("reason", sorted(TRANSIENT_ANSWERS))
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_passes_by_itself_may_be_told_with_400(api: Api, bc: BusinessCentral, reason: str, method: str) -> None:
    """Locks, deadlocks, metadata lost for a moment: refused with a 4xx, nothing is written, the next try is fine."""
    bc.faults.add(Fault(kind=FaultKind.TRANSIENT, match=method, reason=reason))
    count = len(bc.table("items"))
    answers = [api.call(method, "items", {"displayName": "x"} if method == "POST" else None) for _ in range(2)]
    assert [answer.status < 300 for answer in answers] == [False, True]
    assert answers[0].json()["error"]["code"] == TRANSIENT_ANSWERS[reason][1]
    assert len(bc.table("items")) == count + (method == "POST")


def test_a_burst_heals_after_seconds(api: Api, bc: BusinessCentral, clock: VirtualClock) -> None:
    """It begins with the first request that it strikes."""
    bc.faults.add(Fault(kind=FaultKind.TRANSIENT, match="GET", times=None, lasts_s=5))
    clock.advance(100)
    assert api.get("items").status == 400
    clock.advance(4.9)
    assert api.get("items").status == 400
    clock.advance(0.1)
    assert api.get("items").status == 200
