"""The verbs of `port.BusinessCentral` over one transport."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from shared import exact_json
from shared.business_central import odata, records, retry
from shared.business_central.entities import Entity
from shared.business_central.page_parser import Page, parse_page
from shared.business_central.port import Company, PageAnswer, PageAsk, PostedOrder, Subscription, Wanted, WebhookLogLine
from shared.business_central.records import Record
from shared.business_central.transport import Answer, Transport
from shared.clock import NO_TIME, format_time, parse_time
from shared.concurrency import at_once
from shared.errors import BCNotFound, BCRejected, BCUnavailable

_JSON: Final = {"Content-Type": "application/json"}
_ROUTE: Final = "v2.0"
#: Where an order leaves its number: itself, and what is left of it once it is shipped and invoiced.
_ORDER_TRACES: Final = {"salesOrders": "number", "salesInvoices": "orderNumber", "salesShipments": "orderNumber"}
#: Upper bound of pages followed for small lists (companies, subscriptions, look-ups): a looping link must end.
_MAX_PAGES: Final = 200


class BusinessCentralClient:
    """Talks to one environment. Safe to share between threads."""

    def __init__(self, transport: Transport, *, tenant_id: str, environment: str, threads: int = 1) -> None:
        """Take the transport and the environment's place; `threads` is how many requests of one call may be under way.

        The budget still decides how many there are in all.
        """
        self._transport = transport
        self._threads = threads
        self._api = f"{transport.api_url}/v2.0/{quote(tenant_id, safe='')}/{quote(environment, safe='')}/api"

    def company_url(self, company: str) -> str:
        """Return the API URL of a company."""
        return f"{self._api}/{_ROUTE}/companies({company})"

    def companies(self) -> list[Company]:
        """Return all companies the connection may list."""
        rows = self._all(f"{self._api}/{_ROUTE}/companies", "api/v2.0/companies")
        return [Company(row.key, row.text("name"), row.text("displayName") or row.text("name")) for row in rows]

    def page(self, ask: PageAsk) -> PageAnswer:
        """Read one page."""
        name = ask.entity.nested_set if ask.what == "nested" else ask.entity.name
        resource = f"api/{ask.entity.route}/companies({ask.company})/{name}"
        url = ask.link or f"{self._api}/{resource.removeprefix('api/')}" + _page_query(ask)
        answer = self._transport.send(
            "GET", self._checked(url, resource), headers={"Prefer": f"odata.maxpagesize={ask.rows}"}
        )
        size = sum(map(len, answer.chunks))
        page = _page(answer)
        if page.next_link:
            if page.next_link == ask.link:
                raise BCRejected("the next link leads to the same page again", code="nextLink")
            self._checked(page.next_link, resource)
        return PageAnswer(page, answer.served_at, size=size, took_s=answer.took_s)

    def records(
        self, company: str, entity: Entity, keys: Sequence[str], *, with_nested: bool, urgent: bool = True
    ) -> list[Record]:
        """Read up to 100 records by id."""
        options = {"filter": odata.any_id(keys), "expand": entity.nested if with_nested else ""}
        resource = entity.resource(company)
        url = f"{self._api}/{resource.removeprefix('api/')}" + odata.query(options)
        return self._all(url, resource, urgent=urgent)

    def split_points(self, company: str, entity: Entity, parts: int, *, least: int) -> list[str]:
        """Return values of `number` that cut the entity into similar parts: one count, and one probe a part.

        Fewer rows than `least` are not cut, as the probes would cost more than they bring.

        `$skip` is a positional scan, which is why only these few probes use it; the pages themselves never do.
        """
        resource = entity.resource(company)
        base = f"{self._api}/{resource.removeprefix('api/')}"
        counted = self._transport.send("GET", base + odata.query({"select": "id", "top": "1", "count": "true"}))
        total = _json(counted).get("@odata.count")
        if not isinstance(total, int) or total < least:
            return []
        skips = [total * part // parts for part in range(1, parts)]

        def probe(skip: int) -> list[Record]:
            options = {"select": "id,number", "orderby": "number", "skip": str(skip), "top": "1"}
            return _page(self._transport.send("GET", base + odata.query(options))).records

        probes = at_once(probe, [skip for skip in skips if skip], self._threads)
        numbers = [row.text("number") for records in probes for row in records]
        # each once, in BC's own order, which need not be that of the characters
        return list(dict.fromkeys(number for number in numbers if number and odata.is_plain(number)))

    def find_orders(
        self,
        company: str,
        external_number: str,
        *,
        customer_number: str,
        customer_id: str,
        since: datetime,
        also_posted: bool,
    ) -> list[PostedOrder]:
        """Look an order up in salesOrders, then in what is left of it once posted: salesInvoices, salesShipments.

        `and` over different fields is fine, `or` is not, hence one request each. A number that AL could take for a
        pattern is compared here, over all documents of the customer since the order was first tried.
        """
        customer = (
            f"customerNumber eq {odata.text_literal(customer_number)}"
            if customer_number
            else f"customerId eq {customer_id}"
        )
        if odata.is_plain(external_number):
            wanted = f"externalDocumentNumber eq {odata.text_literal(external_number)} and {customer}"
        else:
            wanted = f"{customer} and lastModifiedDateTime ge {format_time(since)}"
        found: dict[str, PostedOrder] = {}
        for name, number in _ORDER_TRACES.items():
            if name != "salesOrders" and not also_posted:
                continue
            resource = f"api/{_ROUTE}/companies({company})/{name}"
            select = f"id,externalDocumentNumber,{number}"
            url = f"{self.company_url(company)}/{name}" + odata.query({"filter": wanted, "select": select})
            for row in self._all(url, resource, urgent=True):
                document = row.text(number)
                if row.text("externalDocumentNumber").upper() != external_number.upper() or not document:
                    continue
                order_id = row.key if name == "salesOrders" else ""
                found.setdefault(document, PostedOrder(order_id, document))
        return list(found.values())

    def create_order(self, company: str, body: str) -> PostedOrder:
        """Post one sales order; never repeated here, as BC knows no idempotency key."""
        url = f"{self.company_url(company)}/salesOrders"
        answer = self._transport.send("POST", url, body=body, headers=_JSON, urgent=True, policy=retry.ONCE)
        try:
            row = records.parse_record(answer.body)
        except ValueError as error:  # committed, but the answer is unreadable: the look-up will find it
            raise BCUnavailable("unreadable answer to a posted order", status=answer.status, code="body") from error
        return PostedOrder(row.key, row.text("number"))

    def webhook_resources(self, company: str) -> frozenset[str]:
        """Return what `webhookSupportedResources` lists, in lower case."""
        url = f"{self._api}/microsoft/runtime/beta/companies({company})/webhookSupportedResources"
        _, rows = _rows(self._transport.send("GET", url))
        return frozenset(str(row.get("resource", "")).strip("/").lower() for row in rows)

    def probe(self, company: str, entity: Entity, *, with_nested: bool) -> datetime | None:
        """Read one record at most; asked once, as the doctor wants to see a fault and not to overcome it."""
        options = {"top": "1", "select": "", "expand": entity.nested} if with_nested else {"top": "1", "select": "id"}
        url = f"{self._api}/{entity.resource(company).removeprefix('api/')}" + odata.query(options)
        answer = self._transport.send("GET", url, policy=retry.ONCE)
        _page(answer)
        return answer.served_at

    def webhook_logs(self, company: str) -> list[WebhookLogLine]:
        """Return the first page of `webhookLogs`; the page sorts it, newest first (AL: page "API Webhook Logs")."""
        url = f"{self._api}/microsoft/runtime/beta/companies({company})/webhookLogs"
        value = _json(self._transport.send("GET", url, policy=retry.ONCE)).get("value")
        return [_log_line(row) for row in (value if isinstance(value, list) else []) if isinstance(row, dict)]

    def subscriptions(self) -> list[Subscription]:
        """Return all webhooks of the environment."""
        url, found = f"{self._api}/{_ROUTE}/subscriptions", []
        for _ in range(_MAX_PAGES):
            document, rows = _rows(self._transport.send("GET", url))
            found += [_subscription(row) for row in rows]
            url = str(document.get("@odata.nextLink") or "")
            if not url:
                break
            self._checked(url, "api/v2.0/subscriptions")
        return found

    def create_subscription(self, wanted: Wanted) -> Subscription:
        """Register a webhook; not repeated here, the next run of the timer does."""
        url = f"{self._api}/{_ROUTE}/subscriptions"
        body = _subscription_body(wanted)
        return _subscription(_json(self._transport.send("POST", url, body=body, headers=_JSON, policy=retry.ONCE)))

    def renew_subscription(self, wanted: Wanted, existing: Subscription) -> Subscription:
        """Renew a webhook: PATCH with the quoted key, If-Match and a body (an empty one is refused)."""
        headers = {**_JSON, "If-Match": existing.etag}
        answer = self._transport.send(
            "PATCH",
            self._subscription_url(existing),
            body=_subscription_body(wanted),
            headers=headers,
            policy=retry.ONCE,
        )
        return _subscription(_json(answer))

    def delete_subscription(self, existing: Subscription) -> None:
        """Remove a webhook."""
        try:
            headers = {"If-Match": existing.etag}
            self._transport.send("DELETE", self._subscription_url(existing), headers=headers, policy=retry.ONCE)
        except BCNotFound:
            return

    def _subscription_url(self, existing: Subscription) -> str:
        return f"{self._api}/{_ROUTE}/subscriptions('{quote(existing.subscription_id, safe='')}')"

    def _all(self, url: str, resource: str, *, urgent: bool = False) -> list[Record]:
        records: list[Record] = []
        for _ in range(_MAX_PAGES):
            page = _page(self._transport.send("GET", self._checked(url, resource), urgent=urgent))
            records += page.records
            if not page.next_link:
                return records
            url = page.next_link
        raise BCRejected(f"more than {_MAX_PAGES} pages", code="nextLink")

    def _checked(self, url: str, resource: str) -> str:
        if not odata.is_link_within(url, self._transport.api_url, resource):
            raise BCRejected("a link leads away from the collection that was asked for", code="nextLink")
        return url


def _page_query(ask: PageAsk) -> str:
    clauses = []
    if ask.since is not None:
        clauses.append(f"lastModifiedDateTime ge {format_time(ask.since)}")
    if ask.low:
        clauses.append(f"number ge {odata.text_literal(ask.low)}")
    if ask.high:
        clauses.append(f"number lt {odata.text_literal(ask.high)}")
    select = ""
    if ask.what == "nested":
        select = f"id,{ask.entity.nested_parent},lastModifiedDateTime"
    elif ask.what == "ids":
        select = "id,number,status,lastModifiedDateTime" if ask.entity.posts else "id,lastModifiedDateTime"
    return odata.query({
        "select": select,
        "filter": " and ".join(clauses),
        "orderby": ask.order,
        "skip": str(ask.skip or ""),
        "expand": ask.entity.nested if ask.with_nested and ask.what == "records" else "",
    })  # fmt: skip


def _page(answer: Answer) -> Page:
    try:
        return parse_page(answer.drain())
    except (ValueError, RecursionError) as error:
        raise BCUnavailable("an answer that is not a complete page", status=answer.status, code="body") from error


def _json(answer: Answer) -> dict[str, Any]:
    try:
        document = exact_json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise BCUnavailable("an answer that is not JSON", status=answer.status, code="body") from error
    if not isinstance(document, dict):
        raise BCUnavailable("an answer that is not a JSON object", status=answer.status, code="body")
    return document


def _rows(answer: Answer) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a document and its rows; without a list of them it is no answer, and never "there are none"."""
    document = _json(answer)
    rows = document.get("value")
    if not isinstance(rows, list):
        raise BCUnavailable("an answer without a list named value", status=answer.status, code="body")
    return document, [row for row in rows if isinstance(row, dict)]


def _subscription_body(wanted: Wanted) -> str:
    return exact_json.dumps({
        "notificationUrl": wanted.url, "resource": wanted.resource, "clientState": wanted.client_state,
    })  # fmt: skip


def _subscription(row: dict[str, Any]) -> Subscription:
    expires_at = parse_time(str(row.get("expirationDateTime", "")))
    return Subscription(
        subscription_id=str(row.get("subscriptionId", "")),
        url=str(row.get("notificationUrl", "")),
        resource=str(row.get("resource", "")),
        expires_at=expires_at or NO_TIME,
        etag=str(row.get("@odata.etag", "*")),
    )


def _log_line(row: dict[str, Any]) -> WebhookLogLine:
    return WebhookLogLine(
        at=parse_time(str(row.get("time", ""))),
        failed=str(row.get("status", "")).lower() == "failed",
        message=str(row.get("message", ""))[:500],
        details=str(row.get("details", ""))[:2000],
    )
