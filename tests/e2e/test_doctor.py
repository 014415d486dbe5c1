"""The doctor on the whole local stack: causes are seeded one by one, and it names each; asked through its command."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from local.stack.demo import COMPANY, USER, Demo
from local.stack.ports import choose
from local.stack.stack import ROOT, Stack
from shared import resource_names

pytestmark = pytest.mark.e2e


@dataclass
class Patient:
    """A stack, what the doctor said of it at each stage of its life, and the ways to make it ill."""

    stack: Stack
    demo: Demo
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)

    def examine(self) -> dict[str, Any]:
        """Run the command as an operator does; its exit code must agree with what it prints."""
        command = [sys.executable, str(ROOT / "scripts" / "doctor.py"), self.stack.public_url, "--json"]
        ended = subprocess.run(
            [*command, "--ca-bundle", str(self.stack.ca_file)], capture_output=True, text=True, timeout=120, check=False
        )
        assert ended.stderr == ""
        report: dict[str, Any] = json.loads(ended.stdout)
        assert ended.returncode == (0 if report["is_healthy"] else 1)
        return report

    def control(self, origin: str, method: str, path: str, **fields: Any) -> Any:
        answer = self.demo.http.request(method, f"{origin}/_emulator/{path}", json=fields, timeout=30)
        answer.raise_for_status()
        return answer.json() if answer.content else {}

    @contextmanager
    def restarted(self, **env: str) -> Iterator[None]:
        """A host with other settings, and afterwards the old ones."""
        self.stack.stop_host()
        self.stack.start_host(env)
        try:
            yield
        finally:
            self.stack.stop_host()
            self.stack.start_host()


def codes(report: dict[str, Any]) -> set[str]:
    """The causes a report names, those that need nothing left out."""
    return {found["code"] for found in report["findings"] if found["severity"] in {"warning", "error"}}


def named(report: dict[str, Any], code: str) -> dict[str, Any]:
    """The first finding of a cause; it says what was seen, why, and what to do."""
    found = [one for one in report["findings"] if one["code"] == code]
    assert found, f"{code} is not among {sorted(codes(report))}"
    first: dict[str, Any] = found[0]
    assert first["seen"]
    assert first["cause"]
    assert first["do"]
    return first


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patient]:
    """A stack brought from empty to healthy, examined on the way. Its environment has no webhook for shipments."""
    options = ("--without-webhook", "salesShipments")
    folder = tmp_path_factory.mktemp("doctor")
    with Stack(folder, host="embedded", webhook_delay_s=0.2, business_central_options=options) as stack:
        patient = Patient(stack, Demo(stack, say=lambda _: None))
        patient.stages["empty"] = patient.examine()
        patient.control(stack.login_url, "POST", "settings", token_lifetime_s=1)
        patient.demo.log_in()
        patient.control(stack.login_url, "POST", "revoke", user=USER)
        until(lambda: any("AADSTS50173" in code for code in codes(patient.examine())), "the token's end")
        patient.stages["revoked"] = patient.examine()
        patient.control(stack.login_url, "POST", "settings", token_lifetime_s=3600)
        patient.demo.log_in()
        patient.stages["signed in"] = patient.examine()
        patient.demo.take_baseline()
        patient.demo.pull_items()
        patient.demo._run("keep_subscriptions")
        until(lambda: len(patient.demo._subscriptions()) == 4, "the webhooks")
        until(lambda: "run_never" not in codes(patient.examine()), "the end of the pull")
        patient.stages["healthy"] = patient.examine()
        yield patient


def until(done: Callable[[], Any], what: str, patience_s: float = 30.0) -> Any:
    """Wait for something that processes elsewhere bring about."""
    deadline = time.monotonic() + patience_s
    while not (found := done()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.1)
    return found


def test_a_healthy_app_gets_a_clean_bill(patient: Patient) -> None:
    """With everything in order nothing is called wrong, and every check has been made."""
    report = patient.stages["healthy"]
    assert codes(report) == set()
    assert {found["check"] for found in report["findings"]} == {
        "settings", "vault", "login", "token", "business_central", "companies", "permissions", "clock", "webhooks",
        "public_url", "queues", "timers", "runs", "orders", "dead_letters", "bc_log",
        "entities",
    }  # fmt: skip


def test_no_secret_and_no_notification_address_is_shown(patient: Patient) -> None:
    """The report may be pasted into a ticket: no token, secret, clientState or notification URL is in it."""
    text = json.dumps(patient.stages)
    held = [patient.stack.client_secret, patient.stack.webhook_secret]
    held += [row["notificationUrl"].rpartition("/")[2] for row in patient.demo._subscriptions()]
    assert not [value for value in held if value in text]
    assert "eyJ" not in text  # how a token begins


def test_cause_nobody_has_signed_in(patient: Patient) -> None:
    """1: an app that was just deployed says that a person must sign in, and where."""
    assert "/api/connect" in named(patient.stages["empty"], "login_login_required")["do"]


def test_cause_login_revoked(patient: Patient) -> None:
    """2: a login that was ended by an administrator or a new password."""
    assert "revoked" in named(patient.stages["revoked"], "login_AADSTS50173")["cause"]


def test_cause_the_timers_have_not_run(patient: Patient) -> None:
    """3: signed in, and neither reconcile nor keep_subscriptions has run."""
    report = patient.stages["signed in"]
    assert "reconcile" in named(report, "run_never")["cause"]
    assert "keep_subscriptions" in named(report, "webhook_missing")["cause"]


def test_cause_entity_without_webhook(patient: Patient) -> None:
    """4: an environment that offers no webhook for an entity is told of, and is no fault."""
    found = named(patient.stages["healthy"], "webhook_unsupported")
    assert "salesShipments" in found["seen"]
    assert found["severity"] == "note"


def test_cause_wrong_settings(patient: Patient) -> None:
    """5: every wrong setting by name, though the app can't do anything else."""
    with patient.restarted(BC_PAGE_ROWS="0", BC_TRIGGERS="widgets"):
        report = patient.examine()
    assert codes(report) == {"setting_wrong"}
    assert {"BC_PAGE_ROWS", "BC_TRIGGERS"} == {found["seen"].split()[2] for found in report["findings"]}


def test_cause_the_vault_refuses(patient: Patient) -> None:
    """6: an identity without its role at the vault."""
    fault = {
        "kind": "answer",
        "match": "GET .*/secrets",
        "status": 403,
        "headers": {"Content-Type": "application/json"},
        "text": json.dumps({"error": {"code": "Forbidden", "innererror": {"code": "ForbiddenByRbac"}}}),
        "times": 9,
    }
    patient.control(patient.stack.vault_url, "POST", "faults", **fault)
    try:
        found = named(patient.examine(), "vault_refuses")
    finally:
        patient.control(patient.stack.vault_url, "DELETE", "faults")
    assert "Key Vault Secrets Officer" in found["do"]


def test_cause_client_secret_expired(patient: Patient) -> None:
    """7: a client secret that ran out, in the mode that needs it."""
    patient.control(patient.stack.login_url, "POST", "expire-secrets")
    with patient.restarted(BC_AUTH_MODE="client_secret"):
        found = named(patient.examine(), "login_AADSTS7000222")
    fresh = patient.control(patient.stack.login_url, "POST", "secrets")["secret"]
    patient.control(patient.stack.vault_url, "PUT", "secrets/bc-client-secret", value=fresh)
    assert "bc-client-secret" in found["do"]


def test_cause_wrong_environment(patient: Patient) -> None:
    """8: another environment than the one whose state is kept: refused, with both names, before anything is asked."""
    with patient.restarted(BC_ENVIRONMENT="sandbox"):
        report = json.dumps(named(patient.examine(), "setting_wrong"))
    assert "sandbox" in report
    assert "BC_RENAMED_FROM=production" in report


def test_cause_company_renamed(patient: Patient) -> None:
    """9: a company of BC_COMPANIES that is not there any more, with the names that are."""
    with patient.restarted(BC_COMPANIES=f"CRONUS UK Ltd.,{COMPANY}"):
        found = named(patient.examine(), "company_unknown")
    assert "CRONUS UK Ltd." in found["seen"]
    assert COMPANY in found["cause"]


def test_cause_entity_not_permitted(patient: Patient) -> None:
    """10: a user who may not read one entity in one company."""
    company = next(one["id"] for one in patient.demo._status()["companies"] if one["name"] == COMPANY)
    patient.demo._bc("faults/add", kind="500", status=403, times=None, match=rf"GET .*{company}\)/salesInvoices\?")
    try:
        report = patient.examine()
    finally:
        patient.demo._bc("faults/clear")
    found = [one["seen"] for one in report["findings"] if one["code"] == "entity_not_permitted"]
    assert len(found) == 1
    assert f"salesInvoices of {COMPANY}" in found[0]


def test_cause_business_central_is_down(patient: Patient) -> None:
    """11: Business Central answers 503, for example while it is updated."""
    patient.demo._bc("faults/add", kind="503", times=None, match="GET .*/companies")
    try:
        assert "updated" in named(patient.examine(), "bc_down")["cause"]
    finally:
        patient.demo._bc("faults/clear")


def test_cause_webhook_deleted(patient: Patient) -> None:
    """12: a webhook that Business Central has lost, by entity and company; the next run heals it."""
    lost = next(row for row in patient.demo._subscriptions() if row["resource"].endswith("items"))
    patient.demo._bc("subscriptions/delete", id=lost["subscriptionId"])
    found = named(patient.examine(), "webhook_missing")
    patient.demo._run("keep_subscriptions")
    assert "items of" in found["seen"]
    until(lambda: "webhook_missing" not in codes(patient.examine()), "the webhook")


def test_cause_public_address_unreachable(patient: Patient) -> None:
    """13: a PUBLIC_URL where nobody answers."""
    nobody = f"https://localhost:{choose({'nobody': 0})['nobody']}"
    with patient.restarted(PUBLIC_URL=nobody):
        report = patient.examine()
    assert nobody in named(report, "public_url_unreachable")["seen"]
    assert "PUBLIC_URL" in next(one for one in report["findings"] if one["code"] == "webhook_elsewhere")["cause"]


def test_cause_notification_function_disabled(patient: Patient) -> None:
    """14: the route answers 404, so Business Central deletes the webhooks; its own log says so afterwards."""
    with patient.restarted(**{"AzureWebJobs.bc_notifications.Disabled": "true"}):
        assert "bc_notifications" in named(patient.examine(), "public_url_other")["do"]
        patient.demo._bc("records/create", entitySet="items", company=COMPANY, values={"displayName": "Unheard"})
        until(lambda: [line for line in patient.demo._bc("webhookLogs")["log"] if line["failed"]], "the delivery")
    assert "404" in named(patient.examine(), "bc_log_rejected")["seen"]


def test_cause_message_set_aside(patient: Patient) -> None:
    """15: a queue message that makes no sense lies aside, with its reason."""
    patient.demo.events.put(resource_names.QUEUE_PAGES, '{"job": "nonsense"}')
    until(lambda: "dead_letter" in codes(patient.examine()), "the message")
    assert "nonsense" in named(patient.examine(), "dead_letter")["seen"]


def test_cause_order_rejected(patient: Patient) -> None:
    """16: an order that Business Central refuses, in its own words."""
    message = {"company": COMPANY, "orderKey": "no-such-customer", "order": {"customerNumber": "NOBODY"}}
    patient.demo.events.put(resource_names.QUEUE_ORDERS, json.dumps(message))
    until(lambda: "order_rejected" in codes(patient.examine()), "the refusal")
    assert "The sell-to customer cannot be found." in named(patient.examine(), "order_rejected")["seen"]


def test_cause_poison_is_not_taken_up(patient: Patient) -> None:
    """17: a poison queue that nobody empties: told by what is in it; two minutes later that nobody comes for it."""
    with patient.restarted(**{"AzureWebJobs.dead_letter_order.Disabled": "true"}):
        patient.demo.events.put(f"{resource_names.QUEUE_ORDERS}-poison", "{}")
        until(lambda: "poison_moving" in {one["code"] for one in patient.examine()["findings"]}, "the message")
        found = named(patient.examine(), "poison_moving")
        assert f"{resource_names.QUEUE_ORDERS}-poison 1, the oldest since" in found["seen"]
        assert "dead_letter_order" in found["do"]


def test_cause_the_app_is_not_there(patient: Patient) -> None:
    """18: with the app down the command itself says so, and what to do; the proxy answers 503 then."""
    patient.stack.stop_host()
    try:
        assert "503" in named(patient.examine(), "app_down")["seen"]
    finally:
        patient.stack.start_host()
    assert requests.get(f"{patient.stack.app_url}/api/health", timeout=10).ok


def test_the_command_prints_a_report_that_a_person_can_read(patient: Patient) -> None:
    """Without --json it prints one line a check, wrapped, and says where to begin."""
    command = [sys.executable, str(Path("scripts/doctor.py")), patient.stack.public_url]
    ended = subprocess.run(
        [*command, "--ca-bundle", str(patient.stack.ca_file)],
        capture_output=True, text=True, timeout=120, check=False, cwd=ROOT,
    )  # fmt: skip
    assert ended.returncode == 1
    assert "ERROR" in ended.stdout
    assert "cause:" in ended.stdout
    assert "Begin with the first" in ended.stdout
    assert max(map(len, ended.stdout.splitlines())) <= 120
