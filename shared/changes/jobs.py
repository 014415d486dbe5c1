"""The jobs that travel on our own queues, and their JSON form.

Owns the form: the flat names of release 0.1.0, which either release reads, beside the `kind` that says what a message
is. In memory a page job has a `Cursor` and a `Slice`. No member may be named `id`, `dequeueCount`, `insertionTime`,
`expirationTime`, `nextVisibleTime` or `popReceipt`: the Functions worker lets such a member of a JSON body replace the
real value of the message (worker issue 1373).
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, Self

from shared.business_central.entities import Entity
from shared.errors import InvalidMessage
from shared.resource_names import DEFAULT_CONNECTION

#: Most record ids in one notification job; also what one read fetches with `id eq .. or id eq ..` (5.4 KB of URL).
GROUP: Final = 100

type Purpose = Literal["pull", "reconcile", "snapshot", "replay"]
type Mode = Literal["full", "delta", "list"]
type Phase = Literal["records", "expanded", "mend", "commit", "settle"]
#: The phases of a slice that read no page: its end, and that of its run.
ENDS: Final[frozenset[Phase]] = frozenset({"commit", "settle"})
type ChangeKind = Literal["created", "updated", "deleted"]

#: Purposes and phases as rows and messages name them since 0.1.0, which takes a replay for a reconcile.
STORED_PURPOSES: Final[dict[Purpose, str]] = {
    "pull": "pull", "reconcile": "watch", "snapshot": "compare", "replay": "replay",
}  # fmt: skip
_STORED_PHASES: Final[dict[Phase, str]] = {
    "records": "records", "expanded": "nested", "mend": "mend", "commit": "commit", "settle": "settle",
}  # fmt: skip
_MODES: Final[dict[Mode, str]] = {"full": "full", "delta": "delta", "list": "list"}
_CHANGE_KINDS: Final[dict[ChangeKind, str]] = {"created": "created", "updated": "updated", "deleted": "deleted"}
_COLLECTIONS: Final[dict[Literal["", "filtered", "plain"], str]] = {"": "", "filtered": "filtered", "plain": "plain"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """What one partition of a run reads."""

    number: int = 0
    since: str = ""  # delta: lastModifiedDateTime ge
    low: str = ""  # full: number ge
    high: str = ""  # full: number lt


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Where the read of a slice goes on."""

    link: str = ""  # next link as BC sent it; "" asks anew, behind `last` when that is set
    last: str = ""  # sort value of the last row done
    done: tuple[str, ...] = ()  # ids done at that very sort value
    linked: str = ""  # sort value of the row that the link names, when the link was made
    doubts: int = 0  # how often in a row a link at this value was found to have led over rows
    rows: int = 0  # page size to ask for; 0: the configured one
    most_rows: int = 0  # page size not to go beyond, as a larger one timed out in this slice; 0: none did


@dataclass(frozen=True, slots=True, kw_only=True)
class PageJob:
    """One page of a run, or the commit that follows its last page.

    A run reads one stream (company, entity, purpose) in one or more slices, page by page: every page enqueues the next,
    and the last one the commit (a delta's does it itself if it has nothing to announce). `full` reads everything in
    order of `number`, `delta` what was modified since a time, `list` only ids (for the ledger).
    """

    run: str
    purpose: Purpose
    mode: Mode
    company: str
    entity: str
    slice: Slice = field(default_factory=Slice)
    page: int = 1
    phase: Phase = "records"
    cursor: Cursor = field(default_factory=Cursor)
    began: str = ""  # BC's own time when the slice's first page was answered
    total: int = 0  # rows read so far in this slice
    redrive: int = 0  # how often this job came back from the dead letters
    again: int = 0  # how often this job was put again, as it did not come in its time
    connection: str = DEFAULT_CONNECTION  # id
    row: Entity | None = field(default=None, compare=False, repr=False)  # facts of its entity; they do not travel

    @property
    def job(self) -> str:
        """Name of the job: the same for every delivery and redrive of it."""
        return f"{self.run}-{self.slice.number:02d}-{self.page:06d}"

    def next(self, **changes: Any) -> Self:
        """Return the job that follows this one."""
        return replace(self, page=self.page + 1, redrive=0, again=0, **changes)

    def to_text(self) -> str:
        """Return the queue message."""
        part, cursor = self.slice, self.cursor
        members = {
            "kind": "page", "job": self.job, "run": self.run, "purpose": STORED_PURPOSES[self.purpose],
            "mode": self.mode, "company": self.company, "entity": self.entity, "partition": part.number,
            "page": self.page, "phase": _STORED_PHASES[self.phase], "link": cursor.link, "since": part.since,
            "low": part.low, "high": part.high, "after": cursor.last, "after_ids": cursor.done, "edge": cursor.linked,
            "jumps": cursor.doubts, "began": self.began, "rows": cursor.rows, "total": self.total,
            "redrive": self.redrive, "most_rows": cursor.most_rows, "again": self.again, **_of(self.connection),
        }  # fmt: skip
        return json.dumps(members, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> "PageJob":
        """Read a queue message.

        Raises:
            InvalidMessage: not a page job of this app.
        """
        return _expected(cls, text)

    def entity_row(self) -> Entity:
        """Return the facts about the entity; ValueError before somebody has looked them up."""
        return _row(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordChange:
    """One record that BC or a snapshot says has changed."""

    key: str  # lower-case GUID
    kind: ChangeKind
    at: str = ""  # time of the change as BC says


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationJob:
    """Records of one company and entity to look at, at most `GROUP`; or the news that BC lost count."""

    job: str
    company: str
    entity: str
    changes: tuple[RecordChange, ...] = ()
    collection: Literal["", "filtered", "plain"] = ""  # more changed than BC lists; `plain` when deletes are among them
    from_snapshot: bool = False  # a snapshot found the changes: what is gone was known, though no snapshot holds it now
    redrive: int = 0
    connection: str = DEFAULT_CONNECTION  # id
    row: Entity | None = field(default=None, compare=False, repr=False)  # as `PageJob.row`

    def to_text(self) -> str:
        """Return the queue message."""
        members = {
            "kind": "notification", "job": self.job, "company": self.company, "entity": self.entity,
            "changes": [[change.key, change.kind, change.at] for change in self.changes],
            "collection": self.collection, "compared": self.from_snapshot,
            "redrive": self.redrive, **_of(self.connection),
        }  # fmt: skip
        return json.dumps(members, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> "NotificationJob":
        """Read a queue message.

        Raises:
            InvalidMessage: not a notification job of this app.
        """
        return _expected(cls, text)

    def entity_row(self) -> Entity:
        """Return the facts about the entity; ValueError before somebody has looked them up."""
        return _row(self)


type Job = PageJob | NotificationJob


def _of(connection: str) -> dict[str, str]:
    """Return the member that names a connection; jobs of `default` have none, as those of 0.1.0."""
    return {} if connection == DEFAULT_CONNECTION else {"connection": connection}


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


def texts(jobs: Iterable[Job]) -> tuple[str, ...]:
    """Return the queue messages of some jobs."""
    return tuple(job.to_text() for job in jobs)


def parse_job(text: str) -> Job:
    """Read a message of our own queues; what it is, it says in `kind`, or by its members if 0.1.0 wrote it.

    Raises:
        InvalidMessage: not a job of this app.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidMessage(["message: must be JSON"]) from error
    if not isinstance(document, dict):
        raise InvalidMessage(["message: must be a JSON object"])
    kind = document.get("kind") or ("page" if "purpose" in document else "notification")
    read = _READERS.get(kind) if isinstance(kind, str) else None
    if read is None:
        raise InvalidMessage([f"kind: {kind!r} is not one of {', '.join(_READERS)}"])
    return read(_Members(document))


class _Members:
    """The members of a message; each is asked for with the type it must have."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    def text(self, name: str, default: str | None = "") -> str:
        """Return a text; `default` None: it must be there."""
        value = self._document.get(name, default)
        if not isinstance(value, str):
            raise InvalidMessage([f"{name}: must be a text"])
        return value

    def number(self, name: str, default: int = 0) -> int:
        """Return a whole number."""
        value = self._document.get(name, default)
        if not isinstance(value, int):
            raise InvalidMessage([f"{name}: must be a whole number"])
        return value

    def rows(self, name: str, default: list[Any] | None = None) -> list[Any]:
        """Return a list; `default` None: it must be there."""
        value = self._document.get(name, default)
        if not isinstance(value, list):
            raise InvalidMessage([f"{name}: must be a list"])
        return value

    def word[W](self, name: str, words: dict[W, str], default: str | None = None) -> W:
        """Return one of a few words, which are stored as `words` says."""
        text = self.text(name, default)
        for word, stored in words.items():
            if text == stored:
                return word
        raise InvalidMessage([f"{name}: {text!r} is not one of {', '.join(words.values())}"])


def _read_page(members: _Members) -> PageJob:
    return PageJob(
        run=members.text("run", None),
        purpose=members.word("purpose", STORED_PURPOSES),
        mode=members.word("mode", _MODES),
        company=members.text("company", None),
        entity=members.text("entity", None),
        slice=Slice(
            number=members.number("partition"),
            since=members.text("since"),
            low=members.text("low"),
            high=members.text("high"),
        ),
        page=members.number("page", 1),
        phase=members.word("phase", _STORED_PHASES, "records"),
        cursor=Cursor(
            link=members.text("link"),
            last=members.text("after"),
            done=tuple(map(str, members.rows("after_ids", []))),
            linked=members.text("edge"),
            doubts=members.number("jumps"),
            rows=members.number("rows"),
            most_rows=members.number("most_rows"),
        ),
        began=members.text("began"),
        total=members.number("total"),
        redrive=members.number("redrive"),
        again=members.number("again"),
        connection=members.text("connection", DEFAULT_CONNECTION),
    )


def _read_notification(members: _Members) -> NotificationJob:
    return NotificationJob(
        job=members.text("job", None),
        company=members.text("company", None),
        entity=members.text("entity", None),
        changes=tuple(map(_read_change, members.rows("changes"))),
        collection=members.word("collection", _COLLECTIONS, ""),
        from_snapshot=bool(members.number("compared")),
        redrive=members.number("redrive"),
        connection=members.text("connection", DEFAULT_CONNECTION),
    )


def _read_change(entry: Any) -> RecordChange:
    if not isinstance(entry, list) or len(entry) != 3:
        raise InvalidMessage(["changes: must be a list of [key, kind, at]"])
    change = _Members(dict(zip(("key", "kind", "at"), entry, strict=True)))
    return RecordChange(key=change.text("key"), kind=change.word("kind", _CHANGE_KINDS), at=change.text("at"))


_READERS: Final[dict[str, Callable[[_Members], Job]]] = {"page": _read_page, "notification": _read_notification}


def _expected[T: (PageJob, NotificationJob)](kind: type[T], text: str) -> T:
    job = parse_job(text)
    if not isinstance(job, kind):
        raise InvalidMessage([f"message: not a {kind.__name__}"])
    return job


def _row(job: Job) -> Entity:
    if job.row is None:
        raise ValueError(f"nobody has looked up the entity {job.entity}")
    return job.row
