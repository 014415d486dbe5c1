"""What a local stack can be connected to beside its first: another environment of its tenant, one of another tenant.

Values only; `stack` starts a Business Central for each that is asked for. All hold the same demo data under the same
ids, so that what is mixed up between connections is not caught by luck.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from local.emulators.entra.directory import (
    CLIENT_ID,
    DOMAIN,
    FURTHER_CLIENT_ID,
    FURTHER_DOMAIN,
    FURTHER_TENANT_ID,
    TENANT_ID,
)
from shared.resource_names import DEFAULT_CONNECTION


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One environment, the registration that the app signs in as, and the connection to it."""

    connection: str
    environment: str
    tenant_id: str
    domain: str
    client_id: str

    @property
    def child(self) -> str:
        """The name of its process and log."""
        return f"business_central_{self.connection}"

    def settings(self, url: str) -> dict[str, str]:
        """Return the settings of its connection, under its prefix; `url`: where it is served."""
        own = {
            "BC_API_URL": url,
            "BC_ENVIRONMENT": self.environment,
            "BC_TENANT_ID": self.domain,
            "BC_CLIENT_ID": self.client_id,
            "BC_AUTH_MODE": "client_secret",  # nobody has to sign in once more
        }
        return {f"{self.connection.upper()}__{name}": value for name, value in own.items()}


FURTHER: Final = (
    Place(connection="us", environment="Sandbox-US", tenant_id=TENANT_ID, domain=DOMAIN, client_id=CLIENT_ID),
    Place(
        connection="fabrikam", environment="Production", tenant_id=FURTHER_TENANT_ID, domain=FURTHER_DOMAIN,
        client_id=FURTHER_CLIENT_ID,
    ),
)  # fmt: skip
#: How many connections a stack can have.
MOST: Final = 1 + len(FURTHER)


def settings_of(places: Mapping[Place, str]) -> dict[str, str]:
    """Return the settings that add connections to a stack; `places`: where each is served."""
    ids: Iterable[str] = (DEFAULT_CONNECTION, *(place.connection for place in places))
    prefixed = {name: value for place, url in places.items() for name, value in place.settings(url).items()}
    return {"BC_CONNECTIONS": ",".join(ids), **prefixed} if places else {}
