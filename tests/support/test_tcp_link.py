"""A link passes bytes when it is open, and does to connections what its mode says."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.support.tcp_link import LOOPBACK, SLOW_S, Links


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that says back what it hears; its port."""
    with socket.create_server((LOOPBACK, 0)) as server:

        def answer(peer: socket.socket) -> None:
            with peer:
                try:
                    while heard := peer.recv(1000):
                        peer.sendall(heard)
                except OSError:
                    return

        def serve() -> None:
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(peer,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


@pytest.fixture
def links(echo: int) -> Iterator[Links]:
    with Links({"echo": echo}) as made:
        yield made


def connect(links: Links) -> socket.socket:
    return socket.create_connection((LOOPBACK, links.port("echo")), timeout=5)


def said(peer: socket.socket, word: bytes = b"hello") -> bytes:
    peer.sendall(word)
    return peer.recv(1000)


def test_an_open_link_passes_bytes_both_ways(links: Links) -> None:
    with connect(links) as peer:
        assert said(peer) == b"hello"
        assert said(peer, b"again") == b"again"


def test_a_cut_ends_what_is_connected_and_what_comes(links: Links) -> None:
    with connect(links) as peer:
        said(peer)
        links.set("echo", "cut")
        assert ended(peer)
    with connect(links) as later:
        assert ended(later)
    links.heal()
    with connect(links) as after:
        assert said(after) == b"hello"


def test_a_half_open_link_says_nothing_until_it_heals(links: Links) -> None:
    """Neither an answer nor an end; then the old connection is reset and a new one works."""
    with connect(links) as peer:
        said(peer)
        links.set("echo", "half-open")
        peer.settimeout(0.3)
        with pytest.raises(TimeoutError):
            said(peer)
        links.heal()
        peer.settimeout(5)
        assert ended(peer)
    with connect(links) as after:
        assert said(after) == b"hello"


def test_a_slow_link_is_late_each_way(links: Links) -> None:
    links.set("echo", "slow")
    with connect(links) as peer:
        began = time.monotonic()
        assert said(peer) == b"hello"
        assert time.monotonic() - began >= 2 * SLOW_S


def ended(peer: socket.socket) -> bool:
    """Say whether the other side has ended the connection."""
    try:
        return peer.recv(1000) == b""
    except ConnectionError:
        return True
