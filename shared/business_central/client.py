"""The verbs of `port.BusinessCentral` over one transport: reads here, webhooks and orders in a module each."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from shared.business_central import page_queries, retry
from shared.business_central.entities import Entity
from shared.business_central.environment_api import ROUTE, EnvironmentApi, document_of, page_of
from shared.business_central.facts_api import facts
from shared.business_central.metadata import RouteFacts
from shared.business_central.odata import is_plain
from shared.business_central.order_api import OrderApi
from shared.business_central.port import (
    Company,
    DocumentLine,
    Intent,
    PageAnswer,
    PageAsk,
    PostedOrder,
    Subscription,
    Wanted,
    WebhookLogLine,
)
from shared.business_central.records import Record
from shared.business_central.transport import Answer, Transport
from shared.business_central.webhook_api import WebhookApi
from shared.concurrency import at_once
from shared.errors import BCRejected, BCUnavailable, may_be_of_one_record


class BusinessCentralClient:
    """Talks to one environment. Safe to share between threads."""

    def __init__(self, transport: Transport, *, tenant_id: str, environment: str, threads: int = 1) -> None:
        """Take the transport and the environment's place; `threads` is how many requests of one call may be under way.

        The budget still decides how many there are in all.
        """
        self._api = EnvironmentApi(transport, tenant_id=tenant_id, environment=environment)
        self._webhooks = WebhookApi(self._api)
        self._orders = OrderApi(self._api)
        self._threads = threads

    # -- reads

    def company_url(self, company: str, route: str = ROUTE) -> str:
        """Return the API URL of a company."""
        return self._api.url(f"api/{route}/companies({company})")

    def environments(self) -> list[str]:
        """Return the names of the tenant's environments."""
        return self._api.environments()

    def companies(self) -> list[Company]:
        """Return all companies the connection may list."""
        rows = self._api.records(f"api/{ROUTE}/companies", intent=Intent.CURRENT)
        return [Company(row.key, row.text("name"), row.text("displayName") or row.text("name")) for row in rows]

    def page(self, ask: PageAsk) -> PageAnswer:
        """Read one page."""
        resource = page_queries.page_resource(ask)
        first = self._api.url(resource) + page_queries.page_query(ask)

        def take(answer: Answer) -> PageAnswer:
            size = sum(map(len, answer.chunks))
            page = page_of(answer, "id" if ask.what == "expanded" else ask.entity.key)
            if page.next_link:
                if page.next_link == ask.link:
                    raise BCRejected("the next link leads to the same page again", code="nextLink")
                self._api.checked(page.next_link, resource)
            return PageAnswer(page, answer.served_at, size=size, took_s=answer.took_s)

        return self._api.fetch(
            self._api.checked(ask.link, resource) if ask.link else first, take,
            is_document=ask.entity.modified_by_reads, headers={"Prefer": f"odata.maxpagesize={ask.rows}"},
            limit_s=ask.limit_s,
        )  # fmt: skip

    def records(
        self,
        company: str,
        entity: Entity,
        keys: Sequence[str],
        *,
        expanded: bool,
        reserved: bool = False,
        intent: Intent = Intent.COMMITTED,
    ) -> list[Record]:
        """Read up to 100 records by id."""
        if intent is Intent.CURRENT and entity.modified_by_reads:
            raise ValueError(f"reading {entity.name} on the primary may modify what it finds")
        query = page_queries.records_query(entity, keys, expanded=expanded)
        return self._api.records(
            entity.resource(company), query, intent=intent, is_document=entity.modified_by_reads, reserved=reserved,
            key=entity.key,
        )  # fmt: skip

    def split_points(self, company: str, entity: Entity, parts: int, *, least: int) -> list[str]:
        """Return sort values that cut the entity into similar parts: one count, and one probe a part.

        Fewer rows than `least` are not cut, as the probes would cost more than they bring. Where the row of a probe
        can't be read there is a cut less; the count reads a row as well, and without it nothing is cut.
        """
        url = self._api.url(entity.resource(company))
        counted = self._with_one_row(url + page_queries.count_query(entity))
        total = None if counted is None else document_of(counted).get("@odata.count")
        if not isinstance(total, int) or total < least:
            return []
        skips = [total * part // parts for part in range(1, parts)]

        def probe(skip: int) -> list[Record]:
            cut = self._with_one_row(url + page_queries.cut_query(entity, skip))
            return [] if cut is None else page_of(cut, entity.key).records

        probes = at_once(probe, [skip for skip in skips if skip], self._threads)
        numbers = [row.text(entity.sort) for rows in probes for row in rows]
        # each once, in BC's own order, which need not be that of the characters
        return list(dict.fromkeys(number for number in numbers if number and is_plain(number)))

    def _with_one_row(self, url: str) -> Answer | None:
        """Return an answer that holds one row; None if that row may be why there is no answer."""
        try:
            return self._api.get(url, intent=Intent.COMMITTED)
        except (BCRejected, BCUnavailable) as error:
            if may_be_of_one_record(error):
                return None
            raise

    def probe(self, company: str, entity: Entity, *, expanded: bool) -> datetime | None:
        """Read one record at most; asked once, as the doctor wants to see a fault and not to overcome it."""
        url = self._api.url(entity.resource(company)) + page_queries.probe_query(entity, expanded=expanded)
        answer = self._api.get(url, intent=Intent.COMMITTED, is_document=entity.modified_by_reads, policy=retry.ONCE)
        page_of(answer, entity.key)
        return answer.served_at

    def facts(self, company: str) -> dict[str, str]:
        """Return what the environment answers to questions that no document answers."""
        return facts(self._api, company)

    # -- orders

    def find_orders(
        self,
        company: str,
        external_number: str,
        *,
        customer_number: str,
        customer_id: str,
        any_customer: bool,
        since: datetime | None,
        also_posted: bool,
        intent: Intent,
    ) -> list[PostedOrder]:
        """Look an order up by its external document number."""
        return self._orders.find(
            company, external_number, customer_number=customer_number, customer_id=customer_id,
            any_customer=any_customer, since=since, also_posted=also_posted, intent=intent,
        )  # fmt: skip

    def order_lines(self, company: str, order: PostedOrder) -> list[DocumentLine] | None:
        """Return the committed lines of a document that `find_orders` found."""
        return self._orders.lines(company, order)

    def create_order(self, company: str, body: str, in_time: Callable[[], bool] = lambda: True) -> PostedOrder:
        """Post one sales order, once, unless it is too late."""
        return self._orders.create(company, body, in_time)

    # -- webhooks

    def webhook_resources(self, company: str) -> frozenset[str]:
        """Return the resources this environment offers webhooks for."""
        return self._webhooks.offered(company)

    def webhook_logs(self, company: str) -> list[WebhookLogLine]:
        """Return BC's own log of the webhooks of one company."""
        return self._webhooks.log_lines(company)

    def metadata(self, route: str) -> RouteFacts:
        """Return the entity sets of an API route."""
        return self._api.metadata(route)

    def subscriptions(self, routes: Iterable[str] = (ROUTE,)) -> list[Subscription]:
        """Return all webhooks of the environment."""
        return self._webhooks.subscriptions(routes)

    def create_subscription(self, wanted: Wanted) -> Subscription:
        """Register a webhook."""
        return self._webhooks.create(wanted)

    def renew_subscription(self, wanted: Wanted, existing: Subscription) -> Subscription:
        """Renew a webhook."""
        return self._webhooks.renew(wanted, existing)

    def delete_subscription(self, existing: Subscription) -> None:
        """Remove a webhook."""
        self._webhooks.delete(existing)
