"""Orders and dead letters of the connect page: what waits for a person by its cause, and the buttons that help.

Pure; everything from outside is escaped.
"""

from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import Final
from urllib.parse import quote

from shared.operations.connect_values import Action
from shared.operations.findings import counted, in_plain_words
from shared.operations.page_parts import PAGE_PATH, Line, ago, button, folded, mark, rows_of, section
from shared.operations.status_view import DeadLetterView, OrderView, StatusView

_SHOWN: Final = 3  # of one cause, before the others are folded
_HEAD: Final = ("Order", "Company", "Tries", "Since", "Action")
_LETTER_HEAD: Final = ("Message", "Reason", "Since", "Action")
#: State of an order that needs a person, in a word.
_WORDS: Final = {"rejected": "refused", "parked": "gave up"}


def order_section(view: StatusView, form_token: str) -> str:
    """Return the orders that are not in Business Central; nothing where there are none."""
    needing = _causes(view, form_token)
    waiting = [one for one in view.orders if one.state == "waiting"]
    dismissed = [one for one in view.orders if one.is_dismissed]
    content = needing + _quiet(
        waiting, view.orders_waiting, "waiting for a transient fault to pass", form_token, view.at
    )
    content += _quiet(dismissed, view.orders_dismissed, "dismissed", form_token, view.at)
    title = "Orders that need a person" if needing else "Orders not in Business Central"
    return section("orders", title, content, kind="bad" if needing else "") if content else ""


def _causes(view: StatusView, form_token: str) -> str:
    by_cause: dict[str, list[OrderView]] = {}
    for one in view.orders:
        if one.state in _WORDS and not one.is_dismissed:
            by_cause.setdefault(one.cause, []).append(one)
    counts = view.order_causes
    return "".join(_cause(ones, counts.get(cause, 0), form_token, view.at) for cause, ones in by_cause.items())


def _quiet(orders: Sequence[OrderView], whole: int, word: str, form_token: str, at: datetime) -> str:
    """Return orders that nobody need look at, folded; "" where there are none."""
    label = f"{counted(max(whole, len(orders)), 'order')} {word}"
    return folded(label, _table(word, orders, form_token, at)) if orders else ""


def _cause(orders: Sequence[OrderView], whole: int, form_token: str, at: datetime) -> str:
    """Return the orders of one cause: why, the buttons for all of them, and the first of them."""
    first, number = orders[0], max(whole, len(orders))
    reason = in_plain_words(first.reason) or first.code or "no reason was noted"
    head = f"<h3>{mark(first.state, _WORDS[first.state])} {escape(counted(number, 'order'))}: {escape(reason)}</h3>"
    if first.no_redrive:
        head += f"<p>{escape(first.no_redrive)}</p>"
    elif number > 1:
        many = f"Try all {number} again" if number <= 200 else "Try 200 of them again"
        head += button(Action.REDRIVE_CAUSE, form_token, many, fields={"cause": first.cause}, of=reason)
    name = f"cause-{first.cause or first.key}"
    shown = _table(name, orders[:_SHOWN], form_token, at)
    rest = orders[_SHOWN:]
    if rest:
        more = f"{number - _SHOWN} more" + (f", the first {len(rest)}" if number > len(orders) else "")
        shown += folded(more, _table(f"{name}-more", rest, form_token, at))
    return f'<div class="cause">{head}{shown}</div>'


def _table(name: str, orders: Sequence[OrderView], form_token: str, at: datetime) -> str:
    lines = [_line(order, form_token, at) for order in orders]
    return rows_of("", _HEAD, lines, label=f"Orders: {name}")


def _line(order: OrderView, form_token: str, at: datetime) -> Line:
    story = f"{PAGE_PATH}?key={quote(order.key, safe='')}"
    return Line(
        f'<a href="{escape(story)}"><code>{escape(order.key)}</code></a>',
        ("Company", escape(order.company)),
        ("Tries", str(order.attempts)),
        ("Since", ago(order.since, at)),
        ("", _order_buttons(order, form_token)),
    )


def _order_buttons(order: OrderView, form_token: str) -> str:
    if order.state not in _WORDS:
        return ""
    fields, of = {"company": order.company_id, "key": order.key}, f"order {order.key}"
    redrive = "" if order.no_redrive else button(Action.REDRIVE_ORDER, form_token, "Try again", fields=fields, of=of)
    if order.is_dismissed:
        return redrive
    return redrive + " " + button(Action.DISMISS_ORDER, form_token, "Dismiss", fields=fields, of=of, kind="quiet")


def dead_letter_section(view: StatusView, form_token: str) -> str:
    """Return the dead letters, and what lies in poison queues; nothing where there are none."""
    poison = view.poison or {}
    if not (view.dead_letters or poison):
        return ""
    counts = sorted(view.dead_letter_counts.items())
    lead = "".join(
        button(Action.REDRIVE_QUEUE, form_token, f"Try all {count} of {queue} again", fields={"queue": queue})
        for queue, count in counts
        if count > 1
    )
    lead = f'<p class="actions">{lead}</p>' if lead else ""
    if poison:
        listed = ", ".join(f"{queue} {count}" for queue, count in poison.items())
        lead += f"<p>In poison queues: {escape(listed)}.</p>"
    lines = [_letter(letter, form_token, view.at) for letter in view.dead_letters]
    shown = rows_of("dead-letters", _LETTER_HEAD, lines[:_SHOWN]) if lines else ""
    whole = max(sum(view.dead_letter_counts.values()), len(lines))
    if len(lines) > _SHOWN:
        rest = rows_of("", _LETTER_HEAD, lines[_SHOWN:], label="More dead letters")
        shown += folded(f"{whole - _SHOWN} more", rest)
    return section("dead-letters", "Dead letters", lead + shown, kind="bad")


def _letter(letter: DeadLetterView, form_token: str, at: datetime) -> Line:
    again = button(
        Action.REDRIVE_DEAD_LETTER, form_token, "Try again", fields={"id": letter.id}, of=f"message {letter.id}"
    )
    return Line(
        f"<code>{escape(letter.id)}</code>",
        ("Reason", escape(in_plain_words(letter.reason))),
        ("Since", ago(letter.since, at)),
        ("", again),
    )
