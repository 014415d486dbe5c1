"""Why a call failed: every kind of failure gets a cause and a next step, transient ones are no errors."""

from datetime import timedelta

import pytest

from shared.errors import (
    BCConflict,
    BCDenied,
    BCNotFound,
    BCRejected,
    BCThrottled,
    BCUnavailable,
    BudgetExhausted,
    ConfigError,
    IntegrationError,
    InvalidMessage,
    StoreUnavailable,
    TokenError,
)
from shared.operations.failures import clock_finding, explain, settings_findings
from shared.operations.findings import Report, Severity, fine, warning
from tests.conftest import FixedClock

CASES: list[tuple[IntegrationError, str, Severity]] = [
    (TokenError("AADSTS50173: over", code="invalid_grant"), "login_AADSTS50173", Severity.ERROR),
    (TokenError("nobody", code="login_required"), "login_login_required", Severity.ERROR),
    (TokenError("busy", code="refresh_busy", retryable=True), "login_unavailable", Severity.WARNING),
    (
        StoreUnavailable("Key Vault, read secret bc-webhook-secret: 403 ForbiddenByRbac"),
        "vault_refuses",
        Severity.ERROR,
    ),
    (StoreUnavailable("Key Vault, read secret x: ServiceRequestError"), "vault_unreachable", Severity.ERROR),
    (StoreUnavailable("Table Storage: 403 AuthorizationFailure"), "storage_refuses", Severity.ERROR),
    (StoreUnavailable("Table Storage: timeout"), "storage_unreachable", Severity.ERROR),
    (BudgetExhausted("no slot"), "budget_busy", Severity.WARNING),
    (BCDenied("who", status=401), "bc_refuses_login", Severity.ERROR),
    (BCDenied("no", status=403), "bc_permission", Severity.ERROR),
    (BCRejected("You do not have permissions to read Items.", status=400), "bc_permission", Severity.ERROR),
    (BCNotFound("Environment does not exist.", status=404, code="NoEnvironment"), "bc_environment", Severity.ERROR),
    (BCThrottled("slow", status=429), "bc_throttled", Severity.WARNING),
    (BCUnavailable("no answer: ConnectionError", code="network"), "bc_unreachable", Severity.ERROR),
    (BCUnavailable("down", status=503), "bc_down", Severity.ERROR),
    (BCConflict("moved", status=409), "bc_refuses", Severity.ERROR),
    (ConfigError({"AzureWebJobsStorage": "a complete connection string"}), "setting_wrong", Severity.ERROR),
    (InvalidMessage(["odd"]), "failed", Severity.ERROR),
]


@pytest.mark.parametrize(("error", "code", "severity"), CASES, ids=[case[1] for case in CASES])
def test_every_failure_is_explained(error: IntegrationError, code: str, severity: Severity) -> None:
    """Each has a code of its own, what was seen, why, and what to do."""
    found = explain("anything", error, "do it")
    assert (found.code, found.severity) == (code, severity)
    assert found.seen
    assert found.cause
    assert found.do


@pytest.mark.parametrize(
    ("said", "steps"),
    [
        ("Key Vault, read secret x: 403", "Give the identity the role Key Vault Secrets Officer at the vault"),
        ("Table Storage: 403", "Give the identity the role Storage Table Data Contributor at the storage"),
        ("Key Vault, read secret x: timeout", "Check KEY_VAULT_URL, DNS"),
        ("Table Storage: timeout", "Check AzureWebJobsStorage, DNS"),
    ],
)
def test_a_store_that_does_not_answer_is_told_by_its_own_role_and_setting(said: str, steps: str) -> None:
    """Whoever mends it looks in one place."""
    assert explain("anything", StoreUnavailable(said), "do it").do.startswith(steps)


def test_of_several_wrong_settings_the_first_explains_a_failed_call() -> None:
    """In order of their names."""
    error = ConfigError({"BC_PAGE_ROWS": "must be a number", "BC_CLIENT_ID": "is required"})
    assert "BC_CLIENT_ID" in explain("anything", error, "do it").seen


def test_every_wrong_setting_is_a_finding() -> None:
    """All of them at once, in order of their names."""
    found = settings_findings(ConfigError({"BC_PAGE_ROWS": "must be a number", "BC_CLIENT_ID": "is required"}))
    assert [one.seen.split()[2] for one in found] == ["BC_CLIENT_ID", "BC_PAGE_ROWS"]


@pytest.mark.parametrize(
    ("seconds", "code"), [(0, "ok"), (120, "ok"), (-120, "ok"), (121, "clock_skew"), (-500, "clock_skew")]
)
def test_clocks_may_differ_by_two_minutes(clock: FixedClock, seconds: int, code: str) -> None:
    """Beyond that it is told which way."""
    found = clock_finding(clock() + timedelta(seconds=seconds), clock())
    assert found.code == code
    if code != "ok":
        assert ("ahead of" if seconds > 0 else "behind") in found.seen


def test_a_report_with_a_warning_is_not_healthy(clock: FixedClock) -> None:
    """Notes leave it healthy, a warning does not."""
    good = Report(at=clock(), environment="production", findings=(fine("vault", "ok"),))
    bad = Report(at=clock(), environment="production", findings=(warning("queues", "jam", "a", "b", "c"),))
    assert good.is_healthy
    assert not bad.is_healthy
