"""One tenant of the login: its directory, and what answers under its GUID and its domain.

Codes and refresh tokens are kept in one place for all tenants, and the signing key is one, as Entra's are: a resource
that does not look at the issuer takes a token of any tenant. What a tenant must not give or take is refused here.
"""

from __future__ import annotations

from local.emulators.entra.authorize import Authorize
from local.emulators.entra.directory import Application, Directory
from local.emulators.entra.grants import Grants
from local.emulators.entra.token_endpoint import TokenEndpoint
from local.emulators.entra.tokens import Minter, SigningKey


class Tenant:
    """A directory with its endpoints."""

    def __init__(self, directory: Directory, *, grants: Grants, key: SigningKey) -> None:
        self.directory = directory
        self.minter = Minter(directory, key)
        self.authorize = Authorize(directory, grants)
        self.token = TokenEndpoint(directory, grants, self.minter, key)
        self._key = key

    def keys(self) -> dict[str, list[dict[str, str]]]:
        """Give the page of public keys, each with the issuer whose tokens it signs."""
        return {"keys": [{**key, "issuer": self.minter.v2_issuer} for key in self._key.jwks["keys"]]}


def tenant_named(tenants: list[Tenant], segment: str) -> Tenant | None:
    """Find a tenant by its GUID or domain."""
    return next((one for one in tenants if one.directory.is_tenant(segment)), None)


def tenant_of_client(tenants: list[Tenant], client_id: str) -> Tenant:
    """Find the tenant that an application is registered in; the first when none knows it, which then says so."""
    return next((one for one in tenants if one.directory.application(client_id)), tenants[0])


def registered(tenants: list[Tenant], client_id: str) -> Application:
    """Find an application registration by its id.

    Raises:
        LookupError: no tenant has it.
    """
    found = next((known for one in tenants if (known := one.directory.application(client_id))), None)
    if found is None:
        raise LookupError(f"no application {client_id}")
    return found
