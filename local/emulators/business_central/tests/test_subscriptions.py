"""Subscriptions and their handshake."""

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from business_central_emulator import BusinessCentral, HandshakeAnswer, Request, VirtualClock
from emulator_world import Api, Recorded, Subscribe, Subscriber

URL = "https://hooks.example.com/bc"


def body_for(api: Api, name: str = "items", **more: Any) -> Any:
    return {
        "notificationUrl": URL,
        "resource": f"api/v2.0/companies({api.company_id})/{name}",
        "clientState": "s",
    } | more


def test_creation_has_the_recorded_shape(api: Api, recorded: Recorded, subscribe: Subscribe) -> None:
    """201, the recorded properties in order, 32 hex digits, three days from now in whole seconds."""
    theirs, ours = recorded("subscription-items-bc26.json"), subscribe()
    assert list(ours) == list(theirs)
    assert (len(ours["subscriptionId"]), ours["subscriptionId"].lower()) == (32, ours["subscriptionId"])
    assert ours["resource"] == f"api/v2.0/companies({api.company_id})/items"
    assert ours["expirationDateTime"] == "2026-02-14T09:00:00Z"
    assert ours["clientState"] == "s"


def test_the_handshake_posts_an_opaque_token(api: Api, subscribe: Subscribe, subscriber: Subscriber) -> None:
    """The token is URL-encoded, differs each time, and is appended to a query that is there."""
    subscribe(url=f"{URL}?code=1")
    subscribe("customers")
    first, second = (urlsplit(url) for url in subscriber.handshakes)
    assert first.query.startswith("code=1&validationToken=")
    assert unquote(first.query) != first.query
    assert parse_qs(first.query)["validationToken"] != parse_qs(second.query)["validationToken"]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        HandshakeAnswer(status=200, content_type="text/plain", body=b"wrong"),
        HandshakeAnswer(status=202, content_type="text/plain", body=b"{token}"),
        HandshakeAnswer(status=200, content_type="application/json", body=b"{token}"),
        HandshakeAnswer(status=200, content_type="text/plain", body=b'"{token}"'),
        HandshakeAnswer(status=200, content_type="text/plain", body=b"{encoded}"),
    ],
)
def test_a_failed_handshake_leaves_everything_as_it_was(
    bc: BusinessCentral, api: Api, subscribe: Subscribe, answer: Any
) -> None:
    """No answer, another status, another type or another body: 400, no subscription, no renewal."""
    kept = subscribe()

    def shake(url: str) -> HandshakeAnswer | None:
        token = urlsplit(url).query.partition("validationToken=")[2]
        if answer is None:
            return None
        text = answer.body.replace(b"{token}", unquote(token).encode()).replace(b"{encoded}", token.encode())
        return HandshakeAnswer(status=answer.status, content_type=answer.content_type, body=text)

    bc.handshake = shake
    assert api.post("/subscriptions", body_for(api, "customers")).status == 400
    assert api.patch(f"/subscriptions('{kept['subscriptionId']}')", body_for(api, clientState="new")).status == 400
    kept.pop("@odata.context")
    assert api.rows("/subscriptions") == [kept]


def test_renewing_handshakes_again_and_starts_a_new_term(
    api: Api, clock: VirtualClock, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """PATCH: 200, new expiry, new ETag, clientState may change, a fresh token was asked for."""
    made = subscribe()
    clock.advance(timedelta(hours=24))
    path = f"/subscriptions('{made['subscriptionId']}')"
    answer = api.patch(path, body_for(api, clientState="t"), made["@odata.etag"])
    renewed = answer.json()
    assert (answer.status, renewed["expirationDateTime"], renewed["clientState"]) == (200, "2026-02-15T09:00:00Z", "t")
    assert renewed["@odata.etag"] != made["@odata.etag"]
    assert len(set(subscriber.handshakes)) == 2
    assert api.patch(path, body_for(api), made["@odata.etag"]).status == 409


def test_the_key_must_be_quoted(api: Api, subscribe: Subscribe) -> None:
    """`subscriptions(abc)` is a syntax error, `subscriptions('abc')` is found."""
    made = subscribe()
    assert api.get(f"/subscriptions({made['subscriptionId']})").status == 404
    assert api.get(f"/subscriptions('{made['subscriptionId']}')").json()["clientState"] == "s"
    assert api.get("/subscriptions('unknown')").status == 404


def test_patch_and_delete_want_if_match_and_a_body(api: Api, subscribe: Subscribe) -> None:
    """Without If-Match 400; an empty PATCH body 400; DELETE 204 without body."""
    made = subscribe()
    path = f"/subscriptions('{made['subscriptionId']}')"
    assert api.patch(path, body_for(api), None).json()["error"]["code"] == "BadRequest_InvalidToken"
    assert api.delete(path, None).json()["error"]["code"] == "BadRequest_InvalidToken"
    assert api.patch(path, {}).status == 400
    assert api.patch(path, b"").status == 400
    gone = api.delete(path, made["@odata.etag"])
    assert (gone.status, gone.body) == (204, b"")
    assert api.get(path).status == 404


@pytest.mark.parametrize(
    "form",
    ["/api/v2.0/companies({id})/customers", "api/v2.0/companies({id})/customers", "companies({id})/customers",
     "https://api.businesscentral.dynamics.com/v2.0/production/api/v2.0/companies({id})/customers"],
)  # fmt: skip
def test_every_form_of_resource_is_stored_as_given(
    api: Api, bc: BusinessCentral, subscriber: Subscriber, clock: VirtualClock, form: str
) -> None:
    """With or without slash, relative or absolute; notifications repeat the stored form."""
    resource = form.replace("{id}", api.company_id)
    made = api.create("/subscriptions", {"notificationUrl": URL, "resource": resource})
    assert made["resource"] == resource
    customer = bc.user.create_customer()
    clock.advance(30)
    bc.run_webhooks(subscriber.receive)
    assert subscriber.entries[0]["resource"] == f"{resource}({customer.id})"


@pytest.mark.parametrize(
    "change",
    [{"resource": "api/v2.0/companies({id})/salesOrderLines"}, {"resource": "api/v2.0/companies({id})/nope"},
     {"resource": "items"}, {"resource": "api/v2.0/companies(00000000-0000-4000-8000-000000000000)/items"},
     {"notificationUrl": "http://hooks.example.com/bc"}, {"notificationUrl": "hooks"}, {"notificationUrl": ""},
     {"resource": None}, {"clientState": "x" * 2049}, {"expirationDateTime": "2027-01-01T00:00:00Z"}],
)  # fmt: skip
def test_what_cannot_be_subscribed_to(api: Api, subscriber: Subscriber, change: Any) -> None:
    """Lines, unknown sets, foreign companies, plain http and read-only properties: 4xx before any handshake."""
    change = {key: value.replace("{id}", api.company_id) if value else value for key, value in change.items()}
    assert 400 <= api.post("/subscriptions", body_for(api, **change)).status < 500
    assert subscriber.handshakes == []


def test_two_subscriptions_to_the_same_thing_are_allowed(api: Api, subscribe: Subscribe) -> None:
    """They produce duplicates; nothing prevents it."""
    assert subscribe()["subscriptionId"] != subscribe()["subscriptionId"]
    assert len(api.rows("/subscriptions")) == 2


def test_an_environment_holds_200_subscriptions(api: Api, subscribe: Subscribe) -> None:
    """The 201st is refused."""
    for n in range(200):
        subscribe(url=f"{URL}/{n}")
    assert api.post("/subscriptions", body_for(api)).status == 400
    assert len(api.rows("/subscriptions")) == 200


def test_supported_resources_can_be_asked_for(api: Api, clock: VirtualClock, subscriber: Subscriber) -> None:
    """The documented query with its wildcard; variants and shipments are there unless the tenant lacks them."""
    runtime = api.url("/").replace("/api/v2.0/", "/api/microsoft/runtime/beta/")
    path = f"{runtime}companies({api.company_id})/webhookSupportedResources?$filter=resource eq 'v2.0*'"
    names = {row["resource"] for row in api.rows(path)}
    assert {"v2.0/items", "v2.0/salesInvoices", "v2.0/itemVariants", "v2.0/salesShipments"} <= names
    assert "v2.0/salesOrderLines" not in names
    poor = BusinessCentral(clock, handshake=subscriber.shake, optional_resources=())
    headers = {"Authorization": "Bearer good-app"}
    answer = poor.handle(Request(method="GET", url=path.replace("$filter=resource eq 'v2.0*'", ""), headers=headers))
    assert not {"v2.0/itemVariants", "v2.0/salesShipments"} & {row["resource"] for row in answer.json()["value"]}


def test_losing_a_subscription_silently_and_copying_the_environment(
    api: Api, bc: BusinessCentral, subscribe: Subscribe
) -> None:
    """One is gone without a word; after a copy all are."""
    first, second = subscribe(), subscribe("customers")
    bc.delete_subscription_silently(first["subscriptionId"])
    assert [row["subscriptionId"] for row in api.rows("/subscriptions")] == [second["subscriptionId"]]
    bc.user.create_customer()
    bc.copy_environment()
    assert (api.rows("/subscriptions"), bc.webhooks.waiting()) == ([], 0)


def test_a_subscription_deleted_during_its_handshake_is_not_renewed(
    bc: BusinessCentral, api: Api, subscribe: Subscribe, subscriber: Subscriber
) -> None:
    """404 when it is gone by the time the subscriber answered."""
    made = subscribe()

    def shake(url: str) -> HandshakeAnswer | None:
        bc.delete_subscription_silently(made["subscriptionId"])
        return subscriber.shake(url)

    bc.handshake = shake
    assert api.patch(f"/subscriptions('{made['subscriptionId']}')", body_for(api)).status == 404
    assert api.rows("/subscriptions") == []
