"""Health in one word, with a reason and a next step: the table of design 3.2."""

import pytest

from shared.operations.connection_health import health_of
from shared.operations.findings import Finding, fine, note, warning, wrong


def bad(check: str, code: str = "x") -> Finding:
    """Something wrong."""
    return wrong(check, code, f"{check} is seen.", "Because.", f"Do {check}.")


@pytest.mark.parametrize(
    ("found", "word", "reason"),
    [
        ([], "connected", ""),
        ([fine("login", "In order.")], "connected", ""),
        ([note("vault", "x", "Nothing yet.", "New.")], "connected", ""),
        ([bad("login", "login_AADSTS50173")], "login_needed", "login is seen."),
        ([bad("login", "login_login_required"), bad("business_central", "bc_down")], "login_needed", "login is seen."),
        ([bad("login", "login_AADSTS7000222")], "stopped", "login is seen."),
        ([bad("business_central", "bc_down")], "unreachable", "business_central is seen."),
        ([bad("business_central", "bc_environment")], "stopped", "business_central is seen."),
        ([bad("settings", "setting_wrong"), bad("login", "login_login_required")], "stopped", "settings is seen."),
        ([bad("state", "login_unavailable")], "unreachable", "state is seen."),
        ([bad("state", "storage_unreachable")], "unreachable", "state is seen."),
        ([bad("orders"), bad("webhooks")], "degraded", "webhooks is seen."),
        ([bad("runs"), bad("login", "login_AADSTS50173")], "login_needed", "login is seen."),
        ([warning("orders", "order_rejected", "1 order refused.", "", "Mend it.")], "connected", "1 order refused."),
        ([bad("dead_letters", "dead_letter")], "connected", "dead_letters is seen."),
    ],
)
def test_the_first_finding_that_decides_gives_the_word(found: list[Finding], word: str, reason: str) -> None:
    """What stops comes before what slows; what waits for a person stops nothing and is still the reason."""
    health = health_of(found)
    assert (health.word, health.reason) == (word, reason)
    assert bool(health.next_step) is bool(reason)
