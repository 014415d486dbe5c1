"""Views of the connect page in every state that a person can meet, for the tests and for pictures."""

from dataclasses import replace
from datetime import timedelta

from shared.business_central.entities import ENTITIES
from shared.errors import BCUnavailable
from shared.operations.failures import explain
from shared.operations.findings import fine
from shared.operations.status_view import (
    CompanyView,
    DeadLetterView,
    LoginView,
    OrderView,
    StatusView,
    StreamView,
    SubscriptionView,
    TimerView,
    describe_trigger,
)
from shared.operations.timers import SETTINGS
from shared.operations.view_findings import findings, health
from tests.unit.operations.test_connect_html import AT

LONG: str = "[b5a0] 400 Application_DialogException: " + "The field cannot be found in the related table. " * 6


def settled(view: StatusView) -> StatusView:
    """The view with its findings, as `status.view` makes it."""
    found = findings(view)
    return replace(view, findings=found, health=health(found))


def healthy(companies: int = 2) -> StatusView:
    """A connected app in its steady state."""
    names = [f"CRONUS {number} International Ltd." for number in range(companies)]
    reads = [("items", "pull"), *((name, purpose) for name in ENTITIES for purpose in ("reconcile", "snapshot"))]
    return StatusView(
        at=AT, environment="production",
        login=LoginView(state="ok", mode="authorization_code", user="megan@lmints.io", since=AT - timedelta(days=2)),
        companies=tuple(CompanyView(name=name, id=f"7b1c4a52-91d3-f011-8d4c-6045bd1a2c{n:02x}")
                        for n, name in enumerate(names)),
        triggers=tuple(describe_trigger(entity)
                       for entity in ENTITIES.values()),
        streams=tuple(
            StreamView(
                company=name, entity=entity, purpose=purpose, state="ok", watermark=AT - timedelta(minutes=9),
                last_run=AT - timedelta(minutes=4), late_after=AT + timedelta(hours=1),
            )
            for name in names for entity, purpose in reads
        ),
        subscriptions=tuple(
            SubscriptionView(company=name, entity=entity, state="ok", expires_at=AT + timedelta(days=2, hours=5))
            for name in names for entity in ENTITIES
        ),
        timers=tuple(
            TimerView(
                function=function, setting=setting, schedule="0 */15 * * * *", started_at=AT - timedelta(minutes=4),
                by_timer_at=AT - timedelta(minutes=4), next_due=AT + timedelta(minutes=11),
            )
            for function, setting in SETTINGS.items()
        ),
        poison={}, business_central=fine("business_central", "Business Central answers."),
    )  # fmt: skip


def states() -> dict[str, StatusView]:
    """Every state by its name."""
    good = healthy()
    dead = replace(good.login, state="needed", code="AADSTS50173", reason="invalid_grant: AADSTS50173")
    secret = replace(good.login, state="needed", code="AADSTS7000222", reason="invalid_client: AADSTS7000222")
    down = explain("business_central", BCUnavailable("down for maintenance", status=503), "list the companies")
    broken = replace(good.streams[0], state="failed", error=LONG)
    timers = (
        replace(good.timers[0], is_overdue=True, by_timer_at=AT - timedelta(days=4)),
        replace(good.timers[1], fault="is missing", schedule="", next_due=None),
        replace(good.timers[2], is_disabled=True, next_due=None),
    )
    first = StatusView(
        at=AT, environment="production", login=LoginView(state="", mode="authorization_code"), poison={},
        timers=tuple(replace(timer, started_at=None, by_timer_at=None) for timer in good.timers),
    )  # fmt: skip
    return {
        "first visit": settled(first),
        "healthy": settled(good),
        "login revoked": settled(replace(good, login=dead, business_central=None)),
        "client secret expired": settled(replace(good, login=secret, business_central=None)),
        "business central down": settled(replace(good, business_central=down)),
        "faults": settled(
            replace(
                good, streams=(broken, *good.streams[1:]), timers=timers, poison={"bc-pages-poison": 3},
                companies=(*good.companies, CompanyView(name="Contoso", id="", error=LONG)),
                subscriptions=(replace(good.subscriptions[0], state="failed", error=LONG), *good.subscriptions[1:]),
                orders_waiting=1, orders_parked=1, orders_rejected=1,
                orders=(
                    OrderView(key="SHOP-4711-" + "X" * 80, company="CRONUS", state="rejected", attempts=1, since=AT,
                              code="Application_DialogException"),
                    OrderView(key="SHOP-4712", company="CRONUS", state="parked", attempts=145, since=AT),
                    OrderView(key="SHOP-4713", company="CRONUS", state="waiting", attempts=2, since=AT),
                ),
                dead_letters=(DeadLetterView(id="bc-pages/abc", queue="bc-pages", since=AT, reason=LONG),),
            )
        ),
        "thirty companies": settled(healthy(30)),
    }  # fmt: skip
