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
from datetime import date
from pathlib import Path
from types import ModuleType

import pytest

from shared.ncrontab import ncrontab_fault

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

TODAY = date(2026, 11, 23)
BUDGET: dict[str, object] = {"budgetAmount": 100, "alertEmails": ["a@b.example"]}


def faults(parameters: dict[str, object], *, registers: bool = False, budget_since: str = "") -> dict[str, str]:
    """Return what check_params finds wrong on one day."""
    found: dict[str, str] = check_params.faults(parameters, today=TODAY, registers=registers, budget_since=budget_since)
    return found


# ------------------------------------------------------------------------------------------------ parameters


def test_good_parameters_pass() -> None:
    """A client id is all that is needed, and not even that when the application is registered first."""
    assert faults({"bcClientId": CLIENT}) == {}
    assert faults({"bcClientId": "", "bcTenantId": "", "bcLoginUrl": ""}, registers=True) == {}


def test_a_client_id_beside_the_registration_is_fine() -> None:
    """`azd up` comes again with the client id that its first run stored."""
    assert faults({"bcClientId": CLIENT}, registers=True) == {}


def test_good_values_of_every_kind_pass() -> None:
    """What Azure takes is not refused."""
    assert (
        faults(
            {
                "bcClientId": CLIENT,
                "environmentName": "prod-eu1",
                "resourceGroupName": "rg_business.central-(eu)",
                "operatorPrincipalId": CLIENT,
                "vnetAddressPrefix": "10.40.0.0/26",
                "allowedAddresses": ["203.0.113.0/24", "203.0.113.7/32", "2001:db8::/48"],
                "nameOverrides": {"storageAccount": "stcontoso1", "vault": "kv-a", "tokenVault": "kv-b", "plan": None},
                "tags": {"owner": "team"},
                "storageSku": "Standard_GZRS",
                "zoneRedundant": True,
                "healthTestLocation": "us-va-ash-azr",
                "runbookUrl": "https://wiki.example/runbook",
                "bcEventsTo": "https://contoso.servicebus.windows.net/bc-events",
                "eventsReceiverId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.EventGrid/topics/orders",
                "budgetStartDate": "2026-11-01",
            }
            | BUDGET
        )
        == {}
    )


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
        ("bcEntities", "customers"),
        ("bcEntities", '[{"entitySet": "customers", "pul": true}]'),
        ("bcChanges", "renamed"),
        ("bcPageRows", 20001),
        ("bcEnvironment", "sand box"),
        ("publicUrl", "http://plain.example"),
        ("bcApiUrl", "https://api.example/v2.0"),
        ("alertEmails", ["nobody"]),
        ("budgetAmount", 100),
        ("environmentName", "prod_eu"),
        ("environmentName", "Prod"),
        ("environmentName", "prod-"),
        ("environmentName", "1prod"),
        ("environmentName", "p"),
        ("resourceGroupName", "rg."),
        ("resourceGroupName", "rg prod"),
        ("operatorPrincipalId", "integration-team"),
        ("operatorPrincipalId", "11111111-2222-3333-4444-55555555555"),
        ("vnetAddressPrefix", "10.40.0.0/27"),
        ("vnetAddressPrefix", "10.40.0.1/24"),
        ("vnetAddressPrefix", "10.40.0.0"),
        ("vnetAddressPrefix", "fd00::/24"),
        ("allowedAddresses", ["office"]),
        ("allowedAddresses", ["203.0.113.7"]),
        ("allowedAddresses", ["203.0.113.256/32"]),
        ("allowedAddresses", ["203.0.113.7/24"]),
        ("nameOverrides", {"storageAccount": "St-Contoso"}),
        ("nameOverrides", {"vault": "kv--x"}),
        ("nameOverrides", {"vault": "kv-same", "tokenVault": "kv-same"}),
        ("nameOverrides", {"keyVault": "kv-x"}),
        ("tags", {"costCenter": 4711}),
        ("zoneRedundant", True),
        ("healthTestLocation", "West Europe"),
        ("runbookUrl", "wiki"),
        ("bcEventsTo", "sb://contoso.servicebus.windows.net/bc-events"),
        ("eventsReceiverId", "bc-events"),
        ("eventsReceiverId", "/subscriptions/s/resourceGroups/g/providers/Microsoft.ServiceBus/namespaces/n"),
    ],
)
def test_wrong_parameter_is_named(wrong: str, value: object) -> None:
    """A wrong value is refused under the name of its parameter."""
    assert wrong in faults({"bcClientId": CLIENT, wrong: value})


def test_every_wrong_parameter_is_named_at_once() -> None:
    """One run of the check tells everything that must be corrected."""
    wrong: dict[str, object] = {
        "bcAuthMode": "x",
        "bcCompanies": "",
        "bcItemPullSchedule": "x",
        "alertEmails": ["a@b.example"],
    }
    wrong |= {"budgetAmount": 5, "budgetStartDate": "2026-12-24"}
    found = faults(wrong)
    assert set(found) == {"bcAuthMode", "bcCompanies", "bcItemPullSchedule", "bcClientId", "budgetStartDate"}


@pytest.mark.parametrize(
    ("start", "since", "rule"),
    [
        ("2026-11-01", "", None),
        ("2027-11-01", "", None),
        ("2026-10-01", "", "is past"),
        ("2025-12-01", "", "is past"),
        ("2027-12-01", "", "twelve months"),
        ("2026-12-24", "", "first day"),
        ("2026-13-01", "", "first day"),
        ("", "", "first day"),
        ("2026-02-01", "2026-02-01", None),
        ("2026-11-01", "2026-02-01", "must stay 2026-02-01"),
    ],
)
def test_a_new_budget_begins_now_or_later_and_an_old_one_keeps_its_month(
    start: str, since: str, rule: str | None
) -> None:
    """Azure refuses a budget that begins in the past, and another start for one that is there."""
    found = faults({"bcClientId": CLIENT, "budgetStartDate": start} | BUDGET, budget_since=since)
    assert set(found) == ({"budgetStartDate"} if rule else set())
    assert rule is None or rule in found["budgetStartDate"]


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


def test_the_check_needs_python_and_nothing_else() -> None:
    """The job that deploys, and azd's hook on a fresh machine, have no package installed."""
    document = json.dumps({"parameters": {"bcClientId": {"value": CLIENT}}})
    done = subprocess.run(
        [sys.executable, "-S", str(ROOT / "scripts" / "check_params.py"), "--print"],
        input=document, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(document)


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
        "function_app.py", "host.json", "requirements.txt", "shared/__init__.py", "shared/orders/deep.py",
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
    assert files == ["function_app.py", "host.json", "requirements.txt", "shared/__init__.py", "shared/orders/deep.py"]
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

#: A stand-in for bicep: the values of $PARAMETERS, and what the environment says for the client id.
BICEP_STUB = """#!/bin/sh
echo "bicep $*" >> "$CALLS"
[ -n "$PARAMETERS" ] || { echo "main.bicepparam(3,1) : Error BCP259" >&2; exit 1; }
printf '%s' "$PARAMETERS" | "$PYTHON_HERE" -c '
import json, os, sys
values = json.loads(json.load(sys.stdin)["parametersJson"])["parameters"]
if values["bcClientId"]["value"] == "" and not os.environ.get("LITERAL"):
    values["bcClientId"]["value"] = os.environ.get("BC_CLIENT_ID", "")
print(json.dumps({"parametersJson": json.dumps({"parameters": values})}))'
"""
AZ_STUB = """#!/bin/sh
echo "az $*" >> "$CALLS"
for given in "$@"; do case "$given" in @*) cat "${given#@}" >> "$CALLS.file" ;; esac; done
case "$*" in
  "account show"*) [ -n "$LOGGED_IN" ] && echo "My subscription" || exit 1 ;;
  "deployment sub show"*registration*) echo '{"bC_CLIENT_ID": {"value": "99999999-2222-3333-4444-555555555555"}}' ;;
  "deployment sub show"*) [ "$FAILING" != show ] || exit 1
    echo '{"azurE_FUNCTION_NAME": {"value": "func-x"}, "keY_VAULT_NAME": {"value": "kv-x"},
    "apP_URL": {"value": "https://func-x.example"}, "budgeT_SINCE": {"value": "2026-02-01"},
    "bC_REDIRECT_URI": {"value": "https://func-x.example/api/connect/callback"}}' ;;
  "deployment sub $FAILING"*) exit 1 ;;
esac
"""
FUNC_STUB = """#!/bin/sh
echo "func $*" >> "$CALLS"
ls -A >> "$CALLS"
"""
OTHER_STUB = """#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLS"
"""
CURL_STUB = """#!/bin/sh
echo "curl $*" >> "$CALLS"
if [ "$(grep -c '^curl' "$CALLS")" -ge "$HEALTHY_AT" ]; then printf 200; else printf 404; fi
"""
STUBS = {
    "az": AZ_STUB, "bicep": BICEP_STUB, "func": FUNC_STUB, "curl": CURL_STUB, "azd": OTHER_STUB, "sleep": OTHER_STUB,
}  # fmt: skip
REGISTERED = "99999999-2222-3333-4444-555555555555"

type Deploy = Callable[..., tuple[int, str, list[str]]]


@pytest.fixture
def deploy(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Deploy:
    """Run the deploy script of a copied project with stand-ins for the tools; returns status, output and calls."""
    shutil.rmtree(project / "scripts")
    shutil.copytree(ROOT / "scripts", project / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.rmtree(project / "shared")
    shutil.copytree(ROOT / "shared", project / "shared", ignore=shutil.ignore_patterns("__pycache__"))
    (project / "infra" / "main.bicepparam").write_text("using './main.bicep'\n")
    (project / ".venv" / "bin").mkdir(parents=True)
    python = project / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')  # with the packages of this environment
    python.chmod(stat.S_IRWXU)

    def run(
        *options: str, tools: tuple[str, ...] = ("az", "bicep", "func", "curl"),
        parameters: dict[str, object] | None = None, logged_in: bool = True, failing: str = "none", healthy_at: int = 1,
        extra: dict[str, str] | None = None,
    ) -> tuple[int, str, list[str]]:  # fmt: skip
        folder = tmp_path_factory.mktemp("tools")
        calls = folder / "calls"
        calls.touch()
        for tool in (*tools, "sleep"):
            (folder / tool).write_text(STUBS[tool])
            (folder / tool).chmod(stat.S_IRWXU)
        for tool in ("bash", "sh", "dirname", "basename", "mktemp", "rm", "ls", "cat", "seq", "grep"):
            (folder / tool).symlink_to(shutil.which(tool) or "")
        given = {"environmentName": "dev", "location": "westeurope", "bcClientId": CLIENT} | (parameters or {})
        document = {"parametersJson": json.dumps({"parameters": {k: {"value": v} for k, v in given.items()}})}
        environment = {
            "PATH": str(folder), "CALLS": str(calls), "PARAMETERS": json.dumps(document), "HOME": str(folder),
            "LOGGED_IN": "yes" if logged_in else "", "FAILING": failing, "HEALTHY_AT": str(healthy_at),
            "PYTHON_HERE": sys.executable, **(extra or {}),
        }  # fmt: skip
        done = subprocess.run(
            ["bash", str(project / "scripts" / "deploy.sh"), *options],
            env=environment, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        sent = folder / "calls.file"
        files = sent.read_text().splitlines() if sent.exists() else []
        return done.returncode, done.stdout + done.stderr, calls.read_text().splitlines() + files

    return run


def steps(calls: list[str]) -> list[str]:
    """Return the calls of az, azd and func without their options."""
    return [call.split(" --")[0] for call in calls if call.startswith(("az ", "azd ", "func "))]


@pytest.mark.parametrize(
    ("options", "tools", "line"),
    [
        ((), ("bicep", "func", "curl"), "deploy: az is missing: install"),
        ((), ("az", "bicep", "curl"), "deploy: func is missing: install"),
        ((), ("az", "bicep", "func"), "deploy: curl is missing"),
        (("--dry-run",), ("bicep",), "deploy: az is missing: install"),
        (("--register",), ("bicep",), "deploy: az is missing: install"),
        (("--check",), (), "parameters: bicep is missing: run 'az bicep install'"),
        (
            ("--params", "infra/nowhere.bicepparam"),
            ("az", "bicep", "func", "curl"),
            "parameters: no parameter file infra/nowhere.bicepparam",
        ),
        (("--package", "nowhere.zip"), ("az", "bicep", "func", "curl"), "deploy: no package nowhere.zip"),
        (("--fast",), ("az", "bicep", "func", "curl"), "deploy: unknown option --fast"),
    ],
)
def test_what_is_missing_is_one_clear_line(
    deploy: Deploy, options: tuple[str, ...], tools: tuple[str, ...], line: str
) -> None:
    """The script says which tool or file is missing and how to get it, and calls nothing."""
    status, output, calls = deploy(*options, tools=tools)
    assert status == 1
    assert output.startswith(line)
    assert calls == []


def test_bicep_of_the_azure_cli_will_do(deploy: Deploy) -> None:
    """Without bicep on PATH the one inside the Azure CLI compiles the parameters."""
    _, _, calls = deploy("--check", tools=("az", "func"))
    assert calls == ["az bicep version", "az bicep build-params --stdout --file infra/main.bicepparam"]


def test_bicep_of_azd_will_do(deploy: Deploy, tmp_path: Path) -> None:
    """Azd brings a compiler of its own, which is on no PATH."""
    (tmp_path / "azd" / "bin").mkdir(parents=True)
    (tmp_path / "azd" / "bin" / "bicep").write_text(BICEP_STUB)
    (tmp_path / "azd" / "bin" / "bicep").chmod(stat.S_IRWXU)
    status, _, calls = deploy("--check", tools=(), extra={"AZD_CONFIG_DIR": str(tmp_path / "azd")})
    assert status == 0
    assert calls == ["bicep build-params --stdout infra/main.bicepparam"]


def test_a_file_that_does_not_compile_creates_nothing(deploy: Deploy) -> None:
    """The compiler's own words are shown."""
    status, output, calls = deploy(extra={"PARAMETERS": ""})
    assert status == 1
    assert "BCP259" in output
    assert "nothing was created" in output
    assert steps(calls) == []


@pytest.mark.parametrize(
    ("name", "value"), [("bcAuthMode", "password"), ("bcItemPullSchedule", "hourly"), ("bcCompanies", "")]
)
def test_wrong_parameters_create_nothing(deploy: Deploy, name: str, value: str) -> None:
    """A wrong auth mode, schedule or company list is refused before Azure is asked for anything."""
    status, output, calls = deploy(parameters={name: value})
    assert status == 1
    assert f"wrong parameter {name}: " in output
    assert "nothing was created" in output
    assert steps(calls) == []


def test_a_missing_login_creates_nothing(deploy: Deploy) -> None:
    """Without a login the script says so and stops."""
    status, output, calls = deploy(logged_in=False)
    assert status == 1
    assert "deploy: not logged in: run 'az login'" in output
    assert not any("deployment" in call for call in calls)


def test_dry_run_asks_what_would_change_and_stops(deploy: Deploy) -> None:
    """A dry run makes a what-if and no deployment, needs no Core Tools and no right to write."""
    status, _, calls = deploy("--dry-run", tools=("az", "bicep"))
    assert status == 0
    assert steps(calls) == ["az account show", "az deployment sub what-if"]
    assert calls[-1].endswith("--validation-level providerNoRbac")


def test_what_azure_refuses_is_not_created(deploy: Deploy) -> None:
    """A template that fails validation is not deployed."""
    status, output, calls = deploy(failing="validate")
    assert status == 1
    assert "Azure refuses the template; nothing was created" in output
    assert not any("deployment sub create" in call for call in calls)


def test_deploy_validates_creates_publishes_and_asks_whether_it_runs(deploy: Deploy) -> None:
    """The steps come in order, what is published is the contents of the package, and the app answers in the end."""
    status, output, calls = deploy(healthy_at=3)
    assert status == 0, output
    assert steps(calls) == [
        "az account show", "az deployment sub validate", "az deployment sub create", "az deployment sub show",
        "func azure functionapp publish func-x",
    ]  # fmt: skip
    first = calls.index("func azure functionapp publish func-x --python --build remote") + 1
    published = calls[first : first + 4]
    assert published == ["function_app.py", "host.json", "requirements.txt", "shared"]
    asked = [call.split()[-1] for call in calls if call.startswith("curl")]
    assert asked == ["https://func-x.example/api/health"] * 3
    assert "https://func-x.example/api/connect/callback" in output


def test_code_that_cannot_be_imported_is_a_failed_deployment(deploy: Deploy) -> None:
    """The host runs without functions and says 200 at /; only /api/health tells, and it is asked long enough."""
    status, output, calls = deploy(healthy_at=99)
    assert status == 1
    assert "/api/health answers 404" in output
    assert len([call for call in calls if call.startswith("curl")]) == 30


def test_a_restricted_site_is_not_asked(deploy: Deploy) -> None:
    """A site that lets Business Central in only would answer 403 to the pipeline."""
    status, output, calls = deploy(parameters={"restrictToBusinessCentral": True}, healthy_at=99)
    assert status == 0
    assert "the site is restricted" in output
    assert not any(call.startswith("curl") for call in calls)


def test_code_only_publishes_to_the_named_app(deploy: Deploy) -> None:
    """Publishing again touches no resource; without a name there is nothing to publish to."""
    status, output, calls = deploy("--code-only", tools=("az", "func", "curl"))
    assert status == 1
    assert "AZURE_FUNCTION_NAME is not set" in output
    named = {"AZURE_FUNCTION_NAME": "func-y"}
    status, _, calls = deploy("--code-only", tools=("az", "func", "curl"), extra=named)
    assert status == 0
    assert "func azure functionapp publish func-y --python --build remote" in calls
    assert not any("deployment" in call for call in calls)
    assert [call.split()[-1] for call in calls if call.startswith("curl")] == [
        "https://func-y.azurewebsites.net/api/health"
    ]


def test_a_package_built_elsewhere_is_published_as_it_is(deploy: Deploy, tmp_path: Path) -> None:
    """The job that may deploy builds nothing."""
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        archive.writestr("function_app.py", "built elsewhere")
    status, _, calls = deploy("--package", str(tmp_path / "app.zip"))
    assert status == 0
    first = calls.index("func azure functionapp publish func-x --python --build remote") + 1
    assert calls[first] == "function_app.py"
    assert calls[first + 1].startswith("curl")


# -- the registration

ENTRA = {"ENTRA_APP_ENABLED": "true"}


def test_registration_takes_its_parameters_from_the_same_file(deploy: Deploy) -> None:
    """Names, tags and mode are those of the resources; nothing else is sent, and nothing else is deployed."""
    given = {"bcClientId": "", "bcAuthMode": "managed_identity", "tags": {"owner": "team"}}
    status, output, calls = deploy("--register", tools=("az", "bicep"), parameters=given)
    assert status == 0, output
    assert steps(calls) == ["az account show", "az deployment sub create", "az deployment sub show"]
    assert "--template-file infra/registration.bicep" in calls[2]
    assert "grantAdminConsent=false" in calls[2]
    sent = json.loads(calls[-1])["parameters"]
    assert sent == {
        "environmentName": {"value": "dev"}, "location": {"value": "westeurope"},
        "bcAuthMode": {"value": "managed_identity"}, "tags": {"value": {"owner": "team"}},
    }  # fmt: skip
    assert f"client id: {REGISTERED}" in output


def test_first_deployment_registers_and_uses_the_client_id(deploy: Deploy) -> None:
    """One command does both."""
    status, output, calls = deploy(parameters={"bcClientId": ""}, extra=ENTRA)
    assert status == 0, output
    assert [call for call in steps(calls) if "create" in call] == ["az deployment sub create"] * 2


def test_second_deployment_registers_nothing(deploy: Deploy) -> None:
    """With a client id the registration is there; azd hands it on from its first run."""
    for options in ((), ("--azd",)):
        status, output, calls = deploy(*options, tools=("az", "azd", "bicep", "func", "curl"), extra=ENTRA)
        assert status == 0, output
        assert not any("registration" in call for call in calls)


def test_azd_hook_registers_once_and_gives_azd_the_client_id(deploy: Deploy) -> None:
    """`azd up` reads the environment again after the hook."""
    tools = ("az", "azd", "bicep")
    status, output, calls = deploy("--azd", tools=tools, parameters={"bcClientId": ""}, extra=ENTRA)
    assert status == 0, output
    assert f"azd env set BC_CLIENT_ID {REGISTERED}" in calls
    assert not any("what-if" in call or "bc-connect-dev" in call for call in calls)


def test_azd_hook_needs_no_azure_cli_without_a_registration(deploy: Deploy) -> None:
    """The check alone asks for nothing but a compiler."""
    status, output, calls = deploy("--azd", tools=("bicep",))
    assert status == 0, output
    assert [call.split()[0] for call in calls] == ["bicep"]


def test_dry_run_before_the_registration_shows_the_rest(deploy: Deploy) -> None:
    """A what-if needs a client id: any will do, and nothing is registered."""
    status, output, calls = deploy("--dry-run", tools=("az", "bicep"), parameters={"bcClientId": ""}, extra=ENTRA)
    assert status == 0, output
    assert steps(calls) == ["az account show", "az deployment sub what-if"]
    assert "would be registered" in output


def test_a_file_that_does_not_take_the_new_client_id_is_said(deploy: Deploy) -> None:
    """A literal in a parameter file wins over the environment: it must be written there."""
    extra = ENTRA | {"LITERAL": "yes"}
    status, output, calls = deploy(parameters={"bcClientId": ""}, extra=extra)
    assert status == 1
    assert f"write bcClientId = '{REGISTERED}' into infra/main.bicepparam" in output
    assert not any("bc-connect-dev" in call for call in calls)


# -- the budget

OLD_BUDGET: dict[str, object] = BUDGET | {"budgetStartDate": "2026-02-01"}


def test_a_budget_that_is_there_may_have_begun_in_the_past(deploy: Deploy) -> None:
    """The month of a budget never changes: the last deployment tells since when it is there."""
    status, output, _ = deploy("--dry-run", tools=("az", "bicep"), parameters=OLD_BUDGET)
    assert status == 0, output
    assert "wrong parameter" not in output


@pytest.mark.parametrize("options", [("--check",), ("--azd",), ("--dry-run",)])
def test_a_new_budget_may_not(deploy: Deploy, options: tuple[str, ...]) -> None:
    """Without an earlier deployment the start is refused."""
    status, output, _ = deploy(*options, tools=("az", "bicep"), parameters=OLD_BUDGET, failing="show")
    assert status == 1
    assert "wrong parameter budgetStartDate: is past" in output


def test_azd_hands_the_month_of_the_budget_on(deploy: Deploy) -> None:
    """Azd gives the outputs of its last deployment to the hook as environment."""
    status, output, _ = deploy("--azd", parameters=OLD_BUDGET, extra={"BUDGET_SINCE": "2026-02-01"})
    assert status == 0, output


def test_the_hook_has_a_part_for_windows() -> None:
    """A hook with a part for POSIX alone is an error of azd on Windows."""
    source = (ROOT / "azure.yaml").read_text(encoding="utf-8")
    hook = source.partition("  preprovision:\n")[2].partition("services:")[0]
    found = re.findall(r"(?m)^    (\w+):\n      shell: (\w+)\n      run: (\S+)", hook)
    assert [(system, shell) for system, shell, _ in found] == [("posix", "sh"), ("windows", "pwsh")]
    for _, _, command in found:
        assert (ROOT / command).is_file()
    assert re.search(r'requiredVersions:\n  azd: ">= \d+\.\d+\.\d+"', source)


# ------------------------------------------------------------------------------------------------ workflows


def jobs_of(path: Path) -> dict[str, str]:
    """Return job -> its text."""
    parts = re.split(r"(?m)^  ([\w-]+):\n", path.read_text(encoding="utf-8").partition("\njobs:\n")[2])
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_and_rights_are_given_by_job(path: Path) -> None:
    """A moved tag cannot change what runs, and a job has the rights that it names and no others."""
    source = path.read_text(encoding="utf-8")
    uses = [action for action in re.findall(r"uses: (.+)", source) if action != "./.github/workflows/ci.yml"]
    assert uses
    for action in uses:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action
    assert re.search(r"(?m)^permissions: \{\}$", source)
    for name, job in jobs_of(path).items():
        assert job.count("    permissions:\n") == 1, name
        assert "    timeout-minutes: " in job or "uses: ./.github/workflows/ci.yml" in job, name
    assert source.count("actions/checkout@") == source.count("persist-credentials: false")
    assert "secrets." not in source


def test_the_same_tools_are_used_everywhere_in_one_version() -> None:
    """What was checked with one compiler is not deployed with another."""
    source = "".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    assert source.count("az bicep install") == source.count("az bicep install --version v0.49.2") == 3
    assert re.search(r"npm install --global azure-functions-core-tools@\d+\.\d+\.\d+\n", source)


def test_workflows_run_the_scripts_that_a_person_runs() -> None:
    """CI has no way of its own: make targets and scripts/deploy.sh only."""
    text = {path.stem: path.read_text(encoding="utf-8") for path in WORKFLOWS}
    assert set(text) == {"ci", "deploy"}
    assert {"make setup", "make test", "make package"} <= set(re.findall(r"- run: (.+)", text["ci"]))
    assert re.findall(r"(?m)run: (scripts/deploy.sh .+?)(?: \|.*)?$", text["deploy"]) == [
        'scripts/deploy.sh --dry-run --params "$PARAMETERS"',
        'scripts/deploy.sh --params "$PARAMETERS" --package dist/app.zip',
    ]
    assert "pull_request" in text["ci"]
    assert "id-token: write" not in text["ci"]


def test_nothing_is_deployed_before_it_is_tested_and_shown() -> None:
    """The checks come first, then the what-if, then the deployment; only the last two may log in, each as itself."""
    ci, deploy = (next(path for path in WORKFLOWS if path.stem == stem) for stem in ("ci", "deploy"))
    jobs = jobs_of(deploy)
    assert list(jobs) == ["ci", "what-if", "deploy"]
    assert "uses: ./.github/workflows/ci.yml" in jobs["ci"]
    assert "  workflow_call:\n" in ci.read_text(encoding="utf-8")
    assert "    needs: ci\n" in jobs["what-if"]
    assert "    needs: what-if\n" in jobs["deploy"]
    assert [name for name, job in jobs.items() if "id-token: write" in job] == ["what-if", "deploy"]
    assert "    environment: plan\n" in jobs["what-if"]
    assert "    environment: production\n" in jobs["deploy"]
    assert 'tee -a "$GITHUB_STEP_SUMMARY"' in jobs["what-if"]
    assert "shell: bash" in jobs["what-if"], "the default shell would hide a failed what-if behind tee"


def test_the_pipeline_deploys_the_parameter_file_of_its_environment() -> None:
    """No parameter comes from the workflow: a default there would undo what the file chose (network, replication)."""
    source = next(path for path in WORKFLOWS if path.stem == "deploy").read_text(encoding="utf-8")
    (environment,) = re.findall(r"(?ms)^env:\n(.*?)\n\n", source)
    assert environment == "  PARAMETERS: infra/${{ vars.AZURE_ENV_NAME || 'prod' }}.bicepparam"
    assert "BC_" not in source


def test_pinned_actions_are_kept_fresh() -> None:
    """A pinned commit gets its security fixes by Dependabot."""
    source = (ROOT / ".github" / "dependabot.yml").read_text(encoding="utf-8")
    assert "package-ecosystem: github-actions" in source
    assert "directory: /" in source
