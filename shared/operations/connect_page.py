"""The connect page: opening it, its buttons, and the sign-in with Entra (authorization code, PKCE, state).

Who may: the route `connect` asks for a function key, which the host checks on every request; a browser cannot send one
with a form or a link. So that route only opens the door: it gives the browser a signed session cookie and sends it
on, which takes the key out of the address. The page itself is the anonymous route `connect/start`, which answers to a
session only; its forms also carry a token of that session. `connect/callback` is anonymous as Entra comes without a
key; it answers to a session, to a `state` that this session began, and to each state once.

Values in, a `Reply` out; no redirect ever leads to an address that came with the request.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Protocol

from shared.clock import Clock, NewId
from shared.errors import ConfigError, IntegrationError, StateConflict, StoreUnavailable, TokenError
from shared.login.entra_codes import entra_code
from shared.operations.advice import login_finding
from shared.operations.connect_html import PAGE_PATH, Action, message_page, status_page
from shared.operations.page_session import (
    PendingSignIn,
    form_token,
    is_form_token,
    is_session,
    new_session,
    read_cookie,
    set_cookie,
    state_key,
)
from shared.operations.page_style import HEADERS
from shared.operations.status_view import StatusView
from shared.storage.table import Delete, Row, Table

CALLBACK_PATH: Final = "/api/connect/callback"
HTML: Final = "text/html; charset=utf-8"


class SignIn(Protocol):
    """The part of the token source that people use; see `shared.login.tokens.EntraTokens`."""

    def begin_sign_in(self, redirect_uri: str) -> tuple[str, dict[str, Any]]:
        """Return the address where a person signs in, and the flow that finishes it."""
        ...

    def finish_sign_in(self, flow: Mapping[str, Any], answer: Mapping[str, str]) -> str:
        """Exchange the code, store the tokens, return who signed in."""
        ...

    def sign_out(self) -> None:
        """Forget the tokens."""
        ...


class Redriven(StrEnum):
    """What came of putting something back to work; also the word the page's address then holds."""

    DONE = "redriven"
    UNCHANGED = "unchanged"
    NOT_FOUND = "not_found"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the trigger passes on."""

    method: str = "GET"
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)  # fields of a form body; of a repeated one the first
    cookie: str = ""  # the Cookie header


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the trigger answers; `cookies` are whole Set-Cookie headers."""

    status: int
    body: str = ""
    content_type: str = HTML
    headers: Mapping[str, str] = field(default_factory=lambda: dict(HEADERS))
    cookies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectPages:
    """What the three routes need; one per process or per call, it holds no state."""

    sign_in: SignIn
    connections: Table  # BcConnections
    connection: str  # `Settings.connection`
    public_url: str
    key: bytes = field(repr=False)  # `derive_key` of the webhook secret
    view: Callable[[], StatusView]
    redrive_order: Callable[[str, str], Redriven]  # (company, order key)
    redrive_message: Callable[[str], Redriven]  # (message id)
    now: Clock
    new_id: NewId


def open_page(pages: ConnectPages) -> Reply:
    """Answer `connect`, for whoever brought a function key: start a session, and take the key out of the address."""
    session = new_session(pages.key, nonce=pages.new_id(), now=pages.now())
    return _go(PAGE_PATH, cookies=(set_cookie(session),))


def page(pages: ConnectPages, request: Request) -> Reply:
    """Answer `connect/start`: GET shows the page, POST does what a button asks."""
    session = read_cookie(request.cookie)
    if not is_session(session, pages.key, now=pages.now()):
        return _no_session(pages)
    try:
        if request.method == "POST":
            return _act(pages, request.form, session)
        token = form_token(session, pages.key)
        return Reply(status=200, body=status_page(pages.view(), form_token=token, notice=request.query.get("done", "")))
    except IntegrationError as error:
        return error_page(error)


def callback(pages: ConnectPages, query: Mapping[str, str], cookie: str) -> Reply:
    """Answer `connect/callback`: finish the sign-in that this browser began; the same callback again is refused."""
    session = read_cookie(cookie)
    if not is_session(session, pages.key, now=pages.now()):
        return _no_session(pages)
    try:
        pending = _take(pages, query.get("state", ""), session)
        if pending is None:
            return _not_begun_here()
        pages.sign_in.finish_sign_in(pending.flow, query)
    except IntegrationError as error:
        return error_page(error)
    return _go(f"{PAGE_PATH}?done=connected")


def _act(pages: ConnectPages, form: Mapping[str, str], session: str) -> Reply:
    if not is_form_token(form.get("form_token", ""), session, pages.key):
        text = "The form does not belong to this session, or the session was renewed since."
        return Reply(status=403, body=message_page("Not done", text, "Open the page again and repeat."))
    match form.get("action"):
        case Action.CONNECT:
            return _begin(pages, session)
        case Action.DISCONNECT:
            pages.sign_in.sign_out()
            return _go(f"{PAGE_PATH}?done=disconnected")
        case Action.REDRIVE_ORDER:
            return _go(f"{PAGE_PATH}?done={pages.redrive_order(form.get('company', ''), form.get('key', ''))}")
        case Action.REDRIVE_MESSAGE:
            return _go(f"{PAGE_PATH}?done={pages.redrive_message(form.get('id', ''))}")
    return Reply(status=400, body=message_page("Not done", "The page knows no such action.", "Open the page again."))


def _begin(pages: ConnectPages, session: str) -> Reply:
    """Note the sign-in, then send the browser to Entra: a callback that overtook its row would be refused."""
    now = pages.now()
    address, flow = pages.sign_in.begin_sign_in(f"{pages.public_url}{CALLBACK_PATH}")
    partition = _partition(pages)
    for row in pages.connections.query(partition):  # those never finished; a handful at most
        left = PendingSignIn.from_values(row.values)
        if left is None or left.is_over(now):
            pages.connections.delete(partition, row.key)
    pending = PendingSignIn.begun(flow, session=session, now=now)
    pages.connections.insert(Row(partition=partition, key=state_key(str(flow["state"])), values=pending.values()))
    return _go(address)


def _take(pages: ConnectPages, state: str, session: str) -> PendingSignIn | None:
    """Return the sign-in of this state if this session began it in time, and delete it: each is finished once."""
    row = pages.connections.get(_partition(pages), state_key(state))
    pending = PendingSignIn.from_values(row.values) if row is not None else None
    if row is None or pending is None or pending.is_over(pages.now()) or not pending.is_of(session):
        return None
    try:
        pages.connections.write([Delete(row)])
    except StateConflict:  # the same callback at the same moment has taken it
        return None
    return pending


def _partition(pages: ConnectPages) -> str:
    return f"{pages.connection}|sign-in"


def _go(address: str, *, cookies: tuple[str, ...] = ()) -> Reply:
    return Reply(status=303, headers={**HEADERS, "Location": address}, cookies=cookies)


def _no_session(pages: ConnectPages) -> Reply:
    text = "This page needs a session, and yours has ended or was never opened in this browser."
    do = f"Open {pages.public_url}/api/connect?code=<function key>; the key is in the Azure portal under Function keys."
    return Reply(status=403, body=message_page("Not open", text, do, can_return=False))


def _not_begun_here() -> Reply:
    text = "This sign-in was not begun in this browser, is older than ten minutes, or has been used already."
    return Reply(status=400, body=message_page("Sign-in refused", text, "Go back and begin again."))


def error_page(error: IntegrationError) -> Reply:
    """Answer with what went wrong and what to do; for the trigger too, when the app itself cannot be set up."""
    if isinstance(error, ConfigError):
        body = message_page("Wrong settings", str(error), "Correct these app settings; the app then restarts.")
        return Reply(status=503, body=body)
    if isinstance(error, StoreUnavailable):
        text = "The vault or the storage account did not answer. Nothing is lost."
        return Reply(status=503, body=message_page("Not now", text, f"Try again in a minute. {error}"))
    if isinstance(error, TokenError) and not error.retryable:
        code = entra_code(error)
        do = login_finding(code, "").do
        return Reply(status=400, body=message_page("Sign-in refused", str(error), do, code=code))
    return Reply(status=503, body=message_page("Not now", str(error), "Try again in a minute."))
