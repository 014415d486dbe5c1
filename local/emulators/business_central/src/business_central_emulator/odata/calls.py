"""One API operation: what it runs with, where its URL leads, and the shapes of its answers."""

from collections.abc import Mapping
from dataclasses import dataclass

from business_central_emulator.data import errors
from business_central_emulator.data.record import Record
from business_central_emulator.data.schema import Entity, Nav
from business_central_emulator.odata.query import Options, parse_query
from business_central_emulator.odata.reading import Reader
from business_central_emulator.odata.routing import Address
from business_central_emulator.server.exchange import Request


@dataclass(frozen=True, slots=True)
class Call:
    """One operation: its request, its place in the URL, and what it runs with."""

    request: Request
    address: Address
    reader: Reader
    user_id: str
    catalog: Mapping[str, Entity]  # the entity sets of the API that is asked
    changed_status: int = 409  # 412 on some versions
    al_signs: bool = False  # AL's filter signs work inside of texts

    def options(self, entity: Entity) -> Options:
        """Return the query options of the request, read for an entity.

        Raises:
            ApiError: as `parse_query`.
        """
        return parse_query(self.address.query, entity, al_signs=self.al_signs)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an operation answers, before headers."""

    status: int
    body: bytes = b""
    location: str | None = None
    applied_preference: str | None = None
    rows: int = 0
    content_type: str | None = None


@dataclass(slots=True)
class Target:
    """Where a URL leads: a set (perhaps below a parent) or a row of it."""

    entity: Entity
    record: Record | None = None
    parent: Record | None = None
    among: list[Record] | None = None
    context: str = ""
    segment: str = ""
    link: Nav | None = None  # from the parent


def context_of(call: Call, path: str, options: Options) -> str | None:
    """Return the context URL of an answer, or None when the client wants no metadata."""
    if not call.reader.shows_metadata:
        return None
    fields = f"({','.join(options.select)})" if options.select else ""
    return f"{call.address.root}/$metadata#{path}{fields}"


def with_context(call: Call, text: bytes, path: str, options: Options | None = None) -> bytes:
    """Return a single entity with its context in front."""
    if not call.reader.shows_metadata:
        return text
    context = context_of(call, path, options or Options())
    suffix = "" if path.endswith("/$entity") else "/$entity"
    head = f'{{"@odata.context":"{context}{suffix}"'.encode()
    return head + (b"," if text != b"{}" else b"") + text[1:]


def written(call: Call, record: Record, target: Target, status: int) -> Outcome:
    """Answer with a row that was just written, expanded as the query asks; POST tells where it is."""
    location = f"{call.address.root}/{target.context}({record.id})" if status == 201 else None
    options = call.options(target.entity)
    preferences = [part.strip().lower() for part in (call.request.header("Prefer") or "").split(",")]
    if status == 201 and {"return-no-content", "return=minimal"} & set(preferences):
        return Outcome(204, location=location)
    text = call.reader.single(record, options)
    return Outcome(status, with_context(call, text, target.context, options), location=location, rows=1)


def check_etag(call: Call, record: Record, *, required: bool) -> None:
    """Compare If-Match with the row: missing or malformed 400, stale 409 (or 412), `*` always fits."""
    sent = call.request.header("If-Match")
    if sent is None:
        if required:
            raise errors.etag_missing()
        return
    sent = sent.strip()
    if sent == "*":
        return
    if not (sent.startswith('W/"') and sent.endswith('"')):
        raise errors.etag_missing()
    if sent != record.etag():
        raise errors.entity_changed(call.changed_status)
