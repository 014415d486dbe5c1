"""The set-up: what is locked, and what `scripts/setup.sh` does on good and bad days, with stand-ins for python and npm.

The stand-ins record what they were asked and fail on demand, so no test needs the network or more than a moment.
"""

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEPLOYED = {
    "azure-data-tables",
    "azure-functions",
    "azure-identity",
    "azure-keyvault-secrets",
    "azure-storage-blob",
    "msal",
    "requests",
}
PYTHON_STANDIN = """#!/bin/sh
echo "python $*" >>"$STANDIN_CALLS"
case "$*" in
  *'-I -S -c'*) exit 0 ;;
  *'import ensurepip, venv'*) exit "${STANDIN_NO_VENV:-0}" ;;
  *'-m venv'*)
    mkdir -p .venv/bin .venv/lib/python3.13/site-packages
    cp "$STANDIN_PYTHON" .venv/bin/python ;;
  *'-m pip install'*)
    if [ -n "${STANDIN_PIP_SAYS:-}" ]; then echo "$STANDIN_PIP_SAYS"; exit 1; fi
    mkdir -p .venv/lib/python3.13/site-packages/package ;;
  *'import platform'*) echo 'CPython 3.13.0 from here' ;;
esac
"""
NODE_STANDIN = """#!/bin/sh
echo "${STANDIN_NODE_VERSION:-v20.1.0}"
"""
NPM_STANDIN = """#!/bin/sh
echo "npm $*" >>"$STANDIN_CALLS"
if [ -n "${STANDIN_NPM_SAYS:-}" ]; then echo "$STANDIN_NPM_SAYS"; exit 1; fi
rm -rf node_modules
mkdir -p node_modules/azurite/dist/src
: >node_modules/azurite/dist/src/azurite.js
"""


class Checkout:
    """A folder with the set-up script and its lock files, and stand-ins for what it calls."""

    def __init__(self, folder):
        self.root = folder / "checkout"
        self.bin = folder / "bin"
        self.calls_file = folder / "calls"
        self.root.mkdir()
        self.bin.mkdir()
        shutil.copytree(ROOT / "scripts", self.root / "scripts")
        (self.root / "requirements").mkdir()
        for name in ("requirements-dev.txt", "requirements/node.txt", "package-lock.json"):
            (self.root / name).write_text(f"{name}\n")
        for name, text in (("python3.13", PYTHON_STANDIN), ("node", NODE_STANDIN), ("npm", NPM_STANDIN)):
            self.put(name, text)

    def put(self, name, text):
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)

    def set_up(self, **env):
        self.calls_file.write_text("")
        return subprocess.run(
            ["/bin/sh", "scripts/setup.sh"],
            cwd=self.root,
            env={
                "PATH": f"{self.bin}:/usr/bin:/bin",
                "HOME": str(self.root.parent),
                "STANDIN_CALLS": str(self.calls_file),
                "STANDIN_PYTHON": str(self.bin / "python3.13"),
                **env,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @property
    def installs(self):
        """What was installed or created, in order."""
        kinds = {"-m venv": "venv", "pip install": "packages", "npm ci": "node"}
        return [
            kind for call in self.calls_file.read_text().splitlines() for mark, kind in kinds.items() if mark in call
        ]


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


@pytest.fixture
def ready(checkout):
    """A checkout that is set up."""
    done = checkout.set_up()
    assert done.returncode == 0, done.stderr
    return checkout


def failure(done):
    """The one line that a failed set-up says."""
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    return line


def test_the_first_run_makes_everything_and_the_second_nothing(ready):
    """A fresh clone is set up in order; after that a run installs nothing, says nothing and takes a moment."""
    assert ready.installs == ["venv", "packages", "node"]
    began = time.monotonic()
    again = ready.set_up()
    assert (again.returncode, again.stdout, again.stderr, ready.installs) == (0, "", "", [])
    assert time.monotonic() - began < 0.5


def test_packages_are_installed_by_hash_only(ready):
    """Nothing is installed that the lock file does not name, and npm runs no scripts of packages."""
    calls = ready.calls_file.read_text()
    assert "--require-hashes --requirement requirements-dev.txt" in calls
    assert "npm ci --ignore-scripts" in calls


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda root: (root / "requirements-dev.txt").write_text("newer"), ["packages"]),
        (lambda root: (root / "package-lock.json").write_text("newer"), ["node"]),
        (lambda root: shutil.rmtree(root / ".venv"), ["venv", "packages"]),
        (lambda root: shutil.rmtree(root / "node_modules"), ["node"]),
        (lambda root: (root / ".venv/bin/python").unlink(), ["venv", "packages"]),
        (lambda root: (root / ".venv/bin/python").write_text("#!/nowhere/python\n"), ["venv", "packages"]),
        (lambda root: shutil.rmtree(root / ".venv/lib/python3.13/site-packages/package"), ["packages"]),
        (lambda root: shutil.rmtree(root / "node_modules/azurite"), ["node"]),
        (lambda root: (root / "node_modules/.stamp").unlink(), ["node"]),
    ],
    ids=[
        "python lock changed",
        "node lock changed",
        "venv deleted",
        "node_modules deleted",
        "interpreter deleted",
        "interpreter gone",
        "package deleted",
        "azurite deleted",
        "npm interrupted",
    ],
)
def test_only_what_is_not_right_is_made_again(ready, change, expected):
    """A changed lock or a damaged part is repaired, and the other part is left alone."""
    change(ready.root)
    assert ready.set_up().returncode == 0
    assert ready.installs == expected
    assert ready.set_up().returncode == 0
    assert ready.installs == []


def test_an_interrupted_install_starts_over(checkout):
    """Packages that may be half there are not trusted: .venv is made anew."""
    failure(checkout.set_up(STANDIN_PIP_SAYS="killed"))
    assert checkout.set_up().returncode == 0
    assert checkout.installs == ["venv", "packages", "node"]


def test_a_moved_folder_gets_a_new_venv(ready):
    """Scripts in a .venv name their folder, so after a move they would run another checkout's code or none."""
    moved = ready.root.with_name("moved")
    ready.root.rename(moved)
    ready.root = moved
    assert ready.set_up().returncode == 0
    assert ready.installs == ["venv", "packages"]


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "the disk is full"),
        (
            "NewConnectionError: Failed to establish a new connection: Name or service not known",
            "the package index cannot be reached",
        ),
        ("Read timed out.", "the package index cannot be reached"),
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
            "a downloaded package differs from the locked one",
        ),
        (
            "SSLError(SSLCertVerificationError: certificate verify failed)",
            "the package index's certificate is not trusted here",
        ),
        ("[Errno 13] Permission denied: '/x'", "a file cannot be written"),
        ("ERROR: something new", "ERROR: something new"),
    ],
)
def test_a_failed_download_is_one_plain_line(checkout, says, told):
    """The step, the reason and the log; no page of pip's output."""
    line = failure(checkout.set_up(STANDIN_PIP_SAYS=says))
    assert line == f"setup: installing Python packages failed: {told} (see .local/logs/setup.log)"
    assert says in (checkout.root / ".local/logs/setup.log").read_text()


def test_a_failed_npm_is_told_and_repaired_by_the_next_run(checkout):
    """Python's part is kept when node's part failed."""
    line = failure(checkout.set_up(STANDIN_NPM_SAYS="npm error code ENOTFOUND"))
    assert line.startswith("setup: installing Azurite failed: the package index cannot be reached")
    assert checkout.set_up().returncode == 0
    assert checkout.installs == ["node"]


def test_a_python_that_does_not_run_is_passed_over(checkout):
    """A version manager's shim may be on PATH and fail when run; PYTHON names the one to take."""
    checkout.put("good", (checkout.bin / "python3.13").read_text())
    checkout.put("python3.13", "#!/bin/sh\necho 'pyenv: python3.13: command not found' >&2\nexit 127\n")
    done = checkout.set_up(PYTHON=str(checkout.bin / "good"), STANDIN_PYTHON=str(checkout.bin / "good"))
    assert done.returncode == 0, done.stderr
    assert checkout.installs == ["venv", "packages", "node"]


@pytest.mark.parametrize("version", ["v16.20.0", "not a version"])
def test_a_node_too_old_is_replaced_by_the_locked_one(checkout, version):
    """The machine's own node is used from version 18; else one is brought into .venv from the package index."""
    done = checkout.set_up(STANDIN_NODE_VERSION=version)
    assert "no node with npm here; bringing one into .venv" in done.stdout
    assert "requirements/node.txt" in checkout.calls_file.read_text()
    assert failure(done) == "setup: the node brought into .venv does not run here; install node 18 or newer"


def test_a_lock_left_by_a_dead_setup_does_not_block(checkout):
    """A set-up killed earlier leaves its lock; the next one takes it over, and leaves none itself."""
    lock = checkout.root / ".local/setup.lock"
    lock.mkdir(parents=True)
    (lock / "pid").write_text("999999999")
    assert checkout.set_up().returncode == 0
    assert not lock.exists()


def test_a_second_setup_waits_for_the_first(checkout):
    """Two commands at once do not install into one another's half-made folder."""
    lock = checkout.root / ".local/setup.lock"
    lock.mkdir(parents=True)
    with subprocess.Popen(["/bin/sleep", "60"]) as holder:
        (lock / "pid").write_text(str(holder.pid))
        with subprocess.Popen(
            ["/bin/sh", "scripts/setup.sh"],
            cwd=checkout.root,
            env={
                "PATH": f"{checkout.bin}:/usr/bin:/bin",
                "STANDIN_CALLS": str(checkout.calls_file),
                "STANDIN_PYTHON": str(checkout.bin / "python3.13"),
            },
            stdout=subprocess.PIPE,
            text=True,
        ) as waiting:
            assert "another setup is running here" in waiting.stdout.readline()
            assert not (checkout.root / ".venv").exists()
            holder.kill()
            holder.wait()
            assert waiting.wait(30) == 0


# -- what is locked ----------------------------------------------------------------------------------------------------


def pins(name):
    """Package to version of a lock file."""
    text = (ROOT / name).read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", text, re.MULTILINE))


def test_exactly_the_seven_packages_are_deployed():
    """An eighth dependency is a decision, not an accident."""
    lines = (ROOT / "requirements/runtime.in").read_text().splitlines()
    named = {re.split(r"[=<>]", line)[0] for line in lines if line and not line.startswith("#")}
    assert named == DEPLOYED
    assert set(pins("requirements.txt")) >= DEPLOYED
    assert pins("requirements.txt")["azure-functions"] == "2.3.0"


def test_tests_run_on_what_is_deployed():
    """The developer's lock holds every deployed package at the deployed version, and the worker library."""
    developers, deployed = pins("requirements-dev.txt"), pins("requirements.txt")
    assert {name: developers.get(name) for name in deployed} == deployed
    assert developers["azure-functions-runtime"] == "1.3.0"


@pytest.mark.parametrize(
    "name", ["requirements.txt", "requirements-dev.txt", "requirements-bench.txt", "requirements/node.txt"]
)
def test_python_locks_have_a_hash_for_every_package_and_no_address(name):
    """The index is the machine's choice; what comes from it is checked."""
    text = (ROOT / name).read_text()
    blocks = [block for block in re.split(r"\n(?=[a-z0-9])", f"\n{text}") if "==" in block]
    assert len(blocks) == len(pins(name))
    assert [block for block in blocks if "--hash=sha256:" not in block] == []
    assert "://" not in text
    assert "index-url" not in text


def test_the_node_lock_pins_azurite_and_names_no_registry():
    """Every package has an integrity hash and no address; Azurite is the one that runs on node 20 and on node 24."""
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    wanted = json.loads((ROOT / "package.json").read_text())["dependencies"]
    assert wanted == {"azurite": packages["node_modules/azurite"]["version"]} == {"azurite": "3.35.0"}
    assert [path for path, held in packages.items() if path and "integrity" not in held] == []
    assert [path for path, held in packages.items() if "resolved" in held] == []


def test_plain_make_lists_the_targets():
    """Somebody who types `make` sees what there is, each with its purpose."""
    if shutil.which("make") is None:
        pytest.skip("needs make")
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30).stdout
    for target in ("setup", "run", "demo", "test", "package", "clean"):
        assert re.search(rf"^  make {target} +\w", listed, re.MULTILINE)


def test_ci_runs_the_same_check_as_a_developer():
    """`.ci/run` can be executed and its check is `make test`."""
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    assert "\nmake test\n" in script.read_text()
