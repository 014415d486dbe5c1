"""Sends recorded requests byte for byte, and reads answers without a library that would tidy them up."""

import base64
import hashlib
import re
import socket
import time
from dataclasses import dataclass
from typing import Any

_MIB = 1 << 20
_SHORTENED = re.compile(r"(?P<start>.*?)(?P<fill>.)(?P=fill)*\.\.\.\((?P<count>\d+) characters\)", re.DOTALL)


@dataclass(frozen=True)
class RawAnswer:
    """An answer as it came; `status` None when there was none."""

    status: int | None
    headers: list[tuple[str, str]]
    body: bytes
    interim: list[int]
    error: str = ""

    def header_set(self) -> list[tuple[str, str]]:
        """Return the headers by lower-case name, sorted, without what differs from one answer to the next."""
        kept = [(name.lower(), value) for name, value in self.headers]
        return sorted(pair for pair in kept if pair[0] not in {"date", "server", "connection"})


def unshortened(text: str) -> str:
    """Return a path or header value that the recording cut: what was repeated comes back."""
    found = _SHORTENED.fullmatch(text)
    if found is None:
        return text
    return found["start"] + found["fill"] * (int(found["count"]) - len(found["start"]))


def body_of(request: dict[str, Any]) -> bytes | None:
    """Return the body of a recorded request, None for one that has none or sends its parts itself."""
    if "body_base64" in request:
        return base64.b64decode(str(request["body_base64"]))
    if "body_bytes" not in request:
        return None
    fill = str(request["body_note"])[2:3].encode()
    count = int(request["body_bytes"])
    if fill == b"[":  # a list of ones
        return b"[" + b"1," * ((count - 3) // 2) + b"1]"
    if fill == b"{":
        start, end = b'{"input":"', b'"}'
        return start + b"x" * (count - len(start) - len(end)) + end
    return fill * count


def parts_of(request: dict[str, Any]) -> list[float | bytes]:
    """Return what a recorded request sends after its headers: bytes, and waits in seconds."""
    parts: list[float | bytes] = []
    for part in request["sent"]:
        if isinstance(part, int | float):
            parts.append(float(part))
        elif part.endswith(" bytes"):
            parts.append(b"%x\r\n%b\r\n" % (_MIB, b"x" * _MIB))
        else:
            parts.append(base64.b64decode(part))
    if str(request["sent"][-1]).endswith(" bytes"):
        parts.append(b"0\r\n\r\n")  # one recorded part held the chunk and the end
    return parts


def send(port: int, request: dict[str, Any], fill: dict[str, str]) -> RawAnswer:
    """Send one request on a connection of its own; `fill` replaces the names of keys."""

    def filled(text: str) -> str:
        for name, value in fill.items():
            text = text.replace(name, value)
        return unshortened(text)

    headers = [(name, filled(value)) for name, value in request["headers"]]
    names = {name.lower() for name, _ in headers}
    body = body_of(request)
    head = f"{request['method']} {filled(request['path'])} HTTP/1.1\r\n"
    head += "" if "host" in names else "Host: localhost\r\n"
    head += "Connection: close\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in headers)
    if body is not None and "content-length" not in names and "sent" not in request:
        head += f"Content-Length: {len(body)}\r\n"
    parts: list[float | bytes] = parts_of(request) if "sent" in request else [body or b""]
    ends_early = "closed half" in request.get("case", "") or "cut off" in request.get("case", "")
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(b"\r\n".join(map(_encoded, head.split("\r\n"))) + b"\r\n")
        for part in parts:
            if isinstance(part, float):
                time.sleep(part)
            else:
                connection.sendall(part)
        if ends_early:
            connection.shutdown(socket.SHUT_WR)
        received = bytearray()
        while piece := connection.recv(_MIB):
            received += piece
    return _read(bytes(received), request["method"])


def _encoded(line: str) -> bytes:
    """Return a line of a head as the recording client sent it: cookies were UTF-8, all else as it stands."""
    return line.encode("utf-8" if line.startswith("Cookie:") else "latin-1")


def _read(raw: bytes, method: str) -> RawAnswer:
    interim: list[int] = []
    while True:
        head, blank, rest = raw.partition(b"\r\n\r\n")
        if not blank:
            return RawAnswer(None, [], raw, interim, error="no answer")
        lines = head.decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        if status != 100:
            break
        interim.append(status)
        raw = rest
    headers = [(name, value.removeprefix(" ")) for name, _, value in (line.partition(":") for line in lines[1:])]
    encodings = [value for name, value in headers if name.lower() == "transfer-encoding"]
    if encodings == ["chunked"] and method != "HEAD":
        try:
            return RawAnswer(status, headers, _unchunked(rest), interim)
        except ValueError:
            return RawAnswer(status, headers, b"", interim, error="bad chunk")
    return RawAnswer(status, headers, rest, interim)


def _unchunked(raw: bytes) -> bytes:
    parts: list[bytes] = []
    while True:
        line, _, raw = raw.partition(b"\r\n")
        size = int(line, 16)
        if size == 0:
            return b"".join(parts)
        parts.append(raw[:size])
        raw = raw[size + 2 :]


def difference(real: dict[str, Any], answer: RawAnswer, *, body: bool = True) -> str:
    """Return how an answer differs from the recorded one, empty when it does not."""
    if real.get("status") is None:
        # The client that recorded it found no final answer; ours must find none either.
        return "" if answer.status is None or answer.status < 200 else f"answered {answer.status}"
    if answer.status != real["status"]:
        return f"status {answer.status}, recorded {real['status']}"
    wanted = RawAnswer(None, [(name, value) for name, value in real["headers"]], b"", []).header_set()
    if answer.header_set() != wanted:
        return f"headers {answer.header_set()}, recorded {wanted}"
    if real.get("error", "") != answer.error:
        return f"error {answer.error!r}, recorded {real.get('error')!r}"
    if real.get("interim", []) != answer.interim:
        return f"interim {answer.interim}, recorded {real.get('interim')}"
    if not body:
        return ""
    if "body_sha256" in real:
        same = hashlib.sha256(answer.body).hexdigest() == real["body_sha256"]
        return (
            "" if same else f"a body of {len(answer.body)} bytes, recorded {real['body_bytes']}: {answer.body[:300]!r}"
        )
    recorded = base64.b64decode(real.get("body_base64", ""))
    return "" if answer.body == recorded else f"body {answer.body[:600]!r}, recorded {recorded[:600]!r}"
