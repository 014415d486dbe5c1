"""The doctor over the app's own code and the emulator, in one process: what it names, and that it never raises."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from business_central_emulator import Fault, FaultKind

from shared.business_central.port import WebhookLogLine
from shared.connections.settings_reader import DEFAULTS
from shared.errors import ConfigError, StoreUnavailable, TokenError
from shared.operations import doctor
from shared.operations.diagnosis import JAM, MOST_WEBHOOKS, UNREAD, HandshakeResult
from shared.operations.doctor import Instruments
from shared.operations.findings import Report, Severity
from shared.operations.status_view import LoginView
from shared.operations.timers import timers_of
from shared.resource_names import QUEUE_EVENTS, QUEUE_ORDERS, QUEUE_PAGES, SECRET_WEBHOOK
from shared.webhooks.notes import WebhookNote
from tests.simulation.world import World
from tests.support.worlds import restart, small_world
from tests.unit.operations.test_token_claims import good, jwt

GOOD_HANDSHAKE = HandshakeResult(status=200, is_exact=True, took_s=0.02)


def instruments(
    world: World, handshake: HandshakeResult = GOOD_HANDSHAKE, depths: dict[str, int | None] | None = None
) -> Instruments:
    """Instruments that find everything in order, but for what the test says."""
    claims = good(world.clock.now, tid=None, appid=world.settings.client_id)  # type: ignore[arg-type]  # any clock
    return Instruments(
        token=lambda: jwt(claims),
        login=lambda: LoginView(state="ok", mode="authorization_code", user="megan@lmints.io"),
        handshake=lambda _: handshake,
        depth=(depths or {}).get,
    )


def examine(
    world: World, handshake: HandshakeResult = GOOD_HANDSHAKE, depths: dict[str, int | None] | None = None
) -> Report:
    """What the doctor says of a world."""
    return doctor.examine(world.ctx, world.stores, instruments(world, handshake, depths))


def codes(report: Report) -> set[str]:
    """What is called wrong."""
    return {found.code for found in report.findings if found.severity in {Severity.WARNING, Severity.ERROR}}


@pytest.fixture
def world() -> World:
    """An app in its steady state."""
    return small_world()


def test_an_app_in_its_steady_state_is_healthy(world: World) -> None:
    """Nothing is wrong, and looking changed nothing: no job, no row, no webhook."""
    rows = len(list(world.bc.environment.subscriptions))
    report = examine(world)
    assert report.is_healthy, codes(report)
    assert len(list(world.bc.environment.subscriptions)) == rows
    assert world.drain() == 0


def test_a_look_costs_a_bounded_number_of_requests(world: World) -> None:
    """Two companies: a list or two, six looks at each, one for the webhooks."""
    before = world.bc.statistics()["requests"]
    examine(world)
    assert world.bc.statistics()["requests"] - before <= 3 + 2 * 6


def test_of_many_companies_ten_are_looked_at_in_detail(world: World) -> None:
    """And the report says so."""
    for number in range(12):
        world.bc.add_company(f"Company {number}")
    before = world.bc.statistics()["requests"]
    report = examine(world)
    assert "companies_cut" in {found.code for found in report.findings}
    assert world.bc.statistics()["requests"] - before <= 3 + 10 * 6 + 14


def test_a_clock_that_is_wrong_is_named(world: World) -> None:
    """Business Central's own time comes with its answers."""
    now: Callable[[], datetime] = world.clock.now
    report = doctor.examine(
        replace(world.ctx, now=lambda: now() + timedelta(minutes=30)), world.stores, instruments(world)
    )
    assert "clock_skew" in codes(report)


def test_a_stale_reconcile_is_named(world: World) -> None:
    """A timer that stopped an hour ago shows in the time of the last read."""
    world.clock.advance(2 * 3600)
    assert "run_stale" in codes(examine(world))


def test_a_webhook_that_nobody_renews_is_named(world: World) -> None:
    """Older than 48 hours and still there: a warning before it is lost."""
    world.clock.advance(50 * 3600)
    report = examine(world)
    assert "webhook_not_renewed" in codes(report)
    assert "webhook_missing" not in codes(report)


def test_why_a_webhook_could_not_be_made_is_repeated(world: World) -> None:
    """The reason that the last attempt left behind is the cause."""
    company = world.bc.company().id
    for record in list(world.bc.environment.subscriptions):
        world.bc.delete_subscription_silently(record.id)
    note = WebhookNote(company=company, entity="items", status="failed", error="register: 400 handshake refused")
    world.stores.notes.save(note)
    causes = [found.cause for found in examine(world).findings if found.code == "webhook_missing"]
    assert len(causes) == 2  # one a cause, not one a webhook
    assert sum("handshake refused" in cause for cause in causes) == 1


def test_a_vault_without_webhook_secret_is_noted(world: World) -> None:
    """Before keep_subscriptions has run there is none, and no webhook either."""
    world.secrets.values.pop(SECRET_WEBHOOK)
    found = {found.code for found in examine(world).findings}
    assert {"webhook_secret_missing", "webhook_missing"} <= found


def test_an_app_only_mode_without_its_secret_goes_no_further(world: World) -> None:
    """The missing client secret is named, and no login is tried."""
    restart(world, BC_AUTH_MODE="client_secret")
    report = doctor.examine(
        world.ctx, world.stores, replace(instruments(world), token=lambda: pytest.fail("asked for a token"))
    )
    assert "client_secret_missing" in codes(report)


def test_a_company_that_nobody_may_open_is_named(world: World) -> None:
    """A name that matches nothing is told with the names there are."""
    restart(world, BC_COMPANIES="Nowhere Ltd.")
    (found,) = [found for found in examine(world).findings if found.code == "company_unknown"]
    assert world.bc.company().name in found.cause


@pytest.mark.parametrize(
    ("status", "body", "code"), [(403, "json", "entity_not_permitted"), (404, "json", "entity_missing")]
)
def test_an_entity_that_cannot_be_read_is_named(world: World, status: int, body: str, code: str) -> None:
    """Per entity and company; the others are looked at all the same."""
    company = world.bc.company().id
    match = rf"GET .*{company}\)/salesShipments\?"
    world.bc.faults.add(Fault(kind=FaultKind.SERVER_ERROR, status=status, body=body, match=match, times=None))
    found = [found for found in examine(world).findings if found.check == "permissions"]
    assert [one.code for one in found if one.severity is Severity.ERROR] == [code]
    assert any("7 of 8 entities" in one.seen for one in found)


def test_when_business_central_stops_answering_in_the_middle_the_rest_is_not_tried(world: World) -> None:
    """One finding, not one per entity; queues and runs are still judged."""
    fault = Fault(kind=FaultKind.UNAVAILABLE, match=r"GET .*companies\(", times=None)
    world.bc.faults.add(fault)
    report = examine(world)
    assert [found.code for found in report.findings if found.check == "permissions"] == ["bc_down"]
    assert {"queues", "runs", "dead_letters"} <= {found.check for found in report.findings}


def test_without_a_login_the_public_address_and_the_queues_are_still_looked_at(world: World) -> None:
    """What does not depend on the login is not hidden by it."""

    def token() -> str:
        raise TokenError("nobody has signed in", code="login_required")

    report = doctor.examine(world.ctx, world.stores, replace(instruments(world), token=token))
    checks = [found.check for found in report.findings]
    assert checks[2] == "login"
    assert {"public_url", "queues", "runs", "dead_letters"} <= set(checks)


def test_storage_that_does_not_answer_is_a_finding(world: World) -> None:
    """The doctor itself never fails."""

    def down(_: str) -> None:
        raise StoreUnavailable("Table Storage: 403 AuthorizationFailure")

    world.point = down
    assert "storage_refuses" in codes(examine(world))


@pytest.mark.parametrize(
    ("handshake", "code"),
    [
        (HandshakeResult(error="ConnectionError"), "public_url_unreachable"),
        (HandshakeResult(status=404), "public_url_other"),
        (HandshakeResult(status=200, is_exact=False), "public_url_other"),
        (HandshakeResult(status=302), "public_url_other"),
        (HandshakeResult(status=403), "public_url_restricted"),
        (HandshakeResult(status=200, is_exact=True, took_s=6.0), "public_url_slow"),
    ],
)
def test_a_public_address_that_does_not_shake_hands_is_named(
    world: World, handshake: HandshakeResult, code: str
) -> None:
    """Each way in which a handshake goes wrong has its own cause."""
    assert code in codes(examine(world, handshake))


@pytest.mark.parametrize(
    ("queue", "depth", "code"),
    [
        (f"{QUEUE_PAGES}-poison", 1, "poison_waits"),
        (QUEUE_ORDERS, JAM + 1, "queue_jam"),
        (QUEUE_EVENTS, UNREAD + 1, "output_unread"),
    ],
)
def test_a_queue_that_grows_is_named(world: World, queue: str, depth: int, code: str) -> None:
    """A poison queue at its first message, a work queue when it jams, an output queue much later."""
    assert codes(examine(world, depths={queue: depth})) == {code}
    assert codes(examine(world, depths={queue: depth - 1})) == set()


@pytest.mark.parametrize(
    ("details", "code"),
    [
        ("Notification URL: https://a.example/api/bc/notifications/4040. Response code 404.", "bc_log_rejected"),
        ("Notification URL: https://a.example/404. Response code 503.", "bc_log_retried"),
        ("Notification URL: https://a.example/404. No response.", "bc_log_retried"),
    ],
)
def test_business_centrals_own_log_is_read(
    world: World, monkeypatch: pytest.MonkeyPatch, details: str, code: str
) -> None:
    """A refusal and an outage are told apart; digits of the address mislead nobody, and it is not shown."""
    line = WebhookLogLine(at=world.clock.now(), failed=True, message="Notification failed.", details=details)
    monkeypatch.setattr(world.ctx.bc, "webhook_logs", lambda _: [line])
    report = examine(world)
    assert code in codes(report)
    assert not [found for found in report.findings if "a.example" in found.seen + found.cause]


def test_old_lines_of_the_log_are_forgotten(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was wrong two days ago is not told."""
    at = world.clock.now() - timedelta(days=2)
    line = WebhookLogLine(at=at, failed=True, message="Notification failed.", details="Response code 404.")
    monkeypatch.setattr(world.ctx.bc, "webhook_logs", lambda _: [line])
    assert examine(world).is_healthy


def test_an_environment_full_of_webhooks_is_named(world: World) -> None:
    """Business Central holds 200; others may have made them."""
    held = world.ctx.bc.subscriptions()
    others = [replace(held[0], subscription_id=f"{n}", url=f"https://other.example/{n}") for n in range(MOST_WEBHOOKS)]
    setattr(world.ctx.bc, "subscriptions", lambda _: [*held, *others])  # noqa: B010 - as above
    assert codes(examine(world)) == {"webhook_limit"}


def test_wrong_settings_are_the_whole_report(world: World) -> None:
    """Without settings there is nothing else to look at."""
    report = doctor.refused(ConfigError({"BC_CLIENT_ID": "is required"}), world.clock.now(), {})
    assert [found.code for found in report.findings] == ["setting_wrong"]


def test_a_schedule_that_cannot_be_read_is_named(world: World) -> None:
    """The host leaves the function out without a word; the finding names setting and function."""
    timers = timers_of(
        {**{name: value for name, value in DEFAULTS.items() if value}, "BC_RECONCILE_SCHEDULE": "hourly"}
    )
    report = doctor.examine(world.ctx, world.stores, replace(instruments(world), timers=timers))
    (found,) = [found for found in report.findings if found.code == "timer_left_out"]
    assert "reconcile does not run: its schedule BC_RECONCILE_SCHEDULE can't be read" in found.seen


def test_an_answer_comes_in_time_whatever_hangs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Vault, login, queues, tables and the public address take the call and say nothing: each is named, within 12 s.

    Here at a tenth of the limits. Today's users waited 230 s in silence when storage hung.
    """
    longest = sum(doctor.LIMITS_S[name] for name in ("vault", "login", "business_central", "webhooks"))
    assert max(longest, *doctor.LIMITS_S.values()) <= 12
    monkeypatch.setattr(doctor, "LIMITS_S", {name: limit / 20 for name, limit in doctor.LIMITS_S.items()})
    gate = threading.Event()

    def hang(*_: object) -> Any:
        gate.wait(20)

    monkeypatch.setattr(world.secrets, "read", hang)
    hanging = Instruments(token=hang, login=hang, handshake=hang, depth=hang)
    began = time.monotonic()
    report = doctor.examine(replace(world.ctx, threads=4), world.stores, hanging)
    took_s = time.monotonic() - began
    gate.set()
    assert {"vault_hangs", "queues_hangs", "public_url_hangs", "runs_hangs"} <= codes(report)
    assert took_s < 2


@pytest.mark.parametrize("check", ["login", "business_central", "webhooks", "permissions", "bc_log"])
def test_each_check_has_a_limit_of_its_own(world: World, monkeypatch: pytest.MonkeyPatch, check: str) -> None:
    """What hangs alone is named alone; what does not depend on it is looked at."""
    gate = threading.Event()
    monkeypatch.setitem(doctor.LIMITS_S, check, 0.2)

    def hang(*_: object, **__: object) -> Any:
        gate.wait(20)

    place = {
        "business_central": "companies",
        "webhooks": "subscriptions",
        "permissions": "probe",
        "bc_log": "webhook_logs",
    }
    if check != "login":
        world.ctx.companies.forget()
        monkeypatch.setattr(world.ctx.bc, place[check], hang)
    look = instruments(world)
    report = doctor.examine(world.ctx, world.stores, replace(look, token=hang) if check == "login" else look)
    gate.set()
    assert f"{check}_hangs" in codes(report)
    assert {"queues", "orders"} <= {found.check for found in report.findings if not found.is_wrong}


def test_one_cause_is_one_line_though_thirty_companies_meet_it(world: World) -> None:
    """Business Central gives every answer an id of its own, which makes no cause of its own."""
    for number in range(28):
        world.bc.add_company(f"Company {number}")
    for host in world.hosts:
        host.companies.forget()
    world.run_timer("reconcile")
    world.drain()
    world.clock.advance(15 * 60)
    world.bc.faults.add(Fault(kind=FaultKind.SERVER_ERROR, status=403, match=r"GET .*companies\(", times=None))
    world.bc.faults.add(Fault(kind=FaultKind.SERVER_ERROR, status=400, match="POST .*/subscriptions", times=None))
    for timer in ("reconcile", "pull_items", "keep_subscriptions"):
        world.run_timer(timer)
        world.drain()
    found = [one for one in examine(world).findings if one.is_wrong]
    assert len({(one.check, one.code) for one in found}) == len(found), [one.seen for one in found]
    assert {"entity_not_permitted", "webhook_missing", "run_failed"} <= {one.code for one in found}


def test_storage_that_several_checks_run_into_is_one_line(world: World) -> None:
    """The first of them says it."""

    def down(_: str) -> None:
        raise StoreUnavailable("Table Storage: ServiceRequestError")

    world.point = down
    found = [one.code for one in examine(world).findings if one.is_wrong]
    assert found.count("storage_unreachable") == 1
