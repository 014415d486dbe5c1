"""Loopback ports for the local stack: where its parts are by default, which are free, and one clear error.

Nothing here listens: a port is probed, released and handed to the process that will use it.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Final

LOOPBACK = "127.0.0.1"
#: Where a stack that stays up is found: Core Tools' port for the host, Azurite's well-known ones for storage.
DEFAULT_PORTS: Final[dict[str, int]] = {
    "host": 7071,
    "public": 7443,
    "login": 8443,
    "identity": 8081,
    "key_vault": 8444,
    "business_central": 9443,
    "blob": 10000,
    "queue": 10001,
    "table": 10002,
}


class PortInUse(Exception):
    """Ports that were asked for by number are taken; the message is the line a person should read."""

    def __init__(self, taken: Mapping[str, int]) -> None:
        """Take the taken ports by the name of what was to listen there."""
        ports = ", ".join(f"{name}: port {port}" for name, port in taken.items())
        verb, what, other = ("is", "it", "another port") if len(taken) == 1 else ("are", "them", "other ports")
        super().__init__(f"{ports} on {LOOPBACK} {verb} in use; stop what uses {what} or choose {other}")
        self.taken = dict(taken)


def is_free(port: int) -> bool:
    """Tell whether a server could bind the port on loopback now (a port in TIME_WAIT counts as free)."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def accepts(port: int, *, timeout_s: float = 0.2) -> bool:
    """Tell whether something accepts connections on the port."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout_s):
            return True
    except OSError:
        return False


def free_ports(count: int) -> list[int]:
    """Give `count` different free ports; all are held open until the last is known, so none comes twice."""
    with ExitStack() as held:
        ports: list[int] = []
        for _ in range(count):
            probe = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            probe.bind((LOOPBACK, 0))
            ports.append(int(probe.getsockname()[1]))
        return ports


def choose(wanted: Mapping[str, int]) -> dict[str, int]:
    """Fill in a free port for each name whose wanted port is 0 and check the others.

    Raises:
        PortInUse: ports asked for by number are taken; names all of them.
    """
    taken = {name: port for name, port in wanted.items() if port and not is_free(port)}
    if taken:
        raise PortInUse(taken)
    found = iter(free_ports(sum(1 for port in wanted.values() if not port)))
    return {name: port or next(found) for name, port in wanted.items()}
