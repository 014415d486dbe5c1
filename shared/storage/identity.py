"""The app's own identity in Azure: how it opens the vault, and the assertion that stands in for a client secret.

In Azure that is the managed identity (the platform sets IDENTITY_ENDPOINT), on a developer's machine whatever
`DefaultAzureCredential` finds. The SDK is imported on first use, as it costs a cold start some 100 ms.
"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from shared.errors import ConfigError, TokenError
from shared.settings import StorageSettings

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

#: What Entra takes as a client assertion from a managed identity that the registration trusts (federated credential).
EXCHANGE_SCOPE: Final = "api://AzureADTokenExchange/.default"


def has_managed_identity() -> bool:
    """Whether the platform offers a managed identity; the same test as azure-identity makes."""
    return bool(os.environ.get("IDENTITY_ENDPOINT"))


def app_credential(client_id: str, *, ca_bundle: str | None = None) -> "TokenCredential":
    """Return the credential for Azure services; `client_id` names a user-assigned identity ("": the app's own)."""
    from azure.identity import DefaultAzureCredential, ManagedIdentityCredential  # noqa: PLC0415

    if has_managed_identity():
        return ManagedIdentityCredential(client_id=client_id or None)
    return DefaultAzureCredential(
        managed_identity_client_id=client_id or None,
        connection_verify=ca_bundle or True,
        exclude_interactive_browser_credential=True,
    )


def storage_client[T](
    storage: StorageSettings,
    by_string: Callable[[str], T],
    by_identity: "Callable[[TokenCredential], T]",
    *,
    credential: "TokenCredential | None",
    ca_bundle: str | None,
) -> T:
    """Return an SDK client of the storage account, by connection string or as the app's identity.

    Raises:
        ConfigError: the connection string or endpoint is not one.
    """
    try:
        if storage.connection_string:
            return by_string(storage.connection_string)
        return by_identity(credential or app_credential(storage.client_id, ca_bundle=ca_bundle))
    except ValueError:  # its text may quote the string, so it is not chained
        raise ConfigError({"AzureWebJobsStorage": "a complete connection string, or an https endpoint"}) from None


def client_assertion(client_id: str) -> Callable[[], str] | None:
    """Return what fetches a fresh client assertion from the managed identity; None where there is no identity.

    The callable raises TokenError (retryable) when the identity endpoint gives no token.
    """
    if not has_managed_identity():
        return None
    held: list[TokenCredential] = []

    def fetch() -> str:
        from azure.core.exceptions import AzureError  # noqa: PLC0415
        from azure.identity import ManagedIdentityCredential  # noqa: PLC0415

        if not held:
            held.append(ManagedIdentityCredential(client_id=client_id or None))
        try:
            return held[0].get_token(EXCHANGE_SCOPE).token
        except AzureError as error:
            message = f"the managed identity gave no token: {type(error).__name__}"
            raise TokenError(message, code="managed_identity_unavailable", retryable=True) from None

    return fetch
