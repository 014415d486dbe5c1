"""Works the whole local stack for a while, kills what runs it again and again, and counts: nothing lost or doubled.

`python -m tests.soak [--minutes 30] [--seed N]`; with `--partitions` two hosts work, see `partitions`. A seeded day's
work goes through the embedded host and Azurite while every 10 to 60 s something dies: the worker alone, the host alone,
both, a worker three times in a row, or calls are cut off by a scale-in; in each function, at a point of it or in the
middle. Messages that met a death go to poison queues as if it had been the fifth. Business Central fails now and then
and forgets webhooks. At the end what left the app is compared with what Business Central holds. The exit code is 0 only
if nothing was lost or doubled and the app raised no alarm for what was done to it.

Some recoveries are slow by design: a run whose planner was killed begins anew after 12 minutes, an order whose post
may have succeeded is looked up for 11 minutes before it is posted again. So the last 13 minutes are sparing (the last
quarter, if that is less): no kill while a timer plans or an order is being posted, and no fault whose outcome is
unknown in the last 20. What was put back to work and lost is put back again after half an hour: no such kill later.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import requests

from local.stack.demo import Demo
from local.stack.process import StartError
from local.stack.stack import Stack
from shared.resource_names import QUEUE_NOTIFICATIONS, QUEUE_ORDER_RESUMES, QUEUE_ORDERS, QUEUE_PAGES
from tests.soak.host_watch import HostWatch
from tests.soak.kills import FEEDERS, KINDS, SLOW, Deck, Kill
from tests.soak.partitions import PartitionSoak
from tests.soak.report import Plan, Report, Sample
from tests.soak.truth import Account, Emulator, Judge
from tests.soak.work import Business

PATIENCE_S: Final = 20 * 60.0  # to become quiet at the end; more than the slowest recovery
SAMPLE_S: Final = 5.0
_POLL_S: Final = 0.25
_LONG_S: Final = 300.0  # a soak of this length has one life that is long enough to see its memory
_ROUND_S: Final = 20.0  # of the timers
_KILLED: Final = 137
_LEASE_S: Final = 5
_HOST_ENV: Final = {
    "BC_ITEM_PULL_SCHEDULE": "*/20 * * * * *",
    "BC_RECONCILE_SCHEDULE": "*/20 * * * * *",
    "BC_SUBSCRIPTION_SCHEDULE": "*/20 * * * * *",
    "BC_PAGE_ROWS": "100",
    "LOCAL_HOST_LEASE_S": str(_LEASE_S),
    "LOCAL_HOST_TELL_STARTS": "1",
}
#: How long it can take until a function is called; others are called all the time.
_COMES_WITHIN_S: Final = {
    "pull_items": 25.0, "reconcile": 25.0, "keep_subscriptions": 25.0, "retry_sales_orders": 65.0,
    "resume_sales_order": 140.0, **dict.fromkeys(FEEDERS, 40.0),
}  # fmt: skip
_SLOWEST_S: Final = 31 * 60.0  # what was put back to work and lost is put back again
_QUEUES: Final = {
    "read_page": QUEUE_PAGES, "process_notifications": QUEUE_NOTIFICATIONS,
    "submit_sales_order": QUEUE_ORDERS, "resume_sales_order": QUEUE_ORDER_RESUMES,
}  # fmt: skip
_READS: Final = "GET .*/(items|itemVariants|salesInvoices|salesShipments)[?(]"
_POST: Final = "POST .*/salesOrders$"


class Soak:
    """One soak on a stack that runs."""

    def __init__(self, stack: Stack, plan: Plan, say: Callable[[str], None]) -> None:
        """Take the stack; `say` gets a line for each kill."""
        self._stack = stack
        self._plan = plan
        self._say = say
        self._rolls = random.Random(plan.seed)
        self._bc = Emulator(stack)
        self._demo = Demo(stack, say=lambda _: None)
        self._account = Account(stack.storage_connection_string)
        self._business = Business(stack, self._account, seed=plan.seed + 1, pause_s=plan.pause_s)
        self.report = Report(plan=plan)
        self._deck = Deck(random.Random(plan.seed + 2))
        self._watch = HostWatch(stack.host.log_path)
        self._deaths = 0  # of workers, as far as they are dealt with
        self._began = self._sampled = time.monotonic()
        self._held: dict[str, tuple[str, str]] = {}  # by dead-letter function: work queue and message taken out of it
        self._next_weather = self._next_loss = 0.0

    def run(self) -> Report:
        """Do it all: settle in, work and kill, wait for quiet, compare.

        Raises:
            StartError: something ended that nobody killed.
        """
        self._settle_in()
        since = self._bc.newest()
        self._watch.look()
        alarms = len(self._watch.alarms)  # "nobody has signed in yet" was right
        began = self._began = time.monotonic()
        self._next_weather, self._next_loss = self._plan.seconds / 8, self._plan.seconds / 5
        self._business.start()
        try:
            self._work()
        finally:
            self._business.stop()
        self._bc.call("faults/clear")
        judge = Judge(self._bc, self._account, since)
        left = self._become_quiet(judge)
        judge.judge(self.report, self._status(), left)
        self._watch.look()
        self.report.judge_alarms(self._watch.alarms[alarms:])
        self.report.minutes = (time.monotonic() - began) / 60
        return self.report

    def _settle_in(self) -> None:
        """Have the app know what is there already, so that news are news, and hold its webhooks."""
        self._demo.log_in()
        self._demo.take_baseline()
        deadline = time.monotonic() + 120
        while len(self._bc.subscriptions()) < 6 or self._account.queued():
            if time.monotonic() > deadline:
                raise StartError("host: did not settle in within 120 s; see its log")
            time.sleep(_POLL_S)

    # -- work and kills

    def _at_s(self) -> float:
        return time.monotonic() - self._began

    @property
    def _is_sparing(self) -> bool:
        return self._at_s() >= self._plan.sparing_from_s

    def _goes_on(self) -> bool:
        """Say whether there is work to do: time is left, or a kind of kill has not been."""
        return self._at_s() < self._plan.seconds or any(kind not in self.report.kills for kind in KINDS)

    def _work(self) -> None:
        long_life = self._at_s() + 0.4 * self._plan.seconds if self._plan.seconds >= _LONG_S else float("inf")
        kill = self._draw(at_start=False)
        while True:
            life_s = self._rolls.uniform(*self._plan.life_s)
            if self._at_s() > long_life and not kill.point:
                life_s, long_life = self._plan.seconds / 6, float("inf")  # one life without a kill, to see its memory
            if not self._live(life_s, kill):
                if not self._goes_on():
                    self._let_go()
                    break
                kill = self._strike(kill)
            has_ended = self._bury(kill)
            kill = self._draw(at_start=has_ended)
            if has_ended:
                self._revive(kill)
        if kill.point:  # it must not die while what has left is counted
            self._be_sparing()
            self._bury(self._strike(Kill("both")))
            self._revive(Kill("both"))

    def _draw(self, *, at_start: bool) -> Kill:
        is_late = self._at_s() > self._plan.seconds + PATIENCE_S - _SLOWEST_S
        kill = self._deck.draw(at_start=at_start, is_sparing=self._is_sparing, is_late=is_late)
        self._say(f"{self._at_s():6.0f} s  next: {kill}")
        if kill.function not in self._held:
            self._let_go()
        return kill

    def _live(self, life_s: float, kill: Kill) -> bool:
        """Let the host work; True when it, or its worker, has died at the point of the kill."""
        patience_s = max(life_s, _COMES_WITHIN_S.get(kill.function, 15.0)) if kill.point else life_s
        began = time.monotonic()
        if kill.point and not self._is_sparing:
            self._provoke(kill.function)
        while time.monotonic() - began < patience_s:
            self._business.check()
            self._watch.look()
            if kill.point and self._has_died(kill):
                self._note(kill, Counter({kill.function: 1}))
                return True
            self._stack.check()
            if not self._goes_on():
                break
            self._sample()
            self._make_weather()
            time.sleep(_POLL_S)
        return False

    def _has_died(self, kill: Kill) -> bool:
        if kill.kind == "host":
            return self._stack.host.exit_code == _KILLED
        return self._watch.deaths > self._deaths

    def _strike(self, kill: Kill) -> Kill:
        """Wait for the moment of a kill, and kill; return the kill as it became."""
        if kill.point:  # which was not reached: this host may not live on with it
            kill = Kill("both")
        if self._is_sparing:
            self._be_sparing()
            kill = replace(kill, function="", to_poison="")
            self._let_go()
        elif kill.function not in {SLOW, FEEDERS["dead_letter_resume"]}:
            self._wait(_nothing_is_put_back, 10.0)
        where = self._meet(kill.function) if kill.function else self._meet_order()
        self._watch.look()
        met = self._watch.running
        host, worker = self._stack.host, self._watch.worker
        match kill.kind:
            case "worker":
                _signal(worker, signal.SIGKILL)
            case "third death":
                self._kill_workers()
            case "host":
                _signal(host.pid, signal.SIGKILL)
            case "both":
                os.killpg(host.pid, signal.SIGKILL)
            case "scale-in":
                _signal(host.pid, signal.SIGUSR1)
        self._note(kill, met, where)
        return kill

    def _meet(self, function: str) -> str:
        """Wait until a call of a function is under way, and some moment in it."""
        begun = self._watch.begun[function]

        def has_begun() -> bool:
            self._watch.look()
            return self._watch.begun[function] > begun

        self._provoke(function)
        if not self._wait(has_begun, _COMES_WITHIN_S.get(function, 20.0), poll_s=0.004):
            return "at random"
        time.sleep(self._rolls.uniform(0.0, 0.02))
        return f"during {function}"

    def _meet_order(self) -> str:
        if self._rolls.random() < 0.25:
            self._business.pause_orders()
            self._bc.call("faults/add", kind="slow", match=_POST, delay_s=3.0, times=1)
            external = self._business.send_order()
            if self._wait(lambda: external in self._bc.orders(), 8.0):
                return "while BC works on an order"
        return "at random"

    def _provoke(self, function: str) -> None:
        """Have a function called that is not called by itself all the time."""
        if function in self._held:
            self._let_go()
        if function == "resume_sales_order":
            self._bc.call("faults/add", kind="429", match=_POST, times=1, retry_after="5")
        if function in {"resume_sales_order", "submit_sales_order"}:
            self._business.resume_orders()
            self._business.send_order()

    def _let_go(self) -> None:
        """Put what is held into its poison queue, as the host does after the fifth delivery."""
        for queue, text in self._held.values():
            self._account.put_poison(queue, text)
            self.report.moved[queue] += 1
        self._held.clear()

    def _be_sparing(self) -> None:
        """Wait until no order is being posted, no timer plans and nothing is put back."""
        self._business.pause_orders()
        self._wait(lambda: not self._account.unanswered(), 6.0)
        self._wait(_no_timer_plans, _ROUND_S)

    def _kill_workers(self) -> None:
        """Kill one worker after the other until the host gives up."""
        while self._stack.host.is_running:
            _signal(self._watch.worker, signal.SIGKILL)
            self._await_worker()

    def _await_worker(self) -> None:
        """Wait until a death is known, and another worker is there or the host has ended."""

        def is_there() -> bool:
            self._watch.look()
            return self._watch.deaths > self._deaths and (self._watch.is_up or not self._stack.host.is_running)

        if not self._wait(is_there, 30.0, poll_s=0.05):
            raise StartError("host: started no other worker within 30 s")
        self._deaths = self._watch.deaths

    def _note(self, kill: Kill, met: Counter[str], where: str = "") -> None:
        where = where or f"{kill.function}:{kill.point}"
        self.report.kills[kill.kind] += 1
        self.report.moments["at random" if where == "at random" else "in a call" if kill.function else where] += 1
        self.report.met.update(met or Counter({"nothing": 1}))
        calls = ", ".join(f"{number} {name}" for name, number in met.items()) or "nothing"
        self._say(f"{self._at_s():6.0f} s  killed: {kill.kind} {where}; under way: {calls}")

    def _bury(self, kill: Kill) -> bool:
        """See the end of what was killed; True when the host has ended.

        Raises:
            StartError: it did not end, or the worker outlived its host.
        """
        host = self._stack.host
        if kill.kind == "worker":
            self._await_worker()
            if host.is_running:
                return False
            self.report.kills["host ended by a third death"] += 1
        if not self._wait(lambda: not host.is_running, 20.0, poll_s=0.05):
            raise StartError(f"host: did not end of {kill}")
        if not self._wait(lambda: not _is_worker(self._watch.worker), 10.0, poll_s=0.05):
            raise StartError(f"worker: outlived its host after {kill}")
        self._stack.kill_host()
        self._watch.forget_calls()
        self._deaths = self._watch.deaths
        if kill.to_poison:
            self._wait(lambda: False, _LEASE_S + 1.0)
            queue = _QUEUES[kill.function]
            if (text := self._account.take(queue)) is not None:
                self._held[kill.to_poison] = (queue, text)
        return True

    def _revive(self, kill: Kill) -> None:
        """Start the host; a kill at a point may come while it starts."""
        try:
            self._stack.start_host({"LOCAL_HOST_KILL_AT": kill.variable})
        except StartError:
            if not (kill.point and self._stack.host.exit_code == _KILLED):
                raise
        self._watch.look()
        if not kill.point or not self._is_sparing:
            self._business.resume_orders()
        else:  # this order alone: no other is in the middle of a post, no timer in the middle of a plan
            self._wait(_no_timer_plans, _ROUND_S)
            self._business.send_order()

    def _wait(self, done: Callable[[], object], patience_s: float, *, poll_s: float = _POLL_S) -> bool:
        deadline = time.monotonic() + patience_s
        while not done():
            if time.monotonic() > deadline:
                return False
            self._business.check()
            time.sleep(poll_s)
        return True

    # -- weather and memory

    def _make_weather(self) -> None:
        now, length = self._at_s(), self._plan.seconds
        if now >= self._next_loss:
            self._next_loss = now + self._rolls.uniform(60, 120)
            if held := self._bc.subscriptions():
                self._bc.call("subscriptions/delete", id=self._rolls.choice(held)["subscriptionId"])
                self.report.faults["webhooks deleted"] += 1
        if now >= self._next_weather and now < length - 5:
            self._next_weather = now + self._rolls.uniform(25, 60)
            fault = self._choose_fault(now)
            self._bc.call("faults/add", **fault)
            self.report.faults[fault["kind"] + (" on a post" if fault["match"] == _POST else "")] += 1

    def _choose_fault(self, now: float) -> dict[str, Any]:
        is_sparing = now >= self._plan.sparing_from_s
        if now < self._plan.certain_from_s and self._rolls.random() < 0.4:
            kind = self._rolls.choice(("504_after_commit", "reset_after_commit", "503", "reset_before_commit"))
            return {"kind": kind, "match": _POST, "times": 1}
        if not is_sparing and self._rolls.random() < 0.25:
            return {"kind": "429", "match": _POST, "times": self._rolls.randint(1, 3), "retry_after": "5"}
        kind = self._rolls.choice(("429", "503", "500", "reset_before_commit", "reset_after_commit", "truncated"))
        times = self._rolls.randint(1, 2) if is_sparing else self._rolls.randint(1, 8)
        retry_after = {"retry_after": "1"} if kind == "429" else {}
        return {"kind": kind, "match": _READS, "times": times, **retry_after}

    def _sample(self) -> None:
        if time.monotonic() - self._sampled < SAMPLE_S:
            return
        self._sampled = time.monotonic()
        if self._watch.is_up and (mib := self._watch.worker_mib()) is not None:
            age_s = self._sampled - self._watch.worker_since
            self.report.samples.append(Sample(life=self._watch.workers, age_s=age_s, mib=mib))

    # -- the end

    def _become_quiet(self, judge: Judge) -> dict[str, int]:
        """Wait until nothing is awaited any more, and a little longer, so that what comes too much has come, too.

        Returns what the queues held at that moment: nothing, or at the end of all patience what never left them. A
        moment later the timers may have planned their next round, which is no message left behind.
        """
        self._say(f"{self._at_s():6.0f} s  work is over; waiting for quiet")
        deadline, quiet_since, told_at = time.monotonic() + PATIENCE_S, 0.0, 0.0
        while (now := time.monotonic()) < deadline:
            self._watch.look()
            self._sample()
            self._stack.check()
            self._account.read()
            try:
                awaited = judge.awaited(self._status())
            except requests.RequestException as error:
                awaited = [f"an answer: {error}"]
            if awaited:
                quiet_since = 0.0
                if now - told_at > 30:
                    told_at = now
                    self._say(f"{self._at_s():6.0f} s  waiting for {len(awaited)}: {awaited[0]}")
            else:
                quiet_since = quiet_since or now
                if now - quiet_since > 1.5 * _ROUND_S and not self._account.queued():
                    return {}
            time.sleep(2.0)
        return self._account.queued()

    def _status(self) -> dict[str, Any]:
        answer = self._demo.http.get(f"{self._stack.public_url}/api/status", timeout=30)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


def _no_timer_plans() -> bool:
    """Say whether the timers of this round are done and those of the next are not near."""
    return 4.0 < time.time() % _ROUND_S < 14.0


def _nothing_is_put_back() -> bool:
    """Say whether the timer that puts orders and dead letters back is done and not due soon."""
    return 3.0 < time.time() % 60.0 < 57.0


def _signal(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may just have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _is_worker(pid: int) -> bool:
    """Say whether a worker of the host lives under this id."""
    try:
        return b"local.functions_host.worker_process" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def soak(plan: Plan, work_dir: Path, say: Callable[[str], None] = lambda _: None) -> Report:
    """Run one soak on a stack of its own.

    Raises:
        StartError: something did not come up, or ended by itself.
    """
    options = ("--seed", str(plan.seed))
    with Stack(work_dir, host="embedded", host_env=_HOST_ENV, timers="on", business_central_options=options) as stack:
        return Soak(stack, plan, say).run()


def soak_partitions(plan: Plan, work_dir: Path, say: Callable[[str], None] = lambda _: None) -> Report:
    """Run one soak of two hosts whose links fail.

    Raises:
        StartError: something did not come up.
    """
    return PartitionSoak(plan, work_dir, _HOST_ENV, say).run()


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="of work and kills (default: 30)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="default: a new one")
    parser.add_argument("--work-dir", type=Path, help="where logs stay (default: a temporary folder)")
    parser.add_argument("--partitions", action="store_true", help="two hosts whose links fail, instead of kills")
    options = parser.parse_args(arguments)
    work = soak_partitions if options.partitions else soak
    work_dir = options.work_dir or Path(tempfile.mkdtemp(prefix="soak-"))
    print(f"seed {options.seed}, logs in {work_dir / 'logs'}", flush=True)
    try:
        report = work(Plan.of_minutes(options.minutes, options.seed), work_dir, lambda line: print(line, flush=True))
    except (StartError, requests.RequestException) as error:
        print(f"soak: FAILED: {error}")
        return 1
    print(report.table())
    return 0 if report.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
