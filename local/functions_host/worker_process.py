"""The worker process: holds the app, answers the host's calls, and ends with the host.

``python -m local.functions_host.worker_process FD APP_DIR LEVEL``: the socket to the host, the folder of the app, the
lowest level that is logged. Whatever ends it, a crash of the app or a kill, ends every call in it.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
from pathlib import Path

from azure_functions_runtime import invocation_id_cv

from local.functions_host.calls import DIES_AFTER, DIES_BEFORE, Answer, Call, Indexed
from local.functions_host.errors import HostError
from local.functions_host.frames import read_frame, to_frame
from local.functions_host.worker import Worker

_KILLED = 137
_BUFFER_BYTES = 1 << 20


def set_up_logging(level: int) -> None:
    """Send the app's log to stderr, each line with its invocation id."""

    def add_invocation(record: logging.LogRecord) -> bool:
        record.invocation = invocation_id_cv.get() or "-"
        return True

    handler = logging.StreamHandler()
    handler.addFilter(add_invocation)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(invocation)s %(message)s"))
    debug = (os.environ.get("PYTHON_ENABLE_DEBUG_LOGGING") or "").casefold() in {"1", "true"}
    logging.basicConfig(level=logging.DEBUG if debug else level, handlers=[handler])
    logging.getLogger("azure.functions").setLevel(logging.WARNING)


async def _serve(host: socket.socket, app_dir: Path) -> None:
    reader, writer = await asyncio.open_connection(sock=host, limit=_BUFFER_BYTES)
    worker = Worker(app_dir)
    try:
        index = Indexed(await worker.start())
    except HostError as error:
        index = Indexed((), str(error))
    writer.write(to_frame(index))
    tasks: set[asyncio.Task[None]] = set()

    async def run(call: Call) -> None:
        if call.death == DIES_BEFORE:
            os._exit(_KILLED)
        result = await worker.call(call)
        if call.death == DIES_AFTER:
            os._exit(_KILLED)
        writer.write(to_frame(Answer(call.invocation_id, result)))

    while True:
        task = asyncio.create_task(run(await read_frame(reader)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


def main() -> None:
    """Serve until the host is gone; threads that still run a function do not keep the process."""
    descriptor, app_dir, level = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C in the terminal is the host's business
    set_up_logging(int(level))
    try:
        asyncio.run(_serve(socket.socket(fileno=int(descriptor)), Path(app_dir)))
    except EOFError:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


if __name__ == "__main__":
    main()
