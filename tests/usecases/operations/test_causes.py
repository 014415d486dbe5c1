"""Every cause of docs/causes.md is seeded, named by the doctor as the page says, and gone once the next step is taken.

A row is one cause: the doctor's line (`…` stands for what differs), its next step, and the page of the runbook, which
begins with the same line.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from business_central_emulator import Fault, FaultKind

from shared.connections.settings_reader import DEFAULTS, read_settings
from shared.dead_letters.dead_letter_store import DeadLetter
from shared.errors import (
    BCThrottled,
    BCUnavailable,
    BudgetExhausted,
    ConfigError,
    IntegrationError,
    StoreUnavailable,
    TokenError,
)
from shared.forwarding.forward_step import HELD
from shared.forwarding.waiting_batches import WaitingBatch
from shared.operations import doctor
from shared.operations.diagnosis import JAM, MOST_WEBHOOKS, UNREAD, HandshakeResult
from shared.operations.doctor import Instruments
from shared.operations.findings import Finding, Report
from shared.operations.poison_contents import Peeked
from shared.operations.status_view import LoginView
from shared.operations.timers import timers_of
from shared.orders.order_entry import OrderEntry
from shared.resource_names import QUEUE_EVENTS, QUEUE_ORDERS, SECRET_EVENTS
from tests.simulation.world import ENV, World
from tests.support.worlds import restart, small_world
from tests.unit.operations.test_token_claims import good, jwt
from tests.usecases.operations.test_doctor import instruments

DOCS: Final = Path(__file__).resolve().parents[3] / "docs"
PAGE: Final = (DOCS / "causes.md").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Row:
    """One row of the page."""

    code: str
    line: str
    do: str
    runbook: list[str]  # files in docs/


def _rows() -> dict[str, Row]:
    found = re.findall(r"(?m)^\| `([\w]+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", PAGE)
    return {code: Row(code, line, do, re.findall(r"\]\(([^)]+)\)", links)) for code, line, do, links in found}


ROWS: Final = _rows()


@dataclass
class Patient:
    """An app in its steady state, what the doctor looks with, and what mends it."""

    world: World = field(default_factory=small_world)
    look: Instruments = field(init=False)
    mend: Callable[[], object] = lambda: None  # the next step

    def __post_init__(self) -> None:
        self.look = instruments(self.world)

    def examine(self) -> Report:
        """What the doctor says now."""
        return doctor.examine(self.world.ctx, self.world.stores, self.look)

    def seeing(self, **changed: Any) -> None:
        """Let the doctor meet something; the next step ends it."""
        before = self.look
        self.look = replace(before, **changed)
        self.mend = lambda: setattr(self, "look", before)

    def failing(self, name: str, error: IntegrationError) -> None:
        """Let a call of Business Central's client fail."""
        held = getattr(self.world.ctx.bc, name)

        def fail(*_: object, **__: object) -> Any:
            raise error

        setattr(self.world.ctx.bc, name, fail)
        self.mend = lambda: setattr(self.world.ctx.bc, name, held)

    def fault(self, **what: Any) -> None:
        """Script a fault of Business Central's."""
        self.world.bc.faults.add(Fault(kind=FaultKind.SERVER_ERROR, times=None, **what))
        self.mend = self.world.bc.faults.clear


def _raises(error: Exception) -> Callable[..., Any]:
    def fail(*_: object) -> Any:
        raise error

    return fail


def _vault(error: str) -> Callable[[Patient], None]:
    def seed(patient: Patient) -> None:
        held, secrets = patient.world.secrets.read, patient.world.secrets
        secrets.read = _raises(StoreUnavailable(error))  # type: ignore[method-assign]  # in this world only
        patient.mend = lambda: setattr(secrets, "read", held)

    return seed


def _storage(error: str) -> Callable[[Patient], None]:
    def seed(patient: Patient) -> None:
        patient.world.point = _raises(StoreUnavailable(error))
        patient.mend = lambda: setattr(patient.world, "point", lambda _: None)

    return seed


def _login(error: TokenError) -> Callable[[Patient], None]:
    return lambda patient: patient.seeing(token=_raises(error))


def _claims(**changed: Any) -> Callable[[Patient], None]:
    def seed(patient: Patient) -> None:
        settings = patient.world.settings
        claims = good(patient.world.clock.now, **{"tid": None, "appid": settings.client_id, **changed})  # type: ignore[arg-type]
        patient.seeing(token=lambda: jwt(claims))

    return seed


def _handshake(**result: Any) -> Callable[[Patient], None]:
    return lambda patient: patient.seeing(handshake=lambda _: HandshakeResult(**result))


def _settings(**env: str) -> Callable[[Patient], None]:
    def seed(patient: Patient) -> None:
        restart(patient.world, **env)
        patient.mend = lambda: restart(patient.world, **{name: DEFAULTS[name] or "" for name in env})

    return seed


def _environment(patient: Patient, **env: str) -> None:
    patient.seeing(env={**ENV, **env})


def _secret_expires(patient: Patient) -> None:
    restart(patient.world, BC_AUTH_MODE="client_secret")
    patient.mend = lambda: patient.world.secrets.write("bc-client-secret", "a new one")


def _log_line(details: str) -> Callable[[Patient], None]:
    from shared.business_central.port import WebhookLogLine  # noqa: PLC0415 - two causes only

    def seed(patient: Patient) -> None:
        bc = patient.world.ctx.bc
        line = WebhookLogLine(
            at=patient.world.clock.now(), failed=True, message="Notification failed.", details=details
        )
        bc.webhook_logs = lambda _: [line]  # type: ignore[method-assign,assignment]  # the emulator's log is empty
        patient.mend = lambda: setattr(bc, "webhook_logs", lambda _: [])

    return seed


def _entity_misspelt(patient: Patient) -> None:
    """A restart with another set of settings, and back; what was read of them is kept for five minutes."""
    restart(patient.world, BC_ENTITIES='[{"entitySet": "custmers"}]')
    patient.world.run_timer("reconcile")
    patient.mend = lambda: restart(patient.world, BC_ENTITIES="")


def _webhooks_gone(patient: Patient) -> None:
    for record in list(patient.world.bc.environment.subscriptions):
        patient.world.bc.delete_subscription_silently(record.id)
    patient.mend = lambda: _run(patient, "keep_subscriptions")


def _run(patient: Patient, *timers: str) -> None:
    for timer in timers:
        patient.world.run_timer(timer)
        patient.world.drain()


def _webhooks_old(patient: Patient) -> None:
    patient.world.clock.advance(50 * 3600)
    patient.mend = lambda: _run(patient, "keep_subscriptions")


def _webhooks_full(patient: Patient) -> None:
    bc = patient.world.ctx.bc
    held = bc.subscriptions()
    others = [replace(held[0], subscription_id=f"{n}", url=f"https://other.example/{n}") for n in range(MOST_WEBHOOKS)]
    setattr(bc, "subscriptions", lambda _: [*held, *others])  # noqa: B010 - the emulator takes no more either
    patient.mend = lambda: setattr(bc, "subscriptions", lambda _: held)


def _silence(patient: Patient) -> None:
    patient.world.clock.advance(2 * 3600)
    patient.mend = lambda: _run(patient, "pull_items", "reconcile")


def _never(patient: Patient) -> None:
    patient.world.bc.add_company("A new company")

    def a_quarter_later() -> None:
        patient.world.clock.advance(15 * 60)
        _run(patient, "pull_items", "reconcile")

    patient.mend = a_quarter_later


def _timer(fault: str) -> Callable[[Patient], None]:
    env = {name: value for name, value in DEFAULTS.items() if value}
    return lambda patient: patient.seeing(timers=timers_of({**env, "BC_RECONCILE_SCHEDULE": fault}))


def _timers_stopped(patient: Patient) -> None:
    patient.world.clock.advance(40 * 60)
    patient.mend = lambda: _run(patient, "keep_subscriptions", "pull_items", "reconcile", "retry_sales_orders")


def _clock_ahead(patient: Patient) -> None:
    ctx, now = patient.world.ctx, patient.world.clock.now
    for number, host in enumerate(patient.world.hosts):
        patient.world.hosts[number] = replace(host, now=lambda: now() + timedelta(minutes=30))
    patient.mend = lambda: patient.world.hosts.__setitem__(slice(None), [replace(ctx, now=now)] * 3)


def _stream_fails(patient: Patient) -> None:
    patient.fault(status=403, match=r"GET .*/items\?")
    _run(patient, "pull_items")

    def mend() -> None:
        patient.world.bc.faults.clear()
        patient.world.clock.advance(15 * 60)
        _run(patient, "keep_subscriptions", "pull_items", "reconcile", "retry_sales_orders")

    patient.mend = mend


def _order(status: str, code: str) -> Callable[[Patient], None]:
    def seed(patient: Patient) -> None:
        orders, company = patient.world.stores.orders, patient.world.bc.company().id
        entry = OrderEntry(
            key="WEB-1", company=company, status=status, message=b"{}", error_code=code, error="said so",  # type: ignore[arg-type]
        )  # fmt: skip
        kept = orders.save(entry)
        patient.mend = lambda: orders.forget(kept)

    return seed


def _dead_letter(patient: Patient) -> None:
    letters, now = patient.world.stores.dead_letters, patient.world.clock.now()
    letters.add(
        DeadLetter(queue="bc-pages", name="j-1", body=b"{}", reason="it broke", since=now), retryable=False, now=now
    )
    patient.mend = lambda: letters.done("bc-pages", "j-1", now=now)


def _poison(taken: int, minutes: int) -> Callable[[Patient], None]:
    def seed(patient: Patient) -> None:
        put_at = patient.world.clock.now() - timedelta(minutes=minutes)
        message = Peeked(message_id="m-1", body=b'{"orderKey": "WEB-1", "order": {}}', put_at=put_at, taken=taken)
        patient.seeing(depth={f"{QUEUE_ORDERS}-poison": 1}.get, peek=lambda _: [message])

    return seed


def _unread(age: timedelta) -> Callable[[Patient], None]:
    def seed(patient: Patient) -> None:
        message = Peeked(message_id="m-1", body=b"[]", put_at=patient.world.clock.now() - age, taken=0)
        patient.seeing(depth={QUEUE_EVENTS: 3}.get, peek=lambda _: [message])

    return seed


def _hangs(check: str) -> Callable[[Patient], None]:
    import threading  # noqa: PLC0415 - of these only

    def seed(patient: Patient) -> None:
        gate = threading.Event()
        held = doctor.LIMITS_S[check]
        doctor.LIMITS_S[check] = 0.1

        def hang(*_: object, **__: object) -> Any:
            gate.wait(20)
            raise BCUnavailable("hung up", code="network")

        if check == "queues":
            patient.seeing(depth=hang)
        else:
            patient.world.ctx.companies.forget()
            bc, companies = patient.world.ctx.bc, patient.world.ctx.bc.companies
            bc.companies = hang  # type: ignore[method-assign]  # the emulator never hangs for good
            patient.mend = lambda: setattr(bc, "companies", companies)
        mend = patient.mend

        def end() -> None:
            doctor.LIMITS_S[check] = held
            gate.set()
            mend()

        patient.mend = end

    return seed


#: Cause -> how an app falls ill with it. `refused` stands for the whole report of an app with wrong settings.
def _events_wait(cause: str) -> Callable[[Patient], None]:
    def seed(patient: Patient) -> None:
        world = patient.world
        world.secrets.values[SECRET_EVENTS] = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
        restart(world, BC_EVENTS_TO="https://hooks.example/in")
        since = world.clock.now() - timedelta(hours=1)
        batch = WaitingBatch(name="m-1", message="[]", since=since, cause=cause, next_try_at=world.clock.now())
        stored = world.stores.batches.save(batch, None)
        patient.mend = lambda: world.stores.batches.done(stored)

    return seed


SEEDS: Final[dict[str, Callable[[Patient], None]]] = {
    "entity_refused": _entity_misspelt,
    "setting_unknown": lambda patient: _environment(patient, BC_PULL_ITEM_VARIANT="false"),
    "setting_placeholder": lambda patient: _environment(patient, KEY_VAULT_URL="https://your-vault.vault.azure.net"),
    "client_secret_missing": _secret_expires,
    "vault_refuses": _vault("Key Vault: 403 ForbiddenByRbac"),
    "vault_unreachable": _vault("Key Vault: ServiceRequestError"),
    "storage_refuses": _storage("Table Storage: 403 AuthorizationPermissionMismatch"),
    "storage_unreachable": _storage("Table Storage: ServiceRequestError"),
    "login_login_required": _login(TokenError("nobody has signed in", code="login_required")),
    "login_AADSTS50173": _login(TokenError("invalid_grant: AADSTS50173: revoked", code="invalid_grant")),
    "login_AADSTS700082": _login(TokenError("invalid_grant: AADSTS700082: inactive", code="invalid_grant")),
    "login_AADSTS50076": _login(TokenError("interaction_required: AADSTS50076: mfa", code="interaction_required")),
    "login_AADSTS7000222": _login(TokenError("invalid_client: AADSTS7000222: expired", code="invalid_client")),
    "login_AADSTS7000215": _login(TokenError("invalid_client: AADSTS7000215: wrong", code="invalid_client")),
    "login_AADSTS65001": _login(TokenError("invalid_grant: AADSTS65001: no consent", code="invalid_grant")),
    "login_AADSTS700016": _login(TokenError("unauthorized_client: AADSTS700016: unknown", code="unauthorized_client")),
    "login_AADSTS90002": _login(TokenError("invalid_request: AADSTS90002: no tenant", code="invalid_request")),
    "login_unavailable": _login(TokenError("no answer", code="login_unreachable", retryable=True)),
    "reader_refused": lambda patient: patient.seeing(
        reader=lambda: LoginView(
            state="needed", mode="client_secret", code="client_secret_missing", reason="the vault holds no secret"
        )
    ),
    "token_audience": _claims(aud="https://graph.microsoft.com"),
    "token_permissions": _claims(scp="User.Read"),
    "bc_unreachable": lambda patient: patient.failing("companies", BCUnavailable("ConnectTimeout")),
    "bc_down": lambda patient: patient.failing("companies", BCUnavailable("maintenance", status=503)),
    "bc_throttled": lambda patient: patient.failing("companies", BCThrottled("too many", status=429)),
    "budget_busy": lambda patient: patient.failing("companies", BudgetExhausted("no slot in 60 s")),
    "bc_environment": lambda patient: patient.fault(status=404, match=r"GET .*/companies"),
    "bc_refuses_login": lambda patient: patient.fault(status=401, match=r"GET .*/companies"),
    "bc_permission": lambda patient: patient.fault(status=403, match=r"GET .*/companies"),
    "business_central_hangs": _hangs("business_central"),
    "queues_hangs": _hangs("queues"),
    "company_unknown": _settings(BC_COMPANIES="Nowhere Ltd."),
    "entity_not_permitted": lambda patient: patient.fault(status=403, match=r"GET .*/salesShipments\?"),
    "entity_missing": lambda patient: patient.fault(status=404, match=r"GET .*/salesShipments\?"),
    "clock_skew": _clock_ahead,
    "webhook_missing": _webhooks_gone,
    "webhook_not_renewed": _webhooks_old,
    "webhook_limit": _webhooks_full,
    "bc_log_rejected": _log_line("Notification URL: https://a.example/x. Response code 404."),
    "bc_log_retried": _log_line("Notification URL: https://a.example/x. Response code 503."),
    "public_url_unreachable": _handshake(error="ConnectionError"),
    "public_url_other": _handshake(status=404),
    "public_url_restricted": _handshake(status=403),
    "public_url_slow": _handshake(status=200, is_exact=True, took_s=6.0),
    "poison_idle": _poison(0, 30),
    "poison_fails": _poison(7, 30),
    "queue_jam": lambda patient: patient.seeing(depth={QUEUE_ORDERS: JAM + 1}.get),
    "output_unread": lambda patient: patient.seeing(depth={QUEUE_EVENTS: UNREAD + 1}.get),
    "output_old": _unread(timedelta(days=2)),
    "timer_left_out": _timer("hourly"),
    "timer_stopped": _timers_stopped,
    "run_stale": _silence,
    "run_never": _never,
    "run_failed": _stream_fails,
    "order_parked": _order("parked", "outcome_unknown"),
    "order_rejected": _order("rejected", "Application_DialogException"),
    "dead_letter": _dead_letter,
    **{
        f"events_{cause}": _events_wait(cause)
        for cause in sorted(HELD | {"network", "unavailable", "throttled", "vault"})
    },
}


def _matches(pattern: str, text: str) -> bool:
    parts = [re.escape(part) for part in pattern.strip().split("…")]
    return re.fullmatch(".*".join(parts), text, re.DOTALL) is not None


def _named(report: Report, code: str) -> list[Finding]:
    return [found for found in report.findings if found.code == code]


def test_the_page_lists_every_cause_that_is_seeded_and_no_other() -> None:
    """Wrong settings are seeded by themselves; more than twenty causes are promised."""
    assert set(ROWS) == {*SEEDS, "setting_wrong"}
    assert len(ROWS) > 20


@pytest.mark.parametrize("code", sorted(SEEDS))
def test_a_cause_is_named_with_its_next_step_and_gone_once_that_is_taken(code: str) -> None:
    """One line for it, the words of the page, and after the next step no more of it."""
    patient, row = Patient(), ROWS[code]
    assert not _named(patient.examine(), code)
    SEEDS[code](patient)
    try:
        found = _named(patient.examine(), code)
        assert found, f"{code} is not named"
        assert len({(one.seen, one.cause) for one in found}) == len(found), "said twice"
        assert _matches(row.line, found[0].seen), f"the page says: {row.line}\nthe doctor: {found[0].seen}"
        assert _matches(row.do, found[0].do), f"the page says: {row.do}\nthe doctor: {found[0].do}"
    finally:
        patient.mend()
    assert not _named(patient.examine(), code)


def test_wrong_settings_are_named_and_gone_once_corrected() -> None:
    """They are the whole report: one line a setting."""
    with pytest.raises(ConfigError) as refused:
        read_settings({**ENV, "BC_CLIENT_ID": "my app"})
    report = doctor.refused(refused.value, small_world().clock.now(), {})
    (found,) = _named(report, "setting_wrong")
    assert _matches(ROWS["setting_wrong"].line, found.seen)
    assert _matches(ROWS["setting_wrong"].do, found.do)
    assert read_settings(ENV)


def test_each_page_of_the_runbook_begins_with_the_doctors_lines_for_it() -> None:
    """So that whoever has the doctor's line finds the page, and the other way round."""
    for path in sorted((DOCS / "runbook").glob("*.md")):
        told = [f"`{row.code}`: {row.line}" for row in ROWS.values() if f"runbook/{path.name}" in row.runbook]
        page = path.read_text(encoding="utf-8")
        head = page.partition("\nAlert `")[0]
        listed = re.findall(r"(?m)^- (`\w+`: .+)$", head)
        assert listed == told, path.name
        assert told or "The doctor has no line for it" in head, path.name


def test_every_cause_leads_to_a_page_that_is_there() -> None:
    """No row without a way on."""
    for row in ROWS.values():
        assert row.runbook, row.code
        assert all((DOCS / name).is_file() for name in row.runbook), row.code
