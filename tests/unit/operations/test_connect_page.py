"""The connect page's routes: who gets in, what the buttons do, and the sign-in from the first click to the callback."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from shared.errors import ConfigError, StoreUnavailable, TokenError
from shared.operations.connect_page import ConnectPages, Redriven, callback, open_page, page
from shared.operations.connect_values import Reply, Request
from shared.operations.page_session import COOKIE, FLOW_LIFETIME, SESSION_LIFETIME, derive_key
from shared.operations.pending_sign_ins import PendingSignIns
from shared.operations.refusal_pages import failure_page
from shared.operations.status_view import DeadLetterView, LoginView, OrderView, StatusView
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
        self.outcome = Redriven.DONE
        self.view_fails: Exception | None = None
        self._ids = 0
        self.pages = ConnectPages(
            sign_in=self.sign_in,
            pending=PendingSignIns(self.table, "lmints.io.production"),
            public_url=PUBLIC,
            key=derive_key("webhook secret"),
            view=self.view,
            redrive_order=lambda company, key: self._redrive("order", company, key),
            redrive_dead_letter=lambda message: self._redrive("message", message),
            now=clock,
            new_id=self._new_id,
        )

    def view(self) -> StatusView:
        if self.view_fails is not None:
            raise self.view_fails
        state = "ok" if self.sign_in.user else "needed"
        return StatusView(
            at=self.clock(),
            environment="production",
            login=LoginView(state=state, mode="authorization_code", user=self.sign_in.user),
            orders_parked=1,
            orders=(OrderView(key="SO-1", company="CRONUS UK Ltd.", state="parked"),),
            dead_letters=(DeadLetterView(id="m-1", queue="bc-pages"),),
        )

    def _redrive(self, *what: str) -> Redriven:
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
        return self._keep(open_page(self.world.pages))

    def get(self, **query: str) -> Reply:
        return self._keep(page(self.world.pages, Request(query=query, cookie=self.cookie)))

    def press(self, action: str, /, **changes: str) -> Reply:
        form = next(form for form in forms(self.get()) if form["action"] == action)
        return self.post({**form, **changes})

    def post(self, form: Mapping[str, str]) -> Reply:
        return self._keep(page(self.world.pages, Request(method="POST", form=form, cookie=self.cookie)))

    def begin(self) -> dict[str, str]:
        """Press Connect; give what the login sends back when Megan signs in."""
        reply = self.press("connect")
        assert reply.status == 303, reply.body
        sent = parse_qs(urlsplit(reply.headers["Location"]).query)
        assert sent["redirect_uri"] == [f"{PUBLIC}/api/connect/callback"]
        return {"state": sent["state"][0], "code": "megan@lmints.io"}

    def come_back(self, answer: Mapping[str, str]) -> Reply:
        return self._keep(callback(self.world.pages, answer, self.cookie))

    def _keep(self, reply: Reply) -> Reply:
        for cookie in reply.cookies:
            self.cookie = f"other=1; {cookie.partition(';')[0]}"
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
    reply = open_page(world.pages)
    assert (reply.status, reply.headers["Location"], reply.body) == (303, "/api/connect/start", "")
    assert len(reply.cookies) == 1
    assert reply.cookies[0].startswith(f"{COOKIE}=")
    assert reply.headers["Referrer-Policy"] == "no-referrer"
    assert reply.headers["Cache-Control"] == "no-store"


def test_without_a_session_nothing_is_shown_or_done(world: World) -> None:
    """No cookie, a made-up one and an ended one get the same 403: no name, no count, no form, no redirect."""
    opened = Browser(world)
    opened.open()
    world.clock.advance(SESSION_LIFETIME.total_seconds())
    for cookie in ("", f"{COOKIE}=1.2.3", opened.cookie):
        for reply in (
            page(world.pages, Request(cookie=cookie)),
            page(world.pages, Request(method="POST", form={"action": "disconnect"}, cookie=cookie)),
            callback(world.pages, {"state": "state-1", "code": "c"}, cookie),
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
    for reply in (browser.get(), browser.press("connect"), browser.post({}), page(world.pages, Request())):
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["Referrer-Policy"] == "no-referrer"
        assert reply.headers["Cache-Control"] == "no-store"
        assert "frame-ancestors 'none'" in reply.headers["Content-Security-Policy"]
        assert "unsafe" not in reply.headers["Content-Security-Policy"]


@pytest.mark.parametrize("action", ["connect", "redrive_order", "redrive_dead_letter"])
def test_a_form_without_its_token_does_nothing(world: World, browser: Browser, action: str) -> None:
    """A missing, wrong or foreign form token is a 403 and has no effect."""
    other = Browser(world)
    other.open()
    foreign = forms(other.get())[0]["form_token"]
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
    assert "<script" not in reply.body
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


@pytest.mark.parametrize("outcome", list(Redriven))
def test_the_redrive_buttons_name_what_they_mean(world: World, browser: Browser, outcome: Redriven) -> None:
    """An order goes by company and key, a message by its id; the page says what came of it."""
    world.outcome = outcome
    assert browser.press("redrive_order").headers["Location"] == f"/api/connect/start?done={outcome}"
    assert browser.press("redrive_dead_letter").status == 303
    assert world.redriven == [("order", "CRONUS UK Ltd.", "SO-1"), ("message", "m-1")]
    assert 'role="status"' in browser.get(done=str(outcome)).body


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
