"""The `subscriptions` set and the runtime API as requests: quoted keys, If-Match, handshakes."""

from typing import Any

from business_central_emulator import bodies, errors, runtime_api
from business_central_emulator.calls import Call, Outcome, Target, check_etag, with_context
from business_central_emulator.environment import Work
from business_central_emulator.navigation import read
from business_central_emulator.odata_query import Options
from business_central_emulator.routing import Segment
from business_central_emulator.schema import ENTITIES


def subscriptions(call: Call, work: Work, segments: list[Segment]) -> Outcome:
    """Answer a request on `subscriptions`."""
    if len(segments) > 1:
        raise errors.segment_not_found(segments[1].name)
    target = Target(ENTITIES["subscriptions"], context="subscriptions", segment="subscriptions")
    segment, method = segments[0], call.request.method
    table = call.reader.environment.subscriptions
    if segment.key is not None:
        target.record = table.get(segment.text())
        if target.record is None:
            raise errors.segment_not_found("subscriptions")
    record = target.record
    if method == "GET":
        return read(call, target)
    if method == "POST" and record is None:
        body = _subscription_body(call)
        created = call.subscriptions.create(work, body, call.user_id, call.handshake)
        location = f"{call.address.root}/subscriptions('{created.id}')"
        text = call.reader.single(created, "subscriptions", Options())
        return Outcome(201, with_context(call, text, "subscriptions"), location=location)
    if method == "PATCH" and record is not None:
        check_etag(call, record, required=True)
        call.subscriptions.renew(work, record, _subscription_body(call), call.user_id, call.handshake)
        return Outcome(200, with_context(call, call.reader.single(record, "subscriptions", Options()), "subscriptions"))
    if method == "DELETE" and record is not None:
        check_etag(call, record, required=True)
        call.subscriptions.remove(work, record)
        return Outcome(204)
    raise errors.method_not_allowed(method, "subscriptions")


def _subscription_body(call: Call) -> dict[str, Any]:
    entity = ENTITIES["subscriptions"]
    own, _ = bodies.split_navigation(entity, bodies.parse_object(call.request.body))
    return bodies.for_create(entity, own)


def runtime(call: Call, work: Work, segments: list[Segment]) -> Outcome:
    """Answer a request on the runtime API."""
    if call.request.method != "GET" or len(segments) != 2 or segments[0].name.lower() != "companies":
        raise errors.NotEmulatedError("this path of the runtime API")
    name, company = segments[1].name, work.company
    context = f"{call.address.root}/$metadata#companies({company.id})/{name}"
    if name.lower() == "webhooksupportedresources":
        return Outcome(200, runtime_api.supported_resources(context, call.subscriptions, call.address.query))
    if name.lower() == "webhooklogs":
        own = [line for line in call.webhook_log if line.company_id == company.id]
        return Outcome(200, runtime_api.webhook_logs(context, own, call.reader.environment.ids))
    raise errors.NotEmulatedError(f"{name} of the runtime API")
