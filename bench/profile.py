"""Where the host spends its time in a full pull: samples of its stacks by py-spy, summed up by what the code is for."""

from __future__ import annotations

import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bench import memory
from bench.options import WORK, Options
from bench.peers import runner
from bench.world import Missed, World

RATE = 200  # samples a second

#: What a stack is counted for: the first of these that has a name in it.
KINDS = (
    ("decoding pages", ("parse_page (shared/business_central/page_parser.py",)),
    (
        "making events, packing and hashing them",
        ("pack (shared/changes/cloud_events.py", "digest (shared/changes/pulled_versions.py"),
    ),
    ("receiving pages (TLS, HTTP)", ("_exchange (shared/business_central/transport.py",)),
    ("state in tables", ("_call (shared/storage/azure_tables.py",)),
    ("the host: writing outputs", ("OutputWriter.write (local/functions_host/outputs.py",)),
    ("the host: queues and the rest", ("(local/functions_host/",)),
    ("the worker library", ("azure_functions_runtime",)),
    ("the use case itself", ("(shared/",)),
)


def run(options: Options) -> dict[str, Any]:
    """Profile one pull with zero latency; only processor time counts."""
    runner.prepare()
    out = WORK / "profile.raw"
    with World("profile") as world:
        world.bc("items/bulk", count=options.items, variantsPerItem=options.variants_per_item, stepMs=1000)
        world.run_stream("pull_items", "pull")
        world.forget_pull()
        host, app = world.pids()["listeners"], world.pids()["host"]
        command = [str(runner.VENV / "bin" / "py-spy"), "record", "--pid", str(host), "--format", "raw"]
        command += ["--subprocesses", "--gil", "--rate", str(RATE), "--duration", "120", "--output", str(out)]
        spy = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        time.sleep(1.5)
        if spy.poll() is not None:
            raise Missed(f"py-spy may not look into the host here: {(spy.stderr.read() if spy.stderr else '')[:200]}")
        cpu = memory.cpu_s(host) + memory.cpu_s(app)
        seconds = world.run_stream("pull_items", "pull")
        cpu = memory.cpu_s(host) + memory.cpu_s(app) - cpu
        spy.send_signal(signal.SIGINT)
        spy.wait(60)
    shares = _shares(out)
    return {"seconds": seconds, "cpu_s": cpu, "shares": shares, "items": options.items}


def _shares(path: Path) -> dict[str, float]:
    counts: Counter[str] = Counter()
    for line in path.read_text(encoding="utf-8").splitlines():
        stack, _, count = line.rpartition(" ")
        counts[_kind(stack.split(";"))] += int(count)
    total = sum(counts.values()) or 1
    return {kind: count / total for kind, count in counts.most_common()}


def _kind(frames: list[str]) -> str:
    for kind, marks in KINDS:
        if any(mark in frame for frame in frames for mark in marks):
            return kind
    return "everything else"
