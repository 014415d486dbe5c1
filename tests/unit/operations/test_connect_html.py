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
from shared.operations.connect_companies import company_section
from shared.operations.connect_html import NOTICES, status_page
from shared.operations.connect_plot import plot
from shared.operations.findings import Finding, Severity
from shared.operations.page_parts import in_words, message_page
from shared.operations.page_style import HEADERS
from shared.operations.status_view import (
    CompanyView,
    CountView,
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
        if self._open[-1:] not in (["style"], ["script"]):
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


def test_nothing_foreign_is_in_the_page() -> None:
    """One style sheet and one script, each named by its hash in the policy; no handler, picture or foreign address."""
    page = status_page(full_view(), form_token="t")
    outline = Outline(page)
    assert not {"img", "iframe", "object", "link", "base"} & set(outline.tags)
    assert outline.tags.count("style") == outline.tags.count("script") == 1
    assert not [found for found in outline.attributes if found[1] == "style" or found[1].startswith("on")]
    assert "http:" not in page
    assert "https:" not in page
    for tag in ("style", "script"):
        found = re.search(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        assert found
        digest = base64.b64encode(hashlib.sha256(found.group(1).encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}';" in HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in HEADERS["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in HEADERS["Content-Security-Policy"]


def test_every_form_posts_home_with_its_token() -> None:
    """Each button is a form of its own that goes to the page's own address with the form token; a search has none."""
    outline = Outline(status_page(full_view(), form_token="the-token"))
    targets = [value for tag, name, value in outline.attributes if tag == "form" and name == "action"]
    methods = [value for tag, name, value in outline.attributes if tag == "form" and name == "method"]
    assert len(outline.forms) == len(methods) == outline.tags.count("button") == 5
    assert set(targets) == {"/api/connect/start"}
    assert sorted(methods) == ["get", *["post"] * 4]
    posted = [form for form in outline.forms if "action" in form]
    assert [form["form_token"] for form in posted] == ["the-token"] * 4


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
        "Sync now",
        "Reconnect",
        "Disconnect now",
    ):
        assert expected in said
    assert "Needs attention" not in said
    assert "Orders" not in said


def test_nobody_signed_in_shows_connect_only() -> None:
    """One card with two steps, and nothing red; there is nothing to disconnect, to find or to mend."""
    view = StatusView(at=AT, environment="production", login=LoginView(state="", mode="authorization_code"))
    said = text_of(status_page(view, form_token="t"))
    assert "Connect in two steps" in said
    assert [word for word in ("Disconnect", "Find", "Needs attention", "Companies") if word in said] == []
    page = status_page(view, form_token="t")
    assert Outline(page).tags.count("ol") == 1
    assert 'class="bad"' not in page
    assert "mark bad" not in page


@pytest.mark.parametrize("mode", ["client_secret", "managed_identity"])
def test_app_only_modes_have_no_login_buttons(mode: str) -> None:
    """Where the app signs in as itself there is nothing to click but a read and the end of the session."""
    view = replace(healthy_view(), login=LoginView(state="ok", mode=mode))
    forms = Outline(status_page(view, form_token="t")).forms
    assert [form.get("action", "find") for form in forms] == ["find", "sync", "end_session"]


def test_only_parked_and_rejected_orders_can_be_tried_again() -> None:
    """A waiting order comes back by itself; the button of the others names company and key."""
    orders = tuple(
        OrderView(key=state, company="C", company_id="c", state=state, cause=state)
        for state in ("waiting", "parked", "rejected")
    )
    outline = Outline(status_page(replace(healthy_view(), orders=orders), form_token="t"))
    redrives = [form for form in outline.forms if form.get("action") == "redrive_order"]
    assert [(form["company"], form["key"]) for form in redrives] == [("c", "parked"), ("c", "rejected")]


def test_a_notice_comes_from_our_list_only() -> None:
    """Known words say something; a word made up by somebody else says nothing."""
    for word, sentence in NOTICES.items():
        assert sentence in text_of(status_page(healthy_view(), form_token="t", notice=word))
    assert 'role="status"' not in status_page(healthy_view(), form_token="t", notice="Your account is locked")


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
    assert "Needs attention Seen. Cause. Next: Do. Sync now Connection" in said
    assert "Nothing was read yet." not in said


def test_the_search_asks_with_get_and_holds_no_token() -> None:
    """What was asked for stands in the field; whole queues have a button of their own."""
    letter = DeadLetterView(id="bc-pages/1", queue="bc-pages", since=AT, reason="x")
    counts = {"bc-pages": 150, "sales-orders": 1}
    view = replace(healthy_view(), key="<SO-1>", dead_letters=(letter,), dead_letter_counts=counts)
    outline = Outline(status_page(view, form_token="t"))
    assert [form for form in outline.forms if "action" not in form] == [{"key": "<SO-1>"}]
    assert [form["queue"] for form in outline.forms if form.get("action") == "redrive_queue"] == ["bc-pages"]


def test_each_line_that_needs_attention_leads_to_its_place() -> None:
    """Every link within the page has its target."""
    for name, view in _states().items():
        outline = Outline(status_page(view, form_token="t"))
        ids = {value for _, kind, value in outline.attributes if kind == "id"}
        links = [
            value[1:] for tag, kind, value in outline.attributes if (tag, kind) == ("a", "href") and value[0] == "#"
        ]
        assert set(links) <= ids, name
        assert len(ids) == len([one for one in outline.attributes if one[1] == "id"]), name


def test_orders_of_one_cause_stand_together_with_one_button() -> None:
    """Their reason once, in Business Central's words; what a redrive can't help says so and has no such button."""
    page = status_page(_states()["orders in need"], form_token="t")
    said = text_of(page)
    assert "refused 56 orders: The field Sell-to Customer No. of table Sales Header contains a value" in said
    assert "Try all 56 again" in said
    assert "Trying again can't help" in said
    forms = Outline(page).forms
    assert [form["cause"] for form in forms if form.get("action") == "redrive_cause"] == ["a1"]
    assert "SHOP-4717" not in [form["key"] for form in forms if form.get("action") == "redrive_order"]
    assert "SHOP-4717" in [form["key"] for form in forms if form.get("action") == "dismiss_order"]
    assert "1 order dismissed" in said
    assert said.index("Orders that need a person") < said.index("Connection")


def test_no_code_stands_where_a_sentence_can() -> None:
    """Ids of requests, status and code are left to the JSON."""
    for name in ("faults", "orders in need", "business central down", "login revoked"):
        said = text_of(status_page(_states()[name], form_token="t"))
        assert not re.search(r"\[[\w-]+\]|Application_|AADSTS|InvalidMessage", said), name


def test_the_picture_says_in_words_what_it_shows() -> None:
    """Seven whole days to the hour; a bar is as high as its hour is busy."""
    hour = AT.replace(minute=0)
    counts = (
        CountView(hour=hour, company="A", entity="items", counts={"announced": 10}),
        CountView(hour=hour - timedelta(days=1), company="A", entity="items", counts={"announced": 5, "requests": 7}),
        CountView(hour=hour, company="", entity="", counts={"created": 3, "rejected": 1, "requests": 9}),
        CountView(hour=hour - timedelta(days=8), company="", entity="", counts={"requests": 99}),
    )
    shown = plot(counts, AT)
    words = "Seven days by the hour (UTC): 15 announced, at most 10 an hour; orders 3 created, 1 rejected; 16 requests"
    assert shown.count(words) == 2
    assert f"M{(6 * 24 + 12) * 4} 60h3v-60h-3z" in shown
    assert f"M{(5 * 24 + 12) * 4} 60h3v-30h-3z" in shown
    assert plot((), AT) == ""


def test_a_company_is_a_line_with_the_worst_of_each_entity() -> None:
    """A webhook that is lost counts more than a read of four minutes ago, and the day's number stands beside."""
    view = healthy_view()
    count = CountView(hour=AT, company="CRONUS UK Ltd.", entity="items", counts={"announced": 12})
    assert "items 4 min ago 12 today" in _line(replace(view, activity=(count,)))
    lost = replace(view.subscriptions[0], state="lost")
    assert "webhook lost" in _line(replace(view, subscriptions=(lost,)))
    late = replace(view.streams[0], late_after=AT - timedelta(minutes=1), last_run=AT - timedelta(hours=3))
    assert "silent for 3 h" in _line(replace(view, streams=(late,)))
    failed = replace(view.streams[0], error="[c] 403 no: gone")
    assert "read failed" in _line(replace(view, streams=(failed,)))
    assert "not read yet" in _line(replace(view, streams=(), subscriptions=()))


def _states() -> dict[str, StatusView]:
    from tests.unit.operations.page_states import states  # noqa: PLC0415 - it is made of this module's views

    return states()


def _line(view: StatusView) -> str:
    """The companies' part of a page, each cell with its label."""
    shown = company_section(view)
    return text_of(re.sub(r'<td data-label="([^"]*)">', r"<td>\1 ", shown))


def test_the_page_is_fresh_by_itself_only_while_something_is_at_work() -> None:
    """By the script, and without it by the browser."""
    working, idle = (status_page(_states()[name], form_token="t") for name in ("at work", "healthy"))
    assert 'data-fresh="/api/connect/start"' in working
    assert '<noscript><meta http-equiv="refresh" content="30;url=/api/connect/start"></noscript>' in working
    assert "data-fresh=" not in idle
    assert "http-equiv" not in idle
    assert 'data-fresh="' in status_page(_states()["healthy"], form_token="t", notice="redriven")
