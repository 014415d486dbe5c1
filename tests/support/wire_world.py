"""A network that answers from a list and keeps what was asked; tokens that count."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3 import HTTPHeaderDict, HTTPResponse

API = "https://api.example"


@dataclass
class Answer:
    """One answer of the network; `raises` instead of it."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    raises: Exception | None = None
    on_read: Callable[[], object] | None = None  # called when the body is read


class Network(BaseAdapter):
    """Answers from a list, the last one for ever; keeps the requests."""

    def __init__(self, *answers: Answer) -> None:
        super().__init__()
        self.answers = list(answers)
        self.asked: list[requests.PreparedRequest] = []
        self.options: list[dict[str, object]] = []

    def send(self, request: requests.PreparedRequest, *_: Any, **options: Any) -> requests.Response:
        """Answer one request."""
        self.asked.append(request)
        self.options.append(options)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer.raises is not None:
            raise answer.raises
        raw = HTTPResponse(
            body=_Body(answer), headers=HTTPHeaderDict(answer.headers), status=answer.status, preload_content=False
        )
        return HTTPAdapter().build_response(request, raw)

    def close(self) -> None:
        """Nothing is open."""

    def session(self) -> requests.Session:
        """A session that reaches this network only."""
        session = requests.Session()
        session.trust_env = False
        session.mount("https://", self)
        session.mount("http://", self)
        return session


class _Body(io.BytesIO):
    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.body)
        self._answer = answer

    def read(self, size: int | None = -1, /) -> bytes:
        if self._answer.on_read is not None:
            self._answer.on_read()
        return super().read(size)


@dataclass
class Tokens:
    """Gives token-1 until it is discarded, then token-2, and so on."""

    number: int = 1
    discarded: list[str] = field(default_factory=list)

    def token(self) -> str:
        """The token in force."""
        return f"token-{self.number}"

    def discard(self, token: str) -> None:
        """Move on to the next."""
        self.discarded.append(token)
        self.number += 1
