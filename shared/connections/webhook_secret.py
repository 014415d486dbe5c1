"""The webhook secret of the vault: from it URLs, clientStates and page sessions are derived.

Whoever knows an address of ours can make the app look for it, so what the vault said last is remembered, absence and
failure as well: one read a minute and process at most, one at a time, and nobody waits long for another's read.
"""

import threading
from datetime import datetime, timedelta
from typing import Final

from shared.clock import Clock, NewId
from shared.errors import StoreUnavailable
from shared.resource_names import SECRET_WEBHOOK
from shared.storage.table import SecretStore

#: A secret in hand is read again after this; one that cannot be read again stays in use.
_KEPT_FOR: Final = timedelta(minutes=10)
#: How long the vault is not asked again after it said that there is none, or said nothing.
_PAUSE: Final = timedelta(minutes=1)
#: How long a call waits while another one reads; a vault may take its time, a thread of the webhook route may not.
_WAIT_S: Final = 2.0


class WebhookSecret:
    """The secret. Safe to share between threads."""

    def __init__(self, secrets: SecretStore, *, now: Clock, new_id: NewId) -> None:
        """Read nothing yet."""
        self._secrets = secrets
        self._now = now
        self._new_id = new_id
        self._reading = threading.Lock()
        self._value: bytes | None = None
        self._failure: StoreUnavailable | None = None  # of the last read
        self._read_at: datetime | None = None

    def read(self) -> bytes | None:
        """Return the secret, None when the vault holds none. Raises StoreUnavailable."""
        if self._is_due():
            if self._reading.acquire(timeout=_WAIT_S):
                try:
                    if self._is_due():
                        self._look()
                finally:
                    self._reading.release()
            elif self._value is None:
                raise StoreUnavailable("Key Vault: another call has been waiting for it for some time")
        if self._value is None and self._failure is not None:
            raise StoreUnavailable(str(self._failure))
        return self._value

    def made(self) -> bytes:
        """Return the secret; a vault that has none yet gets a random one. Raises StoreUnavailable."""
        found = self.read()
        if found is None:
            self.forget()  # another instance may have made it since
            found = self.read()
        if found is None:
            self._secrets.write(SECRET_WEBHOOK, self._new_id() + self._new_id())
            self.forget()
            found = self.read()
        if found is None:
            raise StoreUnavailable("the vault took bc-webhook-secret but does not give it back")
        return found

    def forget(self) -> None:
        """Ask the vault next time."""
        self._read_at = None

    def _is_due(self) -> bool:
        if self._read_at is None:
            return True
        kept_for = _KEPT_FOR if self._value is not None and self._failure is None else _PAUSE
        return self._now() - self._read_at >= kept_for

    def _look(self) -> None:
        """Ask the vault; a secret in hand outlives a vault that does not answer."""
        try:
            value = self._secrets.read(SECRET_WEBHOOK)
        except StoreUnavailable as error:
            self._failure = error
        else:
            self._value = value.encode() if value else None
            self._failure = None
        self._read_at = self._now()
