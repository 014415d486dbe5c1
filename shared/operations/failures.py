"""From a failed call to a finding, whatever check made the call: `explain`. Also wrong settings and a wrong clock.

Pure. Owns causes and next steps of failures; knows no state, no webhook and no page.
"""

from datetime import datetime, timedelta
from typing import Final

from shared.business_central.transient import is_permission
from shared.errors import (
    BCDenied,
    BCError,
    BCNotFound,
    BCThrottled,
    BCUnavailable,
    BudgetExhausted,
    ConfigError,
    IntegrationError,
    StoreUnavailable,
    TokenError,
)
from shared.login.entra_codes import advice, entra_code
from shared.operations.findings import Finding, fine, warning, wrong

#: Our clock may differ so much from Business Central's; Entra's tokens tolerate five minutes, leases and slots less.
MAX_SKEW: Final = timedelta(minutes=2)


def settings_findings(error: ConfigError) -> tuple[Finding, ...]:
    """Return one finding per wrong setting; its value is never shown."""
    return tuple(
        wrong(
            "settings", "setting_wrong", f"The setting {name} {rule}.", "It is missing or breaks its rule.",
            f"Correct {name} in the app settings; the app restarts by itself.",
        )
        for name, rule in sorted(error.faults.items())
    )  # fmt: skip


def clock_finding(ours: datetime, theirs: datetime) -> Finding:
    """Compare our clock with Business Central's, which its answers carry to the second."""
    skew_s = (ours - theirs).total_seconds()
    if abs(skew_s) <= MAX_SKEW.total_seconds():
        return fine("clock", f"Our clock and Business Central's differ by {abs(skew_s):.0f} s.")
    side = "ahead of" if skew_s > 0 else "behind"
    return wrong(
        "clock", "clock_skew", f"Our clock is {abs(skew_s):.0f} s {side} Business Central's.",
        "The clock of this machine is wrong: tokens count as expired, leases and retries end too early or too late.",
        "Synchronise the clock of the machine (NTP). In Azure, restart the app so that it gets another machine.",
    )  # fmt: skip


def explain(check: str, error: IntegrationError, what: str) -> Finding:
    """Return why a call failed; `what` is what was tried, as in "list the companies"."""
    seen = f"Could not {what}: {str(error).rstrip('.')}."
    if isinstance(error, TokenError):
        return _login(check, error, seen)
    if isinstance(error, BCError):
        return _business_central(check, error, seen)
    if isinstance(error, ConfigError):
        return settings_findings(error)[0]
    if isinstance(error, BudgetExhausted):
        cause = "All five request slots stayed busy: a full pull is at work, or a process died and holds its slot."
        return warning(check, "budget_busy", seen, cause, "Look again in three minutes; the slot of a dead one ends.")
    if isinstance(error, StoreUnavailable):
        return _store(check, error, seen)
    return wrong(check, "failed", seen, "Not known here.", "Look for the event bc.failed in the log.")


def _login(check: str, error: TokenError, seen: str) -> Finding:
    if error.retryable:
        cause = "The login does not answer, answers 429, or another instance is refreshing the token just now."
        return warning(check, "login_unavailable", seen, cause, "Look again in a minute; then check BC_LOGIN_URL.")
    code = entra_code(error)
    known = advice(code, str(error))
    return wrong(check, f"login_{code}", seen, known.problem, known.do)


def _store(check: str, error: StoreUnavailable, seen: str) -> Finding:
    is_vault = "Key Vault" in str(error)
    name = "vault" if is_vault else "storage"
    role = "Key Vault Secrets Officer" if is_vault else "Storage Table Data Contributor"
    if "401" in str(error) or "403" in str(error):
        cause = f"The {name} refuses the app's identity: its role is missing or too new, or a firewall is shut."
        do = f"Give the identity the role {role} at the {name}; a new role takes up to ten minutes."
        return wrong(check, f"{name}_refuses", seen, cause, do)
    setting = "KEY_VAULT_URL" if is_vault else "AzureWebJobsStorage"
    cause = f"The {name} cannot be reached: {setting} names another, the network is shut, or the service is down."
    return wrong(check, f"{name}_unreachable", seen, cause, f"Check {setting}, DNS and private endpoints.")


def _business_central(check: str, error: BCError, seen: str) -> Finding:
    if isinstance(error, BCDenied) and error.status == 401:
        cause = "Business Central does not know who signs in: no licence or user there, or the token is not for it."
        do = (
            "With a person's login: give the user a licence and a user card. App-only: enter BC_CLIENT_ID on the page "
            "Microsoft Entra Applications, state Enabled, with permission sets."
        )
        return wrong(check, "bc_refuses_login", seen, cause, do)
    if is_permission(error):
        cause = "The user or application lacks the permission in Business Central."
        return wrong(check, "bc_permission", seen, cause, "Give it a permission set for this, in every company.")
    if isinstance(error, BCNotFound):
        cause = "Business Central has no such environment for this tenant: BC_ENVIRONMENT or BC_TENANT_ID is wrong."
        do = "Compare with the Business Central admin center, Environments; upper and lower case do not matter."
        return wrong(check, "bc_environment", seen, cause, do)
    if isinstance(error, BCThrottled):
        cause = "Too many requests of this user: another integration uses the same login, or a pull is very large."
        return warning(check, "bc_throttled", seen, cause, "Give each integration a login of its own.")
    if isinstance(error, BCUnavailable) and not error.status:
        cause = "BC_API_URL is wrong, or DNS, firewall or TLS stand in between."
        return wrong(check, "bc_unreachable", seen, cause, "Check BC_API_URL, outbound rules and CA_BUNDLE.")
    if isinstance(error, BCUnavailable):
        cause = "Business Central is down or the environment is being updated."
        return wrong(check, "bc_down", seen, cause, "Look at its service health and at the admin center, Operations.")
    return wrong(check, "bc_refuses", seen, "Business Central refuses this call.", "Its code says why.")
