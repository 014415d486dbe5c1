"""The whole local stack as one context manager: login, key vault, Business Central, Azurite, TLS proxy and host.

Owns which process runs with which addresses and in which order they come and go. Each is a process with its own log in
`<work_dir>/logs`. Nothing stays behind: not after an error at the start, not after Ctrl-C, not after `kill -9` (Linux).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import urlsplit

import requests

from local import EMULATOR_SOURCE
from local.emulators.entra.directory import CLIENT_ID, DOMAIN, FURTHER_CLIENT_ID, READER_CLIENT_ID, new_secret
from local.emulators.entra.managed_identity import PATH as IDENTITY_PATH
from local.stack.app_settings import app_settings, clean_environment, write_settings
from local.stack.azurite import Azurite
from local.stack.commands import Addresses, emulator_commands, environment_command
from local.stack.further import FURTHER, MOST, Place, settings_of
from local.stack.mailbox import create_queues
from local.stack.ports import DEFAULT_PORTS, accepts, choose
from local.stack.process import Child, StartError
from local.stack.running import FILE, Running
from local.stack.tls import ensure_certificates

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 30.0
HOST_TIMEOUT_S = 120.0  # Core Tools loads its extension bundle first
REQUEST_TIMEOUT_S = 10.0
PORT_NAMES = tuple(DEFAULT_PORTS)
_ENVIRONMENTS = ("business_central", *(place.child for place in FURTHER))
CHILDREN = ("login", "key_vault", *_ENVIRONMENTS, "azurite", "tls_proxy", "host")  # as they start
NEVER = "0 0 0 29 2 Mon"  # how timers are off under Core Tools, which has no switch for it

Say = Callable[[str], None]


class Stack:
    """A running local stack. Use as a context manager; `start` and `stop` do the same by hand.

    Args:
        work_dir: holds logs, certificates, settings and, with `in_memory=False`, Azurite's data.
        host_env: settings and variables for the app, over those that point it to the stack.
        timers: whether timer functions run by themselves; with "off" they run when called through the admin path.
        in_memory: keep storage in memory only.
        ports: port by name (`PORT_NAMES`); those not named are free ones.
        log_times: whether every line of the host's log begins with its time.
        host: "func" (Azure Functions Core Tools) or "embedded"; by default the variable HOST, else func if installed.
        webhook_delay_s: how long Business Central gathers changes before it sends a notification.
        business_central_options: further options of `python -m business_central_emulator`.
        connections: how many connections the app has; each beyond the first is to a Business Central of its own.
        app_dir: the folder with `host.json` and `function_app.py`; the next `start_host` takes what it is by then.
        say: gets one line for each step of start and stop.
    """

    def __init__(
        self,
        work_dir: Path,
        *,
        host_env: Mapping[str, str] | None = None,
        timers: Literal["on", "off"] = "off",
        in_memory: bool = True,
        ports: Mapping[str, int] | None = None,
        log_times: bool = False,
        host: str | None = None,
        webhook_delay_s: float = 2.0,
        business_central_options: tuple[str, ...] = (),
        connections: int = 1,
        app_dir: Path = ROOT,
        say: Say = lambda _: None,
    ) -> None:
        unknown = set(ports or {}) - set(PORT_NAMES)
        if unknown:
            raise ValueError(f"unknown ports: {', '.join(sorted(unknown))}")
        if not 1 <= connections <= MOST:
            raise ValueError(f"a stack has 1 to {MOST} connections, not {connections}")
        self.work_dir = work_dir.resolve()
        self.timers = timers
        self.client_id = CLIENT_ID
        self.tenant = DOMAIN
        self.client_secrets = {one: new_secret() for one in (CLIENT_ID, READER_CLIENT_ID, FURTHER_CLIENT_ID)}
        self.further_urls: dict[Place, str] = {}  # where the further environments that run are served
        self.webhook_secret = secrets.token_urlsafe(32)
        self.identity_header = secrets.token_urlsafe(24)
        self._host_env = dict(host_env or {})
        self._in_memory = in_memory
        self._wanted_ports = {name: (ports or {}).get(name, 0) for name in PORT_NAMES}
        self._host_kind = host
        self._log_times = log_times
        self._webhook_delay_s = webhook_delay_s
        self._business_central_options = business_central_options
        self._connections = connections
        self.app_dir = app_dir.resolve()
        self._say = say
        self._children: dict[str, Child] = {}
        self._azurite: Azurite | None = None
        self._is_up = False
        self._held = contextlib.ExitStack()

    # -- life ----------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start everything and wait until it answers; on any failure nothing is left running.

        Raises:
            StartError: something did not come up; the message is one line with its name and the end of its log.
            PortInUse: a port asked for by number is taken.
        """
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything, the host first so that it can finish what it is doing. Signals wait until it is done."""
        with _signals_ignored():
            if self._is_up:
                (self.work_dir / FILE).unlink(missing_ok=True)
                self._is_up = False
            for name in reversed(CHILDREN):
                if name == "azurite":
                    if self._azurite is not None:
                        self._azurite.stop()
                        self._azurite = None
                elif (child := self._children.pop(name, None)) is not None:
                    child.stop(grace_s=15.0 if name == "host" else 5.0)
            self._held.close()

    def start_host(self, extra_env: Mapping[str, str] | None = None) -> None:
        """Start the functions host, with further variables for this run of it.

        Raises:
            StartError: it runs already, or did not come up.
        """
        if (running := self._children.get("host")) is not None and running.is_running:
            raise StartError("host: runs already")
        port = self._addresses.ports["host"]
        values = {**self.values, **(extra_env or {})}
        kind = self.host_kind
        if kind == "func" and self.timers == "off":
            values.update({name: NEVER for name in values if name.endswith("_SCHEDULE")})
        write_settings(self.settings_file, values, port=port)
        environment = {**self._environment, **values}
        if kind == "func":
            bin_dir = Path(sys.executable).parent
            environment["PATH"] = f"{bin_dir}{os.pathsep}{environment.get('PATH', '')}"
            environment["VIRTUAL_ENV"] = str(bin_dir.parent)
            command = ["func", "start", "--port", str(port)]
        else:
            command = [sys.executable, "-m", "local.functions_host", "--app-dir", str(self.app_dir)]
            command += ["--settings", str(self.settings_file), "--port", str(port)]
            command += ["--timers", self.timers, *(["--log-times"] if self._log_times else [])]
        cwd = self.app_dir if kind == "func" else ROOT
        child = Child("host", command, log_path=self._log_path("host"), env=environment, cwd=cwd)
        self._children["host"] = child
        child.wait_until(self._host_answers, timeout_s=HOST_TIMEOUT_S, what=f" ({kind}, port {port})")

    def add_connections(self, count: int) -> dict[str, str]:
        """Start a Business Central for each of the further places, until there are `count` connections in all.

        Returns the app settings that name them, which the next `start_host` needs; their secrets are in the vault.

        Raises:
            StartError: one did not come up.
        """
        places = FURTHER[: count - 1]
        ports = choose({place.child: 0 for place in places if place.child not in self._children})
        env = {**self._environment, "PYTHONPATH": f"{ROOT}{os.pathsep}{EMULATOR_SOURCE}"}
        for place in places:
            if place.child not in ports:
                continue
            command = environment_command(
                ports[place.child], self._addresses, self._tls, (place.tenant_id, place.domain),
                webhook_delay_s=self._webhook_delay_s, options=("--environment", place.environment),
            )  # fmt: skip
            self._children[place.child] = Child(
                place.child, command, log_path=self._log_path(place.child), env=env, cwd=ROOT
            )
            self.further_urls[place] = f"https://localhost:{ports[place.child]}"
            self._store_secret(f"bc-client-secret-{place.connection}", self.client_secrets[place.client_id])
        for place in places:
            self._await_port(place.child, urlsplit(self.further_urls[place]).port or 0)
            self._say(f"{place.connection:<17} {self.further_urls[place]} ({place.environment} of {place.domain})")
        return settings_of({place: self.further_urls[place] for place in places})

    def stop_host(self) -> None:
        """Stop the host as a deployment does: it is asked to end and finishes what it is doing."""
        if (child := self._children.pop("host", None)) is not None:
            child.stop(grace_s=15.0)

    def kill_host(self) -> None:
        """End the host at once, as a crash does."""
        if (child := self._children.pop("host", None)) is not None:
            child.kill()

    @property
    def host(self) -> Child:
        """The host's process, also after it has ended by itself.

        Raises:
            StartError: there is none.
        """
        if (child := self._children.get("host")) is None:
            raise StartError("host: not started")
        return child

    def check(self) -> None:
        """Look whether everything still runs.

        Raises:
            StartError: something has ended by itself; the message names it with the end of its log.
        """
        children = dict(self._children)
        if self._azurite is not None:
            children["azurite"] = self._azurite.child
        for name, child in children.items():
            if not child.is_running:
                raise StartError(f"{name}: ended with code {child.exit_code}: {child.tail()}")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def client_secret(self) -> str:
        """The client secret of the app in the first tenant."""
        return self.client_secrets[CLIENT_ID]

    # -- addresses -----------------------------------------------------------------------------------------------------

    @property
    def app_url(self) -> str:
        """The host itself, plain HTTP: for admin calls."""
        return self._addresses.http("host")

    @property
    def public_url(self) -> str:
        """The app as browsers and Business Central see it: TLS."""
        return self._addresses.https("public")

    @property
    def login_url(self) -> str:
        """The login's origin."""
        return self._addresses.https("login")

    @property
    def identity_url(self) -> str:
        """The managed identity endpoint."""
        return self._addresses.http("identity") + IDENTITY_PATH

    @property
    def vault_url(self) -> str:
        """The key vault's origin."""
        return self._addresses.https("key_vault")

    @property
    def bc_url(self) -> str:
        """Business Central's origin."""
        return self._addresses.https("business_central")

    @property
    def storage_connection_string(self) -> str:
        """What the storage SDKs take."""
        if self._azurite is None:
            raise StartError("azurite: not started")
        return self._azurite.connection_string

    @property
    def ca_file(self) -> Path:
        """The CA to trust, PEM."""
        return self._tls.ca

    @property
    def settings_file(self) -> Path:
        """The `local.settings.json` the host runs with; it holds secrets of this stack."""
        return self.work_dir / "local.settings.json"

    @property
    def settings(self) -> dict[str, str]:
        """The app settings that point to this stack, without `host_env`."""
        return app_settings(
            storage=self.storage_connection_string,
            vault_url=self.vault_url,
            tenant=self.tenant,
            client_id=self.client_id,
            api_url=self.bc_url,
            login_url=self.login_url,
            public_url=self.public_url,
            ca_file=self.ca_file,
            identity_endpoint=self.identity_url,
            identity_header=self.identity_header,
        )

    @property
    def values(self) -> dict[str, str]:
        """The app settings that the host is started with."""
        further = {place: self.further_urls[place] for place in FURTHER[: self._connections - 1]}
        return {**self.settings, **settings_of(further), **self._host_env}

    @property
    def _running(self) -> Running:
        return Running(
            app_url=self.app_url,
            public_url=self.public_url,
            login_url=self.login_url,
            bc_url=self.bc_url,
            storage_connection_string=self.storage_connection_string,
            ca_file=self.ca_file,
            work_dir=self.work_dir,
            values=self.values,
        )

    @property
    def host_kind(self) -> str:
        """Which host runs: "func" or "embedded"."""
        kind = self._host_kind or os.environ.get("HOST") or ("func" if shutil.which("func") else "embedded")
        if kind not in {"func", "embedded"}:
            raise StartError(f"host: HOST is '{kind}'; it can be func or embedded")
        if kind == "func" and shutil.which("func") is None:
            raise StartError("host: HOST is func, and Azure Functions Core Tools (func) is not on PATH")
        return kind

    def logs(self, name: str) -> str:
        """Give the whole log of a child (`CHILDREN`), over restarts."""
        path = self._log_path(name)
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""

    # -- how it comes up -----------------------------------------------------------------------------------------------

    def _start(self) -> None:
        began = time.monotonic()
        kind = self.host_kind  # a wrong choice is told before anything starts
        self._lock_folder()
        shutil.rmtree(self.work_dir / "logs", ignore_errors=True)
        self._environment = clean_environment(os.environ)
        self._environment["PYTHONPATH"] = str(ROOT)
        self._tls = ensure_certificates(self.work_dir / "tls")
        self._addresses = Addresses(ports=choose(self._wanted_ports))
        self._launch_azurite()
        self._launch_emulators()
        for name in ("login", "key_vault", "business_central", "tls_proxy"):
            self._await(name)
        assert self._azurite is not None
        self._azurite.wait_ready()
        self._say(
            f"azurite           {self.storage_connection_string.split('BlobEndpoint=')[1].split(';')[0]} and more"
        )
        self._seed_vault()
        self.add_connections(self._connections)
        create_queues(self.storage_connection_string)
        self._say(f"host              starting ({kind})")
        self.start_host()
        self._running.write()
        self._is_up = True
        self._say(f"host              {self.app_url}")
        self._say(f"stack up in {time.monotonic() - began:.1f} s; logs in {self.work_dir / 'logs'}")

    def _lock_folder(self) -> None:
        """Keep a second stack out of the folder: it would write the same settings and data."""
        self.work_dir.mkdir(parents=True, exist_ok=True)
        lock = self._held.enter_context((self.work_dir / "stack.lock").open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StartError(f"stack: another one runs in {self.work_dir}; stop it first") from error

    def _launch_azurite(self) -> None:
        self._azurite = Azurite(
            log_path=self._log_path("azurite"),
            location=None if self._in_memory else self.work_dir / "azurite",
            blob_port=self._wanted_ports["blob"],
            queue_port=self._wanted_ports["queue"],
            table_port=self._wanted_ports["table"],
        )
        self._azurite.launch()

    def _launch_emulators(self) -> None:
        commands = emulator_commands(
            self._addresses,
            self._tls,
            webhook_delay_s=self._webhook_delay_s,
            business_central_options=self._business_central_options,
        )
        path = {"PYTHONPATH": f"{ROOT}{os.pathsep}{EMULATOR_SOURCE}"}
        secret_env = {
            "LOGIN_CLIENT_SECRET": self.client_secrets[CLIENT_ID],
            "LOGIN_READER_CLIENT_SECRET": self.client_secrets[READER_CLIENT_ID],
            "LOGIN_FURTHER_CLIENT_SECRET": self.client_secrets[FURTHER_CLIENT_ID],
            "LOGIN_IDENTITY_HEADER": self.identity_header,
        }
        for name, command in commands.items():
            self._children[name] = Child(
                name,
                command,
                log_path=self._log_path(name),
                env={**self._environment, **path, **(secret_env if name == "login" else {})},
                cwd=ROOT,
            )

    def _await(self, name: str) -> None:
        port_name = "public" if name == "tls_proxy" else name
        self._await_port(name, self._addresses.ports[port_name])
        self._say(f"{name:<17} {self._addresses.https(port_name)}")

    def _await_port(self, name: str, port: int) -> None:
        self._children[name].wait_until(lambda: accepts(port), timeout_s=START_TIMEOUT_S, what=f" (port {port})")

    def _seed_vault(self) -> None:
        for name, value in (
            ("bc-client-secret", self.client_secret), ("bc-webhook-secret", self.webhook_secret),
            ("bc-reader-secret", self.client_secrets[READER_CLIENT_ID]),
        ):  # fmt: skip
            self._store_secret(name, value)

    def _store_secret(self, name: str, value: str) -> None:
        url = f"{self.vault_url}/_emulator/secrets/{name}"
        try:
            answer = requests.put(url, json={"value": value}, verify=str(self.ca_file), timeout=REQUEST_TIMEOUT_S)
            answer.raise_for_status()
        except requests.RequestException as error:
            raise StartError(f"key_vault: cannot be given its secrets: {type(error).__name__}") from error

    def _host_answers(self) -> bool:
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self.app_url}/admin/host/ping", timeout=REQUEST_TIMEOUT_S).ok
        return False

    def _log_path(self, name: str) -> Path:
        return self.work_dir / "logs" / f"{name}.log"


@contextlib.contextmanager
def _signals_ignored() -> Iterator[None]:
    """Let a second Ctrl-C not interrupt a stop, which ends by itself in bounded time."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
