"""The HTML of the connect page and of its error pages; pure, and everything from outside is escaped.

One form per button, no script, no picture, no font: it works in any browser, and its policy allows nothing else.
`Action` names what a form asks for; `NOTICES` what a page says after it was done.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from html import escape
from typing import Final

from shared.operations.advice import findings
from shared.operations.page_style import CSS
from shared.operations.status_view import LoginView, MessageView, OrderView, StatusView, StreamView, SubscriptionView

PAGE_PATH: Final = "/api/connect/start"


class Action(StrEnum):
    """What a form on the page asks for."""

    CONNECT = "connect"
    DISCONNECT = "disconnect"
    REDRIVE_ORDER = "redrive_order"
    REDRIVE_MESSAGE = "redrive_message"


#: What the page says after an action, by the word in its address; free text in an address would be anybody's text.
NOTICES: Final[dict[str, str]] = {
    "connected": "Connected. Companies and webhooks follow within 15 minutes.",
    "disconnected": "Disconnected. Nothing is read or posted until somebody connects again.",
    "redriven": "Back to work. The result shows here in a minute or so.",
    "unchanged": "Nothing to do: it is at work or done already.",
    "not_found": "It is not there any more.",
}

_MODES: Final = {
    "authorization_code": "by a person (authorization code)",
    "client_secret": "by the app itself, with a client secret",
    "managed_identity": "by the app itself, with its managed identity",
}
_GOOD: Final = frozenset({"ok", "created"})
_BAD: Final = frozenset({"failed", "lost", "parked", "rejected", "needed"})
_EMPTY: Final = '<span class="soft">none</span>'


def status_page(view: StatusView, *, form_token: str, notice: str = "") -> str:
    """Return the page; `notice` is a key of NOTICES, anything else says nothing."""
    said = f'<p class="notice" role="status">{NOTICES[notice]}</p>' if notice in NOTICES else ""
    body = "".join(
        (
            said,
            _login_section(view, form_token),
            _attention_section(view),
            _company_section(view),
            _stream_section(view.streams, view.at),
            _subscription_section(view.subscriptions, view.at),
            _order_section(view, form_token),
            _message_section(view.messages, form_token, view.at),
            _help_section(),
        )
    )
    subtitle = f"Environment <strong>{escape(view.environment)}</strong>, as of {_time(view.at)}"
    return _document("Business Central Connect", subtitle, body)


def message_page(title: str, text: str, do: str, *, code: str = "", can_return: bool = True) -> str:
    """Return a page that says one thing: what happened, why, and what to do."""
    shown = f"<p>Code: <code>{escape(code)}</code></p>" if code else ""
    back = f'<p><a href="{PAGE_PATH}">Back to the connect page</a></p>' if can_return else ""
    body = (
        f'<section class="bad"><h2>{escape(title)}</h2><p>{escape(text)}</p>{shown}<p>{escape(do)}</p>{back}</section>'
    )
    return _document(title, "Business Central Connect", body, heading="Connect page")


def in_words(span: timedelta) -> str:
    """Return a time span in its two largest units: `2 d 3 h`, `14 min`, `less than a minute`."""
    minutes = int(abs(span).total_seconds() // 60)
    if minutes < 1:
        return "less than a minute"
    units = [(minutes // 1440, "d"), (minutes // 60 % 24, "h"), (minutes % 60, "min")]
    while not units[0][0]:
        units.pop(0)
    return " ".join(f"{number} {unit}" for number, unit in units[:2] if number)


def _document(title: str, subtitle: str, body: str, *, heading: str = "") -> str:
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{CSS}</style></head><body>"
        '<a class="skip" href="#main">Skip to the content</a>'
        f"<header><h1>{escape(heading or title)}</h1><p>{subtitle}</p></header>"
        f'<main id="main">{body}</main>'
        "<footer>The same as JSON: the function <code>status</code>. Times are UTC.</footer></body></html>"
    )


def _login_section(view: StatusView, form_token: str) -> str:
    login = view.login
    is_ok = login.state == "ok"
    rows = [("Sign-in", escape(_MODES.get(login.mode, login.mode)))]
    if login.user:
        rows.append(("User", f"<strong>{escape(login.user)}</strong>"))
    if login.since:
        rows.append(("Since", _moment(login.since, view.at)))
    if login.code and not is_ok:
        rows.append(("Code", f"<code>{escape(login.code)}</code>"))
    facts = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows)
    state = _mark("ok", "Connected") if is_ok else _mark("needed", _not_connected(login))
    return (
        f'<section class="{"good" if is_ok else "bad"}" aria-labelledby="login"><h2 id="login">Connection</h2>'
        f"<p>{state}</p><dl>{facts}</dl>{_login_actions(login, form_token)}</section>"
    )


def _not_connected(login: LoginView) -> str:
    if login.mode == "authorization_code":
        return "A person must sign in"
    return "The login does not work" if login.state else "Not tried yet"


def _login_actions(login: LoginView, form_token: str) -> str:
    if login.mode != "authorization_code":
        return ""
    is_ok = login.state == "ok"
    connect = _form(Action.CONNECT, form_token, {}, "Reconnect" if is_ok else "Connect", kind="" if is_ok else "main")
    if not is_ok:
        return f'<div class="actions">{connect}</div>'
    disconnect = _form(Action.DISCONNECT, form_token, {}, "Disconnect now", kind="danger")
    return (
        f'<div class="actions">{connect}<details><summary>Disconnect&hellip;</summary>'
        f"<p>Then nothing is read from or posted to Business Central until somebody connects again.</p>{disconnect}"
        "</details></div>"
    )


def _attention_section(view: StatusView) -> str:
    found = findings(view)
    if not found:
        return ""
    items = "".join(f"<li><strong>{escape(each.problem)}</strong> {escape(each.do)}</li>" for each in found)
    heading = '<section class="bad" aria-labelledby="attention"><h2 id="attention">Needs attention</h2>'
    return f"{heading}<ul>{items}</ul></section>"


def _company_section(view: StatusView) -> str:
    companies = "".join(
        f"<li>{escape(company.name)}{' ' + _mark('failed', company.error) if company.error else ''}"
        f"{_small(company.id)}</li>"
        for company in view.companies
    )
    triggers = "".join(
        f"<li><strong>{escape(trigger.entity)}</strong>: {escape(trigger.does)}</li>" for trigger in view.triggers
    )
    return (
        f'<div class="pair"><section aria-labelledby="companies"><h2 id="companies">Companies</h2>{_list(companies)}'
        f'</section><section aria-labelledby="triggers"><h2 id="triggers">What is watched</h2>{_list(triggers)}'
        "</section></div>"
    )


def _stream_section(streams: Sequence[StreamView], at: datetime) -> str:
    rows = [
        _Line(
            escape(stream.entity),
            ("Company", escape(stream.company)),
            ("State", _mark(stream.state) + _small(stream.error)),
            ("Last read", _ago(stream.last_run, at)),
            ("Complete up to", _moment(stream.watermark, at)),
        )
        for stream in streams
    ]
    return _table("streams", "Pull and reconcile", ("Entity", "Company", "State", "Last read", "Complete up to"), rows)


def _subscription_section(subscriptions: Sequence[SubscriptionView], at: datetime) -> str:
    rows = [
        _Line(
            escape(subscription.entity),
            ("Company", escape(subscription.company)),
            ("State", _mark(subscription.state) + _small(subscription.error)),
            ("Expires", _moment(subscription.expires_at, at)),
        )
        for subscription in subscriptions
    ]
    return _table("webhooks", "Webhooks", ("Entity", "Company", "State", "Expires"), rows)


def _order_section(view: StatusView, form_token: str) -> str:
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
    return _table("orders", "Sales orders not in Business Central", head, rows, lead=f"<p>{counts}</p>")


def _order_row(order: OrderView, form_token: str, at: datetime) -> "_Line":
    redrive = ""
    if order.state in {"parked", "rejected"}:
        fields = {"company": order.company, "key": order.key}
        redrive = _redrive(Action.REDRIVE_ORDER, form_token, fields, of=f"order {order.key}")
    return _Line(
        f"<code>{escape(order.key)}</code>",
        ("Company", escape(order.company)),
        ("State", _mark(order.state) + _small(order.code)),
        ("Tries", str(order.attempts)),
        ("Since", _ago(order.since, at)),
        ("", redrive),
    )


def _message_section(messages: Sequence[MessageView], form_token: str, at: datetime) -> str:
    rows = [
        _Line(
            f"<code>{escape(message.id)}</code>",
            ("Queue", escape(message.queue)),
            ("Reason", escape(message.reason)),
            ("Since", _ago(message.since, at)),
            ("", _redrive(Action.REDRIVE_MESSAGE, form_token, {"id": message.id}, of=f"message {message.id}")),
        )
        for message in messages
    ]
    return _table("messages", "Messages set aside", ("Message", "Queue", "Reason", "Since", "Action"), rows)


def _help_section() -> str:
    return (
        '<section aria-labelledby="help"><h2 id="help">If nothing arrives</h2><ol>'
        "<li>Is the connection above in order? If not, connect again.</li>"
        "<li>Is the company in the list? If not, the user has no permission there, or <code>BC_COMPANIES</code> leaves "
        "it out.</li>"
        "<li>Is the webhook of the entity in order? If not, Business Central cannot reach this app. New records still "
        "come with the next reconcile, within 15 minutes.</li>"
        "<li>Is the last read recent? If not, look for <code>stream.failed</code> in the log of the Function App.</li>"
        "<li>Is the order in the list above? Its code is Business Central's own.</li></ol></section>"
    )


class _Line:
    """A table row: its heading, then (label, content) for each cell; the label is shown on narrow screens."""

    def __init__(self, heading: str, *cells: tuple[str, str]) -> None:
        self.heading = heading
        self.cells = cells

    def html(self) -> str:
        rest = "".join(
            f'<td data-label="{escape(label)}">{content}</td>' if label else f'<td class="do">{content}</td>'
            for label, content in self.cells
        )
        return f'<tr><th scope="row">{self.heading}</th>{rest}</tr>'


def _table(anchor: str, title: str, head: Sequence[str], lines: Sequence[_Line], *, lead: str = "") -> str:
    """Return a section with a table, or with "none" where it would be empty."""
    heading = f'<section aria-labelledby="{anchor}"><h2 id="{anchor}">{title}</h2>{lead}'
    if not lines:
        return f"{heading}{'' if lead else f'<p>{_EMPTY}</p>'}</section>"
    columns = "".join(f'<th scope="col">{name}</th>' for name in head)
    rows = "".join(line.html() for line in lines)
    return (
        f'{heading}<table aria-labelledby="{anchor}"><thead><tr>{columns}</tr></thead>'
        f"<tbody>{rows}</tbody></table></section>"
    )


def _redrive(action: Action, form_token: str, fields: dict[str, str], *, of: str) -> str:
    return _form(action, form_token, fields, "Try again", of=of)


def _form(action: Action, form_token: str, fields: dict[str, str], label: str, *, kind: str = "", of: str = "") -> str:
    """Return a button that posts; `of` tells a screen reader what it belongs to."""
    hidden = {"action": str(action), "form_token": form_token, **fields}
    inputs = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in hidden.items()
    )
    style = f' class="{kind}"' if kind else ""
    spoken = f' aria-label="{escape(f"{label}: {of}")}"' if of else ""
    return f'<form method="post" action="{PAGE_PATH}">{inputs}<button{style}{spoken}>{escape(label)}</button></form>'


def _list(items: str) -> str:
    return f"<ul>{items}</ul>" if items else f"<p>{_EMPTY}</p>"


def _mark(state: str, text: str = "") -> str:
    kind = " good" if state in _GOOD else " bad" if state in _BAD else ""
    return f'<span class="mark{kind}">{escape(text or state)}</span>'


def _small(text: str) -> str:
    return f" <small>{escape(text)}</small>" if text else ""


def _time(moment: datetime) -> str:
    return f'<time datetime="{moment:%Y-%m-%dT%H:%M:%SZ}">{moment:%Y-%m-%d %H:%M}</time>'


def _moment(moment: datetime | None, at: datetime) -> str:
    if moment is None:
        return '<span class="soft">unknown</span>'
    words = f"in {in_words(moment - at)}" if moment > at else f"{in_words(at - moment)} ago"
    return f"{_time(moment)} <small>{words}</small>"


def _ago(moment: datetime | None, at: datetime) -> str:
    if moment is None:
        return '<span class="soft">never</span>'
    return f'<time datetime="{moment:%Y-%m-%dT%H:%M:%SZ}">{in_words(at - moment)} ago</time>'
