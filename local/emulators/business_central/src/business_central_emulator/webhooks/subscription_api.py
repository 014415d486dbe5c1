"""The `subscriptions` set and the runtime API as requests: quoted keys, If-Match, handshakes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from business_central_emulator.data import errors
from business_central_emulator.data.environment import Work
from business_central_emulator.data.schema import ENTITIES, STANDARD_ROUTE
from business_central_emulator.odata import bodies
from business_central_emulator.odata.calls import Call, Outcome, Target, check_etag, with_context
from business_central_emulator.odata.navigation import read
from business_central_emulator.odata.query import Options
from business_central_emulator.odata.routing import Segment
from business_central_emulator.server.exchange import Handshake
from business_central_emulator.webhooks import runtime_api
from business_central_emulator.webhooks.business_events import BusinessEvents
from business_central_emulator.webhooks.sender import LogLine
from business_central_emulator.webhooks.subscriptions import Subscriptions, target_of


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a request on subscriptions or the runtime API runs with."""

    subscriptions: Subscriptions
    handshake: Handshake
    log: Sequence[LogLine]
    events: BusinessEvents


def subscriptions(call: Call, work: Work, segments: list[Segment], hooks: Hooks) -> Outcome:
    """Answer a request on `subscriptions`."""
    if len(segments) > 1:
        raise errors.segment_not_found(segments[1].name)
    target = Target(ENTITIES["subscriptions"], context="subscriptions", segment="subscriptions")
    segment, method = segments[0], call.request.method
    table = call.reader.table(ENTITIES["subscriptions"])
    if segment.key is not None:
        target.record = table.get(segment.text())
        if target.record is None:
            raise errors.segment_not_found("subscriptions")
    record = target.record
    if method == "GET":
        return read(call, target)
    if method == "POST" and record is None:
        body = _subscription_body(call)
        _check_route(call, body.get("resource", ""))
        created = hooks.subscriptions.create(work, body, call.user_id, hooks.handshake)
        location = f"{call.address.root}/subscriptions('{created.id}')"
        text = call.reader.single(created, Options())
        return Outcome(201, with_context(call, text, "subscriptions"), location=location)
    if method == "PATCH" and record is not None:
        check_etag(call, record, required=True)
        body = _subscription_body(call)
        _check_route(call, body.get("resource") or record["resource"])
        hooks.subscriptions.renew(work, record, body, call.user_id, hooks.handshake)
        return Outcome(200, with_context(call, call.reader.single(record, Options()), "subscriptions"))
    if method == "DELETE" and record is not None:
        check_etag(call, record, required=True)
        hooks.subscriptions.remove(work, record)
        return Outcome(204)
    raise errors.method_not_allowed(method, "subscriptions")


def _check_route(call: Call, resource: str) -> None:
    """Refuse a resource of another API than the one that is asked: each has subscriptions of its own (docs)."""
    target = target_of(resource)
    route = STANDARD_ROUTE if target is None or "/" not in target[1] else target[1].rpartition("/")[0]
    if target is not None and route != call.address.api:
        raise errors.dialog(f"The resource '{resource}' is not supported for webhooks.")


def _subscription_body(call: Call) -> dict[str, Any]:
    entity = ENTITIES["subscriptions"]
    own, _ = bodies.split_navigation(entity, bodies.parse_object(call.request.body))
    return bodies.for_create(entity, own)


def runtime(call: Call, work: Work, segments: list[Segment], hooks: Hooks) -> Outcome:
    """Answer a request on the runtime API."""
    if call.request.method != "GET" or len(segments) != 2 or segments[0].name.lower() != "companies":
        raise errors.NotEmulatedError("this path of the runtime API")
    name, company = segments[1].name, work.company
    context = f"{call.address.root}/$metadata#companies({company.id})/{name}"
    if name.lower() == "webhooksupportedresources":
        return Outcome(200, runtime_api.supported_resources(context, hooks.subscriptions, call.address.query))
    if name.lower() == "webhooklogs":
        own = [line for line in hooks.log if line.company_id == company.id]
        return Outcome(200, runtime_api.webhook_logs(context, own, call.reader.environment.ids))
    raise errors.NotEmulatedError(f"{name} of the runtime API")
