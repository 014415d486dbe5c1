"""The details of the connect page, folded: every read, webhook and timer, what is watched, and what to try. Pure.

Everything from outside is escaped; what is not in order stands first.
"""

from collections.abc import Sequence
from datetime import datetime
from html import escape

from shared.operations.findings import in_plain_words
from shared.operations.page_parts import Line, ago, bullets, folded, in_words, mark, rows_of, section, small, when
from shared.operations.status_view import StatusView, StreamView, SubscriptionView, TimerView


def detail_section(view: StatusView) -> str:
    """Return the section with everything that nobody needs to see while all is well."""
    at = view.at
    streams = sorted(view.streams, key=lambda one: _is_fine(one, at))
    webhooks = sorted(view.subscriptions, key=lambda one: one.state == "ok" and not one.error)
    timers = sorted(view.timers, key=lambda one: not _is_off(one))
    triggers = "".join(
        f"<li><strong>{escape(trigger.entity)}</strong>: {escape(trigger.does)}</li>" for trigger in view.triggers
    )
    ids = "".join(f"<li>{escape(one.name)}{small(one.id)}</li>" for one in view.companies if one.id)
    return section(
        "details", "Details",
        '<div class="folds">'
        + _table("Reads", ("Entity", "Company", "State", "Last read", "Complete up to"),
               [_stream_line(one, at) for one in streams], sum(not _is_fine(one, at) for one in streams))
        + _table("Webhooks", ("Entity", "Company", "State", "Expires"),
                 [_subscription_line(one, at) for one in webhooks],
                 sum(one.state != "ok" or bool(one.error) for one in webhooks))
        + _table("Timers", ("Function", "Schedule", "State", "Last start", "Next"),
                 [_timer_line(one, at) for one in timers], sum(_is_off(one) for one in timers))
        + folded("Company ids", bullets(ids))
        + folded("What is watched", bullets(triggers)) + folded("If nothing arrives", _HELP) + "</div>",
    )  # fmt: skip


def _table(name: str, head: Sequence[str], lines: Sequence[Line], odd: int) -> str:
    state = f"{odd} of {len(lines)} not in order" if odd else f"{len(lines)} in order" if lines else "none"
    content = rows_of("", head, lines, label=name) if lines else "<p>none</p>"
    return folded(f"{name}: {state}", content)


def _is_fine(stream: StreamView, at: datetime) -> bool:
    return not (stream.error or stream.state in {"failed", "waiting"} or stream.is_late(at))


def _stream_line(stream: StreamView, at: datetime) -> Line:
    state = mark("failed", "late") if stream.is_late(at) and stream.state == "ok" else mark(stream.state)
    return Line(
        f"{escape(stream.entity)} {small(stream.purpose)}",
        ("Company", escape(stream.company)),
        ("State", state + small(in_plain_words(stream.error) if stream.error else "")),
        ("Last read", ago(stream.last_run, at)),
        ("Complete up to", when(stream.watermark, at) + small(_lag(stream, at))),
    )


def _lag(stream: StreamView, at: datetime) -> str:
    if stream.lag_seen_at is None:
        return ""
    return f"a replica lagged {in_words(at - stream.lag_seen_at)} ago: reads go back up to an hour"


def _subscription_line(subscription: SubscriptionView, at: datetime) -> Line:
    return Line(
        escape(subscription.entity),
        ("Company", escape(subscription.company)),
        ("State", mark(subscription.state) + small(in_plain_words(subscription.error) if subscription.error else "")),
        ("Expires", when(subscription.expires_at, at)),
    )


def _is_off(timer: TimerView) -> bool:
    return bool(timer.fault) or timer.is_disabled or timer.is_overdue


def _timer_line(timer: TimerView, at: datetime) -> Line:
    return Line(
        f"<code>{escape(timer.function)}</code>",
        ("Schedule", f"<code>{escape(timer.schedule or 'missing')}</code>"),
        ("State", _timer_state(timer)),
        ("Last start", ago(timer.started_at, at)),
        ("Next", when(timer.next_due, at) if timer.next_due else "never"),
    )


def _timer_state(timer: TimerView) -> str:
    if timer.fault:
        return mark("failed", "does not run") + small(timer.fault)
    if timer.is_disabled:
        return mark("off", "switched off")
    if timer.is_overdue:
        return mark("failed", "stopped")
    return mark("ok") if timer.started_at else mark("waiting")


_HELP = (
    "<ol><li>Does something above need attention? Begin with the first line.</li>"
    "<li>Is the company in the list? If not, the user has no permission there, or <code>BC_COMPANIES</code> leaves it "
    "out.</li>"
    "<li>Is the webhook of the entity in order? If not, Business Central cannot reach this app. New records still come "
    "with the next reconcile.</li>"
    "<li>Find the record or order by its number: what was announced of it, and what Business Central says now.</li>"
    "<li>Ask the doctor: <code>make doctor</code>, or <code>/api/status?doctor=1</code> with a function key.</li></ol>"
)
