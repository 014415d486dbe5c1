"""Engines behind a `requests.Session`: the same emulator in a test's own process, with no socket, thread or sleep.

MSAL takes such a session as `http_client`. Delays do not pass time: one longer than the caller's read timeout raises
what `requests` raises then, a shorter one is only added up in `waited_s`.
"""

from __future__ import annotations

from collections.abc import Mapping

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from business_central_emulator.exchange import Engine, Request


class EngineAdapter(BaseAdapter):
    """A transport adapter that hands each request to an engine."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.waited_s = 0.0  # delays that a caller would have sat through
        self._engine = engine

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: ARG002 the signature is the library's
        timeout: float | tuple[float | None, float | None] | None = None,
        verify: bool | str = True,  # noqa: ARG002
        cert: object = None,  # noqa: ARG002
        proxies: Mapping[str, str] | None = None,  # noqa: ARG002
    ) -> requests.Response:
        """Answer from the engine.

        Raises:
            requests.ConnectionError: the answer is dropped.
            requests.ReadTimeout: the answer comes later than the caller waits.
        """
        body = request.body or b""
        answer = self._engine.handle(
            Request(
                method=str(request.method).upper(),
                url=str(request.url),
                headers={name.lower(): value for name, value in request.headers.items()},
                body=body.encode() if isinstance(body, str) else bytes(body),
            )
        )
        patience_s = timeout[1] if isinstance(timeout, tuple) else timeout
        if patience_s is not None and answer.delay_s > patience_s:
            raise requests.ReadTimeout(f"no answer within {patience_s} s", request=request)
        self.waited_s += answer.delay_s
        if answer.is_dropped:
            raise requests.ConnectionError("the connection was closed before an answer came", request=request)
        response = requests.Response()
        response.status_code = answer.status
        response.headers = CaseInsensitiveDict(answer.headers)
        response._content = answer.body  # noqa: SLF001 how requests' own adapters' tests fill a response
        response.encoding = "utf-8"
        response.url = str(request.url)
        response.request = request
        return response

    def close(self) -> None:
        """Nothing is held open."""


def session_for(engines: Mapping[str, Engine]) -> requests.Session:
    """Give a session that reaches each engine under its origin and nothing else on the network."""
    session = requests.Session()
    session.adapters.clear()
    for origin, engine in engines.items():
        session.mount(f"{origin}/", EngineAdapter(engine))
    return session
