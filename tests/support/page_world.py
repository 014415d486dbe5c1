"""Worlds whose pages a test looks at: small pages, one company, and what their runs must have told."""

from datetime import datetime
from typing import Any

from business_central_emulator import Fault, FaultKind
from business_central_emulator.data.record import Record
from business_central_emulator.server.exchange import Request, Response

from shared.changes.jobs import Purpose
from shared.changes.streams import Stream
from tests.simulation.world import World
from tests.support.worlds import small_world, subject

CRONUS = "CRONUS International Ltd."
LEASE_S = 600.0


def world_of(rows: int = 3, **env: str) -> World:
    """A started world of one company with small pages; no webhook is delivered unless a test does it."""
    return small_world(env={"BC_COMPANIES": CRONUS, "BC_PAGE_ROWS": str(rows), **env})


def run(world: World, timer: str) -> None:
    """Run a timer and all that follows from it."""
    world.run_timer(timer)
    world.drain()


def items(world: World, count: int, **more: Any) -> list[Record]:
    """New items, all made in this very millisecond."""
    return [world.bc.user.create_item(displayName=f"item {n}", **more) for n in range(count)]


def pulled(records: list[Record], times: int = 1) -> dict[tuple[str, str], int]:
    """What a pull must have told of these records."""
    return {("item.pulled", subject(record)): times for record in records}


def created(records: list[Record], noun: str = "item") -> dict[tuple[str, str], int]:
    """What the watch must have told of these records."""
    return {(f"{noun}.created", subject(record)): 1 for record in records}


def stream(world: World, purpose: Purpose = "pull", entity: str = "items") -> Stream:
    """A stream of the first company."""
    return Stream(purpose, world.bc.company().id, entity)


def watermark(world: World, purpose: Purpose = "pull", entity: str = "items") -> datetime | None:
    """The watermark of a stream."""
    return world.stores.changes.streams.load(stream(world, purpose, entity)).watermark


def fail(world: World, kind: FaultKind, match: str, times: int | None = 1, **more: Any) -> None:
    """Script a fault of BC."""
    world.bc.faults.add(Fault(kind=kind, match=match, times=times, **more))


def note_page_sizes(world: World, asked: list[int]) -> None:
    """Keep the page size of every request from now on."""
    handle = world.bc.handle

    def noting(request: Request) -> Response:
        prefer = request.header("Prefer") or ""
        if prefer.startswith("odata.maxpagesize="):
            asked.append(int(prefer.partition("=")[2]))
        return handle(request)

    world.bc.handle = noting  # type: ignore[method-assign]  # in this world only
