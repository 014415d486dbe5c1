"""The HTML of the connect page: one section a subject, made of `page_parts`; pure, everything from outside is escaped.

`Action` names what a form asks for; `NOTICES` what the page says after it was done.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from html import escape
from typing import Final

from shared.login.entra_codes import advice
from shared.operations.findings import Finding
from shared.operations.page_parts import Line, ago, bullets, button, document, mark, small, stamp, table, when
from shared.operations.status_view import (
    DeadLetterView,
    LoginView,
    OrderView,
    StatusView,
    StreamView,
    SubscriptionView,
)


class Action(StrEnum):
    """What a form on the page asks for."""

    CONNECT = "connect"
    DISCONNECT = "disconnect"
    END_SESSION = "end_session"
    REDRIVE_ORDER = "redrive_order"
    REDRIVE_DEAD_LETTER = "redrive_dead_letter"


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


def status_page(view: StatusView, *, form_token: str, notice: str = "") -> str:
    """Return the page; `notice` is a key of NOTICES, anything else says nothing."""
    said = f'<p class="notice" role="status">{NOTICES[notice]}</p>' if notice in NOTICES else ""
    body = "".join(
        (
            said,
            _attention_section(view.findings),
            _login_section(view, form_token),
            _company_section(view),
            _stream_section(view.streams, view.at),
            _subscription_section(view.subscriptions, view.at),
            _order_section(view, form_token),
            _dead_letter_section(view.dead_letters, form_token, view.at),
            _help_section(),
            _session_section(form_token),
        )
    )
    subtitle = f"Environment <strong>{escape(view.environment)}</strong>, as of {stamp(view.at)}"
    return document("Business Central Connect", subtitle, body)


def _login_section(view: StatusView, form_token: str) -> str:
    login = view.login
    is_ok = login.state == "ok"
    rows = [("Sign-in", escape(_MODES.get(login.mode, login.mode)))]
    if login.user:
        rows.append(("User", f"<strong>{escape(login.user)}</strong>"))
    if login.since:
        rows.append(("Since", when(login.since, view.at)))
    if login.code and not is_ok:
        rows.append(("Code", f"<code>{escape(login.code)}</code>"))
    facts = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows)
    state = mark("ok", "Connected") if is_ok else mark("needed", _not_connected(login))
    return (
        f'<section class="{"good" if is_ok else "bad"}" aria-labelledby="login"><h2 id="login">Connection</h2>'
        f"<p>{state}</p><dl>{facts}</dl>{_login_actions(login, form_token)}</section>"
    )


def _not_connected(login: LoginView) -> str:
    if login.mode == "authorization_code" and advice(login.code or "login_required", login.reason).by_signing_in:
        return "A person must sign in"
    return "The login does not work" if login.state else "Not tried yet"


def _login_actions(login: LoginView, form_token: str) -> str:
    if login.mode != "authorization_code":
        return ""
    is_ok = login.state == "ok"
    connect = button(Action.CONNECT, form_token, "Reconnect" if is_ok else "Connect", kind="" if is_ok else "main")
    if not is_ok:
        return f'<div class="actions">{connect}</div>'
    disconnect = button(Action.DISCONNECT, form_token, "Disconnect now", kind="danger")
    return (
        f'<div class="actions">{connect}<details><summary>Disconnect&hellip;</summary>'
        f"<p>Then nothing is read from or posted to Business Central until somebody connects again.</p>{disconnect}"
        "</details></div>"
    )


def _attention_section(findings: Sequence[Finding]) -> str:
    wrong = [found for found in findings if found.is_wrong]
    if not wrong:
        return ""
    items = "".join(
        f"<li><strong>{escape(found.seen)}</strong> {escape(found.cause)} {escape(found.do)}</li>" for found in wrong
    )
    heading = '<section class="bad" aria-labelledby="attention"><h2 id="attention">Needs attention</h2>'
    return f"{heading}<ul>{items}</ul></section>"


def _company_section(view: StatusView) -> str:
    companies = "".join(
        f"<li>{escape(company.name)}{' ' + mark('failed', company.error) if company.error else ''}"
        f"{small(company.id)}</li>"
        for company in view.companies
    )
    triggers = "".join(
        f"<li><strong>{escape(trigger.entity)}</strong>: {escape(trigger.does)}</li>" for trigger in view.triggers
    )
    return (
        f'<div class="pair"><section aria-labelledby="companies"><h2 id="companies">Companies</h2>{bullets(companies)}'
        f'</section><section aria-labelledby="triggers"><h2 id="triggers">What is watched</h2>{bullets(triggers)}'
        "</section></div>"
    )


def _stream_section(streams: Sequence[StreamView], at: datetime) -> str:
    rows = [
        Line(
            f"{escape(stream.entity)} {small(stream.purpose)}",
            ("Company", escape(stream.company)),
            ("State", mark(stream.state) + small(stream.error)),
            ("Last read", ago(stream.last_run, at)),
            ("Complete up to", when(stream.watermark, at)),
        )
        for stream in streams
    ]
    head = ("Entity", "Company", "State", "Last read", "Complete up to")
    return table("streams", "Pull, reconcile and snapshot", head, rows)


def _subscription_section(subscriptions: Sequence[SubscriptionView], at: datetime) -> str:
    rows = [
        Line(
            escape(subscription.entity),
            ("Company", escape(subscription.company)),
            ("State", mark(subscription.state) + small(subscription.error)),
            ("Expires", when(subscription.expires_at, at)),
        )
        for subscription in subscriptions
    ]
    return table("webhooks", "Webhooks", ("Entity", "Company", "State", "Expires"), rows)


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


def _dead_letter_section(dead_letters: Sequence[DeadLetterView], form_token: str, at: datetime) -> str:
    rows = [
        Line(
            f"<code>{escape(letter.id)}</code>",
            ("Queue", escape(letter.queue)),
            ("Reason", escape(letter.reason)),
            ("Since", ago(letter.since, at)),
            ("", _redrive(letter, form_token)),
        )
        for letter in dead_letters
    ]
    return table("dead-letters", "Dead letters", ("Message", "Queue", "Reason", "Since", "Action"), rows)


def _redrive(letter: DeadLetterView, form_token: str) -> str:
    of = f"message {letter.id}"
    return button(Action.REDRIVE_DEAD_LETTER, form_token, "Try again", fields={"id": letter.id}, of=of)


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


def _session_section(form_token: str) -> str:
    end = button(Action.END_SESSION, form_token, "End session")
    return (
        '<section aria-labelledby="session"><h2 id="session">This session</h2><p>It ends by itself four hours after it '
        f"was opened. Business Central stays connected when it ends.</p>{end}</section>"
    )
