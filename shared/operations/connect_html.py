"""The HTML of the connect page: connection, what needs attention, companies, session; the tables are `connect_tables`'.

Pure; everything from outside is escaped. `NOTICES` is what the page says after something was done.
"""

from collections.abc import Sequence
from html import escape
from typing import Final

from shared.login.entra_codes import advice
from shared.operations.connect_tables import (
    dead_letter_table,
    order_table,
    stream_table,
    subscription_table,
    timer_table,
)
from shared.operations.connect_values import Action
from shared.operations.findings import Finding, shortened
from shared.operations.page_parts import bullets, button, document, mark, small, stamp, when
from shared.operations.status_view import LoginView, StatusView

#: What the page says after an action, by the word in its address; free text in an address would be anybody's text.
NOTICES: Final[dict[str, str]] = {
    "connected": "Connected. Companies and webhooks follow within 15 minutes.",
    "disconnected": "Disconnected. Nothing is read or posted until somebody connects again.",
    "redriven": "Redriven. The result shows here in a minute or so.",
    "unchanged": "Nothing to do: it is at work or done already.",
    "not_found": "It is not there any more.",
}

_MODES: Final = {
    "authorization_code": "by a person (authorization code)",
    "client_secret": "by the app itself, with a client secret",
    "managed_identity": "by the app itself, with its managed identity",
}

_WELCOME: Final = (
    "<ol><li>Press Connect and sign in as the user that Business Central knows.</li>"
    "<li>Come back in a quarter of an hour: companies, webhooks and the first read are then here.</li></ol>"
)


def status_page(view: StatusView, *, form_token: str, notice: str = "") -> str:
    """Return the page; `notice` is a key of NOTICES, anything else says nothing."""
    noticed = f'<p class="notice" role="status">{NOTICES[notice]}</p>' if notice in NOTICES else ""
    body = "".join(
        (
            noticed,
            "" if is_first_visit(view) else _attention_section(view.findings),
            _connection_section(view, form_token),
            _company_section(view),
            stream_table(view.streams, view.at),
            subscription_table(view.subscriptions, view.at),
            order_table(view, form_token),
            dead_letter_table(view, form_token),
            timer_table(view.timers, view.at),
            _help_section(),
            _session_section(form_token),
        )
    )
    subtitle = f"Environment <strong>{escape(view.environment)}</strong>, as of {stamp(view.at)}"
    return document("Business Central Connect", subtitle, body)


def _connection_section(view: StatusView, form_token: str) -> str:
    login = view.login
    rows = [("Sign-in", escape(_MODES.get(login.mode, login.mode)))]
    if login.user:
        rows.append(("User", f"<strong>{escape(login.user)}</strong>"))
    if login.since:
        rows.append(("Since", when(login.since, view.at)))
    if login.code and login.state != "ok":
        rows.append(("Code", f"<code>{escape(login.code)}</code>"))
    if view.business_central is not None:
        answers = not view.business_central.is_wrong
        rows.append(("Business Central", mark("ok" if answers else "failed", "answers" if answers else "no answer")))
    facts = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows)
    kind, state = _state(view)
    welcome = _WELCOME if is_first_visit(view) else ""
    return (
        f'<section class="{kind}" aria-labelledby="login"><h2 id="login">Connection</h2>'
        f"<p>{state}</p>{welcome}<dl>{facts}</dl>{_login_actions(login, form_token)}</section>"
    )


def is_first_visit(view: StatusView) -> bool:
    """Return whether nobody has ever signed in: then nothing is wrong, and there are two things to do."""
    has_nobody = view.login.state != "ok" and view.login.code in {"", "login_required"}
    return has_nobody and view.login.mode == "authorization_code" and not view.streams


def _state(view: StatusView) -> tuple[str, str]:
    """Return the class of the section and the mark of the connection's state."""
    if is_first_visit(view):
        return "", mark("waiting", "A person must sign in")
    match view.health or ("connected" if view.login.state == "ok" else "login_needed"):
        case "connected":
            return "good", mark("ok", "Connected")
        case "degraded":
            return "", mark("waiting", "Connected, with faults")
        case "unreachable":
            return "bad", mark("failed", "Business Central does not answer")
        case "login_needed" if view.login.mode == "authorization_code":
            return "bad", mark("needed", "A person must sign in")
    is_tried = view.login.state or view.business_central is not None
    return "bad", mark("failed", "Stopped: see above" if is_tried else "Not tried yet")


def _login_actions(login: LoginView, form_token: str) -> str:
    if login.mode != "authorization_code":
        return ""
    is_ok = login.state == "ok"
    helps = not is_ok and advice(login.code or "login_required", login.reason).by_signing_in
    connect = button(Action.CONNECT, form_token, "Reconnect" if is_ok else "Connect", kind="main" if helps else "")
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
        f"<li>{escape(company.name)}{' ' + mark('failed', 'not served') if company.error else ''}"
        f"{small(shortened(company.error))}{small(company.id)}</li>"
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
