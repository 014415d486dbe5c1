"""The template in infra/ agrees with the code, and keeps to what a platform engineer would ask of it."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from shared import resource_names
from tests.app import bicep_reading as bicep
from tests.app.bicep_reading import ALL_TEXT, APP, MAIN, NOT_FOR_FLEX, REGISTRATION, TYPES, declared

#: Built-in roles as Microsoft lists them.
ROLES = {
    "Storage Blob Data Owner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "Storage Blob Data Reader": "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
    "Storage Queue Data Contributor": "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
    "Storage Table Data Contributor": "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
    "Storage Table Data Reader": "76199698-9eea-4c19-bc75-cec21354c6b6",
    "Key Vault Secrets Officer": "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
    "Monitoring Metrics Publisher": "3913510d-42f4-4e42-8a64-420c390055eb",
    "EventGrid Data Sender": "d5a91429-5739-47e2-a06b-3470a27159e7",
    "Azure Service Bus Data Sender": "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39",
}


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


def test_a_claim_check_lives_as_long_as_its_message_and_a_week() -> None:
    """A message lives seven days in a queue; a blob that it refers to must be there until then, and then goes."""
    for path in (MAIN, bicep.INFRA / "resources.bicep"):
        decorators, rest = bicep.parameters(path)["batchRetentionInDays"]
        assert "@minValue(14)" in decorators
        assert rest == "int = 14"


def test_the_account_is_locked_where_that_is_asked_for() -> None:
    """Only its deletion is forbidden: a read-only lock would stop listing keys, and deployments with it."""
    body = declared("storage.lock").body
    assert "= if (isLocked) {" in ALL_TEXT[bicep.INFRA / "modules" / "storage.bicep"]
    assert "level: 'CanNotDelete'" in body
    assert "scope: account" in body
    assert bicep.parameters(MAIN)["storageLock"][1] == "bool = false"


def test_old_claim_checks_are_cleared_away_and_nothing_else() -> None:
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
    used |= set(re.findall(r"roleIds\.(\w+)", ALL_TEXT[bicep.INFRA / "modules" / "receiver_access.bicep"]))
    assert used == set(expected)


def test_the_app_may_send_to_its_receiver_and_no_more() -> None:
    """One role, at the topic or queue itself, whichever kind the id names; nothing where there is none."""
    source = ALL_TEXT[bicep.INFRA / "modules" / "receiver_access.bicep"]
    assert source.count("Microsoft.Authorization/roleAssignments@") == 4
    for symbol, scope, role in (
        ("topicSender", "topic", "eventGridDataSender"),
        ("namespaceSender", "grid", "eventGridDataSender"),
        ("busQueueSender", "busQueue", "azureServiceBusDataSender"),
        ("busTopicSender", "busTopic", "azureServiceBusDataSender"),
    ):
        body = declared(f"receiver_access.{symbol}").body
        assert f"scope: {scope}\n" in body
        assert declared(f"receiver_access.{scope}").existing
        assert f"roleIds.{role})" in body
    assert "= if (!empty(eventsReceiverId)) {" in ALL_TEXT[bicep.INFRA / "resources.bicep"]


def test_the_app_gets_its_roles_at_resources_and_no_owner_role() -> None:
    """Assignments are at the storage account, the vault and the component, never at the group or the subscription."""
    assignments = [each for each in bicep.declarations() if "roleAssignments@" in each.kind and each.file == "access"]
    assert {entry.symbol for entry in assignments} == {"storageAssignments", "vaultAssignments", "componentAssignments"}
    for entry in assignments:
        scope = re.search(r"scope: (\w+)", entry.body)
        assert scope
        assert declared(f"access.{scope[1]}").existing
        assert re.search(rf"name: guid\({scope[1]}(\[i\])?\.id, principalId, roleIds\[(role|vaultRole)\]\)", entry.body)
    app_access = declared("resources.access").body
    roles = {name for name in ROLES if f"'{name[0].lower() + name[1:].replace(' ', '')}'" in app_access}
    assert roles == {
        "Storage Blob Data Owner",
        "Storage Queue Data Contributor",
        "Storage Table Data Contributor",
        "Key Vault Secrets Officer",
        "Monitoring Metrics Publisher",
    }


def test_operators_reach_no_token_cache() -> None:
    """Who sets the client secret could otherwise read the refresh token of whoever logged in."""
    assert "vaultNames: [vaultName, tokenVaultName]" in declared("resources.access").body
    assert "vaultNames: [vaultName]" in declared("resources.operatorAccess").body
    settings = bicep.variable(APP, "settings")
    assert "KEY_VAULT_URL: vault.properties.vaultUri" in settings
    assert "TOKEN_VAULT_URL: tokenVault.properties.vaultUri" in settings
    assert "name: tokenVaultName" in declared("app.tokenVault").body
    assert "name: tokenVaultName" in declared("resources.tokenVault").body
    assert declared("resources.tokenVault").kind == declared("resources.vault").kind


def test_the_host_says_nothing_at_the_root_and_takes_no_more_than_a_mebibyte() -> None:
    """The page at / answers 200 while no function runs; a forged body must not fill the memory."""
    settings = bicep.variable(APP, "settings")
    assert "AzureWebJobsDisableHomepage: 'true'" in settings
    assert f"FUNCTIONS_REQUEST_BODY_SIZE_LIMIT: '{1 << 20}'" in settings


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
    for policy in ("ftp", "scm"):
        publishing = declared(f"app.{policy}Publishing").body
        assert f"name: '{policy}'" in publishing
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
    """The registration returns to the app's route at the public URL; whoever registers by hand is told the same."""
    assert (
        "func redirectUriOf(url string, app string) string => "
        "'${replace(url, '%WEBSITE_HOSTNAME%', '${app}.azurewebsites.net')}/api/connect/callback'\n"
    ) in ALL_TEXT[TYPES]
    assert (
        "output redirectUri string = redirectUriOf(bc.publicUrl, functionAppName)"
        in (ALL_TEXT[bicep.INFRA / "resources.bicep"])
    )
    assert "redirectUris: redirectUris" in declared("entra.application").body


def test_the_subnets_are_the_halves_of_the_address_space() -> None:
    """Any space that is large enough will do; the smallest subnet of Flex Consumption is a /27."""
    network = bicep.INFRA / "modules" / "network.bicep"
    assert bicep.variable(network, "subnetPrefixLength") == "parseCidr(addressPrefix).cidr + 1"
    found = re.findall(r"cidrSubnet\((.*?)\)", ALL_TEXT[network])
    assert found == ["addressPrefix, subnetPrefixLength, 0", "addressPrefix, subnetPrefixLength, 1"]


def test_every_private_endpoint_has_its_zone() -> None:
    """Two vaults share one zone; each endpoint's group is one of the services with a zone."""
    network = bicep.INFRA / "modules" / "network.bicep"
    groups = bicep.strings(bicep.variable(network, "groups"))
    zones = re.findall(r"'(privatelink.*)'\n", bicep.variable(network, "zoneNames"))
    assert len(zones) == len(groups) == len(set(groups))
    for group, zone in zip(groups, zones, strict=True):
        assert group in zone
    endpoints = re.findall(r"name: '([\w-]+)', group: '(\w+)', target: (\w+)", bicep.variable(network, "endpoints"))
    assert {group for _, group, _ in endpoints} == set(groups)
    assert [(name, target) for name, group, target in endpoints if group == "vault"] == [
        ("vault", "vaultId"),
        ("token-vault", "tokenVaultId"),
    ]


def test_the_health_test_is_a_clock_of_a_quarter_of_an_hour() -> None:
    """One place, one call in 15 minutes, optional; a restricted site lets it in."""
    test = declared("availability.healthTest").body
    assert "Frequency: 900" in test
    assert test.count("Id: testLocation") == 1
    assert "ExpectedHttpStatusCode: 200" in test
    assert "url: 'https://${app.outputs.hostName}/api/health'" in declared("resources.availability").body
    assert bicep.parameters(MAIN)["healthTestEnabled"][1] == "bool = false"
    assert "allowHealthTest: healthTestEnabled" in declared("resources.app").body
    site = declared("app.site").body
    assert "concat([businessCentralRule], allowHealthTest ? [healthTestRule] : [], addressRules)" in site
    assert "ipAddress: 'ApplicationInsightsAvailability'" in bicep.variable(APP, "healthTestRule")


def test_a_budget_of_nothing_is_no_value_for_the_compiler() -> None:
    """The amount has the minimum 1, and 0 means none: the compiler warns unless it can't arrive (BCP329)."""
    assert "amount: max(budgetAmount, 1)" in declared("resources.budget").body
    assert (
        "module budget 'modules/budget.bicep' = if (budgetAmount > 0 && !empty(alertEmails)) {"
        in (ALL_TEXT[bicep.INFRA / "resources.bicep"])
    )


#: Types whose newest stable version is older than the preview in use, so that the age rule is silenced with a reason.
PREVIEWS = {"Microsoft.Insights/diagnosticSettings@2021-05-01-preview"}

#: Types whose newest stable version is older than two years: the age rule knows that and says nothing.
OLD_BUT_NEWEST = {
    "Microsoft.ServiceBus/namespaces@2024-01-01",
    "Microsoft.ServiceBus/namespaces/queues@2024-01-01",
    "Microsoft.ServiceBus/namespaces/topics@2024-01-01",
    "Microsoft.Authorization/locks@2020-05-01",
    "Microsoft.Authorization/roleAssignments@2022-04-01",
    "Microsoft.Insights/actionGroups@2023-01-01",
    "Microsoft.Insights/components@2020-02-02",
    "Microsoft.Insights/webtests@2022-06-15",
    "Microsoft.Insights/workbooks@2023-06-01",
    "Microsoft.Network/privateDnsZones@2024-06-01",
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01",
}


def test_api_versions_are_younger_than_two_years_or_the_newest_there_is() -> None:
    """The compiler warns of older ones; where there is none, it says so."""
    used = {entry.kind for entry in bicep.declarations() if "@20" in entry.kind}
    old = {kind for kind in used if kind.partition("@")[2][:10] < "2024-11-23"}
    assert old == PREVIEWS | OLD_BUT_NEWEST
    for path in bicep.SOURCES:
        source = path.read_text(encoding="utf-8")
        silenced = re.findall(r"(?m)^// .+\n#disable-next-line use-recent-api-versions\nresource \w+ '(\S+)'", source)
        assert silenced == [kind for kind in PREVIEWS for _ in range(source.count(kind))], path.name


LINE = 120  # where `bicep format` breaks


def test_ternaries_are_written_as_the_formatter_writes_them() -> None:
    """One that fits on a line is on one line, one that does not is broken before ? and :."""
    for path in [*bicep.SOURCES, *sorted(bicep.INFRA.glob("*.bicepparam"))]:
        lines = path.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines[:-2]):
            second, third = lines[number + 1].strip(), lines[number + 2].strip()
            if second.startswith("? ") and third.startswith(": "):
                assert len(f"{line} {second} {third}") > LINE, f"{path.name}:{number + 1}"
            if re.search(r" \? .* : ", line) and not line.lstrip().startswith(("//", "@", "'")):
                assert len(line) <= LINE, f"{path.name}:{number + 1}"


def test_queue_concurrency_fits_the_threads() -> None:
    """No message is locked while it waits for a thread: host.json lets through no more than there are threads."""
    queues = json.loads((bicep.ROOT / "host.json").read_text(encoding="utf-8"))["extensions"]["queues"]
    messages = int(re.findall(r"(?m)^var messageConcurrency = (\d+)$", ALL_TEXT[APP])[0])
    assert queues["batchSize"] + queues["newBatchThreshold"] == messages


def test_every_parameter_output_and_type_is_described() -> None:
    """Whoever fills in a parameter file needs no other document."""
    for path, source in ALL_TEXT.items():
        for decorators, kind, name in re.findall(r"(?m)^((?:@.*\n)*)(param|output|type|var) (\w+)", source):
            if kind != "var" or "@export()" in decorators:
                assert "@description('" in decorators, f"{path.name}: {name}"


def test_every_resource_is_in_the_document_and_nothing_else() -> None:
    """docs/resources.md names exactly the resources and modules of the template."""
    page = (bicep.ROOT / "docs" / "resources.md").read_text(encoding="utf-8")
    firsts = re.findall(r"(?m)^\| (`\w+\.\w+`(?:, `\w+\.\w+`)*) \|", page)
    listed = set(re.findall(r"`(\w+\.\w+)`", " ".join(firsts)))
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
@pytest.mark.parametrize("source", [MAIN, bicep.INFRA / "resources.bicep", REGISTRATION], ids=lambda path: path.stem)
def test_bicep_compiles_and_lints(command: str, source: Path, tmp_path: Path) -> None:
    """The compiler and its linter accept the template without a warning; only API versions may grow old."""
    output = ["--outfile", str(tmp_path / "out.json")] if command == "build" else []
    done = subprocess.run(["bicep", command, str(source), *output], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = (done.stdout + done.stderr).splitlines()
    assert [line for line in lines if ": Warning " in line and "use-recent-api-versions" not in line] == []


@pytest.mark.skipif(not shutil.which("bicep"), reason="bicep is not on PATH")
@pytest.mark.parametrize("name", ["main.bicepparam", "prod.example.bicepparam"])
def test_bicep_accepts_the_parameter_files(name: str, tmp_path: Path) -> None:
    """Both parameter files can be read with no environment variable set."""
    command = ["bicep", "build-params", str(bicep.INFRA / name), "--outfile", str(tmp_path / "out.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
