"""The template in infra/ agrees with the code, and keeps to what a platform engineer would ask of it."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from shared import resource_names
from shared.connections.settings_reader import DEFAULTS
from shared.settings import AuthMode
from tests.app import bicep_reading as bicep

TYPES = bicep.INFRA / "modules" / "types.bicep"
APP = bicep.INFRA / "modules" / "app.bicep"
MAIN = bicep.INFRA / "main.bicep"
ALL_TEXT = {path: bicep.text(path) for path in bicep.SOURCES}

#: Settings of the host, not of the app; the identity form stands for the plain AzureWebJobsStorage.
HOST_SETTINGS = {
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__clientId",
    "AzureWebJobsStorage__blobServiceUri",
    "AzureWebJobsStorage__queueServiceUri",
    "AzureWebJobsStorage__tableServiceUri",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "PYTHON_THREADPOOL_THREAD_COUNT",
}
#: Settings that Azure does not get: the plain connection string, and the CA of the local stack, unset in Azure.
NOT_IN_AZURE = {"AzureWebJobsStorage", "CA_BUNDLE"}

#: Built-in roles as Microsoft lists them.
ROLES = {
    "Storage Blob Data Owner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "Storage Blob Data Reader": "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
    "Storage Queue Data Contributor": "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
    "Storage Table Data Contributor": "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
    "Storage Table Data Reader": "76199698-9eea-4c19-bc75-cec21354c6b6",
    "Key Vault Secrets Officer": "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
    "Monitoring Metrics Publisher": "3913510d-42f4-4e42-8a64-420c390055eb",
}
#: Permissions of Dynamics 365 Business Central in Entra ID.
BC_PERMISSIONS = {
    "user_impersonation": "bce0976a-cb0b-473b-8800-84eda9f8e447",
    "Financials.ReadWrite.All": "2fb13c28-9d89-417f-9af2-ec3065bc16e6",
    "API.ReadWrite.All": "a42b0b75-311e-488d-b67e-8fe84f924341",
}
#: Flex Consumption refuses or ignores these.
NOT_FOR_FLEX = (
    "FUNCTIONS_WORKER_RUNTIME",
    "FUNCTIONS_EXTENSION_VERSION",
    "WEBSITE_RUN_FROM_PACKAGE",
    "WEBSITE_CONTENTSHARE",
    "WEBSITE_CONTENTAZUREFILECONNECTIONSTRING",
    "SCM_DO_BUILD_DURING_DEPLOYMENT",
    "ENABLE_ORYX_BUILD",
    "linuxFxVersion",
    "alwaysOn",
)


def declared(key: str) -> bicep.Declaration:
    """Return the one declaration with this `<file>.<symbol>` name."""
    (found,) = [entry for entry in bicep.declarations() if entry.key == key]
    return found


def parameter_name(setting: str) -> str:
    """BC_PAGE_ROWS -> bcPageRows."""
    first, *rest = setting.lower().split("_")
    return first + "".join(part.capitalize() for part in rest)


def test_app_settings_are_exactly_those_the_code_reads() -> None:
    """The template sets every setting that the code reads, and none that nobody reads."""
    settings = bicep.keys(bicep.variable(APP, "settings"))
    assert len(settings) == len(set(settings))
    assert set(settings) == (set(DEFAULTS) - NOT_IN_AZURE) | HOST_SETTINGS
    assert not set(NOT_FOR_FLEX) & set(settings)


def test_parameter_defaults_are_the_defaults_of_the_code() -> None:
    """A parameter that is not given means what the same setting means when it is not set."""
    parameters = bicep.parameters(MAIN)
    for setting, default in DEFAULTS.items():
        if setting in NOT_IN_AZURE | {"KEY_VAULT_URL"}:
            continue
        _, rest = parameters[parameter_name(setting)]
        value = rest.partition(" = ")[2]
        if setting == "BC_LOGIN_URL":
            assert value == "environment().authentication.loginEndpoint"
        else:
            assert value.strip("'") == (default or ""), setting


def test_every_setting_takes_its_own_parameter() -> None:
    """No two settings are swapped on the way from main.bicep to the app."""
    passed = dict(re.findall(r"(?m)^      (\w+): (.+)$", bicep.block(ALL_TEXT[MAIN], ALL_TEXT[MAIN].index("bc: {"))))
    settings = bicep.variable(APP, "settings")
    for setting in sorted(set(DEFAULTS) - NOT_IN_AZURE - {"KEY_VAULT_URL"}):
        name = parameter_name(setting)
        if name == "bcClientId":
            assert "BC_CLIENT_ID: bcClientId" in settings
            continue
        field = name.removeprefix("bc")
        field = field[0].lower() + field[1:]
        assert re.search(rf"\b{name}\b", passed[field]), field
        assert re.search(rf"(?m)^\s*{setting}: .*\bbc\.{field}\b", settings), setting


def test_parameter_file_reads_each_setting_under_its_own_name() -> None:
    """`export BC_PAGE_ROWS=...` reaches bcPageRows, with the code's default where it is not set."""
    source = (bicep.INFRA / "main.bicepparam").read_text(encoding="utf-8")
    fixed = NOT_IN_AZURE | {"KEY_VAULT_URL", "BC_API_URL", "BC_LOGIN_URL"}
    for setting, default in DEFAULTS.items():
        if setting not in fixed:
            pattern = (
                rf"(?m)^param {parameter_name(setting)} = \w*\(?readEnvironmentVariable\('{setting}', '(.*)'\)\)?$"
            )
            match = re.search(pattern, source)
            assert match, setting
            assert match[1] == (default or ""), setting


def test_auth_modes_are_those_of_the_code() -> None:
    """An unknown auth mode is refused by the template itself."""
    line = re.search(r"(?m)^type authModeType = (.*)$", ALL_TEXT[TYPES])
    assert line
    assert bicep.strings(line[1]) == [mode.value for mode in AuthMode]
    assert bicep.parameters(MAIN)["bcAuthMode"][1].startswith("authModeType")


@pytest.mark.parametrize("name", ["bcCompanies", "bcEnvironment", "bcTriggers", "bcChanges", "publicUrl", "bcApiUrl"])
def test_empty_text_is_refused(name: str) -> None:
    """An empty company list and the like is refused by the template itself."""
    length = re.search(r"@minLength\((\d+)\)", bicep.parameters(MAIN)[name][0])
    assert length
    assert int(length[1]) >= 1


def test_schedules_have_a_least_length() -> None:
    """A schedule shorter than six fields cannot pass; the rest is checked by scripts/check_params.py."""
    assert re.search(r"@minLength\(11\)\s*@maxLength\(\d+\)\s*type scheduleType = string", ALL_TEXT[TYPES])
    for name in ("bcItemPullSchedule", "bcReconcileSchedule", "bcSubscriptionSchedule"):
        assert bicep.parameters(MAIN)[name][1].startswith("scheduleType"), name


def test_queues_tables_and_containers_are_those_of_the_code() -> None:
    """What the code names exists after the deployment, under the same names, and nothing else."""
    assert bicep.strings(bicep.variable(TYPES, "workQueueNames")) == list(resource_names.WORK_QUEUES)
    assert set(bicep.strings(bicep.variable(TYPES, "outputQueueNames"))) == {
        resource_names.QUEUE_RESULTS,
        resource_names.QUEUE_EVENTS,
    }
    assert bicep.strings(bicep.variable(TYPES, "tableNames")) == list(resource_names.TABLES)
    assert bicep.strings(bicep.variable(TYPES, "dataContainerName")) == [resource_names.CONTAINER]


def test_every_work_queue_has_its_poison_twin() -> None:
    """The queue of failed messages exists before the first message fails."""
    storage = bicep.INFRA / "modules" / "storage.bicep"
    assert bicep.variable(storage, "poisonQueueNames") == "map(workQueueNames, queue => '${queue}-poison')"
    assert bicep.variable(storage, "queueNames") == "concat(workQueueNames, poisonQueueNames, outputQueueNames)"
    for symbol, source, name in (
        ("queues", "for queue in queueNames:", "name: queue"),
        ("tables", "for table in tableNames:", "name: table"),
        ("containers", "for container in [dataContainerName, packageContainerName]:", "name: container"),
    ):
        body = declared(f"storage.{symbol}").body
        assert source in body
        assert name in body


def test_old_event_batches_are_cleared_away_and_nothing_else() -> None:
    """The lifecycle rule is limited to the data container; package and host state stay."""
    body = declared("storage.lifecycle").body
    assert "prefixMatch: ['${dataContainerName}/']" in body
    assert body.count("delete: {") == 1
    assert "enabled: true" in body


def test_role_ids_are_those_of_their_names() -> None:
    """A role id cannot be mistaken for another: each is compared with a literal table."""
    table = bicep.variable(TYPES, "roleIds")
    found = dict(re.findall(r"(\w+): '([0-9a-f-]{36})'", table))
    expected = {name[0].lower() + name[1:].replace(" ", ""): role for name, role in ROLES.items()}
    assert found == expected
    used = set(re.findall(r"'((?:storage|keyVault|monitoring)[A-Z]\w+)'", ALL_TEXT[bicep.INFRA / "resources.bicep"]))
    assert used == set(expected)


def test_business_central_permissions_have_their_ids() -> None:
    """The registration asks for Business Central's permissions and for no others."""
    entra = ALL_TEXT[bicep.INFRA / "modules" / "entra.bicep"]
    found = dict(re.findall(r"(?m)^\s+'?([\w.]+)'?: '([0-9a-f-]{36})'$", entra))
    assert found == BC_PERMISSIONS
    assert "var businessCentralAppId = '996def3d-b36c-4153-8607-a6fd3c01b89f'" in entra


def test_the_app_gets_its_roles_at_resources_and_no_owner_role() -> None:
    """Assignments are at the storage account, the vault and the component, never at the group or the subscription."""
    assignments = [entry for entry in bicep.declarations() if "roleAssignments@" in entry.kind]
    assert {entry.symbol for entry in assignments} == {"storageAssignments", "vaultAssignments", "componentAssignments"}
    for entry in assignments:
        scope = re.search(r"scope: (\w+)", entry.body)
        assert scope
        assert declared(f"access.{scope[1]}").existing
        assert f"name: guid({scope[1]}.id, principalId, roleIds[role])" in entry.body
    app_access = declared("resources.access").body
    roles = {name for name in ROLES if f"'{name[0].lower() + name[1:].replace(' ', '')}'" in app_access}
    assert roles == {
        "Storage Blob Data Owner",
        "Storage Queue Data Contributor",
        "Storage Table Data Contributor",
        "Key Vault Secrets Officer",
        "Monitoring Metrics Publisher",
    }


def test_no_key_and_no_secret_is_anywhere() -> None:
    """Nothing lists keys, no parameter or output holds a secret, no secret's value is deployed."""
    for path, source in ALL_TEXT.items():
        assert not re.search(r"\blist\w*\(|AccountKey|SharedAccessKey|newGuid\(|utcNow\(|\bany\(", source), path.name
        assert not re.search(r"(?im)^(param|output) \w*(password|secret|connectionstring|accesskey)\w* ", source), (
            path.name
        )
        assert "vaults/secrets" not in source, path.name


def test_doors_are_closed() -> None:
    """Keys, public blobs, old TLS, plain HTTP, FTP and basic publishing are off; the vault keeps deleted values."""
    account = declared("storage.account").body
    for line in (
        "allowSharedKeyAccess: false",
        "allowBlobPublicAccess: false",
        "allowCrossTenantReplication: false",
        "minimumTlsVersion: 'TLS1_2'",
        "supportsHttpsTrafficOnly: true",
    ):
        assert line in account
    vault = declared("vault.vault").body
    assert "enableRbacAuthorization: true" in vault
    assert "enablePurgeProtection: purgeProtection ? true : null" in vault
    assert bicep.parameters(MAIN)["vaultPurgeProtection"][1] == "bool = true"
    site = declared("app.site").body
    for line in ("httpsOnly: true", "ftpsState: 'Disabled'", "minTlsVersion: '1.2'", "type: 'UserAssignedIdentity'"):
        assert line in site
    publishing = declared("app.basicPublishing").body
    assert "['ftp', 'scm']" in publishing
    assert "allow: false" in publishing
    assert "DisableLocalAuth: true" in declared("monitoring.component").body


def test_the_app_is_flex_consumption_with_the_python_of_the_project() -> None:
    """Runtime, plan and settings belong to Flex Consumption; the Python version is the project's."""
    site = declared("app.site").body
    version = (bicep.ROOT / ".python-version").read_text(encoding="utf-8").strip()
    assert "name: 'python'" in site
    assert f"version: '{version}'" in site
    assert "name: 'FC1'" in declared("app.plan").body
    assert not any(word in ALL_TEXT[APP] for word in NOT_FOR_FLEX)


def test_the_app_starts_after_its_roles() -> None:
    """The app depends on the role assignments by name: nothing else would make it wait."""
    assert re.search(r"dependsOn: \[\s*access\s*\]", declared("resources.app").body)


def test_redirect_uri_is_the_callback_route() -> None:
    """The registration returns to the route of the app, at the public URL."""
    resources = ALL_TEXT[bicep.INFRA / "resources.bicep"]
    assert "var redirectUri = '${publicOrigin}/api/connect/callback'" in resources
    assert "redirectUri: redirectUri" in declared("resources.entra").body
    assert "redirectUris: [redirectUri]" in declared("entra.application").body


def test_queue_concurrency_fits_the_threads() -> None:
    """No message is locked while it waits for a thread: host.json lets through no more than there are threads."""
    host_file = bicep.ROOT / "host.json"
    if not host_file.is_file():
        pytest.skip("host.json is not there yet")
    queues = json.loads(host_file.read_text(encoding="utf-8"))["extensions"]["queues"]
    threads = int(bicep.parameters(MAIN)["httpConcurrency"][1].rpartition("= ")[2])
    assert queues["batchSize"] + queues["newBatchThreshold"] <= threads


def test_every_parameter_output_and_type_is_described() -> None:
    """Whoever fills in a parameter file needs no other document."""
    for path, source in ALL_TEXT.items():
        for decorators, kind, name in re.findall(r"(?m)^((?:@.*\n)*)(param|output|type|var) (\w+)", source):
            if kind != "var" or "@export()" in decorators:
                assert "@description('" in decorators, f"{path.name}: {name}"


def test_every_resource_is_in_the_document_and_nothing_else() -> None:
    """docs/resources.md names exactly the resources and modules of the template."""
    page = (bicep.ROOT / "docs" / "resources.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"(?m)^\| `(\w+\.\w+)` \|", page))
    assert listed == {entry.key for entry in bicep.declarations() if not entry.existing}


def test_azd_finds_template_and_app() -> None:
    """The service in azure.yaml is the one that the app is tagged with; the folder and module exist."""
    source = (bicep.ROOT / "azure.yaml").read_text(encoding="utf-8")
    service = re.search(r"(?m)^services:\n  (\w+):$", source)
    assert service
    assert f"'azd-service-name': '{service[1]}'" in declared("app.site").body
    assert f"output SERVICE_{service[1].upper()}_NAME string" in ALL_TEXT[MAIN]
    assert "path: infra\n  module: main\n" in source


def test_linter_rules_are_errors() -> None:
    """bicepconfig.json turns findings into errors; only the age of API versions warns, as newest is not safest."""
    rules = json.loads((bicep.ROOT / "bicepconfig.json").read_text(encoding="utf-8"))["analyzers"]["core"]["rules"]
    levels = {name: rule["level"] for name, rule in rules.items()}
    assert levels.pop("use-recent-api-versions") == "warning"
    assert set(levels.values()) == {"error"}
    assert {"outputs-should-not-contain-secrets", "secure-secrets-in-params", "no-unused-params"} <= set(levels)


@pytest.mark.skipif(not shutil.which("bicep"), reason="bicep is not on PATH")
@pytest.mark.parametrize("command", ["build", "lint"])
@pytest.mark.parametrize("source", [MAIN, bicep.INFRA / "resources.bicep"], ids=lambda path: path.stem)
def test_bicep_compiles_and_lints(command: str, source: Path, tmp_path: Path) -> None:
    """The compiler and its linter accept the template."""
    output = ["--outfile", str(tmp_path / "out.json")] if command == "build" else []
    done = subprocess.run(["bicep", command, str(source), *output], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not shutil.which("bicep"), reason="bicep is not on PATH")
@pytest.mark.parametrize("name", ["main.bicepparam", "prod.example.bicepparam"])
def test_bicep_accepts_the_parameter_files(name: str, tmp_path: Path) -> None:
    """Both parameter files can be read with no environment variable set."""
    command = ["bicep", "build-params", str(bicep.INFRA / name), "--outfile", str(tmp_path / "out.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
