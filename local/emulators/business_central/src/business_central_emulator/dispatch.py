"""From a parsed URL to the handler of its method.

Everything here runs inside one `Work`; the caller commits or rolls back. What the API does not offer is refused with
the recorded errors, what the emulator does not know with 501.
"""

from business_central_emulator.business import writing
from business_central_emulator.data import errors
from business_central_emulator.data.environment import Work
from business_central_emulator.data.schema import ENTITIES
from business_central_emulator.odata import metadata
from business_central_emulator.odata.calls import Call, Outcome, Target
from business_central_emulator.odata.navigation import count, read, read_companies, read_unscoped, set_named, walk
from business_central_emulator.odata.routing import RUNTIME_API, Segment
from business_central_emulator.webhooks import business_events, subscription_api
from business_central_emulator.webhooks.subscription_api import Hooks


def run(call: Call, work: Work, hooks: Hooks) -> Outcome:
    """Carry out one operation."""
    address = call.address
    segments = list(address.segments)
    if address.api == business_events.ROUTE:
        return hooks.events.answer(call, work, segments)
    if address.api == RUNTIME_API:
        return subscription_api.runtime(call, work, segments, hooks)
    if not segments:
        return Outcome(200, metadata.service_document(address.root, call.catalog))
    first = segments[0].name
    if first == "$metadata":
        return Outcome(200, metadata.edmx(call.catalog), content_type="application/xml")
    name = first.lower()
    if name == "subscriptions":
        return subscription_api.subscriptions(call, work, segments, hooks)
    if name == "companies":
        if len(segments) == 1:
            return read_companies(call, segments[0])
        if segments[0].key is None and segments[1].name == "$count":
            return count(call, Target(ENTITIES["companies"], segment="companies"))
        segments = segments[1:]
    if segments[0].name.lower() == "entitydefinitions":
        return metadata.entity_definitions(call, segments)
    entity = set_named(call.catalog, segments[0].name)
    if entity is not None and not entity.scoped and len(segments) == 1:
        return read_unscoped(call, entity, segments[0])
    return _company_data(call, work, segments)


def _company_data(call: Call, work: Work, segments: list[Segment]) -> Outcome:
    if segments[-1].name.lower().startswith("microsoft.nav."):
        return writing.act(call, work, segments)
    if segments[-1].name == "$count" and call.request.method == "GET":
        return count(call, walk(call, work, segments[:-1]))
    target = walk(call, work, segments)
    match call.request.method:
        case "GET":
            return read(call, target)
        case "POST":
            return writing.post(call, work, target)
        case "PATCH":
            return writing.patch(call, work, target)
        case "DELETE":
            return writing.delete(call, work, target)
        case method:
            raise errors.method_not_allowed(method, target.segment)
