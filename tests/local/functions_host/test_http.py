"""HTTP functions, seen from a client of the running host."""

import gzip
import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.local.functions_host.conftest import StartHost
from tests.local.functions_host.harness import HostProcess


@pytest.fixture(scope="module")
def host(start_shared_host: StartHost) -> HostProcess:
    env = {"AzureWebJobs.off.Disabled": "true", "PYTHON_THREADPOOL_THREAD_COUNT": "3"}
    return start_shared_host("http", env=env)


def seen(host: HostProcess, path: str, **request: Any) -> dict[str, Any]:
    answer = host.ask(path, **request)
    assert answer.status == 200, host.errors
    content: dict[str, Any] = json.loads(answer.body)
    return content


def test_routes_are_tried_in_the_order_of_names(host: HostProcess) -> None:
    """Functions are sorted by name: `by_name` takes what `by_number`, registered before it and stricter, would take."""
    assert seen(host, "/api/orders/17")["function"] == "by_name"
    assert seen(host, "/API/Orders/Ab%20c%2Fd")["route"] == {"id": "Ab c%2Fd"}


def test_wrong_method_is_not_found(host: HostProcess) -> None:
    """The method is part of the route, so a wrong one is 404 and not 405."""
    assert host.ask("/api/orders/17", method="POST", body=b"x").status == 404
    assert host.ask("/api/echo", method="DELETE").status == 200  # no methods named: any will do


def test_unknown_path_and_missing_prefix_are_not_found(host: HostProcess) -> None:
    """Only the routes under the prefix exist."""
    answer = host.ask("/orders/17")
    assert (answer.status, answer.body) == (404, b"")


def test_disabled_function_is_not_found(host: HostProcess) -> None:
    """A function that is switched off by a setting has no route."""
    assert host.ask("/api/off").status == 404


def test_optional_and_catch_all_values(host: HostProcess) -> None:
    """A route value that was not given is left out; a catch-all takes slashes."""
    assert seen(host, "/api/echo")["route"] == {}
    assert seen(host, "/api/echo/one")["route"] == {"part": "one"}
    assert seen(host, "/api/files/a/b%20c/d")["route"] == {"rest": "a/b c/d"}
    assert host.ask("/api/echo/one/two").status == 404


def test_query_and_headers(host: HostProcess) -> None:
    """Empty query values are dropped, repeated ones joined; header names arrive in lower case."""
    content = seen(host, "/api/echo?a=1&b=&c=x&c=y", headers={"X-Some-Header": "V"})
    assert content["params"] == {"a": "1", "c": "x,y"}
    assert content["headers"]["x-some-header"] == "V"
    assert content["url"].endswith("/api/echo?a=1&b=&c=x&c=y")
    assert content["url"].startswith("http://127.0.0.1:")


def test_body_with_length_arrives(host: HostProcess) -> None:
    """A body arrives byte for byte."""
    assert seen(host, "/api/echo", method="POST", body='{"a": "é"}'.encode())["body"] == '{"a": "é"}'


def test_compressed_body_is_not_unpacked(host: HostProcess) -> None:
    """What the client compressed is the function's to unpack: the text function fails to decode it."""
    answer = host.ask("/api/text", method="POST", body=gzip.compress(b"x"), headers={"Content-Encoding": "gzip"})
    assert answer.status == 500


def test_chunked_body_arrives_empty(host: HostProcess) -> None:
    """Without a Content-Length the body is not read, as on the real host."""
    connection = http.client.HTTPConnection(urlsplit(host.url).netloc, timeout=10)
    connection.request("POST", "/api/echo", body=iter([b"abc", b"def"]), encode_chunked=True)
    response = connection.getresponse()
    assert json.loads(response.read())["body"] == ""
    connection.close()


def test_error_answers_500_without_detail(host: HostProcess) -> None:
    """A failure tells the client nothing and the log everything."""
    answer = host.ask("/api/fails")
    assert (answer.status, answer.body) == (500, b"")
    assert "secret detail" in host.errors
    assert "FAILED: RuntimeError" in host.output


def test_response_keeps_status_bytes_and_cookies(host: HostProcess) -> None:
    """Status, binary body, headers and each cookie reach the client."""
    answer = host.ask("/api/cookies")
    assert (answer.status, answer.body) == (201, b"\x00\xff")
    assert ("X-Kind", "bytes") in answer.headers
    cookies = [value for name, value in answer.headers if name == "Set-Cookie"]
    assert cookies == ["a=1; domain=; path=/; samesite=lax; httponly", "b=2; max-age=60; domain=; path="]


def test_text_result_is_taken_for_json(host: HostProcess) -> None:
    """A function that returns str: an object with a body describes the response, other text is sent as it is."""
    assert host.ask("/api/text", method="POST", body=b"plain").body == b"plain"
    answer = host.ask("/api/text", method="POST", body=b'{"status": 418, "body": "tea"}')
    assert (answer.status, answer.body) == (418, b"tea")


def test_environment_is_that_of_func_start(host: HostProcess) -> None:
    """The app sees the variables that Core Tools sets."""
    assert host.ask("/api/settings/AZURE_FUNCTIONS_ENVIRONMENT").body == b"Development"
    assert host.ask("/api/settings/WEBSITE_HOSTNAME").body.decode() == "localhost:" + host.url.rsplit(":", 1)[1]


def test_invocations_are_logged(host: HostProcess) -> None:
    """Each invocation has a line with its function, its id, its duration and how it ended."""
    host.ask("/api/echo/logged")
    name, invocation_id, took, unit, outcome = host.output.splitlines()[-1].split()
    assert (name, len(invocation_id), unit, outcome) == ("echo", 36, "ms", "succeeded")
    assert took.isdigit()


def test_admin_describes_functions(host: HostProcess) -> None:
    """The admin endpoints list functions and say that the host is up."""
    assert host.ask("/admin/host/ping").status == 200
    assert json.loads(host.ask("/admin/host/status").body)["state"] == "Running"
    listed = {entry["name"]: entry for entry in json.loads(host.ask("/admin/functions").body)}
    assert listed["off"]["isDisabled"] is True
    assert json.loads(host.ask("/admin/functions/ECHO").body)["name"] == "echo"
    assert host.ask("/admin/functions/nobody").status == 404


def test_keys_are_not_asked_for_by_default(host: HostProcess) -> None:
    """As with func start, every request is let in."""
    assert host.ask("/api/locked").body == b"open"


def test_keys_with_enable_auth(start_host: StartHost) -> None:
    """With --enable-auth a function level route needs a key, an anonymous one does not, admin needs the master key."""
    env = {"LOCAL_HOST_MASTER_KEY": "m", "LOCAL_HOST_FUNCTION_KEY": "f"}
    host = start_host("http", "--enable-auth", env=env)
    assert host.ask("/api/echo").status == 200
    assert host.ask("/api/locked").status == 401
    assert host.ask("/api/locked?code=f").status == 200
    assert host.ask("/api/locked?code=f", headers={"x-functions-key": "wrong"}).status == 401
    assert host.ask("/api/locked", headers={"x-functions-key": "m"}).status == 200
    assert host.ask("/admin/functions").status == 401
    assert host.ask("/admin/functions", headers={"x-functions-key": "f"}).status == 403
    assert host.ask("/admin/functions", headers={"x-functions-key": "m"}).status == 200
    assert host.ask("/admin/host/ping").status == 200
