"""Reads by intent: a replica that lags, rows that are not committed, reads that modify drafts."""

import pytest
from business_central_emulator import BusinessCentral, Fault, FaultKind, VirtualClock
from emulator_world import Api, Subscribe, Subscriber

REPLICA = [{}, {"Data_Access_Intent": "ReadOnly"}]
CURRENT = {"Data_Access_Intent": "ReadWrite"}


def lag(bc: BusinessCentral, seconds: float, least_s: float | None = None) -> None:
    bc.faults.add(Fault(kind=FaultKind.REPLICA_LAG, match="GET", times=None, window_s=seconds, least_s=least_s))


@pytest.mark.parametrize("intent", REPLICA)
def test_a_replica_shows_what_was_committed_some_time_ago(
    api: Api, bc: BusinessCentral, clock: VirtualClock, intent: dict[str, str]
) -> None:
    """Changed rows as they were, new ones not at all, deleted ones still; `ReadWrite` sees the present."""
    item, gone = bc.user.create_item(displayName="old"), bc.user.create_item(displayName="gone")
    before = api.get(f"items({item.id})").json()
    clock.advance(100)
    bc.user.update(item, {"displayName": "new"})
    bc.user.delete(gone)
    fresh = bc.user.create_item(displayName="fresh")
    lag(bc, 30)
    assert api.get(f"items({item.id})", **intent).json() == before
    assert api.get(f"items({fresh.id})", **intent).status == 404
    assert api.get(f"items({gone.id})", **intent).status == 200
    assert {"old", "gone"} <= {row["displayName"] for row in api.rows("items", **intent)}
    assert [row["displayName"] for row in api.rows("items?$filter=displayName eq 'new'", **intent)] == []
    assert api.get(f"items({item.id})", **CURRENT).json()["displayName"] == "new"
    assert api.get(f"items({gone.id})", **CURRENT).status == 404
    clock.advance(31)
    assert api.get(f"items({item.id})", **intent).json()["displayName"] == "new"
    assert api.get(f"items({gone.id})", **intent).status == 404


def test_a_replica_shows_whole_transactions(api: Api, bc: BusinessCentral, clock: VirtualClock) -> None:
    """An order never comes without its lines, nor a shipment beside the order it emptied."""
    order = bc.user.create_order()
    clock.advance(60)
    bc.user.post_order(order)
    lag(bc, 10)
    (seen,) = api.rows(f"salesOrders?$filter=number eq '{order['number']}'&$expand=salesOrderLines")
    assert len(seen["salesOrderLines"]) == 1
    assert api.rows(f"salesShipments?$filter=orderNumber eq '{order['number']}'") == []
    clock.advance(11)
    assert api.rows(f"salesOrders?$filter=number eq '{order['number']}'") == []
    assert len(api.rows(f"salesShipments?$filter=orderNumber eq '{order['number']}'")) == 1


def test_each_request_has_its_own_lag(api: Api, bc: BusinessCentral, clock: VirtualClock) -> None:
    """Two replicas may differ: an item seen once may be missing in the next answer, and subscriptions lag as well."""
    clock.advance(100)
    item = bc.user.create_item()
    clock.advance(50)
    lag(bc, 100, least_s=0)
    assert {api.get(f"items({item.id})").status for _ in range(40)} == {200, 404}


def test_pages_go_on_behind_a_row_that_the_next_replica_does_not_know(
    api: Api, bc: BusinessCentral, clock: VirtualClock
) -> None:
    """The skip token names a position, not a row that must be there."""
    clock.advance(100)
    last = bc.user.create_item(number="0000")
    page = api.get("items", Prefer="odata.maxpagesize=1").json()
    assert page["value"][0]["id"] == last.id
    lag(bc, 50)
    assert len(api.rows(page["@odata.nextLink"])) == 80


def test_a_lagging_replica_hides_a_subscription(
    api: Api, bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe
) -> None:
    """Its absence counts only when read with `ReadWrite`."""
    clock.advance(100)
    made = subscribe()
    lag(bc, 3600)
    assert api.rows("/subscriptions") == []
    assert [row["subscriptionId"] for row in api.rows("/subscriptions", **CURRENT)] == [made["subscriptionId"]]
    assert api.patch(f"/subscriptions('{made['subscriptionId']}')", {"clientState": "s"}).status == 200


def test_a_lag_has_a_bound() -> None:
    """The emulator remembers one hour."""
    with pytest.raises(ValueError, match="a lag lies"):
        Fault(kind=FaultKind.REPLICA_LAG, window_s=3601)


@pytest.mark.parametrize("commits", [True, False])
def test_uncommitted_rows_are_seen_on_the_primary_only(
    api: Api, bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber, commits: bool
) -> None:
    """READ UNCOMMITTED shows them to `ReadWrite`; they are committed, or were never there, and only then notified."""
    subscribe("salesOrders")
    kind = FaultKind.LATE_COMMIT if commits else FaultKind.LATE_ROLLBACK
    bc.faults.add(Fault(kind=kind, match="POST", late_s=60))
    assert api.post("salesOrders", {"customerNumber": "10000", "externalDocumentNumber": "WEB-1"}).status == 504
    find = "salesOrders?$filter=externalDocumentNumber eq 'WEB-1'"
    for intent in REPLICA:
        assert api.rows(find, **intent) == []
    assert len(api.rows(find, **CURRENT)) == 1
    assert bc.table("salesOrders").find("externalDocumentNumber", "WEB-1") is None
    clock.advance(61)
    assert [len(api.rows(find, **intent)) for intent in (*REPLICA, CURRENT)] == [commits] * 3
    clock.advance(60)
    bc.run_webhooks(subscriber.receive)
    assert len(subscriber.entries) == commits


def test_a_persons_transaction_may_roll_back(api: Api, bc: BusinessCentral, clock: VirtualClock) -> None:
    """A posting that fails at its end: its rows were visible to dirty reads and never existed."""
    order = bc.user.create_order()
    with bc.user.transaction(120, commits=False):
        bc.user.post_order(order)
    assert api.get(f"salesOrders({order.id})").status == 200
    assert api.get(f"salesOrders({order.id})", **CURRENT).status == 404
    assert len(api.rows("salesShipments?$filter=orderNumber ne ''", **CURRENT)) == 1
    clock.advance(121)
    assert api.get(f"salesOrders({order.id})", **CURRENT).status == 200
    assert bc.table("salesOrders").the("id", order.id)["status"] == "Draft"


def test_a_read_on_the_primary_modifies_a_draft(
    api: Api, bc: BusinessCentral, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """Once, for who may write sales headers, with a new time and ETag and an `updated`; other reads change nothing."""
    bc.drafts.modified_by_reads = True
    bc.drafts.readers = {"reader"}
    subscribe("salesOrders")
    order = bc.user.create_order()
    clock.advance(100)
    bc.run_webhooks(subscriber.receive)
    subscriber.posts.clear()
    path = f"salesOrders({order.id})"
    before = api.get(path).json()
    assert api.get(path, Data_Access_Intent="ReadOnly").json() == before
    api.token = "good-reader"
    assert api.get(path, **CURRENT).json() == before
    api.token = "good-app"
    changed = api.get(path, **CURRENT).json()
    assert changed["@odata.etag"] != before["@odata.etag"]
    assert changed["lastModifiedDateTime"] > before["lastModifiedDateTime"]
    clock.advance(10)
    assert api.get(path, **CURRENT).json() == changed
    clock.advance(60)
    bc.run_webhooks(subscriber.receive)
    assert subscriber.kinds == ["updated"]


def test_read_only_may_fail_on_such_a_draft(api: Api, bc: BusinessCentral) -> None:
    """A switch for the open question: 400 until a read on the primary has recalculated it."""
    bc.drafts.modified_by_reads = bc.drafts.read_only_fails = True
    path = f"salesOrders({bc.user.create_order().id})"
    assert api.get(path, Data_Access_Intent="ReadOnly").status == 400
    assert api.get(path).status == 200
    assert api.get(path, **CURRENT).status == 200
    assert api.get(path, Data_Access_Intent="ReadOnly").status == 200


def test_a_renamed_company_keeps_its_id(api: Api, bc: BusinessCentral) -> None:
    """Two companies may bear one display name; a name is found only while it is borne."""
    first, second = bc.environment.companies.values()
    bc.rename_company(second.id, name="Fabrikam", display_name=first.display_name or first.name)
    rows = {row["id"]: row for row in api.rows("/companies")}
    assert (rows[second.id]["name"], rows[second.id]["displayName"]) == ("Fabrikam", first.display_name or first.name)
    assert api.get("/items?company=Fabrikam").status == 200
    assert api.get("/items?company=My Company").status == 404
