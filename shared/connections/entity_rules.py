"""Which entities there are: what the app brings along, what BC_ENTITIES says, and what Business Central declares.

Pure. `declared` merges the settings and asks nobody, so that a notification is recognised without a look anywhere;
`resolved` adds what `$metadata` says and refuses what it does not bear out, each entry for itself.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from shared.business_central.entities import ENTITIES, STANDARD_ROUTE, Entity
from shared.business_central.metadata import GUID, TEXT, Navigation, RouteFacts, SetFacts
from shared.connections.entity_entries import SETTING, Entry, nearest

#: Text properties that full reads are sorted and cut by, the first that a set has.
_SORTS: Final = ("number", "code")
_ONE_KEY: Final = "publish the page with ODataKeyFields = SystemId"


@dataclass(frozen=True, slots=True)
class Declared:
    """An entity as far as the settings say; `entry` is None for one that BC_ENTITIES does not name."""

    entity: Entity
    entry: Entry | None


@dataclass(frozen=True, slots=True)
class Resolved:
    """The entities that can be served, and why others can't."""

    entities: tuple[Entity, ...]
    faults: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()  # entries whose route has not been read yet

    def named(self, name: str) -> Entity | None:
        """Return an entity by its name."""
        return next((entity for entity in self.entities if entity.name == name), None)

    @property
    def watched(self) -> tuple[Entity, ...]:
        """The entities whose changes are announced."""
        return tuple(entity for entity in self.entities if entity.watch != "off")

    @property
    def pulled(self) -> tuple[Entity, ...]:
        """The entities that the scheduled pull reads."""
        return tuple(entity for entity in self.entities if entity.pull)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One entity set that a connection offers, for people who choose."""

    entity_set: str
    route: str
    has_webhook: bool | None  # None: not known
    has_times: bool
    expandable: tuple[str, ...]
    line: str  # ready for BC_ENTITIES; "" if it can't be served
    refused: str = ""  # why it can't be served


def declared(
    entries: Iterable[Entry], *, triggers: Collection[str], expanded: Collection[str], changes: frozenset[str]
) -> list[Declared]:
    """Merge the entries over the entities that the app brings along.

    An entry overrides BC_TRIGGERS and BC_PULL_* for its entity; without one they count. `changes` is BC_CHANGES.
    """
    by_name = {entry.name: entry for entry in entries}
    found: list[Declared] = []
    for name, row in ENTITIES.items():
        entry = by_name.pop(name, None)
        if entry is not None:
            found.append(Declared(_merged(row, entry, changes), entry))
            continue
        entity = row if name in expanded else row.plain()
        found.append(Declared(replace(entity, changes=changes, watch="auto" if name in triggers else "off"), None))
    for entry in by_name.values():
        row = Entity(name=entry.name, event="", route=entry.route, sort="")
        found.append(Declared(_merged(row, entry, changes), entry))
    return found


def _merged(row: Entity, entry: Entry, changes: frozenset[str]) -> Entity:
    if entry.expand is not None and row.expand not in entry.expand:
        row = row.plain()
    return replace(
        row,
        event=entry.event or row.event,
        expand=row.expand if entry.expand is None else ",".join(entry.expand),
        select=entry.select or (),
        changes=changes if entry.changes is None else entry.changes,
        pull=row.pull if entry.pull is None else entry.pull,
        watch=entry.watch,
        only_when_changed=entry.only_when_changed,
    )


def resolved(
    found: Sequence[Declared], routes: Mapping[str, RouteFacts], *, known_routes: Iterable[str] = ()
) -> Resolved:
    """Complete the declared entities by the facts of their routes; a route without any set is not published.

    Of a route that is missing in `routes` nothing is known yet: entities that the app brings along go on, others wait.
    """
    entities: list[Entity] = []
    faults: list[str] = []
    waiting: list[str] = []
    for one in found:
        entity, entry = one.entity, one.entry
        if entry is not None:
            facts = routes.get(entity.route)
            if facts is None and entity.name not in ENTITIES:
                waiting.append(entity.name)
                continue
            if facts is not None:
                try:
                    entity = _completed(entity, facts, known_routes)
                except ValueError as error:
                    faults.append(entry.fault(str(error)))
                    continue
        twin = next((other for other in entities if _clash(other, entity)), None)
        if twin is not None and entry is not None:
            faults.append(entry.fault(f'event: "{entity.event}" is that of {twin.name}; give this one another "event"'))
            continue
        entities.append(entity)
    return Resolved(tuple(entities), tuple(faults), tuple(waiting))


def _clash(one: Entity, other: Entity) -> bool:
    """Return whether two entities that are in use bear one event name."""
    in_use = all(entity.pull or entity.watch != "off" for entity in (one, other))
    return in_use and one.event.lower() == other.event.lower()


def _completed(entity: Entity, facts: RouteFacts, known_routes: Iterable[str]) -> Entity:
    """Return the entity with what its set declares; ValueError says all that does not fit."""
    if not facts:
        raise ValueError(f"route: no API is published at {entity.route}{nearest(entity.route, known_routes)}")
    found = facts.get(entity.entity_set)
    if found is None:
        names = (name for name, one in facts.items() if one.in_company)
        near = nearest(entity.entity_set, names)
        raise ValueError(f"entitySet: there is no {entity.entity_set} at {entity.route}{near}")
    fault = unserved(found)
    if fault:
        raise ValueError(fault)
    faults = [*_unknown_names(entity, found), *_without_times(entity, found)]
    if faults:
        raise ValueError("; ".join(faults))
    if entity.name in ENTITIES:
        return entity
    sort = next((name for name in _SORTS if found.properties.get(name) == TEXT), "")
    completed = replace(
        entity, event=entity.event or found.type_name, key=found.keys[0], sort=sort, has_times=found.has_times
    )
    nested = _expanded(entity, found, facts)
    if nested is None:
        return completed
    return replace(completed, expanded_set=nested.target, expanded_parent=nested.parent)


def unserved(found: SetFacts) -> str:
    """Return why an entity set can't be served at all, "" when it can."""
    if not found.in_company:
        return f"entitySet: {found.name} lies in no company"
    if len(found.keys) != 1:
        return f"entitySet: {found.name} has a composite key ({', '.join(found.keys)}); {_ONE_KEY}"
    kind = found.properties.get(found.keys[0], "")
    if kind != GUID:
        return f"entitySet: the key of {found.name}, {found.keys[0]}, is no GUID; {_ONE_KEY}"
    return ""


def _unknown_names(entity: Entity, found: SetFacts) -> list[str]:
    """Return what is named in the entry and does not exist."""
    navigations = [navigation.name for navigation in found.navigations]
    expand = [name for name in entity.expand.split(",") if name]
    asked: dict[str, tuple[Iterable[str], Collection[str], str]] = {
        "expand": (expand, navigations, "nothing to expand"),
        "select": (entity.select, found.properties, "no property"),
        "onlyWhenChanged": (entity.only_when_changed, [*found.properties, *expand], "no property, nor expanded"),
    }
    faults = [
        f"{member}: {name} is {what} of {found.name}{nearest(name, known)}"
        for member, (names, known, what) in asked.items()
        for name in names
        if name not in known
    ]
    if entity.select:
        unread = [one for one in entity.only_when_changed if one not in {*entity.select, *entity.technical, *expand}]
        faults += [f"onlyWhenChanged: {name} is not among those of select" for name in unread]
    return faults


def _without_times(entity: Entity, found: SetFacts) -> list[str]:
    """Return what is asked for that needs times of change, which the set does not have."""
    if found.has_times:
        return []
    rule = f"{found.name} has no lastModifiedDateTime, so only the daily snapshot serves it"
    wants = {"pull: must be false": entity.pull, "watch: must not be webhook": entity.watch == "webhook"}
    return [f"{what}: {rule}" for what, is_wanted in wants.items() if is_wanted]


def _expanded(entity: Entity, found: SetFacts, facts: RouteFacts) -> Navigation | None:
    """Return the first expanded list whose own changes a delta can find: by time, with the parent's key."""
    for navigation in found.navigations:
        target = facts.get(navigation.target)
        if navigation.name not in entity.expand.split(",") or not navigation.is_many or target is None:
            continue
        is_keyed = target.keys == ("id",) and target.properties.get(navigation.parent) == GUID
        if is_keyed and target.has_times:
            return navigation
    return None


def offers(routes: Mapping[str, RouteFacts], webhooks: Collection[str] | None) -> list[Offer]:
    """Return what some routes offer; `webhooks`: what may be subscribed (`v2.0/items`, lower case), None: not known."""
    return [
        _offer(found, route, webhooks)
        for route, facts in sorted(routes.items(), key=lambda one: (one[0] != STANDARD_ROUTE, one[0]))
        for _, found in sorted(facts.items())
        if found.in_company
    ]


def _offer(found: SetFacts, route: str, webhooks: Collection[str] | None) -> Offer:
    refused = unserved(found)
    entry = {"entitySet": found.name} | ({} if route == STANDARD_ROUTE else {"route": route})
    return Offer(
        entity_set=found.name,
        route=route,
        has_webhook=None if webhooks is None else f"{route}/{found.name}".lower() in webhooks,
        has_times=found.has_times,
        expandable=found.expandable,
        line="" if refused else json.dumps(entry),
        refused=refused.removeprefix("entitySet: "),
    )


def without_webhook(found: Resolved, webhooks: Collection[str] | None) -> list[str]:
    """Return which entities want a webhook that is not offered; the reconcile serves them."""
    return [
        f"{SETTING} ({entity.name}): watch: Business Central offers no webhook for it; the reconcile alone serves it"
        for entity in found.watched
        if entity.watch == "webhook" and webhooks is not None and entity.webhook_resource not in webhooks
    ]


def how_served(entity: Entity, *, has_webhook: bool | None) -> str:
    """Return how an entity is watched and why so, as the status page says it; `has_webhook` None: not known yet."""
    if entity.watch == "off":
        return "not watched"
    if not entity.has_times:
        return "by the daily snapshot alone, as it has no lastModifiedDateTime"
    if entity.watch == "reconcile":
        return "by the reconcile alone, as watch says"
    if has_webhook is False:
        return "by the reconcile alone, as Business Central offers no webhook for it"
    return "by webhook and reconcile"
