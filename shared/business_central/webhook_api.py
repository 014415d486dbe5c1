"""Webhooks at Business Central: subscriptions, what may be subscribed, and BC's own log of its calls.

Source: "Working with webhooks in Dynamics 365 Business Central" (Microsoft Learn, dynamics-subscriptions).
"""

import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote

from shared import exact_json
from shared.business_central import retry
from shared.business_central.environment_api import (
    MAX_PAGES,
    ROUTE,
    EnvironmentApi,
    document_of,
    rows_of,
    too_many_pages,
)
from shared.business_central.port import Intent, Subscription, Wanted, WebhookLogLine
from shared.clock import NO_TIME, parse_time
from shared.errors import BCNotFound

_JSON: Final = {"Content-Type": "application/json"}
#: The API route that a resource lies at, as a subscription names it.
_ROUTE_OF: Final = re.compile(r"(?:^|/)api/((?:\w[\w.-]*/){0,2}\w[\w.-]*)/companies\(", re.IGNORECASE)
_RUNTIME: Final = "api/microsoft/runtime/beta"


class WebhookApi:
    """The verbs about webhooks; `port.BusinessCentral` says what each promises."""

    def __init__(self, api: EnvironmentApi) -> None:
        """Take the environment."""
        self._api = api
        self._send = api.transport.send

    def offered(self, company: str) -> frozenset[str]:
        """Return what `webhookSupportedResources` lists, in lower case."""
        url = self._api.url(f"{_RUNTIME}/companies({company})/webhookSupportedResources")
        _, rows = rows_of(self._api.get(url, intent=Intent.CURRENT))
        return frozenset(str(row.get("resource", "")).strip("/").lower() for row in rows)

    def log_lines(self, company: str) -> list[WebhookLogLine]:
        """Return the first page of `webhookLogs`; BC sorts it, newest first (AL: page "API Webhook Logs")."""
        url = self._api.url(f"{_RUNTIME}/companies({company})/webhookLogs")
        value = document_of(self._api.get(url, intent=Intent.COMMITTED, policy=retry.ONCE)).get("value")
        return [_log_line(row) for row in (value if isinstance(value, list) else []) if isinstance(row, dict)]

    def subscriptions(self, routes: Iterable[str]) -> list[Subscription]:
        """Return all webhooks of the environment: those that the lists of these routes hold, each once."""
        found: dict[str, Subscription] = {}
        unnamed: list[Subscription] = []
        for route in routes:
            try:
                listed = self._listed(f"api/{route}/subscriptions")
            except BCNotFound:
                if route == ROUTE:
                    raise
                continue  # the custom API was taken back, and its webhooks with it
            unnamed += [one for one in listed if not one.subscription_id]
            found |= {one.subscription_id: one for one in listed if one.subscription_id}
        return [*found.values(), *unnamed]

    def _listed(self, resource: str) -> list[Subscription]:
        url, found = self._api.url(resource), []
        for _ in range(MAX_PAGES):
            document, rows = rows_of(self._api.get(url, intent=Intent.CURRENT))
            found += [_subscription(row) for row in rows]
            url = str(document.get("@odata.nextLink") or "")
            if not url:
                return found
            self._api.checked(url, resource)
        raise too_many_pages()

    def create(self, wanted: Wanted) -> Subscription:
        """Register a webhook, at the route of its resource; not repeated here, the next run of the timer does."""
        url = self._api.url(_list_of(wanted.resource))
        answer = self._send("POST", url, body=_body(wanted), headers=_JSON, policy=retry.ONCE)
        return _subscription(document_of(answer))

    def renew(self, wanted: Wanted, existing: Subscription) -> Subscription:
        """Renew a webhook: PATCH with the quoted key, If-Match and a body (an empty one is refused)."""
        headers = {**_JSON, "If-Match": existing.etag}
        answer = self._send("PATCH", self._url(existing), body=_body(wanted), headers=headers, policy=retry.ONCE)
        return _subscription(document_of(answer))

    def delete(self, existing: Subscription) -> None:
        """Remove a webhook; one that is gone is fine."""
        try:
            self._send("DELETE", self._url(existing), headers={"If-Match": existing.etag}, policy=retry.ONCE)
        except BCNotFound:
            return

    def _url(self, existing: Subscription) -> str:
        return self._api.url(f"{_list_of(existing.resource)}('{quote(existing.subscription_id, safe='')}')")


def _list_of(resource: str) -> str:
    """Return the list of subscriptions at the route of a resource; a custom API page has one of its own."""
    found = _ROUTE_OF.search(resource)
    return f"api/{found[1] if found else ROUTE}/subscriptions"


def _body(wanted: Wanted) -> str:
    return exact_json.dumps({
        "notificationUrl": wanted.url, "resource": wanted.resource, "clientState": wanted.client_state,
    })  # fmt: skip


def _subscription(row: dict[str, Any]) -> Subscription:
    return Subscription(
        subscription_id=str(row.get("subscriptionId", "")),
        url=str(row.get("notificationUrl", "")),
        resource=str(row.get("resource", "")),
        expires_at=parse_time(str(row.get("expirationDateTime", ""))) or NO_TIME,
        etag=str(row.get("@odata.etag", "*")),
    )


def _log_line(row: dict[str, Any]) -> WebhookLogLine:
    return WebhookLogLine(
        at=parse_time(str(row.get("time", ""))),
        failed=str(row.get("status", "")).lower() == "failed",
        message=str(row.get("message", ""))[:500],
        details=str(row.get("details", ""))[:2000],
    )
