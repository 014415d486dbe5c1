"""Starts a peer in the benchmark environment, hands it its task and takes its answer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.options import ROOT, WORK
from bench.world import Missed, Truth, World

VENV = ROOT / ".local" / "bench-venv"
PYTHON = VENV / "bin" / "python"
LOCK = ROOT / "requirements-bench.txt"
TIMEOUT_S = 600

#: Title, program and argument of every peer.
PEERS = {
    "requests": ("plain `requests` loop", "requests_loop.py", ""),
    "dlt": ("dlt `rest_api`, iterated", "dlt_rest_api.py", ""),
    "dlt_full": ("dlt `rest_api`, full run to files", "dlt_rest_api.py", "full"),
}

#: Two ways to read variants, side by side as the bundle reads: no peers, but a question about the API.
VARIANTS = {
    "expanded": ("`$expand`", "variants.py", ""),
    "flat": ("flat, joined by `itemNumber`", "variants.py", "flat"),
}


def prepare() -> None:
    """Make the benchmark environment from its lock file, unless it is there already."""
    stamp = VENV / ".stamp"
    if stamp.is_file() and stamp.read_bytes() == LOCK.read_bytes():
        return
    print("bench: installing the peers into .local/bench-venv", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
    install = [
        str(PYTHON),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--quiet",
        "--require-hashes",
        "--requirement",
        str(LOCK),
    ]
    subprocess.run(install, check=True)
    stamp.write_bytes(LOCK.read_bytes())


def run(world: World, peer: str, **more: Any) -> dict[str, Any]:
    """Let a peer pull everything; return its seconds, requests, peak memory and what it read.

    Raises:
        Missed: it failed.
    """
    _, program, argument = (PEERS | VARIANTS)[peer]
    folder = WORK / "peers"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    task = {"url": world.company_url, "token": world.token(), "ca": str(world.stack.ca_file), "work": str(folder)}
    before = world.requests()
    done = subprocess.run(
        [str(PYTHON), str(Path(__file__).with_name(program)), *([argument] if argument else [])],
        input=json.dumps({**task, **more}), capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "REQUESTS_"))},
    )  # fmt: skip
    if done.returncode:
        raise Missed(f"{peer} failed: {done.stderr[-1500:]}")
    answer = json.loads(done.stdout)
    read = Truth(items=answer["items"], variants=answer["variants"], checksum=int(answer["checksum"]))
    return {
        "seconds": answer["seconds"], "peak_mb": answer["peak_mb"], "requests": world.requests() - before, "read": read,
    }  # fmt: skip
