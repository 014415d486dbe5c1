"""The way to the login: our certificates, no `.netrc`, no telemetry, whatever the machine's environment says."""

from pathlib import Path

import pytest

from shared.errors import TokenError
from shared.login.msal_app import EntraApp
from tests.support.wire_world import Answer, Network

LOGIN = "https://login.example"


@pytest.mark.parametrize("bundle", ["/our/bundle.pem", None])
def test_certificates_and_headers_are_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundle: str | None) -> None:
    """CA_BUNDLE wins over REQUESTS_CA_BUNDLE, and a `.netrc` entry adds no header to a form with a secret (P15)."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine login.example login me password other\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/theirs.pem")
    endpoints = (
        f'{{"authorization_endpoint": "{LOGIN}/a", "token_endpoint": "{LOGIN}/t", "issuer": "{LOGIN}/contoso.com"}}'
    )
    network = Network(Answer(200, endpoints.encode()), Answer(400, b'{"error": "invalid_client"}'))
    session = network.session()
    session.trust_env = True
    app = EntraApp(login_url=LOGIN, tenant_id="contoso.com", client_id="c", ca_bundle=bundle, session=session)
    app.use_credential("the-secret")
    with pytest.raises(TokenError):
        app.for_app()
    assert [options["verify"] for options in network.options] == [bundle or "/theirs.pem"] * 2
    for request in network.asked:
        assert "Authorization" not in request.headers
        assert not [name for name in request.headers if "telemetry" in name.lower()]
