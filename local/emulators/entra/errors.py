"""Entra's refusals: the OAuth error, the AADSTS code and the HTTP status it answers with.

Codes and texts: https://learn.microsoft.com/entra/identity-platform/reference-error-codes
"""

from __future__ import annotations

import uuid
from datetime import datetime


class LoginRefused(Exception):
    """A request that Entra would refuse."""

    def __init__(self, error: str, code: int, text: str, *, status: int = 400, suberror: str = "") -> None:
        super().__init__(f"AADSTS{code}: {text}")
        self.error = error
        self.code = code
        self.status = status
        self.suberror = suberror

    def body(self, *, now: datetime) -> dict[str, object]:
        """Give the JSON that the token endpoint answers."""
        trace_id, correlation_id = str(uuid.uuid4()), str(uuid.uuid4())
        stamp = now.strftime("%Y-%m-%d %H:%M:%SZ")
        fields: dict[str, object] = {
            "error": self.error,
            "error_description": f"{self} Trace ID: {trace_id} Correlation ID: {correlation_id} Timestamp: {stamp}",
            "error_codes": [self.code],
            "timestamp": stamp,
            "trace_id": trace_id,
            "correlation_id": correlation_id,
        }
        if self.suberror:
            fields["suberror"] = self.suberror
        return fields


def unknown_tenant(tenant: str) -> LoginRefused:
    """No tenant of that name."""
    return LoginRefused(
        "invalid_tenant",
        90002,
        f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the "
        "correct cloud. Check with your subscription administrator, this may happen if there are no active "
        "subscriptions for the tenant.",
    )


def missing_parameter(name: str) -> LoginRefused:
    """A required field is not there."""
    return LoginRefused("invalid_request", 900144, f"The request body must contain the following parameter: '{name}'.")


def unknown_application(client_id: str, tenant: str) -> LoginRefused:
    """No application of that id in the tenant."""
    return LoginRefused(
        "unauthorized_client",
        700016,
        f"Application with identifier '{client_id}' was not found in the directory '{tenant}'. This can happen if the "
        "application has not been installed by the administrator of the tenant or consented to by any user in the "
        "tenant. You may have sent your authentication request to the wrong tenant.",
    )


def wrong_secret(client_id: str) -> LoginRefused:
    """The client secret is none of the application's."""
    return LoginRefused(
        "invalid_client",
        7000215,
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not "
        f"the client secret ID, for a secret added to app '{client_id}'.",
        status=401,
    )


def expired_secret(client_id: str) -> LoginRefused:
    """The client secret was right once."""
    return LoginRefused(
        "invalid_client",
        7000222,
        f"The provided client secret keys for app '{client_id}' are expired. Visit the Azure portal to create new keys "
        "for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security.",
        status=401,
    )


def no_credential() -> LoginRefused:
    """A confidential client came without secret or assertion."""
    return LoginRefused(
        "invalid_client",
        7000218,
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
        status=401,
    )


def not_consented(client_id: str) -> LoginRefused:
    """Nobody consented to the application."""
    return LoginRefused(
        "invalid_grant",
        65001,
        f"The user or administrator has not consented to use the application with ID '{client_id}'. Send an "
        "interactive authorization request for this user and resource.",
        suberror="consent_required",
    )


def wrong_scope(scope: str, reason: str) -> LoginRefused:
    """A scope Entra cannot read."""
    return LoginRefused(
        "invalid_scope",
        70011,
        f"The provided request must include a 'scope' input parameter. The provided value for the input parameter "
        f"'scope' is not valid. The scope {scope} is not valid. {reason}".rstrip(),
    )


def unknown_resource(resource: str, tenant: str) -> LoginRefused:
    """No service principal for the resource."""
    return LoginRefused(
        "invalid_resource",
        500011,
        f"The resource principal named {resource} was not found in the tenant named {tenant}.",
    )


def bad_grant(code: int, text: str, *, suberror: str = "") -> LoginRefused:
    """A code or refresh token that no longer works."""
    return LoginRefused("invalid_grant", code, text, suberror=suberror)
