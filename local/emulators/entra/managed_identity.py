"""The App Service managed identity endpoint: what `ManagedIdentityCredential` asks inside a Function App.

https://learn.microsoft.com/azure/app-service/overview-managed-identity (REST endpoint reference, 2019-08-01)
"""

from __future__ import annotations

import hmac
from datetime import datetime

from business_central_emulator.server.exchange import Request, Response, json_response

from local.emulators.entra.directory import RESOURCES, Directory
from local.emulators.entra.tokens import Minter

API_VERSIONS = ("2019-08-01",)
PATH = "/msi/token"


class ManagedIdentityEndpoint:
    """Answers GET of the address in `IDENTITY_ENDPOINT` for callers that know `IDENTITY_HEADER`."""

    def __init__(self, directory: Directory, minter: Minter, *, header: str) -> None:
        self._directory = directory
        self._minter = minter
        self._header = header

    def answer(self, request: Request, *, now: datetime) -> Response:
        """Answer one request."""
        query = request.query
        if not hmac.compare_digest((request.header("X-IDENTITY-HEADER") or "").encode(), self._header.encode()):
            return _refusal(401, "Unauthorized: the X-IDENTITY-HEADER is missing or wrong.")
        if query.get("api-version") not in API_VERSIONS:
            return _refusal(400, f"The api-version '{query.get('api-version', '')}' is not supported.")
        resource = query.get("resource", "").rstrip("/")
        if not resource:
            return _refusal(400, "The resource parameter is missing.")
        if resource not in RESOURCES:
            return _refusal(400, f"AADSTS500011: The resource principal named {resource} was not found in the tenant.")
        identity = self._directory.identity(query.get("client_id", ""))
        if identity is None:
            return _refusal(
                400,
                "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId.",
            )
        return json_response(
            200,
            {
                "access_token": self._minter.for_identity(identity, resource=resource, now=now),
                "client_id": identity.client_id,
                "expires_on": str(int(now.timestamp()) + self._minter.lifetime_s),
                "not_before": str(int(now.timestamp())),
                "resource": resource,
                "token_type": "Bearer",
            },
        )


def _refusal(status: int, message: str) -> Response:
    return json_response(status, {"statusCode": status, "message": message})
