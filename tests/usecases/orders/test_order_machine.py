"""Order submission as a state machine: steps are the product's functions and others' doings, invariants the promises.

Hypothesis composes the steps and shortens a run that breaks a promise to the fewest that do. The judge is the checker
of the simulation, which knows no code of the app: one order in BC per key, `created` only of a committed order that a
message of that key made, no result that goes back, a read that sees the result, an answer for every message (P8, P9,
P17).
"""

import dataclasses
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import pytest
from business_central_emulator import FaultKind
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shared.business_central.code_text import code_of
from shared.business_central.port import PostedOrder
from shared.errors import BCUnavailable
from shared.orders import likeness, next_step, order_message, resume, submit
from shared.orders.order_entry import OrderEntry
from shared.orders.order_result import refusal
from shared.orders.order_store import OrderStore
from tests.simulation.checker import judge
from tests.simulation.history import Watch
from tests.simulation.recorder import MARK, Recorder
from tests.simulation.world import Crash
from tests.support.machines import check, find
from tests.support.shop import Shop
from tests.support.worlds import at_effect

#: Two spellings of one key, a GUID, and a key that is an external number as well.
KEYS: Final = ("web-1", " WEB-1", "3bb5b4b6-ea4c-43ca-ba1c-3b69e29a6668", "po-1")
#: The longest that lost answers and the doubts of others that look alike keep an order from its result.
QUIET: Final = timedelta(hours=4)
FAULTS: Final = (
    FaultKind.THROTTLED, FaultKind.UNAVAILABLE, FaultKind.SERVER_ERROR, FaultKind.HTML_ERROR, FaultKind.TRANSIENT,
    FaultKind.RESET_BEFORE, FaultKind.RESET_AFTER, FaultKind.TIMEOUT_AFTER, FaultKind.GATEWAY_TIMEOUT_AFTER,
    FaultKind.TRUNCATED, FaultKind.LATE_COMMIT, FaultKind.LATE_ROLLBACK,
)  # fmt: skip
POST: Final = "^POST .*/salesOrders"
PLACES: Final = (POST, POST, "^GET .*/sales", "/companies$")


class OrderMachine(RuleBasedStateMachine):
    """A shop, its senders, its clerks and the app's workers."""

    def __init__(self) -> None:
        super().__init__()
        self.shop = Shop()
        self.world = self.shop.world
        self.recorder = Recorder(self.world)
        self.recorder.watch_began()
        self.company = self.world.bc.company().id
        self.sent: list[tuple[str, str, str]] = []  # spelling, mark, text
        self.orders_typed = 0

    # -- senders

    @rule(key=st.sampled_from(KEYS), quantity=st.integers(1, 2), external=st.sampled_from(("", "", "PO-1")),
          customer=st.sampled_from(("C00120", "C00120", "C00120", "NOBODY")))  # fmt: skip
    def send(self, key: str, quantity: int, external: str, customer: str) -> None:
        """Whoever sends the same under one key means the same order; other content is another one."""
        line = {"lineType": "Item", "lineObjectNumber": "PRK-1001", "quantity": quantity}
        mark = f"{code_of(key)[:6]}{quantity}{external[-1:]}{customer[-1]}"
        order = self.shop.order(line, customerNumber=customer, externalDocumentNumber=external or None, **{MARK: mark})
        self._send(key, mark, self.shop.message(key, order))
        if external or code_of(key) == "PO-1":
            self._dispute()

    @precondition(lambda self: self.sent)
    @rule(place=st.integers(0, 3))
    def send_again(self, place: int) -> None:
        """A sender that got no answer, or the queue, delivers a copy."""
        self._send(*self.sent[place % len(self.sent)])

    def _stored(self) -> list[OrderEntry]:
        return [entry for key in KEYS for entry in self.world.stores.orders.find(code_of(key))]

    def _send(self, spelling: str, mark: str, text: str) -> None:
        self.sent.append((spelling, mark, text))
        self.shop.send(text)
        self.recorder.submitted(code_of(spelling), spelling, self.company, mark)

    def _dispute(self) -> None:
        """From here on nobody can tell for sure whose a document of the shared number is."""
        for spelling, _, text in self.sent:
            shared = json.loads(text)["order"].get("externalDocumentNumber") or code_of(spelling) == "PO-1"
            if shared:
                self.recorder.disputed(code_of(spelling))

    # -- people and Business Central

    @precondition(lambda self: self.orders_typed < 2)
    @rule(quantity=st.integers(1, 2))
    def type_an_order(self, quantity: int) -> None:
        """A clerk uses a number that senders use, too; in all else not while one is in doubt, a known limit."""
        self.orders_typed += 1
        quantity = 3 if any(one.in_doubt for one in self._stored()) else quantity
        line = {"lineType": "Item", "lineObjectNumber": "PRK-1001", "quantity": quantity}
        self.world.bc.user.create_order([line], externalDocumentNumber="PO-1", customerNumber="C00120")
        self._dispute()

    @rule(place=st.integers(0, 3))
    def ship_and_invoice(self, place: int) -> None:
        """The warehouse is faster than the look-up: of the order only shipment and invoice are left."""
        orders = [row for row in self.world.bc.table("salesOrders") if row[MARK]]
        if orders:
            self.world.bc.user.post_order(orders[place % len(orders)])

    @rule(kind=st.sampled_from(FAULTS), match=st.sampled_from(PLACES), times=st.integers(1, 3))
    def fail(self, kind: FaultKind, match: str, times: int) -> None:
        is_write = kind not in {FaultKind.LATE_COMMIT, FaultKind.LATE_ROLLBACK} or match == POST
        self.shop.fail(kind, match=match if is_write else POST, times=times, late_s=400.0)

    @rule(minutes=st.sampled_from((1, 20, 60)))
    def lag(self, minutes: int) -> None:
        self.shop.fail(FaultKind.REPLICA_LAG, match="GET ", times=6, window_s=minutes * 60.0)

    @precondition(lambda self: self.sent)
    @rule(place=st.integers(0, 3))
    def put_back(self, place: int) -> None:
        """A person redrives an order that was parked."""
        key = code_of(self.sent[place % len(self.sent)][0])
        if "parked" in self.shop.status(key):
            self.recorder.put_back(key)
            self.world.leave(resume.redrive(self.world.stores.orders, key)[1])

    # -- workers

    @rule()
    def work(self) -> None:
        self.world.drain()

    @rule(place=st.integers(1, 24))
    def die(self, place: int) -> None:
        """The worker is gone at its n-th outside effect; its message comes back in ten minutes."""

        def at_place() -> None:
            raise Crash("machine")

        self._at(place, at_place)

    @rule(place=st.integers(1, 24), minutes=st.sampled_from((0, 2, 12)))
    def interleave(self, place: int, minutes: int) -> None:
        """The worker sleeps in the middle, and others take what is there."""

        def at_place() -> None:
            self.world.clock.advance(timedelta(minutes=minutes))
            self.world.run_timer("retry_sales_orders")
            self.world.drain()

        self._at(place, at_place)

    def _at(self, place: int, act: Callable[[], None]) -> None:
        at_effect(self.world, place, lambda _: act())
        self.world.drain()
        self.world.point = lambda _: None

    @rule(minutes=st.sampled_from((1, 3, 12, 40)))
    def wait(self, minutes: int) -> None:
        self.shop.wait(timedelta(minutes=minutes), step=timedelta(minutes=min(minutes, 5)))

    # -- the promises

    @invariant()
    def no_promise_is_broken(self) -> None:
        for spelling in dict.fromkeys(spelling for spelling, _, _ in self.sent):
            self.recorder.look(spelling)
        self.world.bc.settle()
        assert [one for one in self._judged() if not one.startswith(("lost", "late"))] == []

    def teardown(self) -> None:
        """After the last fault every message ends in a result, and nothing is left over."""
        self.world.bc.faults.clear()
        self.recorder.healed()
        self.shop.wait(QUIET, step=timedelta(minutes=4))
        self.no_promise_is_broken()
        assert self._judged() == ()
        assert {queue: self.world.queues.waiting(queue) for queue in self.world.worked_queues()} == dict.fromkeys(
            self.world.worked_queues(), 0
        )

    def _judged(self) -> tuple[str, ...]:
        watch = Watch(entities=frozenset(), posting=frozenset(), changes=frozenset(), pulled=frozenset())
        return judge(self.recorder.facts(), watch).findings


def test_no_order_of_steps_breaks_a_promise_about_orders() -> None:
    """Orders are sent, repeated, typed, lost, crashed and put back in whatever order (P8, P9, P17)."""
    check(OrderMachine)


def _posted_blindly(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(next_step, "needs_look_up", lambda entry: False)


def _lost_answer_is_a_refusal(patch: pytest.MonkeyPatch) -> None:
    real = next_step.after_post

    def after(entry: Any, answer: PostedOrder | Exception, *rest: Any) -> next_step.Step:
        return next_step.Reject(answer) if isinstance(answer, BCUnavailable) else real(entry, answer, *rest)  # type: ignore[arg-type]

    patch.setattr(next_step, "after_post", after)


def _adopts_strangers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(likeness, "likeness", lambda *_: "same")
    patch.setattr(next_step, "_is_older", lambda *_: False)


def _result_goes_back(patch: pytest.MonkeyPatch) -> None:
    real = submit._answered

    def answered(orders: Any, entry: Any, *rest: Any, **named: Any) -> Any:
        done = real(orders, entry, *rest, **named)
        return done if entry.status != "created" else refusal("default", rest[1], entry.company, "")

    patch.setattr(submit, "_answered", answered)


def _never_comes_back(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(OrderStore, "due", lambda *_: [])


def _key_as_sent(patch: pytest.MonkeyPatch) -> None:
    real = order_message._request

    def request(order: Any, order_key: str, *rest: Any) -> Any:
        made = real(order, order_key, *rest)
        return dataclasses.replace(made, key=order_key) if order_key else made

    patch.setattr(order_message, "_request", request)


@pytest.mark.parametrize(
    ("defect", "finding"),
    [
        (_posted_blindly, "doubled"),
        (_lost_answer_is_a_refusal, "wrong|doubled"),
        (_adopts_strangers, "adopted|phantom"),
        (_result_goes_back, "wrong"),
        (_never_comes_back, "lost"),
        (_key_as_sent, "doubled|wrong"),
    ],
)
def test_the_machine_finds_a_planted_defect(
    defect: Callable[[pytest.MonkeyPatch], None], finding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can fail: each rule of the app that is broken from outside breaks a promise that the machine sees."""
    defect(monkeypatch)
    with pytest.raises(AssertionError, match=finding):
        find(OrderMachine)
