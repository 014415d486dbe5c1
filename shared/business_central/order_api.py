"""Sales orders at Business Central: post one, look one up wherever it has left its number, and read its lines."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from shared.business_central import odata, records, retry
from shared.business_central.code_text import code_of
from shared.business_central.entities import ORDER_TRACES, SALES_ORDERS, SALES_SHIPMENTS, Entity
from shared.business_central.environment_api import EnvironmentApi, page_of
from shared.business_central.port import DocumentLine, Intent, PostedOrder
from shared.business_central.records import Record
from shared.clock import format_time, parse_time
from shared.errors import BCNotFound, BCRejected, BCUnavailable

_JSON: Final = {"Content-Type": "application/json"}
#: Documents that one look-up reads at most.
MOST_DOCUMENTS: Final = 20_000
#: Seconds that the pages of one look-up may take together; less than an order is held by one worker.
_LOOK_UP_S: Final = 240.0
_SELECT: Final = "id,externalDocumentNumber,customerNumber,customerId,lastModifiedDateTime"
_ZERO: Final = "00000000-0000-0000-0000-000000000000"


class OrderApi:
    """The verbs about orders; `port.BusinessCentral` says what each promises."""

    def __init__(self, api: EnvironmentApi) -> None:
        """Take the environment."""
        self._api = api

    def create(self, company: str, body: str, in_time: Callable[[], bool]) -> PostedOrder:
        """Post one sales order; never repeated here, as BC knows no idempotency key."""
        url = self._api.url(SALES_ORDERS.resource(company))
        answer = self._api.transport.send(
            "POST", url, body=body, headers=_JSON, reserved=True, policy=retry.ONCE, in_time=in_time
        )
        try:
            row = records.parse_record(answer.body)
        except ValueError as error:  # committed, but the answer is unreadable: the look-up will find it
            raise BCUnavailable("unreadable answer to a posted order", status=answer.status, code="body") from error
        return PostedOrder(row.key, row.text("number"))

    def find(
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
        """Look an order up in salesOrders, then in what is left of it once posted: salesInvoices, salesShipments.

        `and` over different fields is fine, `or` is not, hence one request each. The filter only narrows: number and
        customer are compared here again, as AL takes `*`, `|`, `..` and others in a value for a pattern.
        """
        is_narrow = odata.is_plain(external_number) or since is not None
        customer = "" if any_customer and is_narrow else _customer(customer_number, customer_id)
        query = " and ".join(filter(None, (*_narrowed(external_number, since), customer)))
        found: dict[str, PostedOrder] = {}
        for entity in ORDER_TRACES if also_posted else (SALES_ORDERS,):
            for document, fields in self._documents(company, entity, query, intent):
                is_customers = _is_of(fields, customer_number, customer_id)
                if (is_customers or any_customer) and _bears(fields, external_number):
                    found.setdefault(document.number, replace(document, is_customers=is_customers))
                if len(found) > MOST_DOCUMENTS:
                    raise _too_many(external_number)
        return list(found.values())

    def lines(self, company: str, order: PostedOrder) -> list[DocumentLine] | None:
        """Return the committed lines of an order, invoice or shipment; those of a shipment have no ids."""
        ids = "" if order.lines.endswith(SALES_SHIPMENTS.expand) else ",itemId,accountId"
        resource = f"api/v2.0/companies({company})/{order.lines}"
        query = odata.query({"select": f"id,lineObjectNumber,quantity{ids}"})
        try:
            return [_line(row.fields) for row in self._rows(resource, query, Intent.COMMITTED)]
        except BCNotFound:
            return None

    def _documents(
        self, company: str, entity: Entity, query: str, intent: Intent
    ) -> Iterator[tuple[PostedOrder, dict[str, Any]]]:
        """Yield what a filter lets pass, and the properties that were read of it; what has no order is left out."""
        date = ",orderDate" if entity is SALES_ORDERS else ""
        options = {"filter": query, "select": f"{_SELECT},{entity.order_number}{date}"}
        for row in self._rows(entity.resource(company), odata.query(options), intent):
            fields = row.fields
            number = _text(fields, entity.order_number)
            if number:
                yield _document(entity, row, fields, number), fields

    def _rows(self, resource: str, query: str, intent: Intent) -> Iterator[Record]:
        """Yield the rows of a collection, until there are more than a look-up may read.

        Raises:
            BCRejected: too many rows.
            BCUnavailable: the pages took too long.
        """
        url, rows, took_s = self._api.url(resource) + query, 0, 0.0
        while url:
            answer = self._api.get(url, intent=intent, is_document=True, reserved=True)
            page = page_of(answer)
            yield from page.records
            rows, took_s = rows + len(page.records), took_s + answer.took_s
            if page.next_link and (rows > MOST_DOCUMENTS or not page.records):
                raise _too_many(resource)
            if page.next_link and took_s > _LOOK_UP_S:
                raise BCUnavailable(f"a look-up took longer than {_LOOK_UP_S:.0f} s", code=retry.TIMEOUT)
            url = self._api.checked(page.next_link, resource) if page.next_link else ""


def _narrowed(external_number: str, since: datetime | None) -> Iterator[str]:
    """Yield clauses that let pass every document of a number: it, or its longest part that AL takes as it is."""
    if odata.is_plain(external_number):
        yield f"externalDocumentNumber eq {odata.text_literal(external_number)}"
        return
    part = odata.plain_part(external_number)
    if part:
        yield f"contains(externalDocumentNumber,{odata.text_literal(part)})"
    if since is not None:
        yield f"lastModifiedDateTime ge {format_time(since)}"


def _customer(number: str, key: str) -> str:
    if number and odata.is_plain(number):
        return f"customerNumber eq {odata.text_literal(number)}"
    return f"customerId eq {key}" if key else ""


def _bears(fields: dict[str, Any], external_number: str) -> bool:
    return code_of(_text(fields, "externalDocumentNumber")) == code_of(external_number)


def _is_of(fields: dict[str, Any], customer_number: str, customer_id: str) -> bool:
    if customer_number:
        return code_of(_text(fields, "customerNumber")) == code_of(customer_number)
    return _text(fields, "customerId").lower() == customer_id.lower()


def _document(entity: Entity, row: Record, fields: dict[str, Any], number: str) -> PostedOrder:
    return PostedOrder(
        row.key if entity is SALES_ORDERS else "", number, order_date=_text(fields, "orderDate"),
        modified_at=parse_time(row.modified_text), lines=f"{entity.name}({row.key})/{entity.expand}",
    )  # fmt: skip


def _line(fields: dict[str, Any]) -> DocumentLine:
    ids = {_text(fields, name).lower() for name in ("itemId", "accountId")} - {"", _ZERO}
    try:
        quantity = Decimal(str(fields.get("quantity", 0)))
    except InvalidOperation as error:
        raise BCUnavailable("a line whose quantity is no number", code="body") from error
    return DocumentLine(frozenset(ids), _text(fields, "lineObjectNumber"), quantity)


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _too_many(what: str) -> BCRejected:
    return BCRejected(f"more than {MOST_DOCUMENTS} documents to look through for {what}", code="TooManyOrders")
