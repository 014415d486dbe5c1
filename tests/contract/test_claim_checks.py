"""Claim checks: whole as soon as they can be seen, in memory and on Azurite alike (P27)."""

from collections.abc import Callable, Iterator
from hashlib import sha256

import pytest
from azure.storage.blob import BlobClient, BlobServiceClient

from shared.changes.change_stores import ClaimChecks
from shared.errors import ConfigError, StoreUnavailable
from shared.settings import StorageSettings
from shared.storage.claim_checks import CONTENT_TYPE, BlobClaimChecks
from tests.support.memory_claim_checks import MemoryClaimChecks

type Account = tuple[ClaimChecks, Callable[[str], bytes]]  # and what reads a URL


@pytest.fixture(params=["memory", pytest.param("azurite", marks=pytest.mark.azurite)])
def account(request: pytest.FixtureRequest) -> Iterator[Account]:
    """A storage account, and what a consumer reads of it."""
    if request.param == "memory":
        memory = MemoryClaimChecks()
        yield memory, memory.read
        return
    text = request.getfixturevalue("azurite")
    checks = BlobClaimChecks(StorageSettings(connection_string=text, table_endpoint="", client_id=""))
    yield checks, lambda url: _blob(text, url).download_blob().readall()
    checks.close()


def _blob(connection_string: str, url: str) -> BlobClient:
    service = BlobServiceClient.from_connection_string(connection_string, api_version="2023-11-03")
    prefix = f"{service.url.rstrip('/')}/bc-data/"
    assert url.startswith(prefix), url
    return service.get_blob_client("bc-data", url.removeprefix(prefix))


def test_what_is_stored_is_found_at_its_url(account: Account) -> None:
    """Whole, also when it is larger than what an SDK would cut into blocks; a repeat changes nothing."""
    checks, read = account
    for size in (1, 60_000, 9_000_000):
        data = sha256(str(size).encode()).digest() * (size // 32 + 1)
        name = f"{sha256(data).hexdigest()}.ndjson"
        urls = {checks.put(name, data) for _ in range(2)}
        assert len(urls) == 1
        assert read(urls.pop()) == data


def test_what_is_stored_is_got_by_its_name(account: Account) -> None:
    """For a receiver that can't read our storage; what is gone is None."""
    checks, _ = account
    assert isinstance(checks, BlobClaimChecks | MemoryClaimChecks)
    assert checks.get("nothing.ndjson") is None
    data = b"x" * 9_000_000
    checks.put("some.ndjson", data)
    assert checks.get("some.ndjson") == data
    assert checks.get("nothing.ndjson") is None


@pytest.mark.azurite
def test_a_blob_bears_its_type_and_is_one_put(azurite: str) -> None:
    """A blob that was put in blocks would list them."""
    checks = BlobClaimChecks(StorageSettings(connection_string=azurite, table_endpoint="", client_id=""))
    url = checks.put("typed.ndjson", b"x" * 9_000_000)
    blob = _blob(azurite, url)
    assert blob.get_blob_properties().content_settings.content_type == CONTENT_TYPE
    committed, uncommitted = blob.get_block_list("all")
    assert (committed, uncommitted) == ([], [])
    checks.close()


def test_an_account_that_does_not_answer_is_unavailable() -> None:
    """Nothing may leave, and the queue delivers again."""
    text = (
        "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YQ==;BlobEndpoint=http://127.0.0.1:1/a;"
        "TableEndpoint=http://127.0.0.1:1/a;"
    )
    checks = BlobClaimChecks(StorageSettings(connection_string=text, table_endpoint="", client_id=""))
    with pytest.raises(StoreUnavailable, match="Blob Storage, bc-data"):
        checks.put("x.ndjson", b"x")
    with pytest.raises(StoreUnavailable, match="Blob Storage, bc-data"):
        checks.get("x.ndjson")


def test_a_wrong_connection_string_is_a_wrong_setting() -> None:
    """And its text is quoted nowhere."""
    storage = StorageSettings(connection_string="AccountKey=hidden", table_endpoint="", client_id="")
    with pytest.raises(ConfigError, match="AzureWebJobsStorage") as caught:
        BlobClaimChecks(storage).put("x.ndjson", b"x")
    assert "hidden" not in str(caught.value)
