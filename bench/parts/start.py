"""Cold and warm: package size, import, process start to the first handshake, handshakes once it is warm (P1)."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.options import ROOT, Options
from bench.results import median
from bench.webhook import Sender
from bench.world import World, percentile
from scripts import package

_IMPORT = "import time; began = time.perf_counter(); import function_app; print(time.perf_counter() - began)"


def run(options: Options) -> dict[str, Any]:
    """Measure each on a process of its own."""
    turns = max(3, options.runs)
    imports = [_import_s() for _ in range(turns)]
    first: list[float] = []
    with World("start") as world:
        sender = Sender(world)
        for _ in range(turns):
            world.stack.stop_host()
            began = time.perf_counter()
            world.stack.start_host()
            sender.shake_hands(sender.session(), "token+/==")
            first.append(time.perf_counter() - began)
        session = sender.session()
        warm = [sender.shake_hands(session, f"token+/{number}==") for number in range(options.handshakes)]
        peak = world.peaks_mb()["host"]
    return {
        **_package(),
        "import_s": median(imports),
        "first_handshake_s": median(first),
        "warm_p50_s": percentile(warm, 0.5),
        "warm_p99_s": percentile(warm, 0.99),
        "handshakes": len(warm),
        "host_peak_mb": peak,
    }


def _package() -> dict[str, int]:
    """Build what is deployed, in a folder of its own, and return how much it is."""
    files = list(package.packaged_files(ROOT))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "app.zip"
        package.write_zip(ROOT, files, path)
        return {"package_files": len(files), "package_bytes": path.stat().st_size}


def _import_s() -> float:
    done = subprocess.run([sys.executable, "-c", _IMPORT], cwd=ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout.strip().splitlines()[-1])
