"""The HTML of the connect page: what it shows, that it shows nothing else, and that nothing can break out of it."""

import base64
import hashlib
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.business_central.entities import ITEMS, Entity
from shared.operations.connect_html import NOTICES, status_page
from shared.operations.findings import Finding, Severity
from shared.operations.page_parts import in_words, message_page
from shared.operations.page_style import HEADERS
from shared.operations.status_view import (
    CompanyView,
    DeadLetterView,
    LoginView,
    OrderView,
    StatusView,
    StreamView,
    SubscriptionView,
    describe_trigger,
)

AT = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
VOID = {"meta", "input", "br"}


def _entity(name: str) -> Entity:
    return Entity(name=name, event=name, expand=name)


def full_view(text: str = "x") -> StatusView:
    """A view with something of everything; `text` stands wherever text comes from outside."""
    return StatusView(
        at=AT,
        environment=text,
        login=LoginView(state="needed", mode=text, user=text, code=text, reason=text, since=AT),
        companies=(CompanyView(name=text, id=text, error=text),),
        triggers=(describe_trigger(_entity(text)),),
        streams=(
            StreamView(company=text, entity=text, purpose=text, state=text, watermark=AT, last_run=AT, error=text),
        ),
        subscriptions=(SubscriptionView(company=text, entity=text, state=text, expires_at=AT, error=text),),
        orders_parked=1,
        orders=(
            OrderView(key=text, company=text, state="parked", since=AT, code=text),
            OrderView(key=text, company=text, state="waiting", since=AT, code=text),
        ),
        dead_letters=(DeadLetterView(id=text, queue=text, since=AT, reason=text),),
        findings=(Finding(check=text, code=text, severity=Severity.ERROR, seen=text, cause=text, do=text),),
    )


def healthy_view() -> StatusView:
    """A connected app with one company and nothing wrong."""
    return StatusView(
        at=AT,
        environment="production",
        login=LoginView(state="ok", mode="authorization_code", user="megan@lmints.io", since=AT - timedelta(days=2)),
        companies=(CompanyView(name="CRONUS UK Ltd.", id="1"),),
        triggers=(describe_trigger(ITEMS),),
        streams=(
            StreamView(
                company="CRONUS UK Ltd.",
                entity="items",
                purpose="pull",
                state="ok",
                watermark=AT - timedelta(minutes=9),
                last_run=AT - timedelta(minutes=4),
            ),
        ),
        subscriptions=(
            SubscriptionView(
                company="CRONUS UK Ltd.", entity="items", state="ok", expires_at=AT + timedelta(days=2, hours=5)
            ),
        ),
    )


class Outline(HTMLParser):
    """Elements, attributes, labels and balance of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.forms: list[dict[str, str]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = {name: value or "" for name, value in attrs}
        self.attributes += [(tag, name, value) for name, value in found.items()]
        if tag == "form":
            self.forms.append({})
        if tag == "input":
            self.forms[-1][found["name"]] = found["value"]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def text_of(page: str) -> str:
    return " ".join(" ".join(Outline(page).texts).split())


@given(text=st.text(alphabet=st.sampled_from("<>&\"'/=ab \n`;-"), min_size=1, max_size=20))
def test_no_text_breaks_out(text: str) -> None:
    """Whatever a company, key, code or user is called, the page has the same elements and attribute names."""
    plain, odd = (
        Outline(status_page(full_view(), form_token="t")),
        Outline(status_page(full_view(text), form_token="t")),
    )
    assert odd.tags[odd.tags.index("main") :] == plain.tags[plain.tags.index("main") :]
    assert [names[:2] for names in odd.attributes] == [names[:2] for names in plain.attributes]
    said = Outline(message_page(text, text, text, code=text or "c"))
    assert said.tags == Outline(message_page("a", "a", "a", code="c")).tags


def test_no_script_style_or_picture_is_in_the_page() -> None:
    """One style sheet, named by its hash in the policy; no script, handler, picture or foreign address."""
    page = status_page(full_view(), form_token="t")
    outline = Outline(page)
    assert not {"script", "img", "iframe", "object", "link", "base"} & set(outline.tags)
    assert outline.tags.count("style") == 1
    assert not [found for found in outline.attributes if found[1] == "style" or found[1].startswith("on")]
    assert "http:" not in page
    assert "https:" not in page
    sheet = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert sheet
    digest = base64.b64encode(hashlib.sha256(sheet.group(1).encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in HEADERS["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in HEADERS["Content-Security-Policy"]


def test_every_form_posts_home_with_its_token() -> None:
    """Each button is a form of its own that goes to the page's own path with the form token; a search has none."""
    outline = Outline(status_page(full_view(), form_token="the-token"))
    targets = [value for tag, name, value in outline.attributes if tag == "form" and name == "action"]
    methods = [value for tag, name, value in outline.attributes if tag == "form" and name == "method"]
    assert len(outline.forms) == len(targets) == len(methods) == outline.tags.count("button") == 4
    assert set(targets) == {"/api/connect/start"}
    assert sorted(methods) == ["get", "post", "post", "post"]
    assert [form.get("form_token") for form in outline.forms if "key" not in form or "action" in form] == [
        "the-token"
    ] * 3


def test_screen_readers_find_their_way() -> None:
    """Language, title, one main part with a skip link to it, one h1, named sections, table headings, named buttons."""
    outline = Outline(status_page(full_view("Name"), form_token="t"))
    assert ("html", "lang", "en") in outline.attributes
    assert outline.tags.count("h1") == outline.tags.count("main") == outline.tags.count("title") == 1
    assert ("a", "href", "#main") in outline.attributes
    assert ("main", "id", "main") in outline.attributes
    ids = {value for _, name, value in outline.attributes if name == "id"}
    labels = {value for _, name, value in outline.attributes if name == "aria-labelledby"}
    assert labels <= ids
    assert outline.tags.count("th") == sum(name == "scope" for _, name, _ in outline.attributes)
    assert ("button", "aria-label", "Try again: order Name") in outline.attributes


def test_a_healthy_connection_shows_its_facts() -> None:
    """User, company, trigger, last read and time to expiry are there, and nothing needs attention."""
    said = text_of(status_page(healthy_view(), form_token="t"))
    for expected in (
        "Connected",
        "megan@lmints.io",
        "CRONUS UK Ltd.",
        "Announces a new item with its variants.",
        "4 min ago",
        "in 2 d 5 h",
        "0 waiting, 0 parked, 0 rejected",
        "Reconnect",
        "Disconnect now",
    ):
        assert expected in said
    assert "Needs attention" not in said


def test_nobody_signed_in_shows_connect_only() -> None:
    """The first opening offers Connect and says why; there is nothing to disconnect."""
    view = StatusView(at=AT, environment="production", login=LoginView(state="", mode="authorization_code"))
    said = text_of(status_page(view, form_token="t"))
    assert "A person must sign in" in said
    assert "Connect" in said
    assert "Disconnect" not in said


@pytest.mark.parametrize("mode", ["client_secret", "managed_identity"])
def test_app_only_modes_have_no_login_buttons(mode: str) -> None:
    """Where the app signs in as itself there is nothing to click but the end of the session."""
    view = replace(healthy_view(), login=LoginView(state="ok", mode=mode))
    assert [form["action"] for form in Outline(status_page(view, form_token="t")).forms] == ["end_session"]


def test_only_parked_and_rejected_orders_can_be_tried_again() -> None:
    """A waiting order comes back by itself; the button of the others names company and key."""
    orders = tuple(OrderView(key=state, company="C", state=state) for state in ("waiting", "parked", "rejected"))
    outline = Outline(status_page(replace(healthy_view(), orders=orders), form_token="t"))
    redrives = [form for form in outline.forms if form.get("action") == "redrive_order"]
    assert [(form["company"], form["key"]) for form in redrives] == [("C", "parked"), ("C", "rejected")]


def test_a_notice_comes_from_our_list_only() -> None:
    """Known words say something; a word made up by somebody else says nothing."""
    for word, sentence in NOTICES.items():
        assert sentence in text_of(status_page(healthy_view(), form_token="t", notice=word))
    assert "role=" not in status_page(healthy_view(), form_token="t", notice="Your account is locked")


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(seconds=59), "less than a minute"),
        (timedelta(minutes=1), "1 min"),
        (timedelta(minutes=60), "1 h"),
        (timedelta(hours=25, minutes=30), "1 d 1 h"),
        (timedelta(days=2, minutes=30), "2 d"),
        (timedelta(minutes=-61), "1 h 1 min"),
    ],
)
def test_spans_are_told_in_two_units(span: timedelta, words: str) -> None:
    """The two largest units, without zeroes."""
    assert in_words(span) == words


def test_what_needs_attention_stands_first() -> None:
    """Every finding that is wrong, with cause and next step, above everything that is fine; notes are left out."""
    found = (
        Finding(check="runs", code="run_stale", severity=Severity.ERROR, seen="Seen.", cause="Cause.", do="Do."),
        Finding(check="runs", code="run_none", severity=Severity.NOTE, seen="Nothing was read yet."),
    )
    said = text_of(status_page(replace(healthy_view(), findings=found), form_token="t"))
    assert "Needs attention Seen. Cause. Do. Connection" in said
    assert "Nothing was read yet." not in said


def test_what_a_key_found_is_shown_with_the_way_back() -> None:
    """The form asks with GET and holds no form token; whole queues have a button of their own."""
    view = replace(healthy_view(), key="<SO-1>", dead_letter_counts={"bc-pages": 150, "sales-orders": 1})
    text = status_page(view, form_token="t")
    outline = Outline(text)
    finds = [form for form in outline.forms if "action" not in form]
    assert finds == [{"key": "<SO-1>"}]
    assert "Only what bears <code>&lt;SO-1&gt;</code> is listed." in text
    assert "bc-pages 150, sales-orders 1" in text
    assert [form["queue"] for form in outline.forms if form.get("action") == "redrive_queue"] == ["bc-pages"]
    assert not [form for form in Outline(status_page(healthy_view(), form_token="t")).forms if "action" not in form]
