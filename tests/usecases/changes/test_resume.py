"""A pull whose worker or host dies: every minute's timer puts its page again, and what comes back finds it done."""

import logging
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from business_central_emulator.server.exchange import Request, Response

from shared.changes.lost_pages import SILENT
from shared.changes.streams import Stream
from shared.resource_names import QUEUE_EVENTS, QUEUE_PAGES
from tests.simulation.world import World
from tests.support.page_world import LEASE_S, created, items, pulled, stream, watermark, world_of
from tests.support.worlds import announced, kill_at, requests_made, small_world

MINUTE = timedelta(minutes=1)


def minutes_until_done(world: World, since: datetime) -> timedelta:
    """Run the timer of every minute and what follows from it until the pull is complete; say how long that took."""
    for _ in range(30):
        world.clock.advance(MINUTE)
        world.run_timer("retry_sales_orders")
        world.drain()
        if watermark(world):
            return world.clock.now() - since
    pytest.fail("the pull never went on")


@pytest.mark.parametrize(
    "place",
    ["before token", "before slot", "after transaction", f"before put {QUEUE_EVENTS}", f"after put {QUEUE_PAGES}"],
)
@pytest.mark.parametrize("times", [1, 3])
def test_a_pull_goes_on_within_three_minutes_of_its_hosts_death(place: str, times: int) -> None:
    """Its messages come back after ten minutes: they announce what got lost with the host, and nothing else (P5)."""
    world = world_of(BC_PULL_ITEM_VARIANTS="false")
    made = items(world, 10)
    world.run_timer("pull_items")
    killed_at = world.clock.now()
    kill_at(world, place, times)
    world.drain()
    world.point = lambda _: None
    assert minutes_until_done(world, killed_at) <= timedelta(seconds=180)
    world.clock.advance(LEASE_S)
    world.drain()
    assert set(announced(world)) == set(pulled(made))
    lost_outputs = place.partition(" put ")[2] != ""
    assert announced(world) == pulled(made) or lost_outputs
    assert sum(announced(world).values()) <= len(made) + 3  # a page whose events had left, and nobody knows


def test_a_page_is_put_again_at_the_first_minute_after_its_silence(caplog: pytest.LogCaptureFixture) -> None:
    """And once: the other message that is in the queue then is waited for."""
    world = world_of()
    made = items(world, 4)
    world.run_timer("pull_items")
    kill_at(world, "before slot")
    world.step(QUEUE_PAGES)
    world.point = lambda _: None
    world.clock.advance(SILENT - timedelta(seconds=1))
    world.run_timer("retry_sales_orders")
    assert "page.put_again" not in caplog.text
    world.clock.advance(MINUTE)
    for _ in range(2):
        world.run_timer("retry_sales_orders")
        assert caplog.text.count("page.put_again") == 1
        world.clock.advance(1)
    world.drain()
    assert announced(world) == pulled(made)


def test_the_first_page_of_a_plan_that_got_lost_is_put_again() -> None:
    """The timer's host died before its output was written: the next minute needs no other plan."""
    world = world_of()
    world.clock.advance(60)
    made = items(world, 4)
    world.run_timer("reconcile")
    world.queues.names[QUEUE_PAGES].clear()
    world.clock.advance(SILENT)
    world.run_timer("retry_sales_orders")
    world.drain()
    assert announced(world, "item.created") == created(made)


def test_what_no_run_waits_for_is_not_put_again(caplog: pytest.LogCaptureFixture) -> None:
    """A run that was given up, or is complete."""
    world = world_of()
    items(world, 4)
    world.run_timer("pull_items")
    kill_at(world, "before slot")
    world.step(QUEUE_PAGES)
    world.point = lambda _: None
    world.stores.changes.streams.change(stream(world), lambda held: replace(held, ended_at=world.clock.now()))
    world.clock.advance(SILENT)
    world.run_timer("retry_sales_orders")
    assert "page.put_again" not in caplog.text


def test_a_worker_that_was_only_cut_off_announces_nothing_twice(caplog: pytest.LogCaptureFixture) -> None:
    """Its beats did not come for a minute, and another delivery has done its page: it finds that out (P5)."""
    caplog.set_level(logging.INFO)
    world = world_of()
    made = items(world, 7)
    world.run_timer("pull_items")
    handle = world.bc.handle
    slept: list[str] = []

    def slow(request: Request) -> Response:
        if "items?" in request.url and not slept:
            slept.append(request.url)
            world.clock.advance(SILENT)
            world.run_timer("retry_sales_orders")
            world.drain()
        return handle(request)

    world.bc.handle = slow  # type: ignore[method-assign]  # in this world only
    world.step(QUEUE_PAGES)
    world.drain()
    assert slept
    assert announced(world) == pulled(made)
    assert "page.put_again" in caplog.text
    assert "another delivery has taken it" in caplog.text


def test_sixty_companies_that_share_the_budget_are_only_slow(caplog: pytest.LogCaptureFixture) -> None:
    """A page takes 14 s and waits for those of all others, a quarter of an hour: nothing is put again (P25)."""
    world = small_world(env={"BC_PAGE_ROWS": "2", "BC_TRIGGERS": "items", "BC_PULL_ITEM_VARIANTS": "false"})
    companies = [world.bc.add_company(f"C{n:02d}") for n in range(60)]
    for company in companies:
        world.bc.bulk_items(3, company=company.id)
    for host in world.hosts:
        host.companies.forget()
    world.run_timer("pull_items")
    minute = world.clock.now()
    while world.queues.waiting(QUEUE_PAGES):
        if world.clock.now() >= minute:
            world.run_timer("retry_sales_orders")
            minute = world.clock.now() + MINUTE
        asked = requests_made(world)
        world.step(QUEUE_PAGES)
        world.clock.advance(14 * (requests_made(world) - asked))
    load = world.stores.changes.streams.load
    assert all(load(Stream("pull", company.id, "items")).watermark for company in companies)
    assert "run.superseded" not in caplog.text
    assert "page.put_again" not in caplog.text
    assert set(announced(world).values()) == {1}
