"""What is wrong by the state that the app keeps: login, companies, runs, webhooks, orders, reader. Worst first.

Pure: a `StatusView` in, findings out; page, status and doctor show the same. One cause is one finding, however many
streams or webhooks it hits. What has to be asked for (tokens, queues, public address) is the doctor's.
"""

from collections import Counter
from datetime import datetime, timedelta
from typing import Final

from shared.forwarding.forward_step import HELD
from shared.login.entra_codes import BY_BC, advice
from shared.operations.findings import Finding, counted, fine, grouped, named, note, shortened, warning, wrong
from shared.operations.poison_contents import poison_findings
from shared.operations.status_view import LoginView, OrderView, StatusView, StreamView, SubscriptionView
from shared.operations.unread_output import unread_findings
from shared.orders.next_step import EXISTS, LOOKS_ALIKE, OUTCOME_UNKNOWN, TOO_MANY
from shared.resource_names import SECRET_READER, secret_of

#: A subscription is renewed by 48 h of age and lives 3 days; with less left than this the renewal does not work.
EXPIRES_SOON: Final = timedelta(hours=12)
#: Codes of refusals that are this app's own; every other code of a refused order is Business Central's.
OWN_CODES: Final = frozenset({
    "InvalidMessage", EXISTS, TOO_MANY, LOOKS_ALIKE, OUTCOME_UNKNOWN, "poison", "network", "nextLink", "origin",
})  # fmt: skip
#: Codes of parked orders whose outcome is open, and which no fault of 72 hours has stopped.
_OPEN: Final = frozenset({OUTCOME_UNKNOWN, LOOKS_ALIKE, TOO_MANY, "poison"})
#: A receiver that does not take events for so long is worth a look; nearly all faults are shorter.
PASSES_WITHIN: Final = timedelta(minutes=15)
EXAMPLE: Final = "0 */15 * * * *"

NOT_RUNNING: Final = (
    "its timer is disabled, the Function App is stopped or was not deployed, or the login does not work"
)


def findings(view: StatusView) -> tuple[Finding, ...]:
    """Return what is wrong, worst first; empty when all is well."""
    answers = view.business_central is None or not view.business_central.is_wrong
    return (
        *login_findings(view.login),
        *([view.business_central] if view.business_central and not answers else []),
        *company_findings(view),
        *entity_findings(view),
        *timer_findings(view),
        *(run_findings(view) if answers else []),  # while it does not answer, nothing can be read or renewed
        *(webhook_findings(view) if answers else []),
        *(view.in_poison or poison_findings(view.poison or {}, {}, now=view.at)),
        *unread_findings(view.unread, view.at),
        *forwarding_findings(view),
        *order_findings(view),
        *dead_letter_findings(view),
        *reader_findings(view),
    )


def login_findings(login: LoginView) -> list[Finding]:
    """Return why nobody is signed in."""
    if login.state == "ok" or (not login.state and login.mode != "authorization_code"):
        return []
    code = login.code or "login_required"
    known = advice(code, login.reason)
    do = known.do
    if known.by_signing_in and login.mode != "authorization_code":
        do = "Nobody signs in in this mode: look the code up in Microsoft's list and mend the app registration."
    return [wrong("login", f"login_{code}", known.problem, "", do)]


def reader_findings(view: StatusView) -> list[Finding]:
    """Return why the reader is not used."""
    reader = view.reader
    if reader is None or reader.state != "needed":
        return []
    secret = secret_of(SECRET_READER, view.connection)
    if reader.code == BY_BC:
        problem = (
            "Business Central does not know the application of BC_READER_CLIENT_ID, or not with what it reads, or does "
            "not answer it what it answers the identity."
        )
        do = (
            "Enter BC_READER_CLIENT_ID on the page Microsoft Entra Applications, state Enabled, with a permission set "
            "that reads what is watched and pulled, in every company. If it then fails still, work goes on without it."
        )
    elif reader.code in {"client_secret_missing", "invalid_client", "AADSTS7000215", "AADSTS7000222"}:
        problem = advice(reader.code, reader.reason).problem
        do = f"Store the value of a client secret of the application of BC_READER_CLIENT_ID in the vault as {secret}."
    else:
        problem = reader.reason
        do = "Compare BC_READER_CLIENT_ID, its tenant and its API permission API.ReadWrite.All with what Entra shows."
    seen = f"The reader is refused, so pages are read by the identity alone: {shortened(reader.reason)}."
    return [warning("reader", "reader_refused", seen, problem, do)]


def company_findings(view: StatusView) -> list[Finding]:
    """Return which companies cannot be served."""
    return [
        wrong(
            "companies", "company_unknown", f"{company.name} cannot be served.", shortened(company.error),
            "Check BC_COMPANIES and the user's permissions in that company; the other companies go on.",
        )
        for company in view.companies
        if company.error
    ]  # fmt: skip


def run_findings(view: StatusView) -> list[Finding]:
    """Return which reads fail, and which have not happened for too long; one finding per reason."""
    return [*_failed(view), *_stale(view)]


def _failed(view: StatusView) -> list[Finding]:
    found = []
    failed = grouped((stream.error, stream) for stream in view.streams if stream.error or stream.state == "failed")
    for reason, streams in failed.items():
        seen, do = f"Reading {_streams(streams)} failed.", "Remove that cause; the next run goes on from the watermark."
        found.append(wrong("runs", "run_failed", seen, shortened(reason) or "No reason was noted.", do))
    return found


def _stale(view: StatusView) -> list[Finding]:
    stale = [stream for stream in view.streams if stream.is_late(view.at) and not stream.error]
    if not stale:
        return []
    last = max(stream.last_run for stream in stale if stream.last_run)
    seen = f"Not read for too long: {_streams(stale)}; last at {last:%Y-%m-%d %H:%M} UTC."
    do = "Check that the app is started, its timers are enabled, and the findings above."
    return [wrong("runs", "run_stale", seen, f"{NOT_RUNNING[0].upper()}{NOT_RUNNING[1:]}.", do)]


def timer_findings(view: StatusView) -> list[Finding]:
    """Return which timers the host does not run, and which have stopped."""
    found = []
    for timer in view.timers:
        if timer.fault:
            seen = f"{timer.function} does not run: its schedule {timer.setting} {timer.fault}."
            cause = "The host leaves a function out, without a word, whose schedule it can't read: its work comes late."
            do = f"Set {timer.setting} to six fields (second minute hour day month weekday), as in {EXAMPLE}."
            found.append(wrong("timers", "timer_left_out", seen, cause, do))
        elif timer.is_disabled:
            cause = f"AzureWebJobs.{timer.function}.Disabled is set."
            found.append(note("timers", "timer_disabled", f"{timer.function} is switched off.", cause, "Remove it."))
    stopped = [timer for timer in view.timers if timer.is_overdue and not timer.fault]
    if stopped:
        times = (f"{one.function} (last {_at(one.by_timer_at)})" for one in stopped)
        seen = f"The host's timers have not started: {named(times)}."
        cause = "After a deployment all timers of an app may stop for good; another app may share its storage account."
        do = "Restart the Function App. Until then notifications, queue messages and health calls run what is overdue."
        found.append(wrong("timers", "timer_stopped", seen, cause, do))
    return found


def _at(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else "never"


def never_read(view: StatusView) -> list[Finding]:
    """Return which streams of the served companies were never read."""
    wanted = [
        (company.name, entity, purpose)
        for company in view.companies
        if not company.error
        for entity, purpose in _reads(view)
    ]
    known = {(stream.company, stream.entity, stream.purpose) for stream in view.streams}
    missing = [
        f"{entity} ({purpose}) of {company}"
        for company, entity, purpose in wanted
        if (company, entity, purpose) not in known
    ]
    if missing:
        cause = f"The app is new and reconcile or pull_items has not run yet; or {NOT_RUNNING}."
        do = "Wait a quarter of an hour, or start the function by hand."
        return [warning("runs", "run_never", f"Never read: {named(missing)}.", cause, do)]
    if not view.streams:
        return [note("runs", "run_none", "Nothing was read yet.", "The app is new, or could not begin.")]
    return []


def _reads(view: StatusView) -> list[tuple[str, str]]:
    watched = [(trigger.entity, purpose) for trigger in view.triggers for purpose in trigger.reads]
    return watched + [(entity, "pull") for entity in view.pulls]


def entity_findings(view: StatusView) -> list[Finding]:
    """Return which entries of BC_ENTITIES are not served, or not as they say; the others are."""
    seen = "An entry of BC_ENTITIES is not served as it says; the other entities go on."
    do = "Correct it: make entities prints what is offered, each with a ready line."
    return [wrong("entities", "entity_refused", seen, f"{fault}.", do) for fault in view.entity_faults]


def webhook_findings(view: StatusView) -> list[Finding]:
    """Return which webhooks are not in order, one finding per reason; unsupported ones are served by the reconcile."""
    bad = [one for one in view.subscriptions if one.state != "unsupported" and _is_bad(one, view)]
    found = []
    for reason, ones in grouped((one.error, one) for one in bad).items():
        what = named(f"{one.entity} of {one.company}" for one in ones)
        seen = f"Not in order: the webhooks for {what.rstrip('.')}."
        do = "They are rebuilt every 15 minutes. If that goes on: can Business Central reach PUBLIC_URL?"
        cause = shortened(reason) or "They were lost, or are not renewed."
        found.append(warning("webhooks", "webhook_not_in_order", seen, cause, do))
    return found


def _is_bad(one: SubscriptionView, view: StatusView) -> bool:
    is_due = one.expires_at is not None and one.expires_at - view.at < EXPIRES_SOON
    return one.state != "ok" or bool(one.error) or is_due


def order_findings(view: StatusView) -> list[Finding]:
    """Return which orders wait for a person, one finding per who refused them."""
    return [*_parked(view), *_rejected(view)]


def _parked(view: StatusView) -> list[Finding]:
    if not view.orders_parked:
        return []
    seen = f"{counted(view.orders_parked, 'order')} gave up{_reason(view, 'parked')}"
    codes = _codes(view, "parked")
    cause = "Transient faults lasted for 72 hours."
    if codes and codes <= _OPEN:
        cause = "Whether Business Central has them could not be settled; the app looks again before it posts."
    return [warning("orders", "order_parked", seen, cause, "Remove the cause, then press Try again.")]


def _rejected(view: StatusView) -> list[Finding]:
    if not view.orders_rejected:
        return []
    seen = f"{counted(view.orders_rejected, 'order')} refused{_reason(view, 'rejected')}"
    cause, do = _refuser(_codes(view, "rejected"))
    return [warning("orders", "order_rejected", seen, cause, do)]


def _refuser(codes: set[str]) -> tuple[str, str]:
    """Return who refused orders, and the next step; what the app refused is not laid at Business Central's door."""
    own = codes & OWN_CODES
    if not codes or codes - OWN_CODES:
        cause = "Business Central refused them; the words are its own."
        if own:
            cause = "Business Central refused some; the others the app refused itself."
        return cause, "Correct the customer, item or order; then press Try again, or send the order anew."
    if "InvalidMessage" in codes:
        cause = "The app refused them itself: the messages break their contract. Business Central never saw them."
        return cause, "The result in sales-order-results names each fault. Correct the sender, then send them anew."
    cause = "The app refused them itself: documents of their number exist in Business Central, not made here."
    return cause, "Look the number up in Business Central; then send the order under a number of its own."


def _codes(view: StatusView, state: str) -> set[str]:
    return {order.code for order in _in_need(view, state) if order.code}


def _in_need(view: StatusView, state: str) -> list[OrderView]:
    return [order for order in view.orders if order.state == state and not order.is_dismissed]


def _reason(view: StatusView, state: str) -> str:
    """Return the reason that most of the orders share, in the words of who refused them."""
    orders = _in_need(view, state)
    causes = Counter({one.cause: view.order_causes.get(one.cause, 1) for one in orders})
    if not causes:
        return "."
    ((most, number),) = causes.most_common(1)
    first = next(one for one in orders if one.cause == most)
    words = shortened(first.reason or first.code or "no reason was noted", 120).rstrip(". …")
    return f": {words}." if len(causes) == 1 else f", for {len(causes)} reasons; {number} of them: {words}."


def forwarding_findings(view: StatusView) -> list[Finding]:
    """Return why the receiver of events does not get them, one finding per cause; what passes soon is none."""
    found = []
    for one in view.forwarding.waiting if view.forwarding else ():
        seen = f"{counted(one.messages, 'message')} of events wait since {_at(one.since)}."
        if one.cause in HELD:
            found.append(wrong("forwarding", f"events_{one.cause}", seen, one.why, one.do))
        elif one.cause and view.at - one.since > PASSES_WITHIN:
            found.append(warning("forwarding", f"events_{one.cause}", seen, one.why, one.do))
    return found


def dead_letter_findings(view: StatusView) -> list[Finding]:
    """Return that queue messages wait for a person."""
    if not view.dead_letters:
        return []
    first = view.dead_letters[0]
    by_queue = view.dead_letter_counts or Counter(letter.queue for letter in view.dead_letters)
    queues = named(f"{queue} {count}" for queue, count in sorted(by_queue.items()))
    seen = f"{counted(sum(by_queue.values()), 'dead letter')} ({queues}); the first is {first.id}."
    do = "Remove the cause, then press Try again on the connect page."
    return [wrong("dead_letters", "dead_letter", seen, shortened(first.reason) or "No reason was noted.", do)]


def with_fine(found: list[Finding], check: str, seen: str) -> list[Finding]:
    """Return the findings, or that all is in order where there are none."""
    return found or [fine(check, seen)]


def _streams(streams: list[StreamView]) -> str:
    return named(f"{stream.entity} ({stream.purpose}) of {stream.company}" for stream in streams)
