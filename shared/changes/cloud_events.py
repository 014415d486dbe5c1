"""CloudEvents out of records: deterministic ids, batches that fit a queue message, a claim check for those that don't.

CloudEvents 1.0, JSON batch format; `dataref` is the claim-check extension of the same project.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from io import BytesIO
from json.encoder import encode_basestring_ascii as _quoted
from typing import TYPE_CHECKING, Final

from shared.business_central.entities import Entity
from shared.business_central.records import Record
from shared.clock import NO_TIME, parse_time
from shared.resource_names import DEFAULT_CONNECTION

if TYPE_CHECKING:
    from hashlib import _Hash as HASH

#: A queue message holds 64 KiB of base64, which is 48 KiB of bytes.
MESSAGE_BYTES: Final = 48 * 1024
BATCH_TYPE: Final = "bc.batch.v1"
NDJSON: Final = "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where events come from: a company of one connection."""

    source: str  # the company's URL in Business Central
    schemas: str  # what `dataschema` begins with; the event type ends it
    seed: str = ""  # the URL as it was on the connection's first day: ids outlive a new name of tenant or environment
    connection: str = DEFAULT_CONNECTION  # id


@dataclass(frozen=True, slots=True)
class Blob:
    """Events that fit no message, one a line."""

    data: bytes
    count: int
    digest: str  # SHA-256 in hex

    @property
    def name(self) -> str:
        """Follows from the content: whoever stores it again changes nothing that an event refers to (P27)."""
        return f"{self.digest}.ndjson"


@dataclass(frozen=True, slots=True)
class Batch:
    """What one job announces: the text of one `bc-events` message, or the blob that a message must refer to."""

    message: str
    blob: Blob | None


def change_event(origin: Origin, entity: Entity, change: str, record: Record, version: str = "") -> str:
    """Return the event text for one record.

    `change` is `pulled`, `created`, `posted` or `updated`. The id depends on what happened and not on when or how
    often it was noticed: created and posted happen once to a record, the others once to each version of it, which is
    the record's unless it is given.
    """
    kind = entity.event_type(change)
    version = (version or record.version) if change in {"pulled", "updated"} else ""
    return _event(origin, kind, entity, record.key, version, record.modified_text, record.raw)


def deleted_event(origin: Origin, entity: Entity, key: str, at: str) -> str:
    """Return the event text for a record that is gone; its data holds only the id, as BC sends no more."""
    return _event(origin, entity.event_type("deleted"), entity, key, "", at, json.dumps({entity.key: key}))


def event_id(source: str, entity: Entity, change: str, key: str, version: str = "") -> str:
    """Return the id that the event of a change has; `version` only for `pulled` and `updated`."""
    return sha256(f"{source}|{entity.event_type(change)}|{key}|{version}".encode()).hexdigest()[:32]


def replayed(event: str) -> str:
    """Return an event marked as sent again; the rest of it, its id included, is as it was."""
    return '{"bcreplay":true,' + event[1:]


def _event(origin: Origin, kind: str, entity: Entity, key: str, version: str, at: str, data: str) -> str:
    begun, shared = _frame(origin, kind, entity.entity_set)
    name = begun.copy()
    name.update(f"{key}|{version}".encode())
    moment = parse_time(at)  # a record may have no time, or year 1 for none
    time = f'"time":{_quoted(at)},' if moment is not None and moment > NO_TIME else ""
    return (
        f'{{"specversion":"1.0","id":"{name.hexdigest()[:32]}",{shared}({key})",{time}'
        f'"datacontenttype":"application/json","data":{data}}}'
    )


@lru_cache(maxsize=256)
def _frame(origin: Origin, kind: str, entity: str) -> "tuple[HASH, str]":
    """Return what all events of one kind share: the hash of the id's beginning, and the text from source to subject."""
    begun = sha256(f"{origin.seed or origin.source}|{kind}|".encode())
    shared = f'"source":{json.dumps(origin.source)},"type":"{kind}","bcconnection":"{origin.connection}"'
    return begun, f'{shared},"dataschema":{json.dumps(origin.schemas + kind)},"subject":"{entity}'


def pack(events: Iterable[str]) -> Batch | None:
    """Return the batch of some events, None when there are none.

    The events may be made as they are taken: they are written one behind the other and not held beside the blob.
    """
    buffer = BytesIO()
    count = 0
    for event in events:
        buffer.write(event.encode())
        buffer.write(b"\n")
        count += 1
    if not count:
        return None
    lines = buffer.getvalue()
    if len(lines) < MESSAGE_BYTES:  # with the array's brackets and commas a byte more
        return Batch(f"[{lines[:-1].replace(b'\n', b',').decode()}]", None)
    return Batch("", Blob(lines, count, sha256(lines).hexdigest()))


def claim_check(origin: Origin, job: str, blob: Blob, url: str, *, now: datetime) -> str:
    """Return the message that refers to a blob at an absolute URL."""
    reference = {
        "specversion": "1.0",
        "id": sha256(f"{origin.seed or origin.source}|{BATCH_TYPE}|{job}|{blob.digest}".encode()).hexdigest()[:32],
        "source": origin.source,
        "type": BATCH_TYPE,
        "bcconnection": origin.connection,
        "dataschema": origin.schemas + BATCH_TYPE,
        "subject": job,
        "time": now.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "datacontenttype": NDJSON,
        "dataref": url,
        "count": blob.count,
        "checksum": f"sha256:{blob.digest}",
    }
    return json.dumps([reference], separators=(",", ":"))
