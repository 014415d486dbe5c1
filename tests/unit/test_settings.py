"""Settings: read once, checked all together, and never repeated in an error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.connections.settings_reader import (
    DEFAULTS,
    is_id,
    read_connections,
    read_settings,
    schedule_faults,
    setting_name,
)
from shared.errors import ConfigError
from shared.settings import AuthMode, Settings

GOOD = {
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    "KEY_VAULT_URL": "https://vault.example/",
    "BC_TENANT_ID": "lmints.io",
    "BC_CLIENT_ID": "6ff7e2f1-1f4d-4a0e-8a86-52b6f1e4a2aa",
    "PUBLIC_URL": "https://connect.example",
}


def read(**changes: str) -> Settings:
    """Read the good settings with some changed."""
    return read_settings({**GOOD, **changes})


def faults(env: dict[str, str]) -> dict[str, str]:
    """The faults of a wrong set."""
    with pytest.raises(ConfigError) as caught:
        read_settings(env)
    for name in caught.value.faults:
        assert name in str(caught.value)
    return caught.value.faults


def test_the_defaults_are_those_of_the_design() -> None:
    """With only what is required set, the app works on production with everything on."""
    settings = read()
    assert settings.key_vault_url == "https://vault.example"
    assert (settings.environment, settings.companies) == ("production", ("*",))
    assert settings.auth_mode is AuthMode.AUTHORIZATION_CODE
    assert settings.api_url == "https://api.businesscentral.dynamics.com"
    assert settings.login_url == "https://login.microsoftonline.com"
    assert settings.triggers == ("items", "salesShipments", "salesInvoices")
    assert settings.changes == {"created"}
    assert settings.page_rows == 2000
    assert settings.ca_bundle is None
    assert settings.expanded == {"items", "salesShipments", "salesInvoices"}


def test_the_connection_names_tenant_and_environment() -> None:
    """The same connection however its names are written; it begins every partition key."""
    assert read(BC_TENANT_ID="LMints.io", BC_ENVIRONMENT="Production").connection == "lmints.io.production"


def test_an_empty_environment_names_everything_that_is_required() -> None:
    """One message with all names (P16)."""
    assert set(faults({})) == {name for name, default in DEFAULTS.items() if default is None} | {"PUBLIC_URL"}


WRONG = {
    "KEY_VAULT_URL": "http://vault.example",
    "BC_TENANT_ID": "my tenant",
    "BC_ENVIRONMENT": "pro duction",
    "BC_COMPANIES": " , ",
    "BC_CLIENT_ID": "my-app",
    "BC_AUTH_MODE": "password",
    "BC_API_URL": "https://api.example/v2.0",
    "BC_LOGIN_URL": "login.example",
    "PUBLIC_URL": "https://user@connect.example",
    "BC_PULL_ITEM_VARIANTS": "on",
    "BC_PULL_SALES_SHIPMENT_LINES": "2",
    "BC_PULL_SALES_INVOICE_LINES": "ja",
    "BC_TRIGGERS": "items,customers",
    "BC_CHANGES": "renamed",
    "BC_PAGE_ROWS": "20001",
    "TOKEN_VAULT_URL": "vault",
    "BC_RENAMED_FROM": "pro duction",
    "BC_READER_CLIENT_ID": "reader",
}


def test_all_wrong_settings_are_named_at_once() -> None:
    """Every wrong name with its rule in one message, so that one deployment corrects all."""
    assert set(faults({**WRONG})) == {*WRONG, "AzureWebJobsStorage"}


@pytest.mark.parametrize("name", WRONG)
def test_each_wrong_setting_is_found_alone(name: str) -> None:
    """And nothing else is blamed."""
    assert set(faults({**GOOD, name: WRONG[name]})) == {name}


values = st.text(st.characters(exclude_categories=["Cs"]), min_size=3, max_size=40)


@given(st.sampled_from(sorted(DEFAULTS)), values)
def test_a_value_is_never_repeated(name: str, value: str) -> None:
    """A secret pasted into the wrong setting stays out of logs and answers (P15)."""
    marked = f"<{value}>"
    try:
        settings = read_settings({**GOOD, name: marked})
    except ConfigError as error:
        shown = str(error)
    else:
        shown = repr(settings) if name == "AzureWebJobsStorage" else ""
    assert marked not in shown


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "", " ", "²", "1e3", "99999999999999999999"])
def test_page_rows_stay_in_their_bounds(value: str) -> None:
    """1 to 20,000; blank means the default."""
    if not value.strip():
        assert read(BC_PAGE_ROWS=value).page_rows == 2000
    else:
        assert set(faults({**GOOD, "BC_PAGE_ROWS": value})) == {"BC_PAGE_ROWS"}
    assert read(BC_PAGE_ROWS="1").page_rows == 1
    assert read(BC_PAGE_ROWS="20000").page_rows == 20_000


@pytest.mark.parametrize(("value", "days"), [("", 90), ("1", 1), ("3650", 3650)])
def test_orders_are_kept_for_a_day_to_ten_years(value: str, days: int) -> None:
    """Ninety days without a word."""
    assert read(BC_KEEP_ORDERS_DAYS=value).keep_orders_days == days
    for wrong in ("0", "3651"):
        assert set(faults({**GOOD, "BC_KEEP_ORDERS_DAYS": wrong})) == {"BC_KEEP_ORDERS_DAYS"}


@pytest.mark.parametrize(
    ("value", "flag"), [("true", True), ("FALSE", False), ("1", True), ("no", False), (" Yes ", True)]
)
def test_flags_are_read_as_people_write_them(value: str, flag: bool) -> None:
    """Azure shows booleans in several spellings."""
    assert ("items" in read(BC_PULL_ITEM_VARIANTS=value).expanded) is flag


def test_lists_may_hold_spaces_and_repeats() -> None:
    """Names are trimmed; what is listed twice counts once."""
    assert read(BC_COMPANIES=" CRONUS UK Ltd. , x ").companies == ("CRONUS UK Ltd.", "x")
    assert read(BC_TRIGGERS="salesInvoices, items,items").triggers == ("items", "salesInvoices")
    assert read(BC_CHANGES="deleted, created").changes == {"deleted", "created"}


def test_the_public_url_is_the_host_name_in_azure() -> None:
    """Azure tells the app its name; elsewhere the setting must be given."""
    env = {name: value for name, value in GOOD.items() if name != "PUBLIC_URL"}
    assert read_settings({**env, "WEBSITE_HOSTNAME": "x.azurewebsites.net"}).public_url == "https://x.azurewebsites.net"
    assert "WEBSITE_HOSTNAME" in faults(env)["PUBLIC_URL"]


def test_storage_may_be_reached_with_an_identity() -> None:
    """The three forms that the platform knows; a connection string is never shown."""
    env = {name: value for name, value in GOOD.items() if name != "AzureWebJobsStorage"}
    by_name = read_settings({**env, "AzureWebJobsStorage__accountName": "acc", "AzureWebJobsStorage__clientId": "i"})
    assert by_name.storage.table_endpoint == "https://acc.table.core.windows.net"
    assert by_name.storage.client_id == "i"
    by_uri = read_settings({**env, "AzureWebJobsStorage__tableServiceUri": "https://acc.table.core.usgovcloudapi.net/"})
    assert by_uri.storage.table_endpoint == "https://acc.table.core.usgovcloudapi.net"
    assert "AccountKey" not in repr(read(AzureWebJobsStorage="AccountKey=secret"))


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ('"CRONUS USA, Inc.",Contoso', ("CRONUS USA, Inc.", "Contoso")),
        (' "a, b" , c,, "say ""hi""" ', ("a, b", "c", 'say "hi"')),
        ('Contoso "West" Ltd.', ('Contoso "West" Ltd.',)),
        ('"*"', ("*",)),
    ],
)
def test_a_name_that_holds_a_comma_stands_in_quotes(value: str, names: tuple[str, ...]) -> None:
    """Company names hold commas in many countries; the rule is that of CSV."""
    assert read(BC_COMPANIES=value).companies == names


@pytest.mark.parametrize("value", ['"CRONUS', '"a" b', 'x,"y', '""', '"a""', ","])
def test_a_quote_that_does_not_end_is_a_fault(value: str) -> None:
    """A list that means something else than it looks like serves nobody."""
    assert set(faults({**GOOD, "BC_COMPANIES": value})) == {"BC_COMPANIES"}


@pytest.mark.parametrize(
    ("value", "origin"),
    [
        ("https://API.BusinessCentral.dynamics.com:443/", "https://api.businesscentral.dynamics.com"),
        ("https://localhost:8443", "https://localhost:8443"),
        ("https://[::1]:8443", "https://[::1]:8443"),
    ],
)
def test_origins_compare_as_urls_do(value: str, origin: str) -> None:
    """Case of the host and the default port make no difference: a next link that leaves them out is ours."""
    assert read(BC_API_URL=value).api_url == origin


@pytest.mark.parametrize(
    "value",
    [
        "https://x:70000", "https://[::1", "https://x:y", "https://@x.example", "https://x\\.example",
        "https://x%2eexample", "https://x example", "https://x\x01.example",
    ],
)  # fmt: skip
def test_a_url_that_is_none_is_a_fault(value: str) -> None:
    """And says nothing of its value."""
    assert "https://example.com" in faults({**GOOD, "BC_API_URL": value})["BC_API_URL"]


def test_tokens_may_have_a_vault_of_their_own() -> None:
    """Without one they are where the other secrets are."""
    assert read().token_vault_url == read().key_vault_url
    assert read(TOKEN_VAULT_URL="https://tokens.example/").token_vault_url == "https://tokens.example"
    assert set(faults({**GOOD, "TOKEN_VAULT_URL": "http://tokens.example"})) == {"TOKEN_VAULT_URL"}


def test_a_schedule_that_cannot_be_read_is_a_finding() -> None:
    """The host reads schedules; an app that answered 503 for one would lose its webhooks for nothing."""
    wrong = {
        "BC_ITEM_PULL_SCHEDULE": "*/15 * * * *",
        "BC_RECONCILE_SCHEDULE": "hourly",
        "BC_SUBSCRIPTION_SCHEDULE": "0 0 0 0 0 0 0",
    }
    assert read(**wrong)
    assert set(schedule_faults(wrong)) == set(wrong)
    assert schedule_faults({"BC_RECONCILE_SCHEDULE": " "}) == {}


TWO = {
    **GOOD,
    "BC_CONNECTIONS": "eu, us",
    "EU__BC_ENVIRONMENT": "eu-prod",
    "US__BC_TENANT_ID": "contoso.com",
    "US__BC_COMPANIES": "CRONUS USA",
    "BC_PAGE_ROWS": "500",
}


def test_without_a_list_there_is_one_connection_of_the_plain_settings() -> None:
    """As ever, and its secrets have the names of the last release."""
    found = read_connections(GOOD)
    assert (list(found.able), found.refused, found.strays) == (["default"], {}, {})
    settings = found.able["default"]
    assert settings == read()
    assert settings.secret("bc-token-cache") == "bc-token-cache"


def test_each_connection_has_its_own_settings_and_inherits_the_rest() -> None:
    """A prefix of its id in upper case; secrets by a suffix."""
    found = read_connections(TWO)
    eu, us = found.able["eu"], found.able["us"]
    assert (eu.id, eu.tenant_id, eu.environment, eu.page_rows) == ("eu", "lmints.io", "eu-prod", 500)
    assert (us.id, us.tenant_id, us.environment, us.companies) == ("us", "contoso.com", "production", ("CRONUS USA",))
    assert (eu.connection, us.connection, eu.ids) == ("eu", "us", ("eu", "us"))
    assert us.secret("bc-client-secret") == "bc-client-secret-us"


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"EU__BC_TENANT_ID": "my tenant"}, {"eu": {"EU__BC_TENANT_ID"}}),
        ({"EU__BC_PAGE_ROWS": "0", "EU__BC_CHANGES": "x"}, {"eu": {"EU__BC_PAGE_ROWS", "EU__BC_CHANGES"}}),
        ({"BC_TENANT_ID": ""}, {"eu": {"EU__BC_TENANT_ID"}}),
        ({"BC_TENANT_ID": "my tenant"}, {"eu": {"BC_TENANT_ID"}}),
        ({"BC_CONNECTIONS": "EU!,us"}, {"#1": {"BC_CONNECTIONS"}}),
        ({"BC_CONNECTIONS": "us,0eu,abcdefghijklmnopq"}, {"#2": {"BC_CONNECTIONS"}, "#3": {"BC_CONNECTIONS"}}),
        ({"BC_CONNECTIONS": "us,eu", "EU__BC_TENANT_ID": "CONTOSO.com", "EU__BC_ENVIRONMENT": "Production"},
         {"eu": {"EU__BC_ENVIRONMENT"}}),
    ],
)  # fmt: skip
def test_one_wrong_connection_stops_no_other(changes: dict[str, str], refused: dict[str, set[str]]) -> None:
    """What is wrong names the setting as it is set; `us` works in every case."""
    found = read_connections({**TWO, **changes})
    assert {one: set(error.faults) for one, error in found.refused.items()} == refused
    assert "us" in found.able


def test_a_connection_is_called_by_a_short_word() -> None:
    """Its id stands in names of settings, secrets and rows."""
    assert [one for one in ("eu", "a", "a" * 16, "eu2", "a" * 17, "2eu", "EU", "e-u", "") if is_id(one)] == [
        "eu", "a", "a" * 16, "eu2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("env", "name", "shown"),
    [
        (TWO, "BC_ENVIRONMENT", "EU__BC_ENVIRONMENT"),
        (TWO, "BC_PAGE_ROWS", "BC_PAGE_ROWS"),
        ({**TWO, "EU__BC_PAGE_ROWS": " "}, "BC_PAGE_ROWS", "BC_PAGE_ROWS"),
        ({**TWO, "BC_CONNECTIONS": " "}, "BC_ENVIRONMENT", "BC_ENVIRONMENT"),
        ({**TWO, "EU__PUBLIC_URL": "https://x.example"}, "PUBLIC_URL", "PUBLIC_URL"),
    ],
)
def test_a_setting_is_named_as_its_operator_has_set_it(env: dict[str, str], name: str, shown: str) -> None:
    """With the prefix of its connection where that counts, plain otherwise."""
    assert setting_name(env, "eu", name) == shown


def test_a_missing_setting_says_where_it_could_be() -> None:
    """Under the prefix, or plain for all connections."""
    error = read_connections({**TWO, "BC_TENANT_ID": ""}).refused["eu"]
    assert str(error) == "wrong settings (1): EU__BC_TENANT_ID: is required, or BC_TENANT_ID for all connections"


def test_nothing_works_without_what_belongs_to_the_deployment() -> None:
    """Then the faults of all connections are one message."""
    with pytest.raises(ConfigError) as refused:
        read_connections({**TWO, "KEY_VAULT_URL": "", "EU__BC_TENANT_ID": "my tenant"})
    assert set(refused.value.faults) == {"KEY_VAULT_URL", "EU__BC_TENANT_ID"}


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("UK__BC_TENANT_ID", "has the prefix of no connection"),
        ("EU__BC_TENNANT_ID", "did you mean EU__BC_TENANT_ID?"),
        ("EU__PUBLIC_URL", "belongs to the deployment"),
        ("EU__BC_ITEM_PULL_SCHEDULE", "belongs to the deployment"),
        ("EU__BC_EVENTS_TO", "belongs to the deployment"),
        ("EU__BC_KEEP_ORDERS_DAYS", "belongs to the deployment"),
    ],
)
def test_a_setting_that_nobody_reads_is_a_finding(name: str, rule: str) -> None:
    """It is misspelt or left over; every connection goes on."""
    found = read_connections({**TWO, name: "https://x.example"})
    assert list(found.strays) == [name]
    assert rule in found.strays[name]
    assert list(found.able) == ["eu", "us"]
    assert found.able == read_connections(TWO).able


def test_settings_of_the_platform_are_no_strays() -> None:
    """Two underscores stand in their names, too."""
    env = {**TWO, "AzureWebJobsStorage__accountName": "a", "AzureWebJobs__reconcile__Disabled": "1"}
    assert read_connections(env).strays == {}


def test_a_reader_is_another_application() -> None:
    """With the identity's own it would share the limits that it is there to double."""
    own = GOOD["BC_CLIENT_ID"]
    assert set(faults({**GOOD, "BC_READER_CLIENT_ID": own.upper()})) == {"BC_READER_CLIENT_ID"}
    other = "8c4a1f27-3e60-4d9b-b7a5-90d2e6f1c358"
    assert read(BC_READER_CLIENT_ID=other).reader_identity.endswith(f"|{other}|app")
    assert read().reader_identity == ""
