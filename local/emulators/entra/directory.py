"""What a directory knows: one tenant with its users, application registrations and managed identities.

Values only; who may get a token is decided in `authorize`, `token_endpoint` and `managed_identity`.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from urllib.parse import urlsplit

BUSINESS_CENTRAL = "https://api.businesscentral.dynamics.com"
KEY_VAULT = "https://vault.azure.net"
STORAGE = "https://storage.azure.com"
TOKEN_EXCHANGE = "api://AzureADTokenExchange"  # noqa: S105 a resource name
RESOURCES = (BUSINESS_CENTRAL, KEY_VAULT, STORAGE, TOKEN_EXCHANGE)

DELEGATED_PERMISSIONS = ("Financials.ReadWrite.All", "user_impersonation")
APPLICATION_PERMISSIONS = ("API.ReadWrite.All", "app_access")


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person who can sign in."""

    object_id: str
    principal_name: str  # name@domain
    display_name: str


@dataclass(slots=True, kw_only=True)
class ClientSecret:
    """A secret of an application."""

    value: str = field(repr=False)
    is_expired: bool = False


@dataclass(slots=True, kw_only=True)
class Application:
    """An application registration with its service principal in the tenant."""

    client_id: str
    object_id: str
    display_name: str
    redirect_uris: list[str]
    client_secrets: list[ClientSecret] = field(default_factory=list)
    federated_subjects: list[str] = field(
        default_factory=list
    )  # object ids of managed identities that may speak for it
    delegated: tuple[str, ...] = DELEGATED_PERMISSIONS  # permissions consented to for users
    roles: tuple[str, ...] = APPLICATION_PERMISSIONS  # permissions consented to for the application itself
    is_consented: bool = True

    def knows_redirect(self, uri: str) -> bool:
        """Whether the URI is registered; for http://localhost Entra ignores the port."""
        if uri in self.redirect_uris:
            return True
        asked = urlsplit(uri)
        if asked.scheme != "http" or asked.hostname != "localhost":
            return False
        return any(
            (known.scheme, known.hostname, known.path) == ("http", "localhost", asked.path)
            for known in map(urlsplit, self.redirect_uris)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedIdentity:
    """An identity the platform gives to the app; `client_id` names a user-assigned one in a request."""

    client_id: str
    object_id: str


@dataclass(slots=True, kw_only=True)
class Directory:
    """The tenant."""

    tenant_id: str
    domain: str
    users: list[User]
    applications: list[Application]
    identities: list[ManagedIdentity]  # the first also answers when a request names none

    def is_tenant(self, segment: str) -> bool:
        """Whether a URL segment names this tenant, by id or verified domain."""
        return segment.lower() in {self.tenant_id, self.domain}

    def application(self, client_id: str) -> Application | None:
        """Find an application registration."""
        return next((known for known in self.applications if known.client_id == client_id.lower()), None)

    def user(self, principal_name: str) -> User | None:
        """Find a user by principal name or object id."""
        wanted = principal_name.lower()
        return next((known for known in self.users if wanted in {known.principal_name, known.object_id}), None)

    def identity(self, client_id: str) -> ManagedIdentity | None:
        """Find a managed identity; the empty id gives the app's own."""
        if not client_id:
            return self.identities[0] if self.identities else None
        return next((known for known in self.identities if known.client_id == client_id.lower()), None)


TENANT_ID = "0b1d9d6e-3c5a-4b0e-9f57-6b2c7f8a1d24"
DOMAIN = "lmints.io"
CLIENT_ID = "5f0e9c1a-7d42-4c38-8a6b-2e91b7d3f604"
READER_CLIENT_ID = "8c4a1f27-3e60-4d9b-b7a5-90d2e6f1c358"
IDENTITY_CLIENT_ID = "a3c2b1d0-9e8f-4756-b4a3-c2d1e0f98765"
IDENTITY_OBJECT_ID = "c7d8e9fa-0b1c-4d2e-8f30-415263748596"


def demo_directory(*, redirect_uris: list[str], client_secret: str = "", reader_secret: str = "") -> Directory:
    """Give the tenant of the local stack: two users, the connect application and its reader, one managed identity."""
    return Directory(
        tenant_id=TENANT_ID,
        domain=DOMAIN,
        users=[
            User(
                object_id="d1e2f3a4-b5c6-4d78-9e0f-a1b2c3d4e5f6",
                principal_name=f"megan@{DOMAIN}",
                display_name="Megan Bowen",
            ),
            User(
                object_id="e2f3a4b5-c6d7-4e89-8f01-b2c3d4e5f6a7",
                principal_name=f"alex@{DOMAIN}",
                display_name="Alex Wilber",
            ),
        ],
        applications=[
            Application(
                client_id=CLIENT_ID,
                object_id="f3a4b5c6-d7e8-4f90-9a12-c3d4e5f6a7b8",
                display_name="Business Central Connect",
                redirect_uris=list(redirect_uris),
                client_secrets=[ClientSecret(value=client_secret or new_secret())],
                federated_subjects=[IDENTITY_OBJECT_ID],
            ),
            Application(
                client_id=READER_CLIENT_ID,
                object_id="6a1e0c93-5b7d-4f82-a4c6-d8e9f0a1b2c3",
                display_name="Business Central Connect, reader",
                redirect_uris=[],
                client_secrets=[ClientSecret(value=reader_secret or new_secret())],
            ),
        ],
        identities=[ManagedIdentity(client_id=IDENTITY_CLIENT_ID, object_id=IDENTITY_OBJECT_ID)],
    )


FURTHER_TENANT_ID = "7c41e5a8-92d3-4f6b-8b10-5d2e9f0c3a76"
FURTHER_DOMAIN = "fabrikam.com"
FURTHER_CLIENT_ID = "1d7b3e90-46a5-4c2f-9e88-b05f6a2c7d13"


def further_directory(*, redirect_uris: list[str], client_secret: str = "") -> Directory:
    """Give the second tenant of the local stack: another company, with a user and a registration of its own."""
    return Directory(
        tenant_id=FURTHER_TENANT_ID,
        domain=FURTHER_DOMAIN,
        users=[
            User(
                object_id="a4b5c6d7-e8f9-4a01-8b23-c4d5e6f7a8b9",
                principal_name=f"nestor@{FURTHER_DOMAIN}",
                display_name="Nestor Wilke",
            )
        ],
        applications=[
            Application(
                client_id=FURTHER_CLIENT_ID,
                object_id="b5c6d7e8-f9a0-4b12-9c34-d5e6f7a8b9c0",
                display_name="Business Central Connect",
                redirect_uris=list(redirect_uris),
                client_secrets=[ClientSecret(value=client_secret or new_secret())],
            )
        ],
        identities=[],
    )


def new_secret() -> str:
    """Give a client secret of the length Entra's have."""
    return secrets.token_urlsafe(30)
