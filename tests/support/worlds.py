"""What a `World` left behind, read as its consumers would: events with their batches resolved, results, counts."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

from business_central_emulator.data.record import Record

from shared.changes.cloud_events import BATCH_TYPE
from shared.connections.settings_reader import read_settings
from shared.contract.built_in import described
from shared.resource_names import QUEUE_EVENTS, QUEUE_RESULTS
from tests.simulation.world import ENV, Crash, World
from tests.support.published import event_faults

type Event = dict[str, Any]


def small_world(**more: Any) -> World:
    """A started world without demo items and documents: fast, and every event in it is the test's own doing."""
    world = World(demo_data=False, **more)
    for company in list(world.bc.environment.companies.values()):
        world.bc.user.create_customer(company=company.id, displayName="Customer")
    world.start()
    world.left.clear()
    return world


def restart(world: World, **env: str) -> None:
    """Start every process anew: nothing in memory, perhaps with other settings."""
    if env:
        world.settings = read_settings({**ENV, **env})
    world.hosts = [world.new_process() for _ in world.hosts]


def messages(world: World, queue: str) -> Iterator[Any]:
    """The messages that left on a queue, decoded."""
    return (json.loads(left.body) for left in world.left if left.queue == queue)


def events(world: World) -> list[Event]:
    """Every event that left, in order, valid by its schema; a claim check is followed, sum and count are checked."""
    found: list[Event] = []
    rows = described(world.ctx.catalogue.resolved().entities, world.ctx.catalogue.facts())
    for batch in messages(world, QUEUE_EVENTS):
        for event in batch:
            if event["type"] != BATCH_TYPE:
                found.append(event)
                continue
            blob = world.claim_checks.read(event["dataref"])
            assert event["checksum"] == "sha256:" + sha256(blob).hexdigest()
            lines = blob.decode().splitlines()
            assert event["count"] == len(lines)
            found += [json.loads(line) for line in lines]
            assert event_faults(event, rows) == []
    assert [fault for event in found for fault in event_faults(event, rows)] == []
    return found


def announced(world: World, kind: str = "") -> Counter[tuple[str, str]]:
    """How often each (type, subject) was announced, without `bc.` and version; of types that begin with `kind`."""
    found = ((event["type"].removeprefix("bc.").removesuffix(".v1"), event["subject"]) for event in events(world))
    return Counter(each for each in found if each[0].startswith(kind))


def subject(record: Record) -> str:
    """The subject of an event about a record."""
    return f"{record.entity.name}({record.id})"


def results(world: World) -> list[dict[str, Any]]:
    """The results of sales orders, in order."""
    return list(messages(world, QUEUE_RESULTS))


def requests_made(world: World) -> int:
    """How many requests Business Central has had."""
    return sum(usage.requests for usage in world.bc.limits.usage.values())


def notify(world: World) -> None:
    """Let BC's sender run after its delay, and the app work."""
    world.clock.advance(40)
    world.deliver_webhooks()
    world.drain()


def kill_at(world: World, place: str, times: int = 1) -> list[str]:
    """Kill the process at the n-th time of a place, once; return where it died, filled by then."""
    left = times
    died: list[str] = []

    def point(name: str) -> None:
        nonlocal left
        left -= name == place
        if name == place and left == 0:
            died.append(name)
            raise Crash(name)

    world.point = point
    return died


def at_effect(world: World, number: int, act: Callable[[str], object]) -> None:
    """Do something, once, at the n-th outside effect from now on; `act` is given the name of its place."""
    left = number

    def point(name: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            world.point = lambda _: None
            act(name)

    world.point = point


def kill_at_effect(world: World, number: int) -> list[str]:
    """Kill the process at its n-th outside effect from now on; return where it died, filled by then."""
    died: list[str] = []

    def act(name: str) -> None:
        died.append(name)
        raise Crash(name)

    at_effect(world, number, act)
    return died
