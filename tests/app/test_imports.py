"""The house: floors, pure modules, no circle, no file name twice. This test is its specification."""

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: The floors, top first. A module imports from its own room, or from rooms on floors below, never from above.
FLOORS: Final = (
    "function_app", "triggers", "webhook_trigger", "overview", "routing", "services", "operations", "webhooks",
    "dead_letters", "changes", "contract", "orders", "connections", "forwarding", "business_central", "login",
    "storage",
    "settings", "outputs", "log", "resource_names", "ncrontab", "exact_json", "message_text", "invocation",
    "work_counts", "clock", "concurrency", "first_use",
    "guid", "version", "errors",
)  # fmt: skip
#: Modules that decide and do nothing else: no network, clock, chance, environment, thread or Azure, and no store.
PURE: Final = frozenset({
    "webhooks/delivery", "webhooks/plan", "changes/jobs", "changes/ledger_rules", "changes/cloud_events",
    "changes/lost_pages",
    "orders/order_message", "orders/order_fields",
    "orders/asked_key", "orders/order_rows", "orders/order_contents",
    "orders/order_cause", "orders/order_entry", "orders/next_step", "orders/order_result",
    "orders/likeness", "business_central/code_text", "business_central/transient", "message_text",
    "business_central/entities", "business_central/metadata", "business_central/records",
    "business_central/page_queries", "connections/entity_entries", "connections/entity_rules",
    "business_central/page_parser", "business_central/record_shape", "business_central/rate",
    "business_central/retry", "business_central/odata",
    "business_central/port", "login/token_cache", "login/entra_codes", "storage/table", "storage/table_rules",
    "storage/keys", "storage/packed_ids", "operations/connect_html", "operations/connect_tables",
    "operations/connect_list", "operations/connect_orders", "operations/connect_companies", "operations/connect_plot",
    "operations/page_script",
    "operations/page_style", "operations/page_session",
    "operations/findings", "operations/connection_health",
    "operations/failures", "operations/view_findings", "operations/diagnosis",
    "operations/poison_contents", "operations/unread_output", "operations/setting_doubts",
    "operations/status_view", "operations/page_parts", "operations/connect_values", "operations/sign_in_answer",
    "operations/refusal_pages", "operations/token_claims", "operations/timers", "connections/settings_reader",
    "contract/api_v2_types", "contract/async_api", "contract/built_in", "contract/edm", "contract/event_schemas",
    "contract/order_schemas", "contract/schema_answer", "contract/schema_urls",
    "forwarding/event_targets", "forwarding/event_requests", "forwarding/forward_step", "forwarding/webhook_signature",
    "exact_json", "ncrontab", "errors", "guid", "version", "outputs", "resource_names",
})  # fmt: skip
#: Room -> the packages it may use besides the standard library.
PACKAGES: Final[dict[str, set[str]]] = {
    "business_central": {"requests", "urllib3"},
    "forwarding": {"azure", "requests", "urllib3"},
    "login": {"requests", "msal"},
    "storage": {"azure", "requests"},
    "operations": {"azure", "requests"},
    "triggers": {"azure"},
    "webhook_trigger": {"azure"},
    "function_app": {"azure"},
    "services": {"requests"},
}
#: What use cases and rules may not even take from the standard library: networks, processes, clocks, environment.
OUTSIDE: Final = {
    "socket", "ssl", "http", "urllib.request", "subprocess", "time", "os", "random", "secrets", "pathlib", "tempfile",
    "asyncio", "multiprocessing",
}  # fmt: skip
#: Adapters: the only modules that meet the outside. Everything else gets time, chance and networks as arguments.
ADAPTERS: Final = frozenset({
    "services", "clock", "concurrency", "business_central/transport", "business_central/deadline",
    "business_central/request_budget",
    "forwarding/event_sender",
    "login/tokens", "login/msal_app", "storage/azure_tables", "storage/key_vault", "storage/identity",
    "storage/claim_checks", "storage/http_transport", "operations/handshake_probe", "operations/queue_depths",
})  # fmt: skip
CLOCKS: Final = {
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
    ("uuid", "uuid4"),
}
FILES: Final = [ROOT / "function_app.py", *sorted((ROOT / "shared").rglob("*.py"))]
MODULES: Final = [path for path in FILES if path.name != "__init__.py"]


def name_of(path: Path) -> str:
    """The module as the lists above name it: `orders/submit`, `triggers`, `function_app`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return "/".join(parts[1:] if parts[0] == "shared" else parts)


def floor_of(name: str) -> int:
    """The floor of a module; an unknown room fails here, so that a new one must say where it stands."""
    return FLOORS.index(name.split("/", maxsplit=1)[0])


def imports(path: Path) -> Iterator[str]:
    """Every module imported anywhere in a file, ours as the lists name them."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide their direction"
            module = str(node.module)
            if module.split(".", maxsplit=1)[0] != "shared":
                yield module
                continue
            for alias in node.names:
                whole = ROOT / (module + "." + alias.name).replace(".", "/")
                is_module = whole.with_suffix(".py").is_file()
                yield (f"{module}.{alias.name}" if is_module else module).replace(".", "/")


def ours(path: Path) -> list[str]:
    """The modules of ours that a file imports."""
    return [name.removeprefix("shared/") for name in imports(path) if name.startswith("shared/")]


def foreign(path: Path) -> list[str]:
    """The other modules that a file imports."""
    return [name for name in imports(path) if not name.startswith("shared/") and name != "shared"]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_down_the_floors_and_never_up(path: Path) -> None:
    """A room knows what lies below it; what lies above may change without it."""
    name = name_of(path)
    for target in ours(path):
        is_same_room = target.split("/")[0] == name.split("/")[0]
        assert is_same_room or floor_of(target) > floor_of(name), f"{name} imports {target}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_room_uses_only_its_packages(path: Path) -> None:
    """Six packages and azure-storage-blob are deployed; each has few users."""
    for module in foreign(path):
        package = module.split(".")[0]
        if package not in sys.stdlib_module_names:
            assert package in PACKAGES.get(name_of(path).split("/")[0], set()), f"{name_of(path)} imports {module}"


@pytest.mark.parametrize("path", [path for path in MODULES if name_of(path) not in ADAPTERS], ids=name_of)
def test_only_adapters_meet_the_outside(path: Path) -> None:
    """Time and chance come in as arguments, so that a test can hold them still."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not {name for module in foreign(path) for name in (module, module.split(".")[0])} & OUTSIDE
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) not in CLOCKS, f"{name_of(path)}:{node.lineno}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"open", "print", "input"}, f"{name_of(path)}:{node.lineno}"


@pytest.mark.parametrize("path", [path for path in MODULES if name_of(path) in PURE], ids=name_of)
def test_a_pure_module_knows_pure_modules_only(path: Path) -> None:
    """Rules stay testable by a table: no logging, no packages, no thread, no store."""
    for module in foreign(path):
        package = module.split(".")[0]
        assert package in sys.stdlib_module_names, f"{name_of(path)} imports {module}"
        assert package not in {"logging", "threading", "concurrent", "ctypes"}, f"{name_of(path)} imports {module}"
    for target in ours(path):
        assert target in PURE | {"clock", "settings"}, f"{name_of(path)} imports {target}"


def test_the_lists_name_modules_that_exist() -> None:
    """A module that was renamed or removed leaves its list, too."""
    assert set(map(name_of, MODULES)) >= PURE | ADAPTERS


def test_modules_import_each_other_in_no_circle() -> None:
    """Also inside a room there is an order."""
    graph = {name_of(path): ours(path) for path in MODULES}
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join([*way[way.index(name) :], name])
        if name not in done:
            for target in graph.get(name, []):
                visit(target, (*way, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_no_file_name_occurs_twice() -> None:
    """A name in a traceback or in a search leads to one place."""
    names = Counter(path.name for path in MODULES)
    assert not [name for name, count in names.items() if count > 1]


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
