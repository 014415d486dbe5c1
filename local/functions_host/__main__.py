"""The command line of the host: ``python -m local.functions_host --app-dir DIR``; ``--help`` tells the options."""

import argparse
import asyncio
import logging
import os
import socket
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from local.functions_host.config import HostConfig, read_config
from local.functions_host.errors import HostError
from local.functions_host.http_server import listen
from local.functions_host.keys import Keys, read_keys
from local.functions_host.settings import DEFAULT_PORT, host_variables, new_variables, read_settings
from local.functions_host.timed_lines import TimedLines
from local.functions_host.worker_channel import WorkerChannel, check_runtime_version


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}", description=sys.modules[str(__package__)].__doc__)
    parser.add_argument("--app-dir", type=Path, required=True, help="the folder with host.json and function_app.py")
    parser.add_argument("--settings", type=Path, help="default: local.settings.json in the app folder, if there")
    parser.add_argument("--port", type=int, help=f"default: Host.LocalHttpPort of the settings, else {DEFAULT_PORT}")
    parser.add_argument("--timers", choices=("on", "off"), default="on", help="off: timers run by admin call only")
    parser.add_argument("--enable-auth", action="store_true", help="ask for function keys")
    parser.add_argument("--keys-file", type=Path, help="JSON file with the keys, for --enable-auth")
    parser.add_argument("--log-times", action="store_true", help="begin every line of output with its time")
    parser.add_argument("--quiet", action="store_true", help="no line per invocation, warnings only")
    return parser


def _set_up_logging(*, quiet: bool) -> None:
    """Send the host's log to stderr; its lines about invocations go to stdout."""
    logging.basicConfig(
        level=logging.WARNING if quiet else logging.INFO, format="%(asctime)s %(levelname)s %(name)s - %(message)s"
    )
    for chatty in ("azure.core.pipeline.policies.http_logging_policy", "azure.identity"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _start(arguments: argparse.Namespace) -> bool:
    check_runtime_version()
    app_dir = arguments.app_dir.resolve()
    file = arguments.settings or app_dir / "local.settings.json"
    settings = read_settings(file.resolve(), required=arguments.settings is not None)
    variables, kept = new_variables(settings, os.environ)
    os.environ.update(variables)
    config = _read_config(app_dir / "host.json")
    keys = read_keys(arguments.keys_file, os.environ) if arguments.enable_auth else None
    chosen = (arguments.port, settings.port, DEFAULT_PORT)
    server = listen(next(port for port in chosen if port is not None))
    _set_up_logging(quiet=arguments.quiet)
    if arguments.log_times:
        sys.stdout = TimedLines(sys.stdout)
    if kept:
        logging.getLogger("local.functions_host").warning("set in the environment, so not taken: %s", ", ".join(kept))
    os.environ.update(host_variables(os.environ, server.getsockname()[1]))
    return asyncio.run(_run(arguments, app_dir, config, keys, server))


async def _run(
    arguments: argparse.Namespace,
    app_dir: Path,
    config: HostConfig | HostError,
    keys: Keys | None,
    server: socket.socket,
) -> bool:
    """Have the worker load the app while this process imports the storage SDKs, which takes as long."""
    worker = WorkerChannel(app_dir, os.environ, level=logging.WARNING if arguments.quiet else logging.INFO)
    if isinstance(config, HostConfig):
        worker.start()
    host = await asyncio.to_thread(import_module, "local.functions_host.host")
    options = host.HostOptions(
        app_dir=app_dir,
        config=config,
        port=server.getsockname()[1],
        timers=arguments.timers == "on",
        keys=keys,
        quiet=arguments.quiet,
    )
    finished: bool = await host.Host(options, os.environ, server, worker).run()
    return finished


def _read_config(path: Path) -> HostConfig | HostError:
    """Return what host.json says or what is wrong with it; only one that is missing ends the start, as func does.

    Raises:
        HostError: there is no host.json.
    """
    if not path.is_file():
        raise HostError(f"{path} does not exist")
    try:
        return read_config(path, os.environ)
    except HostError as error:
        return error


def main(argv: Sequence[str] | None = None) -> int:
    """Run the host; returns 0 when it was stopped, and ends the process with another code when it failed."""
    arguments = _parser().parse_args(argv)
    try:
        all_ended = _start(arguments)
    except HostError as error:
        print(f"error: {error}", file=sys.stderr)
        _leave_at_once(error.exit_code)
    if not all_ended:
        _leave_at_once(0)
    return 0


def _leave_at_once(code: int) -> NoReturn:
    """End the process although a thread may still run a function; a normal exit would wait for it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
