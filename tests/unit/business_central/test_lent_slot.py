"""Who may take a slot, and when: each row of the table is a sentence of the lease's rule."""

from datetime import timedelta

import pytest

from shared.business_central.lease_rows import BURST, MARK, RATE, SlotRows, opens_at
from shared.storage.table import Row, Value
from tests.conftest import FixedClock
from tests.support.memory_storage import MemoryTables

HALF = RATE.interval * (BURST // 2)
WHOLE = RATE.interval * BURST


@pytest.mark.parametrize(
    ("held", "own", "lent"),
    [
        ({}, True, True),  # nobody's
        ({"owner": "me", "expires_at": 100}, True, True),  # a lease of ours whose end was lost
        ({"owner": "other", "expires_at": 100}, False, False),
        ({"owner": "other", "expires_at": -1}, True, True),  # its process died
        ({"wanted_by": "me", "wanted_until": 1}, True, True),
        ({"wanted_by": "other", "wanted_until": 1}, False, False),  # the next taker is another instance
        ({"wanted_by": "other", "wanted_until": -1}, True, True),  # who marked it has gone
        ({"closed_until": 1}, False, False),  # BC asked for a pause
        ({"due": (HALF - RATE.interval).total_seconds()}, True, True),
        ({"due": HALF.total_seconds()}, True, False),  # the other half of the burst is for orders
        ({"due": WHOLE.total_seconds()}, False, False),
    ],
)
def test_who_may_take_a_slot(clock: FixedClock, held: dict[str, str | float], own: bool, lent: bool) -> None:
    """`own`: a request that the slot is for; `lent`: any other. Numbers are seconds from now."""
    values: dict[str, Value] = {
        name: value if isinstance(value, str) else clock() + timedelta(seconds=value) for name, value in held.items()
    }
    row = Row(partition="p", key="slot-4", values=values)
    slots = SlotRows(MemoryTables().table("T"), "p", instance="me", now=clock)
    assert (slots.is_free(row), slots.is_free(row, lent=True)) == (own, lent)


def test_a_lent_slot_opens_when_half_of_its_burst_is_there(clock: FixedClock) -> None:
    """Who waits for it is told the moment, and asks the table nothing before."""
    row = Row(partition="p", key="slot-4", values={"due": clock() + WHOLE})
    assert opens_at(row) == clock() + RATE.interval
    assert opens_at(row, lent=True) == clock() + RATE.interval + HALF


def test_a_mark_is_renewed_by_its_instance_alone(clock: FixedClock) -> None:
    """It lasts for as long as the request that holds the slot, in halves of its life; two waiters mark two slots."""
    table = MemoryTables().table("T")
    holder, mine, others = (SlotRows(table, "p", instance=name, now=clock) for name in ("a", "b", "c"))
    held = holder.take(holder.read()[4], timedelta(seconds=130))
    assert held is not None
    marked = mine.mark(held)
    assert marked is not None
    assert mine.mark(marked) is None
    clock.advance(MARK.total_seconds() / 2)
    assert others.mark(marked) is None
    renewed = mine.mark(marked)
    assert renewed is not None
    assert renewed.time("wanted_until") == clock() + MARK
