"""What the doctor makes of what it gathered: webhooks, public address, queues, Business Central's log.

Pure. Texts never hold a notification URL: its last segment is known to Business Central and this app only.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shared.business_central.port import Subscription, Wanted, WebhookLogLine
from shared.clock import earlier
from shared.operations.findings import Finding, counted, fine, grouped, named, note, warning, wrong
from shared.operations.poison_contents import Peeked, poison_findings
from shared.operations.unread_output import OUTPUTS, UnreadView, unread, unread_findings
from shared.operations.view_findings import NOT_RUNNING
from shared.resource_names import WORK_QUEUES
from shared.webhooks.plan import LIFETIME, Register, Remove, Renew, Step

#: Business Central waits so long for a handshake.
HANDSHAKE_S: Final = 5.0
#: A webhook this old should have been renewed already.
RENEWED_BY: Final = timedelta(hours=48)
#: Business Central holds no more subscriptions per environment.
MOST_WEBHOOKS: Final = 200
#: How far back BC's log is looked at.
LOG_SPAN: Final = timedelta(hours=24)
#: More messages than this in a work queue are a jam; an output queue is emptied by others and may be longer.
JAM: Final = 500
UNREAD: Final = 10_000

_STATUS: Final = re.compile(r"\b([1-5]\d\d)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class HandshakeResult:
    """What came of a handshake with our own public address."""

    status: int = 0  # 0: no answer
    is_exact: bool = False  # the token came back as text/plain, and nothing else
    took_s: float = 0.0
    error: str = ""


def handshake_finding(result: HandshakeResult, public_url: str) -> Finding:
    """Return whether Business Central would find a webhook here."""
    check, do = "public_url", "Set PUBLIC_URL to the https address under which the app is reached from the internet."
    if not result.status:
        seen = f"A handshake with {public_url} got no answer: {result.error}."
        cause = "PUBLIC_URL names another host, or DNS, TLS or a firewall keep callers out."
        return wrong(check, "public_url_unreachable", seen, cause, do)
    if result.status == 403:
        seen = f"A handshake with {public_url} was answered 403."
        cause = "An access restriction keeps the app itself out; Business Central may still come in (service tag)."
        return warning(check, "public_url_restricted", seen, cause, "Trust what Business Central's log below says.")
    if result.status != 200 or not result.is_exact:
        seen = f"A handshake with {public_url} was answered {result.status}, not by its token."
        cause = "Something else answers there, or bc_notifications is disabled or was not deployed."
        return wrong(check, "public_url_other", seen, cause, f"{do} Check that bc_notifications is enabled.")
    if result.took_s > HANDSHAKE_S:
        seen = f"A handshake with {public_url} took {result.took_s:.1f} s."
        cause = f"Business Central waits {HANDSHAKE_S:.0f} s; a cold start may take longer."
        return warning(check, "public_url_slow", seen, cause, "Keep an instance ready: alwaysReadyHttpInstances = 1.")
    return fine(check, f"A handshake with {public_url} came back whole after {result.took_s:.2f} s.")


def webhook_findings(
    steps: Sequence[Step],
    existing: Sequence[Subscription],
    *,
    names: Mapping[str, str],
    failures: Mapping[tuple[str, str], str],
    own_prefix: str,
    now: datetime,
) -> list[Finding]:
    """Compare BC's webhooks with the wanted ones: `names` of companies by id, `failures` as last noted."""
    missing: list[tuple[str, str]] = []  # (reason, webhook)
    old: list[tuple[str, str]] = []
    kept = orphans = 0
    for step in steps:
        match step:
            case Register(want):
                missing.append((_failure(want, failures), _webhook(want, names)))
            case Renew(want, held) if now >= earlier(held.expires_at, LIFETIME - RENEWED_BY):
                ends = f"{_webhook(want, names)}, ends {held.expires_at:%Y-%m-%d %H:%M}"
                old.append((_failure(want, failures), ends))
            case Remove(_):
                orphans += 1
            case _:
                kept += 1
    all_fine = fine("webhooks", f"All {kept} webhooks are registered and young enough.")
    return [
        *([] if missing or old else [all_fine]),
        *(_missing(whats, reason) for reason, whats in grouped(missing).items()),
        *(_not_renewed(whats, reason) for reason, whats in grouped(old).items()),
        *_too_many(orphans, existing, own_prefix),
    ]


def _webhook(want: Wanted, names: Mapping[str, str]) -> str:
    return f"{want.entity} of {names.get(want.company, want.company)}"


def _failure(want: Wanted, failures: Mapping[tuple[str, str], str]) -> str:
    return failures.get((want.company, want.entity), "")


def _too_many(orphans: int, existing: Sequence[Subscription], own_prefix: str) -> list[Finding]:
    found = []
    if orphans:
        cause = "It is doubled, or of an entity or company that is no longer watched."
        seen = f"Business Central holds {counted(orphans, 'webhook')} of ours that no setting asks for."
        found.append(note("webhooks", "webhook_orphan", seen, cause, "keep_subscriptions removes it."))
    foreign = sum("/bc/notifications/" in one.url and not one.url.startswith(own_prefix) for one in existing)
    if foreign:
        seen = f"The route of another address takes {counted(foreign, 'webhook')}."
        cause = "PUBLIC_URL was changed, or another installation is connected to this environment."
        found.append(note("webhooks", "webhook_elsewhere", seen, cause, "Of an old address they end after three days."))
    if len(existing) >= MOST_WEBHOOKS:
        seen, cause = f"The environment holds {len(existing)} webhooks.", f"Business Central allows {MOST_WEBHOOKS}."
        found.append(wrong("webhooks", "webhook_limit", seen, cause, "Remove those that nobody needs."))
    return found


def _missing(whats: list[str], failure: str) -> Finding:
    if failure:
        cause = f"The last attempt failed: {failure}"
        do = "Remove that cause; see public_url here. It is tried again every 15 minutes."
    else:
        cause = (
            "keep_subscriptions has not run since, or Business Central deleted them: after a 4xx answer, five failed "
        )
        cause += "deliveries, three days without renewal, or a copy of the environment."
        do = "Wait for the next quarter of an hour: they are rebuilt and the gap is read. Then look at bc_log here."
    seen = f"Business Central lacks {counted(len(whats), 'webhook')}: {named(whats)}."
    return wrong("webhooks", "webhook_missing", seen, cause, do)


def _not_renewed(whats: list[str], failure: str) -> Finding:
    seen = f"{counted(len(whats), 'webhook')} not renewed (times in UTC): {named(whats)}."
    cause = f"The last attempt failed: {failure}" if failure else f"keep_subscriptions does not run: {NOT_RUNNING}."
    return warning("webhooks", "webhook_not_renewed", seen, cause, "Remove that cause before they end.")


def unsupported(whats: Sequence[str]) -> list[Finding]:
    """Return for which entities (`items of CRONUS`) this environment offers no webhook."""
    if not whats:
        return []
    seen = f"Business Central offers no webhook for {named(whats)}."
    cause = "webhookSupportedResources does not list it: the version is older, or an extension changed the table."
    return [note("webhooks", "webhook_unsupported", seen, cause, "None needed: the reconcile brings its records.")]


def queue_findings(
    depths: Mapping[str, int | None], peek: Mapping[str, Sequence[Peeked]], *, now: datetime
) -> list[Finding]:
    """Judge the lengths of the queues (None: there is none), and by their first messages poison and output queues."""
    poison = {queue: depth for queue, depth in depths.items() if queue.endswith("-poison") and depth}
    found = poison_findings(poison, peek, now=now)
    found += (_long(queue, depth) for queue, depth in depths.items() if depth and depth > _limit(queue))
    found += unread_findings(_outputs(depths, peek), now)
    if found:
        return found
    shown = ", ".join(f"{queue} {depth}" for queue, depth in depths.items() if depth is not None)
    return [fine("queues", f"Messages waiting: {shown or 'none yet'}.")]


def _outputs(depths: Mapping[str, int | None], peek: Mapping[str, Sequence[Peeked]]) -> list[UnreadView]:
    return [unread(queue, depth, peek.get(queue, ())) for queue in OUTPUTS if (depth := depths.get(queue))]


def _limit(queue: str) -> float:
    if queue in WORK_QUEUES:
        return JAM
    return UNREAD if queue in OUTPUTS else math.inf


def _long(queue: str, depth: int) -> Finding:
    seen = f"{depth} messages wait in {queue}."
    if queue in WORK_QUEUES:
        cause = "More comes than goes: its function is disabled or fails, Business Central is slow, or a pull is on."
        do = "Look again in ten minutes; when it has grown, look for failed invocations."
        return warning("queues", "queue_jam", seen, cause, do)
    cause = "Nobody reads it, or slower than it fills. Queue messages end after seven days."
    return warning("queues", "output_unread", seen, cause, "Start its reader.")


def log_findings(lines: Sequence[tuple[str, WebhookLogLine]], *, now: datetime) -> list[Finding]:
    """Judge what Business Central wrote about its webhooks lately, by (company, line): a finding per answer."""
    by_status: dict[str, list[str]] = {}
    for company, line in lines:
        if line.failed and (line.at is None or now - line.at <= LOG_SPAN):
            match = _STATUS.search(re.sub(r"https?://\S+", "", line.details))
            by_status.setdefault(match[1] if match else "", []).append(company)
    if not by_status:
        return [fine("bc_log", "Business Central's webhook log holds no failure in the last 24 hours.")]
    return [_log(status, companies) for status, companies in sorted(by_status.items())]


def _log(status: str, companies: list[str]) -> Finding:
    answer = f"was answered {status}" if status else "got no answer"
    of = named(dict.fromkeys(companies), 4)
    seen = f"By its own log, a notification of {of} {answer}, {len(companies)} times in 24 hours."
    if not status or status in {"408", "429"} or status.startswith("5"):
        cause = "The app was down, too slow or could not reach its vault. Business Central sends again for 18 hours."
        return warning("bc_log", "bc_log_retried", seen, cause, "Look for webhook.refused and failed invocations.")
    cause = "Something in front of the app, or an app without its functions, answered. Business Central then deletes "
    cause += "every webhook of that address; keep_subscriptions rebuilds them and the gap is read."
    do = "Find who answers so: an access restriction, a disabled bc_notifications, a wrong PUBLIC_URL, a deployment."
    return wrong("bc_log", "bc_log_rejected", seen, cause, do)
