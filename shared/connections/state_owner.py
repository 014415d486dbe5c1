"""Whose state this is: the name under which the deployment keeps it, remembered in one row of table BcConnections.

The first part of every partition key is made of tenant and environment. A tenant written as domain and then as GUID, or
an environment that was renamed, would begin an empty state beside the old one: created records would never be
announced, an order that is invoiced already be posted again. So a new name is refused until an operator has chosen by
BC_STATE_NAME, either the old one or the new.
"""

import threading
from typing import Final

from shared.clock import Clock
from shared.errors import ConfigError
from shared.settings import Settings
from shared.storage.compare_and_swap import until_stored
from shared.storage.table import Row, Table

_PARTITION: Final = "deployment"
_KEY: Final = "state"


class StateOwner:
    """Compares the settings with the row, once per process. Safe to share between threads."""

    def __init__(self, connections: Table, settings: Settings, now: Clock) -> None:
        """Read nothing yet."""
        self._table = connections
        self._name = settings.connection
        self._is_chosen = bool(settings.state_name)
        self._now = now
        self._lock = threading.Lock()
        self._is_checked = False

    def check(self) -> None:
        """Return if the state of these settings is the one that was kept so far, or was chosen.

        Raises:
            ConfigError: it would be another one, and nobody has chosen it; names both.
            StateConflict: other processes kept changing the row.
            StoreUnavailable: the table did not answer.
        """
        with self._lock:
            if not self._is_checked:
                until_stored(self._compare, "the name of the state")
                self._is_checked = True

    def _compare(self) -> None:
        row = self._table.get(_PARTITION, _KEY)
        kept = self._name if row is None else row.text("name")
        if row is not None and kept == self._name:
            return
        if kept != self._name and not self._is_chosen:
            rule = (
                f"must say which state to go on with: {kept} was kept so far (the same environment, renamed), "
                f"{self._name} is what BC_TENANT_ID and BC_ENVIRONMENT name now (another environment)"
            )
            raise ConfigError({"BC_STATE_NAME": rule})
        noted = Row(partition=_PARTITION, key=_KEY, values={"name": self._name, "since": self._now()})
        if row is None:
            self._table.insert(noted)
        else:
            self._table.upsert(noted)
