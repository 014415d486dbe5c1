"""What a job announces on its way out: one message for `bc-events`, its blob stored whole before there is a message."""

from collections.abc import Iterable

from shared.business_central.entities import STANDARD_ROUTE
from shared.business_central.environment_api import environment_url
from shared.changes import cloud_events
from shared.changes.change_stores import ChangeStores
from shared.changes.cloud_events import Origin
from shared.connections.context import Context
from shared.contract.schema_urls import data_url


def origin_of(ctx: Context, company: str, route: str = STANDARD_ROUTE) -> Origin:
    """Return what the events of a company share that are of records at one API route."""
    settings = ctx.settings
    source = ctx.bc.company_url(company, route)
    now = environment_url(settings.api_url, settings.tenant_id, settings.environment)
    seed = source.replace(now, settings.first_url or now, 1)
    return Origin(source, data_url(settings.public_url), seed, settings.id)


def messages(ctx: Context, stores: ChangeStores, origin: Origin, job: str, events: Iterable[str]) -> tuple[str, ...]:
    """Return the message that announces the events of a job, if there are any.

    Raises:
        StoreUnavailable: the blob could not be stored; nothing may leave.
    """
    batch = cloud_events.pack(events)
    if batch is None:
        return ()
    if batch.blob is None:
        return (batch.message,)
    url = stores.claim_checks.put(batch.blob.name, batch.blob.data)
    return (cloud_events.claim_check(origin, job, batch.blob, url, now=ctx.now()),)
