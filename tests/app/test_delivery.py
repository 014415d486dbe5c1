"""What leaves the workbench: parameter check, package, deploy script, workflows."""

import importlib.util
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from shared.core.ncrontab import ncrontab_fault

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CLIENT = "11111111-2222-3333-4444-555555555555"


def script(name: str) -> ModuleType:
    """Return a script of scripts/ as a module."""
    spec = importlib.util.spec_from_file_location(f"scripts_{name}", ROOT / "scripts" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


check_params = script("check_params")
package = script("package")


# ------------------------------------------------------------------------------------------------ parameters


def test_good_parameters_pass() -> None:
    """A client id is all that is needed, and not even that when the template registers the application."""
    assert check_params.faults({"bcClientId": CLIENT}) == {}
    assert check_params.faults({"bcClientId": "", "bcTenantId": "", "entraAppEnabled": True}) == {}


@pytest.mark.parametrize(
    ("wrong", "value"),
    [
        ("bcAuthMode", "password"),
        ("bcItemPullSchedule", "every 15 minutes"),
        ("bcReconcileSchedule", "*/15 * * * *"),
        ("bcSubscriptionSchedule", "0 99 * * * *"),
        ("bcCompanies", ""),
        ("bcCompanies", " , "),
        ("bcClientId", "my-app"),
        ("bcClientId", ""),
        ("bcTenantId", "not a tenant"),
        ("bcTriggers", "items,customers"),
        ("bcTriggers", ""),
        ("bcChanges", "renamed"),
        ("bcPageRows", 20001),
        ("bcEnvironment", "sand box"),
        ("publicUrl", "http://plain.example"),
        ("bcApiUrl", "https://api.example/v2.0"),
        ("alertEmails", ["nobody"]),
        ("budgetAmount", 100),
    ],
)
def test_wrong_parameter_is_named(wrong: str, value: object) -> None:
    """A wrong value is refused under the name of its parameter."""
    assert wrong in check_params.faults({"bcClientId": CLIENT, wrong: value})


def test_every_wrong_parameter_is_named_at_once() -> None:
    """One run of the check tells everything that must be corrected."""
    wrong: dict[str, object] = {
        "bcAuthMode": "x",
        "bcCompanies": "",
        "bcItemPullSchedule": "x",
        "alertEmails": ["a@b.example"],
    }
    wrong |= {"budgetAmount": 5, "budgetStartDate": "2026-12-24"}
    found = check_params.faults(wrong)
    assert set(found) == {"bcAuthMode", "bcCompanies", "bcItemPullSchedule", "bcClientId", "budgetStartDate"}


@pytest.mark.parametrize(
    "schedule",
    [
        "0 */15 * * * *",
        "0 7-59/15 * * * *",
        "0 0 6,18 * * MON-FRI",
        "30 0 0 1 jan *",
        "0 0 0 1,15 * 1-5",
        "0 5/10 * * * *",
    ],
)
def test_schedules_of_the_host_pass(schedule: str) -> None:
    """What NCRONTAB allows is not refused."""
    assert ncrontab_fault(schedule) is None


@pytest.mark.parametrize(
    "schedule",
    ["", "* * * * *", "0 60 * * * *", "0 0 24 * * *", "0 0 0 0 * *", "0 0 0 * 13 *", "0 0 0 * * 7", "0 9-3 * * * *",
     "0 */0 * * * *", "0 * * * * ? *", "0 a * * * *", "0 1- * * * *", "0 ,1 * * * *", "0 */15 * * FEB-MAR XYZ"],
)  # fmt: skip
def test_schedules_that_the_host_refuses_do_not_pass(schedule: str) -> None:
    """A schedule that would leave the app without functions is refused before anything is created."""
    assert ncrontab_fault(schedule)


def test_compiler_output_and_plain_parameter_files_are_read() -> None:
    """Both forms in which parameters come give the same values."""
    plain: dict[str, object] = {"parameters": {"bcPageRows": {"value": 5}}}
    compiled = {"parametersJson": json.dumps(plain), "templateJson": "{}"}
    assert check_params.parameters_of(json.dumps(plain)) == {"bcPageRows": 5}
    assert check_params.parameters_of(json.dumps(compiled)) == {"bcPageRows": 5}
    with pytest.raises(ValueError, match="no parameters"):
        check_params.parameters_of("[]")


# ------------------------------------------------------------------------------------------------ package


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project with the real `.funcignore`."""
    files = [
        "function_app.py", "host.json", "requirements.txt", "shared/__init__.py", "shared/core/deep.py",
        "shared/__pycache__/x.pyc", "tests/test_x.py", "local/host.py", "infra/main.bicep", "docs/a.md", "README.md",
        ".github/workflows/ci.yml", ".env", "local.settings.json", "node_modules/a/index.js", "scripts/x.sh",
        ".git/config", "requirements/runtime.in", "requirements-dev.txt", "pyproject.toml", "dist/app.zip",
    ]  # fmt: skip
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    shutil.copy(ROOT / ".funcignore", tmp_path / ".funcignore")
    return tmp_path


def test_package_holds_the_app_and_nothing_else(project: Path) -> None:
    """Tests, local stack, template, papers, secrets and dotfiles stay at home."""
    files = list(package.packaged_files(project))
    assert files == ["function_app.py", "host.json", "requirements.txt", "shared/__init__.py", "shared/core/deep.py"]
    package.check(files)


def test_same_sources_give_the_same_zip(project: Path, tmp_path: Path) -> None:
    """The package can be built again bit by bit, whenever and by whomever."""
    files = list(package.packaged_files(project))
    package.write_zip(project, files, tmp_path / "one.zip")
    for name in files:
        os.utime(project / name, (1, 1))
    package.write_zip(project, files, tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert archive.namelist() == files
        assert archive.read("host.json") == b"host.json"


def test_package_that_cannot_run_or_gives_away_is_refused() -> None:
    """A missing entry point and a file that must stay at home stop the build."""
    with pytest.raises(SystemExit, match=r"missing .*function_app\.py"):
        package.check(["host.json"])
    with pytest.raises(SystemExit, match=r"tests/test_x\.py"):
        package.check([*package.REQUIRED, "tests/test_x.py"])


# ------------------------------------------------------------------------------------------------ deploy script

BICEP_STUB = """#!/bin/sh
echo "bicep $*" >> "$CALLS"
printf '%s' "$PARAMETERS"
"""
AZ_STUB = """#!/bin/sh
echo "az $*" >> "$CALLS"
case "$*" in
  "account show"*) [ -n "$LOGGED_IN" ] && echo "My subscription" || exit 1 ;;
  "deployment sub show"*) echo '{"azurE_FUNCTION_NAME": {"value": "func-x"}, "keY_VAULT_NAME": {"value": "kv-x"},
    "apP_URL": {"value": "https://func-x.example"},
    "bC_REDIRECT_URI": {"value": "https://func-x.example/api/connect/callback"}}' ;;
  "deployment sub $FAILING"*) exit 1 ;;
esac
"""
FUNC_STUB = """#!/bin/sh
echo "func $*" >> "$CALLS"
ls -A >> "$CALLS"
"""

type Deploy = Callable[..., tuple[int, str, list[str]]]


@pytest.fixture
def deploy(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Deploy:
    """Run the deploy script of a copied project with stand-ins for the tools; returns status, output and calls."""
    shutil.rmtree(project / "scripts")
    shutil.copytree(ROOT / "scripts", project / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    (project / "shared" / "core").mkdir(exist_ok=True)
    for name in ("__init__.py", "errors.py", "settings.py", "core/__init__.py", "core/ncrontab.py"):
        shutil.copy(ROOT / "shared" / name, project / "shared" / name)
    (project / "infra" / "main.bicepparam").write_text("using './main.bicep'\n")
    (project / ".venv" / "bin").mkdir(parents=True)
    python = project / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')  # with the packages of this environment
    python.chmod(stat.S_IRWXU)

    def run(
        *options: str, tools: tuple[str, ...] = ("az", "bicep", "func"), parameters: dict[str, object] | None = None,
        logged_in: bool = True, failing: str = "none", extra: dict[str, str] | None = None,
    ) -> tuple[int, str, list[str]]:  # fmt: skip
        folder = tmp_path_factory.mktemp("tools")
        calls = folder / "calls"
        calls.touch()
        for tool, stub in (("az", AZ_STUB), ("bicep", BICEP_STUB), ("func", FUNC_STUB)):
            if tool in tools:
                (folder / tool).write_text(stub)
                (folder / tool).chmod(stat.S_IRWXU)
        for tool in ("bash", "sh", "dirname", "mktemp", "rm", "ls", "cat"):
            (folder / tool).symlink_to(shutil.which(tool) or "")
        given = {"environmentName": "dev", "location": "westeurope", "bcClientId": CLIENT} | (parameters or {})
        document = {"parametersJson": json.dumps({"parameters": {k: {"value": v} for k, v in given.items()}})}
        environment = {
            "PATH": str(folder), "CALLS": str(calls), "PARAMETERS": json.dumps(document),
            "LOGGED_IN": "yes" if logged_in else "", "FAILING": failing, **(extra or {}),
        }  # fmt: skip
        done = subprocess.run(
            ["bash", str(project / "scripts" / "deploy.sh"), *options],
            env=environment, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr, calls.read_text().splitlines()

    return run


@pytest.mark.parametrize(
    ("options", "tools", "line"),
    [
        ((), ("bicep", "func"), "az is missing: install"),
        ((), ("az", "bicep"), "func is missing: install"),
        (("--dry-run",), ("bicep",), "az is missing: install"),
        (("--check",), (), "bicep is missing: run 'az bicep install'"),
        (
            ("--params", "infra/nowhere.bicepparam"),
            ("az", "bicep", "func"),
            "no parameter file infra/nowhere.bicepparam",
        ),
        (("--fast",), ("az", "bicep", "func"), "unknown option --fast"),
    ],
)
def test_what_is_missing_is_one_clear_line(
    deploy: Deploy, options: tuple[str, ...], tools: tuple[str, ...], line: str
) -> None:
    """The script says which tool or file is missing and how to get it, and calls nothing."""
    status, output, calls = deploy(*options, tools=tools)
    assert status == 1
    assert output.startswith(f"deploy: {line}")
    assert output.count("\n") == 1
    assert calls == []


def test_bicep_of_the_azure_cli_will_do(deploy: Deploy) -> None:
    """Without bicep on PATH the one inside the Azure CLI compiles the parameters."""
    _, _, calls = deploy("--check", tools=("az", "func"))
    assert calls == ["az bicep version", "az bicep build-params --file infra/main.bicepparam --stdout"]


@pytest.mark.parametrize(
    ("name", "value"), [("bcAuthMode", "password"), ("bcItemPullSchedule", "hourly"), ("bcCompanies", "")]
)
def test_wrong_parameters_create_nothing(deploy: Deploy, name: str, value: str) -> None:
    """A wrong auth mode, schedule or company list is refused before Azure is asked for anything."""
    status, output, calls = deploy(parameters={name: value})
    assert status == 1
    assert f"wrong parameter {name}: " in output
    assert "nothing was created" in output
    assert [call for call in calls if call.startswith(("az", "func"))] == []


def test_a_missing_login_creates_nothing(deploy: Deploy) -> None:
    """Without a login the script says so and stops."""
    status, output, calls = deploy(logged_in=False)
    assert status == 1
    assert "deploy: not logged in: run 'az login'" in output
    assert not any("deployment" in call for call in calls)


def test_dry_run_asks_what_would_change_and_stops(deploy: Deploy) -> None:
    """A dry run makes a what-if and no deployment, and needs no Core Tools."""
    status, _, calls = deploy("--dry-run", tools=("az", "bicep"))
    assert status == 0
    assert [call.split(" --")[0] for call in calls if "deployment" in call] == ["az deployment sub what-if"]


def test_what_azure_refuses_is_not_created(deploy: Deploy) -> None:
    """A template that fails validation is not deployed."""
    status, output, calls = deploy(failing="validate")
    assert status == 1
    assert "Azure refuses the template; nothing was created" in output
    assert not any("deployment sub create" in call for call in calls)


def test_deploy_validates_creates_and_publishes_the_package(deploy: Deploy) -> None:
    """The steps come in order, and what is published is the contents of the package."""
    status, output, calls = deploy()
    assert status == 0, output
    steps = [call.split(" --")[0] for call in calls if call.startswith(("az", "func "))]
    assert steps == [
        "az account show", "az deployment sub validate", "az deployment sub create", "az deployment sub show",
        "func azure functionapp publish func-x",
    ]  # fmt: skip
    published = calls[calls.index("func azure functionapp publish func-x --python --build remote") + 1 :]
    assert published == ["function_app.py", "host.json", "requirements.txt", "shared"]
    assert "https://func-x.example/api/connect/callback" in output


def test_code_only_publishes_to_the_named_app(deploy: Deploy) -> None:
    """Publishing again touches no resource; without a name there is nothing to publish to."""
    status, output, calls = deploy("--code-only", tools=("az", "func"))
    assert status == 1
    assert "AZURE_FUNCTION_NAME is not set" in output
    status, _, calls = deploy("--code-only", tools=("az", "func"), extra={"AZURE_FUNCTION_NAME": "func-y"})
    assert status == 0
    assert "func azure functionapp publish func-y --python --build remote" in calls
    assert not any("deployment" in call for call in calls)


# ------------------------------------------------------------------------------------------------ workflows


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_and_rights_are_given_by_job(path: Path) -> None:
    """A moved tag cannot change what runs, and a job has the rights that it names and no others."""
    source = path.read_text(encoding="utf-8")
    uses = re.findall(r"uses: (.+)", source)
    assert uses
    for action in uses:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action
    assert re.search(r"(?m)^permissions: \{\}$", source)
    jobs = source.partition("\njobs:\n")[2]
    assert (
        len(re.findall(r"(?m)^  [\w-]+:$", jobs)) == jobs.count("    permissions:\n") == jobs.count("timeout-minutes:")
    )
    assert jobs.count("actions/checkout@") == jobs.count("persist-credentials: false")
    assert "secrets." not in source


def test_workflows_run_the_scripts_that_a_person_runs() -> None:
    """CI has no way of its own: make targets and scripts/deploy.sh only."""
    text = {path.stem: path.read_text(encoding="utf-8") for path in WORKFLOWS}
    assert set(text) == {"ci", "deploy"}
    assert {"make setup", "make test", "make package"} <= set(re.findall(r"- run: (.+)", text["ci"]))
    assert re.findall(r"- run: (.+)", text["deploy"]) == ["scripts/deploy.sh --dry-run", "scripts/deploy.sh"]
    assert "pull_request" in text["ci"]
    assert "id-token: write" not in text["ci"]
