"""One slot of the request budget as a row: who may take it, give it back, mark it and shut it, at each limit."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.business_central.lease_rows import RATE, SLOTS, SlotRows, opens_at
from shared.errors import StateConflict, StoreUnavailable
from shared.storage.table import Row
from tests.conftest import FixedClock
from tests.support.memory_storage import MemoryTables

AT = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
LEASE, SECOND, TICK = timedelta(seconds=150), timedelta(seconds=1), timedelta(microseconds=1)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


class Slots:
    """The rows of one identity, and two instances that see them."""

    def __init__(self) -> None:
        self.clock = FixedClock(AT)
        self.tables = MemoryTables()
        self.table = self.tables.table("BcConnections")
        self.mine, self.other = (SlotRows(self.table, "p", instance=name, now=self.clock) for name in ("mine", "other"))

    def row(self, index: int = 0) -> Row:
        """A slot as it stands."""
        return self.mine.read()[index]

    def store(self, **values: Any) -> Row:
        """Make a slot stand so."""
        return self.table.upsert(Row(partition="p", key="slot-0", values=values))


@pytest.fixture
def slots() -> Slots:
    """Slots that nobody used."""
    return Slots()


def test_the_bound_of_business_central_is_shared_by_five_slots() -> None:
    """6,000 requests in 5 minutes, kept for ten seconds more, of which 120 may follow each other at once."""
    assert SLOTS == 5
    assert RATE.interval == timedelta(microseconds=310_000_000 // (1200 - 120 + 1) + 1)
    assert RATE.slack == 119 * RATE.interval


def test_a_slot_that_was_never_used_is_a_row_without_etag(slots: Slots) -> None:
    """Those of the table are shown as they stand, and no other rows."""
    taken = slots.mine.take(slots.row(3), LEASE)
    slots.table.upsert(Row(partition="p", key="slot"))
    slots.table.upsert(Row(partition="p", key="slow"))
    found = slots.other.read()
    assert list(found) == [0, 1, 2, 3, 4]
    assert found[3] == taken
    assert found[0] == Row(partition="p", key="slot-0")


@pytest.mark.parametrize(
    ("values", "is_free"),
    [
        ({}, True),
        ({"owner": "mine", "expires_at": AT + LEASE}, True),
        ({"owner": "other", "expires_at": AT + TICK}, False),
        ({"owner": "other", "expires_at": AT}, True),
        ({"owner": "", "expires_at": AT + LEASE}, True),
        ({"wanted_by": "other", "wanted_until": AT + TICK}, False),
        ({"wanted_by": "other", "wanted_until": AT}, True),
        ({"wanted_by": "mine", "wanted_until": AT + SECOND}, True),
        ({"wanted_by": "", "wanted_until": AT + SECOND}, True),
        ({"closed_until": AT}, True),
        ({"closed_until": AT + TICK}, False),
        ({"due": AT + RATE.slack}, True),
        ({"due": AT + RATE.slack + TICK}, False),
        ({"owner": "mine", "expires_at": AT + LEASE, "wanted_by": "other", "wanted_until": AT + SECOND}, False),
    ],
)
def test_a_slot_is_free_for_who_may_take_it(slots: Slots, values: dict[str, Any], is_free: bool) -> None:
    """A lease in our own name is left from a write whose answer was lost."""
    assert slots.mine.is_free(slots.store(**values)) is is_free


@pytest.mark.parametrize(
    ("values", "opens"),
    [
        ({}, LONG_AGO), ({"closed_until": AT}, AT), ({"due": AT}, AT - RATE.slack),
        ({"closed_until": AT, "due": AT + RATE.slack + SECOND}, AT + SECOND),
        ({"closed_until": AT + SECOND, "due": AT + RATE.slack}, AT + SECOND),
    ],
)  # fmt: skip
def test_a_slot_opens_when_both_its_rate_and_its_closing_let_it(values: dict[str, Any], opens: datetime) -> None:
    """Whoever holds it."""
    assert opens_at(Row(partition="p", key="k", values=values)) in {opens, opens - RATE.slack}
    assert opens_at(Row(partition="p", key="k", values=values)) == (opens if values else LONG_AGO)


def test_a_slot_is_leased_for_one_request_and_its_mark_is_used_up(slots: Slots) -> None:
    """The next request is due an interval later."""
    slots.store(wanted_by="mine", wanted_until=AT + SECOND, due=AT - SECOND, closed_until=AT)
    taken = slots.mine.take(slots.row(), LEASE)
    assert taken == slots.row()
    assert taken is not None
    assert dict(taken.values) == {
        "owner": "mine", "expires_at": AT + LEASE, "due": AT + RATE.interval, "wanted_by": "",
        "wanted_until": LONG_AGO, "closed_until": AT,
    }  # fmt: skip


def test_of_two_who_take_a_slot_one_gets_it(slots: Slots) -> None:
    """Also one that was never used."""
    for index in (0, 0):
        seen = slots.row(index)
        slots.clock.advance(200)
        assert slots.mine.take(seen, LEASE) is not None
        assert slots.other.take(seen, LEASE) is None


@pytest.mark.parametrize(("seconds", "is_taken"), [(5, True), (5.001, False)])
def test_a_taking_that_took_too_long_is_given_back(slots: Slots, seconds: float, is_taken: bool) -> None:
    """Its lease might end before the request does."""
    slots.tables.after = lambda name: slots.clock.advance(seconds)
    taken = slots.mine.take(slots.row(), LEASE)
    slots.tables.after = None
    assert (taken is not None) is is_taken
    assert slots.row().text("owner") == ("mine" if is_taken else "")


@pytest.mark.parametrize(
    ("closed", "asked", "until"),
    [
        (LONG_AGO, None, LONG_AGO), (AT, None, AT), (AT, AT + SECOND, AT + SECOND), (AT + SECOND, AT, AT + SECOND),
    ],
)  # fmt: skip
def test_a_slot_is_given_back_and_shut_if_business_central_asked_for_it(
    slots: Slots, closed: datetime, asked: datetime | None, until: datetime
) -> None:
    """Never opened sooner than it was."""
    taken = slots.mine.take(slots.store(closed_until=closed), LEASE)
    assert taken is not None
    freed = slots.mine.free(taken, closed_until=asked)
    assert freed == slots.row()
    assert freed is not None
    assert (freed.text("owner"), freed.time("expires_at"), freed.time("closed_until")) == ("", LONG_AGO, until)


def test_a_slot_that_another_took_over_is_left_to_it(slots: Slots) -> None:
    """Also where it is seen only at the second look; one that was marked meanwhile is given back all the same."""
    taken = slots.mine.take(slots.row(), LEASE)
    assert taken is not None
    slots.clock.advance(10)
    assert slots.other.mark(slots.row()) is not None
    assert slots.mine.free(taken) is not None
    assert slots.row().text("wanted_by") == "other"
    mine = slots.mine.take(slots.store(owner=""), LEASE)
    assert mine is not None
    slots.store(owner="other")
    assert slots.mine.free(mine) is None
    assert slots.mine.free(slots.row()) is None
    assert slots.row().text("owner") == "other"
    slots.table.delete("p", "slot-0")
    assert slots.mine.free(mine) is None


def failing(times: int, error: Exception) -> Callable[[str], None]:
    """A hook that fails so often."""
    left = [error] * times

    def hook(name: str) -> None:
        if left:
            raise left.pop()

    return hook


@pytest.mark.parametrize(
    ("times", "error", "is_given_back"),
    [(1, StoreUnavailable("down"), True), (2, StoreUnavailable("down"), False), (7, StateConflict("moved"), True),
     (8, StateConflict("moved"), False)],
)  # fmt: skip
def test_giving_back_never_fails(slots: Slots, times: int, error: Exception, is_given_back: bool) -> None:
    """A second time past an outage, eight times past others; then the lease runs out by itself."""
    taken = slots.mine.take(slots.row(), LEASE)
    assert taken is not None
    slots.tables.before = failing(times, error)
    assert (slots.mine.free(taken) is not None) is is_given_back
    slots.tables.before = None
    assert slots.row().text("owner") == ("" if is_given_back else "mine")


@pytest.mark.parametrize(
    ("values", "is_marked"),
    [
        ({"owner": "other", "expires_at": AT + TICK}, True),
        ({"owner": "other", "expires_at": AT}, False),
        ({"owner": "mine", "expires_at": AT + LEASE}, False),
        ({"owner": "", "expires_at": AT + LEASE}, False),
        ({"owner": "other", "expires_at": AT + LEASE, "wanted_by": "x", "wanted_until": AT + TICK}, False),
        ({"owner": "other", "expires_at": AT + LEASE, "wanted_by": "x", "wanted_until": AT}, True),
    ],
)
def test_a_slot_that_another_holds_is_marked_by_one(slots: Slots, values: dict[str, Any], is_marked: bool) -> None:
    """For a second and a half."""
    marked = slots.mine.mark(slots.store(**values))
    assert (marked is not None) is is_marked
    if marked is not None:
        assert (marked.text("wanted_by"), marked.time("wanted_until")) == ("mine", AT + 1.5 * SECOND)


@pytest.mark.parametrize("error", [StateConflict("moved"), StoreUnavailable("down")])
def test_a_mark_that_cannot_be_written_is_none(slots: Slots, error: Exception) -> None:
    """It only asks."""
    held = slots.store(owner="other", expires_at=AT + LEASE)
    slots.tables.before = failing(1, error)
    assert slots.mine.mark(held) is None


def test_a_slot_is_shut_whoever_holds_it_and_never_opened_sooner(slots: Slots) -> None:
    """One that was never used, too; another's lease stays."""
    slots.mine.close(4, AT + SECOND)
    assert dict(slots.row(4).values) == {"closed_until": AT + SECOND}
    slots.store(owner="other", expires_at=AT + LEASE)
    slots.mine.close(0, AT + SECOND)
    slots.mine.close(0, AT)
    assert dict(slots.row().values) == {"owner": "other", "expires_at": AT + LEASE, "closed_until": AT + SECOND}
    before = slots.row()
    slots.mine.close(0, AT + SECOND)
    assert slots.row() == before
    slots.tables.before = failing(99, StoreUnavailable("down"))
    slots.mine.close(0, AT + LEASE)
