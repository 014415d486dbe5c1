"""The GUID of a tenant that is written as a domain, asked of the login of the local stack."""

import pytest
from business_central_emulator.server.adapter import session_for
from business_central_emulator.server.exchange import Engine, Request, Response, json_response

from local.emulators.entra.directory import DOMAIN, TENANT_ID, demo_directory
from local.emulators.entra.engine import LoginEngine
from shared.errors import TokenError
from shared.login.tenant_lookup import find_tenant_id

LOGIN = "https://login.example"


class Answering(Engine):
    """A login that answers always the same."""

    def __init__(self, response: Response) -> None:
        self._response = response

    def handle(self, request: Request) -> Response:
        """Answer."""
        del request
        return self._response


def find(engine: Engine, tenant: str) -> str:
    """Look a tenant up."""
    return find_tenant_id(LOGIN, tenant, session=session_for({LOGIN: engine}))


@pytest.mark.parametrize("tenant", [DOMAIN, DOMAIN.upper(), TENANT_ID])
def test_a_tenant_has_one_guid_however_it_is_written(tenant: str) -> None:
    """It stands in the issuer that the login publishes."""
    assert find(LoginEngine(demo_directory(redirect_uris=[])), tenant) == TENANT_ID


def test_a_tenant_that_is_not_there_is_no_matter_of_time() -> None:
    """Entra answers 400 with AADSTS90002."""
    with pytest.raises(TokenError, match=r"knows no tenant nowhere\.example") as refused:
        find(LoginEngine(demo_directory(redirect_uris=[])), "nowhere.example")
    assert not refused.value.retryable


@pytest.mark.parametrize(
    "response",
    [
        Response(status=503, body=b"down"),
        Response(status=200, body=b"<html>"),
        json_response(200, {"issuer": "https://sts.example/common/v2.0"}),
        json_response(200, ["issuer"]),
        Response(status=302, body=b"", headers={"Location": "https://elsewhere.example"}),
    ],
)
def test_what_makes_no_sense_is_asked_again(response: Response) -> None:
    """Nothing is concluded from a proxy's page, a redirect or an outage."""
    with pytest.raises(TokenError) as waits:
        find(Answering(response), DOMAIN)
    assert waits.value.retryable
