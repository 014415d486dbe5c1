"""Settings and parameters of the template are those of the code, and all can be set through azd."""

import re

import pytest

from shared.connections.settings_reader import DEFAULTS, OF_DEPLOYMENT
from shared.resource_names import secret_of
from shared.settings import AuthMode
from tests.app import bicep_reading as bicep
from tests.app.bicep_reading import ALL_TEXT, APP, MAIN, NOT_FOR_FLEX, PARAMETERS, TYPES, declared

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
    "AzureWebJobsDisableHomepage",
    "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT",
}

#: Settings that are addresses of resources, not parameters; the code can do without the second.
FROM_RESOURCES = {"KEY_VAULT_URL", "TOKEN_VAULT_URL"}

#: Settings that Azure does not get: the plain connection string, and the CA of the local stack, unset in Azure.
NOT_IN_AZURE = {"AzureWebJobsStorage", "CA_BUNDLE"}

#: How an empty object is no setting.
NOTHING = {"{}": ""}


def parameter_name(setting: str) -> str:
    """BC_PAGE_ROWS -> bcPageRows."""
    first, *rest = setting.lower().split("_")
    return first + "".join(part.capitalize() for part in rest)


def test_app_settings_are_exactly_those_the_code_reads() -> None:
    """The template sets every setting that the code reads, and none that nobody reads."""
    settings = bicep.keys(bicep.variable(APP, "settings"))
    assert len(settings) == len(set(settings))
    assert set(settings) == (set(DEFAULTS) - NOT_IN_AZURE) | FROM_RESOURCES | HOST_SETTINGS
    assert not set(NOT_FOR_FLEX) & set(settings)


def test_parameter_defaults_are_the_defaults_of_the_code() -> None:
    """A parameter that is not given means what the same setting means when it is not set."""
    parameters = bicep.parameters(MAIN)
    for setting, default in DEFAULTS.items():
        if setting in NOT_IN_AZURE | FROM_RESOURCES:
            continue
        _, rest = parameters[parameter_name(setting)]
        value = rest.partition(" = ")[2]
        if setting == "BC_LOGIN_URL":  # the compiler allows no cloud's own address in a template
            assert value == "''"
            login = "loginUrl: empty(bcLoginUrl) ? environment().authentication.loginEndpoint : bcLoginUrl"
            assert login in ALL_TEXT[MAIN]
        else:
            assert NOTHING.get(value, value.strip("'")) == (default or ""), setting


def test_every_setting_takes_its_own_parameter() -> None:
    """No two settings are swapped on the way from main.bicep to the app."""
    passed = dict(re.findall(r"(?m)^      (\w+): (.+)$", bicep.block(ALL_TEXT[MAIN], ALL_TEXT[MAIN].index("bc: {"))))
    settings = bicep.variable(APP, "settings")
    for setting in sorted(set(DEFAULTS) - NOT_IN_AZURE - FROM_RESOURCES):
        name = parameter_name(setting)
        if name == "bcClientId":
            assert "BC_CLIENT_ID: bcClientId" in settings
            continue
        field = name.removeprefix("bc")
        field = field[0].lower() + field[1:]
        assert re.search(rf"\b{name}\b", passed[field]), field
        assert re.search(rf"(?m)^\s*{setting}: .*\bbc\.{field}\b", settings), setting


#: Parameter -> its environment variable, where that is not the parameter's name in upper snake case.
AZD_NAMES = {
    "environmentName": "AZURE_ENV_NAME",
    "location": "AZURE_LOCATION",
    "resourceGroupName": "AZURE_RESOURCE_GROUP",
    "operatorPrincipalId": "AZURE_PRINCIPAL_ID",
    "operatorPrincipalType": "AZURE_PRINCIPAL_TYPE",
    "instanceMemoryMB": "INSTANCE_MEMORY_MB",
}


def environment_name(parameter: str) -> str:
    """Return the variable of a parameter: bcPageRows -> BC_PAGE_ROWS."""
    return AZD_NAMES.get(parameter) or re.sub(r"(?<!^)(?=[A-Z])", "_", parameter).upper()


def read_from_environment() -> dict[str, tuple[str, str]]:
    """Return parameter -> (variable, default) as main.bicepparam reads them, directly or through a `var`."""
    source = bicep.text(PARAMETERS)
    call = re.compile(r"readEnvironmentVariable\('(\w+)', '(.*?)'\)")
    through = {name: call.search(text) for name, text in re.findall(r"(?m)^var (\w+) = (.*)$", source)}
    found = {}
    for parameter, text in re.findall(r"(?m)^param (\w+) = (.*)$", source):
        match = call.search(text) or next((through[word] for word in re.findall(r"\w+", text) if word in through), None)
        if match:
            found[parameter] = (match[1], match[2])
    return found


def test_every_parameter_can_be_set_through_the_environment() -> None:
    """What main.bicepparam does not read, a user of azd cannot set: azd knows no other parameter file."""
    found = read_from_environment()
    assert {name: variable for name, (variable, _) in found.items()} == {
        name: environment_name(name) for name in bicep.parameters(MAIN)
    }


def test_the_parameter_file_has_the_defaults_of_the_template() -> None:
    """A variable that is not set means what the template means without the parameter."""
    declared_defaults = {
        name: rest.partition(" = ")[2].strip("'") for name, (_, rest) in bicep.parameters(MAIN).items()
    }
    for name, (variable, default) in read_from_environment().items():
        if name in {"environmentName", "location", "resourceGroupName"}:
            continue  # these have no default in the template, or one made of another parameter
        expected = {"{}": "{}", "[]": ""}.get(declared_defaults[name], declared_defaults[name])
        assert default == expected, variable


def test_no_output_comes_back_as_another_parameter() -> None:
    """What azd keeps of the outputs is environment at the next `azd up`: only a parameter may return under its name."""
    outputs = dict(re.findall(r"(?m)^output (\w+) string = (.*)$", ALL_TEXT[MAIN]))
    read = {variable for variable, _ in read_from_environment().values()}
    assert {name: outputs[name] for name in outputs if name in read} == {
        "AZURE_LOCATION": "location",
        "AZURE_RESOURCE_GROUP": "group.name",
    }


def test_settings_of_the_code_are_read_with_the_defaults_of_the_code() -> None:
    """`export BC_PAGE_ROWS=...` reaches bcPageRows, with the code's default where it is not set."""
    found = read_from_environment()
    for setting, default in DEFAULTS.items():
        if setting not in NOT_IN_AZURE | FROM_RESOURCES | {"BC_LOGIN_URL"}:
            variable, value = found[parameter_name(setting)]
            assert (variable, NOTHING.get(value, value)) == (setting, default or "")


def test_a_connection_may_have_every_setting_of_its_own_that_the_code_reads() -> None:
    """What the type of a connection lists is what bears a prefix; the deployment's settings are not among it."""
    source = bicep.text(TYPES)
    body = bicep.block(source, source.index("type connectionType = {"))
    own = {name for name in DEFAULTS if name.startswith("BC_")} - OF_DEPLOYMENT
    assert set(bicep.keys(body)) == own
    assert "@sealed()" in source.partition("type connectionType")[0].rpartition("@export()")[2]


@pytest.mark.parametrize("connection", ["default", "eu"])
def test_secrets_have_the_names_that_the_code_reads(connection: str) -> None:
    """The output tells an operator under which names the client secrets are read."""
    form = r"func clientSecretNameOf\(.*'(bc-client-secret)' : '(bc-client-secret-)\$\{id\}'"
    suffix = re.search(form, ALL_TEXT[TYPES])
    assert suffix
    name = suffix[1] if connection == "default" else f"{suffix[2]}{connection}"
    assert name == secret_of("bc-client-secret", connection)


def test_azure_looks_the_kind_of_the_operator_up() -> None:
    """The id of whoever deploys comes from azd, in a pipeline that of a service principal, but never its kind."""
    assert read_from_environment()["operatorPrincipalType"] == ("AZURE_PRINCIPAL_TYPE", "")
    for symbol in ("storageAssignments", "vaultAssignments", "componentAssignments"):
        assert "principalType: empty(kind) ? null : kind" in declared(f"access.{symbol}").body


def test_auth_modes_are_those_of_the_code() -> None:
    """An unknown auth mode is refused by the template itself."""
    line = re.search(r"(?m)^type authModeType = (.*)$", ALL_TEXT[TYPES])
    assert line
    assert bicep.strings(line[1]) == [mode.value for mode in AuthMode]
    assert bicep.parameters(MAIN)["bcAuthMode"][1].startswith("authModeType")


@pytest.mark.parametrize(
    "name", ["bcCompanies", "bcEnvironment", "bcTriggers", "bcChanges", "publicUrl", "bcApiUrl", "bcEventsTo"]
)
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
