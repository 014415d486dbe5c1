"""What the doctor asks Business Central: companies, permissions, webhooks, its own log. Reads only.

Raises IntegrationError where it cannot ask at all; how long a check may take is `doctor`'s matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shared.business_central.entities import SALES_ORDERS, Entity
from shared.business_central.port import Company, Wanted, WebhookLogLine
from shared.business_central.transient import is_permission
from shared.concurrency import at_once
from shared.connections.context import Context
from shared.errors import BCDenied, BCError, BCNotFound, BCRejected, IntegrationError
from shared.operations import diagnosis
from shared.operations.failures import clock_finding, explain
from shared.operations.findings import Finding, fine, grouped, named, note, warning, wrong
from shared.operations.stores import Stores
from shared.webhooks.keep import own_prefix, want_webhook
from shared.webhooks.plan import plan

#: Companies looked at in detail.
MOST_COMPANIES: Final = 10


@dataclass(frozen=True, slots=True)
class _Times:
    """The time here and in Business Central, when a read was answered."""

    ours: datetime
    theirs: datetime | None  # None: the answer bore no `Date`


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A read that Business Central refused."""

    error: BCError
    entity: Entity
    company: Company
    expanded: bool


def list_companies(ctx: Context, companies: list[Company]) -> list[Finding]:
    """Fill `companies` with those that are served, and judge what Business Central lists."""
    ctx.companies.forget()
    try:
        companies += ctx.companies.served()
    except BCNotFound as error:
        return [environment_finding(ctx, error)]
    missing = ctx.companies.unknown()
    found = [fine("business_central", "Business Central answers.")]
    if missing:
        listed = ", ".join(company.name for company in ctx.bc.companies())
        seen = f"BC_COMPANIES names {', '.join(missing)}, and there is no such company."
        cause = f"It was renamed, removed or misspelt, or the login may not open it. There are: {listed or 'none'}."
        do = "Correct BC_COMPANIES, best by company id, which outlives a new name."
        found.append(wrong("companies", "company_unknown", seen, cause, do))
    elif not companies:
        cause = "The login may open no company."
        do = "Give the user or application a permission set in the company."
        found.append(wrong("companies", "company_none", "Business Central lists no company.", cause, do))
    if companies:
        found.append(fine("companies", f"Served: {', '.join(company.name for company in companies)}."))
    return found


def environment_finding(ctx: Context, error: BCNotFound) -> Finding:
    """Return why there is no such environment, with those that there are; without them where they can't be listed."""
    try:
        there = ctx.bc.environments()
    except IntegrationError:
        return explain("business_central", error, "list the companies")
    mine = ctx.settings.environment
    if mine.lower() in {name.lower() for name in there}:
        return explain("business_central", error, "list the companies")
    seen = f"There is no environment {mine}; there are {named(sorted(there)) or 'none'}."
    cause = "BC_ENVIRONMENT is misspelt, the environment was renamed or removed, or BC_TENANT_ID names another tenant."
    do = "Correct BC_ENVIRONMENT; for an environment that was renamed set BC_RENAMED_FROM to its earlier name, too."
    return wrong("business_central", "bc_environment", seen, cause, do)


def check_permissions(ctx: Context, companies: list[Company]) -> list[Finding]:
    """Read one record of everything that is read, and of orders; judge BC's clock by the times of its answers."""
    entities = [*ctx.catalogue.resolved().watched, SALES_ORDERS.plain()]
    wanted = [(company, entity) for company in companies[:MOST_COMPANIES] for entity in entities]
    looks = at_once(lambda want: _probe(ctx, *want), wanted, ctx.threads)
    found = _look_findings(looks)
    if len(companies) > MOST_COMPANIES:
        seen = f"Only {MOST_COMPANIES} of {len(companies)} companies were looked at in detail."
        found.append(note("permissions", "companies_cut", seen, "Every look costs requests of the shared limit."))
    return found


def _look_findings(looks: Sequence[_Times | _Refusal | Finding]) -> list[Finding]:
    times = [look for look in looks if isinstance(look, _Times)]
    found = _by_cause([look for look in looks if isinstance(look, _Refusal)])
    failed = [look for look in looks if isinstance(look, Finding)]
    found += failed[:1]  # Business Central does not answer: one finding for all
    if times:
        found.append(fine("permissions", f"{len(times)} of {len(looks)} entities may be read."))
    theirs = times[-1].theirs if times else None
    return found if theirs is None else [*found, clock_finding(times[-1].ours, theirs)]


def _probe(ctx: Context, company: Company, entity: Entity) -> _Times | _Refusal | Finding:
    expanded = bool(entity.expand)
    try:
        served_at = ctx.bc.probe(company.key, entity, expanded=expanded)
    except (BCDenied, BCNotFound, BCRejected) as error:
        return _Refusal(error, entity, company, expanded)
    except IntegrationError as error:
        return explain("permissions", error, f"read {entity.name} of {company.name}")
    return _Times(ctx.now(), served_at)


def _by_cause(refusals: Sequence[_Refusal]) -> list[Finding]:
    """Return one finding per kind of refusal, whatever the number of companies and entities."""
    kinds = ((f"{type(one.error).__name__} {one.error.status} {one.error.code}", one) for one in refusals)
    return [_not_permitted(group) for group in grouped(kinds).values()]


def _not_permitted(refusals: list[_Refusal]) -> Finding:
    first = refusals[0]
    what = named(f"{one.entity.name} of {one.company.name}" for one in refusals)
    seen = f"Reading {what} was refused: {str(first.error).rstrip('.')}."
    if isinstance(first.error, BCNotFound):
        cause = "The company is gone, or this version of Business Central has no such entity."
        return wrong("permissions", "entity_missing", seen, cause, "Check BC_COMPANIES and BC_TRIGGERS.")
    if is_permission(first.error):
        entities = dict.fromkeys(
            one.entity.name + (f" and {one.entity.expand}" if one.expanded else "") for one in refusals
        )
        cause = f"The user or application lacks read permission on {named(entities)} there."
        do = "Give it a permission set that covers the entity (User card or Microsoft Entra Applications)."
        return wrong("permissions", "entity_not_permitted", seen, cause, do)
    return warning("permissions", "entity_refused", seen, "Business Central refuses this read.", "Its code says why.")


def check_webhooks(ctx: Context, stores: Stores, companies: list[Company]) -> list[Finding]:
    """Compare the webhooks that Business Central holds with those that are wanted."""
    ctx.webhook_secret.forget()
    secret = ctx.webhook_secret.read()
    if secret is None:
        cause = "keep_subscriptions has not run yet: it makes the webhook secret, then the webhooks."
        do = "Wait for the next quarter of an hour, or start keep_subscriptions by hand."
        return [wrong("webhooks", "webhook_missing", "There are no webhooks yet.", cause, do)]
    wanted: list[Wanted] = []
    without: list[str] = []
    for company, offered in zip(
        companies, at_once(lambda one: _offered(ctx, one), companies, ctx.threads), strict=True
    ):
        for entity in (entity for entity in ctx.catalogue.resolved().watched if entity.by_webhook):
            if offered is not None and entity.webhook_resource not in offered:
                without.append(f"{entity.name} of {company.name}")
            else:
                wanted.append(want_webhook(ctx, secret, company.key, entity))
    existing = ctx.bc.subscriptions(ctx.catalogue.webhook_routes)
    steps = plan(wanted, existing, own_prefix=own_prefix(ctx), now=ctx.now())
    failures = {(held.company, held.entity): held.error for held in stores.notes.all() if held.status == "failed"}
    return diagnosis.unsupported(without) + diagnosis.webhook_findings(
        steps, existing, names={company.key: company.name for company in companies}, failures=failures,
        own_prefix=own_prefix(ctx), now=ctx.now(),
    )  # fmt: skip


def _offered(ctx: Context, company: Company) -> frozenset[str] | None:
    try:
        return ctx.bc.webhook_resources(company.key)
    except (BCDenied, BCNotFound, BCRejected):
        return None  # a beta: without it the app simply tries


def read_log(ctx: Context, companies: Sequence[Company]) -> list[Finding]:
    """Judge what Business Central wrote about its webhooks."""
    companies = companies[:MOST_COMPANIES]
    lines: list[tuple[str, WebhookLogLine]] = []
    for company, read in zip(companies, at_once(lambda one: _log_of(ctx, one), companies, ctx.threads), strict=True):
        if isinstance(read, Finding):
            return [read]  # closed to one of them, closed to all
        lines += [(company.name, line) for line in read]
    return diagnosis.log_findings(lines, now=ctx.now())


def _log_of(ctx: Context, company: Company) -> Sequence[WebhookLogLine] | Finding:
    try:
        return ctx.bc.webhook_logs(company.key)
    except (BCDenied, BCNotFound, BCRejected) as error:
        cause = "webhookLogs is a beta and needs permission on the activity log."
        return note("bc_log", "bc_log_closed", f"Business Central's webhook log cannot be read: {error}.", cause)
    except IntegrationError as error:
        return explain("bc_log", error, f"read the webhook log of {company.name}")
