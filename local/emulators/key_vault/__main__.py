"""`python -m local.emulators.key_vault`: the vault over TLS on loopback. Secrets are seeded by its control path."""

from __future__ import annotations

import argparse
import asyncio

from business_central_emulator.server.serving import Endpoint, add_tls_options, application, serve, server_tls

from local.emulators.key_vault.access import Access, keys_at
from local.emulators.key_vault.engine import VaultEngine


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m local.emulators.key_vault", description=__doc__)
    add_tls_options(parser)
    parser.add_argument("--authority", required=True, help="<login>/<tenant>, named in the challenge")
    parser.add_argument("--issuer", help="of the vault's tenant; without it tokens of every tenant are taken")
    parser.add_argument("--jwks-url", required=True, help="where the login publishes its signing keys")
    parser.add_argument("--ca-bundle", required=True, help="PEM file that the login's certificate is checked against")
    parser.add_argument("--allow", action="append", default=[], help="object id let in (repeatable; none: everyone)")
    options = parser.parse_args()
    access = Access(
        authority=options.authority,
        keys=keys_at(options.jwks_url, options.ca_bundle),
        allowed=frozenset(options.allow) or None,
        issuer=options.issuer,
    )
    tls = server_tls(options.cert, options.key)
    asyncio.run(
        serve("key_vault", [Endpoint(application=application(VaultEngine(access)), port=options.port, tls=tls)])
    )


if __name__ == "__main__":
    main()
