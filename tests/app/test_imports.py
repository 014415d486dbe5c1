"""Imports point one way, and the inner layers know neither clouds nor networks nor clocks."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: Layer -> what of `shared` it may import. The stdlib is free but for what BANNED takes away.
ALLOWED: Final[dict[str, set[str]]] = {
    "core": {"core", "errors"},
    "errors": set(),
    "log": set(),
    "settings": {"core", "errors"},
    "ports": {"core", "errors"},
    "state": {"core", "ports", "errors", "log"},
    "handlers": {"core", "ports", "errors", "log", "state", "settings", "handlers"},
    "bc": {"core", "ports", "errors", "log", "settings", "bc"},
    "stores": {"core", "ports", "errors", "log", "settings", "stores"},
    "services": {"core", "ports", "errors", "log", "settings", "state", "handlers", "bc", "stores"},
    "triggers": {"services", "handlers", "core", "errors", "log"},
    "process": set(),
    "function_app": {"triggers", "core", "process"},
}
#: Layer -> the packages it may use besides the stdlib.
PACKAGES: Final[dict[str, set[str]]] = {
    "bc": {"requests", "msal"},
    "stores": {"azure", "requests"},
    "triggers": {"azure"},
    "function_app": {"azure"},
}
#: What `core`, `state` and `handlers` may not even take from the stdlib: networks, processes, clocks, environment.
BANNED: Final = {
    "socket", "ssl", "http", "urllib.request", "subprocess", "time", "os", "random", "secrets", "pathlib", "tempfile",
    "asyncio", "multiprocessing",
}  # fmt: skip
PURE: Final = {"core", "state", "handlers"}
CLOCKS: Final = {
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
    ("uuid", "uuid4"),
}
FILES: Final = [ROOT / "function_app.py", *sorted((ROOT / "shared").rglob("*.py"))]


def name_of(path: Path) -> str:
    """The path as it is spoken of."""
    return str(path.relative_to(ROOT))


def layer_of(path: Path) -> str:
    """The layer a file belongs to; `shared/__init__.py` belongs to none."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0] if len(parts) == 1 else parts[1]


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported anywhere in a file, with the names taken from packages of ours."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide their direction"
            yield str(node.module)
            if node.module and node.module.split(".")[0] == "shared":
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_imports_only_what_its_layer_may(path: Path) -> None:
    """Core <- ports <- state, bc, stores <- handlers <- services <- triggers <- function_app."""
    layer = layer_of(path)
    if layer == "__init__":
        return
    for module in imports(ast.parse(path.read_text(encoding="utf-8"))):
        parts = module.split(".")
        if parts[0] == "shared":
            if len(parts) > 1:
                assert parts[1] in ALLOWED[layer] | {layer}, f"{name_of(path)} imports {module}"
        elif parts[0] not in sys.stdlib_module_names:
            assert parts[0] in PACKAGES.get(layer, set()), f"{name_of(path)} imports {module}"
        elif layer in PURE:
            assert not {parts[0], module} & BANNED, f"{name_of(path)} imports {module}"


@pytest.mark.parametrize("path", [path for path in FILES if layer_of(path) in PURE], ids=name_of)
def test_the_inner_layers_read_no_clock_and_make_no_id(path: Path) -> None:
    """Time and chance come in as arguments, so that a test can hold them still."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) not in CLOCKS, f"{name_of(path)}:{node.lineno}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"open", "print", "input"}, f"{name_of(path)}:{node.lineno}"


def test_every_layer_is_in_the_table() -> None:
    """A new package must say where it stands."""
    assert {layer_of(path) for path in FILES} - {"__init__"} == set(ALLOWED)


def test_no_module_has_a_name_that_says_nothing() -> None:
    """Helpers belong to what they help, and a package called `azure` would hide the real one."""
    folders = [ROOT / name for name in ("shared", "local", "tests", "scripts")]
    names = {
        part
        for folder in folders
        for path in folder.rglob("*.py")
        for part in path.relative_to(ROOT).with_suffix("").parts
    }
    assert not names & {"utils", "util", "helpers", "helper", "common", "misc", "azure", "manager", "base"}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_module_says_what_it_owns_and_stays_readable(path: Path) -> None:
    """A docstring first, and at most 400 lines."""
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text))
    assert text.count("\n") <= 400
