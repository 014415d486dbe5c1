"""The connect page: opening it, its buttons, and the sign-in with Entra (authorization code, PKCE, state).

Who may: the route `connect` asks for a function key, which the host checks on every request; a browser cannot send one
with a form or a link. So that route only opens the door: it gives the browser a signed session cookie and sends it
on, which takes the key out of the address. The page itself is the anonymous route `connect/start`, which answers to a
session only; its forms also carry a token of that session. `connect/callback` is anonymous as Entra comes without a
key; it answers to a session, to a `state` that this session began, and to each state once. Both look at the session
before anything else: nothing is parsed, built, read or written for a call without the shape of one.

Values in, a `Reply` out; no redirect ever leads to an address that came with the request.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from shared.clock import Clock, NewId
from shared.errors import IntegrationError
from shared.operations.connect_found import found_section
from shared.operations.connect_html import status_page
from shared.operations.connect_list import connections_page
from shared.operations.connect_values import Action, Reply, Request, see_other
from shared.operations.ended_sessions import EndedSessions
from shared.operations.find import Found
from shared.operations.findings import in_plain_words
from shared.operations.page_actions import Do
from shared.operations.page_parts import PAGE_PATH
from shared.operations.page_session import (
    form_token,
    is_form_token,
    is_session,
    is_shaped,
    new_session,
    read_cookie,
    set_cookie,
)
from shared.operations.pending_sign_ins import PendingSignIns
from shared.operations.refusal_pages import failure_page, no_session, not_begun_here, not_done, not_now, session_ended
from shared.operations.sign_in_answer import sign_in_answer
from shared.operations.status_view import ConnectionView, StatusView

CALLBACK_PATH: Final = "/api/connect/callback"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectPages:
    """What the three routes need; one per process or per call, it holds no state."""

    connection: str  # id of the one that the call is about
    connections: Callable[[], Sequence[ConnectionView]] | None  # all in short; None: there is only one
    sign_in: Callable[[str], SignIn]  # (id)
    pending: PendingSignIns
    public_url: str
    ended: EndedSessions
    key: bytes | None = field(repr=False)  # `derive_key` of the webhook secret; None: there is none, so no session
    view: Callable[[str], StatusView]  # (key of what alone is listed, "" for all)
    find: Callable[[str], Found]  # (order key, record number or id)
    do: Mapping[str, Do]  # action -> what it does
    now: Clock
    new_id: NewId


def open_page(open_pages: Callable[[], ConnectPages]) -> Reply:
    """Answer `connect`, for whoever brought a function key: start a session, and take the key out of the address."""
    try:
        pages = open_pages()
        cookie = _new_cookie(pages)
    except IntegrationError as error:
        return failure_page(error)
    return see_other(PAGE_PATH, cookie=cookie)


def page(open_pages: Callable[[], ConnectPages], request: Request) -> Reply:
    """Answer `connect/start`: GET shows the page, POST does what a button asks."""
    session = read_cookie(request.cookie)
    pages = _entered(open_pages, session)
    if isinstance(pages, Reply):
        return pages
    try:
        if request.method == "POST":
            return _act(pages, request, session)
        if pages.connections is not None and not request.query.get("connection"):
            return Reply(status=200, body=connections_page(pages.connections()))
        token = form_token(session, pages.key or b"")
        key = request.query.get("key", "").strip()
        found = found_section(_found(pages, key), token) if key else ""
        of = "" if pages.connections is None else pages.connection
        notice = request.query.get("done", "")
        body = status_page(pages.view(key), form_token=token, notice=notice, found=found, connection=of)
        return Reply(status=200, body=body)
    except IntegrationError as error:
        return failure_page(error)


def _found(pages: ConnectPages, key: str) -> Found:
    """Return what is known of a key; where Business Central does not say, that it does not."""
    try:
        return pages.find(key)
    except IntegrationError as error:
        return Found(key=key, at=pages.now(), errors=(in_plain_words(str(error)),))


def callback(open_pages: Callable[[], ConnectPages], request: Request) -> Reply:
    """Answer `connect/callback`: finish the sign-in that this browser began; the same callback again is refused."""
    session = read_cookie(request.cookie)
    pages = _entered(open_pages, session)
    if isinstance(pages, Reply):
        return pages
    answer = sign_in_answer(request.query)
    if answer is None:
        return not_begun_here()
    try:
        taken = pages.pending.take(answer["state"], session=session, now=pages.now())
        if taken is None:
            return not_begun_here()
        connection, pending = taken
        pages.sign_in(connection).finish_sign_in(pending.flow, answer)
    except IntegrationError as error:
        return failure_page(error)
    return see_other(_back(pages, "connected", connection))


def _entered(open_pages: Callable[[], ConnectPages], session: str) -> ConnectPages | Reply:
    """Let a session in, or say why not; a call without the shape of one costs nothing and learns nothing."""
    if not is_shaped(session):
        return no_session()
    try:
        pages = open_pages()
        if pages.key is None or not is_session(session, pages.key, now=pages.now()) or pages.ended.holds(session):
            return no_session()
    except IntegrationError:
        return not_now()
    return pages


def _act(pages: ConnectPages, request: Request, session: str) -> Reply:
    form = request.form()
    if form is None:
        return not_done(400, "What was sent is no form of this page.")
    if not is_form_token(form.get("form_token", ""), session, pages.key or b""):
        return not_done(403, "The form does not belong to this session, or the session was renewed since.")
    match form.get("action", ""):
        case Action.CONNECT:
            return _begin(pages, session)
        case Action.DISCONNECT:
            pages.sign_in(pages.connection).sign_out()
            pages.ended.add(session, pages.now())
            return see_other(_back(pages, "disconnected"), cookie=_new_cookie(pages))
        case Action.END_SESSION:
            pages.ended.add(session, pages.now())
            return session_ended()
        case action if action in pages.do:
            return see_other(_back(pages, pages.do[action](form)))
    return not_done(400, "The page knows no such action.")


def _back(pages: ConnectPages, done: str, connection: str = "") -> str:
    """Return the address of a connection's page, which says what was done."""
    of = "" if pages.connections is None else f"connection={connection or pages.connection}&"
    return f"{PAGE_PATH}?{of}done={done}"


def _begin(pages: ConnectPages, session: str) -> Reply:
    """Note the sign-in, then send the browser to Entra: a callback that overtook its row would be refused."""
    address, flow = pages.sign_in(pages.connection).begin_sign_in(f"{pages.public_url}{CALLBACK_PATH}")
    pages.pending.begin(pages.connection, flow, session=session, now=pages.now())
    return see_other(address)


def _new_cookie(pages: ConnectPages) -> str:
    return set_cookie(new_session(pages.key or b"", nonce=pages.new_id(), now=pages.now()))
