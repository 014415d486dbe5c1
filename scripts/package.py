#!/usr/bin/env python3
"""Build the zip that is deployed, and print its size, its fingerprint and how long it takes to import.

Which files go in is said by `.funcignore` alone (Git's ignore rules), as Core Tools does it. The same sources give the
same bytes: entries are sorted and carry no clock time. `scripts/deploy.sh` publishes the contents of this zip.

    package.py [--output dist/app.zip] [--no-measure]
"""

import argparse
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import uv
from pathspec import GitIgnoreSpec

ROOT = Path(__file__).resolve().parent.parent
#: Left out whatever `.funcignore` says, as Core Tools does.
ALWAYS_OUT = (".git", ".vscode", ".funcignore", ".gitignore", "local.settings.json", "__pycache__")
REQUIRED = ("host.json", "function_app.py", "requirements.txt", "shared/__init__.py")
FORBIDDEN = ("tests/", "local/", "infra/", "docs/", "samples/", ".venv/", "node_modules/", "local.settings.json")
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold
MEASURE = (
    "import time; start = time.perf_counter(); import function_app; count = len(function_app.app.get_functions()); "
    "print(count, time.perf_counter() - start)"
)
RUNS = 5


def packaged_files(root: Path) -> Iterator[str]:
    """Yield what goes into the package, sorted, relative to the root; an ignored folder is not entered."""
    lines = (root / ".funcignore").read_text(encoding="utf-8").splitlines()
    ignored = GitIgnoreSpec.from_lines([*lines, *ALWAYS_OUT])

    def walk(folder: Path) -> Iterator[str]:
        for entry in sorted(folder.iterdir()):
            path = entry.relative_to(root).as_posix()
            if ignored.match_file(f"{path}/" if entry.is_dir() else path):
                continue
            if entry.is_dir():
                yield from walk(entry)
            else:
                yield path

    return walk(root)


def check(files: list[str]) -> None:
    """Refuse a package that cannot run or that carries what must stay at home.

    Raises:
        SystemExit: says which file.
    """
    missing = [name for name in REQUIRED if name not in files]
    extra = [name for name in files if name.startswith(FORBIDDEN)]
    if missing:
        raise SystemExit(f"package: missing {', '.join(missing)}")
    if extra:
        raise SystemExit(f"package: .funcignore lets in {', '.join(extra[:5])}")


def write_zip(root: Path, files: list[str], output: Path) -> None:
    """Write the zip, whole or not at all."""
    output.parent.mkdir(parents=True, exist_ok=True)
    draft = output.with_suffix(".part")
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in files:
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, (root / name).read_bytes())
    draft.replace(output)


def measure(package: Path) -> str:
    """Install the package's requirements in a clean environment and time its import; returns one line."""
    with tempfile.TemporaryDirectory() as folder:
        app, environment = Path(folder) / "app", Path(folder) / "venv"
        with zipfile.ZipFile(package) as archive:
            archive.extractall(app)
        python = environment / "bin" / "python"
        _run([uv.find_uv_bin(), "venv", "--quiet", "--python", sys.executable, str(environment)])
        install = ["pip", "sync", "--quiet", "--require-hashes", "--python", str(python)]
        _run([uv.find_uv_bin(), *install, str(app / "requirements.txt")])
        installed = sum(file.stat().st_size for file in environment.rglob("site-packages/**/*") if file.is_file())
        # the first run writes the byte code, which the platform's build does as well
        timings = [_run([str(python), "-c", MEASURE], cwd=app, env={}).split() for _ in range(RUNS + 1)][1:]
    median_ms = statistics.median(float(seconds) for _, seconds in timings) * 1000
    return (
        f"{timings[0][0]} functions indexed in {median_ms:.0f} ms (median of {RUNS} fresh processes, no setting set), "
        f"dependencies {installed / 1e6:.1f} MB installed"
    )


def _run(command: list[str], *, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run a command and return what it prints.

    Raises:
        SystemExit: it failed; carries its last lines.
    """
    environment = os.environ if env is None else {"PATH": os.defpath, **env}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=600)  # noqa: S603  fixed commands
    if done.returncode:
        raise SystemExit(f"package: {' '.join(command[:4])} failed:\n{done.stderr.strip()[-2000:]}")
    return done.stdout


def main(arguments: list[str]) -> None:
    """Build, check, measure, print."""
    parser = argparse.ArgumentParser(description="Build the zip that is deployed.")
    parser.add_argument("--output", type=Path, default=ROOT / "dist" / "app.zip")
    parser.add_argument("--no-measure", action="store_true", help="only build, install nothing")
    options = parser.parse_args(arguments)
    files = list(packaged_files(ROOT))
    check(files)
    write_zip(ROOT, files, options.output)
    content = options.output.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    sys.stdout.write(f"{options.output}: {len(files)} files, {len(content) / 1000:.1f} kB, sha256 {digest}\n")
    if not options.no_measure:
        sys.stdout.write(measure(options.output) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
