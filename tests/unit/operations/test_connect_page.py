"""The connect page's routes: who gets in, what the buttons do, and the sign-in from the first click to the callback."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from shared.errors import BCUnavailable, ConfigError, IntegrationError, StoreUnavailable, TokenError
from shared.operations.connect_page import ConnectPages, callback, open_page, page
from shared.operations.connect_values import Action, Reply, Request
from shared.operations.ended_sessions import EndedSessions
from shared.operations.find import Found
from shared.operations.page_actions import Done
from shared.operations.page_session import COOKIE, FLOW_LIFETIME, SESSION_LIFETIME, derive_key, new_session
from shared.operations.pending_sign_ins import PendingSignIns
from shared.operations.refusal_pages import failure_page
from shared.operations.status_view import ConnectionView, DeadLetterView, LoginView, OrderView, StatusView
from shared.resource_names import TABLE_CONNECTIONS
from tests.conftest import FixedClock
from tests.support.memory_storage import MemoryTables

PUBLIC = "https://app.example"
LOGIN = "https://login.example/authorize"


@dataclass
class FakeSignIn:
    """A login that knows flows by their state and takes each code once."""

    user: str = ""
    fails: Exception | None = None
    finished: list[dict[str, str]] = field(default_factory=list)
    _states: int = 0

    def begin_sign_in(self, redirect_uri: str) -> tuple[str, dict[str, Any]]:
        self._raise()
        self._states += 1
        state = f"state-{self._states}"
        return f"{LOGIN}?state={state}&redirect_uri={redirect_uri}", {"state": state, "code_verifier": "v"}

    def finish_sign_in(self, flow: Mapping[str, Any], answer: Mapping[str, str]) -> str:
        self._raise()
        assert flow["state"] == answer["state"]
        assert flow["code_verifier"] == "v"
        self.finished.append(dict(answer))
        self.user = answer["code"]
        return self.user

    def sign_out(self) -> None:
        self._raise()
        self.user = ""

    def _raise(self) -> None:
        if self.fails is not None:
            raise self.fails


class World:
    """One app, and a browser that keeps its cookie."""

    def __init__(self, clock: FixedClock) -> None:
        self.clock = clock
        self.sign_in = FakeSignIn()
        self.table = MemoryTables().table(TABLE_CONNECTIONS)
        self.redriven: list[tuple[str, ...]] = []
        self.outcome = Done.REDRIVEN
        self.view_fails: Exception | None = None
        self.find_fails: Exception | None = None
        self._ids = 0
        self.pages = ConnectPages(
            connection="default",
            connections=None,
            sign_in=lambda _: self.sign_in,
            pending=PendingSignIns(self.table, {"default": "lmints.io.production"}),
            public_url=PUBLIC,
            ended=EndedSessions(self.table),
            key=derive_key("webhook secret"),
            view=self.view,
            find=self.find,
            do={
                Action.REDRIVE_ORDER: lambda form: self._redrive("order", form["company"], form["key"]),
                Action.REDRIVE_DEAD_LETTER: lambda form: self._redrive("message", form["id"]),
                Action.REDRIVE_QUEUE: lambda form: self._redrive("queue", form["queue"]),
                Action.DISMISS_ORDER: lambda form: self._redrive("dismiss", form["company"], form["key"]),
                Action.ERASE_KEY: lambda form: self._redrive("erase", form["key"]),
                Action.SYNC: lambda _: self._redrive("sync"),
            },
            now=clock,
            new_id=self._new_id,
        )

    def view(self, key: str = "") -> StatusView:
        if self.view_fails is not None:
            raise self.view_fails
        state = "ok" if self.sign_in.user else "needed"
        return StatusView(
            at=self.clock(),
            environment="production",
            login=LoginView(state=state, mode="authorization_code", user=self.sign_in.user),
            orders_parked=1,
            orders=(OrderView(key="SO-1", company="CRONUS UK Ltd.", company_id="c-1", state="parked"),),
            dead_letters=(DeadLetterView(id="m-1", queue="bc-pages"),),
            dead_letter_counts={"bc-pages": 3},
            key=key,
        )

    def find(self, key: str) -> Found:
        if self.find_fails is not None:
            raise self.find_fails
        return Found(key=key, at=self.clock(), dead_letters=("bc-pages/m-1",))

    def _redrive(self, *what: str) -> Done:
        self.redriven.append(what)
        return self.outcome

    def _new_id(self) -> str:
        self._ids += 1
        return f"{self._ids:032x}"

    def rows(self) -> int:
        return len(list(self.table.query("lmints.io.production|sign-in")))


class Browser:
    """Opens the page, fills in its forms, follows its redirects."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.cookie = ""

    def open(self) -> Reply:
        return self._keep(open_page(lambda: self.world.pages))

    def get(self, **query: str) -> Reply:
        return self._keep(page(lambda: self.world.pages, Request(query=query, cookie=self.cookie)))

    def press(self, action: str, /, **changes: str) -> Reply:
        form = next(form for form in forms(self.get()) if form.get("action") == action)
        return self.post({**form, **changes})

    def post(self, form: Mapping[str, str]) -> Reply:
        return self._keep(
            page(
                lambda: self.world.pages,
                Request(method="POST", body=urlencode(dict(form)).encode(), cookie=self.cookie),
            )
        )

    def begin(self) -> dict[str, str]:
        """Press Connect; give what the login sends back when Megan signs in."""
        reply = self.press("connect")
        assert reply.status == 303, reply.body
        sent = parse_qs(urlsplit(reply.headers["Location"]).query)
        assert sent["redirect_uri"] == [f"{PUBLIC}/api/connect/callback"]
        return {"state": sent["state"][0], "code": "megan@lmints.io"}

    def come_back(self, answer: Mapping[str, str]) -> Reply:
        return self._keep(callback(lambda: self.world.pages, Request(query=answer, cookie=self.cookie)))

    def _keep(self, reply: Reply) -> Reply:
        if reply.cookie:
            self.cookie = f"other=1; {reply.cookie.partition(';')[0]}"
        return reply


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        fields = dict(attrs)
        if tag == "form":
            self.found.append({})
        elif tag == "input":
            self.found[-1][str(fields["name"])] = str(fields["value"])


def forms(reply: Reply) -> list[dict[str, str]]:
    assert reply.status == 200, reply.body
    parser = _Forms()
    parser.feed(reply.body)
    return parser.found


@pytest.fixture
def world(clock: FixedClock) -> World:
    return World(clock)


@pytest.fixture
def browser(world: World) -> Browser:
    opened = Browser(world)
    opened.open()
    return opened


def test_the_key_leaves_the_address_at_once(world: World) -> None:
    """Opening with a key answers with a redirect to an address without it, a locked-down cookie, and no page."""
    reply = open_page(lambda: world.pages)
    assert (reply.status, reply.headers["Location"], reply.body) == (303, "/api/connect/start", "")
    assert reply.cookie.startswith(f"{COOKIE}=")
    assert "Domain" not in reply.cookie
    assert reply.headers["Referrer-Policy"] == "no-referrer"
    assert reply.headers["Cache-Control"] == "no-store"


def test_without_a_session_nothing_is_shown_or_done(world: World) -> None:
    """No cookie, a made-up one and an ended one get the same 403: no name, no count, no form, no redirect."""
    opened = Browser(world)
    opened.open()
    world.clock.advance(SESSION_LIFETIME.total_seconds())
    for cookie in ("", f"{COOKIE}=1.2.3", opened.cookie):
        for reply in (
            page(lambda: world.pages, Request(cookie=cookie)),
            page(lambda: world.pages, Request(method="POST", body=b"action=disconnect", cookie=cookie)),
            callback(lambda: world.pages, Request(query={"state": "state-1", "code": "c"}, cookie=cookie)),
        ):
            assert reply.status == 403
            assert "CRONUS" not in reply.body
            assert "<form" not in reply.body
            assert "Location" not in reply.headers


def test_from_empty_to_connected(world: World, browser: Browser) -> None:
    """Open, press Connect, sign in, come back: the page then says who is connected; nothing is left in the table."""
    answer = browser.begin()
    assert world.rows() == 1
    back = browser.come_back(answer)
    assert (back.status, back.headers["Location"]) == (303, "/api/connect/start?done=connected")
    shown = browser.get(done="connected")
    assert "megan@lmints.io" in shown.body
    assert "Connected. Companies" in shown.body
    assert world.rows() == 0


def test_every_page_carries_the_security_headers(world: World, browser: Browser) -> None:
    """Pages, redirects and refusals alike: no framing, sniffing, caching or referrer, and a policy without scripts."""
    for reply in (browser.get(), browser.press("connect"), browser.post({}), page(lambda: world.pages, Request())):
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["Referrer-Policy"] == "no-referrer"
        assert reply.headers["Cache-Control"] == "no-store"
        assert "frame-ancestors 'none'" in reply.headers["Content-Security-Policy"]
        assert "unsafe" not in reply.headers["Content-Security-Policy"]


@pytest.mark.parametrize("action", ["connect", "redrive_order", "redrive_dead_letter", "redrive_queue"])
def test_a_form_without_its_token_does_nothing(world: World, browser: Browser, action: str) -> None:
    """A missing, wrong or foreign form token is a 403 and has no effect."""
    other = Browser(world)
    other.open()
    foreign = next(form["form_token"] for form in forms(other.get()) if "form_token" in form)
    for token in ("", "x", foreign):
        assert browser.press(action, form_token=token).status == 403
    assert (world.redriven, world.rows()) == ([], 0)


def test_a_replayed_callback_is_refused(world: World, browser: Browser) -> None:
    """The same answer a second time is a 400 and does not reach the login."""
    answer = browser.begin()
    browser.come_back(answer)
    assert browser.come_back(answer).status == 400
    assert len(world.sign_in.finished) == 1


@pytest.mark.parametrize("state", ["state-2", "", "../login", "state-1 ", "\x00'"])
def test_a_wrong_state_is_refused(world: World, browser: Browser, state: str) -> None:
    """A state nobody issued is a 400; the sign-in under way is not harmed by it."""
    answer = browser.begin()
    assert browser.come_back({**answer, "state": state}).status == 400
    assert world.sign_in.finished == []
    assert browser.come_back(answer).status == 303


def test_another_browser_cannot_finish_a_sign_in(world: World, browser: Browser) -> None:
    """An answer caught on its way is useless in a browser that did not begin it, even with a session of its own."""
    answer = browser.begin()
    thief = Browser(world)
    thief.open()
    assert thief.come_back(answer).status == 400
    assert world.sign_in.finished == []
    assert browser.come_back(answer).status == 303


def test_a_sign_in_ends_after_ten_minutes(world: World, browser: Browser) -> None:
    """Later it is refused, and the next sign-in clears it away."""
    answer = browser.begin()
    world.clock.advance(FLOW_LIFETIME.total_seconds())
    assert browser.come_back(answer).status == 400
    assert world.rows() == 1
    browser.begin()
    assert world.rows() == 1


def test_two_tabs_may_sign_in_at_once(world: World, browser: Browser) -> None:
    """Each has its own state; neither disturbs the other."""
    first, second = browser.begin(), browser.begin()
    assert browser.come_back(second).status == 303
    assert browser.come_back(first).status == 303
    assert len(world.sign_in.finished) == 2


def test_the_row_goes_before_the_code_is_used(world: World, browser: Browser) -> None:
    """Even if the login then fails, the same callback can't be tried again: the person begins anew."""
    answer = browser.begin()
    world.sign_in.fails = TokenError("invalid_grant: AADSTS54005: used", code="invalid_grant")
    refused = browser.come_back(answer)
    assert refused.status == 400
    assert "AADSTS54005" in refused.body
    world.sign_in.fails = None
    assert browser.come_back(answer).status == 400
    assert world.sign_in.finished == []


def test_what_the_login_says_is_shown_escaped(world: World, browser: Browser) -> None:
    """The error of a user who declined, or of anybody who made one up, is text on the page and nothing else."""
    answer = browser.begin()
    world.sign_in.fails = TokenError("access_denied: AADSTS65004: <script>alert(1)</script>", code="access_denied")
    reply = browser.come_back(answer)
    assert "<script>alert" not in reply.body
    assert "&lt;script&gt;" in reply.body
    assert "AADSTS65004" in reply.body


def test_no_redirect_follows_the_request(world: World, browser: Browser) -> None:
    """Nothing in query or form decides where the browser goes."""
    evil = {"redirect": "https://evil.example", "next": "//evil.example", "done": "//evil.example", "url": "//x"}
    answer = browser.begin()
    assert browser.come_back({**answer, **evil}).headers["Location"] == "/api/connect/start?done=connected"
    assert browser.press("connect", **evil).headers["Location"].startswith(LOGIN)
    assert "evil" not in browser.get(**evil).body


def test_disconnect_forgets_the_login(world: World, browser: Browser) -> None:
    """The button signs out and the page then offers Connect."""
    browser.come_back(browser.begin())
    reply = browser.press("disconnect")
    assert reply.headers["Location"] == "/api/connect/start?done=disconnected"
    assert world.sign_in.user == ""
    assert "Disconnect" not in browser.get().body


@pytest.mark.parametrize("outcome", list(Done))
def test_the_buttons_name_what_they_mean(world: World, browser: Browser, outcome: Done) -> None:
    """An order goes by company and key, a message by its id; the page says what came of it."""
    world.outcome = outcome
    assert browser.press("redrive_order").headers["Location"] == f"/api/connect/start?done={outcome}"
    assert browser.press("redrive_dead_letter").status == 303
    assert browser.press("redrive_queue").headers["Location"] == f"/api/connect/start?done={outcome}"
    assert browser.press("dismiss_order").status == 303
    assert world.redriven == [
        ("order", "c-1", "SO-1"), ("message", "m-1"), ("queue", "bc-pages"), ("dismiss", "c-1", "SO-1"),
    ]  # fmt: skip
    assert 'role="status"' in browser.get(done=str(outcome)).body


def test_sync_now_is_offered_to_whom_it_helps(world: World, browser: Browser) -> None:
    """With somebody signed in."""
    assert 'value="sync"' not in browser.get().body
    world.sign_in.user = "megan@lmints.io"
    assert browser.press("sync").headers["Location"] == "/api/connect/start?done=redriven"
    assert world.redriven == [("sync",)]


def test_what_is_known_of_a_key_is_shown_also_while_business_central_is_down(world: World, browser: Browser) -> None:
    """The rest of the page is there all the same."""
    assert "What bears SO-1" in browser.get(key=" SO-1 ").body
    world.find_fails = BCUnavailable("the environment is being updated", status=503, correlation_id="c")
    body = browser.get(key="SO-1").body
    assert '<p class="soft">the environment is being updated</p>' in body
    assert "Connection" in body


def test_an_unknown_action_is_refused(browser: Browser) -> None:
    """A form with a good token and an action the page does not know is a 400."""
    assert browser.press("connect", action="delete_everything").status == 400


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (StoreUnavailable("Key Vault, read secret bc-token-cache: 403 ForbiddenByRbac"), 503, "ForbiddenByRbac"),
        (TokenError("the login answered 503", code="login_503", retryable=True), 503, "Try again in a minute"),
        (TokenError("x", code="client_secret_missing"), 400, "bc-client-secret"),
        (TokenError("invalid_request: AADSTS90002: Tenant not found", code="invalid_request"), 400, "BC_TENANT_ID"),
    ],
)
def test_trouble_has_a_page_with_a_next_step(
    world: World, browser: Browser, error: Exception, status: int, said: str
) -> None:
    """Vault, login or registration: each failure of Connect says what to do, and nothing was left behind."""
    world.sign_in.fails = error
    reply = browser.press("connect")
    assert reply.status == status
    assert said in reply.body
    assert world.rows() == 0


def test_a_page_that_cannot_be_filled_says_so(world: World, browser: Browser) -> None:
    """With the tables away the page is a 503 with a sentence, not an exception."""
    world.view_fails = StoreUnavailable("BcOrders did not answer")
    assert browser.get().status == 503


def test_wrong_settings_are_named(world: World) -> None:
    """The trigger can show a ConfigError as a page: each wrong name, no value."""
    reply = failure_page(ConfigError({"BC_TENANT_ID": "is required"}))
    assert reply.status == 503
    assert "BC_TENANT_ID" in reply.body


def test_a_call_without_the_shape_of_a_session_touches_nothing(world: World) -> None:
    """Settings, vault and tables are not even asked for: the callback once wrote a vault secret for anybody."""

    def never() -> ConnectPages:
        raise AssertionError("asked for something")

    for cookie in ("", "x=1", f"{COOKIE}=", f"{COOKIE}=1.2.3", f"{COOKIE}={'9' * 5000}", f"{COOKIE}=\udcff\xff"):
        assert page(never, Request(cookie=cookie)).status == 403
        assert page(never, Request(method="POST", body=b"x" * 100, cookie=cookie)).status == 403
        assert callback(never, Request(query={"state": "s", "code": "c"}, cookie=cookie)).status == 403


def test_before_there_is_a_secret_nobody_has_a_session(world: World, browser: Browser) -> None:
    """The anonymous routes never make one; `connect`, which asks for a key, does."""
    world.pages = replace(world.pages, key=None)
    assert browser.get().status == 403
    assert browser.come_back({"state": "s", "code": "c"}).status == 403


@pytest.mark.parametrize(
    "error", [ConfigError({"BC_TENANT_ID": "is required"}), StoreUnavailable("Key Vault, https://kv.example: 403")]
)
def test_strangers_learn_nothing_of_what_is_wrong(error: IntegrationError) -> None:
    """A made-up cookie of the right shape gets a 503 that names no setting and no address; a function key gets all."""

    def broken() -> ConnectPages:
        raise error

    shaped = f"{COOKIE}={new_session(b'another key', nonce='a' * 32, now=datetime(2026, 3, 4, tzinfo=UTC))}"
    for reply in (
        page(broken, Request(cookie=shaped)),
        callback(broken, Request(query={"state": "s", "code": "c"}, cookie=shaped)),
    ):
        assert reply.status == 503
        assert "BC_TENANT_ID" not in reply.body
        assert "kv.example" not in reply.body
    assert any(word in open_page(broken).body for word in ("BC_TENANT_ID", "kv.example"))


def test_a_large_form_is_not_parsed(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """8 forms of 10 MB once cost 2 GB; ours have some 300 bytes."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError("parsed")

    monkeypatch.setattr("shared.operations.connect_values.parse_qsl", never)
    large = b"form_token=x&" + b"a=b&" * 4096
    assert page(lambda: browser.world.pages, Request(method="POST", body=large, cookie=browser.cookie)).status == 400


@pytest.mark.parametrize("body", [b"\xff\xfe", b"a=1&" * 50, b"", b"%ff=%ff"])
def test_an_odd_form_does_nothing(world: World, browser: Browser, body: bytes) -> None:
    """No UTF-8, too many fields, or none at all: refused, never an exception."""
    reply = page(lambda: world.pages, Request(method="POST", body=body, cookie=browser.cookie))
    assert reply.status in {400, 403}
    assert world.redriven == []


@pytest.mark.parametrize(
    "odd",
    [
        {"error": "access_denied\r\nX-Injected: 1"}, {"code": "c\r\nx"}, {"code": "\xff"}, {"state": "s\n"},
        {"code": "c" * 9000}, {"error": ""},
    ],
)  # fmt: skip
def test_what_entra_cannot_have_sent_never_reaches_the_login(
    world: World, browser: Browser, odd: dict[str, str]
) -> None:
    """A line break in `error` once poisoned a header of MSAL for good; the row stays for the real answer."""
    answer = browser.begin()
    sent = {key: value for key, value in {**answer, **odd}.items() if not ("error" in odd and key == "code")}
    assert browser.come_back(sent).status == 400
    assert world.sign_in.finished == []
    assert browser.come_back(answer).status == 303


def test_the_login_is_given_four_fields_at_most(world: World, browser: Browser) -> None:
    """`client_info` would become a header of MSAL's request, the rest is nobody's business."""
    answer = browser.begin()
    browser.come_back({**answer, "client_info": "e30", "session_state": "x", "iss": "y"})
    assert world.sign_in.finished == [answer]


def test_a_session_can_be_ended(world: World, browser: Browser) -> None:
    """The button ends it for every copy of the cookie, and takes the cookie away."""
    copy = browser.cookie
    reply = browser.press("end_session")
    assert (reply.status, "Max-Age=0" in reply.cookie) == (200, True)
    assert "Session ended" in reply.body
    for cookie in (copy, browser.cookie):
        assert page(lambda: world.pages, Request(cookie=cookie)).status == 403
    other = Browser(world)
    other.open()
    assert other.get().status == 200


def test_disconnecting_gives_the_browser_another_session(world: World, browser: Browser) -> None:
    """A stolen copy of the cookie does not outlive the sign-out."""
    browser.come_back(browser.begin())
    old = browser.cookie
    browser.press("disconnect")
    assert browser.cookie != old
    assert browser.get().status == 200
    assert page(lambda: world.pages, Request(cookie=old)).status == 403


def test_ended_sessions_are_forgotten_when_their_time_is_over(world: World, browser: Browser) -> None:
    """The rows do not pile up."""
    browser.press("end_session")
    world.clock.advance(SESSION_LIFETIME.total_seconds() + 600)
    browser.open()
    browser.press("end_session")
    assert len(list(world.table.query("deployment|ended-session"))) == 1


@pytest.mark.parametrize(
    ("url", "is_strict"),
    [
        ("https://bc.contoso.com/api/connect", True),
        ("https://localhost:7071/api/connect", False),
        ("https://127.0.0.1:7071/api/connect", False),
    ],
)
def test_browsers_are_told_to_stay_with_tls(world: World, url: str, is_strict: bool) -> None:
    """Everywhere but on a developer's own machine, whose other ports it would hit."""
    headers = json.loads(open_page(lambda: world.pages).to_text(url))["headers"]
    assert ("Strict-Transport-Security" in headers) == is_strict


def test_several_connections_are_listed_and_lead_into_each(world: World, browser: Browser) -> None:
    """Each with its health, reason and next step; what is done on the page of one leads back to that page."""
    reason = "A <b>person</b> must sign in."
    views = (
        ConnectionView(id="default", health="connected", environment="Prod"),
        ConnectionView(id="eu", health="login_needed", reason=reason, next_step="Press Connect.", environment="EU"),
        ConnectionView(id="#3", health="stopped"),
    )
    world.pages = replace(world.pages, connection="eu", connections=lambda: views)
    listed = browser.get().body
    assert 'href="/api/connect/start?connection=eu">eu</a>' in listed
    assert "login_needed" in listed
    assert "Press Connect." in listed
    assert "<b>person" not in listed
    assert "connection=#3" not in listed
    one = browser.get(connection="eu").body
    assert "all connections" in one
    assert '<input type="hidden" name="connection" value="eu">' in one
