"""What a connection offers to BC_ENTITIES, for people who choose: `status?entities=1` and `make entities` show it."""

from dataclasses import asdict
from typing import Any

from shared.connections.context import Context
from shared.connections.entity_rules import how_served


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
