"""The webhook secret of the vault: from it URLs, clientStates and page sessions are derived."""

import threading
from datetime import datetime, timedelta
from typing import Final

from shared.clock import Clock, NewId
from shared.errors import StoreUnavailable
from shared.resource_names import SECRET_WEBHOOK
from shared.storage.table import SecretStore

_KEPT_FOR: Final = timedelta(minutes=10)


class WebhookSecret:
    """The secret, read at most once in ten minutes. Safe to share between threads."""

    def __init__(self, secrets: SecretStore, *, now: Clock, new_id: NewId) -> None:
        """Read nothing yet."""
        self._secrets = secrets
        self._now = now
        self._new_id = new_id
        self._lock = threading.Lock()
        self._held: tuple[datetime, bytes] | None = None

    def read(self) -> bytes | None:
        """Return the secret, None when the vault holds none. Raises StoreUnavailable."""
        now = self._now()
        with self._lock:
            held = self._held
        if held is not None and now - held[0] < _KEPT_FOR:
            return held[1]
        value = self._secrets.read(SECRET_WEBHOOK)
        if not value:
            return None
        with self._lock:
            self._held = (now, value.encode())
        return value.encode()

    def made(self) -> bytes:
        """Return the secret; a vault that has none yet gets a random one. Raises StoreUnavailable."""
        found = self.read()
        if found is None:
            self._secrets.write(SECRET_WEBHOOK, self._new_id() + self._new_id())
            found = self.read()
        if found is None:
            raise StoreUnavailable("the vault took bc-webhook-secret but does not give it back")
        return found

    def forget(self) -> None:
        """Read the secret again next time."""
        with self._lock:
            self._held = None
