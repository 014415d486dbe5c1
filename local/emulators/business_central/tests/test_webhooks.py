"""The webhook sender, behaviour by behaviour (codeunits 6153 and 6154)."""

import re
from datetime import timedelta
from typing import Any

import pytest
from business_central_emulator import BusinessCentral, VirtualClock
from emulator_world import Api, Recorded, Subscribe, Subscriber

URL = "https://hooks.example.com/bc"


def seconds_until_sent(
    bc: BusinessCentral, clock: VirtualClock, subscriber: Subscriber, *, limit: int = 200_000
) -> float:
    """Run the sender at its own due times until it posts; returns the seconds that took."""
    start = clock()
    count = len(subscriber.posts)
    while len(subscriber.posts) == count:
        due = bc.webhooks.next_due()
        assert due is not None, "nothing is due"
        assert due - start < timedelta(seconds=limit)
        clock.set(max(due, clock()))
        bc.run_webhooks(subscriber.receive)
    return (clock() - start).total_seconds()


def deliver(bc: BusinessCentral, clock: VirtualClock, subscriber: Subscriber) -> None:
    """Let the window pass and run the sender once."""
    clock.advance(31)
    bc.run_webhooks(subscriber.receive)


# -- payload ---------------------------------------------------------------------------------------------------------


def test_notification_has_the_recorded_shape(
    bc: BusinessCentral, api: Api, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber, recorded: Recorded
) -> None:
    """Same properties in the same order; resource is the stored one plus the key, lower case and unquoted."""
    made = subscribe()
    item = bc.user.create_item()
    clock.advance(timedelta(minutes=1))
    bc.user.update(item, {"displayName": "x"})
    deliver(bc, clock, subscriber)
    theirs = recorded("notification-item-updated.json")["value"][0]
    entry = subscriber.entries[-1]
    assert list(entry) == list(theirs)
    assert entry["resource"] == f"{made['resource']}({item.id})"
    assert (entry["subscriptionId"], entry["clientState"]) == (made["subscriptionId"], "s")
    assert entry["expirationDateTime"] == made["expirationDateTime"]
    assert entry["lastModifiedDateTime"] == "2026-02-11T09:01:00Z"


def test_notification_request_carries_one_fresh_correlation_id(
    bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """Both id headers hold the same new GUID per request; JSON both ways; no auth header."""
    subscribe()
    for _ in range(2):
        bc.user.create_item()
        deliver(bc, clock, subscriber)
    headers = [sent for _, sent, _ in subscriber.posts]
    assert all(one["clientRequestId"] == one["x-ms-correlation-id"] for one in headers)
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", headers[0]["clientRequestId"])
    assert headers[0]["clientRequestId"] != headers[1]["clientRequestId"]
    assert {one["Content-Type"] for one in headers} == {one["Accept"] for one in headers} == {"application/json"}
    assert all("Authorization" not in one for one in headers)


def test_one_post_per_notification_url_carries_all_its_subscriptions(
    bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """Two entity sets on one URL share a payload; another URL gets its own; order is by subscription id."""
    first, second = subscribe("items"), subscribe("customers")
    subscribe("items", url=f"{URL}/other")
    bc.user.create_item()
    bc.user.create_customer()
    deliver(bc, clock, subscriber)
    assert sorted(url for url, _, _ in subscriber.posts) == [URL, f"{URL}/other"]
    shared = next(entries for url, _, entries in subscriber.posts if url == URL)
    assert [entry["subscriptionId"] for entry in shared] == sorted([first["subscriptionId"], second["subscriptionId"]])


def test_companies_are_sent_apart(bc: BusinessCentral, api: Api, clock: VirtualClock, subscriber: Subscriber) -> None:
    """One run per company: the same URL gets one POST for each."""
    other = bc.company("My Company")
    for company in (bc.company(), other):
        resource = f"companies({company.id})/items"
        api.create("/subscriptions", {"notificationUrl": URL, "resource": resource})
        bc.user.create_item(company=company.id)
    deliver(bc, clock, subscriber)
    assert [len(entries) for _, _, entries in subscriber.posts] == [1, 1]


def test_no_entity_data_is_included_and_deleted_carries_the_id_only(
    bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """After a delete the id in the resource is all there is."""
    subscribe()
    item = bc.user.create_item()
    deliver(bc, clock, subscriber)
    bc.user.delete(item)
    deliver(bc, clock, subscriber)
    entry = subscriber.entries[-1]
    assert (entry["changeType"], item.id in entry["resource"]) == ("deleted", True)
    assert set(entry) == {"subscriptionId", "clientState", "expirationDateTime", "resource", "changeType",
                          "lastModifiedDateTime"}  # fmt: skip


# -- window, merging, order --------------------------------------------------------------------------------------------


def test_window_is_30_seconds_from_the_first_change(
    bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """A tumbling window, not a debounce: a change at +29 s goes out at +30 s, the next one 30 s after itself."""
    subscribe()
    bc.user.create_item()
    clock.advance(29)
    bc.user.create_item()
    assert bc.run_webhooks(subscriber.receive) == 0
    clock.advance(1)
    assert bc.run_webhooks(subscriber.receive) == 1
    assert len(subscriber.entries) == 2
    clock.advance(5)
    bc.user.create_item()
    assert seconds_until_sent(bc, clock, subscriber) == 30


def test_the_delay_can_be_scaled(clock: VirtualClock, subscriber: Subscriber) -> None:
    """With a delay of 2 s everything is fifteen times as fast, retries included."""
    bc = BusinessCentral(clock, handshake=subscriber.shake, webhook_delay_s=2)
    assert bc.webhooks.delay == timedelta(seconds=2)
    assert bc.webhooks.time_scale == pytest.approx(1 / 15)


def test_consecutive_updates_of_a_record_merge_into_one(
    bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """One `updated` per key, with the time of the last change."""
    item = bc.user.create_item()
    subscribe()
    for n in range(5):
        clock.advance(3)
        bc.user.update(item, {"displayName": f"v{n}"})
    deliver(bc, clock, subscriber)
    assert subscriber.kinds == ["updated"]
    assert subscriber.entries[0]["lastModifiedDateTime"] == "2026-02-11T09:00:15Z"


def test_created_and_later_updated_are_both_sent(
    bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """`created` swallows nothing; updates after it merge among themselves."""
    subscribe()
    item = bc.user.create_item()
    for n in range(3):
        clock.advance(1)
        bc.user.update(item, {"displayName": f"v{n}"})
    deliver(bc, clock, subscriber)
    assert subscriber.kinds == ["created", "updated"]


def test_deleted_is_never_merged(
    bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """created, updated, deleted of one key all leave."""
    subscribe()
    item = bc.user.create_item()
    clock.advance(1)
    bc.user.update(item, {"displayName": "x"})
    clock.advance(1)
    bc.user.delete(item)
    deliver(bc, clock, subscriber)
    assert subscriber.kinds == ["created", "updated", "deleted"]


def test_entries_are_ordered_by_time_then_change_type(
    bc: BusinessCentral, api: Api, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """Within a subscription: recorded time first; at one time created < updated < deleted."""
    old, gone = bc.user.create_item(), bc.user.create_item()
    subscribe()
    bc.user.delete(gone)
    bc.user.update(old, {"displayName": "x"})
    bc.user.create_item()
    clock.advance(1)
    bc.user.create_item()
    deliver(bc, clock, subscriber)
    assert subscriber.kinds == ["created", "updated", "deleted", "created"]


def test_an_update_merges_only_into_an_update(
    bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """Two items changed in turn merge per key, not per neighbour."""
    first, second = bc.user.create_item(), bc.user.create_item()
    subscribe()
    for n in range(3):
        for item in (first, second):
            clock.advance(1)
            bc.user.update(item, {"displayName": f"v{n}"})
    deliver(bc, clock, subscriber)
    assert subscriber.kinds == ["updated", "updated"]
    assert len({entry["resource"] for entry in subscriber.entries}) == 2


def test_null_updates_are_dropped(
    bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """A modify that changes no field is not sent when the row is older than 2 s; within 2 s it is."""
    item = bc.user.create_item(displayName="same")
    subscribe()
    clock.advance(10)
    bc.user.update(item, {"displayName": "same"})
    clock.advance(30)
    assert bc.run_webhooks(subscriber.receive) == 0
    fresh = bc.user.create_item(displayName="same")
    clock.advance(1)
    bc.user.update(fresh, {"displayName": "same"})
    deliver(bc, clock, subscriber)
    assert subscriber.kinds == ["created", "updated"]


def test_rename_is_an_update(
    bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """The key of v2.0 pages is the id, so a new number is `updated` and not deleted plus created."""
    item = bc.user.create_item()
    subscribe()
    bc.user.update(item, {"number": "RENAMED"})
    deliver(bc, clock, subscriber)
    assert subscriber.kinds == ["updated"]


def test_inventory_changes_notify_nobody(
    bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """A FlowField of the item: no trigger runs."""
    subscribe()
    bc.user.adjust_inventory(next(iter(bc.table("items"))), 5)
    assert bc.webhooks.next_due() is None


def test_variants_and_items_do_not_notify_each_other(
    bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """A new variant is news of itemVariants only."""
    item = bc.user.create_item()
    subscribe("items")
    variants = subscribe("itemVariants")
    bc.user.create_variant(item, "RED")
    deliver(bc, clock, subscriber)
    assert [entry["subscriptionId"] for entry in subscriber.entries] == [variants["subscriptionId"]]


def test_changes_of_a_user_who_cannot_schedule_wait_for_one_who_can(
    bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """They are recorded, and leave with the next capable user's change."""
    subscribe()
    bc.user.can_schedule = False
    bc.user.create_item()
    clock.advance(timedelta(hours=5))
    assert (bc.webhooks.next_due(), bc.run_webhooks(subscriber.receive)) == (None, 0)
    bc.user.can_schedule = True
    bc.user.create_item()
    deliver(bc, clock, subscriber)
    assert subscriber.kinds == ["created", "created"]


def test_changes_before_the_subscription_are_not_sent(
    bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """Triggers look at the subscriptions there are."""
    bc.user.create_item()
    subscribe()
    clock.advance(60)
    assert bc.run_webhooks(subscriber.receive) == 0


def test_failed_requests_notify_nobody(bc: BusinessCentral, api: Api, subscribe: Subscribe) -> None:
    """A rolled back transaction leaves no notification."""
    subscribe()
    assert api.post("items", {"displayName": "x", "itemCategoryCode": "NOPE"}).status == 400
    assert bc.webhooks.waiting() == 0


# -- documents ---------------------------------------------------------------------------------------------------------


def test_posting_an_order_makes_its_notifications(
    bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """Order: updated..., deleted. Shipment: created. Invoice: created (and updated): re-read, never trust one."""
    order = bc.user.create_order()
    subscribed = {
        name: subscribe(name)["subscriptionId"] for name in ("salesOrders", "salesInvoices", "salesShipments")
    }
    bc.user.post_order(order)
    deliver(bc, clock, subscriber)
    kinds = {
        name: [entry["changeType"] for entry in subscriber.entries if entry["subscriptionId"] == subscription_id]
        for name, subscription_id in subscribed.items()
    }
    assert kinds == {
        "salesOrders": ["updated", "deleted"],
        "salesInvoices": ["created", "updated"],
        "salesShipments": ["created"],
    }


def test_posting_a_draft_invoice_is_an_update_of_the_same_id(
    bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """The API id stays; `created` came with the draft."""
    draft = bc.user.create_invoice()
    subscribe("salesInvoices")
    bc.user.post_invoice(draft)
    deliver(bc, clock, subscriber)
    assert subscriber.kinds == ["updated"]
    assert draft.id in subscriber.entries[0]["resource"]


def test_line_changes_notify_the_header(
    bc: BusinessCentral, api: Api, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """Lines cannot be subscribed to; adding one updates the order."""
    order = bc.user.create_order()
    subscribe("salesOrders")
    api.create(f"salesOrders({order.id})/salesOrderLines", {"description": "text"})
    deliver(bc, clock, subscriber)
    assert subscriber.kinds == ["updated"]


# -- collection ------------------------------------------------------------------------------------------------------


def test_1000_entries_are_sent_one_by_one_and_the_1001st_collapses_them(
    bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """1,000 leave as they are; one more makes a single `collection`."""
    subscribe()
    for _ in range(1000):
        bc.user.create_item()
    deliver(bc, clock, subscriber)
    assert subscriber.kinds == ["created"] * 1000
    for _ in range(1001):
        bc.user.create_item()
    deliver(bc, clock, subscriber)
    assert subscriber.kinds[1000:] == ["collection"]


def test_collection_filters_from_the_first_change_minus_50_ms(
    bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """The filter is pre-encoded; reading it finds all changed rows; the entry's time is the last change's."""
    made = subscribe()
    for _ in range(1200):
        bc.user.create_item()
        clock.advance(0.01)
    deliver(bc, clock, subscriber)
    entry = subscriber.entries[0]
    assert entry["resource"] == f"{made['resource']}?$filter=lastModifiedDateTime%20gt%202026-02-11T08:59:59.95Z"
    assert entry["lastModifiedDateTime"] == "2026-02-11T09:00:11.99Z"


def test_the_resource_of_a_collection_can_be_read(
    bc: BusinessCentral, api: Api, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """Prefixed with the root it is a URL that yields exactly the changed rows."""
    subscribe()
    clock.advance(1)
    created = {bc.user.create_item().id for _ in range(1001)}
    deliver(bc, clock, subscriber)
    root = bc.root_url().removesuffix("api/v2.0")
    rows = api.rows(root + subscriber.entries[0]["resource"])
    assert {row["id"] for row in rows} == created


def test_a_delete_among_the_changes_drops_the_filter(
    bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """A plain collection URL means: read everything and find the deletions yourself."""
    made = subscribe()
    item = bc.user.create_item()
    for _ in range(1000):
        bc.user.create_item()
    bc.user.delete(item)
    deliver(bc, clock, subscriber)
    assert [entry["resource"] for entry in subscriber.entries] == [made["resource"]]


def test_only_the_subscription_that_overflows_collapses(
    bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """Other subscriptions of the same URL keep their entries."""
    subscribe("items")
    subscribe("customers")
    bc.user.create_customer()
    for _ in range(1001):
        bc.user.create_item()
    deliver(bc, clock, subscriber)
    assert sorted(subscriber.kinds) == ["collection", "created"]


def test_merged_updates_do_not_count_twice(
    bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """1,500 updates of 10 records are ten entries."""
    items = [bc.user.create_item() for _ in range(10)]
    subscribe()
    for n in range(150):
        for item in items:
            bc.user.update(item, {"displayName": f"v{n}"})
    deliver(bc, clock, subscriber)
    assert subscriber.kinds == ["updated"] * 10


def test_changes_fold_into_a_collection_that_is_being_retried(
    bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """While a collapsed entry waits, newer changes make no entries of their own."""
    subscribe()
    subscriber.status = 503
    for _ in range(1001):
        bc.user.create_item()
    deliver(bc, clock, subscriber)
    subscriber.status = 202
    clock.advance(10)
    bc.user.create_item()
    deliver(bc, clock, subscriber)
    assert subscriber.kinds == ["collection", "collection"]
    first, second = subscriber.entries
    assert first["resource"] == second["resource"]
    assert second["lastModifiedDateTime"] > first["lastModifiedDateTime"]
    assert bc.webhooks.waiting() == 0


def test_more_than_a_million_stored_rows_are_dropped(bc: BusinessCentral, subscribe: Subscribe) -> None:
    """The cap is a number of rows; beyond it changes are lost in silence (here with a small cap)."""
    subscribe()
    bc.webhooks.max_stored = 3
    for _ in range(10):
        bc.user.create_item()
    assert bc.webhooks.waiting() == 4


# -- answers, retries, deletion ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_settles_the_entries(
    bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber, status: int
) -> None:
    """Nothing is kept, nothing is scheduled."""
    subscribe()
    subscriber.status = status
    bc.user.create_item()
    deliver(bc, clock, subscriber)
    assert (bc.webhooks.waiting(), bc.webhooks.next_due()) == (0, None)


@pytest.mark.parametrize("status", [None, 408, 429, 500, 502, 503, 504, 599])
def test_no_answer_408_429_and_5xx_are_retried(
    bc: BusinessCentral, api: Api, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber, status: int | None
) -> None:
    """The same entries come again, with another correlation id; the subscription stays."""
    subscribe()
    bc.user.create_item()
    subscriber.status = status
    seconds_until_sent(bc, clock, subscriber)
    subscriber.status = 202
    seconds_until_sent(bc, clock, subscriber)
    assert subscriber.posts[0][2] == subscriber.posts[1][2]
    assert subscriber.posts[0][1]["clientRequestId"] != subscriber.posts[1][1]["clientRequestId"]
    assert len(api.rows("/subscriptions")) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 413, 415, 301, 302, 307])
def test_any_other_answer_deletes_every_subscription_of_the_url(
    bc: BusinessCentral, api: Api, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber, status: int
) -> None:
    """Also those of that URL that had nothing to send; other URLs are untouched; the entries are gone."""
    subscribe("items")
    subscribe("customers")
    kept = subscribe("items", url=f"{URL}/other")
    bc.user.create_item()
    clock.advance(31)
    bc.run_webhooks(lambda url, _headers, _body: status if url == URL else 202)
    assert [row["subscriptionId"] for row in api.rows("/subscriptions")] == [kept["subscriptionId"]]
    assert bc.webhooks.waiting() == 0
    assert any("Delete invalid subscription" in line.message for line in bc.webhooks.log)


def test_a_rejection_in_one_company_leaves_the_others_subscriptions(
    bc: BusinessCentral, api: Api, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """The job runs per company."""
    other = bc.company("My Company")
    subscribe()
    kept = api.create("/subscriptions", {"notificationUrl": URL, "resource": f"companies({other.id})/items"})
    subscriber.status = 404
    bc.user.create_item()
    deliver(bc, clock, subscriber)
    assert [row["subscriptionId"] for row in api.rows("/subscriptions")] == [kept["subscriptionId"]]


def test_the_retry_schedule_and_its_end(
    bc: BusinessCentral, api: Api, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """60, 60, 600, 6,000, 60,000 s after failures 1 to 5 (each plus the job's 30 s); failure 6 deletes."""
    subscribe()
    subscriber.status = 503
    bc.user.create_item()
    waits = [seconds_until_sent(bc, clock, subscriber) for _ in range(6)]
    assert waits == [30, 90, 90, 630, 6030, 60_030]
    assert api.rows("/subscriptions") == []
    assert (bc.webhooks.waiting(), bc.webhooks.next_due()) == (0, None)
    assert "Delete subscription with too many failures." in {line.message for line in bc.webhooks.log}


def test_a_newer_change_resends_what_waits_without_counting_as_an_attempt(
    bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """The payload grows; entries that are not due yet keep their attempt number and time."""
    subscribe()
    subscriber.status = 503
    bc.user.create_item()
    deliver(bc, clock, subscriber)
    clock.advance(5)
    bc.user.create_item()
    deliver(bc, clock, subscriber)
    assert [len(entries) for _, _, entries in subscriber.posts] == [1, 2]
    attempts = sorted(
        entry.attempt for queue in bc.webhooks._queues.values() for kept in queue.pending.values() for entry in kept
    )
    assert attempts == [1, 1]


def test_an_update_merges_into_one_that_is_being_retried(
    bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """The waiting `updated` takes the new time."""
    item = bc.user.create_item()
    subscribe()
    subscriber.status = 503
    bc.user.update(item, {"displayName": "a"})
    deliver(bc, clock, subscriber)
    clock.advance(5)
    bc.user.update(item, {"displayName": "b"})
    subscriber.status = 202
    deliver(bc, clock, subscriber)
    assert subscriber.kinds == ["updated", "updated"]
    times = [entry["lastModifiedDateTime"] for entry in subscriber.entries]
    assert times[1] > times[0]


def test_other_urls_are_not_held_up_by_a_failing_one(
    bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """One subscriber's 503 does not delay the others' entries."""
    subscribe("items", url=f"{URL}/bad")
    subscribe("items", url=f"{URL}/good")
    bc.user.create_item()
    clock.advance(31)
    bc.run_webhooks(lambda url, headers, body: 503 if url.endswith("bad") else subscriber.receive(url, headers, body))
    assert len(subscriber.posts) == 1
    assert bc.webhooks.waiting() == 1


def test_expired_subscriptions_are_deleted_at_the_next_run(
    bc: BusinessCentral, api: Api, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """Silently, together with what waits for them; until then they are still listed."""
    subscribe()
    clock.advance(timedelta(days=3, seconds=1))
    live = subscribe("customers")
    bc.user.create_item()
    assert len(api.rows("/subscriptions")) == 2
    bc.user.create_customer()
    deliver(bc, clock, subscriber)
    assert [row["subscriptionId"] for row in api.rows("/subscriptions")] == [live["subscriptionId"]]
    assert subscriber.kinds == ["created"]


def test_a_subscription_lives_until_its_very_last_moment(
    bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """A change within the three days is recorded; sent after them it is lost with the subscription."""
    subscribe()
    clock.advance(timedelta(days=3) - timedelta(seconds=10))
    bc.user.create_item()
    clock.advance(31)
    assert bc.run_webhooks(subscriber.receive) == 0


def test_changes_during_a_delivery_wait_for_the_next_run(
    bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """What is recorded while the subscriber answers is neither lost nor sent twice."""
    subscribe()
    bc.user.create_item()
    clock.advance(31)

    def receive(url: Any, headers: Any, body: Any) -> Any:
        if not subscriber.posts:
            clock.advance(2)
            bc.user.create_item()
        return subscriber.receive(url, headers, body)

    bc.run_webhooks(receive)
    deliver(bc, clock, subscriber)
    assert [len(entries) for _, _, entries in subscriber.posts] == [1, 1]
    assert len({entry["resource"] for entry in subscriber.entries}) == 2


def test_webhook_logs_can_be_read(
    bc: BusinessCentral, api: Api, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """The runtime API shows the activity log of the company."""
    subscribe()
    subscriber.status = 404
    bc.user.create_item()
    deliver(bc, clock, subscriber)
    runtime = api.url("/").replace("/api/v2.0/", "/api/microsoft/runtime/beta/")
    rows = api.rows(f"{runtime}companies({api.company_id})/webhookLogs")
    assert [row["message"] for row in rows] == ["Notification failed.", "Delete invalid subscription."]
    assert [row["status"] for row in rows] == ["Failed", "Success"]


def test_a_delete_that_waits_for_a_retry_does_not_drop_the_filter(
    bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """BC looks for deletes among the rows recorded since the last run only: this deletion is lost in the collapse."""
    subscribe()
    item = bc.user.create_item()
    subscriber.status = 503
    bc.user.delete(item)
    deliver(bc, clock, subscriber)
    subscriber.status = 202
    for _ in range(1000):
        bc.user.create_item()
    deliver(bc, clock, subscriber)
    assert subscriber.entries[-1]["changeType"] == "collection"
    assert "$filter=lastModifiedDateTime%20gt%20" in subscriber.entries[-1]["resource"]
