"""Sales orders at Business Central: post one, and look one up wherever it has left its number."""

from datetime import datetime
from typing import Final

from shared.business_central import odata, records, retry
from shared.business_central.entities import ORDER_TRACES, SALES_ORDERS
from shared.business_central.environment_api import EnvironmentApi
from shared.business_central.port import Intent, PostedOrder
from shared.clock import format_time
from shared.errors import BCUnavailable

_JSON: Final = {"Content-Type": "application/json"}


class OrderApi:
    """The verbs about orders; `port.BusinessCentral` says what each promises."""

    def __init__(self, api: EnvironmentApi) -> None:
        """Take the environment."""
        self._api = api

    def create(self, company: str, body: str) -> PostedOrder:
        """Post one sales order; never repeated here, as BC knows no idempotency key."""
        url = self._api.url(SALES_ORDERS.resource(company))
        answer = self._api.transport.send("POST", url, body=body, headers=_JSON, reserved=True, policy=retry.ONCE)
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
        for entity in ORDER_TRACES if also_posted else (SALES_ORDERS,):
            select = f"id,externalDocumentNumber,{entity.order_number}"
            query = odata.query({"filter": wanted, "select": select})
            for row in self._api.records(entity.resource(company), query, intent=Intent.CURRENT, reserved=True):
                number = row.text(entity.order_number)
                if row.text("externalDocumentNumber").upper() != external_number.upper() or not number:
                    continue
                order_id = row.key if entity is SALES_ORDERS else ""
                found.setdefault(number, PostedOrder(order_id, number))
        return list(found.values())
