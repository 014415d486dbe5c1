"""What a connection offers to BC_ENTITIES, for people who choose: `status?entities=1` and `make entities` show it."""

from dataclasses import asdict
from typing import Any

from shared.connections.context import Context
from shared.connections.entity_rules import how_served
from shared.contract import schema_answer
from shared.contract.configured import configured
from shared.contract.edm import Schema


def offered(ctx: Context) -> dict[str, Any]:
    """Return every entity set in sight with a ready line, what is served already and how, and what is refused.

    Raises:
        BCError, TokenError, StoreUnavailable: the companies can't be listed, or the table does not answer.
    """
    companies = ctx.companies.served()
    company = companies[0].key if companies else ""
    offers = ctx.catalogue.offers(company) if company else []
    entities = ctx.catalogue.resolved()
    webhooks = ctx.catalogue.known_webhooks()
    return {
        "environment": ctx.settings.environment,
        "company": companies[0].name if companies else "",
        "served": [
            {
                "entity": entity.name,
                "event": entity.event,
                "watched": how_served(
                    entity, has_webhook=None if webhooks is None else entity.webhook_resource in webhooks
                ),
                "pulled": entity.pull,
            }
            for entity in entities.entities
        ],
        "refused": list(entities.faults),
        "waiting": list(entities.waiting),
        "offers": [asdict(offer) for offer in offers],
    }


def published(ctx: Context, *, of_type: str, of_data: str) -> Schema:
    """Return what is published of the messages about these entities: one schema by name, or the whole document.

    Raises:
        InvalidMessage: nothing is published under that name.
        StoreUnavailable: the table does not answer.
    """
    facts = ctx.catalogue.facts() if ctx.settings.entities else {}
    rows = configured(ctx.catalogue.resolved().entities, facts)
    return schema_answer.answer(rows, ctx.settings.public_url, of_type=of_type, of_data=of_data)
