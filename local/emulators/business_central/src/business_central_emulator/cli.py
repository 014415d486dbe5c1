"""Command line: `business-central-emulator --port 7443 --cert bc.pem --key bc.key --ca-bundle ca.pem`."""

import argparse
import asyncio
import logging
from datetime import UTC, datetime, timedelta

from business_central_emulator.data.clock import ScaledClock
from business_central_emulator.engine import (
    DEFAULT_ENVIRONMENT,
    DEFAULT_TENANT_DOMAIN,
    DEFAULT_TENANT_ID,
    BusinessCentral,
)
from business_central_emulator.server.limits import accept_good_tokens
from business_central_emulator.server.service import business_central
from business_central_emulator.server.serving import Endpoint, serve, server_tls
from business_central_emulator.server.tokens import JwtCheck
from business_central_emulator.webhooks.subscriptions import MAYBE_SUPPORTED


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="business-central-emulator", description="Business Central API v2.0 emulator")
    parser.add_argument("--port", type=int, default=7443, help="0 takes a free port, which is printed")
    parser.add_argument("--cert", help="server certificate (PEM); without it the server speaks plain HTTP")
    parser.add_argument("--key", help="key of the certificate (PEM); by default in the certificate's file")
    parser.add_argument("--ca-bundle", help="CAs trusted for webhooks and for --jwks-url (PEM)")
    parser.add_argument("--speed", type=float, default=1.0, help="how much faster than real time the clock runs")
    parser.add_argument("--offset", type=float, default=0.0, help="seconds to put the clock ahead")
    parser.add_argument("--webhook-delay", type=float, default=30.0, help="seconds from first change to notification")
    parser.add_argument("--seed", type=int, default=1, help="seed of all ids and rolls")
    parser.add_argument("--tenant-id", default=DEFAULT_TENANT_ID)
    parser.add_argument("--tenant-domain", default=DEFAULT_TENANT_DOMAIN)
    parser.add_argument("--environment", default=DEFAULT_ENVIRONMENT)
    parser.add_argument("--jwks-url", help="keys of the token issuer; without it any token good-<name> is accepted")
    parser.add_argument("--issuer", action="append", default=[], help="accepted issuer (repeatable)")
    parser.add_argument("--enforce-limits", action="store_true", help="answer 429 beyond BC's request limits")
    parser.add_argument("--gzip", action="store_true", help="compress answers for clients that take it, as BC does")
    parser.add_argument("--shop", action="store_true", help="publish the custom API contoso/shop/v1.0 with a few rows")
    parser.add_argument(
        "--without-webhook",
        action="append",
        default=[],
        choices=MAYBE_SUPPORTED,
        help="do not offer this entity set to webhooks (repeatable)",
    )
    return parser.parse_args(argv)


def build(arguments: argparse.Namespace) -> BusinessCentral:
    """Return the engine that the arguments describe."""
    clock = ScaledClock(speed=arguments.speed, start=datetime.now(UTC) + timedelta(seconds=arguments.offset))
    check = accept_good_tokens
    if arguments.jwks_url:
        check = JwtCheck(arguments.jwks_url, issuers=arguments.issuer, ca_bundle=arguments.ca_bundle)
    return BusinessCentral(
        clock,
        seed=arguments.seed,
        tenant_id=arguments.tenant_id,
        tenant_domain=arguments.tenant_domain,
        environment=arguments.environment,
        check_token=check,
        webhook_delay_s=arguments.webhook_delay,
        optional_resources=tuple(name for name in MAYBE_SUPPORTED if name not in arguments.without_webhook),
        enforce_limits=arguments.enforce_limits,
        has_shop=arguments.shop,
    )


def main() -> None:
    """Serve until interrupted or terminated."""
    arguments = parse_arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    tls = server_tls(arguments.cert, arguments.key or arguments.cert) if arguments.cert else None
    app = business_central(build(arguments), ca_bundle=arguments.ca_bundle, compresses=arguments.gzip)
    asyncio.run(serve("business central", [Endpoint(application=app, port=arguments.port, tls=tls)]))
