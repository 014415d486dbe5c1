"""The codes by which Microsoft Entra names what is wrong with a login, and what a person does about each.

Pure; knows no finding and no page. Source: Microsoft Learn, "Microsoft Entra authentication and authorization error
codes" (https://learn.microsoft.com/entra/identity-platform/reference-error-codes). Codes in lower case are our own.
"""

import re
from dataclasses import dataclass
from typing import Final

from shared.errors import TokenError
from shared.resource_names import SECRET_CLIENT

#: The code of a reader that Business Central refuses, whatever Entra says.
BY_BC: Final = "bc_refuses_reader"


@dataclass(frozen=True, slots=True)
class Advice:
    """What a code means, and the next step, a sentence each. `by_signing_in`: the connect page's button mends it."""

    problem: str
    do: str
    by_signing_in: bool = False


_CONNECT: Final = "Press Connect on the connect page (/api/connect)."
_SIGN_IN: Final = "Press Connect on the connect page (/api/connect), as the user that Business Central knows."
_NEW_SECRET: Final = (
    "Create a new client secret in the app registration (Certificates & secrets) and store its value in the vault as "
    f"{SECRET_CLIENT} (of a connection other than default {SECRET_CLIENT}-<id>); it is picked up within a minute. "
    "Nobody needs to sign in again."
)
_MEND: Final = (
    "Mend the app registration or its settings: compare BC_CLIENT_ID, BC_TENANT_ID, the client secret or federated "
    "credential, the redirect URI and the API permissions with what Entra shows. Nobody needs to sign in again."
)
#: Kinds of errors (RFC 6749, 4.1.2.1 and 5.2; OpenID Connect Core, 3.1.2.6) that end once a person has signed in. All
#: others (invalid_client, unauthorized_client, invalid_resource, ...), and all of an app that signs in as itself, are
#: the registration's.
_OF_A_PERSON: Final = frozenset({
    "", "invalid_grant", "interaction_required", "login_required", "consent_required", "access_denied",
})  # fmt: skip
_ADVICE: Final[dict[str, Advice]] = {
    "login_required": Advice("Nobody has signed in yet.", _CONNECT, by_signing_in=True),
    "signed_out": Advice("The login was disconnected on the connect page.", "Press Connect there.", by_signing_in=True),
    "AADSTS50173": Advice(
        "The login was revoked: the password was changed or an administrator ended it.", _SIGN_IN, by_signing_in=True
    ),
    "AADSTS50076": Advice("The login now needs a second factor.", _SIGN_IN, by_signing_in=True),
    "AADSTS50078": Advice("The second factor of the login has expired.", _SIGN_IN, by_signing_in=True),
    "AADSTS50079": Advice("The user must set up a second factor.", _SIGN_IN, by_signing_in=True),
    "AADSTS50057": Advice("The user account is disabled.", "Enable the account in Entra, or sign in as another user."),
    "AADSTS53003": Advice(
        "A Conditional Access policy blocks the login.", "Exempt this app, or sign in as the policy asks."
    ),
    "AADSTS700082": Advice("The login expired: it was not used for 90 days.", _SIGN_IN, by_signing_in=True),
    "AADSTS70008": Advice("The login expired.", _SIGN_IN, by_signing_in=True),
    "AADSTS65001": Advice(
        "Nobody has consented to this app.",
        "An administrator grants consent in Entra: App registrations, API permissions, Grant admin consent.",
    ),
    "AADSTS7000215": Advice("The client secret is wrong.", _NEW_SECRET),
    "AADSTS7000222": Advice("The client secret has expired.", _NEW_SECRET),
    "invalid_client": Advice("The client secret is refused.", _NEW_SECRET),
    "client_secret_missing": Advice("The vault holds no client secret.", _NEW_SECRET),
    "AADSTS700016": Advice("Entra does not know this app.", "Check the settings BC_CLIENT_ID and BC_TENANT_ID."),
    "AADSTS90002": Advice("Entra does not know this tenant.", "Check the setting BC_TENANT_ID."),
    "AADSTS50011": Advice(
        "The redirect URI is not registered.",
        "Add <PUBLIC_URL>/api/connect/callback to the app registration (Authentication, Web).",
    ),
    "AADSTS700213": Advice(
        "The app registration does not trust this app's managed identity.",
        "Add a federated credential for the identity to the app registration.",
    ),
    "managed_identity_missing": Advice(
        "There is no managed identity here.",
        "Assign the user-assigned identity to the Function App, or choose another BC_AUTH_MODE.",
    ),
}


def entra_code(error: TokenError) -> str:
    """Return the AADSTS number where Entra gave one (it says more than `invalid_grant`), else the error's code."""
    found = re.search(r"AADSTS\d+", str(error))
    return found.group() if found else error.code


def advice(code: str, reason: str) -> Advice:
    """Return what a code asks for; of an unknown one the kind of Entra's error decides, with which `reason` begins."""
    known = _ADVICE.get(code)
    if known is not None:
        return known
    kind = reason.partition(":")[0].strip() or code
    problem = reason or f"The login does not work ({code})."
    if kind in _OF_A_PERSON:
        return Advice(problem, _SIGN_IN, by_signing_in=True)
    number = code.removeprefix("AADSTS")
    explained = (
        f" Entra explains it at https://login.microsoftonline.com/error?code={number}." if number.isdigit() else ""
    )
    return Advice(problem, _MEND + explained)
