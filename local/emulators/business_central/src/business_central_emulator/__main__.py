"""Command line: `python -m business_central_emulator --port 7443 --cert bc.pem --key bc.key --ca-bundle ca.pem`."""

import argparse
import asyncio
import logging
import signal
from datetime import UTC, datetime, timedelta

from business_central_emulator.clock import ScaledClock
from business_central_emulator.engine import (
    DEFAULT_ENVIRONMENT,
    DEFAULT_TENANT_DOMAIN,
    DEFAULT_TENANT_ID,
    BusinessCentral,
)
from business_central_emulator.limits import accept_good_tokens
from business_central_emulator.server import Server, ServerOptions
from business_central_emulator.subscriptions import MAYBE_SUPPORTED
from business_central_emulator.tokens import JwtCheck


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="business_central_emulator", description="Business Central API v2.0 emulator")
    parser.add_argument("--port", type=int, default=7443, help="0 takes a free port, which is printed")
    parser.add_argument("--cert", help="server certificate (PEM); without it the server speaks plain HTTP")
    parser.add_argument("--key", help="key of the certificate (PEM)")
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
    parser.add_argument(
        "--without-webhook",
        action="append",
        default=[],
        choices=MAYBE_SUPPORTED,
        help="do not offer this entity set to webhooks (repeatable)",
    )
    return parser.parse_args(argv)


def build(arguments: argparse.Namespace) -> Server:
    """Return the server that the arguments describe."""
    clock = ScaledClock(speed=arguments.speed, start=datetime.now(UTC) + timedelta(seconds=arguments.offset))
    check = accept_good_tokens
    if arguments.jwks_url:
        check = JwtCheck(arguments.jwks_url, issuers=arguments.issuer, ca_bundle=arguments.ca_bundle)
    engine = BusinessCentral(
        clock,
        seed=arguments.seed,
        tenant_id=arguments.tenant_id,
        tenant_domain=arguments.tenant_domain,
        environment=arguments.environment,
        check_token=check,
        webhook_delay_s=arguments.webhook_delay,
        optional_resources=tuple(name for name in MAYBE_SUPPORTED if name not in arguments.without_webhook),
        enforce_limits=arguments.enforce_limits,
    )
    options = ServerOptions(port=arguments.port, cert=arguments.cert, key=arguments.key, ca_bundle=arguments.ca_bundle)
    return Server(engine, options)


async def run(server: Server) -> None:
    """Serve until interrupted or terminated."""
    await server.start()
    scheme = "https" if server.options.cert else "http"
    print(f"business central ready on {scheme}://{server.options.host}:{server.port}", flush=True)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    await stop.wait()
    await server.stop()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    asyncio.run(run(build(parse_arguments())))
