"""The keeper of subscriptions as a state machine: steps are its runs and what befalls webhooks, invariants are P7.

What is promised of a webhook: a URL of its own, renewed before it is 48 hours old, rebuilt within 15 minutes of its
loss once nothing keeps the keeper from it, and no row of anybody else's touched.
"""

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, Final
from urllib.parse import unquote

import pytest
from business_central_emulator import Fault, FaultKind, HandshakeAnswer
from business_central_emulator.data.record import Record
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shared.business_central.port import Wanted
from shared.webhooks import delivery, keep, plan
from tests.simulation.world import PUBLIC_URL
from tests.support.machines import check, find
from tests.support.worlds import kill_at_effect, restart, small_world

#: The keeper's timer runs so often, and so long after a loss a webhook is there again.
EVERY: Final = timedelta(minutes=15)
LIFE: Final = timedelta(days=3)
OLDEST: Final = timedelta(hours=48)
#: Faults of BC last at most so long in all, so that the 48 hours are kept in spite of them.
SPELL: Final = timedelta(hours=6)
BOTH: Final = "items,salesInvoices"
ELSEWHERE: Final = ("https://other.example/hook", f"{PUBLIC_URL}.other.example/api/bc/notifications/1")
FAULTS: Final = (
    FaultKind.THROTTLED, FaultKind.UNAVAILABLE, FaultKind.SERVER_ERROR, FaultKind.RESET_AFTER, FaultKind.TRUNCATED,
)  # fmt: skip
PLACES: Final = ("^GET .*/subscriptions", "^POST .*/subscriptions", "^PATCH .*/subscriptions", "/companies$",
                 "webhookSupportedResources", "^DELETE")  # fmt: skip


class KeeperMachine(RuleBasedStateMachine):
    """An environment of two companies, its webhooks, and others' webhooks among them."""

    def __init__(self) -> None:
        super().__init__()
        self.world = small_world(env={"BC_TRIGGERS": BOTH})
        self.wanted = self._wanted(BOTH)
        self.others: dict[str, dict[str, Any]] = {}
        self.may_fail_until: datetime | None = None

    # -- what befalls webhooks

    @rule(place=st.integers(0, 3))
    def delete_silently(self, place: int) -> None:
        """BC deletes without a word."""
        mine = self._mine()
        if mine:
            self.world.bc.delete_subscription_silently(mine[place % len(mine)]["subscriptionId"])

    @rule()
    def copy_environment(self) -> None:
        """A copy has no webhooks."""
        self.world.bc.copy_environment()
        self.others.clear()

    @rule(url=st.sampled_from(ELSEWHERE), resource=st.integers(0, 3))
    def register_elsewhere(self, url: str, resource: int) -> None:
        """Another system watches the same records."""
        made = self._register(url, sorted(self.wanted)[resource])
        if made is not None:
            self.others[made["subscriptionId"]] = made.values()

    @rule(resource=st.integers(0, 3), place=st.integers(0, 9))
    def leave_an_orphan(self, resource: int, place: int) -> None:
        """An earlier deployment left a webhook under our address."""
        self._register(f"{PUBLIC_URL}/api/bc/notifications/{4 * place + resource:032x}", sorted(self.wanted)[resource])

    @rule(resource=st.integers(0, 3))
    def double_one(self, resource: int) -> None:
        """An answer was lost, and a second webhook was made at the same URL."""
        mine = self._mine()
        if mine:
            self._register(mine[0]["notificationUrl"], mine[0]["resource"])

    def _register(self, url: str, resource: str) -> Record | None:
        before = {record["subscriptionId"] for record in self.world.bc.environment.subscriptions}
        shake, self.world.bc.handshake = self.world.bc.handshake, _echo
        script, self.world.bc.faults.script = self.world.bc.faults.script, []
        try:
            want = Wanted(company="", entity="", url=url, resource=resource, client_state="x")
            self.world.ctx.bc.create_subscription(want)
        except Exception:  # noqa: BLE001 the same URL and resource twice: BC refuses it
            return None
        finally:
            self.world.bc.handshake, self.world.bc.faults.script = shake, script
        return next(one for one in self.world.bc.environment.subscriptions if one["subscriptionId"] not in before)

    # -- faults

    @rule(kind=st.sampled_from(FAULTS), match=st.sampled_from(PLACES), times=st.integers(1, 8))
    def fail(self, kind: FaultKind, match: str, times: int) -> None:
        self.world.bc.faults.add(Fault(kind=kind, match=match, times=times))

    @rule()
    def stop_answering(self) -> None:
        """The app's HTTP side is down: no handshake succeeds."""
        self.world.webhooks_answer = False

    @rule()
    def mend(self) -> None:
        self.world.webhooks_answer = True
        self.world.bc.faults.clear()

    @rule()
    def restart(self) -> None:
        restart(self.world)

    @rule(place=st.integers(1, 30))
    def die(self, place: int) -> None:
        """The keeper is gone at its n-th outside effect."""
        kill_at_effect(self.world, place)
        self.world.run_timer("keep_subscriptions")
        self.world.point = lambda _: None

    # -- time

    @rule(quarters=st.sampled_from((1, 1, 4, 24, 96)))
    def keep(self, quarters: int) -> None:
        """The timer runs, a quarter of an hour after the other; whatever fails is mended after six hours at most."""
        for _ in range(quarters):
            self.world.clock.advance(EVERY)
            self._mend_in_time()
            self.world.run_timer("keep_subscriptions")
            self.world.drain()
            self._note()

    def _mend_in_time(self) -> None:
        now = self.world.clock.now()
        if self.world.webhooks_answer and not self.world.bc.faults.script:
            self.may_fail_until = None
        elif self.may_fail_until is None:
            self.may_fail_until = now + SPELL
        elif now >= self.may_fail_until:
            self.mend()

    def _note(self) -> None:
        """A run that nothing disturbed leaves exactly what is wanted."""
        if self.world.webhooks_answer and not self.world.bc.faults.script:
            held = Counter(one["resource"].strip("/") for one in self._mine())
            assert held == Counter(self.wanted), "rebuilt: within 15 minutes, each once"
            active = {note.entity: note.status for note in self.world.stores.notes.all()}
            assert set(active.values()) == {"active"}, "the notes say so"

    # -- the promise

    @invariant()
    def each_has_a_url_of_its_own(self) -> None:
        urls: dict[str, set[str]] = {}
        for one in self._mine():
            urls.setdefault(one["notificationUrl"], set()).add(one["resource"])
        assert all(len(resources) == 1 for resources in urls.values()), "one URL serves one resource"

    @invariant()
    def none_is_older_than_two_days(self) -> None:
        now = self.world.clock.now()
        old = [one["resource"] for one in self._mine() if now > one["expirationDateTime"] - LIFE + OLDEST]
        assert old == [], "renewed before 48 hours"

    @invariant()
    def what_is_others_stays(self) -> None:
        now = self.world.clock.now()
        held = {one["subscriptionId"]: one.values() for one in self.world.bc.environment.subscriptions}
        gone = [key for key, one in self.others.items() if one["expirationDateTime"] > now and held.get(key) != one]
        assert gone == [], "others' webhooks are left alone"

    def teardown(self) -> None:
        """Once nothing fails, one run puts all right."""
        self.mend()
        self.keep(1)

    def _mine(self) -> list[Record]:
        prefix = f"{PUBLIC_URL}/api/bc/notifications/"
        return [one for one in self.world.bc.environment.subscriptions if one["notificationUrl"].startswith(prefix)]

    def _wanted(self, sets: str) -> set[str]:
        companies = self.world.bc.environment.companies
        return {f"api/v2.0/companies({company})/{name}" for company in companies for name in sets.split(",")}


def _echo(url: str) -> HandshakeAnswer:
    token = unquote(url.partition("validationToken=")[2])
    return HandshakeAnswer(status=200, content_type="text/plain", body=token.encode())


def test_no_order_of_steps_breaks_the_promise_about_webhooks() -> None:
    """Webhooks are lost, doubled, orphaned and refused in whatever order (P7)."""
    check(KeeperMachine)


def _one_url_for_all(patch: pytest.MonkeyPatch) -> None:
    real: Any = delivery.subscription_path
    patch.setattr(
        keep, "subscription_path",
        lambda secret, state, target, *rest: real(secret, state, SimpleNamespace(company="", entity=_NoEntity), *rest),
    )  # fmt: skip


class _NoEntity:
    @staticmethod
    def resource(company: str) -> str:
        return company


def _renewed_late(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(plan, "RENEW_AGE", timedelta(hours=60))


def _lost_for_a_day(patch: pytest.MonkeyPatch) -> None:
    real = keep._take

    def take(ctx: Any, notes: Any, stores: Any, step: plan.Step) -> Any:
        is_young = isinstance(step, plan.Register) and ctx.now().hour != 3
        return [] if is_young else real(ctx, notes, stores, step)

    patch.setattr(keep, "_take", take)


def _others_removed(patch: pytest.MonkeyPatch) -> None:
    real = plan.plan

    def all_ours(wanted: Any, existing: Any, *, own_prefix: str, now: Any) -> Any:
        steps = real(wanted, existing, own_prefix=f"{PUBLIC_URL}/api/bc/notifications/", now=now)
        mine = {step.existing for step in steps if hasattr(step, "existing")}
        return [*steps, *(plan.Remove(one) for one in existing if one not in mine)]

    patch.setattr(keep, "plan", all_ours)


def _doubles_kept(patch: pytest.MonkeyPatch) -> None:
    real = plan.plan
    patch.setattr(
        keep, "plan", lambda *args, **named: [one for one in real(*args, **named) if not isinstance(one, plan.Remove)]
    )


@pytest.mark.parametrize(
    ("defect", "finding"),
    [
        (_one_url_for_all, "one URL serves one resource|each once"),
        (_renewed_late, "renewed before 48 hours"),
        (_lost_for_a_day, "within 15 minutes"),
        (_others_removed, "others' webhooks are left alone"),
        (_doubles_kept, "each once"),
    ],
)
def test_the_machine_finds_a_planted_defect(
    defect: Callable[[pytest.MonkeyPatch], None], finding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can fail: each rule of the keeper that is broken from outside breaks the promise that the machine sees."""
    defect(monkeypatch)
    with pytest.raises(AssertionError, match=finding):
        find(KeeperMachine)
