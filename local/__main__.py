"""`python -m local up|run|demo`: the local stack from the command line. `make` calls this; see the README.

- `up` starts the stack, prints its addresses and stays until Ctrl-C.
- `run` also does the main job once and then stays, with timers running.
- `demo` does the main job once and stops; its exit code is 0 only when every step really happened.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from local.stack import demo
from local.stack.ports import PortInUse
from local.stack.process import StartError
from local.stack.stack import PORT_NAMES, ROOT, Stack

WATCH_S = 1.0


class Ended(BaseException):
    """SIGTERM or SIGHUP came: everything is stopped on the way out."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command and give its exit code."""
    options = _parser().parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    stack = Stack(
        options.work_dir or ROOT / ".local" / options.command,
        timers=options.timers or ("off" if options.command == "demo" else "on"),
        in_memory=not options.persist,
        ports={name: port for name in PORT_NAMES if (port := getattr(options, f"{name}_port"))},
        host_env=dict(pair.split("=", 1) for pair in options.set),
        say=lambda line: print(line, flush=True),
    )
    try:
        with stack:
            return _work(options.command, stack)
    except (StartError, PortInUse) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped", flush=True)
        return 0 if options.command != "demo" else 130
    except Ended:
        print("stopped", flush=True)
        return 143


def _work(command: str, stack: Stack) -> int:
    if command != "up":
        code = int(demo.main(stack) or 0)
        if command == "demo" or code:
            return code
    print(_addresses(stack), flush=True)
    while True:
        time.sleep(WATCH_S)
        stack.check()


def _addresses(stack: Stack) -> str:
    lines = {
        "connect page": f"{stack.public_url}/api/connect",
        "health": f"{stack.public_url}/api/health",
        "status": f"{stack.app_url}/api/status",
        "Business Central": stack.bc_url,
        "login": stack.login_url,
        "key vault": stack.vault_url,
        "queues": stack.storage_connection_string.split("QueueEndpoint=")[1].split(";")[0],
        "storage": f"AzureWebJobsStorage in {stack.settings_file}",
        "CA to trust": str(stack.ca_file),
        "settings": str(stack.settings_file),
        "logs": str(stack.work_dir / "logs"),
    }
    shown = "\n".join(f"  {name:<17} {value}" for name, value in lines.items())
    return f"\n{shown}\n\nCtrl-C stops everything."


def _end(_number: int, _frame: FrameType | None) -> None:
    raise Ended


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["up", "run", "demo"])
    parser.add_argument("--timers", choices=["on", "off"], help="default: on, for demo off")
    parser.add_argument("--persist", action="store_true", help="keep storage over restarts (default: in memory)")
    parser.add_argument("--work-dir", type=Path, help="default: .local/<command>")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", type=_pair, help="an app setting")
    for name in PORT_NAMES:
        parser.add_argument(f"--{name.replace('_', '-')}-port", type=_port, default=0, help="default: a free one")
    return parser


def _pair(text: str) -> str:
    if "=" not in text:
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=VALUE")
    return text


def _port(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"'{text}' is not a port (1 to 65535)")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
