"""The jobs that travel on our own queues, and their JSON form.

No member may be named `id`, `dequeueCount`, `insertionTime`, `expirationTime`, `nextVisibleTime` or `popReceipt`: the
Functions worker lets such a member of a JSON body replace the real value of the message (worker issue 1373).
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, Self

from shared.business_central.entities import ENTITIES, Entity
from shared.errors import InvalidMessage

#: Most record ids in one notification job; also what one read fetches with `id eq .. or id eq ..` (5.4 KB of URL).
GROUP: Final = 100

type Purpose = Literal["pull", "watch", "compare"]
type Mode = Literal["full", "delta", "list"]
type Phase = Literal["records", "nested", "commit", "settle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageJob:
    """One page of a run, or the commit that follows its last page.

    A run reads one stream (company, entity, purpose) in one or more partitions, each a chain of page jobs: every page
    enqueues the next, and the last one the commit (a delta's does it itself if it has nothing to tell). `full` reads
    everything in order of `number`, `delta` what was modified since a time, `list` only ids (for the ledger).
    """

    run: str
    purpose: Purpose
    mode: Mode
    company: str
    entity: str
    partition: int = 0
    page: int = 1
    phase: Phase = "records"
    link: str = ""  # next link as BC sent it; "" asks anew, after `after` when that is set
    since: str = ""  # delta: lastModifiedDateTime ge
    low: str = ""  # full: number ge
    high: str = ""  # full: number lt
    after: str = ""  # sort value of the last row done, for asking anew in mid-stream
    after_ids: tuple[str, ...] = ()  # ids done at that very sort value
    edge: str = ""  # delta by link: sort value of the row that the link names, when the link was made
    jumps: int = 0  # how often in a row a link at this edge was found to have led over rows
    began: str = ""  # BC's own time when the partition's first page was answered
    rows: int = 0  # page size to ask for; 0: the configured one
    total: int = 0  # rows read so far in this partition
    redrive: int = 0  # how often this job was put back to work after being set aside

    @property
    def job(self) -> str:
        """Name of the job: the same for every delivery and redrive of it."""
        return f"{self.run}-{self.partition:02d}-{self.page:06d}"

    def next(self, **changes: Any) -> Self:
        """Return the job that follows this one."""
        return replace(self, page=self.page + 1, redrive=0, **changes)

    def to_text(self) -> str:
        """Return the queue message; `job` is a member because the blob's path is taken from it."""
        return json.dumps({"job": self.job, **asdict(self)}, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> "PageJob":
        """Read a queue message.

        Raises:
            InvalidMessage: not a page job of this app.
        """
        members = _members(text)
        members["after_ids"] = tuple(members.get("after_ids", ()))
        return _build(PageJob, members)

    def entity_row(self) -> Entity:
        """Return the facts about the entity."""
        return _entity(self.entity)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordChange:
    """One record that BC or the compare says has changed."""

    key: str  # lower-case GUID
    kind: Literal["created", "updated", "deleted"]
    at: str = ""  # time of the change as told


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationJob:
    """Records of one company and entity to look at, at most `GROUP`; or the news that BC lost count."""

    job: str
    company: str
    entity: str
    changes: tuple[RecordChange, ...] = ()
    collection: Literal["", "filtered", "plain"] = ""  # more changed than BC lists; `plain` when deletes are among them
    compared: bool = False  # the compare found the changes: what is deleted was known, though no listing holds it now
    redrive: int = 0

    def to_text(self) -> str:
        """Return the queue message."""
        packed = {**asdict(self), "changes": [[change.key, change.kind, change.at] for change in self.changes]}
        return json.dumps(packed, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> "NotificationJob":
        """Read a queue message.

        Raises:
            InvalidMessage: not a notification job of this app.
        """
        members = _members(text)
        try:
            changes = tuple(RecordChange(key=key, kind=kind, at=at) for key, kind, at in members["changes"])
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidMessage(["changes: must be a list of [key, kind, at]"]) from error
        return _build(NotificationJob, {**members, "changes": changes})

    def entity_row(self) -> Entity:
        """Return the facts about the entity."""
        return _entity(self.entity)


def group_changes(changes: Iterable[RecordChange]) -> list[tuple[RecordChange, ...]]:
    """Merge changes per record and cut them into groups that one job can hold.

    `created` outlasts `updated` (both are sent for a record made and changed within one window); `deleted` stands
    beside them, as whether the record is really gone is seen when it is read.
    """
    merged: dict[tuple[str, bool], RecordChange] = {}
    for change in changes:
        place = (change.key, change.kind == "deleted")
        kept = merged.get(place)
        if kept is None or kept.kind != "created":
            merged[place] = change
    unique = list(merged.values())
    return [tuple(unique[start : start + GROUP]) for start in range(0, len(unique), GROUP)]


def texts(jobs: Iterable[PageJob | NotificationJob]) -> tuple[str, ...]:
    """Return the queue messages of some jobs."""
    return tuple(job.to_text() for job in jobs)


def _members(text: str) -> dict[str, Any]:
    try:
        members = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidMessage(["message: must be JSON"]) from error
    if not isinstance(members, dict):
        raise InvalidMessage(["message: must be a JSON object"])
    return members


def _build[T: (PageJob, NotificationJob)](kind: type[T], members: dict[str, Any]) -> T:
    known = {name: members[name] for name in kind.__dataclass_fields__ if name in members}
    try:
        built = kind(**known)
    except TypeError as error:
        raise InvalidMessage([f"message: not a {kind.__name__}"]) from error
    _entity(built.entity)
    return built


def _entity(name: str) -> Entity:
    entity = ENTITIES.get(name)
    if entity is None:
        raise InvalidMessage([f"entity: {name!r} is not one of {', '.join(ENTITIES)}"])
    return entity
