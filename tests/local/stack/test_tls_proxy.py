"""The TLS proxy: what Business Central sends arrives at the host as it was, and what the host says goes back so."""

import asyncio
import contextlib
import gzip
import socket
import threading
from collections.abc import Iterator

import pytest
import requests
from aiohttp import web
from business_central_emulator.server.exchange import Engine, Request, Response, json_response
from business_central_emulator.server.serving import server_tls
from business_central_emulator.server.threaded import served, served_application

from local.stack.ports import free_ports
from local.stack.tls import TlsFiles, ensure_certificates
from local.stack.tls_proxy import proxy_application

type Proxied = tuple[requests.Session, str]  # a session that trusts the proxy, and its origin


class Echo(Engine):
    """A host that tells what reached it."""

    def handle(self, request: Request) -> Response:
        if request.path == "/teapot":
            return Response(status=418, headers={"X-Kept": "yes", "Location": "https://elsewhere/"}, body=b"\x00\xff")
        return json_response(
            200,
            {
                "method": request.method,
                "url": request.url,
                "headers": {name.lower(): value for name, value in request.headers.items()},
                "length": len(request.body),
                "text": request.body[:100].decode("latin-1"),
            },
        )


@pytest.fixture(scope="module")
def tls_files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return ensure_certificates(tmp_path_factory.mktemp("tls"))


@contextlib.contextmanager
def proxied(target: str, tls_files: TlsFiles) -> Iterator[Proxied]:
    """A session that trusts the local CA, and the proxy's origin."""
    tls = server_tls(str(tls_files.cert), str(tls_files.key))
    with served_application(proxy_application(target), tls) as origin, requests.Session() as session:
        session.trust_env = False
        session.verify = str(tls_files.ca)
        yield session, origin


@pytest.fixture(scope="module")
def proxy(tls_files: TlsFiles) -> Iterator[Proxied]:
    with served(Echo()) as target, proxied(target, tls_files) as found:
        yield found


def test_method_path_query_and_body_arrive_unchanged(proxy: Proxied) -> None:
    """Escapes in path and query are not rewritten, so that a validation token survives."""
    session, origin = proxy
    seen = session.post(f"{origin}/api/a%2Fb/x?validationToken=a%2Bb%20c&d=%C3%BC", data=b"payload").json()
    assert (seen["method"], seen["text"]) == ("POST", "payload")
    assert seen["url"].endswith("/api/a%2Fb/x?validationToken=a%2Bb%20c&d=%C3%BC")


def test_the_host_sees_the_public_name_and_that_the_caller_used_https(proxy: Proxied) -> None:
    """`Host` stays, so that the app can build addresses; what belongs to the connection stays behind."""
    session, origin = proxy
    headers = session.get(f"{origin}/x", headers={"TE": "trailers", "Connection": "keep-alive, X-Hop", "X-Hop": "1"})
    seen = headers.json()["headers"]
    assert seen["host"] == origin.removeprefix("https://")
    assert seen["x-forwarded-proto"] == "https"
    assert {"te", "x-hop"} & set(seen) == set()


def test_a_large_body_passes_with_its_length(proxy: Proxied) -> None:
    """3 MB arrive whole, with a Content-Length: the functions host ignores bodies without one."""
    session, origin = proxy
    seen = session.post(f"{origin}/x", data=b"a" * 3_000_000).json()
    assert seen["length"] == 3_000_000
    assert seen["headers"]["content-length"] == "3000000"


def test_a_compressed_body_is_handed_on_compressed(proxy: Proxied) -> None:
    """What is signed or measured by the app must be what was sent."""
    session, origin = proxy
    body = gzip.compress(b"payload")
    seen = session.post(f"{origin}/x", data=body, headers={"Content-Encoding": "gzip"}).json()
    assert (seen["length"], seen["headers"]["content-encoding"]) == (len(body), "gzip")


def test_status_headers_and_bytes_come_back_and_redirects_are_not_followed(proxy: Proxied) -> None:
    """Even an odd answer is the host's own."""
    session, origin = proxy
    answer = session.get(f"{origin}/teapot", allow_redirects=False)
    assert (answer.status_code, answer.content, answer.headers["X-Kept"]) == (418, b"\x00\xff", "yes")


def test_a_host_that_is_down_is_503(tls_files: TlsFiles) -> None:
    """Business Central repeats a notification after 503 and deletes the subscription after 4xx."""
    (nobody,) = free_ports(1)
    with proxied(f"http://127.0.0.1:{nobody}", tls_files) as (session, origin):
        assert session.get(f"{origin}/x").status_code == 503


def test_an_answer_that_breaks_off_breaks_off(tls_files: TlsFiles) -> None:
    """A host killed in the middle of an answer never looks like a complete one."""

    def answer_half(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer_half, args=(listener,))
        thread.start()
        with (
            proxied(f"http://127.0.0.1:{listener.getsockname()[1]}", tls_files) as (session, origin),
            pytest.raises(requests.exceptions.ChunkedEncodingError),
        ):
            session.get(f"{origin}/x")
        thread.join(10)


def test_slow_answers_stream(tls_files: TlsFiles) -> None:
    """The first part is passed on while the rest is still being made."""
    first_seen = threading.Event()

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        seen = await asyncio.to_thread(first_seen.wait, 10)
        await response.write(b"second" if seen else b"late")
        return response

    host = web.Application()
    host.router.add_get("/drip", drip)
    with (
        served_application(host) as target,
        proxied(target, tls_files) as (session, origin),
        session.get(f"{origin}/drip", stream=True) as answer,
    ):
        parts = answer.iter_content(chunk_size=5)
        assert next(parts) == b"first"
        first_seen.set()
        assert b"".join(parts) == b"second"
