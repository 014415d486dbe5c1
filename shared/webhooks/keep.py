"""Keeps the webhooks of watched entities alive: registers, renews, rebuilds what BC lost, removes orphans of ours."""

import logging
from typing import Final

from shared.business_central.entities import Entity
from shared.business_central.port import Subscription, Wanted
from shared.changes import plan_runs
from shared.changes.change_stores import ChangeStores
from shared.changes.jobs import PageJob, texts
from shared.connections.context import Context
from shared.errors import BCError, BCNotFound, BudgetExhausted, IntegrationError, StateConflict
from shared.log import log_event
from shared.outputs import Outputs
from shared.webhooks.delivery import ROUTE, Target, client_state, path_prefix, subscription_path
from shared.webhooks.notes import WebhookNote, WebhookNoteStore
from shared.webhooks.plan import Keep, Register, Remove, Renew, Step, plan

log: Final = logging.getLogger(__name__)


def keep_subscriptions(ctx: Context, notes: WebhookNoteStore, stores: ChangeStores) -> Outputs:
    """Bring BC's webhooks in line with what is wanted; each company, endpoint and webhook fails for itself alone.

    Raises:
        BCError, TokenError, StoreUnavailable: BC or the vault can't be asked at all.
    """
    secret = ctx.webhook_secret.made()
    ctx.catalogue.refresh()
    existing = ctx.bc.subscriptions(_routes(ctx, notes))
    companies, is_whole = _companies(ctx, notes)
    wanted = [want for company in companies for want in _wanted(ctx, notes, secret, company)]
    gaps: list[PageJob] = []
    for step in plan(wanted, existing, own_prefix=own_prefix(ctx), now=ctx.now()):
        if isinstance(step, Remove) and not is_whole:
            continue  # it may belong to a company that could not be listed
        try:
            gaps += _take(ctx, notes, stores, step)
        except IntegrationError as error:  # what the other steps have planned must leave
            log_event(
                log, "subscription.failed", level=logging.WARNING, kind=type(step).__name__.lower(),
                error=type(error).__name__, reason=str(error),
            )  # fmt: skip
    if is_whole:
        _forget_unwanted(notes, wanted)
    return Outputs(pages=texts(gaps))


def _routes(ctx: Context, notes: WebhookNoteStore) -> list[str]:
    """Return the API routes with webhooks of ours: those in use, and those of entities that were taken out."""
    noted = (note.entity.rpartition("/")[0] for note in notes.all())
    return list(dict.fromkeys([*ctx.catalogue.webhook_routes, *(route for route in noted if route)]))


def _take(ctx: Context, notes: WebhookNoteStore, stores: ChangeStores, step: Step) -> list[PageJob]:
    match step:
        case Register(want):
            return _register(ctx, notes, stores, want)
        case Renew(want, existing):
            return _renew(ctx, notes, stores, want, existing)
        case Keep(want, existing):
            _keep(notes, want, existing)
        case Remove(existing):
            _remove(ctx, existing)
    return []


def _companies(ctx: Context, notes: WebhookNoteStore) -> tuple[list[str], bool]:
    """Return the ids of the companies to serve, and whether BC listed them; if not, they are those with a note."""
    try:
        return [company.key for company in ctx.companies.served()], True
    except (BCError, BudgetExhausted) as error:
        log_event(log, "subscription.failed", level=logging.WARNING, kind="companies", reason=str(error))
        return sorted({note.company for note in notes.all()}), False


def own_prefix(ctx: Context) -> str:
    """Return what the notification URLs of a connection begin with; behind it no slash follows."""
    return f"{ctx.settings.public_url}/api/{ROUTE}/{path_prefix(ctx.settings.id)}"


def _wanted(ctx: Context, notes: WebhookNoteStore, secret: bytes, company: str) -> list[Wanted]:
    """Return the webhooks of one company; all are tried while BC gives no list of what it offers, as that is a beta."""
    wanted: list[Wanted] = []
    offered = ctx.catalogue.offered(company)
    for entity in (entity for entity in ctx.catalogue.resolved().watched if entity.by_webhook):
        note = notes.load(company, entity.name) if offered is None else None
        was_unsupported = note is not None and note.status == "unsupported"
        if was_unsupported or (offered is not None and entity.webhook_resource not in offered):
            _note_unsupported(notes, company, entity)
        else:
            wanted.append(want_webhook(ctx, secret, company, entity))
    return wanted


def want_webhook(ctx: Context, secret: bytes, company: str, entity: Entity) -> Wanted:
    """Return the webhook of one company's entity as it should be."""
    settings = ctx.settings
    path = subscription_path(secret, settings.connection, Target(company, entity), settings.id)
    return Wanted(
        company=company,
        entity=entity.name,
        url=f"{settings.public_url}/api/{ROUTE}/{path}",
        resource=entity.resource(company),
        client_state=client_state(secret, path),
    )


def _register(ctx: Context, notes: WebhookNoteStore, stores: ChangeStores, want: Wanted) -> list[PageJob]:
    note = notes.load(want.company, want.entity)
    lost = note is not None and note.status == "active"
    if lost:
        log_event(
            log, "subscription.lost", level=logging.WARNING, company=want.company, entity=want.entity,
            subscription_id=note.subscription_id if note else "",
        )  # fmt: skip
    try:
        made = ctx.bc.create_subscription(want)
    except BCError as error:
        _note_failure(notes, want, error, "register")
        return []
    _note_active(notes, want, made, "subscription.created")
    return _read_gap(ctx, stores, want)


def _renew(
    ctx: Context, notes: WebhookNoteStore, stores: ChangeStores, want: Wanted, existing: Subscription
) -> list[PageJob]:
    try:
        renewed = ctx.bc.renew_subscription(want, existing)
    except BCNotFound:
        return _register(ctx, notes, stores, want)
    except BCError as error:
        _note_failure(notes, want, error, "renew", existing)
        return []
    _note_active(notes, want, renewed, "subscription.renewed")
    return []


def _read_gap(ctx: Context, stores: ChangeStores, want: Wanted) -> list[PageJob]:
    """Read what changed while there was no webhook; before the first snapshot there is nothing to compare with."""
    entity = ctx.catalogue.named(want.entity)
    if entity is None or not stores.snapshot_in_force(want.company, entity):
        return []
    try:
        return plan_runs.plan_delta(ctx, stores, want.company, entity)
    except StateConflict:
        return []  # another instance has just begun one


def _keep(notes: WebhookNoteStore, want: Wanted, existing: Subscription) -> None:
    note = notes.load(want.company, want.entity)
    if note is None or note.status != "active" or note.subscription_id != existing.subscription_id:
        _note_active(notes, want, existing, None)


def _remove(ctx: Context, existing: Subscription) -> None:
    try:
        ctx.bc.delete_subscription(existing)
    except BCError as error:
        log_event(
            log, "subscription.failed", level=logging.WARNING, kind="remove", status=error.status,
            subscription_id=existing.subscription_id, reason=str(error),
        )  # fmt: skip
        return
    log_event(log, "subscription.removed", subscription_id=existing.subscription_id)


def _forget_unwanted(notes: WebhookNoteStore, wanted: list[Wanted]) -> None:
    kept = {(want.company, want.entity) for want in wanted}
    for note in notes.all():
        if (note.company, note.entity) not in kept and note.status != "unsupported":
            notes.forget(note.company, note.entity)


def _note_active(notes: WebhookNoteStore, want: Wanted, held: Subscription, event: str | None) -> None:
    notes.save(
        WebhookNote(
            company=want.company, entity=want.entity, status="active", subscription_id=held.subscription_id,
            expires_at=held.expires_at if held.expires_at.year > 1601 else None,
        )
    )  # fmt: skip
    if event:
        log_event(
            log, event, company=want.company, entity=want.entity, subscription_id=held.subscription_id,
            expires_at=held.expires_at,
        )  # fmt: skip


def _note_failure(
    notes: WebhookNoteStore, want: Wanted, error: BCError, what: str, existing: Subscription | None = None
) -> None:
    log_event(
        log, "subscription.failed", level=logging.ERROR, kind=what, company=want.company, entity=want.entity,
        status=error.status, bc_code=error.code, bc_correlation_id=error.correlation_id, reason=error.message,
    )  # fmt: skip
    note = notes.load(want.company, want.entity)
    notes.save(
        WebhookNote(
            company=want.company, entity=want.entity, status="failed", error=f"{what}: {error}",
            subscription_id=existing.subscription_id if existing else "",
            expires_at=existing.expires_at if existing else note.expires_at if note else None,
        )
    )  # fmt: skip


def _note_unsupported(notes: WebhookNoteStore, company: str, entity: Entity) -> None:
    note = notes.load(company, entity.name)
    if note is not None and note.status == "unsupported":
        return
    notes.save(WebhookNote(company=company, entity=entity.name, status="unsupported"))
    log_event(log, "subscription.unsupported", level=logging.WARNING, company=company, entity=entity.name)
