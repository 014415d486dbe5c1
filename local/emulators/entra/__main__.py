"""`python -m local.emulators.entra`: the login over TLS and the managed identity endpoint over HTTP, both on loopback.

It has two tenants. Secrets come by environment, not by option, so that they are not in the process list:
`LOGIN_CLIENT_SECRET`, `LOGIN_READER_CLIENT_SECRET`,
`LOGIN_FURTHER_CLIENT_SECRET` (of the second tenant) and `LOGIN_IDENTITY_HEADER`.
"""

from __future__ import annotations

import argparse
import asyncio
import os

from business_central_emulator.server.serving import Endpoint, add_tls_options, application, serve, server_tls

from local.emulators.entra.directory import demo_directory, further_directory
from local.emulators.entra.engine import LoginEngine


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m local.emulators.entra", description=__doc__)
    add_tls_options(parser)
    parser.add_argument("--identity-port", type=int, required=True, help="loopback port of the identity endpoint")
    parser.add_argument("--redirect-uri", action="append", default=[], help="registered redirect URI (repeatable)")
    options = parser.parse_args()
    engine = LoginEngine(
        demo_directory(
            redirect_uris=options.redirect_uri,
            client_secret=os.environ.get("LOGIN_CLIENT_SECRET", ""),
            reader_secret=os.environ.get("LOGIN_READER_CLIENT_SECRET", ""),
        ),
        further_directory(
            redirect_uris=options.redirect_uri, client_secret=os.environ.get("LOGIN_FURTHER_CLIENT_SECRET", "")
        ),
        identity_header=os.environ.get("LOGIN_IDENTITY_HEADER", "local"),
    )
    asyncio.run(
        serve(
            "login",
            [
                Endpoint(application=application(engine), port=options.identity_port),
                Endpoint(application=application(engine), port=options.port, tls=server_tls(options.cert, options.key)),
            ],
        )
    )


if __name__ == "__main__":
    main()
