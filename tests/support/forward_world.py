"""A world whose events go to a receiver over TLS: the shipped forwarder over a real network, on the virtual clock."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import trustme

from shared.changes.cloud_events import NDJSON, Origin, claim_check
from shared.changes.cloud_events import Blob as EventBlob
from shared.errors import StoreUnavailable
from shared.forwarding.event_requests import EventRequest
from shared.forwarding.event_sender import EventSender
from shared.forwarding.event_targets import TargetKind, read_target
from shared.forwarding.forward_step import Answer
from shared.resource_names import QUEUE_FORWARD, SECRET_EVENTS
from tests.simulation.world import World
from tests.support.event_receivers import (
    BUS_HOST,
    GRID_HOST,
    HOOK_HOST,
    TOKENS,
    Receiver,
    ca_file,
    certified,
    event_grid,
    routed,
    service_bus,
    serving,
    webhook,
)

SECRET: Final = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
ADDRESSES: Final[dict[TargetKind, str]] = {
    TargetKind.EVENT_GRID: f"https://{GRID_HOST}/api/events",
    TargetKind.SERVICE_BUS: f"https://{BUS_HOST}/bc-events",
    TargetKind.WEBHOOK: f"https://{HOOK_HOST}/in",
}
_JUDGES: Final = {
    TargetKind.EVENT_GRID: event_grid,
    TargetKind.SERVICE_BUS: service_bus,
    TargetKind.WEBHOOK: webhook,
}


def event(number: int, *, subject: str = "", text: str = "x") -> str:
    """An event as it is announced."""
    return json.dumps(
        {
            "specversion": "1.0", "id": f"{number:032x}", "source": "urn:bc:tenant:environment",
            "type": "bc.item.created.v1", "subject": subject or f"items({number})",
            "datacontenttype": "application/json", "data": {"id": str(number), "text": text},
        },
        separators=(",", ":"),
    )  # fmt: skip


@dataclass
class ForwardWorld:
    """See the module."""

    kind: TargetKind
    receiver: Receiver
    ca: str
    address: str = ""
    token_fails: bool = False
    world: World = field(init=False)
    may_repeat: Counter[str] = field(default_factory=Counter)  # ids whose delivery was cut off before its end
    _at_work: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.address = self.address or ADDRESSES[self.kind]
        self.world = World(env={"BC_EVENTS_TO": self.address}, demo_data=False)
        self.world.secrets.values[SECRET_EVENTS] = SECRET
        self.receiver.secret, self.receiver.now = SECRET, self.world.clock.now
        self.point_to(self.address)

    def point_to(self, address: str) -> None:
        """Start anew with another receiver, or none."""
        target = read_target(address)
        self.sender = target and EventSender(
            target, self.world.secrets, now=self.world.clock.now, ca_bundle=self.ca, token=self._token
        )
        sender = self if self.sender is not None else None
        self.world.forwarding = replace(self.world.forwarding, target=target, sender=sender)
        self.world.settings = replace(self.world.settings, events_to=address)
        self.world.hosts = [self.world.new_process() for _ in self.world.hosts]

    def _token(self, scope: str) -> str:
        if self.token_fails:
            raise StoreUnavailable("no identity here")
        return TOKENS[scope]

    def send(self, request: EventRequest) -> Answer:
        """Send, with the points at which a worker may die."""
        self.world.point("before send")
        assert isinstance(self.sender, EventSender)
        before = len(self.receiver.accepted)
        answer = self.sender.send(request)
        self._at_work += [each["id"] for each in self.receiver.accepted[before:]]
        self.world.point("after send")
        return answer

    def announce(self, *texts: str) -> str:
        """Put events into the queue, as a job's output does; returns the message's id."""
        self._at_work.clear()
        return self.world.queues.put(QUEUE_FORWARD, f"[{','.join(texts)}]", self.world.clock.now())

    def announce_blob(self, *texts: str) -> str:
        """Put a claim check into the queue; returns the message's id."""
        data = "".join(f"{text}\n" for text in texts).encode()
        blob = EventBlob(data, len(texts), digest_of(data))
        url = self.world.claim_checks.put(blob.name, data)
        now = self.world.clock.now()
        origin = Origin("urn:bc:tenant:environment", "urn:schemas:")
        message = claim_check(origin, "job-1", blob, url, now=now)
        assert NDJSON in message
        return self.world.queues.put(QUEUE_FORWARD, message, now)

    def work(self) -> None:
        """Work off what is visible."""
        while self.world.step(QUEUE_FORWARD) or self.world.step(f"{QUEUE_FORWARD}-poison"):
            self._at_work.clear()

    def step(self) -> bool:
        """Work on one message; what it had sent when it was cut off may be sent again."""
        self._at_work.clear()
        return self.world.step(QUEUE_FORWARD)

    def cut_off(self) -> None:
        """Note that the worker dies now."""
        self.may_repeat.update(self._at_work)

    def wait(self, span: timedelta, step: timedelta = timedelta(minutes=1)) -> None:
        """Let time pass for what waits."""
        end = self.world.clock.now() + span
        while self.world.clock.now() < end:
            self.world.clock.advance(step)
            self.world.run_timer("retry_sales_orders")
            self.work()

    def letters(self) -> list[tuple[str, str]]:
        """Names and reasons of the dead letters."""
        return [(one.name, one.reason) for one in self.world.stores.dead_letters.of_queue(QUEUE_FORWARD, 1000)]

    def causes(self) -> dict[str, int]:
        """How many batches wait for what."""
        return {one.cause: one.count for one in self.world.stores.batches.counts()}

    def ids(self) -> list[int]:
        """The numbers of the events that were accepted, in order."""
        return [int(each["id"], 16) for each in self.receiver.accepted]


def digest_of(data: bytes) -> str:
    """SHA-256 in hex."""
    return sha256(data).hexdigest()


@contextmanager
def forwarding(kind: TargetKind, folder: Path, authority: trustme.CA, **more: Any) -> Iterator[ForwardWorld]:
    """A world with a receiver of that kind."""
    receiver = Receiver(_JUDGES[kind], **more)
    hosts = (GRID_HOST, BUS_HOST, HOOK_HOST)
    with serving(receiver, certified(authority, *hosts)) as port, routed(dict.fromkeys(hosts, port)):
        yield ForwardWorld(kind, receiver, ca_file(authority, folder))
