"""The local certificates: private to their owner, trusted through their CA, and made anew before they end."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from business_central_emulator.server.exchange import Engine, Request, Response, json_response
from business_central_emulator.server.serving import server_tls
from business_central_emulator.server.threaded import served
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from local.stack.tls import LIFETIME, ensure_certificates


class Answering(Engine):
    """An engine that answers everything."""

    def handle(self, request: Request) -> Response:
        return json_response(200, {"path": request.path})


def test_only_the_owner_may_read_the_files(tmp_path: Path) -> None:
    """Certificate, key and CA have mode 600."""
    files = ensure_certificates(tmp_path / "tls")
    assert {stat.S_IMODE(path.stat().st_mode) for path in (files.ca, files.cert, files.key)} == {0o600}


def test_both_loopback_names_are_trusted_through_the_ca_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client with the CA connects by name and by address; one without it does not."""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    files = ensure_certificates(tmp_path)
    with served(Answering(), server_tls(str(files.cert), str(files.key))) as origin:
        for address in (origin, origin.replace("localhost", "127.0.0.1")):
            assert requests.get(f"{address}/x", verify=str(files.ca), timeout=5).json() == {"path": "/x"}
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(origin, timeout=5)


def test_certificates_are_kept_until_a_day_before_their_end(tmp_path: Path) -> None:
    """A restart changes nothing; the last day brings new ones."""
    first = ensure_certificates(tmp_path).cert.read_bytes()
    now = datetime.now(UTC)
    assert ensure_certificates(tmp_path, now=now + LIFETIME - timedelta(days=2)).cert.read_bytes() == first
    renewed = ensure_certificates(tmp_path, now=now + LIFETIME - timedelta(hours=12)).cert.read_bytes()
    assert renewed != first
    assert x509.load_pem_x509_certificate(renewed).not_valid_after_utc > now + LIFETIME


@pytest.mark.parametrize("name", ["ca.pem", "server.pem", "server.key"])
def test_a_missing_or_broken_file_is_repaired(tmp_path: Path, name: str) -> None:
    """Half a set, an empty file or files of two sets are replaced together."""
    other = ensure_certificates(tmp_path / "other")
    files = ensure_certificates(tmp_path / "tls")
    broken = files.ca.parent / name
    for spoil in (broken.unlink, lambda: broken.write_text(""), lambda: (other.ca.parent / name).replace(broken)):
        spoil()
        repaired = ensure_certificates(tmp_path / "tls")
        server = x509.load_pem_x509_certificate(repaired.cert.read_bytes())
        server.verify_directly_issued_by(x509.load_pem_x509_certificate(repaired.ca.read_bytes()))
        key = serialization.load_pem_private_key(repaired.key.read_bytes(), password=None)
        assert key.public_key() == server.public_key()
        server_tls(str(repaired.cert), str(repaired.key))
