"""Forwards events: one message of `bc-events-forward` goes to the receiver in as many requests as it takes.

Promised is at least once, under the same event ids, and within one message in its order; messages overtake each other.
What the receiver does not take for a time waits as a row with a due time, from the first event that it has not taken;
what it can never take is a dead letter of its own, and the others go on. Nothing here decides: see `forward_step`.
"""

import base64
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import islice
from typing import Any, Final, Protocol

from shared.clock import Clock
from shared.errors import InvalidMessage
from shared.forwarding.event_requests import EventRequest, Part, events_in, parts, to_request
from shared.forwarding.event_targets import Target
from shared.forwarding.forward_step import (
    HELD,
    PATIENCE,
    Answer,
    Hold,
    Refused,
    Split,
    Step,
    cause_and_do,
    next_step,
)
from shared.forwarding.waiting_batches import LOST_AFTER, WaitingBatch, WaitingBatches
from shared.log import log_event
from shared.outputs import Outputs
from shared.resource_names import DEFAULT_CONNECTION

log: Final = logging.getLogger(__name__)

#: How long one delivery sends; a larger batch goes on with a message of its own.
_AT_WORK: Final = timedelta(minutes=2)
#: Requests after which it is noted how far a batch was sent: what a kill may repeat.
_NOTE_EVERY: Final = 50
#: Batches that one run of the timer sends for.
_DUE_AT_ONCE: Final = 200

#: Keeps events that no retry helps: name, message of `bc-events-forward`, reason.
type DeadLetters = Callable[[str, bytes, str], None]


class Sender(Protocol):
    """Sends a request; never raises."""

    def send(self, request: EventRequest) -> Answer:
        """Return what came of it."""
        ...


class Blobs(Protocol):
    """Where the events of a claim check are. Raises StoreUnavailable."""

    def get(self, name: str) -> bytes | None:
        """Return a blob, None when there is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarding:
    """What forwarding works with. Safe to share between threads."""

    target: Target | None  # None: events stay in the queue `bc-events`
    sender: Sender | None
    batches: WaitingBatches
    blobs: Blobs
    now: Clock
    connection: str = DEFAULT_CONNECTION  # id


def routed(outgoing: Outputs, *, is_forwarded: bool) -> Outputs:
    """Return what a job sends out with its events on the queue that the settings ask for."""
    if not is_forwarded or not outgoing.events:
        return outgoing
    return replace(outgoing, events=(), forwards=outgoing.forwards + outgoing.events)


def due(fw: Forwarding) -> Outputs:
    """Send for waiting batches whose time has come."""
    taken = fw.batches.take_due(fw.now(), _DUE_AT_ONCE)
    return Outputs(forwards=tuple(_resume(fw, batch.name) for batch in taken))


def forward(fw: Forwarding, body: bytes, name: str, dead_letter: DeadLetters) -> Outputs:
    """Send one message on; whatever was not taken is stored when this returns.

    Raises:
        StoreUnavailable: nothing is known about what was not sent; the message shall come again.
        StateConflict: another delivery is at these events.
        InvalidMessage: a dead letter that was redriven can't be sent, again; or a message that is none of ours.
    """
    batch, stored = _batch_of(fw, body, name)
    if batch is None:
        return Outputs()  # was sent before this copy came
    if fw.target is None or fw.sender is None:
        if stored:
            fw.batches.done(batch)
        return Outputs(events=(batch.message,))  # the setting was changed: the queue's reader gets them
    texts = _texts(fw, batch)
    if texts is None:
        reason = " ".join(cause_and_do(fw.target.kind, "blob_gone"))
        if not stored:
            raise InvalidMessage([reason])
        dead_letter(f"{batch.name}.{batch.start}", _message_of(batch, batch.start, batch.end), reason)
        fw.batches.done(batch)
        return Outputs()
    return _Run(fw, fw.target, fw.sender, batch, batch if stored else None, dead_letter).send(texts)


def give_up(fw: Forwarding, body: bytes, dead_letter: DeadLetters) -> bool:
    """Take a message that killed its workers; False when it brought its events itself, and is kept as it is."""
    resumed = _resumed(text_of(body))
    if resumed is None:
        return False
    batch = fw.batches.get(resumed)
    if batch is not None:
        message = _message_of(batch, batch.start, batch.end)
        dead_letter(f"{batch.name}.{batch.start}", message, "the worker died on it too often")
        fw.batches.done(batch)
    return True


class _Run:
    """One delivery at work: sends part after part and notes how far it is."""

    def __init__(
        self,
        fw: Forwarding,
        target: Target,
        sender: Sender,
        batch: WaitingBatch,
        stored: WaitingBatch | None,
        dead_letter: DeadLetters,
    ) -> None:
        self._fw, self._target, self._sender, self._dead_letter = fw, target, sender, dead_letter
        self._batch = batch  # as it is now: `start` moves
        self._stored = stored  # as it was last stored
        self._sent = 0
        self._refused: list[tuple[Part, str]] = []  # not yet kept, with the reason

    def send(self, texts: Iterator[str]) -> Outputs:
        began = self._fw.now()
        for number, part in enumerate(parts(self._target.kind, texts, self._batch.start), 1):
            hold = self._send(part)
            if hold is not None:
                return self._wait(hold)
            if self._fw.now() - began > _AT_WORK:
                self._note("", self._fw.now() + LOST_AFTER)
                return Outputs(forwards=(_resume(self._fw, self._batch.name),))
            if number % _NOTE_EVERY == 0:
                self._note("", self._fw.now() + LOST_AFTER)
        if self._stored is None and not self._sent and len(self._refused) == 1:
            raise InvalidMessage([self._refused[0][1]])  # the whole message: the frame keeps it as it came
        self._keep_refused()
        if self._stored is not None:
            self._fw.batches.done(self._stored)
        log_event(log, "events.forwarded", message_id=self._batch.name, events=self._sent)
        return Outputs()

    def _send(self, part: Part) -> Hold | None:
        """Send one part, in halves of halves where it is too large; return why the rest has to wait."""
        left = [part]
        while left:
            current = left.pop()
            step = self._try(current)
            if isinstance(step, Hold):
                return step
            if isinstance(step, Split):
                left.extend(reversed(current.halves()))
                continue
            if isinstance(step, Refused):
                self._refused.append((current, " ".join(cause_and_do(self._target.kind, step.cause))))
            else:
                self._sent += len(current.texts)
            self._batch = replace(self._batch, start=current.end, tries=0)
        return None

    def _try(self, part: Part) -> Step:
        kind = self._target.kind
        try:
            request = to_request(kind, part)
        except InvalidMessage:
            return Refused("refused")
        answer = self._sender.send(request)
        return next_step(kind, answer, events=len(part.texts), size=len(request.body), tries=self._batch.tries)

    def _wait(self, hold: Hold) -> Outputs:
        now, batch = self._fw.now(), self._batch
        reason = " ".join(cause_and_do(self._target.kind, hold.cause))
        if now - batch.since >= PATIENCE:
            self._keep_refused()
            self._dead_letter(f"{batch.name}.{batch.start}", _message_of(batch, batch.start, batch.end), reason)
            if self._stored is not None:
                self._fw.batches.done(self._stored)
            return Outputs()
        self._batch = replace(batch, tries=batch.tries + 1)
        self._note(hold.cause, now + hold.wait)
        is_held = hold.cause in HELD
        log_event(
            log, "events.held" if is_held else "events.waiting", level=logging.ERROR if is_held else logging.WARNING,
            message_id=batch.name, reason=reason, kind=hold.cause, attempts=batch.tries + 1,
            next_try_at=now + hold.wait, events=self._sent,
        )  # fmt: skip
        return Outputs()

    def _note(self, cause: str, next_try_at: datetime) -> None:
        """Store how far the batch is; what was refused before is kept first."""
        self._keep_refused()
        noted = replace(self._batch, cause=cause, next_try_at=next_try_at)
        self._batch = self._stored = self._fw.batches.save(noted, self._stored)

    def _keep_refused(self) -> None:
        for part, reason in self._refused:
            message = _message_of(self._batch, part.first, part.end)
            self._dead_letter(f"{self._batch.name}.{part.first}", message, reason)
        self._refused.clear()


def _batch_of(fw: Forwarding, body: bytes, name: str) -> tuple[WaitingBatch | None, bool]:
    """Return the events of a message, and whether they are stored: then as far as an earlier delivery got."""
    text = text_of(body)
    resumed = _resumed(text)
    stored = fw.batches.get(resumed or name)
    if stored is not None or resumed is not None:
        return stored, True
    now = fw.now()
    if text.startswith("["):
        return WaitingBatch(name=name, message=text, since=now, next_try_at=now), False
    message, start, end = _range_of(text)
    return WaitingBatch(name=name, message=message, start=start, end=end, since=now, next_try_at=now), False


def _texts(fw: Forwarding, batch: WaitingBatch) -> Iterator[str] | None:
    """Yield the events that are still to be sent; None when their claim check's blob is gone or not what was stored."""
    events = events_in(batch.message)
    claim = _claim(events)
    if claim is None:
        return islice(events, batch.start, batch.end)
    data = fw.blobs.get(str(claim["dataref"]).rpartition("/")[2])
    if data is None or claim.get("checksum") != f"sha256:{sha256(data).hexdigest()}":
        return None
    return islice(_lines(data), batch.start, batch.end)


def _claim(events: tuple[str, ...]) -> dict[str, Any] | None:
    """Return the event that stands for a blob of events, None for events that are there themselves."""
    if len(events) != 1 or '"dataref"' not in events[0]:
        return None
    event: dict[str, Any] = json.loads(events[0])
    return event if "dataref" in event and "data" not in event else None


def _lines(data: bytes) -> Iterator[str]:
    at = 0
    while at < len(data):
        end = data.find(b"\n", at)
        end = len(data) if end < 0 else end
        if end > at:
            yield data[at:end].decode()
        at = end + 1


def _resume(fw: Forwarding, name: str) -> str:
    of = {} if fw.connection == DEFAULT_CONNECTION else {"connection": fw.connection}
    return json.dumps({"batch": name, **of})


def _resumed(text: str) -> str | None:
    """Return the name of the waiting batch that a message sends for, None when it brings events itself."""
    if not text.startswith('{"batch"'):
        return None
    try:
        members = json.loads(text)
    except (ValueError, RecursionError):
        return None
    name = members.get("batch")
    return name if isinstance(name, str) and name else None


def _message_of(batch: WaitingBatch, start: int, end: int | None) -> bytes:
    """Return a message of `bc-events-forward` that brings some events of a batch, and is no larger than that."""
    events = events_in(batch.message)
    if _claim(events) is None:
        return f"[{','.join(events[start:end])}]".encode()
    return f'{{"from":{start},"to":{json.dumps(end)},"message":{batch.message}}}'.encode()


def _range_of(text: str) -> tuple[str, int, int | None]:
    """Return the message, start and end of a message that brings some events of a claim check.

    Raises:
        InvalidMessage: it is no such message.
    """
    try:
        members = json.loads(text)
        message, start, end = members["message"], members["from"], members["to"]
    except (ValueError, KeyError, TypeError, RecursionError):
        message, start, end = None, 0, None
    if not isinstance(message, list) or not isinstance(start, int) or not isinstance(end, int | None):
        raise InvalidMessage(["message: must be a JSON array of CloudEvents, or a part of a claim check"])
    return json.dumps(message, separators=(",", ":")), start, end


def text_of(body: bytes) -> str:
    """Return the text of a message: our own are base64 on the queue; what the frame has unpacked, or kept, is plain."""
    stripped = body.strip()
    try:
        return (stripped if stripped[:1] in {b"[", b"{"} else base64.b64decode(stripped, validate=True)).decode()
    except (ValueError, UnicodeDecodeError):
        raise InvalidMessage(["message: must be base64 of UTF-8"]) from None
