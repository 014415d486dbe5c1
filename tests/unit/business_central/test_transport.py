"""One call to Business Central: token to one origin only, retries of reads only, every fault an error of our own."""

import gzip
import logging
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from urllib3.connection import HTTPConnection

from shared.business_central import retry
from shared.business_central import transport as transport_module
from shared.business_central.lease_rows import MAX_TAKING
from shared.business_central.port import WHOLE_S
from shared.business_central.request_budget import MARGIN_S
from shared.business_central.transport import CONNECT_S, PAUSE_S, READ_S, Transport
from shared.errors import BCDenied, BCError, BCRejected, BCThrottled, BCUnavailable
from shared.version import VERSION
from tests.support.fakes_budget import UnlimitedBudget
from tests.support.wire_world import API, Answer, Network, Tokens

URL = f"{API}/v2.0/x/y/api/v2.0/companies(1)/items?$filter=secret"


@dataclass
class Call:
    """A transport over a network of canned answers, with a clock that only waiting moves."""

    network: Network
    tokens: Tokens = field(default_factory=Tokens)
    budget: UnlimitedBudget = field(default_factory=UnlimitedBudget)
    slept: list[float] = field(default_factory=list)
    now_s: float = 0.0
    sessions: list[requests.Session] = field(default_factory=list)
    patience_s: float = 3600.0

    def __post_init__(self) -> None:
        self.transport = Transport(
            API, self.tokens, self.budget, new_session=self._session, sleep=self.slept.append, roll=lambda: 0.5,
            monotonic=lambda: self.now_s, patience_s=self.patience_s,
        )  # fmt: skip

    def _session(self) -> requests.Session:
        self.sessions.append(self.network.session())
        return self.sessions[-1]


def calling(*answers: Answer) -> Call:
    """A transport for these answers."""
    return Call(Network(*answers))


def test_a_request_carries_token_time_outs_and_no_more() -> None:
    """Bearer token, JSON, both time-outs, no redirects, body as bytes, own headers on top."""
    call = calling(Answer(201, b'{"a": 1}', {"Date": "Wed, 22 Jul 2026 14:25:36 GMT"}))
    answer = call.transport.send("POST", URL, body="ä", headers={"If-Match": "*"}, policy=retry.ONCE)
    (request,), (options,) = call.network.asked, call.network.options
    assert (answer.status, answer.body) == (201, b'{"a": 1}')
    assert answer.served_at is not None
    assert request.headers["Authorization"] == "Bearer token-1"
    assert request.headers["If-Match"] == "*"
    assert request.body == "ä".encode()
    assert options["timeout"] == (CONNECT_S, READ_S)
    assert options["verify"] is True
    assert answer.headers["date"]  # names of headers have no case


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/v2.0/x", "https://api.example.evil/x", "https://api.example:444/x",
        "https://api.example@evil.example/x", "http://api.example/x", "HTTPS://evil.example", "", "/v2.0/x",
    ],
)  # fmt: skip
def test_no_other_origin_ever_sees_a_token(url: str) -> None:
    """Refused before a slot is taken or a byte is sent (P15)."""
    call = calling(Answer())
    with pytest.raises(BCRejected, match="another origin"):
        call.transport.send("GET", url)
    assert call.network.asked == []
    assert call.budget.taken == []


def test_a_redirect_is_not_followed() -> None:
    """A Location header may lead anywhere; the token does not go there."""
    call = calling(Answer(302, b"", {"Location": "https://evil.example/"}))
    with pytest.raises(BCRejected):
        call.transport.send("GET", URL)
    assert len(call.network.asked) == 1


def test_a_read_is_repeated_until_it_works() -> None:
    """Transient faults of a read pass unseen, with growing waits; each try takes a slot of its own."""
    call = calling(Answer(503), Answer(raises=requests.ConnectionError("reset")), Answer(200, b"ok"))
    assert call.transport.send("GET", URL).body == b"ok"
    assert call.slept == [0.25, 0.5]
    assert len(call.budget.taken) == 3


@pytest.mark.parametrize(("patience_s", "tries"), [(3600.0, 3), (5.0, 3), (0.6, 2), (0.0, 1)])
def test_a_read_is_not_repeated_beyond_the_patience_of_others(patience_s: float, tries: int) -> None:
    """Waits of 0.25 and 0.5 s come before the second and third try; what would last longer is for the queue."""
    call = Call(Network(Answer(503)), patience_s=patience_s)

    def sleep(seconds: float) -> None:
        call.now_s += seconds

    call.transport._sleep = sleep
    with pytest.raises(BCUnavailable):
        call.transport.send("GET", URL)
    assert len(call.network.asked) == tries


def test_a_read_gives_up_after_its_tries() -> None:
    """A longer fault is for the queue to wait out, not for a sleeping thread."""
    call = calling(Answer(503))
    with pytest.raises(BCUnavailable):
        call.transport.send("GET", URL)
    assert len(call.network.asked) == retry.READ.attempts


@pytest.mark.parametrize(
    "answer",
    [Answer(503), Answer(429), Answer(408), Answer(raises=requests.ReadTimeout("x")), Answer(409), Answer(504)],
)
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_a_write_is_never_repeated(method: str, answer: Answer) -> None:
    """BC may have done it: who asked decides, after a look-up (P8)."""
    call = calling(answer)
    with pytest.raises(BCError):
        call.transport.send(method, URL, body="{}", policy=retry.ONCE)
    assert len(call.network.asked) == 1
    assert call.slept == []


@pytest.mark.parametrize(
    "fault",
    [
        requests.ConnectionError("x"), requests.ConnectTimeout("x"), requests.ReadTimeout("x"),
        requests.exceptions.SSLError("x"), requests.exceptions.ChunkedEncodingError("x"),
        requests.exceptions.ContentDecodingError("x"), requests.exceptions.ProxyError("x"),
    ],
)  # fmt: skip
def test_every_fault_of_the_network_is_one_error(fault: Exception) -> None:
    """No answer is BCUnavailable with status 0, and says no more than the kind of fault."""
    call = calling(Answer(raises=fault))
    with pytest.raises(BCUnavailable, match=type(fault).__name__) as caught:
        call.transport.send("GET", URL)
    assert (caught.value.status, caught.value.code) == (0, "network")
    assert "secret" not in str(caught.value)


def test_a_drained_body_is_let_go_of() -> None:
    """Whoever takes a large answer apart holds it once: a chunk that was taken is gone."""
    answer = calling(Answer(200, b"x" * (1 << 19))).transport.send("GET", URL)
    chunks = answer.drain()
    first = next(chunks)
    assert len(first) + len(answer.body) == 1 << 19
    assert b"".join(chunks) + first == b"x" * (1 << 19)
    assert answer.body == b""


def test_an_answer_that_drips_is_cut_off() -> None:
    """An answer that never ends would hold its slot beyond the lease: the whole of it has a deadline."""
    call = calling(Answer(200, b"x" * (1 << 19)))
    call.network.answers[0].on_read = lambda: setattr(call, "now_s", call.now_s + WHOLE_S)
    with pytest.raises(BCUnavailable, match="longer than 120 s"):
        call.transport.send("POST", URL, policy=retry.ONCE)


def test_a_401_fetches_one_fresh_token() -> None:
    """BC did nothing, so a repeat is safe even for a write; a second 401 is final."""
    call = calling(Answer(401), Answer(201))
    assert call.transport.send("POST", URL, policy=retry.ONCE).status == 201
    assert [request.headers["Authorization"] for request in call.network.asked] == ["Bearer token-1", "Bearer token-2"]
    refused = calling(Answer(401))
    with pytest.raises(BCDenied):
        refused.transport.send("GET", URL)
    assert refused.tokens.discarded == ["token-1"]
    assert len(refused.network.asked) == 2


def test_a_403_fetches_none() -> None:
    """The token is fine, its permissions are not."""
    call = calling(Answer(403))
    with pytest.raises(BCDenied):
        call.transport.send("GET", URL)
    assert call.tokens.discarded == []


@pytest.mark.parametrize(
    ("headers", "pause_s"), [({}, PAUSE_S), ({"Retry-After": "30"}, 30.0), ({"Retry-After": "0"}, 0)]
)
def test_a_429_closes_the_slot_for_as_long_as_bc_asks(headers: dict[str, str], pause_s: float) -> None:
    """Other instances slow down, too (P10); without Retry-After a little."""
    call = calling(Answer(429, b"", headers))
    with pytest.raises(BCThrottled):
        call.transport.send("POST", URL, policy=retry.ONCE)
    assert call.budget.closed_for == [pause_s]


def test_a_short_retry_after_is_waited_out_and_a_long_one_is_not() -> None:
    """A thread does not sleep for minutes."""
    short = calling(Answer(429, b"", {"Retry-After": "3"}), Answer())
    short.transport.send("GET", URL)
    assert short.slept == [3.0]
    long = calling(Answer(429, b"", {"Retry-After": "60"}), Answer())
    with pytest.raises(BCThrottled) as caught:
        long.transport.send("GET", URL)
    assert caught.value.retry_after_s == 60
    assert long.slept == []


def test_a_call_may_ask_for_the_reserved_slot() -> None:
    """What the caller says reaches the budget, and the slot is given back."""
    call = calling(Answer())
    call.transport.send("GET", URL, reserved=True)
    call.transport.send("GET", URL)
    assert call.budget.taken == [True, False]
    assert call.budget.open_now == 0


@dataclass
class Reader:
    """A reader with one token; keeps what it was told."""

    held: str = "token-of-the-reader"
    refusals: list[int] = field(default_factory=list)
    failures: list[tuple[int, bool]] = field(default_factory=list)  # status, and whether it alone met it
    answers: int = 0

    def token(self) -> str:
        """The token."""
        return self.held

    def refused(self, error: BCError) -> None:
        """Keep the status."""
        self.refusals.append(error.status)

    def failed(self, error: BCError, *, alone: bool) -> None:
        """Keep status and what it says."""
        self.failures.append((error.status, alone))

    def served(self) -> None:
        """Count."""
        self.answers += 1


def reading(reader: Reader, *answers: Answer) -> Call:
    """A transport with a reader."""
    call = calling(*answers)
    call.transport._reader = reader
    return call


def fetched(call: Call) -> bytes:
    """What a read brings that the reader may do; a page ends in "k"."""

    def take(answer: transport_module.Answer) -> bytes:
        if not answer.body.endswith(b"k"):
            raise BCUnavailable("no page", status=answer.status, code="body")
        return answer.body

    return call.transport.fetch(URL, take, headers={})


def senders(call: Call) -> list[str]:
    """Whose token each request bore."""
    return [request.headers["Authorization"].removeprefix("Bearer ") for request in call.network.asked]


PAGE = Answer(200, b"ok")
BY_BOTH = ["token-of-the-reader", "token-1"]


def test_the_reader_is_asked_where_the_caller_says_so() -> None:
    """A slot of the reader's goes with its token, and with no other; all else is the identity's."""
    call = reading(reader := Reader(), PAGE)
    assert fetched(call) == b"ok"
    call.transport.send("GET", URL)
    assert senders(call) == BY_BOTH
    assert reader.answers == 1


def test_an_answer_of_which_nothing_can_be_made_is_asked_for_again() -> None:
    """As one that broke off on its way; without a reader, too."""
    call = calling(FAILS["cut"], PAGE)
    assert fetched(call) == b"ok"
    assert (senders(call), call.slept) == (["token-1"] * 2, [0.25])


def test_a_reader_without_a_token_is_not_asked() -> None:
    """It rests; the identity reads alone."""
    call = reading(Reader(held=""), PAGE)
    fetched(call)
    assert senders(call) == ["token-1"]


FAILS: dict[str, Answer] = {
    "400": Answer(400), "404": Answer(404), "408": Answer(408), "409": Answer(409), "500": Answer(500),
    "503": Answer(503), "503 for a minute": Answer(503, b"", {"Retry-After": "60"}), "504": Answer(504),
    "html": Answer(200, b"<html>"), "cut": Answer(200, b'{"value": ['), "nothing": Answer(raises=OSError("reset")),
}  # fmt: skip


@pytest.mark.parametrize("answer", FAILS.values(), ids=FAILS)
def test_what_the_reader_fails_to_get_the_identity_asks_for(answer: Answer) -> None:
    """At once, whatever it is; that the identity is served is noted, as the reader has met it alone."""
    call = reading(reader := Reader(), answer, PAGE)
    assert fetched(call) == b"ok"
    assert (senders(call), call.slept, call.tokens.discarded) == (BY_BOTH, [], [])
    status = 0 if answer.raises else answer.status
    assert (reader.refusals, reader.failures, reader.answers) == ([], [(status, True)], 0)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, b""), (403, b""),
        (400, b'{"error": {"code": "x", "message": "You do not have permissions to read Items."}}'),
    ],
)  # fmt: skip
def test_a_reader_that_lacks_permission_is_noted_whatever_the_identity_gets(status: int, body: bytes) -> None:
    """Its own answer says enough; the identity's token is not doubted."""
    call = reading(reader := Reader(), Answer(status, body), PAGE)
    assert fetched(call) == b"ok"
    assert (senders(call), call.slept, call.tokens.discarded) == (BY_BOTH, [], [])
    assert (reader.refusals, reader.failures) == ([status], [])


def test_a_reader_that_is_told_to_pause_is_no_worse_for_it() -> None:
    """Its slots are closed, and that is all."""
    call = reading(reader := Reader(), Answer(429), PAGE)
    assert fetched(call) == b"ok"
    assert (senders(call), call.budget.closed_for) == (BY_BOTH, [PAUSE_S])
    assert (reader.refusals, reader.failures) == ([], [])


@pytest.mark.parametrize("name", ["400", "404", "503 for a minute", "504"])
def test_what_the_identity_meets_as_well_says_nothing_of_the_reader(name: str) -> None:
    """It reaches the caller as it is: 504 asks for less, from either."""
    call = reading(reader := Reader(), FAILS[name])
    with pytest.raises(BCError) as caught:
        fetched(call)
    assert caught.value.status == FAILS[name].status
    assert (senders(call), reader.refusals, reader.failures) == (BY_BOTH, [], [])


def test_an_outage_for_both_is_repeated_by_the_identity_and_says_nothing_of_the_reader() -> None:
    """The identity has all its tries, with their waits."""
    call = reading(reader := Reader(), Answer(503), Answer(503), Answer(401), Answer(503), PAGE)
    assert fetched(call) == b"ok"
    assert senders(call) == [*BY_BOTH, "token-1", "token-2", "token-2"]
    assert (call.slept, reader.failures) == ([0.25, 0.5], [])


def test_what_takes_the_reader_all_the_time_there_is_is_left_to_the_next_delivery() -> None:
    """Others wait for the place; the reader rests, so that the identity is asked then."""
    call = Call(Network(Answer(504), PAGE), patience_s=5.0)
    call.network.answers[0].on_read = lambda: setattr(call, "now_s", 6.0)
    call.transport._reader = reader = Reader()
    with pytest.raises(BCUnavailable) as caught:
        fetched(call)
    assert (caught.value.status, reader.failures) == (504, [(504, False)])
    assert senders(call) == ["token-of-the-reader"]


def test_a_slot_is_given_back_after_any_fault() -> None:
    """A failed call must not cost a slot for the length of its lease."""
    for answer in (Answer(500), Answer(400), Answer(raises=requests.ConnectionError("x"))):
        call = calling(answer)
        with pytest.raises(BCError):
            call.transport.send("GET", URL)
        assert call.budget.open_now == 0


def test_one_session_per_thread() -> None:
    """Sessions keep connections open and are not shared by threads."""
    call = calling(Answer())
    send: Callable[[], object] = lambda: call.transport.send("GET", URL)  # noqa: E731
    send()
    send()
    thread = threading.Thread(target=send)
    thread.start()
    thread.join()
    assert len(call.sessions) == 2


def test_nothing_secret_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Neither token nor query nor body is in a log line or an error (P15)."""
    caplog.set_level(logging.DEBUG)
    call = calling(Answer(429, b'{"error":{"code":"c","message":"m"}}'))
    with pytest.raises(BCThrottled) as caught:
        call.transport.send("GET", URL, body="private")
    assert "bc.throttled" in caplog.text
    assert "bc.retried" in caplog.text
    for secret in ("token-1", "$filter=secret", "private"):
        assert secret not in caplog.text + str(caught.value)


class Slow:
    """A server on loopback that sends the parts of an answer one after the other, with a pause between."""

    def __init__(self, *parts: bytes, pause_s: float) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.heard = b""
        self._parts, self._pause_s = parts, pause_s
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with self._socket, connection, suppress(OSError):
            self.heard = connection.recv(65536)
            for part in self._parts:
                connection.sendall(part)
                time.sleep(self._pause_s)


def over_a_socket(server: Slow, **more: Any) -> Transport:
    """The shipped transport, session included."""
    return Transport(server.url, Tokens(), UnlimitedBudget(), **more)


OK = b"HTTP/1.1 200 OK\r\n"
DRIPS = {
    "body": [OK + b"Content-Length: 12\r\n\r\n", *[b"x"] * 12],
    "headers": [OK, *[b"X-A: b\r\n"] * 12, b"Content-Length: 2\r\n\r\n{}"],
    "chunks": [OK + b"Transfer-Encoding: chunked\r\n\r\n", *[b"1\r\nx\r\n"] * 12, b"0\r\n\r\n"],
}


@pytest.mark.parametrize("parts", DRIPS.values(), ids=DRIPS)
def test_an_answer_that_drips_over_a_socket_ends_in_time(parts: list[bytes]) -> None:
    """Wherever the bytes dawdle, the request ends at its limit and so never outlives its lease (P10)."""
    server = Slow(*parts, pause_s=0.2)
    began = time.monotonic()
    with pytest.raises(BCUnavailable) as caught:
        over_a_socket(server).fetch(server.url + "/x", lambda answer: answer.body, headers={}, limit_s=0.6)
    assert caught.value.code == retry.TIMEOUT
    assert time.monotonic() - began < 1.5


def test_a_request_whose_time_went_with_connecting_does_not_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that dawdles is not bounded by time-outs; the lease is over by then (P10)."""
    server = Slow(OK + b"Content-Length: 2\r\n\r\n{}", pause_s=0)
    connect = HTTPConnection.connect

    def late(self: HTTPConnection) -> None:
        connect(self)
        time.sleep(0.3)

    monkeypatch.setattr(HTTPConnection, "connect", late)
    with pytest.raises(BCUnavailable):
        over_a_socket(server).fetch(server.url + "/x", lambda answer: answer.body, headers={}, limit_s=0.2)
    assert server.heard == b""


def test_netrc_and_cookies_have_no_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token is ours whatever `.netrc` holds for the host (P15)."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server = Slow(OK + b"Set-Cookie: a=\xff\r\nContent-Length: 2\r\n\r\n{}", pause_s=0)
    transport = over_a_socket(server)
    transport.send("GET", server.url + "/x")
    assert b"Authorization: Bearer token-1\r\n" in server.heard
    assert not transport._session().cookies


BROKEN = {
    "two lengths": OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    "no status": b"\xff\xfe\x00\x01 nonsense\r\n\r\n",
    "no gzip": OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    "chunk": OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "long header": OK + b"X: " + b"a" * 70_000 + b"\r\n\r\n",
    "many headers": OK + b"X: a\r\n" * 200 + b"\r\n",
    "location": b"HTTP/1.1 302 Found\r\nLocation: https://[\r\nContent-Length: 0\r\n\r\n",
    "retry-after": b"HTTP/1.1 503 No\r\nRetry-After: \xb2\r\nContent-Length: 0\r\n\r\n",
    "cut": OK + b"Content-Length: 20\r\n\r\n{}",
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_an_answer_that_breaks_http_is_an_error_of_ours(answer: bytes) -> None:
    """Whatever bytes come, what is raised is of our own tree."""
    server = Slow(answer, pause_s=0)
    with pytest.raises(BCError):
        over_a_socket(server).send("GET", server.url + "/x", policy=retry.ONCE)


def test_of_an_error_only_the_beginning_is_decoded() -> None:
    """300 KB of gzip in an error body are 300 MB of text, which once cost 932 MB."""
    bomb = gzip.compress(b'{"error":{"code":"c","message":"m"}}' + b" " * 200_000_000, 6)
    call = calling(Answer(500, bomb, {"Content-Encoding": "gzip"}))
    tracemalloc.start()
    try:
        with pytest.raises(BCUnavailable) as caught:
            call.transport.send("GET", URL, policy=retry.ONCE)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.status == 500
    assert peak < 10_000_000


def test_an_answer_has_a_size_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond it the answer is given up, and not asked for again as it is."""
    monkeypatch.setattr(transport_module, "ANSWER_BYTES", 1000)
    call = calling(Answer(200, gzip.compress(b"x" * 100_000), {"Content-Encoding": "gzip"}))
    with pytest.raises(BCUnavailable) as caught:
        call.transport.send("GET", URL)
    assert caught.value.code == retry.TOO_LARGE
    assert len(call.network.asked) == 1


def test_every_call_says_who_calls_and_in_which_language() -> None:
    """The invocation, too (docs: telemetry-webservices-trace); English is what a lock is told in (P9)."""
    call = calling(Answer())
    call.transport.send("GET", URL)
    assert call.network.asked[0].headers["Accept-Language"] == "en-US"
    assert call.network.asked[0].headers["User-Agent"] == f"business-central-connect/{VERSION}"
    assert len(call.network.asked[0].headers["client-request-id"]) == 32


def test_a_request_ends_before_its_lease() -> None:
    """A slot that took longer to take than MAX_TAKING is given back, so what is left of a lease covers the request."""
    assert MAX_TAKING.total_seconds() < MARGIN_S
