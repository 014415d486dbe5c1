"""The API of one environment: its URLs, its collections read to the end, its answers decoded.

Knows no entity and no verb; `client.py`, `webhook_api.py` and `order_api.py` own those. Every read says its intent.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit

from shared import exact_json
from shared.business_central import odata
from shared.business_central.entities import STANDARD_ROUTE
from shared.business_central.metadata import RouteFacts, read_metadata
from shared.business_central.page_parser import Page, parse_page
from shared.business_central.port import Intent
from shared.business_central.records import Record
from shared.business_central.retry import ONCE, READ, RetryPolicy
from shared.business_central.transport import Answer, Transport
from shared.errors import BCError, BCRejected, BCUnavailable
from shared.log import log_event

log: Final = logging.getLogger(__name__)

ROUTE: Final = STANDARD_ROUTE
#: Upper bound of pages followed for small lists (companies, subscriptions, look-ups): a looping link must end.
MAX_PAGES: Final = 200


class EnvironmentApi:
    """URLs and collections of one environment over one transport. Safe to share between threads."""

    def __init__(self, transport: Transport, *, tenant_id: str, environment: str) -> None:
        """Take the transport and the environment's place."""
        self.transport = transport
        self._refused: set[str] = set()  # collections whose refusal of an intent was logged
        self._root = environment_url(transport.api_url, tenant_id, environment)

    def url(self, resource: str) -> str:
        """Return the URL of a resource, which begins with `api/`."""
        return f"{self._root}/{resource}"

    def checked(self, link: str, resource: str) -> str:
        """Return a link that stays within a collection of this environment.

        Raises:
            BCRejected: it leads elsewhere; code `nextLink`.
        """
        if not odata.is_link_within(link, self.url(resource)):
            raise BCRejected("a link leads away from the collection that was asked for", code="nextLink")
        return link

    def get(
        self,
        url: str,
        *,
        intent: Intent,
        is_document: bool = False,
        headers: Mapping[str, str] | None = None,
        reserved: bool = False,
        policy: RetryPolicy = READ,
    ) -> Answer:
        """Read with an intent; one that BC refuses on a document is repeated without, and logged once.

        `is_document`: reading it on the primary may modify it. Whether `ReadOnly` then fails where BC would have
        modified it is not documented; without the header BC chooses, mostly the replica.
        """
        headers = headers or {}
        try:
            return self.transport.send(
                "GET", url, headers={**headers, "Data-Access-Intent": intent}, reserved=reserved, policy=policy
            )
        except (BCRejected, BCUnavailable) as error:
            if not is_document or intent is Intent.CURRENT:
                raise
            return self._without_intent(url, error, headers, reserved=reserved)

    def fetch[T](
        self, url: str, take: Callable[[Answer], T], *, is_document: bool, headers: Mapping[str, str], limit_s: float
    ) -> T:
        """Read what is committed, as `get`, and return what `take` makes of it; a reader may be asked."""
        intent = {"Data-Access-Intent": Intent.COMMITTED}
        try:
            return self.transport.fetch(url, take, headers={**headers, **intent}, limit_s=limit_s)
        except (BCRejected, BCUnavailable) as error:
            if not is_document:
                raise
            return take(self._without_intent(url, error, headers, reserved=False))

    def _without_intent(self, url: str, error: BCError, headers: Mapping[str, str], *, reserved: bool) -> Answer:
        """Read a document again without the intent that may have been refused. Raises `error` where that is no help."""
        if error.status not in {400, 500}:
            raise error
        try:
            answer = self.transport.send("GET", url, headers=headers, reserved=reserved, policy=ONCE)
        except BCError:
            raise error from None
        self._log_refusal(url, error)
        return answer

    def environments(self) -> list[str]:
        """Return the names of the tenant's environments (Microsoft Learn, "Get environments": version 1.2)."""
        answer = self.transport.send("GET", f"{self.transport.api_url}/environments/v1.2", policy=ONCE)
        return [str(row.get("name", "")) for row in rows_of(answer)[1]]

    def _log_refusal(self, url: str, error: BCError) -> None:
        """Log the first refusal of each collection."""
        path = urlsplit(url).path
        if path not in self._refused:
            self._refused.add(path)
            log_event(
                log, "bc.intent_refused", level=logging.WARNING, path=path, status=error.status, bc_code=error.code,
                bc_correlation_id=error.correlation_id,
            )  # fmt: skip

    def records(
        self,
        resource: str,
        query: str = "",
        *,
        intent: Intent,
        is_document: bool = False,
        reserved: bool = False,
        key: str = "id",
    ) -> list[Record]:
        """Read a small collection to its end; `key` is the property of its records' ids.

        Raises:
            BCRejected: it has more pages than any small list; code `nextLink`.
        """
        records: list[Record] = []
        url = self.url(resource) + query
        for _ in range(MAX_PAGES):
            page = page_of(self.get(url, intent=intent, is_document=is_document, reserved=reserved), key)
            records += page.records
            if not page.next_link:
                return records
            url = self.checked(page.next_link, resource)
        raise too_many_pages()

    def metadata(self, route: str) -> RouteFacts:
        """Return the entity sets of an API route.

        Raises:
            BCUnavailable: the answer is not a metadata document.
        """
        url = self.url(f"api/{route}/$metadata")
        answer = self.get(url, intent=Intent.COMMITTED, headers={"Accept": "application/xml"})
        try:
            return read_metadata(answer.body)
        except ValueError as error:
            raise BCUnavailable(str(error), status=answer.status, code="body") from error


def environment_url(api_url: str, tenant_id: str, environment: str) -> str:
    """Return the URL of an environment."""
    return f"{api_url}/v2.0/{quote(tenant_id, safe='')}/{quote(environment, safe='')}"


def too_many_pages() -> BCRejected:
    """Return the error of a list that does not end, which is no list: what it lacks may be on its further pages."""
    return BCRejected(f"more than {MAX_PAGES} pages", code="nextLink")


def page_of(answer: Answer, key: str = "id") -> Page:
    """Return the page of an answer. Raises BCUnavailable when it is none, or not a complete one."""
    try:
        return parse_page(answer.drain(), key)
    except ValueError as error:
        raise BCUnavailable("an answer that is not a complete page", status=answer.status, code="body") from error


def document_of(answer: Answer) -> dict[str, Any]:
    """Return the JSON object of an answer. Raises BCUnavailable when it is none."""
    try:
        document = exact_json.loads(answer.body)
    except ValueError as error:
        raise BCUnavailable("an answer that is not JSON", status=answer.status, code="body") from error
    if not isinstance(document, dict):
        raise BCUnavailable("an answer that is not a JSON object", status=answer.status, code="body")
    return document


def rows_of(answer: Answer) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a document and its rows; without a list of them it is no answer, and never "there are none"."""
    document = document_of(answer)
    rows = document.get("value")
    if not isinstance(rows, list):
        raise BCUnavailable("an answer without a list named value", status=answer.status, code="body")
    return document, [row for row in rows if isinstance(row, dict)]
