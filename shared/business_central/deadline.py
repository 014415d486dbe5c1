"""A session whose every answer ends by a deadline, however slowly it comes.

A time-out of `requests` bounds the wait for the next bytes and not the whole: an answer of 12 bytes that come one a
second took 12 s of an allowed 2. Here each read from the socket waits no longer than what is left, headers included,
and then fails as a read that timed out.
"""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from http.cookiejar import DefaultCookiePolicy
from time import monotonic
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

_current: Final = threading.local()  # `ends_at` of the request that this thread makes, on the monotonic clock


@contextmanager
def ends_within(seconds: float) -> Iterator[None]:
    """Let every read of this thread from a session of `bounded_session` end by then."""
    _current.ends_at = monotonic() + seconds
    try:
        yield
    finally:
        _current.ends_at = None


def _left_s() -> float | None:
    """Return what is left for this thread's request, None where it has no limit. Raises TimeoutError at its end."""
    ends_at = getattr(_current, "ends_at", None)
    if ends_at is None:
        return None
    left_s: float = ends_at - monotonic()
    if left_s <= 0:
        raise TimeoutError("the request took too long")
    return left_s


class _BoundedReads(io.RawIOBase):
    """The bytes of a socket, each read of which waits at most for what is left."""

    def __init__(self, raw: Any, sock: Any) -> None:
        self._raw = raw
        self._sock = sock
        self._patience_s: float | None = sock.gettimeout()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left_s = _left_s()
        if left_s is not None:
            self._sock.settimeout(left_s if self._patience_s is None else min(left_s, self._patience_s))
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _BoundedResponse(HTTPResponse):
    def __init__(self, sock: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp = io.BufferedReader(_BoundedReads(self.fp.detach(), sock))


class _Connection(HTTPConnection):
    response_class = _BoundedResponse

    def connect(self) -> None:
        super().connect()
        _left_s()  # else a request would leave after its time, as no time-out bounds the look-up of a name


class _SecureConnection(_Connection, HTTPSConnection):
    """The same over TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS: Final = {"http": _Pool, "https": _SecurePool}


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = _POOLS
        return manager


def bounded_session() -> requests.Session:
    """Return a session for `ends_within`, which keeps no cookies: nobody asked for any, and odd ones break requests."""
    session = requests.Session()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("https://", "http://"):
        session.mount(scheme, _Adapter())
    return session
