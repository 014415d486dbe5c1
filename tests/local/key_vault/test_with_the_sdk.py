"""The vault as azure-keyvault-secrets sees it, with a token from the managed identity endpoint."""

from typing import Any

import pytest
from azure.core.exceptions import AzureError, HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.keyvault.secrets import SecretClient
from business_central_emulator.server.faults import Fault, FaultKind

from local.emulators.key_vault.engine import VaultEngine


def error_of(refused: HttpResponseError) -> Any:
    """What the SDK read from the body of a refusal; `ODataV4Format` types `innererror` as an object."""
    assert refused.error
    return refused.error


def test_the_sdk_answers_the_challenge_and_reads_back_what_it_wrote(client: SecretClient, vault: VaultEngine) -> None:
    """The first call is challenged once; the value, its version and its tags come back."""
    written = client.set_secret("bc-token-cache", "value ü", tags={"a": "b"}, content_type="application/json")
    read = client.get_secret("bc-token-cache")
    assert (read.value, read.properties.version, read.properties.tags) == (
        "value ü",
        written.properties.version,
        {"a": "b"},
    )
    assert read.properties.content_type == "application/json"
    assert [asked["status"] for asked in vault.requests] == [401, 200, 200]


def test_each_set_is_a_version(client: SecretClient) -> None:
    """The newest version is read by default, older ones by their id, and the list is newest first."""
    first, second = client.set_secret("s", "1"), client.set_secret("s", "2")
    assert client.get_secret("s").value == "2"
    assert client.get_secret("s", first.properties.version).value == "1"
    listed = [version.version for version in client.list_properties_of_secret_versions("s")]
    assert listed == [second.properties.version, first.properties.version]


def test_an_unknown_secret_is_the_sdks_not_found(client: SecretClient) -> None:
    """A missing name and a missing version both raise ResourceNotFoundError with Key Vault's code."""
    client.set_secret("s", "1")
    for name, version in (("missing", None), ("s", "0" * 32)):
        with pytest.raises(ResourceNotFoundError) as refused:
            client.get_secret(name, version)
        assert error_of(refused.value).code == "SecretNotFound"


def test_a_value_may_have_25_kilobytes_and_no_more(client: SecretClient) -> None:
    """The limit is in bytes of UTF-8: 25,600 pass, one more is refused and nothing is stored."""
    client.set_secret("s", "ü" * 12_800)
    with pytest.raises(HttpResponseError) as refused:
        client.set_secret("s", "x" * 25_601)
    assert (refused.value.status_code, error_of(refused.value).code) == (400, "BadParameter")
    assert len(list(client.list_properties_of_secret_versions("s"))) == 1


def test_a_deleted_name_is_taken_until_purged_or_recovered(client: SecretClient) -> None:
    """Soft delete: a set answers 409 with the reason, recovery brings all back, purge frees the name."""
    client.set_secret("s", "1")
    client.begin_delete_secret("s", _polling_interval=0).wait()
    with pytest.raises(ResourceNotFoundError):
        client.get_secret("s")
    with pytest.raises(ResourceExistsError) as refused:
        client.set_secret("s", "2")
    assert refused.value.status_code == 409
    assert error_of(refused.value).innererror["code"] == "ObjectIsDeletedButRecoverable"
    assert str(client.get_deleted_secret("s").recovery_id).endswith("/deletedsecrets/s")
    client.begin_recover_deleted_secret("s", _polling_interval=0).wait()
    assert client.get_secret("s").value == "1"
    client.begin_delete_secret("s", _polling_interval=0).wait()
    client.purge_deleted_secret("s")
    assert client.set_secret("s", "3").value == "3"


def test_a_disabled_version_is_not_given_out(client: SecretClient) -> None:
    """Disabling answers 403; enabling gives the value again."""
    client.set_secret("s", "1")
    client.update_secret_properties("s", enabled=False)
    with pytest.raises(HttpResponseError) as refused:
        client.get_secret("s")
    assert refused.value.status_code == 403
    client.update_secret_properties("s", enabled=True)
    assert client.get_secret("s").value == "1"


def test_names_are_listed_page_by_page(client: SecretClient) -> None:
    """More secrets than fit a page are all listed, without their values."""
    names = [f"name-{number:02}" for number in range(30)]
    for name in names:
        client.set_secret(name, "v")
    assert [listed.name for listed in client.list_properties_of_secrets()] == names


def test_a_bad_name_is_refused(client: SecretClient) -> None:
    """Names have letters, digits and dashes only."""
    with pytest.raises(HttpResponseError) as refused:
        client.set_secret("under_score", "v")
    assert refused.value.status_code == 400


@pytest.mark.parametrize("status", [429, 503])
def test_a_scripted_fault_reaches_the_sdk(client: SecretClient, vault: VaultEngine, status: int) -> None:
    """Throttling and outage come as scripted, once."""
    client.set_secret("s", "1")
    vault.faults.add(
        Fault(kind=FaultKind.ANSWER, match="GET .*/secrets/s", status=status, headers={"Retry-After": "1"})
    )
    with pytest.raises(HttpResponseError) as refused:
        client.get_secret("s")
    assert refused.value.status_code == status
    assert client.get_secret("s").value == "1"


def test_a_reply_lost_after_the_write(client: SecretClient, vault: VaultEngine) -> None:
    """A write whose answer is lost has happened: what a crash in the middle of a save looks like."""
    client.set_secret("s", "1")
    vault.faults.add(Fault(kind=FaultKind.RESET_AFTER, match="PUT .*/secrets/s"))
    with pytest.raises(AzureError):
        client.set_secret("s", "2")
    assert client.get_secret("s").value == "2"
