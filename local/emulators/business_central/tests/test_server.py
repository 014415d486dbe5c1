"""The server on loopback: TLS, control paths, webhooks over HTTPS, faults on the socket, tokens of an issuer."""

import json
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
import requests
import trustme
from business_central_emulator import BusinessCentral, ScaledClock
from business_central_emulator.cli import build, main, parse_arguments
from business_central_emulator.server.service import business_central
from business_central_emulator.server.serving import server_tls
from business_central_emulator.server.threaded import served_application
from business_central_emulator.server.tokens import AUDIENCE, JwtCheck
from cryptography.hazmat.primitives.asymmetric import rsa


@dataclass
class Running:
    """A server in a thread of its own."""

    engine: BusinessCentral
    origin: str


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A CA and a certificate for localhost, as PEM files."""
    folder: Path = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    leaf.private_key_and_cert_chain_pem.write_to_path(folder / "leaf.pem")
    return {"ca": str(folder / "ca.pem"), "leaf": str(folder / "leaf.pem")}


@pytest.fixture
def running(tls: dict[str, str]) -> Iterator[Running]:
    engine = BusinessCentral(ScaledClock(), seed=3, webhook_delay_s=0.2)
    app = business_central(engine, ca_bundle=tls["ca"], interval_s=0.02)
    with served_application(app, server_tls(tls["leaf"], tls["leaf"])) as origin:
        yield Running(engine, origin)


@pytest.fixture
def client(tls: dict[str, str]) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.verify = tls["ca"]
        session.trust_env = False
        session.headers["Authorization"] = "Bearer good-app"
        yield session


@pytest.fixture
def listener(tls: dict[str, str]) -> Iterator[Any]:
    """A subscriber over HTTPS that echoes handshakes and remembers notifications."""
    received: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            server.before_answer()
            token = parse_qs(urlsplit(self.path).query).get("validationToken")
            if token is None:
                received.extend(json.loads(body)["value"])
            self.send_response(200 if token else 202)
            text = token[0].encode() if token else b""
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_args: object) -> None:
            """Stay quiet."""

    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls["leaf"])
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.received = received
    server.before_answer = lambda: None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join(10)
    server.server_close()


def control(client: requests.Session, running: Running, name: str, **args: Any) -> Any:
    answer = client.post(f"{running.origin}/_emulator/{name}", json=args, headers={"Authorization": ""}, timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_api_and_the_control_paths_over_tls(running: Running, client: requests.Session) -> None:
    """Requests need a token, control calls do not; URLs in answers carry the server's own origin."""
    root = running.engine.root_url(origin=running.origin)
    companies = client.get(f"{root}/companies", timeout=10)
    assert companies.json()["@odata.context"] == f"{root}/$metadata#companies"
    company = companies.json()["value"][0]["id"]
    page = client.get(
        f"{root}/companies({company})/items", headers={"Prefer": "odata.maxpagesize=5"}, timeout=10
    ).json()
    assert page["@odata.nextLink"].startswith(root)
    assert len(client.get(page["@odata.nextLink"], timeout=10).json()["value"]) == 75
    assert client.get(f"{root}/companies", headers={"Authorization": "Bearer no"}, timeout=10).status_code == 401
    made = control(client, running, "records/create", entitySet="items", values={"displayName": "Chair"})
    assert client.get(f"{root}/companies({company})/items({made['id']})", timeout=10).status_code == 200


def test_handshake_and_notification_travel_over_https(
    running: Running, client: requests.Session, listener: Any
) -> None:
    """Subscribing calls the subscriber, a change reaches it after the (scaled) delay."""
    root = running.engine.root_url(origin=running.origin)
    company = client.get(f"{root}/companies", timeout=10).json()["value"][0]["id"]
    url = f"https://localhost:{listener.server_address[1]}/bc?code=1"
    body = {"notificationUrl": url, "resource": f"api/v2.0/companies({company})/items", "clientState": "s"}
    assert client.post(f"{root}/subscriptions", json=body, timeout=10).status_code == 201
    made = control(client, running, "records/create", entitySet="items")
    deadline = time.monotonic() + 10
    while not listener.received and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [entry["changeType"] for entry in listener.received] == ["created"]
    assert made["id"] in listener.received[0]["resource"]
    dead = {**body, "notificationUrl": "https://localhost:1/none"}
    assert client.post(f"{root}/subscriptions", json=dead, timeout=10).status_code == 400


@pytest.mark.parametrize("kind", ["reset_after_commit", "truncated"])
def test_faults_happen_on_the_socket(running: Running, client: requests.Session, kind: str) -> None:
    """A reset connection and a cut body reach the client as such; the write counts."""
    root = running.engine.root_url(origin=running.origin)
    company = client.get(f"{root}/companies", timeout=10).json()["value"][0]["id"]
    control(client, running, "faults/add", kind=kind, match="POST")
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        client.post(f"{root}/companies({company})/items", json={"number": "LOST", "displayName": "x"}, timeout=10)
    assert running.engine.table("items").find("number", "LOST") is not None


def test_a_silent_server_outwaits_the_client(running: Running, client: requests.Session) -> None:
    """A read timeout of the client, not an answer."""
    root = running.engine.root_url(origin=running.origin)
    control(client, running, "faults/add", kind="timeout_before_commit")
    with requests.Session() as impatient:
        impatient.verify, impatient.trust_env = client.verify, False
        with pytest.raises(requests.ReadTimeout):
            impatient.get(f"{root}/companies", headers={"Authorization": "Bearer good-app"}, timeout=0.3)
    assert control(client, running, "statistics")["requests"] == 1


def test_a_page_request_does_not_wait_for_a_handshake(
    running: Running, client: requests.Session, listener: Any
) -> None:
    """While a subscriber takes its time, other requests are answered."""
    engine = running.engine
    began, finish = threading.Event(), threading.Event()

    def before_answer() -> None:
        began.set()
        finish.wait(10)

    listener.before_answer = before_answer
    root = engine.root_url(origin=running.origin)
    company = client.get(f"{root}/companies", timeout=10).json()["value"][0]["id"]
    url = f"https://localhost:{listener.server_address[1]}/bc"
    body = {"notificationUrl": url, "resource": f"companies({company})/items"}
    statuses: list[int] = []
    thread = threading.Thread(
        target=lambda: statuses.append(client.post(f"{root}/subscriptions", json=body, timeout=20).status_code)
    )
    thread.start()
    assert began.wait(10)
    with requests.Session() as other:
        other.verify, other.trust_env = client.verify, False
        headers = {"Authorization": "Bearer good-app"}
        assert other.get(f"{root}/companies", headers=headers, timeout=10).status_code == 200
    finish.set()
    thread.join(20)
    assert statuses == [201]


def test_the_command_line_builds_an_engine() -> None:
    """Options reach the engine; without a certificate the server speaks plain HTTP."""
    arguments = parse_arguments(
        ["--port", "0", "--webhook-delay", "2", "--environment", "sandbox", "--without-webhook", "itemVariants",
         "--enforce-limits", "--speed", "60"]
    )  # fmt: skip
    engine = build(arguments)
    assert (engine.environment.name, engine.limits.enforced) == ("sandbox", True)
    assert engine.webhooks.delay == timedelta(seconds=2)
    assert "itemVariants" not in engine.subscriptions.supported()
    assert arguments.cert is None


def test_answers_are_compressed_where_asked_for() -> None:
    """E18: gzip with the switch, for clients that take it; a long URL is the engine's to judge."""
    engine = BusinessCentral(ScaledClock())
    with served_application(business_central(engine, compresses=True)) as origin:
        url, headers = f"{engine.root_url(origin=origin)}/companies", {"Authorization": "Bearer good-app"}
        items = f"{url}({engine.company().id})/items"
        packed = requests.get(items, headers=headers, timeout=10)
        plain = requests.get(items, headers=headers | {"Accept-Encoding": "identity"}, timeout=10)
        assert (packed.headers["Content-Encoding"], "Content-Encoding" in plain.headers) == ("gzip", False)
        assert packed.json()["value"] == plain.json()["value"]
        long = requests.get(f"{url}?$filter=name eq '{'x' * 20_000}'", headers=headers, timeout=10)
        assert long.status_code == 414


# -- tokens of an issuer ---------------------------------------------------------------------------------------------

ISSUER = "https://login.example/tenant/v2.0"


@pytest.fixture(scope="module")
def signing_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def check(signing_key: rsa.RSAPrivateKey, monkeypatch: pytest.MonkeyPatch) -> JwtCheck:
    published = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(signing_key.public_key())) | {"kid": "k1", "use": "sig"}
    monkeypatch.setattr(jwt.PyJWKClient, "fetch_data", lambda _self: {"keys": [published]})
    return JwtCheck("https://login.example/keys", issuers=[ISSUER])


def token(key: Any, **changes: Any) -> str:
    claims = {"aud": AUDIENCE, "iss": ISSUER, "exp": datetime.now(UTC) + timedelta(hours=1), "oid": "someone",
              "scp": "user_impersonation"} | changes  # fmt: skip
    return jwt.encode({k: v for k, v in claims.items() if v is not None}, key, algorithm="RS256", headers={"kid": "k1"})


def test_a_genuine_token_names_its_principal(check: JwtCheck, signing_key: rsa.RSAPrivateKey) -> None:
    """The user's object id, or the application's id for an app-only token."""
    assert check(token(signing_key)) == "someone"
    assert check(token(signing_key, scp=None, idtyp="app", azp="app-1", roles=["API.ReadWrite.All"])) == "app-1"


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": datetime(2026, 1, 1, tzinfo=UTC)},
        {"aud": "https://graph.microsoft.com"},
        {"iss": "https://login.example/other/v2.0"},
        {"scp": None},
        {"scp": None, "idtyp": "app", "azp": "app-1"},
        {"oid": None, "sub": None},
    ],
)
def test_expired_foreign_and_powerless_tokens_are_refused(
    check: JwtCheck, signing_key: rsa.RSAPrivateKey, changes: dict[str, Any]
) -> None:
    """Expired, for another audience, of another issuer, or without scope and roles: refused."""
    assert check(token(signing_key, **changes)) is None


def test_a_token_signed_by_someone_else_is_refused(check: JwtCheck) -> None:
    """The same claims under another key; and what is no token at all."""
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert check(token(stranger)) is None
    assert check("not-a-token") is None


def test_a_taken_port_ends_the_command_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback: which port, and what to do; Python prints the text of a SystemExit and exits with 1."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(sys, "argv", ["business-central-emulator", "--port", str(port)])
        with pytest.raises(SystemExit) as ended:
            main()
    line = f"business central: port {port} on 127.0.0.1 is in use; stop what uses it or choose another port"
    assert ended.value.code == line
