"""Secrets that move from one vault to another: read in the old one until they are written for the first time."""

from shared.storage.table import SecretStore


class MovedSecrets:
    """A vault, and behind it the one that held its secrets before. Nothing is written to or deleted from that one."""

    def __init__(self, vault: SecretStore, *, before: SecretStore) -> None:
        """Take both; reach for neither yet."""
        self._vault = vault
        self._before = before

    def read(self, name: str) -> str | None:
        """Return the newest version's value, of the old vault where the new one has none. Raises StoreUnavailable."""
        value = self._vault.read(name)
        return self._before.read(name) if value is None else value

    def write(self, name: str, value: str) -> None:
        """Store a new version in the new vault. Raises StoreUnavailable."""
        self._vault.write(name, value)
