"""The doctor: why nothing arrives. Looks at one thing after the other, in the order in which they depend on each other.

Reads only. One request per company and entity, a few per company; of many companies only the first ten are looked at
in detail, so that an answer comes within the limit of an HTTP call.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shared.business_central.entities import ENTITIES, SALES_ORDERS, Entity
from shared.business_central.port import Company, Wanted
from shared.connections.context import Context
from shared.errors import BCDenied, BCError, BCNotFound, BCRejected, ConfigError, IntegrationError, StoreUnavailable
from shared.operations import diagnosis, status
from shared.operations.diagnosis import Knock
from shared.operations.findings import (
    Finding,
    Report,
    clock_finding,
    explain,
    fine,
    is_permission,
    note,
    settings_findings,
    warning,
    wrong,
)
from shared.operations.status_view import LoginView
from shared.operations.stores import Stores
from shared.operations.token_claims import token_findings
from shared.resource_names import QUEUE_EVENTS, QUEUE_RESULTS, SECRET_CLIENT, SECRET_WEBHOOK, WORK_QUEUES
from shared.settings import AuthMode
from shared.webhooks.keep import own_prefix, want_webhook
from shared.webhooks.plan import plan

#: Companies looked at in detail.
MOST_COMPANIES: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruments:
    """What the doctor looks with, beside the context."""

    token: Callable[[], str]  # as TokenSource.token
    login: Callable[[], LoginView]
    knock: Callable[[str], Knock]  # plays Business Central's handshake with a notification URL
    depth: Callable[[str], int | None]  # messages in a queue, None: there is no such queue


def refused(error: ConfigError, now: datetime) -> Report:
    """Return the report of an app whose settings are wrong: there is nothing else to look at."""
    return Report(at=now, environment="", findings=settings_findings(error))


def examine(ctx: Context, stores: Stores, instruments: Instruments) -> Report:
    """Look at everything; whatever fails is a finding and never raises."""
    found: list[Finding] = [fine("settings", f"All settings can be read; {_told(ctx)}.")]
    has_vault = _vault(ctx, found)
    has_token = has_vault and _token(ctx, instruments, found)
    companies = _companies(ctx, found) if has_token else []
    if companies:
        found += _permissions(ctx, companies)
        found += _guarded("webhooks", "compare the webhooks", lambda: _webhooks(ctx, stores, companies))
    found.append(diagnosis.knock_finding(instruments.knock(f"{own_prefix(ctx)}doctor"), ctx.settings.public_url))
    found += _guarded("queues", "read the length of the queues", lambda: _queues(instruments))
    found += _guarded("runs", "read the state of runs and orders", lambda: _state(ctx, stores, instruments, companies))
    for company in companies[:MOST_COMPANIES]:
        found += _log(ctx, company)
    return Report(at=ctx.now(), environment=ctx.settings.environment, findings=tuple(found))


def _told(ctx: Context) -> str:
    settings = ctx.settings
    return f"environment {settings.environment} of {settings.tenant_id}, mode {settings.auth_mode}"


def _guarded(check: str, what: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    try:
        return look()
    except IntegrationError as error:
        return [explain(check, error, what)]


def _vault(ctx: Context, found: list[Finding]) -> bool:
    try:
        webhook_secret = ctx.secrets.read(SECRET_WEBHOOK)
        client_secret = ctx.secrets.read(SECRET_CLIENT) if ctx.settings.auth_mode is AuthMode.CLIENT_SECRET else "-"
    except StoreUnavailable as error:
        found.append(explain("vault", error, "read a secret"))
        return False
    if not client_secret:
        cause = f"Nobody has stored {SECRET_CLIENT}."
        do = "Create a client secret in the app registration and store its value in the vault under that name."
        found.append(wrong("vault", "client_secret_missing", "The vault holds no client secret.", cause, do))
        return False
    if not webhook_secret:
        cause = "keep_subscriptions makes it when it first runs; until then notifications are answered 503."
        found.append(note("vault", "webhook_secret_missing", f"The vault holds no {SECRET_WEBHOOK} yet.", cause))
    else:
        found.append(fine("vault", "The vault lets the app read its secrets."))
    return True


def _token(ctx: Context, instruments: Instruments, found: list[Finding]) -> bool:
    settings = ctx.settings
    try:
        token = instruments.token()
    except IntegrationError as error:
        found.append(explain("login", error, "get an access token"))
        return False
    try:
        login = instruments.login()
        who = f" as {login.user}" if login.user else ""
    except IntegrationError:
        who = ""
    found.append(fine("login", f"The login works{who}."))
    found += token_findings(
        token, now=ctx.now(), tenant_id=settings.tenant_id, client_id=settings.client_id,
        is_delegated=settings.auth_mode is AuthMode.AUTHORIZATION_CODE,
    )  # fmt: skip
    return True


def _companies(ctx: Context, found: list[Finding]) -> list[Company]:
    ctx.companies.forget()
    try:
        companies = ctx.companies.served()
        missing = ctx.companies.unknown()
        listed = ", ".join(company.name for company in ctx.bc.companies())
    except IntegrationError as error:
        found.append(explain("business_central", error, "list the companies"))
        return []
    found.append(fine("business_central", "Business Central answers."))
    for name in missing:
        seen = f"BC_COMPANIES names {name}, and there is no such company."
        cause = f"It was renamed, removed or misspelt, or the login may not open it. There are: {listed or 'none'}."
        do = "Correct BC_COMPANIES, best by company id, which outlives a new name."
        found.append(wrong("companies", "company_unknown", seen, cause, do))
    if not companies and not missing:
        cause = "The login may open no company."
        do = "Give the user or application a permission set in the company."
        found.append(wrong("companies", "company_none", "Business Central lists no company.", cause, do))
    if companies:
        found.append(fine("companies", f"Served: {', '.join(company.name for company in companies)}."))
    return companies


def _permissions(ctx: Context, companies: list[Company]) -> Iterator[Finding]:
    """Read one record of everything that is read, and of orders; tell BC's time along the way."""
    entities = [ENTITIES[name] for name in ctx.settings.triggers] + [SALES_ORDERS]
    served_at: datetime | None = None
    read = 0
    for company in companies[:MOST_COMPANIES]:
        for entity in entities:
            expanded = bool(entity.expand) and ctx.expands(entity)
            try:
                served_at = ctx.bc.probe(company.key, entity, expanded=expanded)
                asked_at = ctx.now()
                read += 1
            except (BCDenied, BCNotFound, BCRejected) as error:
                yield _not_permitted(error, entity, company, expanded=expanded)
            except IntegrationError as error:
                yield explain("permissions", error, f"read {entity.name} of {company.name}")
                return
    if read:
        yield fine("permissions", f"{read} of {len(entities) * len(companies[:MOST_COMPANIES])} entities may be read.")
    if served_at is not None:
        yield clock_finding(asked_at, served_at)
    if len(companies) > MOST_COMPANIES:
        seen = f"Only {MOST_COMPANIES} of {len(companies)} companies were looked at in detail."
        yield note("permissions", "companies_cut", seen, "Every look costs requests of the shared limit.")


def _not_permitted(error: BCError, entity: Entity, company: Company, *, expanded: bool) -> Finding:
    what = f"{entity.name} of {company.name}"
    seen = f"Reading {what} was refused: {error}."
    if isinstance(error, BCNotFound):
        cause = "The company is gone, or this version of Business Central has no such entity."
        return wrong("permissions", "entity_missing", seen, cause, "Check BC_COMPANIES and BC_TRIGGERS.")
    if is_permission(error):
        parts = f" and {entity.expand}" if expanded else ""
        cause = f"The user or application lacks read permission on {entity.name}{parts} in this company."
        do = "Give it a permission set that covers the entity (User card or Microsoft Entra Applications)."
        return wrong("permissions", "entity_not_permitted", seen, cause, do)
    return warning("permissions", "entity_refused", seen, "Business Central refuses this read.", "Its code says why.")


def _webhooks(ctx: Context, stores: Stores, companies: list[Company]) -> list[Finding]:
    ctx.webhook_secret.forget()
    secret = ctx.webhook_secret.read()
    if secret is None:
        cause = "keep_subscriptions has not run yet: it makes the webhook secret, then the webhooks."
        do = "Wait for the next quarter of an hour, or start keep_subscriptions by hand."
        return [wrong("webhooks", "webhook_missing", "There are no webhooks yet.", cause, do)]
    found: list[Finding] = []
    wanted: list[Wanted] = []
    for company in companies:
        offered = _offered(ctx, company)
        for entity in (ENTITIES[name] for name in ctx.settings.triggers):
            if offered is not None and f"{entity.route}/{entity.name}".lower() not in offered:
                found.append(diagnosis.unsupported(entity.name, company.name))
            else:
                wanted.append(want_webhook(ctx, secret, company.key, entity))
    existing = ctx.bc.subscriptions()
    steps = plan(wanted, existing, own_prefix=own_prefix(ctx), now=ctx.now())
    failures = {(held.company, held.entity): held.error for held in stores.notes.all() if held.status == "failed"}
    return found + diagnosis.webhook_findings(
        steps, existing, names=_names(companies), failures=failures, own_prefix=own_prefix(ctx), now=ctx.now()
    )


def _offered(ctx: Context, company: Company) -> frozenset[str] | None:
    try:
        return ctx.bc.webhook_resources(company.key)
    except (BCDenied, BCNotFound, BCRejected):
        return None  # a beta: without it the app simply tries


def _names(companies: list[Company]) -> Mapping[str, str]:
    return {company.key: company.name for company in companies}


def _queues(instruments: Instruments) -> list[Finding]:
    queues = [name for queue in WORK_QUEUES for name in (queue, f"{queue}-poison")] + [QUEUE_EVENTS, QUEUE_RESULTS]
    return diagnosis.queue_findings({queue: instruments.depth(queue) for queue in queues})


def _state(ctx: Context, stores: Stores, instruments: Instruments, companies: list[Company]) -> list[Finding]:
    view = status.view(ctx, stores, instruments.login())
    wanted = [(company.name, f"{name} (reconcile)") for company in companies for name in ctx.settings.triggers]
    wanted += [(company.name, "items (pull)") for company in companies]
    return diagnosis.run_findings(view, wanted) + diagnosis.waiting_findings(view)


def _log(ctx: Context, company: Company) -> list[Finding]:
    try:
        return diagnosis.log_findings(ctx.bc.webhook_logs(company.key), company.name, now=ctx.now())
    except (BCDenied, BCNotFound, BCRejected) as error:
        cause = "webhookLogs is a beta and needs permission on the activity log."
        return [note("bc_log", "bc_log_closed", f"Business Central's webhook log cannot be read: {error}.", cause)]
    except IntegrationError as error:
        return [explain("bc_log", error, f"read the webhook log of {company.name}")]
