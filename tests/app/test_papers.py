"""The documents speak of things that exist: files, headings, events, settings, routes, roles of numbers."""

import ast
import re
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest

from local.console.cli import main
from shared.business_central import lease_rows
from shared.changes import page_reader, plan_runs
from shared.changes.jobs import GROUP
from shared.connections.settings_reader import DEFAULTS
from shared.dead_letters import dead_letter_store
from shared.forwarding import forward_step
from shared.log import EVENTS
from shared.operations import bc_checks, diagnosis
from shared.operations.page_session import FLOW_LIFETIME, SESSION_LIFETIME
from shared.orders import next_step
from shared.resource_names import (
    CONTAINER,
    QUEUE_EVENTS,
    QUEUE_RESULTS,
    SECRET_CLIENT,
    SECRET_EVENTS,
    SECRET_READER,
    SECRET_TOKEN_CACHE,
    SECRET_WEBHOOK,
    TABLES,
    WORK_QUEUES,
)
from shared.webhooks.plan import RENEW_AGE

ROOT = Path(__file__).resolve().parents[2]
PAPERS = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for folder, pattern in ((ROOT, "*.md"), (ROOT / "docs", "**/*.md"), (ROOT / "infra", "*.md"))
    for path in sorted(folder.glob(pattern))
}
OPERATIONS, SECURITY = PAPERS["docs/operations.md"], PAPERS["docs/security.md"]
OUTPUTS = set(re.findall(r"^output (\w+)", (ROOT / "infra" / "main.bicep").read_text(encoding="utf-8"), re.MULTILINE))
#: Written by a person or a run.
NOT_TRACKED = {"infra/prod.bicepparam"}
#: Settings are named like these; whatever else is in capitals is a parameter or a variable of a command.
SETTING = re.compile(r"\b(BC_[A-Z_]+|KEY_VAULT_URL|PUBLIC_URL|CA_BUNDLE)\b")


def headings(text: str) -> set[str]:
    """The anchors that GitHub makes of a document's headings."""
    found = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found}


def test_the_papers_that_a_project_needs_are_there() -> None:
    """Licence, changelog, how to contribute, how to report, and the three pages an operator reads first."""
    assert {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"} <= set(PAPERS)
    assert {"docs/architecture.md", "docs/operations.md", "docs/security.md"} <= set(PAPERS)
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert licence.startswith("MIT License")
    assert "business-central-connect contributors" in licence


@pytest.mark.parametrize("name", PAPERS)
def test_links_lead_somewhere(name: str) -> None:
    """Every relative link names a file or folder of the repository, and a heading of it if it has an anchor."""
    for target in re.findall(r"\]\(([^)\s]+)\)", PAPERS[name]):
        if target.startswith(("https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        assert file.exists(), f"{name}: {target}"
        if anchor:
            assert anchor in headings(file.read_text(encoding="utf-8")), f"{name}: {target}"


@pytest.mark.parametrize("name", PAPERS)
def test_events_named_in_the_papers_are_written_by_the_code(name: str) -> None:
    """A name in code type that begins like an event is one."""
    nouns = {event.partition(".")[0] for event in EVENTS}
    named = re.findall(r"`([a-z]+)\.([a-z_]+)`", PAPERS[name])
    wrong = [f"{noun}.{verb}" for noun, verb in named if noun in nouns and f"{noun}.{verb}" not in EVENTS]
    assert wrong == []


@pytest.mark.parametrize("name", PAPERS)
def test_settings_named_in_the_papers_are_read_by_the_code(name: str) -> None:
    """Nobody is told to set what is not read."""
    assert set(SETTING.findall(PAPERS[name])) - set(DEFAULTS) - OUTPUTS == set()


#: What papers name in words of code, and where those words are at home. The changelog speaks of what is gone, too.
HOMES: dict[str, tuple[str, set[str]]] = {
    "queue, secret or container": (
        r"`((?:bc|sales)-[a-z-]+)`",
        {
            *WORK_QUEUES, *(f"{queue}-poison" for queue in WORK_QUEUES), QUEUE_EVENTS, QUEUE_RESULTS, CONTAINER,
            SECRET_CLIENT, SECRET_EVENTS, SECRET_READER, SECRET_TOKEN_CACHE, SECRET_WEBHOOK,
        },
    ),
    "function": (
        (
            r"(?:`|AzureWebJobs\.|/admin/functions/)"
            r"((?:dead_letter|forward|keep|park|process|pull|read|redrive|resume|retry|submit)_[a-z_]+)"
        ),
        {*re.findall(r"(?m)^def (\w+)", (ROOT / "function_app.py").read_text(encoding="utf-8")), "pull_page"},
    ),
    "route": (
        r"(?<!\.azure\.net)/api/([a-z]+)(?![\w.])",
        {*re.findall(r'route\("([a-z]+)', (ROOT / "function_app.py").read_text(encoding="utf-8")), "bc"},
    ),
    "make target": (
        r"(?:`|\n)make ([a-z]+)",
        set(re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"))),
    ),
    "command of the console": (r"\./connect ([a-z-]+)", set(main.commands)),
    "option of deploy.sh": (
        r"deploy\.sh (--[a-z-]+)",
        set(re.findall(r"(?m)^    (--[a-z-]+)", (ROOT / "scripts" / "deploy.sh").read_text(encoding="utf-8"))),
    ),
}  # fmt: skip
ALERTS = {path.stem for path in (ROOT / "docs" / "runbook").glob("*.md")}


@pytest.mark.parametrize("kind", HOMES)
def test_words_of_code_in_the_papers_are_those_of_the_code(kind: str) -> None:
    """Nobody looks for a queue, function, route, target or command that there is not."""
    pattern, known = HOMES[kind]
    named = {(name, word) for name in PAPERS for word in re.findall(pattern, PAPERS[name]) if name != "CHANGELOG.md"}
    assert len(named) > 3
    assert {(name, word) for name, word in named if word not in known | ALERTS} == set()


@pytest.mark.parametrize("name", PAPERS)
def test_files_named_in_the_papers_exist(name: str) -> None:
    """A test that shows a promise, a script to run, a room of the house: `<folder>/<path>` in words of code."""
    folders = "bench|docs|infra|local|samples|scripts|shared|tests"
    found = re.findall(rf"`((?:{folders})/[\w./-]+?)[;,.]?`", PAPERS[name])
    assert [path for path in found if not (ROOT / path).exists() and path not in NOT_TRACKED] == []


def routes() -> dict[str, tuple[set[str], str]]:
    """Route -> (methods, level), as the decorators of function_app.py say."""
    tree = ast.parse((ROOT / "function_app.py").read_text(encoding="utf-8"))
    found = {}
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if not (isinstance(call.func, ast.Attribute) and call.func.attr == "route"):
            continue
        route = eval(ast.unparse(call.args[0]), {"ROUTE": "bc/notifications"})
        options = {word.arg: ast.unparse(word.value) for word in call.keywords}
        level = "nothing" if options.get("auth_level", "").endswith("ANONYMOUS") else "a function key"
        methods = {"any"} if options["methods"] == "ANY_METHOD" else set(ast.literal_eval(options["methods"]))
        found[route] = (methods, level)
    return found


def test_the_security_model_lists_every_route_with_its_methods_and_its_key() -> None:
    """Who can call what is what the host enforces."""
    rows = re.findall(r"^\| `([\w/{}*?]+)` \| ([A-Z, ]+) \| ([a-z ]+) \|", SECURITY, re.MULTILINE)
    assert {
        route: ({"any"} if methods == "ANY" else set(methods.split(", ")), level) for route, methods, level in rows
    } == routes()


def test_what_is_stored_is_listed_for_every_table_secret_and_container() -> None:
    """In the security model, and what its loss means in the operations page."""
    for name in (*TABLES, SECRET_TOKEN_CACHE, SECRET_CLIENT, SECRET_READER, SECRET_WEBHOOK):
        assert f"`{name}`" in SECURITY, name
        assert f"`{name}`" in OPERATIONS, name
    assert f"`{CONTAINER}`" in SECURITY


def test_the_doctors_checks_are_listed() -> None:
    """The table of operations.md names every check that the code makes, and no other."""
    table = OPERATIONS[OPERATIONS.index("| check |") : OPERATIONS.index("It only reads.")]
    listed = {
        name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1] if row else "")
    }
    made: set[str] = set()
    for path in ("shared/operations/doctor.py", "shared/operations/diagnosis.py", "shared/operations/failures.py",
                 "shared/operations/bc_checks.py", "shared/operations/view_findings.py",
                 "shared/operations/token_claims.py", "scripts/doctor.py"):  # fmt: skip
        for call in (node for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.Call)):
            name = ast.unparse(call.func)
            if name in {"fine", "note", "warning", "wrong", "explain"} and isinstance(call.args[0], ast.Constant):
                made.add(str(call.args[0].value))
    made |= set(re.findall(r'"check": "(\w+)"', (ROOT / "scripts/doctor.py").read_text())) | {"public_url"}
    assert listed == made


@pytest.mark.parametrize(
    ("paper", "sentence", "value", "said"),
    [
        ("docs/operations.md", "orders wait for 72 hours", next_step.PATIENCE, timedelta(hours=72)),
        ("docs/operations.md", "letter is retried for 72 hours", dead_letter_store.PATIENCE, timedelta(hours=72)),
        ("docs/operations.md", "20,000 a request", page_reader.LIST_ROWS, 20_000),
        ("docs/operations.md", "one request per 100 changed records", GROUP, 100),
        ("docs/operations.md", "of the first ten companies", bc_checks.MOST_COMPANIES, 10),
        ("docs/operations.md", "the limit of 200", diagnosis.MOST_WEBHOOKS, 200),
        (
            "docs/operations.md",
            "ten partitions, five requests at once",
            (plan_runs.PARTITIONS, lease_rows.SLOTS),
            (10, 5),
        ),
        ("docs/architecture.md", "ten minutes behind its watermark", plan_runs.OVERLAP, timedelta(minutes=10)),
        ("docs/architecture.md", "renews from 24 hours of age", RENEW_AGE, timedelta(hours=24)),
        ("docs/architecture.md", "only after 11\n  minutes", next_step.SETTLE, timedelta(minutes=11)),
        ("docs/architecture.md", "5 requests at once", lease_rows.SLOTS, 5),
        ("docs/security.md", "(4 hours,", SESSION_LIFETIME, timedelta(hours=4)),
        ("docs/security.md", "within ten minutes", FLOW_LIFETIME, timedelta(minutes=10)),
        ("docs/forwarding.md", "for 72 hours", forward_step.PATIENCE, timedelta(hours=72)),
    ],
)
def test_numbers_in_the_papers_are_those_of_the_code(paper: str, sentence: str, value: object, said: object) -> None:
    """A number that is changed in the code must be changed in the sentence."""
    assert sentence in PAPERS[paper]
    assert value == said


def test_the_changelog_names_what_is_new_for_operators() -> None:
    """Every setting, log event and parameter of the template that the last release did not have."""
    news = PAPERS["CHANGELOG.md"].partition("## [0.1.0]")[0]
    with zipfile.ZipFile(ROOT / "tests" / "compat" / "0.1.0" / "package.zip") as package:
        before = package.read("shared/settings.py").decode() + package.read("shared/log.py").decode()
    assert {name for name in DEFAULTS if f'"{name}"' not in before and f"`{name}`" not in news} == set()
    assert {name for name in EVENTS if f'"{name}"' not in before and f"`{name}`" not in news} == set()
