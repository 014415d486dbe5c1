"""What is wrong by the kept state: each kind has its finding, one a cause, and a healthy app has none."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.errors import TokenError
from shared.login.entra_codes import advice, entra_code
from shared.operations.connection_health import health_of
from shared.operations.findings import in_plain_words, named, wrong
from shared.operations.status_view import (
    CompanyView,
    DeadLetterView,
    LoginView,
    OrderView,
    StatusView,
    StreamView,
    SubscriptionView,
    TimerView,
)
from shared.operations.view_findings import findings
from tests.unit.operations.test_connect_html import AT, healthy_view

FIVE = tuple(f"Company {number}" for number in range(5))


def codes(view: StatusView) -> list[str]:
    """The causes, in order."""
    return [found.code for found in findings(view)]


def test_a_healthy_app_needs_nothing() -> None:
    """Nothing wrong, nothing said."""
    assert findings(healthy_view()) == ()


def test_what_is_wrong_comes_with_a_next_step() -> None:
    """Login, company, stream, webhook, orders and dead letters each give a finding, the login first."""
    view = replace(
        healthy_view(),
        login=LoginView(state="needed", mode="authorization_code", code="AADSTS7000222"),
        companies=(CompanyView(name="A", id="1", error="no permission"),),
        streams=(
            StreamView(company="A", entity="items", purpose="pull", state="failed", error="Authorization_Denied"),
            StreamView(
                company="A",
                entity="salesInvoices",
                purpose="reconcile",
                state="ok",
                last_run=AT - timedelta(hours=2),
                late_after=AT - timedelta(hours=1),
            ),
        ),
        subscriptions=(
            SubscriptionView(company="A", entity="items", state="ok", expires_at=AT + timedelta(hours=3)),
            SubscriptionView(company="A", entity="salesShipments", state="unsupported"),
        ),
        orders_parked=2,
        orders_rejected=1,
        dead_letters=(DeadLetterView(id="1", queue="bc-pages"),),
    )
    found = findings(view)
    assert [one.code for one in found] == [
        "login_AADSTS7000222", "company_unknown", "run_failed", "run_stale", "webhook_not_in_order", "order_parked",
        "order_rejected", "dead_letter",
    ]  # fmt: skip
    assert "bc-client-secret" in found[0].do
    assert all(each.is_wrong and each.seen and each.do for each in found)


def test_one_cause_is_one_finding_however_many_it_hits() -> None:
    """Five companies that fail alike are one line that names some and counts the rest."""
    view = replace(
        healthy_view(),
        streams=tuple(
            StreamView(company=name, entity="items", purpose="pull", state="failed", error="403 no") for name in FIVE
        ),
        subscriptions=tuple(
            SubscriptionView(company=name, entity="items", state="failed", error="handshake") for name in FIVE
        ),
    )
    assert codes(view) == ["run_failed", "webhook_not_in_order"]
    other = replace(view.streams[0], company="Company 9", error="404 gone")
    assert codes(replace(view, streams=(*view.streams, other))).count("run_failed") == 2


def test_a_long_list_is_cut_with_its_count() -> None:
    """No finding is longer than a person reads."""
    assert named("abcdef") == "a, b, c, d, e, f"
    assert named("abcdefgh") == "a, b, c, d, e, f and 2 more"


@pytest.mark.parametrize(
    ("order_codes", "word"),
    [
        (("InvalidMessage",), "The app refused them itself"),
        (("Application_DialogException",), "Business Central refused them"),
        (("InvalidMessage", "Application_DialogException"), "Business Central refused some"),
        (("OrderExists",), "not made here"),
    ],
)
def test_what_the_app_refused_is_not_laid_at_business_centrals_door(order_codes: tuple[str, ...], word: str) -> None:
    """The code tells whose refusal it is."""
    orders = tuple(OrderView(key=code, company="A", state="rejected", code=code) for code in order_codes)
    (found,) = findings(replace(healthy_view(), orders=orders, orders_rejected=len(orders)))
    assert word in found.cause


def test_an_unknown_code_is_told_in_entras_words() -> None:
    """A code that is not in the list shows the reason Entra gave."""
    assert advice("AADSTS999999", "invalid_grant: AADSTS999999: something new").problem.endswith("something new")
    assert entra_code(TokenError("invalid_grant: AADSTS50173: revoked", code="invalid_grant")) == "AADSTS50173"
    assert entra_code(TokenError("no answer", code="login_unreachable")) == "login_unreachable"


def test_an_expired_client_secret_asks_nobody_to_sign_in() -> None:
    """Only a new secret helps: a person who signs in again changes nothing."""
    for code in ("AADSTS7000222", "AADSTS7000215", "client_secret_missing", "invalid_client"):
        assert not advice(code, "").by_signing_in
        assert "Press Connect" not in advice(code, "").do
    assert advice("AADSTS50173", "").by_signing_in


def test_a_dead_business_central_is_one_finding() -> None:
    """What cannot work without it is not told beside it; what does not need it is."""
    down = wrong("business_central", "bc_down", "Could not list the companies: 503.", "It is down.", "Look.")
    failed = StreamView(company="A", entity="items", purpose="pull", state="failed", error="503")
    view = replace(healthy_view(), business_central=down, streams=(failed,), orders_parked=1)
    assert codes(view) == ["bc_down", "order_parked"]
    assert health_of(findings(view)).word == "unreachable"


def test_a_nightly_pull_is_no_fault_at_noon() -> None:
    """Silence is judged by the schedule: late after its second due time, and not while it runs."""
    nightly = StreamView(
        company="A", entity="items", purpose="pull", state="ok", last_run=AT - timedelta(hours=10),
        late_after=AT + timedelta(hours=38),
    )  # fmt: skip
    assert codes(replace(healthy_view(), streams=(nightly,))) == []
    late = replace(nightly, late_after=AT - timedelta(seconds=1))
    assert codes(replace(healthy_view(), streams=(late,))) == ["run_stale"]
    assert codes(replace(healthy_view(), streams=(replace(late, state="running"),))) == []


@pytest.mark.parametrize(
    ("timer", "code", "word"),
    [
        (TimerView(function="pull_items", setting="BC_ITEM_PULL_SCHEDULE", schedule="", fault="is missing"),
         "timer_left_out", "BC_ITEM_PULL_SCHEDULE is missing"),
        (TimerView(function="reconcile", setting="BC_RECONCILE_SCHEDULE", schedule="x", is_overdue=True),
         "timer_stopped", "reconcile (last never)"),
    ],
)  # fmt: skip
def test_a_timer_that_does_not_run_is_named(timer: TimerView, code: str, word: str) -> None:
    """The host leaves out, without a word, what it can't read; and all timers may stop."""
    (found,) = findings(replace(healthy_view(), timers=(timer,)))
    assert (found.code, found.is_wrong) == (code, True)
    assert word in found.seen


def test_a_timer_that_somebody_switched_off_is_noted_only() -> None:
    """Whoever disables a timer means it."""
    timer = TimerView(function="reconcile", setting="", schedule="", is_disabled=True)
    (found,) = findings(replace(healthy_view(), timers=(timer,)))
    assert (found.code, found.is_wrong) == ("timer_disabled", False)


def test_messages_in_poison_queues_are_told() -> None:
    """They show on the page, too: nobody comes for them by itself."""
    (found,) = findings(replace(healthy_view(), poison={"bc-pages-poison": 3}))
    assert "bc-pages-poison 3" in found.seen


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, "connected"),
        ({"login": LoginView(state="needed", mode="authorization_code", code="AADSTS50173")}, "login_needed"),
        ({"login": LoginView(state="needed", mode="authorization_code", code="AADSTS7000222")}, "stopped"),
        ({"login": LoginView(state="needed", mode="client_secret", code="AADSTS7000222")}, "stopped"),
        ({"business_central": wrong("business_central", "bc_environment", "x", "x", "x")}, "stopped"),
        ({"poison": {"q-poison": 1}}, "degraded"),
        ({"orders_rejected": 1}, "connected"),
    ],
)
def test_health_is_one_word(changes: dict[str, Any], word: str) -> None:
    """An expired client secret asks nobody to sign in; a refused order does not make a connection ill."""
    assert health_of(findings(replace(healthy_view(), **changes))).word == word


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("[b5a0-1] 400 Application_DialogException: No such customer.", "No such customer."),
        ("register: [b5a0] 400 BadRequest: handshake refused", "register: handshake refused"),
        (
            "Could not list the companies: 503: down for maintenance.",
            "Could not list the companies: down for maintenance.",
        ),
        (
            "Could not list the companies: no answer: ConnectTimeout.",
            "Could not list the companies: no answer: ConnectTimeout.",
        ),
        ("[c] no answer network: reset", "reset"),
        ("orderDate: must be a date such as 2026-03-04", "orderDate: must be a date such as 2026-03-04"),
    ],
)
def test_words_for_people_hold_nothing_that_only_machines_read(said: str, words: str) -> None:
    """Ids, status and code are left out wherever they stand; nothing else is."""
    assert in_plain_words(said) == words
