"""Webhook rules: which URL and clientState a subscription has, what a delivery holds, and what of it is ours.

Nothing is looked up: path and clientState are derived from the webhook secret and the watched resource, so a forged
call is recognised without touching storage.
"""

import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal
from urllib.parse import unquote

from shared import exact_json, guid
from shared.business_central.entities import Entity
from shared.changes.jobs import NotificationJob, RecordChange, group_changes
from shared.resource_names import DEFAULT_CONNECTION

#: Largest body looked at, in bytes: BC sends at most 1,000 entries of some 500 bytes.
MAX_BODY: Final = 1024 * 1024
ROUTE: Final = "bc/notifications"

#: `resource` of a notification: relative or absolute, with the record's key, a query, or neither (plain collection).
_RESOURCE: Final = re.compile(
    rf"(?:https?://[^/?#]+/(?:[^?#]*/)?|/)?api/(?P<route>[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+){{0,2}})"
    rf"/companies\((?P<company>{guid.PATTERN})\)/(?P<set>[A-Za-z0-9_]+)"
    rf"(?:\((?P<key>{guid.PATTERN})\)|(?P<query>\?.*))?",
    re.IGNORECASE,
)
_CHANGES: Final = ("created", "updated", "deleted")

#: Many records changed at once: those a filter by time names, or any.
type Collection = Literal["filtered", "plain"]


@dataclass(frozen=True, slots=True)
class Target:
    """What one subscription watches."""

    company: str  # lower-case GUID
    entity: Entity


@dataclass(frozen=True, slots=True)
class Delivery:
    """One POST of Business Central, sorted."""

    target: Target | None  # None: nothing in it is ours
    changes: tuple[RecordChange, ...]
    collection: Literal["", "filtered", "plain"]
    foreign: int  # entries whose clientState, company, entity or host is not that of this URL
    unread: int  # entries or bodies that make no sense


def subscription_path(secret: bytes, state: str, target: Target, connection: str = DEFAULT_CONNECTION) -> str:
    """Return the rest of the subscription's own URL: the connection's id, but for `default`, and 32 hex digits.

    Nobody can guess these. `state` is the name of the connection's state, which no new name of the environment changes.
    """
    return path_prefix(connection) + _digest(secret, f"path|{state}|{target.entity.resource(target.company)}")[:32]


def path_prefix(connection: str) -> str:
    """Return what the paths of a connection begin with; those of `default` stay as they were made."""
    return "" if connection == DEFAULT_CONNECTION else f"{connection}/"


def connection_of(path: str) -> str:
    """Return the id of the connection to which a path may belong."""
    before, slash, _ = path.partition("/")
    return before if slash else DEFAULT_CONNECTION


def client_state(secret: bytes, path: str) -> str:
    """Return the `clientState` that BC sends along with every notification: 64 hex digits."""
    return _digest(secret, f"state|{path}")


def _digest(secret: bytes, text: str) -> str:
    return hmac.new(secret, text.encode(errors="surrogatepass"), "sha256").hexdigest()


def parse_delivery(
    body: bytes,
    *,
    path: str,
    secret: bytes,
    state: str,
    api_url: str,
    entities: Sequence[Entity],
    connection: str = DEFAULT_CONNECTION,
) -> Delivery:
    """Sort one delivery to `path`; never raises, as BC deletes all subscriptions of a URL after a 4xx.

    `entities` are those that may be watched, each at its own route.

    A body that does not hold the clientState of this URL is not parsed: its bytes are searched, which costs a forger
    more than us.
    """
    expected = client_state(secret, path)
    if len(body) > MAX_BODY or expected.encode() not in body:
        return Delivery(None, (), "", 1, 0)
    entries = _entries(body)
    if entries is None:
        return Delivery(None, (), "", 0, 1)
    target: Target | None = None
    changes: list[RecordChange] = []
    collections: set[Collection] = set()
    foreign = unread = 0
    for entry in entries:
        notified = _notified(entry, expected, api_url, entities)
        if isinstance(notified, _Dropped):
            foreign += notified is _Dropped.FOREIGN
            unread += notified is _Dropped.UNREAD
            continue
        if notified.target != target and subscription_path(secret, state, notified.target, connection) != path:
            foreign += 1  # nothing to guess: the clientState was right
            continue
        target = notified.target
        if notified.what is None:
            unread += 1
        elif isinstance(notified.what, RecordChange):
            changes.append(notified.what)
        else:
            collections.add(notified.what)
    return Delivery(target, tuple(changes), _widest(collections), foreign, unread)


class _Dropped(Enum):
    """Why an entry of a delivery is dropped."""

    FOREIGN = "its clientState is not that of this URL"
    UNREAD = "it makes no sense"


@dataclass(frozen=True, slots=True)
class _Notified:
    """One entry of a delivery whose clientState is right."""

    target: Target
    what: RecordChange | Collection | None  # None: a change that BC does not document


def _notified(entry: object, expected: str, api_url: str, entities: Sequence[Entity]) -> _Notified | _Dropped:
    if not isinstance(entry, dict):
        return _Dropped.UNREAD
    state = entry.get("clientState")
    if not isinstance(state, str) or not hmac.compare_digest(state.encode(), expected.encode()):
        return _Dropped.FOREIGN
    match = _match(entry.get("resource"), api_url)
    target = _target(match, entities)
    if match is None or target is None:
        return _Dropped.UNREAD
    return _Notified(target, _change(entry, match))


def _change(entry: dict[str, Any], match: re.Match[str]) -> RecordChange | Collection | None:
    """Return the record that changed, or that a collection did.

    A collection without a filter by time: deletes are among the changes, or there is no time to filter by
    (Microsoft Learn, "Working with webhooks in Dynamics 365 Business Central": `changeType` collection).
    """
    kind = entry.get("changeType")
    if kind == "collection":
        return "filtered" if "lastmodifieddatetime" in (match["query"] or "").lower() else "plain"
    if kind in _CHANGES and match["key"]:
        at = str(entry.get("lastModifiedDateTime") or "")[:40]
        return RecordChange(key=match["key"].lower(), kind=kind, at=at)
    return None


def _widest(collections: set[Collection]) -> Literal["", "filtered", "plain"]:
    return "plain" if "plain" in collections else "filtered" if collections else ""


def _entries(body: bytes) -> list[Any] | None:
    try:
        document = exact_json.loads(body)
    except ValueError:
        return None
    entries = document.get("value") if isinstance(document, dict) else None
    return entries if isinstance(entries, list) else None


def _match(resource: object, api_url: str) -> re.Match[str] | None:
    if not isinstance(resource, str) or len(resource) > 2048:
        return None
    text = unquote(resource)
    if text.lower().startswith(("http:", "https:")) and not text.lower().startswith(api_url.lower() + "/"):
        return None
    return _RESOURCE.fullmatch(text)


def _target(match: re.Match[str] | None, entities: Sequence[Entity]) -> Target | None:
    if match is None:
        return None
    wanted = match["set"].lower()
    for entity in entities:
        if entity.entity_set.lower() == wanted and entity.route.lower() == match["route"].lower():
            return Target(match["company"].lower(), entity)
    return None


def plan_jobs(
    delivery: Delivery, new_id: Callable[[], str], connection: str = DEFAULT_CONNECTION
) -> list[NotificationJob]:
    """Return the jobs for one delivery to a connection.

    Every job has a fresh name, so that a repeated delivery is another job.
    """
    if delivery.target is None:
        return []
    company, entity = delivery.target.company, delivery.target.entity.name
    jobs = [
        NotificationJob(job=new_id(), connection=connection, company=company, entity=entity, changes=group)
        for group in group_changes(delivery.changes)
    ]
    if delivery.collection:
        collection = delivery.collection
        jobs.append(
            NotificationJob(job=new_id(), connection=connection, company=company, entity=entity, collection=collection)
        )
    return jobs
