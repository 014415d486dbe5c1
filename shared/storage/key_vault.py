"""Key Vault secrets: the real `SecretStore`.

The SDK is imported and the client built on first use. A secret's value appears in no message: errors carry the HTTP
status and the vault's own code only.
"""

from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from shared.errors import StoreUnavailable
from shared.storage.http_transport import sdk_transport
from shared.storage.identity import app_credential

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.core.pipeline.transport import HttpTransport
    from azure.keyvault.secrets import SecretClient

#: Hosts whose challenge must name the vault's own domain. Only elsewhere (the local stack) is that check switched off.
VAULT_SUFFIXES: Final = (".vault.azure.net", ".vault.azure.cn", ".vault.usgovcloudapi.net", ".vault.microsoftazure.de")
CONNECT_TIMEOUT_S: Final = 4
READ_TIMEOUT_S: Final = 8
RETRIES: Final = 2


class KeyVaultSecrets:
    """Secrets of one vault; safe to share between threads."""

    def __init__(
        self,
        vault_url: str,
        *,
        client_id: str = "",
        ca_bundle: str | None = None,
        credential: "TokenCredential | None" = None,
        transport: "HttpTransport[Any, Any] | None" = None,
    ) -> None:
        """Take the vault's origin and the user-assigned identity's client id ("": the app's own identity).

        `credential` and `transport` replace the app's identity and the network; tests use them.
        """
        self._url = vault_url
        self._client_id = client_id
        self._ca_bundle = ca_bundle
        self._credential = credential
        self._transport = transport
        self._lock = Lock()
        self._built: SecretClient | None = None

    def read(self, name: str) -> str | None:
        """Return the newest version's value, None when there is no such secret.

        Raises:
            StoreUnavailable: the vault did not answer or refused.
        """
        from azure.core.exceptions import AzureError, ResourceNotFoundError  # noqa: PLC0415

        try:
            return self._client().get_secret(name).value
        except ResourceNotFoundError:
            return None
        except (AzureError, ValueError) as error:
            raise _unavailable(error, f"read secret {name}") from None

    def write(self, name: str, value: str) -> None:
        """Store a new version; a vault takes some 25,000 bytes.

        Raises:
            StoreUnavailable: the vault did not answer or refused.
        """
        from azure.core.exceptions import AzureError  # noqa: PLC0415

        try:
            self._client().set_secret(name, value)
        except (AzureError, ValueError) as error:
            raise _unavailable(error, f"write secret {name}") from None

    def close(self) -> None:
        """Give up the connections; a later call opens new ones."""
        with self._lock:
            client, self._built = self._built, None
        if client is not None:
            client.close()

    def _client(self) -> "SecretClient":
        with self._lock:
            if self._built is None:
                from azure.keyvault.secrets import SecretClient  # noqa: PLC0415

                host = urlsplit(self._url).hostname or ""
                self._built = SecretClient(
                    vault_url=self._url,
                    credential=self._credential or app_credential(self._client_id, ca_bundle=self._ca_bundle),
                    verify_challenge_resource=host.endswith(VAULT_SUFFIXES),
                    transport=self._transport
                    or sdk_transport(connect_s=CONNECT_TIMEOUT_S, read_s=READ_TIMEOUT_S, ca_bundle=self._ca_bundle),
                    retry_total=RETRIES,
                    retry_backoff_factor=0.2,
                    retry_backoff_max=2,
                )
            return self._built


def _unavailable(error: Exception, doing: str) -> StoreUnavailable:
    """Return what failed in the vault's own codes: its message may quote what was sent."""
    status = getattr(error, "status_code", None)
    odata = getattr(error, "error", None)
    code = getattr(odata, "code", None)
    inner = getattr(odata, "innererror", None)
    inner_code = inner.get("code") if isinstance(inner, dict) else None
    words = [str(word) for word in (status, inner_code or code) if word]
    return StoreUnavailable(f"Key Vault, {doing}: {' '.join(words) or type(error).__name__}")
