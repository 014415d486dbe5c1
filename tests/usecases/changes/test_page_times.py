"""The time that a watermark moves to: BC's own, but never one that has not come yet."""

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.business_central.client import BusinessCentralClient
from shared.business_central.port import PageAnswer, PageAsk
from tests.support.page_world import created, items, run, watermark, world_of
from tests.support.worlds import announced


@pytest.mark.parametrize("ahead", [timedelta(days=365), timedelta(hours=-1)])
def test_a_date_of_another_time_ends_no_later_delta(ahead: timedelta, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy's `Date` is a year ahead for one run; what is created afterwards is announced all the same (P4)."""
    world = world_of(rows=1000)
    world.clock.advance(900)
    real = BusinessCentralClient.page

    def misdated(client: BusinessCentralClient, ask: PageAsk) -> PageAnswer:
        return replace(real(client, ask), served_at=world.clock.now() + ahead)

    with monkeypatch.context() as patched:
        patched.setattr(BusinessCentralClient, "page", misdated)
        run(world, "reconcile")
    moved_to = watermark(world, "reconcile")
    assert moved_to is not None
    assert moved_to <= world.clock.now()
    world.clock.advance(900)
    made = items(world, 1)
    world.clock.advance(900)
    run(world, "reconcile")
    assert {**announced(world, "item.created")} == created(made)
