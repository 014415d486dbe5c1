"""Ten thousand events to each kind of receiver, in bad weather: none is lost, and none repeated but as promised.

5 % of the requests fail (500, 429, a reset before or after the receiver took them), the receiver dies for some minutes
in between, and workers are killed at every kind of point: before and after a request, around writes of rows, and before
their message is deleted.
"""

import random
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
import trustme

from shared.forwarding.event_targets import TargetKind
from shared.resource_names import QUEUE_FORWARD
from tests.simulation.world import Crash
from tests.support.forward_world import ForwardWorld, event, forwarding

EVENTS: Final = 10_000
IN_A_BLOB: Final = 4_000
IN_A_MESSAGE: Final = 6
#: Chance to die at a point; a delivery has some four to some four hundred of them.
CRASH_P: Final = 0.004
#: The receiver is dead from this request on, for some virtual minutes.
DEAD_FROM: Final = 500
DEAD_FOR: Final = timedelta(minutes=4)


def announce(to: ForwardWorld) -> None:
    """One claim check, and many messages; a subject has up to three events."""
    texts = [event(number, subject=f"items({number // 3})") for number in range(EVENTS)]
    to.announce_blob(*texts[:IN_A_BLOB])
    for first in range(IN_A_BLOB, EVENTS, IN_A_MESSAGE):
        to.announce(*texts[first : first + IN_A_MESSAGE])


@pytest.mark.parametrize("kind", TargetKind, ids=lambda kind: kind.name.lower())
def test_none_is_lost_and_ids_repeat_only_as_promised(
    kind: TargetKind, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At least once under the same id: twice only what was in a worker's hands when it died, or got no answer."""
    rolls, crashes = random.Random(2026), Counter[str]()
    with forwarding(kind, tmp_path, trustme.CA(), fault_p=0.05, seed=7) as to:

        def point(name: str) -> None:
            if rolls.random() < CRASH_P:
                crashes[name.removeprefix("before ").removeprefix("after ")] += 1
                to.cut_off()
                raise Crash(name)

        announce(to)
        to.world.point = point
        began, dead_at = to.world.clock.now(), None
        while to.world.queues.waiting(QUEUE_FORWARD) or to.causes():
            while to.step():
                if dead_at is None and to.receiver.counts["requests"] >= DEAD_FROM:
                    dead_at, to.receiver.is_dead = to.world.clock.now(), True
            to.world.clock.advance(timedelta(minutes=1))
            to.receiver.is_dead = dead_at is not None and to.world.clock.now() < dead_at + DEAD_FOR
            to.world.run_timer("retry_sales_orders")
            assert to.world.clock.now() - began < timedelta(hours=24)
        minutes = (to.world.clock.now() - began) // timedelta(minutes=1)
        letters = to.letters()
        found = to.receiver.ids()
        allowed = to.may_repeat + to.receiver.in_doubt
        repeated = {one: count - 1 for one, count in found.items() if count > 1}
        with capsys.disabled():
            sys.stdout.write(
                f"\n{kind.name.lower()}: {len(found)} of {EVENTS} events arrived, {sum(repeated.values())} repeats; "
                f"{to.receiver.counts['requests']} requests, {crashes.total()} kills, {minutes} virtual minutes, "
                f"receiver: {dict(to.receiver.counts)}\n"
            )
        assert set(found) == {f"{number:032x}" for number in range(EVENTS)}
        assert not letters
        assert crashes.total() > 5
        assert {one: count for one, count in repeated.items() if count > allowed[one]} == {}
