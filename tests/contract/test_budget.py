"""The request budget, over tables in memory and on Azurite: P10, whoever asks, crashes, or waits."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count, cycle
from queue import SimpleQueue
from random import Random
from threading import Event, Lock, Thread, current_thread

import pytest

from shared.business_central.lease_rows import BURST, MAX_TAKING
from shared.business_central.port import WHOLE_S, Slot
from shared.business_central.request_budget import LAST_POLL_S, MARGIN_S, RESERVED_SLOT, RequestBudget
from shared.errors import BudgetExhausted, StoreUnavailable
from shared.storage.table import Change, Row, Table
from tests.conftest import FixedClock
from tests.support.memory_storage import MemoryTable, MemoryTables

type OpenTables = Callable[[], Callable[[str], Table]]

LEASE_S = WHOLE_S + MARGIN_S
CONNECTION = "tenant.production"
READER = "budget|tenant|reader|app"
_ids = count(1)


def new_id() -> str:
    return f"{next(_ids):032x}"


def virtual(
    table: Table, clock: Callable[[], datetime], sleep: Callable[[float], None], reader: str = "", **options: float
) -> RequestBudget:
    """One instance whose waiting moves the test's clock."""
    return RequestBudget(
        table, CONNECTION, now=clock, new_id=new_id, sleep=sleep, jitter=lambda: 0.5, reader=reader, **options
    )


@dataclass
class InFlight:
    """How many requests are under way, and the most there ever were."""

    now: int = 0
    most: int = 0
    total: int = 0
    lock: Lock = field(default_factory=Lock)

    def __enter__(self) -> None:
        with self.lock:
            self.now += 1
            self.total += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.now -= 1


# ---- at once ---------------------------------------------------------------------------------------------------------


def test_never_more_than_five_at_once(open_tables: OpenTables, table_name: str) -> None:
    """Sixteen threads of two instances race for slots: all get their turn, never more than five at once."""
    budgets = [
        RequestBudget(open_tables()(table_name), CONNECTION, now=lambda: datetime.now(UTC), new_id=new_id)
        for _ in range(2)
    ]
    in_flight, nothing = InFlight(), Event()

    def work(number: int) -> None:
        for _ in range(5):
            with budgets[number % 2].slot(reserved=number % 4 == 0), in_flight:
                nothing.wait(0.003)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(16)))
    assert in_flight.total == 80
    assert 2 <= in_flight.most <= 5


def test_all_five_serve_a_pull_while_nobody_needs_the_fifth(table: Table, clock: FixedClock) -> None:
    """A pull has five requests under way at once; a further one, and an order too, is turned away after its wait."""
    budget = virtual(table, clock, clock.advance)
    started = clock()
    with ExitStack() as held:
        for _ in range(5):
            held.enter_context(budget.slot(reserved=False))
        assert clock() == started
        for reserved, wait_s in ((False, 30), (True, 60)):
            before = clock()
            with pytest.raises(BudgetExhausted), budget.slot(reserved=reserved):
                pass
            assert timedelta(seconds=wait_s) <= clock() - before < timedelta(seconds=wait_s + 2)


@pytest.mark.parametrize("shared", [True, False])
def test_an_order_is_the_next_taker_of_the_lent_slot(
    open_tables: OpenTables, table_name: str, clock: FixedClock, shared: bool
) -> None:
    """All five serve pages of 4 s, taken anew the moment they are free: an order waits for one page and no second.

    Whether it comes in the process of the pull or in another; nothing is lent while it waits, and it is again after.
    """
    held: list[tuple[AbstractContextManager[Slot], datetime] | None] = [None] * 5

    def go_on() -> None:
        """End what is over, and take again whatever the budget gives."""
        for number, one in enumerate(held):
            if one is not None and clock() < one[1]:
                continue
            if one is not None:
                one[0].__exit__(None, None, None)
                held[number] = None
            again = greedy.slot(reserved=False)
            with suppress(BudgetExhausted):
                again.__enter__()
                held[number] = (again, clock() + timedelta(seconds=4))

    def sleep(seconds: float) -> None:  # of the order: with wait_s=0 no page waits
        clock.advance(seconds)
        go_on()

    greedy = virtual(open_tables()(table_name), clock, sleep, wait_s=0)
    orders = greedy if shared else virtual(open_tables()(table_name), clock, sleep)
    go_on()
    clock.advance(1)
    for _ in range(3):
        assert all(held)
        started = clock()
        with orders.slot(reserved=True):
            assert clock() - started <= timedelta(seconds=4 + LAST_POLL_S)
            assert sum(one is not None for one in held) == 4
        clock.advance(2)
        go_on()
    assert all(held), "and it is lent again"


@pytest.mark.parametrize(("waits_s", "marked"), [(1.5, 0), (30.0, 1)])
def test_a_page_that_waits_marks_no_slot_but_one_and_never_the_reserved_one(
    open_tables: OpenTables, table_name: str, clock: FixedClock, waits_s: float, marked: int
) -> None:
    """Who starves is next at one of the common slots; the one that orders need is nobody's but theirs."""
    table = open_tables()(table_name)
    busy, waiting = (virtual(table, clock, clock.advance, wait_s=wait_s) for wait_s in (0, waits_s))
    with ExitStack() as held:
        for _ in range(5):
            held.enter_context(busy.slot(reserved=False))
        with pytest.raises(BudgetExhausted), waiting.slot(reserved=False):
            pass
        wanted = [row.key for row in table.query(CONNECTION) if row.text("wanted_by")]
    assert len(wanted) == marked
    assert f"slot-{RESERVED_SLOT}" not in wanted


def test_a_lent_slot_keeps_half_of_its_burst_for_orders(table: Table, clock: FixedClock) -> None:
    """However fast a pull goes, an order that comes then, and many after it, need not wait for the rate."""
    budget = virtual(table, clock, clock.advance)
    started = clock()
    while clock() == started:
        with budget.slot(reserved=False):
            pass
    before = clock()
    for _ in range(BURST // 2):
        with budget.slot(reserved=True):
            assert clock() == before


def test_a_line_that_does_not_move_is_left(table: Table, clock: FixedClock) -> None:
    """With others on the host, who waits for requests that are not answered goes after 5 s, and who comes then at once.

    As soon as one has ended there is hope again.
    """
    budget = virtual(table, clock, clock.advance, patience_s=5.0)
    with ExitStack() as held:
        first = ExitStack()
        first.enter_context(budget.slot(reserved=False))
        for _ in range(4):
            held.enter_context(budget.slot(reserved=False))
        started = clock()
        with pytest.raises(BudgetExhausted, match="other connections"), budget.slot(reserved=False):
            pass
        assert timedelta(seconds=5) <= clock() - started < timedelta(seconds=6)
        started = clock()
        with pytest.raises(BudgetExhausted), budget.slot(reserved=False):
            pass
        assert clock() == started
        first.close()
        with budget.slot(reserved=False):
            assert clock() == started


def test_a_line_that_moves_is_worth_waiting_in(table: Table, clock: FixedClock) -> None:
    """Slots that come free every 4 s are waited for, however long the line is, up to the 30 s of all."""
    held = [ExitStack() for _ in range(5)]

    def sleep(seconds: float) -> None:
        before = clock()
        clock.advance(seconds)
        if int(before.timestamp()) // 4 != int(clock().timestamp()) // 4:
            held[0].close()
            held[0].enter_context(others.slot(reserved=True))

    budget = others = virtual(table, clock, sleep, patience_s=5.0)
    for one in held:
        one.enter_context(budget.slot(reserved=False))
    started = clock()
    with pytest.raises(BudgetExhausted, match="within 30 s"), budget.slot(reserved=False):
        pass
    assert clock() - started >= timedelta(seconds=30)
    for one in held:
        one.close()


def test_a_pause_that_is_known_is_not_waited_for_in_the_place_of_others(table: Table, clock: FixedClock) -> None:
    """Business Central asks for 10 s: with others on the host nobody waits here, alone one does."""
    budget = virtual(table, clock, clock.advance, patience_s=5.0)
    with budget.slot(reserved=False) as slot:
        slot.close_for(10.0)
    started = clock()
    with pytest.raises(BudgetExhausted, match="other connections"), budget.slot(reserved=False):
        pass
    assert clock() == started
    with virtual(table, clock, clock.advance).slot(reserved=False):
        assert clock() >= started + timedelta(seconds=10)


def test_who_may_takes_the_reserved_slot_first(table: Table, clock: FixedClock) -> None:
    """An order leaves the common slots to the pulls, and uses one of them when its own is taken."""
    budget = virtual(table, clock, clock.advance)
    started = clock()
    with ExitStack() as held:
        held.enter_context(budget.slot(reserved=True))
        for _ in range(4):
            held.enter_context(budget.slot(reserved=False))
    with ExitStack() as held:
        for _ in range(5):
            held.enter_context(budget.slot(reserved=True))
    assert clock() == started


def test_a_waiting_thread_wakes_when_its_process_frees_a_slot(
    table: Table, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an injected sleep a waiter goes on as soon as a slot of its own process is given back."""
    for name in ("FIRST_POLL_S", "LAST_POLL_S"):
        monkeypatch.setattr(f"shared.business_central.request_budget.{name}", 25.0)
    budget = RequestBudget(table, CONNECTION, now=clock, new_id=new_id)  # the clock stands: only waking can help
    got = Event()

    def wait_for_slot() -> None:
        with budget.slot(reserved=False):
            got.set()

    with ExitStack() as held:
        for _ in range(5):
            held.enter_context(budget.slot(reserved=False))
        waiter = Thread(target=wait_for_slot)
        waiter.start()
        assert not got.wait(0.2)
    assert got.wait(5)
    waiter.join()


def test_threads_are_served_in_the_order_they_came(table: Table, clock: FixedClock) -> None:
    """The chains of a pull go on side by side, and none of them starves."""
    waiting: SimpleQueue[Thread] = SimpleQueue()

    def jitter() -> float:  # asked for by whoever begins to wait
        waiting.put(current_thread())
        return 0.5

    budget = RequestBudget(table, CONNECTION, now=clock, new_id=new_id, jitter=jitter)
    served: list[int] = []

    def take(number: int) -> None:
        with budget.slot(reserved=False):
            served.append(number)

    waiters = [Thread(target=take, args=(number,)) for number in range(6)]
    with ExitStack() as held:
        for _ in range(4):
            held.enter_context(budget.slot(reserved=False))
        with budget.slot(reserved=False):
            for waiter in waiters:
                waiter.start()
                while waiting.get(timeout=5) is not waiter:
                    pass
        for waiter in waiters:
            waiter.join(10)
    assert served == list(range(6))


def test_a_failing_body_gives_its_slot_back(table: Table, clock: FixedClock) -> None:
    """An error in the request is not a lost slot."""
    budget = virtual(table, clock, clock.advance)
    started = clock()
    for _ in range(10):
        with pytest.raises(RuntimeError, match="the request"), budget.slot(reserved=False):
            raise RuntimeError("the request")
    assert clock() == started


# ---- other instances -------------------------------------------------------------------------------------------------


def test_instances_share_the_slots(open_tables: OpenTables, table_name: str, clock: FixedClock) -> None:
    """What one instance holds, another cannot take; what it gives back, the other can."""
    one, other = (virtual(open_tables()(table_name), clock, clock.advance) for _ in range(2))
    with ExitStack() as held:
        for budget in (one, other, one, other, one):
            held.enter_context(budget.slot(reserved=False))
        for budget in (one, other):
            with pytest.raises(BudgetExhausted), budget.slot(reserved=False):
                pass
    started = clock()
    with ExitStack() as held:
        for budget in (other, other, one, other, other):
            held.enter_context(budget.slot(reserved=False))
    assert clock() - started < timedelta(seconds=10)


def test_the_slots_of_a_dead_instance_come_back(open_tables: OpenTables, table_name: str, clock: FixedClock) -> None:
    """The leases of a process that died in the middle of its requests run out, and not before."""
    dead, alive = (virtual(open_tables()(table_name), clock, clock.advance) for _ in range(2))
    started = clock()
    abandoned = [dead.slot(reserved=False) for _ in range(5)]
    for slot in abandoned:
        slot.__enter__()
    while clock() - started < timedelta(seconds=LEASE_S - 31):
        with pytest.raises(BudgetExhausted), alive.slot(reserved=False):
            pass
    with alive.slot(reserved=False):
        assert timedelta(seconds=LEASE_S) <= clock() - started < timedelta(seconds=LEASE_S + 2)


def test_a_lease_is_as_long_as_its_request_may_take(
    open_tables: OpenTables, table_name: str, clock: FixedClock
) -> None:
    """The slots of a process that died come back as soon as what it asked for must have ended, not as for any other."""
    dead, alive = (virtual(open_tables()(table_name), clock, clock.advance, reserved_wait_s=600) for _ in range(2))
    started = clock()
    abandoned = [dead.slot(reserved=False, limit_s=45.0) for _ in range(5)]
    for slot in abandoned:
        slot.__enter__()
    with alive.slot(reserved=True):
        assert timedelta(seconds=45 + MARGIN_S) <= clock() - started < timedelta(seconds=45 + MARGIN_S + 2)


def test_a_holder_that_overstayed_frees_nobody_elses_slot(
    open_tables: OpenTables, table_name: str, clock: FixedClock
) -> None:
    """A process that wakes after its lease ran out leaves the slots to the instance that took them over."""
    slow, next_one, third = (virtual(open_tables()(table_name), clock, clock.advance) for _ in range(3))
    with ExitStack() as taken_over:
        with ExitStack() as overstayed:
            for _ in range(5):
                overstayed.enter_context(slow.slot(reserved=False))
            clock.advance(LEASE_S + 1)
            for _ in range(5):
                taken_over.enter_context(next_one.slot(reserved=False))
        for budget in (third, slow):
            with pytest.raises(BudgetExhausted), budget.slot(reserved=False):
                pass


def test_a_busy_instance_does_not_starve_another(open_tables: OpenTables, table_name: str, clock: FixedClock) -> None:
    """An instance whose threads take each slot again the moment they free it lets a waiting one in within seconds."""
    greedy = virtual(open_tables()(table_name), clock, clock.advance, wait_s=0)
    held: list[AbstractContextManager[Slot] | None] = [greedy.slot(reserved=False) for _ in range(5)]
    for slot in held:
        assert slot is not None
        slot.__enter__()

    def work_on(seconds: float) -> None:
        clock.advance(seconds)
        for number, slot in enumerate(held):
            if slot is not None:
                slot.__exit__(None, None, None)
            again = greedy.slot(reserved=False)
            try:
                again.__enter__()
            except BudgetExhausted:
                held[number] = None
            else:
                held[number] = again

    patient = virtual(open_tables()(table_name), clock, work_on)
    started = clock()
    with patient.slot(reserved=False):
        assert clock() - started < timedelta(seconds=3)
        assert sum(slot is not None for slot in held) == 4
    clock.advance(1)
    work_on(5)
    assert all(slot is not None for slot in held), "and gets the slot back afterwards"


# ---- Retry-After -----------------------------------------------------------------------------------------------------


def test_retry_after_is_obeyed_by_all(open_tables: OpenTables, table_name: str, clock: FixedClock) -> None:
    """After a 429 no instance begins a request, reserved or not, before the time BC asked for; then they go on."""
    one, other = (virtual(open_tables()(table_name), clock, clock.advance) for _ in range(2))
    with other.slot(reserved=False):
        with one.slot(reserved=False) as slot:
            until = clock() + timedelta(seconds=20)
            slot.close_for(20)
        with one.slot(reserved=True):
            assert until <= clock() < until + timedelta(seconds=1.5)
    for budget in (one, other):
        with ExitStack() as held:
            for _ in range(5):
                held.enter_context(budget.slot(reserved=False))
    assert clock() < until + timedelta(seconds=3)


def test_a_closure_outlasts_the_request_under_way(open_tables: OpenTables, table_name: str, clock: FixedClock) -> None:
    """A slot that another instance held while all were closed is closed too once it is given back."""
    one, other = (virtual(open_tables()(table_name), clock, clock.advance) for _ in range(2))
    with other.slot(reserved=True), one.slot(reserved=False) as slot:
        until = clock() + timedelta(seconds=50)
        slot.close_for(50)
        slot.close_for(5)  # a shorter one does not open it
    with other.slot(reserved=True):
        assert clock() >= until


def test_who_cannot_be_served_in_time_is_told_at_once(table: Table, clock: FixedClock) -> None:
    """When BC asked for a longer pause than the wait, the worker is not kept waiting for nothing."""
    budget = virtual(table, clock, clock.advance)
    with budget.slot(reserved=False) as slot:
        slot.close_for(90)
    started = clock()
    for reserved in (False, True):
        with pytest.raises(BudgetExhausted), budget.slot(reserved=reserved):
            pass
    assert clock() == started


@pytest.mark.parametrize("seconds", [-5.0, 0.0, 1e12, float("inf")])
def test_an_absurd_pause_does_no_harm(table: Table, clock: FixedClock, seconds: float) -> None:
    """A Retry-After of nothing, or of years, neither fails the request nor stops the app for over an hour."""
    budget = virtual(table, clock, clock.advance)
    with budget.slot(reserved=False) as slot:
        slot.close_for(seconds)
    if seconds > 0:
        clock.advance(3600)
    started = clock()
    with budget.slot(reserved=False):
        assert clock() == started


# ---- a reader --------------------------------------------------------------------------------------------------------


def test_a_reader_doubles_the_pages_under_way(table: Table, clock: FixedClock) -> None:
    """Five by each, the reader's first; what the identity alone may do finds five slots and no more."""
    budget = virtual(table, clock, clock.advance, reader=READER)
    with budget.slot(reserved=False):
        pass
    started = clock()
    with ExitStack() as held:
        slots = [held.enter_context(budget.slot(reserved=False, or_reader=True)) for _ in range(10)]
        assert clock() == started
        assert [slot.is_readers for slot in slots] == [True] * 5 + [False] * 5
        for or_reader in (True, False):
            with pytest.raises(BudgetExhausted), budget.slot(reserved=False, or_reader=or_reader):
                pass
    with ExitStack() as held:
        assert not any(held.enter_context(budget.slot(reserved=False)).is_readers for _ in range(5))


def test_pages_are_read_by_whoever_can_serve_first(table: Table, clock: FixedClock) -> None:
    """A reader that BC told to pause leaves the pages to the identity, and the other way round; nobody waits."""
    budget = virtual(table, clock, clock.advance, reader=READER)
    started = clock()
    with budget.slot(reserved=False, or_reader=True) as slot:
        slot.close_for(20)
    with budget.slot(reserved=False, or_reader=True) as slot:
        assert not slot.is_readers
    with budget.slot(reserved=True) as slot:
        assert clock() == started, "what BC told the reader is not meant for the identity"
    clock.advance(21)
    with budget.slot(reserved=True) as slot:
        slot.close_for(20)
    before = clock()
    with ExitStack() as held:
        assert all(held.enter_context(budget.slot(reserved=False, or_reader=True)).is_readers for _ in range(5))
    assert clock() == before


def test_an_order_is_not_kept_waiting_by_the_pages_of_a_reader(table: Table, clock: FixedClock) -> None:
    """Who waits for the identity's slots does not stand behind pages that may go elsewhere."""
    budget = virtual(table, clock, clock.advance, reader=READER)
    started = clock()
    with ExitStack() as held:
        for _ in range(9):
            held.enter_context(budget.slot(reserved=False, or_reader=True))
        with budget.slot(reserved=True) as slot:
            assert not slot.is_readers
            assert clock() == started


def test_one_application_has_one_budget_whoever_uses_it_as_what(
    open_tables: OpenTables, table_name: str, clock: FixedClock
) -> None:
    """The reader of one connection may be the identity of another: five at once in all (P10)."""
    reading = virtual(open_tables()(table_name), clock, clock.advance, reader=READER)
    other = RequestBudget(
        open_tables()(table_name), READER, now=clock, new_id=new_id, sleep=clock.advance, jitter=lambda: 0.5
    )
    with ExitStack() as held:
        for _ in range(5):
            held.enter_context(other.slot(reserved=False))
        pages = [held.enter_context(reading.slot(reserved=False, or_reader=True)) for _ in range(5)]
        assert not any(slot.is_readers for slot in pages)


# ---- when the table fails --------------------------------------------------------------------------------------------


class Unreliable:
    """Hooks of MemoryTables that fail the writes a test names by number, before or after they took effect."""

    def __init__(self, tables: MemoryTables) -> None:
        self.tables = tables
        self.failing: set[int] = set()
        self.writes = 0

    def fail(self, *numbers: int, lost_answer: bool) -> None:
        """Fail these writes, counted from now; with `lost_answer` after they took effect."""
        self.failing, self.writes = set(numbers), 0
        self.tables.before = None if lost_answer else self._strike
        self.tables.after = self._strike if lost_answer else None

    def stop(self) -> None:
        """Fail no more."""
        self.tables.before = self.tables.after = None

    def _strike(self, _operation: str) -> None:
        self.writes += 1
        if self.writes in self.failing:
            raise StoreUnavailable("lost")


@pytest.mark.parametrize("lost_answer", [True, False])
def test_a_taking_with_unknown_end_costs_this_process_nothing(clock: FixedClock, lost_answer: bool) -> None:
    """The caller learns that storage failed; the slot, taken or not, is this process's to use, and nobody else's."""
    tables = MemoryTables()
    one, other = (virtual(tables.table("T"), clock, clock.advance, wait_s=0) for _ in range(2))
    Unreliable(tables).fail(1, lost_answer=lost_answer)
    with pytest.raises(StoreUnavailable), one.slot(reserved=False):
        pass
    with ExitStack() as held:
        for _ in range(4 if lost_answer else 5):
            held.enter_context(other.slot(reserved=False))
        if lost_answer:
            with pytest.raises(BudgetExhausted), other.slot(reserved=False):
                pass
            held.enter_context(one.slot(reserved=False))


@pytest.mark.parametrize("lost_answer", [True, False])
@pytest.mark.parametrize("failing", [(1,), (1, 2)])
def test_a_failed_release_does_not_fail_the_request(
    clock: FixedClock, failing: Sequence[int], lost_answer: bool
) -> None:
    """What BC answered is returned; one failure is mended at once, two leave the slot to this process or the lease."""
    tables = MemoryTables()
    one, other = (virtual(tables.table("T"), clock, clock.advance, wait_s=0) for _ in range(2))
    faults = Unreliable(tables)
    with one.slot(reserved=False):
        faults.fail(*failing, lost_answer=lost_answer)
    faults.stop()
    with ExitStack() as held:
        for _ in range(5 if failing == (1,) or lost_answer else 4):
            held.enter_context(other.slot(reserved=False))
    with ExitStack() as held:
        for _ in range(5):
            held.enter_context(one.slot(reserved=False))


def test_a_taking_that_took_too_long_is_given_back(clock: FixedClock) -> None:
    """A lease whose write hung for seconds is not used, as it might end before the request does."""
    tables = MemoryTables()
    budget = virtual(tables.table("T"), clock, clock.advance)
    delays = iter([MAX_TAKING.total_seconds() + 1])
    tables.after = lambda _operation: clock.advance(next(delays, 0))
    with budget.slot(reserved=False):
        row = next(row for row in tables.table("T").query(CONNECTION) if row.text("owner"))
        assert row.time("expires_at") == clock() + timedelta(seconds=LEASE_S)
        assert len([row for row in tables.table("T").query(CONNECTION) if row.text("owner")]) == 1


# ---- cost and rate ---------------------------------------------------------------------------------------------------


class Counting(MemoryTable):
    """Counts the calls that reach the table."""

    calls = 0

    def get(self, partition: str, key: str) -> Row | None:
        self.calls += 1
        return super().get(partition, key)

    def query(self, partition: str, low: str = "", high: str = "", *, limit: int | None = None) -> Iterator[Row]:
        self.calls += 1
        return super().query(partition, low, high, limit=limit)

    def insert(self, row: Row) -> Row:
        self.calls += 1
        return super().insert(row)

    def replace(self, row: Row) -> Row:
        self.calls += 1
        return super().replace(row)

    def write(self, changes: Sequence[Change]) -> list[str]:
        raise AssertionError("not used")


def test_a_request_costs_two_calls_of_the_table(clock: FixedClock) -> None:
    """An instance that is alone reads the rows once and then writes twice per request."""
    table = Counting()
    budget = virtual(table, clock, clock.advance)
    for _ in range(50):
        with budget.slot(reserved=False):
            pass
    assert table.calls == 1 + 2 * 50


def test_waiting_for_the_own_threads_costs_no_calls(clock: FixedClock) -> None:
    """A thread that waits for slots its own process holds leaves the table alone."""
    table = Counting()
    budget = virtual(table, clock, clock.advance)
    with ExitStack() as held:
        for _ in range(5):
            held.enter_context(budget.slot(reserved=False))
        before = table.calls
        with pytest.raises(BudgetExhausted), budget.slot(reserved=False):
            pass
        assert table.calls == before


@pytest.mark.parametrize(("seed", "orders"), [(0, 1.0), (1, 0.5), (2, 0.0)])
def test_the_rate_holds_over_all_instances(clock: FixedClock, seed: int, orders: float) -> None:
    """Three instances, clocks up to 4 s apart, ask as fast as they can, with pauses: at most 6,000 in any 300 s.

    `orders`: the share of requests for which the reserved slot is kept; the others it is lent to.
    """
    random = Random(seed)
    tables = MemoryTables()

    def instance(offset: float) -> RequestBudget:
        return RequestBudget(
            tables.table("T"),
            CONNECTION,
            now=lambda: clock() + timedelta(seconds=offset),
            new_id=new_id,
            sleep=clock.advance,
            jitter=random.random,
        )

    budgets = cycle([instance(-2), instance(0), instance(2)])
    times: list[datetime] = []
    ended = clock() + timedelta(seconds=1000)
    while clock() < ended:
        if random.random() < 0.0003:
            clock.advance(random.uniform(1, 30))  # the burst makes up for it
        with next(budgets).slot(reserved=random.random() < orders):
            times.append(clock())
            clock.advance(random.uniform(0, 0.02))
    first = most = 0
    for last, at in enumerate(times):
        while times[first] < at - timedelta(seconds=300):
            first += 1
        most = max(most, last - first + 1)
    assert most <= 6000
    assert most >= 5500, "and the rate is used"
    assert times[5 * BURST - 1] - times[0] < timedelta(seconds=30)
