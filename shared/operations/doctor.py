"""The doctor: why nothing arrives. Looks at one thing after the other, in the order in which they depend on each other.

Reads only, and answers within 12 seconds whatever hangs: every check has a limit of its own, and what does not depend
on another runs beside it. One request per company and entity, a few per company; of many companies only the first ten
are looked at in detail.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from shared.business_central.port import Company
from shared.connections.context import Context
from shared.errors import ConfigError, IntegrationError
from shared.forwarding.event_targets import read_target
from shared.forwarding.forward_step import cause_and_do, secret_fault
from shared.operations import bc_checks, diagnosis, status, view_findings
from shared.operations.diagnosis import HandshakeResult
from shared.operations.failures import explain, settings_findings
from shared.operations.findings import Finding, Report, fine, named, note, wrong
from shared.operations.setting_doubts import setting_doubts
from shared.operations.status_view import ForwardingView, LoginView, StatusView
from shared.operations.stores import Stores
from shared.operations.time_limit import TookTooLong, side_by_side, within
from shared.operations.timers import Timer
from shared.operations.token_claims import token_findings
from shared.operations.unread_output import OUTPUTS
from shared.resource_names import SECRET_CLIENT, SECRET_EVENTS, SECRET_WEBHOOK, WORK_QUEUES
from shared.settings import AuthMode
from shared.webhooks.keep import own_prefix

#: How long each check may take, in seconds. The longest way through (vault, login, companies, webhooks) takes 12 s.
LIMITS_S: Final = {
    "vault": 2.5, "login": 3.0, "business_central": 2.5, "permissions": 4.0, "webhooks": 4.0, "bc_log": 4.0,
    "reader": 9.0, "public_url": 9.0, "queues": 9.0, "runs": 9.0,
}  # fmt: skip
#: What a check does, as in "could not ...", and what to look at when it takes too long.
_CHECKS: Final = {
    "vault": ("read a secret", "Check KEY_VAULT_URL, DNS and private endpoints."),
    "login": ("get an access token", "Check BC_LOGIN_URL and outbound rules; the vault and the tables are read, too."),
    "reader": ("get an access token of the reader", "Check BC_LOGIN_URL and outbound rules."),
    "business_central": ("list the companies", "Look at its service health, then at outbound rules."),
    "permissions": ("read a record of every entity", "Business Central is slow, or all request slots are in use."),
    "webhooks": ("compare the webhooks", "Business Central is slow, or all request slots are in use."),
    "bc_log": ("read Business Central's webhook log", "Business Central is slow; look again in a minute."),
    "public_url": ("shake hands with the public address", "Check PUBLIC_URL; what is there takes calls and is silent."),
    "queues": ("read the length of the queues", "Check AzureWebJobsStorage, DNS and private endpoints."),
    "runs": ("read the state of runs and orders", "Check AzureWebJobsStorage, DNS and private endpoints."),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruments:
    """What the doctor looks with, beside the context."""

    token: Callable[[], str]  # as TokenSource.token
    login: Callable[[], LoginView]
    handshake: Callable[[str], HandshakeResult]  # plays Business Central's handshake with a notification URL
    depth: Callable[[str], int | None]  # messages in a queue, None: there is no such queue
    timers: Sequence[Timer] = status.DEFAULT_TIMERS
    peek: status.Peek = lambda _: ()
    reader: Callable[[], LoginView | None] = lambda: None  # asks for a token of the reader; None: there is none
    env: Mapping[str, str] = field(default_factory=dict)  # all app settings as they are written


def refused(error: ConfigError, now: datetime, env: Mapping[str, str]) -> Report:
    """Return the report of an app whose settings are wrong: there is nothing to look at beside them."""
    return Report(at=now, environment="", findings=(*settings_findings(error), *setting_doubts(env)))


def examine(ctx: Context, stores: Stores, instruments: Instruments) -> Report:
    """Look at everything; whatever fails, or takes too long, is a finding and never raises."""
    beside: list[Callable[[], list[Finding]]] = [
        lambda: _from_vault_to_business_central(ctx, stores, instruments),
        lambda: _limited("reader", lambda: _reader(ctx, instruments)),
        lambda: _limited("public_url", lambda: _public_url(ctx, instruments)),
        lambda: _limited("queues", lambda: _queues(ctx, instruments)),
        lambda: _limited("runs", lambda: _state(ctx, stores, instruments)),
    ]
    found = side_by_side(beside) if ctx.threads > 1 else [look() for look in beside]
    settings = fine("settings", f"All settings can be read; {_connection(ctx)}.")
    return Report(
        at=ctx.now(),
        environment=ctx.settings.environment,
        findings=(settings, *setting_doubts(instruments.env), *_once(one for some in found for one in some)),
    )


def _once(found: Iterable[Finding]) -> list[Finding]:
    """Return the findings, of a cause that several checks ran into the first; Business Central's log tells its own."""
    met: set[tuple[str, str, str]] = set()
    kept = []
    for one in found:
        cause = (one.code, one.cause, one.do)
        if cause not in met or not one.is_wrong or one.check == "bc_log":
            kept.append(one)
        met.add(cause)
    return kept


def _connection(ctx: Context) -> str:
    settings = ctx.settings
    return f"environment {settings.environment} of {settings.tenant_id}, mode {settings.auth_mode}"


def _limited(check: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    what, do = _CHECKS[check]
    try:
        return within(LIMITS_S[check], look)
    except IntegrationError as error:
        return [explain(check, error, what)]
    except TookTooLong:
        seen = f"Could not {what} within {LIMITS_S[check]:g} s."
        return [wrong(check, f"{check}_hangs", seen, "What answers there takes the call and says nothing.", do)]


def _from_vault_to_business_central(ctx: Context, stores: Stores, instruments: Instruments) -> list[Finding]:
    """Look at what is of no use without the one before; the first that is wrong ends it."""
    companies: list[Company] = []
    found: list[Finding] = []
    for check, look in (
        ("vault", lambda: _vault(ctx)),
        ("login", lambda: _token(ctx, instruments)),
        ("business_central", lambda: bc_checks.list_companies(ctx, companies)),
    ):
        seen = _limited(check, look)
        found += seen
        if any(one.check == check and one.is_wrong for one in seen):
            return found
    if not companies:
        return found
    beside: list[Callable[[], list[Finding]]] = [
        lambda: _limited("permissions", lambda: bc_checks.check_permissions(ctx, companies)),
        lambda: _limited("webhooks", lambda: bc_checks.check_webhooks(ctx, stores, companies)),
        lambda: _limited("bc_log", lambda: bc_checks.read_log(ctx, companies)),
    ]
    for some in side_by_side(beside) if ctx.threads > 1 else [look() for look in beside]:
        found += some
    return found


def _vault(ctx: Context) -> list[Finding]:
    webhook_secret, secret = ctx.secrets.read(SECRET_WEBHOOK), ctx.settings.secret(SECRET_CLIENT)
    client_secret = ctx.secrets.read(secret) if ctx.settings.auth_mode is AuthMode.CLIENT_SECRET else "-"
    if not client_secret:
        cause = f"Nobody has stored {secret}."
        do = "Create a client secret in the app registration and store its value in the vault under that name."
        return [wrong("vault", "client_secret_missing", "The vault holds no client secret.", cause, do)]
    if not webhook_secret:
        cause = "keep_subscriptions makes it when it first runs; until then notifications are answered 503."
        return [note("vault", "webhook_secret_missing", f"The vault holds no {SECRET_WEBHOOK} yet.", cause)]
    return [fine("vault", "The vault lets the app read its secrets.")]


def _token(ctx: Context, instruments: Instruments) -> list[Finding]:
    settings = ctx.settings
    token = instruments.token()
    try:
        login = instruments.login()
        who = f" as {login.user}" if login.user else ""
    except IntegrationError:
        who = ""
    return [
        fine("login", f"The login works{who}."),
        *token_findings(
            token, now=ctx.now(), tenant_id=settings.tenant_id, client_id=settings.client_id,
            is_delegated=settings.auth_mode is AuthMode.AUTHORIZATION_CODE,
        ),
    ]  # fmt: skip


def _reader(ctx: Context, instruments: Instruments) -> list[Finding]:
    """Return why the reader is not used, by a token that is asked for now and by what its last page was answered."""
    reader = instruments.reader()
    if reader is None:
        return []
    view = StatusView(
        at=ctx.now(), environment=ctx.settings.environment, connection=ctx.settings.id, login=reader, reader=reader
    )
    return view_findings.with_fine(view_findings.reader_findings(view), "reader", "The reader's login works.")


def _public_url(ctx: Context, instruments: Instruments) -> list[Finding]:
    result = instruments.handshake(f"{own_prefix(ctx)}doctor")
    return [diagnosis.handshake_finding(result, ctx.settings.public_url)]


def _queues(ctx: Context, instruments: Instruments) -> list[Finding]:
    queues = [name for queue in WORK_QUEUES for name in (queue, f"{queue}-poison")] + [*OUTPUTS]
    depths = {queue: instruments.depth(queue) for queue in queues}
    first = {queue: instruments.peek(queue) for queue, depth in depths.items() if queue not in WORK_QUEUES and depth}
    return diagnosis.queue_findings(depths, first, now=ctx.now())


def _state(ctx: Context, stores: Stores, instruments: Instruments) -> list[Finding]:
    """Return what the kept state says; login, companies and webhooks are looked at above, at their source."""
    view = status.view(ctx, stores, instruments.login(), instruments.timers)
    runs = view_findings.run_findings(view) + view_findings.never_read(view)
    names = ", ".join(timer.function for timer in view.timers)
    return [
        *view_findings.with_fine(view_findings.timer_findings(view), "timers", f"Started in time: {names}."),
        *view_findings.with_fine(
            view_findings.entity_findings(view), "entities", f"Watched: {named(one.entity for one in view.triggers)}."
        ),
        *view_findings.with_fine(runs, "runs", f"All {len(view.streams)} streams were read when they should be."),
        *view_findings.with_fine(
            view_findings.order_findings(view), "orders", f"{view.orders_waiting} orders wait for a transient fault."
        ),
        *view_findings.with_fine(view_findings.dead_letter_findings(view), "dead_letters", "No dead letters."),
        *(_forwarding(ctx, view, view.forwarding) if view.forwarding else ()),
    ]


def _forwarding(ctx: Context, view: StatusView, to: ForwardingView) -> list[Finding]:
    """Return why events don't arrive where they shall go; the secret is looked at before the first event needs it."""
    found, target = view_findings.forwarding_findings(view), read_target(ctx.settings.events_to)
    if not found and target is not None and not target.scope:
        cause = secret_fault(ctx.secrets.read(SECRET_EVENTS))
        if cause:
            seen = "Events can't be signed, so none leaves."
            found = [wrong("forwarding", f"events_{cause}", seen, *cause_and_do(target.kind, cause))]
    return view_findings.with_fine(found, "forwarding", f"Events go to {to.receiver}; none waits for long.")
