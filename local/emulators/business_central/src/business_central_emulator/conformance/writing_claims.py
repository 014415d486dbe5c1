"""Claims that only a write can show: an item, an order and their end, in a company that may be written to.

What is created is deleted again, whatever fails between. A check here is a step on what the steps before it made.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from business_central_emulator.conformance.asking import Answer, World

_ANY: Final = {"If_Match": "*"}


@dataclass(slots=True)
class Made:
    """What the steps have made so far: name -> path, newest last."""

    mark: str  # number and external number of what is made
    paths: dict[str, str] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """One write, and what its answer must be; empty when it is so."""

    id: str
    says: str
    source: str
    expected: str
    take: Callable[[World, Made], str]


def _post(world: World, made: Made, name: str, set_: str, body: Mapping[str, Any], **headers: str) -> Answer:
    answer = world.ask(f"POST {set_}", dict(body), **headers)
    if answer.status == 201:
        made.paths[name] = f"{set_.partition('?')[0]}({answer.document['id']})"
        made.answers[name] = answer
    return answer


def _is(answer: Answer, status: int, code: str = "") -> str:
    return "" if answer.status == status and answer.code == (code or answer.code) else answer.said


def _item(world: World, made: Made) -> str:
    answer = _post(world, made, "item", "items", {"number": made.mark.lower(), "displayName": "Conformance"})
    return _is(answer, 201) or ("" if "Location" in answer.headers else "201 without Location")


def _upper_case(_: World, made: Made) -> str:
    return "" if made.answers["item"].document.get("number") == made.mark else "as it was sent"


def _duplicate(world: World, made: Made) -> str:
    return _is(
        world.ask("POST items", {"number": made.mark, "displayName": "x"}), 400, "Internal_EntityWithSameKeyExists"
    )


def _no_etag(world: World, made: Made) -> str:
    return _is(world.ask(f"PATCH {made.paths['item']}", {"displayName": "y"}), 400, "BadRequest_InvalidToken")


def _any_etag(world: World, made: Made) -> str:
    return _is(world.ask(f"PATCH {made.paths['item']}", {"displayName": "Conformance 2"}, **_ANY), 200)


def _stale_etag(world: World, made: Made) -> str:
    stale = made.answers["item"].document["@odata.etag"]
    return _is(
        world.ask(f"PATCH {made.paths['item']}", {"displayName": "z"}, If_Match=stale), 409, "Request_EntityChanged"
    )


def _unknown_property(world: World, _: Made) -> str:
    return _is(world.ask("POST items", {"displayName": "x", "nosuch": 1}), 400, "BadRequest")


def _too_long(world: World, _: Made) -> str:
    return _is(world.ask("POST items", {"displayName": "x" * 101}), 400, "Application_StringExceededLength")


def _no_customer(world: World, made: Made) -> str:
    return _is(world.ask("POST salesOrders", {"externalDocumentNumber": made.mark}), 400, "Application_DialogException")


def _order(world: World, made: Made) -> str:
    line = {"lineType": "Comment", "description": "Conformance"}
    order = {
        "customerId": world.filled("{customer}"),
        "externalDocumentNumber": made.mark.lower(),
        "salesOrderLines": [line],
    }
    answer = _post(world, made, "order", "salesOrders", order)
    return _is(answer, 201) or ("201 with lines" if "salesOrderLines" in answer.document else "")


def _order_found(world: World, made: Made) -> str:
    answer = world.ask(
        f"GET salesOrders?$filter=externalDocumentNumber eq '{made.mark}'", Data_Access_Intent="ReadWrite"
    )
    return "" if len(answer.rows) == 1 else f"{answer.said}, {len(answer.rows)} orders"


def _same_number(world: World, made: Made) -> str:
    order = {"customerId": world.filled("{customer}"), "externalDocumentNumber": made.mark}
    return _is(_post(world, made, "twin", "salesOrders", order), 201)


def _deep_patch(world: World, made: Made) -> str:
    answer = world.ask(f"PATCH {made.paths['order']}", {"salesOrderLines": [{"description": "x"}]}, **_ANY)
    return "" if answer.status in (400, 501) else answer.said


def _unsupported_webhook(world: World, _: Made) -> str:
    return _refused_webhook(world, "nosuchset")


def _silent_webhook(world: World, _: Made) -> str:
    return _refused_webhook(world, "items")


def _refused_webhook(world: World, entity_set: str) -> str:
    """Subscribe with an address where nobody is."""
    body = {
        "notificationUrl": "https://conformance.invalid/hook",
        "resource": f"companies({world.company})/{entity_set}",
        "clientState": "x",
    }
    answer = world.ask("POST /subscriptions", body)
    return "" if 400 <= answer.status < 500 else answer.said


def _read_only(world: World, made: Made) -> str:
    answer = world.ask("POST salesShipments", {"number": made.mark})
    return "" if answer.status in (400, 405, 501) else answer.said


def _read_only_intent(world: World, made: Made) -> str:
    answer = world.ask(f"PATCH {made.paths['item']}", {"displayName": "z"}, Data_Access_Intent="ReadOnly", **_ANY)
    return "" if answer.status >= 400 else answer.said


def _deleted(world: World, made: Made) -> str:
    answer = world.ask(f"DELETE {made.paths['item']}", **_ANY)
    return _is(answer, 204) or _is(world.ask(f"GET {made.paths.pop('item')}"), 404)


_AL: Final = "AL: APIV2SalesOrders"
STEPS: Final = (
    Step(
        "write-item",
        "A POST answers 201 with the address of the record.",
        "recorded answers",
        "201 and Location",
        _item,
    ),
    Step("write-upper-case", "A code is upper-cased.", "AL: Code", "upper case", _upper_case),
    Step(
        "write-duplicate",
        "A key that is taken is 400.",
        "recorded answers",
        "400 Internal_EntityWithSameKeyExists",
        _duplicate,
    ),
    Step(
        "write-no-etag",
        "PATCH needs If-Match.",
        "live tests of public clients",
        "400 BadRequest_InvalidToken",
        _no_etag,
    ),
    Step("write-any-etag", "`If-Match: *` is taken.", "docs: OData batch", "200", _any_etag),
    Step("write-stale-etag", "An old ETag is refused.", "docs: error codes", "409 Request_EntityChanged", _stale_etag),
    Step(
        "write-unknown",
        "A property that is not there is refused.",
        "recorded answers",
        "400 BadRequest",
        _unknown_property,
    ),
    Step(
        "write-too-long",
        "A text longer than its field is refused.",
        "recorded answers",
        "400 Application_StringExceededLength",
        _too_long,
    ),
    Step(
        "write-read-only-set",
        "A posted document is not created.",
        "AL: APIV2SalesShipments",
        "400, 405 or 501",
        _read_only,
    ),
    Step(
        "write-read-only-intent",
        "ReadOnly fails on a write.",
        "docs: tips for connect apps",
        "an error",
        _read_only_intent,
    ),
    Step("write-no-customer", "An order needs a customer.", _AL, "400 Application_DialogException", _no_customer),
    Step(
        "write-order",
        "An order is created with its lines, and answered without them.",
        _AL,
        "201 without salesOrderLines",
        _order,
    ),
    Step(
        "write-order-found", "An order is found by its external number in upper case.", _AL, "one order", _order_found
    ),
    Step("write-order-twin", "An external number is not unique.", _AL, "201", _same_number),
    Step(
        "write-deep-patch",
        "Lines are not changed through their order.",
        "docs: OData known limitations",
        "400 or 501",
        _deep_patch,
    ),
    Step(
        "write-webhook-unknown",
        "A subscription to a set that is not there is refused.",
        "docs: working with webhooks",
        "4xx",
        _unsupported_webhook,
    ),
    Step(
        "write-webhook-silent",
        "A subscriber that is silent gets no subscription.",
        "docs: working with webhooks",
        "4xx",
        _silent_webhook,
    ),
    Step("write-delete", "DELETE is 204, then the record is 404.", "recorded answers", "204, then 404", _deleted),
)


def clear(world: World, made: Made) -> list[str]:
    """Delete what is left; return what could not be deleted."""
    left = []
    for name, path in reversed(made.paths.items()):
        answer = world.ask(f"DELETE {path}", **_ANY)
        if answer.status not in (204, 404):
            left.append(f"{name}: {answer.said}")
    return left
