"""The requests that carry events: how many fit into one, and its bytes, for each kind of receiver.

Pure. Events stay the texts that they are, in their order: no number is rounded on its way. Sources: Event Grid,
"Quotas and limits" (1 MB and 1,000 events a request in a namespace) and CloudEvents' JSON batch format; Service Bus,
"Quotas" (256 KB a request in the standard tier) and "Send Message Batch"; Standard Webhooks (one event a request, as
its id is the receiver's idempotency key).
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from shared.errors import InvalidMessage
from shared.forwarding.event_targets import TargetKind

CLOUD_EVENT: Final = "application/cloudevents+json; charset=utf-8"
CLOUD_EVENTS: Final = "application/cloudevents-batch+json; charset=utf-8"
SERVICE_BUS_BATCH: Final = "application/vnd.microsoft.servicebus.json"
#: Bytes and events of one request. A single event that is larger goes alone: the receiver judges it.
MOST_BYTES: Final[dict[TargetKind, int]] = {
    TargetKind.EVENT_GRID: 999_999,  # and a bracket more than there are commas
    TargetKind.SERVICE_BUS: 240_000,
    TargetKind.WEBHOOK: 0,
}
MOST_EVENTS: Final[dict[TargetKind, int]] = {
    TargetKind.EVENT_GRID: 1000,
    TargetKind.SERVICE_BUS: 100,
    TargetKind.WEBHOOK: 1,
}
#: What a broker property may hold ("Message Properties": 128 characters for MessageId and SessionId).
_LONGEST_PROPERTY: Final = 128
#: What stands beside the body of a broker message: names, and properties that are no longer than this together.
_BROKER_BYTES: Final = 1024
_DECODER: Final = json.JSONDecoder()
_BLANKS: Final = re.compile(r"[ \t\r\n,]*")


@dataclass(frozen=True, slots=True)
class Part:
    """Events that go with one request: some of a message, in its order."""

    first: int  # number of the first in the message, from 0
    texts: tuple[str, ...]

    @property
    def end(self) -> int:
        """Number behind the last."""
        return self.first + len(self.texts)

    def halves(self) -> tuple["Part", "Part"]:
        """Return two parts in place of this one, which holds at least two events."""
        middle = len(self.texts) // 2
        return Part(self.first, self.texts[:middle]), Part(self.first + middle, self.texts[middle:])


@dataclass(frozen=True, slots=True)
class EventRequest:
    """What is sent, token and signature apart."""

    body: bytes
    content_type: str
    webhook_id: str = ""


def events_in(message: str) -> tuple[str, ...]:
    """Return the texts of the events in a message, each as it is written there.

    Raises:
        InvalidMessage: it is no JSON array of objects.
    """
    text = message.strip()
    found: list[str] = []
    try:
        at = _behind_blanks(text, 1)
        while text[at] != "]":
            _, end = _DECODER.raw_decode(text, at)
            found.append(text[at:end])
            at = _behind_blanks(text, end)
    except (ValueError, IndexError, RecursionError):
        found = [""]
    if not text.startswith("[") or not all(event.startswith("{") for event in found):
        raise InvalidMessage(["message: must be a JSON array of CloudEvents"])
    return tuple(found)


def _behind_blanks(text: str, at: int) -> int:
    found = _BLANKS.match(text, at)
    return found.end() if found else at


def parts(kind: TargetKind, texts: Iterable[str], first: int = 0) -> Iterator[Part]:
    """Yield the parts in which events go to a receiver; `first` is the number of the first event.

    A part for Service Bus holds events of one subject only: an entity that keeps sessions takes no others together.
    """
    held: list[str] = []
    held_bytes, held_session = 0, ""
    for text in texts:
        size = _size(kind, text)
        session = subject_of(text) if kind is TargetKind.SERVICE_BUS else ""
        is_full = held_bytes + size > MOST_BYTES[kind] or len(held) >= MOST_EVENTS[kind]
        if held and (is_full or session != held_session):
            yield Part(first, tuple(held))
            first, held, held_bytes = first + len(held), [], 0
        held.append(text)
        held_bytes, held_session = held_bytes + size, session
    if held:
        yield Part(first, tuple(held))


def to_request(kind: TargetKind, part: Part) -> EventRequest:
    """Return the bytes of one request.

    Raises:
        InvalidMessage: an event without what the receiver needs to know of it.
    """
    if kind is TargetKind.EVENT_GRID:
        return EventRequest(f"[{','.join(part.texts)}]".encode(), CLOUD_EVENTS)
    if kind is TargetKind.SERVICE_BUS:
        body = "[" + ",".join(_broker_message(text) for text in part.texts) + "]"
        return EventRequest(body.encode(), SERVICE_BUS_BATCH)
    (text,) = part.texts
    return EventRequest(text.encode(), CLOUD_EVENT, _member(_members(text), "id"))


def subject_of(text: str) -> str:
    """Return the subject of an event, which names the record: events of one record keep their order."""
    try:
        return str(_members(text).get("subject", ""))
    except InvalidMessage:
        return ""


def _broker_message(text: str) -> str:
    event = _members(text)
    broker = {"MessageId": _short(_member(event, "id")), "Label": _member(event, "type")}
    subject = str(event.get("subject", ""))
    if subject:
        broker["SessionId"] = _short(subject)
    user = {"specversion": _member(event, "specversion"), "source": _member(event, "source")}
    if "bcconnection" in event:
        user["bcconnection"] = str(event["bcconnection"])
    # ASCII, whatever the text holds: the batch form names no charset
    return json.dumps({"Body": text, "BrokerProperties": broker, "UserProperties": user}, separators=(",", ":"))


def _size(kind: TargetKind, text: str) -> int:
    """Return what an event adds to a request, in bytes; at least that."""
    if kind is TargetKind.SERVICE_BUS:
        return len(json.dumps(text)) + _BROKER_BYTES
    return len(text.encode()) + 1


def _members(text: str) -> Mapping[str, Any]:
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict):
        raise InvalidMessage(["event: must be a JSON object"])
    return event


def _member(event: Mapping[str, Any], name: str) -> str:
    value = event.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidMessage([f"event: must have the text {name}"])
    return value


def _short(value: str) -> str:
    """Return a value that a broker property holds; a longer one is told apart from all others by its digest."""
    if len(value) <= _LONGEST_PROPERTY:
        return value
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{value[: _LONGEST_PROPERTY - len(digest) - 1]}.{digest}"
