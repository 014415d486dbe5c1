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


class _BoundedReads(io.RawIOBase):
    """The bytes of a socket, each read of which waits at most for what is left."""

    def __init__(self, raw: Any, sock: Any) -> None:
        self._raw = raw
        self._sock = sock
        self._patience_s: float | None = sock.gettimeout()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        ends_at = getattr(_current, "ends_at", None)
        if ends_at is not None:
            left_s = ends_at - monotonic()
            if left_s <= 0:
                raise TimeoutError("the answer took too long")
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


def _check_time() -> None:
    """Raise where the time was over before a request could be sent, as a look-up of the name took so long."""
    ends_at = getattr(_current, "ends_at", None)
    if ends_at is not None and monotonic() >= ends_at:
        raise TimeoutError("to connect took too long")


class _Connection(HTTPConnection):
    response_class = _BoundedResponse

    def connect(self) -> None:
        super().connect()
        _check_time()


class _SecureConnection(HTTPSConnection):
    response_class = _BoundedResponse

    def connect(self) -> None:
        super().connect()
        _check_time()


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
