"""HTTP requests and answers as plain values, read by the rules of Kestrel and ASP.NET, the script host's server. Pure.

A path is decoded once, but for ``%2F``, which stays; dot segments are resolved then; what is no UTF-8 stays encoded.
"""

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import quote, unquote_to_bytes

Pairs = tuple[tuple[str, str], ...]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ESCAPES = re.compile(rb"(?:%(?!2[fF])[0-9a-fA-F]{2})+")
_LONE_PERCENT = re.compile("%(?![0-9a-fA-F]{2})")
_VALUE = re.compile("[\x20-\x7e\t]*")
_PATH_SAFE = "!$&'()*+,/:;=@-._~%"
_METHODS = {"GET", "PUT", "DELETE", "POST", "HEAD", "TRACE", "PATCH", "CONNECT", "OPTIONS"}


class BadRequestError(Exception):
    """A request that is refused before anything looks at it; ``status`` says how."""

    def __init__(self, status: int) -> None:
        super().__init__(f"{status}")
        self.status = status


class BadHeaderError(ValueError):
    """A header of an answer that cannot be sent."""


@dataclass(frozen=True)
class Request:
    """A request whose body may still be on its way."""

    method: str
    path: str  # decoded
    query_text: str  # with its question mark, as it was sent
    headers: Pairs
    content_length: int | None  # None = no length was given: no body, or a chunked one
    read_body: Callable[[], Awaitable[bytes]]  # raises EOFError when the client goes away, ValueError for bad chunks

    def header(self, name: str) -> str | None:
        """Return a header's values joined with commas, None if there is none."""
        return self.joined_headers.get(name.lower())

    @property
    def joined_headers(self) -> dict[str, str]:
        """Return headers by lower-case name, several values joined with commas."""
        return joined((name.lower(), value) for name, value in self.headers)

    @property
    def query(self) -> dict[str, str]:
        """Return query values by name; values that are empty are left out, several are joined with commas."""
        values: dict[str, list[str]] = {}
        names: dict[str, str] = {}
        for name, value in query_pairs(self.query_text):
            values.setdefault(name.casefold(), []).append(value)
            names[name.casefold()] = name  # the last spelling stays
        return {names[key]: text for key, found in values.items() if (text := ",".join(filter(None, found)))}

    @property
    def url(self) -> str:
        """Return the absolute URL as a function sees it.

        Raises:
            ValueError: the host is empty.
        """
        host = self.header("host")
        if not host:
            raise ValueError("no host")
        path = quote(_LONE_PERCENT.sub("%25", self.path), safe=_PATH_SAFE)
        return f"http://{host}{path}{self.query_text}"


@dataclass(frozen=True)
class Response:
    """An answer."""

    status: int = 200
    headers: Pairs = ()
    body: bytes = field(default=b"", repr=False)

    @property
    def reason(self) -> str:
        """Return the phrase of the status, empty for one without."""
        try:
            return HTTPStatus(self.status).phrase
        except ValueError:
            return ""


def joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return pairs as a dictionary, several values of a name joined with commas."""
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: ",".join(values) for name, values in found.items()}


def query_pairs(text: str) -> list[tuple[str, str]]:
    """Return the names and values of a query, in order; a name without ``=`` has an empty value."""
    pairs = [part.partition("=") for part in text.removeprefix("?").split("&") if part]
    return [(_unescaped(name.replace("+", " ")), _unescaped(value.replace("+", " "))) for name, _, value in pairs]


def _unescaped(text: str) -> str:
    return unquote_to_bytes(text).decode("utf-8", "replace")


def read_request_line(line: bytes) -> tuple[str, str, str, str]:
    """Return method, decoded path, query and version of a request line.

    Raises:
        BadRequestError: it is none.
    """
    try:
        method, target, version = line.decode("ascii").split(" ")
    except ValueError:
        raise BadRequestError(400) from None
    if not _TOKEN.fullmatch(method) or version not in {"HTTP/1.1", "HTTP/1.0"}:
        raise BadRequestError(400)
    if target.lower().startswith("http://"):
        target = "/" + target[7:].partition("/")[2]
    raw_path, mark, query = target.partition("?")
    if not raw_path.startswith("/") and raw_path != "*":
        raise BadRequestError(400)
    return method.upper() if method.upper() in _METHODS else method, decode_path(raw_path), mark + query, version


def decode_path(raw: str) -> str:
    """Return a path as routes see it.

    Raises:
        BadRequestError: it holds a zero byte.
    """

    def decoded(match: re.Match[bytes]) -> bytes:
        try:
            plain = unquote_to_bytes(match.group())
            plain.decode()
        except UnicodeDecodeError:
            return match.group()
        if 0 in plain:
            raise BadRequestError(400)
        return plain

    path = _ESCAPES.sub(decoded, raw.encode()).decode()
    if "/." not in path:
        return path
    kept: list[str] = []
    parts = path.split("/")[1:]
    for part in parts:
        if part == "..":
            kept = kept[:-1]
        elif part != ".":
            kept.append(part)
    return "/" + "/".join([*kept, ""] if parts[-1] in {".", ".."} else kept)


def read_header(line: bytes) -> tuple[str, str]:
    """Return name and value of a header line.

    Raises:
        BadRequestError: it is none, or its value is not UTF-8.
    """
    name, colon, value = line.partition(b":")
    try:
        text = value.decode().strip(" \t")
        header = name.decode("ascii")
    except UnicodeDecodeError:
        raise BadRequestError(400) from None
    if not colon or not _TOKEN.fullmatch(header) or "\0" in text:
        raise BadRequestError(400)
    return header, text


def check_header(name: str, value: str) -> None:
    """Refuse a header of an answer that cannot be sent.

    Raises:
        BadHeaderError: a name that is no token, or a value that is not printable ASCII.
    """
    if not _TOKEN.fullmatch(name):
        raise BadHeaderError(f"header name {name!r}")
    if not _VALUE.fullmatch(value):
        raise BadHeaderError(f"header {name} has a value that cannot be sent")


def wire_form(response: Response, *, method: str, version: str) -> bytes:
    """Return an answer as bytes; the body is chunked unless the function gave its length."""
    names = {name.lower() for name, _ in response.headers}
    bodiless = response.status in {204, 304} or method == "HEAD"
    body = b"" if bodiless or response.status == 205 else response.body
    framing = b""
    if not names & {"content-length", "transfer-encoding"} and not 100 <= response.status < 200 and not bodiless:
        if not body:
            framing = b"Content-Length: 0\r\n"
        elif version == "HTTP/1.1":
            framing = b"Transfer-Encoding: chunked\r\n"
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    head = f"HTTP/1.1 {response.status} {response.reason}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in response.headers)
    return head.encode("latin-1") + framing + b"\r\n" + body
