"""What the doctor makes of what it gathered: webhooks, public address, queues, runs, orders, Business Central's log.

Pure. Texts never hold a notification URL: its last segment is known to Business Central and this app only.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shared.business_central.port import Subscription, WebhookLogLine
from shared.operations.advice import STALE
from shared.operations.findings import Finding, fine, note, warning, wrong
from shared.operations.status_view import StatusView, StreamView
from shared.resource_names import QUEUE_EVENTS, QUEUE_RESULTS, WORK_QUEUES
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
_TIMERS: Final = "its timer is disabled, the Function App is stopped or was not deployed, or the login does not work"


@dataclass(frozen=True, slots=True, kw_only=True)
class Knock:
    """What came of a handshake with our own public address."""

    status: int = 0  # 0: no answer
    is_exact: bool = False  # the token came back as text/plain, and nothing else
    took_s: float = 0.0
    error: str = ""


def knock_finding(knock: Knock, public_url: str) -> Finding:
    """Say whether Business Central would find a webhook here."""
    check, do = "public_url", "Set PUBLIC_URL to the https address under which the app is reached from the internet."
    if not knock.status:
        seen = f"A handshake with {public_url} got no answer: {knock.error}."
        cause = "PUBLIC_URL names another host, or DNS, TLS or a firewall keep callers out."
        return wrong(check, "public_url_unreachable", seen, cause, do)
    if knock.status == 403:
        seen = f"A handshake with {public_url} was answered 403."
        cause = "An access restriction keeps the app itself out; Business Central may still come in (service tag)."
        return warning(check, "public_url_restricted", seen, cause, "Trust what Business Central's log below says.")
    if knock.status != 200 or not knock.is_exact:
        seen = f"A handshake with {public_url} was answered {knock.status}, not by its token."
        cause = "Something else answers there, or bc_notifications is disabled or was not deployed."
        return wrong(check, "public_url_other", seen, cause, f"{do} Check that bc_notifications is enabled.")
    if knock.took_s > HANDSHAKE_S:
        seen = f"A handshake with {public_url} took {knock.took_s:.1f} s."
        cause = f"Business Central waits {HANDSHAKE_S:.0f} s; a cold start may take longer."
        return warning(check, "public_url_slow", seen, cause, "Keep an instance ready: alwaysReadyHttpInstances = 1.")
    return fine(check, f"A handshake with {public_url} came back whole after {knock.took_s:.2f} s.")


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
    found: list[Finding] = []
    kept = 0
    for step in steps:
        match step:
            case Register(want):
                what = f"{want.entity} of {names.get(want.company, want.company)}"
                found.append(_missing(what, failures.get((want.company, want.entity), "")))
            case Renew(want, held) if now >= held.expires_at - LIFETIME + RENEWED_BY:
                what = f"{want.entity} of {names.get(want.company, want.company)}"
                found.append(_not_renewed(what, held, failures.get((want.company, want.entity), "")))
            case Remove(_):
                cause = "It is doubled, or of an entity or company that is no longer watched."
                seen = "Business Central holds a webhook of ours that is not wanted."
                found.append(note("webhooks", "webhook_orphan", seen, cause, "keep_subscriptions removes it."))
            case _:
                kept += 1
    foreign = sum("/bc/notifications/" in one.url and not one.url.startswith(own_prefix) for one in existing)
    if foreign:
        seen = f"{foreign} webhooks lead to the same route of another address."
        cause = "PUBLIC_URL was changed, or another installation is connected to this environment."
        found.append(note("webhooks", "webhook_elsewhere", seen, cause, "Of an old address they end after three days."))
    if len(existing) >= MOST_WEBHOOKS:
        seen, cause = f"The environment holds {len(existing)} webhooks.", f"Business Central allows {MOST_WEBHOOKS}."
        found.append(wrong("webhooks", "webhook_limit", seen, cause, "Remove those that nobody needs."))
    if not any(one.code in {"webhook_missing", "webhook_not_renewed"} for one in found):
        found.insert(0, fine("webhooks", f"All {kept} webhooks are registered and young enough."))
    return found


def _missing(what: str, failure: str) -> Finding:
    if failure:
        cause = f"The last attempt failed: {failure}"
        do = "Remove that cause; see public_url here. It is tried again every 15 minutes."
    else:
        cause = "keep_subscriptions has not run since, or Business Central deleted it: after a 4xx answer, five failed "
        cause += "deliveries, three days without renewal, or a copy of the environment."
        do = "Wait for the next quarter of an hour; it is rebuilt and the gap is read. Then look at bc_log here."
    return wrong("webhooks", "webhook_missing", f"Business Central has no webhook for {what}.", cause, do)


def _not_renewed(what: str, held: Subscription, failure: str) -> Finding:
    seen = f"The webhook for {what} ends at {held.expires_at:%Y-%m-%d %H:%M} UTC and was not renewed."
    cause = f"The last attempt failed: {failure}" if failure else f"keep_subscriptions does not run: {_TIMERS}."
    return warning("webhooks", "webhook_not_renewed", seen, cause, "Remove that cause before it ends.")


def unsupported(entity: str, company: str) -> Finding:
    """Say that this environment offers no webhook for an entity."""
    seen = f"Business Central offers no webhook for {entity} in {company}."
    cause = "webhookSupportedResources does not list it: the version is older, or an extension changed the table."
    return note("webhooks", "webhook_unsupported", seen, cause, "None needed: the reconcile brings its records.")


def queue_findings(depths: Mapping[str, int | None]) -> list[Finding]:
    """Judge the lengths of the queues; None is a queue that does not exist."""
    found: list[Finding] = []
    for queue, depth in depths.items():
        if queue.endswith("-poison") and depth:
            seen, do = (
                f"{depth} messages lie in {queue}.",
                "Enable the dead_letter functions; they take these messages up.",
            )
            found.append(
                wrong("queues", "poison_waits", seen, "The functions that park failed messages do not run.", do)
            )
        elif queue in WORK_QUEUES and (depth or 0) > JAM:
            cause = (
                "More comes than goes: its function is disabled or fails, Business Central is slow, or a pull is on."
            )
            do = "Look again in ten minutes; when it has grown, look for failed invocations."
            found.append(warning("queues", "queue_jam", f"{depth} messages wait in {queue}.", cause, do))
        elif queue in {QUEUE_EVENTS, QUEUE_RESULTS} and (depth or 0) > UNREAD:
            cause = "Nobody reads it, or slower than it fills. Queue messages end after seven days."
            found.append(
                warning("queues", "output_unread", f"{depth} messages wait in {queue}.", cause, "Start its reader.")
            )
    if found:
        return found
    shown = ", ".join(f"{queue} {depth}" for queue, depth in depths.items() if depth is not None)
    return [fine("queues", f"Messages waiting: {shown or 'none yet'}.")]


def run_findings(view: StatusView, wanted: Sequence[tuple[str, str]]) -> list[Finding]:
    """Judge the last runs; `wanted` holds (company's name, `items (reconcile)`) for each stream due."""
    found: list[Finding] = []
    streams = {(stream.company, stream.entity): stream for stream in view.streams}
    missing = [f"{entity} of {company}" for company, entity in wanted if (company, entity) not in streams]
    if missing:
        seen = f"Never completed: {', '.join(missing[:6])}{' and more' if len(missing) > 6 else ''}."
        cause = f"The app is new and reconcile or pull_items has not run yet; or {_TIMERS}."
        found.append(
            warning("runs", "run_never", seen, cause, "Wait a quarter of an hour, or start the function by hand.")
        )
    for stream in view.streams:
        found += _run(stream, view.at)
    if not view.streams:
        return found or [note("runs", "run_none", "Nothing was read yet.", "The app is new, or could not begin.")]
    return found or [fine("runs", f"All {len(view.streams)} streams were read within the last hour.")]


def _run(stream: StreamView, at: datetime) -> list[Finding]:
    name = f"{stream.entity} of {stream.company}"
    if stream.state == "failed" or stream.error:
        do = "Remove that cause; the next run goes on from the watermark."
        return [wrong("runs", "run_failed", f"Reading {name} failed.", stream.error or "No reason was noted.", do)]
    if stream.last_run is not None and at - stream.last_run > STALE:
        seen = f"{name} was last read at {stream.last_run:%Y-%m-%d %H:%M} UTC."
        do = "Check that the app is started, its timers are enabled, and the findings above."
        return [wrong("runs", "run_stale", seen, f"{_TIMERS[0].upper()}{_TIMERS[1:]}.", do)]
    return []


def waiting_findings(view: StatusView) -> list[Finding]:
    """Judge what was set aside: messages and orders."""
    found: list[Finding] = []
    if view.messages:
        first = view.messages[0]
        seen = f"{len(view.messages)} messages are set aside; the first is {first.id}."
        do = "Remove the cause, then let it be tried again on the connect page."
        found.append(wrong("parked", "message_parked", seen, first.reason or "No reason was noted.", do))
    for state, count, cause in (
        ("parked", view.orders_parked, "Transient faults lasted for 72 hours."),
        ("rejected", view.orders_rejected, "Business Central, or the check of the message, refused them."),
    ):
        if count:
            codes = sorted({order.code for order in view.orders if order.state == state and order.code})
            seen = f"{count} sales orders are {state}{f' ({", ".join(codes[:5])})' if codes else ''}."
            do = "Correct customer, item or order; then let it be tried again on the connect page."
            found.append(warning("parked", f"order_{state}", seen, cause, do))
    return found or [fine("parked", f"Nothing is set aside; {view.orders_waiting} orders wait for a transient fault.")]


def log_findings(lines: Sequence[WebhookLogLine], company: str, *, now: datetime) -> list[Finding]:
    """Judge what Business Central wrote about its webhooks lately; one finding per kind of answer."""
    recent = [line for line in lines if line.failed and (line.at is None or now - line.at <= LOG_SPAN)]
    if not recent:
        return [fine("bc_log", f"Business Central's webhook log of {company} holds no failure in the last 24 hours.")]
    by_status: dict[str, int] = {}
    for line in recent:
        match = _STATUS.search(re.sub(r"https?://\S+", "", line.details))
        by_status[match[1] if match else ""] = by_status.get(match[1] if match else "", 0) + 1
    return [_log(status, count, company) for status, count in sorted(by_status.items())]


def _log(status: str, count: int, company: str) -> Finding:
    answer = f"was answered {status}" if status else "got no answer"
    seen = f"By its own log, a notification of {company} {answer}, {count} times in 24 hours."
    if not status or status in {"408", "429"} or status.startswith("5"):
        cause = "The app was down, too slow or could not reach its vault. Business Central sends again for 18 hours."
        return warning("bc_log", "bc_log_retried", seen, cause, "Look for webhook.refused and failed invocations.")
    cause = "Something in front of the app, or an app without its functions, answered. Business Central then deletes "
    cause += "every webhook of that address; keep_subscriptions rebuilds them and the gap is read."
    do = "Find who answers so: an access restriction, a disabled bc_notifications, a wrong PUBLIC_URL, a deployment."
    return wrong("bc_log", "bc_log_rejected", seen, cause, do)
