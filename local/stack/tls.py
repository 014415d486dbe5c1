"""The local certificate authority: one CA and one server certificate for loopback, kept while they last.

The CA's key is never written, so nobody can issue further certificates for a machine that trusts it.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.exceptions import InvalidSignature

NAMES = ("localhost", "127.0.0.1")
LIFETIME = timedelta(days=30)
RENEW_BEFORE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of the PEM files, each readable by its owner only."""

    ca: Path
    cert: Path
    key: Path

    @property
    def are_complete(self) -> bool:
        """Whether all of them are there."""
        return self.ca.is_file() and self.cert.is_file() and self.key.is_file()


def ensure_certificates(folder: Path, *, now: datetime | None = None) -> TlsFiles:
    """Give the certificate files of `folder`, made anew when missing, broken or within a day of their end."""
    now = now or datetime.now(UTC)
    files = TlsFiles(ca=folder / "ca.pem", cert=folder / "server.pem", key=folder / "server.key")
    if not _is_usable(files, now):
        _issue(files, now)
    return files


def _is_usable(files: TlsFiles, now: datetime) -> bool:
    if not files.are_complete:
        return False
    try:
        server = x509.load_pem_x509_certificate(files.cert.read_bytes())
        authority = x509.load_pem_x509_certificate(files.ca.read_bytes())
        server.verify_directly_issued_by(authority)
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(files.cert, files.key)
    except (ValueError, TypeError, ssl.SSLError, InvalidSignature):
        return False
    ends = min(server.not_valid_after_utc, authority.not_valid_after_utc)
    return server.not_valid_before_utc <= now < ends - RENEW_BEFORE


def _issue(files: TlsFiles, now: datetime) -> None:
    files.ca.parent.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA(organization_name="Local stack")
    server = authority.issue_cert(*NAMES, not_before=now - timedelta(hours=1), not_after=now + LIFETIME)
    chain = b"".join(blob.bytes() for blob in server.cert_chain_pems)
    for path, content in (
        (files.key, server.private_key_pem.bytes()),
        (files.cert, chain),
        (files.ca, authority.cert_pem.bytes()),
    ):
        _write_private(path, content)


def _write_private(path: Path, content: bytes) -> None:
    """Replace a file in one step, mode 600 from the first byte."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    draft.replace(path)
