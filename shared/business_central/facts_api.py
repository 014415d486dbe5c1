"""What no document says of Business Central and a read of one environment answers: asked on demand, once each.

Owns the questions and how an answer is put: statuses, error codes, counts and names of headers, never a value of a
record. Every read asks for what is committed, so that none changes a document.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from shared.business_central.environment_api import ROUTE, EnvironmentApi, document_of, rows_of
from shared.business_central.odata import query
from shared.business_central.port import Intent
from shared.business_central.retry import ONCE
from shared.business_central.transport import Answer
from shared.errors import BCError

_RUNTIME: Final = "api/microsoft/runtime/beta"
_MAYBE_WEBHOOKS: Final = ("itemVariants", "salesShipmentLines", "salesShipments")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """One read, and what is noted of its answer beside the status."""

    name: str
    resource: str  # `{company}` is the path of the company in API v2.0
    options: str = ""
    note: Callable[[Answer], str] = lambda _: ""
    headers: tuple[tuple[str, str], ...] = ()


def facts(api: EnvironmentApi, company: str) -> dict[str, str]:
    """Return what one environment answers to each question, by the question's name.

    Raises:
        TokenError, BudgetExhausted: nothing can be asked.
    """
    return {one.name: _ask(api, one, company) for one in _QUESTIONS}


def _ask(api: EnvironmentApi, one: _Question, company: str) -> str:
    url = api.url(one.resource.format(company=f"api/{ROUTE}/companies({company})", id=company)) + one.options
    try:
        answer = api.get(url, intent=Intent.COMMITTED, policy=ONCE, headers=dict(one.headers))
        noted = one.note(answer)
    except BCError as error:
        return f"{error.status or 'no answer'} {error.code}".strip()
    return f"{answer.status}, {noted}" if noted else str(answer.status)


def _version(answer: Answer) -> str:
    rows = rows_of(answer)[1]
    return str(rows[0].get("systemVersion", "")) if rows else ""


def _webhooks(answer: Answer) -> str:
    offered = {str(row.get("resource", "")) for row in rows_of(answer)[1]}
    there = [name for name in _MAYBE_WEBHOOKS if f"{ROUTE}/{name}" in offered]
    return f"{len(offered)} resources, of those in doubt: {', '.join(there) or 'none'}"


def _members(answer: Answer) -> str:
    rows = rows_of(answer)[1]
    return f"{len(rows)} rows of {', '.join(sorted(rows[0]))}" if rows else "no rows"


def _count(answer: Answer) -> str:
    """Say whether a filter leaves nothing or something: a wildcard would find items, a plain comparison none."""
    return "none" if not document_of(answer).get("@odata.count") else "some"


def _headers(answer: Answer) -> str:
    return ", ".join(sorted(name.lower() for name in answer.headers))


def _decimal(answer: Answer) -> str:
    rows = rows_of(answer)[1]
    return f"decimals are {'text' if isinstance(rows[0].get('unitPrice'), str) else 'numbers'}" if rows else ""


def _items(name: str, filter_: str, note: Callable[[Answer], str] = lambda _: "", **more: str) -> _Question:
    options = query({"filter": filter_, "top": "1", "select": "id", "count": "true", **more})
    return _Question(name=name, resource="{company}/items", options=options, note=note)


_QUESTIONS: Final = (
    _Question(name="system version", resource=f"api/{ROUTE}/companies", note=_version),
    _Question(name="webhooks", resource=_RUNTIME + "/companies({id})/webhookSupportedResources", note=_webhooks),
    _Question(name="routes of APIs", resource=_RUNTIME + "/companies({id})/apiRoutes", note=_members),
    _Question(
        name="business events",
        resource="api/microsoft/runtime/v1.0/externalbusinesseventdefinitions",
        note=_members,
    ),
    _Question(
        name="a draft read with ReadOnly",
        resource="{company}/salesOrders",
        options=query({"filter": "status eq 'Draft'", "top": "1", "select": "id"}),
    ),
    _items("caption with a hyphen in a filter", "type eq 'Non-Inventory'"),
    _items("star in eq", "number eq '*'", _count),
    _items("question marks in eq", "number eq '????'", _count),
    _items("range in eq", "number eq '0..zzzz'", _count),
    _items("bar in eq", "number eq '|'", _count),
    _items("not in a filter", "not (blocked eq true)"),
    _items("null in a filter", "gtin eq null", _count),
    _items("schema version 2.1", "gtin eq null", _count, schemaversion="2.1"),
    _Question(
        name="IEEE754Compatible",
        resource="{company}/items",
        options=query({"top": "1", "select": "unitPrice"}),
        note=_decimal,
        headers=(("Accept", "application/json;IEEE754Compatible=true"),),
    ),
    _Question(name="headers", resource="{company}/items", options=query({"top": "1", "select": "id"}), note=_headers),
)
