"""What is wrong and what a person does about it: findings drawn from a `StatusView`, worst first.

Pure. The codes of Entra: https://learn.microsoft.com/entra/identity-platform/reference-error-codes
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from shared.operations.status_view import LoginView, StatusView

#: A stream that runs every 15 minutes and has not run for this long stands still.
STALE: Final = timedelta(hours=1)
#: A subscription is renewed by 48 h of age and lives 3 days; with less left than this the renewal does not work.
EXPIRES_SOON: Final = timedelta(hours=12)

_SIGN_IN = "Sign in again, as the user that Business Central knows."
_RENEW_KEY = (
    "Create a new client secret in the app registration (Certificates & secrets) and store its value in the vault as "
    "bc-client-secret; it is picked up within a minute."
)
_LOGIN_CODES: Final[dict[str, tuple[str, str]]] = {
    "login_required": ("Nobody has signed in yet.", "Sign in with the button above."),
    "signed_out": ("The connection was disconnected on this page.", "Sign in to go on."),
    "AADSTS50173": ("The login was revoked: the password was changed or an administrator ended it.", _SIGN_IN),
    "AADSTS50076": ("The login now needs a second factor.", _SIGN_IN),
    "AADSTS50078": ("The second factor of the login has expired.", _SIGN_IN),
    "AADSTS50079": ("The user must set up a second factor.", _SIGN_IN),
    "AADSTS50057": ("The user account is disabled.", "Enable the account in Entra, or sign in as another user."),
    "AADSTS53003": ("A Conditional Access policy blocks the login.", "Exempt this app or sign in as the policy asks."),
    "AADSTS700082": ("The login expired because it was not used for 90 days.", _SIGN_IN),
    "AADSTS70008": ("The login expired.", _SIGN_IN),
    "AADSTS65001": (
        "Nobody has consented to this app.",
        "An administrator grants consent in Entra: App registrations, API permissions, Grant admin consent.",
    ),
    "AADSTS7000215": ("The client secret is wrong.", _RENEW_KEY),
    "AADSTS7000222": ("The client secret has expired.", _RENEW_KEY),
    "client_secret_missing": ("The vault holds no client secret.", _RENEW_KEY),
    "AADSTS700016": ("Entra does not know this app.", "Check the settings BC_CLIENT_ID and BC_TENANT_ID."),
    "AADSTS90002": ("Entra does not know this tenant.", "Check the setting BC_TENANT_ID."),
    "AADSTS50011": (
        "The redirect URI is not registered.",
        "Add <PUBLIC_URL>/api/connect/callback to the app registration (Authentication, Web).",
    ),
    "AADSTS700213": (
        "The app registration does not trust this app's managed identity.",
        "Add a federated credential for the identity to the app registration.",
    ),
    "managed_identity_missing": (
        "There is no managed identity here.",
        "Assign the user-assigned identity to the Function App, or choose another BC_AUTH_MODE.",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, and the next step."""

    problem: str
    do: str


def findings(view: StatusView) -> tuple[Finding, ...]:
    """Return what is wrong, worst first; empty when all is well."""
    found = [*_login(view.login)]
    found += [
        Finding(problem=f"{company.name} cannot be served: {company.error}.", do=_COMPANY)
        for company in view.companies
        if company.error
    ]
    found += _streams(view)
    found += _subscriptions(view)
    if view.orders_parked:
        problem = f"{_count(view.orders_parked, 'order')} gave up after 72 hours of transient faults."
        found.append(Finding(problem=problem, do="Remove the cause, then let them be tried again below."))
    if view.orders_rejected:
        problem = f"Business Central refused {_count(view.orders_rejected, 'order')}."
        do = "The code below says why. Correct the customer, item or order, then let it be tried again or send it anew."
        found.append(Finding(problem=problem, do=do))
    if view.messages:
        problem = f"{_count(len(view.messages), 'message')} failed too often and was set aside."
        do = "Look for the message id in the log, remove the cause, then let it be tried again below."
        found.append(Finding(problem=problem, do=do))
    return tuple(found)


_COMPANY: Final = "Check BC_COMPANIES and the user's permissions in that company; the other companies go on."


def login_finding(code: str, reason: str) -> Finding:
    """Explain one refusal of the login."""
    known = _LOGIN_CODES.get(code)
    if known is not None:
        return Finding(problem=known[0], do=known[1])
    return Finding(problem=reason or f"The login does not work ({code}).", do=_SIGN_IN)


def _login(login: LoginView) -> list[Finding]:
    if login.state == "ok" or (not login.state and login.mode != "authorization_code"):
        return []
    return [login_finding(login.code or "login_required", login.reason)]


def _streams(view: StatusView) -> list[Finding]:
    found = []
    for stream in view.streams:
        name = f"{stream.entity} of {stream.company}"
        if stream.error or stream.state == "failed":
            problem = f"Reading {name} failed: {stream.error or 'no reason known'}."
            found.append(Finding(problem=problem, do="Check the user's permission sets in Business Central."))
        elif stream.last_run is not None and view.at - stream.last_run > STALE:
            problem = f"{name} has not been read for over an hour."
            found.append(
                Finding(problem=problem, do="Check that the Function App runs and its timers are not disabled.")
            )
    return found


def _subscriptions(view: StatusView) -> list[Finding]:
    found = []
    for subscription in view.subscriptions:
        name = f"{subscription.entity} of {subscription.company}"
        is_due = subscription.expires_at is not None and subscription.expires_at - view.at < EXPIRES_SOON
        if subscription.state == "unsupported":
            continue  # the reconcile serves it; nothing to do
        if subscription.state != "ok" or subscription.error or is_due:
            problem = (
                f"The webhook for {name} is not in order{f': {subscription.error}' if subscription.error else ''}."
            )
            do = "It is rebuilt every 15 minutes. If that goes on, check that Business Central can reach PUBLIC_URL."
            found.append(Finding(problem=problem, do=do))
    return found


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
