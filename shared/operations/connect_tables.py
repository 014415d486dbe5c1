"""The tables of the connect page, one function each: reads, webhooks, orders, dead letters, timers. Pure.

Everything from outside is escaped; a row whose thing waits for a person has the button that helps.
"""

from collections.abc import Sequence
from datetime import datetime
from html import escape

from shared.operations.connect_values import Action
from shared.operations.findings import shortened
from shared.operations.page_parts import PAGE_PATH, Line, ago, button, in_words, mark, small, table, when
from shared.operations.status_view import (
    DeadLetterView,
    OrderView,
    StatusView,
    StreamView,
    SubscriptionView,
    TimerView,
)


def stream_table(streams: Sequence[StreamView], at: datetime) -> str:
    """Return the section with the reads of every company and entity; those in order are folded."""
    bad = [one for one in streams if one.error or one.state in {"failed", "waiting"} or _is_late(one, at)]
    good = [one for one in streams if one not in bad]
    head = ("Entity", "Company", "State", "Last read", "Complete up to")
    lines, folded = ([_stream_line(one, at) for one in some] for some in (bad, good))
    return table("streams", "Pull, reconcile and snapshot", head, lines, folded=folded)


def _is_late(stream: StreamView, at: datetime) -> bool:
    return stream.state != "running" and stream.late_after is not None and at > stream.late_after


def _stream_line(stream: StreamView, at: datetime) -> Line:
    state = mark("failed", "late") if _is_late(stream, at) and stream.state == "ok" else mark(stream.state)
    return Line(
        f"{escape(stream.entity)} {small(stream.purpose)}",
        ("Company", escape(stream.company)),
        ("State", state + small(shortened(stream.error))),
        ("Last read", ago(stream.last_run, at)),
        ("Complete up to", when(stream.watermark, at) + small(_lag(stream, at))),
    )


def _lag(stream: StreamView, at: datetime) -> str:
    if stream.lag_seen_at is None:
        return ""
    return f"a replica lagged {in_words(at - stream.lag_seen_at)} ago: reads go back up to an hour"


def subscription_table(subscriptions: Sequence[SubscriptionView], at: datetime) -> str:
    """Return the section with the webhooks; those in order are folded."""
    bad = [one for one in subscriptions if one.state != "ok" or one.error]
    good = [one for one in subscriptions if one not in bad]
    lines, folded = ([_subscription_line(one, at) for one in some] for some in (bad, good))
    return table("webhooks", "Webhooks", ("Entity", "Company", "State", "Expires"), lines, folded=folded)


def _subscription_line(subscription: SubscriptionView, at: datetime) -> Line:
    return Line(
        escape(subscription.entity),
        ("Company", escape(subscription.company)),
        ("State", mark(subscription.state) + small(shortened(subscription.error))),
        ("Expires", when(subscription.expires_at, at)),
    )


def order_table(view: StatusView, form_token: str) -> str:
    """Return the section with the orders that are not in Business Central; what waits for a person has a button."""
    counts = ", ".join(
        f"{number} {name}"
        for number, name in (
            (view.orders_waiting, "waiting"),
            (view.orders_parked, "parked"),
            (view.orders_rejected, "rejected"),
        )
    )
    rows = [_order_row(order, form_token, view.at) for order in view.orders]
    head = ("Order key", "Company", "State", "Tries", "Since", "Action")
    return table("orders", "Sales orders not in Business Central", head, rows, lead=f"<p>{counts}</p>")


def _order_row(order: OrderView, form_token: str, at: datetime) -> Line:
    redrive = ""
    if order.state in {"parked", "rejected"}:
        fields = {"company": order.company, "key": order.key}
        of = f"order {order.key}"
        redrive = button(Action.REDRIVE_ORDER, form_token, "Try again", fields=fields, of=of)
    return Line(
        f"<code>{escape(order.key)}</code>",
        ("Company", escape(order.company)),
        ("State", mark(order.state) + small(order.code)),
        ("Tries", str(order.attempts)),
        ("Since", ago(order.since, at)),
        ("", redrive),
    )


def dead_letter_table(view: StatusView, form_token: str) -> str:
    """Return the section with the dead letters, and how many messages lie in poison queues."""
    rows = [
        Line(
            f"<code>{escape(letter.id)}</code>",
            ("Queue", escape(letter.queue)),
            ("Reason", escape(shortened(letter.reason))),
            ("Since", ago(letter.since, view.at)),
            ("", _redrive(letter, form_token)),
        )
        for letter in view.dead_letters
    ]
    waiting = ", ".join(f"{queue} {count}" for queue, count in (view.poison or {}).items())
    poison = "not counted just now" if view.poison is None else waiting or "empty"
    counts = sorted(view.dead_letter_counts.items())
    whole = ", ".join(f"{queue} {count}" for queue, count in counts)
    lead = f"<p>{escape(whole) or len(rows) or 'none'}; poison queues: {escape(poison)}</p>{_search(view)}"
    lead += "".join(
        button(Action.REDRIVE_QUEUE, form_token, f"Try all of {queue} again", fields={"queue": queue})
        for queue, count in counts
        if count > 1
    )
    return table("dead-letters", "Dead letters", ("Message", "Queue", "Reason", "Since", "Action"), rows, lead=lead)


def _search(view: StatusView) -> str:
    """Return the form that finds orders and dead letters by key, where there are any, and the way back from it."""
    key = view.key
    if not (key or view.dead_letter_counts or view.orders_waiting or view.orders_parked or view.orders_rejected):
        return ""
    way_back = f'<a href="{PAGE_PATH}">Show all</a>'
    shown = f"<p>Only what bears <code>{escape(key)}</code> is listed. {way_back}</p>" if key else ""
    return (
        f'{shown}<form method="get" action="{PAGE_PATH}"><label>Order key, message id or job '
        f'<input name="key" value="{escape(key)}"></label> <button>Find</button></form>'
    )


def timer_table(timers: Sequence[TimerView], at: datetime) -> str:
    """Return the section with the timers; those in order are folded."""
    bad = [one for one in timers if one.fault or one.is_disabled or one.is_overdue]
    good = [one for one in timers if one not in bad]
    lines, folded = ([_timer_line(one, at) for one in some] for some in (bad, good))
    head = ("Function", "Schedule", "State", "Last start", "Next")
    return table("timers", "Timers", head, lines, folded=folded)


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


def _redrive(letter: DeadLetterView, form_token: str) -> str:
    of = f"message {letter.id}"
    return button(Action.REDRIVE_DEAD_LETTER, form_token, "Try again", fields={"id": letter.id}, of=of)
