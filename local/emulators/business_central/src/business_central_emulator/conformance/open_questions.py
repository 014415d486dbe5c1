"""What nobody has written down: questions that reading can answer, with the answer of the environment that is asked.

There is no right answer here. An answer holds statuses, codes, names and counts, no value of a record.
"""

import re
from typing import Any, Final

from business_central_emulator.conformance.asking import Answer, World
from business_central_emulator.conformance.claims import Question
from business_central_emulator.conformance.query_claims import parts_of


def _said(request: str, body: Any = None, **headers: str) -> Any:
    return lambda world: world.ask(request, body, **headers).said


def _resources(world: World) -> str:
    rows = world.ask("GET {runtime}/companies({company})/webhookSupportedResources").rows
    offered = {str(row.get("resource")) for row in rows}
    asked = ("salesShipments", "salesShipmentLines", "itemVariants")
    return (
        ", ".join(f"{name}: {'yes' if f'v2.0/{name}' in offered else 'no'}" for name in asked)
        + f"; {len(offered)} in all"
    )


def _remainder(world: World) -> str:
    """What follows when `$top` is larger than a page."""
    page = world.ask("GET items?$top=3&$select=id", Prefer="odata.maxpagesize=2")
    link = str(page.document.get("@odata.nextLink", ""))
    if not link:
        return f"{page.said}, {len(page.rows)} rows, no link"
    rest = world.ask(f"GET {link}", Prefer="odata.maxpagesize=2")
    top = re.search(r"top=(\d+)", link)
    end = "goes on" if "@odata.nextLink" in rest.document else "ends"
    return f"{len(page.rows)} rows, link with top={top[1] if top else 'none'}, then {len(rest.rows)} rows and it {end}"


def _decimals(world: World) -> str:
    answer = world.ask("GET items?$top=1", Accept="application/json;IEEE754Compatible=true")
    if not answer.rows:
        return answer.said
    return (
        f"{answer.status}, unitPrice is a JSON {'text' if isinstance(answer.rows[0]['unitPrice'], str) else 'number'}"
    )


def _linked_parts(member: str, value: Any) -> Any:
    def ask(world: World) -> str:
        url = f"companies({world.company})/items?$top=1"
        parts: list[dict[str, Any]] = [
            {"id": "a", "method": "GET", "url": url},
            {"id": "b", "method": "GET", "url": url},
        ]
        parts[1][member] = value
        if member == "atomicityGroup":
            parts[0][member] = value
        answer = world.ask("POST /$batch", {"requests": parts})
        return f"{answer.said}, parts {[part.get('status') for part in parts_of(answer)]}"

    return ask


def _counted(filter_: str) -> Any:
    """How many of the items a filter leaves: none, some or all."""

    def ask(world: World) -> str:
        answer = world.ask(f"GET items?$top=1&$count=true&$filter={filter_}")
        if answer.status != 200:
            return answer.said
        everything = world.ask("GET items?$top=1&$count=true").document.get("@odata.count")
        count = answer.document.get("@odata.count")
        return "200, " + ("none" if not count else "all" if count == everything else "some")

    return ask


def _names(request: str) -> Any:
    """The names of an answer's members, and how many rows."""

    def ask(world: World) -> str:
        answer = world.ask(request)
        if answer.status != 200 or not answer.rows:
            return answer.said
        return f"200, {len(answer.rows)} rows of {', '.join(sorted(answer.rows[0]))}"

    return ask


def _headers(world: World) -> str:
    return ", ".join(sorted(name.lower() for name in world.ask("GET items?$top=1").headers))


def _version(world: World) -> str:
    answer: Answer = world.ask("GET /companies")
    return str(answer.rows[0].get("systemVersion", "none")) if answer.rows else answer.said


QUESTIONS: Final = tuple(
    Question(id=id_, asks=asks, answer=answer)
    for id_, asks, answer in (
        ("system-version", "Which version answers?", _version),
        ("webhook-resources", "Do webhooks support shipments, their lines and variants?", _resources),
        ("top-remainder", "Does a `$top` beyond a page end after the remainder?", _remainder),
        ("ieee754", "Are decimals texts with IEEE754Compatible?", _decimals),
        ("batch-depends-on", "Is dependsOn taken in a batch?", _linked_parts("dependsOn", ["a"])),
        ("batch-atomicity", "Is atomicityGroup taken in a batch?", _linked_parts("atomicityGroup", "g")),
        (
            "enum-caption",
            "Is a caption with a hyphen taken for an enum?",
            _said("GET items?$top=1&$filter=type eq 'Non-Inventory'"),
        ),
        (
            "enum-caption-blank",
            "Is a caption with a blank taken for an enum?",
            _said("GET salesOrders?$top=1&$filter=status eq 'In Review'", Data_Access_Intent="ReadOnly"),
        ),
        (
            "enum-encoded-blank",
            "Is the encoded name of it taken?",
            _said("GET salesOrders?$top=1&$filter=status eq 'In_x0020_Review'", Data_Access_Intent="ReadOnly"),
        ),
        (
            "enum-unknown",
            "What is said to an enum's member that is not there?",
            _said("GET items?$top=1&$filter=type eq 'Nosuch'"),
        ),
        (
            "draft-read-only",
            "Does reading an order with ReadOnly fail?",
            _said("GET salesOrders({order})?$select=id", Data_Access_Intent="ReadOnly"),
        ),
        ("filter-star", "Is `*` in `eq` a wildcard?", _counted("number eq '*'")),
        ("filter-question-mark", "Is `?` in `eq` a wildcard?", _counted("number eq '????'")),
        ("filter-bar", "Is `|` in `eq` an alternative?", _counted("number eq '{item_number}|NOSUCH'")),
        ("filter-dots", "Is `..` in `eq` a range?", _counted("number eq '0..zzzz'")),
        ("filter-ampersand", "Is `%26` in `eq` an and?", _counted("number eq '*%26*'")),
        ("filter-at", "Is `@` in `eq` a mark for any case?", _counted("number eq '@{item_number}'")),
        ("filter-not", "Is `not` known?", _said("GET items?$top=1&$filter=not (blocked eq true)")),
        ("filter-null", "Does null compare with blank?", _counted("gtin eq null")),
        (
            "filter-null-21",
            "And under schema version 2.1?",
            _said("GET items?$top=1&$schemaversion=2.1&$filter=gtin eq null"),
        ),
        ("filter-computed", "Can stock be filtered?", _counted("inventory gt -1")),
        (
            "filter-nested",
            "Are functions nested?",
            _said("GET items?$top=1&$filter=contains(tolower(displayName),'a')"),
        ),
        ("top-zero", "What is `$top=0`?", _said("GET items?$top=0&$count=true")),
        ("apply", "Is `$apply` known?", _said("GET items?$apply=aggregate($count as n)")),
        ("search", "Is `$search` known?", _said("GET items?$search=a&$top=1")),
        (
            "skiptoken-unknown",
            "What is said to a skiptoken of a record that is gone?",
            _said("GET items?aid=FIN&$skiptoken=00000000-0000-4000-8000-000000000001"),
        ),
        (
            "metadata-full",
            "Is full metadata served?",
            _said("GET items?$top=1", Accept="application/json;odata.metadata=full"),
        ),
        (
            "events-catalogue",
            "Which members has the catalogue of external business events?",
            _names("GET {events}/externalbusinesseventdefinitions"),
        ),
        ("api-routes", "Which members have apiRoutes?", _names("GET {runtime}/companies({company})/apiRoutes")),
        (
            "environment-members",
            "Which members has an environment in the list?",
            _names("GET {service}/environments/v1.2"),
        ),
        ("headers", "Which headers has an answer?", _headers),
        (
            "headers-401",
            "What is the body of a 401?",
            lambda world: _body_kind(world.ask("GET /companies", Authorization="")),
        ),
        (
            "budget-headers",
            "Does a header tell what is left of the request budget?",
            lambda world: (
                ", ".join(
                    sorted(
                        name
                        for name in world.ask("GET items?$top=1").headers
                        if "limit" in name.lower() or "remain" in name.lower()
                    )
                )
                or "none"
            ),
        ),
    )
)


def _body_kind(answer: Answer) -> str:
    start = answer.body.lstrip()[:1]
    kind = {b"{": "JSON", b"<": "XML or HTML", b"": "no body"}.get(start, "text")
    return f"{answer.said}, {kind}"
