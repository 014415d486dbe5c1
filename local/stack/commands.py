"""The command lines of the stack's emulators: which program, with which addresses of the others."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from local.emulators.entra.directory import DOMAIN, IDENTITY_OBJECT_ID, TENANT_ID
from local.emulators.entra.engine import KEYS
from local.stack.tls import TlsFiles

MODULES = {
    "login": "local.emulators.entra",
    "key_vault": "local.emulators.key_vault",
    "business_central": "business_central_emulator",
    "tls_proxy": "local.stack.tls_proxy",
}
CALLBACK = "/api/connect/callback"  # registered with the login under the app's public address


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where everything is: ports by name, all on loopback."""

    ports: Mapping[str, int]

    def https(self, name: str) -> str:
        """Give the origin of a TLS server, by the name its certificate has."""
        return f"https://localhost:{self.ports[name]}"

    def http(self, name: str) -> str:
        """Give the origin of a plain HTTP server."""
        return f"http://127.0.0.1:{self.ports[name]}"


def emulator_commands(
    addresses: Addresses, tls: TlsFiles, *, webhook_delay_s: float, business_central_options: tuple[str, ...]
) -> dict[str, list[str]]:
    """Give the command line of each emulator and of the proxy, by name."""
    ca = str(tls.ca)
    authority = f"{addresses.https('login')}/{TENANT_ID}"
    keys = f"{authority}/{KEYS}"
    options: dict[str, tuple[str, dict[str, str]]] = {
        "login": (
            "login",
            {
                "--identity-port": str(addresses.ports["identity"]),
                "--redirect-uri": f"{addresses.https('public')}{CALLBACK}",
            },
        ),
        "key_vault": (
            "key_vault",
            {"--authority": authority, "--jwks-url": keys, "--ca-bundle": ca, "--allow": IDENTITY_OBJECT_ID},
        ),
        "business_central": (
            "business_central",
            {
                "--ca-bundle": ca,
                "--jwks-url": keys,
                "--issuer": f"https://sts.windows.net/{TENANT_ID}/",
                "--tenant-id": TENANT_ID,
                "--tenant-domain": DOMAIN,
                "--webhook-delay": str(webhook_delay_s),
            },
        ),
        "tls_proxy": ("public", {"--target": addresses.http("host")}),
    }
    commands = {}
    for name, (port_name, own) in options.items():
        given = {"--port": str(addresses.ports[port_name]), "--cert": str(tls.cert), "--key": str(tls.key), **own}
        commands[name] = [sys.executable, "-m", MODULES[name], *(word for pair in given.items() for word in pair)]
    commands["business_central"] += ["--shop", *business_central_options]
    return commands
