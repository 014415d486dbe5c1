"""`scripts/deploy.sh` with stand-ins for its tools: what it asks, in which order, and what stops it."""

import json
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


CLIENT = "11111111-2222-3333-4444-555555555555"
BUDGET: dict[str, object] = {"budgetAmount": 100, "alertEmails": ["a@b.example"]}

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
