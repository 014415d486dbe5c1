"""The HTML of the connect page: what needs attention first, then what waits for a person, then what is in order.

Pure; everything from outside is escaped. `NOTICES` is what the page says after something was done. Companies, orders,
plot and details have modules of their own.
"""

from datetime import datetime
from html import escape
from typing import Final

from shared.login.entra_codes import advice
from shared.operations.connect_companies import company_section
from shared.operations.connect_orders import dead_letter_section, order_section
from shared.operations.connect_plot import plot
from shared.operations.connect_tables import detail_section
from shared.operations.connect_values import Action
from shared.operations.findings import Finding, in_plain_words
from shared.operations.page_parts import PAGE_PATH, ago, button, document, folded, mark, section, stamp, when
from shared.operations.status_view import LoginView, StatusView

#: What the page says after an action, by the word in its address; free text in an address would be anybody's text.
NOTICES: Final[dict[str, str]] = {
    "connected": "Connected. Companies and webhooks follow within 15 minutes; Sync now reads at once.",
    "disconnected": "Disconnected. Nothing is read or posted until somebody connects again.",
    "redriven": "Redriven. The result shows here in a minute or so.",
    "synced": "A read of everything has begun. What it finds is announced as it comes.",
    "dismissed": "Dismissed. It is kept, and asks for nobody any more.",
    "erased": "Erased. Only what stops a second order is left.",
    "unchanged": "Nothing to do: it is at work or done already.",
    "not_found": "It is not there any more.",
}
#: Actions after which the page soon shows something new.
_AT_WORK: Final = frozenset({"connected", "redriven", "synced"})

_MODES: Final = {
    "authorization_code": "by a person (authorization code)",
    "client_secret": "by the app itself, with a client secret",
    "managed_identity": "by the app itself, with its managed identity",
}
#: Check of a finding -> where on the page it belongs.
_PLACES: Final = {
    "login": "login", "business_central": "login", "companies": "companies", "runs": "companies",
    "webhooks": "companies", "timers": "details", "entities": "details", "queues": "dead-letters", "orders": "orders",
    "dead_letters": "dead-letters",
}  # fmt: skip
#: Causes that a read of everything may end.
_SYNC_HELPS: Final = frozenset({"run_failed", "run_stale", "run_never", "timer_stopped"})


def status_page(view: StatusView, *, form_token: str, notice: str = "", found: str = "", connection: str = "") -> str:
    """Return the page; `notice` is a key of NOTICES, anything else says nothing; `found` is HTML.

    `connection` is the id of one of several.
    """
    noticed = f'<p class="notice" role="status">{NOTICES[notice]}</p>' if notice in NOTICES else ""
    if is_first_visit(view):
        body = [noticed, _welcome_section(view, form_token), _session_section(form_token)]
    else:
        body = [
            noticed, found, _attention_section(view, form_token), order_section(view, form_token),
            dead_letter_section(view, form_token), _connection_section(view, form_token), company_section(view),
            detail_section(view), _session_section(form_token),
        ]  # fmt: skip
    is_at_work = notice in _AT_WORK or any(stream.state == "running" for stream in view.streams)
    subtitle = f"Environment <strong>{escape(view.environment)}</strong>, as of {stamp(view.at)} {_state(view)[1]}"
    address = PAGE_PATH
    if connection:
        address = f"{PAGE_PATH}?connection={escape(connection)}"
        way_back = f'<a href="{PAGE_PATH}">all connections</a>'
        subtitle = f"Connection <strong>{escape(connection)}</strong> ({way_back}). {subtitle}"
    beside = "" if is_first_visit(view) else find_form(view.key, connection)
    fresh = address if is_at_work and not view.key else ""
    return document("Business Central Connect", subtitle, "".join(body), beside=beside, fresh=fresh)


def is_first_visit(view: StatusView) -> bool:
    """Return whether nobody has ever signed in: then nothing is wrong, and there are two things to do."""
    has_nobody = view.login.state != "ok" and view.login.code in {"", "login_required"}
    is_empty = not (view.streams or view.orders or view.dead_letters)
    return has_nobody and view.login.mode == "authorization_code" and is_empty


def find_form(key: str, connection: str = "") -> str:
    """Return the field that finds an order, a record or a message by what it is called."""
    of = f'<input type="hidden" name="connection" value="{escape(connection)}">' if connection else ""
    return (
        f'<form method="get" action="{PAGE_PATH}" class="find" role="search">{of}<label for="key">Find an order key, '
        f'record number or id</label> <input id="key" name="key" value="{escape(key)}"> <button>Find</button></form>'
    )


def _welcome_section(view: StatusView, form_token: str) -> str:
    steps = (
        "<ol><li>Press Connect and sign in as the user that Business Central knows.</li>"
        "<li>Come back in a quarter of an hour: companies, webhooks and the first read are then here.</li></ol>"
    )
    return section("login", "Connect in two steps", steps + _login_actions(view.login, form_token))


def _attention_section(view: StatusView, form_token: str) -> str:
    wrong = [found for found in view.findings if found.is_wrong]
    if not wrong:
        return ""
    items = "".join(f"<li>{_attention(found, view, form_token)}</li>" for found in wrong)
    return section("attention", "Needs attention", f'<ul class="attention">{items}</ul>', kind="bad")


def _attention(found: Finding, view: StatusView, form_token: str) -> str:
    """Return what is wrong as a way to its place, why, the next step, and the one button that helps."""
    seen = escape(in_plain_words(found.seen, 400))
    place = _PLACES.get(found.check, "")
    is_there = place not in {"orders", "dead-letters"} or _has(view, place)
    told = f"<strong>{f'<a href="#{place}">{seen}</a>' if place and is_there else seen}</strong>"
    told += f" {escape(in_plain_words(found.cause, 400))}" if found.cause else ""
    told += f" <span>Next: {escape(found.do)}</span>" if found.do else ""
    helping = ""
    if found.check == "login" and advice(found.code.removeprefix("login_"), view.login.reason).by_signing_in:
        is_persons = view.login.mode == "authorization_code"
        helping = button(Action.CONNECT, form_token, "Connect", kind="main") if is_persons else ""
    elif found.code in _SYNC_HELPS and view.login.state == "ok":
        helping = button(Action.SYNC, form_token, "Sync now", of=found.code.replace("_", " "))
    return told + (f" {helping}" if helping else "")


def _has(view: StatusView, place: str) -> bool:
    return bool(view.orders) if place == "orders" else bool(view.dead_letters or view.poison)


def _connection_section(view: StatusView, form_token: str) -> str:
    login = view.login
    rows = [("Sign-in", escape(_MODES.get(login.mode, login.mode)))]
    if login.user:
        rows.append(("User", f"<strong>{escape(login.user)}</strong>"))
    if login.since:
        rows.append(("Since", when(login.since, view.at)))
    if view.business_central is not None:
        answers = not view.business_central.is_wrong
        rows.append(("Business Central", mark("ok" if answers else "failed", "answers" if answers else "no answer")))
    rows += _last_and_next(view)
    facts = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows)
    kind, state = _state(view)
    content = f"<p>{state}</p><dl>{facts}</dl>{_login_actions(login, form_token)}"
    picture = plot(view.activity, view.at)
    shown = f'<div class="pair"><div>{content}</div>{picture}</div>' if picture else content
    return section("login", "Connection", shown, kind=kind)


def _last_and_next(view: StatusView) -> list[tuple[str, str]]:
    due = [timer.next_due for timer in view.timers if timer.function in {"pull_items", "reconcile"} and timer.next_due]
    rows = [("Last event", _last(view.last_event, view.at)), ("Last order", _last(view.last_order, view.at))]
    return rows + ([("Next read", when(min(due), view.at))] if due else [])


def _last(moment: datetime | None, at: datetime) -> str:
    return ago(moment, at) if moment else '<span class="soft">none in seven days</span>'


def _state(view: StatusView) -> tuple[str, str]:
    """Return the class of the section and the mark of the connection's state."""
    if is_first_visit(view):
        return "", ""
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
    return "bad", mark("failed", "Stopped" if is_tried else "Not tried yet")


def _login_actions(login: LoginView, form_token: str) -> str:
    is_ok = login.state == "ok"
    sync = button(Action.SYNC, form_token, "Sync now", kind="main") if is_ok else ""
    if login.mode != "authorization_code":
        return f'<div class="actions">{sync}</div>' if sync else ""
    helps = not is_ok and advice(login.code or "login_required", login.reason).by_signing_in
    connect = button(Action.CONNECT, form_token, "Reconnect" if is_ok else "Connect", kind="main" if helps else "")
    if not is_ok:
        return f'<div class="actions">{connect}</div>'
    disconnect = button(Action.DISCONNECT, form_token, "Disconnect now", kind="danger")
    asked = folded(
        "Disconnect&hellip;",
        f"<p>Then nothing is read from or posted to Business Central until somebody connects again.</p>{disconnect}",
    )
    return f'<div class="actions">{sync}{connect}{asked}</div>'


def _session_section(form_token: str) -> str:
    end = button(Action.END_SESSION, form_token, "End session")
    told = "<p>It ends by itself four hours after it was opened. Business Central stays connected when it ends.</p>"
    return section("session", "This session", f'<div class="row">{told}{end}</div>')
