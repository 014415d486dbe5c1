"""Whose state this is: which environment each connection was connected to, in one row each of table BcConnections.

State belongs to the id that an operator chose. Settings that name something else under an old id would announce the
records of one environment by the ledger of another, or post an order twice, so they are refused until an operator has
said what they mean (P4, P8). A tenant is the same by domain or by GUID; an environment that was renamed keeps its state
once BC_RENAMED_FROM names its old name; another environment gets another id.

The row keeps what must outlive a rename, too: the name of the state, which begins every partition key, and the URL of
which event ids are made.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from shared.clock import Clock
from shared.errors import ConfigError, IntegrationError, TokenError
from shared.guid import is_guid
from shared.settings import Settings
from shared.storage.compare_and_swap import until_stored
from shared.storage.keys import after, row_key, split_key
from shared.storage.table import Row, Table

_PARTITION: Final = "deployment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a connection is connected to: an environment under an identity, and what of it its state keeps."""

    tenant: str  # as the settings wrote it last
    tenant_id: str  # its GUID; "" while nobody could find it out
    environment: str  # as the settings wrote it last
    client_id: str
    state: str = ""  # name of the state
    first_url: str = ""  # the environment's URL on the first day
    since: datetime | None = None

    def same_tenant(self, other: "Place") -> bool | None:
        """Return whether both name one tenant; None when a domain and a GUID can't be compared."""
        if self.tenant.lower() == other.tenant.lower():
            return True
        if self.tenant_id and other.tenant_id:
            return self.tenant_id == other.tenant_id
        return None

    def same_environment(self, other: "Place") -> bool:
        """Return whether both write the environment alike; case does not matter to Business Central."""
        return self.environment.lower() == other.environment.lower()


def fault_of(kept: Place, now: Place, renamed_from: str) -> str:
    """Return why settings that name `now` may not use the state of `kept`; "" when they may."""
    if not kept.same_tenant(now):
        return (
            f"names tenant {now.tenant}, and the state is that of {kept.tenant}; give another tenant an id of its own "
            "in BC_CONNECTIONS"
        )
    if kept.same_environment(now) or kept.environment.lower() == renamed_from.lower():
        return ""
    return (
        f"names environment {now.environment}, and the state is that of {kept.environment}; if it was renamed, set "
        f"BC_RENAMED_FROM={kept.environment}; if it is another one, give it an id of its own in BC_CONNECTIONS"
    )


def places(connections: Table) -> dict[str, Place]:
    """Return what every connection that there ever was is connected to, by id. Raises StoreUnavailable."""
    head = row_key("connection") + "|"
    return {split_key(row.key)[1]: _place(row) for row in connections.query(_PARTITION, head, after(head))}


def _place(row: Row) -> Place:
    return Place(
        tenant=row.text("tenant"), tenant_id=row.text("tenant_id"), environment=row.text("environment"),
        client_id=row.text("client_id"), state=row.text("state"), first_url=row.text("first_url"),
        since=row.time("since"),
    )  # fmt: skip


class StateOwner:
    """Compares the settings of one connection with its row, once per process. Safe to share between threads."""

    def __init__(
        self,
        connections: Table,
        settings: Settings,
        url: str,
        now: Clock,
        *,
        find_tenant: Callable[[str], str],
        setting: Callable[[str], str] = str,
    ) -> None:
        """Read nothing yet.

        `url` is the environment's; `find_tenant` returns the GUID of a domain, or raises TokenError; `setting` returns
        the name under which the operator has set a setting.
        """
        self._table = connections
        self._settings = settings
        self._url = url
        self._now = now
        self._find_tenant = find_tenant
        self._setting = setting
        self._lock = threading.Lock()
        self._found: Settings | None = None

    def check(self) -> Settings:
        """Return the settings with the state that they may use.

        Raises:
            ConfigError: it is the state of another environment, or another connection has this one; names both.
            TokenError: whether it is the same tenant can't be told, as the login does not answer; retryable.
            StateConflict: other processes kept changing the row.
            StoreUnavailable: the table did not answer.
        """
        with self._lock:
            if self._found is None:
                place = until_stored(self._compare, "the place of a connection")
                self._found = replace(
                    self._settings, state=place.state, first_url=place.first_url, tenant_guid=place.tenant_id
                )
            return self._found

    def _compare(self) -> Place:
        settings = self._settings
        kept = self._load(settings.id)
        wanted = Place(
            tenant=settings.tenant_id, tenant_id=self._known_id(kept), environment=settings.environment,
            client_id=settings.client_id.lower(),
        )  # fmt: skip
        if kept is not None and kept.same_tenant(wanted) is None:
            kept = replace(kept, tenant_id=kept.tenant_id or self._look_up(kept.tenant))
        if kept is not None and kept.same_tenant(wanted) is None:
            reason = f"can't tell whether {wanted.tenant} is tenant {kept.tenant}, to which the state belongs"
            raise TokenError(f"{reason}: the login does not say", code="tenant_unknown", retryable=True)
        self._refuse_twin(wanted)
        if kept is None:
            self._refuse_new_id(wanted)
            kept = replace(wanted, state=settings.connection, first_url=self._url, since=self._now())
            self._table.insert(self._row(kept))
            return kept
        fault = fault_of(kept, wanted, settings.renamed_from)
        if fault:
            name = "BC_ENVIRONMENT" if kept.same_tenant(wanted) else "BC_TENANT_ID"
            raise ConfigError({self._setting(name): fault})
        current = replace(
            wanted, tenant_id=wanted.tenant_id or kept.tenant_id, state=kept.state, first_url=kept.first_url,
            since=kept.since,
        )  # fmt: skip
        if current != kept:
            self._table.upsert(self._row(current))
        return current

    def _known_id(self, kept: Place | None) -> str:
        """Return the GUID of the settings' tenant: as written, kept, or said by the login; "" when it says nothing."""
        written = self._settings.tenant_id.lower()
        if is_guid(written):
            return written
        if kept is not None and kept.tenant_id and kept.tenant.lower() == written:
            return kept.tenant_id
        return self._look_up(written)

    def _look_up(self, tenant: str) -> str:
        """Return what the login says; "" when it says nothing, which another process will find out."""
        try:
            return tenant if is_guid(tenant) else self._find_tenant(tenant)
        except IntegrationError:
            return ""

    def _refuse_twin(self, wanted: Place) -> None:
        """Refuse what a connection before this one has, under whatever name of the tenant."""
        for other in self._settings.ids[: self._settings.ids.index(self._settings.id)]:
            place = self._load(other)
            is_twin = place is not None and place.client_id == wanted.client_id and place.same_environment(wanted)
            if place is not None and is_twin and place.same_tenant(wanted):
                rule = f"names the same environment and application as connection {other}"
                raise ConfigError(
                    {self._setting("BC_ENVIRONMENT"): f"{rule}: tenant {wanted.tenant} is {place.tenant}"}
                )

    def _refuse_new_id(self, wanted: Place) -> None:
        """Refuse what an id that is not listed any more has the state of: its orders would be unknown."""
        for other, place in places(self._table).items():
            is_same = place.client_id == wanted.client_id and place.same_environment(wanted)
            if other not in self._settings.ids and is_same and place.same_tenant(wanted):
                rule = (
                    f"names the environment and application whose state is that of connection {other}; write {other} "
                    f"in place of {self._settings.id}, or begin without what is known, as docs/operations.md says"
                )
                raise ConfigError({"BC_CONNECTIONS": rule})

    def _load(self, connection: str) -> Place | None:
        row = self._table.get(_PARTITION, row_key("connection", connection))
        return None if row is None else _place(row)

    def _row(self, place: Place) -> Row:
        return Row(
            partition=_PARTITION,
            key=row_key("connection", self._settings.id),
            values={
                "tenant": place.tenant, "tenant_id": place.tenant_id, "environment": place.environment,
                "client_id": place.client_id, "state": place.state, "first_url": place.first_url,
                "since": place.since or self._now(),
            },
        )  # fmt: skip
