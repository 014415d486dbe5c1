"""Works the whole local stack for a while, kills its host again and again, and counts: nothing lost, nothing twice.

`python -m tests.soak [--minutes 30] [--seed N]`. A seeded day's work goes through the embedded host and Azurite while
the host is killed with SIGKILL every 20 to 60 s, Business Central fails now and then and forgets webhooks. At the end
what left the app is compared with what Business Central holds. The exit code is 0 only if nothing was lost or doubled.

Some recoveries are slow by design: a run whose planner was killed begins anew after 12 minutes, an order whose post
may have succeeded is looked up for 11 minutes before it is posted again. So the last 13 minutes are sparing: no kill
while a timer plans or an order is being posted, and no fault whose outcome is unknown in the last 20.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, Final

import requests

from local.stack.demo import Demo
from local.stack.process import StartError
from local.stack.stack import Stack
from tests.soak.report import SPARING_S, Plan, Report, Sample
from tests.soak.truth import Account, Emulator, Judge
from tests.soak.work import Business

PATIENCE_S: Final = 20 * 60.0  # to become quiet at the end; more than the slowest recovery
SAMPLE_S: Final = 5.0
_POLL_S: Final = 0.25
_ROUND_S: Final = 20.0  # of the timers
_KILLED: Final = 137
_HOST_ENV: Final = {
    "BC_ITEM_PULL_SCHEDULE": "*/20 * * * * *",
    "BC_RECONCILE_SCHEDULE": "*/20 * * * * *",
    "BC_SUBSCRIPTION_SCHEDULE": "*/20 * * * * *",
    "BC_PAGE_ROWS": "100",
    "LOCAL_HOST_LEASE_S": "5",
}
#: A host dies at such a function: the N-th time at most that it gets there.
_FUNCTIONS: Final = {
    "read_page": 4, "process_notifications": 4, "submit_sales_order": 4, "bc_notifications": 4,
    "pull_items": 1, "reconcile": 1, "keep_subscriptions": 1, "retry_sales_orders": 1,
}  # fmt: skip
_POINTS: Final = ("before-call", "after-call", "between-outputs", "after-outputs")
_ORDER_POINTS: Final = ("before-call", "after-call", "after-outputs")
_PLANNED: Final = 0.6  # share of lives that end at such a point
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
        self._lives = count(1)
        self._life = next(self._lives)
        self._born = self._began = self._sampled = time.monotonic()
        self._next_weather = self._next_loss = 0.0
        self._moments: list[tuple[str, str]] = []  # functions and points to die at, still to come

    def run(self) -> Report:
        """Do it all: settle in, work and kill, wait for quiet, compare.

        Raises:
            StartError: something ended that nobody killed.
        """
        self._settle_in()
        since = self._bc.newest()
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

    def _work(self) -> None:
        long_life = self._at_s() + 0.4 * self._plan.seconds if self._plan.seconds >= SPARING_S else float("inf")
        point = ""
        while (left := self._plan.seconds - self._at_s()) > 0:
            life_s = self._rolls.uniform(*self._plan.life_s)
            if self._at_s() > long_life and not point:
                life_s, long_life = self._plan.seconds / 6, float("inf")  # one life without a kill, to see its memory
            died = self._live(min(life_s, left), point)
            if self._at_s() >= self._plan.seconds:
                break
            is_sparing = self._at_s() >= self._plan.sparing_from_s
            died = died or self._choose_moment(is_sparing=is_sparing)
            self._stack.kill_host()
            self.report.kills[died] += 1
            point = self._choose_point(is_sparing=is_sparing)
            self._say(f"{self._at_s():6.0f} s  killed {died}; next {'at ' + point if point else 'at random'}")
            point = self._revive(point, is_sparing=is_sparing)
        if point:  # it must not die while what has left is counted
            self._choose_moment(is_sparing=True)
            self._stack.kill_host()
            self.report.kills["at random"] += 1
            self._revive("", is_sparing=True)

    def _live(self, life_s: float, point: str) -> str:
        """Let the host work; return the point it killed itself at, or "" when its time is over."""
        until = time.monotonic() + life_s
        while time.monotonic() < until:
            self._business.check()
            if self._host_died(point):
                return f"at {point.rpartition(':')[0]}"
            self._sample()
            self._make_weather()
            time.sleep(_POLL_S)
        return ""

    def _host_died(self, point: str) -> bool:
        try:
            self._stack.check()
        except StartError as error:
            if point and str(error).startswith(f"host: ended with code {_KILLED}"):
                return True
            raise
        return False

    def _choose_moment(self, *, is_sparing: bool) -> str:
        """Wait for the moment of a kill; return what it is called."""
        if is_sparing:
            self._business.pause_orders()
            self._wait(lambda: not self._account.unanswered(), 10.0)
            self._wait(_no_timer_plans, _ROUND_S)
        if self._rolls.random() < 0.25:
            self._business.pause_orders()
            self._bc.call("faults/add", kind="slow", match=_POST, delay_s=3.0, times=1)
            external = self._business.send_order()
            if self._wait(lambda: external in self._bc.orders(), 8.0):
                return "while BC works on an order"
        return "at random"

    def _choose_point(self, *, is_sparing: bool) -> str:
        """Return what LOCAL_HOST_KILL_AT takes, or "" for a life that is ended from outside."""
        if self._rolls.random() > _PLANNED:
            return ""
        if is_sparing:
            return f"submit_sales_order:{self._rolls.choice(_ORDER_POINTS)}:1"
        if not self._moments:  # all of them once, in another order each time
            self._moments = [(function, point) for function in _FUNCTIONS for point in _POINTS]
            self._rolls.shuffle(self._moments)
        function, point = self._moments.pop()
        return f"{function}:{point}:{self._rolls.randint(1, _FUNCTIONS[function])}"

    def _revive(self, point: str, *, is_sparing: bool) -> str:
        """Start the host; return the point it will die at, "" when it is over already or there is none."""
        self._life, self._born = next(self._lives), time.monotonic()
        try:
            self._stack.start_host({"LOCAL_HOST_KILL_AT": point})
        except StartError:
            if not self._host_died(point):
                raise
            self._stack.kill_host()
            self.report.kills[f"at {point.rpartition(':')[0]}"] += 1
            self._stack.start_host()
            point = ""
        if not point or not is_sparing:
            self._business.resume_orders()
        else:  # this order alone: no other is in the middle of a post, no timer in the middle of a plan
            self._wait(_no_timer_plans, _ROUND_S)
            self._business.send_order()
        return point

    def _wait(self, done: Callable[[], object], patience_s: float) -> bool:
        deadline = time.monotonic() + patience_s
        while not done():
            if time.monotonic() > deadline:
                return False
            self._business.check()
            time.sleep(_POLL_S)
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
        if (mib := host_memory_mib()) is not None:
            self.report.samples.append(Sample(life=self._life, age_s=self._sampled - self._born, mib=mib))

    # -- the end

    def _become_quiet(self, judge: Judge) -> dict[str, int]:
        """Wait until nothing is awaited any more, and a little longer, so that what comes too much has come, too.

        Returns what the queues held at that moment: nothing, or at the end of all patience what never left them. A
        moment later the timers may have planned their next round, which is no message left behind.
        """
        self._say(f"{self._at_s():6.0f} s  work is over; waiting for quiet")
        deadline, quiet_since, told_at = time.monotonic() + PATIENCE_S, 0.0, 0.0
        while (now := time.monotonic()) < deadline:
            self._sample()
            self._host_died("")
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
    return 6.0 < time.time() % _ROUND_S < 12.0


def host_memory_mib() -> float | None:
    """Return the resident memory of the app's process in the host this one has started; None if /proc does not tell."""
    for listing in Path("/proc/self/task").glob("*/children"):
        for pid in listing.read_text().split():
            try:
                if b"local.functions_host" not in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                    continue
                (worker,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
                fields = dict(line.split(":", 1) for line in Path(f"/proc/{worker}/status").read_text().splitlines())
            except (OSError, ValueError):  # just gone, or the worker between two lives
                continue
            if "VmRSS" in fields:
                return int(fields["VmRSS"].split()[0]) / 1024
    return None


def soak(plan: Plan, work_dir: Path, say: Callable[[str], None] = lambda _: None) -> Report:
    """Run one soak on a stack of its own.

    Raises:
        StartError: something did not come up, or ended by itself.
    """
    options = ("--seed", str(plan.seed))
    with Stack(work_dir, host="embedded", host_env=_HOST_ENV, timers="on", business_central_options=options) as stack:
        return Soak(stack, plan, say).run()


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="of work and kills (default: 30)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="default: a new one")
    parser.add_argument("--work-dir", type=Path, help="where logs stay (default: a temporary folder)")
    options = parser.parse_args(arguments)
    work_dir = options.work_dir or Path(tempfile.mkdtemp(prefix="soak-"))
    print(f"seed {options.seed}, logs in {work_dir / 'logs'}", flush=True)
    try:
        report = soak(
            Plan(seconds=options.minutes * 60, seed=options.seed), work_dir, lambda line: print(line, flush=True)
        )
    except (StartError, requests.RequestException) as error:
        print(f"soak: FAILED: {error}")
        return 1
    print(report.table())
    return 0 if report.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
