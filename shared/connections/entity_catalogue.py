"""The entity catalogue of one connection: its entities, resolved by what Business Central said of them last.

Owns when Business Central is asked: timers call `refresh`, which asks once a day and route, sooner while an entry is
refused or waits. Everybody else gets what is stored, and notifications (`declared`) not even that.
"""

import logging
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from shared.business_central.entities import STANDARD_ROUTE, Entity
from shared.business_central.metadata import RouteFacts
from shared.business_central.port import BusinessCentral
from shared.clock import Clock
from shared.connections import entity_rules
from shared.connections.discovery_store import DiscoveryStore, Kept
from shared.connections.entity_entries import SETTING, read_entries
from shared.connections.entity_rules import Offer, Resolved
from shared.errors import BCError, BCNotFound, BudgetExhausted, TokenError
from shared.log import log_event
from shared.settings import Settings

log: Final = logging.getLogger(__name__)

#: What was read is read again after this; what does not bear out the settings after the shorter time.
FRESH_FOR: Final = timedelta(hours=24)
DOUBTED_AFTER: Final = timedelta(hours=1)
#: How long a process goes by what it has read of the table.
_HELD_FOR: Final = timedelta(minutes=5)
#: Entities at routes that are no longer published must not be asked for in vain for ever.
_NOT_PUBLISHED: Final[RouteFacts] = {}


class EntityCatalogue:
    """The entities of one connection. Safe to share between threads."""

    def __init__(self, settings: Settings, bc: BusinessCentral, store: DiscoveryStore, now: Clock) -> None:
        """Read the setting BC_ENTITIES, and nothing else yet."""
        self._bc = bc
        self._store = store
        self._now = now
        self._of = settings.id if len(settings.ids) > 1 else ""
        entries, self._entry_faults = read_entries(settings.entities)
        self._declared = entity_rules.declared(
            entries, triggers=settings.triggers, expanded=settings.expanded, changes=settings.changes
        )
        self._routes = frozenset(entry.route for entry in entries)  # of which something must be known
        self._lock = threading.Lock()
        self._held: tuple[datetime, Resolved] | None = None
        self._logged: frozenset[str] = frozenset()

    @property
    def declared(self) -> tuple[Entity, ...]:
        """The entities as far as the settings say; asks nobody, not even the table."""
        return tuple(one.entity for one in self._declared)

    @property
    def webhook_routes(self) -> list[str]:
        """The API routes where webhooks are wanted, Microsoft's own first. Raises as `resolved`."""
        routes = {entity.route for entity in self.resolved().watched if entity.by_webhook}
        return [STANDARD_ROUTE, *sorted(routes - {STANDARD_ROUTE})]

    def resolved(self) -> Resolved:
        """Return the entities that can be served, and why others can't.

        Raises:
            StoreUnavailable: the table did not answer.
        """
        now = self._now()
        with self._lock:
            held = self._held
        if held is not None and now - held[0] < _HELD_FOR:
            return held[1]
        return self._hold(self._store.routes() if self._routes else {}, now)

    def _may_list_more(self, kept: Kept[frozenset[str]]) -> bool:
        missing = {
            entity.route
            for entity in self.resolved().watched
            if entity.by_webhook and entity.webhook_resource not in kept.value
        }
        routes = self._store.routes() if missing & self._routes else {}
        return any(routes[route].at > kept.at for route in missing & routes.keys())

    def facts(self) -> Mapping[str, RouteFacts]:
        """Return route -> what is stored of it, of the routes that BC_ENTITIES names. Raises as `resolved`."""
        return {route: one.value for route, one in self._store.routes().items()} if self._routes else {}

    def named(self, name: str) -> Entity | None:
        """Return an entity by its name; None if it is not configured, or refused. Raises as `resolved`."""
        return self.resolved().named(name)

    def refresh(self) -> None:
        """Ask Business Central for what is not known, or was read too long ago; what can't be had stays as it is.

        Raises:
            StoreUnavailable: the table did not answer.
        """
        if self._routes:
            self._read_routes(self._routes)

    def offered(self, company: str) -> frozenset[str] | None:
        """Return what may be subscribed in a company, at most a day old; None when Business Central gives no list.

        It is asked anew for an entity that is not listed and whose route was read since, as its page may be new.

        Raises:
            StoreUnavailable: the table did not answer.
        """
        kept = self._store.webhooks_of(company)
        now = self._now()
        if kept is not None and now - kept.at < FRESH_FOR and not self._may_list_more(kept):
            return kept.value
        try:
            resources = self._bc.webhook_resources(company)
        except (BCError, BudgetExhausted) as error:
            log_event(log, "subscription.failed", kind="resources", company=company, reason=str(error))
            return None if kept is None else kept.value
        self._store.save_webhooks(company, resources, now)
        return resources

    def known_webhooks(self) -> frozenset[str] | None:
        """Return what may be subscribed in any company, as it is stored; None when nothing is."""
        kept = self._store.webhooks()
        return frozenset().union(*(one.value for one in kept.values())) if kept else None

    def offers(self, company: str) -> list[Offer]:
        """Return what the connection offers in a company, for a person who chooses: at every route in sight.

        Raises:
            StoreUnavailable: the table did not answer.
        """
        webhooks = self.offered(company)
        kept = self._read_routes(self._routes | {STANDARD_ROUTE} | _routes_in(webhooks or frozenset()))
        return entity_rules.offers({route: one.value for route, one in kept.items()}, webhooks)

    def _read_routes(self, routes: frozenset[str]) -> Mapping[str, Kept[RouteFacts]]:
        """Read anew what is due among some routes; return all that is known of any."""
        now = self._now()
        kept = dict(self._store.routes())
        doubted = self._doubted(kept)
        for route in sorted(routes):
            one = kept.get(route)
            wait = DOUBTED_AFTER if route in doubted else FRESH_FOR
            if one is not None and now - one.at < wait:
                continue
            try:
                facts = self._bc.metadata(route)
            except BCNotFound:
                facts = _NOT_PUBLISHED
            except (BCError, BudgetExhausted, TokenError) as error:
                log_event(log, "entities.unread", level=logging.WARNING, path=route, reason=str(error))
                continue
            self._store.save_route(route, facts, now)
            kept[route] = Kept(facts, now)
        self._hold(kept, now)
        return kept

    def _doubted(self, kept: Mapping[str, Kept[RouteFacts]]) -> set[str]:
        """Return the routes of entries that what is known does not bear out."""
        served = {entity.name for entity in self._resolve(kept).entities}
        return {one.entity.route for one in self._declared if one.entity.name not in served}

    def _hold(self, kept: Mapping[str, Kept[RouteFacts]], now: datetime) -> Resolved:
        found = self._resolve(kept)
        if any(not one.value for route, one in kept.items() if route in self._routes):
            found = self._resolve(kept, _routes_in(self.known_webhooks() or frozenset()))
        with self._lock:
            self._held = (now, found)
            news = [fault for fault in found.faults if fault not in self._logged]
            self._logged = frozenset(found.faults)
        for fault in news:
            log_event(log, "entity.refused", level=logging.ERROR, reason=fault)
        return found

    def _resolve(self, kept: Mapping[str, Kept[RouteFacts]], in_sight: frozenset[str] = frozenset()) -> Resolved:
        facts = {route: one.value for route, one in kept.items() if route in self._routes}
        published = in_sight | {route for route, one in kept.items() if one.value}
        found = entity_rules.resolved(self._declared, facts, known_routes=published)
        waiting = [f"{SETTING}: {name} waits until its $metadata can be read" for name in found.waiting]
        faults = [*self._entry_faults, *found.faults]
        return Resolved(found.entities, tuple(map(self._named, faults)), tuple(map(self._named, waiting)))

    def _named(self, fault: str) -> str:
        """Return a message with the connection that it is about, where there are several."""
        return fault.replace(SETTING, f"{SETTING} of {self._of}", 1) if self._of else fault


def _routes_in(resources: frozenset[str]) -> frozenset[str]:
    """Return the routes of what may be subscribed (`contoso/shop/v1.0/stocklevels`)."""
    return frozenset(route for route, _, name in (one.rpartition("/") for one in resources) if route and name)
