"""What is wrong by the kept state: each kind has its finding, one a cause, and a healthy app has none."""

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.errors import TokenError
from shared.login.entra_codes import advice, entra_code
from shared.operations.findings import named
from shared.operations.status_view import (
    CompanyView,
    DeadLetterView,
    LoginView,
    OrderView,
    StatusView,
    StreamView,
    SubscriptionView,
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
                company="A", entity="salesInvoices", purpose="reconcile", state="ok", last_run=AT - timedelta(hours=2)
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
