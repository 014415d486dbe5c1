"""Loopback ports for the local stack: which are free, and one clear error when a wanted one is not.

Nothing here listens: a port is probed, released and handed to the process that will use it.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack

LOOPBACK = "127.0.0.1"


class PortInUse(Exception):
    """A port that was asked for by number is already taken; the message is the line a person should read."""

    def __init__(self, port: int, name: str) -> None:
        super().__init__(f"{name}: port {port} on {LOOPBACK} is in use; stop what uses it or choose another port")
        self.port = port
        self.name = name


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


def choose(wanted: dict[str, int]) -> dict[str, int]:
    """Fill in a free port for each name whose wanted port is 0 and check the others.

    Raises:
        PortInUse: a port asked for by number is taken.
    """
    for name, port in wanted.items():
        if port and not is_free(port):
            raise PortInUse(port, name)
    found = iter(free_ports(sum(1 for port in wanted.values() if not port)))
    return {name: port or next(found) for name, port in wanted.items()}
