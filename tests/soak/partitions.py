"""Two hosts on one storage account while links to storage, vault and Business Central are cut, slow or half-open.

Each host has links of its own to blobs, queues, tables and the vault; that to Business Central they share, as a next
link that one of them stored names its origin. Timers run on the first host only: on the platform a lease sees to that.
A host that ends because it lost its storage is started again, as the platform does. At the end all links heal, and what
left the app is compared with what Business Central holds.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import requests

from local.stack.app_settings import clean_environment, write_settings
from local.stack.azurite import ACCOUNT, ACCOUNT_KEY
from local.stack.demo import Demo
from local.stack.ports import free_ports
from local.stack.process import Child, StartError
from local.stack.stack import Stack
from tests.soak.host_watch import HostWatch
from tests.soak.report import Plan, Report
from tests.soak.truth import Account, Emulator, Judge
from tests.soak.work import Business
from tests.support.tcp_link import Links, Mode

MODES: Final[tuple[Mode, ...]] = ("cut", "half-open", "slow")
_STORAGE: Final = ("blob", "queue", "table")
_TARGETS: Final = (*_STORAGE, "key_vault", "business_central")
_PATIENCE_S: Final = 20 * 60.0
_QUIET_S: Final = 30.0
_POLL_S: Final = 0.25
_ROOT: Final = Path(__file__).resolve().parents[2]


class PartitionSoak:
    """One soak of two hosts; `env` is what both get beside their links."""

    def __init__(self, plan: Plan, work_dir: Path, env: dict[str, str], say: Callable[[str], None]) -> None:
        """Take the plan; `say` gets a line for each fault."""
        self._plan, self._work_dir, self._env, self._say = plan, work_dir, env, say
        self._rolls = random.Random(plan.seed)
        self.report = Report(plan=plan)

    def run(self) -> Report:
        """Do it all: start two hosts, work while links fail, heal, wait for quiet, compare.

        Raises:
            StartError: something did not come up.
        """
        with ExitStack() as held:
            ports = dict(zip(_TARGETS, free_ports(len(_TARGETS)), strict=True))
            names = {f"{host} {target}": ports[target] for host in ("first", "second") for target in _TARGETS[:-1]}
            self._links = held.enter_context(Links({**names, "business_central": ports["business_central"]}))
            self._stack = held.enter_context(
                Stack(
                    self._work_dir, host="embedded", timers="on", ports=ports,
                    host_env={**self._env, **self._through("first")},
                    business_central_options=("--seed", str(self._plan.seed)),
                )
            )  # fmt: skip
            self._second_env = self._through("second")
            self._second_port = free_ports(1)[0]
            self._start_second()
            held.callback(self._end_second)
            return self._work()

    def _through(self, host: str) -> dict[str, str]:
        """Return the settings that lead one host through its links."""
        storage = _connection_string({name: self._links.port(f"{host} {name}") for name in _STORAGE})
        return {
            "AzureWebJobsStorage": storage,
            "KEY_VAULT_URL": f"https://localhost:{self._links.port(f'{host} key_vault')}",
            "BC_API_URL": f"https://localhost:{self._links.port('business_central')}",
        }

    def _start_second(self) -> None:
        """Start the second host, which has no timers."""
        values = {**self._stack.values, **self._second_env}
        file = self._work_dir / "second" / "local.settings.json"
        write_settings(file, values, port=self._second_port)
        command = [sys.executable, "-m", "local.functions_host", "--app-dir", str(self._stack.app_dir)]
        command += ["--settings", str(file), "--port", str(self._second_port), "--timers", "off"]
        environment = {**clean_environment(os.environ), **values, "PYTHONPATH": str(_ROOT)}
        log = self._work_dir / "logs" / "second_host.log"
        self._second = Child("second host", command, log_path=log, env=environment, cwd=_ROOT)
        self._second.wait_until(self._second_answers, timeout_s=120.0, what=f" (port {self._second_port})")

    def _end_second(self) -> None:
        self._second.kill()

    def _second_answers(self) -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{self._second_port}/admin/host/ping", timeout=5).ok
        except requests.RequestException:
            return False

    def _work(self) -> Report:
        bc, account = Emulator(self._stack), Account(self._stack.storage_connection_string)
        self._demo = Demo(self._stack, say=lambda _: None)
        self._demo.log_in()
        self._demo.take_baseline()
        _until(lambda: len(bc.subscriptions()) >= 6 and not account.queued(), 120.0)
        since, began = bc.newest(), time.monotonic()
        business = Business(self._stack, account, seed=self._plan.seed + 1, pause_s=self._plan.pause_s)
        business.start()
        try:
            while time.monotonic() - began < self._plan.seconds:
                self._fail(business)
        finally:
            business.stop()
            self._links.heal()
        judge = Judge(bc, account, since)
        left = self._become_quiet(judge, account)
        judge.judge(self.report, self._status(), left)
        self.report.minutes = (time.monotonic() - began) / 60
        for name in ("host", "second_host"):
            watch = HostWatch(self._work_dir / "logs" / f"{name}.log")
            watch.look()
            self.report.moments[f"calls on the {name.removesuffix('host').strip('_') or 'first'} host"] = (
                watch.begun.total()
            )
        return self.report

    def _fail(self, business: Business) -> None:
        """Let a link fail for a while, or several at once; then let all be well for a while."""
        links = ["business_central", *(f"{host} {name}" for host in ("first", "second") for name in _TARGETS[:-1])]
        for name in self._rolls.sample(links, self._rolls.choice((1, 1, 2, 4))):
            mode = self._rolls.choice(MODES)
            self._links.set(name, mode)
            self.report.faults[mode] += 1
            self._say(f"{mode}: {name}")
        self._live(self._rolls.uniform(*self._plan.life_s), business)
        self._links.heal()
        self._live(self._rolls.uniform(*self._plan.life_s) / 2, business)

    def _live(self, seconds: float, business: Business | None = None) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if business is not None:
                business.check()
            self._revive()
            time.sleep(_POLL_S)

    def _revive(self) -> None:
        """Start a host again that has ended; it may need its links for that."""
        if self._stack.host.is_running and self._second.is_running:
            return
        self._links.heal()
        self.report.kills["a host ended by itself"] += 1
        if not self._stack.host.is_running:
            self._stack.kill_host()
            self._stack.start_host()
        if not self._second.is_running:
            self._start_second()

    def _become_quiet(self, judge: Judge, account: Account) -> dict[str, int]:
        """Wait until nothing is awaited any more, and a little longer; return what the queues still hold."""
        deadline, quiet_since, told_at = time.monotonic() + _PATIENCE_S, 0.0, 0.0
        while (now := time.monotonic()) < deadline:
            self._revive()
            account.read()
            try:
                awaited = judge.awaited(self._status())
            except requests.RequestException as error:
                awaited = [f"an answer: {error}"]
            if awaited and now - told_at > _QUIET_S:
                told_at = now
                self._say(f"waiting for {len(awaited)}: {awaited[0]}")
            quiet_since = 0.0 if awaited else quiet_since or now
            if quiet_since and now - quiet_since > _QUIET_S and not account.queued():
                return {}
            time.sleep(2.0)
        return account.queued()

    def _status(self) -> dict[str, Any]:
        answer = self._demo.http.get(f"{self._stack.public_url}/api/status", timeout=30)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


def _connection_string(ports: dict[str, int]) -> str:
    """Return what the storage SDKs take, through links."""
    ends = "".join(f"{name.capitalize()}Endpoint=http://127.0.0.1:{port}/{ACCOUNT};" for name, port in ports.items())
    return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};{ends}"


def _until(done: Callable[[], object], patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while not done():
        if time.monotonic() > deadline:
            raise StartError(f"hosts: did not settle in within {patience_s:g} s; see their logs")
        time.sleep(_POLL_S)
