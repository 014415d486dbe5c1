"""The distribution: what it imports, which room may know which, and a wheel that serves in an empty environment."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import requests
from business_central_emulator import FaultKind, TamperKind
from business_central_emulator.server.control import COMMANDS
from business_central_emulator.server.faults import TRANSIENT_ANSWERS

HOME = Path(__file__).parents[1]
SOURCE = HOME / "src" / "business_central_emulator"
#: What the source may import besides the standard library: its dependencies, and pytest in the plugin.
THIRD_PARTY = {"aiohttp", "jwt", "requests", "urllib3"}
#: Rooms, the lowest first; a room may import from those before it and from itself.
LEAVES = {"server.exchange", "server.faults", "server.limits"}
FLOORS = (
    "data",
    "odata",
    "business",
    "webhooks",
    "dispatch",
    "engine",
    "server",
    "conformance",
    "cli",
    "pytest_plugin",
)
FLOORS_OF_CHECKS = {"__init__", "__main__"}


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, `from a import b` as a.b when b is a module of ours."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            for name in node.names:
                inner = SOURCE.parent / Path(*(node.module or "").split("."), f"{name.name}.py")
                yield f"{node.module}.{name.name}" if inner.is_file() else node.module or ""


def module(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts)


MODULES = {module(path): path for path in SOURCE.rglob("*.py")}


def test_it_imports_nothing_but_the_standard_library_and_its_dependencies() -> None:
    """The emulator stands alone: no package of the repository it is kept in, none that its metadata does not name."""
    for name, path in MODULES.items():
        allowed = THIRD_PARTY | ({"pytest"} if name == "pytest_plugin" else set())
        roots = {one.partition(".")[0] for one in imports(path)}
        foreign = roots - set(sys.stdlib_module_names) - allowed - {"business_central_emulator"}
        assert not foreign, f"{name} imports {sorted(foreign)}"


def test_rooms_import_downwards_only_and_in_no_circle() -> None:
    """Data know no OData, OData no business rules, none of them the engine; the exchange model knows nothing."""
    edges: dict[str, set[str]] = {}
    for name, path in MODULES.items():
        if name.split(".")[-1] in FLOORS_OF_CHECKS:
            continue
        ours = {one.removeprefix("business_central_emulator.") for one in imports(path) if one.startswith("business_c")}
        edges[name] = {one for one in ours if one in MODULES}
        if name in LEAVES:
            assert edges[name] <= LEAVES, f"{name} imports {sorted(edges[name])}"
            continue
        floor = FLOORS.index(name.partition(".")[0])
        for other in edges[name] - LEAVES:
            assert FLOORS.index(other.partition(".")[0]) <= floor, f"{name} imports {other}"
    assert list(TopologicalSorter(edges).static_order())


def test_no_file_name_occurs_twice() -> None:
    """A name says which file is meant."""
    names = [path.name for path in MODULES.values() if path.stem not in FLOORS_OF_CHECKS]
    assert len(names) == len(set(names))


def run(*command: str | Path) -> str:
    """Run a command away from the source and its settings; its output is the message when it fails."""
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    ended = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, timeout=120, env=env
    )
    assert ended.returncode == 0, f"{command}: {ended.stdout}{ended.stderr}"
    return ended.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an empty environment with the wheel and pytest in it."""
    folder = tmp_path_factory.mktemp("wheel")
    home = folder / "home"
    shutil.copytree(HOME, home, ignore=shutil.ignore_patterns("tests", "__pycache__", ".*"))
    python = folder / "venv" / "bin" / "python"
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if uv is not None:
        run(uv, "venv", "--quiet", "--python", sys.executable, folder / "venv")
        run(uv, "build", "--quiet", "--wheel", "--out-dir", folder, home)
        pip: tuple[str | Path, ...] = (uv, "pip", "install", "--quiet", "--python", python)
    else:
        run(sys.executable, "-m", "venv", folder / "venv")
        run(python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, home)
        pip = (python, "-m", "pip", "install", "--quiet")
    (wheel,) = folder.glob("*.whl")
    run(*pip, wheel, "pytest")
    return python.parent


def test_the_wheel_serves_in_an_empty_environment(installed: Path) -> None:
    """Installed alone, the command starts and answers `GET companies`."""
    with subprocess.Popen(
        [installed / "business-central-emulator", "--port", "0"], stdout=subprocess.PIPE, text=True, cwd=installed
    ) as server:
        try:
            assert server.stdout is not None
            ready = re.search(r"ready (http://\S+)", server.stdout.readline())
            assert ready is not None
            answer = requests.get(
                f"{ready[1]}/v2.0/production/api/v2.0/companies",
                headers={"Authorization": "Bearer good-app"},
                timeout=10,
            )
            assert [row["name"] for row in answer.json()["value"]] == ["CRONUS International Ltd.", "My Company"]
        finally:
            server.terminate()
    assert server.returncode == 0


def test_the_wheel_brings_its_pytest_fixtures(installed: Path, tmp_path: Path) -> None:
    """The examples of the README run: `bc` in process, `bc_server` on a socket, without a conftest."""
    (tmp_path / "test_readme.py").write_text("\n\n".join(examples("python")), encoding="utf-8")
    ended = run(installed / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path)
    assert re.search(r"\b4 passed", ended), ended


def test_the_wheel_is_typed_and_carries_its_licence(installed: Path) -> None:
    """`py.typed` tells type checkers; the licence text travels along."""
    files = run(
        installed / "python",
        "-c",
        "from importlib.metadata import files; print(*files('business-central-emulator'), sep='\\n')",
    )
    assert "business_central_emulator/py.typed" in files
    assert "licenses/LICENSE" in files


def test_the_readme_names_every_control_path_fault_and_option() -> None:
    """What can be used is written down."""
    text = (HOME / "README.md").read_text(encoding="utf-8")
    for name in (*COMMANDS, *FaultKind, *TamperKind, *TRANSIENT_ANSWERS):
        assert f"`{name}`" in text, name


def examples(language: str) -> list[str]:
    """The code blocks of the README."""
    text = (HOME / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
