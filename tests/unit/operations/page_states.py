"""Views of the connect page in every state that a person can meet, for the tests and for pictures."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

from shared.business_central.entities import ENTITIES
from shared.errors import BCUnavailable
from shared.operations.connection_health import health_of
from shared.operations.failures import explain
from shared.operations.find import Announced, Found, InBusinessCentral, RecordStory
from shared.operations.findings import fine
from shared.operations.status_view import (
    CompanyView,
    CountView,
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
from shared.operations.view_findings import findings
from tests.unit.operations.test_connect_html import AT

LONG: str = "[b5a0] 400 Application_DialogException: " + "The field cannot be found in the related table. " * 6


def settled(view: StatusView) -> StatusView:
    """The view with its findings, as `status.view` makes it."""
    found = findings(view)
    return replace(view, findings=found, health=health_of(found).word)


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
        activity=tuple(_counts(names)), last_event=AT - timedelta(minutes=3), last_order=AT - timedelta(hours=2),
    )  # fmt: skip


def _counts(names: list[str]) -> Iterator[CountView]:
    """Seven days: little at night, much at noon, and an hour in which Business Central was busy."""
    for back in range(7 * 24):
        hour = AT - timedelta(hours=back)
        busy = max(0, 8 - abs(hour.hour - 13)) * (1 if hour.weekday() < 5 else 0)
        for number, name in enumerate(names[:3] if busy else ()):
            yield CountView(hour=hour, company=name, entity="items", counts={"announced": busy * (number + 1)})
        counts = {"requests": 12 + busy * 9, **({"rejected": 2, "throttled": 5} if back in {20, 21} else {})}
        yield CountView(hour=hour, company="", entity="", counts={**counts, **({"created": busy} if busy else {})})


def _order(number: int, state: str, reason: str, cause: str, **more: Any) -> OrderView:
    return OrderView(
        key=f"SHOP-{4711 + number}", company="CRONUS 0 International Ltd.", company_id="c0", state=state,
        attempts=1 + number, since=AT - timedelta(hours=number), reason=reason, cause=cause, **more,
    )  # fmt: skip


def orders_in_need() -> StatusView:
    """Orders of every kind: several of one cause, one that a redrive can't help, parked, waiting, dismissed."""
    customer = "The field Sell-to Customer No. of table Sales Header contains a value (NOBODY) that cannot be found."
    orders = (
        *(_order(n, "rejected", customer, "a1", code="Application_DialogException") for n in range(6)),
        _order(6, "rejected", "orderDate: must be a date such as 2026-03-04", "b2", code="InvalidMessage",
               no_redrive="Trying again can't help: the message itself is wrong. Its sender sends it anew."),
        _order(7, "parked", "503: the environment is being updated", "c3", code="network"),
        _order(8, "waiting", "503: the environment is being updated", ""),
        _order(9, "rejected", customer, "a1", is_dismissed=True),
    )  # fmt: skip
    return replace(
        healthy(),
        orders=orders,
        orders_waiting=1,
        orders_parked=1,
        orders_rejected=57,
        orders_dismissed=1,
        order_causes={"a1": 56, "b2": 1, "c3": 1},
    )


def found_something() -> Found:
    """An order that was created after a doubt, and a record that was announced."""
    said = InBusinessCentral(is_there=True, number="1001", status="Open", modified=AT - timedelta(minutes=50))
    order = {
        "orderKey": "SO-1", "company": "c0", "status": "created", "id": "x", "number": "101001", "attempts": 2,
        "externalDocumentNumber": "SO-1", "firstSeen": AT - timedelta(hours=1), "lastPost": AT - timedelta(minutes=51),
        "outcomeUnknown": False, "nextTry": None, "isErased": False, "error": None, "correlationId": "5f2a",
        "businessCentral": said,
    }  # fmt: skip
    event = Announced(type="bc.item.created.v1", event_id="e" * 64, job="j-1", at=AT - timedelta(minutes=49))
    record = RecordStory(
        company="c0", company_name="CRONUS 0 International Ltd.", entity="items",
        id="7b1c4a52-91d3-f011-8d4c-6045bd1a2c01", in_snapshot=True, announced=(event,), business_central=said,
    )  # fmt: skip
    return Found(key="SO-1", at=AT, orders=(order,), records=(record,), dead_letters=("sales-orders/m-1",))


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
                              code="Application_DialogException", reason="Y" * 300),
                    OrderView(key="SHOP-4712", company="CRONUS", state="parked", attempts=145, since=AT),
                    OrderView(key="SHOP-4713", company="CRONUS", state="waiting", attempts=2, since=AT),
                ),
                dead_letters=(DeadLetterView(id="bc-pages/abc", queue="bc-pages", since=AT, reason=LONG),),
            )
        ),
        "orders in need": settled(orders_in_need()),
        "at work": settled(replace(good, streams=(replace(good.streams[0], state="running"), *good.streams[1:]))),
        "thirty companies": settled(healthy(30)),
    }  # fmt: skip
