"""The command lines of the stack's emulators: which program, with which addresses of the others."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from local.emulators.entra.directory import DOMAIN, IDENTITY_OBJECT_ID, TENANT_ID
from local.emulators.entra.engine import KEYS
from local.emulators.entra.tokens import v1_issuer
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
            {
                "--authority": authority,
                "--issuer": v1_issuer(TENANT_ID),
                "--jwks-url": keys,
                "--ca-bundle": str(tls.ca),
                "--allow": IDENTITY_OBJECT_ID,
            },
        ),
        "tls_proxy": ("public", {"--target": addresses.http("host")}),
    }
    return {
        **{name: _command(name, addresses.ports[port], tls, own) for name, (port, own) in options.items()},
        "business_central": environment_command(
            addresses.ports["business_central"], addresses, tls, (TENANT_ID, DOMAIN), webhook_delay_s=webhook_delay_s,
            options=business_central_options,
        ),
    }  # fmt: skip


def environment_command(
    port: int, addresses: Addresses, tls: TlsFiles, tenant: tuple[str, str], *, webhook_delay_s: float,
    options: tuple[str, ...],
) -> list[str]:  # fmt: skip
    """Give the command line of one environment of Business Central; `tenant`: its GUID and domain."""
    tenant_id, domain = tenant
    own = {
        "--ca-bundle": str(tls.ca),
        "--jwks-url": f"{addresses.https('login')}/{tenant_id}/{KEYS}",
        "--issuer": v1_issuer(tenant_id),
        "--tenant-id": tenant_id,
        "--tenant-domain": domain,
        "--webhook-delay": str(webhook_delay_s),
    }
    return [*_command("business_central", port, tls, own), "--shop", *options]


def _command(name: str, port: int, tls: TlsFiles, own: Mapping[str, str]) -> list[str]:
    given = {"--port": str(port), "--cert": str(tls.cert), "--key": str(tls.key), **own}
    return [sys.executable, "-m", MODULES[name], *(word for pair in given.items() for word in pair)]
