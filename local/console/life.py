"""The life of a stack on the command line: up, the main job, its addresses, Ctrl-C."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from local.console.target import STACKS
from local.stack import demo
from local.stack.ports import PortInUse
from local.stack.process import StartError
from local.stack.stack import Stack

WATCH_S = 1.0
_OTHER_PORTS = "--<name>-port N takes that one, 0 a free one; --free-ports takes free ones for all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a person asks for."""

    command: str  # up, run or demo
    settings: Mapping[str, str]
    timers: str | None
    ports: Mapping[str, int]
    persist: bool
    work_dir: Path | None
    webhook_delay: float  # s
    connections: int = 1


class Ended(BaseException):
    """SIGTERM or SIGHUP came: everything is stopped on the way out."""


def live(wanted: Wanted) -> int:
    """Run a stack as long as it is wanted and give the exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    timers = wanted.timers or ("off" if wanted.command == "demo" else "on")
    stack = Stack(
        wanted.work_dir or STACKS / wanted.command,
        timers="off" if timers == "off" else "on",
        in_memory=not wanted.persist,
        ports=wanted.ports,
        log_times=True,
        host_env=wanted.settings,
        webhook_delay_s=wanted.webhook_delay,
        connections=wanted.connections,
        say=lambda line: print(line, flush=True),
    )
    try:
        with stack:
            return _work(wanted.command, stack)
    except PortInUse as error:
        print(f"error: {error} ({_OTHER_PORTS})", file=sys.stderr)
        return 1
    except StartError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped", flush=True)
        return 0 if wanted.command != "demo" else 130
    except Ended:
        print("stopped", flush=True)
        return 143


def _work(command: str, stack: Stack) -> int:
    if command != "up":
        code = demo.main(stack, keeps=command == "run")
        if command == "demo" or code:
            return code
    print(_addresses(stack), flush=True)
    while True:
        time.sleep(WATCH_S)
        stack.check()


def _addresses(stack: Stack) -> str:
    lines = {
        "connect page": f"{stack.public_url}/api/connect",
        "app, https": stack.public_url,
        "app, http": stack.app_url,
        "status": f"{stack.app_url}/api/status",
        "Business Central": stack.bc_url,
        **{f"BC of {place.connection}": url for place, url in stack.further_urls.items()},
        "login": stack.login_url,
        "key vault": stack.vault_url,
        "storage": stack.storage_connection_string,
        "CA to trust": str(stack.ca_file),
        "settings": str(stack.settings_file),
        "logs": str(stack.work_dir / "logs"),
    }
    shown = "\n".join(f"  {name:<17} {value}" for name, value in lines.items())
    return f"\n{shown}\n\nIn another terminal: ./connect trigger item.created\nCtrl-C stops everything."


def _end(_number: int, _frame: FrameType | None) -> None:
    raise Ended
