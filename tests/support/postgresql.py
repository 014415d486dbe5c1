"""A PostgreSQL server for a test session, where its programs are installed (Debian: `apt-get install postgresql`).

The server refuses to run as root, so root starts it as `nobody`; it listens on a socket in its own folder only.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Debian keeps the server's programs off PATH.
_PLACES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def programs() -> Path | None:
    """Return the folder that holds initdb and pg_ctl, None where there is none."""
    found = shutil.which("initdb")
    return (
        Path(found).resolve().parent if found else next((each for each in _PLACES if (each / "initdb").exists()), None)
    )


@contextmanager
def running_postgresql(binaries: Path) -> Iterator[str]:
    """Run a server with an empty database and give its address."""
    user = "nobody" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if user:
            shutil.chown(folder, user)

        def run(program: str, *arguments: str) -> None:
            done = subprocess.run(
                [str(binaries / program), *arguments], user=user, cwd=folder, env={"PATH": os.defpath, "LC_ALL": "C"},
                capture_output=True, text=True, check=False, timeout=120,
            )  # fmt: skip
            assert done.returncode == 0, f"{program}: {done.stderr[-2000:]}"

        data, log = str(folder / "data"), str(folder / "log")
        run("initdb", "--pgdata", data, "--username", "shop", "--auth", "trust", "--encoding", "UTF8", "--no-sync")
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
        run("pg_ctl", "start", "--wait", "--pgdata", data, "--log", log, "--options", options)
        try:
            yield f"postgresql://shop@/postgres?host={folder}"
        finally:
            run("pg_ctl", "stop", "--wait", "--pgdata", data, "--mode", "immediate")
