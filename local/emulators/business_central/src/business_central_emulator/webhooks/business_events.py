"""External business events, as a switch: their catalogue, their subscriptions, and one POST for each event.

Docs "Business events overview" (preview) and AL ExternalEvents, as far as they tell: no handshake and no expiry, one
event a POST, sent after the commit without the 30 s window, never for a rollback. Repeated refusals disable a
subscription; how many is not documented, so `MAX_ATTEMPTS` is this emulator's own.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from business_central_emulator.data import errors
from business_central_emulator.data.environment import Environment, Work
from business_central_emulator.data.record import Record
from business_central_emulator.data.schema import ENTITIES, ZERO_GUID
from business_central_emulator.data.store import new_row
from business_central_emulator.data.values import format_datetime
from business_central_emulator.odata import bodies
from business_central_emulator.odata.calls import Call, Outcome, Target, check_etag, with_context
from business_central_emulator.odata.navigation import read
from business_central_emulator.odata.query import Options
from business_central_emulator.odata.routing import Segment
from business_central_emulator.server.exchange import Post

ROUTE: Final = "microsoft/runtime/v1.0"
APP_ID: Final = "437dbf0e-84ff-417a-965d-ed2bb9650972"  # Base Application
MAX_ATTEMPTS: Final = 5
RETRY: Final = timedelta(minutes=1)
_SUBSCRIPTIONS: Final = ENTITIES["externaleventsubscriptions"]
_WRITABLE: Final = ("companyName", "companyId", "eventName", "appId", "notificationUrl", "clientState", "eventVersion")
#: (what happened, to what) -> (event, name of the id in its payload, what people read).
EVENTS: Final[Mapping[tuple[str, str], tuple[str, str, str]]] = {
    ("posted", "salesInvoices"): ("SalesInvoicePosted", "SalesInvoiceAPIId", "Sales invoice posted"),
    ("created", "salesShipments"): ("SalesShipmentPosted", "SalesShipmentId", "Sales shipment posted"),
    ("released", "salesOrders"): ("SalesOrderReleased", "SalesOrderId", "Sales order released"),
}


@dataclass(slots=True)
class _Waiting:
    subscription_id: str
    body: dict[str, Any]
    due: datetime
    attempts: int = 0


class BusinessEvents:
    """The events of one environment."""

    def __init__(self, environment: Environment) -> None:
        self.is_on = False
        self._environment = environment
        self._waiting: list[_Waiting] = []

    def answer(self, call: Call, work: Work, segments: list[Segment]) -> Outcome:
        """Answer a request on the route of the events."""
        if not self.is_on:
            raise errors.NotEmulatedError("external business events (a switch of this emulator)")
        name = segments[0].name.lower() if len(segments) == 1 else ""
        if name == "externalbusinesseventdefinitions" and call.request.method == "GET":
            return self._definitions(call)
        if name != _SUBSCRIPTIONS.name:
            raise errors.segment_not_found(segments[-1].name if segments else "")
        target = Target(_SUBSCRIPTIONS, context=_SUBSCRIPTIONS.name, segment=_SUBSCRIPTIONS.name)
        if segments[0].key is not None:
            target.record = call.reader.table(_SUBSCRIPTIONS).get(segments[0].guid())
            if target.record is None:
                raise errors.segment_not_found(_SUBSCRIPTIONS.name)
        return self._subscription(call, work, target)

    def record(self, work: Work) -> None:
        """Queue what a committed work tells, for the subscriptions of its company."""
        if not self.is_on:
            return
        for kind, record, _, company_id in work.notes:
            found = EVENTS.get((kind, record.entity.name))
            if found is None:
                continue
            event, id_name, _ = found
            for row in self._environment.table(_SUBSCRIPTIONS.name):
                is_theirs = row["eventName"] == event and row["companyId"] == company_id
                if is_theirs and row["subscriptionState"] == "Active":
                    body = self._body(row, company_id, event, {id_name: record.id})
                    self._waiting.append(_Waiting(row.id, body, work.now))

    def run(self, now: datetime, post: Post) -> int:
        """Send what is due, one event a POST; return how many POSTs were made."""
        due = [one for one in self._waiting if one.due <= now]
        self._waiting = [one for one in self._waiting if one.due > now]
        sent = 0
        for one in due:
            row = self._environment.table(_SUBSCRIPTIONS.name).get(one.subscription_id)
            if row is None or row["subscriptionState"] != "Active":
                continue
            sent += 1
            body = json.dumps(one.body, ensure_ascii=False).encode()
            status = post(row["notificationUrl"], {"Content-Type": "application/json"}, body)
            if status is not None and 200 <= status <= 299:
                continue
            one.attempts += 1
            if one.attempts >= MAX_ATTEMPTS:
                self._change(Work(self._environment), row, {"subscriptionState": "Disabled"})
            else:
                one.due = now + RETRY
                self._waiting.append(one)
        return sent

    def _definitions(self, call: Call) -> Outcome:
        rows = [
            {
                "appId": APP_ID,
                "name": event,
                "eventVersion": "1.0",
                "payload": json.dumps([{"Index": 0, "Name": id_name, "Type": "Guid"}]),
                "displayName": shown,
                "description": f"This business event is triggered when: {shown}.",
                "category": "Sales",
                "appName": "Base Application",
                "appPublisher": "Microsoft",
                "appVersion": "26.0.30643.32100",
            }
            for event, id_name, shown in EVENTS.values()
        ]
        context = f"{call.address.root}/$metadata#externalbusinesseventdefinitions"
        return Outcome(200, json.dumps({"@odata.context": context, "value": rows}).encode(), rows=len(rows))

    def _subscription(self, call: Call, work: Work, target: Target) -> Outcome:
        record = target.record
        match call.request.method:
            case "GET":
                return read(call, target)
            case "POST" if record is None:
                made = self._create(work, self._given(call), call.user_id)
                text = with_context(call, call.reader.single(made, Options()), target.context)
                return Outcome(201, text, location=f"{call.address.root}/{target.context}({made.id})")
            case "PATCH" if record is not None:
                check_etag(call, record, required=True)
                self._change(work, record, self._given(call) | {"subscriptionState": "Active"})
                return Outcome(200, with_context(call, call.reader.single(record, Options()), target.context))
            case "DELETE" if record is not None:
                work.tx.delete(self._environment.table(_SUBSCRIPTIONS.name), record)
                return Outcome(204)
            case method:
                raise errors.method_not_allowed(method, target.segment)

    def _given(self, call: Call) -> dict[str, Any]:
        own, _ = bodies.split_navigation(_SUBSCRIPTIONS, bodies.parse_object(call.request.body))
        given = bodies.for_create(_SUBSCRIPTIONS, own)
        return {name: value for name, value in given.items() if name in _WRITABLE}

    def _create(self, work: Work, given: dict[str, Any], user_id: str) -> Record:
        company = self._environment.company(given.get("companyId") or given.get("companyName") or "")
        if given.get("eventName") not in {event for event, _, _ in EVENTS.values()}:
            raise errors.dialog(f"The business event '{given.get('eventName', '')}' does not exist.")
        if not given.get("notificationUrl", "").startswith("https://"):
            raise errors.dialog("The notification URL must be an absolute https address.")
        row = {
            "appId": APP_ID,
            "eventVersion": "1.0",
            **given,
            "id": self._environment.ids.guid(),
            "companyId": company.id,
            "companyName": company.name,
            "userId": user_id,
            "subscriptionType": "Webhook",
            "subscriptionState": "Active",
            "timestamp": self._environment.next_row_version(),
            **dict.fromkeys(("lastModifiedDateTime", "systemCreatedAt", "systemModifiedAt"), work.now),
            **dict.fromkeys(("systemCreatedBy", "systemModifiedBy"), user_id),
        }
        record = Record(_SUBSCRIPTIONS, new_row(_SUBSCRIPTIONS, row), work.now)
        work.tx.insert(self._environment.table(_SUBSCRIPTIONS.name), record)
        return record

    def _change(self, work: Work, record: Record, changes: Mapping[str, Any]) -> None:
        row = list(record.row)
        for name, value in {**changes, "lastModifiedDateTime": work.now, "systemModifiedAt": work.now}.items():
            row[record.entity.position[name]] = value
        work.tx.modify(self._environment.table(_SUBSCRIPTIONS.name), record, row)

    def _body(self, row: Record, company_id: str, event: str, payload: Mapping[str, str]) -> dict[str, Any]:
        return {
            "initiatingUserAADObjectId": ZERO_GUID,
            "timestamp": format_datetime(self._environment.now()),
            "companyName": self._environment.companies[company_id].name,
            "companyId": company_id,
            "eventName": event,
            "payload": dict(payload),
            "appId": row["appId"],
            "clientState": row["clientState"],
        }
