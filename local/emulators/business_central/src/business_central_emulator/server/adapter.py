"""Mounts an engine into a `requests.Session`, in process: same library, same exceptions, no sockets.

Scripted faults become what `requests` raises for them: a reset connection `ConnectionError`, a missing answer
`ReadTimeout`, a cut body `ChunkedEncodingError` while the body is read. MSAL takes such a session as `http_client`.
"""

import io
from collections.abc import Callable, Mapping
from http import HTTPStatus

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3 import HTTPHeaderDict, HTTPResponse

from business_central_emulator.server.exchange import Engine, Request, Response, Transport


class EngineAdapter(BaseAdapter):
    """A transport adapter that answers from an engine; may be shared by threads."""

    def __init__(self, engine: Engine, *, on_delay: Callable[[float], object] | None = None) -> None:
        super().__init__()
        self._engine = engine
        self._on_delay = on_delay  # called with the modelled seconds of an answer, e.g. VirtualClock.advance
        self._builder = HTTPAdapter()

    def send(  # type: ignore[override] # the base class is untyped here
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float | None, float | None] | None = None,
        verify: bool | str = True,
        cert: str | tuple[str, str] | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Answer one request.

        Raises:
            requests.ConnectionError: the script resets the connection.
            requests.ReadTimeout: the script lets the client wait, or the modelled delay is longer than its timeout.
        """
        del stream, verify, cert, proxies  # nothing to verify or to tunnel in process
        plain = _plain(request)
        with self._engine.turn(plain) as has_place:
            if not has_place:
                return self._builder.build_response(request, _raw(Response(status=429), plain.method))
            answer = self._engine.handle(plain)
            self._spend(answer, timeout, request)
        return self._builder.build_response(request, _raw(answer, plain.method))

    def close(self) -> None:
        """Nothing to close."""

    def _spend(
        self,
        answer: Response,
        timeout: float | tuple[float | None, float | None] | None,
        request: requests.PreparedRequest,
    ) -> None:
        """Let the modelled time pass, then lose the answer if the script or the client's patience says so."""
        patience_s = timeout[1] if isinstance(timeout, tuple) else timeout
        is_silent = answer.transport is Transport.TIMEOUT
        is_late = is_silent or (patience_s is not None and answer.delay_s > patience_s)
        passed_s = (patience_s or 0.0) if is_late else answer.delay_s
        if self._on_delay is not None and passed_s:
            self._on_delay(passed_s)
        if answer.transport is Transport.RESET:
            raise requests.ConnectionError("Connection aborted: reset by peer (scripted)", request=request)
        if is_late:
            raise requests.ReadTimeout("Read timed out (scripted)", request=request)


def mount(session: requests.Session, adapter: EngineAdapter, origin: str) -> requests.Session:
    """Answer everything under an origin from the engine; the session reaches other origins as before."""
    session.mount(origin, adapter)
    return session


def session_for(engines: Mapping[str, Engine]) -> requests.Session:
    """Return a session that reaches each engine under its origin and nothing else on the network."""
    session = requests.Session()
    session.adapters.clear()
    for origin, engine in engines.items():
        mount(session, EngineAdapter(engine), f"{origin}/")
    return session


def _plain(request: requests.PreparedRequest) -> Request:
    body = request.body or b""
    return Request(
        method=(request.method or "GET").upper(),
        url=request.url or "",
        headers=dict(request.headers),
        body=body.encode() if isinstance(body, str) else bytes(body),
    )


def _raw(answer: Response, method: str) -> HTTPResponse:
    headers = HTTPHeaderDict(answer.headers)
    body = answer.body
    headers["Content-Length"] = str(len(body))
    if answer.transport is Transport.TRUNCATED:
        body = body[: len(body) // 2]
    reason = HTTPStatus(answer.status).phrase
    return HTTPResponse(
        body=io.BytesIO(body),
        headers=headers,
        status=answer.status,
        reason=reason,
        preload_content=False,
        enforce_content_length=True,
        request_method=method,
    )
